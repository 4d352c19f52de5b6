"""Initializers: the weights a network starts from.

The idea
    In most layers, each output y is a weighted sum of K inputs plus a constant, the bias b:

        y = w_1 x_1 + ... + w_K x_K + b

    M outputs have M columns of K weights each, which form a matrix W. If all weights started at
    zero, all outputs would be equal and would receive equal gradients forever. The initial weights
    are therefore random. The question is how large they should be. If they are too large,
    activations grow from layer to layer, and if they are too small, activations vanish.

The variance of a sum
    Let weights and inputs be independent and have mean zero. The variance of a random number with
    mean zero is the mean of its square, so var(w x) = var(w) var(x). The variances of K independent
    terms add up:

        var(y) = K * var(w) * var(x)

    With var(w) = 1/K, y has the same variance as x. In the backward pass, by the chain rule of
    layer.py, dx_i is the sum of dy_j W_ij over the M outputs, so var(w) = 1/M preserves the
    variance of the gradient. The initializers differ in how they balance these two aims.

The initializers
    glorot         uniform on [-a, a] with a = sqrt(6 / (K + M)). Its variance is
                   a²/3 = 2 / (K + M), a compromise between the two.
                   Glorot & Bengio 2010, equation 16
    he             normal with variance 2/K, for outputs that pass through a ReLU. ReLU discards
                   half of the mean square, so var(w) is doubled.  He et al. 2015, equation 10
    fan_in         uniform on [-a, a] with a = 1 / sqrt(K), which has variance 1/(3K). This is
                   PyTorch's default for linear layers, including their biases. It is related to
                   LeCun et al. 1998, "Efficient BackProp"
    normal         normal with standard deviation 0.02, for layers of any size.
                   Radford et al. 2016, section 4
    uniform(0.05), uniform(0.005)
                   uniform on [-a, a] with a = 0.05 or 0.005, for layers of any size, as in the
                   published code of Goodfellow et al. 2014

    All initializers except fan_in start the biases at zero.

Shapes
    W (K, M), b (M,). NumPy samples the numbers in float64, and they are then rounded to the dtype
    of the network, so float32 and float64, CPU and GPU all start from the same network.

>>> rng = np.random.default_rng(0)
>>> W, b = initial_weights("glorot", 300, 100, rng=rng)
>>> W.shape, b.shape, bool(abs(W).max() <= math.sqrt(6 / 400)), round(float(W.var()) * 400, 1)
((300, 100), (100,), True, 2.0)
>>> W, b = initial_weights("he", 800, 1000, dtype="float64", rng=rng)
>>> x = np.maximum(rng.standard_normal((200, 800)), 0)   # the output of a ReLU
>>> round((x @ W).var().item(), 1)                         # the variance before the ReLU
1.0
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

Shape = tuple[int, ...]
Weights = tuple[np.ndarray, np.ndarray]  # W, b


def glorot(shape: Shape, fan_in: int, fan_out: int, rng: Any) -> Weights:
    """Uniform, with a variance between 1/fan_in and 1/fan_out."""
    a = math.sqrt(6 / (fan_in + fan_out))
    return rng.uniform(-a, a, shape), np.zeros(shape[-1])


def he(shape: Shape, fan_in: int, fan_out: int, rng: Any) -> Weights:
    """Normal, for layers that are followed by a ReLU."""
    return math.sqrt(2 / fan_in) * rng.standard_normal(shape), np.zeros(shape[-1])


def fan_in(shape: Shape, fan_in: int, fan_out: int, rng: Any) -> Weights:
    """Uniform, PyTorch's default; the biases are also random."""
    a = 1 / math.sqrt(fan_in)
    return rng.uniform(-a, a, shape), rng.uniform(-a, a, shape[-1])


def normal(std: float, shape: Shape, fan_in: int, fan_out: int, rng: Any) -> Weights:
    """Normal with a fixed standard deviation."""
    return std * rng.standard_normal(shape), np.zeros(shape[-1])


def uniform(a: float, shape: Shape, fan_in: int, fan_out: int, rng: Any) -> Weights:
    """Uniform on [-a, a] for a fixed a."""
    return rng.uniform(-a, a, shape), np.zeros(shape[-1])


INITIALIZERS: dict[str, Callable] = {
    "glorot": glorot,
    "he": he,
    "fan_in": fan_in,
    "normal": partial(normal, 0.02),
    "uniform(0.05)": partial(uniform, 0.05),
    "uniform(0.005)": partial(uniform, 0.005),
}


def initial_weights(
    init: str,
    fan_in: int,
    fan_out: int,
    *,
    shape: tuple[int, ...] = (),
    dtype: str = "float32",
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """(W, b) of shapes (fan_in, fan_out) and (fan_out,), from one of the INITIALIZERS.

    `shape` is the shape of W if W is not such a matrix; b then has the length of its last axis.
    fan_in and fan_out, K and M above, are the numbers of terms in the sums of forward and backward.
    Raises ValueError for an unknown initializer.
    """
    if init not in INITIALIZERS:
        raise ValueError(
            f"there is no initializer {init!r}: choose one of {', '.join(INITIALIZERS)}"
        )
    W, b = INITIALIZERS[init](shape or (fan_in, fan_out), fan_in, fan_out, rng)
    return W.astype(dtype), b.astype(dtype)
