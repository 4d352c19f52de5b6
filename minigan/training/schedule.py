"""Schedules: the optimizers of a recipe, and what changes during a run, such as learning rates.

The idea
    A recipe gives the initial learning rate and how it changes: it falls linearly to a fraction of
    its initial value by the end of the run (`final_lr_factor`), or it is divided by a constant at
    each step (`lr_decay`, Goodfellow et al. 2014). It falls in the recipe `default` and is constant
    in `dense`. Both also average the weights (see nn/ema.py).

Burn-in  (Huang et al. 2024)
    While fakes and real images are far apart, a large penalty weight gamma makes D smooth, a small
    beta2 lets Adam follow gradients whose size changes quickly, and an average of G's weights
    should forget soon. Over the first B real images shown to D, here `burn_in` epochs, each of
    these three values changes from v0 to v1 along half a cosine, and then stays:

        v = v0 + ramp (v1 - v0),    ramp = (1 - cos(pi n / B)) / 2  after n < B images, then 1

    The average has a half-life, the number of images after which the weight of an old value has
    halved. For a batch of N its decay is 0.5^(N / half-life). At a half-life of 0, the initial
    value, the average is a copy of G. G's real images, with a loss on pairs, are not counted.

    The optimizer also needs the previous beta2, and for the exact bias correction the product of
    all values so far (see nn/optim.py). Both depend on the step only, so a resumed run needs
    nothing from its checkpoint.

>>> import numpy as np
>>> from minigan.gan.recipes import RECIPES, replace
>>> recipe = replace(RECIPES["default"], learning_rate=0.1, final_lr_factor=0.5, epochs=2)
>>> [round(learning_rate_factor(recipe, step, 10), 3) for step in (0, 10, 20)]
[1.0, 0.75, 0.5]
>>> recipe = replace(recipe, burn_in=2.0, penalty_weight=1.0, final_penalty_weight=0.1)
>>> [round(penalty_weight(recipe, step, 10), 3) for step in (0, 10, 20, 30)]
[1.0, 0.55, 0.1, 0.1]
"""

import functools
import itertools
import math
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
    try:
        divisor = recipe.lr_decay**step
    except OverflowError:  # too large for a float
        divisor = math.inf
    # not a product with a negative power, whose last bit often differs
    return (1 - (1 - recipe.final_lr_factor) * progress) / divisor


def set_learning_rates(
    recipe: Any, optimizer_G: Any, optimizer_D: Any, step: int, steps_per_epoch: int
) -> None:
    """Set the learning rates of both optimizers for a step, counted from 0; for SGD, set the
    momentum as well, and for Adam a beta2 that changes.
    """
    factor = learning_rate_factor(recipe, step, steps_per_epoch)
    optimizer_G.lr = recipe.learning_rate * factor
    optimizer_D.lr = (recipe.learning_rate_D or recipe.learning_rate) * factor
    if recipe.optimizer == "sgd":
        first, last, epochs = recipe.momentum
        optimizer_G.momentum = optimizer_D.momentum = first + (last - first) * min(
            1, step / (steps_per_epoch * epochs)
        )
    if recipe.final_beta2:
        first = beta2(recipe, 0, steps_per_epoch)
        now, before = (beta2(recipe, max(0, s), steps_per_epoch) for s in (step, step - 1))
        for optimizer in optimizer_G, optimizer_D:
            warm_up = max(0, optimizer.t - step)  # D's warm-up steps
            product = first**warm_up * beta2_product(recipe, step, steps_per_epoch)
            optimizer.beta2, optimizer.beta2_history = now, (before, product)


def ramp(recipe: Any, step: int, steps_per_epoch: int) -> float:
    """From 0 at the first step to 1 at the end of the burn-in."""
    steps = recipe.burn_in * steps_per_epoch
    return (1 - math.cos(math.pi * step / steps)) / 2 if step < steps else 1.0


def penalty_weight(recipe: Any, step: int, steps_per_epoch: int) -> float:
    """The weight of D's penalty at a step."""
    first, last = recipe.penalty_weight, recipe.final_penalty_weight
    return first + ramp(recipe, step, steps_per_epoch) * (last - first) if last else first


def beta2(recipe: Any, step: int, steps_per_epoch: int) -> float:
    """Adam's beta2 at a step."""
    first, last = recipe.beta2, recipe.final_beta2
    return first + ramp(recipe, step, steps_per_epoch) * (last - first) if last else first


def beta2_product(recipe: Any, step: int, steps_per_epoch: int) -> float:
    """The product of all beta2 up to a step, inclusive."""
    products = burn_in_products(recipe, steps_per_epoch)
    after = max(0, step + 1 - len(products))
    return products[min(step, len(products) - 1)] * recipe.final_beta2**after


@functools.lru_cache(maxsize=8)
def burn_in_products(recipe: Any, steps_per_epoch: int) -> list[float]:
    """The product of all beta2 up to each step of the burn-in."""
    steps = math.ceil(recipe.burn_in * steps_per_epoch)
    values = (beta2(recipe, step, steps_per_epoch) for step in range(steps))
    return list(itertools.accumulate(values, lambda a, b: a * b))


def ema_decay(recipe: Any, step: int, steps_per_epoch: int) -> float:
    """The decay of the moving average at a step; without a half-life, the recipe's."""
    if not recipe.ema_half_life:
        return recipe.ema_decay
    half_life = ramp(recipe, step, steps_per_epoch) * recipe.ema_half_life * steps_per_epoch
    return 0.5 ** (1 / half_life) if half_life else 0.0  # in steps of one batch
