"""The networks of the recipes: their shapes; every option of a recipe is used or refused."""

import math

import numpy as np
import pytest
from cases import refusal
from helpers import small

from minigan.gan.models import ARCHITECTURES, MAXOUT_PIECES, make_networks
from minigan.gan.recipes import RECIPES, recipe_from_dict, replace, validate_recipe
from minigan.gan.steps import with_labels
from minigan.nn.activations import LeakyReLU
from minigan.nn.dropout import Dropout
from minigan.nn.maxout import Maxout
from minigan.nn.spectral_norm import SpectralNorm

OF_ARCHITECTURE = {  # a recipe for each architecture
    "dense": "dense",
    "maxout": "goodfellow-2014",
    "dcgan": "dcgan",
    "patch": "default",
    "conv": "default-conv",
    "auto-write": "auto-write",
}
LEAKY = [name for name in OF_ARCHITECTURE if name != "maxout"]  # whose D has LeakyReLUs
HIDDEN_LAYERS_OF_D = {"dense": 2, "dcgan": 2, "patch": 3, "conv": 3, "auto-write": 3}


def networks(recipe, shape=(8, 12), n_classes=0):
    return make_networks(recipe, shape, n_classes=n_classes, rng=np.random.default_rng(0))


def tiny(architecture, **changes):
    return replace(small(OF_ARCHITECTURE[architecture]), **changes)


def layers_of(net, kind):
    return [layer for layer in net.layers if isinstance(layer, kind)]


def weights(net):
    return [layer.W for layer in net.layers if "W" in layer.param_names]


def test_every_architecture_has_a_recipe():
    assert OF_ARCHITECTURE.keys() == ARCHITECTURES.keys()
    for architecture, name in OF_ARCHITECTURE.items():
        assert RECIPES[name].networks == architecture


@pytest.mark.parametrize("n_classes", [0, 3])
@pytest.mark.parametrize("shape", [(8, 12), (8, 12, 3)], ids=["grey", "colour"])
@pytest.mark.parametrize("architecture", OF_ARCHITECTURE)
def test_images_keep_their_shape(architecture, shape, n_classes, dtype):
    """z -> images (N, *shape) -> logits (N, 1), and gradients back to the pixels and to z."""
    G, D = networks(tiny(architecture, dtype=dtype), shape, n_classes)
    rng = np.random.default_rng(1)
    z = rng.standard_normal((5, 3)).astype(dtype)
    labels = np.eye(n_classes, dtype=dtype)[[0, 1, 2, 1, 0]] if n_classes else None
    images, cache_G = G.forward(with_labels(z, labels), train=True, rng=rng)
    logits, cache_D = D.forward(with_labels(images, labels), train=True, rng=rng)
    assert images.shape == (5, *shape) and logits.shape == (5, 1)
    dimages = D.backward(np.ones_like(logits), cache_D)
    dz = G.backward(dimages, cache_G)
    assert dimages.shape == images.shape and dz.shape == z.shape
    assert {a.dtype for a in (images, logits, dimages, dz, G.theta, D.theta)} == {np.dtype(dtype)}
    assert np.isfinite(dz).all() and dz.any() and dimages.any()


@pytest.mark.parametrize("architecture", OF_ARCHITECTURE)
def test_init_D_initialises_the_discriminator_only(architecture):
    """uniform(0.005) bounds every weight of D; without init_D the initializer is that of G."""
    G, D = networks(tiny(architecture, init="uniform(0.05)", init_D="uniform(0.005)"))
    same_G, same_D = networks(tiny(architecture, init="uniform(0.05)", init_D=""))
    np.testing.assert_array_equal(same_G.theta, G.theta)
    assert max(abs(W).max() for W in weights(G)) > 0.04
    for W in weights(D):
        assert 0 < abs(W).max() <= 0.005
    for W, W_same in zip(weights(D), weights(same_D), strict=True):
        np.testing.assert_allclose(W_same, 10 * W, rtol=1e-5)


