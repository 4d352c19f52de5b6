"""Drawing from a run: of the class that was asked for, from the same noise for each; and walks."""
import json

import numpy as np
import pytest
from test_data import idx

from minigan.drawing import draw, find_class, load_networks, noise, sample, walk, with_labels
from minigan.evaluation import evaluate, make_yardstick
from minigan.recipes import RECIPES, replace
from minigan.runs import RunError, load_model, make_settings, new_folder, read_recipe
from minigan.sources import load
from minigan.training import train

SMALL = replace(RECIPES["default"], latent_dim=4, widths_G=(16,), widths_D=(16,), batch_size=20, epochs=5, steps=300, average=0.0,
                learning_rate=0.01, decay_G=0.0, conditional=True)
rng = np.random.default_rng(0)
LABELS = rng.choice(3, 200, p=[0.5, 0.3, 0.2]).astype(np.uint8)
IMAGES = rng.integers(0, 60, (200, 6, 9), dtype=np.uint8)
for i, label in enumerate(LABELS):
    IMAGES[i, :, 3 * label:3 * label + 3] += 180                      # a bar on the left, in the middle, on the right


def trained(folder, recipe):
    data = folder / "data"
    data.mkdir()
    (data / "train-images-idx3-ubyte").write_bytes(idx(IMAGES))
    (data / "train-labels-idx1-ubyte").write_bytes(idx(LABELS))
    found = load(data)
    run = new_folder(folder / "run")
    settings = make_settings(recipe, 0, found.images, data, "numpy", labels=found.labels, names=found.names)
    assert train(recipe, found.images, run, settings, make_yardstick(found, False)[0],
                 labels=found.labels if recipe.conditional else None) == 0
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("conditional"), SMALL)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("plain"), replace(SMALL, conditional=False, epochs=1))


def bars(images):
    """Which third of each image is brightest."""
    return images.reshape(-1, 6, 3, 3).mean(axis=(1, 3)).argmax(axis=1)


@pytest.mark.parametrize("name", ["0", "1", "2"])
def test_what_is_asked_for_is_drawn(run, name):
    images = sample(run, 50, 1, name)
    assert images.shape == (50, 6, 9) and images.dtype == "float32" and (bars(images) == int(name)).mean() > 0.9


def test_unasked_it_draws_each_class_from_the_same_noise(run):
    images = sample(run, 10, 0)
    assert bars(images).tolist() == [0] * 4 + [1] * 3 + [2] * 3
    for i in range(3):
        np.testing.assert_allclose(sample(run, 10, 0, "1")[i], images[4 + i], atol=1e-6)


def test_what_is_measured_has_the_classes_of_the_images(run):
    settings, recipe, G, _ = load_networks(run)
    assert settings["names"] == ["0", "1", "2"]
    np.testing.assert_allclose(settings["shares"], np.bincount(LABELS) / 200)
    z, labels = noise(settings, recipe, 4000, 0)
    assert z.shape == (4000, 4) and len(np.unique(z[:, 0])) == 4000
    np.testing.assert_allclose(np.bincount(labels) / 4000, settings["shares"], atol=0.03)
    drawn = draw(G, with_labels(z, labels, settings))
    assert (bars(drawn) == labels).mean() > 0.9 and drawn.shape == (4000, 54)
    result = evaluate(run, count=100)
    assert "agreement" not in result["run"] and result["run"]["fd"] < result["ceiling"]["fd"]     # no classifier for bars


def test_the_noise_is_the_same_however_it_is_drawn(plain):
    """In parts of a thousand, as earlier minigans drew it, or at once: the same images."""
    settings, recipe, G, _ = load_networks(plain)
    z, labels = noise(settings, recipe, 2500, 7)
    stream = np.random.default_rng(7)
    np.testing.assert_array_equal(z, np.concatenate([stream.standard_normal((n, 4), dtype="float32") for n in (1000, 1000, 500)]))
    assert labels is None
    np.testing.assert_allclose(sample(plain, 2500, 7).reshape(2500, -1), draw(G, z), rtol=1e-6)


def test_a_walk_passes_the_drawings_that_were_chosen(run, plain):
    pictures = walk(plain, [3, 5], 4)
    assert pictures.shape == (8, 1, 6, 9)
    np.testing.assert_allclose(pictures[0, 0], sample(plain, 1, 3)[0], atol=1e-5)
    np.testing.assert_allclose(pictures[4, 0], sample(plain, 1, 5)[0], atol=1e-5)
    pictures = walk(run, [3, 5], 4)                                   # all classes side by side
    assert pictures.shape == (8, 3, 6, 9)
    for column in range(3):
        np.testing.assert_allclose(pictures[4, column], sample(run, 1, 5, str(column))[0], atol=1e-5)
    np.testing.assert_allclose(walk(run, [3, 5], 4, "2")[:, 0], pictures[:, 2], atol=1e-6)


def test_what_cannot_be_asked_for_gets_a_sentence(run, plain):
    with pytest.raises(RunError, match="was trained without --conditional: it draws what it likes, and cannot be asked for '7'"):
        sample(plain, 1, 0, "7")
    with pytest.raises(RunError, match="has no class '7': it has 0, 1, 2"):
        walk(run, [1, 2], 3, "7")
    with pytest.raises(RunError, match="two seeds or more"):
        walk(run, [1], 3)
    with pytest.raises(RunError, match="more than 4 GB"):
        sample(run, 1 << 29, 0)
    assert find_class(run, load_model(run)[0], "2") == 2


@pytest.mark.parametrize("change", [
    {"names": None}, {"names": ["a"]}, {"names": []}, {"names": [1, 2, 3]}, {"shares": [0.5, 0.5]}, {"shares": [2.0, -1.0, 0.0]},
    {"shares": [0.1, 0.1, 0.1]}, {"shares": "abc"}])
def test_settings_without_proper_classes_are_refused(run, change):
    settings = json.loads((run / "settings.json").read_text())
    read_recipe(settings)
    with pytest.raises(ValueError, match="its classes have no names, or no shares"):
        read_recipe({**settings, **change})
