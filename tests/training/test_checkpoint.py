"""A run that is interrupted and resumed leaves the same files as another one, bit for bit."""

import csv
import errno
import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

import fake_cupy
import numpy as np
import pytest
from helpers import DEMO, SMALL, arrays, assert_same_run, demo, history, small, train_small
from helpers import SMALL_IMAGES as IMAGES

from minigan.backend import asnumpy
from minigan.gan.recipes import replace
from minigan.training import checkpoint, run_folder
from minigan.training import run as run_module
from minigan.training.checkpoint import (
    checkpoint_paths,
    load_checkpoint,
    load_run,
    save_checkpoint,
)
from minigan.training.run_folder import FORMAT, RunError
from minigan.training.state import TrainingState

LONG = replace(SMALL, epochs=5)
DEFAULT = replace(small("default"), batch_size=15, epochs=2)
PICTURES = np.random.default_rng(0).integers(0, 256, (128, 28, 28), dtype=np.uint8)


def start(folder, recipe=LONG, *, checkpoint_every=1e-9, **options):
    """Train; a checkpoint after every step."""
    return train_small(folder, recipe, checkpoint_every=checkpoint_every, **options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    assert start(folder) == 0
    return folder


class Stop(BaseException):
    """Power cut."""


@pytest.mark.parametrize("step", [1, 3, 4, 5, 13, 19])
def test_interrupted_after_any_step_it_ends_the_same(whole, tmp_path, monkeypatch, step):
    plain = TrainingState.train_step

    def until(gan):
        if gan.t == step:
            raise Stop
        return plain(gan)

    monkeypatch.setattr(TrainingState, "train_step", until)
    with pytest.raises(Stop):
        start(tmp_path / "cut")
    monkeypatch.setattr(TrainingState, "train_step", plain)
    assert start(tmp_path / "cut", resume=True) == 0
    assert_same_run(tmp_path / "cut", whole)


def test_a_run_moves_to_a_machine_of_the_other_byte_order(whole, tmp_path, monkeypatch):
    plain = TrainingState.train_step

    def until(gan):
        if gan.t == 7:
            raise Stop
        return plain(gan)

    monkeypatch.setattr(TrainingState, "train_step", until)
    with pytest.raises(Stop):
        start(tmp_path / "cut")
    monkeypatch.setattr(TrainingState, "train_step", plain)
    for path in (tmp_path / "cut").glob("*.npz"):
        with np.load(path) as file:
            swapped = {name: a.astype(a.dtype.newbyteorder()) for name, a in dict(file).items()}
        np.savez(path, **swapped)
    generator = run_folder.load_model(tmp_path / "cut")[2]["generator"]
    assert generator.dtype == np.dtype("float32") and abs(generator).max() < 10
    assert start(tmp_path / "cut", resume=True) == 0
    assert_same_run(tmp_path / "cut", whole)


def test_the_fingerprint_is_the_same_on_machines_of_either_byte_order():
    images, labels = np.zeros((2, 1, 1), np.uint8), np.array([1, 300])
    content = bytes([0, 0]) + b"".join(label.to_bytes(8, "little") for label in labels.tolist())
    expected = hashlib.sha256(content).hexdigest()[:16]
    for dtype in "<i8", ">i8", "<i4", "uint16":
        assert run_folder.fingerprint(images, labels.astype(dtype)) == expected


@pytest.mark.parametrize("where", ["train_step", "generator_step"])
def test_a_run_with_augmentation_ends_the_same(tmp_path, monkeypatch, where):
    """Interrupted between the random changes for D's step and those for G's."""
    recipe = replace(SMALL, augment="flip,shift", batch_size=7)
    options = dict(images=np.random.default_rng(1).integers(0, 256, (40, 8, 16), dtype=np.uint8))
    assert start(tmp_path / "whole", recipe, **options) == 0
    plain = getattr(TrainingState, where)

    def until(gan, *args):
        if gan.t == 6:
            raise Stop
        return plain(gan, *args)

    with monkeypatch.context() as patched:
        patched.setattr(TrainingState, where, until)
        with pytest.raises(Stop):
            start(tmp_path / "cut", recipe, **options)
    assert start(tmp_path / "cut", recipe, resume=True, **options) == 0
    assert_same_run(tmp_path / "cut", tmp_path / "whole")


@pytest.fixture(scope="module")
def whole_default(tmp_path_factory):
    """A run of the default recipe, of twelve steps in two epochs."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    assert start(folder, DEFAULT) == 0
    return folder


@pytest.mark.parametrize("where", ["train_step", "generator_step"])
@pytest.mark.parametrize("step", [1, 4, 6, 11])
def test_the_default_recipe_ends_the_same(whole_default, tmp_path, monkeypatch, step, where):
    """Interrupted before a step, or within it, when D has learned and G has its fakes."""
    plain = getattr(TrainingState, where)

    def until(gan, *args):
        if gan.t == step:
            raise Stop
        return plain(gan, *args)

    with monkeypatch.context() as patched:
        patched.setattr(TrainingState, where, until)
        with pytest.raises(Stop):
            start(tmp_path / "cut", DEFAULT)
    assert start(tmp_path / "cut", DEFAULT, resume=True) == 0
    assert_same_run(tmp_path / "cut", whole_default)


@pytest.mark.parametrize("write", range(1, 34, 3))
def test_interrupted_while_any_file_is_written(whole, tmp_path, monkeypatch, write):
    """Half of the file is there under another name; the previous one stays."""
    count, plain = 0, run_folder.write_atomically

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

    for module in run_folder, checkpoint, run_module:
        monkeypatch.setattr(module, "write_atomically", half)
    with pytest.raises(Stop):
        start(tmp_path / "cut")
    monkeypatch.undo()
    if checkpoint_paths(tmp_path / "cut"):
        assert start(tmp_path / "cut", resume=True) == 0
        assert_same_run(tmp_path / "cut", whole)
    else:
        assert write == 1  # the very first file, the settings
        with pytest.raises(RunError, match="was interrupted before its first checkpoint"):
            load_run(tmp_path / "cut")


def test_a_finished_run_can_be_made_longer(whole, tmp_path):
    assert start(tmp_path / "a", replace(LONG, epochs=3)) == 0
    assert start(tmp_path / "a", LONG, resume=True) == 0
    assert_same_run(tmp_path / "a", whole)


def test_interrupted_while_the_figures_are_plotted(whole, tmp_path, monkeypatch):
    def stop(*args, **kwargs):
        raise Stop

    with monkeypatch.context() as patched:
        patched.setattr(run_module.sheets, "save_animation", stop)
        with pytest.raises(Stop):
            start(tmp_path / "cut")
    assert start(tmp_path / "cut", resume=True) == 0
    assert_same_run(tmp_path / "cut", whole)


def test_a_run_that_is_made_longer_may_be_killed_at_once(whole, tmp_path, monkeypatch):
    """Its new number of epochs is in the checkpoint before it is in settings.json."""
    assert start(tmp_path / "a", replace(LONG, epochs=3)) == 0

    def stop(gan):
        raise Stop

    with monkeypatch.context() as patched:
        patched.setattr(TrainingState, "train_step", stop)
        with pytest.raises(Stop):
            start(tmp_path / "a", LONG, resume=True)
    settings, _, _ = load_run(tmp_path / "a")
    assert settings["recipe"]["epochs"] == 5
    assert start(tmp_path / "a", LONG, resume=True) == 0
    assert_same_run(tmp_path / "a", whole)


def test_seconds_are_those_of_the_epoch(tmp_path, monkeypatch):
    """An epoch that was over before the run was resumed does not count, and nothing is lost."""
    clock = iter(np.arange(1e6))
    monkeypatch.setattr(run_module.time, "perf_counter", lambda: float(next(clock)))
    start(tmp_path / "a", replace(LONG, epochs=2))
    start(tmp_path / "a", LONG, resume=True)
    with open(tmp_path / "a" / "history.csv") as file:
        seconds = [float(row["seconds"]) for row in csv.DictReader(file)]
    assert max(seconds) - min(seconds) <= 6, (
        seconds
    )  # ticks of a clock that is read a few times a step


def test_what_a_kill_leaves_behind_is_cleared_away(whole, tmp_path):
    start(tmp_path / "a", replace(LONG, epochs=1))
    (tmp_path / "a" / "checkpoint-000000004.npz.partial").write_bytes(b"half")
    (tmp_path / "a" / "checkpoint-000000009.npz").write_bytes(b"damaged")
    start(tmp_path / "a", LONG, resume=True)
    assert (
        not list((tmp_path / "a").glob("*.partial")) and len(checkpoint_paths(tmp_path / "a")) == 2
    )
    load_checkpoint(tmp_path / "a")


def test_streams_that_cannot_be_continued_are_not_repeated():
    gan = TrainingState(LONG, IMAGES, xp=fake_cupy)
    first = gan.noise.random(5).get()
    for _ in range(2):
        gan.train_step()
    other = TrainingState(LONG, IMAGES, xp=fake_cupy)
    other.restore(*gan.save())
    assert other.t == 2 and (other.noise.random(5).get() != first).all()


def test_a_run_on_fake_cupy_can_be_resumed(tmp_path):
    """Its random generators, like CuPy's, have no readable state: it continues with other noise."""
    assert start(tmp_path / "a", replace(LONG, epochs=2), xp=fake_cupy) == 0
    assert start(tmp_path / "a", LONG, resume=True, xp=fake_cupy) == 0
    assert len(history(tmp_path / "a")) == 5


@pytest.mark.parametrize("there, back", [(fake_cupy, np), (np, fake_cupy)])
def test_a_run_goes_from_a_gpu_to_a_cpu_and_back(tmp_path, there, back):
    assert start(tmp_path / "a", replace(LONG, epochs=2), xp=there) == 0
    arrays_, words, _ = load_checkpoint(tmp_path / "a")
    gan, fresh = TrainingState(LONG, IMAGES, xp=back), TrainingState(LONG, IMAGES, xp=back)
    gan.restore(arrays_, words["counts"])
    for name, array in gan.arrays().items():
        np.testing.assert_array_equal(asnumpy(array), arrays_[name])  # the same weights
    assert (asnumpy(gan.noise.random(5)) != asnumpy(fresh.noise.random(5))).all()  # new noise
    for epochs, xp in (3, back), (5, there):
        assert start(tmp_path / "a", replace(LONG, epochs=epochs), resume=True, xp=xp) == 0
    assert len(history(tmp_path / "a")) == 5


def test_the_two_newest_are_kept(whole):
    assert [path.name for path in checkpoint_paths(whole)] == [
        "checkpoint-000000020.npz",
        "checkpoint-000000019.npz",
    ]


@pytest.mark.parametrize("damage", ["empty", "half", "flipped", "text", "gone"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(whole, tmp_path, damage):
    newest, before = (path.read_bytes() for path in checkpoint_paths(whole))
    content = {
        "empty": b"",
        "half": newest[: len(newest) // 2],
        "text": b"not a checkpoint",
        "gone": None,
        "flipped": newest[: len(newest) // 3]
        + bytes([newest[len(newest) // 3] ^ 4])
        + newest[len(newest) // 3 + 1 :],
    }[damage]
    (tmp_path / "checkpoint-000000019.npz").write_bytes(before)
    if content is not None:
        (tmp_path / "checkpoint-000000020.npz").write_bytes(content)
    found, words, complaints = load_checkpoint(tmp_path)
    assert words["counts"]["t"] == 19 and len(complaints) == (damage != "gone")
    assert all("checkpoint-000000020.npz is damaged" in complaint for complaint in complaints)
    (tmp_path / "checkpoint-000000019.npz").write_bytes(b"")
    with pytest.raises(RunError, match="no checkpoint in .* is intact"):
        load_checkpoint(tmp_path)


def test_every_flipped_bit_is_noticed_or_harmless(whole, tmp_path):
    newest = checkpoint_paths(whole)[0].read_bytes()
    good, words, _ = load_checkpoint(whole)
    rng = random.Random(0)
    noticed = 0
    for _ in range(300):
        place, bit = rng.randrange(len(newest)), rng.randrange(8)
        content = bytearray(newest)
        content[place] ^= 1 << bit
        (tmp_path / "checkpoint-000000001.npz").write_bytes(content)
        try:
            found, found_words, _ = load_checkpoint(tmp_path)
        except RunError:
            noticed += 1
            continue
        assert (
            found_words == words
            and set(found) == set(good)
            and all((found[name] == good[name]).all() for name in good)
        )
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
    with pytest.raises(RunError, match="its format is 99, and this minigan reads formats up to"):
        load_run(edited(whole, tmp_path, lambda words: words.update(format=99)))


def test_a_checkpoint_of_another_recipe_or_dtype_is_refused(whole, tmp_path):
    target = edited(whole, tmp_path, lambda words: words["settings"]["recipe"].update(widths_G=[7]))
    (target / "samples").mkdir()
    with pytest.raises(RunError, match="does not belong to this run .*G.theta is float32 of shape"):
        start(target, replace(LONG, widths_G=(7,), epochs=9), resume=True)
    with pytest.raises(RunError, match="does not belong to this run .*G.theta is float32"):
        start(whole, replace(LONG, dtype="float64", epochs=9), resume=True)


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda s: s["recipe"].update(dropout=-3), "was changed .dropout"),
        (lambda s: s.update(seed=5), "was changed .seed"),
        (lambda s: s.update(recipe=None), "is damaged"),
        (None, "is damaged"),
    ],
)
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


@pytest.mark.parametrize(
    "module, name, after",
    [
        (checkpoint, "write_atomically", 7),
        (run_module, "write_history", 2),
        (run_module, "save_model", 2),
        (run_module.plots, "save_grid", 3),
    ],
)
def test_a_full_disk_stops_the_run_and_leaves_the_last_checkpoint(
    whole, tmp_path, monkeypatch, module, name, after
):
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
    assert_same_run(tmp_path / "full", whole)


def test_a_weight_that_is_nan_is_never_written(tmp_path, monkeypatch):
    plain = TrainingState.train_step

    def spoil(gan):
        losses = plain(gan)
        if gan.t == 6:
            gan.G.theta[3] = np.nan
        return losses

    monkeypatch.setattr(TrainingState, "train_step", spoil)
    with pytest.raises(RunError, match="step 6: a weight is NaN or infinite"):
        start(tmp_path / "nan")
    _, words, _ = load_checkpoint(tmp_path / "nan")
    assert words["counts"]["t"] == 5 and all(
        np.isfinite(vector).all()
        for name, vector in arrays(tmp_path / "nan").items()
        if name != "settings"
    )


def test_divergence_is_noticed_within_fifty_steps(tmp_path, monkeypatch):
    plain = TrainingState.train_step

    def spoil(gan):
        losses = plain(gan)
        return (losses[0] * np.nan, *losses[1:]) if gan.t == 2 else losses

    monkeypatch.setattr(TrainingState, "train_step", spoil)
    with pytest.raises(RunError, match="step (4|[2-4].|50): a loss is NaN or infinite"):
        start(tmp_path / "nan", checkpoint_every=1e9)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals for a subprocess")
@pytest.mark.parametrize(
    "number, status",
    [pytest.param(signal.SIGINT, 130, marks=pytest.mark.long), (signal.SIGTERM, 143)],
)
def test_a_signal_saves_and_the_run_can_be_resumed(tmp_path, number, status):
    np.save(tmp_path / "data.npy", PICTURES)
    args = [sys.executable, DEMO, "--data", "data.npy", "--epochs", "100000", "--out", "cut"]
    process = subprocess.Popen(
        args, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for line in process.stdout:
        if line.startswith("epoch   2"):
            break
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == status and errors == ""
    assert "interrupted, and saved after" in output and "python demo.py --resume cut" in output
    done = len(history(tmp_path / "cut"))
    result = demo("--resume", "cut", "--epochs", done + 2, cwd=tmp_path)
    assert result.returncode == 0 and "resuming on 128 images" in result.stdout, result.stderr
    assert len(history(tmp_path / "cut")) == done + 2
    (tmp_path / "cut" / "progress.gif").unlink()
    again = demo("--resume", "cut", cwd=tmp_path)
    assert again.returncode == 0 and f"has all of its {done + 2} epochs" in again.stdout
    assert (tmp_path / "cut" / "progress.gif").is_file()
    fewer = demo("--resume", "cut", "--epochs", 1, cwd=tmp_path)
    assert (
        fewer.returncode == 2
        and f"has {done + 2} epochs already: use --epochs {done + 3} or more" in fewer.stderr
    )
    for flag, value, words in [
        ("--seed", 5, "--seed 5 contradicts cut"),
        ("--learning-rate", 0.5, "--learning-rate 0.5 contradicts"),
        (
            "--recipe",
            "pytorch-mlp",
            "--recipe pytorch-mlp contradicts cut, which was started with default",
        ),
        ("--batch-size", 7, "--batch-size 7 contradicts"),
        ("--out", "other", "--out other contradicts"),
    ]:
        refused = demo("--resume", "cut", flag, value, cwd=tmp_path)
        assert (
            refused.returncode == 2 and words in refused.stderr and refused.stderr.count("\n") == 1
        )


def kill_and_resume(folder, args, moments, timeout=300):
    """Start demo.py with args, kill it after each of the moments, and resume until it is done."""
    command = [sys.executable, DEMO, *map(str, args)]
    for moment in [*moments, None]:
        process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
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
        else:  # killed before its first checkpoint
            shutil.rmtree(folder / "cut", ignore_errors=True)
            command = [sys.executable, DEMO, *map(str, args)]


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt", reason="kill")
@pytest.mark.parametrize("seed", range(30))
def test_killed_at_random_moments_it_ends_the_same(tmp_path, seed):
    """Thirty runs, each of which is killed up to five times."""
    np.save(tmp_path / "data.npy", PICTURES)
    args = [
        "--data",
        "data.npy",
        "--epochs",
        run_module.FREE_REPORTS,  # which epochs have a report does not depend on the time
        "--checkpoint-every",
        0.001,
        "--batch-size",
        32,
        "--out",
    ]
    assert demo(*args, "whole", cwd=tmp_path).returncode == 0
    rng = random.Random(seed)
    started = time.perf_counter()
    kill_and_resume(tmp_path, [*args, "cut"], [rng.uniform(0.7, 2.5) for _ in range(5)])
    assert time.perf_counter() - started > 1
    assert_same_run(tmp_path / "cut", tmp_path / "whole")


def test_a_clock_that_goes_back_changes_nothing(whole, tmp_path, monkeypatch):
    clock = iter(range(10**9, 0, -1000))
    monkeypatch.setattr(time, "time", lambda: next(clock))
    assert start(tmp_path / "a", replace(LONG, epochs=3)) == 0
    assert start(tmp_path / "a", LONG, resume=True) == 0
    assert_same_run(tmp_path / "a", whole)


def test_nan_weights_in_the_last_step_of_an_epoch_are_noticed_before_they_are_evaluated(
    tmp_path, monkeypatch
):
    plain = TrainingState.train_step

    def spoil(gan):
        losses = plain(gan)
        if gan.t == 8:
            gan.G_ema.theta[...] = np.nan
        return losses

    monkeypatch.setattr(TrainingState, "train_step", spoil)
    with pytest.raises(RunError, match="step 8: a weight is NaN or infinite"):
        start(tmp_path / "nan", checkpoint_every=1e9)
    assert (
        np.isfinite(arrays(tmp_path / "nan")["average"]).all()
        and len(history(tmp_path / "nan")) == 1
    )


def test_an_interruption_after_divergence_keeps_the_last_good_model(tmp_path, monkeypatch):
    plain = TrainingState.train_step

    def spoil(gan):
        losses = plain(gan)
        if gan.t == 6:
            gan.G_ema.theta[...] = np.nan
            signal.raise_signal(signal.SIGINT)
        return losses

    monkeypatch.setattr(TrainingState, "train_step", spoil)
    with pytest.raises(RunError, match="step 6: a weight is NaN or infinite"):
        start(tmp_path / "nan", checkpoint_every=1e9)
    assert np.isfinite(arrays(tmp_path / "nan")["average"]).all()


def test_interrupted_before_the_first_step_it_ends_the_same(whole, tmp_path, monkeypatch):
    plain = run_module.save_settings

    def interrupt(*args):
        plain(*args)
        signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(run_module, "save_settings", interrupt)
        assert start(tmp_path / "a") == 143
    assert not (tmp_path / "a" / "history.csv").exists()
    assert (tmp_path / "a" / "model.npz").is_file()
    assert start(tmp_path / "a", resume=True) == 0
    assert_same_run(tmp_path / "a", whole)


def test_a_second_signal_stops_immediately(whole, tmp_path, monkeypatch):
    plain = TrainingState.train_step

    def interrupt_twice(gan):
        losses = plain(gan)
        if gan.t == 6:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        return losses

    handler = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patched:
        patched.setattr(TrainingState, "train_step", interrupt_twice)
        with pytest.raises(KeyboardInterrupt):
            start(tmp_path / "a")
    assert signal.getsignal(signal.SIGINT) is handler
    assert checkpoint_paths(tmp_path / "a")[0].name == "checkpoint-000000005.npz"
    assert start(tmp_path / "a", resume=True) == 0
    assert_same_run(tmp_path / "a", whole)


POSIX = pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="Windows has no such signals")


def with_signals(monkeypatch, *numbers, after=6):
    """Each training run receives these signals after that many steps."""
    plain = TrainingState.train_step

    def train_step(gan):
        losses = plain(gan)
        if gan.t == after:
            try:
                for number in numbers:
                    signal.raise_signal(number)
            except KeyboardInterrupt:  # which would end pytest
                pytest.fail("the second signal stops the run")
        return losses

    monkeypatch.setattr(TrainingState, "train_step", train_step)


@POSIX
def test_a_terminal_that_is_closed_saves_and_ends_the_run(whole, tmp_path, monkeypatch):
    """Both the system and the shell send SIGHUP, and printing fails from then on."""

    class Gone(io.StringIO):
        def write(self, text):
            raise OSError(errno.EIO, "Input/output error")

    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
    try:
        with monkeypatch.context() as patched:
            with_signals(patched, signal.SIGHUP, signal.SIGHUP)
            patched.setattr(sys, "stdout", Gone())
            assert start(tmp_path / "a", checkpoint_every=1e9) == 129
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)
    assert checkpoint_paths(tmp_path / "a")[0].name == "checkpoint-000000006.npz"
    assert start(tmp_path / "a", resume=True) == 0
    assert_same_run(tmp_path / "a", whole)


@POSIX
def test_under_nohup_a_run_goes_on(whole, tmp_path, monkeypatch):
    with_signals(monkeypatch, signal.SIGHUP)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert start(tmp_path / "a") == 0
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    assert_same_run(tmp_path / "a", whole)


@POSIX
@pytest.mark.parametrize("name", ["SIGUSR1", "SIGCONT"])
def test_sigusr1_saves_and_the_run_goes_on(name, whole, tmp_path, monkeypatch, capsys):
    with_signals(monkeypatch, getattr(signal, name))
    saved = []
    plain = run_module.save_model

    def remember(folder, *args, **vectors):
        saved.append([path.name for path in checkpoint_paths(folder)])
        plain(folder, *args, **vectors)

    monkeypatch.setattr(run_module, "save_model", remember)
    assert start(tmp_path / "a", checkpoint_every=1e9) == 0
    assert ["checkpoint-000000006.npz", "checkpoint-000000000.npz"] in saved
    assert "saved after step 6; training goes on" in capsys.readouterr().out
    assert_same_run(tmp_path / "a", whole)


@POSIX
def test_the_log_may_name_a_folder_that_is_not_utf_8(tmp_path):
    """As every name with an umlaut is with LC_ALL=C and PYTHONUTF8=0."""
    folder = tmp_path / os.fsdecode(b"\xfc")
    assert start(folder) == 0
    assert os.fsencode(folder) in (folder / "log.txt").read_bytes()


def test_a_second_sigterm_does_not_prevent_saving(tmp_path, monkeypatch):
    """`timeout` sends it twice."""
    with_signals(monkeypatch, signal.SIGTERM, signal.SIGTERM)
    assert start(tmp_path / "a", checkpoint_every=1e9) == 143
    assert checkpoint_paths(tmp_path / "a")[0].name == "checkpoint-000000006.npz"


def test_killed_in_its_first_step_it_can_be_resumed(whole, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(TrainingState, "train_step", raising_stop)
        with pytest.raises(Stop):
            start(tmp_path / "cut", checkpoint_every=1e9)
    assert start(tmp_path / "cut", resume=True) == 0
    assert_same_run(tmp_path / "cut", whole)


def raising_stop(*args, **kwargs):
    raise Stop


@pytest.mark.parametrize(
    "module, name",
    [
        (run_module.plots, "draw_test_figure"),
        (run_module.plots, "save_grid"),
        (checkpoint, "write_atomically"),
        (run_module, "save_settings"),
    ],
)
def test_a_start_that_fails_leaves_nothing_behind(tmp_path, monkeypatch, module, name):
    def fail(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, name, fail)
    with pytest.raises((OSError, RunError), match="No space left"):
        start(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_figures_that_cannot_be_drawn_are_reported_before_the_first_step(tmp_path, monkeypatch):
    def fail():
        raise OSError(
            "Matplotlib requires access to a writable cache directory, but\nthere is none"
        )

    monkeypatch.setattr(run_module.plots, "draw_test_figure", fail)
    with pytest.raises(
        RunError, match=r"nothing was started \(Matplotlib requires .*MPLCONFIGDIR"
    ) as error:
        start(tmp_path / "a")
    assert "\n" not in str(error.value) and not (tmp_path / "a").exists()


def test_a_run_in_another_thread_leaves_signals_alone(whole, tmp_path):
    statuses, handler = [], signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=lambda: statuses.append(start(tmp_path / "a")))
    thread.start()
    thread.join()
    assert statuses == [0] and signal.getsignal(signal.SIGINT) is handler
    assert_same_run(tmp_path / "a", whole)


@pytest.mark.parametrize("name", ["loss", "negative_slope_G", "format"])
def test_settings_with_a_missing_or_future_entry_are_refused(whole, tmp_path, name):
    shutil.copytree(whole, tmp_path / "run")
    path = tmp_path / "run" / "settings.json"
    settings = json.loads(path.read_text())
    if name == "format":
        settings["format"] += 1
    else:
        del settings["recipe"][name]
    path.write_text(json.dumps(settings))
    with pytest.raises(RunError, match=f"was changed \\({name}\\)"):
        load_run(tmp_path / "run")


def test_settings_that_are_still_in_an_old_format_are_accepted(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    path = tmp_path / "run" / "settings.json"
    settings = json.loads(path.read_text())
    recipe = settings["recipe"]
    recipe |= {"low": recipe.pop("pixel_min"), "rule": recipe.pop("init")}
    del recipe["spectral"]  # there was no such field once
    settings["format"] = 2
    path.write_text(json.dumps(settings))
    assert load_run(tmp_path / "run")[0]["format"] == FORMAT
    recipe["low"] = 0.0
    path.write_text(json.dumps(settings))
    with pytest.raises(RunError, match="was changed \\(pixel_min\\)"):
        load_run(tmp_path / "run")
