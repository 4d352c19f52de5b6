"""Every check on every row of the table of cases."""

import importlib
import inspect
import math
import pkgutil

import numpy as np
import pytest
from cases import CASES, FORMULAS, gradients, innermost, inputs, on, refusal
from helpers import assert_derivatives, module_of

import minigan
from minigan.backend import asnumpy, get_array_module
from minigan.evaluation.derivatives import WithLabels, check_derivatives, fresh_rng
from minigan.nn.activations import LeakyReLU, ReLU, Sigmoid, Tanh
from minigan.nn.batchnorm import BatchNorm2d
from minigan.nn.conv import Conv2d, ConvTranspose2d, pair
from minigan.nn.dense import Dense
from minigan.nn.dropout import Dropout
from minigan.nn.gradcheck import central_difference, check_layer
from minigan.nn.im2col import col2im, im2col, im2col_matmul, matmul_col2im
from minigan.nn.initializers import initial_weights
from minigan.nn.layer import Layer
from minigan.nn.maxout import Maxout
from minigan.nn.pooling import AvgPool2d, Upsample
from minigan.nn.projection import Projection
from minigan.nn.reshape import ConcatLabelMaps, ConcatLabels, Reshape
from minigan.nn.sequential import Sequential
from minigan.nn.spectral_norm import SpectralNorm
from minigan.rng import make_rng

every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def run(case, dtype, xp=np):
    """One forward and backward: the layer, {"y", "dx", "dW", ...} on the device."""
    layer, (x, dy) = on(xp, case.make(dtype)), inputs(case, dtype)
    rng = make_rng(xp, 3)
    y, cache = layer.forward(xp.asarray(x), train=case.train, rng=rng)
    return {"y": y, "dx": layer.backward(xp.asarray(dy), cache), **gradients(layer)}


def all_layers():
    """Every Layer that a module of the package defines, but for those of accel:
    test_device_layers.py compares them with the layers that they replace.
    """
    for found in pkgutil.walk_packages(minigan.__path__, "minigan."):
        if found.name.endswith(".__main__") or found.name.startswith("minigan.accel."):
            continue
        module = importlib.import_module(found.name)
        for _, thing in inspect.getmembers(module, inspect.isclass):
            if (
                issubclass(thing, Layer)
                and thing is not Layer
                and thing.__module__ == module.__name__
            ):
                yield thing


def missing_rows(layers):
    made = [case.make("float64") for case in CASES.values()]
    made += [layer.layer for layer in made if isinstance(layer, WithLabels)]
    covered = {type(layer) for layer in made}
    return [layer.__name__ for layer in layers if layer not in covered]


def test_every_layer_has_a_row():
    layers = list(all_layers())
    assert len(layers) >= 15
    assert missing_rows(layers) == []
    assert FORMULAS.keys() == CASES.keys()


def test_a_layer_without_a_row_is_noticed():
    class Forgotten(Layer):
        pass

    assert missing_rows([*all_layers(), Forgotten]) == ["Forgotten"]


@every_case
def test_forward_against_a_second_formula(case):
    layer, (x, _) = case.make("float64"), inputs(case)
    y, _ = layer.forward(x, train=case.train, rng=fresh_rng())
    np.testing.assert_allclose(
        y, FORMULAS[case.name](layer, x, fresh_rng()), rtol=1e-12, atol=1e-14
    )


@every_case
def test_gradients_against_central_differences(case):
    x, _ = inputs(case)
    checks = check_layer(case.make("float64"), x, train=case.train)
    assert [check.name for check in checks] == [
        "dx",
        *("d" + name for name in case.make("float64").param_names),
    ]
    assert_derivatives(f"{module_of(case.make('float64'))}: {case.name}", checks)


@every_case
def test_a_backward_that_is_off_by_a_thousandth_is_caught(case):
    """A test of the test: scaled by 1.001, every gradient of every row must fail."""
    layer = case.make("float64")
    correct = layer.backward

    def wrong(dy, cache):
        dx = 1.001 * correct(dy, cache)
        for dparam in gradients(layer).values():
            dparam *= 1.001
        return dx

    layer.backward = wrong
    x, _ = inputs(case)
    checks = check_layer(layer, x, train=case.train)
    assert [check.ok for check in checks] == [False] * len(checks)


@every_case
def test_two_forwards_then_two_backwards(case):
    """Each pass has its own cache: the gradients equal those of separate passes."""
    x1, dy1 = inputs(case)
    x2, dy2 = -0.7 * x1[::-1].copy(), dy1 + 1

    def separate(x, dy):
        layer = case.make("float64")
        _, cache = layer.forward(x, train=case.train, rng=fresh_rng())
        return layer.backward(dy, cache), gradients(layer)

    (dx1, dparams1), (dx2, dparams2) = separate(x1, dy1), separate(x2, dy2)

    layer = case.make("float64")
    _, cache1 = layer.forward(x1, train=case.train, rng=fresh_rng())
    _, cache2 = layer.forward(x2, train=case.train, rng=fresh_rng())
    for dy, cache, dx, dparams in (dy1, cache1, dx1, dparams1), (dy2, cache2, dx2, dparams2):
        np.testing.assert_array_equal(layer.backward(dy, cache), dx)
        for name, dparam in gradients(layer).items():
            np.testing.assert_array_equal(dparam, dparams[name])


