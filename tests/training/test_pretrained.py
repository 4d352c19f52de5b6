"""The pretrained generator: it has the settings of the recipe, and its samples are digits."""

import importlib.util
import json
import shutil
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest
from helpers import ROOT, SMALL, demo, train_small

from minigan.datasets.idx import TEST_IMAGES, load_images
from minigan.evaluation.classifier import load_classifier
from minigan.evaluation.legibility import load_conv_classifier, share_read
from minigan.evaluation.metrics import Evaluator, class_shares
from minigan.gan.recipes import RECIPES, replace
from minigan.training import pretrained
from minigan.training.pretrained import (
    PRETRAINED_COMMAND,
    PRETRAINED_PATH,
    is_default_recipe,
    load_pretrained,
    load_training_command,
    save_pretrained,
)
from minigan.training.run_folder import RunError, load_model, read_npz
from minigan.training.sampling import sample_images


def test_its_settings_are_those_of_the_recipe_default():
    settings, recipe, _ = load_pretrained()
    assert is_default_recipe(recipe), (
        "the recipe default has changed: train it (python demo.py --out RUN_DIR), and replace the"
        f" pretrained generator ({PRETRAINED_COMMAND})"
    )
    assert settings["digits"] and (settings["height"], settings["width"]) == (28, 28)
    assert not settings["classes"] and settings["n_images"] == 60_000
    for name, value in asdict(RECIPES["default"]).items():
        if name not in ("name", "source"):
            other = not value if isinstance(value, bool) else value * 2 or 1
            assert not is_default_recipe(replace(recipe, **{name: other})), name
    assert is_default_recipe(replace(recipe, source="another description"))


def test_its_samples_are_digits_of_all_classes():
    images = sample_images(None, 1000, seed=3)
    assert images.shape == (1000, 28, 28) and images.dtype == "float32"
    p = load_classifier().predict(images)[1]
    assert p.max(axis=1).mean() > 0.9 and class_shares(p).min() > 0.04
    assert share_read(load_conv_classifier(), images) > 0.6
    evaluator = Evaluator(load_images(name=TEST_IMAGES), load_classifier())
    assert evaluator.quick(images)["fd"] < 10  # noise: 203
    assert evaluator.quick(images)["spread"] > 0.8


def test_it_is_small_and_says_how_it_was_trained():
    assert PRETRAINED_PATH.stat().st_size < 2e6
    settings, recipe, vectors = load_pretrained()
    assert set(vectors) == {"average", "average_state"}
    assert all(v.dtype == recipe.dtype == "float32" for v in vectors.values())
    assert load_training_command() == f"python demo.py --seed {settings['seed']}"
    assert f"    {load_training_command()} --out RUN_DIR\n" in pretrained.__doc__
    assert f"    {PRETRAINED_COMMAND}\n" in pretrained.__doc__
    assert settings["data"] == "MNIST", "no path of the machine that trained it"
    python, flag, name, run, path = PRETRAINED_COMMAND.split()
    assert (python, flag, run, path) == ("python", "-m", "RUN_DIR", PRETRAINED_PATH.name)
    assert importlib.util.find_spec(name) is not None and name == pretrained.__name__


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A short run."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert train_small(folder, SMALL) == 0
    return folder


@pytest.fixture
def run(trained, tmp_path, monkeypatch):
    """A copy of it that claims to be a run on digits, in a minigan whose default is its recipe."""
    monkeypatch.setitem(RECIPES, "default", SMALL)
    shutil.copytree(trained, tmp_path / "run")
    change_settings(tmp_path / "run", digits=True)
    return tmp_path / "run"


def change_settings(run, **changes):
    """Change settings in the model.npz of a run."""
    content = read_npz(run / "model.npz")
    settings = json.loads(str(content["settings"])) | changes
    np.savez(run / "model.npz", **{**content, "settings": json.dumps(settings)})


