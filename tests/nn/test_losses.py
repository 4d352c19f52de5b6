"""Both forms of binary cross-entropy: value against a second formula, gradient against central
differences, dtype, device, and extreme inputs.
"""

import math

import fake_cupy
import numpy as np
import pytest
from helpers import assert_derivatives, tolerance

from minigan.backend import asnumpy, get_array_module
from minigan.nn.activations import sigmoid
from minigan.nn.gradcheck import check_loss
from minigan.nn.losses import bce, bce_with_logits, softplus

RNG = np.random.default_rng(5)
LOGITS = RNG.standard_normal((6, 1))
HARD, SOFT = np.array([[1.0], [0], [1], [0], [1], [0]]), RNG.uniform(0.05, 0.95, (6, 1))


def cross_entropy(p, t):
    """The definition, number by number."""
    return (
        sum(-a * math.log(q) - (1 - a) * math.log(1 - q) for q, a in zip(p.ravel(), t.ravel()))
        / p.size
    )


def cross_entropy_of_logits(a, t):
    return cross_entropy(1 / (1 + np.exp(-a)), t)


LOSSES = {  # name: loss, its input, a second formula
    "logits": (bce_with_logits, LOGITS, cross_entropy_of_logits),
    "probabilities": (bce, RNG.uniform(0.05, 0.95, (6, 1)), cross_entropy),
}
every_loss = pytest.mark.parametrize("loss, x, reference", LOSSES.values(), ids=LOSSES.keys())
every_target = pytest.mark.parametrize(
    "t", [HARD, SOFT, 1.0, 0.0, 0.9], ids=["hard", "soft", "1", "0", "0.9"]
)


@every_loss
@every_target
def test_value_against_the_definition(loss, x, reference, t):
    assert float(loss(x, t)[0]) == pytest.approx(
        reference(x, np.broadcast_to(t, x.shape)), rel=1e-13
    )


@every_loss
@every_target
def test_gradient_against_central_differences(loss, x, reference, t):
    assert_derivatives(f"minigan/nn/losses.py: {loss.__name__}", check_loss(loss, x, t))


@every_loss
def test_a_gradient_that_is_off_by_a_thousandth_is_caught(loss, x, reference):
    (check,) = check_loss(lambda a, t: (loss(a, t)[0], 1.001 * loss(a, t)[1]), x, SOFT)
    assert not check.ok


@every_loss
def test_dtype_shape_and_device(loss, x, reference, dtype, xp):
    x, t = x.astype(dtype), SOFT.astype(dtype)
    L, dx = loss(xp.asarray(x), xp.asarray(t))
    assert L.shape == () and L.dtype == dtype and dx.shape == x.shape and dx.dtype == dtype
    if xp.__name__ != "numpy":
        assert get_array_module(L) is xp and get_array_module(dx) is xp
    expected_L, expected_dx = loss(x, t)
    np.testing.assert_allclose(asnumpy(L), expected_L, rtol=tolerance(xp, dtype))
    np.testing.assert_allclose(asnumpy(dx), expected_dx, rtol=tolerance(xp, dtype))


@every_loss
def test_targets_that_would_be_broadcast_or_cast_are_refused(loss, x, reference):
    with pytest.raises(ValueError, match=r"\(6,\).*\(6, 1\)"):
        loss(x, np.ones(6))
    with pytest.raises(ValueError, match="float32.*float64"):
        loss(x, np.ones((6, 1), "float32"))
    with pytest.raises(TypeError, match="int64"):
        loss(np.ones((6, 1), "int64"), 1.0)


@every_loss
def test_inputs_are_not_modified(loss, x, reference):
    x, t = x.copy(), SOFT.copy()
    x.flags.writeable = t.flags.writeable = False
    loss(x, t)


def test_from_logits_it_is_exact_at_a_thousand():
    a = np.float32([[1000], [1000], [-1000], [-1000]])
    t = np.float32([[1], [0], [1], [0]])
    L, da = bce_with_logits(a, t)
    assert L == 500 and L.dtype == np.float32
    assert da.tolist() == [[0], [0.25], [-0.25], [0]]


def test_from_probabilities_it_is_infinite_there():
    with np.errstate(divide="ignore", invalid="ignore"):
        p = sigmoid(np.float32([[1000.0]]))
        L, dp = bce(p, 0.0)
    assert p == 1 and np.isinf(L) and np.isinf(dp)


def test_both_forms_agree():
    """Through the sigmoid, dp becomes dlogits."""
    p = sigmoid(LOGITS)
    L, dp = bce(p, SOFT)
    L_logits, dlogits = bce_with_logits(LOGITS, SOFT)
    assert L == pytest.approx(L_logits, rel=1e-13)
    np.testing.assert_allclose(dp * p * (1 - p), dlogits, rtol=1e-12)


def test_sigmoid_and_softplus_of_any_size():
    a = np.array([-1e30, -800, -40, -1e-300, 0, 1e-300, 40, 800, 1e30])
    with np.errstate(all="raise", under="ignore"):
        s, p = sigmoid(a), softplus(a)
    np.testing.assert_allclose(s[2], math.exp(-40), rtol=1e-14)  # far from 0 it is small, not 0
    np.testing.assert_allclose(p[2], math.exp(-40), rtol=1e-14)
    assert s[[0, 1, 3, 4, 5, 6, 7, 8]].tolist() == [
        0,
        0,
        0.5,
        0.5,
        0.5,
        1 / (1 + math.exp(-40)),
        1,
        1,
    ]
    assert p[[0, 1, 4, 7, 8]].tolist() == [0, 0, math.log(2), 800, 1e30]


def test_no_loss_makes_the_host_wait():
    a, t = fake_cupy.asarray(LOGITS), fake_cupy.asarray(HARD)
    with fake_cupy.no_sync():
        bce_with_logits(a, t)
        bce_with_logits(a, 1.0)
        bce(fake_cupy.asarray(SOFT), t)
