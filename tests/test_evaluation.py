"""Evaluation of a whole run: the figures, the pictures, the walk, what D tells G."""
import gzip
import json
import math

import numpy as np
import pytest
from PIL import Image
from test_data import idx
from test_training import SMALL

from minigan import evaluation
from minigan.data import SHIPPED, DataError, load_images
from minigan.drawing import draw_many, load_networks, round_trip, slerp, square
from minigan.evaluation import evaluate, make_yardstick, table, wishes
from minigan.gan import make_discriminator, make_generator
from minigan.gradcheck import central_difference
from minigan.losses import softplus
from minigan.plots import grid, red_and_blue
from minigan.recipes import replace
from minigan.runs import make_settings, new_folder
from minigan.sources import load
from minigan.training import train

PICTURES = ["gradient.png", "neighbours.png", "real-and-fake.png", "walk.gif", "walk.png"]
IMAGES = np.random.default_rng(0).integers(0, 256, (150, 12, 10), dtype=np.uint8)


def trained(folder, images, data, digits, recipe=replace(SMALL, epochs=1)):
    yardstick, _ = make_yardstick(load(data), digits)
    train(recipe, images, new_folder(folder), make_settings(recipe, 0, images, data, "numpy", digits), yardstick)
    return folder


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A run on images that are no digits, without test images."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(IMAGES)))
    return trained(folder / "run", IMAGES, folder, False)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    return trained(folder / "run", load_images()[:200], SHIPPED, True)


def test_a_run_on_digits_is_measured_beside_real_images_and_noise(digits):
    result = evaluate(digits, count=200)
    assert json.loads((digits / "metrics.json").read_text()) == result
    for part in "run", "floor", "ceiling":
        assert set(result[part]) == {*evaluation.FIGURES, "classes"} - {"agreement"}
        assert sum(result[part]["classes"]) == pytest.approx(1)
    assert result["floor"]["fd"] < result["run"]["fd"] and result["floor"]["score"] > result["run"]["score"]
    assert result["count"] == 200 and result["seed"] == 0 and result["against"] == "10000 MNIST's test images"
    assert result["features"]["classifier_accuracy"] > 0.988 and len(result["features"]["classifier_sha256"]) == 64
    for name in [*PICTURES, "classes.png"]:
        with Image.open(digits / name) as picture:
            picture.load()
    assert evaluate(digits, count=200) == result                      # the same figures every time
    assert evaluate(digits, count=200, seed=1)["run"] != result["run"]


def test_the_table_says_where_its_features_come_from(digits):
    result = evaluate(digits, count=150)
    lines = table(result).splitlines()
    assert lines[0].split() == ["this", "run", "real", "images", "noise"]
    assert lines[1].split()[-3:] == [f"{result[part]['fd']:.3f}" for part in ("run", "floor", "ceiling")]
    assert "reads 99.05% of the test images right" in table(result) and "python -m minigan.classifier" in table(result)
    assert result["features"]["classifier_sha256"][:16] in table(result)


def test_a_run_on_other_images_is_measured_by_other_features_and_says_so(own):
    result = evaluate(own, count=150)
    assert set(result["run"]) == {"fd", "precision", "coverage", "recall"}
    assert result["features"] == "images shrunk to 8 x 8, for want of a classifier"
    assert result["against"] == "150 training images, for want of test images"
    assert "shrunk to 8 x 8" in table(result) and "classifier score" not in table(result)
    for name in PICTURES:
        assert (own / name).is_file()
    assert not (own / "classes.png").exists()


def test_test_images_are_used_where_there_are_some(tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(IMAGES))
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(IMAGES[:30]))
    yardstick, against = make_yardstick(load(tmp_path), False)
    assert against == "test images" and len(yardstick.images) == 30


def test_data_that_has_changed_since_is_noticed(own, tmp_path):
    (own.parent / "train-images-idx3-ubyte.gz").rename(tmp_path / "kept")
    try:
        with pytest.raises(DataError, match="holds other images"):   # the pictures in the run's own folder, which lies in it
            evaluate(own, count=100)
        (own.parent / "train-images-idx3-ubyte").write_bytes(idx(IMAGES[:, :9]))
        with pytest.raises(DataError, match="other images than those of 12 x 10"):
            evaluate(own, count=100)
    finally:
        (own.parent / "train-images-idx3-ubyte").unlink(missing_ok=True)
        (tmp_path / "kept").rename(own.parent / "train-images-idx3-ubyte.gz")


