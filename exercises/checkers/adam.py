"""Exercise 5."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from exercises.checkers.tools import close, demand, locked

SETTINGS = {"lr": 0.1, "beta1": 0.8, "beta2": 0.95, "eps": 1e-3}
DEFAULTS = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
THETA = np.array([1.0, -2.0, 0.5, 3.0])
GRADIENTS = [
    np.array([1.0, -0.5, 2e-4, 10.0]),
    np.array([0.5, 0.5, -1e-4, 9.0]),
    np.array([-2.0, 0.25, 3e-4, 11.0]),
    np.array([1.0, 1.0, 1e-4, 10.0]),
]


def reference_adam(
    gradients: list[np.ndarray],
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    correct: bool = True,
    root: bool = True,
    eps_inside: bool = False,
    first: int = 1,
    sign: int = -1,
    carried: bool = False,
    square: bool = True,
) -> np.ndarray:
    """theta after these gradients, computed number by number; switches turn on typical mistakes."""
    result = []
    for i, theta in enumerate(THETA.tolist()):
        m = v = 0.0
        for t, g in enumerate((float(gradient[i]) for gradient in gradients), start=first):
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * (g * g if square else abs(g))
            m_hat, v_hat = (m / (1 - beta1**t), v / (1 - beta2**t)) if correct else (m, v)
            if carried:
                m, v = m_hat, v_hat
            if eps_inside:
                denominator = math.sqrt(v_hat + eps)
            else:
                denominator = (math.sqrt(v_hat) if root else v_hat) + eps
            theta += sign * lr * m_hat / denominator
        result.append(theta)
    return np.array(result)


MISTAKES = {  # what it looks like: the switch of reference_adam
    "there is no bias correction: m and v start at 0, and dividing by 1 - beta^t corrects that": {
        "correct": False
    },
    "it goes up the gradient, but L should fall": {"sign": 1},
    "it divides by v^ itself, not by its square root": {"root": False},
    "eps is inside the root": {"eps_inside": True},
    "t is one too large: in the first step it is 1": {"first": 2},
    "m^ and v^ are stored as m and v: the next step must continue from the uncorrected m and v": {
        "carried": True
    },
    "v averages |g|, not g²": {"square": False},
    "there is no eps": {"eps": 0},
}


def compare(theta: np.ndarray, gradients: list[np.ndarray], settings: dict) -> None:
    """Demand the result of the paper's algorithm, and name the mistake if it is a known one."""
    right = reference_adam(gradients, **settings)
    if close(theta, right, 1e-10):
        return
    for mistake, switch in MISTAKES.items():
        wrong = reference_adam(gradients, **{**settings, **switch})
        demand(not close(theta, wrong, 1e-10), mistake)
    i = int(abs(np.nan_to_num(theta, nan=np.inf) - right).argmax())
    demand(
        False,
        f"after {len(gradients)} step{'s' if len(gradients) > 1 else ''} with the gradients"
        f" {[float(g[i]) for g in gradients]} a weight of {THETA[i]:g} is {theta[i]:.6g}, but by"
        f" the paper it should be {right[i]:.6g}"
        f" ({', '.join(f'{k} {v:g}' for k, v in settings.items())})",
    )


def run(Adam: Any, gradients: list[np.ndarray], settings: dict) -> np.ndarray:
    """theta after the steps of the student's Adam."""
    theta = THETA.copy()
    optimizer = Adam(theta, **settings)
    for gradient in gradients:
        optimizer.step(locked(gradient))
    demand(
        optimizer.theta is theta or np.shares_memory(optimizer.theta, theta),
        "the network's theta is unchanged, because the update creates a new array: write into it"
        " (theta -= ..., not theta = theta - ...)",
    )
    return theta


def check(answer: Any) -> Iterator[str]:
    """The steps of this exercise; NotYet where the answer, a module, is wrong."""
    yield "theta is changed in place"
    theta = run(answer.Adam, GRADIENTS[:1], SETTINGS)
    demand((theta != THETA).any(), "theta is unchanged after a step")

    yield "the first step"
    compare(theta, GRADIENTS[:1], SETTINGS)

    yield "a second optimizer"
    demand(
        close(run(answer.Adam, GRADIENTS[:1], SETTINGS), theta),
        "a second Adam, with the same numbers, gives a different result from the first: D's and"
        " G's optimizers must be independent, so m, v and t belong to self, not to the class or"
        " the module",
    )

    yield "four steps"
    compare(run(answer.Adam, GRADIENTS, SETTINGS), GRADIENTS, SETTINGS)

    yield "beta1 = 0, and the paper's defaults"
    without_momentum = {**SETTINGS, "beta1": 0.0}
    compare(run(answer.Adam, GRADIENTS, without_momentum), GRADIENTS, without_momentum)
    compare(run(answer.Adam, GRADIENTS, {}), GRADIENTS, DEFAULTS)

    yield "a gradient of 0"
    theta = run(answer.Adam, [0 * THETA] * 2, SETTINGS)
    demand(
        (theta == THETA).all(),
        f"a gradient of 0 changes a weight of {THETA[0]:g} to {theta[0]:g}: what prevents a"
        " division by zero?",
    )

    yield "dtheta, overwritten between the steps"
    theta, dtheta = THETA.copy(), np.empty(4)
    optimizer = answer.Adam(theta, **SETTINGS)
    for gradient in GRADIENTS:
        dtheta[...] = gradient
        optimizer.step(dtheta)
        dtheta[...] = 1e6
    demand(
        close(theta, reference_adam(GRADIENTS, **SETTINGS), 1e-10),
        "the result is wrong when backward overwrites dtheta between two steps: m or v is not an"
        " array of its own but dtheta itself",
    )

    yield "float32 stays float32"
    theta = THETA.astype("float32")
    optimizer = answer.Adam(theta, **SETTINGS)
    optimizer.step(GRADIENTS[0].astype("float32"))
    for name, value in vars(optimizer).items():
        dtype = getattr(value, "dtype", "float32") if np.ndim(value) else "float32"
        demand(dtype == "float32", f"theta is float32, but self.{name} is {dtype}")
