"""The table of cases: each row of minigan/selfcheck.py with a second formula for its forward.

The second formula is independent of the page: plain Python, number by number, where it can be.
tests/test_layers.py runs every check on every case; a layer of the package without a row, or a
row without a formula, fails there. So: to add a layer, add its row and its formula.
"""
import math
from copy import copy

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


def conv(layer, x, rng):
    """PyTorch's formula, one number at a time."""
    (k, l), (s, t), (p, q), W = layer.size, layer.stride, layer.padding, layer.W
    n, H, W_, C = x.shape
    y = np.zeros((n, (H + 2 * p - k) // s + 1, (W_ + 2 * q - l) // t + 1, layer.n_out))
    for a, v, u, f in np.ndindex(y.shape):
        y[a, v, u, f] = layer.b[f] + sum(
            x[a, s * v + i - p, t * u + j - q, c] * W[i, j, c, f]
            for i, j, c in np.ndindex(k, l, C) if 0 <= s * v + i - p < H and 0 <= t * u + j - q < W_)
    return y


def conv_transpose(layer, x, rng):
    """Each number of x lays a kernel upon y, one number at a time."""
    (k, l), (s, t), (p, q), W = layer.size, layer.stride, layer.padding, layer.W
    n, H, W_, C = x.shape
    y = np.zeros((n, (H - 1) * s - 2 * p + k + layer.more[0], (W_ - 1) * t - 2 * q + l + layer.more[1], layer.n_out))
    for a, v, u, c, i, j, f in np.ndindex(n, H, W_, C, k, l, layer.n_out):
        if 0 <= s * v + i - p < y.shape[1] and 0 <= t * u + j - q < y.shape[2]:
            y[a, s * v + i - p, t * u + j - q, f] += x[a, v, u, c] * W[i, j, f, c]
    return y + layer.b


def batchnorm(train):
    def formula(layer, x, rng):
        columns = []
        for i in range(x.shape[-1]):
            column = x[..., i].ravel().tolist()
            mean = sum(column) / len(column) if train else layer.mean[i]
            var = sum((v - mean) ** 2 for v in column) / len(column) if train else layer.var[i]
            columns.append([(v - mean) / math.sqrt(var + layer.eps) * layer.gamma[i] + layer.beta[i] for v in column])
        return np.array(columns).T.reshape(x.shape)
    return formula


def label_planes(layer, x, rng):
    H, W, C = layer.shape
    return np.array([[[[*row[(v * W + u) * C:(v * W + u + 1) * C], *row[H * W * C:]] for u in range(W)] for v in range(H)] for row in x])


def spectral(of):
    """The formula of the layer within, with W divided by |Wu|: for a u that turns no more, its largest singular value."""
    def formula(layer, x, rng):
        inner, W = copy(layer.layer), layer.W.reshape(-1, layer.W.shape[-1])
        Wu = [sum(row[j] * layer.u[j] for j in range(len(row))) for row in W]
        inner.W, inner.b = layer.W / math.hypot(*Wu), layer.b
        return of(inner, x, rng)
    return formula


def pool(layer, x, rng):
    n, H, W, C = x.shape
    return np.array([[[[sum(x[a, 2 * v + i, 2 * u + j, c] for i in (0, 1) for j in (0, 1)) / 4
                        for c in range(C)] for u in range(W // 2)] for v in range(H // 2)] for a in range(n)])


def upsample(layer, x, rng):
    n, H, W, C = x.shape
    return np.array([[[x[a, v // 2, u // 2] for u in range(2 * W)] for v in range(2 * H)] for a in range(n)])


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
    "Conv2D": conv,
    "Conv2D, places overlap": conv,
    "Conv2D, some pixels unseen": conv,
    "Conv2D, one by one": conv,
    "ConvTranspose2D": conv_transpose,
    "ConvTranspose2D, output padding": conv_transpose,
    "BatchNorm, training": batchnorm(train=True),
    "BatchNorm, images": batchnorm(train=True),
    "BatchNorm, sampling": batchnorm(train=False),
    "Reshape": lambda layer, x, rng: np.array([[[[r[0]], [r[1]], [r[2]]], [[r[3]], [r[4]], [r[5]]]] for r in x]),
    "Reshape, flat": lambda layer, x, rng: np.array([[v for pair in row for v in pair] for row in x]),
    "LabelPlanes": label_planes,
    "AveragePool2D": pool,
    "UpSample2D": upsample,
    "SpectralNorm of Dense": spectral(dense),
    "SpectralNorm of Dense, training": spectral(dense),
    "SpectralNorm of Conv2D": spectral(conv),
    "Maxout": lambda layer, x, rng: np.array([[max(row[:3]), max(row[3:])] for row in x.tolist()]),
}
CASES = {row.name: row for row in LAYERS}


def inputs(case, dtype="float64"):
    """(x, dy) on the host: random, and the same each time."""
    x = random_x(case.shape).astype(dtype)
    y, _ = case.make(dtype).forward(x, train=case.train, rng=draws())
    return x, np.random.default_rng(12).standard_normal(y.shape).astype(dtype)


def gradients(layer):
    return {"d" + name: getattr(layer, "d" + name) for name in layer.names}
