"""Exercise 2."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from exercises.checkers.tools import (
    close,
    contract,
    demand,
    forward,
    gradients,
    like,
    locked,
    writes_gradients,
)
from minigan.nn.activations import sigmoid

X = np.random.default_rng(2).standard_normal((5, 4))


def check(answer: Any) -> Iterator[str]:
    """The steps of this exercise; NotYet where the answer, a module, is wrong."""

    def make(dtype):
        return answer.Gate(4, 3, dtype=dtype, rng=np.random.default_rng(3))

    layer = make("float64")
    yield "forward, which was given"
    y, cache = forward(layer, X)
    demand(
        close(y, (X @ layer.W) * sigmoid(X @ layer.V)),
        "it returns a different y from the original forward: restore it",
    )

    yield "the shape of dx"
    dy = locked(np.random.default_rng(4).standard_normal(y.shape))
    before = {"dW": layer.dW, "dV": layer.dV}
    dx = layer.backward(dy, cache)
    like("dx", dx, X)

    yield "the shapes of dW and dV"
    for name, array in before.items():
        like(name, getattr(layer, name), array, f"its parameter {name[1:]}")

    yield "both paths from x to y"
    a, s = X @ layer.W, sigmoid(X @ layer.V)
    for path, dx_of_path in (
        ("a = x @ W", dy * s @ layer.W.T),
        ("c = x @ V", dy * a * s * (1 - s) @ layer.V.T),
    ):
        demand(
            not close(dx, dx_of_path),
            f"your dx contains only the influence of x through {path}: there are two paths, and"
            " their gradients are added",
        )

    yield from writes_gradients(layer, X)
    yield from gradients(layer, X)
    yield from contract(make, X)
