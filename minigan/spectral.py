"""Spectral normalisation: a layer that stretches nothing by more than about 1.

The idea
    A D without bounds can answer ever louder; hinge and wasserstein losses (see adversarial.py) want
    one that is held. A matrix W stretches some inputs more than others: xW may be longer than x by a
    larger factor or a smaller one. The largest factor there is, sigma, is called its largest singular
    value. Divide each W of D by its sigma: since LeakyReLU stretches nothing either, the answers of a D of
    Dense layers then lie no further apart than the images.
    Miyato et al. 2018, "Spectral Normalization for Generative Adversarial Networks".

Forward
    y = x (W / sigma) + b,  sigma = vᵀWu

    Here v, of length 1, is the input that W stretches most, and u, of length 1, the direction in which it
    comes out, so that vᵀW = sigma uᵀ. They are found by power iteration. Any u has a part in the right
    direction. What goes through W and back is multiplied by sigma² in that part, and by less in all
    others; so, again and again, the others fade. One round a forward in training will do, since W
    changes little from step to step (their algorithm 1):

        v = Wu / |Wu|,   u = Wᵀv / |Wᵀv|

    u is a `state` of the layer, kept from step to step like a running mean.

    A kernel (k, l, C, F) is taken as the matrix (k l C, F) that conv.py multiplies patches with. That is
    not the whole convolution's: where patches overlap, it may stretch several times as much. And dropout
    may, by 1 / (1 - rate). D is held all the same, if less tightly.

Backward
    The wrapped layer, given V = W / sigma, says dV. Nudge W_ij by h, u and v held: W / sigma changes by
    h / sigma at (i, j), and everywhere by -W / sigma² times the change of sigma, which is v_i u_j h. So

        dW_ij = dV_ij / sigma - (sum of dV * W) v_i u_j / sigma²
              = (dV_ij - (sum of dV * V) v_i u_j) / sigma

    May u and v be held, although they depend on W? Yes, once they have turned to where vᵀWu is largest:
    there a small change of either has no effect. One round behind, that is nearly so.

    db and dx are the wrapped layer's. So is its double backward (see penalties.py), whose dV is turned
    into dW in the same way.

Shapes
    As the wrapped layer. u (M,), v (K,). The cache is (its cache, V, u, v, sigma).

>>> import numpy as np
>>> from minigan.dense import Dense
>>> layer = SpectralNorm(Dense(2, 2, np.random.default_rng(0), dtype="float64"), np.random.default_rng(1))
>>> layer.W[...] = [[3, 0], [0, 0.5]]                          # stretches the first number by 3
>>> for step in range(10):
...     y, cache = layer.forward(np.array([[1.0, 1.0]]), train=True)
>>> y.round(6).tolist()
[[1.0, 0.166667]]
"""
from minigan.backend import array_module
from minigan.layer import Layer

ROUNDS = 20  # of power iteration before the first step


class SpectralNorm(Layer):
    """A Dense or Conv2D layer whose W is divided by its largest singular value; u is drawn from rng, on the host.

    W and b, and their gradients, are this layer's; the wrapped one computes with V.
    """

    names, states = ("W", "b"), ("u",)

    def __init__(self, layer, rng):
        self.layer = layer
        self.W, self.b, self.dW, self.db = layer.W, layer.b, layer.dW, layer.db
        layer.dW, layer.db = 0 * layer.W, 0 * layer.b
        self.u = unit(rng.standard_normal(self.W.shape[-1]).astype(self.W.dtype))
        W = self.matrix(self.W)
        for _ in range(ROUNDS):
            self.u = unit(unit(W @ self.u) @ W)

    def forward(self, x, train=False, rng=None):
        W = self.matrix(self.W)
        v = unit(W @ self.u)
        if train:
            self.u[...] = unit(v @ W)
        u = self.u.copy()  # the next forward may turn it
        sigma = array_module(W).maximum(v @ W @ u, 1e-12)
        V = self.W / sigma
        y, cache = self.holding(V).forward(x, train, rng)
        return y, (cache, V, u, v, sigma)

    def backward(self, dy, cache, need_dx=True, need_dparams=True):
        dx = self.holding(cache[1]).backward(dy, cache[0], need_dx, need_dparams)
        if need_dparams:
            self.normalise(*cache[1:])
        return dx

    def double_backward(self, ddx, dy, cache):
        ddy, dx = self.holding(cache[1]).double_backward(ddx, dy, cache[0])
        self.normalise(*cache[1:])
        return ddy, dx

    def normalise(self, V, u, v, sigma):
        """From the wrapped layer's dV to dW, both of the shape of W; db is the same."""
        dV, dW = self.layer.dW, self.matrix(self.dW)
        dW[...] = (self.matrix(dV) - (dV * V).sum() * v[:, None] * u) / sigma
        self.db[...] = self.layer.db

    def holding(self, V):
        """The wrapped layer, with V as its weights. (They are no view of theta: only W is.)"""
        xp = array_module(V)
        self.layer.W, self.layer.b = V, self.b
        if array_module(self.layer.dW) is not xp:  # the network has moved
            self.layer.dW, self.layer.db = xp.zeros_like(V), xp.zeros_like(self.b)
        return self.layer

    def matrix(self, W):
        """W, or a kernel (k, l, C, F), as (K, M)."""
        return W.reshape(-1, W.shape[-1])

    def __repr__(self):
        return f"SpectralNorm({self.layer!r})"


def unit(x):
    """x (K,) with length 1; 0 stays 0."""
    xp = array_module(x)
    return x / xp.maximum(xp.sqrt((x * x).sum()), 1e-12)
