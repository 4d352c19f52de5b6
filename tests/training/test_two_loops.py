"""demo.py and minigan/training/loop.py have the same loop: the same run folder, bit for bit."""

import json
import re
import signal

import numpy as np
import pytest
from helpers import DEMO, TIMES, history, idx, load_demo, signals_restored, small

from minigan.cli.main import main
from minigan.gan.recipes import RECIPES, replace
from minigan.training import loop
from minigan.training.run_folder import read_npz
from minigan.training.state import TrainingState

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (30, 8, 12), dtype=np.uint8)
LABELS = (np.arange(30) % 3).astype(np.uint8)
# with dropout and an average; with shared fakes; with a loss on pairs and both penalties; with
# warm-up steps and labels
TINY = {
    "dense": ["--data", "data.npz"],
    "default": ["--data", "data.npz"],
    "default-conv": ["--data", "data.npz", "--loss", "relativistic", "--penalty", "r1+r2"],
    "auto-write": ["--data", "idx", "--conditional"],
}
STOPPED_AFTER = 6  # steps, of 12
# of a page
PAGE_PARTS = "state step epochs history diagnoses frames charts real".split()


class Stop(BaseException):
    """Power cut."""


@pytest.fixture(scope="module")
def demo_train():
    """The function `train` of demo.py."""
    train = load_demo().train
    assert train is not loop.train
    return train


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder with data and tiny recipes; the handler of Ctrl-C is restored afterwards."""
    np.savez(tmp_path / "data.npz", images=IMAGES)
    (tmp_path / "idx").mkdir()
    (tmp_path / "idx" / "train-images-idx3-ubyte").write_bytes(idx(IMAGES))
    (tmp_path / "idx" / "train-labels-idx1-ubyte").write_bytes(idx(LABELS))
    for name in TINY:
        monkeypatch.setitem(RECIPES, name, replace(small(name), epochs=3))
    monkeypatch.chdir(tmp_path)
    with signals_restored():
        yield tmp_path


def without_times(words):
    """The text of a checkpoint without what depends on the clock."""
    words = {name: words[name] for name in words if name not in ("seconds", "epoch_seconds")}
    words["settings"] = {k: v for k, v in words["settings"].items() if k != "started"}
    words["history"] = [
        {k: v for k, v in row.items() if k not in TIMES} for row in words["history"]
    ]
    return words


def contents(folder):
    """{name: content} of everything in a run folder, without what depends on the clock."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or name in (".lock", "log.txt"):  # the log has times in every line
            continue
        if name == "history.csv":
            found[name] = history(folder)
        elif name == "settings.json":
            settings = json.loads(path.read_text())
            assert settings.pop("started")
            found[name] = settings
        elif name == "index.html":
            page = json.loads(re.search(r"const model = (.*);\n", path.read_text())[1])
            if page["state"] == "running":  # when it was written depends on the clock
                continue
            found[name] = {part: page[part] for part in PAGE_PARTS}
            for part in TIMES:
                page["history"].pop(part, None)
        elif path.suffix == ".npz":
            parts = read_npz(path)
            if "text" in parts:
                found[name, "words"] = without_times(json.loads(parts.pop("text").tobytes()))
            else:
                settings = json.loads(str(parts.pop("settings")))
                assert settings.pop("started")
                found[name, "words"] = settings
            found |= {(name, part): (a.dtype.str, a.tobytes()) for part, a in parts.items()}
        else:
            found[name] = path.read_bytes()
    return found


def run(train, folder, args, monkeypatch, how):
    """Train, perhaps with an interruption, and check the exit status; returns the contents."""
    often = ["--checkpoint-every", "0.000001"]  # seconds: after every step
    new = [*args, *often, "--seed", "3", "--out", folder.name]
    update_average = TrainingState.update_average

    def stop(gan):
        update_average(gan)
        if gan.t == STOPPED_AFTER:
            if how == "power cut":
                raise Stop
            signal.raise_signal(signal.SIGINT)

    if how == "uninterrupted":
        assert main(new, train) == 0
    else:
        with monkeypatch.context() as patched:
            patched.setattr(TrainingState, "update_average", stop)
            if how == "power cut":
                with pytest.raises(Stop):
                    main(new, train)
            else:
                assert main(new, train) == 130
        interrupted = contents(folder)
        assert main(["--resume", folder.name, *often], train) == 0
        return interrupted, contents(folder)
    return contents(folder)


@pytest.mark.parametrize(
    "name",
    [
        "default",
        "auto-write",
        *(pytest.param(name, marks=pytest.mark.long) for name in ("dense", "default-conv")),
    ],
)
def test_both_loops_leave_the_same_run_folder(name, workplace, monkeypatch, demo_train):
    args = ["--recipe", name, *TINY[name]]
    whole = run(demo_train, workplace / "demo", args, monkeypatch, "uninterrupted")
    assert whole == run(loop.train, workplace / "loop", args, monkeypatch, "uninterrupted")
    assert ("model.npz", "generator") in whole and "progress.gif" in whole
    for how in "power cut", "Ctrl-C":
        by_demo, by_loop = (
            run(train, workplace / f"{how} {kind}", args, monkeypatch, how)
            for train, kind in ((demo_train, "demo"), (loop.train, "loop"))
        )
        assert by_demo[0] == by_loop[0] != whole  # when they were interrupted
        assert by_demo[1] == by_loop[1] == whole  # when they had been resumed


def test_another_seed_is_noticed(workplace, monkeypatch):
    """The comparison above can fail."""
    args = ["--recipe", "default", *TINY["default"]]
    folders = [workplace / "a", workplace / "b"]
    for folder, seed in zip(folders, "12"):
        assert main([*args, "--seed", seed, "--out", folder.name], loop.train) == 0
    a, b = map(contents, folders)
    assert set(a) == set(b) and a["model.npz", "generator"] != b["model.npz", "generator"]


def test_demo_is_short():
    assert len(DEMO.read_text(encoding="utf-8").splitlines()) <= 120
