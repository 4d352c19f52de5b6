"""Recipes: complete settings, by name.

The idea
    To train a GAN is a run. Everything that decides how it goes, but the seed and the data, is one
    small record, a recipe. What the command line changes is replaced in a copy, and the copy is saved
    with the run.

    How our own, `default`, was found stands in docs/recipe.md. The others are those that people learn
    GANs from, as they were published; docs/recipes.md compares them. Where a published value cannot be
    had here, the comment beside the recipe says so.

>>> recipe = RECIPES["default"]
>>> recipe.widths_G, recipe.beta1
((256, 512), 0.0)
>>> replace(recipe, epochs=3).epochs
3
"""
from dataclasses import MISSING, asdict, dataclass, fields, replace

from minigan.adversarial import GAN_LOSSES
from minigan.initial_weights import RULES
from minigan.penalties import PENALTIES

__all__ = ["RECIPES", "Recipe", "asdict", "check", "from_dict", "replace"]


@dataclass(frozen=True)
class Recipe:
    """One complete setting."""

    name: str
    source: str  # where it comes from, in a line
    latent_dim: int  # Z, how many random numbers the generator starts from
    widths_G: tuple  # units of its hidden layers, first to last; of convolutions, channels
    widths_D: tuple  # and of the discriminator's
    batch_size: int  # N real images and N fakes a step
    epochs: int
    learning_rate: float  # at the first step
    networks: str = "dense"  # what they are made of
    slope_G: float = 0.2  # of the generator's LeakyReLUs; 0 makes them ReLUs
    slope_D: float = 0.2  # and of the discriminator's
    dropout: float = 0.0  # in the discriminator, after each hidden layer
    rule: str = "glorot"  # of the initial weights
    rule_D: str = ""  # of the discriminator's, where it is another
    noise: str = "normal"  # or "uniform", of variance 1, too: what the generator starts from
    low: float = -1.0  # what a black pixel is to the networks; a white one is 1
    batch_G: int = 0  # noise vectors in the generator's step; 0: as many as batch_size
    steps: int = 0  # in an epoch; 0: as many as show each image once
    with_replacement: bool = False  # draw images at random, instead of each once an epoch
    head_start: int = 0  # steps that the discriminator learns alone, at first
    optimizer: str = "adam"  # or "sgd"
    learning_rate_D: float = 0.0  # of the discriminator; 0: the same
    final_rate: float = 1.0  # what share of the rate is left at the last step; it falls in a straight line
    divisor: float = 1.0  # by which each step divides the rate
    momentum: tuple = (0.0, 0.0, 1)  # of SGD: at first, at last, and after how many epochs
    beta1: float = 0.9  # Adam's memory of the gradient
    beta2: float = 0.999  # and of its square
    decay_G: float = 0.0  # weight decay of the generator: times the rate, the share of each weight that fades in a step
    conditional: bool = False  # each image's label is told to both networks, so that one can ask for a digit
    real_label: float = 1.0  # what the discriminator should answer to a real image
    loss: str = "non-saturating"  # which of adversarial.py's
    penalty: str = ""  # on the discriminator's slope: one of penalties.py's, or none
    penalty_weight: float = 10.0  # gamma of r1, lambda of wgan-gp; both papers' value
    penalty_every: int = 1  # steps; each penalty then weighs so much more
    spectral: bool = False  # spectral normalisation of each layer of the discriminator
    average: float = 0.0  # decay of the running average of the generator's weights; 0: the generator itself draws
    dtype: str = "float32"


ALLOWED = {"dtype": ("float32", "float64"), "rule": RULES, "rule_D": ("", *RULES), "noise": ("normal", "uniform"), "low": (-1, 0),
           "optimizer": ("adam", "sgd"), "networks": ("dense", "maxout", "dcgan", "conv", "auto-write"),
           "loss": tuple(GAN_LOSSES), "penalty": ("", *PENALTIES)}
MAY_BE_0 = ("batch_G", "steps", "head_start")  # of those that are whole numbers


def from_dict(values):
    """The Recipe of which asdict, or a file, says so; raises ValueError for a value that cannot be."""
    values = {"source": "an earlier minigan", **values}
    for field in fields(Recipe):
        name = field.name
        value = values[name] if field.default is MISSING else values.setdefault(name, field.default)  # earlier recipes had fewer
        kind = {int: int, float: (int, float), str: str, tuple: (list, tuple), bool: bool}[field.type]
        good = isinstance(value, kind) and (field.type is bool or not isinstance(value, bool))
        if good and field.type is int:
            good = value >= (0 if name in MAY_BE_0 else 1)
        if good and field.type is tuple:
            values[name] = tuple(value)
            good = all(type(v) is int and v >= 1 for v in value) or name == "momentum" and len(value) == 3 and all(
                type(v) in (int, float) and v >= 0 for v in value)
        if good and name in ("slope_G", "slope_D", "dropout"):
            good = 0 <= value <= 1 and (name, value) != ("dropout", 1)
        if not good or name in ALLOWED and value not in ALLOWED[name]:
            raise ValueError(f"{name} is {value!r}")
    check(recipe := Recipe(**values))
    return recipe


