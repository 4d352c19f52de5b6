"""Self-check: every page of the core against central differences, in one table.

The idea
    gradcheck.py says how to check one layer. Here is what there is to check: a row for each layer
    and each loss, the two steps of gan.py as a whole, discriminator upon generator, and the penalties.
    `python demo.py check` prints the outcome. The tests run the same rows, and many more checks
    on each; a layer of the package that has no row here makes them fail.

>>> for page, name, check in list(self_check())[:3]: print(page, name, check.name, check.ok)
dense Dense dx True
dense Dense dW True
dense Dense db True
"""
from typing import Callable, NamedTuple

import numpy as np

from minigan.activations import LeakyReLU, ReLU, Sigmoid, Tanh
from minigan.adversarial import GAN_LOSSES, mean_loss
from minigan.batchnorm import BatchNorm
from minigan.classifier import softmax_cross_entropy
from minigan.conv import Conv2D, ConvTranspose2D
from minigan.dense import Dense
from minigan.dropout import Dropout
from minigan.gan import discriminator_step, generator_step, make_discriminator, make_generator
from minigan.gradcheck import check_double_backward, check_layer, check_loss, compare
from minigan.losses import bce_on_logits, bce_on_probabilities, softplus
from minigan.network import Sequential
from minigan.optim import SGD
from minigan.penalties import PENALTIES, penalise
from minigan.shapes import AveragePool2D, LabelPlanes, Maxout, Reshape, UpSample2D
from minigan.spectral import SpectralNorm, unit


class Row(NamedTuple):
    """A layer to check: how to make it, and what shape its x has."""

    page: str
    name: str
    make: Callable  # dtype -> layer
    shape: tuple
    train: bool = False


def draws():
    """A new random generator, the same each time."""
    return np.random.default_rng(3)


def dense(n_in, n_out, rule):
    """dtype -> a Dense layer of that size."""
    return lambda dtype: Dense(n_in, n_out, draws(), rule, dtype)


def two_dense(dtype):
    """A network of two Dense layers with a tanh between them."""
    rng = draws()
    return Sequential([Dense(5, 4, rng, "glorot", dtype), Tanh(), Dense(4, 3, rng, "fan_in", dtype)])


def batchnorm(dtype):
    """BatchNorm in the middle of training."""
    layer, rng = BatchNorm(3, dtype=dtype), draws()
    for array in layer.gamma, layer.beta, layer.mean, layer.var:
        array[...] = rng.uniform(0.5, 2, 3)
    return layer


def settled(layer):
    """The layer with spectral normalisation, after so many steps that u turns no more."""
    normed = SpectralNorm(layer, draws())
    for _ in range(500):
        normed.u[...] = unit(unit(normed.matrix(normed.W) @ normed.u) @ normed.matrix(normed.W))
    return normed


LAYERS = [
    Row("dense", "Dense", dense(5, 4, "fan_in"), (3, 5)),
    Row("dense", "Dense, one example", dense(5, 4, "he"), (1, 5)),
    Row("dense", "Dense, one input", dense(1, 4, "glorot"), (3, 1)),
    Row("dense", "Dense, one output", dense(5, 1, "normal"), (3, 5)),
    Row("dense", "Dense, square", dense(4, 4, "glorot"), (4, 4)),
    Row("activations", "LeakyReLU", lambda dtype: LeakyReLU(0.2), (4, 6)),
    Row("activations", "LeakyReLU, flat x", lambda dtype: LeakyReLU(0.01), (7,)),
    Row("activations", "ReLU", lambda dtype: ReLU(), (4, 6)),
    Row("activations", "Tanh", lambda dtype: Tanh(), (4, 6)),
    Row("activations", "Sigmoid", lambda dtype: Sigmoid(), (4, 6)),
    Row("dropout", "Dropout, training", lambda dtype: Dropout(0.4), (5, 8), train=True),
    Row("dropout", "Dropout, sampling", lambda dtype: Dropout(0.4), (5, 8)),
    Row("dropout", "Dropout, rate 0", lambda dtype: Dropout(0), (5, 8), train=True),
    Row("network", "Sequential", two_dense, (3, 5)),
    Row("conv", "Conv2D", lambda dtype: Conv2D(2, 3, 3, draws(), 2, 1, "he", dtype), (2, 5, 6, 2)),
    Row("conv", "Conv2D, places overlap", lambda dtype: Conv2D(2, 2, (3, 2), draws(), rule="he", dtype=dtype), (2, 4, 4, 2)),
    Row("conv", "Conv2D, some pixels unseen", lambda dtype: Conv2D(1, 3, 2, draws(), 3, dtype=dtype), (2, 6, 7, 1)),
    Row("conv", "Conv2D, one by one", lambda dtype: Conv2D(3, 2, 1, draws(), dtype=dtype), (2, 3, 3, 3)),
    Row("conv", "ConvTranspose2D", lambda dtype: ConvTranspose2D(3, 2, 4, draws(), 2, 1, 0, "he", dtype), (2, 3, 4, 3)),
    Row("conv", "ConvTranspose2D, output padding",
        lambda dtype: ConvTranspose2D(2, 3, (3, 2), draws(), (2, 3), (1, 0), (1, 2), "he", dtype), (2, 3, 2, 2)),
    Row("batchnorm", "BatchNorm, training", batchnorm, (6, 3), train=True),
    Row("batchnorm", "BatchNorm, images", batchnorm, (2, 2, 3, 3), train=True),
    Row("batchnorm", "BatchNorm, sampling", batchnorm, (6, 3)),
    Row("shapes", "Reshape", lambda dtype: Reshape(2, 3, 1), (4, 6)),
    Row("shapes", "Reshape, flat", lambda dtype: Reshape(6), (4, 3, 2)),
    Row("shapes", "LabelPlanes", lambda dtype: LabelPlanes(2, 3, 2), (4, 15)),
    Row("shapes", "AveragePool2D", lambda dtype: AveragePool2D(2), (2, 4, 6, 2)),
    Row("shapes", "UpSample2D", lambda dtype: UpSample2D(2), (2, 2, 3, 2)),
    Row("shapes", "Maxout", lambda dtype: Maxout(3), (4, 6)),
    Row("spectral", "SpectralNorm of Dense", lambda dtype: SpectralNorm(Dense(5, 4, draws(), "fan_in", dtype), draws()), (3, 5)),
    Row("spectral", "SpectralNorm of Dense, training", lambda dtype: settled(Dense(5, 4, draws(), "fan_in", dtype)), (3, 5), train=True),
    Row("spectral", "SpectralNorm of Conv2D",
        lambda dtype: SpectralNorm(Conv2D(2, 3, 3, draws(), 2, 1, "he", dtype), draws()), (2, 5, 6, 2)),
]

