"""The backward of the backward, of every layer and of whole penalties, against central differences;
every backend; and refusals.
"""

import fake_cupy
import numpy as np
import pytest
from cases import CASES, gradients, innermost, inputs, on, refusal
from helpers import assert_derivatives, assert_gradient, module_of

from minigan.backend import asnumpy, get_array_module
from minigan.evaluation.derivatives import (
    discriminators,
    fresh_rng,
    has_double_backward,
    random_x,
)
from minigan.gan.gradient_penalty import (
    PENALTIES,
    gradient_penalty,
    make_penalty,
    random_interpolates,
)
from minigan.gan.models import make_discriminator
from minigan.gan.steps import real_and_fake
from minigan.nn.activations import LeakyReLU, Tanh
from minigan.nn.batchnorm import BatchNorm2d
from minigan.nn.dense import Dense
from minigan.nn.double_gradcheck import check_double_backward
from minigan.nn.dropout import Dropout
from minigan.nn.gradcheck import central_difference
from minigan.nn.layer import Layer
from minigan.nn.sequential import Sequential
from minigan.rng import make_rng

MIXING = ("BatchNorm2d, training", "BatchNorm2d, images")
SUPPORTED = {
    name: case
    for name, case in CASES.items()
    if name not in MIXING and has_double_backward(case.make("float64"))
}
# the mean over the batch of a function of the gradient norm; r1+r2 adds the means of both halves
FORMULAS = {
    "r1": lambda g: g**2 / 2,
    "r2": lambda g: g**2 / 2,
    "r1+r2": lambda g: g**2,
    "wgan-gp": lambda g: (g - 1) ** 2,
}
every_case = pytest.mark.parametrize("case", SUPPORTED.values(), ids=SUPPORTED.keys())
every_penalty = pytest.mark.parametrize("name", PENALTIES)
DISCRIMINATORS = {name: (D, shape) for name, D, shape in discriminators()}
every_D = pytest.mark.parametrize("D, shape", DISCRIMINATORS.values(), ids=DISCRIMINATORS.keys())


def double_backward(case, dtype="float64", xp=np):
    """(layer, ddx, dys or dy, cache, (ddy, dx)) of a case."""
    layer, (x, dy) = on(xp, case.make(dtype)), inputs(case, dtype)
    ddx = xp.asarray(np.random.default_rng(13).standard_normal(x.shape).astype(dtype))
    _, cache = layer.forward(xp.asarray(x), train=case.train, rng=make_rng(xp, 3))
    given = (
        layer.input_gradient(xp.asarray(dy), cache)[1]
        if isinstance(layer, Sequential)
        else xp.asarray(dy)
    )
    return layer, ddx, given, cache, layer.double_backward(ddx, given, cache)


@every_case
def test_double_backward_against_central_differences(case):
    layer = case.make("float64")
    checks = check_double_backward(layer, inputs(case)[0], train=case.train)
    assert_derivatives(f"{module_of(layer)}: double_backward of {case.name}", checks)


@every_case
def test_a_double_backward_that_is_off_by_a_thousandth_is_caught(case):
    """A test of the test: every gradient that is not 0 everywhere must fail."""
    layer = case.make("float64")
    correct = layer.double_backward

    def wrong(ddx, dy, cache):
        ddy, dx = correct(ddx, dy, cache)
        for dparam in gradients(layer).values():
            dparam *= 1.001
        return 1.001 * ddy, None if dx is None else 1.001 * dx

    layer.double_backward = wrong
    checks = check_double_backward(layer, inputs(case)[0], train=case.train)
    assert [check.ok for check in checks] == [check.numeric == 0 for check in checks]
    assert not checks[0].ok


@every_case
def test_arguments_are_not_modified(case):
    layer, ddx, given, cache, (ddy, dx) = double_backward(case)
    before = {name: array.copy() for name, array in gradients(layer).items()}
    for array in ddx, *(given if isinstance(given, list) else [given]):
        array.flags.writeable = False
    again, dx_again = layer.double_backward(ddx, given, cache)
    np.testing.assert_array_equal(again, ddy)
    np.testing.assert_array_equal(dx_again, dx)
    for name, array in gradients(layer).items():
        np.testing.assert_array_equal(array, before[name])  # replaced, not added


@every_case
def test_shapes_dtype_and_backends(case, dtype, xp):
    if xp.__name__ == "cupy" and case.train:
        pytest.skip("a GPU draws other random numbers")
    layer, ddx, given, _, (ddy, dx) = double_backward(case, dtype, xp)
    plain, _, dys, _, (plain_ddy, plain_dx) = double_backward(case, dtype)
    assert ddy.shape == (dys[-1] if isinstance(dys, list) else dys).shape and (
        dx is None or dx.shape == ddx.shape
    )
    pairs = [(ddy, plain_ddy), *zip(gradients(layer).values(), gradients(plain).values())] + (
        [(dx, plain_dx)] if dx is not None else []
    )
    for array, expected in pairs:
        assert array.dtype == dtype and get_array_module(array) is xp
        tolerance = 0 if xp.__name__ != "cupy" else 1e-12 if dtype == "float64" else 1e-5
        np.testing.assert_allclose(asnumpy(array), expected, rtol=tolerance, atol=tolerance)


