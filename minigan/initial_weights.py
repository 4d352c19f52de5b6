"""Initial weights: where learning starts.

The idea
    Most layers multiply and add. They make an output y of K inputs as a weighted sum, plus a
    number of its own, the bias b:

        y = w_1 x_1 + ... + w_K x_K + b

    M outputs have weights of their own, M columns of K: a matrix W. If all weights began at
    zero, all outputs would be the same and get the same gradient, for ever; so they begin at
    random. The question is how large. If they are too large, the numbers grow from layer to
    layer; if too small, they die away.

How loud a sum is
    Let weights and inputs be independent, with mean zero. The variance of a number with mean zero is
    the mean of its square, so var(w x) = var(w) var(x); and the variances of K independent terms
    add up:

        var(y) = K * var(w) * var(x)

    So var(w) = 1/K keeps y as loud as x was. Backward, by the rule of layer.py, dx_i is a sum over
    the M outputs, of dy_j W_ij. So var(w) = 1/M keeps the gradient as loud as it was. The rules
    differ in what they make of that.

The rules
    "glorot"    uniform on [-a, a] with a = sqrt(6 / (K + M)). The variance of that is a²/3, here
                2/(K + M): between the two.  Glorot & Bengio 2010, equation 16
    "he"        normal, with the variance 2/K: for a y of which only what is above 0 goes on to the
                next layer. That is half of its mean square, so var(w) is doubled.
                He et al. 2015, equation 10
    "fan_in"    uniform, a = 1 / sqrt(K): the variance 1/(3K). The habit of Torch and PyTorch for
                such sums, biases included; related to LeCun et al. 1998, "Efficient BackProp"
    "normal"    normal, with the standard deviation 0.02 whatever the size.
                Radford et al. 2016, section 4
    "uniform .05", "uniform .005"   uniform, a = 0.05 or 0.005 whatever the size: the published code
                of Goodfellow et al. 2014

    Under every rule but "fan_in" the biases begin at zero.

Shapes
    W is (K, M), b is (M,). The numbers are drawn by NumPy, in float64, and then rounded: so
    float32 and float64, CPU and GPU all start from the same network.

>>> rng = np.random.default_rng(0)
>>> W, b = initial_weights("glorot", 300, 100, rng)
>>> W.shape, b.shape, bool(abs(W).max() <= math.sqrt(6 / 400)), round(float(W.var()) * 400, 1)
((300, 100), (100,), True, 2.0)
>>> W, b = initial_weights("he", 800, 1000, rng, "float64")
>>> x = np.maximum(rng.standard_normal((200, 800)), 0)       # what is above 0, of variance 1
>>> round((x @ W).var().item(), 1)                           # as loud as before
1.0
"""
import math

import numpy as np

RULES = ("glorot", "he", "fan_in", "normal", "uniform .05", "uniform .005")


def initial_weights(rule, n_in, n_out, rng, dtype="float32", shape=None):
    """(W, b) of shapes (n_in, n_out) and (n_out,), drawn by one of the RULES.

    `shape` is that of W, where that is no such matrix, with a bias for each of its last axis; then
    n_in and n_out are only how many terms the sums of forward and backward have: K and M above.
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
