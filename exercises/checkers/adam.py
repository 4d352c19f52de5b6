"""Exercise 5."""
import math

import numpy as np

from exercises.checkers.tools import close, demand, locked

SETTINGS = {"lr": 0.1, "beta1": 0.8, "beta2": 0.95, "eps": 1e-3}
THETA = np.array([1.0, -2.0, 0.5, 3.0])
GRADIENTS = [np.array(g) for g in ([1.0, -0.5, 2e-4, 10.0], [0.5, 0.5, -1e-4, 9.0], [-2.0, 0.25, 3e-4, 11.0], [1.0, 1.0, 1e-4, 10.0])]


def by_hand(gradients, lr, beta1, beta2, eps, correct=True, root=True, eps_inside=False, first=1, sign=-1, carried=False, square=True):
    """theta after these gradients, number by number; the switches are what one may get wrong."""
    result = []
    for i, theta in enumerate(THETA.tolist()):
        m = v = 0.0
        for t, g in enumerate((float(gradient[i]) for gradient in gradients), start=first):
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * (g * g if square else abs(g))
            m_hat, v_hat = (m / (1 - beta1 ** t), v / (1 - beta2 ** t)) if correct else (m, v)
            if carried:
                m, v = m_hat, v_hat
            below = math.sqrt(v_hat + eps) if eps_inside else (math.sqrt(v_hat) if root else v_hat) + eps
            theta += sign * lr * m_hat / below
        result.append(theta)
    return np.array(result)


MISTAKES = {  # what one sees, if it is this
    "there is no bias correction: m and v begin at 0, and 1 - beta^t makes up for that": {"correct": False},
    "it goes up the gradient: L is to fall": {"sign": 1},
    "it divides by v^ itself, not by its square root": {"root": False},
    "eps stands inside of the root": {"eps_inside": True},
    "t is one too large: in the first step it is 1": {"first": 2},
    "m^ and v^ are kept as m and v: the next step must go on from m and v as they were before the correction": {"carried": True},
    "v averages |g|, not g²": {"square": False},
    "there is no eps": {"eps": 0},
}


def compare(theta, gradients, settings):
    """Demand what the paper gives, and name the mistake where it is a known one."""
    right = by_hand(gradients, **settings)
    if close(theta, right, 1e-10):
        return
    for mistake, switch in MISTAKES.items():
        demand(not close(theta, by_hand(gradients, **{**settings, **switch}), 1e-10), mistake)
    i = int(abs(np.nan_to_num(theta, nan=np.inf) - right).argmax())
    demand(False, f"after {len(gradients)} step{'s' if len(gradients) > 1 else ''} with the gradients {[float(g[i]) for g in gradients]}"
           f" a weight of {THETA[i]:g} is {theta[i]:.6g}, by the paper {right[i]:.6g}"
           f" ({', '.join(f'{k} {v:g}' for k, v in settings.items())})")


def run(Adam, gradients, settings):
    theta = THETA.copy()
    optimizer = Adam(theta, **settings)
    for gradient in gradients:
        optimizer.step(locked(gradient))
    demand(optimizer.theta is theta or np.shares_memory(optimizer.theta, theta),
           "the network's theta stays as it is, a new array changes: write into it (theta -= ..., not theta = theta - ...)")
    return theta


def check(answer):
    yield "theta is changed in place"
    theta = run(answer.Adam, GRADIENTS[:1], SETTINGS)
    demand((theta != THETA).any(), "theta is the same after a step")

    yield "the first step"
    compare(theta, GRADIENTS[:1], SETTINGS)

    yield "a second optimizer"
    demand(close(run(answer.Adam, GRADIENTS[:1], SETTINGS), theta), "a second Adam, with the same numbers, does not do what the first"
           " did: D's"
           " and G's must not know of each other, so m, v and t belong to self, not to the class or the file")

    yield "four steps"
    compare(run(answer.Adam, GRADIENTS, SETTINGS), GRADIENTS, SETTINGS)

    yield "beta1 = 0, and the paper's defaults"
    compare(run(answer.Adam, GRADIENTS, {**SETTINGS, "beta1": 0.0}), GRADIENTS, {**SETTINGS, "beta1": 0.0})
    compare(run(answer.Adam, GRADIENTS, {}), GRADIENTS, {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8})

    yield "a gradient of 0"
    theta = run(answer.Adam, [0 * THETA] * 2, SETTINGS)
    demand((theta == THETA).all(), f"a gradient of 0 moves a weight of {THETA[0]:g} to {theta[0]:g}: what keeps from dividing by 0?")

    yield "dtheta, overwritten between the steps"
    theta, dtheta = THETA.copy(), np.empty(4)
    optimizer = answer.Adam(theta, **SETTINGS)
    for gradient in GRADIENTS:
        dtheta[...] = gradient
        optimizer.step(dtheta)
        dtheta[...] = 1e6
    demand(close(theta, by_hand(GRADIENTS, **SETTINGS), 1e-10), "it goes wrong when backward overwrites dtheta between two steps:"
           " m or v is not an array of its own but dtheta itself")

    yield "float32 stays float32"
    theta = THETA.astype("float32")
    optimizer = answer.Adam(theta, **SETTINGS)
    optimizer.step(GRADIENTS[0].astype("float32"))
    for name, value in vars(optimizer).items():
        dtype = getattr(value, "dtype", "float32") if np.ndim(value) else "float32"
        demand(dtype == "float32", f"theta is float32, but self.{name} is {dtype}")
