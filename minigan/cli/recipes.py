"""List the recipes, or all settings of one of them."""

import inspect
import re

import numpy as np

from minigan.cli import arguments
from minigan.cli.arguments import format_value
from minigan.gan.models import make_networks
from minigan.gan.recipes import RECIPES, Recipe, allowed_choices, asdict


def add_arguments(parser):
    """The options of `demo.py recipes`."""
    parser.add_argument(
        "recipe",
        type=arguments.recipe,
        nargs="?",
        metavar="NAME",
        help="list every setting of this recipe, with its value and its meaning (default: list the"
        " recipes, with their numbers of parameters for images of 28 x 28)",
    )


def run(args):
    """Print the list."""
    if args.recipe:
        print_settings(args.recipe, args.command)
        return 0
    for recipe in RECIPES.values():
        G, D = make_networks(recipe, (28, 28), rng=np.random.default_rng(0))
        print(f"{recipe.name:16} G {G.theta.size:9,}  D {D.theta.size:9,}  {recipe.source}")
    return 0


def print_settings(recipe: Recipe, command: str) -> None:
    """Print each field of a recipe, and how to change one; `command` is what the user types."""
    values, meanings = asdict(recipe), field_meanings()
    print(f"{recipe.name}: {values.pop('source')}")
    for name, value in values.items():
        choices = ", ".join(format_value(choice) for choice in allowed_choices(name))
        print(
            f"    {name:20} {format_value(value):15} {meanings[name]}"
            + (f" (one of {choices})" if choices else "")
        )
    print(
        f"{command} --recipe {recipe.name} --set NAME=VALUE trains with another value; --set may be"
        " repeated"
    )


def field_meanings() -> dict[str, str]:
    """{name: meaning} of the fields of Recipe: the comments beside them."""
    return dict(re.findall(r"^    (\w+): .*?  # (.*)$", inspect.getsource(Recipe), re.MULTILINE))
