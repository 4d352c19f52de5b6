"""A run that is cut off, and goes on: the same files, bit for bit, as one that was not."""
import csv
import json
import os
import random
import signal
import subprocess
import sys
import time

import fake_device
import numpy as np
import pytest
from test_demo import DEMO, demo, folder  # noqa: F401  (a fixture)
from test_training import IMAGES, SMALL, arrays

from minigan import checkpoint, runs, training
from minigan.checkpoint import checkpoints, load_checkpoint, load_run, lock, save_checkpoint
from minigan.game import Game
from minigan.metrics import Yardstick
from minigan.recipes import replace
from minigan.runs import RunError, make_settings, new_folder, write_whole
from minigan.training import train

LONG = replace(SMALL, epochs=5)
TIMES = ("seconds", "images_per_second", "elapsed")


def start(folder, recipe=LONG, resume=False, xp=np, every=1e-9):
    """Train; a checkpoint after every step."""
    settings = make_settings(recipe, 0, IMAGES, "nowhere", xp.__name__)
    where = None
    if resume:
        settings, where, _ = load_run(folder)
        settings["recipe"]["epochs"] = recipe.epochs
    else:
        new_folder(folder)
    return train(recipe, IMAGES, folder, settings, Yardstick(IMAGES, None), 0, xp, every, where)


def history(folder):
    with open(folder / "history.csv") as file:
        return [{key: value for key, value in row.items() if key not in TIMES} for row in csv.DictReader(file)]


def assert_same(a, b):
    """The same model, history and samples."""
    ours, theirs = arrays(a), arrays(b)
    assert set(ours) == set(theirs)
    for name in set(ours) - {"settings"}:
        np.testing.assert_array_equal(ours[name], theirs[name])
    assert history(a) == history(b)
    names = sorted(p.name for p in (a / "samples").iterdir())
    assert names == sorted(p.name for p in (b / "samples").iterdir())
    for name in names:
        assert (a / "samples" / name).read_bytes() == (b / "samples" / name).read_bytes()
    assert (a / "progress.gif").read_bytes() == (b / "progress.gif").read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    assert start(folder) == 0
    return folder


class Stop(BaseException):
    """Power cut."""


@pytest.mark.parametrize("step", [1, 3, 4, 5, 13, 19])
def test_cut_off_after_any_step_it_goes_on_as_if_nothing_had_been(whole, tmp_path, monkeypatch, step):
    plain = Game.step

    def until(game):
        if game.t == step:
            raise Stop
        return plain(game)
    monkeypatch.setattr(Game, "step", until)
    with pytest.raises(Stop):
        start(tmp_path / "cut")
    monkeypatch.setattr(Game, "step", plain)
    assert start(tmp_path / "cut", resume=True) == 0
    assert_same(tmp_path / "cut", whole)