@every_case
def test_arguments_are_not_modified(case):
    """x, dy, parameters and cache do not change, and a second backward returns the same."""
    layer, (x, dy) = case.make("float64"), inputs(case)
    before = x.copy(), dy.copy(), [getattr(layer, name).copy() for name in layer.param_names]
    for array in x, dy:
        array.flags.writeable = False
    y, cache = layer.forward(x, train=case.train, rng=fresh_rng())
    y_before = y.copy()
    first = layer.backward(dy, cache).copy()
    np.testing.assert_array_equal(layer.backward(dy, cache), first)
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(dy, before[1])
    np.testing.assert_array_equal(y, y_before)
    for name, value in zip(layer.param_names, before[2]):
        np.testing.assert_array_equal(getattr(layer, name), value)


@every_case
def test_shapes_and_dtype(case, dtype, xp):
    """dx has the shape of x, dW that of W; float32 in, float32 out; all stays on the device."""
    layer, (x, dy) = on(xp, case.make(dtype)), inputs(case, dtype)
    results = run(case, dtype, xp)
    assert results["dx"].shape == x.shape and results["y"].shape == dy.shape
    for name in layer.param_names:
        assert results["d" + name].shape == getattr(layer, name).shape
    for name, array in results.items():
        assert array.dtype == dtype, f"{name} is {array.dtype}"
        assert get_array_module(array) is xp, f"{name} is in {get_array_module(array).__name__}"


@every_case
def test_the_same_on_every_backend(case, dtype, xp):
    """Bit for bit on NumPy and the fake CuPy; up to rounding on a GPU."""
    if xp.__name__ == "cupy" and case.train:
        pytest.skip("a GPU draws other random numbers")
    for name, array in run(case, dtype, xp).items():
        expected = run(case, dtype)[name]
        tolerance = 0 if xp.__name__ != "cupy" else 1e-12 if dtype == "float64" else 1e-5
        np.testing.assert_allclose(asnumpy(array), expected, rtol=tolerance, atol=tolerance)


@every_case
def test_need_dx_and_need_dparams(case):
    """need_dparams=False leaves the parameter gradients unchanged; need_dx=False does not affect
    them.
    """
    layer, (x, dy) = case.make("float64"), inputs(case)
    _, cache = layer.forward(x, train=case.train, rng=fresh_rng())
    expected = run(case, "float64")
    dx = layer.backward(dy, cache, need_dparams=False)
    np.testing.assert_array_equal(dx, expected["dx"])
    assert all((dparam == 0).all() for dparam in gradients(layer).values())
    layer.backward(dy, cache, need_dx=False)
    for name, dparam in gradients(layer).items():
        np.testing.assert_array_equal(dparam, expected[name])


@every_case
def test_wrong_use_is_refused(case):
    layer, (x, dy) = case.make("float64"), inputs(case)
    first, last = (innermost(layer, i) for i in (0, -1))  # the layers that raise the errors
    expected = f"{first!r} expects a float32 or float64 array"
    for wrong, found in [
        ((100 * x).astype("int64"), f"not int64 of shape {x.shape}"),
        (x.astype("float16"), f"not float16 of shape {x.shape}"),
        (x.tolist(), "not list of shape ?"),
    ]:
        if isinstance(layer, WithLabels):
            wrong = (wrong, np.ones((len(x), layer.layer.n_classes)))
        with refusal(TypeError, expected, found):
            (layer.layer if isinstance(layer, WithLabels) else layer).forward(
                wrong, train=case.train, rng=fresh_rng()
            )
    _, cache = layer.forward(x, train=case.train, rng=fresh_rng())
    with refusal(ValueError, f"{last!r} returned y of shape {dy.shape}", "dy of shape (2, 1, 1)"):
        layer.backward(np.ones((2, 1, 1)), cache)


def test_numbers_out_of_range_are_refused():
    for slope in -0.1, 1.1, 2, float("nan"):
        with refusal(ValueError, "negative_slope must be between 0 and 1", f"not {slope}"):
            LeakyReLU(slope)
    for p in -0.1, 0.991, 1, 1.5, float("nan"):
        with refusal(ValueError, "p of Dropout must be between 0 and 0.99", f"not {p}"):
            Dropout(p)
    assert LeakyReLU(0).negative_slope == 0 and LeakyReLU(1).negative_slope == 1
    assert Dropout(0).p == 0 and Dropout(0.99).p == 0.99
    with refusal(ValueError, "Dropout(0.5) needs an rng", "(2, 3)"):
        Dropout(0.5).forward(np.ones((2, 3)), train=True)
    names = ("glorot", "he", "fan_in", "normal", "uniform(0.05)", "uniform(0.005)")
    with refusal(ValueError, "no initializer 'best'", *names):
        initial_weights("best", 2, 3, rng=fresh_rng())


