"""Dense: every output is a weighted sum of all inputs.

The idea
    Each output (or "unit") multiplies each of the K inputs by a weight, adds up the products, and
    adds a bias. M such units together compute a matrix product.

Forward
    y = x @ W + b          that is,  y_nj = sum over i of x_ni W_ij  + b_j

Backward
    Consider one example and one output first: y = x_1 w_1 + ... + x_K w_K + b. The derivative of y
    with respect to w_i is x_i, its derivative with respect to x_i is w_i, and its derivative with
    respect to b is 1. By the chain rule,

        dw_i = x_i dy          dx_i = w_i dy          db = dy

    With M outputs, x_i influences L through each of them, and the effects add up. With N examples,
    each example n has its own x and dy:

        dx_ni = sum over j of  dy_nj W_ij

    A matrix product sums over the last index of its left factor and the first index of its right
    factor. Here j is the last index of both factors, so transpose W, which puts j first:

        dx = dy @ Wᵀ                                 (N, M)(M, K) -> (N, K)

    One W_ij acts on all N examples, so dW_ij = sum over n of x_ni dy_nj. Here n is the first index
    of both factors, so transpose x, which puts n last:

        dW = xᵀ @ dy                                 (K, N)(N, M) -> (K, M)

    Finally, b was added to each of the N rows, so its gradient is the sum of the N rows of dy:

        db = sum over n of dy_n                      (M,)

    There is no need to memorise where the transposes go: as long as N, K and M differ, there is
    only one way to multiply the two matrices that gives dx the shape of x and dW the shape of W.

Shapes
    x (N, K), W (K, M), b (M,), y (N, M). The cache is x.

>>> import numpy as np
>>> layer = Dense(3, 2, dtype="float64", rng=np.random.default_rng(0))
>>> layer.W[...] = [[1, 0], [0, 1], [2, 2]]
>>> layer.b[...] = [10, 20]
>>> y, cache = layer.forward(np.array([[1.0, 2.0, 3.0]]))
>>> y.tolist()                                      # 1 + 2*3 + 10,  2 + 2*3 + 20
[[17.0, 28.0]]
>>> layer.backward(np.array([[1.0, -1.0]]), cache).tolist()
[[1.0, -1.0, 0.0]]
>>> layer.dW.tolist(), layer.db.tolist()
([[1.0, -1.0], [2.0, -2.0], [3.0, -3.0]], [1.0, -1.0])
"""

from typing import Any

from minigan.backend import get_array_module
from minigan.nn.initializers import initial_weights
from minigan.nn.layer import Exported, Layer, check_ddx, check_dy, check_float


class Dense(Layer):
    """y = x @ W + b.

    `init` names the initializer of W and b, which takes its random numbers from rng. W, b and x
    have the given dtype.
    """

    param_names = ("W", "b")
    splittable = True

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        init: str = "glorot",
        dtype: str = "float32",
        rng: Any,
    ):
        self.W, self.b = initial_weights(init, in_features, out_features, dtype=dtype, rng=rng)
        self.dW, self.db = 0 * self.W, 0 * self.b

    def forward(self, x, *, train=False, rng=None):  # (N, K) -> (N, M)
        self.check_x(x)
        y = x @ self.W
        y += self.b
        return y, x

    def backward(self, dy, cache, *, need_dx=True, need_dparams=True):  # (N, M) -> (N, K)
        x = cache
        check_dy(self, dy, (x.shape[0], self.W.shape[1]))
        if need_dparams:
            get_array_module(x).matmul(x.T, dy, out=self.dW)
            dy.sum(axis=0, out=self.db)
        return dy @ self.W.T if need_dx else None

    def double_backward(self, ddx, dy, cache):  # (N, K) -> (N, M); dx = dy @ Wᵀ is itself a product
        x = cache
        check_ddx(self, ddx, x.shape)
        get_array_module(x).matmul(ddx.T, dy, out=self.dW)
        self.db[...] = 0
        return ddx @ self.W, None

    def check_x(self, x: Any) -> None:
        """Raise ValueError or TypeError unless x is (N, K), with the dtype of W."""
        check_float(self, x)
        if x.ndim != 2 or x.shape[1] != self.W.shape[0]:
            raise ValueError(f"{self!r} expects x of shape (N, {self.W.shape[0]}), not {x.shape}")
        if x.dtype != self.W.dtype:
            raise TypeError(
                f"{self!r} has {self.W.dtype} weights of shape {self.W.shape}"
                f" but received {x.dtype} x of shape {x.shape}"
            )

    def exported(self, x_shape, y_shape):
        return [Exported(f"nn.Linear{self.W.shape}", "Gemm", {"transB": 1}, [self.W.T, self.b])]

    def __repr__(self):
        return f"Dense({self.W.shape[0]}, {self.W.shape[1]})"