def test_agreement_is_how_often_the_digit_is_read_that_was_asked_for(tmp_path, monkeypatch):
    """A generator that answers each label with a real image of it, but takes every fourth for another."""
    found = load(SHIPPED)
    recipe = replace(SMALL, conditional=True)
    run = new_folder(tmp_path / "run")
    settings = make_settings(recipe, 0, found.images[:200], SHIPPED, "numpy", True, labels=found.labels, names=found.names)
    assert train(recipe, found.images[:200], run, settings, make_yardstick(found, True)[0], labels=found.labels[:200]) == 0
    of = [np.flatnonzero(found.labels == digit)[:50] for digit in range(10)]

    def answer(G, z, low):
        digits = z[:, recipe.latent_dim:].argmax(axis=1)
        rows = [of[(digit + (i % 4 == 0)) % 10][i % 50] for i, digit in enumerate(digits)]
        return found.images[rows].reshape(len(z), -1).astype("float32") / 255
    monkeypatch.setattr(evaluation, "draw", answer)
    result = evaluate(run, count=400)
    assert result["run"]["agreement"] == pytest.approx(0.75, abs=0.02)
    assert result["floor"]["agreement"] > 0.97 and result["ceiling"]["agreement"] < 0.3
    assert "digit is what was asked for" in table(result)


def test_networks_are_those_that_were_saved(own):
    settings, recipe, G, D = load_networks(own)
    with np.load(own / "model.npz") as file:
        np.testing.assert_array_equal(G.theta, file["average"])
        np.testing.assert_array_equal(D.theta, file["discriminator"])
    assert settings["height"] == 12
    assert draw_many(G, recipe, 5, 1).shape == (5, 120)


def test_slerp_walks_on_the_arc():
    a, b = np.array([3.0, 0.0, 0.0]), np.array([0.0, 3.0, 0.0])
    np.testing.assert_allclose(slerp(a, b, 0), a)
    np.testing.assert_allclose(slerp(a, b, 1), b, atol=1e-15)
    for t in 0.1, 0.5, 0.8:
        point = slerp(a, b, t)
        assert np.linalg.norm(point) == pytest.approx(3)               # never through the middle
        assert math.atan2(point[1], point[0]) == pytest.approx(t * math.pi / 2)
    np.testing.assert_allclose(slerp(a, a, 0.3), a)
    assert np.isfinite(slerp(a, -a, 0.5)).all()


def test_the_square_has_its_corners_and_the_trip_comes_back():
    corners = np.random.default_rng(0).standard_normal((4, 6)).astype("float32")
    points = square(corners, 5)
    assert points.shape == (25, 6) and points.dtype == "float32"
    np.testing.assert_allclose(points[[0, 4, 20, 24]], corners, rtol=1e-5)
    trip = round_trip(corners, 7)
    assert trip.shape == (28, 6)
    np.testing.assert_allclose(trip[::7], corners, rtol=1e-5)
    np.testing.assert_allclose(trip[24], slerp(corners[3], corners[0], 3 / 7), rtol=1e-5)


def test_wishes_are_the_gradient_on_the_pixels():
    rng = np.random.default_rng(0)
    G = make_generator(3, [5], 8, rng, dtype="float64")
    D = make_discriminator(8, [6], rng, dropout=0.5, dtype="float64")
    z = rng.standard_normal((2, 3))
    pixels = G.forward(z)[0].copy()
    expected = -central_difference(lambda: float(softplus(-D.forward(pixels)[0]).mean()), pixels)
    np.testing.assert_allclose(wishes(G, D, z), expected, rtol=1e-6, atol=1e-10)
    assert not D.dtheta.any()


def test_red_is_more_and_blue_is_less():
    colour = red_and_blue(np.array([[[2.0, -2.0, 0.0, 1.0]]]))
    assert colour.tolist() == [[[[1, 0, 0], [0, 0, 1], [1, 1, 1], [1, 0.5, 0.5]]]]


def test_neighbours_stand_below_what_they_are_nearest_to(own, monkeypatch):
    """Had the generator learned images by heart, the picture would show each above itself."""
    by_heart = IMAGES[20:170].reshape(-1, 120).astype("float32") / 255
    monkeypatch.setattr(evaluation, "draw", lambda G, z, low: by_heart[:len(z)])
    evaluate(own, count=100)
    with Image.open(own / "neighbours.png") as picture:
        rows = np.asarray(picture)[::3, ::3]
    expected = grid(np.concatenate([by_heart[:14].reshape(-1, 12, 10)] * 3), columns=14)
    np.testing.assert_array_equal(rows, expected)