def test_repr_of_layers():
    assert [
        repr(layer)
        for layer in (
            LeakyReLU(),
            ReLU(),
            Tanh(),
            Sigmoid(),
            Dropout(0.3),
            Dense(5, 4, rng=fresh_rng()),
        )
    ] == ["LeakyReLU(0.2)", "ReLU()", "Tanh()", "Sigmoid()", "Dropout(0.3)", "Dense(5, 4)"]
    assert repr(Conv2d(1, 2, (3, 5), rng=fresh_rng())).startswith("Conv2d(1, 2, 3 x 5")
    assert repr(ConvTranspose2d(1, 2, (3, 5), rng=fresh_rng())).startswith(
        "ConvTranspose2d(1, 2, 3 x 5"
    )


def test_a_layer_without_forward_or_backward_raises_not_implemented_error():
    class Unfinished(Layer):
        pass

    with pytest.raises(NotImplementedError, match="Unfinished has no forward"):
        Unfinished().forward(np.ones(3))
    with pytest.raises(NotImplementedError, match="Unfinished has no backward"):
        Unfinished().backward(np.ones(3), None)
    with pytest.raises(NotImplementedError) as found:
        Unfinished().double_backward(np.ones(3), np.ones(3), None)
    assert str(found.value) == (
        "Unfinished() has no double_backward, which a gradient penalty needs: choose a network"
        " without this layer, or no penalty"
    )


def test_batch_norm_in_training_says_why_it_has_no_double_backward():
    layer, x = BatchNorm2d(3, dtype="float64"), np.random.default_rng(0).standard_normal((4, 3))
    cache = layer.forward(x, train=True)[1]
    with pytest.raises(NotImplementedError) as found:
        layer.double_backward(x, x, cache)
    assert str(found.value) == (
        "BatchNorm2d(3) has no double_backward in training: it mixes the examples of a batch, so no"
        " example has a gradient of its own. Choose a discriminator without batch norm, or no"
        " penalty"
    )
    with pytest.raises(ValueError, match="x of shape .1, 3.: its variance is undefined$"):
        layer.forward(x[:1], train=True)


def test_nothing_is_dropped_outside_of_training():
    x = np.ones((20, 20))
    assert Dropout(0.5).forward(x)[0] is x and Dropout(0.5).forward(x, rng=fresh_rng())[0] is x
    assert Dropout(0).forward(x, train=True)[0] is x  # no rng is needed here
    net = Sequential([Dense(20, 20, dtype="float64", rng=fresh_rng()), Dropout(0.5)])
    np.testing.assert_array_equal(net.forward(x, rng=fresh_rng())[0], net.layers[0].forward(x)[0])


def test_dropout_drops_the_fraction_p_and_preserves_the_mean(dtype):
    for p in 0.01, 0.25, 0.9:
        y, _ = Dropout(p).forward(np.ones((500, 401), dtype), train=True, rng=fresh_rng())
        assert (y == 0).mean() == pytest.approx(p, abs=0.005) and y.mean() == pytest.approx(
            1, abs=0.03
        )
        assert y.max() == pytest.approx(1 / (1 - p), rel=1e-6) and y.dtype == dtype


INITIALIZERS = {  # name: largest weight and standard deviation by the formula, and that of b
    "glorot": (math.sqrt(6 / 700), math.sqrt(2 / 700), 0),
    "he": (math.inf, math.sqrt(2 / 300), 0),
    "fan_in": (1 / math.sqrt(300), 1 / math.sqrt(900), 1 / math.sqrt(900)),
    "normal": (math.inf, 0.02, 0),
    "uniform(0.05)": (0.05, 0.05 / math.sqrt(3), 0),
    "uniform(0.005)": (0.005, 0.005 / math.sqrt(3), 0),
}


@pytest.mark.parametrize("init", INITIALIZERS)
def test_initial_weights_follow_their_formula(init, dtype):
    largest, sd, sd_b = INITIALIZERS[init]
    W, b = initial_weights(init, 300, 400, dtype=dtype, rng=fresh_rng())
    assert W.shape == (300, 400) and b.shape == (400,) and W.dtype == b.dtype == dtype
    assert abs(W).max() <= largest and abs(b).max() <= (largest if sd_b else 0)
    assert W.std() == pytest.approx(sd, rel=0.02) and b.std() == pytest.approx(sd_b, rel=0.1)
    assert abs(W.mean()) < 0.02 * sd
    kernel, b = initial_weights(init, 9, 5, shape=(3, 3, 1, 5), dtype=dtype, rng=fresh_rng())
    assert kernel.shape == (3, 3, 1, 5) and b.shape == (5,)
    if largest < math.inf:
        assert abs(W).max() > 0.99 * largest
    np.testing.assert_array_equal(
        W, initial_weights(init, 300, 400, dtype="float64", rng=fresh_rng())[0].astype(dtype)
    )


