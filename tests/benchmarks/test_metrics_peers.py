"""benchmarks/metrics_peers.py with plain formulas in place of torchmetrics and prdc."""

import importlib.metadata
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))
import metrics_peers

METRICS = ["FD", "KID", "precision", "recall", "density", "coverage"]


def plain_formulas(real, generated):
    """The definitions, with all pairs at once and with complex roots."""
    real, generated = real.astype("float64"), generated.astype("float64")

    def distances(a, b):
        return np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1))

    def kernel(a, b):
        k = (a @ b.T / a.shape[1] + 1) ** 3
        return k[~np.eye(len(a), dtype=bool)].mean() if a is b else k.mean()

    between = distances(real, generated)
    real_radii, radii = (np.sort(distances(x, x), axis=1)[:, 3] for x in (real, generated))
    C_r, C_g = np.cov(real, rowvar=False), np.cov(generated, rowvar=False)
    roots = np.linalg.eigvals(C_r @ C_g).astype(complex) ** 0.5
    first = real[: len(generated)]
    return {
        "FD": ((real.mean(0) - generated.mean(0)) ** 2).sum()
        + np.trace(C_r + C_g)
        - 2 * roots.sum().real,
        "KID": kernel(first, first) + kernel(generated, generated) - 2 * kernel(first, generated),
        "precision": (between <= real_radii[:, None]).any(axis=0).mean(),
        "recall": (between <= radii).any(axis=1).mean(),
        "density": (between <= real_radii[:, None]).sum() / (3 * len(generated)),
        "coverage": (between.min(axis=1) <= real_radii).mean(),
    }


@pytest.fixture
def installed(monkeypatch):
    """As if the pinned versions were installed; small sets."""
    monkeypatch.setattr(importlib.metadata, "version", metrics_peers.PINNED.get)
    monkeypatch.setattr(metrics_peers, "N_REAL", 120)
    monkeypatch.setattr(metrics_peers, "N_GENERATED", 90)
    monkeypatch.setattr(metrics_peers, "values_of_peers", plain_formulas)


def marks(capsys):
    """{(input, metric): mark} of the printed table."""
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    return {tuple(words[:2]): words[-1] for words in lines if words[-1] in "✓✗"}


def test_metrics_that_agree_are_ticked(installed, capsys):
    assert metrics_peers.main([]) == 0
    assert marks(capsys) == {(x, y): "✓" for x in ("features", "pixels") for y in METRICS}


@pytest.mark.parametrize("wrong", METRICS)
@pytest.mark.parametrize("factor", [1.002, 0.998, float("nan")])
def test_a_metric_that_differs_is_marked(installed, capsys, monkeypatch, wrong, factor):
    def values(real, generated):
        right = plain_formulas(real, generated)
        return right | {wrong: right[wrong] * factor} if real.shape[1] == 128 else right

    monkeypatch.setattr(metrics_peers, "values_of_peers", values)
    assert metrics_peers.main([]) == 1
    assert [key for key, mark in marks(capsys).items() if mark == "✗"] == [("features", wrong)]


def test_other_versions_are_noted(installed, capsys, monkeypatch):
    others = metrics_peers.PINNED | {"prdc": "0.3", "torch": metrics_peers.PINNED["torch"] + "+cpu"}
    monkeypatch.setattr(importlib.metadata, "version", others.get)
    assert metrics_peers.main([]) == 0
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note")]
    assert notes == [f"note: written for prdc {metrics_peers.PINNED['prdc']}"]


def test_a_missing_package_is_named_with_the_command_that_installs_it(capsys, monkeypatch):
    def version(name):
        if name == "prdc":
            raise importlib.metadata.PackageNotFoundError
        return metrics_peers.PINNED[name]

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert metrics_peers.main([]) == 2
    message = capsys.readouterr().err
    assert "prdc" in message and metrics_peers.INSTALL in message
    assert metrics_peers.INSTALL in metrics_peers.__doc__


def test_the_compared_images_are_always_the_same():
    images = np.random.default_rng(0).random((50, 8, 8), "float32")
    worse = metrics_peers.perturbed(images, np.random.default_rng(1))
    assert worse.dtype == np.float32 and worse.min() >= 0 and worse.max() <= 1
    assert (worse != images).any(axis=(1, 2)).all()
    again = metrics_peers.perturbed(images, np.random.default_rng(1))
    np.testing.assert_array_equal(worse, again)
