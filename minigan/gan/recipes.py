"""Recipes: complete settings of a training run, by name.

The idea
    A recipe is a small record of all settings that determine a run, except the seed and the data.
    Options on the command line change values in a copy of the recipe, and the copy is saved with
    the run: `--set NAME=VALUE` changes any field, and common fields have an option of their own.

    docs/recipe.md describes how our own recipe `default` was found, and docs/recipes.md compares
    the recipes. All except `default`, `long`, `dense`, `default-conv` and `keras-mlp-fixed` follow
    well-known publications and tutorials. Where a published value is not available here, a comment
    beside the recipe says so.

>>> recipe = RECIPES["pytorch-mlp"]
>>> recipe.widths_G, recipe.learning_rate
((256, 256), 0.0002)
>>> replace(recipe, epochs=3).epochs
3
"""

import difflib
import math
from collections.abc import Callable
from dataclasses import MISSING, asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from minigan.gan.augment import AUGMENTATIONS
from minigan.gan.gradient_penalty import PENALTIES, SAME_WEIGHT
from minigan.gan.losses import GAN_LOSSES
from minigan.gan.models import ARCHITECTURES, make_networks
from minigan.nn.initializers import INITIALIZERS
from minigan.nn.layer import Layer
from minigan.nn.sequential import Sequential

__all__ = [
    "FIELDS",
    "MAX_CLUSTERS",
    "RECIPES",
    "Recipe",
    "allowed_choices",
    "asdict",
    "change_recipe",
    "check_value",
    "recipe_from_dict",
    "replace",
    "unused_fields",
    "validate_recipe",
]


@dataclass(frozen=True)
class Recipe:
    """All settings of a run except the seed and the data.

    `demo.py recipes NAME` prints the comments beside the fields as their meanings.
    """

    name: str  # selects the recipe, and is part of the default name of a run folder
    source: str  # where the recipe comes from, in one line
    latent_dim: int  # Z, the dimension of the latents
    widths_G: tuple  # units, or channels, of the generator's hidden layers, from first to last
    widths_D: tuple  # the same for the discriminator
    batch_size: int  # N real images and N fakes per step
    epochs: int  # passes over all images
    learning_rate: float  # of both optimizers at the first step
    networks: str = "dense"  # the architecture of both: see models.py
    negative_slope_G: float = 0.2  # of the generator's LeakyReLUs; 0 makes them ReLUs
    negative_slope_D: float = 0.2  # the same for the discriminator
    dropout: float = 0.0  # probability, after each hidden layer of the discriminator
    init: str = "glorot"  # initializer of the weights
    init_D: str = ""  # initializer for the discriminator, if different
    noise: str = "normal"  # distribution of the latents: see latents.py
    pixel_min: float = -1.0  # the value of a black pixel, -1 or 0; a white pixel is 1
    shared_fakes: bool = False  # G learns from the fakes of D's step, which saves a pass of G
    batch_size_G: int = 0  # number of latents in the generator step; 0: batch_size
    steps_per_epoch: int = 0  # training steps; 0: as many as show each image once
    with_replacement: bool = False  # sample images at random instead of each once per epoch
    d_warmup_steps: int = 0  # discriminator steps before the first generator step
    optimizer: str = "adam"  # of both networks: see nn/optim.py
    learning_rate_D: float = 0.0  # learning rate of the discriminator; 0: the same
    final_lr_factor: float = 1.0  # the learning rate falls linearly to this fraction of itself
    lr_decay: float = 1.0  # each step divides the learning rate by this
    momentum: tuple = (0.0, 0.0, 1)  # of SGD: first value, last value, epochs between them
    beta1: float = 0.9  # decay rate of Adam's average of the gradient
    beta2: float = 0.999  # decay rate of Adam's average of the squared gradient
    weight_decay_G: float = 0.0  # of the generator: see AdamW in nn/optim.py
    conditional: bool = False  # whether both networks receive the label of each image
    clusters: int = 0  # clusters of images (datasets/clusters.py) instead of labels; 0: none
    real_label: float = 1.0  # the discriminator's target for real images
    loss: str = "non-saturating"  # what both networks minimise: see losses.py
    penalty: str = ""  # on the discriminator's gradient: see gradient_penalty.py
    penalty_weight: float = 10.0  # gamma of r1 and r2, lambda of wgan-gp; both papers use 10
    penalty_every: int = 1  # steps from one penalty to the next; its weight is multiplied by this
    burn_in: float = 0.0  # epochs during which the next three change: training/schedule.py
    final_penalty_weight: float = 0.0  # penalty_weight after the burn-in; 0: the same
    final_beta2: float = 0.0  # beta2 after the burn-in; 0: the same
    ema_half_life: float = 0.0  # epochs, reached after the burn-in; replaces ema_decay; 0: unused
    augment: str = ""  # of all images that D sees: AUGMENTATIONS, as in "flip,shift"
    spectral: bool = False  # spectral normalisation of each layer of the discriminator
    ema_decay: float = 0.0  # decay of the moving average of the generator's weights; 0: none
    dtype: str = "float32"  # of all weights and images

    @property
    def has_labels(self) -> bool:
        """Whether both networks receive a label for each image: its class or its cluster."""
        return self.conditional or self.clusters > 0


