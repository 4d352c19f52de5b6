"""Reshape, ConcatLabels and ConcatLabelMaps: between flat vectors, images and images with labels.

The idea
    Dense layers process vectors, and convolutions process images. Reshape turns one into the other.
    The input of a conditional network (see gan/steps.py) is the pair (x, labels), where x is an
    image or noise and the labels are one-hot, with C numbers per example. ConcatLabels flattens x
    and appends the labels to the vector. ConcatLabelMaps appends the labels to the image as C
    further channels: each number of the label becomes a channel that has this value at every pixel.
    (projection.py has a third layer that takes labels.)

Forward and backward
    Each number of x is copied to y exactly once, so dx consists of the corresponding numbers of dy,
    in the shape of x. Labels are constants and need no gradient, so dx has the shape of x alone.

Shapes
    Reshape: x (N, ...) to y (N, *shape). ConcatLabels: x (N, ...) with K numbers per example and
    labels (N, C) to (N, K + C). ConcatLabelMaps: x (N, H, W) or (N, H, W, channels) and labels
    (N, C) to (N, H, W, channels + C).

>>> import numpy as np
>>> x, labels = np.array([[[0.5, 0.7]]]), np.array([[1.0, 0.0]])   # 1 x 2 pixels; class 0 of 2
>>> Reshape(2).forward(x)[0].tolist(), ConcatLabels(2).forward((x, labels))[0].tolist()
([[0.5, 0.7]], [[0.5, 0.7, 1.0, 0.0]])
>>> y, cache = ConcatLabelMaps(2).forward((x, labels))
>>> y.tolist(), ConcatLabelMaps(2).backward(y, cache).tolist()
([[[[0.5, 1.0, 0.0], [0.7, 1.0, 0.0]]]], [[[0.5, 0.7]]])
"""

import math
from typing import Any

from minigan.backend import Array, get_array_module
from minigan.nn.layer import Exported, Layer, check_ddx, check_dy, check_float


class Reshape(Layer):
    """Reshapes each example: Reshape(7, 7, 64) makes it an image, Reshape(3136) flattens it."""

    splittable = True

    def __init__(self, *shape: int):
        self.shape = shape

    def forward(self, x, *, train=False, rng=None):
        check_float(self, x)
        if math.prod(x.shape[1:]) != math.prod(self.shape):
            raise ValueError(
                f"{self!r} cannot take x of shape {x.shape}, which has {math.prod(x.shape[1:])}"
                " numbers per example"
            )
        return x.reshape(len(x), *self.shape), x.shape

    def backward(self, dy, cache, *, need_dx=True, need_dparams=True):
        check_dy(self, dy, (cache[0], *self.shape))
        return dy.reshape(cache)

    def double_backward(self, ddx, dy, cache):
        check_ddx(self, ddx, cache)
        return ddx.reshape(dy.shape), None

    def exported(self, x_shape, y_shape):
        # PyTorch and ONNX put the channels first, so they are moved before and after reshaping
        operations = []
        if len(x_shape) == 3:
            operations.append(Exported("Permute(0, 2, 3, 1)", "Transpose", {"perm": (0, 2, 3, 1)}))
        if len(x_shape) > 1:
            operations.append(Exported("nn.Flatten()", "Flatten"))
        if len(y_shape) > 1:
            # 0 leaves N unchanged
            operations.append(
                Exported(f"nn.Unflatten(1, {y_shape})", "Reshape", constant=[0, *y_shape])
            )
        if len(y_shape) == 3:
            operations.append(Exported("Permute(0, 3, 1, 2)", "Transpose", {"perm": (0, 3, 1, 2)}))
        return operations

    def __repr__(self):
        return f"Reshape({', '.join(map(str, self.shape))})"


class ConcatLabels(Layer):
    """(x, labels) -> the numbers of x in a vector, followed by the n_classes numbers of labels."""

    takes_labels = True
    splittable = True

    def __init__(self, n_classes: int):
        self.n_classes = n_classes

    def forward(self, x, *, train=False, rng=None):  # (N, ...), (N, C) -> (N, K + C)
        x, labels = check_labels(self, x)
        return get_array_module(x).concatenate([x.reshape(len(x), -1), labels], axis=1), x.shape

    def backward(self, dy, cache, *, need_dx=True, need_dparams=True):
        k = math.prod(cache[1:])
        check_dy(self, dy, (cache[0], k + self.n_classes))
        return dy[:, :k].reshape(cache)

    def double_backward(self, ddx, dy, cache):  # the labels are constants: their part of ddx is 0
        check_ddx(self, ddx, cache)
        return self.forward(
            (ddx, get_array_module(ddx).zeros((len(ddx), self.n_classes), ddx.dtype))
        )[0], None

    def exported(self, x_shape, y_shape):
        return []  # the input of an exported network is a vector that already holds noise and label

    def __repr__(self):
        return f"ConcatLabels({self.n_classes})"


class ConcatLabelMaps(Layer):
    """(x, labels) -> the images x with n_classes more channels, one per number of the labels."""

    takes_labels = True
    splittable = True

    def __init__(self, n_classes: int):
        self.n_classes = n_classes

    def forward(self, x, *, train=False, rng=None):
        # (N, H, W[, channels]), (N, C) -> (N, H, W, channels + C)
        x, labels = check_labels(self, x)
        if x.ndim not in (3, 4):
            raise ValueError(
                f"{self!r} expects images of shape (N, H, W) or (N, H, W, channels), not {x.shape}"
            )
        xp, images = get_array_module(x), x.reshape(*x.shape[:3], -1)
        maps = xp.broadcast_to(labels[:, None, None], (*images.shape[:3], self.n_classes))
        return xp.concatenate([images, maps], axis=3), x.shape

    def backward(self, dy, cache, *, need_dx=True, need_dparams=True):
        channels = math.prod(cache[3:])
        check_dy(self, dy, (*cache[:3], channels + self.n_classes))
        return dy[..., :channels].reshape(cache)

    def double_backward(self, ddx, dy, cache):
        check_ddx(self, ddx, cache)
        return self.forward(
            (ddx, get_array_module(ddx).zeros((len(ddx), self.n_classes), ddx.dtype))
        )[0], None

    def __repr__(self):
        return f"ConcatLabelMaps({self.n_classes})"


def check_labels(layer: Any, x: Any) -> tuple[Array, Array]:
    """The input of a label layer, (x, labels).

    Raises TypeError or ValueError if it is not a pair of arrays that belong together.
    """
    if not isinstance(x, tuple) or len(x) != 2:
        raise TypeError(
            f"{layer!r} expects the pair (x, labels), not {type(x).__name__} of shape"
            f" {getattr(x, 'shape', '?')}"
        )
    x, labels = x
    check_float(layer, x)
    if not hasattr(labels, "dtype") or labels.dtype != x.dtype:
        kind = getattr(labels, "dtype", type(labels).__name__)
        raise TypeError(f"{layer!r} expects labels of dtype {x.dtype}, like x, not {kind}")
    if labels.shape != (len(x), layer.n_classes):
        raise ValueError(
            f"{layer!r} expects labels of shape ({len(x)}, {layer.n_classes}), one-hot, not"
            f" {labels.shape}"
        )
    return x, labels
