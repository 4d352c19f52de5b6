"""Schedules: the optimizers of a recipe, and how their learning rates change during a run.

The idea
    A recipe gives the initial learning rate and how it changes: it falls linearly to a fraction of
    its initial value by the end of the run (`final_lr_factor`), or it is divided by a constant at
    each step (`lr_decay`, Goodfellow et al. 2014). Our own recipes keep the learning rate constant
    and average the weights instead (see nn/ema.py).

>>> import numpy as np
>>> from minigan.gan.recipes import RECIPES, replace
>>> recipe = replace(RECIPES["default"], learning_rate=0.1, final_lr_factor=0.5, epochs=2)
>>> [round(learning_rate_factor(recipe, step, 10), 3) for step in (0, 10, 20)]
[1.0, 0.75, 0.5]
"""

from typing import Any

from minigan.nn.optim import SGD, Adam
from minigan.nn.sequential import Sequential


def make_optimizers(recipe: Any, G: Sequential, D: Sequential) -> tuple[Any, Any]:
    """(optimizer of G, optimizer of D), as the recipe specifies them."""
    if recipe.optimizer == "sgd":
        return SGD(G.theta, recipe.learning_rate), SGD(
            D.theta, recipe.learning_rate_D or recipe.learning_rate
        )
    return (
        Adam(
            G.theta,
            recipe.learning_rate,
            beta1=recipe.beta1,
            beta2=recipe.beta2,
            weight_decay=recipe.weight_decay_G,
        ),
        Adam(
            D.theta,
            recipe.learning_rate_D or recipe.learning_rate,
            beta1=recipe.beta1,
            beta2=recipe.beta2,
        ),
    )


def learning_rate_factor(recipe: Any, step: int, steps_per_epoch: int) -> float:
    """The factor by which the recipe's learning rates are multiplied at a step, counted from 0."""
    progress = step / (steps_per_epoch * recipe.epochs)
    # a negative power becomes 0 where a positive one would be too large for a float
    return (1 - (1 - recipe.final_lr_factor) * progress) * recipe.lr_decay**-step


def set_learning_rates(
    recipe: Any, optimizer_G: Any, optimizer_D: Any, step: int, steps_per_epoch: int
) -> None:
    """Set the learning rates of both optimizers for a step, counted from 0; for SGD, set the
    momentum as well.
    """
    factor = learning_rate_factor(recipe, step, steps_per_epoch)
    optimizer_G.lr = recipe.learning_rate * factor
    optimizer_D.lr = (recipe.learning_rate_D or recipe.learning_rate) * factor
    if recipe.optimizer == "sgd":
        first, last, epochs = recipe.momentum
        optimizer_G.momentum = optimizer_D.momentum = first + (last - first) * min(
            1, step / (steps_per_epoch * epochs)
        )