MAX_CLUSTERS = 1000
CHOICES = {
    "dtype": ("float32", "float64"),
    "noise": ("normal", "uniform", "half-binary"),
    "pixel_min": (-1, 0),
    "optimizer": ("adam", "sgd"),
    "augment": ("", *AUGMENTATIONS, ",".join(AUGMENTATIONS)),
}
# tables of allowed values, and further allowed values; the tables are read only when a recipe is
# checked, so entries that were added in the meantime are also allowed
REGISTRIES: dict[str, tuple[dict[str, Any], tuple]] = {
    "networks": (ARCHITECTURES, ()),
    "init": (INITIALIZERS, ()),
    "init_D": (INITIALIZERS, ("",)),
    "loss": (GAN_LOSSES, ()),
    "penalty": (PENALTIES, ("",)),
}
KINDS: dict[Any, Any] = {int: int, float: (int, float), str: str, tuple: (list, tuple), bool: bool}
# other integers may not be zero
MAY_BE_ZERO = ("batch_size_G", "steps_per_epoch", "d_warmup_steps", "clusters")
Limits = tuple[Callable[[float], bool], str]  # whether a number is allowed, and which numbers are
POSITIVE: Limits = (lambda v: 0 < v < math.inf, "a number above 0")
NOT_NEGATIVE: Limits = (lambda v: 0 <= v < math.inf, "a number of at least 0")
UP_TO_1: Limits = (lambda v: 0 <= v <= 1, "a number from 0 to 1")
BELOW_1: Limits = (lambda v: 0 <= v < 1, "a number of at least 0 and less than 1")
LIMITS = {  # of fields that are floats; the other floats are NOT_NEGATIVE
    "learning_rate": POSITIVE,
    "lr_decay": (lambda v: 1 <= v < math.inf, "a number of at least 1"),
    "penalty_weight": POSITIVE,
    "negative_slope_G": UP_TO_1,
    "negative_slope_D": UP_TO_1,
    "real_label": UP_TO_1,
    "dropout": BELOW_1,
    "beta1": BELOW_1,
    "beta2": BELOW_1,
    "final_beta2": BELOW_1,
    "ema_decay": BELOW_1,
}
FIELDS = {field.name: field for field in fields(Recipe)}
OLD_FIELDS = {  # names before 0.2.0, in the settings of old runs
    "slope_G": "negative_slope_G",
    "slope_D": "negative_slope_D",
    "rule": "init",
    "rule_D": "init_D",
    "low": "pixel_min",
    "batch_G": "batch_size_G",
    "steps": "steps_per_epoch",
    "head_start": "d_warmup_steps",
    "final_rate": "final_lr_factor",
    "divisor": "lr_decay",
    "decay_G": "weight_decay_G",
    "average": "ema_decay",
}
OLD_INITIALIZERS = {"uniform .05": "uniform(0.05)", "uniform .005": "uniform(0.005)"}


