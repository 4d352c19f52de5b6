"""The nine exercises and their checkers; tools.py has what the checkers share."""

from collections.abc import Callable
from typing import NamedTuple

from exercises.checkers import (
    adam,
    bce,
    broken_gans,
    digits,
    dropout,
    gate,
    own_loss,
    relu,
    transposed,
)


class Exercise(NamedTuple):
    """One exercise, or a part of one."""

    name: str  # of its file, without .py
    title: str
    difficulty: str  # easy, medium or hard
    minutes: int
    checker: Callable  # the answer, as a module -> a generator of steps
    part: str = ""


def check_part(name: str) -> Callable:
    """The checker of one of several functions in a file."""
    return lambda answer: broken_gans.check(getattr(answer, name))


EXERCISES = [
    Exercise("ex1_relu", "ReLU", "easy", 10, relu.check),
    Exercise("ex2_gate", "a layer's backward", "medium", 30, gate.check),
    *(
        Exercise(
            "ex3_broken_gans",
            "five broken GANs",
            "medium",
            60,
            check_part(name),
            name,
        )
        for name in ("gan_1", "gan_2", "gan_3", "gan_4", "gan_5")
    ),
    Exercise("ex4_bce", "stable cross-entropy", "hard", 30, bce.check),
    Exercise("ex5_adam", "Adam", "easy", 30, adam.check),
    Exercise("ex6_dropout", "inverted dropout", "easy", 20, dropout.check),
    Exercise("ex7_transposed", "transposed convolution", "hard", 60, transposed.check),
    Exercise("ex8_own_loss", "a loss of your own", "hard", 60, own_loss.check),
    Exercise("ex9_digits", "a GAN for digits", "medium", 45, digits.check),
]
