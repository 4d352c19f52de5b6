"""Fused layers: Dense, activation and dropout in few kernels of a device.

The idea
    A device executes kernels. Launching a kernel takes about ten microseconds, which is longer than
    most of our kernels need for their arithmetic. Dense, LeakyReLU and Dropout launch six kernels
    in the forward pass and five in the backward pass. Here they form one fused layer, which
    launches two and three kernels.

Forward
    The bias becomes a row of the matrix. theta stores each W (K, M), immediately followed by its b
    (M,); together they are a matrix (K + 1, M). If x has one more column, of ones, then

        h = [x 1] @ [W; b] = x @ W + b          and in the backward pass    [dW; db] = [x 1]ᵀ @ dh

    so b and db are part of the products. The operations after a product are elementwise and form
    one kernel. This kernel writes y directly to the memory from which the next product reads its x:

        y = dropout(activation(h))

Backward
    dy is the product dh @ Wᵀ of the layer above. From dy, one kernel computes

        dh = f'(h) * mask * dy

    It overwrites h, which is no longer needed. If the layer above has a single output, like D's
    last layer, its product is elementwise and becomes part of the kernel. The mask is not stored
    but computed again from the random bits. (LeakyReLU's backward needs only the sign of y, which
    dropout preserves wherever the mask is not 0.)

Shapes
    W and dW (K + 1, M), x (R, K + 1), h and y (R, M), for R examples. All are allocated once.

>>> import numpy as np
>>> from minigan.gan.models import make_discriminator
>>> D = make_discriminator(3, [4], dropout=0.5, rng=np.random.default_rng(0))
>>> group_layers(D)
[[Dense(3, 4), LeakyReLU(0.2), Dropout(0.5)], [Dense(4, 1), None, None]]
>>> x = np.random.default_rng(1).standard_normal((5, 3), dtype="float32")
>>> layers = fused_layers(D, np.concatenate([x, np.ones((5, 1), "float32")], axis=1))
>>> fused_forward(layers)                           # without random bits, nothing is dropped
>>> bool(np.allclose(layers[-1].h, D.forward(x)[0], atol=1e-6))
True
"""

import copy
from typing import Any

from minigan.accel.device_dense import DeviceDense
from minigan.accel.device_kernels import matmul
from minigan.backend import Array, fused, get_array_module
from minigan.nn.activations import (
    LeakyReLU,
    Tanh,
    leaky_relu,
    leaky_relu_backward,
    tanh_backward,
)
from minigan.nn.dense import Dense
from minigan.nn.dropout import Dropout, apply_dropout
from minigan.nn.reshape import ConcatLabels, Reshape
from minigan.nn.sequential import Sequential


def group_layers(net: Sequential) -> list[list]:
    """[[Dense, activation or None, Dropout or None], ...] of a network's layers; [] if it has other
    layers, or has them in another order.

    Reshape and label layers at either end of the network are left out, because x already contains
    the labels, and all arrays are flat.
    """
    found: list[list] = []
    for i, layer in enumerate(net.layers):
        if type(layer) in (Dense, DeviceDense):
            found.append([layer, None, None])
        elif type(layer) in (LeakyReLU, Tanh) and found and found[-1][1:] == [None, None]:
            found[-1][1] = layer
        elif (
            type(layer) is Dropout
            and found
            and type(found[-1][1]) is LeakyReLU
            and not found[-1][2]
        ):
            found[-1][2] = layer if layer.p else None
        elif not (type(layer) in (Reshape, ConcatLabels) and i in (0, len(net.layers) - 1)):
            return []
    return found