TARGETS = np.array([[1.0], [0.0], [0.9], [0.3], [1.0], [0.0]])
LOSSES = [  # page, name, loss, its input (logits or probabilities), its targets
    ("losses", "BCE on logits", bce_on_logits, np.random.default_rng(1).standard_normal((6, 1)), TARGETS),
    ("losses", "BCE on probabilities", bce_on_probabilities, np.random.default_rng(2).uniform(0.05, 0.95, (6, 1)), TARGETS),
    ("classifier", "softmax cross-entropy", softmax_cross_entropy,
     np.random.default_rng(4).standard_normal((4, 10)), np.array([0, 3, 9, 3])),
]


def random_x(shape):
    """Random numbers, but none within 0.01 of 0, where ReLUs have their kink."""
    x = np.random.default_rng(11).standard_normal(shape)
    return np.where(abs(x) < 0.01, 0.1, x)


def self_check():
    """Yield (page, name, Check) for everything that has a gradient."""
    for row in LAYERS:
        for check in check_layer(row.make("float64"), random_x(row.shape), row.train):
            yield row.page, row.name, check
    for page, name, loss, x, targets in LOSSES:
        for check in check_loss(loss, x, targets):
            yield page, name, check
    a, sides = 2 * np.random.default_rng(5).standard_normal((8, 1)), np.array([[1.0], [0.0]] * 4)
    for name, loss in GAN_LOSSES.items():
        for player, pays in ("D", loss.of_D), ("G", lambda a, t: loss.of_G(a)):
            for check in check_loss(lambda a, t: mean_loss(*pays(a, t)), a, sides):
                yield "adversarial", f"{name}, {player}", check
    yield from gan_checks()
    yield from penalty_checks()


def gan_checks():
    """The gradient that each step of gan.py computes, against differences of its whole loss."""
    rng = draws()
    G = make_generator(3, [6, 5], 8, rng, dtype="float64")
    D = make_discriminator(8, [6, 4], rng, dtype="float64")
    real, z = rng.uniform(-1, 1, (7, 8)), rng.standard_normal((7, 3))
    label = 0.9

    def judge(images):
        return D.forward(images)[0]

    def loss_D():  # -label log D(x) - (1 - label) log(1 - D(x)), and -log(1 - D(G(z)))
        logits = judge(real)
        return float((softplus(logits) - label * logits).mean() + softplus(judge(G.forward(z)[0])).mean())

    def loss_G():  # -log D(G(z))
        return float(softplus(-judge(G.forward(z)[0])).mean())

    discriminator_step(G, D, SGD(D.theta, lr=0.0), real, z, None, label)
    yield "gan", "D's step, through D", compare("dtheta", D.dtheta, loss_D, D.theta)
    generator_step(G, D, SGD(G.theta, lr=0.0), z, None)
    yield "gan", "G's step, through D and G", compare("dtheta", G.dtheta, loss_G, G.theta)


def discriminators():
    """Of all kinds of layers that a penalty's gradient goes through: name, D, the shape of its x."""
    rng = draws()
    yield "dropout", make_discriminator(8, [6, 4], rng, dropout=0.3, dtype="float64"), (7, 8)
    yield "bends", Sequential([Dense(5, 6, rng, "fan_in", "float64"), Tanh(), Dense(6, 4, rng, "fan_in", "float64"), ReLU(),
                               Dense(4, 3, rng, "fan_in", "float64"), Sigmoid(), Dense(3, 1, rng, "he", "float64")]), (6, 5)
    yield "convolutions", Sequential([
        UpSample2D(2), Conv2D(1, 4, 3, rng, 1, 1, "he", "float64"), LeakyReLU(), AveragePool2D(2),
        ConvTranspose2D(4, 2, 2, rng, 2, 0, 0, "he", "float64"), Tanh(), Conv2D(2, 3, 4, rng, 2, 1, "he", "float64"), LeakyReLU(),
        Reshape(24), Maxout(2), Dense(12, 1, rng, "he", "float64")]), (3, 2, 4, 1)


def penalty_checks():
    """The double backward of every layer, and the gradient of each penalty on several discriminators."""
    for row in LAYERS:
        if not row.name.startswith("BatchNorm") or not row.train:  # which has none
            for check in check_double_backward(row.make("float64"), random_x(row.shape), row.train):
                yield "penalties", row.name, check
    for name in PENALTIES:
        for what, D, shape in discriminators():
            def P():
                return float(penalise(D, *D.forward(random_x(shape), True, draws()), name, 3.0))
            P()
            yield "penalties", f"{name}, D with {what}", compare("dtheta", D.dtheta.copy(), P, D.theta)
