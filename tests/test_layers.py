"""Every check on every row of the table of cases."""
import importlib
import inspect
import math
import pkgutil
import re

import numpy as np
import pytest
from cases import CASES, FORMULAS, gradients, inputs

import minigan
from minigan.activations import LeakyReLU, ReLU, Sigmoid, Tanh
from minigan.backend import array_module, to_host
from minigan.batchnorm import BatchNorm
from minigan.conv import Conv2D, ConvTranspose2D, pair
from minigan.dense import Dense
from minigan.dropout import Dropout
from minigan.gradcheck import central_difference, check_layer
from minigan.initial_weights import initial_weights
from minigan.layer import Layer
from minigan.network import Sequential
from minigan.patches import add_patches, add_products, patches, patches_and_products
from minigan.randomness import random_generator
from minigan.selfcheck import draws, self_check
from minigan.shapes import AveragePool2D, Maxout, Reshape

every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def on(xp, layer):
    """The layer with its parameters on the device."""
    if hasattr(layer, "to"):
        return layer.to(xp)
    for name in layer.names:
        setattr(layer, name, xp.asarray(getattr(layer, name)))
        setattr(layer, "d" + name, xp.asarray(getattr(layer, "d" + name)))
    for name in layer.states:
        setattr(layer, name, xp.asarray(getattr(layer, name)))
    return layer


def run(case, dtype, xp=np):
    """One forward and backward: the layer, {"y", "dx", "dW", ...} on the device."""
    layer, (x, dy) = on(xp, case.make(dtype)), inputs(case, dtype)
    rng = random_generator(xp, 3)
    y, cache = layer.forward(xp.asarray(x), train=case.train, rng=rng)
    return {"y": y, "dx": layer.backward(xp.asarray(dy), cache), **gradients(layer)}


def all_layers():
    """Every Layer that a page of the package defines."""
    for page in pkgutil.iter_modules(minigan.__path__):
        module = importlib.import_module(f"minigan.{page.name}")
        for _, thing in inspect.getmembers(module, inspect.isclass):
            if issubclass(thing, Layer) and thing is not Layer and thing.__module__ == module.__name__:
                yield thing


def missing_rows(layers):
    covered = {type(case.make("float64")) for case in CASES.values()}
    return [layer.__name__ for layer in layers if layer not in covered]


def test_every_layer_has_a_row():
    layers = list(all_layers())
    assert len(layers) >= 7
    assert missing_rows(layers) == []
    assert FORMULAS.keys() == CASES.keys()


def test_a_layer_without_a_row_is_noticed():
    class Forgotten(Layer):
        pass
    assert missing_rows([*all_layers(), Forgotten]) == ["Forgotten"]


@every_case
def test_forward_against_a_second_formula(case):
    layer, (x, _) = case.make("float64"), inputs(case)
    y, _ = layer.forward(x, train=case.train, rng=draws())
    np.testing.assert_allclose(y, FORMULAS[case.name](layer, x, draws()), rtol=1e-12, atol=1e-14)


@every_case
def test_gradients_against_central_differences(case):
    x, _ = inputs(case)
    checks = check_layer(case.make("float64"), x, train=case.train)
    assert [check.name for check in checks] == ["dx", *("d" + name for name in case.make("float64").names)]
    for check in checks:
        assert check.ok, str(check)


@every_case
def test_a_backward_that_is_off_by_a_thousandth_is_caught(case):
    """The tester is tested: scaled by 1.001, every gradient of every row must fail."""
    layer = case.make("float64")
    right = layer.backward

    def wrong(dy, cache):
        dx = 1.001 * right(dy, cache)
        for dparam in gradients(layer).values():
            dparam *= 1.001
        return dx
    layer.backward = wrong
    x, _ = inputs(case)
    checks = check_layer(layer, x, train=case.train)
    assert [check.ok for check in checks] == [False] * len(checks)


