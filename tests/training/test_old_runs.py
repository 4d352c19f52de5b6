"""Run folders of version 0.1.0 can be sampled, evaluated and resumed, with the same numbers.

old_runs/ holds three runs on data.npz that commit 9adfa61 wrote, interrupted after six of twelve
steps: a dense GAN, a conditional one trained with SGD, and a conditional one of convolutions with a
gradient penalty. expected.npz holds what that commit got from them: samples, a Fréchet distance,
and the vectors of model.npz after all twelve steps.
"""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers import arrays, demo

from minigan.evaluation.report import evaluate
from minigan.gan.recipes import with_current_names
from minigan.training import run as run_module
from minigan.training.checkpoint import checkpoint_paths, load_checkpoint, load_run
from minigan.training.run_folder import FORMAT, VECTORS
from minigan.training.sampling import sample_images

threadpoolctl = pytest.importorskip("threadpoolctl")
OLD_RUNS = Path(__file__).with_name("old_runs")
RUNS = sorted(path.name for path in OLD_RUNS.iterdir() if path.is_dir())


@pytest.fixture(scope="module")
def expected():
    with np.load(OLD_RUNS / "expected.npz", allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


@pytest.fixture
def old(tmp_path, monkeypatch):
    """A copy of the runs and their data, in the current folder: their settings say "data.npz"."""
    shutil.copytree(OLD_RUNS, tmp_path / "old")
    monkeypatch.chdir(tmp_path / "old")
    return tmp_path / "old"


def rounding_of_this_machine():
    """A hash of the BLAS, products, sums and functions: machines with the same one round alike."""
    blas = [(b["version"], b.get("architecture")) for b in threadpoolctl.threadpool_info()]
    rng, parts = np.random.default_rng(0), []
    for n, k, m in (6, 3, 6), (6, 6, 64), (12, 64, 6), (12, 67, 30), (24, 48, 4), (64, 12, 6):
        a, b = rng.standard_normal((n, k), "float32"), rng.standard_normal((k, m), "float32")
        y = a @ b
        softplus = np.log1p(np.exp(-abs(y)))
        parts += [y, np.tanh(y), np.exp(-abs(y)), softplus, y.mean(axis=0), a.T @ y]
    content = repr(blas).encode() + b"".join(np.ascontiguousarray(p).tobytes() for p in parts)
    return hashlib.sha256(content).hexdigest()


def assert_same_numbers(actual, wanted, probe):
    """Bit for bit on a machine that rounds like the one that wrote them, elsewhere to rounding."""
    assert actual.dtype == wanted.dtype and actual.shape == wanted.shape
    if rounding_of_this_machine() == str(probe):
        np.testing.assert_array_equal(actual, wanted)
    else:
        np.testing.assert_allclose(actual, wanted, rtol=1e-3, atol=2e-3)


def test_there_is_a_conditional_run_and_others():
    assert RUNS == ["conditional", "conv", "dense"]


@pytest.mark.parametrize("name", RUNS)
def test_an_old_run_can_be_sampled(name, old, expected):
    images = sample_images(old / name, 3, seed=5)
    assert_same_numbers(images, expected[f"{name}.sample"], expected["probe"])


@pytest.mark.parametrize("name", RUNS)
def test_an_old_run_can_be_evaluated(name, old, expected):
    result = evaluate(old / name, 100)
    # the square roots in FD magnify rounding errors, and the old code chose other random labels
    rel = 2e-4 if name == "dense" else 0.01
    assert result["run"]["fd"] == pytest.approx(float(expected[f"{name}.fd"]), rel=rel)
    assert (old / name / "metrics.json").is_file() and (old / name / "gradient.png").is_file()


@pytest.mark.parametrize("name", RUNS)
def test_a_resumed_old_run_ends_with_the_weights_of_the_old_code(name, old, expected):
    result = demo("--resume", name, cwd=old)
    assert result.returncode == 0, result.stderr
    settings, (_, words), complaints = load_run(old / name)
    assert len(words["history"]) == 3 and words["counts"]["t"] == 12 and not complaints
    assert settings["format"] == words["format"] == FORMAT
    assert with_current_names(settings["recipe"]) == settings["recipe"]
    for vector, values in arrays(old / name).items():
        if vector in VECTORS:
            assert_same_numbers(values, expected[f"{name}.{vector}"], expected["probe"])


def test_a_resumed_old_run_may_be_killed_before_its_settings_are_written(old, monkeypatch):
    """The checkpoint has the names of today then, and settings.json still has the old ones."""
    from minigan.cli.main import main
    from minigan.training.loop import train

    class Stop(BaseException):
        """Power cut."""

    def stop(*args):
        raise Stop

    with monkeypatch.context() as patched:
        patched.setattr(run_module, "save_settings", stop)
        with pytest.raises(Stop):
            main(["--resume", "dense", "--epochs", "4"], train)
    assert load_checkpoint(old / "dense")[1]["settings"]["format"] == FORMAT
    assert '"slope_G"' in (old / "dense" / "settings.json").read_text()
    assert main(["--resume", "dense"], train) == 0
    assert checkpoint_paths(old / "dense")[0].name == "checkpoint-000000016.npz"
