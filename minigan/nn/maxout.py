"""Maxout: the largest of several sums.

The idea
    A maxout unit replaces a fixed activation by the maximum of k numbers, each a different weighted
    sum of the same inputs. Together with the Dense layer before it, the unit learns its own
    activation function, which is piecewise linear. Goodfellow et al. 2013, "Maxout Networks",
    section 3.

Forward
    y_j = the largest of the k numbers x_(jk), ..., x_(jk + k - 1)

Backward
    Only the largest of the k numbers influences L, and the derivative of y with respect to it is 1.
    Hence dx is dy for the largest number and 0 for the others. If several numbers are equally
    large, the first of them counts as the largest.

Shapes
    x (N, M k), where the k numbers of each unit are adjacent, to y (N, M). The cache (N, M) holds
    the index, below k, of the largest number of each unit.

>>> import numpy as np
>>> y, cache = Maxout(2).forward(np.array([[1.0, 5.0, -2.0, -3.0]]))
>>> y.tolist(), Maxout(2).backward(np.array([[10.0, 20.0]]), cache).tolist()
([[5.0, -2.0]], [[0.0, 10.0, 20.0, 0.0]])
"""

from minigan.backend import Array, get_array_module
from minigan.nn.layer import Layer, check_ddx, check_dy, check_float


class Maxout(Layer):
    """The largest of every group of `pieces` adjacent numbers."""

    splittable, is_activation = True, True

    def __init__(self, pieces: int):
        self.pieces = pieces

    def forward(self, x, *, train=False, rng=None):
        check_float(self, x)
        if x.ndim != 2 or x.shape[1] % self.pieces:
            raise ValueError(
                f"{self!r} expects x of shape (N, a multiple of {self.pieces}), not {x.shape}"
            )
        x = x.reshape(len(x), -1, self.pieces)
        return x.max(axis=2), x.argmax(axis=2)

    def backward(self, dy, cache, *, need_dx=True, need_dparams=True):
        check_dy(self, dy, cache.shape)
        return (self.is_largest(cache) * dy[:, :, None]).reshape(len(dy), -1)

    def double_backward(self, ddx, dy, cache):
        # of each k numbers of ddx, select the one where x is largest
        n, m = cache.shape
        check_ddx(self, ddx, (n, m * self.pieces))
        return (self.is_largest(cache) * ddx.reshape(n, m, self.pieces)).sum(axis=2), None

    def is_largest(self, cache: Array) -> Array:
        """(N, M, k), True for the largest of each k numbers of x."""
        return cache[:, :, None] == get_array_module(cache).arange(self.pieces)

    def __repr__(self):
        return f"Maxout({self.pieces})"