@every_case
def test_two_forwards_then_two_backwards(case):
    """Each pass keeps its own memory: the gradients are those of separate passes, each written over the last."""
    x1, dy1 = inputs(case)
    x2, dy2 = -0.7 * x1[::-1].copy(), dy1 + 1

    def separate(x, dy):
        layer = case.make("float64")
        _, cache = layer.forward(x, train=case.train, rng=draws())
        return layer.backward(dy, cache), gradients(layer)
    (dx1, dparams1), (dx2, dparams2) = separate(x1, dy1), separate(x2, dy2)

    layer = case.make("float64")
    _, cache1 = layer.forward(x1, train=case.train, rng=draws())
    _, cache2 = layer.forward(x2, train=case.train, rng=draws())
    for dy, cache, dx, dparams in (dy1, cache1, dx1, dparams1), (dy2, cache2, dx2, dparams2):
        np.testing.assert_array_equal(layer.backward(dy, cache), dx)
        for name, dparam in gradients(layer).items():
            np.testing.assert_array_equal(dparam, dparams[name])


@every_case
def test_nothing_is_written_into_what_was_given(case):
    """x, dy, parameters and cache stay as they are, and a second backward says the same."""
    layer, (x, dy) = case.make("float64"), inputs(case)
    before = x.copy(), dy.copy(), [getattr(layer, name).copy() for name in layer.names]
    for array in x, dy:
        array.flags.writeable = False
    y, cache = layer.forward(x, train=case.train, rng=draws())
    y_before = y.copy()
    first = layer.backward(dy, cache).copy()
    np.testing.assert_array_equal(layer.backward(dy, cache), first)
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(dy, before[1])
    np.testing.assert_array_equal(y, y_before)
    for name, value in zip(layer.names, before[2]):
        np.testing.assert_array_equal(getattr(layer, name), value)


@every_case
def test_shapes_and_dtype(case, dtype, xp):
    """dx is like x, dW is like W; float32 in, float32 out; everything stays on the device."""
    layer, (x, dy) = on(xp, case.make(dtype)), inputs(case, dtype)
    results = run(case, dtype, xp)
    assert results["dx"].shape == x.shape and results["y"].shape == dy.shape
    for name in layer.names:
        assert results["d" + name].shape == getattr(layer, name).shape
    for name, array in results.items():
        assert array.dtype == dtype, f"{name} is {array.dtype}"
        assert array_module(array) is xp, f"{name} is in {array_module(array).__name__}"


@every_case
def test_the_same_on_every_backend(case, dtype, xp):
    """Bit for bit on NumPy and the double; to rounding on a GPU, which adds in another order."""
    if xp.__name__ == "cupy" and case.train:
        pytest.skip("a GPU draws other random numbers")
    for name, array in run(case, dtype, xp).items():
        expected = run(case, dtype)[name]
        tolerance = 0 if xp.__name__ != "cupy" else 1e-12 if dtype == "float64" else 1e-5
        np.testing.assert_allclose(to_host(array), expected, rtol=tolerance, atol=tolerance)


@every_case
def test_only_what_is_needed(case):
    """Without need_dparams the parameter gradients stay untouched; without need_dx they are the
    same as with it."""
    layer, (x, dy) = case.make("float64"), inputs(case)
    _, cache = layer.forward(x, train=case.train, rng=draws())
    expected = run(case, "float64")
    dx = layer.backward(dy, cache, need_dparams=False)
    np.testing.assert_array_equal(dx, expected["dx"])
    assert all((dparam == 0).all() for dparam in gradients(layer).values())
    layer.backward(dy, cache, need_dx=False)
    for name, dparam in gradients(layer).items():
        np.testing.assert_array_equal(dparam, expected[name])


