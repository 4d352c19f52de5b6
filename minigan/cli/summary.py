"""Print the layers of both networks, with their output shapes and numbers of parameters."""

import math
from typing import NamedTuple

import numpy as np

from minigan.cli import arguments
from minigan.datasets.pixels import MAX_PIXELS, size_fits
from minigan.evaluation.layer_stats import layer_outputs
from minigan.gan.models import ARCHITECTURES, make_networks
from minigan.gan.recipes import RECIPES, Recipe, replace, validate_recipe
from minigan.gan.steps import with_labels
from minigan.nn.sequential import Sequential
from minigan.training.run_folder import RunError, class_count, image_shape, load_model

CLASSES = 10  # of a conditional recipe without a run


def add_arguments(parser):
    """The options of `demo.py summary`."""
    add = parser.add_argument
    add(
        "run",
        type=arguments.path,
        nargs="?",
        metavar="RUN_DIR",
        help="the folder of a training run (default: the networks of a recipe)",
    )
    add(
        "--recipe",
        type=arguments.recipe,
        metavar="NAME",
        help="the recipe whose networks are shown if there is no RUN_DIR (default: default)",
    )
    add(
        "--set",
        type=arguments.setting,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change a setting of the recipe, as in training, such as widths_G=512,64,32; may be"
        " repeated (default: the recipe's values)",
    )
    add(
        "--size",
        type=arguments.positive_int,
        metavar="N",
        help="the recipe's networks for images of N x N (default 28, the size of MNIST)",
    )


def run(args):
    """Print a table for each network."""
    _, G, D, example = networks_of(args)
    print_network("generator", G, example.z, example.labels)
    print_network("discriminator", D, example.image, example.labels)
    return 0


class Example(NamedTuple):
    """Inputs of both networks; one example is enough to learn the shapes."""

    z: np.ndarray  # (1, Z)
    image: np.ndarray  # (1, H, W[, 3])
    labels: np.ndarray | None  # (1, C)


def networks_of(args) -> tuple[Recipe, Sequential, Sequential, Example]:
    """(recipe, G, D, Example) of a run or a recipe, without trained weights. Raises RunError."""
    if args.run and (args.recipe or args.set or args.size):
        raise RunError(
            f"{args.run} has its own recipe and image size: omit --recipe, --set and --size, or"
            " omit RUN_DIR"
        )
    if args.run:
        settings, recipe, _ = load_model(args.run)
        shape, n_classes = image_shape(settings), class_count(settings)
    else:
        recipe, shape, n_classes = recipe_of(args)
    G, D = make_networks(recipe, shape, n_classes=n_classes, rng=np.random.default_rng(0))
    labels = np.zeros((1, n_classes), recipe.dtype) if n_classes else None
    z, image = np.zeros((1, recipe.latent_dim), recipe.dtype), np.zeros((1, *shape), recipe.dtype)
    return recipe, G, D, Example(z, image, labels)


def recipe_of(args) -> tuple[Recipe, tuple[int, ...], int]:
    """(recipe, image shape, number of classes or clusters) of --recipe, --set and --size."""
    recipe = replace(args.recipe or RECIPES["default"], **dict(args.set))
    try:
        validate_recipe(recipe)
    except ValueError as error:
        raise RunError(error) from None
    size, multiple = args.size or 28, ARCHITECTURES[recipe.networks].size_multiple
    if not size_fits(size, size) or size % multiple:
        multiples = f" a multiple of {multiple}," if multiple > 1 else ""
        raise RunError(
            f"--size {size} is not possible with the networks {recipe.networks}: use{multiples} at"
            f" most {math.isqrt(MAX_PIXELS)}"
        )
    return recipe, (size, size), CLASSES if recipe.conditional else recipe.clusters


def print_network(name: str, net: Sequential, x: np.ndarray, labels: np.ndarray | None) -> None:
    """Print the table of a network for one example x (1, ...) with labels (1, C) or None."""
    rows = [
        (repr(layer), y.shape[1:], sum(getattr(layer, name).size for name in layer.param_names))
        for layer, y in zip(net.layers, layer_outputs(net, with_labels(x, labels)))
    ]
    width = max(len(layer) for layer, _, _ in rows)
    inputs = f"{x.shape[1:]}" + ("" if labels is None else f" and labels {labels.shape[1:]}")
    print(f"{name}: input {inputs}")
    print(f"    {'layer':{width}}  {'output shape':15} {'parameters':>12}")
    for layer, shape, count in rows:
        print(f"    {layer:{width}}  {shape!s:15} {count:12,}")
    print(
        f"    {'total':{width}}  {'':15} {net.theta.size:12,} = {net.theta.nbytes / 1e6:.1f} MB"
        f" of {net.theta.dtype}"
    )
    if net.buffers.size:
        print(f"    and {net.buffers.size:,} numbers that are not learned, such as running means")
