"""The checker itself: what it finds, where, and what it says of it."""
import math

import numpy as np
import pytest

from minigan.activations import LeakyReLU, Tanh
from minigan.dense import Dense
from minigan.dropout import Dropout
from minigan.gradcheck import central_difference, check_layer, check_loss, compare
from minigan.losses import bce_on_logits

X = np.random.default_rng(2).standard_normal((4, 3))


def dense(M=3, cls=Dense):
    return cls(3, M, np.random.default_rng(0), dtype="float64")


def of(checks, name):
    return next(check for check in checks if check.name == name)


def test_central_difference_of_a_known_function():
    x = np.array([0.5, 2.0, -1.0])
    np.testing.assert_allclose(central_difference(lambda: float((x ** 3).sum()), x), 3 * x * x, rtol=1e-9)


def test_a_right_layer_passes():
    assert all(check.ok and check.cause == "" and str(check).startswith("✓") for check in check_layer(dense(), X))


class TwiceTooMuch(Dense):
    def backward(self, dy, x, need_dx=True, need_dparams=True):
        return super().backward(2 * dy, x)


class Transposed(Dense):
    def backward(self, dy, x, need_dx=True, need_dparams=True):
        self.dW[...] = dy.T @ x
        self.db[...] = dy.sum(axis=0)
        return dy @ self.W.T


class LastExampleOnly(Dense):
    def backward(self, dy, x, need_dx=True, need_dparams=True):
        self.dW[...] = x.T @ dy
        self.db[...] = dy[-1]
        return dy @ self.W.T


class MeanOverTheBatch(Dense):
    def backward(self, dy, x, need_dx=True, need_dparams=True):
        self.dW[...] = x.T @ dy / len(x)
        self.db[...] = dy.sum(axis=0)
        return dy @ self.W.T


class WrongSign(Dense):
    def backward(self, dy, x, need_dx=True, need_dparams=True):
        super().backward(dy, x)
        return -dy @ self.W.T


class MinusHalf(Dense):
    def backward(self, dy, x, need_dx=True, need_dparams=True):
        return -0.5 * super().backward(dy, x)


class Half(Dense):
    def backward(self, dy, x, need_dx=True, need_dparams=True):
        return 0.5 * super().backward(dy, x)


class Nothing(Dense):
    def backward(self, dy, x, need_dx=True, need_dparams=True):
        super().backward(dy, x)


class Forgotten(Dense):
    def backward(self, dy, x, need_dx=True, need_dparams=True):
        self.dW[...] = x.T @ dy
        return dy @ self.W.T


class Added(Dense):
    def backward(self, dy, x, need_dx=True, need_dparams=True):
        self.dW += x.T @ dy
        self.db += dy.sum(axis=0)
        return dy @ self.W.T


class OneEntry(Dense):
    def backward(self, dy, x, need_dx=True, need_dparams=True):
        dx = super().backward(dy, x)
        self.dW[1, 2] += 0.25
        return dx


class NotANumber(Dense):
    def backward(self, dy, x, need_dx=True, need_dparams=True):
        return super().backward(dy, x) * np.nan


class WrongShape(Dense):
    def backward(self, dy, x, need_dx=True, need_dparams=True):
        return super().backward(dy, x).T


