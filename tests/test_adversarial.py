"""Five losses from one table: prices against their papers' formulas, slopes against central
differences, D's best answer, dtype, device; and what saturates and what does not."""
import math

import fake_device
import numpy as np
import pytest

from minigan.adversarial import GAN_LOSSES, mean_loss
from minigan.backend import array_module, to_host
from minigan.gradcheck import check_loss
from minigan.losses import bce_on_logits

A = 2 * np.random.default_rng(5).standard_normal((8, 1))
REAL = np.array([[1.0], [0.0]] * 4)


def log_sigmoid(a):
    return math.log(1 / (1 + math.exp(-a)))


PAPERS = {  # name: D on a real image, D on a fake, G on a fake; each as its paper says it, to be minimised
    "non-saturating": (lambda a: -log_sigmoid(a), lambda a: -log_sigmoid(-a), lambda a: -log_sigmoid(a)),
    "minimax": (lambda a: -log_sigmoid(a), lambda a: -log_sigmoid(-a), lambda a: log_sigmoid(-a)),
    "least-squares": (lambda a: (a - 1) ** 2 / 2, lambda a: a ** 2 / 2, lambda a: (a - 1) ** 2 / 2),
    "hinge": (lambda a: -min(0, -1 + a), lambda a: -min(0, -1 - a), lambda a: -a),
    "wasserstein": (lambda a: -a, lambda a: a, lambda a: -a),
}
every_loss = pytest.mark.parametrize("name", GAN_LOSSES)


def of_D(name, a=A, t=REAL):
    return mean_loss(*GAN_LOSSES[name].of_D(a, t))


def of_G(name, a=A, t=None):
    return mean_loss(*GAN_LOSSES[name].of_G(a))


def test_every_loss_has_its_formula():
    assert GAN_LOSSES.keys() == PAPERS.keys()


@every_loss
def test_prices_against_the_papers(name):
    on_real, on_fake, on_drawn = PAPERS[name]
    price, _ = GAN_LOSSES[name].of_D(A, REAL)
    np.testing.assert_allclose(price.ravel(), [on_real(a) if t else on_fake(a) for a, t in zip(A.ravel(), REAL.ravel())], rtol=1e-12)
    price, _ = GAN_LOSSES[name].of_G(A)
    np.testing.assert_allclose(price.ravel(), [on_drawn(a) for a in A.ravel()], rtol=1e-12)
    assert of_G(name)[0] == price.mean()


@every_loss
@pytest.mark.parametrize("player", [of_D, of_G])
def test_slopes_against_central_differences(name, player):
    check, = check_loss(lambda a, t: player(name, a), A, None)
    assert check.ok, str(check)
    check, = check_loss(lambda a, t: (player(name, a)[0], 1.001 * player(name, a)[1]), A, None)
    assert not check.ok                                                # the tester is tested


@pytest.mark.parametrize("name", [name for name in GAN_LOSSES if GAN_LOSSES[name].undecided])
def test_a_smoothed_target(name):
    """Where t = 0.9 is allowed it is a price like any other, lowest where D is as sure as that."""
    check, = check_loss(lambda a, t: of_D(name, a, t), A, 0.9)
    assert check.ok, str(check)
    best = np.array([[0.9 if name == "least-squares" else math.log(0.9 / 0.1)]])
    assert GAN_LOSSES[name].of_D(best, 0.9)[1] == pytest.approx(0, abs=1e-15)


BEST = {  # D's best answer where real images have the density p, fakes q; and what it pays where p = q = 1
    "non-saturating": (lambda p, q: math.log(p / q), 2 * math.log(2)), "minimax": (lambda p, q: math.log(p / q), 2 * math.log(2)),
    "least-squares": (lambda p, q: p / (p + q), 0.25), "hinge": (lambda p, q: 1 if p > q else -1, 2)}


@pytest.mark.parametrize("name", BEST)
@pytest.mark.parametrize("p, q", [(0.7, 0.2), (0.1, 0.4), (1.0, 1.0)])
def test_the_discriminator_s_best_answer(name, p, q):
    """Nowhere on a fine line is its price lower than where the page says."""
    def price(a):
        return p * GAN_LOSSES[name].of_D(a, 1.0)[0] + q * GAN_LOSSES[name].of_D(a, 0.0)[0]
    best, cost = BEST[name]
    line = np.linspace(-6, 6, 24_001)
    assert price(np.array([float(best(p, q))])) <= price(line).min() + 1e-12
    if p == q:
        assert price(np.array([float(best(p, q))])) == pytest.approx(cost, rel=1e-12)
    else:
        assert line[price(line).argmin()] == pytest.approx(best(p, q), abs=1e-3)


def test_wasserstein_s_discriminator_never_has_enough():
    for t, side in (1.0, -1), (0.0, 1):
        assert GAN_LOSSES["wasserstein"].of_D(np.array([-1e9, 0, 1e9]), t)[1].tolist() == [side] * 3


def test_only_minimax_saturates():
    """G is poor, D is sure: its slopes vanish, and no other's do."""
    sure = np.array([[-12.0]])
    slopes = {name: abs(loss.of_G(sure)[1].item()) for name, loss in GAN_LOSSES.items()}
    assert slopes.pop("minimax") < 1e-5 and min(slopes.values()) > 0.99


def test_the_non_saturating_loss_is_that_of_losses_py():
    for t in REAL, 0.9:
        for ours, theirs in zip(of_D("non-saturating", A, t), bce_on_logits(A, t)):
            np.testing.assert_array_equal(ours, theirs)


@every_loss
def test_dtype_shape_device_and_inputs(name, dtype, xp):
    a, t = A.astype(dtype), REAL.astype(dtype)
    a.flags.writeable = t.flags.writeable = False
    loss = GAN_LOSSES[name]

    def all_of(a, t):
        return *loss.of_D(a, t), *loss.of_D(a, 1.0), *loss.of_G(a)
    for result, numbers in zip(all_of(xp.asarray(a), xp.asarray(t)), all_of(a, t)):
        assert result.shape == a.shape and result.dtype == dtype and array_module(result) is xp
        np.testing.assert_allclose(to_host(result), numbers, rtol=0 if xp.__name__ != "cupy" else 1e-6)


@every_loss
def test_no_loss_makes_the_host_wait_and_each_is_one_launch(name):
    a, t = fake_device.asarray(A), fake_device.asarray(REAL)
    with fake_device.no_sync():
        for player in lambda: GAN_LOSSES[name].of_D(a, t), lambda: GAN_LOSSES[name].of_G(a):
            before = fake_device.launches
            player()
            assert fake_device.launches == before + 1


@every_loss
def test_finite_at_a_thousand(name):
    a, t = np.float32([[1000], [1000], [-1000], [-1000]]), np.float32([[1], [0], [1], [0]])
    for value in *of_D(name, a, t), *of_G(name, a):
        assert np.isfinite(value).all() and value.dtype == "float32"
