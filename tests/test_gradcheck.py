"""The checker itself: what it finds, where, and what it says of it."""
import numpy as np
import pytest

from minigan.activations import LeakyReLU, Tanh
from minigan.dense import Dense
from minigan.gradcheck import central_difference, check_layer, check_loss
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
        self.dW += dy.T @ x
        self.db += dy.sum(axis=0)
        return dy @ self.W.T


class LastExampleOnly(Dense):
    def backward(self, dy, x, need_dx=True, need_dparams=True):
        self.dW += x.T @ dy
        self.db += dy[-1]
        return dy @ self.W.T


class MeanOverTheBatch(Dense):
    def backward(self, dy, x, need_dx=True, need_dparams=True):
        self.dW += x.T @ dy / len(x)
        self.db += dy.sum(axis=0)
        return dy @ self.W.T


class WrongSign(Dense):
    def backward(self, dy, x, need_dx=True, need_dparams=True):
        super().backward(dy, x)
        return -dy @ self.W.T


class Forgotten(Dense):
    def backward(self, dy, x, need_dx=True, need_dparams=True):
        self.dW += x.T @ dy
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


@pytest.mark.parametrize("cls, wrong, words", [
    (TwiceTooMuch, ["dx", "dW", "db"], "2 times what it should be, everywhere: a factor"),
    (Transposed, ["dW"], "transposed matrix"),
    (LastExampleOnly, ["db"], "missing sum over the batch"),
    (MeanOverTheBatch, ["dW"], "0.25 times .* a sum over the batch where a mean belongs"),
    (WrongSign, ["dx"], "-1 times .* the sign"),
    (Forgotten, ["db"], "never written"),
    (OneEntry, ["dW"], "the formula itself: 1 of 9 entries"),
    (NotANumber, ["dx"], "NaN or infinity"),
    (WrongShape, ["dx"], r"it has shape \(3, 4\), not \(4, 3\)"),
], ids=lambda value: getattr(value, "__name__", None))
def test_planted_bugs_are_found_and_named(cls, wrong, words):
    checks = check_layer(dense(cls=cls), X)
    assert [check.name for check in checks if not check.ok] == wrong
    for name in wrong:
        check = of(checks, name)
        with pytest.raises(AssertionError, match=words):
            raise AssertionError(str(check))
        assert str(check).startswith("✗ " + name)


def test_the_worst_entry_is_named():
    check = of(check_layer(dense(cls=OneEntry), X), "dW")
    assert check.index == (1, 2)
    assert check.analytic - check.numeric == pytest.approx(0.25, abs=1e-8)
    assert f"[1, 2]: backward says {check.analytic:.6g}, the difference {check.numeric:.6g}" in str(check)


def test_a_kink_is_told_from_a_mistake():
    x = np.array([[0.5, 0.0, -0.5]])
    check, = check_layer(LeakyReLU(0.2), x)
    assert check.index == (0, 1) and "kink" in check.cause
    class Wrong(Tanh):
        def backward(self, dy, y, need_dx=True, need_dparams=True):
            return dy * (1 - y)
    check, = check_layer(Wrong(), x)
    assert "the formula itself" in check.cause


def test_a_loss_without_its_mean():
    check, = check_loss(lambda z, t: (bce_on_logits(z, t)[0], bce_on_logits(z, t)[1] * z.size), X, 1.0)
    assert not check.ok and "12 times" in check.cause and "mean" in check.cause
    assert all(check.ok for check in check_loss(bce_on_logits, X, 1.0))


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
