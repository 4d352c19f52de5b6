"""What is shown of a run is what the run did: its gradients, its first steps, its dead units."""
import numpy as np
import pytest
from PIL import Image
from test_data import idx
from test_training import SMALL

from minigan import inspection
from minigan.activations import LeakyReLU, ReLU, Tanh
from minigan.batchnorm import BatchNorm
from minigan.build import make_networks
from minigan.conv import Conv2D, ConvTranspose2D
from minigan.data import DataError
from minigan.dense import Dense
from minigan.dropout import Dropout
from minigan.evaluation import make_yardstick
from minigan.gan import discriminator_step_in_two, generator_step, make_discriminator, make_generator
from minigan.inspection import PICTURES, count_units, flow, inspect, outputs, stages, table, weight_images
from minigan.network import Sequential
from minigan.recipes import RECIPES, replace
from minigan.runs import make_settings, new_folder
from minigan.sources import load
from minigan.training import train

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 8, 12), dtype=np.uint8)


def trained(folder, recipe):
    data = folder / "data"
    data.mkdir()
    (data / "train-images-idx3-ubyte").write_bytes(idx(IMAGES))
    train(recipe, IMAGES, new_folder(folder / "run"), make_settings(recipe, 5, IMAGES, data, "numpy"), make_yardstick(load(data), False)[0], seed=5)
    return folder / "run"


RECIPES_SMALL = {
    "dense": replace(SMALL, epochs=1),
    "maxout": replace(RECIPES["goodfellow-2014"], widths_G=(8,), widths_D=(6,), latent_dim=5, batch_size=10, epochs=1),
    "dcgan": replace(RECIPES["dcgan"], widths_G=(6, 5), widths_D=(5, 6), latent_dim=5, batch_size=10, epochs=1),
    "auto-write": replace(RECIPES["auto-write"], widths_G=(6, 5), widths_D=(5, 6, 7), latent_dim=5, batch_size=10, head_start=2, epochs=1),
}


@pytest.mark.parametrize("name", RECIPES_SMALL)
def test_the_steps_taken_again_are_those_of_the_run(name, tmp_path, monkeypatch):
    """After as many steps as the run had, everything is as in its model.npz."""
    run, drawn = trained(tmp_path, RECIPES_SMALL[name]), {}
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    save_flow = inspection.save_flow
    monkeypatch.setattr(inspection, "save_flow", lambda flows, name, path: (drawn.update({name: flows}), save_flow(flows, name, path)))
    steps = len(IMAGES) // RECIPES_SMALL[name].batch_size
    result = inspect(run, steps)
    for flows in drawn.values():
        assert list(flows)[:2] == ["step 0", "step 1"] and list(flows)[-2:] == [f"step {steps}", "at the end"]
        for (_, y, dW), (_, y_end, dW_end), (_, y_0, _) in zip(flows[f"step {steps}"], flows["at the end"], flows["step 0"]):
            assert (y == y_end).all() and (dW == dW_end).all() and (y != y_0).any()
    after = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert {path.name for path in set(after) - set(before)} == set(PICTURES) and before.items() <= after.items()
    for picture in PICTURES:
        with Image.open(run / picture) as opened:
            opened.load()
            assert opened.width >= 1000
    assert [layer for layer, *_ in drawn["generator"]["step 0"]] and set(result) == {"generator", "discriminator"}


def test_the_gradients_are_those_of_the_two_steps():
    class Keep:
        def step(self, dtheta):
            self.dtheta = dtheta.copy()

    rng, keep = np.random.default_rng(0), Keep()
    how = dict(rng=rng, dtype="float64")
    G = Sequential([Dense(3, 4, **how), BatchNorm(4, dtype="float64"), ReLU(), Dense(4, 6, **how), Tanh()])
    D = Sequential([Dense(6, 5, **how), BatchNorm(5, dtype="float64"), LeakyReLU(0.1), Dense(5, 1, **how)])
    real, z = rng.standard_normal((7, 6)), rng.standard_normal((7, 3))
    kept = [array.copy() for net in (G, D) for array in (net.theta, net.state, net.dtheta)]
    found = flow(G, D, SMALL, real, z)
    for array, was in zip([array for net in (G, D) for array in (net.theta, net.state, net.dtheta)], kept):
        np.testing.assert_array_equal(array, was)                      # looking changes nothing
    generator_step(G, D, keep, z, rng)
    G.dtheta[...] = keep.dtheta
    for (name, _, dW), layer in zip(found["generator"], (G.layers[0], G.layers[3])):
        assert name == repr(layer)
        np.testing.assert_allclose(np.unique(dW), np.unique(layer.dW), rtol=1e-9)
    discriminator_step_in_two(G, D, keep, real, z, rng)
    D.dtheta[...] = keep.dtheta
    for (name, y, dW), layer in zip(found["discriminator"], (D.layers[0], D.layers[3])):
        assert name == repr(layer)
        np.testing.assert_allclose(np.unique(dW), np.unique(layer.dW), rtol=1e-9)