def with_current_names(values: dict[str, Any]) -> dict[str, Any]:
    """The same values, with current names for fields and initializers from before 0.2.0."""
    values = {OLD_FIELDS.get(name, name): value for name, value in values.items()}
    for name in "init", "init_D":
        if isinstance(values.get(name), str):
            values[name] = OLD_INITIALIZERS.get(values[name], values[name])
    return values


def recipe_from_dict(values: dict[str, Any]) -> Recipe:
    """The Recipe with these values, which come from asdict or from the settings of a run.

    Raises ValueError for a value that is not allowed.
    """
    values = {"source": "an earlier minigan", **with_current_names(values)}
    for name, field in FIELDS.items():
        # recipes of earlier versions have fewer fields
        value = values[name] if field.default is MISSING else values.setdefault(name, field.default)
        values[name] = check_value(name, value)
    validate_recipe(recipe := Recipe(**values))
    return recipe


def check_value(name: str, value: Any) -> Any:
    """The value of a field, a list as a tuple; raises ValueError if it is not allowed there."""
    kind: Any = FIELDS[name].type
    good = isinstance(value, KINDS[kind]) and (kind is bool or not isinstance(value, bool))
    choices = allowed_choices(name)
    if not good:
        pass
    elif choices:
        good = value in choices
    elif kind is int:
        good = value >= (0 if name in MAY_BE_ZERO else 1)
    elif kind is float:
        good = LIMITS.get(name, NOT_NEGATIVE)[0](value)
    elif name == "momentum":
        good = (
            len(value) == 3
            and all(type(v) in (int, float) and 0 <= v < math.inf for v in value)
            and value[2] > 0
        )
    elif kind is tuple:
        good = all(type(v) is int and v >= 1 for v in value)
    elif name == "name":  # it is part of the name of a folder
        good = value != "" and not {"/", "\\"} & {*value}
    if not good:
        raise ValueError(f"{name} is {value!r}, but must be {describe_allowed(name)}")
    return tuple(value) if kind is tuple else value


def allowed_choices(name: str) -> tuple:
    """The only values that a field may have; () if it may have any that its type allows."""
    registry, others = REGISTRIES.get(name, ({}, ()))
    return CHOICES.get(name, (*registry, *others))


def describe_allowed(name: str) -> str:
    """Which values a field may have, in words."""
    kind: Any = FIELDS[name].type
    if choices := allowed_choices(name):
        return f"one of {', '.join(str(choice) or 'none' for choice in choices)}"
    if kind is float:
        return LIMITS.get(name, NOT_NEGATIVE)[1]
    if kind is int:
        return f"an integer of at least {0 if name in MAY_BE_ZERO else 1}"
    if kind is tuple:
        return (
            "three numbers, two of at least 0 and one above 0, such as 0.5,0.7,250"
            if name == "momentum"
            else "integers of at least 1, such as 256,32,16"
        )
    if kind is bool:
        return "true or false"
    return "text without slashes" if name == "name" else "text"


