"""Dense: every output is a weighted sum of all inputs.

The idea
    One output, a "unit", looks at all K inputs, weighs each, adds them up, and adds a number of
    its own. M such units side by side are a matrix product.

Forward
    y = xW + b          that is,  y_nj = sum over i of x_ni W_ij  + b_j

Backward
    One example and one output first: y = x_1 w_1 + ... + x_K w_K + b. Nudge w_i, and y moves x_i
    times as fast; nudge x_i, and y moves w_i times as fast; nudge b, and y moves with it. So

        dw_i = x_i dy          dx_i = w_i dy          db = dy

    With M outputs, x_i reaches L through each of them, and their effects add up. With N examples,
    each has an x and a dy of its own:

        dx_ni = sum over j of  dy_nj W_ij

    A matrix product sums over the last index of its left matrix and the first of its right one.
    Here j is the last of both. So take Wᵀ, that is W with rows and columns exchanged, so that j
    comes first:

        dx = dy·Wᵀ                                   (N, M)(M, K) -> (N, K)

    One W_ij works on all N examples, so their effects add up: dW_ij = sum over n of x_ni dy_nj.
    Here n is the first of both, so take xᵀ, where it comes last:

        dW = xᵀ·dy                                   (K, N)(N, M) -> (K, M)

    And b_j was added to each of the N rows, so its gradient is the sum of the N rows of dy:

        db = sum over n of dy_n                      (M,)

    No need to learn where the transposes go: as long as N, K and M differ, there is no other
    way to multiply the two matrices and get a dx like x and a dW like W.

Shapes
    x (N, K), W (K, M), b (M,), y (N, M). The cache is x.

>>> import numpy as np
>>> layer = Dense(3, 2, rng=np.random.default_rng(0), dtype="float64")
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
from minigan.backend import array_module
from minigan.initial_weights import initial_weights
from minigan.layer import Layer, check_ddx, check_dy, check_float


class Dense(Layer):
    """y = xW + b, with W and b drawn by a rule of initial_weights.py.

    `rng` is a numpy.random.Generator, from which they are drawn; dtype is that of W, b and x.
    """

    names = ("W", "b")

    def __init__(self, n_in, n_out, rng, rule="glorot", dtype="float32"):
        self.W, self.b = initial_weights(rule, n_in, n_out, rng, dtype)
        self.dW, self.db = 0 * self.W, 0 * self.b

    def forward(self, x, train=False, rng=None):  # (N, K) -> (N, M), x
        check_float(self, x)
        if x.ndim != 2 or x.shape[1] != self.W.shape[0]:
            raise ValueError(f"{self!r} wants x of shape (N, {self.W.shape[0]}), not {x.shape}")
        if x.dtype != self.W.dtype:
            raise TypeError(f"{self!r} has {self.W.dtype} weights of shape {self.W.shape}"
                            f" but got {x.dtype} x of shape {x.shape}")
        y = x @ self.W
        y += self.b
        return y, x

    def backward(self, dy, x, need_dx=True, need_dparams=True):  # (N, M) -> (N, K)
        check_dy(self, dy, (x.shape[0], self.W.shape[1]))
        if need_dparams:
            array_module(x).matmul(x.T, dy, out=self.dW)
            dy.sum(axis=0, out=self.db)
        return dy @ self.W.T if need_dx else None

    def double_backward(self, ddx, dy, x):  # dx = dy·Wᵀ is itself a product: (N, K) -> (N, M)
        check_ddx(self, ddx, x.shape)
        array_module(x).matmul(ddx.T, dy, out=self.dW)
        self.db[...] = 0
        return ddx @ self.W, None

    def __repr__(self):
        return f"Dense({self.W.shape[0]}, {self.W.shape[1]})"
