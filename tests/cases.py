"""The table of cases: each row of minigan/selfcheck.py with a second formula for its forward.

The second formula is independent of the page: plain Python, number by number, where it can be.
tests/test_layers.py runs every check on every case; a layer of the package without a row, or a
row without a formula, fails there. So: to add a layer, add its row and its formula.
"""
import math

import numpy as np

from minigan.selfcheck import LAYERS, draws, random_x


def elementwise(f):
    return lambda layer, x, rng: np.vectorize(lambda v: f(layer, v), otypes=[float])(x)


def dense(layer, x, rng):
    W, b = layer.W, layer.b
    return np.array([[sum(x[n, i] * W[i, j] for i in range(W.shape[0])) + b[j]
                      for j in range(W.shape[1])] for n in range(len(x))])


def dropout(layer, x, rng):
    fours = [int(bits) for bits in rng.integers(0, 2 ** 64, math.ceil(x.size / 4), dtype="uint64")]
    shares = [bits // 2 ** shift % 2 ** 16 / 2 ** 16 for bits in fours for shift in (0, 16, 32, 48)][:x.size]
    return np.where(np.reshape(shares, x.shape) >= layer.rate, x / (1 - layer.rate), 0)


def two_dense(net, x, rng):
    first, _, last = net.layers
    return np.einsum("nk,km->nm", np.tanh(np.einsum("nk,km->nm", x, first.W) + first.b), last.W) + last.b


leaky = elementwise(lambda layer, v: v if v > 0 else layer.slope * v)
as_it_is = elementwise(lambda layer, v: v)

FORMULAS = {  # (layer, x, rng) -> y; rng is what forward was given
    "Dense": dense,
    "Dense, one example": dense,
    "Dense, one input": dense,
    "Dense, one output": dense,
    "Dense, square": dense,
    "LeakyReLU": leaky,
    "LeakyReLU, flat x": leaky,
    "ReLU": elementwise(lambda layer, v: v if v > 0 else 0.0),
    "Tanh": elementwise(lambda layer, v: (math.exp(2 * v) - 1) / (math.exp(2 * v) + 1)),
    "Sigmoid": elementwise(lambda layer, v: 1 / (1 + math.exp(-v))),
    "Dropout, training": dropout,
    "Dropout, sampling": as_it_is,
    "Dropout, rate 0": as_it_is,
    "Sequential": two_dense,
}
CASES = {row.name: row for row in LAYERS}


def inputs(case, dtype="float64"):
    """(x, dy) on the host: random, and the same each time."""
    x = random_x(case.shape).astype(dtype)
    y, _ = case.make(dtype).forward(x, train=case.train, rng=draws())
    return x, np.random.default_rng(12).standard_normal(y.shape).astype(dtype)


def gradients(layer):
    return {"d" + name: getattr(layer, "d" + name) for name in layer.names}