@every_case
def test_wrong_use_is_refused_in_words(case):
    layer, (x, dy) = case.make("float64"), inputs(case)
    first, last = (innermost(layer, i) for i in (0, -1))                   # those that complain
    with refusal(TypeError, f"{first!r} wants a float32 or float64 array, not int64 of shape {x.shape}"):
        layer.forward((100 * x).astype("int64"), train=case.train, rng=draws())
    with refusal(TypeError, f"{first!r} wants a float32 or float64 array, not list of shape ?"):
        layer.forward(x.tolist(), train=case.train, rng=draws())
    _, cache = layer.forward(x, train=case.train, rng=draws())
    with refusal(ValueError, f"{last!r} gave out y of shape {dy.shape} but got back dy of shape (2, 1, 1)"):
        layer.backward(np.ones((2, 1, 1)), cache)
    with refusal(TypeError, f"{first!r} wants a float32 or float64 array, not float16 of shape {x.shape}"):
        layer.forward(x.astype("float16"), train=case.train, rng=draws())


def innermost(layer, i):
    """A network's first or last layer; what a wrapper wraps."""
    return layer.layers[i] if hasattr(layer, "layers") else getattr(layer, "layer", layer)


def refusal(error, message):
    return pytest.raises(error, match="^" + re.escape(message) + "$")


def test_numbers_out_of_range_are_refused_in_words():
    for slope in -0.1, 1.1, 2, float("nan"):
        with refusal(ValueError, f"LeakyReLU's slope is between 0 and 1, not {slope}"):
            LeakyReLU(slope)
    for rate in -0.1, 0.991, 1, 1.5, float("nan"):
        with refusal(ValueError, f"a dropout rate is at least 0 and at most 0.99, not {rate}"):
            Dropout(rate)
    assert LeakyReLU(0).slope == 0 and LeakyReLU(1).slope == 1 and Dropout(0).rate == 0 and Dropout(0.99).rate == 0.99
    with refusal(ValueError, "Dropout(0.5) needs an rng while training (x has shape (2, 3))"):
        Dropout(0.5).forward(np.ones((2, 3)), train=True)
    with refusal(ValueError, "no rule for initial weights is called 'best'; there are glorot, he, fan_in, normal, uniform .05, uniform .005"):
        initial_weights("best", 2, 3, draws())


def test_layers_say_what_they_are():
    assert [repr(layer) for layer in (LeakyReLU(), ReLU(), Tanh(), Sigmoid(), Dropout(0.3), Dense(5, 4, draws()))] == [
        "LeakyReLU(0.2)", "ReLU()", "Tanh()", "Sigmoid()", "Dropout(0.3)", "Dense(5, 4)"]


def test_a_layer_without_forward_or_backward_says_so():
    class Unfinished(Layer):
        pass
    with pytest.raises(NotImplementedError, match="^Unfinished has no forward$"):
        Unfinished().forward(np.ones(3))
    with pytest.raises(NotImplementedError, match="^Unfinished has no backward$"):
        Unfinished().backward(np.ones(3), None)


def test_nothing_is_dropped_unless_it_is_training():
    x = np.ones((20, 20))
    assert Dropout(0.5).forward(x)[0] is x and Dropout(0.5).forward(x, rng=draws())[0] is x
    assert Dropout(0).forward(x, train=True)[0] is x                       # and then no rng is needed
    net = Sequential([Dense(20, 20, draws(), dtype="float64"), Dropout(0.5)])
    np.testing.assert_array_equal(net.forward(x, rng=draws())[0], net.layers[0].forward(x)[0])


def test_dropout_keeps_the_share_that_it_should(dtype):
    for rate in 0.01, 0.25, 0.9:
        y, _ = Dropout(rate).forward(np.ones((500, 401), dtype), train=True, rng=draws())
        assert (y == 0).mean() == pytest.approx(rate, abs=0.005) and y.mean() == pytest.approx(1, abs=0.03)
        assert y.max() == pytest.approx(1 / (1 - rate), rel=1e-6) and y.dtype == dtype


