"""The data of a run: found again where it was, found elsewhere, changed, or read with options."""

import json
import shutil

import numpy as np
import pytest
from helpers import SMALL_IMAGES, demo

from minigan.datasets.load import load_dataset
from minigan.datasets.pixels import DataError
from minigan.training.run_data import load_run_data, recorded_path
from minigan.training.run_folder import load_model

TRAIN = ("--recipe", "dense", "--epochs", "1", "--batch-size", "30")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with data.npy, floats from -1 to 1, and a run on it in `run`."""
    folder = tmp_path_factory.mktemp("trained")
    images = np.repeat(SMALL_IMAGES, 4, axis=0).astype(float) / 127.5 - 1
    np.save(folder / "data.npy", images)
    options = ("--data", "data.npy", "--range", "-1,1", "--transpose", "--out", "run")
    result = demo(*TRAIN, *options, cwd=folder)
    assert result.returncode == 0, result.stderr
    assert "note: the values range from -1 to 1: -1 becomes black and 1 white" in result.stdout
    return folder


@pytest.fixture
def moved(trained, tmp_path):
    """A copy of it in which the data has another name and place."""
    shutil.copytree(trained / "run", tmp_path / "run")
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(trained / "data.npy", tmp_path / "elsewhere" / "images.npy")
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    settings["data"] = str(tmp_path / "gone.npy")
    (tmp_path / "run" / "settings.json").write_text(json.dumps(settings))
    return tmp_path


def test_the_settings_say_how_the_data_is_read(trained):
    settings = load_model(trained / "run")[0]
    assert settings["range"] == [-1.0, 1.0] and settings["transpose"] is True
    assert (settings["height"], settings["width"]) == (5, 6)
    assert load_run_data(trained / "run", settings).images.shape == (360, 5, 6)


@pytest.mark.parametrize(
    "command",
    [("evaluate", "run", "--count", "100"), ("inspect", "run", "--steps", "2")],
    ids=["evaluate", "inspect"],
)
def test_data_that_has_moved_is_named_once(moved, command):
    result = demo(*command, cwd=moved)
    assert (
        result.returncode == 2 and "gone.npy, on which run was trained, does not" in result.stderr
    )
    assert "--data PATH" in result.stderr
    assert demo(*command, "--data", "elsewhere/images.npy", cwd=moved).returncode == 0
    place = moved / "elsewhere" / "images.npy"
    assert recorded_path(moved / "run", {"digits": False, "data": "x"}) == place
    assert demo(*command, cwd=moved).returncode == 0
    result = demo("--resume", "run", "--epochs", "2", cwd=moved)
    assert result.returncode == 0, result.stderr
    assert load_model(moved / "run")[0]["data"] == str(place)


def test_a_resumed_run_remembers_the_new_place(moved):
    assert demo("--resume", "run", "--epochs", "2", cwd=moved).returncode == 2
    result = demo("--resume", "run", "--epochs", "2", "--data", "elsewhere/images.npy", cwd=moved)
    assert result.returncode == 0, result.stderr
    assert demo("evaluate", "run", "--count", "100", cwd=moved).returncode == 0
    assert demo("--resume", "run", "--epochs", "3", cwd=moved).returncode == 0


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda x: np.where(x == x.max(), -x, x), "holds other images or labels than those"),
        (lambda x: x[:-1], "359 of 5 x 6 instead of 360 of 5 x 6"),
        (lambda x: x[:, :, 1:], "360 of 4 x 6 instead of"),
    ],
)
def test_other_data_is_refused_and_not_remembered(moved, change, words):
    images = change(np.load(moved / "elsewhere" / "images.npy"))
    np.save(moved / "other.npy", images)
    before = (moved / "run" / "settings.json").read_bytes()
    for command in (
        ("evaluate", "run", "--count", "100"),
        ("inspect", "run"),
        ("--resume", "run", "--epochs", "2"),
    ):
        result = demo(*command, "--data", "other.npy", cwd=moved)
        assert result.returncode == 2 and words in result.stderr, (command, result.stderr)
    assert (moved / "run" / "settings.json").read_bytes() == before


def test_a_place_that_cannot_be_remembered(moved, monkeypatch, capsys):
    def refuse(*args):
        raise PermissionError

    monkeypatch.setattr("minigan.training.run_data.save_settings", refuse)
    settings = load_model(moved / "run")[0]
    load_run_data(moved / "run", settings, moved / "elsewhere" / "images.npy")
    assert "the place of its data is not remembered" in capsys.readouterr().out


def test_options_that_contradict_the_run(moved):
    for options, words in (
        (("--range", "0,1"), "--range 0,1 contradicts run, which was started with -1,1"),
        (("--size", "4"), "--size 4 contradicts"),
    ):
        result = demo("--resume", "run", "--epochs", "2", *options, cwd=moved)
        assert result.returncode == 2 and words in result.stderr
    options = ("--range", "-1,1", "--transpose", "--data", "elsewhere/images.npy")
    assert demo("--resume", "run", "--epochs", "2", *options, cwd=moved).returncode == 0


def test_the_classes_of_a_conditional_run_are_checked(tmp_path):
    labels = np.arange(360) % 2
    images = np.repeat(SMALL_IMAGES, 4, axis=0)
    np.savez(tmp_path / "a.npz", images=images, labels=labels)
    options = ("--conditional", "--data", "a.npz", "--out", "run")
    assert demo(*TRAIN, *options, cwd=tmp_path).returncode == 0
    settings = load_model(tmp_path / "run")[0]
    np.savez(tmp_path / "b.npz", images=images, labels=labels + 1)
    with pytest.raises(DataError, match=r"other class names than when .* was started \(0, 1\)"):
        load_run_data(tmp_path / "run", settings, tmp_path / "b.npz")
    np.savez(tmp_path / "b.npz", images=images, labels=1 - labels)
    with pytest.raises(DataError, match="other images or labels"):
        load_run_data(tmp_path / "run", settings, tmp_path / "b.npz")


def test_runs_on_the_same_images_in_two_places_can_be_compared(moved):
    options = ("--range", "-1,1", "--transpose", "--out", "second", "--seed", "1")
    result = demo(*TRAIN, *options, "--data", "elsewhere/images.npy", cwd=moved)
    assert result.returncode == 0, result.stderr
    result = demo("compare", "run", "second", "--out", "a.png", cwd=moved)
    assert result.returncode == 0 and "different images" not in result.stdout
    np.save(moved / "other.npy", 1 - np.load(moved / "elsewhere" / "images.npy"))
    options = ("--range", "0,2", "--out", "third", "--data", "other.npy")
    assert demo(*TRAIN, *options, cwd=moved).returncode == 0
    assert "different images" in demo("compare", "run", "third", "--out", "b.png", cwd=moved).stdout


def test_a_run_whose_classes_have_the_order_of_earlier_versions(tmp_path, monkeypatch):
    """They sorted 10 before 2. The data is read with the order that the run began with."""
    labels = np.resize([2, 10], len(SMALL_IMAGES))
    np.savez(tmp_path / "data.npz", images=SMALL_IMAGES, labels=labels)
    with monkeypatch.context() as earlier:
        earlier.setattr("minigan.datasets.load.natural_key", str)
        options = ("--data", "data.npz", "--conditional", "--out", "run")
        assert demo(*TRAIN, *options, cwd=tmp_path).returncode == 0
    settings = load_model(tmp_path / "run")[0]
    data = load_run_data(tmp_path / "run", settings)
    assert data.names == settings["names"] == ["10", "2"]
    assert load_dataset(tmp_path / "data.npz").names == ["2", "10"]
    result = demo("--resume", "run", "--epochs", "2", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert load_model(tmp_path / "run")[0]["names"] == ["10", "2"]
