"""Exercise 2: a layer's backward, from its forward (30 minutes)

Read before
    minigan/dense.py, where the backward of y = xW + b is derived, and minigan/activations.py.

The task
    Below is a layer of which only the forward is written: a "gated linear unit" (Dauphin et al. 2017).
    Each output a is let through by a gate s, a number between 0 and 1 that looks at the same x:

        a = xW          c = xV          s = sigmoid(c)          y = a * s

    Write its backward: return dx, and write dW and dV into self.dW and self.dV, over what was there
    before (self.dW[...] = ..., not self.dW = ...), unless need_dparams is False.

Shapes
    x (N, K), W and V (K, M); a, c, s and y (N, M). A gradient has the shape of what it belongs to.

Check
    python -m pytest exercises -k gate

Hint
    Go back link by link and give each gradient a name: dy first leads to da and to ds, ds to dc. From
    there on it is Dense's page, twice. And on how many ways does x reach y?
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
        raise NotImplementedError("Gate.backward is not written yet")
