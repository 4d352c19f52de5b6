"""Exercise 2."""
import numpy as np

from exercises.checkers.tools import close, demand, forward, gradients, habits, like, locked, written
from minigan.activations import sigmoid

X = np.random.default_rng(2).standard_normal((5, 4))


def check(answer):
    def make(dtype):
        return answer.Gate(4, 3, np.random.default_rng(3), dtype)

    layer = make("float64")
    yield "forward, which was given"
    y, cache = forward(layer, X)
    demand(close(y, (X @ layer.W) * sigmoid(X @ layer.V)), "it gives another y than it did: put it back as it was")

    yield "the shape of dx"
    dy = locked(np.random.default_rng(4).standard_normal(y.shape))
    before = {"dW": layer.dW, "dV": layer.dV}
    dx = layer.backward(dy, cache)
    like("dx", dx, X)

    yield "the shapes of dW and dV"
    for name, array in before.items():
        like(name, getattr(layer, name), array, f"its parameter {name[1:]}")

    yield "both ways from x to y"
    a, s = X @ layer.W, sigmoid(X @ layer.V)
    for way, path in ("a = xW", dy * s @ layer.W.T), ("c = xV", dy * a * s * (1 - s) @ layer.V.T):
        demand(not close(dx, path), f"your dx holds only what reaches y through {way}: x goes there on two ways, and their effects add up")

    yield from written(layer, X)
    yield from gradients(layer, X)
    yield from habits(make, X)
