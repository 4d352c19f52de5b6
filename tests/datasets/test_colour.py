"""Runs on images in colour, from a folder of pictures to the figures; settings of other runs."""

import json

import numpy as np
import pytest
from helpers import SMALL
from PIL import Image

from minigan.datasets.idx import SHIPPED
from minigan.datasets.load import Dataset, load_dataset
from minigan.evaluation.report import evaluate, make_evaluator
from minigan.figures.plots import Look
from minigan.figures.sheets import Sheet, lay_out
from minigan.gan.models import make_networks
from minigan.gan.recipes import RECIPES, replace
from minigan.training.inputs import TrainingOptions
from minigan.training.loop import train
from minigan.training.run_folder import (
    RunError,
    image_shape,
    load_model,
    make_settings,
    read_recipe,
    save_model,
)
from minigan.training.sampling import sample_images

GREY = Dataset(np.zeros((30, 8, 12), "uint8"), None, [], None, None, [])


@pytest.fixture(scope="module", params=["dense", "dcgan"])
def coloured(request, tmp_path_factory):
    """A run on pictures of a single colour each, red or green."""
    folder = tmp_path_factory.mktemp("coloured")
    for i in range(60):
        path = folder / "data" / ("red", "green")[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        colour = [(200 + i % 50, 20, 20), (20, 200 + i % 50, 20)][i % 2]
        Image.fromarray(np.full((8, 12, 3), colour, np.uint8)).save(path)
    recipe = replace(SMALL, epochs=3)
    if request.param == "dcgan":
        recipe = replace(
            RECIPES["dcgan"],
            widths_G=(4, 3),
            widths_D=(3, 4),
            batch_size=20,
            epochs=3,
            steps_per_epoch=20,
            learning_rate=0.01,
        )
    options = TrainingOptions(recipe, folder / "data", folder / "run")
    assert train(options, make_evaluator) == 0
    return folder / "run"


def test_a_run_in_colour_generates_images_in_colour(coloured):
    settings = json.loads((coloured / "settings.json").read_text())
    assert settings["channels"] == 3 and image_shape(settings) == (8, 12, 3)
    images = sample_images(coloured, 5, seed=0)
    assert images.shape == (5, 8, 12, 3) and images.dtype == np.float32
    with Image.open(coloured / "samples" / "epoch-0003.png") as picture:
        pixels = np.asarray(picture)
    assert pixels.shape == (2 * (10 * 10 + 2), 2 * (10 * 14 + 2), 3)
    assert abs(pixels[..., 0].astype(int) - pixels[..., 2]).max() > 20
    with Image.open(coloured / "progress.gif") as animation:
        animation.seek(3)
        frame = np.asarray(animation.convert("RGB")).astype(int)
    [(_, left, top)] = lay_out(Sheet(pixels, "epoch 3 of 3", zoom=1)).pictures
    frame = frame[top : top + pixels.shape[0], left : left + pixels.shape[1]]
    assert abs(frame - pixels).mean() < 8  # a GIF has 256 colours


def test_a_run_in_colour_is_measured_in_colour(coloured):
    result = evaluate(coloured, count=100)
    assert result["real"]["fd"] < result["run"]["fd"]
    for name in "gradient.png", "neighbours.png", "real-and-fake.png", "walk.gif", "walk.png":
        with Image.open(coloured / name) as picture:
            pixels = np.asarray(picture.convert("RGB")).astype(int)
        assert abs(pixels[..., 0] - pixels[..., 2]).max() > 20, name


def test_images_in_colour_are_not_inverted(coloured):
    with pytest.raises(RunError, match="--invert makes grey images black on white, but these are"):
        evaluate(coloured, count=100, look=Look(invert=True))


def test_settings_of_earlier_runs_are_grey(tmp_path):
    settings = make_settings(SMALL, GREY, "nowhere", seed=0, backend="numpy")
    G, D = make_networks(SMALL, (8, 12), rng=np.random.default_rng(0))
    nets = {"generator": G, "discriminator": D, "average": G}
    for name in "channels", "classes", "size":
        del settings[name]
    save_model(
        tmp_path,
        settings,
        **{name: net.theta for name, net in nets.items()},
        **{f"{name}_state": net.buffers for name, net in nets.items()},
    )
    assert load_model(tmp_path)[1] == SMALL
    assert sample_images(tmp_path, 2, seed=0).shape == (2, 8, 12)


@pytest.mark.parametrize(
    "changed",
    [
        {"channels": 2},
        {"channels": 4},
        {"channels": "3"},
        {"channels": True},
        {"classes": 3},
        {"size": "4"},
        {"channels": 3, "height": 129, "width": 128},
        {"height": 222, "width": 222},
    ],
    ids=str,
)
def test_impossible_settings_are_refused(changed):
    settings = make_settings(SMALL, GREY, "nowhere", seed=0, backend="numpy")
    assert read_recipe(settings) == SMALL
    with pytest.raises(ValueError):
        read_recipe({**settings, **changed})


def test_a_run_on_two_digits_is_compared_with_these_digits(tmp_path):
    assert len(make_evaluator(load_dataset(SHIPPED, classes="3,8"), True).images) == 1984
    recipe = replace(SMALL, epochs=1, steps_per_epoch=5)
    options = TrainingOptions(recipe, SHIPPED, tmp_path / "run", classes="3,8")
    assert train(options, make_evaluator) == 0
    result = evaluate(tmp_path / "run", count=100)
    assert "1984" in result["against"] and "3,8" in result["against"]
    assert sum(result["real"]["classes"][i] for i in (3, 8)) > 0.95
    assert result["real"]["class_kl"] < 0.1
    # noise is classified as digits that the test images do not contain
    assert np.isfinite(result["noise"]["class_kl"])
