"""Exercise 2: derive a layer's backward from its forward (30 minutes)

Read before
    minigan/nn/dense.py, which derives the backward of y = x @ W + b, and minigan/nn/activations.py.

The task
    The layer below has only a forward. It is a gated linear unit (Dauphin et al. 2017): each output
    a is multiplied by a gate s, a number between 0 and 1 computed from the same x.

        a = x @ W          c = x @ V          s = sigmoid(c)          y = a * s

    Write its backward. Return dx. Unless need_dparams is False, also write dW and dV into self.dW
    and self.dV, replacing their previous content (self.dW[...] = ..., not self.dW = ...).

Shapes
    x (N, K), W and V (K, M); a, c, s and y (N, M). Each gradient has the shape of its variable.

Check
    python -m pytest exercises -k gate

Hint
    Go backwards one operation at a time, and name each gradient: dy gives da and ds, and ds gives
    dc. The rest is the derivation in dense.py, twice. Through how many paths does x influence y?
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
        raise NotImplementedError("Gate.backward is not written yet")