PLANTED = [  # the layer, its wrong gradients, and what is said of them
    (TwiceTooMuch, ["dx", "dW", "db"], "it is 2 times what it should be, everywhere: a factor too much, or += where = belongs"),
    (Transposed, ["dW"], "a transposed matrix: it is right once rows and columns are exchanged"),
    (LastExampleOnly, ["db"], "a missing sum over the batch: only the last example counts"),
    (Added, ["dW", "db"], "it is 2 times what it should be, everywhere: a factor too much, or += where = belongs"),
    (MeanOverTheBatch, ["dW"], "it is 0.25 times what it should be, everywhere: a sum over the batch where a mean"
                               " belongs, or the other way round"),
    (WrongSign, ["dx"], "it is -1 times what it should be, everywhere: the sign"),
    (MinusHalf, ["dx"], "it is -0.5 times what it should be, everywhere: a factor is missing"),
    (Half, ["dx"], "it is 0.5 times what it should be, everywhere: a factor is missing"),
    (Forgotten, ["db"], "a gradient that is never written: it is 0 everywhere"),
    (OneEntry, ["dW"], "the formula itself: 1 of 9 entries are wrong, by no common factor"),
    (NotANumber, ["dx"], "a division by zero, or an overflow: backward gives NaN or infinity"),
    (WrongShape, ["dx"], "a transposed matrix, or a missing sum: it has shape (3, 4), not (4, 3)"),
    (Nothing, ["dx"], "a transposed matrix, or a missing sum: it has shape None, not (4, 3)"),
]


@pytest.mark.parametrize("cls, wrong, words", PLANTED, ids=[row[0].__name__ for row in PLANTED])
def test_planted_bugs_are_found_and_named(cls, wrong, words):
    checks = check_layer(dense(cls=cls), X)
    assert [check.name for check in checks if not check.ok] == wrong
    for name in wrong:
        check = of(checks, name)
        assert check.cause == words
        assert str(check).startswith(f"✗ {name} ") and str(check).endswith(f"Likely {words}.")


def test_the_worst_entry_is_named():
    check = of(check_layer(dense(cls=OneEntry), X), "dW")
    assert check.index == (1, 2)
    assert check.analytic - check.numeric == pytest.approx(0.25, abs=1e-8)
    assert f"[1, 2]: backward says {check.analytic:.6g}, the difference {check.numeric:.6g}" in str(check)


class HalfTheSlope(Tanh):
    def backward(self, dy, y, need_dx=True, need_dparams=True):
        return dy * (1 - y)


def test_a_kink_is_told_from_a_mistake():
    x = np.array([[0.5, 0.0, -0.5]])
    check, = check_layer(LeakyReLU(0.2), x)
    assert check.index == (0, 1)
    assert check.cause == "a kink: the slope differs to the left and to the right of this x, so move x away from it"
    check, = check_layer(HalfTheSlope(), x)
    assert check.cause == "the formula itself: 2 of 3 entries are wrong, by no common factor"


def test_causes_do_not_depend_on_the_scale():
    for scale in 1e-5, 1e5:
        check = of(check_layer(dense(cls=Transposed), scale * X), "dW")
        assert check.cause == "a transposed matrix: it is right once rows and columns are exchanged"
    for scale in 1e-5, 1e4:                           # 0.25 more is much to the one, next to nothing to the other
        check = of(check_layer(dense(cls=OneEntry), scale * X), "dW")
        assert check.cause.startswith("the formula itself: 1 of 9 entries")
    check = of(check_layer(dense(cls=LastExampleOnly), X[:2]), "db")
    assert check.cause == "a missing sum over the batch: only the last example counts"


def test_the_error_is_relative_to_the_larger_of_the_two():
    assert [check.error for check in check_layer(dense(cls=TwiceTooMuch), X)] == pytest.approx([0.5] * 3)
    assert of(check_layer(dense(cls=Half), X), "dx").error == pytest.approx(0.5)
    assert of(check_layer(dense(cls=NotANumber), X), "dx").error == math.inf
    shapeless = of(check_layer(dense(cls=WrongShape), X), "dx")
    assert shapeless.error == math.inf and shapeless.index == () and math.isnan(shapeless.analytic + shapeless.numeric)


def test_tiny_gradients_and_none_at_all():
    class Faint(Tanh):
        claimed = 1e-12

        def forward(self, x, train=False, rng=None):
            return 1e-12 * x, x

        def backward(self, dy, x, need_dx=True, need_dparams=True):
            return self.claimed * dy
    assert all(check.ok for check in check_layer(Faint(), X))
    Faint.claimed = 2e-12
    assert not any(check.ok for check in check_layer(Faint(), X))
    class Deaf(Faint):
        def forward(self, x, train=False, rng=None):
            return 0 * x, x
    Deaf.claimed = 0.0
    assert [check.error for check in check_layer(Deaf(), X)] == [0]


