"""Gradient check hints: the likely cause of a wrong gradient, in words.

The idea
    Most wrong gradients are wrong in a typical way. They are transposed, multiplied by a constant,
    or computed from the last example only. Each mistake leaves its own pattern when the gradient is
    compared with the central differences. likely_cause looks for these patterns, the most specific
    ones first.

>>> numeric = np.array([[1.0, 2.0], [3.0, 4.0]])
>>> likely_cause(numeric.T, numeric, lambda: 0.0, np.zeros((2, 2)))
'a transposed matrix: it is correct after swapping rows and columns'
"""

from collections.abc import Callable

import numpy as np


def likely_cause(
    analytic: np.ndarray,
    numeric: np.ndarray,
    f: Callable[[], float],
    x: np.ndarray,
    *,
    last: np.ndarray | None = None,
    n: int = 1,
) -> str:
    """The likely cause of a wrong gradient `analytic` of f() with respect to x, in words.

    `numeric` holds the central differences. Both have the shape of x. `last` is the gradient for
    the last of n examples alone, if that is known.
    """
    if not np.isfinite(analytic).all():
        return "a division by zero or an overflow: backward returns NaN or infinity"
    if not analytic.any():
        return "a gradient that is never written: it is 0 everywhere"
    if analytic.ndim == 2 and nearly_equal(analytic.T, numeric):
        return "a transposed matrix: it is correct after swapping rows and columns"
    if last is not None and nearly_equal(analytic, last):
        return "a missing sum over the batch: only the last example counts"
    ratio = float((analytic * numeric).sum() / max((numeric * numeric).sum(), 1e-300))
    if abs(ratio - 1) > 1e-3 and nearly_equal(analytic, ratio * numeric):
        return f"it is {ratio:.4g} times the correct value everywhere: {cause_of_factor(ratio, n)}"
    if has_kink(f, x, np.unravel_index(abs(analytic - numeric).argmax(), x.shape)):
        return (
            "a kink: the derivatives to the left and to the right of this x differ, so move"
            " x away from it"
        )
    wrong = int((abs(analytic - numeric) > 1e-6 * abs(numeric).max()).sum())
    return f"the formula itself: {wrong} of {analytic.size} entries are wrong, by no common factor"


def cause_of_factor(ratio: float, n: int) -> str:
    """The likely cause of a gradient that is `ratio` times the correct one, for n examples."""
    if abs(ratio * n - 1) < 1e-4 or abs(ratio / n - 1) < 1e-4:
        return "a sum over the batch instead of a mean, or the other way round"
    if abs(ratio + 1) < 1e-4:
        return "the sign"
    return "an extra factor, or += instead of =" if ratio > 1 else "a missing factor"


def has_kink(f: Callable[[], float], x: np.ndarray, index: tuple, h: float = 6e-6) -> bool:
    """Whether the one-sided derivatives of f() with respect to x[index] differ by more than 1 %."""
    middle, values = float(x[index]), []
    for step in h, 0, -h:
        x[index] = middle + step
        values.append(f())
    above, here, below = values
    x[index] = middle
    return abs((above - here) - (here - below)) > 0.01 * abs(above - below)


def nearly_equal(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether a and b, of the same shape, agree to 4 digits."""
    return a.shape == b.shape and abs(a - b).max() <= 1e-4 * abs(b).max()
