"""A short training, the folder it leaves behind, and sampling from it again."""

import csv
import json
import shutil
from pathlib import Path

import fake_cupy
import numpy as np
import pytest
from helpers import SMALL, arrays, train_small
from helpers import SMALL_IMAGES as IMAGES
from PIL import Image

from minigan.datasets.load import Dataset
from minigan.figures import plots
from minigan.gan.losses import GAN_LOSSES
from minigan.gan.models import ARCHITECTURES, make_networks
from minigan.gan.recipes import RECIPES, REGISTRIES, Recipe, replace
from minigan.training import run as run_module
from minigan.training import run_folder, state
from minigan.training.run_folder import (
    RunError,
    load_model,
    make_default_run_folder,
    make_run_folder,
    make_settings,
)
from minigan.training.sampling import sample_images, walk_images


def run(folder, *args, **options):
    assert train_small(folder, *args, **options) == 0
    return folder


def settings_of(recipe, images=IMAGES, **options):
    dataset = Dataset(images, None, [], None, None, [])
    return make_settings(recipe, dataset, Path(), seed=0, backend="numpy", **options)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return run(tmp_path_factory.mktemp("runs") / "a")


def test_the_run_folder(finished):
    names = {p.relative_to(finished).as_posix() for p in finished.rglob("*")} - {".lock"}
    assert sorted(names) == [
        "checkpoint-000000000.npz",
        "checkpoint-000000008.npz",
        "fd.png",
        "generators",
        "generators/epoch-0001.npz",
        "generators/epoch-0002.npz",
        "history.csv",
        "index.html",
        "log.txt",
        "losses.png",
        "model.npz",
        "progress.gif",
        "samples",
        "samples/epoch-0000.png",
        "samples/epoch-0001.png",
        "samples/epoch-0002.png",
        "scores.png",
        "settings.json",
    ]
    for name in "losses.png", "scores.png", "fd.png":
        with Image.open(finished / name) as picture:
            assert picture.size == (700, 400)
    with Image.open(finished / "progress.gif") as animation:
        assert animation.n_frames == 3
    with Image.open(finished / "samples" / "epoch-0002.png") as picture:
        assert picture.size == (2 * (10 * 7 + 2), 2 * (10 * 8 + 2))  # 10 x 10, margins of 2, zoomed


def test_history_is_what_was_measured(finished):
    with open(finished / "history.csv") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "epoch",
        "loss_D",
        "loss_G",
        "score_real",
        "score_fake",
        "fd",
        "spread",
        "seconds",
        "images_per_second",
        "elapsed",
    ]
    assert [row["epoch"] for row in rows] == ["1", "2"]
    for row in rows:
        assert 0 < float(row["score_real"]) < 1 and 0 < float(row["score_fake"]) < 1
        assert 0.1 < float(row["loss_D"]) < 5 and 0.1 < float(row["loss_G"]) < 5
        assert float(row["images_per_second"]) == pytest.approx(
            80 / float(row["seconds"])
        )  # 4 steps of 20


def test_settings_say_everything(finished):
    settings = json.loads((finished / "settings.json").read_text())
    assert (
        settings["seed"] == 0
        and settings["backend"] == "numpy"
        and Path(settings["data"]) == Path("nowhere").resolve()
    )
    assert (settings["n_images"], settings["height"], settings["width"]) == (90, 6, 5)
    assert set(settings["versions"]) == {"minigan", "python", "numpy", "machine", "system"}
    assert run_folder.read_recipe(settings) == SMALL
    assert json.loads(str(arrays(finished)["settings"])) == settings


def test_the_same_seed_is_the_same_run_and_another_is_not(finished, tmp_path):
    again, other = arrays(run(tmp_path / "b")), arrays(run(tmp_path / "c", seed=1))
    for name in "generator", "discriminator", "average":
        np.testing.assert_array_equal(arrays(finished)[name], again[name])
        assert (again[name] != other[name]).any()
    for name in "epoch-0000.png", "epoch-0002.png":
        assert (tmp_path / "b/samples" / name).read_bytes() == (
            finished / "samples" / name
        ).read_bytes()