RULES = {  # name: the largest weight and the standard deviation that the formula asks for, and of b
    "glorot": (math.sqrt(6 / 700), math.sqrt(2 / 700), 0),
    "he": (math.inf, math.sqrt(2 / 300), 0),
    "fan_in": (1 / math.sqrt(300), 1 / math.sqrt(900), 1 / math.sqrt(900)),
    "normal": (math.inf, 0.02, 0),
}


@pytest.mark.parametrize("rule", RULES)
def test_initial_weights_follow_their_formula(rule, dtype):
    largest, sd, sd_b = RULES[rule]
    W, b = initial_weights(rule, 300, 400, draws(), dtype)
    assert W.shape == (300, 400) and b.shape == (400,) and W.dtype == b.dtype == dtype
    assert abs(W).max() <= largest and abs(b).max() <= (largest if sd_b else 0)
    assert W.std() == pytest.approx(sd, rel=0.02) and b.std() == pytest.approx(sd_b, rel=0.1)
    assert abs(W.mean()) < 0.02 * sd
    if largest < math.inf:
        assert abs(W).max() > 0.99 * largest
    np.testing.assert_array_equal(W, initial_weights(rule, 300, 400, draws(), "float64")[0].astype(dtype))


def test_dense_computes_no_dx_that_nobody_wants():
    layer, x = Dense(3, 2, draws()), np.ones((4, 3), "float32")
    y, cache = layer.forward(x)
    assert layer.backward(y, cache, need_dx=False) is None and layer.dW.any()


def test_a_dense_layer_is_drawn_by_glorot_in_float32_unless_told_otherwise():
    layer = Dense(30, 20, draws())
    W, b = initial_weights("glorot", 30, 20, draws(), "float32")
    np.testing.assert_array_equal(layer.W, W)
    np.testing.assert_array_equal(layer.b, b)
    assert initial_weights("he", 3, 2, draws())[0].dtype == "float32"


def test_central_difference_leaves_x_as_it_was():
    x = np.array([[0.3, -0.1], [1e-9, 7.0]])
    before = x.copy()
    central_difference(lambda: float((x ** 2).sum()), x)
    np.testing.assert_array_equal(x, before)


def test_the_self_check_covers_layers_losses_and_steps():
    rows = list(self_check())
    assert all(check.ok for _, _, check in rows), "\n".join(str(check) for _, _, check in rows)
    names = [name for page, name, _ in rows if page != "penalties"]
    assert set(CASES) < set(names)
    assert names.count("Dense") == 3                                   # dx, dW, db
    for name in "BCE on logits", "BCE on probabilities", "softmax cross-entropy", "D's step, through D", "G's step, through D and G":
        assert name in names


ADJOINTS = [  # n_in, n_out, size, stride, padding, the image's height and width
    (2, 3, 4, 2, 1, 6, 8), (1, 2, 3, 1, 0, 5, 4), (3, 1, (5, 2), (2, 3), (2, 1), 7, 9), (2, 2, 2, 3, 0, 7, 7)]


@pytest.mark.parametrize("n_in, n_out, size, stride, padding, height, width", ADJOINTS, ids=range(len(ADJOINTS)))
def test_transposed_convolution_is_the_transpose_of_convolution(n_in, n_out, size, stride, padding, height, width):
    """<Ax, y> = <x, A'y>, for all x and y: with the same kernel, and no bias."""
    rng = np.random.default_rng(5)
    conv = Conv2D(n_in, n_out, size, draws(), stride, padding, dtype="float64")
    x = rng.standard_normal((2, height, width, n_in))
    Ax, cache = conv.forward(x)
    y = rng.standard_normal(Ax.shape)
    left_over = [(n + 2 * p - k) % s for n, p, k, s in zip((height, width), conv.padding, conv.size, conv.stride)]
    transposed = ConvTranspose2D(n_out, n_in, size, draws(), stride, padding, tuple(left_over), dtype="float64")
    transposed.W[...] = conv.W
    back, back_cache = transposed.forward(y)
    assert back.shape == x.shape and (Ax * y).sum() == pytest.approx((x * back).sum(), rel=1e-12)
    np.testing.assert_allclose(conv.backward(y, cache), back, rtol=1e-12, atol=1e-13)         # and each layer's
    np.testing.assert_allclose(transposed.backward(x, back_cache), Ax, rtol=1e-12, atol=1e-13)   # backward is the other's forward


