"""Build: from a recipe to its networks, its optimizers, its rates and its noise.

The idea
    A recipe is a list of values; here each becomes what it stands for. Outside of the networks images
    are rows of pixels everywhere, (N, pixels). A convolution wants them as (N, height, width, channels),
    so it has a Reshape before it. There is one channel, or in colour there are three.

Networks
    dense       for each width of the recipe a Dense and a LeakyReLU, in D also a Dropout. See gan.py
    maxout      that of Goodfellow et al. 2014: D of Maxout units, each the largest of five sums, with a
                fifth of its input dropped out, too; G ends in a sigmoid
    dcgan       G: Dense to an image of a quarter of the height and width, then two transposed
                convolutions of 4 x 4, stride 2; D the same way back. BatchNorm everywhere but next to
                the pixels (Radford et al. 2016, section 3)
    conv        our own: G like dcgan's, with one Dense layer more before it; D of two convolutions
                and a hidden Dense layer, without BatchNorm, so that its slope can be penalised
                (penalties.py)
    auto-write  G: Dense to an image of twice the size, then three convolutions of stride 2, each
                but the last followed by doubling; D: two 5 x 5 convolutions, each followed by
                pooling, and two Dense layers

>>> from minigan.recipes import RECIPES
>>> for name in "pytorch-mlp", "dcgan":
...     G, D = make_networks(RECIPES[name], (28, 28), np.random.default_rng(0))
...     print(name, G.theta.size, D.theta.size)
pytorch-mlp 283920 267009
dcgan 350241 36641
"""
import math

import numpy as np

from minigan.activations import LeakyReLU, Sigmoid, Tanh
from minigan.batchnorm import BatchNorm
from minigan.conv import Conv2D, ConvTranspose2D
from minigan.dense import Dense
from minigan.dropout import Dropout
from minigan.gan import make_discriminator, make_generator
from minigan.network import Sequential
from minigan.optim import SGD, Adam
from minigan.shapes import AveragePool2D, LabelPlanes, Maxout, Reshape, UpSample2D
from minigan.spectral import SpectralNorm

PIECES = 5  # of a maxout unit


def make_networks(recipe, shape, rng, n_classes=0):
    """(G, D) on the host for images of shape (height, width) or (height, width, 3); rng is a numpy.random.Generator.
    With n_classes, each takes so many numbers more: the label beside the noise, and beside the image (see gan.py)."""
    G, D = NETWORKS[recipe.networks](recipe, *(*shape, 1)[:3], n_classes, rng)
    if recipe.spectral:
        D = Sequential([SpectralNorm(layer, rng) if "W" in layer.names else layer for layer in D.layers])
    return G, D


def dense(r, height, width, channels, n_classes, rng):
    """(G, D) of Dense layers; r is the recipe. The label is as good as some more noise, or pixels."""
    n_pixels = height * width * channels
    return (make_generator(r.latent_dim + n_classes, r.widths_G, n_pixels, rng, r.slope_G, r.rule, r.dtype),
            make_discriminator(n_pixels + n_classes, r.widths_D, rng, r.slope_D, r.dropout, r.rule_D or r.rule, r.dtype))


def maxout(r, height, width, channels, n_classes, rng):
    """(G, D) of the 2014 paper."""
    n_pixels, layers_G, layers_D = height * width * channels, [], [Dropout(0.2)]
    sizes = [r.latent_dim + n_classes, *r.widths_G]
    for n_in, n_out in zip(sizes, sizes[1:]):
        layers_G += [Dense(n_in, n_out, rng, r.rule, r.dtype), LeakyReLU(r.slope_G)]
    sizes = [n_pixels + n_classes, *r.widths_D]
    for n_in, n_out in zip(sizes, sizes[1:]):
        layers_D += [Dense(n_in, PIECES * n_out, rng, r.rule_D, r.dtype), Maxout(PIECES), Dropout(r.dropout)]
    return (Sequential([*layers_G, Dense(r.widths_G[-1], n_pixels, rng, r.rule, r.dtype), Sigmoid()]),
            Sequential([*layers_D, Dense(r.widths_D[-1], 1, rng, r.rule_D, r.dtype)]))


def to_pixels(r, h, w, channels, rng):
    """The layers from h·w·a numbers to the pixels of an image four times as high and wide, with b channels in between."""
    a, b = r.widths_G[-2:]
    return [Reshape(h, w, a), BatchNorm(a, dtype=r.dtype), LeakyReLU(r.slope_G),
            ConvTranspose2D(a, b, 4, rng, 2, 1, rule=r.rule, dtype=r.dtype), BatchNorm(b, dtype=r.dtype), LeakyReLU(r.slope_G),
            ConvTranspose2D(b, channels, 4, rng, 2, 1, rule=r.rule, dtype=r.dtype), Reshape(16 * h * w * channels), Tanh()]


def dcgan(r, height, width, channels, n_classes, rng):
    """(G, D) of (transposed) convolutions."""
    (a, _), (c, d), h, w = r.widths_G, r.widths_D, height // 4, width // 4
    how = dict(rule=r.rule, dtype=r.dtype)
    return (Sequential([
        Dense(r.latent_dim + n_classes, h * w * a, rng, **how), *to_pixels(r, h, w, channels, rng)]),
        Sequential([
            pixels(height, width, channels, n_classes), Conv2D(channels + n_classes, c, 4, rng, 2, 1, **how), LeakyReLU(r.slope_D),
            Conv2D(c, d, 4, rng, 2, 1, **how), BatchNorm(d, dtype=r.dtype), LeakyReLU(r.slope_D),
            Reshape(h * w * d), Dense(h * w * d, 1, rng, **how)]))