def validate_recipe(recipe: Recipe) -> None:
    """Raise ValueError, with an explanation, if values of a recipe contradict each other."""
    architecture = ARCHITECTURES[recipe.networks]
    for name, count in zip(("widths_G", "widths_D"), architecture.widths):
        given = len(getattr(recipe, name))
        if given != count if count is not None else not given:
            raise ValueError(
                f"the networks {recipe.networks} need"
                f" {'one or more' if count is None else count} {name}, not {given}"
            )
    if (fixed := architecture.fixed) and recipe.latent_dim != fixed.latent_dim:
        raise ValueError(
            f"G takes latents of {fixed.latent_dim} numbers, but the recipe {recipe.name} has a"
            f" latent_dim of {recipe.latent_dim}"
        )
    for name in architecture.unused:
        default = FIELDS[name].default
        if getattr(recipe, name) != default:
            raise ValueError(
                f"the networks {recipe.networks} do not use {name}, but the recipe {recipe.name}"
                f" sets it to {getattr(recipe, name)!r}: leave it at {default!r}"
            )
    layers_D = tiny_discriminator(recipe).layers if recipe.penalty else []
    without = [a for a in layers_D if type(a).double_backward is Layer.double_backward]
    if without:
        raise ValueError(
            f"the penalty {recipe.penalty} needs the double_backward of each layer of the"
            f" discriminator, but {without[0]!r} has none: write it, or choose no penalty"
        )
    if any(layer.mixes_examples for layer in layers_D):
        raise ValueError(
            f"the penalty {recipe.penalty} needs a discriminator without batch norm, which mixes"
            f" images (see gradient_penalty.py), but the discriminator of the recipe {recipe.name}"
            " has batch norm: choose another recipe, or no penalty"
        )
    if recipe.clusters > MAX_CLUSTERS:
        raise ValueError(f"{recipe.clusters} clusters are too many: at most {MAX_CLUSTERS}")
    if recipe.conditional and recipe.clusters:
        raise ValueError(
            f"{recipe.clusters} clusters would take the place of the labels of a conditional run:"
            " choose one of the two"
        )
    if recipe.shared_fakes and recipe.batch_size_G not in (0, recipe.batch_size):
        raise ValueError(
            f"with shared_fakes G learns from the {recipe.batch_size} fakes of D's step, but the"
            f" recipe {recipe.name} has a batch_size_G of {recipe.batch_size_G}: leave it at 0"
        )
    scheduled = recipe.final_penalty_weight, recipe.final_beta2, recipe.ema_half_life
    if any(scheduled) and not recipe.burn_in or recipe.burn_in and not any(scheduled):
        raise ValueError(
            f"the recipe {recipe.name} needs a burn_in together with final_penalty_weight,"
            " final_beta2 or ema_half_life: set both, or neither"
        )
    if recipe.final_beta2 and recipe.optimizer != "adam":
        raise ValueError(
            f"only adam uses final_beta2, but the recipe {recipe.name} has the optimizer"
            f" {recipe.optimizer}: leave it at 0"
        )
    if recipe.ema_half_life and recipe.ema_decay:
        raise ValueError(
            f"the recipe {recipe.name} has both an ema_decay and an ema_half_life: set one to 0"
        )
    if recipe.shared_fakes and GAN_LOSSES[recipe.loss].paired:
        raise ValueError(
            f"the {recipe.loss} loss pairs the fakes of G's step with new real images of the same"
            f" labels, but with shared_fakes the recipe {recipe.name} uses the fakes of D's step:"
            " set shared_fakes to False"
        )
    if recipe.real_label != 1 and not GAN_LOSSES[recipe.loss].equilibrium_logit:
        raise ValueError(
            f"the {recipe.loss} loss requires real_label to be 1, but the recipe {recipe.name} has"
            f" {recipe.real_label}: choose another loss"
        )


def change_recipe(recipe: Recipe, **new: Any) -> Recipe:
    """The recipe with new values of some fields. Values that depend on them are adapted, unless
    they are given as well.

    Raises ValueError if there is no such field, or if a value is not allowed.

    >>> change_recipe(RECIPES["keras-mlp"], batch_size=64).batch_size_G    # it is twice as large
    128
    """
    for name in new:
        if name not in FIELDS:
            near = difflib.get_close_matches(name, FIELDS, 1, 0)[0]
            raise ValueError(f"a recipe has no {name[:40]!r}; did you mean {near}?")
    new = {name: check_value(name, as_kind(name, value)) for name, value in new.items()}
    adapted: dict[str, Any] = {}
    if new.get("penalty", recipe.penalty) != recipe.penalty:
        adapted["penalty_every"] = Recipe.penalty_every
        if not {new["penalty"], recipe.penalty} <= {*SAME_WEIGHT}:
            # the weight of one penalty has no meaning for another
            adapted["penalty_weight"] = Recipe.penalty_weight
    if "batch_size" in new:
        factor = new["batch_size"] / recipe.batch_size
        adapted["batch_size_G"] = math.ceil(recipe.batch_size_G * factor)
        adapted["steps_per_epoch"] = math.ceil(recipe.steps_per_epoch / factor)
    if new.get("conditional"):
        # dropout harms conditional training (docs/recipe.md), and labels replace clusters
        adapted |= {"clusters": 0, "dropout": 0.0}
    if GAN_LOSSES[new.get("loss", recipe.loss)].paired:
        adapted["shared_fakes"] = False  # each pair needs a fake with the label of its real image
    if "learning_rate" in new:
        adapted["learning_rate_D"] = (
            recipe.learning_rate_D * new["learning_rate"] / recipe.learning_rate
        )
    recipe = replace(recipe, **adapted | new)
    validate_recipe(recipe)
    return recipe


