"""Properties that hold for any shape, dtype, value and memory layout (hypothesis)."""

import helpers
import numpy as np
from cases import CASES, FORMULAS, gradients
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minigan.datasets.pixels import scale, unscale
from minigan.nn.activations import LeakyReLU, ReLU, Sigmoid, Tanh
from minigan.nn.dense import Dense
from minigan.nn.dropout import Dropout
from minigan.nn.ema import ExponentialMovingAverage
from minigan.nn.losses import bce_with_logits, softplus
from minigan.nn.optim import SGD, Adam
from minigan.nn.sequential import Sequential

COUNT = 1000 if helpers.LONG else 60  # of examples for each property
settings.register_profile("minigan", deadline=None, max_examples=COUNT, derandomize=True)
settings.load_profile("minigan")

DTYPES = st.sampled_from(["float32", "float64"])
SIZES = st.integers(1, 9)
ELEMENTWISE = {"LeakyReLU": LeakyReLU(0.2), "ReLU": ReLU(), "Tanh": Tanh(), "Sigmoid": Sigmoid()}
SOME_LAYER = st.sampled_from([*ELEMENTWISE.values(), Dropout(0.3)])
seeds = st.integers(0, 2**32 - 1)


def normal(seed, shape, dtype):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def layouts(x):
    """The same numbers in other memory layouts."""
    wide = np.zeros((2 * x.shape[0], 3 * x.shape[1], *x.shape[2:]), x.dtype)
    wide[::2, ::3] = x
    read_only = x.copy()
    read_only.flags.writeable = False
    return {
        "Fortran order": np.asfortranarray(x),
        "negative strides": x[::-1, ::-1].copy()[::-1, ::-1],
        "every third": wide[::2, ::3],
        "read-only": read_only,
    }


