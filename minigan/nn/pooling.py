"""AvgPool2d and Upsample: make an image smaller or larger by an integer factor.

The idea
    AvgPool2d replaces each block of k x k pixels by its mean. Upsample repeats each pixel k x k
    times (nearest-neighbour resizing). Neither has parameters.

Forward and backward
    Each number of x influences only a few numbers of y, so the sum in the chain rule has few terms.

    AvgPool2d   Each number of y is the mean of k x k pixels. Each of these pixels influences L
                only through that mean, whose derivative is 1/k². Hence dx is dy / k², copied to
                the k x k pixels.
    Upsample    Each pixel is copied k x k times and influences L through every copy, whose
                derivative is 1. Hence dx is the sum of dy over the copies.

    LeCun et al. 1998 use a form of average pooling, which they call subsampling.

Shapes
    AvgPool2d: x (N, H, W, C) to y (N, H/k, W/k, C). Upsample: x (N, H, W, C) to y (N, kH, kW, C).

>>> import numpy as np
>>> x = np.arange(16.0).reshape(1, 4, 4, 1)
>>> y, cache = AvgPool2d(2).forward(x)
>>> y.ravel().tolist()
[2.5, 4.5, 10.5, 12.5]
>>> AvgPool2d(2).backward(y, cache)[0, 0, :, 0].tolist()
[0.625, 0.625, 1.125, 1.125]
>>> Upsample(2).forward(y)[0][0, 0, :, 0].tolist()
[2.5, 2.5, 4.5, 4.5]
"""

from typing import Any

from minigan.backend import Array
from minigan.nn.layer import Exported, Layer, check_ddx, check_dy, check_float


class AvgPool2d(Layer):
    """The mean of each block of kernel_size x kernel_size pixels."""

    splittable = True

    def __init__(self, kernel_size: int = 2):
        self.kernel_size = kernel_size

    def forward(self, x, *, train=False, rng=None):
        check_divisible_image(self, x, self.kernel_size)
        return split_blocks(x, self.kernel_size).mean(axis=(2, 4)), x.shape

    def backward(self, dy, cache, *, need_dx=True, need_dparams=True):
        (n, height, width, channels), k = cache, self.kernel_size
        check_dy(self, dy, (n, height // k, width // k, channels))
        return repeat_pixels(dy / k**2, k)

    def double_backward(self, ddx, dy, cache):
        check_ddx(self, ddx, cache)
        return split_blocks(ddx, self.kernel_size).mean(axis=(2, 4)), None

    def exported(self, x_shape, y_shape):
        k = self.kernel_size
        return [
            Exported(
                f"nn.AvgPool2d({k})", "AveragePool", {"kernel_shape": (k, k), "strides": (k, k)}
            )
        ]

    def __repr__(self):
        return f"AvgPool2d({self.kernel_size})"


class Upsample(Layer):
    """Each pixel repeated scale_factor x scale_factor times."""

    splittable = True

    def __init__(self, scale_factor: int = 2):
        self.scale_factor = scale_factor

    def forward(self, x, *, train=False, rng=None):
        check_divisible_image(self, x, 1)
        return repeat_pixels(x, self.scale_factor), x.shape

    def backward(self, dy, cache, *, need_dx=True, need_dparams=True):
        (n, height, width, channels), k = cache, self.scale_factor
        check_dy(self, dy, (n, height * k, width * k, channels))
        return split_blocks(dy, k).sum(axis=(2, 4))

    def double_backward(self, ddx, dy, cache):
        check_ddx(self, ddx, cache)
        return repeat_pixels(ddx, self.scale_factor), None

    def exported(self, x_shape, y_shape):
        k = self.scale_factor
        # ONNX needs to know how the pixels of the two sizes correspond
        floor = {"nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
        return [
            Exported(
                f"nn.Upsample(scale_factor={k})",
                "Resize",
                {"mode": "nearest", **floor},
                constant=[1.0, 1.0, k, k],
            )
        ]

    def __repr__(self):
        return f"Upsample({self.scale_factor})"


def split_blocks(x: Array, k: int) -> Array:
    """(N, H, W, C) -> (N, H/k, k, W/k, k, C); axes 2 and 4 are the positions within a block of
    k x k pixels.
    """
    n, height, width, channels = x.shape
    return x.reshape(n, height // k, k, width // k, k, channels)


def repeat_pixels(x: Array, k: int) -> Array:
    """(N, H, W, C) -> (N, kH, kW, C), with each pixel repeated k x k times."""
    return x.repeat(k, axis=1).repeat(k, axis=2)


def check_divisible_image(layer: Any, x: Array, k: int) -> None:
    """Raise TypeError or ValueError unless x is (N, H, W, C), with H and W multiples of k."""
    check_float(layer, x)
    if x.ndim != 4 or x.shape[1] % k or x.shape[2] % k:
        raise ValueError(
            f"{layer!r} expects x of shape (N, H, W, C), with H and W multiples of {k}, not"
            f" {x.shape}"
        )