@pytest.mark.parametrize("architecture", LEAKY)
def test_dropout_follows_each_hidden_layer_of_the_discriminator(architecture):
    G, D = networks(tiny(architecture, dropout=0.3))
    assert [layer.p for layer in layers_of(D, Dropout)] == [0.3] * HIDDEN_LAYERS_OF_D[architecture]
    assert layers_of(G, Dropout) == []
    without = networks(tiny(architecture, dropout=0.0))[1]
    assert layers_of(without, Dropout) == []
    x = np.random.default_rng(2).uniform(-1, 1, (5, 8, 12)).astype("float32")
    np.testing.assert_array_equal(D.theta, without.theta)
    np.testing.assert_array_equal(D.forward(x)[0], without.forward(x)[0])
    logits, logits_without = (
        net.forward(x, train=True, rng=np.random.default_rng(3))[0] for net in (D, without)
    )
    assert (logits != logits_without).any()


@pytest.mark.parametrize("architecture", LEAKY)
def test_negative_slopes_reach_both_networks(architecture):
    G, D = networks(tiny(architecture, negative_slope_G=0.05, negative_slope_D=0.35))
    for net, slope in (G, 0.05), (D, 0.35):
        found = [layer.negative_slope for layer in layers_of(net, LeakyReLU)]
        assert found and set(found) == {slope}


def test_maxout_units_and_their_dropout():
    _, D = networks(tiny("maxout", dropout=0.5))
    assert [layer.p for layer in layers_of(D, Dropout)] == [0.2, 0.5, 0.5]
    assert [layer.pieces for layer in layers_of(D, Maxout)] == [MAXOUT_PIECES] * 2
    assert layers_of(D, LeakyReLU) == []


@pytest.mark.parametrize("n_classes", [0, 3])
def test_without_dropout_maxout_has_no_dropout_layer(n_classes):
    recipe = replace(RECIPES["goodfellow-2014"], dropout=0.0, conditional=n_classes > 0)
    validate_recipe(recipe)
    G, D = networks(recipe, n_classes=n_classes)
    assert layers_of(D, Dropout) == layers_of(G, Dropout) == []


@pytest.mark.parametrize("n_classes", [0, 3])
@pytest.mark.parametrize("architecture", OF_ARCHITECTURE)
def test_spectral_norm_wraps_every_layer_of_the_discriminator_with_weights(architecture, n_classes):
    """It leaves a layer for labels as it is, because its parameters do not act on x."""
    G, D = networks(tiny(architecture, spectral=True), n_classes=n_classes)
    plain = networks(tiny(architecture, spectral=False), n_classes=n_classes)[1]
    assert type(D.layers[0]) is type(plain.layers[0]) and not hasattr(D.layers[0], "W")
    assert len(layers_of(D, SpectralNorm)) == len(weights(plain)) == len(weights(D)) > 0
    assert layers_of(G, SpectralNorm) == layers_of(plain, SpectralNorm) == []


def test_maxout_has_no_negative_slope_D():
    recipe = RECIPES["goodfellow-2014"]
    validate_recipe(recipe)
    with refusal(ValueError, "maxout", "negative_slope_D", "0.35", "goodfellow-2014"):
        validate_recipe(replace(recipe, negative_slope_D=0.35))


WRONG_WIDTHS = [  # recipe, field, widths, and how many its networks need
    ("dense", "widths_G", (), "one or more"),
    ("dense", "widths_D", (), "one or more"),
    ("goodfellow-2014", "widths_G", (), "one or more"),
    ("goodfellow-2014", "widths_D", (), "one or more"),
    ("dcgan", "widths_G", (64,), "2"),
    ("dcgan", "widths_D", (32, 64, 128), "2"),
    ("default", "widths_G", (32, 16), "3"),
    ("default", "widths_D", (8, 16, 32, 64), "3"),
    ("default-conv", "widths_G", (32, 16), "3"),
    ("default-conv", "widths_D", (8, 16), "3"),
    ("auto-write", "widths_G", (50, 25, 12), "2"),
    ("auto-write", "widths_D", (32,), "3"),
]


@pytest.mark.parametrize("name, field, widths, needed", WRONG_WIDTHS)
def test_a_wrong_number_of_widths_is_refused(name, field, widths, needed):
    recipe = replace(RECIPES[name], **{field: widths})
    expected = recipe.networks, f"{needed} {field}", f"not {len(widths)}"
    with refusal(ValueError, *expected):
        validate_recipe(recipe)
    with refusal(ValueError, *expected):
        recipe_from_dict(vars(recipe))


def sides(network, x):
    """The height after each layer with images, without repetitions."""
    heights = []
    for layer in network.layers:
        x, _ = layer.forward(x, train=False)
        heights += [x.shape[1]] if x.ndim == 4 and [x.shape[1]] != heights[-1:] else []
    return heights


