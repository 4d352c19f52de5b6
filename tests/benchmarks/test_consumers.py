"""benchmarks/consumers.py without its installations."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))
import consumers


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    pytest.importorskip("onnx")
    folder = tmp_path_factory.mktemp("networks")
    consumers.save_networks(folder)
    return folder


def test_onnx_runtime_agrees_with_minigan(networks):
    pytest.importorskip("onnxruntime")
    results = consumers.consume("onnx_runtime", networks)
    assert list(results) == ["default", "dcgan"]
    for differences in results.values():
        assert len(differences) == 4 and max(differences) < 1e-5
    # as in the process of a program
    command = [sys.executable, consumers.__file__, "--consume", "onnx_runtime", str(networks)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert json.loads(output) == results


def test_each_batch_is_compared_and_errors_are_kept(networks, monkeypatch):
    def wrong_from_the_second_size_on(path):
        with np.load(path.replace(".onnx", ".npz")) as file:
            images, sizes = file["images"], []

        def generate(z):
            sizes.append(len(z))
            if len(z) == 100:
                raise RuntimeError("a long story\n  too many images\n")
            return images[: len(z)] + (0.25 if len(z) != sizes[0] else 0)

        return generate

    monkeypatch.setattr(consumers, "opencv", wrong_from_the_second_size_on)
    results = consumers.consume("opencv", networks)
    expected = pytest.approx([0, 0.25, 0.25], abs=1e-6)
    for differences in results.values():
        assert differences[:3] == expected
        assert differences[3:] == ["RuntimeError: too many images"]
    monkeypatch.setattr(consumers, "opencv", lambda path: lambda z: np.zeros((1, 28, 28)))
    _, error = consumers.consume("opencv", networks)["dcgan"]
    assert error == "ValueError: 5 images have the shape (1, 28, 28)"


def test_differences_in_words():
    assert consumers.describe([1e-7, 2e-7, 6.4e-7, 1e-6]) == "1e-06"
    assert consumers.describe([1e-7, 0.2, 0.3, 0.5]) == "1: 1e-07, 5: 2e-01, 7: 3e-01, 100: 5e-01"
    assert consumers.describe([1e-7, "no batches"]) == "1: 1e-07; then no batches"
    assert consumers.describe(["cannot be installed here"]) == "cannot be installed here"


@pytest.mark.parametrize(
    "statuses, words",
    [([0, 1], "cannot be installed here"), ([0, 0, 3], "ended with status 3")],
)
def test_a_program_that_does_not_work_here_is_reported(tmp_path, monkeypatch, statuses, words):
    def run(*args, **options):
        return SimpleNamespace(returncode=statuses.pop(0), stdout="", stderr="")

    (tmp_path / "networks").mkdir()
    monkeypatch.setattr(subprocess, "run", run)
    assert consumers.install_and_run("opencv", "opencv==1", tmp_path / "networks") == words
    assert not statuses


def test_the_table_has_a_line_for_each_program_and_network(monkeypatch, capsys):
    monkeypatch.setattr(consumers, "save_networks", lambda folder: None)
    answers = {"tract": {"default": [1e-7] * 4, "dcgan": [1e-7] * 4}}
    monkeypatch.setattr(
        consumers, "install_and_run", lambda function, *rest: answers.get(function, "missing")
    )
    assert consumers.main([]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert len(lines) == 2 * len(consumers.CONSUMERS)
    for name, (function, packages) in consumers.CONSUMERS.items():
        assert [line for line in lines if line.startswith(f"{name:46}")]
        assert callable(getattr(consumers, function))
        assert all("==" in package for package in packages.split())
    assert [line.split()[-1] for line in lines if line.startswith("tract")] == ["1e-07"] * 2
    with pytest.raises(SystemExit) as end:
        consumers.main(["--only", "no such program"])
    assert end.value.code == 2
    assert "'no such program'" in capsys.readouterr().err
