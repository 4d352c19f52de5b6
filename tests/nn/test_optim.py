"""SGD, Adam and the exponential moving average, against numbers worked out by hand."""

import math

import fake_cupy
import numpy as np
import pytest

from minigan.backend import asnumpy
from minigan.nn.ema import ExponentialMovingAverage
from minigan.nn.optim import SGD, Adam, chunks


def test_sgd_by_hand():
    theta = np.array([1.0, -2.0])
    sgd = SGD(theta, lr=0.5)
    sgd.step(np.array([2.0, 4.0]))
    assert theta.tolist() == [0.0, -4.0]
    sgd.step(np.array([-1.0, 0.0]))
    assert theta.tolist() == [0.5, -4.0]


def test_momentum_by_hand():
    """velocity -1, then 0.5 * -1 - 0.5 * 4 = -2.5; with lr 0.1, 0.5 * -2.5 + 0.1 = -1.15."""
    theta = np.array([1.0])
    sgd = SGD(theta, lr=0.5, momentum=0.5)
    sgd.step(np.array([2.0]))
    assert theta.item() == 0
    sgd.step(np.array([4.0]))
    assert theta.item() == -2.5
    sgd.lr = 0.1
    sgd.step(np.array([-1.0]))
    assert theta.item() == pytest.approx(-3.65)


def test_adam_by_hand():
    """Two steps of algorithm 1 with lr 0.1, beta1 0.5, beta2 0.75, eps 0.5, g = 2 and then -1.

    t=1: m = 1, v = 1; m_hat = 1/0.5 = 2, v_hat = 1/0.25 = 4: theta = 1 - 0.1 * 2/(2 + 0.5) = 0.92
    t=2: m = 0.5 - 0.5 = 0: theta does not change; v = 0.75 + 0.25 = 1
    t=3, g = 3: m = 1.5, v = 0.75 + 2.25 = 3; m_hat = 1.5/(1 - 1/8), v_hat = 3/(1 - 27/64)
    """
    theta = np.array([1.0])
    adam = Adam(theta, lr=0.1, beta1=0.5, beta2=0.75, eps=0.5)
    adam.step(np.array([2.0]))
    assert (0.5 * adam.s.item(), 0.25 * adam.q.item()) == (1, 1)  # m and v
    assert theta.item() == pytest.approx(0.92, abs=1e-15)
    adam.step(np.array([-1.0]))
    assert (0.5 * adam.s.item(), 0.25 * adam.q.item()) == (0, 1)
    assert theta.item() == pytest.approx(0.92, abs=1e-15)
    adam.step(np.array([3.0]))
    expected = 0.92 - 0.1 * (1.5 / 0.875) / (math.sqrt(3 / (37 / 64)) + 0.5)
    assert theta.item() == pytest.approx(expected, abs=1e-15)
    assert adam.t == 3


def test_adam_s_first_step_is_lr_for_any_gradient():
    theta = np.zeros(4)
    Adam(theta, lr=0.01).step(np.array([1e-4, -1e-2, 1.0, 1e8]))
    np.testing.assert_allclose(theta, [-0.01, 0.01, -0.01, -0.01], rtol=1.1e-4)  # eps / |g|


def test_eps_is_outside_of_the_root():
    """g / (|g| + eps), not g / sqrt(g² + eps): with g = eps the first is 1/2."""
    theta = np.zeros(1)
    Adam(theta, lr=1.0, eps=1e-8).step(np.array([1e-8]))
    assert theta.item() == pytest.approx(-0.5, rel=1e-9)


def test_the_defaults_are_the_paper_s():
    adam = Adam(np.zeros(1))
    assert (adam.lr, adam.beta1, adam.beta2, adam.eps) == (1e-3, 0.9, 0.999, 1e-8)
    assert ExponentialMovingAverage(np.zeros(1)).decay == 0.9999


def test_chunks_on_the_host_and_a_single_one_on_a_device():
    """On the host chunks fit into the cache; on a device each chunk would need more launches."""
    assert chunks(np.zeros(80_000)) == [slice(0, 65_536), slice(65_536, 80_000)]
    assert chunks(fake_cupy.asarray(np.zeros(80_000))) == [slice(0, 80_000)]


@pytest.mark.parametrize("part", [slice(0, 0), slice(2, 5), slice(10, 80_000)])
def test_a_part_of_the_parameters(part):
    """As each of several processes updates them (accel/process_group.py)."""
    whole, some = Adam(np.zeros(80_000)), Adam(np.zeros(80_000))
    some.chunks = chunks(some.theta, part)
    for adam in whole, some:
        adam.step(np.ones(80_000))
    for expected, found in (whole.theta, some.theta), (whole.s, some.s), (whole.q, some.q):
        np.testing.assert_array_equal(found[part], expected[part])
        assert np.count_nonzero(found) == part.stop - part.start