def check(recipe):
    """Raise ValueError, with a sentence, where two values of a recipe cannot go together."""
    if recipe.penalty and recipe.networks == "dcgan":
        raise ValueError(f"the penalty {recipe.penalty} wants a discriminator without batch norm, which mixes images (see penalties.py),"
                         f" but the recipe {recipe.name} has one: choose another recipe, or no penalty")
    if recipe.real_label != 1 and not GAN_LOSSES[recipe.loss].undecided:
        raise ValueError(f"the {recipe.loss} loss knows no real_label but 1, and the recipe {recipe.name} has {recipe.real_label}:"
                         " choose another loss")


KERAS = Recipe(
    "keras-mlp", "Great Learning's Keras article, as printed: real images in [0, 1], fakes in [-1, 1]",
    latent_dim=100, widths_G=(256, 512, 1024), widths_D=(1024, 512, 256), dropout=0.3, batch_size=128, batch_G=256,
    steps=234, with_replacement=True, epochs=200, learning_rate=2e-4, beta1=0.5, low=0.0)

RECIPES = {recipe.name: recipe for recipe in [
    Recipe(
        "default", "ours: fully connected, from a search of its own (docs/recipe.md)",
        latent_dim=64,
        widths_G=(256, 512),
        widths_D=(512, 256),
        dropout=0.2,
        batch_size=128,
        epochs=16,  # some two minutes on two cores
        learning_rate=1.4e-3,  # seven times the usual 2e-4: as fast as it stays stable
        beta1=0.0,  # no memory of the gradient: the usual 0.9 remembers an opponent who has moved on
        beta2=0.99,  # the usual 0.999 is slower to see a gradient that suddenly grows
        decay_G=0.07,  # without it strokes grow hard, all black and white; with more they grow faint
        average=0.9999,  # the average removes the specks, and most of what is wrong; see optim.py
    ),
    Recipe(
        "default-conv", "ours: convolutions and a gradient penalty (docs/recipes.md)",
        networks="conv",
        latent_dim=64,
        widths_G=(256, 32, 16),
        widths_D=(8, 16, 256),  # twice the channels did no better
        batch_size=128,
        epochs=32,  # some ten minutes on two cores
        learning_rate=1.4e-3,
        beta1=0.0,
        beta2=0.99,
        decay_G=0.07,
        penalty="r1",  # without it nothing much is drawn: docs/recipes.md
        penalty_weight=1.0,
        penalty_every=4,  # for it costs time; it then weighs four times as much
        average=0.9999,
    ),
    Recipe(
        "goodfellow-2014", "Goodfellow et al. 2014 and its published code: maxout, uniform noise, SGD",
        # D's rate is half of the published 0.1, because ours is the sum of two losses, theirs the mean. Its output biases
        # start at the mean image, ours at 0; it trains on the first 50,000 images, and stops when it likes its digits
        networks="maxout", latent_dim=100, widths_G=(1200, 1200), widths_D=(240, 240), slope_G=0.0, dropout=0.5,
        batch_size=100, epochs=50, learning_rate=0.1, learning_rate_D=0.05, optimizer="sgd", divisor=1.000004, momentum=(0.5, 0.7, 250),
        noise="uniform", low=0.0, rule="uniform .05", rule_D="uniform .005"),
    Recipe(
        "pytorch-mlp", "the notebook Generative-Adverserial-Networks-in-PyTorch-for-1D-images, after yunjey's tutorial",
        latent_dim=64, widths_G=(256, 256), widths_D=(256, 256), slope_G=0.0, batch_size=100, epochs=300,
        learning_rate=2e-4, rule="fan_in"),
    KERAS,
    replace(KERAS, name="keras-mlp-fixed", source="the same with real images in [-1, 1], where its generator draws", low=-1.0),
    Recipe(
        "dcgan", "Radford et al. 2016 (DCGAN) at 28 x 28, with 64 and 32 channels",
        networks="dcgan", latent_dim=100, widths_G=(64, 32), widths_D=(32, 64), slope_G=0.0, batch_size=128, epochs=25,
        learning_rate=2e-4, beta1=0.5, rule="normal"),
    Recipe(
        "auto-write", "O'Reilly's TensorFlow 1 article: 5 x 5 convolutions with pooling against a generator that resizes",
        # its resizing is bilinear, ours repeats pixels; it has two optimizers for D's real and fake images, we have one
        networks="auto-write", latent_dim=100, widths_G=(50, 25), widths_D=(32, 64, 1024), slope_G=0.0, slope_D=0.0,
        batch_size=50, epochs=83, head_start=300, learning_rate=1e-4, learning_rate_D=3e-4, rule="normal", low=0.0),
]}
