"""Gradient check: compare a hand-written backward with central differences.

The idea
    A derivative makes a prediction: if x changes by a small h, L changes by (derivative) * h. The
    check changes x and compares. If a backward was derived or typed wrongly, the two disagree.

Forward
    Increase one number of x by h, then decrease it by h, with all others fixed:

        derivative  ~  (L(x + h) - L(x - h)) / 2h            the central difference

Which h
    Taylor's series around x says L(x ± h) = L ± hL' + h²/2 L'' ± h³/6 L''' + ... The even terms
    cancel, and the remaining error is h²/6 L'''. (The one-sided difference (L(x + h) - L(x)) / h
    has an error of h/2 L'', which is much larger.) A smaller h is therefore better, but only up to
    a point. L is rounded, with a relative error of about eps = 2e-16, and the division by h turns
    this into an error of about eps/h.

    Where L and L''' are about 1, the total error h²/6 + eps/h is smallest where its derivative
    h/3 - eps/h² is 0, at h = (3 eps)^(1/3), which is about 1e-5 and leaves an error of about 4e-11.
    The h used here, 6e-6, leaves about the same error. In float32 eps is 1e-7, and no h gives an
    error below 1e-5, which is too large to find small mistakes. Gradients are therefore checked in
    float64. (Press et al. 2007, "Numerical Recipes", section 5.7)

Backward
    A layer returns an array, not one number. The check uses L = sum of dy * y for some fixed dy.
    The gradient of this L with respect to y is that dy, so `backward(dy)` must return the gradient
    of L with respect to x. The dy is random, because with dy = 1 everywhere a backward that swaps
    the rows of dy, or transposes it, would pass.

What it cannot see
    The check cannot see that a forward computes the wrong function. A Sigmoid that computes
    sigmoid(2x), with the correct derivative of sigmoid(2x), passes. The tests therefore also
    compare every forward with a second formula.

Shapes
    x may have any shape; x and its gradient are float64. Each number of x takes two forward passes,
    so x should be small.

>>> from minigan.nn.activations import Tanh
>>> for check in check_layer(Tanh(), np.array([[0.5, -1.0]])): print(check.name, check.ok)
dx True
>>> class Wrong(Tanh):
...     def backward(self, dy, cache, *, need_dx=True, need_dparams=True):
...         return 2 * super().backward(dy, cache)
>>> print(*(check.cause for check in check_layer(Wrong(), np.array([[0.5, -1.0]]))))
it is 2 times the correct value everywhere: an extra factor, or += instead of =
"""

import math
from collections.abc import Callable
from itertools import product
from typing import NamedTuple

import numpy as np

from minigan.nn.gradcheck_hints import likely_cause
from minigan.nn.layer import Layer

TOLERANCE = 1e-7  # of the relative error; in `python demo.py check` it stays below 1e-9


class Check(NamedTuple):
    """One gradient compared with its central differences; print(check) describes it."""

    name: str  # "dx", "dW", ...
    error: float  # the largest difference, relative to the largest entry of either
    index: tuple = ()  # type: ignore[assignment]  # the index of that difference
    analytic: float = math.nan  # the gradient from backward at that index
    numeric: float = math.nan  # the central difference at that index
    cause: str = ""  # the likely cause of the error

    @property
    def ok(self) -> bool:
        """Whether the two agree."""
        return self.error < TOLERANCE

    def __str__(self):
        if self.ok:
            return f"✓ {self.name:8} relative error {self.error:.0e}"
        return (
            f"✗ {self.name:8} relative error {self.error:.0e}, largest at {list(self.index)}:"
            f" backward gives {self.analytic:.6g}, the central difference {self.numeric:.6g}."
            f" Likely cause: {self.cause}."
        )


def central_difference(f: Callable[[], float], x: np.ndarray, h: float = 6e-6) -> np.ndarray:
    """The derivative of f() with respect to each number in x, a float64 array that f reads.

    x is changed temporarily and restored afterwards.
    """
    dx = np.empty_like(x)
    for i in product(*map(range, x.shape)):
        middle = x[i].copy()
        x[i] = middle + h
        above = f()
        x[i] = middle - h
        dx[i] = (above - f()) / (2 * h)
        x[i] = middle
    return dx


