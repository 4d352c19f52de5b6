"""Exercise 4."""
import math

import numpy as np

from exercises.checkers.tools import close, demand, like, locked, says
from minigan.gradcheck import check_loss

Z = np.array([[0.0], [2.0], [-1.0], [3.5], [-4.0], [0.3]])
T = np.array([[1.0], [0.0], [0.9], [1.0], [0.0], [0.3]])


def price(z, t):
    """The textbook form, for one z of moderate size."""
    p = 1 / (1 + math.exp(-z))
    return -t * math.log(p) - (1 - t) * math.log(1 - p)


def check(answer):
    loss = answer.bce_on_logits
    yield "what it returns"
    result = loss(locked(Z), locked(T))
    demand(isinstance(result, tuple) and len(result) == 2, f"it returns two things, L and dz, but yours returns {type(result).__name__}")
    L, dz = result
    demand(np.shape(L) == (), f"L is one number, the mean over all of z, but yours has the shape {np.shape(L)}")
    like("dz", dz, Z, "z")

    yield "the value of L"
    prices = [price(z, t) for z, t in zip(Z.ravel().tolist(), T.ravel().tolist())]
    right = sum(prices) / len(prices)
    demand(abs(L - sum(prices)) > 1e-6, f"your L is {L:.6g}, the sum of the prices: L is their mean")
    demand(abs(L - right) < 1e-12, f"your L is {L:.9g} for z = {Z.ravel().tolist()} and t = {T.ravel().tolist()}, the formula with p"
           f" gives {right:.9g}")
    L = loss(locked(Z), 1.0)[0]
    right = sum(price(z, 1.0) for z in Z.ravel().tolist()) / len(Z)
    demand(abs(L - right) < 1e-12, f"with t = 1.0, one number for all, your L is {L:.9g} where the formula gives {right:.9g}")

    yield "dz"
    check, = check_loss(loss, Z, T)
    demand(check.ok, says(check))

    yield "float32"
    L, dz = loss(locked(Z.astype("float32")), locked(T.astype("float32")))
    demand(L.dtype == "float32", f"z is float32 but your L is {L.dtype}")
    like("dz", dz, Z.astype("float32"), "z")

    for t in 0.0, 1.0:
        yield f"z = 1000 and -1000, with t = {t:g}"
        for z in 1000.0, -1000.0:
            right = abs(z) if (z > 0) != (t == 1) else 0.0
            try:
                L, dz = loss(locked(np.float32([[z]])), t)
            except RuntimeWarning as warning:
                demand(False, f"z = {z:g} gives infinity or NaN ({warning}): which e^... is above 1 here, and can be taken out of the"
                       " logarithm")
            demand(abs(float(L) - right) < 1e-3, f"at z = {z:g} your L is {float(L):.6g}, not {right:g}: the price of being so sure"
                   " and so wrong has no ceiling")
            slope = (z > 0) - t
            demand(abs(float(dz[0, 0]) - slope) < 1e-6, f"at z = {z:g} your dz is {dz[0, 0]:.4g}, not {slope:g}: it vanishes, or"
                   " clips, where it is needed most")

    yield "very small prices"
    L = float(loss(locked(np.array([[-40.0]])), 0.0)[0])
    demand(abs(L / math.exp(-40) - 1) < 1e-6, f"at z = -40, t = 0 your L is {L:.4g}, not {math.exp(-40):.4g}: in 1 + e, an e below"
           " 1e-16 is lost (NumPy has a function for log(1 + e))")
