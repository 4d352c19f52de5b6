"""The modes of StackedMNIST: real triples, and generators that are made to be bad."""

import json

import numpy as np
import pytest
from helpers import SMALL, train_small

from minigan.datasets.idx import TEST_IMAGES, TEST_LABELS, load_images, load_labels
from minigan.datasets.load import Dataset, stack
from minigan.datasets.stacked import STACKED_MNIST, StackedImages
from minigan.evaluation import modes, report
from minigan.evaluation.classifier import load_classifier
from minigan.evaluation.modes import (
    MODE_SAMPLES,
    TripleEvaluator,
    channels,
    evaluate_modes,
    mode_figures,
    read_modes,
    real_mode_shares,
)
from minigan.evaluation.report import format_report, make_evaluator
from minigan.gan.recipes import replace
from minigan.training.diagnosis import FEW_MODES, diagnose

UNIFORM = np.full(1000, 1 / 1000)
LOG_1000 = 6.907755


@pytest.fixture(scope="module")
def digits():
    """1,000 of MNIST's test images, and their labels."""
    return load_images(name=TEST_IMAGES)[:1000], load_labels(name=TEST_LABELS)[:1000].astype(int)


def test_the_channels_are_the_hundreds_the_tens_and_the_ones(digits):
    images, labels = digits
    positions = StackedImages(images).draw(np.random.default_rng(0), 600)
    found = read_modes(load_classifier(), StackedImages(images)[positions])
    assert found.shape == (600,)
    right = found == labels[positions] @ [100, 10, 1]
    assert 0.94 < right.mean() < 1  # 0.99 for a digit, and three of them
    assert (channels(np.arange(12).reshape(2, 1, 2, 3))[1] == [[1, 4]]).all()


def test_bytes_and_floats_have_the_same_modes(digits):
    images = StackedImages(digits[0])[:50]
    floats = images.astype("float32") / 255
    classifier = load_classifier()
    assert (read_modes(classifier, images) == read_modes(classifier, floats)).all()


@pytest.mark.parametrize(
    "numbers, count, kl",
    [
        (np.zeros(5000, int), 1, LOG_1000),  # a single image
        (np.arange(5000) % 1000, 1000, 0),  # exactly uniform
        (np.arange(5000) % 500, 500, np.log(2)),  # half of the modes
        (100 * (np.arange(5000) % 10), 10, LOG_1000 - np.log(10)),  # two channels collapsed
        (np.repeat([999, 1], [4999, 1]), 2, LOG_1000 - 0.0019),  # a single sample is a mode
    ],
)
def test_generators_whose_figures_are_known(numbers, count, kl):
    figures = mode_figures(numbers, UNIFORM)
    assert figures["modes"] == count and type(figures["modes"]) is int
    assert figures["kl_uniform"] == pytest.approx(kl, abs=1e-4)
    assert figures["kl_triples"] == figures["kl_uniform"]
    skewed = np.where(np.arange(1000) < 500, 1.5, 0.5) / 1000
    share = np.mean(numbers < 500)
    expected = kl - share * np.log(1.5) - (1 - share) * np.log(0.5)
    assert mode_figures(numbers, skewed)["kl_triples"] == pytest.approx(expected, abs=1e-4)


def test_a_perfect_generator_is_not_at_0():
    """The expected KL of 25,600 samples, as derived, and 0.0043 more from uniform in MNIST."""
    shares = np.bincount(load_labels(), minlength=10) / 60_000
    r = np.einsum("a,b,c->abc", shares, shares, shares).ravel()
    figures = [
        mode_figures(np.random.default_rng(seed).choice(1000, MODE_SAMPLES, p=r), r)
        for seed in range(5)
    ]
    assert all(one["modes"] == 1000 for one in figures)
    triples, uniform = (np.mean([one[f"kl_{of}"] for one in figures]) for of in TRIPLES)
    assert triples == pytest.approx(999 / (2 * MODE_SAMPLES), abs=8e-4)
    assert uniform - triples == pytest.approx(3 * 0.00143, abs=8e-4)
    few = mode_figures(np.random.default_rng(0).choice(1000, 2560, p=r), r)
    assert few["kl_triples"] > 5 * triples  # which is why the number is always the same


TRIPLES = ("triples", "uniform")