def check_layer(layer: Layer, x: np.ndarray, *, train: bool = False, seed: int = 0) -> list[Check]:
    """Check dx and the gradient of each parameter of a layer, for an x that the layer accepts.

    Raises TypeError unless x and the parameters are float64. Every forward receives a new random
    generator with the same seed, and therefore the same random numbers.
    """
    x, forward = np.array(x), repeatable_forward(layer, train, seed)
    arrays = {"x": x, **{name: getattr(layer, name) for name in layer.param_names}}
    for name, array in arrays.items():
        if array.dtype != "float64":
            raise TypeError(
                f"a gradient check needs float64, but {name} is {array.dtype} of shape"
                f" {array.shape}"
            )

    def gradients(x, dy):
        for name in layer.param_names:
            getattr(layer, "d" + name)[...] = 0
        # the second call shows whether backward replaces the gradients or adds to them
        for _ in range(2):
            dx = layer.backward(dy, forward(x)[1])
        return {
            "x": dx,
            **{name: np.array(getattr(layer, "d" + name)) for name in layer.param_names},
        }

    dy = np.random.default_rng(seed + 1).standard_normal(forward(x)[0].shape)
    analytic = gradients(x, dy)
    # the gradients if the last example were the only one
    last = gradients(x[-1:], dy[-1:]) if len(x) > 1 and not train else {}
    return [
        compare(
            "d" + name,
            analytic[name],
            lambda: float((dy * forward(x)[0]).sum()),
            array,
            last=last.get(name),
            n=len(x),
        )
        for name, array in arrays.items()
    ]


def check_loss(loss: Callable, a: np.ndarray, targets: np.ndarray) -> list[Check]:
    """Check the da that `loss(a, targets)` returns as (L, da), for a float64 array a.

    Returns a list with one Check. Raises TypeError if a is not float64.
    """
    a = np.array(a)
    if a.dtype != "float64":
        raise TypeError(f"a gradient check needs float64, but a is {a.dtype} of shape {a.shape}")
    return [compare("da", loss(a, targets)[1], lambda: float(loss(a, targets)[0]), a, n=a.size)]


def compare(
    name: str,
    analytic: np.ndarray | None,
    f: Callable[[], float],
    x: np.ndarray,
    *,
    last: np.ndarray | None = None,
    n: int = 1,
) -> Check:
    """The Check of an analytic gradient of f() with respect to x (any shape, float64).

    The number n of examples, and the gradient for the `last` of them alone, help to find the
    likely cause of an error.
    """
    numeric = central_difference(f, x)
    if analytic is None or analytic.shape != x.shape:
        return Check(
            name,
            math.inf,
            cause="a transposed matrix or a missing sum: the gradient has shape"
            f" {getattr(analytic, 'shape', None)}, not {x.shape}",
        )
    difference = abs(analytic - numeric)
    index = tuple(map(int, np.unravel_index(difference.argmax(), x.shape)))
    error = float(difference.max() / max(abs(analytic).max(), abs(numeric).max(), 1e-30))
    found = Check(
        name,
        math.inf if math.isnan(error) else error,
        index,
        float(analytic[index]),
        float(numeric[index]),
    )
    return (
        found
        if found.ok
        else found._replace(cause=likely_cause(analytic, numeric, f, x, last=last, n=n))
    )


def repeatable_forward(layer: Layer, train: bool, seed: int) -> Callable:
    """x -> (y, cache), always with the same buffers of the layer and the same random numbers."""
    buffers = [
        getattr(part, name)
        for part in getattr(layer, "layers", [layer])
        for name in part.buffer_names
    ]
    before = [buffer.copy() for buffer in buffers]

    def forward(x):
        for buffer, value in zip(buffers, before):
            buffer[...] = value
        return layer.forward(x, train=train, rng=np.random.default_rng(seed))

    return forward
