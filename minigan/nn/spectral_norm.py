"""Spectral normalisation: a bound on how much a layer can stretch its input.

The idea
    An unconstrained discriminator can produce ever larger logits, and the hinge and Wasserstein
    losses (see gan/losses.py) need a bounded discriminator. A matrix W stretches some inputs more
    than others: the factor by which x @ W is longer than x depends on the direction of x. The
    largest such factor, sigma, is the largest singular value of W. Spectral normalisation divides
    each W of D by its sigma. LeakyReLU does not stretch its input either, so if D consists of Dense
    layers, the logits of two images differ by no more than the images do. Miyato et al. 2018,
    "Spectral Normalization for Generative Adversarial Networks".

Forward
    y = x @ (W / sigma) + b,  sigma = vᵀ @ W @ u

    Here v, of length 1, is the input that W stretches most, and u, of length 1, is the direction of
    its output, so that vᵀ @ W = sigma uᵀ. Both are found by power iteration. A random u has some
    component in the right direction. Multiplying by W and by its transpose scales that component by
    sigma² and all others by less, so after repeated multiplication almost only that component
    remains. One iteration per training forward is enough, because W changes little from step to
    step (their algorithm 1):

        v = W @ u / |W @ u|,   u = Wᵀ @ v / |Wᵀ @ v|

    u is a buffer of the layer and is kept from step to step, like a running mean.

    A kernel (k, l, C, F) is treated as the matrix (k l C, F) by which conv.py multiplies the rows
    of im2col. This is not the matrix of the whole convolution, which may stretch its input several
    times as much where windows overlap. Dropout may stretch by 1 / (1 - p). A Projection adds E_c,
    which is not normalised, to its W. D is still bounded, but less tightly.

Backward
    The wrapped layer computes with V = W / sigma, and its backward gives dV. If W_ij changes by h,
    with u and v fixed, W / sigma changes by h / sigma at (i, j), and everywhere by -W / sigma²
    times the change of sigma, which is v_i u_j h. Hence

        dW_ij = dV_ij / sigma - (sum of dV * W) v_i u_j / sigma²
              = (dV_ij - (sum of dV * V) v_i u_j) / sigma

    u and v also depend on W. They may be treated as constants once they have converged to the
    maximum of vᵀ @ W @ u, because a small change of either then has no effect on sigma to first
    order. With one iteration per step, u and v are close to the maximum, and this holds
    approximately.

    db and dx are the wrapped layer's. The double backward (see gradient_penalty.py) is also the
    wrapped layer's, and its dV is turned into dW in the same way.

Shapes
    x and y as for the wrapped layer; u (M,), v (K,). The cache is (cache of the wrapped layer, V,
    u, v, sigma).

>>> import numpy as np
>>> from minigan.nn.dense import Dense
>>> rng = np.random.default_rng(0)
>>> layer = SpectralNorm(Dense(2, 2, dtype="float64", rng=rng), rng=rng)
>>> layer.W[...] = [[3, 0], [0, 0.5]]                          # stretches the first number by 3
>>> for step in range(10):
...     y, cache = layer.forward(np.array([[1.0, 1.0]]), train=True)
>>> y.round(6).tolist()
[[1.0, 0.166667]]
"""

from typing import Any

from minigan.backend import Array, get_array_module
from minigan.nn.layer import Layer

POWER_ITERATIONS = 20  # before the first step


class SpectralNorm(Layer):
    """A Dense, Conv2d or Projection layer whose W is divided by its largest singular value.

    All parameters and their gradients belong to this layer, and the wrapped layer computes with V.
    The initial u is sampled from rng, on the host.
    """

    buffer_names = ("u",)
    W: Array
    dW: Array

    def __init__(self, layer: Any, *, rng):
        self.layer: Any = layer
        self.param_names, self.takes_labels = layer.param_names, layer.takes_labels
        self.n_classes = layer.n_classes
        for name in layer.param_names:
            array = getattr(layer, name)
            setattr(self, name, array)
            setattr(self, "d" + name, getattr(layer, "d" + name))
            setattr(layer, "d" + name, 0 * array)
        self.u = unit_vector(rng.standard_normal(self.W.shape[-1]).astype(self.W.dtype))
        W = as_matrix(self.W)
        for _ in range(POWER_ITERATIONS):
            self.u = unit_vector(unit_vector(W @ self.u) @ W)

    def forward(self, x, *, train=False, rng=None):
        W = as_matrix(self.W)
        v = unit_vector(W @ self.u)
        if train:
            self.u[...] = unit_vector(v @ W)
        u = self.u.copy()  # the next forward may change it
        sigma = get_array_module(W).maximum(v @ W @ u, 1e-12)
        V = self.W / sigma
        y, cache = self.wrapped(V).forward(x, train=train, rng=rng)
        return y, (cache, V, u, v, sigma)

    def backward(self, dy, cache, *, need_dx=True, need_dparams=True):
        dx = self.wrapped(cache[1]).backward(
            dy, cache[0], need_dx=need_dx, need_dparams=need_dparams
        )
        if need_dparams:
            self.write_gradients(cache)
        return dx

    def double_backward(self, ddx, dy, cache):
        ddy, dx = self.wrapped(cache[1]).double_backward(ddx, dy, cache[0])
        self.write_gradients(cache)
        return ddy, dx

    def write_gradients(self, cache: tuple) -> None:
        """Compute dW from the wrapped layer's dV, both of the shape of W, and copy db, ..."""
        _, V, u, v, sigma = cache
        dV, dW = self.layer.dW, as_matrix(self.dW)
        dW[...] = (as_matrix(dV) - (dV * V).sum() * v[:, None] * u) / sigma
        for name in self.param_names[1:]:
            getattr(self, "d" + name)[...] = getattr(self.layer, "d" + name)

    def wrapped(self, V: Array) -> Any:
        """The wrapped layer, with V as its weights. (V is not a view into theta; only W is.)"""
        xp, layer = get_array_module(V), self.layer
        moved = get_array_module(layer.dW) is not xp
        for name in self.param_names:
            setattr(layer, name, V if name == "W" else getattr(self, name))
            if moved:
                setattr(layer, "d" + name, xp.zeros_like(getattr(layer, name)))
        return layer

    def exported(self, x_shape, y_shape):
        # after a forward pass the wrapped layer holds V
        self.forward(get_array_module(self.W).zeros((1, *x_shape), self.W.dtype))
        return self.layer.exported(x_shape, y_shape)

    def __repr__(self):
        return f"SpectralNorm({self.layer!r})"


def as_matrix(W: Array) -> Array:
    """W, or a kernel (k, l, C, F), as (K, M)."""
    return W.reshape(-1, W.shape[-1])


def unit_vector(x: Array) -> Array:
    """x (K,) scaled to length 1; a zero vector stays zero."""
    xp = get_array_module(x)
    return x / xp.maximum(xp.sqrt((x * x).sum()), 1e-12)