def conv(r, height, width, channels, n_classes, rng):
    """(G, D) of convolutions and Dense layers; batch norm in G only."""
    (units_G, a, _), (c, d, units_D), h, w = r.widths_G, r.widths_D, height // 4, width // 4
    how = dict(rule=r.rule, dtype=r.dtype)
    return (Sequential([
        Dense(r.latent_dim + n_classes, units_G, rng, **how), LeakyReLU(r.slope_G),
        Dense(units_G, h * w * a, rng, **how), *to_pixels(r, h, w, channels, rng)]),
        Sequential([
            pixels(height, width, channels, n_classes), Conv2D(channels + n_classes, c, 4, rng, 2, 1, **how), LeakyReLU(r.slope_D),
            Conv2D(c, d, 4, rng, 2, 1, **how), LeakyReLU(r.slope_D),
            Reshape(h * w * d), Dense(h * w * d, units_D, rng, **how), LeakyReLU(r.slope_D), Dense(units_D, 1, rng, **how)]))


def auto_write(r, height, width, channels, n_classes, rng):
    """(G, D) of convolutions with resizing and pooling."""
    (a, b), (c, d, units) = r.widths_G, r.widths_D
    how = dict(rule=r.rule, dtype=r.dtype)
    return (Sequential([
        Dense(r.latent_dim + n_classes, 4 * height * width, rng, **how), Reshape(2 * height, 2 * width, 1),
        BatchNorm(1, dtype=r.dtype), LeakyReLU(r.slope_G),
        Conv2D(1, a, 3, rng, 2, 1, **how), BatchNorm(a, dtype=r.dtype), LeakyReLU(r.slope_G), UpSample2D(2),
        Conv2D(a, b, 3, rng, 2, 1, **how), BatchNorm(b, dtype=r.dtype), LeakyReLU(r.slope_G), UpSample2D(2),
        Conv2D(b, channels, 1, rng, 2, **how), Reshape(height * width * channels), Sigmoid()]),
        Sequential([
            pixels(height, width, channels, n_classes), Conv2D(channels + n_classes, c, 5, rng, 1, 2, **how), LeakyReLU(r.slope_D), AveragePool2D(2),
            Conv2D(c, d, 5, rng, 1, 2, **how), LeakyReLU(r.slope_D), AveragePool2D(2),
            Reshape(height * width // 16 * d), Dense(height * width // 16 * d, units, rng, **how), LeakyReLU(r.slope_D),
            Dense(units, 1, rng, **how)]))


def pixels(height, width, channels, n_classes):
    """The layer that makes of a row of pixels, and maybe a label, what a convolution wants."""
    return LabelPlanes(height, width, channels) if n_classes else Reshape(height, width, channels)


NETWORKS = {"dense": dense, "maxout": maxout, "dcgan": dcgan, "conv": conv, "auto-write": auto_write}
CONVOLUTIONAL = ("dcgan", "conv", "auto-write")  # they halve height and width twice


def make_optimizers(recipe, G, D):
    """The optimizer of each network."""
    if recipe.optimizer == "sgd":
        return SGD(G.theta, recipe.learning_rate), SGD(D.theta, recipe.learning_rate_D or recipe.learning_rate)
    return (Adam(G.theta, recipe.learning_rate, recipe.beta1, recipe.beta2, decay=recipe.decay_G),
            Adam(D.theta, recipe.learning_rate_D or recipe.learning_rate, recipe.beta1, recipe.beta2))


def set_rates(recipe, optimizer_G, optimizer_D, step, steps):
    """What the recipe wants of both optimizers at a step, of `steps` an epoch, counted from 0."""
    done = step / (steps * recipe.epochs)
    share = (1 - (1 - recipe.final_rate) * done) / recipe.divisor ** step
    optimizer_G.lr = recipe.learning_rate * share
    optimizer_D.lr = (recipe.learning_rate_D or recipe.learning_rate) * share
    if recipe.optimizer == "sgd":
        first, last, epochs = recipe.momentum
        optimizer_G.momentum = optimizer_D.momentum = first + (last - first) * min(1, step / (steps * epochs))


def make_noise(recipe, rng, n):
    """n vectors of noise, (n, Z), from a random generator of any backend."""
    if recipe.noise == "uniform":
        return (2 * rng.random((n, recipe.latent_dim), dtype=recipe.dtype) - 1) * math.sqrt(3)  # [-a, a] has variance a²/3
    return rng.standard_normal((n, recipe.latent_dim), dtype=recipe.dtype)


def one_hot(labels, n_classes, dtype="float32"):
    """Labels (n,), from 0 to n_classes - 1, as rows of n_classes numbers: 1 for the class, 0 for the others."""
    return np.eye(n_classes, dtype=dtype)[labels]


def each_class(z, n, n_classes):
    """The noise for n images, (n, Z + C), from z (n, Z): as many of each class, or one more, one class after the other, all
    from the same first rows of z. (Of more classes than n, some, evenly chosen.)"""
    labels = np.arange(n) * n_classes // n
    first = np.searchsorted(labels, labels)  # where each class begins
    return np.concatenate([z[np.arange(n) - first], one_hot(labels, n_classes, z.dtype)], axis=1)
