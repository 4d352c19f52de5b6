"""Six adversarial losses: values against the formulas of their papers, derivatives against central
differences, the optimal D, dtype, device, and saturation.
"""

import math

import fake_cupy
import numpy as np
import pytest
from helpers import assert_derivatives, tolerance

from minigan.backend import asnumpy, get_array_module
from minigan.gan.losses import GAN_LOSSES, mean_loss
from minigan.nn.gradcheck import check_loss
from minigan.nn.losses import bce_with_logits

A = 2 * np.random.default_rng(5).standard_normal((8, 1))
REAL = np.array([[1.0], [0.0]] * 4)


def log_sigmoid(a):
    return math.log(1 / (1 + math.exp(-a)))


PAPERS = {  # name: loss of D for a real image, of D for a fake, of G for a fake, to be minimised
    "non-saturating": (
        lambda a: -log_sigmoid(a),
        lambda a: -log_sigmoid(-a),
        lambda a: -log_sigmoid(a),
    ),
    "minimax": (lambda a: -log_sigmoid(a), lambda a: -log_sigmoid(-a), lambda a: log_sigmoid(-a)),
    "least-squares": (lambda a: (a - 1) ** 2 / 2, lambda a: a**2 / 2, lambda a: (a - 1) ** 2 / 2),
    "hinge": (lambda a: -min(0, -1 + a), lambda a: -min(0, -1 - a), lambda a: -a),
    "wasserstein": (lambda a: -a, lambda a: a, lambda a: -a),
    # of the difference d of a pair: of D, of D if the target were 0, which is not used, and of G
    "relativistic": (
        lambda d: -log_sigmoid(d),
        lambda d: -log_sigmoid(-d),
        lambda d: -log_sigmoid(-d),
    ),
}
every_loss = pytest.mark.parametrize("name", GAN_LOSSES)


def discriminator_loss(name, a=A, t=REAL):
    return mean_loss(*GAN_LOSSES[name].discriminator_loss(a, t))


def generator_loss(name, a=A, t=None):
    return mean_loss(*GAN_LOSSES[name].generator_loss(a))


def test_every_loss_has_its_formula():
    assert GAN_LOSSES.keys() == PAPERS.keys()


@every_loss
def test_losses_against_the_papers(name):
    real, fake, generated = PAPERS[name]
    losses, _ = GAN_LOSSES[name].discriminator_loss(A, REAL)
    expected = [real(a) if t else fake(a) for a, t in zip(A.ravel(), REAL.ravel())]
    np.testing.assert_allclose(losses.ravel(), expected, rtol=1e-12)
    losses, _ = GAN_LOSSES[name].generator_loss(A)
    np.testing.assert_allclose(losses.ravel(), [generated(a) for a in A.ravel()], rtol=1e-12)
    assert generator_loss(name)[0] == losses.mean()


@every_loss
@pytest.mark.parametrize("loss", [discriminator_loss, generator_loss])
def test_derivatives_against_central_differences(name, loss):
    where = f"minigan/gan/losses.py: {loss.__name__} of {name}"
    assert_derivatives(where, check_loss(lambda a, t: loss(name, a), A, None))
    (check,) = check_loss(lambda a, t: (loss(name, a)[0], 1.001 * loss(name, a)[1]), A, None)
    assert not check.ok  # a test of the test


@pytest.mark.parametrize(
    "name", [name for name in GAN_LOSSES if GAN_LOSSES[name].equilibrium_logit]
)
def test_a_smoothed_target(name):
    """With the target t = 0.9, where it is allowed, the loss is smallest at D(x) = 0.9."""
    (check,) = check_loss(lambda a, t: discriminator_loss(name, a, t), A, 0.9)
    assert check.ok, str(check)
    optimum = np.array([[0.9 if name == "least-squares" else math.log(0.9 / 0.1)]])
    assert GAN_LOSSES[name].discriminator_loss(optimum, 0.9)[1] == pytest.approx(0, abs=1e-15)


OPTIMUM = {  # the optimal logit for densities p of real and q of fake images; D's loss if p = q = 1
    "non-saturating": (lambda p, q: math.log(p / q), 2 * math.log(2)),
    "minimax": (lambda p, q: math.log(p / q), 2 * math.log(2)),
    "least-squares": (lambda p, q: p / (p + q), 0.25),
    "hinge": (lambda p, q: 1 if p > q else -1, 2),
}


