"""The backward of the backward: of every layer, and of whole penalties, against central differences;
the four mistakes of published penalties; every backend; and what is refused."""
import fake_device
import numpy as np
import pytest
from cases import CASES, gradients, inputs
from test_layers import innermost, on, refusal

from minigan.activations import LeakyReLU
from minigan.backend import array_module, to_host
from minigan.batchnorm import BatchNorm
from minigan.dense import Dense
from minigan.dropout import Dropout
from minigan.gan import make_discriminator
from minigan.gradcheck import central_difference, check_double_backward
from minigan.layer import Layer
from minigan.network import Sequential
from minigan.penalties import PENALTIES, between, penalise
from minigan.randomness import random_generator
from minigan.selfcheck import discriminators, draws, random_x

MIXING = ("BatchNorm, training", "BatchNorm, images")
ABLE = {name: case for name, case in CASES.items() if name not in MIXING}
every_case = pytest.mark.parametrize("case", ABLE.values(), ids=ABLE.keys())
every_penalty = pytest.mark.parametrize("name", PENALTIES)
DISCRIMINATORS = {name: (D, shape) for name, D, shape in discriminators()}
every_D = pytest.mark.parametrize("D, shape", DISCRIMINATORS.values(), ids=DISCRIMINATORS.keys())


def twice(case, dtype="float64", xp=np):
    """(layer, ddx, dys or dy, cache, (ddy, dx)) of a case."""
    layer, (x, dy) = on(xp, case.make(dtype)), inputs(case, dtype)
    ddx = xp.asarray(np.random.default_rng(13).standard_normal(x.shape).astype(dtype))
    _, cache = layer.forward(xp.asarray(x), train=case.train, rng=random_generator(xp, 3))
    given = layer.input_gradient(xp.asarray(dy), cache)[1] if isinstance(layer, Sequential) else xp.asarray(dy)
    return layer, ddx, given, cache, layer.double_backward(ddx, given, cache)


@every_case
def test_double_backward_against_central_differences(case):
    for check in check_double_backward(case.make("float64"), inputs(case)[0], case.train):
        assert check.ok, str(check)


@every_case
def test_a_double_backward_that_is_off_by_a_thousandth_is_caught(case):
    """The tester is tested: every gradient that is not 0 by nature must fail."""
    layer = case.make("float64")
    right = layer.double_backward

    def wrong(ddx, dy, cache):
        ddy, dx = right(ddx, dy, cache)
        for dparam in gradients(layer).values():
            dparam *= 1.001
        return 1.001 * ddy, None if dx is None else 1.001 * dx
    layer.double_backward = wrong
    checks = check_double_backward(layer, inputs(case)[0], case.train)
    assert [check.ok for check in checks] == [check.numeric == 0 for check in checks] and not checks[0].ok


@every_case
def test_nothing_is_written_into_what_was_given(case):
    layer, ddx, given, cache, (ddy, dx) = twice(case)
    before = {name: array.copy() for name, array in gradients(layer).items()}
    for array in ddx, *(given if isinstance(given, list) else [given]):
        array.flags.writeable = False
    again, dx_again = layer.double_backward(ddx, given, cache)
    np.testing.assert_array_equal(again, ddy)
    np.testing.assert_array_equal(dx_again, dx)
    for name, array in gradients(layer).items():
        np.testing.assert_array_equal(array, before[name])             # written, not added


@every_case
def test_shapes_dtype_and_backends(case, dtype, xp):
    if xp.__name__ == "cupy" and case.train:
        pytest.skip("a GPU draws other random numbers")
    layer, ddx, given, _, (ddy, dx) = twice(case, dtype, xp)
    plain, _, dys, _, (plain_ddy, plain_dx) = twice(case, dtype)
    assert ddy.shape == (dys[-1] if isinstance(dys, list) else dys).shape and (dx is None or dx.shape == ddx.shape)
    pairs = [(ddy, plain_ddy), *zip(gradients(layer).values(), gradients(plain).values())] + ([(dx, plain_dx)] if dx is not None else [])
    for ours, expected in pairs:
        assert ours.dtype == dtype and array_module(ours) is xp
        tolerance = 0 if xp.__name__ != "cupy" else 1e-12 if dtype == "float64" else 1e-5
        np.testing.assert_allclose(to_host(ours), expected, rtol=tolerance, atol=tolerance)


@every_case
def test_a_ddx_of_another_shape_is_refused(case):
    layer, ddx, given, cache, _ = twice(case)
    with refusal(ValueError, f"{innermost(layer, 0)!r} gave back dx of shape {ddx.shape} but got ddx of shape (2, 1, 1)"):
        layer.double_backward(np.ones((2, 1, 1)), given, cache)


def numeric_slopes(D, x):
    """The slope of each image's logit by differences of D's forward alone: one row an image."""
    return np.array([central_difference(lambda: D.forward(image, True, draws())[0].item(), image).ravel()
                     for image in np.split(x.copy(), len(x))])


@every_penalty
@pytest.mark.parametrize("what", ["bends", "convolutions"])
def test_the_price_by_its_definition(name, what):
    """From slopes by differences, one image at a time: so no axis can be mistaken, no sigmoid slip in, no square get lost."""
    D, shape = DISCRIMINATORS[what]
    slopes = [np.linalg.norm(row) for row in numeric_slopes(D, random_x(shape))]
    expected = np.mean([s ** 2 / 2 if name == "r1" else (s - 1) ** 2 for s in slopes])
    assert penalise(D, *D.forward(random_x(shape)), name).item() == pytest.approx(expected, rel=1e-8)
    assert penalise(D, *D.forward(random_x(shape)), name, 10.0).item() == pytest.approx(10 * expected, rel=1e-8)