def test_the_plain_steps_on_fake_cupy_give_the_same_bit_for_bit(finished, tmp_path):
    there = arrays(run(tmp_path / "fake", xp=fake_cupy, fused=False))
    for name in "generator", "discriminator", "average":
        np.testing.assert_array_equal(there[name], arrays(finished)[name])
    for name in "epoch-0000.png", "epoch-0001.png", "epoch-0002.png":
        assert (tmp_path / "fake/samples" / name).read_bytes() == (
            finished / "samples" / name
        ).read_bytes()


def test_a_short_training_on_every_backend(finished, tmp_path, xp):
    """On a device it agrees to rounding. A GPU has other noise: only the start is the same."""
    folder = run(tmp_path / "a", xp=xp)
    assert sorted(p.name for p in folder.rglob("*")) == sorted(p.name for p in finished.rglob("*"))
    assert (folder / "samples/epoch-0000.png").read_bytes() == (
        finished / "samples/epoch-0000.png"
    ).read_bytes()
    for name in "generator", "discriminator", "average":
        vector = arrays(folder)[name]
        assert vector.dtype == "float32" and np.isfinite(vector).all()
        if xp.__name__ != "cupy":
            np.testing.assert_allclose(
                vector,
                arrays(finished)[name],
                rtol=0 if xp is np else 1e-4,
                atol=0 if xp is np else 1e-6,
            )


def test_losses_are_fetched_only_now_and_then(tmp_path, monkeypatch):
    """Between two copies of the losses to the host, nothing makes it wait for the device."""
    calls = []
    monkeypatch.setattr(run_module, "FETCH_EVERY", 3)
    monkeypatch.setattr(
        run_module, "asnumpy", lambda x: calls.append(x.shape) or fake_cupy.asnumpy(x)
    )

    def unsynced(step):
        def inner(*args, **options):
            with fake_cupy.no_sync():
                return step(*args, **options)

        return inner

    for name in "discriminator_step", "generator_step", "scale":
        monkeypatch.setattr(state, name, unsynced(getattr(state, name)))
    run(tmp_path / "a", xp=fake_cupy, fused=False)
    assert calls.count((12,)) == 2 and calls.count((4,)) == 2  # of 4 steps an epoch: 3, then 1


def test_every_image_is_shown_once_an_epoch_in_a_new_order(tmp_path, monkeypatch):
    seen, step = [], state.discriminator_step

    def spy(G, D, optimizer, real, z, **options):
        seen.append(real)
        return step(G, D, optimizer, real, z, **options)

    monkeypatch.setattr(state, "discriminator_step", spy)
    run(tmp_path / "a", replace(SMALL, batch_size=30))
    assert len(seen) == 6
    first, second = np.concatenate(seen[:3]), np.concatenate(seen[3:])
    expected = np.sort(IMAGES.astype("float32") / 127.5 - 1, axis=0)
    np.testing.assert_array_equal(np.sort(first, axis=0), expected)
    np.testing.assert_array_equal(np.sort(second, axis=0), expected)
    assert (first != second).any()


def test_noise_is_always_new(tmp_path, monkeypatch):
    noise = []

    def spy(step):
        def inner(G, D, optimizer, *rest, **options):
            noise.append(rest[-1].copy())  # z is the last positional argument of both steps
            return step(G, D, optimizer, *rest, **options)

        return inner

    for name in "discriminator_step", "generator_step":
        monkeypatch.setattr(state, name, spy(getattr(state, name)))
    run(tmp_path / "a")
    assert len(np.unique(np.concatenate(noise))) == 2 * 8 * 20 * 3


