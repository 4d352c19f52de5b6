"""Models: the generator and the discriminator of a recipe.

The idea
    A recipe (recipes.py) names an architecture and gives its sizes. The functions here make a
    generator and a discriminator from them, using the layers in minigan.nn. The output of a
    generator and the input of a discriminator are images (N, H, W), or (N, H, W, 3) in colour. In a
    conditional recipe one layer of each network, usually the first, also takes the labels.

Architectures
    dense       G and D have a Dense and a LeakyReLU layer for each width of the recipe, and D also
                has Dropout.
    maxout      Goodfellow et al. 2014. D has Maxout units, each the largest of five sums, and its
                dropout also sets a fifth of the input to zero. G ends with a sigmoid.
    dcgan       G has a Dense layer to an image of a quarter of the height and width, then two
                transposed convolutions of 4 x 4 with stride 2. D is the same in reverse. There is
                batch norm everywhere except next to the pixels (Radford et al. 2016, section 3).
    patch       Our own, and the default. G is dcgan's G without batch norm, with one more Dense
                layer at the beginning. D first divides the image into overlapping patches of 6 x 6
                pixels, by a convolution with stride 4, and continues with Dense layers. It has no
                batch norm, so that its gradient can be penalised (gradient_penalty.py). The
                last layer of a conditional D is a Projection.
    conv        For our recipe default-conv, from earlier versions: G as in patch, with batch norm;
                D with two convolutions of 4 x 4 and one hidden Dense layer.
    auto-write  G has a Dense layer to an image of twice the height and width, then three
                convolutions with stride 2, each but the last followed by upsampling. D has two
                5 x 5 convolutions, each followed by pooling, and two Dense layers.

    To add an architecture, write a function like the ones below and enter it in ARCHITECTURES. The
    command line, the checks, parameter counts, exports and data-parallel training read everything
    else from its layers.

Shapes
    z (N, Z), or (z, labels) with labels (N, C); images (N, H, W) or (N, H, W, 3); logits (N, 1).

>>> import numpy as np
>>> from minigan.gan.recipes import RECIPES
>>> for name in "pytorch-mlp", "dcgan":
...     G, D = make_networks(RECIPES[name], (28, 28), rng=np.random.default_rng(0))
...     print(name, G.theta.size, D.theta.size)
pytorch-mlp 283920 267009
dcgan 350241 36641
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from minigan.nn.activations import LeakyReLU, Sigmoid, Tanh
from minigan.nn.batchnorm import BatchNorm2d
from minigan.nn.conv import Conv2d, ConvTranspose2d
from minigan.nn.dense import Dense
from minigan.nn.dropout import Dropout
from minigan.nn.layer import Layer
from minigan.nn.maxout import Maxout
from minigan.nn.pooling import AvgPool2d, Upsample
from minigan.nn.projection import Projection
from minigan.nn.reshape import ConcatLabelMaps, ConcatLabels, Reshape
from minigan.nn.sequential import Sequential
from minigan.nn.spectral_norm import SpectralNorm

MAXOUT_PIECES = 5
ImageShape = tuple[int, ...]  # (H, W), or (H, W, 3) in colour


def make_networks(
    recipe: Any, shape: ImageShape, *, n_classes: int = 0, rng: Any
) -> tuple[Sequential, Sequential]:
    """(G, D) of a recipe on the host, for images of that shape; rng is a numpy.random.Generator.

    With n_classes, the inputs of the networks are the pairs (z, labels) and (images, labels).
    """
    G, D = ARCHITECTURES[recipe.networks].make(recipe, shape, n_classes, rng)
    if recipe.spectral:
        D = Sequential(
            [
                SpectralNorm(layer, rng=rng) if "W" in layer.param_names else layer
                for layer in D.layers
            ]
        )
    return G, D


def make_generator(
    latent_dim: int,
    widths: tuple | list,
    shape: ImageShape | int,
    *,
    n_classes: int = 0,
    negative_slope: float = 0.2,
    init: str = "glorot",
    dtype: str = "float32",
    rng: Any,
) -> Sequential:
    """z (N, Z) -> images (N, *shape) in [-1, 1]: a Dense and a LeakyReLU layer for each width, then
    Dense and Tanh.

    If shape is a single number, the images are vectors.
    """
    n_pixels, image = (
        (shape, []) if isinstance(shape, int) else (math.prod(shape), [Reshape(*shape)])
    )
    sizes, layers = [latent_dim + n_classes, *widths], label_layers(n_classes)
    for in_features, out_features in zip(sizes, sizes[1:]):
        layers += [
            Dense(in_features, out_features, init=init, dtype=dtype, rng=rng),
            LeakyReLU(negative_slope),
        ]
    return Sequential(
        [*layers, Dense(sizes[-1], n_pixels, init=init, dtype=dtype, rng=rng), Tanh(), *image]
    )


def make_discriminator(
    shape: ImageShape | int,
    widths: tuple | list,
    *,
    n_classes: int = 0,
    negative_slope: float = 0.2,
    dropout: float = 0.0,
    init: str = "glorot",
    dtype: str = "float32",
    rng: Any,
) -> Sequential:
    """Images (N, *shape) -> logits (N, 1): a Dense, a LeakyReLU and a Dropout layer for each width,
    then one Dense layer.
    """
    n_pixels = shape if isinstance(shape, int) else math.prod(shape)
    layers = label_layers(n_classes) or ([] if isinstance(shape, int) else [Reshape(n_pixels)])
    sizes = [n_pixels + n_classes, *widths]
    for in_features, out_features in zip(sizes, sizes[1:]):
        layers += [
            Dense(in_features, out_features, init=init, dtype=dtype, rng=rng),
            LeakyReLU(negative_slope),
        ]
        layers += dropout_layers(dropout)
    return Sequential([*layers, Dense(sizes[-1], 1, init=init, dtype=dtype, rng=rng)])


def label_layers(n_classes: int) -> list[Layer]:
    """The first layer of a conditional network that flattens its input; [] without classes."""
    return [ConcatLabels(n_classes)] if n_classes else []


def dropout_layers(p: float) -> list[Layer]:
    """[a Dropout layer], or [] if p is 0."""
    return [Dropout(p)] if p else []


Networks = tuple[Sequential, Sequential]


def dense_gan(r: Any, shape: ImageShape, n_classes: int, rng: Any) -> Networks:
    """(G, D) made of Dense layers; r is the recipe."""
    G = make_generator(
        r.latent_dim,
        r.widths_G,
        shape,
        n_classes=n_classes,
        negative_slope=r.negative_slope_G,
        init=r.init,
        dtype=r.dtype,
        rng=rng,
    )
    D = make_discriminator(
        shape,
        r.widths_D,
        n_classes=n_classes,
        negative_slope=r.negative_slope_D,
        dropout=r.dropout,
        init=r.init_D or r.init,
        dtype=r.dtype,
        rng=rng,
    )
    return G, D


def maxout_gan(r: Any, shape: ImageShape, n_classes: int, rng: Any) -> Networks:
    """(G, D) of the 2014 paper, with Maxout units in D."""
    dense_G, dense_D = layer_makers(Dense, r, rng)
    n_pixels = math.prod(shape)
    G = label_layers(n_classes)
    D = label_layers(n_classes) or [Reshape(n_pixels)]
    D += dropout_layers(0.2 if r.dropout else 0.0)
    sizes = [r.latent_dim + n_classes, *r.widths_G]
    for n_in, n_out in zip(sizes, sizes[1:]):
        G += [dense_G(n_in, n_out), LeakyReLU(r.negative_slope_G)]
    sizes = [n_pixels + n_classes, *r.widths_D]
    for n_in, n_out in zip(sizes, sizes[1:]):
        D += [dense_D(n_in, MAXOUT_PIECES * n_out), Maxout(MAXOUT_PIECES)]
        D += dropout_layers(r.dropout)
    G += [dense_G(r.widths_G[-1], n_pixels), Sigmoid(), Reshape(*shape)]
    D += [dense_D(r.widths_D[-1], 1)]
    return Sequential(G), Sequential(D)


def dcgan(r: Any, shape: ImageShape, n_classes: int, rng: Any) -> Networks:
    """(G, D) made of convolutions with batch norm."""
    (dense_G, dense_D), (_, conv_D) = layer_makers(Dense, r, rng), layer_makers(Conv2d, r, rng)
    (a, _), (c, d) = r.widths_G, r.widths_D
    quarter, channels = shape[0] // 4 * (shape[1] // 4), math.prod(shape[2:]) + n_classes
    G = [
        *label_layers(n_classes),
        dense_G(r.latent_dim + n_classes, quarter * a),
        *upsampling_layers(r, shape, rng),
    ]
    D = [
        image_layer(shape, n_classes),
        conv_D(channels, c, 4, stride=2, padding=1),
        *activation_D(r),
        conv_D(c, d, 4, stride=2, padding=1),
        BatchNorm2d(d, dtype=r.dtype),
        *activation_D(r),
        Reshape(quarter * d),
        dense_D(quarter * d, 1),
    ]
    return Sequential(G), Sequential(D)


def conv_gan(r: Any, shape: ImageShape, n_classes: int, rng: Any) -> Networks:
    """(G, D) made of convolutions and Dense layers, with batch norm in G only."""
    (dense_G, dense_D), (_, conv_D) = layer_makers(Dense, r, rng), layer_makers(Conv2d, r, rng)
    (units_G, a, _), (c, d, units_D) = r.widths_G, r.widths_D
    quarter, channels = shape[0] // 4 * (shape[1] // 4), math.prod(shape[2:]) + n_classes
    G = [
        *label_layers(n_classes),
        dense_G(r.latent_dim + n_classes, units_G),
        LeakyReLU(r.negative_slope_G),
        dense_G(units_G, quarter * a),
        *upsampling_layers(r, shape, rng),
    ]
    D = [
        image_layer(shape, n_classes),
        conv_D(channels, c, 4, stride=2, padding=1),
        *activation_D(r),
        conv_D(c, d, 4, stride=2, padding=1),
        *activation_D(r),
        Reshape(quarter * d),
        dense_D(quarter * d, units_D),
        *activation_D(r),
        dense_D(units_D, 1),
    ]
    return Sequential(G), Sequential(D)


def patch_gan(r: Any, shape: ImageShape, n_classes: int, rng: Any) -> Networks:
    """(G, D) made of convolutions and Dense layers, without batch norm, for images of any size."""
    (dense_G, dense_D), (_, conv_D) = layer_makers(Dense, r, rng), layer_makers(Conv2d, r, rng)
    (units_G, a, _), (c, *units_D) = r.widths_G, r.widths_D
    (height, width), channels = shape[:2], math.prod(shape[2:])
    G = [
        *label_layers(n_classes),
        dense_G(r.latent_dim + n_classes, units_G),
        LeakyReLU(r.negative_slope_G),
        dense_G(units_G, math.ceil(height / 4) * math.ceil(width / 4) * a),
        *upsampling_layers(r, shape, rng, batch_norm=False),
    ]
    # One patch for every 4 pixels. Where a side is not a multiple of 4, all patches are larger by
    # the remainder, so that together they extend one pixel beyond the edge on every side.
    down, across = max(1, height // 4), max(1, width // 4)
    patch = height - 4 * down + 6, width - 4 * across + 6
    D = [
        image_layer(shape, 0),
        conv_D(channels, c, patch, stride=4, padding=1),
        *activation_D(r),
        Reshape(down * across * c),
    ]
    for n_in, n_out in zip([down * across * c, *units_D], units_D):
        D += [dense_D(n_in, n_out), *activation_D(r)]
    if n_classes:
        last = Projection(units_D[-1], n_classes, init=r.init_D or r.init, dtype=r.dtype, rng=rng)
    else:
        last = dense_D(units_D[-1], 1)
    return Sequential(G), Sequential([*D, last])


def auto_write_gan(r: Any, shape: ImageShape, n_classes: int, rng: Any) -> Networks:
    """(G, D) made of convolutions, with upsampling in G and pooling in D."""
    (dense_G, dense_D), (conv_G, conv_D) = layer_makers(Dense, r, rng), layer_makers(Conv2d, r, rng)
    (a, b), (c, d, units), (height, width) = r.widths_G, r.widths_D, shape[:2]
    quarter, channels = height // 4 * (width // 4), math.prod(shape[2:])

    def activation_G(channels):
        return [BatchNorm2d(channels, dtype=r.dtype), LeakyReLU(r.negative_slope_G)]

    G = [
        *label_layers(n_classes),
        dense_G(r.latent_dim + n_classes, 4 * height * width),
        Reshape(2 * height, 2 * width, 1),
        *activation_G(1),
        conv_G(1, a, 3, stride=2, padding=1),
        *activation_G(a),
        Upsample(2),
        conv_G(a, b, 3, stride=2, padding=1),
        *activation_G(b),
        Upsample(2),
        conv_G(b, channels, 1, stride=2),
        Reshape(*shape),
        Sigmoid(),
    ]
    D = [
        image_layer(shape, n_classes),
        conv_D(channels + n_classes, c, 5, padding=2),
        *activation_D(r),
        AvgPool2d(2),
        conv_D(c, d, 5, padding=2),
        *activation_D(r),
        AvgPool2d(2),
        Reshape(quarter * d),
        dense_D(quarter * d, units),
        *activation_D(r),
        dense_D(units, 1),
    ]
    return Sequential(G), Sequential(D)


def layer_makers(kind: Callable, r: Any, rng: Any) -> tuple[Callable, Callable]:
    """Two functions that make a layer of that kind, for G and for D, with their initializers."""
    return tuple(
        partial(kind, init=init, dtype=r.dtype, rng=rng) for init in (r.init, r.init_D or r.init)
    )  # type: ignore[return-value]


def upsampling_layers(
    r: Any, shape: ImageShape, rng: Any, *, batch_norm: bool = True
) -> list[Layer]:
    """The layers from h·w·a numbers to an image of 4h x 4w pixels, with b channels in between.

    Each of the two transposed convolutions doubles height and width. For an image whose sides are
    not multiples of 4, h and w are rounded up, and a kernel of 3 instead of 4 makes the result one
    row or column smaller where that is needed.
    """
    channels, (a, b) = math.prod(shape[2:]), r.widths_G[-2:]
    half = [math.ceil(n / 2) for n in shape[:2]]
    quarter = [math.ceil(n / 2) for n in half]

    def doubling(channels_in, channels_out, to):
        kernel_size = tuple(3 if n % 2 else 4 for n in to)
        make = layer_makers(ConvTranspose2d, r, rng)[0]
        return make(channels_in, channels_out, kernel_size, stride=2, padding=1)

    def activation(channels):
        norm = [BatchNorm2d(channels, dtype=r.dtype)] if batch_norm else []
        return [*norm, LeakyReLU(r.negative_slope_G)]

    return [
        Reshape(*quarter, a),
        *activation(a),
        doubling(a, b, half),
        *activation(b),
        doubling(b, channels, shape[:2]),
        Reshape(*shape),
        Tanh(),
    ]


def image_layer(shape: ImageShape, n_classes: int) -> Layer:
    """The first layer of a convolutional D: adds a channel axis, and the labels as channels."""
    return ConcatLabelMaps(n_classes) if n_classes else Reshape(*(*shape, 1)[:3])


def activation_D(r: Any) -> list[Layer]:
    """The layers after each hidden layer of a convolutional D."""
    return [LeakyReLU(r.negative_slope_D), *dropout_layers(r.dropout)]


class Architecture(NamedTuple):
    """How to make the two networks, and what they require of a recipe."""

    make: Callable  # (recipe, image shape, n_classes, rng) -> (G, D)
    widths: tuple = (None, None)  # numbers of widths_G and widths_D; None: one or more
    size_multiple: int = 1  # height and width must be multiples of this
    unused: tuple = ()  # options of a recipe that these networks do not use
    # whether two adjacent widths have at least one weight per pair of units, so that the settings
    # of a damaged file can be refused before absurdly large networks are built
    connects_widths: bool = False
    fixed: "FixedSize | None" = None  # of networks that exist already; None: sizes are the recipe's


class FixedSize(NamedTuple):
    """What networks take and return that were made by hand, outside of a recipe."""

    latent_dim: int  # Z
    image_shape: ImageShape  # (H, W), or (H, W, 3)
    n_classes: int  # C, of the labels that both networks take; 0 if they take none
    layers: dict[str, list[str]]  # how their layers print, {"generator": ..., "discriminator": ...}


ARCHITECTURES = {
    "dense": Architecture(dense_gan, connects_widths=True),
    "maxout": Architecture(maxout_gan, unused=("negative_slope_D",), connects_widths=True),
    "dcgan": Architecture(dcgan, (2, 2), size_multiple=4, connects_widths=True),
    "patch": Architecture(patch_gan, (3, 3), connects_widths=True),
    "conv": Architecture(conv_gan, (3, 3), size_multiple=4, connects_widths=True),
    "auto-write": Architecture(auto_write_gan, (2, 3), size_multiple=4, connects_widths=True),
}