@pytest.mark.parametrize("beta1, weight_decay", [(0.5, 0.0), (0.0, 0.0), (0.5, 0.3), (0.0, 0.3)])
@pytest.mark.parametrize("size", [1, 5, 1 << 16, (1 << 16) + 1, 140_000])
def test_step_equals_plain_step(size, dtype, beta1, weight_decay):
    rng = np.random.default_rng(0)
    theta = rng.standard_normal(size).astype(dtype)
    fast, plain = (
        Adam(theta.copy(), 0.01, beta1=beta1, weight_decay=weight_decay) for _ in range(2)
    )
    for _ in range(20):
        g = rng.standard_normal(size).astype(dtype)
        fast.step(g)
        plain.plain_step(g)
    tolerance = 1e-13 if dtype == "float64" else 1e-4
    np.testing.assert_allclose(fast.theta, plain.theta, rtol=tolerance, atol=tolerance * 0.01)
    if beta1:
        np.testing.assert_allclose(fast.s, plain.s, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(fast.q, plain.q, rtol=tolerance, atol=tolerance)


def test_weight_decay_by_hand():
    """With a gradient of 0 only the decay remains: 1 - 0.1 * 0.5 of the weight is left. Adam's own
    step is not decayed.
    """
    theta = np.array([2.0])
    adam = Adam(theta, lr=0.1, weight_decay=0.5)
    adam.step(np.array([0.0]))
    assert theta.item() == pytest.approx(1.9, abs=1e-15)
    adam.step(np.array([7.0]))  # m_hat = 0.7/0.19, v_hat = 0.049/0.001999
    step = 0.1 * (0.7 / 0.19) / math.sqrt(0.049 / (1 - 0.999**2))
    assert theta.item() == pytest.approx(1.9 * 0.95 - step, abs=1e-8)


def test_an_average_of_several_chunks_equals_the_formula():
    rng = np.random.default_rng(0)
    average, theta = rng.standard_normal(80_000), rng.standard_normal(80_000)
    before = average.copy()
    ExponentialMovingAverage(average, 0.9).step(theta)
    np.testing.assert_allclose(average, before / 6 + theta * 5 / 6, rtol=1e-12, atol=1e-14)


def test_moving_average_by_hand():
    """decay 1/6, then 2/7, then 3/8, but never above 0.3."""
    average = np.array([0.0])
    ema = ExponentialMovingAverage(average, decay=0.3)
    ema.step(np.array([12.0]))
    assert average.item() == pytest.approx(10.0)  # 0 + 5/6 * 12
    ema.step(np.array([24.0]))
    assert average.item() == pytest.approx(10 + 5 / 7 * 14)  # 20
    ema.step(np.array([30.0]))
    assert average.item() == pytest.approx(20 + 0.7 * 10)  # 0.3, not 3/8


MAKE = {
    "SGD": lambda theta: SGD(theta, 0.1),
    "SGD with momentum": lambda theta: SGD(theta, 0.1, momentum=0.9),
    "Adam": lambda theta: Adam(theta, 0.1),
    "ExponentialMovingAverage": lambda theta: ExponentialMovingAverage(theta, 0.9),
}
every_optimizer = pytest.mark.parametrize("make", MAKE.values(), ids=MAKE.keys())


@every_optimizer
def test_step_works_in_place_in_any_dtype_on_any_device(make, dtype, xp):
    rng = np.random.default_rng(1)
    start, gradients = (
        rng.standard_normal(100).astype(dtype),
        rng.standard_normal((3, 100)).astype(dtype),
    )

    def run(xp):
        theta = xp.asarray(start)
        theta = theta.copy() if xp is np else theta
        optimizer = make(theta)
        for g in gradients:
            g = xp.asarray(g)
            before = g.copy()
            if xp is fake_cupy:
                with fake_cupy.no_sync():
                    optimizer.step(g)
            else:
                optimizer.step(g)
            assert bool((g == before).all())  # the gradient is only read
        return theta

    theta = run(xp)
    assert theta.dtype == dtype and type(theta) is type(xp.asarray(start))
    tolerance = 0 if xp.__name__ != "cupy" else 1e-5
    np.testing.assert_allclose(asnumpy(theta), run(np), rtol=tolerance, atol=tolerance)
    assert not np.array_equal(run(np), start)


@every_optimizer
def test_a_gradient_of_another_shape_or_dtype_is_refused(make):
    optimizer = make(np.zeros(3))
    for wrong in np.zeros(1), np.zeros((3, 1)), np.zeros(3, "float32"):
        with pytest.raises(ValueError, match=r"\(3,\)"):
            optimizer.step(wrong)


@pytest.mark.parametrize("beta1", [0.0, 0.5])
def test_a_beta2_that_changes_has_the_exact_bias_correction(beta1):
    """`step` against `plain_step` and against a third form, with v itself; and the mean of equal g²
    is g², so that every step of Adam has the size of the learning rate.
    """
    rng, betas = np.random.default_rng(0), [0.9, 0.93, 0.97, 0.99, 0.99, 0.95]
    start = rng.standard_normal(5)
    fast, plain = (Adam(start.copy(), 0.1, beta1=beta1, beta2=betas[0]) for _ in range(2))
    theta, m, v, product = start.copy(), 0.0, 0.0, 1.0
    for t, (before, beta2) in enumerate(zip([betas[0], *betas], betas), 1):
        g = rng.standard_normal(5)
        product *= beta2
        for optimizer in fast, plain:
            optimizer.beta2, optimizer.beta2_history = beta2, (before, product)
        fast.step(g)
        plain.plain_step(g)
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
        theta -= 0.1 * m / (1 - beta1**t) / (np.sqrt(v / (1 - product)) + 1e-8)
        np.testing.assert_allclose(fast.theta, theta, rtol=1e-12)
        np.testing.assert_allclose(plain.theta, theta, rtol=1e-12)
    equal, product = Adam(np.zeros(1), 0.1, beta1=beta1), 1.0
    for t, (before, beta2) in enumerate(zip([betas[0], *betas], betas), 1):
        product *= beta2
        equal.beta2, equal.beta2_history = beta2, (before, product)
        equal.step(np.array([7.0]))
        assert equal.theta == pytest.approx(-0.1 * t, rel=1e-7)
