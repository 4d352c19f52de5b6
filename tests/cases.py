"""The table of cases: each row of evaluation/derivatives.py with a second formula for its forward.

The second formula is independent of the module: plain Python, number by number, where possible.
tests/nn/test_layers.py runs every check on every case. A layer of the package without a row, or a
row without a formula, fails there. To add a layer, add its row and its formula.
"""

import contextlib
import math
from copy import copy

import numpy as np
import pytest

from minigan.evaluation.derivatives import LAYERS, WithLabels, fresh_rng, random_x


def elementwise(f):
    return lambda layer, x, rng: np.vectorize(lambda v: f(layer, v), otypes=[float])(x)


def dense(layer, x, rng):
    W, b = layer.W, layer.b
    return np.array(
        [
            [sum(x[n, i] * W[i, j] for i in range(W.shape[0])) + b[j] for j in range(W.shape[1])]
            for n in range(len(x))
        ]
    )


def dropout(layer, x, rng):
    fours = [int(bits) for bits in rng.integers(0, 2**64, math.ceil(x.size / 4), dtype="uint64")]
    shares = [bits // 2**shift % 2**16 / 2**16 for bits in fours for shift in (0, 16, 32, 48)][
        : x.size
    ]
    return np.where(np.reshape(shares, x.shape) >= layer.p, x / (1 - layer.p), 0)


def two_dense(net, x, rng):
    first, _, last = net.layers
    return (
        np.einsum("nk,km->nm", np.tanh(np.einsum("nk,km->nm", x, first.W) + first.b), last.W)
        + last.b
    )


