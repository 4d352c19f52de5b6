"""Projection: a logit that depends on the features of an image and on its label.

The idea
    The last layer of a discriminator turns the features x of an image into a logit. In a
    conditional GAN the logit should also say whether the image fits its label: an image of a good
    seven with the label 3 is a fake. The projection discriminator (Miyato & Koyama 2018) therefore
    adds the inner product of x with a learned vector E_c of the label's class c, which has one
    number per feature. It asks: how far does x point in the direction of class c?

    Labels appended to the image have to pass through all layers, and compete with the pixels. Here
    they act on finished features. That costs almost nothing, and D makes use of them from the first
    steps on.

Forward
    For example n, with one-hot labels,

        y_n = sum over k of  x_nk W_k  +  b  +  sum over k of  x_nk E_ck

    The two sums have x in common. Together they are a Dense layer with one output whose weights
    V_n = W + E_c depend on the label:

        V = Wᵀ + labels @ E                  y_n = sum over k of x_nk V_nk  +  b

    E starts at 0, and with it the effect of the labels.

Backward
    For each example this is Dense's y = x @ W + b, with V_n in place of W. Hence

        dx_nk = dy_n V_nk          dV_nk = dy_n x_nk          db = sum over n of dy_n

    W is part of every V_n, so dW is the sum of all dV_n. E_c is part of the V_n of the examples of
    class c, so dE_c is the sum of their dV_n:

        dW_k = sum over n of dV_nk           dE = labelsᵀ @ dV

    Labels are constants and need no gradient.

Shapes
    x (N, K), labels (N, C); W (K, 1), b (1,), E (C, K); V (N, K); y (N, 1). dx (N, K).

>>> layer = Projection(2, 3, dtype="float64", rng=np.random.default_rng(0))
>>> layer.W[...] = [[1], [2]]
>>> layer.E[...] = [[10, 0], [0, 0], [0, 100]]
>>> x, labels = np.array([[3.0, 4.0], [3.0, 4.0]]), np.eye(3)[[0, 2]]   # classes 0 and 2
>>> y, cache = layer.forward((x, labels))
>>> y.tolist()                                      # 3 + 2*4 + 10*3,  3 + 2*4 + 100*4
[[41.0], [411.0]]
>>> layer.backward(np.array([[1.0], [-1.0]]), cache).tolist()
[[11.0, 2.0], [-1.0, -102.0]]
>>> layer.dW.ravel().tolist(), layer.db.tolist(), layer.dE.tolist()
([0.0, 0.0], [0.0], [[3.0, 4.0], [0.0, 0.0], [-3.0, -4.0]])
"""

from typing import Any

import numpy as np

from minigan.backend import get_array_module
from minigan.nn.initializers import initial_weights
from minigan.nn.layer import Layer, check_ddx, check_dy
from minigan.nn.reshape import check_labels


class Projection(Layer):
    """(x, labels) -> y = x @ W + b + the inner product of x and labels @ E, for each example.

    `init` names the initializer of W and b, which takes its random numbers from rng; E is 0. W, b,
    E, x and the labels have the given dtype.
    """

    # spectral normalisation applies to W alone
    param_names = ("W", "b", "E")
    takes_labels = True
    splittable = True

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        *,
        init: str = "glorot",
        dtype: str = "float32",
        rng: Any,
    ):
        self.n_classes = n_classes
        self.W, self.b = initial_weights(init, in_features, 1, dtype=dtype, rng=rng)
        self.E = np.zeros((n_classes, in_features), dtype)
        self.dW, self.db, self.dE = 0 * self.W, 0 * self.b, 0 * self.E

    def forward(self, x, *, train=False, rng=None):  # (N, K), (N, C) -> (N, 1)
        x, labels = check_labels(self, x)
        if x.ndim != 2 or x.shape[1] != len(self.W):
            raise ValueError(f"{self!r} expects x of shape (N, {len(self.W)}), not {x.shape}")
        if x.dtype != self.W.dtype:
            raise TypeError(
                f"{self!r} has {self.W.dtype} weights but received {x.dtype} x of shape {x.shape}"
            )
        V = self.vectors(labels)
        y = (x * V).sum(axis=1, keepdims=True)
        y += self.b
        return y, (x, labels, V)

    def backward(self, dy, cache, *, need_dx=True, need_dparams=True):  # (N, 1) -> (N, K)
        x, labels, V = cache
        check_dy(self, dy, (len(x), 1))
        if need_dparams:
            self.write_gradients(dy * x, labels)
            dy.sum(axis=0, out=self.db)
        return dy * V if need_dx else None

    def double_backward(self, ddx, dy, cache):  # (N, K) -> (N, 1); dx = dy * V
        x, labels, V = cache
        check_ddx(self, ddx, x.shape)
        self.write_gradients(dy * ddx, labels)
        self.db[...] = 0
        return (ddx * V).sum(axis=1, keepdims=True), None

    def vectors(self, labels: Any) -> Any:
        """V (N, K) of labels (N, C)."""
        V = labels @ self.E
        V += self.W.T
        return V

    def write_gradients(self, dV: Any, labels: Any) -> None:
        """Compute dW and dE from dV (N, K)."""
        dV.sum(axis=0, out=self.dW[:, 0])
        get_array_module(dV).matmul(labels.T, dV, out=self.dE)

    def __repr__(self):
        return f"Projection({len(self.W)}, {self.n_classes} classes)"
