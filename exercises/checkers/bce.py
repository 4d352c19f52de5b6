"""Exercise 4."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from exercises.checkers.tools import demand, hint, like, locked
from minigan.nn.gradcheck import check_loss

A = np.array([[0.0], [2.0], [-1.0], [3.5], [-4.0], [0.3]])
T = np.array([[1.0], [0.0], [0.9], [1.0], [0.0], [0.3]])


def textbook_bce(a: float, t: float) -> float:
    """The textbook formula, for one logit of moderate size."""
    p = 1 / (1 + math.exp(-a))
    return -t * math.log(p) - (1 - t) * math.log(1 - p)


def check(answer: Any) -> Iterator[str]:
    """The steps of this exercise; NotYet where the answer, a module, is wrong."""
    loss = answer.bce_with_logits
    yield "what it returns"
    result = loss(locked(A), locked(T))
    demand(
        isinstance(result, tuple) and len(result) == 2,
        f"it returns two values, L and da, but yours returns {type(result).__name__}",
    )
    L, da = result
    demand(
        np.shape(L) == (),
        f"L is a scalar, the mean over all of a, but yours has the shape {np.shape(L)}",
    )
    like("da", da, A, "a")

    yield "the value of L"
    losses = [textbook_bce(a, t) for a, t in zip(A.ravel().tolist(), T.ravel().tolist())]
    right = sum(losses) / len(losses)
    demand(
        abs(L - sum(losses)) > 1e-6,
        f"your L is {L:.6g}, which is the sum of the losses, but L is their mean",
    )
    demand(
        abs(L - right) < 1e-12,
        f"your L is {L:.9g} for a = {A.ravel().tolist()} and t = {T.ravel().tolist()}, but the"
        f" formula with p gives {right:.9g}",
    )
    L = loss(locked(A), 1.0)[0]
    right = sum(textbook_bce(a, 1.0) for a in A.ravel().tolist()) / len(A)
    demand(
        abs(L - right) < 1e-12,
        f"with t = 1.0, one number for all, your L is {L:.9g}, but the formula gives {right:.9g}",
    )

    yield "da"
    (found,) = check_loss(loss, A, T)
    demand(found.ok, hint(found))

    yield "float32"
    L, da = loss(locked(A.astype("float32")), locked(T.astype("float32")))
    demand(L.dtype == "float32", f"a is float32 but your L is {L.dtype}")
    like("da", da, A.astype("float32"), "a")

    for t in 0.0, 1.0:
        yield f"a = 1000 and -1000, with t = {t:g}"
        for a in 1000.0, -1000.0:
            right = abs(a) if (a > 0) != (t == 1) else 0.0
            try:
                L, da = loss(locked(np.float32([[a]])), t)
            except RuntimeWarning as warning:
                demand(
                    False,
                    f"a = {a:g} gives infinity or NaN ({warning}): which e^... exceeds 1 here, and"
                    " can be taken out of the logarithm",
                )
            demand(
                abs(float(L) - right) < 1e-3,
                f"at a = {a:g} your L is {float(L):.6g}, not {right:g}: the loss of a confident"
                " mistake has no upper bound",
            )
            derivative = (a > 0) - t
            demand(
                abs(float(da[0, 0]) - derivative) < 1e-6,
                f"at a = {a:g} your da is {da[0, 0]:.4g}, not {derivative:g}: it vanishes, or is"
                " clipped, where it is needed most",
            )

    yield "very small losses"
    L = float(loss(locked(np.array([[-40.0]])), 0.0)[0])
    demand(
        abs(L / math.exp(-40) - 1) < 1e-6,
        f"at a = -40, t = 0 your L is {L:.4g}, not {math.exp(-40):.4g}: in 1 + e, an e below 1e-16"
        " is lost (NumPy has a function for log(1 + e))",
    )
