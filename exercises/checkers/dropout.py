"""Exercise 6."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from exercises.checkers.tools import close, contract, demand, forward, gradients, like, locked

P = 0.3
X = np.random.default_rng(5).uniform(0.5, 2, (200, 100))  # none is 0: each 0 in y was dropped


def check(answer: Any) -> Iterator[str]:
    """The steps of this exercise; NotYet where the answer, a module, is wrong."""
    layer = answer.Dropout(P)
    yield "without training"
    y, cache = forward(layer, X)
    like("y", y, X)
    demand(
        close(y, X),
        f"with train=False your y is not x, but {(y / X).mean():.3g} times x on average: inverted"
        " dropout scales during training only",
    )
    dy = locked(np.random.default_rng(6).standard_normal(X.shape))
    dx = layer.backward(dy, cache)
    like("dx", dx, X)
    demand(close(dx, dy), "with train=False y = x, so dx is dy")

    yield "each number independently"
    y, cache = forward(layer, X, train=True)
    like("y", y, X)
    for axis, what in (0, "column"), (1, "row"):
        fractions = (y == 0).mean(axis=axis)
        expected = math.sqrt(P * (1 - P) / X.shape[axis])  # the standard deviation of a fraction
        demand(
            fractions.std() < 2 * expected,
            f"whole {what}s are dropped, or nearly so: generate a random number for each x",
        )
    again, _ = forward(layer, X, train=True, seed=1)
    demand(
        not close(again, y),
        "another rng drops the same numbers: use the rng that forward receives",
    )
    again, _ = forward(layer, X, train=True)
    demand(
        close(again, y),
        "an rng with the same seed drops other numbers: use the rng that forward receives, and no"
        " other; otherwise no run can be repeated",
    )

    yield "how many are dropped"
    fraction = float((y == 0).mean())
    wanted = f"with p = {P} about {P:.0%} of y are 0 during training"
    demand(
        abs(fraction - (1 - P)) > 0.02,
        f"{wanted}, yours are {fraction:.0%}: a number is kept with probability 1 - p",
    )
    demand(
        abs(fraction - P) < 6 * math.sqrt(P * (1 - P) / X.size),
        f"{wanted}, yours are {fraction:.1%}",
    )

    yield "how the others are scaled"
    scales = (y / X)[y != 0]
    demand(
        scales.max() - scales.min() < 1e-9,
        "the remaining numbers are multiplied by different factors: the factor is a constant",
    )
    factor = float(scales[0])
    demand(
        abs(factor - 1) > 1e-9,
        f"the remaining numbers are not scaled, so the mean of y is {1 - P:g} x: which factor"
        " compensates for that?",
    )
    demand(
        abs(factor - 1 / (1 - P)) < 1e-9,
        f"the remaining numbers are multiplied by {factor:.4g}, so the mean of y is"
        f" {factor * (1 - P):.3g} x: it must be x",
    )

    yield "dx has the same mask"
    dx = layer.backward(dy, cache)
    like("dx", dx, X)
    agree = (dx == 0) == (y == 0)
    demand(
        agree.all(),
        f"{(~agree).mean():.0%} of the numbers are dropped in y but not in dx, or in dx but not in"
        " y: backward needs the mask of forward",
    )

    small = X[:3, :5]
    yield from gradients(layer, small, train=True)
    yield from contract(lambda dtype: answer.Dropout(P), small, train=True)

    yield "p = 0"
    y, _ = forward(answer.Dropout(0.0), small, train=True)
    demand(close(y, small), "with p = 0 y is x")
