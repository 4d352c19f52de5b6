"""The table of cases: one row for every layer.

A row says how to make the layer, what to feed it, and gives a second, independent formula for
its forward, in plain Python. tests/test_layers.py runs every check on every row; a layer of the
package without a row fails there. So: to add a layer, add its row.
"""
import math
from typing import Callable, NamedTuple

import numpy as np

from minigan.activations import LeakyReLU, ReLU, Sigmoid, Tanh
from minigan.dense import Dense
from minigan.dropout import Dropout
from minigan.network import Sequential


class Case(NamedTuple):
    make: Callable  # dtype -> layer
    shape: tuple  # of x
    reference: Callable  # (layer, x, rng) -> y, another way; rng is what forward was given
    train: bool = False


def host_rng():
    return np.random.default_rng(3)


def elementwise(f):
    return lambda layer, x, rng: np.vectorize(lambda v: f(layer, v), otypes=[float])(x)


def dense_reference(layer, x, rng):
    W, b = layer.W, layer.b
    return np.array([[sum(x[n, i] * W[i, j] for i in range(W.shape[0])) + b[j]
                      for j in range(W.shape[1])] for n in range(len(x))])


def dropout_reference(layer, x, rng):
    kept = rng.random(x.shape) >= layer.rate
    return np.where(kept, x / (1 - layer.rate), 0)


def two_layers(dtype):
    rng = host_rng()
    return Sequential([Dense(5, 4, rng, dtype=dtype), Tanh(), Dense(4, 3, rng, "fan_in", dtype=dtype)])


def two_layers_reference(net, x, rng):
    first, _, last = net.layers
    return np.einsum("nk,km->nm", np.tanh(np.einsum("nk,km->nm", x, first.W) + first.b), last.W) + last.b


CASES = {
    "Dense": Case(lambda dtype: Dense(5, 4, host_rng(), "fan_in", dtype), (3, 5), dense_reference),
    "Dense, one example": Case(lambda dtype: Dense(5, 4, host_rng(), "he", dtype), (1, 5), dense_reference),
    "Dense, one input": Case(lambda dtype: Dense(1, 4, host_rng(), "glorot", dtype), (3, 1), dense_reference),
    "Dense, one output": Case(lambda dtype: Dense(5, 1, host_rng(), "normal", dtype), (3, 5), dense_reference),
    "Dense, square": Case(lambda dtype: Dense(4, 4, host_rng(), "glorot", dtype), (4, 4), dense_reference),
    "LeakyReLU": Case(lambda dtype: LeakyReLU(0.2), (4, 6),
                      elementwise(lambda layer, v: v if v > 0 else layer.slope * v)),
    "LeakyReLU, flat": Case(lambda dtype: LeakyReLU(0.01), (7,),
                            elementwise(lambda layer, v: v if v > 0 else layer.slope * v)),
    "ReLU": Case(lambda dtype: ReLU(), (4, 6), elementwise(lambda layer, v: v if v > 0 else 0.0)),
    "Tanh": Case(lambda dtype: Tanh(), (4, 6),
                 elementwise(lambda layer, v: (math.exp(2 * v) - 1) / (math.exp(2 * v) + 1))),
    "Sigmoid": Case(lambda dtype: Sigmoid(), (4, 6), elementwise(lambda layer, v: 1 / (1 + math.exp(-v)))),
    "Dropout, training": Case(lambda dtype: Dropout(0.4), (5, 8), dropout_reference, train=True),
    "Dropout, sampling": Case(lambda dtype: Dropout(0.4), (5, 8), lambda layer, x, rng: x),
    "Dropout, rate 0": Case(lambda dtype: Dropout(0), (5, 8), lambda layer, x, rng: x, train=True),
    "Sequential": Case(two_layers, (3, 5), two_layers_reference),
}


def away_from_zero(x):
    """The kink of a ReLU is at 0: no x within 0.01 of it, or central differences straddle it."""
    return np.where(abs(x) < 0.01, 0.1, x)


def inputs(case, dtype="float64"):
    """(x, dy) on the host: random, and the same each time."""
    rng = np.random.default_rng(11)
    x = away_from_zero(rng.standard_normal(case.shape)).astype(dtype)
    y, _ = case.make(dtype).forward(x, train=case.train, rng=host_rng())
    return x, rng.standard_normal(y.shape).astype(dtype)


def gradients(layer):
    return {"d" + name: getattr(layer, "d" + name) for name in layer.names}