def test_convolutions_start_as_loud_as_their_rule_says():
    """He's rule keeps the variance of ReLU's halved signal: so y of a unit normal x has the variance 2."""
    x = np.random.default_rng(0).standard_normal((50, 16, 16, 8))
    y, _ = Conv2D(8, 32, 4, draws(), 2, 1, "he", "float64").forward(x)
    assert y[:, 1:-1, 1:-1].var() == pytest.approx(2, rel=0.1)
    y, _ = ConvTranspose2D(8, 32, 4, draws(), 2, 1, 0, "he", "float64").forward(x)
    assert y[:, 2:-2, 2:-2].var() == pytest.approx(2, rel=0.1)
    y, _ = Conv2D(8, 8, 3, draws(), 1, 1, "glorot", "float64").forward(x)
    assert y[:, 1:-1, 1:-1].var() == pytest.approx(1, rel=0.1)


def test_images_that_do_not_fit_are_refused_in_words():
    conv, back = Conv2D(3, 2, 5, draws()), ConvTranspose2D(3, 2, 2, draws(), 1, 2)
    with refusal(ValueError, "Conv2D(3, 2, 5 x 5) wants x of shape (N, H, W, 3), not (2, 8, 8, 4)"):
        conv.forward(np.ones((2, 8, 8, 4), "float32"))
    with refusal(ValueError, "Conv2D(3, 2, 5 x 5) is larger than its image, x of shape (2, 4, 8, 3)"):
        conv.forward(np.ones((2, 4, 8, 3), "float32"))
    with refusal(TypeError, "Conv2D(3, 2, 5 x 5) has float32 weights but got float64 x of shape (2, 8, 8, 3)"):
        conv.forward(np.ones((2, 8, 8, 3)))
    with refusal(ValueError, "ConvTranspose2D(3, 2, 2 x 2) pads away all of its image, x of shape (1, 3, 3, 3)"):
        back.forward(np.ones((1, 3, 3, 3), "float32"))
    with refusal(ValueError, "an output_padding of (2, 2) must be less than the stride, (2, 2)"):
        ConvTranspose2D(3, 2, 2, draws(), 2, 0, 2)
    with refusal(ValueError, "BatchNorm(3) wants x of shape (..., 3), not (4, 2)"):
        BatchNorm(3).forward(np.ones((4, 2), "float32"))
    with refusal(TypeError, "BatchNorm(3) has float64 parameters but got float32 x of shape (4, 3)"):
        BatchNorm(3, dtype="float64").forward(np.ones((4, 3), "float32"))
    with refusal(ValueError, "BatchNorm(3) cannot train on a single example, x of shape (1, 3): it has no variance"):
        BatchNorm(3).forward(np.ones((1, 3), "float32"), train=True)
    with refusal(ValueError, "BatchNorm(3) cannot train on a single example, x of shape (0, 3): it has no variance"):
        BatchNorm(3).forward(np.ones((0, 3), "float32"), train=True)
    with refusal(ValueError, "Reshape(2, 2) cannot take x of shape (3, 5): it has 5 numbers an example"):
        Reshape(2, 2).forward(np.ones((3, 5), "float32"))
    with refusal(ValueError, "AveragePool2D(2) wants x of shape (N, H, W, C), H and W multiples of 2, not (1, 4, 5, 1)"):
        AveragePool2D(2).forward(np.ones((1, 4, 5, 1), "float32"))
    with refusal(ValueError, "Maxout(3) wants x of shape (N, a multiple of 3), not (2, 7)"):
        Maxout(3).forward(np.ones((2, 7), "float32"))