def test_the_log_holds_what_was_printed(tmp_path, capsys):
    folder = run(tmp_path / "a")
    first = capsys.readouterr().out
    heading, *lines = (folder / "log.txt").read_text().splitlines()
    assert lines == first.splitlines() and "epoch   2/2" in first
    assert heading.endswith("  python demo.py")
    assert train_small(folder, replace(SMALL, epochs=3), resume=True) == 0
    more = (folder / "log.txt").read_text().splitlines()[len(lines) + 1 :]
    assert more[1:] == capsys.readouterr().out.splitlines() and "epoch   3/3" in "".join(more)


def test_a_log_that_cannot_be_written_does_not_end_a_run(tmp_path, monkeypatch):
    plain = run_module.Run.start_log

    def start_log(run):
        (run.folder / "log.txt").mkdir()
        plain(run)

    monkeypatch.setattr(run_module.Run, "start_log", start_log)
    run(tmp_path / "a")


def test_fd_is_explained_before_it_is_printed(tmp_path, capsys):
    run(tmp_path / "a")
    lines = capsys.readouterr().out.splitlines()
    first = next(i for i, line in enumerate(lines) if "FD" in line)
    assert "Fréchet distance" in lines[first] and "2,000" in lines[first]
    assert [line for line in lines if "Fréchet" in line] == [lines[first]]
    assert "real images have" not in lines[first]
    images = np.random.default_rng(1).integers(0, 256, (2500, 6, 5), dtype=np.uint8)
    run(tmp_path / "b", replace(SMALL, epochs=1), images)
    assert "real images have 0." in capsys.readouterr().out


def test_samples_of_an_earlier_epoch_are_those_that_it_had(tmp_path):
    recipe = replace(SMALL, epochs=3)
    folder = run(tmp_path / "a", recipe)
    short = run(tmp_path / "b", replace(recipe, epochs=1))
    newest = sample_images(folder, 7, seed=3)
    np.testing.assert_array_equal(sample_images(folder, 7, seed=3, epoch=3), newest)
    first = sample_images(folder, 7, seed=3, epoch=1)
    assert (first != newest).any()
    # one epoch of a run of three, whose learning rate falls more slowly
    np.testing.assert_allclose(first, sample_images(short, 7, seed=3), atol=0.05)
    walk = walk_images(folder, [3, 4], 2, epoch=1)
    np.testing.assert_array_equal(walk[0, 0], sample_images(folder, 1, seed=3, epoch=1)[0])
    with pytest.raises(RunError, match="epoch 7: it has those of 1, 2, 3$"):
        sample_images(folder, 7, seed=3, epoch=7)
    with pytest.raises(RunError, match="no model.npz"):
        sample_images(tmp_path / "nowhere", 7, seed=3, epoch=1)
    with pytest.raises(RunError, match="needs the RUN_DIR"):
        sample_images(None, 7, seed=3, epoch=1)
    run_folder.generator_path(folder, 2).write_bytes(b"half a file")
    with pytest.raises(RunError, match="epoch-0002.npz is damaged"):
        sample_images(folder, 7, seed=3, epoch=2)
    shutil.rmtree(folder / "generators")
    with pytest.raises(RunError, match="it has those of none"):
        sample_images(folder, 7, seed=3, epoch=1)


def test_generators_have_a_bounded_size(tmp_path, monkeypatch):
    recipe = replace(SMALL, epochs=9)
    size = run_folder.generator_path(run(tmp_path / "a", recipe), 9).stat().st_size
    monkeypatch.setattr(run_module, "MAX_GENERATORS_BYTES", 4 * size)
    assert run_folder.kept_generators(run(tmp_path / "b", recipe)) == [1, 5, 9]
    monkeypatch.setattr(run_module, "MAX_GENERATORS_BYTES", 0)
    assert run_folder.kept_generators(run(tmp_path / "c", recipe)) == [1, 9]


