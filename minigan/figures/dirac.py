"""The Dirac-GAN: the smallest GAN there is, its phase portrait, and its eigenvalues by hand.

The idea
    All real data is the single number 0. G(z) = theta, whatever z is, and D(x) = psi x. The whole
    GAN is thus a point (psi, theta) in the plane, and training is a curve in it. The equilibrium is
    (0, 0): G generates the data, and D is flat. Mescheder et al. 2018 show with it why GANs need a
    gradient penalty: without one, training circles around the equilibrium and never arrives.

Forward
    A pair has the logits D(0) = 0 and D(theta) = psi theta, so d = -psi theta. The derivative of D
    with respect to x is psi everywhere, so R1 and R2 are both gamma psi² / 2. With the relativistic
    loss of gan/losses.py and k of these two penalties,

        loss of D = softplus(psi theta) + c psi² / 2,    c = k gamma
        loss of G = softplus(-psi theta)

    The non-saturating loss has the same gradients here, because D(0) is constant. Both penalties
    together are one with twice the gamma, because D is equally steep at real data and at fakes.

Backward
    Let u = psi theta. By the chain rule

        dpsi = sigmoid(u) theta + c psi          dtheta = -sigmoid(-u) psi

Near the equilibrium
    There u is close to 0, and both sigmoids are 1/2. In continuous time, the limit of very small
    learning rates, training follows minus the gradient, which is now linear in the point:

        d psi / dt   = -c psi - theta / 2
        d theta / dt =  psi / 2                      A = [[-c, -1/2], [1/2, 0]]

    The eigenvalues of A have the sum -c (the trace) and the product 1/4 (the determinant), so they
    solve lambda² + c lambda + 1/4 = 0:

        lambda = (-c ± sqrt(c² - 1)) / 2

    Without a penalty they are ± i/2: a rotation, with closed orbits. For 0 < c < 1 their real part
    is -c/2: a spiral in. At c = 1, critical damping, the rotation stops. This is gamma = 1 with one
    penalty and gamma = 1/2 with both. A larger c is slower again, because the eigenvalue nearer to
    0 decides.

    A training step with a learning rate r multiplies the point by a matrix M. The modulus of its
    eigenvalues mu is the factor by which the distance from the equilibrium changes per step. For
    comparison, in continuous time a duration r has mu = e^(r lambda).

    simultaneous    Both networks use the gradients at the old point: M = I + r A, mu = 1 + r
                    lambda. Without a penalty |mu| = sqrt(1 + r²/4) > 1: a spiral out, at any rate.

    alternating     D steps first, and G uses the new psi, as in minigan. M is the product of both
                    steps, [[1, 0], [r/2, 1]] @ [[1 - r c, -r/2], [0, 1]]. Its determinant is 1 - r
                    c, and its trace 2 - r c - r²/4, so mu² - (2 - r c - r²/4) mu + (1 - r c) = 0.
                    Without a penalty the product of both mu is 1, and for r < 4 they are complex
                    conjugates: |mu| = 1, closed orbits. With a penalty |mu| = sqrt(1 - r c) up to
                    the critical damping at c = 1 - r/4, where both mu are equal.

Far from the equilibrium
    The derivative of (psi² + theta²) / 2 in continuous time is -u tanh(u/2) - c psi², so that even
    without a penalty orbits shrink a little. This comes from the non-saturating loss of G. The
    shrinking is of fourth order, and near the equilibrium it is slower than any exponential. With
    G's minimax loss the two sigmoids are equal, and the orbits are circles.

Shapes
    A point is (2,), psi and theta; a trajectory of n steps is (n + 1, 2).

>>> for c in 0.0, 0.5, 1.0:
...     print(c, {kind: abs(multipliers(kind, c)).max().round(3).item() for kind in DYNAMICS})
0.0 {'continuous': 1.0, 'alternating': 1.0, 'simultaneous': 1.02}
0.5 {'continuous': 0.905, 'alternating': 0.894, 'simultaneous': 0.917}
1.0 {'continuous': 0.819, 'alternating': 0.872, 'simultaneous': 0.8}
>>> trajectory("alternating", 0.0, 100).shape
(101, 2)
"""

import numpy as np

from minigan.nn.activations import sigmoid

DYNAMICS = ("continuous", "alternating", "simultaneous")
RATE = 0.4  # the learning rate; in continuous time the duration of a step
START = (0.0, 0.05)  # psi and theta: near the equilibrium
STEPS = 63  # two turns without a penalty, of 4 pi / RATE steps each
GAMMA = 0.5  # critical with both penalties
PENALTY_COUNTS = {"no penalty": 0, "R1": 1, "R1 + R2": 2}  # k
SUBSTEPS = 20  # of continuous time, in a duration RATE


def gradients(point: np.ndarray, c: float) -> np.ndarray:
    """(dpsi, dtheta) at a point (psi, theta), with k gamma = c."""
    psi, theta = point
    u = np.array(psi * theta)
    return np.array([sigmoid(u) * theta + c * psi, -sigmoid(-u) * psi])


def take_step(kind: str, point: np.ndarray, c: float, rate: float = RATE) -> np.ndarray:
    """The point after a step of the given DYNAMICS from `point`, (2,)."""
    if kind == "continuous":
        h = rate / SUBSTEPS
        for _ in range(SUBSTEPS):  # the midpoint rule
            middle = point - h / 2 * gradients(point, c)
            point = point - h * gradients(middle, c)
        return point
    if kind == "simultaneous":
        return point - rate * gradients(point, c)
    psi, theta = point
    psi = psi - rate * gradients(point, c)[0]
    theta = theta - rate * gradients(np.array([psi, theta]), c)[1]
    return np.array([psi, theta])


def trajectory(
    kind: str,
    c: float,
    steps: int,
    *,
    rate: float = RATE,
    start: tuple[float, float] = START,
) -> np.ndarray:
    """The points of `steps` steps from the start, (steps + 1, 2)."""
    points = [np.array(start)]
    for _ in range(steps):
        points.append(take_step(kind, points[-1], c, rate))
    return np.stack(points)


def multipliers(kind: str, c: float, rate: float = RATE) -> np.ndarray:
    """Both eigenvalues mu of a step near the equilibrium, (2,), from the formulas above."""
    half_root = np.sqrt(complex(c * c - 1)) / 2
    eigenvalues = np.array([-c / 2 + half_root, -c / 2 - half_root])
    if kind == "continuous":
        return np.exp(rate * eigenvalues)
    if kind == "simultaneous":
        return 1 + rate * eigenvalues
    trace, determinant = 2 - rate * c - rate**2 / 4, 1 - rate * c
    half_root = np.sqrt(complex(trace**2 / 4 - determinant))
    return np.array([trace / 2 + half_root, trace / 2 - half_root])