def test_batchnorm_keeps_running_averages_while_it_trains():
    layer, x = BatchNorm(2, momentum=0.25, dtype="float64"), np.array([[1.0, 10.0], [3.0, 10.0], [8.0, 13.0]])
    layer.forward(x, train=True)
    np.testing.assert_allclose(layer.mean, [0.25 * 4, 0.25 * 11])
    np.testing.assert_allclose(layer.var, [0.75 + 0.25 * 13, 0.75 + 0.25 * 3])     # unbiased: 26 / 2 and 6 / 2
    before = layer.mean.copy(), layer.var.copy()
    y, _ = layer.forward(x)                                                        # sampling uses them, and leaves them
    np.testing.assert_allclose(y, (x - before[0]) / np.sqrt(before[1] + 1e-5))
    np.testing.assert_array_equal((layer.mean, layer.var), before)
    for _ in range(100):
        layer.forward(x, train=True)
    np.testing.assert_allclose(layer.mean, [4, 11], rtol=1e-9)


def test_maxout_gives_equals_to_the_first():
    y, cache = Maxout(2).forward(np.array([[3.0, 3.0]]))
    assert Maxout(2).backward(np.array([[7.0]]), cache).tolist() == [[7.0, 0.0]] and y.tolist() == [[3.0]]


@pytest.mark.parametrize("n_in, n_out, size, stride, padding, height, width", ADJOINTS + [
    (2, 1, (4, 6), (2, 3), (1, 2), 8, 11), (1, 1, 4, 2, 1, 8, 8), (3, 2, 1, 1, 0, 4, 5)], ids=range(len(ADJOINTS) + 3))
@pytest.mark.parametrize("images", [1, 3, 7])                                                      # they are taken by 3
def test_adding_products_is_the_plain_way(n_in, n_out, size, stride, padding, height, width, images, dtype, monkeypatch):
    size, stride, padding = pair(size), pair(stride), pair(padding)
    places = [(n + 2 * p - k) // s + 1 for n, p, k, s in zip((height, width), padding, size, stride)]
    rng = np.random.default_rng(0)
    y = rng.standard_normal((images * math.prod(places), n_out)).astype(dtype)
    W = rng.standard_normal((*size, n_in, n_out)).astype(dtype)
    shape = images, height, width, n_in
    monkeypatch.setattr("minigan.patches.CACHE", 3 * math.prod(places) * W[..., 0].size + 1)
    plain = add_patches(y @ W.reshape(-1, n_out).T, shape, size, stride, padding, *places)
    x = add_products(y, W, shape, stride, padding, *places)
    assert x.shape == shape and x.dtype == dtype
    np.testing.assert_allclose(x, plain, rtol=0, atol=100 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("images, cache", [(1, 0), (3, 0), (7, 3 * 36 * 12), (7, 4 * 36 * 12 - 1), (7, 10 ** 6)])
def test_products_of_patches_are_the_plain_way(images, cache, dtype, monkeypatch):
    monkeypatch.setattr("minigan.patches.CACHE", cache)
    rng, how = np.random.default_rng(0), ((3, 2), (2, 1), (1, 2), 4, 9)
    x, W, dy = (rng.standard_normal(shape).astype(dtype) for shape in [(images, 7, 6, 2), (12, 5), (images * 36, 3)])
    rows, dW, again = patches(x, *how), np.full((12, 3), 7, dtype), np.full((12, 3), 8, dtype)
    assert rows.dtype == dtype and rows.shape == (images * 36, 12)
    y = patches_and_products(x, how, W, dy, dW)
    assert y.dtype == dtype and patches_and_products(x, how, dy=dy, dW=again) is None
    close = dict(rtol=0, atol=100 * np.finfo(dtype).eps)
    np.testing.assert_allclose(y, rows @ W, **close)
    np.testing.assert_allclose(dW, rows.T @ dy, **{**close, "atol": 36 * images * close["atol"]})
    np.testing.assert_array_equal(again, dW)
    np.testing.assert_array_equal(patches_and_products(x, how, W), y)