def test_the_file_holds_the_average_of_a_run_in_half_precision(run, tmp_path, monkeypatch):
    path = tmp_path / "generator.npz"
    save_pretrained(run, path)
    monkeypatch.setattr(pretrained, "PRETRAINED_PATH", path)
    settings, recipe, vectors = load_pretrained()
    assert recipe == SMALL and settings["seed"] == 0 and settings["data"] == "MNIST"
    average = load_model(run)[2]["average"]
    np.testing.assert_array_equal(vectors["average"], average.astype("float16"))
    assert "generator" not in read_npz(path) and "discriminator" not in read_npz(path)
    shipped, of_the_run = (sample_images(folder, 50, seed=2) for folder in (None, run))
    np.testing.assert_allclose(shipped, of_the_run, atol=2e-3)
    assert not np.array_equal(shipped, of_the_run)


def test_the_stored_command_trains_the_same_run(run, tmp_path):
    change_settings(run, seed=7, backend="cupy")
    save_pretrained(run, tmp_path / "generator.npz")
    command = str(read_npz(tmp_path / "generator.npz")["command"])
    assert command == "python demo.py --seed 7 --backend cupy"


@pytest.mark.parametrize(
    "changes, why",
    [
        ({"recipe": asdict(replace(SMALL, beta1=0.5))}, "other settings than the recipe default"),
        ({"digits": False}, "not trained on all digits"),
        ({"classes": "3,8"}, "not trained on all digits"),
    ],
)
def test_a_run_with_other_settings_is_refused(changes, why, run, tmp_path):
    change_settings(run, **changes)
    with pytest.raises(RunError, match=why):
        save_pretrained(run, tmp_path / "generator.npz")
    assert not (tmp_path / "generator.npz").exists()


def test_a_run_that_is_not_finished_is_refused(run, tmp_path):
    rows = (run / "history.csv").read_text().splitlines(keepends=True)
    (run / "history.csv").write_text("".join(rows[:-1]))
    with pytest.raises(RunError, match="has 1 of 2 epochs"):
        save_pretrained(run, tmp_path / "generator.npz")
    (run / "history.csv").unlink()
    with pytest.raises(RunError, match="history.csv"):
        save_pretrained(run, tmp_path / "generator.npz")
    assert not (tmp_path / "generator.npz").exists()


def test_a_damaged_file_is_named(tmp_path, monkeypatch):
    path = tmp_path / "generator.npz"
    monkeypatch.setattr(pretrained, "PRETRAINED_PATH", path)
    with pytest.raises(RunError, match="cannot read .*generator.npz"):
        load_pretrained()
    path.write_bytes(PRETRAINED_PATH.read_bytes()[:100_000])
    with pytest.raises(RunError, match="generator.npz is damaged"):
        load_pretrained()
    content = read_npz(PRETRAINED_PATH)
    content["average"] = content["average"].astype("float32")
    np.savez(path, **content)
    with pytest.raises(RunError, match="its settings require float16"):
        load_pretrained()


def run_module(*args):
    """python -m minigan.training.pretrained with these arguments."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", pretrained.__name__, *map(str, args)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


def test_the_command_runs_and_refuses_other_runs(tmp_path):
    result = run_module()
    assert result.returncode == 1 and result.stderr.strip().endswith(PRETRAINED_COMMAND)
    result = run_module("nowhere", tmp_path / "a.npz")
    assert result.returncode == 1 and "nowhere has no model.npz" in result.stderr
    assert "Traceback" not in result.stderr and not list(tmp_path.iterdir())


def test_sample_without_a_run_says_whose_samples_they_are(tmp_path):
    result = demo("sample", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    first, second = result.stdout.splitlines()
    assert load_training_command() in first and "ships with minigan" in first
    assert second == "100 new images in samples.png" and (tmp_path / "samples.png").is_file()
    result = demo("sample", cwd=tmp_path)
    assert result.returncode == 0 and result.stdout.endswith("100 new images in samples-2.png\n")
    options = ["--count", 5, "--seed", 7, "--out", "a.npy"]
    assert demo("sample", *options, cwd=tmp_path).returncode == 0
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), sample_images(None, 5, seed=7))
    result = demo("sample", "--digit", 7, "--out", "b.png", cwd=tmp_path)
    assert result.returncode == 2 and "'7' on request: name the RUN_DIR" in result.stderr
