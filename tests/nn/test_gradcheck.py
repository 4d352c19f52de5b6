"""The gradient check itself: which mistakes it finds, where, and the cause that it names."""

import math

import numpy as np
import pytest

from minigan.nn.activations import LeakyReLU, Tanh
from minigan.nn.batchnorm import BatchNorm2d
from minigan.nn.dense import Dense
from minigan.nn.double_gradcheck import check_double_backward
from minigan.nn.dropout import Dropout
from minigan.nn.gradcheck import central_difference, check_layer, check_loss, compare
from minigan.nn.losses import bce_with_logits
from minigan.nn.sequential import Sequential

X = np.random.default_rng(2).standard_normal((4, 3))


def dense(M=3, cls=Dense):
    return cls(3, M, dtype="float64", rng=np.random.default_rng(0))


def find(checks, name):
    return next(check for check in checks if check.name == name)


def test_central_difference_of_a_known_function():
    x = np.array([0.5, 2.0, -1.0])
    np.testing.assert_allclose(
        central_difference(lambda: float((x**3).sum()), x), 3 * x * x, rtol=1e-9
    )


def test_a_correct_layer_passes():
    assert all(
        check.ok and check.cause == "" and str(check).startswith("✓")
        for check in check_layer(dense(), X)
    )


class TwiceTooMuch(Dense):
    def backward(self, dy, x, *, need_dx=True, need_dparams=True):
        return super().backward(2 * dy, x)


class Transposed(Dense):
    def backward(self, dy, x, *, need_dx=True, need_dparams=True):
        self.dW[...] = dy.T @ x
        self.db[...] = dy.sum(axis=0)
        return dy @ self.W.T


class LastExampleOnly(Dense):
    def backward(self, dy, x, *, need_dx=True, need_dparams=True):
        self.dW[...] = x.T @ dy
        self.db[...] = dy[-1]
        return dy @ self.W.T


class MeanOverTheBatch(Dense):
    def backward(self, dy, x, *, need_dx=True, need_dparams=True):
        self.dW[...] = x.T @ dy / len(x)
        self.db[...] = dy.sum(axis=0)
        return dy @ self.W.T


class WrongSign(Dense):
    def backward(self, dy, x, *, need_dx=True, need_dparams=True):
        super().backward(dy, x)
        return -dy @ self.W.T


class MinusHalf(Dense):
    def backward(self, dy, x, *, need_dx=True, need_dparams=True):
        return -0.5 * super().backward(dy, x)


class Half(Dense):
    def backward(self, dy, x, *, need_dx=True, need_dparams=True):
        return 0.5 * super().backward(dy, x)


class Nothing(Dense):
    def backward(self, dy, x, *, need_dx=True, need_dparams=True):
        super().backward(dy, x)


class Forgotten(Dense):
    def backward(self, dy, x, *, need_dx=True, need_dparams=True):
        self.dW[...] = x.T @ dy
        return dy @ self.W.T


class Added(Dense):
    def backward(self, dy, x, *, need_dx=True, need_dparams=True):
        self.dW += x.T @ dy
        self.db += dy.sum(axis=0)
        return dy @ self.W.T


class OneEntry(Dense):
    def backward(self, dy, x, *, need_dx=True, need_dparams=True):
        dx = super().backward(dy, x)
        self.dW[1, 2] += 0.25
        return dx


class NotANumber(Dense):
    def backward(self, dy, x, *, need_dx=True, need_dparams=True):
        return super().backward(dy, x) * np.nan


class WrongShape(Dense):
    def backward(self, dy, x, *, need_dx=True, need_dparams=True):
        return super().backward(dy, x).T


TRANSPOSED = "correct after swapping rows and columns"
LAST_ONLY = "only the last example counts"
SUM_OR_MEAN = "a sum over the batch instead of a mean"
PLANTED = [  # the layer, its wrong gradients, and fragments of the cause
    (TwiceTooMuch, ["dx", "dW", "db"], ["it is 2 times", "+= instead of ="]),
    (Transposed, ["dW"], [TRANSPOSED]),
    (LastExampleOnly, ["db"], ["missing sum over the batch", LAST_ONLY]),
    (Added, ["dW", "db"], ["it is 2 times", "+= instead of ="]),
    (MeanOverTheBatch, ["dW"], ["it is 0.25 times", SUM_OR_MEAN]),
    (WrongSign, ["dx"], ["it is -1 times", "the sign"]),
    (MinusHalf, ["dx"], ["it is -0.5 times", "a missing factor"]),
    (Half, ["dx"], ["it is 0.5 times", "a missing factor"]),
    (Forgotten, ["db"], ["never written"]),
    (OneEntry, ["dW"], ["the formula itself: 1 of 9 entries"]),
    (NotANumber, ["dx"], ["NaN or infinity"]),
    (WrongShape, ["dx"], ["missing sum", "shape (3, 4), not (4, 3)"]),
    (Nothing, ["dx"], ["missing sum", "shape None, not (4, 3)"]),
]