@every_penalty
@every_D
def test_the_gradient_against_central_differences(name, D, shape):
    """Of the price as the differences above would have it, not of what penalise returns."""
    def P():
        g, _ = D.input_gradient(np.ones((shape[0], 1)), D.forward(random_x(shape), True, draws())[1])
        squares = [(row ** 2).sum() for row in g]
        return 2.5 * float(np.mean([s / 2 if name == "r1" else (s ** 0.5 - 1) ** 2 for s in squares]))
    D.dtheta[...] = 7                                                  # is written over
    assert penalise(D, *D.forward(random_x(shape), True, draws()), name, 2.5) == pytest.approx(P(), rel=1e-12)
    dtheta = D.dtheta.copy()
    numeric = central_difference(P, D.theta)
    assert abs(dtheta).max() > 1e-3 and abs(dtheta - numeric).max() < 1e-8 * abs(numeric).max()


@every_penalty
def test_a_descent_along_it_makes_the_slope_what_it_should_be(name):
    D, x = make_discriminator(8, [6, 4], draws(), dtype="float64"), random_x((7, 8))
    prices = []
    for _ in range(400):
        prices.append(penalise(D, *D.forward(x), name).item())
        D.theta -= 0.02 * D.dtheta
    assert prices[-1] < 0.06 * prices[0]


def test_the_masked_forward_of_the_page():
    """Dense, LeakyReLU, Dense: the lines of the page, one by one."""
    rng = np.random.default_rng(0)
    first, bend, last = layers = Dense(4, 3, rng, dtype="float64"), LeakyReLU(0.2), Dense(3, 1, rng, dtype="float64")
    D, x = Sequential(layers), rng.standard_normal((5, 4))
    logits, caches = D.forward(x)
    penalise(D, logits, caches, "r1")
    m = np.where(x @ first.W > 0, 1, 0.2)
    dh = m * (np.ones((5, 1)) @ last.W.T)
    ddx = dh @ first.W.T / 5
    ddy = m * (ddx @ first.W)
    np.testing.assert_allclose(first.dW, ddx.T @ dh, rtol=1e-12)
    np.testing.assert_allclose(last.dW, ddy.T @ np.ones((5, 1)), rtol=1e-12)
    assert not first.db.any() and not last.db.any()


@every_penalty
def test_it_is_the_same_on_the_double_and_the_host_never_waits(name, dtype):
    def run(xp):
        D = make_discriminator(8, [6, 4], np.random.default_rng(0), dropout=0.3, dtype=dtype).to(xp)
        logits, caches = D.forward(xp.asarray(random_x((7, 8)).astype(dtype)), True, random_generator(xp, 1))
        return penalise(D, logits, caches, name, 10.0), D.dtheta
    with fake_device.no_sync():
        there = run(fake_device)
    for ours, theirs in zip(run(np), there):
        assert ours.dtype == theirs.dtype == dtype
        np.testing.assert_array_equal(ours, to_host(theirs))


@every_penalty
def test_a_flat_discriminator_has_a_finite_gradient(name):
    """Where the slope is 0 its length has no derivative, and the gradient is 0, not 0 / 0."""
    D = make_discriminator(8, [6], draws())
    D.theta[...] = 0
    assert penalise(D, *D.forward(np.ones((3, 8), "float32")), name).item() == (0 if name == "r1" else 1)
    assert not D.dtheta.any()


def test_between_lies_on_the_line_at_a_place_of_each_image_s_own(dtype, xp):
    real, fake = np.ones((2000, 2, 3), dtype), -np.ones((2000, 2, 3), dtype)
    fake[:, 0, 0] = 3
    x = to_host(between(xp.asarray(real), xp.asarray(fake), random_generator(xp, 0)))
    e = (x[:, 1, 2] + 1) / 2
    assert x.dtype == dtype and len(np.unique(e)) > 1900 and 0 <= e.min() < 0.01 and 0.99 < e.max() <= 1 and abs(e.mean() - 0.5) < 0.02
    np.testing.assert_allclose(x[:, 0, 0], 3 - 2 * e, rtol=1e-5)
    np.testing.assert_allclose(x[:, 0, 1:], np.stack([2 * e - 1] * 2, axis=1), atol=1e-5)


def test_layers_without_a_double_backward_say_so():
    class Square(Layer):
        def forward(self, x, train=False, rng=None):
            return x * x, x

        def backward(self, dy, x, need_dx=True, need_dparams=True):
            return 2 * x * dy
    D = Sequential([Dense(3, 2, draws()), Square(), Dropout(0.5), Dense(2, 1, draws())])
    with refusal(NotImplementedError, "Square() has no double_backward, which a gradient penalty needs: choose a network without it,"
                                      " or no penalty"):
        penalise(D, *D.forward(np.ones((4, 3), "float32")), "r1")
    D = Sequential([Dense(3, 2, draws()), BatchNorm(2), Dense(2, 1, draws())])
    with refusal(NotImplementedError, "BatchNorm(2) has no double_backward while it trains: it mixes the images of a batch, so that"
                                      " none has a slope of its own. Choose a discriminator without batch norm, or no penalty"):
        penalise(D, *D.forward(np.ones((4, 3), "float32"), True), "r1")
    penalise(D, *D.forward(np.ones((4, 3), "float32")), "r1")          # sampling it is a layer like any other
