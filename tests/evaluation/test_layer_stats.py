"""What is shown of a run is what the run did: its gradients, its first steps, its dead units."""

import numpy as np
import pytest
from helpers import SMALL, idx, small
from PIL import Image

from minigan.datasets.pixels import DataError
from minigan.evaluation import layer_stats
from minigan.evaluation.layer_stats import (
    PICTURES,
    UNITS_SHOWN,
    count_units,
    first_layer_weights,
    format_layer_stats,
    inspect_layers,
    last_layer_weights,
    layer_outputs,
    sample_layers,
    weighted_layers,
)
from minigan.evaluation.report import make_evaluator
from minigan.gan.models import ARCHITECTURES, make_discriminator, make_generator, make_networks
from minigan.gan.recipes import RECIPES, replace
from minigan.gan.steps import discriminator_step_two_passes, generator_step
from minigan.nn.activations import LeakyReLU, ReLU, Tanh
from minigan.nn.batchnorm import BatchNorm2d
from minigan.nn.conv import Conv2d, ConvTranspose2d
from minigan.nn.dense import Dense
from minigan.nn.dropout import Dropout
from minigan.nn.sequential import Sequential
from minigan.training.inputs import TrainingOptions
from minigan.training.loop import train

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 8, 12), dtype=np.uint8)
ONE_OF_EACH = {
    name: small(name) for name in ("dense", "dcgan", "default", "default-conv", "auto-write")
} | {  # with two hidden layers as narrow as small's, its gradients would be too small for float32
    "goodfellow-2014": replace(
        RECIPES["goodfellow-2014"], widths_G=(8,), widths_D=(6,), latent_dim=5, batch_size=10
    )
}


def trained(folder, recipe, **options):
    """The folder of a run of one epoch on IMAGES, or on the data named in the options."""
    if "data" not in options:
        options["data"] = folder / "data"
        options["data"].mkdir()
        (options["data"] / "train-images-idx3-ubyte").write_bytes(idx(IMAGES))
    options = TrainingOptions(replace(recipe, epochs=1), folder=folder / "run", seed=5, **options)
    assert train(options, make_evaluator) == 0
    return folder / "run"


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_architecture_is_inspected():
    ours = {name for name in ARCHITECTURES if not name.startswith("own-")}  # of another test
    assert {recipe.networks for recipe in ONE_OF_EACH.values()} == ours


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.long] * (name not in ("default", "dense")))
        for name in ONE_OF_EACH
    ],
)
def test_the_repeated_steps_are_those_of_the_run(name, tmp_path, monkeypatch):
    """After as many steps as the run took, everything is as in its model.npz."""
    recipe = ONE_OF_EACH[name]
    run, shown = trained(tmp_path, recipe), {}
    before = files(run)
    save_histograms = layer_stats.save_histograms

    def keep(samples, network, path, **options):
        shown[network] = samples
        save_histograms(samples, network, path, **options)

    monkeypatch.setattr(layer_stats, "save_histograms", keep)
    steps = recipe.steps_per_epoch or len(IMAGES) // recipe.batch_size
    result = inspect_layers(run, steps)
    assert set(shown) == set(result) == {"generator", "discriminator"}
    for samples in shown.values():
        moments = list(samples)
        assert moments[:2] == ["step 0", "step 1"]
        assert moments[-2:] == [f"step {steps}", "at the end"]
        for first, last, end in zip(
            *(samples[m] for m in ("step 0", f"step {steps}", moments[-1]))
        ):
            assert first.layer == last.layer == end.layer
            assert (last.outputs == end.outputs).all() and (last.dW == end.dW).all()
            assert (last.outputs != first.outputs).any()
    after = files(run)
    assert {path.name for path in set(after) - set(before)} == set(PICTURES)
    assert before.items() <= after.items()
    for picture in PICTURES:
        with Image.open(run / picture) as opened:
            opened.load()
            assert opened.width >= 1000


class KeepGradient:
    """An optimizer that keeps the gradient and changes nothing."""

    def step(self, dtheta):
        self.dtheta = dtheta.copy()