def test_dense_skips_dx_without_need_dx():
    layer, x = Dense(3, 2, rng=fresh_rng()), np.ones((4, 3), "float32")
    y, cache = layer.forward(x)
    assert layer.backward(y, cache, need_dx=False) is None and layer.dW.any()


def test_dense_defaults_to_glorot_and_float32():
    layer = Dense(30, 20, rng=fresh_rng())
    W, b = initial_weights("glorot", 30, 20, dtype="float32", rng=fresh_rng())
    np.testing.assert_array_equal(layer.W, W)
    np.testing.assert_array_equal(layer.b, b)
    assert initial_weights("he", 3, 2, rng=fresh_rng())[0].dtype == "float32"


def test_central_difference_restores_x():
    x = np.array([[0.3, -0.1], [1e-9, 7.0]])
    before = x.copy()
    central_difference(lambda: float((x**2).sum()), x)
    np.testing.assert_array_equal(x, before)


def test_check_derivatives_covers_layers_losses_and_steps():
    rows = list(check_derivatives())
    assert all(check.ok for _, _, check in rows), "\n".join(str(check) for _, _, check in rows)
    names = [name for _, name, _ in rows]
    assert names.count("Dense, double backward") == 4  # ddy, dx, dW, db
    assert set(CASES) < set(names)
    assert names.count("Dense") == 3  # dx, dW, db
    for name in (
        "BCE with logits",
        "BCE of probabilities",
        "softmax cross-entropy",
        "D's step, through D",
        "G's step, through D and G",
    ):
        assert name in names


CONVOLUTIONS = [  # in_channels, out_channels, kernel_size, stride, padding, height, width
    (2, 3, 4, 2, 1, 6, 8),
    (1, 2, 3, 1, 0, 5, 4),
    (3, 1, (5, 2), (2, 3), (2, 1), 7, 9),
    (2, 2, 2, 3, 0, 7, 7),
]
MORE_CONVOLUTIONS = [
    *CONVOLUTIONS,
    (2, 1, (4, 6), (2, 3), (1, 2), 8, 11),
    (1, 1, 4, 2, 1, 8, 8),
    (3, 2, 1, 1, 0, 4, 5),
    (2, 3, 3, (1, 4), (3, 0), 3, 10),
]
GEOMETRY = "in_channels, out_channels, kernel_size, stride, padding, height, width"