@pytest.mark.parametrize("cls, wrong, cause", PLANTED, ids=[row[0].__name__ for row in PLANTED])
def test_planted_bugs_are_found_and_their_cause_is_named(cls, wrong, cause):
    checks = check_layer(dense(cls=cls), X)
    assert [check.name for check in checks if not check.ok] == wrong
    for name in wrong:
        check = find(checks, name)
        for fragment in cause:
            assert fragment in check.cause
        assert str(check).startswith(f"✗ {name} ") and check.cause in str(check)


def test_the_worst_entry_is_named():
    check = find(check_layer(dense(cls=OneEntry), X), "dW")
    assert check.index == (1, 2)
    assert check.analytic - check.numeric == pytest.approx(0.25, abs=1e-8)
    for fragment in "[1, 2]", f"{check.analytic:.6g}", f"{check.numeric:.6g}":
        assert fragment in str(check)


class WrongDerivative(Tanh):
    def backward(self, dy, y, *, need_dx=True, need_dparams=True):
        return dy * (1 - y)


def test_a_kink_is_distinguished_from_a_mistake():
    x = np.array([[0.5, 0.0, -0.5]])
    (check,) = check_layer(LeakyReLU(0.2), x)
    assert check.index == (0, 1)
    assert check.cause.startswith("a kink")
    (check,) = check_layer(WrongDerivative(), x)
    assert check.cause.startswith("the formula itself: 2 of 3 entries")


def test_causes_do_not_depend_on_the_scale():
    for scale in 1e-5, 1e5:
        check = find(check_layer(dense(cls=Transposed), scale * X), "dW")
        assert TRANSPOSED in check.cause
    for scale in 1e-5, 1e4:  # 0.25 is large beside the first dW and tiny beside the second
        check = find(check_layer(dense(cls=OneEntry), scale * X), "dW")
        assert check.cause.startswith("the formula itself: 1 of 9 entries")
    check = find(check_layer(dense(cls=LastExampleOnly), X[:2]), "db")
    assert LAST_ONLY in check.cause


def test_the_error_is_relative_to_the_larger_of_the_two():
    assert [check.error for check in check_layer(dense(cls=TwiceTooMuch), X)] == pytest.approx(
        [0.5] * 3
    )
    assert find(check_layer(dense(cls=Half), X), "dx").error == pytest.approx(0.5)
    assert find(check_layer(dense(cls=NotANumber), X), "dx").error == math.inf
    shapeless = find(check_layer(dense(cls=WrongShape), X), "dx")
    assert (
        shapeless.error == math.inf
        and shapeless.index == ()
        and math.isnan(shapeless.analytic + shapeless.numeric)
    )


def test_tiny_gradients_and_gradients_of_zero():
    class Tiny(Tanh):
        derivative = 1e-12

        def forward(self, x, *, train=False, rng=None):
            return 1e-12 * x, x

        def backward(self, dy, x, *, need_dx=True, need_dparams=True):
            return self.derivative * dy

    assert all(check.ok for check in check_layer(Tiny(), X))
    Tiny.derivative = 2e-12
    assert not any(check.ok for check in check_layer(Tiny(), X))

    class Zero(Tiny):
        def forward(self, x, *, train=False, rng=None):
            return 0 * x, x

    Zero.derivative = 0.0
    assert [check.error for check in check_layer(Zero(), X)] == [0]


def test_results_repeat_and_depend_on_the_seed():
    first = check_layer(dense(), X)
    assert check_layer(dense(), X) == first and check_layer(dense(), X, seed=1) != first


def test_with_train_the_training_pass_is_checked():
    class NoMask(Dropout):
        def backward(self, dy, mask, *, need_dx=True, need_dparams=True):
            return dy

    assert all(check.ok for check in check_layer(NoMask(0.5), X))
    assert not any(check.ok for check in check_layer(NoMask(0.5), X, train=True))


def test_compare_assumes_one_example_unless_n_is_given():
    theta = np.array([1.0, -2.0])
    check = compare("dtheta", 4 * theta, lambda: float((theta**2).sum()), theta)
    assert "it is 2 times" in check.cause and "+= instead of =" in check.cause
    assert compare("dtheta", 2 * theta, lambda: float((theta**2).sum()), theta).ok


def test_a_factor_in_a_batch_of_one_or_two():
    """With one example a factor of 2 is an extra factor; with two examples it may be a sum."""
    checks = check_layer(dense(cls=TwiceTooMuch), X[:1])
    assert len(checks) == 3
    for check in checks:
        assert "it is 2 times" in check.cause and "+= instead of =" in check.cause
    assert all(check.ok for check in check_layer(dense(), X[:1]))
    checks = check_layer(dense(cls=TwiceTooMuch), X[:2])
    assert SUM_OR_MEAN in checks[0].cause  # a factor of 2, a batch of 2