def as_kind(name: str, value: Any) -> Any:
    """A value for a field, an integer as a float where the field is one."""
    is_int = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if is_int and FIELDS[name].type is float else value


def unused_fields(recipe: Recipe) -> dict[str, str]:
    """{field: why} of the fields that have no effect on a run of this recipe."""
    networks = recipe.networks
    reasons = dict.fromkeys(
        ARCHITECTURES[networks].unused, f"the networks {networks} do not use it"
    )
    if recipe.optimizer != "sgd":
        reasons["momentum"] = f"only sgd uses it, and the optimizer is {recipe.optimizer}"
    if recipe.optimizer != "adam":
        reason = f"only adam uses it, and the optimizer is {recipe.optimizer}"
        reasons |= dict.fromkeys(("beta1", "beta2", "weight_decay_G", "final_beta2"), reason)
    if not recipe.penalty:
        names = "penalty_weight", "penalty_every", "final_penalty_weight"
        reasons |= dict.fromkeys(names, "there is no penalty")
    return reasons


def tiny_discriminator(recipe: Recipe) -> Sequential:
    """The recipe's D with one unit per layer, to inspect its layers without making large ones."""
    tiny = replace(
        recipe,
        latent_dim=1,
        widths_G=(1,) * len(recipe.widths_G),
        widths_D=(1,) * len(recipe.widths_D),
    )
    size = ARCHITECTURES[recipe.networks].size_multiple
    return make_networks(tiny, (size, size), rng=np.random.default_rng(0))[1]


KERAS = Recipe(
    "keras-mlp",
    "Great Learning's Keras article, as printed: real images in [0, 1], fakes in [-1, 1]",
    latent_dim=100,
    widths_G=(256, 512, 1024),
    widths_D=(1024, 512, 256),
    dropout=0.3,
    batch_size=128,
    batch_size_G=256,
    steps_per_epoch=234,
    with_replacement=True,
    epochs=200,
    learning_rate=2e-4,
    beta1=0.5,
    pixel_min=0.0,
)

DEFAULT = Recipe(
    "default",
    "our own: convolutions, a gradient penalty and clusters of images, found by a search"
    " (docs/recipe.md)",
    networks="patch",
    latent_dim=64,
    noise="half-binary",  # lowers FD; see latents.py
    clusters=256,  # far fewer digits are malformed than without; see datasets/clusters.py
    widths_G=(256, 32, 16),
    widths_D=(16, 256, 64),
    batch_size=128,
    shared_fakes=True,  # to save time
    epochs=12,  # about three minutes on two cores
    learning_rate=1.4e-3,  # seven times the usual 2e-4
    final_lr_factor=0.05,  # with 1, samples become clearer but less varied
    beta1=0.0,  # the usual 0.9 averages gradients of a D that has changed since
    beta2=0.99,  # the usual 0.999 reacts more slowly to a gradient that suddenly grows
    weight_decay_G=0.1,  # with less, strokes become hard; with more, less varied
    penalty="r1",  # keeps D from getting too far ahead of G
    penalty_weight=1.0,
    penalty_every=8,  # to save time
    ema_decay=0.998,  # removes specks and most malformed digits; see ema.py
)