@pytest.mark.parametrize(GEOMETRY, CONVOLUTIONS, ids=map(str, range(4)))
def test_transposed_convolution_is_the_transpose_of_convolution(
    in_channels, out_channels, kernel_size, stride, padding, height, width
):
    """<Ax, y> = <x, Aᵀy> for all x and y, with the same kernel and no bias."""
    rng = np.random.default_rng(5)
    options = dict(stride=stride, padding=padding, dtype="float64", rng=fresh_rng())
    conv = Conv2d(in_channels, out_channels, kernel_size, **options)
    x = rng.standard_normal((2, height, width, in_channels))
    Ax, cache = conv.forward(x)
    y = rng.standard_normal(Ax.shape)
    remainder = tuple(
        (n + 2 * p - k) % s
        for n, p, k, s in zip((height, width), conv.padding, conv.kernel_size, conv.stride)
    )
    transposed = ConvTranspose2d(
        out_channels, in_channels, kernel_size, output_padding=remainder, **options
    )
    transposed.W[...] = conv.W
    ATy, transposed_cache = transposed.forward(y)
    assert ATy.shape == x.shape and (Ax * y).sum() == pytest.approx((x * ATy).sum(), rel=1e-12)
    # the backward of each layer is the forward of the other
    np.testing.assert_allclose(conv.backward(y, cache), ATy, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(transposed.backward(x, transposed_cache), Ax, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(GEOMETRY, MORE_CONVOLUTIONS, ids=map(str, range(8)))
@pytest.mark.parametrize("images, cache_size", [(1, 410_000), (5, 410_000), (5, 0), (5, 700)])
def test_convolution_equals_its_plain_form(
    in_channels,
    out_channels,
    kernel_size,
    stride,
    padding,
    height,
    width,
    images,
    cache_size,
    monkeypatch,
):
    """forward and backward against plain_forward and plain_backward."""
    monkeypatch.setattr("minigan.nn.im2col.CACHE_SIZE", cache_size)
    rng = np.random.default_rng(5)
    conv = Conv2d(
        in_channels,
        out_channels,
        kernel_size,
        stride=stride,
        padding=padding,
        init="fan_in",  # with a bias other than 0
        dtype="float64",
        rng=rng,
    )
    x = rng.standard_normal((images, height, width, in_channels))
    y, cache = conv.forward(x)
    dy = rng.standard_normal(y.shape)
    close = dict(rtol=1e-12, atol=1e-12)
    plain_y = conv.plain_forward(x)
    assert conv.b.all() and plain_y.shape == y.shape
    np.testing.assert_allclose(y, plain_y, **close)
    plain_dx, plain_dW, plain_db = conv.plain_backward(dy, x)
    assert not conv.dW.any() and not conv.db.any()  # the plain form returns them
    dx = conv.backward(dy, cache)
    for fast, plain in (dx, plain_dx), (conv.dW, plain_dW), (conv.db, plain_db):
        assert fast.shape == plain.shape and abs(plain).max() > 0.1
        np.testing.assert_allclose(fast, plain, **close)


def test_initial_convolutions_preserve_the_variance_as_their_initializer_promises():
    """He's initializer doubles the variance (a ReLU discards half); Glorot's preserves it."""
    x = np.random.default_rng(0).standard_normal((50, 16, 16, 8))
    options = dict(padding=1, dtype="float64")
    he = dict(stride=2, init="he", **options)
    y, _ = Conv2d(8, 32, 4, **he, rng=fresh_rng()).forward(x)
    assert y[:, 1:-1, 1:-1].var() == pytest.approx(2, rel=0.1)
    y, _ = ConvTranspose2d(8, 32, 4, **he, rng=fresh_rng()).forward(x)
    assert y[:, 2:-2, 2:-2].var() == pytest.approx(2, rel=0.1)
    y, _ = Conv2d(8, 8, 3, init="glorot", **options, rng=fresh_rng()).forward(x)
    assert y[:, 1:-1, 1:-1].var() == pytest.approx(1, rel=0.1)


def test_images_of_a_wrong_shape_are_refused():
    conv = Conv2d(3, 2, 5, rng=fresh_rng())
    transposed = ConvTranspose2d(3, 2, 2, padding=2, rng=fresh_rng())
    with refusal(ValueError, "Conv2d(3, 2, 5 x 5)", "(N, H, W, 3)", "(2, 8, 8, 4)"):
        conv.forward(np.ones((2, 8, 8, 4), "float32"))
    with refusal(ValueError, "Conv2d(3, 2, 5 x 5) is larger than its padded image", "(2, 4, 8, 3)"):
        conv.forward(np.ones((2, 4, 8, 3), "float32"))
    with refusal(TypeError, "Conv2d(3, 2, 5 x 5)", "float32 weights", "float64", "(2, 8, 8, 3)"):
        conv.forward(np.ones((2, 8, 8, 3)))
    with refusal(ValueError, "ConvTranspose2d(3, 2, 2 x 2)", "whole image", "(1, 3, 3, 3)"):
        transposed.forward(np.ones((1, 3, 3, 3), "float32"))
    with refusal(ValueError, "output_padding (2, 2)", "less than the stride, (2, 2)"):
        ConvTranspose2d(3, 2, 2, stride=2, output_padding=2, rng=fresh_rng())
    with refusal(ValueError, "BatchNorm2d(3)", "(..., 3)", "(4, 2)"):
        BatchNorm2d(3).forward(np.ones((4, 2), "float32"))
    with refusal(TypeError, "BatchNorm2d(3)", "float64 parameters", "float32", "(4, 3)"):
        BatchNorm2d(3, dtype="float64").forward(np.ones((4, 3), "float32"))
    for n in 0, 1:
        with refusal(ValueError, "BatchNorm2d(3)", "single example", f"({n}, 3)", "variance"):
            BatchNorm2d(3).forward(np.ones((n, 3), "float32"), train=True)
    with refusal(ValueError, "Reshape(2, 2)", "(3, 5)", "5 numbers per example"):
        Reshape(2, 2).forward(np.ones((3, 5), "float32"))
    with refusal(ValueError, "AvgPool2d(2)", "multiples of 2", "(1, 4, 5, 1)"):
        AvgPool2d(2).forward(np.ones((1, 4, 5, 1), "float32"))
    with refusal(ValueError, "AvgPool2d(2)", "multiples of 2", "(1, 5, 4, 1)"):
        AvgPool2d().forward(np.ones((1, 5, 4, 1), "float32"))
    with refusal(ValueError, "AvgPool2d(2)", "(N, H, W, C)", "(4, 4, 2)"):
        AvgPool2d().forward(np.ones((4, 4, 2), "float32"))
    with refusal(ValueError, "AvgPool2d(2)", "multiples of 2", "(1, 4, 5, 2)"):
        AvgPool2d().forward(np.ones((1, 4, 5, 2), "float32"))
    one = np.ones((1, 3, 3, 2), "float32")  # the smallest images that are accepted
    assert Conv2d(2, 4, 3, rng=fresh_rng()).forward(one)[0].shape == (1, 1, 1, 4)
    small = ConvTranspose2d(2, 4, 3, padding=1, rng=fresh_rng())
    assert small.forward(one[:, :1, :1])[0].shape == (1, 1, 1, 4)
    assert Upsample().forward(np.ones((1, 2, 3, 1), "float32"))[0].shape == (1, 4, 6, 1)
    assert BatchNorm2d(3).forward(np.ones((2, 3), "float32"), train=True)[0].shape == (2, 3)
    with refusal(ValueError, "Maxout(3)", "a multiple of 3", "(2, 7)"):
        Maxout(3).forward(np.ones((2, 7), "float32"))


@pytest.mark.parametrize(
    "layer",
    [
        ConcatLabels(3),
        ConcatLabelMaps(3),
        Projection(10, 3, dtype="float64", rng=fresh_rng()),
    ],
    ids=str,
)
def test_label_layers_expect_a_pair_of_matching_arrays(layer):
    x, labels = np.ones((4, 2, 5)), np.eye(3)[[0, 1, 2, 0]]
    with refusal(TypeError, repr(layer), "the pair (x, labels)", "ndarray of shape (4, 2, 5)"):
        layer.forward(x)
    for wrong in labels[:3], labels[:, :2], labels[:, 0]:
        with refusal(ValueError, repr(layer), "(4, 3), one-hot", f"not {wrong.shape}"):
            layer.forward((x, wrong))
    for wrong, dtype in (
        (labels.argmax(axis=1), "int64"),
        (labels.astype("float32"), "float32"),
        (labels.tolist(), "list"),
        (None, "NoneType"),
    ):
        with refusal(TypeError, repr(layer), "labels of dtype float64", f"not {dtype}"):
            layer.forward((x, wrong))


@pytest.mark.parametrize("wrong", [(), (np.ones((2, 3), "float32"),)])
def test_label_layers_refuse_a_tuple_of_another_length(wrong):
    with refusal(TypeError, "ConcatLabels(2) expects the pair (x, labels), not tuple of shape ?"):
        ConcatLabels(2).forward(wrong)


def test_a_network_made_without_labels_refuses_a_pair():
    layer = Dense(3, 2, dtype="float64", rng=np.random.default_rng(0))
    with refusal(TypeError, repr(layer), "a pair (x, labels)", "without labels"):
        layer.forward((np.ones((4, 3)), np.ones((4, 2))))


def test_label_maps_expect_images():
    with refusal(ValueError, "ConcatLabelMaps(3)", "(N, H, W, channels)", "(4, 30)"):
        ConcatLabelMaps(3).forward((np.ones((4, 30)), np.ones((4, 3))))


def test_projection_expects_vectors_of_its_size():
    layer = Projection(5, 3, rng=fresh_rng())
    labels = np.ones((2, 3), "float32")
    for shape in (2, 4), (2, 5, 1), (2,):
        with refusal(ValueError, "Projection(5, 3 classes)", "(N, 5)", f"not {shape}"):
            layer.forward((np.ones(shape, "float32"), labels))
    with refusal(TypeError, repr(layer), "float32 weights", "float64 x", "(2, 5)"):
        layer.forward((np.ones((2, 5)), labels.astype("float64")))


def test_labels_have_no_effect_on_a_new_projection(dtype):
    layer = Projection(5, 3, dtype=dtype, rng=fresh_rng())
    dense = Dense(5, 1, dtype=dtype, rng=fresh_rng())
    x, labels = fresh_rng().standard_normal((4, 5)).astype(dtype), np.eye(3, dtype=dtype)
    y, _ = layer.forward((x, labels[[0, 1, 2, 0]]))
    np.testing.assert_allclose(y, dense.forward(x)[0], rtol=1e-6)
    assert layer.E.dtype == layer.dE.dtype == y.dtype == dtype


def test_classes_that_are_not_in_the_batch_have_no_gradient_in_a_projection():
    layer = Projection(2, 3, dtype="float64", rng=fresh_rng())
    x = np.arange(8.0).reshape(4, 2)
    _, cache = layer.forward((x, np.eye(3)[[0, 2, 2, 0]]))
    layer.backward(np.ones((4, 1)), cache)
    assert layer.dE.tolist() == [[6, 8], [0, 0], [6, 8]] and layer.dW.tolist() == [[12], [16]]
    assert layer.backward(np.ones((4, 1)), cache, need_dx=False) is None


def test_batchnorm_updates_running_averages_in_training_only():
    layer, x = (
        BatchNorm2d(2, momentum=0.25, dtype="float64"),
        np.array([[1.0, 10.0], [3.0, 10.0], [8.0, 13.0]]),
    )
    layer.forward(x, train=True)
    np.testing.assert_allclose(layer.mean, [0.25 * 4, 0.25 * 11])
    # unbiased: 26 / 2 and 6 / 2
    np.testing.assert_allclose(layer.var, [0.75 + 0.25 * 13, 0.75 + 0.25 * 3])
    before = layer.mean.copy(), layer.var.copy()
    y, _ = layer.forward(x)  # sampling uses them without changing them
    np.testing.assert_allclose(y, (x - before[0]) / np.sqrt(before[1] + 1e-5))
    np.testing.assert_array_equal((layer.mean, layer.var), before)
    for _ in range(100):
        layer.forward(x, train=True)
    np.testing.assert_allclose(layer.mean, [4, 11], rtol=1e-9)


def test_the_gradient_of_equal_numbers_goes_to_the_first_of_them_in_maxout():
    y, cache = Maxout(2).forward(np.array([[3.0, 3.0]]))
    assert y.tolist() == [[3.0]]
    assert Maxout(2).backward(np.array([[7.0]]), cache).tolist() == [[7.0, 0.0]]


@pytest.mark.parametrize(GEOMETRY, MORE_CONVOLUTIONS, ids=map(str, range(8)))
@pytest.mark.parametrize("images", [1, 3, 7])  # in chunks of 3
def test_matmul_col2im_equals_col2im_of_the_product(
    in_channels,
    out_channels,
    kernel_size,
    stride,
    padding,
    height,
    width,
    images,
    dtype,
    monkeypatch,
):
    kernel_size, stride, padding = pair(kernel_size), pair(stride), pair(padding)
    positions = tuple(
        (n + 2 * p - k) // s + 1
        for n, p, k, s in zip((height, width), padding, kernel_size, stride)
    )
    geometry = kernel_size, stride, padding, positions
    rng = np.random.default_rng(0)
    y = rng.standard_normal((images * math.prod(positions), out_channels)).astype(dtype)
    W = rng.standard_normal((*kernel_size, in_channels, out_channels)).astype(dtype)
    shape = images, height, width, in_channels
    chunk = 3 * math.prod(positions) * W[..., 0].size + 1
    monkeypatch.setattr("minigan.nn.im2col.CACHE_SIZE", chunk)
    plain = col2im(y @ W.reshape(-1, out_channels).T, shape, geometry)
    x = matmul_col2im(y, W, shape, geometry)
    assert x.shape == shape and x.dtype == dtype
    np.testing.assert_allclose(x, plain, rtol=0, atol=100 * np.finfo(dtype).eps)


@pytest.mark.parametrize(
    "images, cache_size", [(1, 0), (3, 0), (7, 3 * 36 * 12), (7, 4 * 36 * 12 - 1), (7, 10**6)]
)
def test_im2col_matmul_equals_the_products_of_im2col(images, cache_size, dtype, monkeypatch):
    monkeypatch.setattr("minigan.nn.im2col.CACHE_SIZE", cache_size)
    rng, geometry = np.random.default_rng(0), ((3, 2), (2, 1), (1, 2), (4, 9))
    x, W, dy = (
        rng.standard_normal(shape).astype(dtype)
        for shape in [(images, 7, 6, 2), (12, 5), (images * 36, 3)]
    )
    rows, dW, again = im2col(x, geometry), np.full((12, 3), 7, dtype), np.full((12, 3), 8, dtype)
    assert rows.dtype == dtype and rows.shape == (images * 36, 12)
    y = im2col_matmul(x, geometry, W, dy=dy, dW=dW)
    assert y.dtype == dtype and im2col_matmul(x, geometry, dy=dy, dW=again) is None
    tolerance = 100 * np.finfo(dtype).eps
    np.testing.assert_allclose(y, rows @ W, rtol=0, atol=tolerance)
    np.testing.assert_allclose(dW, rows.T @ dy, rtol=0, atol=36 * images * tolerance)
    np.testing.assert_array_equal(again, dW)
    np.testing.assert_array_equal(im2col_matmul(x, geometry, W), y)


TO_CHANNELS_FIRST = ("Permute(0, 3, 1, 2)", "Transpose", {"perm": (0, 3, 1, 2)}, None)
TO_CHANNELS_LAST = ("Permute(0, 2, 3, 1)", "Transpose", {"perm": (0, 2, 3, 1)}, None)
FLATTEN = ("nn.Flatten()", "Flatten", {}, None)
NEAREST = {
    "mode": "nearest",
    "nearest_mode": "floor",
    "coordinate_transformation_mode": "asymmetric",
}
SHAPES = dict(stride=(1, 2), padding=(1, 0))
EXPORTED = [  # a layer, the shapes of x and y without N, and its operations
    (LeakyReLU(0.2), (5,), (5,), [("nn.LeakyReLU(0.2)", "LeakyRelu", {"alpha": 0.2}, None)]),
    (Tanh(), (5,), (5,), [("nn.Tanh()", "Tanh", {}, None)]),
    (Sigmoid(), (5,), (5,), [("nn.Sigmoid()", "Sigmoid", {}, None)]),
    (Dropout(0.3), (5,), (5,), []),
    (ConcatLabels(2), (5,), (7,), []),
    (
        Dense(3, 2, rng=fresh_rng()),
        (3,),
        (2,),
        [("nn.Linear(3, 2)", "Gemm", {"transB": 1}, None)],
    ),
    (
        BatchNorm2d(3),
        (3,),
        (3,),
        [("nn.BatchNorm1d(3, eps=1e-05)", "BatchNormalization", {"epsilon": 1e-5}, None)],
    ),
    (
        BatchNorm2d(3, eps=0.1),
        (4, 5, 3),
        (4, 5, 3),
        [("nn.BatchNorm2d(3, eps=0.1)", "BatchNormalization", {"epsilon": 0.1}, None)],
    ),
    (
        Conv2d(2, 3, (4, 5), **SHAPES, rng=fresh_rng()),
        (8, 9, 2),
        (7, 3, 3),
        [
            (
                "nn.Conv2d(2, 3, (4, 5), (1, 2), (1, 0))",
                "Conv",
                {"kernel_shape": (4, 5), "strides": (1, 2), "pads": (1, 0, 1, 0)},
                None,
            )
        ],
    ),
    (
        ConvTranspose2d(2, 3, (4, 5), **SHAPES, output_padding=(0, 1), rng=fresh_rng()),
        (8, 9, 2),
        (9, 22, 3),
        [
            (
                "nn.ConvTranspose2d(2, 3, (4, 5), (1, 2), (1, 0), (0, 1))",
                "ConvTranspose",
                {
                    "kernel_shape": (4, 5),
                    "strides": (1, 2),
                    "pads": (1, 0, 1, 0),
                    "output_padding": (0, 1),
                },
                None,
            )
        ],
    ),
    (
        AvgPool2d(2),
        (4, 6, 1),
        (2, 3, 1),
        [("nn.AvgPool2d(2)", "AveragePool", {"kernel_shape": (2, 2), "strides": (2, 2)}, None)],
    ),
    (
        Upsample(3),
        (2, 2, 1),
        (6, 6, 1),
        [("nn.Upsample(scale_factor=3)", "Resize", NEAREST, [1.0, 1.0, 3, 3])],
    ),
    (
        Reshape(2, 3),
        (6,),
        (2, 3),
        [("nn.Unflatten(1, (2, 3))", "Reshape", {}, [0, 2, 3])],
    ),
    (
        Reshape(2, 3, 4),
        (24,),
        (2, 3, 4),
        [("nn.Unflatten(1, (2, 3, 4))", "Reshape", {}, [0, 2, 3, 4]), TO_CHANNELS_FIRST],
    ),
    (Reshape(6), (2, 3), (6,), [FLATTEN]),
    (Reshape(24), (2, 3, 4), (24,), [TO_CHANNELS_LAST, FLATTEN]),
]


@pytest.mark.parametrize("layer, x_shape, y_shape, operations", EXPORTED, ids=str)
def test_a_layer_as_operations_of_pytorch_and_onnx(layer, x_shape, y_shape, operations):
    """The tests of the export run these operations in ONNX Runtime and in PyTorch."""
    exported = layer.exported(x_shape, y_shape)
    assert [(e.torch, e.onnx, e.attributes, e.constant) for e in exported] == operations
    weights = [np.asarray(a) for e in exported for a in e.arrays]
    if isinstance(layer, BatchNorm2d):
        expected = [layer.gamma, layer.beta, layer.mean, layer.var]
    elif isinstance(layer, Dense):
        expected = [layer.W.T, layer.b]
    elif layer.param_names:  # PyTorch and ONNX have the channels before the kernel's sides
        expected = [np.moveaxis(layer.W, (3, 2), (0, 1)), layer.b]
    else:
        expected = []
    assert len(weights) == len(expected)
    for a, b in zip(weights, expected):
        np.testing.assert_array_equal(a, b)


def test_spectral_norm_is_exported_as_the_layer_with_the_normalised_weights():
    layer = SpectralNorm(Dense(3, 2, rng=fresh_rng()), rng=fresh_rng())
    with np.errstate(all="raise"):
        [operation] = layer.exported((3,), (2,))
    assert operation.torch == "nn.Linear(3, 2)"
    y, _ = layer.forward(np.eye(3, dtype="float32"))
    np.testing.assert_allclose(operation.arrays[0], (y - layer.b).T, rtol=1e-5)


def test_a_layer_that_cannot_be_exported_says_so():
    with pytest.raises(NotImplementedError) as found:
        Maxout(2).exported((4,), (2,))
    assert str(found.value) == "Maxout(2) cannot be exported: it has no method `exported`"


def test_glorot_counts_the_terms_of_the_sums_of_a_strided_convolution():
    """An output sums over the kernel; with stride s, an input is in 1 / s² of as many sums."""
    options = dict(stride=2, init="glorot", dtype="float64", rng=fresh_rng())
    few, many = 3 * 5 * 20 / 4, 3 * 5 * 30
    W = Conv2d(30, 20, (3, 5), **options).W
    assert W.std() == pytest.approx(math.sqrt(2 / (many + few)), rel=0.03)
    W = ConvTranspose2d(20, 30, (3, 5), **options).W
    assert W.std() == pytest.approx(math.sqrt(2 / (few + many)), rel=0.03)
