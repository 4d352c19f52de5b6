"""Exercise 1."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from exercises.checkers.tools import close, contract, demand, forward, like, locked, worst
from minigan.nn.gradcheck import central_difference

X = np.array([[-2.0, 3.0, 0.5, -0.1], [1.5, -4.0, 2.0, -0.5], [0.2, 0.7, -1.0, 6.0]])


def check(answer: Any) -> Iterator[str]:
    """The steps of this exercise; NotYet where the answer, a module, is wrong."""
    layer = answer.ReLU()
    yield "the shape of y"
    y, cache = forward(layer, X)
    like("y", y, X)
    like("y", forward(layer, X[0])[0], X[0])

    yield "the values of y"
    right = np.array([[v if v > 0 else 0.0 for v in row] for row in X.tolist()])
    i = worst(y, right)
    demand(close(y, right), f"for x = {X[i]:g} your y is {y[i]:g}, but max(x, 0) is {right[i]:g}")

    yield "the shape of dx"
    dy, (_, cache) = np.random.default_rng(1).standard_normal(X.shape), forward(layer, X)
    dx = layer.backward(locked(dy), cache)
    like("dx", dx, X)

    yield "the values of dx"
    x = X.copy()
    numeric = central_difference(lambda: float((dy * forward(layer, x)[0]).sum()), x)
    i = worst(dx, numeric)
    question = (
        "how fast does y change when such an x changes"
        if X[i] > 0
        else "does a negative x have any influence on y"
    )
    demand(
        close(dx, numeric, 1e-7),
        f"at x = {X[i]:g}, with dy = {dy[i]:.3g}, your dx is {dx[i]:.3g}, but central differences"
        f" give {numeric[i] + 0.0:.3g}: {question}?",
    )

    yield from contract(lambda dtype: answer.ReLU(), X)
