"""minigan.gan: adversarial losses, the two training steps, gradient penalties, and the networks of
the recipes.

The reading order is losses, steps, models, recipes and, as a second course, gradient_penalty and
latents.
"""

from typing import Any

from minigan import moved
from minigan.gan.gradient_penalty import PENALTIES, gradient_penalty
from minigan.gan.losses import GAN_LOSSES
from minigan.gan.models import (
    ARCHITECTURES,
    make_discriminator,
    make_generator,
    make_networks,
)
from minigan.gan.recipes import RECIPES, Recipe
from minigan.gan.steps import (
    discriminator_step,
    discriminator_step_two_passes,
    generator_step,
)

__all__ = [
    "ARCHITECTURES",
    "GAN_LOSSES",
    "PENALTIES",
    "RECIPES",
    "Recipe",
    "discriminator_step",
    "discriminator_step_two_passes",
    "generator_step",
    "gradient_penalty",
    "make_discriminator",
    "make_generator",
    "make_networks",
]


def __getattr__(name: str) -> Any:
    return moved.member("gan", name)