def test_a_fresh_sample_is_reproducible(finished):
    images = sample_images(finished, 7, seed=3)
    assert images.shape == (7, 6, 5) and images.dtype == np.float32
    assert 0 <= images.min() < images.max() <= 1
    np.testing.assert_array_equal(images, sample_images(finished, 7, seed=3))
    assert (images != sample_images(finished, 7, seed=4)).any()
    np.testing.assert_allclose(
        sample_images(finished, 1005, seed=3)[:7], images, atol=1e-6
    )  # more than one chunk


def test_samples_come_from_the_averaged_generator(finished):
    G, _ = make_networks(SMALL, (6, 5), rng=np.random.default_rng(0))
    G.theta[...] = arrays(finished)["average"]
    z = np.random.default_rng(3).standard_normal((7, 3), dtype="float32")
    np.testing.assert_array_equal(sample_images(finished, 7, seed=3), (G.forward(z)[0] + 1) / 2)


def settings_with(**changes):
    settings = settings_of(SMALL)
    settings["recipe"].update(
        {key: value for key, value in changes.items() if key in settings["recipe"]}
    )
    settings.update({key: value for key, value in changes.items() if key not in settings["recipe"]})
    return json.dumps(settings)


BAD_MODELS = {
    "empty": (b"", "damaged"),
    "text": (b"not a model", "damaged"),
    "half": (0.5, "damaged"),
    "foreign": (dict(x=np.ones(3)), "damaged"),
    "pickled": (dict(settings=np.array([{}], dtype=object)), "damaged"),
    "no json": (dict(settings="{"), "damaged"),
    "a list": (dict(settings="[]"), "damaged"),
    "another format": (dict(settings=settings_with(format=99)), "format is 99"),
    "a width of text": (dict(settings=settings_with(widths_G=["many"])), "widths_G"),
    "a width below zero": (dict(settings=settings_with(widths_D=[-5])), "widths_D"),
    "a latent of 0": (dict(settings=settings_with(latent_dim=0)), "latent_dim"),
    "a truth value": (dict(settings=settings_with(latent_dim=True)), "latent_dim"),
    "a dtype of ours": (dict(settings=settings_with(dtype="object")), "dtype"),
    "a height of text": (dict(settings=settings_with(height="tall")), "height"),
    "too few weights": (
        dict(settings=settings_with(), generator=np.ones(3, "float32")),
        "generator",
    ),
    "float64 weights": (dict(settings=settings_with(), generator=np.ones(234)), "float64"),
    "too large to be true": (
        dict(settings=settings_with(widths_G=[10**9])),
        "settings require more weights",
    ),
    "networks of another kind": (
        dict(settings=settings_with(networks="resnet")),
        "was trained with networks 'resnet', which are not minigan's: add --import FILE.py",
    ),
    "convolutions on odd images": (
        dict(settings=settings_with(networks="dcgan", widths_G=[4, 3], widths_D=[3, 4])),
        "need multiples of 4",
    ),
    "a yes that is a number": (
        dict(settings=settings_with(with_replacement=1)),
        "with_replacement",
    ),
    "a black of grey": (dict(settings=settings_with(pixel_min=-0.5)), "pixel_min is"),
}


@pytest.mark.parametrize("content, words", BAD_MODELS.values(), ids=BAD_MODELS.keys())
def test_a_bad_model_is_refused_in_a_sentence(finished, tmp_path, content, words):
    path = tmp_path / "model.npz"
    if isinstance(content, dict):
        vectors = (
            {k: v for k, v in arrays(finished).items() if k != "settings"}
            if "settings" in content
            else {}
        )
        np.savez(path, **{**vectors, **content})
    else:
        whole = (finished / "model.npz").read_bytes()
        path.write_bytes(
            content if isinstance(content, bytes) else whole[: int(content * len(whole))]
        )
    with pytest.raises(RunError, match=words) as caught:
        load_model(tmp_path)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(RunError, match="no model.npz"):
        load_model(tmp_path)