@pytest.mark.parametrize("write", range(1, 34, 3))
def test_cut_off_while_any_file_is_written(whole, tmp_path, monkeypatch, write):
    """Half of the file is there under another name; the one of the last time stays."""
    count, plain = 0, runs.write_whole

    def half(path, write_it):
        nonlocal count
        count += 1
        if count != write:
            return plain(path, write_it)
        partial = path.with_name(path.name + ".partial")
        with open(partial, "wb") as file:
            write_it(file)
            file.truncate(file.tell() // 2)
        raise Stop
    for module in "runs", "checkpoint", "training", "plots":
        if hasattr(sys.modules[f"minigan.{module}"], "write_whole"):
            monkeypatch.setattr(f"minigan.{module}.write_whole", half)
    with pytest.raises(Stop):
        start(tmp_path / "cut")
    monkeypatch.undo()
    if checkpoints(tmp_path / "cut"):
        assert start(tmp_path / "cut", resume=True) == 0
        assert_same(tmp_path / "cut", whole)
    else:
        assert write == 1                                              # the very first file, the settings
        with pytest.raises(RunError, match="was cut off before its first checkpoint"):
            load_run(tmp_path / "cut")


def test_a_finished_run_can_be_made_longer(whole, tmp_path):
    assert start(tmp_path / "a", replace(LONG, epochs=3)) == 0
    assert start(tmp_path / "a", LONG, resume=True) == 0
    assert_same(tmp_path / "a", whole)


def test_cut_off_while_the_figures_are_drawn(whole, tmp_path, monkeypatch):
    def stop(*args, **kwargs):
        raise Stop
    with monkeypatch.context() as patched:
        patched.setattr(training.plots, "save_animation", stop)
        with pytest.raises(Stop):
            start(tmp_path / "cut")
    assert start(tmp_path / "cut", resume=True) == 0
    assert_same(tmp_path / "cut", whole)


def test_a_run_that_is_made_longer_may_be_killed_at_once(whole, tmp_path, monkeypatch):
    """Its new number of epochs is in the checkpoint before it is in settings.json."""
    assert start(tmp_path / "a", replace(LONG, epochs=3)) == 0

    def stop(game):
        raise Stop
    with monkeypatch.context() as patched:
        patched.setattr(Game, "step", stop)
        with pytest.raises(Stop):
            start(tmp_path / "a", LONG, resume=True)
    settings, _, _ = load_run(tmp_path / "a")
    assert settings["recipe"]["epochs"] == 5
    assert start(tmp_path / "a", LONG, resume=True) == 0
    assert_same(tmp_path / "a", whole)


def test_seconds_are_those_of_the_epoch(tmp_path, monkeypatch):
    """Neither those of an epoch that was over before the run was resumed, nor fewer than it took."""
    clock = iter(np.arange(1e6))
    monkeypatch.setattr(training.time, "perf_counter", lambda: float(next(clock)))
    start(tmp_path / "a", replace(LONG, epochs=2))
    start(tmp_path / "a", LONG, resume=True)
    with open(tmp_path / "a" / "history.csv") as file:
        seconds = [float(row["seconds"]) for row in csv.DictReader(file)]
    assert max(seconds) - min(seconds) <= 6, seconds                   # ticks of a clock that is read a few times a step


def test_what_a_kill_leaves_behind_is_cleared_away(whole, tmp_path):
    start(tmp_path / "a", replace(LONG, epochs=1))
    (tmp_path / "a" / "checkpoint-000000004.npz.partial").write_bytes(b"half")
    (tmp_path / "a" / "checkpoint-000000009.npz").write_bytes(b"damaged")
    start(tmp_path / "a", LONG, resume=True)
    assert not list((tmp_path / "a").glob("*.partial")) and len(checkpoints(tmp_path / "a")) == 2
    load_checkpoint(tmp_path / "a")


def test_streams_that_cannot_be_continued_are_not_repeated():
    game = Game(LONG, IMAGES, 0, fake_device)
    first = game.noise.random(5).get()
    for _ in range(2):
        game.step()
    other = Game(LONG, IMAGES, 0, fake_device)
    other.restore(*game.save())
    assert other.t == 2 and (other.noise.random(5).get() != first).all()


def test_on_the_double_too_it_goes_on(tmp_path):
    """Its random generators, as CuPy's, cannot be asked where they are: so it goes on with other noise."""
    assert start(tmp_path / "a", replace(LONG, epochs=2), xp=fake_device) == 0
    assert start(tmp_path / "a", LONG, resume=True, xp=fake_device) == 0
    assert len(history(tmp_path / "a")) == 5


def test_the_two_newest_are_kept(whole):
    assert [path.name for path in checkpoints(whole)] == ["checkpoint-000000020.npz", "checkpoint-000000019.npz"]


@pytest.mark.parametrize("damage", ["empty", "half", "flipped", "text", "gone"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(whole, tmp_path, damage):
    newest, before = (path.read_bytes() for path in checkpoints(whole))
    content = {"empty": b"", "half": newest[:len(newest) // 2], "text": b"not a checkpoint", "gone": None,
               "flipped": newest[:len(newest) // 3] + bytes([newest[len(newest) // 3] ^ 4]) + newest[len(newest) // 3 + 1:]}[damage]
    (tmp_path / "checkpoint-000000019.npz").write_bytes(before)
    if content is not None:
        (tmp_path / "checkpoint-000000020.npz").write_bytes(content)
    found, words, complaints = load_checkpoint(tmp_path)
    assert words["counts"]["t"] == 19 and len(complaints) == (damage != "gone")
    assert all("checkpoint-000000020.npz is damaged" in complaint for complaint in complaints)
    (tmp_path / "checkpoint-000000019.npz").write_bytes(b"")
    with pytest.raises(RunError, match="no checkpoint in .* is whole" if damage != "gone" else "is whole"):
        load_checkpoint(tmp_path)


def test_every_flipped_bit_is_noticed_or_harmless(whole, tmp_path):
    newest = checkpoints(whole)[0].read_bytes()
    good, words, _ = load_checkpoint(whole)
    rng = random.Random(0)
    noticed = 0
    for _ in range(300):
        place, bit = rng.randrange(len(newest)), rng.randrange(8)
        content = bytearray(newest)
        content[place] ^= 1 << bit
        (tmp_path / "checkpoint-000000001.npz").write_bytes(content)
        try:
            found, told, _ = load_checkpoint(tmp_path)
        except RunError:
            noticed += 1
            continue
        assert told == words and set(found) == set(good) and all((found[name] == good[name]).all() for name in good)
    assert noticed > 200


def edited(folder, tmp_path, change):
    """A copy of a run with its newest checkpoint's words changed."""
    found, words, _ = load_checkpoint(folder)
    change(words)
    target = tmp_path / "edited"
    target.mkdir()
    save_checkpoint(target, 20, found, words)
    return target


def test_a_checkpoint_of_a_newer_minigan_is_refused(whole, tmp_path):
    with pytest.raises(RunError, match="its format is 99, and this minigan reads up to"):
        load_run(edited(whole, tmp_path, lambda words: words.update(format=99)))


def test_a_checkpoint_of_another_recipe_or_dtype_is_refused(whole, tmp_path):
    target = edited(whole, tmp_path, lambda words: words["settings"]["recipe"].update(widths_G=[7]))
    (target / "samples").mkdir()
    with pytest.raises(RunError, match="is not one of this run .*G.theta is float32 of shape"):
        start(target, replace(LONG, widths_G=(7,), epochs=9), resume=True)
    with pytest.raises(RunError, match="is not one of this run .*G.theta is float32"):
        start(whole, replace(LONG, dtype="float64", epochs=9), resume=True)


@pytest.mark.parametrize("change, words", [
    (lambda s: s["recipe"].update(dropout=-3), "was changed .dropout"), (lambda s: s.update(seed=5), "was changed .seed"),
    (lambda s: s.update(recipe=None), "is damaged"), (None, "is damaged")])
def test_settings_that_were_edited_are_refused(whole, tmp_path, change, words):
    target = edited(whole, tmp_path, lambda words: None)
    settings = json.loads((whole / "settings.json").read_text())
    if change:
        change(settings)
    (target / "settings.json").write_text(json.dumps(settings) if change else "{half")
    with pytest.raises(RunError, match=words):
        load_run(target)
    (target / "settings.json").unlink()
    load_run(target)


def test_a_folder_in_use_is_locked(tmp_path):
    with lock(tmp_path):
        code = f"from minigan.checkpoint import lock\nfrom pathlib import Path\nlock(Path({str(tmp_path)!r}))"
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert "another process is at work in" in other.stderr
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


@pytest.mark.parametrize("module, name, after", [
    (checkpoint, "write_whole", 7), (training, "write_history", 2), (training, "save_model", 2), (training.plots, "save_grid", 3)])
def test_a_full_disk_stops_the_run_and_leaves_the_last_checkpoint(whole, tmp_path, monkeypatch, module, name, after):
    count, plain = 0, getattr(module, name)

    def full(*args, **kwargs):
        nonlocal count
        count += 1
        if count > after:
            raise OSError(28, "No space left on device")
        return plain(*args, **kwargs)
    monkeypatch.setattr(module, name, full)
    with pytest.raises(OSError, match="No space left"):
        start(tmp_path / "full")
    monkeypatch.undo()
    assert start(tmp_path / "full", resume=True) == 0
    assert_same(tmp_path / "full", whole)


def test_a_weight_that_is_no_number_is_never_written(tmp_path, monkeypatch):
    plain = Game.step

    def spoil(game):
        told = plain(game)
        if game.t == 6:
            game.G.theta[3] = np.nan
        return told
    monkeypatch.setattr(Game, "step", spoil)
    with pytest.raises(RunError, match="step 6: a weight is no number any more"):
        start(tmp_path / "nan")
    _, words, _ = load_checkpoint(tmp_path / "nan")
    assert words["counts"]["t"] == 5 and all(np.isfinite(vector).all() for name, vector in arrays(tmp_path / "nan").items() if name != "settings")


def test_divergence_is_noticed_within_fifty_steps(tmp_path, monkeypatch):
    plain = Game.step

    def spoil(game):
        told = plain(game)
        return (told[0] * np.nan, *told[1:]) if game.t == 2 else told
    monkeypatch.setattr(Game, "step", spoil)
    with pytest.raises(RunError, match="step (4|[2-4].|50): a loss is no number any more"):
        start(tmp_path / "nan", every=1e9)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals for a subprocess")
@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_the_run_goes_on(folder, tmp_path, number, status):  # noqa: F811
    args = [sys.executable, DEMO, "--data", folder / "data", "--epochs", "100000", "--out", "cut"]
    process = subprocess.Popen(args, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.startswith("epoch   2"):
            break
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == status and errors == ""
    assert "interrupted, and saved after" in output and "python demo.py --resume cut goes on" in output
    done = len(history(tmp_path / "cut"))
    result = demo("--resume", "cut", "--epochs", done + 2, cwd=tmp_path)
    assert result.returncode == 0 and "going on with 128 images" in result.stdout, result.stderr
    assert len(history(tmp_path / "cut")) == done + 2
    (tmp_path / "cut" / "progress.gif").unlink()
    again = demo("--resume", "cut", cwd=tmp_path)
    assert again.returncode == 0 and f"has all of its {done + 2} epochs: its figures are drawn again" in again.stdout
    assert (tmp_path / "cut" / "progress.gif").is_file()
    fewer = demo("--resume", "cut", "--epochs", 1, cwd=tmp_path)
    assert fewer.returncode == 2 and f"has {done + 2} epochs already: give --epochs {done + 3} or more" in fewer.stderr
    for flag, value, words in [("--seed", 5, "--seed 5 contradicts cut"), ("--learning-rate", 0.5, "--learning-rate 0.5 contradicts"),
                               ("--recipe", "pytorch-mlp", "--recipe pytorch-mlp contradicts cut, which was begun with default"),
                               ("--batch-size", 7, "--batch-size 7 contradicts"), ("--out", "other", "--out other contradicts")]:
        refused = demo("--resume", "cut", flag, value, cwd=tmp_path)
        assert refused.returncode == 2 and words in refused.stderr and refused.stderr.count("\n") == 1


def kill_and_resume(folder, args, moments, timeout=300):
    """Start demo.py with args, kill it after each of the moments, and resume until it is done."""
    command = [sys.executable, DEMO, *map(str, args)]
    for moment in [*moments, None]:
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            _, errors = process.communicate(timeout=moment or timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        else:
            assert process.returncode == 0, errors
            return
        if list((folder / "cut").glob("checkpoint-*.npz")):
            command = [sys.executable, DEMO, "--resume", "cut", "--checkpoint-every", "0.001"]
        else:                                                          # killed before it had written anything to go on with
            subprocess.run(["rm", "-rf", str(folder / "cut")], check=True)
            command = [sys.executable, DEMO, *map(str, args)]


@pytest.mark.skipif(os.name == "nt", reason="kill")
@pytest.mark.parametrize("seed", range(int(os.environ.get("MINIGAN_KILLS", 1))))
def test_killed_at_random_moments_it_ends_the_same(folder, tmp_path, seed):  # noqa: F811
    """MINIGAN_KILLS=30 for thirty runs, each of which is killed up to five times; one in the daily suite."""
    args = ["--data", folder / "data", "--epochs", 25, "--checkpoint-every", 0.001, "--batch-size", 32, "--out"]
    assert demo(*args, "whole", cwd=tmp_path).returncode == 0
    rng = random.Random(seed)
    began = time.perf_counter()
    kill_and_resume(tmp_path, [*args, "cut"], [rng.uniform(0.7, 2.5) for _ in range(5)])
    assert time.perf_counter() - began > 1
    assert_same(tmp_path / "cut", tmp_path / "whole")


def test_a_clock_that_goes_back_changes_nothing(whole, tmp_path, monkeypatch):
    clock = iter(range(10 ** 9, 0, -1000))
    monkeypatch.setattr(time, "time", lambda: next(clock))
    assert start(tmp_path / "a", replace(LONG, epochs=3)) == 0
    assert start(tmp_path / "a", LONG, resume=True) == 0
    assert_same(tmp_path / "a", whole)


def test_weights_that_are_lost_in_the_last_step_of_an_epoch_are_noticed_before_they_are_measured(tmp_path, monkeypatch):
    plain = Game.step

    def spoil(game):
        told = plain(game)
        if game.t == 8:
            game.drawer.theta[...] = np.nan
        return told
    monkeypatch.setattr(Game, "step", spoil)
    with pytest.raises(RunError, match="step 8: a weight is no number any more"):
        start(tmp_path / "nan", every=1e9)
    assert np.isfinite(arrays(tmp_path / "nan")["average"]).all() and len(history(tmp_path / "nan")) == 1