def test_it_says_the_same_each_time_and_another_seed_asks_another_question():
    first = check_layer(dense(), X)
    assert check_layer(dense(), X) == first and check_layer(dense(), X, seed=1) != first


def test_training_is_checked_as_training():
    class NoMask(Dropout):
        def backward(self, dy, mask, need_dx=True, need_dparams=True):
            return dy
    assert all(check.ok for check in check_layer(NoMask(0.5), X))
    assert not any(check.ok for check in check_layer(NoMask(0.5), X, train=True))


def test_compare_knows_of_no_batch_unless_told():
    theta = np.array([1.0, -2.0])
    check = compare("dtheta", 4 * theta, lambda: float((theta ** 2).sum()), theta)
    assert check.cause == "it is 2 times what it should be, everywhere: a factor too much, or += where = belongs"
    assert compare("dtheta", 2 * theta, lambda: float((theta ** 2).sum()), theta).ok


def test_one_example_is_no_sum_over_a_batch():
    """With a batch of one, a factor is called a factor; and the last example is all there is."""
    checks = check_layer(dense(cls=TwiceTooMuch), X[:1])
    assert [check.cause for check in checks] == ["it is 2 times what it should be, everywhere: a factor too much, or += where = belongs"] * 3
    assert all(check.ok for check in check_layer(dense(), X[:1]))
    checks = check_layer(dense(cls=TwiceTooMuch), X[:2])
    assert "a sum over the batch where a mean belongs" in checks[0].cause      # a factor of 2, a batch of 2


def test_a_gradient_where_there_is_none():
    """y does not depend on x at all, but backward says it does."""
    class Constant(Tanh):
        def forward(self, x, train=False, rng=None):
            return 0 * x, 0 * x

        def backward(self, dy, y, need_dx=True, need_dparams=True):
            return dy
    check, = check_layer(Constant(), X)
    assert not check.ok and check.cause == "the formula itself: 12 of 12 entries are wrong, by no common factor"


def test_a_loss_and_its_mean():
    check, = check_loss(lambda z, t: (bce_on_logits(z, t)[0], bce_on_logits(z, t)[1] * z.size), X, 1.0)
    assert not check.ok and check.name == "dz"
    assert check.cause == ("it is 12 times what it should be, everywhere: a sum over the batch where a mean belongs,"
                           " or the other way round")
    check, = check_loss(bce_on_logits, X, 1.0)
    assert check.ok and check.name == "dz" and check.cause == ""


def test_errors_are_relative_to_the_largest_entry():
    """Small entries beside large ones are not blamed for the rounding of the large ones."""
    class Uneven(Tanh):
        def forward(self, x, train=False, rng=None):
            return x * np.array([1.0, 1e9]), None

        def backward(self, dy, cache, need_dx=True, need_dparams=True):
            return dy * np.array([1.0, 1e9])
    check, = check_layer(Uneven(), np.array([[0.3, 0.2]]))
    assert check.ok


def test_float32_is_refused_in_words():
    with pytest.raises(TypeError, match=r"W is float32 of shape \(3, 2\)"):
        check_layer(Dense(3, 2, np.random.default_rng(0)), X)
    with pytest.raises(TypeError, match="x is float32"):
        check_layer(Tanh(), X.astype("float32"))
    with pytest.raises(TypeError, match="z is int64"):
        check_loss(bce_on_logits, np.ones((2, 1), "int64"), 1.0)


def test_nothing_is_changed_but_the_gradients():
    layer, before = dense(), X.copy()
    theta = layer.W.copy(), layer.b.copy()
    check_layer(layer, X)
    np.testing.assert_array_equal(X, before)
    np.testing.assert_array_equal(layer.W, theta[0])
    np.testing.assert_array_equal(layer.b, theta[1])