def test_outputs_are_those_of_forward():
    D = make_discriminator(6, [5, 4], np.random.default_rng(0), dropout=0.5)
    x = np.random.default_rng(1).standard_normal((8, 6), dtype="float32")
    ys = outputs(D, x, True, np.random.default_rng(2))
    expected, _ = D.forward(x, True, np.random.default_rng(2))
    assert len(ys) == len(D.layers)
    np.testing.assert_array_equal(ys[-1], expected)
    assert [(repr(D.layers[i]), repr(D.layers[j])) for i, j in stages(D)] == [
        ("Dense(6, 5)", "LeakyReLU(0.2)"), ("Dense(5, 4)", "LeakyReLU(0.2)"), ("Dense(4, 1)", "Dense(4, 1)")]


def test_units_are_counted_over_all_images():
    """One that is on for a single image is alive; and the layers behind dropout count, too."""
    net = Sequential([Dense(2, 4, np.random.default_rng(0), dtype="float64"), LeakyReLU(0.2), Dropout(0.5),
                      Dense(4, 3, np.random.default_rng(0), dtype="float64"), ReLU(), Dense(3, 1, np.random.default_rng(0), dtype="float64")])
    net.theta[...] = 0
    net.layers[0].W[0] = [1, -1, 0, 0]
    net.layers[0].b[...] = [0, 0, -1, 1]
    net.layers[3].b[...] = [-1, 1, -1]
    x = np.zeros((250, 2))
    x[:, 0] = -1.0
    assert count_units(net, x) == [("Dense(2, 4)", 4, 2, 2), ("Dense(4, 3)", 3, 2, 1)]
    for i in 0, 249:                                                  # in the first part, or in the last
        x[:, 0] = -1.0
        x[i, 0] = 1.0
        assert count_units(net, x) == [("Dense(2, 4)", 4, 1, 1), ("Dense(4, 3)", 3, 2, 1)]
    lines = table({"generator": count_units(net, x), "discriminator": []}).splitlines()
    assert lines[1].split() == ["generator", "Dense(2,", "4)", "4", "1", "=", "25.0%", "1", "=", "25.0%"]
    assert lines[3] == "discriminator   has no LeakyReLU or ReLU"


def test_a_channel_is_dead_if_it_is_so_at_every_place():
    net = Sequential([Conv2D(1, 3, 1, np.random.default_rng(0), dtype="float64"), ReLU()])
    net.layers[0].W[...], net.layers[0].b[...] = 1, [0, -5, 5]
    x = -np.ones((4, 2, 2, 1))
    x[3, 1, 0] = 2
    assert count_units(net, x) == [("Conv2D(1, 3, 1 x 1)", 3, 1, 1)]


def test_weights_are_shown_the_right_way_round():
    rng, image = np.random.default_rng(0), np.arange(96.0).reshape(8, 12)
    D, G = make_discriminator(96, [70], rng), make_generator(5, [70], 96, rng)
    D.layers[0].W[:, 3], G.layers[2].W[9] = image.ravel(), image.ravel()
    for layer, last in (D.layers[0], False), (G.layers[2], True):
        shown = weight_images(layer, last, (8, 12))
        assert shown.shape == (64, 8, 12)
        np.testing.assert_array_equal(shown[0], image)
        sizes = (shown * shown).sum(axis=(1, 2))
        assert (np.diff(sizes) <= 0).all()
    kernel = np.arange(6.0).reshape(2, 3)
    for layer, last in ((Conv2D(1, 4, (2, 3), rng), False), (ConvTranspose2D(4, 1, (2, 3), rng), True), (Conv2D(4, 1, (2, 3), rng), True)):
        (layer.W[:, :, 2, 0] if last and isinstance(layer, Conv2D) else layer.W[:, :, 0, 2])[...] = kernel
        shown = weight_images(layer, last, (8, 12))
        assert shown.shape == (4, 2, 3)
        np.testing.assert_array_equal(shown[0], kernel)


def test_other_images_are_noticed(tmp_path):
    run = trained(tmp_path, replace(SMALL, epochs=1))
    (tmp_path / "data" / "train-images-idx3-ubyte").write_bytes(idx(IMAGES[:39]))
    with pytest.raises(DataError, match="holds other images than those that .* was trained on"):
        inspect(run, 1)
    assert not any((run / picture).exists() for picture in PICTURES)


def test_every_recipe_has_a_first_layer_and_a_last():
    for recipe in RECIPES.values():
        if recipe.networks in ("dcgan", "auto-write"):
            recipe = replace(recipe, widths_G=(3, 2), widths_D=(2, 3, 4)[:len(recipe.widths_D)])
        for net, last in zip(make_networks(recipe, (8, 12), np.random.default_rng(0)), (True, False)):
            layer = net.layers[list(stages(net))[-1 if last else 0][0]]
            assert weight_images(layer, last, (8, 12)).ndim == 3


@pytest.mark.parametrize("networks", ["dense", "dcgan"])
def test_labels_colours_and_other_losses(networks, tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", images=rng.integers(0, 256, (30, 8, 12, 3), dtype=np.uint8), labels=np.arange(30) % 3)
    data = load(tmp_path / "data.npz")
    recipe = replace(RECIPES_SMALL[networks], conditional=True, loss="hinge", batch_size=10)
    settings = make_settings(recipe, 0, data.images, tmp_path / "data.npz", "numpy", labels=data.labels, names=data.names)
    train(recipe, data.images, new_folder(tmp_path / "run"), settings, make_yardstick(data, False)[0], labels=data.labels)
    result = inspect(tmp_path / "run", 1)
    assert all(never + always <= units for counts in result.values() for _, units, never, always in counts)
    assert all((tmp_path / "run" / picture).is_file() for picture in PICTURES)
