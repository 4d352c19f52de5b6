"""Exercise 2, solved.

y = a * s has the derivative s with respect to a, and a with respect to s. Therefore da = dy * s and
ds = dy * a. The derivative of the sigmoid is s (1 - s), so dc = ds * s (1 - s). Both products are
differentiated as in Dense: dW = xᵀ @ da, dV = xᵀ @ dc. x influences y through a and through c, so
the two gradients are added: dx = da @ Wᵀ + dc @ Vᵀ.
"""

from minigan.nn.activations import sigmoid
from minigan.nn.initializers import initial_weights
from minigan.nn.layer import Layer


class Gate(Layer):
    param_names = ("W", "V")

    def __init__(self, in_features, out_features, *, dtype="float32", rng):
        self.W, _ = initial_weights("glorot", in_features, out_features, dtype=dtype, rng=rng)
        self.V, _ = initial_weights("glorot", in_features, out_features, dtype=dtype, rng=rng)
        self.dW, self.dV = 0 * self.W, 0 * self.V

    def forward(self, x, *, train=False, rng=None):
        a = x @ self.W
        s = sigmoid(x @ self.V)
        return a * s, (x, a, s)

    def backward(self, dy, cache, *, need_dx=True, need_dparams=True):
        x, a, s = cache
        da = dy * s
        dc = dy * a * s * (1 - s)
        if need_dparams:
            self.dW[...] = x.T @ da
            self.dV[...] = x.T @ dc
        return da @ self.W.T + dc @ self.V.T