@pytest.mark.parametrize("name", OPTIMUM)
@pytest.mark.parametrize("p, q", [(0.7, 0.2), (0.1, 0.4), (1.0, 1.0)])
def test_the_optimal_discriminator(name, p, q):
    """On a fine line of logits, the expected loss is nowhere lower than at the optimum."""

    def expected_loss(a):
        return (
            p * GAN_LOSSES[name].discriminator_loss(a, 1.0)[0]
            + q * GAN_LOSSES[name].discriminator_loss(a, 0.0)[0]
        )

    optimum, loss_at_equilibrium = OPTIMUM[name]
    line, smallest = np.linspace(-6, 6, 24_001), expected_loss(np.array([float(optimum(p, q))]))
    assert smallest <= expected_loss(line).min() + 1e-12
    if p == q:
        assert smallest == pytest.approx(loss_at_equilibrium, rel=1e-12)
    else:
        assert line[expected_loss(line).argmin()] == pytest.approx(optimum(p, q), abs=1e-3)


def expected_loss_on_pairs(logits, p, q):
    """The loss of D, and its gradient, if images occur with densities p and q: each (n,)."""
    L, dlogits = 0.0, np.zeros_like(logits)
    for i, j in np.ndindex(len(p), len(q)):  # image i is the real one, and image j the fake
        loss, dd = GAN_LOSSES["relativistic"].discriminator_loss(logits[i] - logits[j], 1.0)
        L += p[i] * q[j] * loss
        dlogits[i] += p[i] * q[j] * dd
        dlogits[j] -= p[i] * q[j] * dd
    return L, dlogits


def test_the_optimal_discriminator_of_pairs():
    """log(p / q) plus any constant has no gradient, and everything else a larger loss."""
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(5)), rng.dirichlet(np.ones(5))
    for constant in 0.0, -7.5:
        smallest, gradient = expected_loss_on_pairs(np.log(p / q) + constant, p, q)
        np.testing.assert_allclose(gradient, 0, atol=1e-15)
        assert smallest < math.log(2)
        for _ in range(100):
            other = np.log(p / q) + 0.1 * rng.standard_normal(5)
            assert expected_loss_on_pairs(other, p, q)[0] > smallest - 1e-15
    loss_at_equilibrium, _ = expected_loss_on_pairs(np.zeros(5), p, p)
    assert loss_at_equilibrium == pytest.approx(math.log(2), rel=1e-12)


def test_wasserstein_s_derivative_is_constant():
    for t, da in (1.0, -1), (0.0, 1):
        assert (
            GAN_LOSSES["wasserstein"].discriminator_loss(np.array([-1e9, 0, 1e9]), t)[1].tolist()
            == [da] * 3
        )


def test_only_minimax_saturates():
    """Where D is certain that the image is fake, only minimax has a vanishing derivative."""
    a = np.array([[-12.0]])
    size = {
        name: abs(loss.generator_loss(-a if loss.paired else a)[1].item())
        for name, loss in GAN_LOSSES.items()
    }
    assert size.pop("minimax") < 1e-5 and min(size.values()) > 0.99


def test_the_non_saturating_loss_equals_bce_with_logits():
    for t in REAL, 0.9:
        pairs = zip(discriminator_loss("non-saturating", A, t), bce_with_logits(A, t))
        for adversarial, bce in pairs:
            np.testing.assert_array_equal(adversarial, bce)


@every_loss
def test_dtype_shape_device_and_inputs(name, dtype, xp):
    a, t = A.astype(dtype), REAL.astype(dtype)
    a.flags.writeable = t.flags.writeable = False
    loss = GAN_LOSSES[name]

    def all_results(a, t):
        return (
            *loss.discriminator_loss(a, t),
            *loss.discriminator_loss(a, 1.0),
            *loss.generator_loss(a),
        )

    for result, numbers in zip(all_results(xp.asarray(a), xp.asarray(t)), all_results(a, t)):
        assert result.shape == a.shape and result.dtype == dtype and get_array_module(result) is xp
        np.testing.assert_allclose(asnumpy(result), numbers, rtol=tolerance(xp, dtype))


@every_loss
def test_no_loss_makes_the_host_wait_and_each_is_one_launch(name):
    a, t = fake_cupy.asarray(A), fake_cupy.asarray(REAL)
    with fake_cupy.no_sync():
        for evaluate in (
            lambda: GAN_LOSSES[name].discriminator_loss(a, t),
            lambda: GAN_LOSSES[name].generator_loss(a),
        ):
            before = fake_cupy.launches
            evaluate()
            assert fake_cupy.launches == before + 1


@every_loss
def test_finite_at_a_thousand(name):
    a, t = np.float32([[1000], [1000], [-1000], [-1000]]), np.float32([[1], [0], [1], [0]])
    for value in *discriminator_loss(name, a, t), *generator_loss(name, a):
        assert np.isfinite(value).all() and value.dtype == "float32"


def test_the_equilibrium_logit_of_the_cross_entropy():
    """A D that cannot distinguish real images with the target t from fakes outputs t / 2."""
    for t in 1.0, 0.9:
        a = GAN_LOSSES["non-saturating"].equilibrium_logit(t)
        assert 1 / (1 + math.exp(-a)) == pytest.approx(t / 2)