@every_case
def test_a_ddx_of_another_shape_is_refused(case):
    layer, ddx, given, cache, _ = double_backward(case)
    with refusal(
        ValueError,
        f"{innermost(layer, 0)!r} returned dx of shape {ddx.shape}",
        "ddx of shape (2, 1, 1)",
    ):
        layer.double_backward(np.ones((2, 1, 1)), given, cache)


def numeric_gradients(D, x):
    """The gradient of each image's logit by central differences: one row per image."""
    return np.array(
        [
            central_difference(
                lambda: D.forward(image, train=True, rng=fresh_rng())[0].item(), image
            ).ravel()
            for image in np.split(x.copy(), len(x))
        ]
    )


@every_penalty
@pytest.mark.parametrize("what", ["activations", "convolutions"])
def test_the_penalty_against_its_definition(name, what):
    """From numeric gradients, one image at a time. A wrong axis, the gradient of the probability
    instead of the logit, or a missing square would fail.
    """
    D, shape = DISCRIMINATORS[what]
    norms = [np.linalg.norm(row) for row in numeric_gradients(D, random_x(shape))]
    expected = np.mean([FORMULAS[name](g) for g in norms])
    assert gradient_penalty(D, *D.forward(random_x(shape)), name).item() == pytest.approx(
        expected, rel=1e-8
    )
    assert gradient_penalty(
        D, *D.forward(random_x(shape)), name, weight=10.0
    ).item() == pytest.approx(10 * expected, rel=1e-8)


@every_penalty
@every_D
def test_the_gradient_against_central_differences(name, D, shape):
    """The differences are those of the formula, not of the value that gradient_penalty returns."""

    def P():
        _, caches = D.forward(random_x(shape), train=True, rng=fresh_rng())
        g, _ = D.input_gradient(np.ones((shape[0], 1)), caches)
        return 2.5 * float(np.mean([FORMULAS[name]((row**2).sum() ** 0.5) for row in g]))

    D.dtheta[...] = 7  # is replaced
    logits, caches = D.forward(random_x(shape), train=True, rng=fresh_rng())
    penalty = gradient_penalty(D, logits, caches, name, weight=2.5)
    assert penalty == pytest.approx(P(), rel=1e-12)
    dtheta = D.dtheta.copy()
    assert_gradient(f"minigan/gan/gradient_penalty.py: {name}", "dtheta", dtheta, P, D.theta)
    numeric = central_difference(P, D.theta)
    assert abs(dtheta).max() > 1e-3 and abs(dtheta - numeric).max() < 1e-8 * abs(numeric).max()


@every_penalty
def test_gradient_descent_reduces_the_penalty(name):
    D, x = make_discriminator(8, [6, 4], dtype="float64", rng=fresh_rng()), random_x((7, 8))
    penalties = []
    for _ in range(400):
        penalties.append(gradient_penalty(D, *D.forward(x), name).item())
        D.theta -= 0.02 * D.dtheta
    assert penalties[-1] < 0.06 * penalties[0]


def test_the_derivation_in_the_docstring():
    """Dense, LeakyReLU, Dense: each formula of gradient_penalty.py."""
    rng = np.random.default_rng(0)
    first, _, last = layers = (
        Dense(4, 3, dtype="float64", rng=rng),
        LeakyReLU(0.2),
        Dense(3, 1, dtype="float64", rng=rng),
    )
    D, x = Sequential(layers), rng.standard_normal((5, 4))
    logits, caches = D.forward(x)
    gradient_penalty(D, logits, caches, "r1")
    m = np.where(x @ first.W > 0, 1, 0.2)
    dh = m * (np.ones((5, 1)) @ last.W.T)
    ddx = dh @ first.W.T / 5
    ddy = m * (ddx @ first.W)
    np.testing.assert_allclose(first.dW, ddx.T @ dh, rtol=1e-12)
    np.testing.assert_allclose(last.dW, ddy.T @ np.ones((5, 1)), rtol=1e-12)
    assert not first.db.any() and not last.db.any()


@every_penalty
def test_it_is_the_same_on_the_fake_cupy_and_the_host_never_waits(name, dtype):
    def run(xp):
        D = make_discriminator(
            8, [6, 4], dropout=0.3, dtype=dtype, rng=np.random.default_rng(0)
        ).to(xp)
        logits, caches = D.forward(
            xp.asarray(random_x((7, 8)).astype(dtype)), train=True, rng=make_rng(xp, 1)
        )
        return gradient_penalty(D, logits, caches, name, weight=10.0), D.dtheta

    with fake_cupy.no_sync():
        on_device = run(fake_cupy)
    for host, device in zip(run(np), on_device):
        assert host.dtype == device.dtype == dtype
        np.testing.assert_array_equal(host, asnumpy(device))


