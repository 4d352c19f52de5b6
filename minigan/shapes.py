"""Reshape, LabelPlanes, AveragePool2D, UpSample2D and Maxout: between numbers in a row and images of several sizes.

The idea
    Dense layers see rows of numbers, convolutions see images. Reshape makes the one of the other.
    LabelPlanes does, too: in its rows the numbers of a label (see gan.py) stand behind those of the
    image, and each of them becomes a plane of its own, the same at every pixel. AveragePool2D makes an
    image smaller, UpSample2D larger. Maxout makes several numbers one.

Forward, and backward
    Each number of y depends on few of x, so the sum of the chain rule has few terms.

    Reshape        the same numbers in another shape; dx is dy in the old one.
    LabelPlanes    the numbers of the image likewise; each of the others is copied to all H·W pixels
                   and reaches L through all of them, so its gradient is the sum of their dy.
    AveragePool2D  y is the mean of k x k pixels. Each of them reaches L through that y only, with the
                   slope 1/k²: dx is dy / k², spread over the k x k pixels.
    UpSample2D     each pixel becomes k x k pixels like it. It reaches L through all of them, with slope
                   1: dx is the sum of dy over them.
    Maxout         y is the largest of k numbers. Only that one reaches L, with slope 1: dx is dy
                   there and 0 elsewhere (if several are the largest, at the first of them).
                   Goodfellow et al. 2013, "Maxout Networks", section 3: together with the Dense
                   layer before it, a unit that learns which bend it has.

Shapes
    Reshape: x (N, ...), y (N, *shape). LabelPlanes: x (N, HWC + n), the image's numbers first, to
    y (N, H, W, C + n). AveragePool2D: (N, H, W, C) to (N, H/k, W/k, C); UpSample2D
    back again. Maxout: x (N, M k), the k that are compared side by side, to y (N, M).

>>> import numpy as np
>>> x = np.arange(16.0).reshape(1, 4, 4, 1)
>>> y, cache = AveragePool2D(2).forward(x)
>>> y.ravel().tolist()
[2.5, 4.5, 10.5, 12.5]
>>> AveragePool2D(2).backward(y, cache)[0, 0, :, 0].tolist()
[0.625, 0.625, 1.125, 1.125]
>>> y, cache = LabelPlanes(1, 2, 1).forward(np.array([[0.5, 0.7, 1.0, 0.0]]))     # two pixels; the first of two classes
>>> y.tolist()
[[[[0.5, 1.0, 0.0], [0.7, 1.0, 0.0]]]]
>>> y, cache = Maxout(2).forward(np.array([[1.0, 5.0, -2.0, -3.0]]))
>>> y.tolist(), Maxout(2).backward(np.array([[10.0, 20.0]]), cache).tolist()
([[5.0, -2.0]], [[0.0, 10.0, 20.0, 0.0]])
"""
import math

from minigan.backend import array_module
from minigan.layer import Layer, check_ddx, check_dy, check_float


class Reshape(Layer):
    """Each example in another shape: Reshape(7, 7, 64), or Reshape(3136) to lay it flat."""

    def __init__(self, *shape):
        self.shape = shape

    def forward(self, x, train=False, rng=None):
        check_float(self, x)
        if math.prod(x.shape[1:]) != math.prod(self.shape):
            raise ValueError(f"{self!r} cannot take x of shape {x.shape}: it has {math.prod(x.shape[1:])} numbers an example")
        return x.reshape(len(x), *self.shape), x.shape

    def backward(self, dy, cache, need_dx=True, need_dparams=True):
        check_dy(self, dy, (cache[0], *self.shape))
        return dy.reshape(cache)

    def double_backward(self, ddx, dy, cache):
        check_ddx(self, ddx, cache)
        return ddx.reshape(dy.shape), None

    def __repr__(self):
        return f"Reshape({', '.join(map(str, self.shape))})"