def test_the_gradients_are_those_of_the_two_steps():
    rng, keep = np.random.default_rng(0), KeepGradient()
    options = dict(dtype="float64", rng=rng)
    G = Sequential(
        [
            Dense(3, 4, **options),
            BatchNorm2d(4, dtype="float64"),
            ReLU(),
            Dense(4, 6, **options),
            Tanh(),
        ]
    )
    D = Sequential(
        [
            Dense(6, 5, **options),
            BatchNorm2d(5, dtype="float64"),
            LeakyReLU(0.1),
            Dense(5, 1, **options),
        ]
    )
    real, z = rng.standard_normal((7, 6)), rng.standard_normal((7, 3))
    arrays = [array for net in (G, D) for array in (net.theta, net.buffers, net.dtheta)]
    before = [array.copy() for array in arrays]
    samples = sample_layers(G, D, replace(SMALL, real_label=0.9), real, z)
    for array, copied in zip(arrays, before):
        np.testing.assert_array_equal(array, copied)  # the networks are not changed
    generator_step(G, D, keep, z, rng=rng)
    G.dtheta[...] = keep.dtheta
    for sample, layer in zip(samples["generator"], (G.layers[0], G.layers[3])):
        assert sample.layer == repr(layer)
        np.testing.assert_allclose(np.unique(sample.dW), np.unique(layer.dW), rtol=1e-9)
    discriminator_step_two_passes(G, D, keep, real, z, real_label=0.9, rng=rng)
    D.dtheta[...] = keep.dtheta
    for sample, layer in zip(samples["discriminator"], (D.layers[0], D.layers[3])):
        assert sample.layer == repr(layer)
        np.testing.assert_allclose(np.unique(sample.dW), np.unique(layer.dW), rtol=1e-9)


def test_the_outputs_are_those_of_forward():
    D = make_discriminator(6, [5, 4], dropout=0.5, rng=np.random.default_rng(0))
    x = np.random.default_rng(1).standard_normal((8, 6), dtype="float32")
    ys = layer_outputs(D, x, train=True, rng=np.random.default_rng(2))
    expected, _ = D.forward(x, train=True, rng=np.random.default_rng(2))
    assert len(ys) == len(D.layers)
    np.testing.assert_array_equal(ys[-1], expected)
    assert [(repr(D.layers[i]), repr(D.layers[j])) for i, j in weighted_layers(D)] == [
        ("Dense(6, 5)", "LeakyReLU(0.2)"),
        ("Dense(5, 4)", "LeakyReLU(0.2)"),
        ("Dense(4, 1)", "Dense(4, 1)"),
    ]


def test_units_are_counted_over_all_images():
    """A unit that is positive for a single image is alive; layers after dropout count as well."""
    options = dict(dtype="float64", rng=np.random.default_rng(0))
    net = Sequential(
        [
            Dense(2, 4, **options),
            LeakyReLU(0.2),
            Dropout(0.5),
            Dense(4, 3, **options),
            ReLU(),
            Dense(3, 1, **options),
        ]
    )
    net.theta[...] = 0
    net.layers[0].W[0] = [1, -1, 0, 0]
    net.layers[0].b[...] = [0, 0, -1, 1]
    net.layers[3].b[...] = [-1, 1, -1]
    x = np.zeros((250, 2))
    x[:, 0] = -1.0
    assert count_units(net, x) == [("Dense(2, 4)", 4, 2, 2), ("Dense(4, 3)", 3, 2, 1)]
    for i in 0, 249:  # in the first chunk, or in the last
        x[:, 0] = -1.0
        x[i, 0] = 1.0
        assert count_units(net, x) == [("Dense(2, 4)", 4, 1, 1), ("Dense(4, 3)", 3, 2, 1)]
    lines = format_layer_stats({"generator": count_units(net, x), "discriminator": []}).splitlines()
    assert lines[1].split() == "generator Dense(2, 4) 4 1 = 25.0% 1 = 25.0%".split()
    assert lines[3].split()[0] == "discriminator" and "LeakyReLU" in lines[3]