@pytest.mark.parametrize(
    "name, generator, discriminator",
    [
        ("dcgan", [7, 14, 28], [28, 14, 7]),
        ("default", [7, 14, 28], [28, 7]),
        ("default-conv", [7, 14, 28], [28, 14, 7]),
        ("auto-write", [56, 28, 56, 28, 56, 28], [28, 14, 7]),
    ],
)
def test_convolutions_halve_and_double_the_side_of_28_pixels(name, generator, discriminator):
    recipe = small(name)
    G, D = make_networks(recipe, (28, 28), rng=np.random.default_rng(0))
    z = np.ones((1, recipe.latent_dim), "float32")
    assert sides(G, z) == generator and sides(D, np.ones((1, 28, 28), "float32")) == discriminator


SIZES = [(28, 28), (6, 5), (30, 33, 3), (7, 31), (9, 2, 3), (3, 2), (1, 1), (1, 40), (5, 4, 3)]


@pytest.mark.parametrize("n_classes", [0, 3])
@pytest.mark.parametrize("shape", SIZES, ids=str)
def test_patch_is_for_images_of_any_size(shape, n_classes):
    """Every pixel is generated, and every pixel is seen by D."""
    G, D = networks(tiny("patch", dtype="float64"), shape, n_classes)
    rng = np.random.default_rng(1)
    labels = np.eye(3)[rng.integers(0, 3, 50)] if n_classes else None
    images, cache_G = G.forward(with_labels(rng.standard_normal((50, 3)), labels))
    assert images.shape == (50, *shape) and images.std(axis=0).min() > 1e-6
    logits, cache_D = D.forward(with_labels(images, labels))
    dimages = D.backward(np.ones((50, 1)), cache_D)
    assert logits.shape == (50, 1) and dimages.shape == images.shape
    assert abs(dimages).max(axis=0).min() > 1e-6
    G.backward(dimages, cache_G)
    for net in G, D:
        assert all(layer.dW.any() for layer in net.layers if "W" in layer.param_names)


