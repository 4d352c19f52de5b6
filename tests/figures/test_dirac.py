"""The Dirac-GAN: its formulas are those of minigan's steps; its trajectories and eigenvalues."""

import io
import math

import numpy as np
import pytest
from PIL import Image

from minigan.figures.dirac import (
    DYNAMICS,
    GAMMA,
    PENALTY_COUNTS,
    RATE,
    START,
    STEPS,
    gradients,
    multipliers,
    take_step,
    trajectory,
)
from minigan.figures.toy_animation import animate_dirac
from minigan.gan.gradient_penalty import make_penalty
from minigan.gan.losses import GAN_LOSSES
from minigan.gan.steps import discriminator_step, generator_step
from minigan.nn.dense import Dense
from minigan.nn.optim import SGD
from minigan.nn.sequential import Sequential

every_kind = pytest.mark.parametrize("kind", DYNAMICS)
every_penalty = pytest.mark.parametrize("k", PENALTY_COUNTS.values(), ids=PENALTY_COUNTS.keys())
NAMES = {0: None, 1: "r1", 2: "r1+r2"}


@pytest.mark.parametrize("loss", ["relativistic", "non-saturating"])
@every_penalty
def test_alternating_steps_are_those_of_minigan(loss, k):
    """G's theta and D's psi, far from the equilibrium; D's bias learns nothing from pairs."""
    G, D = (Sequential([Dense(1, 1, dtype="float64", rng=np.random.default_rng(0))]) for _ in "GD")
    points = trajectory("alternating", k * GAMMA, 20, start=(0.5, 1.5))
    for net, value in (G, points[0, 1]), (D, points[0, 0]):
        net.theta[...] = 0
        net.theta[1 if net is G else 0] = value  # G's bias, D's weight
    real, z = np.zeros((4, 1)), np.zeros((4, 1))  # so that G(z) is G's bias
    given = dict(loss=GAN_LOSSES[loss], rng=None)
    penalty = make_penalty(NAMES[k], GAMMA) if k else None
    for psi, theta in points[1:]:
        before = D.theta[1].copy()
        discriminator_step(G, D, SGD(D.theta, RATE), real, z, penalty=penalty, **given)
        if loss == "relativistic":
            assert D.theta[1] == pytest.approx(before, abs=1e-15)
        D.theta[1] = 0  # the Dirac-GAN has no bias
        generator_step(G, D, SGD(G.theta, RATE), z, real=real, **given)
        assert (D.theta[0], G.theta[1]) == pytest.approx((psi, theta), abs=1e-12)


@every_penalty
@every_kind
def test_the_eigenvalues_are_those_of_the_jacobian_of_a_step(kind, k):
    h, c = 1e-6, k * GAMMA
    jacobian = np.stack(
        [(take_step(kind, h * e, c) - take_step(kind, -h * e, c)) / (2 * h) for e in np.eye(2)],
        axis=1,
    )
    expected = np.sort_complex(np.linalg.eigvals(jacobian))
    # a double eigenvalue, as in critical damping, is sensitive to rounding
    tolerance = 1e-3 if kind == "continuous" else 1e-7
    np.testing.assert_allclose(np.sort_complex(multipliers(kind, c)), expected, atol=tolerance)


@every_penalty
@every_kind
def test_the_drawn_trajectories_have_these_eigenvalues(kind, k):
    """x(n+2) = (mu1 + mu2) x(n+1) - mu1 mu2 x(n), for every component of every drawn point."""
    points, mu = trajectory(kind, k * GAMMA, STEPS), multipliers(kind, k * GAMMA)
    trace, determinant = mu.sum().real, mu.prod().real
    predicted = trace * points[1:-1] - determinant * points[:-2]
    size = np.linalg.norm(points[:-2], axis=1, keepdims=True)
    assert (abs(points[2:] - predicted) < 0.004 * RATE * size).all()


def test_closed_orbits_a_spiral_out_and_spirals_in():
    """The modulus without a penalty, and the distances of the drawn points."""
    expected = {"continuous": 1, "alternating": 1, "simultaneous": math.sqrt(1 + RATE**2 / 4)}
    for kind, modulus in expected.items():
        np.testing.assert_allclose(abs(multipliers(kind, 0.0)), modulus, rtol=1e-12)
        sizes = np.linalg.norm(trajectory(kind, 0.0, STEPS), axis=1)
        assert sizes[-1] == pytest.approx(sizes[0] * modulus**STEPS, rel=0.025)
        for c in GAMMA, 2 * GAMMA:
            assert abs(multipliers(kind, c)).max() < 0.93
            assert np.linalg.norm(trajectory(kind, c, STEPS)[-1]) < 0.02 * sizes[0]


@pytest.mark.parametrize("rate", [0.1, RATE])
def test_critical_damping(rate):
    """In continuous time at gamma = 1 with one penalty and 1/2 with both: both eigenvalues are
    equal. Below it they are complex, and above it one of them is closer to 1.
    """
    critical = {"continuous": 1.0, "simultaneous": 1.0, "alternating": 1 - rate / 4}
    for kind, c in critical.items():
        for k in 1, 2:
            gamma = c / k
            first, second = multipliers(kind, k * gamma, rate)
            assert abs(first - second) < 1e-7
        below, above = multipliers(kind, 0.9 * c, rate), multipliers(kind, 1.1 * c, rate)
        assert abs(below[0].imag) > 0.01 * rate and np.isreal(above).all()
        assert max(abs(below).max(), abs(above).max()) > abs(first)


def test_far_from_the_equilibrium_orbits_shrink_a_little():
    """The derivative of half the squared distance, as the docstring has it."""
    for psi, theta in np.random.default_rng(0).standard_normal((20, 2)):
        point, u = np.array([psi, theta]), psi * theta
        found = -(gradients(point, 0.3) * point).sum()
        assert found == pytest.approx(-u * math.tanh(u / 2) - 0.3 * psi**2, rel=1e-10)


@pytest.mark.long
def test_the_animation_of_the_phase_portraits(capsys):
    file = io.BytesIO()
    animate_dirac(steps=6, file=file)
    settings, head, *rows = capsys.readouterr().out.splitlines()
    assert settings == f"learning rate {RATE}, weight of each penalty {GAMMA}"
    assert len(rows) == len(DYNAMICS) * len(PENALTY_COUNTS) and "modulus" in head
    assert "1.020" in rows[6] and rows[6].startswith("no penalty  simultaneous")
    with Image.open(file) as picture:
        assert picture.n_frames > 5 and picture.size == (900, 400)
    assert START == (0.0, 0.05)