def test_a_gradient_that_should_be_zero():
    """y does not depend on x, but backward returns a gradient."""

    class Constant(Tanh):
        def forward(self, x, *, train=False, rng=None):
            return 0 * x, 0 * x

        def backward(self, dy, y, *, need_dx=True, need_dparams=True):
            return dy

    (check,) = check_layer(Constant(), X)
    assert not check.ok and check.cause.startswith("the formula itself: 12 of 12 entries")


def test_a_loss_and_its_mean():
    (check,) = check_loss(
        lambda a, t: (bce_with_logits(a, t)[0], bce_with_logits(a, t)[1] * a.size), X, 1.0
    )
    assert not check.ok and check.name == "da"
    assert "it is 12 times" in check.cause and SUM_OR_MEAN in check.cause
    (check,) = check_loss(bce_with_logits, X, 1.0)
    assert check.ok and check.name == "da" and check.cause == ""


def test_errors_are_relative_to_the_largest_entry():
    """Small entries beside large ones do not fail because of the rounding of the large ones."""

    class Uneven(Tanh):
        def forward(self, x, *, train=False, rng=None):
            return x * np.array([1.0, 1e9]), None

        def backward(self, dy, cache, *, need_dx=True, need_dparams=True):
            return dy * np.array([1.0, 1e9])

    (check,) = check_layer(Uneven(), np.array([[0.3, 0.2]]))
    assert check.ok


def test_float32_is_refused():
    with pytest.raises(TypeError, match=r"W is float32 of shape \(3, 2\)"):
        check_layer(Dense(3, 2, rng=np.random.default_rng(0)), X)
    with pytest.raises(TypeError, match="x is float32"):
        check_layer(Tanh(), X.astype("float32"))
    with pytest.raises(TypeError, match="a is int64"):
        check_loss(bce_with_logits, np.ones((2, 1), "int64"), 1.0)


def test_only_the_gradients_are_changed():
    layer, before = dense(), X.copy()
    theta = layer.W.copy(), layer.b.copy()
    check_layer(layer, X)
    np.testing.assert_array_equal(X, before)
    np.testing.assert_array_equal(layer.W, theta[0])
    np.testing.assert_array_equal(layer.b, theta[1])


@pytest.mark.parametrize(
    "cls, name, sentence",
    [
        (NotANumber, "dx", "a division by zero or an overflow: backward returns NaN or infinity"),
        (Forgotten, "db", "a gradient that is never written: it is 0 everywhere"),
        (Transposed, "dW", "a transposed matrix: it is correct after swapping rows and columns"),
        (LastExampleOnly, "db", "a missing sum over the batch: only the last example counts"),
        (
            MeanOverTheBatch,
            "dW",
            "it is 0.25 times the correct value everywhere: a sum over the batch instead of a mean,"
            " or the other way round",
        ),
        (WrongSign, "dx", "it is -1 times the correct value everywhere: the sign"),
        (
            TwiceTooMuch,
            "dx",
            "it is 2 times the correct value everywhere: an extra factor, or += instead of =",
        ),
        (Half, "dx", "it is 0.5 times the correct value everywhere: a missing factor"),
        (OneEntry, "dW", "the formula itself: 1 of 9 entries are wrong, by no common factor"),
    ],
)
def test_the_whole_sentence_of_each_cause(cls, name, sentence):
    assert find(check_layer(dense(cls=cls), X), name).cause == sentence


def test_the_whole_sentence_of_a_kink():
    (check,) = check_layer(LeakyReLU(0.2), np.array([[0.0, 1.0]]))
    assert check.cause == (
        "a kink: the derivatives to the left and to the right of this x differ, so move x away"
        " from it"
    )


def test_the_double_check_names_its_gradients_repeats_and_depends_on_the_seed():
    checks = check_double_backward(dense(), X)
    assert [check.name for check in checks] == ["ddy", "dx", "dW", "db"]
    assert check_double_backward(dense(), X) == checks == check_double_backward(dense(), X, seed=0)
    assert check_double_backward(dense(), X, seed=1) != checks


def test_the_double_check_is_of_a_pass_outside_of_training_unless_it_is_told():
    class Counting(Tanh):
        def forward(self, x, *, train=False, rng=None):
            passes.append(train)
            return super().forward(x, train=train, rng=rng)

    for options, expected in ({}, False), ({"train": True}, True):
        passes = []
        check_double_backward(Counting(), X, **options)
        assert set(passes) == {expected}


def test_batch_norm_in_a_chain_starts_each_pass_with_the_same_averages():
    net, once = (Sequential([Tanh(), BatchNorm2d(3, dtype="float64")]) for _ in range(2))
    assert all(check.ok for check in check_layer(net, X, train=True))
    once.forward(X, train=True)
    np.testing.assert_array_equal(net.buffers, once.buffers)