@every_penalty
def test_a_flat_discriminator_has_a_finite_gradient(name):
    """Where g is 0 its length has no derivative: the gradient is 0, not 0 / 0."""
    D = make_discriminator(8, [6], rng=fresh_rng())
    D.theta[...] = 0
    penalty = gradient_penalty(D, *D.forward(np.ones((3, 8), "float32")), name)
    assert penalty.item() == (1 if name == "wgan-gp" else 0)
    assert not D.dtheta.any()


def passes_of(D, monkeypatch):
    """The inputs of every forward of D from now on."""
    passes, forward = [], D.forward
    monkeypatch.setattr(
        D, "forward", lambda x, **options: passes.append(x) or forward(x, **options), raising=False
    )
    return passes


@pytest.mark.parametrize("labelled", [False, True], ids=["", "labels"])
def test_r1_and_r2_together_are_the_sum_of_both(labelled, monkeypatch):
    """At the real images and at the fakes, with the labels of each; without a forward of their own
    if that of both is given.
    """
    rng, options = fresh_rng(), dict(n_classes=3) if labelled else {}
    D = make_discriminator(8, [6, 4], dtype="float64", rng=rng, **options)
    real, fake = random_x((7, 8)), 3 * random_x((14, 8))[7:]
    labels = np.eye(3)[[0, 1, 2, 2, 1, 0, 1]] if labelled else None
    images = real_and_fake(real, fake, labels)
    given = dict(labels=labels, rng=None)
    P, dtheta = 0.0, 0 * D.dtheta
    for name in "r1", "r2":
        P += make_penalty(name, 2.5)(D, real, fake, **given)
        dtheta += D.dtheta
    both, passes = D.forward(images, train=True), passes_of(D, monkeypatch)
    for reused, count in (None, 1), (both, 0):
        found = make_penalty("r1+r2", 2.5)(D, real, fake, both=reused, **given)
        assert len(passes) == count
        assert found == pytest.approx(P, rel=1e-12)
        np.testing.assert_allclose(D.dtheta, dtheta, rtol=1e-10, atol=1e-14)
        passes.clear()
    for name in "r1", "r2":  # they are at one half of the images, so they need a pass
        make_penalty(name, 1.0)(D, real, fake, both=both, **given)
        [x] = passes
        np.testing.assert_array_equal(x[0] if labelled else x, real if name == "r1" else fake)
        passes.clear()


def test_random_interpolates_are_on_the_line_with_one_e_per_image(dtype, xp):
    real, fake = np.ones((2000, 2, 3), dtype), -np.ones((2000, 2, 3), dtype)
    fake[:, 0, 0] = 3
    x = asnumpy(random_interpolates(xp.asarray(real), xp.asarray(fake), rng=make_rng(xp, 0)))
    e = (x[:, 1, 2] + 1) / 2
    assert x.dtype == dtype and len(np.unique(e)) > 1900
    assert 0 <= e.min() < 0.01 and 0.99 < e.max() <= 1 and abs(e.mean() - 0.5) < 0.02
    np.testing.assert_allclose(x[:, 0, 0], 3 - 2 * e, rtol=1e-5)
    np.testing.assert_allclose(x[:, 0, 1:], np.stack([2 * e - 1] * 2, axis=1), atol=1e-5)


def test_layers_without_a_double_backward_are_refused():
    class Square(Layer):
        def forward(self, x, *, train=False, rng=None):
            return x * x, x

        def backward(self, dy, x, *, need_dx=True, need_dparams=True):
            return 2 * x * dy

    def dense(n_in, n_out):
        return Dense(n_in, n_out, rng=fresh_rng())

    D = Sequential([dense(3, 2), Square(), Dropout(0.5), dense(2, 1)])
    with refusal(NotImplementedError, "Square() has no double_backward"):
        gradient_penalty(D, *D.forward(np.ones((4, 3), "float32")), "r1")
    D, x = Sequential([dense(3, 2), BatchNorm2d(2), dense(2, 1)]), np.ones((4, 3), "float32")
    with refusal(NotImplementedError, "BatchNorm2d(2) has no double_backward in training", "mixes"):
        gradient_penalty(D, *D.forward(x, train=True), "r1")
    gradient_penalty(D, *D.forward(x), "r1")  # outside of training it has one
    assert D.dtheta.any()


@every_penalty
def test_the_pass_of_a_penalty_is_one_in_training_with_the_given_rng(name):
    class Recording(Tanh):
        def forward(self, x, *, train=False, rng=None):
            passes.append((train, rng))
            return super().forward(x, train=train, rng=rng)

    passes, rng, x = [], fresh_rng(), random_x((3, 5))
    D = Sequential([Recording(), Dense(5, 1, dtype="float64", rng=fresh_rng())])
    make_penalty(name, 1.0)(D, x, -x, labels=None, rng=rng)
    assert passes == [(True, rng)]
