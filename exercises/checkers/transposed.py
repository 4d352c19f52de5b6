"""Exercise 7."""

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
    worst,
    writes_gradients,
)

SIZES = [(1, 2, 0), (2, 2, 0), (2, 4, 1), (1, 3, 1)]  # stride, kernel size, padding
X = np.random.default_rng(7).standard_normal((2, 3, 4, 3))  # N, H, W, C; and F will be 2


def reference(
    x: np.ndarray, W: np.ndarray, *, stride: int, padding: int, add: bool = True
) -> np.ndarray:
    """Each pixel of x adds its copy of the kernel to y; with add=False it overwrites y."""
    (n, H, width, _), (k, _, F, _) = x.shape, W.shape
    y = np.zeros((n, (H - 1) * stride + k, (width - 1) * stride + k, F))
    for a, v, u in np.ndindex(n, H, width):
        window = y[a, v * stride : v * stride + k, u * stride : u * stride + k]
        window[...] = (window if add else 0) + W @ x[a, v, u]
    return y[:, padding : y.shape[1] - padding, padding : y.shape[2] - padding]


def check(answer: Any) -> Iterator[str]:
    """The steps of this exercise; NotYet where the answer, a module, is wrong."""

    def make(dtype, stride=2, size=4, padding=1):
        return answer.TransposedConvolution(
            3,
            2,
            size,
            stride=stride,
            padding=padding,
            dtype=dtype,
            rng=np.random.default_rng(8),
        )

    yield "the shape of y"
    for stride, size, padding in SIZES:
        y, _ = forward(make("float64", stride, size, padding), X)
        zeros = np.zeros((size, size, 2, 3))
        right = reference(X, zeros, stride=stride, padding=padding).shape
        demand(
            y.shape == right,
            f"for x of shape {X.shape}, a kernel of {size} x {size}, stride {stride} and padding"
            f" {padding} your y has the shape {y.shape}, not {right}",
        )

    yield "the values of y"
    for stride, size, padding in SIZES:
        layer, options = (
            make("float64", stride, size, padding),
            dict(stride=stride, padding=padding),
        )
        (y, _), right = forward(layer, X), reference(X, layer.W, **options)
        where = f" (a kernel of {size} x {size}, stride {stride}, padding {padding})"
        demand(not close(y, 0 * right), f"your y is 0 everywhere{where}")
        if not close(y, right):
            demand(
                not close(y, reference(X, layer.W[::-1, ::-1], **options)),
                f"your kernel is mirrored: neither A nor its transpose flips the kernel{where}",
            )
            demand(
                not close(y, reference(X, layer.W, **options, add=False)),
                "where copies of the kernel overlap, the last one wins, but they must be"
                f" summed{where}",
            )
            i = worst(y, right)
            demand(
                False,
                f"your y at {list(i)} is {y[i]:.4g}, but adding the kernels one by one gives"
                f" {right[i]:.4g}{where}",
            )

    yield "the shape of dx"
    layer = make("float64")
    y, cache = forward(layer, X)
    like("dx", layer.backward(locked(y), cache), X)

    yield from writes_gradients(layer, X)
    for stride, size, padding in SIZES[2:]:
        yield from gradients(make("float64", stride, size, padding), X)
    yield from contract(make, X)
