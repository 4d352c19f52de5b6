"""Derivatives: a table that compares every gradient of minigan with central differences.

The idea
    nn/gradcheck.py checks one layer. This module lists everything that can be checked: each layer,
    each loss, both steps of gan/steps.py with their gradients through D and G, and the gradient
    penalties. `python demo.py check` prints the results. The tests use the same rows for many other
    checks, and fail if a layer of the package has no row.

    To check a layer of your own, append a Row to LAYERS.

>>> for module, name, check in list(check_derivatives())[:3]:
...     print(module, name, check.name, check.ok)
nn/dense Dense dx True
nn/dense Dense dW True
nn/dense Dense db True
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from minigan.backend import get_array_module
from minigan.evaluation.classifier import softmax_cross_entropy
from minigan.gan.gradient_penalty import PENALTIES, gradient_penalty
from minigan.gan.losses import GAN_LOSSES, mean_loss
from minigan.gan.models import make_discriminator, make_generator
from minigan.gan.steps import discriminator_step, generator_step
from minigan.nn.activations import LeakyReLU, ReLU, Sigmoid, Tanh
from minigan.nn.batchnorm import BatchNorm2d
from minigan.nn.conv import Conv2d, ConvTranspose2d
from minigan.nn.dense import Dense
from minigan.nn.double_gradcheck import check_double_backward
from minigan.nn.dropout import Dropout
from minigan.nn.gradcheck import Check, check_layer, check_loss, compare
from minigan.nn.layer import Layer
from minigan.nn.losses import bce, bce_with_logits, softplus
from minigan.nn.maxout import Maxout
from minigan.nn.optim import NoOpOptimizer
from minigan.nn.pooling import AvgPool2d, Upsample
from minigan.nn.projection import Projection
from minigan.nn.reshape import ConcatLabelMaps, ConcatLabels, Reshape
from minigan.nn.sequential import Sequential
from minigan.nn.spectral_norm import SpectralNorm, as_matrix, unit_vector


class Row(NamedTuple):
    """A layer to check: a function that makes it, and the shape of its x."""

    module: str  # where it is defined, such as nn/dense
    name: str
    make: Callable  # dtype -> layer
    shape: tuple[int, ...]
    train: bool = False


def fresh_rng() -> np.random.Generator:
    """A new random generator, always with the same seed."""
    return np.random.default_rng(3)


def dense_row(n_in: int, n_out: int, init: str) -> Callable:
    """A function from a dtype to a Dense layer of the given size."""
    return lambda dtype: Dense(n_in, n_out, init=init, dtype=dtype, rng=fresh_rng())


def conv_row(kind: type, *sizes, **options) -> Callable:
    """A function from a dtype to a Conv2d or ConvTranspose2d."""
    return lambda dtype: kind(*sizes, **{"init": "he", **options}, dtype=dtype, rng=fresh_rng())


def two_dense(dtype: str) -> Sequential:
    """A network of two Dense layers with a tanh between them."""
    rng = fresh_rng()
    return Sequential(
        [
            Dense(5, 4, init="glorot", dtype=dtype, rng=rng),
            Tanh(),
            Dense(4, 3, init="fan_in", dtype=dtype, rng=rng),
        ]
    )


def trained_projection(dtype: str) -> Layer:
    """A Projection with fixed labels and with parameters as in the middle of training."""
    layer, rng = Projection(5, 3, dtype=dtype, rng=fresh_rng()), fresh_rng()
    for array in layer.b, layer.E:
        array[...] = rng.standard_normal(array.shape)
    return WithLabels(layer, dtype)


def trained_batchnorm(dtype: str) -> BatchNorm2d:
    """A BatchNorm2d with parameters and buffers as in the middle of training."""
    layer, rng = BatchNorm2d(3, dtype=dtype), fresh_rng()
    for array in layer.gamma, layer.beta, layer.mean, layer.var:
        array[...] = rng.uniform(0.5, 2, 3)
    return layer


def converged(layer: Layer) -> SpectralNorm:
    """A layer with spectral normalisation, after enough power iterations for u to converge."""
    normed = SpectralNorm(layer, rng=fresh_rng())
    W = as_matrix(normed.W)
    for _ in range(500):
        normed.u[...] = unit_vector(unit_vector(W @ normed.u) @ W)
    return normed


class WithLabels(Layer):
    """A layer that takes labels, wrapped with fixed labels so that it takes x alone.

    The parameters and gradients remain those of the wrapped layer.
    """

    def __init__(self, layer: ConcatLabels | ConcatLabelMaps | Projection, dtype: str):
        self.layer, self.dtype = layer, dtype
        self.param_names = layer.param_names

    def __getattr__(self, name: str) -> Any:
        if name == "layer":  # not set yet, in a copy
            raise AttributeError(name)
        return getattr(self.layer, name)

    def forward(self, x, *, train=False, rng=None):
        labels = (
            np.random.default_rng(7)
            .standard_normal((len(x), self.layer.n_classes))
            .astype(self.dtype)
        )
        return self.layer.forward((x, get_array_module(x).asarray(labels)), train=train, rng=rng)

    def backward(self, dy, cache, *, need_dx=True, need_dparams=True):
        return self.layer.backward(dy, cache, need_dx=need_dx, need_dparams=need_dparams)

    def double_backward(self, ddx, dy, cache):
        return self.layer.double_backward(ddx, dy, cache)


LAYERS = [
    Row("nn/dense", "Dense", dense_row(5, 4, "fan_in"), (3, 5)),
    Row("nn/dense", "Dense, one example", dense_row(5, 4, "he"), (1, 5)),
    Row("nn/dense", "Dense, one input", dense_row(1, 4, "glorot"), (3, 1)),
    Row("nn/dense", "Dense, one output", dense_row(5, 1, "normal"), (3, 5)),
    Row("nn/dense", "Dense, square", dense_row(4, 4, "glorot"), (4, 4)),
    Row("nn/activations", "LeakyReLU", lambda dtype: LeakyReLU(0.2), (4, 6)),
    Row("nn/activations", "LeakyReLU, flat x", lambda dtype: LeakyReLU(0.01), (7,)),
    Row("nn/activations", "ReLU", lambda dtype: ReLU(), (4, 6)),
    Row("nn/activations", "Tanh", lambda dtype: Tanh(), (4, 6)),
    Row("nn/activations", "Sigmoid", lambda dtype: Sigmoid(), (4, 6)),
    Row("nn/dropout", "Dropout, training", lambda dtype: Dropout(0.4), (5, 8), train=True),
    Row("nn/dropout", "Dropout, sampling", lambda dtype: Dropout(0.4), (5, 8)),
    Row("nn/dropout", "Dropout, p = 0", lambda dtype: Dropout(0), (5, 8), train=True),
    Row("nn/sequential", "Sequential", two_dense, (3, 5)),
    Row("nn/conv", "Conv2d", conv_row(Conv2d, 2, 3, 3, stride=2, padding=1), (2, 5, 6, 2)),
    Row("nn/conv", "Conv2d, overlapping windows", conv_row(Conv2d, 2, 2, (3, 2)), (2, 4, 4, 2)),
    Row(
        "nn/conv",
        "Conv2d, some pixels unused",
        conv_row(Conv2d, 1, 3, 2, stride=3, init="glorot"),
        (2, 6, 7, 1),
    ),
    Row("nn/conv", "Conv2d, 1 x 1 kernel", conv_row(Conv2d, 3, 2, 1, init="glorot"), (2, 3, 3, 3)),
    Row(
        "nn/conv",
        "ConvTranspose2d",
        conv_row(ConvTranspose2d, 3, 2, 4, stride=2, padding=1),
        (2, 3, 4, 3),
    ),
    Row(
        "nn/conv",
        "ConvTranspose2d, output padding",
        conv_row(
            ConvTranspose2d, 2, 3, (3, 2), stride=(2, 3), padding=(1, 0), output_padding=(1, 2)
        ),
        (2, 3, 2, 2),
    ),
    Row("nn/batchnorm", "BatchNorm2d, training", trained_batchnorm, (6, 3), train=True),
    Row("nn/batchnorm", "BatchNorm2d, images", trained_batchnorm, (2, 2, 3, 3), train=True),
    Row("nn/batchnorm", "BatchNorm2d, sampling", trained_batchnorm, (6, 3)),
    Row("nn/reshape", "Reshape", lambda dtype: Reshape(2, 3, 1), (4, 6)),
    Row("nn/reshape", "Reshape, flat", lambda dtype: Reshape(6), (4, 3, 2)),
    Row("nn/reshape", "ConcatLabels", lambda dtype: WithLabels(ConcatLabels(3), dtype), (4, 2, 3)),
    Row(
        "nn/reshape",
        "ConcatLabelMaps",
        lambda dtype: WithLabels(ConcatLabelMaps(3), dtype),
        (4, 2, 3, 2),
    ),
    Row(
        "nn/reshape",
        "ConcatLabelMaps, grey",
        lambda dtype: WithLabels(ConcatLabelMaps(2), dtype),
        (4, 2, 3),
    ),
    Row("nn/projection", "Projection", trained_projection, (4, 5)),
    Row("nn/pooling", "AvgPool2d", lambda dtype: AvgPool2d(2), (2, 4, 6, 2)),
    Row("nn/pooling", "Upsample", lambda dtype: Upsample(2), (2, 2, 3, 2)),
    Row("nn/maxout", "Maxout", lambda dtype: Maxout(3), (4, 6)),
    Row(
        "nn/spectral_norm",
        "SpectralNorm of Dense",
        lambda dtype: SpectralNorm(dense_row(5, 4, "fan_in")(dtype), rng=fresh_rng()),
        (3, 5),
    ),
    Row(
        "nn/spectral_norm",
        "SpectralNorm of Dense, training",
        lambda dtype: converged(dense_row(5, 4, "fan_in")(dtype)),
        (3, 5),
        train=True,
    ),
    Row(
        "nn/spectral_norm",
        "SpectralNorm of Conv2d",
        lambda dtype: SpectralNorm(
            conv_row(Conv2d, 2, 3, 3, stride=2, padding=1)(dtype), rng=fresh_rng()
        ),
        (2, 5, 6, 2),
    ),
]

TARGETS = np.array([[1.0], [0.0], [0.9], [0.3], [1.0], [0.0]])
# (module, name, loss, input, targets)
LOSSES: list[tuple[str, str, Callable, np.ndarray, np.ndarray]] = [
    (
        "nn/losses",
        "BCE with logits",
        bce_with_logits,
        np.random.default_rng(1).standard_normal((6, 1)),
        TARGETS,
    ),
    (
        "nn/losses",
        "BCE of probabilities",
        bce,
        np.random.default_rng(2).uniform(0.05, 0.95, (6, 1)),
        TARGETS,
    ),
    (
        "evaluation/classifier",
        "softmax cross-entropy",
        softmax_cross_entropy,
        np.random.default_rng(4).standard_normal((4, 10)),
        np.array([0, 3, 9, 3]),
    ),
]


def random_x(shape: tuple[int, ...]) -> np.ndarray:
    """Random numbers, none of them within 0.01 of 0, where ReLUs have their kink."""
    x = np.random.default_rng(11).standard_normal(shape)
    return np.where(abs(x) < 0.01, 0.1, x)


def check_derivatives() -> Iterator[tuple[str, str, Check | None]]:
    """Yield (module, name, Check) for everything that has a gradient.

    The Check is None for the double backward of a layer that has none.
    """
    for row in LAYERS:
        for check in check_layer(row.make("float64"), random_x(row.shape), train=row.train):
            yield row.module, row.name, check
    for module, name, loss, x, targets in LOSSES:
        for check in check_loss(loss, x, targets):
            yield module, name, check
    a, sides = 2 * np.random.default_rng(5).standard_normal((8, 1)), np.array([[1.0], [0.0]] * 4)
    for name, adversarial in GAN_LOSSES.items():
        for net, f in (
            ("D", adversarial.discriminator_loss),
            ("G", lambda a, t: adversarial.generator_loss(a)),
        ):
            for check in check_loss(lambda a, t: mean_loss(*f(a, t)), a, sides):
                yield "gan/losses", f"{name}, {net}", check
    yield from check_steps()
    yield from check_penalties()


def check_steps() -> Iterator[tuple[str, str, Check]]:
    """Compare the gradient of each step of gan/steps.py with central differences of its loss."""
    rng = fresh_rng()
    G = make_generator(3, [6, 5], 8, dtype="float64", rng=rng)
    D = make_discriminator(8, [6, 4], dtype="float64", rng=rng)
    real, z = rng.uniform(-1, 1, (7, 8)), rng.standard_normal((7, 3))
    label = 0.9

    def logits_of(images):
        return D.forward(images)[0]

    def loss_D():  # -label log D(x) - (1 - label) log(1 - D(x)), and -log(1 - D(G(z)))
        logits = logits_of(real)
        return float(
            (softplus(logits) - label * logits).mean() + softplus(logits_of(G.forward(z)[0])).mean()
        )

    def loss_G():  # -log D(G(z))
        return float(softplus(-logits_of(G.forward(z)[0])).mean())

    def differences():  # of the logits of each pair
        return logits_of(real) - logits_of(G.forward(z)[0])

    def paired_loss_D():
        return float(softplus(-differences()).mean())

    def paired_loss_G():
        return float(softplus(differences()).mean())

    discriminator_step(G, D, NoOpOptimizer(), real, z, real_label=label, rng=None)
    yield "gan/steps", "D's step, through D", compare("dtheta", D.dtheta, loss_D, D.theta)
    generator_step(G, D, NoOpOptimizer(), z, rng=None)
    yield "gan/steps", "G's step, through D and G", compare("dtheta", G.dtheta, loss_G, G.theta)
    paired = GAN_LOSSES["relativistic"]
    discriminator_step(G, D, NoOpOptimizer(), real, z, loss=paired, rng=None)
    yield (
        "gan/steps",
        "D's step, on pairs",
        compare("dtheta", D.dtheta, paired_loss_D, D.theta),
    )
    generator_step(G, D, NoOpOptimizer(), z, loss=paired, real=real, rng=None)
    yield (
        "gan/steps",
        "G's step, on pairs",
        compare("dtheta", G.dtheta, paired_loss_G, G.theta),
    )


def discriminators() -> Iterator[tuple[str, Sequential, tuple[int, ...]]]:
    """Yield (name, D, shape of its x) for discriminators whose layers have a double_backward."""
    rng = fresh_rng()

    def dense(n_in, n_out, init):
        return Dense(n_in, n_out, init=init, dtype="float64", rng=rng)

    def conv(kind, *sizes, **options):
        return kind(*sizes, **options, init="he", dtype="float64", rng=rng)

    yield "dropout", make_discriminator(8, [6, 4], dropout=0.3, dtype="float64", rng=rng), (7, 8)
    yield (
        "activations",
        Sequential(
            [
                dense(5, 6, "fan_in"),
                Tanh(),
                dense(6, 4, "fan_in"),
                ReLU(),
                dense(4, 3, "fan_in"),
                Sigmoid(),
                dense(3, 1, "he"),
            ]
        ),
        (6, 5),
    )
    yield (
        "convolutions",
        Sequential(
            [
                Upsample(2),
                conv(Conv2d, 1, 4, 3, stride=1, padding=1),
                LeakyReLU(),
                AvgPool2d(2),
                conv(ConvTranspose2d, 4, 2, 2, stride=2),
                Tanh(),
                conv(Conv2d, 2, 3, 4, stride=2, padding=1),
                LeakyReLU(),
                Reshape(24),
                Maxout(2),
                dense(12, 1, "he"),
            ]
        ),
        (3, 2, 4, 1),
    )


def has_double_backward(layer: Layer) -> bool:
    """Whether a layer defines double_backward, and so does the layer that it wraps, if any."""
    wrapped = getattr(layer, "layer", None)
    return type(layer).double_backward is not Layer.double_backward and (
        wrapped is None or has_double_backward(wrapped)
    )


def check_penalties() -> Iterator[tuple[str, str, Check | None]]:
    """Check the double backward of every layer, and each penalty's gradient for several Ds.

    The Check is None for a layer that has no double backward, which is optional.
    """
    for row in LAYERS:
        layer = row.make("float64")
        if not has_double_backward(layer):
            yield row.module, f"{row.name}, double backward", None
        elif not (row.train and layer.mixes_examples):  # as batch norm in training
            for check in check_double_backward(layer, random_x(row.shape), train=row.train):
                yield row.module, f"{row.name}, double backward", check
    for name in PENALTIES:
        for what, D, shape in discriminators():

            def P():
                logits, caches = D.forward(random_x(shape), train=True, rng=fresh_rng())
                return float(gradient_penalty(D, logits, caches, name, weight=3.0))

            P()  # fills D.dtheta
            check = compare("dtheta", D.dtheta.copy(), P, D.theta)
            yield "gan/gradient_penalty", f"{name}, D with {what}", check