def test_a_channel_is_dead_if_it_is_so_at_every_position():
    options = dict(dtype="float64", rng=np.random.default_rng(0))
    net = Sequential([Conv2d(1, 3, 1, **options), ReLU()])
    net.layers[0].W[...], net.layers[0].b[...] = 1, [0, -5, 5]
    x = -np.ones((4, 2, 2, 1))
    x[3, 1, 0] = 2
    assert count_units(net, x) == [("Conv2d(1, 3, 1 x 1)", 3, 1, 1)]


@pytest.mark.parametrize("n_classes", [0, 2])
def test_weights_of_dense_layers_have_the_orientation_of_images(n_classes):
    rng, image = np.random.default_rng(0), np.arange(96.0).reshape(8, 12)
    D = make_discriminator((8, 12), [70], n_classes=n_classes, rng=rng)
    G = make_generator(5, [70], (8, 12), n_classes=n_classes, rng=rng)
    first, last = D.layers[weighted_layers(D)[0][0]], G.layers[weighted_layers(G)[-1][0]]
    first.W[:96, 3], last.W[9] = image.ravel(), image.ravel()
    for shown in first_layer_weights(first, (8, 12)), last_layer_weights(last, (8, 12)):
        assert shown.shape == (UNITS_SHOWN, 8, 12)
        np.testing.assert_array_equal(shown[0], image)
        sizes = (shown * shown).sum(axis=(1, 2))
        assert (np.diff(sizes) <= 0).all()


def test_weights_of_convolutions_are_kernels():
    rng, kernel = np.random.default_rng(0), np.arange(6.0).reshape(2, 3)
    first = Conv2d(1, 4, (2, 3), rng=rng)
    first.W[:, :, 0, 2] = kernel
    transposed, last = ConvTranspose2d(4, 1, (2, 3), rng=rng), Conv2d(4, 1, (2, 3), rng=rng)
    transposed.W[:, :, 0, 2], last.W[:, :, 2, 0] = kernel, kernel
    for shown in (
        first_layer_weights(first, (8, 12)),
        last_layer_weights(transposed, (8, 12)),
        last_layer_weights(last, (8, 12)),
    ):
        assert shown.shape == (4, 2, 3)
        np.testing.assert_array_equal(shown[0], kernel)


def test_weights_in_colour_are_averaged():
    rng = np.random.default_rng(0)
    D = make_discriminator((8, 12, 3), [2], n_classes=4, rng=rng)
    W = D.layers[1].W
    shown = first_layer_weights(D.layers[1], (8, 12, 3))
    units = W[:288].T.reshape(2, 8, 12, 3).mean(axis=3)
    order = np.argsort(-(units * units).sum(axis=(1, 2)))
    np.testing.assert_array_equal(shown, units[order])


def test_other_images_are_noticed(tmp_path):
    run = trained(tmp_path, SMALL)
    (tmp_path / "data" / "train-images-idx3-ubyte").write_bytes(idx(IMAGES[:39]))
    with pytest.raises(DataError, match="other images"):
        inspect_layers(run, 1)
    assert not any((run / picture).exists() for picture in PICTURES)


@pytest.mark.parametrize("n_classes", [0, 3])
@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_has_a_first_layer_and_a_last(name, n_classes):
    G, D = make_networks(small(name), (8, 12), n_classes=n_classes, rng=np.random.default_rng(0))
    first, last = D.layers[weighted_layers(D)[0][0]], G.layers[weighted_layers(G)[-1][0]]
    assert not first.takes_labels
    assert first_layer_weights(first, (8, 12)).ndim == 3
    assert last_layer_weights(last, (8, 12)).ndim == 3


@pytest.mark.parametrize(
    "name",
    ["default", *(pytest.param(name, marks=pytest.mark.long) for name in ("dense", "dcgan"))],
)
def test_labels_colours_and_other_losses(name, tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (30, 8, 12, 3), dtype=np.uint8)
    np.savez(tmp_path / "data.npz", images=images, labels=np.arange(30) % 3)
    changes = dict(conditional=True, clusters=0, loss="hinge", real_label=1.0, penalty="")
    recipe = replace(small(name), **changes)
    run = trained(tmp_path, recipe, data=tmp_path / "data.npz")
    for counts in inspect_layers(run, 1).values():
        assert all(c.never + c.always <= c.units for c in counts)
    assert all((run / picture).is_file() for picture in PICTURES)