def conv(layer, x, rng):
    """PyTorch's formula, one number at a time."""
    (h, w), (s, t), (p, q), W = layer.kernel_size, layer.stride, layer.padding, layer.W
    n, H, W_, C = x.shape
    y = np.zeros((n, (H + 2 * p - h) // s + 1, (W_ + 2 * q - w) // t + 1, layer.out_channels))
    for a, v, u, f in np.ndindex(y.shape):
        y[a, v, u, f] = layer.b[f] + sum(
            x[a, s * v + i - p, t * u + j - q, c] * W[i, j, c, f]
            for i, j, c in np.ndindex(h, w, C)
            if 0 <= s * v + i - p < H and 0 <= t * u + j - q < W_
        )
    return y


def conv_transpose(layer, x, rng):
    """Each number of x adds a scaled kernel to y, one number at a time."""
    (h, w), (s, t), (p, q), W = layer.kernel_size, layer.stride, layer.padding, layer.W
    n, H, W_, C = x.shape
    y = np.zeros(
        (
            n,
            (H - 1) * s - 2 * p + h + layer.output_padding[0],
            (W_ - 1) * t - 2 * q + w + layer.output_padding[1],
            layer.out_channels,
        )
    )
    for a, v, u, c, i, j, f in np.ndindex(n, H, W_, C, h, w, layer.out_channels):
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
            columns.append(
                [
                    (v - mean) / math.sqrt(var + layer.eps) * layer.gamma[i] + layer.beta[i]
                    for v in column
                ]
            )
        return np.array(columns).T.reshape(x.shape)

    return formula


def labels_of(layer, n):
    """The labels that derivatives.WithLabels passes to its layer beside n examples."""
    return np.random.default_rng(7).standard_normal((n, layer.layer.n_classes))


def concat_labels(layer, x, rng):
    return np.array(
        [
            [*image.ravel().tolist(), *label.tolist()]
            for image, label in zip(x, labels_of(layer, len(x)))
        ]
    )


def concat_label_maps(layer, x, rng):
    """Pixel by pixel: its channels, or its one grey value, and then the label."""
    return np.array(
        [
            [[[*np.ravel(pixel), *label] for pixel in row] for row in image]
            for image, label in zip(x, labels_of(layer, len(x)))
        ]
    )


def projection(layer, x, rng):
    """Row by row: the sum of all x_k (W_k + the mixture of the classes' numbers for k), and b."""
    W, b, E = layer.W, layer.b, layer.E
    return np.array(
        [
            [
                b[0]
                + sum(
                    v * (W[k, 0] + sum(share * E[c, k] for c, share in enumerate(label)))
                    for k, v in enumerate(image)
                )
            ]
            for image, label in zip(x, labels_of(layer, len(x)))
        ]
    )


def spectral(of):
    """The wrapped layer's formula with W / |Wu|; once u has converged, |Wu| is sigma."""

    def formula(layer, x, rng):
        inner, W = copy(layer.layer), layer.W.reshape(-1, layer.W.shape[-1])
        Wu = [sum(row[j] * layer.u[j] for j in range(len(row))) for row in W]
        inner.W, inner.b = layer.W / math.hypot(*Wu), layer.b
        return of(inner, x, rng)

    return formula


def pool(layer, x, rng):
    n, H, W, C = x.shape
    return np.array(
        [
            [
                [
                    [
                        sum(x[a, 2 * v + i, 2 * u + j, c] for i in (0, 1) for j in (0, 1)) / 4
                        for c in range(C)
                    ]
                    for u in range(W // 2)
                ]
                for v in range(H // 2)
            ]
            for a in range(n)
        ]
    )


def upsample(layer, x, rng):
    n, H, W, C = x.shape
    return np.array(
        [[[x[a, v // 2, u // 2] for u in range(2 * W)] for v in range(2 * H)] for a in range(n)]
    )


leaky_relu = elementwise(lambda layer, v: v if v > 0 else layer.negative_slope * v)
unchanged = elementwise(lambda layer, v: v)

FORMULAS = {  # (layer, x, rng) -> y; rng is what forward was given
    "Dense": dense,
    "Dense, one example": dense,
    "Dense, one input": dense,
    "Dense, one output": dense,
    "Dense, square": dense,
    "LeakyReLU": leaky_relu,
    "LeakyReLU, flat x": leaky_relu,
    "ReLU": elementwise(lambda layer, v: v if v > 0 else 0.0),
    "Tanh": elementwise(lambda layer, v: (math.exp(2 * v) - 1) / (math.exp(2 * v) + 1)),
    "Sigmoid": elementwise(lambda layer, v: 1 / (1 + math.exp(-v))),
    "Dropout, training": dropout,
    "Dropout, sampling": unchanged,
    "Dropout, p = 0": unchanged,
    "Sequential": two_dense,
    "Conv2d": conv,
    "Conv2d, overlapping windows": conv,
    "Conv2d, some pixels unused": conv,
    "Conv2d, 1 x 1 kernel": conv,
    "ConvTranspose2d": conv_transpose,
    "ConvTranspose2d, output padding": conv_transpose,
    "BatchNorm2d, training": batchnorm(train=True),
    "BatchNorm2d, images": batchnorm(train=True),
    "BatchNorm2d, sampling": batchnorm(train=False),
    "Reshape": lambda layer, x, rng: np.array(
        [[[[r[0]], [r[1]], [r[2]]], [[r[3]], [r[4]], [r[5]]]] for r in x]
    ),
    "Reshape, flat": lambda layer, x, rng: np.array(
        [[v for pair in row for v in pair] for row in x]
    ),
    "ConcatLabels": concat_labels,
    "ConcatLabelMaps": concat_label_maps,
    "ConcatLabelMaps, grey": concat_label_maps,
    "Projection": projection,
    "AvgPool2d": pool,
    "Upsample": upsample,
    "SpectralNorm of Dense": spectral(dense),
    "SpectralNorm of Dense, training": spectral(dense),
    "SpectralNorm of Conv2d": spectral(conv),
    "Maxout": lambda layer, x, rng: np.array([[max(row[:3]), max(row[3:])] for row in x.tolist()]),
}
CASES = {row.name: row for row in LAYERS}


def on(xp, layer):
    """The layer with its parameters and buffers on the backend xp."""
    if hasattr(layer, "to"):
        return layer.to(xp)
    if isinstance(layer, WithLabels):
        on(xp, layer.layer)
        return layer
    for name in layer.param_names:
        setattr(layer, name, xp.asarray(getattr(layer, name)))
        setattr(layer, "d" + name, xp.asarray(getattr(layer, "d" + name)))
    for name in layer.buffer_names:
        setattr(layer, name, xp.asarray(getattr(layer, name)))
    return layer


def inputs(case, dtype="float64"):
    """(x, dy) on the host: random, and the same each time."""
    x = random_x(case.shape).astype(dtype)
    y, _ = case.make(dtype).forward(x, train=case.train, rng=fresh_rng())
    return x, np.random.default_rng(12).standard_normal(y.shape).astype(dtype)


def innermost(layer, i):
    """A network's first or last layer; the layer that a wrapper wraps."""
    return layer.layers[i] if hasattr(layer, "layers") else getattr(layer, "layer", layer)


@contextlib.contextmanager
def refusal(error, *fragments):
    """The block raises that error in one line, whose message has all of these fragments."""
    with pytest.raises(error) as caught:
        yield
    message = str(caught.value)
    assert "\n" not in message
    for fragment in fragments:
        assert fragment in message


def gradients(layer):
    return {"d" + name: getattr(layer, "d" + name) for name in layer.param_names}
