"""Initial weights: where learning starts.

The idea
    If all weights began at zero, all units of a layer would compute the same thing and receive
    the same gradient, for ever; so they begin at random. The question is how large. A weighted
    sum of K inputs has K times the variance of one of its terms. Weights that are too large let
    the signal grow from layer to layer until it saturates; too small, and it dies away.

    For a sum y = w_1 x_1 + ... + w_K x_K of independent terms with mean zero,

        var(y) = K * var(w) * var(x)

    so var(w) = 1/K keeps the signal as loud as it was. Backward, dx sums over the M outputs, and
    var(w) = 1/M keeps the gradient as loud as it was. The rules differ in what they make of that.

The rules (a uniform distribution on [-a, a] has the variance a²/3)
    "glorot"   uniform, a = sqrt(6 / (K + M)): the variance 2/(K + M), a compromise between the
               two.  Glorot & Bengio 2010, equation 16
    "he"       normal, sd = sqrt(2 / K): a ReLU silences half of its inputs, so twice the variance.
               He et al. 2015, equation 10
    "fan_in"   uniform, a = 1 / sqrt(K): the variance 1/(3K). The habit of Torch and PyTorch for
               linear layers, biases included; related to LeCun et al. 1998, "Efficient BackProp"
    "normal"   normal, sd = 0.02 whatever the size.  Radford et al. 2016 (DCGAN), section 4
    "uniform .05", "uniform .005"   uniform, a = 0.05 or 0.005 whatever the size: the published code
               of Goodfellow et al. 2014

    Under every rule but "fan_in" the biases begin at zero.

Shapes
    W is (K, M), b is (M,). The numbers are drawn on the host with NumPy, in float64, and then
    rounded: so float32 and float64, CPU and GPU all start from the same network.

>>> rng = np.random.default_rng(0)
>>> W, b = initial_weights("glorot", 300, 100, rng)
>>> W.shape, b.shape, bool(abs(W).max() <= math.sqrt(6 / 400))
((300, 100), (100,), True)
>>> round(float(initial_weights("he", 800, 1000, rng)[0].std()), 2)
0.05
"""
import math

import numpy as np

RULES = ("glorot", "he", "fan_in", "normal", "uniform .05", "uniform .005")


def initial_weights(rule, n_in, n_out, rng, dtype="float32", shape=None):
    """(W, b) of shapes (n_in, n_out) and (n_out,), drawn by one of the RULES.

    Where a weight is used in many places (see conv.py), `shape` is that of W, with a bias for each
    of its last axis, while n_in and n_out are how many terms the sums of forward and backward have.
    `rng` is a numpy.random.Generator. Raises ValueError for an unknown rule.
    """
    shape = shape or (n_in, n_out)
    b = np.zeros(shape[-1])
    if rule == "glorot":
        a = math.sqrt(6 / (n_in + n_out))
        W = rng.uniform(-a, a, shape)
    elif rule == "he":
        W = math.sqrt(2 / n_in) * rng.standard_normal(shape)
    elif rule == "fan_in":
        a = 1 / math.sqrt(n_in)
        W, b = rng.uniform(-a, a, shape), rng.uniform(-a, a, shape[-1])
    elif rule == "normal":
        W = 0.02 * rng.standard_normal(shape)
    elif rule in ("uniform .05", "uniform .005"):
        a = float(rule.split()[1])
        W = rng.uniform(-a, a, shape)
    else:
        raise ValueError(f"no rule for initial weights is called {rule!r}; there are {', '.join(RULES)}")
    return W.astype(dtype), b.astype(dtype)