def test_each_part_is_measured_on_its_own_images(digits, monkeypatch):
    monkeypatch.setattr(modes, "MODE_SAMPLES", 900)
    monkeypatch.setattr(modes, "TRIPLES_AT_ONCE", 300)
    images, (digits, labels) = StackedImages(digits[0]), digits
    positions = images.draw(np.random.default_rng(0), 900)
    seven = positions.copy()
    seven[:, 1] = np.flatnonzero(labels == 7)[0]  # the green channel has collapsed
    asked = []
    parts = {
        "real": lambda rows: images[positions[rows]],
        "one green": lambda rows: images[seven[rows]],
        "one": lambda rows: asked.append(rows) or np.repeat(images[:1], 300, axis=0),
    }
    figures = evaluate_modes(load_classifier(), parts, digits)
    assert [(rows.start, rows.stop) for rows in asked] == [(0, 300), (300, 600), (600, 900)]
    assert figures["one"]["modes"] == 1
    assert figures["one"]["kl_uniform"] == pytest.approx(LOG_1000, abs=1e-5)
    assert 90 <= figures["one green"]["modes"] <= 100 < 500 < figures["real"]["modes"]
    by_kl = sorted(figures, key=lambda name: figures[name]["kl_triples"])
    assert by_kl == ["real", "one green", "one"]


def test_the_shares_of_real_triples_are_products(digits):
    images, labels = digits
    shares = real_mode_shares(load_classifier(), images)
    assert shares.sum() == pytest.approx(1)
    of_digit = np.bincount(labels, minlength=10) / 1000
    expected = of_digit[3] * of_digit[1] * of_digit[4]
    assert shares[314] == pytest.approx(expected, rel=0.05)


def test_features_are_those_of_the_three_digits(digits):
    images = StackedImages(digits[0])
    data = Dataset(images, None, [], images[:300], None, [])
    evaluator = make_evaluator(data, False)
    assert type(evaluator) is TripleEvaluator
    features = evaluator.features(images[:20])
    of_digits = load_classifier().predict(digits[0][:20].astype("float32") / 255)[0]
    assert features.shape == (20, 384) and np.allclose(features[:, :128], of_digits, atol=1e-5)
    quick = evaluator.quick(images[:300].astype("float32") / 255)
    assert quick["fd"] == pytest.approx(0, abs=1e-2) and 200 < quick["modes"] <= 300
    collapsed = evaluator.quick(np.repeat(images[:1], 300, axis=0))
    assert collapsed["modes"] == 1 and collapsed["fd"] > 50
    small = StackedImages(digits[0][:, 4:-4, 4:-4])
    untested = make_evaluator(data._replace(test=None), False)
    assert len(untested.images) == 1000 and "training" in untested.reference
    other = make_evaluator(Dataset(small, None, [], small[:], None, []), False)
    assert other.classifier is None and "modes" not in other.quick(small[:99])


def test_a_run_is_measured_beside_real_triples(digits, monkeypatch, tmp_path):
    images, _ = digits
    data = stack(Dataset(images, None, [], images[:300], None, []))
    recipe = replace(SMALL, epochs=1, steps_per_epoch=3)
    train_small(tmp_path / "run", recipe, data.images, path=STACKED_MNIST)
    monkeypatch.setattr(report, "load_run_data", lambda *args: data)
    monkeypatch.setattr(report, "MODE_SAMPLES", 3200)
    monkeypatch.setattr(modes, "MODE_SAMPLES", 3200)
    metrics = report.evaluate(tmp_path / "run", 100)
    run, real = metrics["run"], metrics["real"]
    assert run["modes"] < 500 < real["modes"] and run["kl_uniform"] > 1 > real["kl_uniform"]
    assert real["kl_triples"] == pytest.approx(999 / 6400, rel=0.15)
    assert real["read"] > 0.97 and "memorisation" not in run and "class_kl" not in run
    assert metrics["noise"]["modes"] < 50
    assert json.loads((tmp_path / "run" / "metrics.json").read_text()) == metrics
    table = format_report(metrics)
    for name in "modes", "kl_uniform", "kl_triples":
        assert report.METRIC_LABELS[name] in table
    again = report.evaluate(tmp_path / "run", 100)
    assert again["run"] == run


def test_few_modes_are_reported_when_fd_no_longer_falls():
    row = dict(fd=40.0, spread=0.9, modes=FEW_MODES - 1, score_real=0.6, score_fake=0.4)
    assert diagnose(row).startswith("collapsed: the samples show only 299 of 1000 modes")
    assert "FD is falling" in diagnose(row, fd_falling=True)
    assert diagnose({**row, "modes": FEW_MODES}) == "healthy"