def test_nothing_is_ever_overwritten(finished, tmp_path):
    before = {p: p.stat().st_mtime_ns for p in finished.rglob("*")}
    with pytest.raises(RunError, match="not empty"):
        make_run_folder(finished)
    (tmp_path / "file").write_text("precious")
    with pytest.raises(RunError, match="is a file"):
        make_run_folder(tmp_path / "file")
    with pytest.raises(RunError, match="cannot write"):
        make_run_folder(tmp_path / "file" / "below")
    assert {p: p.stat().st_mtime_ns for p in finished.rglob("*")} == before
    assert (tmp_path / "file").read_text() == "precious"
    assert make_run_folder(tmp_path / "deep" / "new").is_dir()


def test_runs_that_start_in_the_same_second_have_folders_of_their_own(tmp_path, monkeypatch):
    class Clock(run_folder.datetime):
        @classmethod
        def now(cls):
            return cls(2026, 1, 2, 3, 4, 5)

    monkeypatch.setattr(run_folder, "datetime", Clock)
    monkeypatch.chdir(tmp_path)
    names = [make_default_run_folder("a").name for _ in range(3)]
    assert names == ["20260102-030405-a", "20260102-030405-a-2", "20260102-030405-a-3"]
    plain, faster = Path.mkdir, []

    def mkdir(path, *args, **options):
        if path.name == "samples" and path.parent not in faster:
            faster.append(path.parent)  # another run is a moment faster
            plain(path)
        plain(path, *args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "mkdir", mkdir)
        with pytest.raises(RunError, match="mine is not empty"):
            make_run_folder(Path("mine"))
        faster.append(Path("runs") / "20260102-030405-a-5")
        assert make_default_run_folder("a") == faster[1]
        assert faster[2:] == [Path("runs") / "20260102-030405-a-4"]
    (tmp_path / "runs").rename(tmp_path / "other")
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(RunError, match="cannot write to runs"):
        make_default_run_folder("a")


def test_a_file_is_never_there_by_half(tmp_path):
    path = tmp_path / "model.npz"
    path.write_bytes(b"the last good one")

    def fail(file):
        file.write(b"half of")
        raise OSError("disk full")

    with pytest.raises(OSError):
        run_folder.write_atomically(path, fail)
    assert path.read_bytes() == b"the last good one"


def test_a_grid_shows_every_image_at_its_place():
    images = np.stack([np.full((3, 2), v, "float32") for v in (0, 0.2, 0.4, 0.6, 1.5)])
    picture = plots.make_grid(images)
    assert picture.shape == (2 * 5 + 2, 3 * 4 + 2)  # 2 rows of 3, margins of 2
    assert picture[7:10, 2:4].tolist() == [[153, 153]] * 3  # the fourth: second row, first column
    assert picture[7:10, 6:8].max() == 255 and picture[7:10, 10:12].max() == 0
    assert plots.make_grid(images, columns=5).shape == (7, 22)


def test_every_recipe_can_be_saved_and_read():
    assert REGISTRIES["networks"][0] is ARCHITECTURES
    for name, recipe in RECIPES.items():
        assert name == recipe.name and isinstance(recipe, Recipe)
        plain = replace(recipe, clusters=0)
        G, D = make_networks(plain, (28, 28), rng=np.random.default_rng(0))
        assert run_folder.count_parameters(plain, {"height": 28, "width": 28}) == {
            "generator": G.theta.size,
            "average": G.theta.size,
            "discriminator": D.theta.size,
            "generator_state": G.buffers.size,
            "average_state": G.buffers.size,
            "discriminator_state": D.buffers.size,
        }
        clusters = dict(clusters=np.arange(5), n_clusters=5) if recipe.clusters else {}
        settings = settings_of(recipe, np.zeros((5, 28, 28), "uint8"), **clusters)
        assert run_folder.read_recipe(json.loads(json.dumps(settings))) == recipe


