"""Recipes: complete settings, by name.

The idea
    Everything that decides how a run goes, but the seed and the data, is one small record. What
    the command line changes is replaced in a copy, and the copy is saved with the run. What was
    tried to find our own recipe, and what it gave, stands in docs/recipe.md.

>>> recipe = RECIPES["default"]
>>> recipe.widths_G, recipe.beta1
((256, 512), 0.0)
>>> replace(recipe, epochs=3).epochs
3
"""
from dataclasses import asdict, dataclass, replace

from minigan.gan import make_discriminator, make_generator

__all__ = ["RECIPES", "Recipe", "asdict", "make_networks", "replace"]


@dataclass(frozen=True)
class Recipe:
    """One complete setting."""

    name: str
    latent_dim: int  # Z, how many random numbers the generator starts from
    widths_G: tuple  # units of its hidden layers, first to last
    widths_D: tuple  # and of the discriminator's
    dropout: float  # in the discriminator, after each hidden layer
    batch_size: int  # N real images and N fakes a step
    epochs: int
    learning_rate: float  # at the first step
    final_rate: float  # what share of it is left at the last; in between it falls in a straight line
    beta1: float  # Adam's memory of the gradient
    beta2: float  # and of its square
    real_label: float  # what the discriminator should answer to a real image
    average: float  # decay of the running average of the generator's weights; 0: what is drawn is the generator itself
    decay_G: float = 0.0  # weight decay of the generator: times the rate, the share of each weight that fades in a step
    batch_G: int = 0  # noise vectors in the generator's step; 0: as many as batch_size
    slope_G: float = 0.2  # of the generator's LeakyReLUs; 0 makes them ReLUs
    slope_D: float = 0.2  # and of the discriminator's
    rule: str = "glorot"  # of the initial weights
    dtype: str = "float32"


RECIPES = {recipe.name: recipe for recipe in [
    Recipe(
        "default",
        latent_dim=64,
        widths_G=(256, 512),
        widths_D=(512, 256),
        dropout=0.2,
        batch_size=128,
        epochs=16,  # some two minutes on two cores
        learning_rate=1.4e-3,  # seven times the usual 2e-4: as fast as it stays stable
        final_rate=1.0,  # constant: if it falls, the networks rest, and there is less to average
        beta1=0.0,  # no memory of the gradient: the usual 0.9 remembers an opponent who has moved on
        beta2=0.99,  # the usual 0.999 is too slow to see a gradient that suddenly grows
        real_label=1.0,
        average=0.9999,  # the average removes the specks, and most of what is wrong; see optim.py
        decay_G=0.07,  # without it strokes grow hard, all black and white; with more they grow faint
    ),
    Recipe(
        "pytorch-mlp",  # the notebook Generative-Adverserial-Networks-in-PyTorch-for-1D-images, after yunjey's tutorial
        latent_dim=64,
        widths_G=(256, 256),
        widths_D=(256, 256),
        dropout=0.0,
        batch_size=100,
        epochs=300,
        learning_rate=2e-4,
        final_rate=1.0,
        beta1=0.9,
        beta2=0.999,
        real_label=1.0,
        average=0.0,
        slope_G=0.0,
        rule="fan_in",
    ),
    Recipe(
        "keras-mlp-fixed",  # the Great Learning article, with the data in [-1, 1], where its generator draws
        latent_dim=100,
        widths_G=(256, 512, 1024),
        widths_D=(1024, 512, 256),
        dropout=0.3,
        batch_size=128,
        batch_G=256,
        epochs=200,
        learning_rate=2e-4,
        final_rate=1.0,
        beta1=0.5,
        beta2=0.999,
        real_label=1.0,
        average=0.0,
    ),
]}


def make_networks(recipe, n_pixels, rng):
    """(G, D) on the host, weights drawn from rng, a numpy.random.Generator."""
    G = make_generator(recipe.latent_dim, recipe.widths_G, n_pixels, rng, recipe.slope_G, recipe.rule, recipe.dtype)
    D = make_discriminator(n_pixels, recipe.widths_D, rng, recipe.slope_D, recipe.dropout, recipe.rule, recipe.dtype)
    return G, D
