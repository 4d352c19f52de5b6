"""The benchmark on StackedMNIST: its rows resume, and its tables say what was measured."""

import importlib.util
import json
import sys

import numpy as np
import pytest
from helpers import ROOT, SMALL

from minigan.datasets.idx import TEST_IMAGES, load_images
from minigan.datasets.stacked import StackedImages
from minigan.evaluation import modes
from minigan.evaluation.classifier import load_classifier
from minigan.gan.recipes import replace, validate_recipe


@pytest.fixture
def benchmark(tmp_path, monkeypatch):
    """The module, with small rows and its files in tmp_path."""
    path = ROOT / "benchmarks" / "stacked_mnist.py"
    spec = importlib.util.spec_from_file_location("stacked_mnist", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setattr(sys, "path", list(sys.path))
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(module, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(module, "MEASUREMENTS", 2)
    monkeypatch.setattr(modes, "MODE_SAMPLES", 200)
    monkeypatch.setattr(module, "MODE_SAMPLES", 200)
    return module


def test_its_recipes_are_valid(benchmark):
    for rows in benchmark.ROWS.values():
        for recipe in rows.values():
            if recipe.networks == "patch" and len(recipe.widths_G) == 3:
                validate_recipe(benchmark.with_steps(recipe, 1000))


def test_the_networks_of_pacgan(benchmark):
    """G 4, 7, 14, 28 and D 28, 14, 7, 4, with the parameters counted by hand."""
    recipe = benchmark.ROWS["pacgan"]["D of a quarter of G's channels"]
    G, D = benchmark.small_networks(recipe, np.random.default_rng(0))
    images = G.forward(np.zeros((2, 256), "float32"))[0]
    assert images.shape == (2, 28, 28, 3) and D.forward(images)[0].shape == (2, 1)
    kernels = sum(9 * a * b + b for a, b in ((64, 32), (32, 16), (16, 8), (8, 3)))
    norms = 2 * (64 + 32 + 16 + 8)
    assert G.theta.size == 256 * 1024 + 1024 + kernels + norms
    kernels = sum(9 * a * b + b for a, b in ((3, 2), (2, 4), (4, 8)))
    assert D.theta.size == kernels + 4 * 4 * 8 + 1


def test_a_row_that_is_interrupted_ends_as_it_would_have(benchmark, tmp_path, monkeypatch):
    small = replace(SMALL, loss="relativistic", penalty="r1+r2", final_penalty_weight=0.1)
    rows = {"own": {"a": small}, "pacgan": {}}
    monkeypatch.setattr(benchmark, "ROWS", rows)
    images = StackedImages(load_images(name=TEST_IMAGES)[:90])
    options = dict(images=images, classifier=load_classifier(), cores=1)

    def train(folder, results):
        benchmark.train_row("own", "a", 0, 9, results, folder=tmp_path / folder, **options)
        return results["rows"]["own"]["a|0"]

    empty = {"ms": {"own": {"a": 7.0}}, "real": {}, "rows": {"own": {}, "pacgan": {}}}
    whole = train("whole", json.loads(json.dumps(empty)))
    assert [one["step"] for one in whole["history"]] == [4, 8, 9] and whole["done"]

    step, taken = benchmark.TrainingState.train_step, []

    def stop(gan):
        if len(taken) == 6:
            raise KeyboardInterrupt
        taken.append(gan.t)
        return step(gan)

    monkeypatch.setattr(benchmark.TrainingState, "train_step", stop)
    with pytest.raises(KeyboardInterrupt):
        train("parts", json.loads(json.dumps(empty)))
    taken.clear()
    monkeypatch.setattr(
        benchmark.TrainingState, "train_step", lambda gan: taken.append(gan.t) or step(gan)
    )
    results = benchmark.read_results()
    assert [one["step"] for one in results["rows"]["own"]["a|0"]["history"]] == [4]
    row = train("parts", results)
    assert taken == [4, 5, 6, 7, 8]  # from the last checkpoint on
    for one, other in zip(whole["history"], row["history"], strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}

    benchmark.PAGE.write_text(
        "before\n<!-- table own -->\nold\n<!-- end of the table -->\n"
        "<!-- table pacgan -->\n<!-- end of the table -->\nafter\n"
    )
    benchmark.write_tables()
    text = benchmark.PAGE.read_text()
    last = row["history"][-1]
    ms = f"{1e3 * last['seconds'] / 9:.0f}"
    assert f"| a | 0 | {ms} | 9 | 0 | {last['modes']} | {last['kl_uniform']:.3f} |" in text
    assert text.startswith("before") and text.endswith("after\n") and "old" not in text


@pytest.mark.parametrize("call", [1, 3])
def test_an_interrupted_measurement_is_made_again(benchmark, tmp_path, monkeypatch, call):
    """Of steps 4, 8 and 9, the last among them: its figures are those of the table."""
    monkeypatch.setattr(benchmark, "ROWS", {"own": {"a": SMALL}, "pacgan": {}})
    calls = []

    def measure(*given):
        calls.append(given)
        if len(calls) == call:
            raise KeyboardInterrupt
        return {"modes": 1}

    monkeypatch.setattr(benchmark, "measure", measure)
    images = StackedImages(load_images(name=TEST_IMAGES)[:90])

    def train():
        options = dict(images=images, classifier=None, folder=tmp_path / "row", cores=1)
        benchmark.train_row("own", "a", 0, 9, benchmark.read_results(), **options)

    with pytest.raises(KeyboardInterrupt):
        train()
    train()
    row = benchmark.read_results()["rows"]["own"]["a|0"]
    assert [one["step"] for one in row["history"]] == [4, 8, 9] and row["done"]


def test_two_calls_beside_each_other_keep_both_rows(benchmark):
    """Each has read the file before the other wrote to it."""
    first, second = benchmark.read_results(), benchmark.read_results()
    benchmark.write_row("own", "a|0", {"steps": 1}, first)
    benchmark.write_row("own", "b|0", {"steps": 2}, second)
    benchmark.write_row("own", "a|0", {"steps": 3}, first)
    assert benchmark.read_results()["rows"]["own"] == {"a|0": {"steps": 3}, "b|0": {"steps": 2}}
