"""List the recipes: name, number of parameters for 28 x 28 images, and source."""

import numpy as np

from minigan.gan.models import make_networks
from minigan.gan.recipes import RECIPES


def add_arguments(parser):
    """`demo.py recipes` has no options."""


def run(args):
    """Print the list."""
    for recipe in RECIPES.values():
        G, D = make_networks(recipe, (28, 28), rng=np.random.default_rng(0))
        print(f"{recipe.name:16} G {G.theta.size:9,}  D {D.theta.size:9,}  {recipe.source}")
    return 0
