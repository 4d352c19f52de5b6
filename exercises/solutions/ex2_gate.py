"""Exercise 2, solved.

y = a * s: nudge a, and y moves s times as fast; nudge s, and y moves a times as fast. So da = dy * s and
ds = dy * a. The sigmoid's slope is s (1 - s), so dc = ds * s (1 - s). Both products are Dense's: dW = xᵀ·da,
dV = xᵀ·dc. And x reaches y through a and through c, so its two effects add up: dx = da·Wᵀ + dc·Vᵀ.
"""
from minigan.activations import sigmoid
from minigan.initial_weights import initial_weights
from minigan.layer import Layer


class Gate(Layer):
    names = ("W", "V")

    def __init__(self, n_in, n_out, rng, dtype="float32"):
        self.W, _ = initial_weights("glorot", n_in, n_out, rng, dtype)
        self.V, _ = initial_weights("glorot", n_in, n_out, rng, dtype)
        self.dW, self.dV = 0 * self.W, 0 * self.V

    def forward(self, x, train=False, rng=None):
        a = x @ self.W
        s = sigmoid(x @ self.V)
        return a * s, (x, a, s)

    def backward(self, dy, cache, need_dx=True, need_dparams=True):
        x, a, s = cache
        da = dy * s
        dc = dy * a * s * (1 - s)
        if need_dparams:
            self.dW[...] = x.T @ da
            self.dV[...] = x.T @ dc
        return da @ self.W.T + dc @ self.V.T