class LabelPlanes(Layer):
    """Rows of H·W·C pixels and some more numbers as images, in which each of those is a plane of its own."""

    def __init__(self, height, width, channels):
        self.shape = height, width, channels

    def forward(self, x, train=False, rng=None):
        check_float(self, x)
        n = math.prod(self.shape)
        if x.ndim != 2 or x.shape[1] <= n:
            raise ValueError(f"{self!r} wants x of shape (N, {n} + labels), with one label or more, not {x.shape}")
        xp, (height, width, _) = array_module(x), self.shape
        planes = xp.broadcast_to(x[:, None, None, n:], (len(x), height, width, x.shape[1] - n))
        return xp.concatenate([x[:, :n].reshape(len(x), *self.shape), planes], axis=3), x.shape

    def backward(self, dy, cache, need_dx=True, need_dparams=True):
        (N, columns), (height, width, channels) = cache, self.shape
        check_dy(self, dy, (N, height, width, channels + columns - math.prod(self.shape)))
        dimage, dlabels = dy[..., :channels].reshape(N, -1), dy[..., channels:].sum(axis=(1, 2))
        return array_module(dy).concatenate([dimage, dlabels], axis=1)

    def double_backward(self, ddx, dy, cache):
        check_ddx(self, ddx, cache)
        return self.forward(ddx)[0], None

    def __repr__(self):
        return f"LabelPlanes({', '.join(map(str, self.shape))})"


class AveragePool2D(Layer):
    """The mean of each k x k pixels."""

    def __init__(self, k=2):
        self.k = k

    def forward(self, x, train=False, rng=None):
        check_image_in_blocks(self, x, self.k)
        return in_blocks(x, self.k).mean(axis=(2, 4)), x.shape

    def backward(self, dy, cache, need_dx=True, need_dparams=True):
        n, height, width, channels = cache
        check_dy(self, dy, (n, height // self.k, width // self.k, channels))
        return spread(dy / self.k ** 2, self.k)

    def double_backward(self, ddx, dy, cache):
        check_ddx(self, ddx, cache)
        return in_blocks(ddx, self.k).mean(axis=(2, 4)), None

    def __repr__(self):
        return f"AveragePool2D({self.k})"


class UpSample2D(Layer):
    """Each pixel k x k times."""

    def __init__(self, k=2):
        self.k = k

    def forward(self, x, train=False, rng=None):
        check_image_in_blocks(self, x, 1)
        return spread(x, self.k), x.shape

    def backward(self, dy, cache, need_dx=True, need_dparams=True):
        n, height, width, channels = cache
        check_dy(self, dy, (n, height * self.k, width * self.k, channels))
        return in_blocks(dy, self.k).sum(axis=(2, 4))

    def double_backward(self, ddx, dy, cache):
        check_ddx(self, ddx, cache)
        return spread(ddx, self.k), None

    def __repr__(self):
        return f"UpSample2D({self.k})"


class Maxout(Layer):
    """The largest of each k numbers side by side."""

    def __init__(self, k):
        self.k = k

    def forward(self, x, train=False, rng=None):
        check_float(self, x)
        if x.ndim != 2 or x.shape[1] % self.k:
            raise ValueError(f"{self!r} wants x of shape (N, a multiple of {self.k}), not {x.shape}")
        x = x.reshape(len(x), -1, self.k)
        return x.max(axis=2), x.argmax(axis=2)

    def backward(self, dy, cache, need_dx=True, need_dparams=True):
        check_dy(self, dy, cache.shape)
        return (self.largest(cache) * dy[:, :, None]).reshape(len(dy), -1)

    def double_backward(self, ddx, dy, cache):  # of each k, the number where x was the largest
        n, m = cache.shape
        check_ddx(self, ddx, (n, m * self.k))
        return (self.largest(cache) * ddx.reshape(n, m, self.k)).sum(axis=2), None

    def largest(self, cache):
        """(N, M, k), True where x was the largest of its k."""
        return cache[:, :, None] == array_module(cache).arange(self.k)

    def __repr__(self):
        return f"Maxout({self.k})"


def in_blocks(x, k):
    """(N, H, W, C) -> (N, H/k, k, W/k, k, C): axes 2 and 4 count within a block of k x k pixels."""
    n, height, width, channels = x.shape
    return x.reshape(n, height // k, k, width // k, k, channels)


def spread(x, k):
    """(N, H, W, C) -> (N, kH, kW, C): each pixel k x k times."""
    return x.repeat(k, axis=1).repeat(k, axis=2)


def check_image_in_blocks(layer, x, k):
    """Raise TypeError or ValueError unless x is (N, H, W, C), with H and W multiples of k."""
    check_float(layer, x)
    if x.ndim != 4 or x.shape[1] % k or x.shape[2] % k:
        raise ValueError(f"{layer!r} wants x of shape (N, H, W, C), H and W multiples of {k}, not {x.shape}")