def test_a_model_of_an_earlier_minigan_is_read(finished, tmp_path):
    """Format 1 had no state vectors, and recipes of fewer values."""
    old = {name: value for name, value in arrays(finished).items() if not name.endswith("_state")}
    settings = json.loads(str(old.pop("settings")))
    settings["format"] = 1
    for name in (
        "source",
        "networks",
        "init_D",
        "noise",
        "pixel_min",
        "batch_size_G",
        "steps_per_epoch",
        "with_replacement",
        "d_warmup_steps",
        "optimizer",
        "weight_decay_G",
    ):
        del settings["recipe"][name]
    np.savez(tmp_path / "model.npz", settings=json.dumps(settings), **old)
    np.testing.assert_array_equal(
        sample_images(tmp_path, 5, seed=1), sample_images(finished, 5, seed=1)
    )


LINES = {  # loss: the heights of the lines in losses.png, for real_label 1 and, if supported, 0.9
    "non-saturating": ([2 * np.log(2), np.log(2)], [1.3762, 0.7985]),
    "minimax": ([2 * np.log(2), -np.log(2)], [1.3762, -0.5978]),
    "least-squares": ([0.25, 0.125], [0.2025, 0.15125]),
    "hinge": ([2.0], None),  # a D that cannot distinguish may have any score, and so may G
    "wasserstein": ([0.0], None),
    "relativistic": ([np.log(2)], None),
}


@pytest.mark.parametrize("loss", GAN_LOSSES)
def test_losses_png_marks_the_losses_of_a_discriminator_that_cannot_distinguish(loss, monkeypatch):
    plotted = []
    monkeypatch.setattr(
        plots, "save_curves", lambda *args, lines, **options: plotted.append(list(lines))
    )
    for real_label, expected in zip((1.0, 0.9), LINES[loss]):
        if expected:
            plots.save_losses([], "losses.png", real_label=real_label, loss=loss)
            np.testing.assert_allclose(plotted.pop(), expected, atol=1e-4)


def test_the_line_of_an_epoch_with_a_loss_on_pairs_has_its_differences():
    row = dict(epoch=2, loss_D=0.6, loss_G=0.9, difference=-0.001, ordered=0.634, fd=3.25)
    row |= dict(seconds=1.0, images_per_second=100.0)
    line = run_module.format_epoch(row, 3, "healthy", loss="relativistic")
    assert "   D(x) - D(G(z)) 0.00  above 0 63%   " in line
    assert run_module.step_columns("relativistic")[2:] == ("difference", "ordered")