RECIPES = {
    recipe.name: recipe
    for recipe in [
        DEFAULT,
        replace(
            DEFAULT,
            name="long",
            source="our own: `default` for a run of half an hour (docs/recipe.md)",
            epochs=100,
            clusters=512,  # more legible; the variety that this costs comes with more epochs
            final_lr_factor=0.25,  # in so long a run samples become worse at lower rates
        ),
        Recipe(
            "dense",
            "our own: fully connected, found by a search (docs/recipe.md)",
            latent_dim=64,
            widths_G=(256, 512),
            widths_D=(512, 256),
            dropout=0.2,
            batch_size=128,
            epochs=16,  # about two minutes on two cores
            learning_rate=1.4e-3,  # seven times the usual 2e-4: the highest that remains stable
            beta1=0.0,
            beta2=0.99,
            weight_decay_G=0.07,
            ema_decay=0.9999,
        ),
        Recipe(
            "default-conv",
            "our own: the convolutional recipe of earlier versions (docs/recipes.md)",
            networks="conv",
            latent_dim=64,
            widths_G=(256, 32, 16),
            widths_D=(8, 16, 256),
            batch_size=128,
            epochs=32,  # about seven minutes on two cores
            learning_rate=1.4e-3,
            beta1=0.0,
            beta2=0.99,
            weight_decay_G=0.07,
            penalty="r1",  # without it training fails: docs/recipes.md
            penalty_weight=1.0,
            penalty_every=4,  # to save time
            ema_decay=0.9999,
        ),
        Recipe(
            "goodfellow-2014",
            "Goodfellow et al. 2014 and its published code: maxout, uniform noise, SGD",
            # D's learning rate is half the published 0.1, because our loss is the sum of two means,
            # and theirs is the mean over both. Their output biases start at the mean image, ours at
            # 0. They train on the first 50,000 images and stop by a validation criterion.
            networks="maxout",
            latent_dim=100,
            widths_G=(1200, 1200),
            widths_D=(240, 240),
            negative_slope_G=0.0,
            dropout=0.5,
            batch_size=100,
            epochs=50,
            learning_rate=0.1,
            learning_rate_D=0.05,
            optimizer="sgd",
            lr_decay=1.000004,
            momentum=(0.5, 0.7, 250),
            noise="uniform",
            pixel_min=0.0,
            init="uniform(0.05)",
            init_D="uniform(0.005)",
        ),
        Recipe(
            "pytorch-mlp",
            "the notebook Generative-Adverserial-Networks-in-PyTorch-for-1D-images, after yunjey's"
            " tutorial",
            latent_dim=64,
            widths_G=(256, 256),
            widths_D=(256, 256),
            negative_slope_G=0.0,
            batch_size=100,
            epochs=300,
            learning_rate=2e-4,
            init="fan_in",
        ),
        KERAS,
        replace(
            KERAS,
            name="keras-mlp-fixed",
            source="the same with real images in [-1, 1], the range of its generator",
            pixel_min=-1.0,
        ),
        Recipe(
            "dcgan",
            "Radford et al. 2016 (DCGAN) at 28 x 28, with 64 and 32 channels",
            networks="dcgan",
            latent_dim=100,
            widths_G=(64, 32),
            widths_D=(32, 64),
            negative_slope_G=0.0,
            batch_size=128,
            epochs=25,
            learning_rate=2e-4,
            beta1=0.5,
            init="normal",
        ),
        Recipe(
            "auto-write",
            "O'Reilly's TensorFlow 1 article: a discriminator of 5 x 5 convolutions with pooling,"
            " and a generator that resizes",
            # The article resizes bilinearly, and we repeat pixels. It has separate optimizers for
            # D's real and fake images, and we have a single one for D.
            networks="auto-write",
            latent_dim=100,
            widths_G=(50, 25),
            widths_D=(32, 64, 1024),
            negative_slope_G=0.0,
            negative_slope_D=0.0,
            batch_size=50,
            epochs=83,
            d_warmup_steps=300,
            learning_rate=1e-4,
            learning_rate_D=3e-4,
            init="normal",
            pixel_min=0.0,
        ),
    ]
}