class FusedLayer:
    """A product and the elementwise operations after it.

    It reads x (R, K + 1) and writes y (R, M). Its weights W and their gradients dW are (K + 1, M).
    """

    def __init__(
        self,
        W: Array,
        dW: Array,
        x: Array,
        y: Array | None,
        *,
        n_below: int,
        activation: Any,
        dropout: Any,
    ):
        self.W, self.dW, self.x, self.y, self.dropout = W, dW, x, y, dropout
        self.W_below = W[:n_below].T
        self.h = get_array_module(W).zeros((len(x), W.shape[1]), W.dtype)
        is_tanh = type(activation) is Tanh
        self.activation = tanh_into if is_tanh else leaky_relu_dropout
        self.activation_backward = tanh_backward_into if is_tanh else leaky_relu_dropout_backward
        self.constants: tuple = (
            (activation.negative_slope,) if type(activation) is LeakyReLU else ()
        )

    def select_rows(self, rows: slice) -> "FusedLayer":
        """The same layer for some of its rows."""
        part = copy.copy(self)
        part.x, part.h, part.y = (a if a is None else a[rows] for a in (self.x, self.h, self.y))
        return part


def fused_layers(
    net: Sequential, x: Array, *, n_below: int = 0, y: Array | None = None
) -> list[FusedLayer]:
    """The fused layers of a network that reads x and writes y.

    The first n_below columns of x are the y of another network.
    """
    found: list[FusedLayer] = []
    start, groups = 0, group_layers(net)
    for dense, activation, dropout in groups:
        (K, M), last = dense.W.shape, len(found) == len(groups) - 1
        W, dW = (
            vector[start : start + (K + 1) * M].reshape(K + 1, M)
            for vector in (net.theta, net.dtheta)
        )
        next_x = None if last else get_array_module(x).ones((len(x), M + 1), x.dtype)
        found.append(
            FusedLayer(
                W,
                dW,
                x,
                y if next_x is None else next_x[:, :M],
                n_below=n_below,
                activation=activation,
                dropout=dropout,
            )
        )
        x, n_below, start = next_x, M, start + (K + 1) * M
    return found


def fused_forward(layers: list[FusedLayer]) -> None:
    """Compute the y of the last layer, or its h if it has no y, from the x of the first layer."""
    for layer in layers:
        matmul(layer.x, layer.W, out=layer.h)
        if layer.y is not None:
            layer.activation(layer.y, layer.h, *layer.constants)


def fused_backward(layers: list[FusedLayer], *, need_dparams: bool = True) -> None:
    """Compute the first layer's dh from the last layer's; with need_dparams also each dW and db."""
    for layer, below in zip(reversed(layers), [*layers[-2::-1], None]):
        if need_dparams:
            matmul(layer.x.T, layer.h, out=layer.dW)
        if below:
            backward_to(layer, below)


def backward_to(layer: FusedLayer, below: FusedLayer) -> None:
    """Compute the dh of `below` from the dh of `layer`, whose x contains the y of `below`."""
    dy, w = layer.h, layer.W_below
    if len(w) > 1:
        matmul(dy, w, out=below.h)
        dy, w = below.h, 1.0
    below.activation_backward(below.h, dy, w, below.y, *below.constants)


@fused
def leaky_relu_dropout(y, h, negative_slope, *bits):
    """y = dropout(LeakyReLU(h))."""
    y[...] = (
        apply_dropout(leaky_relu(h, negative_slope), *bits)[0]
        if bits
        else leaky_relu(h, negative_slope)
    )


@fused
def leaky_relu_dropout_backward(h, dy, w, y, *constants):
    """The backward of leaky_relu_dropout for w dy; overwrites h with dh.

    `constants` are negative_slope and, with dropout, the bits, threshold and scale.
    """
    negative_slope, *bits = constants
    h[...] = leaky_relu_backward(
        apply_dropout(dy * w, *bits)[0] if bits else dy * w, y, negative_slope
    )


@fused
def tanh_into(y, h):
    """y = tanh(h)."""
    y[...] = get_array_module(h).tanh(h)


@fused
def tanh_backward_into(h, dy, w, y):
    """The backward of tanh_into for w dy; overwrites h with dh."""
    h[...] = tanh_backward(dy * w, y)