@pytest.mark.parametrize("n_classes", [0, 3])
@pytest.mark.parametrize("shape", SIZES, ids=str)
def test_the_parameters_of_patch_are_as_many_as_worked_out_by_hand(shape, n_classes):
    recipe = tiny("patch", latent_dim=7, widths_G=(10, 6, 4), widths_D=(5, 9, 8))
    (height, width), channels = shape[:2], math.prod(shape[2:])
    quarters = -(-height // 4) * -(-width // 4)
    first = [3 if -(-n // 2) % 2 else 4 for n in (height, width)]  # to half the size
    second = [3 if n % 2 else 4 for n in (height, width)]
    patches = max(1, height // 4) * max(1, width // 4)
    sides = [n % 4 + 6 if n >= 4 else n + 2 for n in (height, width)]
    G, D = networks(recipe, shape, n_classes)
    assert G.theta.size == (
        ((7 + n_classes) * 10 + 10)
        + (10 * quarters * 6 + quarters * 6)
        + (math.prod(first) * 6 * 4 + 4)
        + (math.prod(second) * 4 * channels + channels)
    )
    assert D.theta.size == (
        (math.prod(sides) * channels * 5 + 5)
        + (patches * 5 * 9 + 9)
        + (9 * 8 + 8)
        + (8 + 1 + 8 * n_classes)
    )
    assert G.buffers.size == D.buffers.size == 0  # no batch norm


def test_the_layers_of_patch():
    G, D = make_networks(small("default"), (28, 28), rng=np.random.default_rng(0))
    assert repr(G) == (
        "Sequential([Dense(3, 6), LeakyReLU(0.2), Dense(6, 196), Reshape(7, 7, 4), LeakyReLU(0.2),"
        " ConvTranspose2d(4, 3, 4 x 4), LeakyReLU(0.2), ConvTranspose2d(3, 1, 4 x 4),"
        " Reshape(28, 28), Tanh()])"
    )
    assert repr(D) == (
        "Sequential([Reshape(28, 28, 1), Conv2d(1, 3, 6 x 6), LeakyReLU(0.2), Reshape(147),"
        " Dense(147, 6), LeakyReLU(0.2), Dense(6, 5), LeakyReLU(0.2), Dense(5, 1)])"
    )


def test_the_last_layer_of_patch_takes_the_labels():
    """Labels change the logits, once the projection has learned; elsewhere they are channels."""
    _, D = networks(tiny("patch", dtype="float64"), (8, 12), n_classes=5)
    *_, last = D.layers
    assert repr(last).endswith(" 5 classes)") and not any(x.takes_labels for x in D.layers[:-1])
    rng = np.random.default_rng(1)
    same = np.broadcast_to(rng.standard_normal((8, 12)), (5, 8, 12))
    assert np.ptp(D.forward((same, np.eye(5)))[0]) == 0
    last.E[...] = rng.standard_normal(last.E.shape)
    assert len(set(D.forward((same, np.eye(5)))[0].ravel().tolist())) == 5
    _, D = networks(tiny("dcgan"), (8, 12), n_classes=5)
    assert repr(D.layers[0]) == "ConcatLabelMaps(5)"


def test_the_patches_of_28_pixels_overlap_by_2():
    """A pixel on the edge of two patches is part of both, and of no third."""
    _, D = networks(tiny("patch", dtype="float64"), (28, 28))
    for row, expected in (0, {0}), (3, {0, 1}), (4, {0, 1}), (5, {1}), (13, {3}), (27, {6}):
        x = np.zeros((2, 28, 28))
        x[1, row, 14] = 1
        for layer in D.layers[:2]:
            x, _ = layer.forward(x)
        assert x.shape == (2, 7, 7, 3)
        assert set(np.flatnonzero(abs(x[1] - x[0]).max(axis=(1, 2)))) == expected


def test_the_layers_of_conv():
    G, D = make_networks(small("default-conv"), (28, 28), rng=np.random.default_rng(0))
    assert repr(G) == (
        "Sequential([Dense(3, 6), LeakyReLU(0.2), Dense(6, 196), Reshape(7, 7, 4), BatchNorm2d(4),"
        " LeakyReLU(0.2), ConvTranspose2d(4, 3, 4 x 4), BatchNorm2d(3), LeakyReLU(0.2),"
        " ConvTranspose2d(3, 1, 4 x 4), Reshape(28, 28), Tanh()])"
    )
    assert repr(D) == (
        "Sequential([Reshape(28, 28, 1), Conv2d(1, 3, 4 x 4), LeakyReLU(0.2),"
        " Conv2d(3, 4, 4 x 4), LeakyReLU(0.2), Reshape(196), Dense(196, 6), LeakyReLU(0.2),"
        " Dense(6, 1)])"
    )


def test_maxout_networks_of_three_hidden_layers():
    recipe = replace(
        RECIPES["goodfellow-2014"], widths_G=(6, 5, 4), widths_D=(7, 3, 2), latent_dim=3
    )
    G, D = make_networks(recipe, (28, 28), rng=np.random.default_rng(0))
    assert repr(G) == (
        "Sequential([Dense(3, 6), LeakyReLU(0.0), Dense(6, 5), LeakyReLU(0.0), Dense(5, 4),"
        " LeakyReLU(0.0), Dense(4, 784), Sigmoid(), Reshape(28, 28)])"
    )
    assert repr(D) == (
        "Sequential([Reshape(784), Dropout(0.2), Dense(784, 35), Maxout(5), Dropout(0.5),"
        " Dense(7, 15), Maxout(5), Dropout(0.5), Dense(3, 10), Maxout(5), Dropout(0.5),"
        " Dense(2, 1)])"
    )


def test_the_layers_of_auto_write():
    G, D = make_networks(small("auto-write"), (28, 28), rng=np.random.default_rng(0))
    assert repr(G) == (
        "Sequential([Dense(3, 3136), Reshape(56, 56, 1), BatchNorm2d(1), LeakyReLU(0.0),"
        " Conv2d(1, 8, 3 x 3), BatchNorm2d(8), LeakyReLU(0.0), Upsample(2), Conv2d(8, 6, 3 x 3),"
        " BatchNorm2d(6), LeakyReLU(0.0), Upsample(2), Conv2d(6, 1, 1 x 1), Reshape(28, 28),"
        " Sigmoid()])"
    )
    assert repr(D) == (
        "Sequential([Reshape(28, 28, 1), Conv2d(1, 8, 5 x 5), LeakyReLU(0.0), AvgPool2d(2),"
        " Conv2d(8, 6, 5 x 5), LeakyReLU(0.0), AvgPool2d(2), Reshape(294), Dense(294, 12),"
        " LeakyReLU(0.0), Dense(12, 1)])"
    )