class Clock:
    """A clock for training.run whose time passes only when something calls `wait`."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now

    def wait(self, seconds, result):
        self.now += seconds
        return result


@pytest.fixture
def clock(monkeypatch):
    """Each step takes 0.05 s and each report 2 s."""
    clock, plain = Clock(), state.TrainingState.train_step

    class SlowEvaluator:
        def quick(self, images, requested=None):
            return clock.wait(2.0, {"fd": 1 + clock.now, "spread": 1.0})

    monkeypatch.setattr(run_module, "time", clock)
    monkeypatch.setattr(state.TrainingState, "train_step", lambda gan: clock.wait(0.05, plain(gan)))
    clock.evaluator = lambda *given: SlowEvaluator()
    return clock


def rows_of(folder):
    with open(folder / "history.csv") as file:
        return [{name: float(x) for name, x in row.items()} for row in csv.DictReader(file)]


def test_reports_take_a_bounded_share_of_the_time(tmp_path, monkeypatch, clock):
    """300 epochs of 4 steps, 0.2 s each: the first 5 have a report, others a tenth of the time,
    and the last one. The weights are those of a run in which every epoch has one.
    """
    monkeypatch.setattr(run_module, "FREE_REPORTS", 5)
    monkeypatch.setattr(run_module, "MAX_FRAMES", 4)
    recipe = replace(SMALL, epochs=300)
    folder = run(tmp_path / "a", recipe, evaluator=clock.evaluator)
    rows = rows_of(folder)
    epochs = [int(row["epoch"]) for row in rows]
    assert epochs[:5] == [1, 2, 3, 4, 5] and epochs[-1] == 300
    # 300 epochs take 60 s: 5 reports before, then 2 s in 20 s, and the last
    assert 60 / 18 - 1 <= len(rows) - 5 <= 1.1 * 70 / 20 + 2
    assert clock.now == pytest.approx(60 + 2 * len(rows))
    assert rows[-1]["elapsed"] == pytest.approx(clock.now)
    kept = run_folder.kept_generators(folder)
    assert 5 < len(kept) <= run_module.MAX_GENERATORS and kept[-1] == 300 and kept[0] == 1
    gaps = np.diff([0, *epochs])
    for row, gap in zip(rows, gaps):
        assert row["seconds"] == pytest.approx(0.2 * gap)
        assert row["images_per_second"] == pytest.approx(20 / 0.05)
    names = sorted(path.name for path in (folder / "samples").iterdir())
    assert names == [f"epoch-{epoch:04}.png" for epoch in sorted({0, *epochs})]
    with Image.open(folder / "progress.gif") as animation:
        assert animation.n_frames <= 5
    monkeypatch.setattr(run_module, "FREE_REPORTS", 300)
    other = run(tmp_path / "b", recipe, evaluator=lambda *given: AnEvaluator())
    assert len(rows_of(other)) == 300
    for name in "generator", "discriminator", "average":
        np.testing.assert_array_equal(arrays(folder)[name], arrays(other)[name])
    losses = np.array([row["loss_D"] for row in rows_of(other)])
    for row, gap in zip(rows, gaps):  # the mean of all steps since the last report
        last = int(row["epoch"])
        assert row["loss_D"] == pytest.approx(losses[last - gap : last].mean())


class AnEvaluator:
    """An evaluator that takes no time."""

    def quick(self, images, requested=None):
        return {"fd": 1.0, "spread": 1.0}


@pytest.mark.parametrize("stopped_after", [1, 30, 32, 101])
def test_an_interrupted_run_with_few_reports_ends_with_the_same_weights(
    tmp_path, monkeypatch, clock, stopped_after
):
    monkeypatch.setattr(run_module, "FREE_REPORTS", 2)
    recipe = replace(SMALL, epochs=30)
    whole = run(tmp_path / "whole", recipe, evaluator=clock.evaluator)
    plain = state.TrainingState.train_step

    class Stop(BaseException):
        """Power cut."""

    def stop(gan):
        if gan.t == stopped_after:
            raise Stop
        return plain(gan)

    options = dict(evaluator=clock.evaluator, checkpoint_every=1e-9)
    with monkeypatch.context() as patched:
        patched.setattr(state.TrainingState, "train_step", stop)
        with pytest.raises(Stop):
            run(tmp_path / "cut", recipe, **options)
    cut = run(tmp_path / "cut", recipe, resume=True, **options)
    for name in "generator", "discriminator", "average":
        np.testing.assert_array_equal(arrays(cut)[name], arrays(whole)[name])
    rows = rows_of(cut)
    gaps = np.diff([0, *(row["epoch"] for row in rows)])
    assert rows[-1]["epoch"] == 30 and (gaps > 0).all()
    for row, gap in zip(rows, gaps):  # no step is missing, and none counts twice
        assert row["seconds"] == pytest.approx(0.2 * gap)
        assert row["images_per_second"] == pytest.approx(20 / 0.05)


def test_the_hint_for_few_images_counts_the_images_of_whole_batches(tmp_path, capsys):
    """25 images in batches of 20: an epoch shows 20 of them."""
    run(tmp_path / "a", images=IMAGES[:25])
    assert f"only 2 steps; --epochs {2 * 60_000 // 20} trains" in capsys.readouterr().out