@given(SIZES, SIZES, SIZES, DTYPES, seeds)
def test_dense_of_any_shape(N, K, M, dtype, seed):
    layer = Dense(K, M, dtype=dtype, rng=np.random.default_rng(seed))
    x, dy = normal(seed, (N, K), dtype), normal(seed + 1, (N, M), dtype)
    y, cache = layer.forward(x)
    dx = layer.backward(dy, cache)
    close = dict(rtol=1e-3, atol=1e-4) if dtype == "float32" else dict(rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(y, FORMULAS["Dense"](layer, x, None), **close)
    np.testing.assert_allclose(dx, np.einsum("nm,km->nk", dy, layer.W), **close)
    np.testing.assert_allclose(layer.dW, np.einsum("nk,nm->km", x, dy), **close)
    np.testing.assert_allclose(layer.db, np.einsum("nm->m", dy), **close)
    assert {a.dtype for a in (y, dx, layer.dW, layer.db)} == {np.dtype(dtype)}


@given(SOME_LAYER, hnp.array_shapes(min_dims=1, max_dims=4, max_side=5), DTYPES, seeds)
def test_elementwise_layers_take_any_shape(layer, shape, dtype, seed):
    """What they compute for a number does not depend on its position."""
    x, dy = normal(seed, shape, dtype), normal(seed + 1, shape, dtype)

    def run(x, dy):
        y, cache = layer.forward(x, train=True, rng=np.random.default_rng(seed))
        return y, layer.backward(dy, cache)

    for whole, flat in zip(run(x, dy), run(x.ravel(), dy.ravel())):
        assert whole.shape == shape and whole.dtype == dtype
        np.testing.assert_allclose(whole.ravel(), flat, rtol=1e-6)


@given(st.sampled_from(list(CASES.values())), DTYPES, seeds)
def test_memory_layout_does_not_matter(case, dtype, seed):
    if len(case.shape) < 2:
        return
    x = normal(seed, case.shape, dtype)

    def run(x, layout):
        layer = case.make(dtype)
        y, cache = layer.forward(x, train=case.train, rng=np.random.default_rng(seed))
        dx = layer.backward(layout(normal(seed + 1, y.shape, dtype)), cache)
        return y, dx, *gradients(layer).values()

    expected = run(x, lambda dy: dy)
    for name in layouts(x):
        results = run(layouts(x)[name], lambda dy: layouts(dy)[name])
        for result, array in zip(results, expected):
            np.testing.assert_allclose(
                result, array, rtol=2e-5, atol=1e-5 if dtype == "float32" else 1e-13, err_msg=name
            )


@given(st.sampled_from(list(ELEMENTWISE)), hnp.arrays(np.float64, 5, elements=st.floats(-20, 20)))
def test_activations_against_a_second_formula(name, x):
    layer = ELEMENTWISE[name]
    np.testing.assert_allclose(
        layer.forward(x)[0], FORMULAS[name](layer, x, None), rtol=1e-9, atol=1e-15
    )


# Extreme inputs: (x, y, dx for dy = 1). The smallest denormal of float64 is 5e-324. NaN stays NaN:
# it must not silently become 0.
TINY, BIG, INF, NAN = 5e-324, 1e30, float("inf"), float("nan")
EXTREME = {
    "LeakyReLU": [
        (0, 0, 0.2),
        (BIG, BIG, 1),
        (-BIG, -0.2 * BIG, 0.2),
        (TINY, TINY, 1),
        (-TINY, -0.0, 0.2),
        (INF, INF, 1),
        (-INF, -INF, 0.2),
        (NAN, NAN, 0.2),
    ],
    "ReLU": [
        (0, 0, 0),
        (BIG, BIG, 1),
        (-BIG, 0, 0),
        (TINY, TINY, 1),
        (-TINY, 0, 0),
        (INF, INF, 1),
        (-INF, 0, 0),
        (NAN, NAN, 0),
    ],
    "Tanh": [
        (0, 0, 1),
        (BIG, 1, 0),
        (-BIG, -1, 0),
        (TINY, TINY, 1),
        (-TINY, -TINY, 1),
        (INF, 1, 0),
        (-INF, -1, 0),
        (NAN, NAN, NAN),
    ],
    "Sigmoid": [
        (0, 0.5, 0.25),
        (BIG, 1, 0),
        (-BIG, 0, 0),
        (TINY, 0.5, 0.25),
        (-TINY, 0.5, 0.25),
        (INF, 1, 0),
        (-INF, 0, 0),
        (NAN, NAN, NAN),
    ],
}


def test_extreme_values_in_activations():
    for name, rows in EXTREME.items():
        x, y, dx = np.array(rows).T
        with np.errstate(over="raise", divide="raise", invalid="raise"):
            result, cache = ELEMENTWISE[name].forward(x)
            gradient = ELEMENTWISE[name].backward(np.ones_like(x), cache)
        np.testing.assert_array_equal(result, y, err_msg=name)
        np.testing.assert_array_equal(gradient, dx, err_msg=name)


def test_extreme_values_in_the_loss():
    """Correct for every finite logit. An infinite logit, which only a diverged run can reach, makes
    the loss infinite or NaN; its gradient is still correct.
    """
    a = np.array([0, BIG, -BIG, TINY, -TINY, INF, -INF, NAN])
    np.testing.assert_array_equal(
        softplus(a), [np.log(2), BIG, 0, np.log(2), np.log(2), INF, 0, NAN]
    )
    for logit, target, L, da in [
        (BIG, 0.0, BIG, 1),
        (BIG, 1.0, 0, 0),
        (-BIG, 1.0, BIG, -1),
        (-BIG, 0.0, 0, 0),
        (TINY, 0.0, np.log(2), 0.5),
        (TINY, 1.0, np.log(2), -0.5),
        (INF, 0.0, NAN, 1),
        (INF, 1.0, NAN, 0),
        (-INF, 0.0, NAN, 0),
        (-INF, 1.0, INF, -1),
        (NAN, 0.0, NAN, NAN),
        (NAN, 1.0, NAN, NAN),
    ]:
        with np.errstate(invalid="ignore"):
            loss, dlogits = bce_with_logits(np.array([logit]), target)
        np.testing.assert_array_equal([loss, dlogits[0]], [L, da], err_msg=f"{logit}, {target}")


def test_extreme_values_in_dense_and_dropout():
    """A NaN or an infinity affects only its own example."""
    layer = Dense(2, 3, dtype="float64", rng=np.random.default_rng(0))
    for bad in NAN, INF, -INF:
        x = np.array([[1.0, 2.0], [bad, 2.0], [BIG, -BIG]])
        with np.errstate(invalid="ignore"):
            y, _ = layer.forward(x)
        assert np.isfinite(y[[0, 2]]).all() and not np.isfinite(y[1]).any()
    x = np.array([NAN, INF, BIG, TINY, 1.0] * 20)
    with np.errstate(invalid="ignore"):
        y, (mask, _) = Dropout(0.5).forward(x, train=True, rng=np.random.default_rng(0))
    assert set(mask) == {0, 2}
    assert np.isnan(y[::5]).all()  # NaN stays NaN, dropped or not,
    dropped = mask[1::5] == 0
    # and 0 * infinity is NaN
    assert np.isnan(y[1::5][dropped]).all() and (y[1::5][~dropped] == INF).all()
    np.testing.assert_array_equal(y[2::5], BIG * mask[2::5])
    np.testing.assert_array_equal(y[3::5], TINY * mask[3::5])


@given(hnp.arrays(np.float64, 4, elements=st.floats(-1e30, 1e30)), st.integers(1, 5))
def test_adam_s_step_is_bounded(g, steps):
    """Section 2.1 of the paper: |step| <= lr (1 - beta1) / sqrt(1 - beta2), if that exceeds lr."""
    theta = np.zeros(4)
    adam = Adam(theta, lr=0.1)
    for _ in range(steps):
        before = theta.copy()
        adam.step(g * np.random.default_rng(steps).choice([-1, 1], 4))
        assert (abs(theta - before) <= 0.1 * 0.1 / 0.001**0.5 * (1 + 1e-9)).all()
    assert np.isfinite(theta).all()


@given(hnp.arrays(np.float64, st.integers(1, 6), elements=st.floats(-1e3, 1e3)))
def test_a_gradient_of_zero_changes_nothing(theta):
    before = theta.copy()
    for optimizer in SGD(theta, 0.1), Adam(theta, 0.1):
        optimizer.step(0 * theta)
        np.testing.assert_array_equal(theta, before)
    ExponentialMovingAverage(theta).step(before)
    np.testing.assert_allclose(theta, before)


def test_extreme_values_in_optimizers():
    """NaN reaches theta. Adam's moments of 1e30 overflow only where their squares must."""
    theta = np.zeros(3)
    Adam(theta, lr=0.1).step(np.array([NAN, BIG, -TINY]))
    assert np.isnan(theta[0]) and abs(theta[1] + 0.1) < 1e-15 and abs(theta[2]) < 1e-300
    theta = np.zeros(1, "float32")
    with np.errstate(over="ignore"):
        Adam(theta, lr=0.1).step(np.float32([BIG]))  # 1e30 squared is infinite in float32
    assert theta[0] == 0


@given(st.lists(st.integers(1, 6), min_size=2, max_size=5), SIZES, seeds)
def test_networks_of_any_depth(sizes, N, seed):
    rng = np.random.default_rng(seed)
    net = Sequential([Dense(a, b, dtype="float64", rng=rng) for a, b in zip(sizes, sizes[1:])])
    assert net.theta.size == sum(a * b + b for a, b in zip(sizes, sizes[1:]))
    x = normal(seed, (N, sizes[0]), "float64")
    y, caches = net.forward(x)
    expected = x
    for layer in net.layers:
        expected = FORMULAS["Dense"](layer, expected, None)
    np.testing.assert_allclose(y, expected, rtol=1e-9, atol=1e-11)
    assert net.backward(np.ones_like(y), caches).shape == x.shape


@given(hnp.arrays(np.uint8, hnp.array_shapes(max_dims=3)), DTYPES)
def test_unscale_inverts_scale(images, dtype):
    x = scale(images, dtype)
    assert abs(x).max() <= 1 and x.dtype == dtype
    np.testing.assert_array_equal(np.rint(255 * unscale(x)), images)
