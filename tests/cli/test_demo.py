"""The command line, as a user types it."""

import csv
import gzip
import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import DEMO, demo, demo_process, idx
from PIL import Image

import minigan
from minigan.accel import cpu
from minigan.cli import arguments, train
from minigan.gan.models import make_networks
from minigan.gan.recipes import FIELDS, RECIPES, asdict, replace
from minigan.training import inputs, run
from minigan.training.lock import lock_folder

DEFAULT = RECIPES["default"]
IMAGES = np.random.default_rng(0).integers(0, 256, (128, 28, 28), dtype=np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with small data/ and one finished run in run/."""
    folder = tmp_path_factory.mktemp("demo")
    (folder / "data").mkdir()
    (folder / "data" / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(IMAGES)))
    result = demo("--data", "data", "--epochs", 1, "--out", "run", cwd=folder)
    assert result.returncode == 0, result.stderr
    (folder / "output").write_text(result.stdout + result.stderr)
    return folder


def test_one_epoch_leaves_a_run_folder(folder):
    names = {path.name for path in (folder / "run").iterdir()}
    assert sorted(names - {".lock"}) == [  # which some versions of filelock remove
        "checkpoint-000000000.npz",
        f"checkpoint-{len(IMAGES) // DEFAULT.batch_size:09}.npz",
        "fd.png",
        "generators",
        "history.csv",
        "index.html",
        "log.txt",
        "losses.png",
        "model.npz",
        "progress.gif",
        "samples",
        "scores.png",
        "settings.json",
    ]
    assert sorted(p.name for p in (folder / "run" / "samples").iterdir()) == [
        "epoch-0000.png",
        "epoch-0001.png",
    ]


def test_in_a_pipe_it_prints_plain_lines(folder):
    output = (folder / "output").read_text()
    assert "training on 128 images of 28 x 28 with numpy" in output
    assert "epoch   1/1   FD" in output and "images/s" in output
    assert "sample run --out digits.png" in output
    assert not any(ord(c) < 32 and c != "\n" for c in output)


def test_the_page_and_the_log_know_the_command(folder):
    log, page = ((folder / "run" / name).read_text() for name in ("log.txt", "index.html"))
    assert log.splitlines()[0].endswith("  python demo.py --data data --epochs 1 --out run")
    assert "python demo.py sample run --out samples.png" in page


def test_open_shows_the_page_in_a_browser(folder, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(run, "open_in_browser", lambda path: opened.append(path) or "opening it")
    args = ["--data", folder / "data", "--epochs", 1, "--out", "new", "--open"]
    result = demo(*args, cwd=tmp_path)
    assert result.returncode == 0 and "opening it" in result.stdout, result.stderr
    assert opened == [Path("new/index.html")] and (tmp_path / opened[0]).is_file()


def test_samples_of_an_earlier_epoch(folder, tmp_path):
    args = [folder / "run", "--count", 2, "--out"]
    assert demo("sample", *args, "a.npy", cwd=tmp_path).returncode == 0
    assert demo("sample", *args, "b.npy", "--epoch", 1, cwd=tmp_path).returncode == 0
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()
    for command in (
        ["sample", *args, "c.npy"],
        ["walk", folder / "run", "--out", "c.gif"],
        ["evaluate", folder / "run"],
        ["export", folder / "run", "--to", "html", "--out", "c.html"],
    ):
        result = demo(*command, "--epoch", 2, cwd=tmp_path)
        assert result.returncode == 2 and result.stderr.count("\n") == 1, command
        assert "epoch 2: it has those of 1" in result.stderr, command
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npy", "b.npy"]


def test_an_earlier_epoch_is_measured_beside_the_metrics_of_the_run(folder, tmp_path):
    own = shutil.copytree(folder / "run", tmp_path / "run")
    shutil.copy(own / "generators" / "epoch-0001.npz", own / "generators" / "epoch-0007.npz")
    before = {path: path.read_bytes() for path in own.rglob("*.*") if path.is_file()}
    result = demo("evaluate", own, "--count", 100, "--epoch", 7, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "100 images of the generator after epoch 7, compared with" in result.stdout
    assert f"written to {own / 'epoch-0007' / 'metrics.json'}" in result.stdout
    assert all(path.read_bytes() == content for path, content in before.items())
    assert not (own / "metrics.json").exists()
    metrics = json.loads((own / "epoch-0007" / "metrics.json").read_text())
    assert metrics["epoch"] == 7 and (own / "epoch-0007" / "real-and-fake.png").is_file()
    assert not (own / "epoch-0007" / "gradient.png").exists()  # of a D that is not kept
    result = demo("evaluate", own, "--count", 100, cwd=tmp_path)
    assert result.returncode == 0 and "after epoch" not in result.stdout, result.stderr
    newest = json.loads((own / "metrics.json").read_text())
    assert newest["run"] == metrics["run"]  # it is the same generator
    assert "epoch" not in newest and newest["epochs"] == 1
    assert (own / "gradient.png").is_file()


def test_an_earlier_generator_is_exported(folder, tmp_path):
    own = shutil.copytree(folder / "run", tmp_path / "run")
    shutil.copy(own / "generators" / "epoch-0001.npz", own / "generators" / "epoch-0007.npz")
    pages = []
    for number, flags in enumerate([[], ["--epoch", 7]]):
        args = ["export", own, "--to", "html", "--out", f"{number}.html", *flags]
        assert demo(*args, cwd=tmp_path).returncode == 0
        pages.append((tmp_path / f"{number}.html").read_text())
    assert '"D":[' in pages[0] and '"D":null' in pages[1]


def test_runs_are_listed(folder, tmp_path):
    shutil.copytree(folder / "run", tmp_path / "runs" / "a")
    shutil.copytree(folder / "run", tmp_path / "runs" / "group" / "b")
    path = tmp_path / "runs" / "group" / "b" / "settings.json"
    settings = json.loads(path.read_text())
    settings["started"], settings["recipe"]["epochs"] = "2099", 12
    path.write_text(json.dumps(settings))
    (tmp_path / "runs" / "new" / "samples").mkdir(parents=True)
    shutil.copy(path, tmp_path / "runs" / "new")
    (tmp_path / "runs" / "bad").mkdir()
    (tmp_path / "runs" / "bad" / "settings.json").write_text("{")
    with lock_folder(tmp_path / "runs" / "new"):
        result = demo("runs", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    heading, bad, a, b, new, _ = result.stdout.splitlines()
    assert heading.split()[:4] == ["run", "recipe", "seed", "images"]
    assert bad.split()[:2] == ["runs/bad", "damaged"]
    assert a.split()[:6] == ["runs/a", "default", "0", "128", "1/1", "finished"]
    assert b.split()[:6] == ["runs/group/b", "default", "0", "128", "1/12", "interrupted"]
    assert new.split()[:6] == ["runs/new", "default", "0", "128", "0/12", "training"]
    with open(folder / "run" / "history.csv") as file:
        (row,) = csv.DictReader(file)
    assert float(a.split()[-1]) == pytest.approx(float(row["fd"]), abs=0.01)
    for where, words in (("nowhere", "no folder nowhere"), ("runs/a/samples", "holds no runs")):
        result = demo("runs", where, cwd=tmp_path)
        assert result.returncode == 2 and words in result.stderr


def test_the_default_folder_is_new_each_time(folder, tmp_path):
    data = folder / "data"
    assert demo("--data", data, "--epochs", 1, cwd=tmp_path).returncode == 0
    (made,) = (tmp_path / "runs").iterdir()
    assert made.name.endswith("-default") and (made / "model.npz").is_file()


def test_sample_writes_a_grid_or_an_array(folder, tmp_path):
    run = folder / "run"
    result = demo("sample", run, "--count", 5, "--out", "a.npy", "--seed", 7, cwd=tmp_path)
    assert result.returncode == 0 and "5 new images in a.npy" in result.stdout
    images = np.load(tmp_path / "a.npy", allow_pickle=False)
    assert (
        images.dtype == np.float32
        and images.shape == (5, 28, 28)
        and 0 <= images.min() < images.max() <= 1
    )
    assert (
        demo("sample", run, "--count", 5, "--out", "b.npy", "--seed", 7, cwd=tmp_path).returncode
        == 0
    )
    assert demo("sample", run, "--count", 5, "--out", "c.npy", cwd=tmp_path).returncode == 0
    assert (
        (tmp_path / "a.npy").read_bytes()
        == (tmp_path / "b.npy").read_bytes()
        != (tmp_path / "c.npy").read_bytes()
    )
    assert (
        demo("sample", run, "--count", 5, "--plain", "--out", "a.png", cwd=tmp_path).returncode == 0
    )
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (2 * (3 * 30 + 2), 2 * (2 * 30 + 2))


def test_evaluate_measures_a_run(folder):
    result = demo("evaluate", "run", "--count", 128, cwd=folder)
    assert result.returncode == 0, result.stderr
    assert "chet distance" in result.stdout and "written to run/metrics.json" in result.stdout
    steps = result.stderr.splitlines()
    assert steps[0] == "... generating 128 images" and steps[-1] == "... drawing figures"
    assert (folder / "run" / "metrics.json").is_file()
    figures = result.stdout.strip().partition("in the same folder: ")[2].split(", ")
    assert {"neighbours.png", "walk.gif"} < set(figures)
    for name in figures:
        assert (folder / "run" / name).is_file(), name


def test_check_prints_a_table_with_a_tick_for_each_gradient(tmp_path):
    result = demo("check", cwd=tmp_path)
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    assert lines[0].split()[-3:] == ["gradient", "relative", "error"]
    assert all(line.endswith("✓") for line in lines[1:-1]) and len(lines) > 25
    assert lines[-1].startswith(f"{len(lines) - 2} of {len(lines) - 2} gradients agree")


def test_walk_is_an_animation(folder, tmp_path):
    result = demo(
        "walk", folder / "run", "--seeds", "5,6", "--frames", 3, "--out", "walk.gif", cwd=tmp_path
    )
    assert result.returncode == 0 and "6 frames" in result.stdout, result.stderr
    with Image.open(tmp_path / "walk.gif") as picture:
        assert picture.n_frames == 6 and min(picture.size) > 4 * 32  # with words around it


def test_a_conditional_run_generates_the_requested_class(folder, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train-images-idx3-ubyte").write_bytes(idx(IMAGES))
    (tmp_path / "data" / "train-labels-idx1-ubyte").write_bytes(
        idx(np.arange(128, dtype=np.uint8) % 3 + 4)
    )
    result = demo(
        "--data",
        "data",
        "--conditional",
        "--classes",
        "4,6",
        "--batch-size",
        16,
        "--epochs",
        1,
        "--out",
        "run",
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert (
        settings["names"] == ["4", "6"]
        and sum(settings["shares"]) == 1
        and settings["recipe"]["conditional"] is True
    )
    assert (
        demo(
            "sample", "run", "--digit", 6, "--count", 3, "--out", "six.npy", cwd=tmp_path
        ).returncode
        == 0
    )
    assert demo("sample", "run", "--count", 6, "--out", "all.npy", cwd=tmp_path).returncode == 0
    np.testing.assert_allclose(
        np.load(tmp_path / "six.npy"), np.load(tmp_path / "all.npy")[3:], atol=1e-6
    )
    result = demo("walk", "run", "--out", "w.gif", "--frames", 1, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    with Image.open(tmp_path / "w.gif") as picture:
        width, height = picture.size
        assert width > 4 * (2 * 30 + 2) and height > 4 * 32  # both classes side by side, and words
    refused = demo("sample", "run", "--digit", 5, cwd=tmp_path)
    assert (
        refused.returncode == 2 and refused.stderr == "demo.py: run has no class '5': it has 4, 6\n"
    )
    labels = tmp_path / "data" / "train-labels-idx1-ubyte"
    right = labels.read_bytes()
    labels.write_bytes(idx(np.arange(128, dtype=np.uint8)[::-1] % 3 + 4))
    refused = demo("--resume", "run", "--epochs", 2, cwd=tmp_path)
    assert refused.returncode == 2 and "holds other images" in refused.stderr
    labels.write_bytes(right)
    assert demo("--resume", "run", "--epochs", 2, cwd=tmp_path).returncode == 0


def test_classes_of_other_names_are_other_classes(tmp_path):
    images, labels = IMAGES[:40, :8, :8], np.arange(40) % 2
    np.savez(tmp_path / "own.npz", images=images, labels=labels)
    made = demo(
        "--data",
        "own.npz",
        "--conditional",
        "--batch-size",
        20,
        "--epochs",
        1,
        "--out",
        "run",
        cwd=tmp_path,
    )
    assert made.returncode == 0, made.stderr
    np.savez(tmp_path / "own.npz", images=images, labels=labels + 5)
    refused = demo("--resume", "run", "--epochs", 2, cwd=tmp_path)
    assert (
        refused.returncode == 2
        and "other class names than when run was started (0, 1)" in refused.stderr
    )


def test_compare_puts_runs_side_by_side(folder, tmp_path):
    run = folder / "run"
    result = demo("compare", run, run, "--out", "both.png", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert str(run) in result.stdout and "curves in both.png" in result.stdout
    with Image.open(tmp_path / "both.png") as picture:
        assert picture.size[0] >= 1300 and picture.size[1] >= 400
    again = demo("compare", run, "--out", "both.png", cwd=tmp_path)
    assert (
        again.returncode == 2
        and "both.png exists: choose another --out, or add --force to replace it; nothing was over"
        in again.stderr
    )


def test_without_out_a_command_writes_the_next_free_name_in_the_run_folder(folder, tmp_path):
    run = shutil.copytree(folder / "run", tmp_path / "run")
    before = {path.name for path in run.iterdir()}
    for args, first, second in (
        (["sample", run, "--count", 2], "samples.png", "samples-2.png"),
        (["walk", run, "--frames", 1], "latent-walk.gif", "latent-walk-2.gif"),
        (["compare", run, run], "comparison.png", "comparison-2.png"),
        (["export", run, "--to", "html"], "run.html", "run-2.html"),
    ):
        for name in first, second:
            result = demo(*args, cwd=tmp_path)
            assert result.returncode == 0 and str(run / name) in result.stdout, result.stderr
            assert (run / name).is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert len({path.name for path in run.iterdir()} - before) == 8


def test_the_next_free_name_is_free_for_all_files_of_an_export(tmp_path):
    (tmp_path / "run.py").touch()
    (tmp_path / "run-2.safetensors").symlink_to("nowhere")
    found = arguments.default_out(tmp_path, "run.safetensors", ".py")
    assert found == tmp_path / "run-3.safetensors"
    assert arguments.default_out(tmp_path, "run.onnx") == tmp_path / "run.onnx"


def test_where_the_run_folder_cannot_be_written_the_current_folder_is_used(tmp_path, monkeypatch):
    (tmp_path / "samples.png").touch()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    for folder in None, "nowhere", "file":
        assert str(arguments.default_out(folder, "samples.png")) == "samples-2.png"


def test_toy_makes_an_animation(tmp_path):
    result = demo("toy", "--steps", 3, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split()[0] == "step" and result.stdout.count("\n") >= 3
    assert "animation in toy.gif" in result.stdout
    with Image.open(tmp_path / "toy.gif") as picture:
        assert picture.n_frames == 4


def test_inspect_writes_into_the_run(folder):
    result = demo("inspect", "run", "--steps", 1, cwd=folder)
    assert result.returncode == 0, result.stderr
    assert "written to run: inspect-weights.png" in result.stdout
    assert "... repeating the first 1 of its training steps" in result.stderr.splitlines()
    assert (folder / "run" / "inspect-discriminator.png").is_file()


def test_recipes_are_listed(tmp_path):
    result = demo("recipes", cwd=tmp_path)
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(RECIPES)
    assert lines[2].startswith("dense            G   550,416  D   533,505  our own")
    for line, recipe in zip(lines, RECIPES.values()):
        G, D = make_networks(recipe, (28, 28), rng=np.random.default_rng(0))
        counts = [f"{net.theta.size:,}" for net in (G, D)]
        assert re.findall(r"[GD] +([\d,]+)", line)[:2] == counts
        assert line.endswith(recipe.source)


def summarised(text):
    """{network: [(layer, output shape, parameters), ...]} of what summary prints, with the totals
    as its last row."""
    tables = {}
    for line in text.splitlines():
        cells = re.split(r" {2,}", line.strip())
        if line.startswith(("generator: ", "discriminator: ")):
            rows = tables.setdefault(line.partition(":")[0], [])
        elif cells[0] == "total":
            rows.append(int(cells[1].split()[0].replace(",", "")))
        elif len(cells) == 3 and cells[0] != "layer":
            rows.append((cells[0], cells[1], int(cells[2].replace(",", ""))))
    return tables


@pytest.mark.parametrize("size", [28, 8])
@pytest.mark.parametrize("name", RECIPES)
def test_a_summary_counts_the_parameters_of_a_recipe(name, size, tmp_path):
    result = demo("summary", "--recipe", name, "--size", size, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    recipe, tables = RECIPES[name], summarised(result.stdout)
    networks = make_networks(
        recipe, (size, size), n_classes=recipe.clusters, rng=np.random.default_rng(0)
    )
    for net, (*layers, total) in zip(networks, tables.values()):
        assert [layer for layer, _, _ in layers] == list(map(repr, net.layers))
        assert total == net.theta.size == sum(count for _, _, count in layers)
        assert ("not learned" in result.stdout) == any(n.buffers.size for n in networks)
    assert tables["generator"][-2][1] == f"({size}, {size})"
    assert tables["discriminator"][-2][1] == "(1,)"


def test_a_summary_is_that_of_a_run(folder, tmp_path):
    """Here of a conditional one, in colour, and not square."""
    images = np.random.default_rng(0).integers(0, 256, (12, 8, 12, 3), dtype=np.uint8)
    np.savez(tmp_path / "data.npz", images=images, labels=np.arange(12) % 3)
    flags = ["--data", "data.npz", "--batch-size", 4, "--conditional", "--out", "run"]
    assert demo(*flags, "--epochs", 1, "--set", "widths_G=9,8,7", cwd=tmp_path).returncode == 0
    result = demo("summary", "run", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "generator: input (64,) and labels (3,)" in result.stdout
    assert "discriminator: input (8, 12, 3) and labels (3,)" in result.stdout
    tables = summarised(result.stdout)
    assert tables["generator"][1] == ("Dense(67, 9)", "(9,)", 67 * 9 + 9)
    assert tables["generator"][-2][1] == "(8, 12, 3)"
    result = demo("summary", folder / "run", cwd=tmp_path)
    assert result.returncode == 0 and "and labels (1,)" in result.stdout  # a cluster per 100 images


def test_the_files_of_mnist_are_checked(folder, tmp_path):
    result = demo("data", cwd=tmp_path)
    assert result.returncode == 0 and result.stdout.count("✓") == 4
    assert "http" not in result.stdout
    result = demo("data", folder / "data", cwd=tmp_path)
    assert result.returncode == 1 and result.stdout.count("✗") == 4
    assert "train-images-idx3-ubyte.gz is not the file of MNIST" in result.stdout
    assert "not in" in result.stdout and "cvdf-datasets" in result.stdout
    result = demo("data", "nowhere", cwd=tmp_path)
    assert result.returncode == 1 and "Make the folder nowhere." in result.stdout
    (tmp_path / "file").write_text("x")
    result = demo("data", "file", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr == "demo.py: file is a file: name the folder of MNIST's files\n"


def test_a_recipe_is_chosen_and_a_flag_changes_one_value_of_it(folder, tmp_path):
    result = demo(
        "--recipe",
        "pytorch-mlp",
        "--data",
        folder / "data",
        "--epochs",
        1,
        "--batch-size",
        50,
        "--out",
        "run",
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert settings["recipe"] == json.loads(
        json.dumps(asdict(replace(RECIPES["pytorch-mlp"], epochs=1, batch_size=50)))
    )


@pytest.mark.parametrize(
    "args, penalty, weight, every",
    [
        ([], "r1", DEFAULT.penalty_weight, DEFAULT.penalty_every),
        (["--penalty", "r1"], "r1", DEFAULT.penalty_weight, DEFAULT.penalty_every),
        (["--penalty-weight", 3], "r1", 3, DEFAULT.penalty_every),
        (["--penalty", "wgan-gp"], "wgan-gp", 10, 1),  # as published
        (["--penalty", "wgan-gp", "--penalty-weight", 3], "wgan-gp", 3, 1),
        # the same gamma, at every step as published
        (["--penalty", "r1+r2"], "r1+r2", DEFAULT.penalty_weight, 1),
        (["--penalty", "r2", "--penalty-weight", 3], "r2", 3, 1),
        (["--recipe", "dense", "--penalty", "r1+r2"], "r1+r2", 10, 1),
        (["--penalty", "none"], "", 10, 1),
        (["--recipe", "dense"], "", 10, 1),
        (["--recipe", "dense", "--penalty", "r1"], "r1", 10, 1),
    ],
)
def test_another_penalty_has_its_own_weight(args, penalty, weight, every):
    """That of the recipe is for the recipe's penalty."""
    parser = arguments.Parser()
    train.add_arguments(parser)
    recipe = train.training_options(parser.parse_args([*map(str, args)])).recipe
    found = recipe.penalty, recipe.penalty_weight, recipe.penalty_every
    assert found == (penalty, weight, every)


def test_a_loss_on_pairs_has_fakes_of_its_own():
    """With the recipe's shared_fakes, G's step would not have fakes with the right labels."""
    parser = arguments.Parser()
    train.add_arguments(parser)
    recipe = train.training_options(parser.parse_args(["--loss", "relativistic"])).recipe
    assert DEFAULT.shared_fakes and not recipe.shared_fakes
    assert (recipe.loss, recipe.clusters) == ("relativistic", DEFAULT.clusters)


def test_a_run_with_another_loss_penalty_and_spectral_norm_can_be_resumed(folder, tmp_path):
    how = ["--loss", "hinge", "--penalty", "r1", "--penalty-weight", 2, "--spectral"]
    result = demo(
        "--data",
        folder / "data",
        "--epochs",
        1,
        "--batch-size",
        50,
        "--out",
        "run",
        *how,
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    recipe = json.loads((tmp_path / "run" / "settings.json").read_text())["recipe"]
    assert (recipe["loss"], recipe["penalty"], recipe["penalty_weight"], recipe["spectral"]) == (
        "hinge",
        "r1",
        2,
        True,
    )
    result = demo(
        "--data",
        folder / "data",
        "--resume",
        "run",
        "--epochs",
        2,
        "--loss",
        "wasserstein",
        cwd=tmp_path,
    )
    assert (
        result.returncode == 2
        and "--loss wasserstein contradicts run, which was started with hinge" in result.stderr
    )
    result = demo(
        "--data",
        folder / "data",
        "--resume",
        "run",
        "--epochs",
        2,
        "--penalty",
        "none",
        cwd=tmp_path,
    )
    assert (
        result.returncode == 2
        and "--penalty none contradicts run, which was started with r1" in result.stderr
    )
    result = demo("--data", folder / "data", "--resume", "run", "--epochs", 2, *how, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert demo("sample", "run", "--count", 4, "--out", "a.npy", cwd=tmp_path).returncode == 0


# ---- --set NAME=VALUE ----


def parsed(*args):
    """The training options of a command line."""
    parser = arguments.Parser()
    train.add_arguments(parser)
    return train.training_options(parser.parse_args([*map(str, args)]))


@pytest.mark.parametrize("name", RECIPES)
def test_every_value_that_recipes_prints_can_be_set(name, tmp_path):
    """Each line of `demo.py recipes NAME` gives a field, its value and its meaning."""
    result = demo("recipes", name, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    recipe, lines = RECIPES[name], result.stdout.splitlines()
    assert lines[0] == f"{name}: {recipe.source}" and f"--recipe {name} --set" in lines[-1]
    rows = [line.split(maxsplit=2) for line in lines[1:-1]]
    assert [row[0] for row in rows] == [field for field in FIELDS if field != "source"]
    assert len({line.index(row[2], 24) for line, row in zip(lines[1:], rows)}) == 1  # a column
    for field, value, meaning in rows:
        assert len(meaning) > 5 and value not in ("True", "False")
        assert arguments.setting(f"{field}={value}") == (field, getattr(recipe, field))
        assert type(arguments.setting(f"{field}={value}")[1]) is FIELDS[field].type


def test_choices_are_listed_with_their_setting(tmp_path):
    lines = demo("recipes", "dense", cwd=tmp_path).stdout.splitlines()
    (penalty,) = (line for line in lines if line.split()[0] == "penalty")
    assert penalty.endswith("(one of r1, r2, r1+r2, wgan-gp, none)") and " none " in penalty


@pytest.mark.parametrize(
    "text, value",
    [
        ("widths_G=16,256,64", (16, 256, 64)),
        ("widths_D=9", (9,)),
        ("momentum=0.5,0.7,250", (0.5, 0.7, 250)),
        ("spectral=true", True),
        ("spectral=False", False),
        ("penalty=none", ""),
        ("penalty=", ""),
        ("penalty=wgan-gp", "wgan-gp"),
        ("source=none", "none"),
        ("beta1=0", 0.0),
        ("learning_rate=2e-4", 2e-4),
        ("pixel_min=0", 0.0),
        ("epochs=3", 3),
    ],
)
def test_a_setting_is_read_by_the_type_of_its_field(text, value):
    name, found = arguments.setting(text)
    assert (name, found) == (text.partition("=")[0], value) and type(found) is type(value)


def test_set_changes_exactly_these_fields():
    changes = dict(widths_G=(8, 6, 4), beta1=0.5, ema_decay=0.0, shared_fakes=False)
    flags = ["--set", "widths_G=8,6,4", "--set", "beta1=0.5", "--set", "ema_decay=0"]
    assert parsed(*flags, "--set", "shared_fakes=false").recipe == replace(DEFAULT, **changes)


@pytest.mark.parametrize(
    "flags, settings",
    [
        (["--epochs", 3], ["epochs=3"]),
        (["--batch-size", 64], ["batch_size=64"]),
        (["--penalty", "wgan-gp"], ["penalty=wgan-gp"]),
        (["--penalty", "none"], ["penalty=none"]),
        (["--recipe", "dense", "--conditional"], ["conditional=true"]),
        (["--clusters", 0], ["clusters=0"]),
        (["--recipe", "goodfellow-2014", "--learning-rate", 0.02], ["learning_rate=0.02"]),
    ],
)
def test_set_means_the_same_as_the_option_of_that_name(flags, settings):
    recipe = flags[:2] if flags[0] == "--recipe" else []
    spelled = [word for setting in settings for word in ("--set", setting)]
    one, other = parsed(*flags), parsed(*recipe, *spelled)
    assert one.recipe == other.recipe and one.epochs_given == other.epochs_given
    assert one.notes == other.notes and parsed(*flags, *spelled).recipe == one.recipe


def test_a_value_that_is_set_is_not_adapted_to_others():
    """--conditional removes dropout, and --batch-size changes batch_size_G in proportion."""
    options = parsed("--recipe", "dense", "--conditional", "--set", "dropout=0.1")
    assert options.recipe.dropout == 0.1 and options.notes == []
    recipe = parsed("--recipe", "keras-mlp", "--batch-size", 64, "--set", "batch_size_G=10").recipe
    assert (recipe.batch_size_G, recipe.steps_per_epoch) == (10, 468)
    recipe = parsed("--set", "conditional=false").recipe
    assert recipe == DEFAULT


def test_settings_are_saved_and_a_resumed_run_keeps_them(folder, tmp_path):
    how = ["--set", "widths_G=8,6,4", "--set", "negative_slope_D=0.1"]
    data = ["--data", folder / "data"]
    result = demo(*data, "--epochs", 1, "--out", "run", *how, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    recipe = json.loads((tmp_path / "run" / "settings.json").read_text())["recipe"]
    assert recipe["widths_G"] == [8, 6, 4] and recipe["negative_slope_D"] == 0.1
    resume = ["--resume", "run", *data]
    for setting, was in (("negative_slope_D=0.3", "0.1"), ("widths_G=8,6,5", "8,6,4")):
        result = demo(*resume, "--set", setting, cwd=tmp_path)
        assert result.returncode == 2 and result.stderr == (
            f"demo.py: --set {setting} contradicts run, which was started with {was}: omit it, or"
            " start a new run\n"
        )
    result = demo(*resume, *how, "--set", "epochs=2", cwd=tmp_path)
    assert result.returncode == 0 and "epoch   2/2" in result.stdout, result.stderr


# ---- --threads N ----


def test_a_toy_takes_one_thread(tmp_path, monkeypatch):
    """Unless the user has set their number."""
    used, toy = [], importlib.import_module("minigan.cli.toy")
    animate = toy.animate_toy
    monkeypatch.setattr(
        toy,
        "animate_toy",
        lambda *args, **options: used.append(cpu.blas_threads()) or animate(*args, **options),
    )
    with cpu.preserve_blas_threads():
        cpu.set_blas_threads(2)
        before = cpu.blas_threads()
        assert demo("toy", "--steps", 1, "--out", "a.gif", cwd=tmp_path).returncode == 0
        for name in cpu.BLAS_VARIABLES:  # conftest.py has set one
            monkeypatch.delenv(name, raising=False)
        assert demo("toy", "--steps", 1, "--out", "b.gif", cwd=tmp_path).returncode == 0
        assert used == [before, 1] and cpu.blas_threads() == before


def test_the_number_of_threads_is_recorded_and_used_again(folder, tmp_path, monkeypatch):
    for name in cpu.BLAS_VARIABLES:  # which conftest.py has set to 1
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cpu, "usable_cores", lambda: 2)
    used = []  # by the clusters, then by the training steps
    find_clusters = inputs.find_clusters

    def watched(*args, **options):
        used.append(cpu.blas_threads())
        return find_clusters(*args, **options)

    monkeypatch.setattr(inputs, "find_clusters", watched)

    def recorded(name):
        settings = json.loads((tmp_path / name / "settings.json").read_text())
        used.append(settings["threads"])
        return used[-2:]

    data = ["--data", folder / "data"]
    result = demo(*data, "--epochs", 1, "--threads", 2, "--out", "run", cwd=tmp_path)
    assert result.returncode == 0 and recorded("run") == [2, 2], result.stderr
    assert cpu.blas_threads() == 1  # this process, a notebook for example, goes on as before
    for epochs, flags, threads in (2, [], 2), (3, ["--threads", 1], 1), (4, [], 1):
        result = demo(*data, "--resume", "run", "--epochs", epochs, *flags, cwd=tmp_path)
        assert result.returncode == 0 and recorded("run") == [threads] * 2, result.stderr
        note = "note: the number of BLAS threads is now 1 instead of 2, so that this run may differ"
        assert (note in result.stdout) == bool(flags)
    result = demo(*data, "--epochs", 1, "--out", "other", cwd=tmp_path)
    assert recorded("other") == [1, 1] and "BLAS threads is now" not in result.stdout


# ---- pictures ----


def test_pictures_are_of_the_kind_and_size_that_was_asked_for(folder, tmp_path):
    run = folder / "run"
    six = ["sample", run, "--count", 6, "--columns", 3]
    for args, out, begins in (
        ([*six, "--plain"], "plain.png", b"\x89PNG"),
        ([*six, "--plain", "--invert", "--zoom", 2], "inverted.png", b"\x89PNG"),
        (six, "words.png", b"\x89PNG"),
        (six, "words.pdf", b"%PDF"),
        (["walk", run, "--frames", 4, "--seeds", "1,2,3"], "walk.svg", b"<?xml"),
        (["walk", run, "--frames", 4, "--columns", 2], "walk.png", b"\x89PNG"),
        (["toy", "--steps", 1], "toy.svg", b"<?xml"),
        (["toy", "--shape", "dirac", "--steps", 3], "dirac.PDF", b"%PDF"),
        (["diagram", "--recipe", "dcgan"], "dcgan.png", b"\x89PNG"),
    ):
        result = demo(*args, "--out", out, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        assert (tmp_path / out).read_bytes().startswith(begins)
    pictures = {}
    for name in "plain", "inverted", "words":
        with Image.open(tmp_path / f"{name}.png") as picture:
            pictures[name] = np.asarray(picture)
    plain = pictures["plain"]
    assert plain.shape == (2 * (2 * 30 + 2), 2 * (3 * 30 + 2))
    np.testing.assert_array_equal(pictures["inverted"], 255 - np.kron(plain, np.ones((2, 2), int)))
    height, width = plain.shape
    found = [
        (y, x)
        for y in range(pictures["words"].shape[0] - height)
        for x in range(pictures["words"].shape[1] - width)
        if (pictures["words"][y : y + height, x : x + width] == plain).all()
    ]
    assert len(found) == 1 and found[0][0] > 15  # below the title


# ---- --force ----


@pytest.mark.parametrize(
    "args, out",
    [
        (["sample", "run", "--count", 4], "a.png"),
        (["sample", "run", "--count", 4], "a.npy"),
        (["sample", "run", "--count", 4], "a.svg"),
        (["sample", "run", "--count", 4], "a.pdf"),
        (["diagram", "run"], "a.svg"),
        (["walk", "run", "--frames", 1], "a.gif"),
        (["compare", "run"], "a.png"),
        (["toy", "--steps", 1], "a.gif"),
        (["export", "run", "--to", "html"], "a.html"),
    ],
)
def test_force_replaces_one_file_of_the_same_kind(folder, tmp_path, args, out):
    begins = arguments.SIGNATURES[os.path.splitext(out)[1]]
    args = [folder / "run" if arg == "run" else arg for arg in args] + ["--out", out]
    (tmp_path / out).write_bytes(begins + b"an old picture")
    result = demo(*args, cwd=tmp_path)
    assert result.returncode == 2 and "or add --force to replace it" in result.stderr
    assert (tmp_path / out).read_bytes() == begins + b"an old picture"
    result = demo(*args, "--force", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    written = (tmp_path / out).read_bytes()
    assert written.startswith(begins) and len(written) > 100
    assert [path.name for path in tmp_path.iterdir()] == [out]
    assert demo(*args, "--force", cwd=tmp_path).returncode == 0  # what it wrote is of that kind


BAD_FLAGS = {
    "force on a text": (
        ["sample", "run", "--force", "--out", "precious.png"],
        "--force does not replace precious.png, which is no .png file as minigan writes it",
    ),
    "force on a link": (["sample", "run", "--force", "--out", "link.png"], "which is a link"),
    "force on a link to a file": (
        ["sample", "run", "--force", "--out", "fd.png"],
        "--force does not replace fd.png, which is a link",
    ),
    "force on a figure of a run": (
        ["sample", "run", "--force", "--out", "run/fd.png"],
        "--force does not replace run/fd.png, which is in the folder of a run: choose another",
    ),
    "force on samples of a run": (
        ["sample", "run", "--force", "--out", "run/samples/epoch-0000.png"],
        "which is in the folder of a run",
    ),
    "force on a folder": (["sample", "run", "--force", "--out", "pictures"], "is not empty"),
    "force on a folder with a suffix": (
        ["walk", "run", "--force", "--out", "folder.gif"],
        "--force does not replace folder.gif, which is not a file",
    ),
    "force on a run": (["--data", "data", "--out", "run", "--force"], "--force"),
    "no threads": (["--threads", "0"], "'0' is not an integer from 1 to"),
    "set momentum of Adam": (
        ["--set", "momentum=0.5,0.7,9"],
        "would have no effect: only sgd uses it",
    ),
    "set beta1 of SGD": (["--recipe", "goodfellow-2014", "--set", "beta1=0.5"], "only adam uses"),
    "set a weight": (["--recipe", "dense", "--set", "penalty_every=4"], "there is no penalty"),
    "set nothing": (["--set", "dropout"], "'dropout' is not NAME=VALUE, such as dropout=0.3"),
    "set an unknown field": (
        ["--set", "drop_out=0.3"],
        "a recipe has no 'drop_out'; did you mean dropout?",
    ),
    "set a long unknown field": (["--set", "x" * 5000 + "=3"], "a recipe has no 'xxx"),
    "set dropout 1": (
        ["--set", "dropout=1"],
        "dropout is 1.0, but must be a number of at least 0 and less than 1",
    ),
    "set beta1 1": (["--set", "beta1=1"], "beta1 is 1.0, but must be a number of at least 0 and"),
    "set a rate of nan": (["--set", "learning_rate_D=nan"], "must be a number of at least 0"),
    "set a rate of 0": (["--set", "learning_rate=0"], "must be a number above 0"),
    "toy line with a loss": (["toy", "--loss", "hinge"], "--loss does not apply to --shape line"),
    "toy weight alone": (
        ["toy", "--shape", "ring", "--penalty-weight", "3"],
        "--penalty-weight without a penalty",
    ),
    "stacked clusters": (["--data", "stacked-mnist", "--clusters", "5"], "use --clusters 0"),
    "stacked classes": (["--data", "stacked-mnist", "--classes", "3"], "has no labels, so --cla"),
    "stacked labels": (["--data", "stacked-mnist", "--conditional"], "has no labels, which --con"),
    "set a falling divisor": (["--set", "lr_decay=0.9"], "must be a number of at least 1"),
    "set a word": (["--set", "beta2=high"], "beta2 is 'high', but must be a number"),
    "set a long integer": (["--set", "d_warmup_steps=" + "9" * 400], "integer of at least 0"),
    "set a fraction": (["--set", "penalty_every=1.5"], "must be an integer of at least 1"),
    "set no bool": (["--set", "spectral=maybe"], "'maybe', but must be true or false"),
    "set no widths": (["--set", "widths_G="], "must be integers of at least 1, such as"),
    "set too few widths": (["--set", "widths_G=8,8"], "the networks patch need 3 widths_G, not 2"),
    "set momentum": (["--set", "momentum=0.5,0.7,0"], "three numbers, two of at least 0 and one"),
    "set an unknown noise": (["--set", "noise=pink"], "must be one of normal, uniform, half-b"),
    "set an unknown penalty": (["--set", "penalty=r3"], "one of r1, r2, r1+r2, wgan-gp, none"),
    "set a folder": (["--set", "name=../x"], "must be text without slashes"),
    "set a contradiction": (
        ["--set", "epochs=3", "--epochs", "4"],
        "--set epochs=3 contradicts --epochs 4: omit one of the two",
    ),
    "set labels and no labels": (
        ["--set", "conditional=false", "--conditional"],
        "--set conditional=false contradicts --conditional: omit one of the two",
    ),
    "a summary of nothing": (["summary", "nowhere"], "nowhere has no model.npz"),
    "a summary of a run and a recipe": (
        ["summary", "run", "--recipe", "dense"],
        "run has its own recipe and image size: omit --recipe, --set and --size, or",
    ),
    "a summary at a size that is impossible": (
        ["summary", "--recipe", "dcgan", "--size", "30"],
        "--size 30 is not possible with the networks dcgan: use a multiple of 4, at most 221",
    ),
    "a summary of huge images": (["summary", "--size", "222"], "networks patch: use at most 221"),
    "a summary of a contradiction": (
        ["summary", "--set", "conditional=true"],
        "256 clusters would take the place of the labels",
    ),
    "recipes of no recipe": (["recipes", "dcgam"], "no recipe 'dcgam'; did you mean dcgan?"),
    "unknown recipe": (
        ["--recipe", "dcgam"],
        "no recipe 'dcgam'; did you mean dcgan? The recipes are default, long, dense,",
    ),
    "convolutions on odd images": (
        ["--data", "odd", "--recipe", "dcgan", "--batch-size", "2"],
        "images of 6 x 5, and the recipe dcgan needs multiples of 4: use --size 4, or",
    ),
    "unknown backend": (["--backend", "abacus"], "no backend 'abacus': choose numpy or cupy"),
    "unknown flag": (["--quality", "good"], "--quality"),
    "labels where there are none": (
        ["--data", "data", "--conditional"],
        "data has no labels, which --conditional needs",
    ),
    "labels and clusters": (
        ["--conditional", "--clusters", "5"],
        "5 clusters would take the place of the labels of a conditional run: choose one",
    ),
    "too many clusters": (["--clusters", "1001"], "'1001' is not an integer from 0 to 1000"),
    "a digit of an unconditional run": (
        ["sample", "run", "--digit", "7"],
        "run was trained without --conditional",
    ),
    "a walk of one": (
        ["walk", "run", "--seeds", "7"],
        "a walk needs two seeds or more, such as --seeds 1,2,3",
    ),
    "a walk to nowhere": (["walk", "run", "--seeds", "7,x"], "'x' is not an integer of at least 0"),
    "a walk without end": (
        ["walk", "run", "--frames", "999"],
        "4 seeds with 999 frames each are too many",
    ),
    "a walk into a film": (
        ["walk", "run", "--out", "a.mp4"],
        "--out a.mp4 should end in .gif, .png, .svg or .pdf",
    ),
    "a diagram into a jpeg": (
        ["diagram", "--out", "a.jpg"],
        "--out a.jpg should end in .png, .svg or .pdf",
    ),
    "a diagram of nothing": (["diagram", "nowhere"], "nowhere has no model.npz"),
    "a convolution of a recipe": (
        ["diagram", "--show", "convolution", "--recipe", "dcgan"],
        "--show convolution draws the same for all networks",
    ),
    "zoom 0": (["sample", "run", "--zoom", "0"], "'0' is not an integer from 1 to 10"),
    "a zoom of thousands": (["evaluate", "run", "--zoom", "5000"], "integer from 1 to 10"),
    "no columns": (["compare", "run", "--columns", "none"], "'none' is not an integer from 1 to"),
    "figures in jpeg": (["inspect", "run", "--format", "jpg"], "invalid choice: 'jpg'"),
    "a run that was interrupted too soon": (
        ["--resume", "soon"],
        "soon was interrupted before its first checkpoint: remove it",
    ),
    "compare nothing": (["compare"], "the following arguments are required: RUN_DIR"),
    "compare no run": (["compare", "data"], "data has no history.csv"),
    "compare into a text": (["compare", "run", "--out", "a.txt"], "--out a.txt should end in .png"),
    "unknown command": (
        ["paint"],
        "no command 'paint': use recipes, runs, summary, diagram, sample, ",
    ),
    "training is no command": (["train"], "no command 'train': use recipes, "),
    "mistyped command": (["smaple"], "there is no command 'smaple': did you mean 'sample'?"),
    "unknown augmentation": (
        ["--augment", "shift,colour"],
        "argument --augment: 'colour' is no augmentation: there are flip and shift",
    ),
    "unknown loss": (["--loss", "best"], "argument --loss: invalid choice: 'best' (choose from "),
    "unknown penalty": (
        ["--penalty", "r3"],
        "argument --penalty: invalid choice: 'r3' (choose from ",
    ),
    "a penalty through batch norm": (
        ["--recipe", "dcgan", "--penalty", "r1"],
        "the penalty r1 needs a discriminator without batch norm",
    ),
    "the weight of no penalty": (
        ["--recipe", "dense", "--penalty-weight", "3"],
        "--penalty-weight 3 without a penalty: add --penalty r1 or r2 or r1+r2 or wgan-gp",
    ),
    "the weight of a penalty that is left out": (
        ["--penalty", "none", "--penalty-weight", "3"],
        "--penalty-weight 3 without a penalty: add --penalty r1 or r2 or r1+r2 or wgan-gp",
    ),
    "weight 0": (["--penalty", "r1", "--penalty-weight", "0"], "'0' is not a number above 0"),
    "epochs 0": (["--epochs", "0"], "'0' is not an integer from 1 to"),
    "epochs -3": (["--epochs=-3"], "'-3' is not an integer from 1 to"),
    "epochs word": (["--epochs", "ten"], "'ten' is not an integer"),
    "epochs fraction": (["--epochs", "1.5"], "'1.5' is not an integer"),
    "batch 0": (["--batch-size", "0"], "'0' is not an integer"),
    "batch larger than the data": (
        ["--data", "data", "--batch-size", "129"],
        "only 128 images in data: use --batch-size 128 or less, not 129",
    ),
    "latent 0": (["--latent-dim", "0"], "'0' is not an integer"),
    "latent huge": (["--latent-dim", "9999"], "--latent-dim 9999 is too large: at most 4096"),
    "latent longer": (["--latent-dim", "9" * 5000], "is not an integer"),
    "seed of 5000 digits": (["--seed", "9" * 5000], "at most 18 digits"),
    "out empty": (["--out", ""], "--out: it is empty"),
    "data empty name": (["--data", ""], "--data: it is empty"),
    "a name too long": (  # since 3.14 Python only says that there is no such folder
        ["--data", "a" * 300],
        "File name too long" if sys.version_info < (3, 14) else "does not exist",
    ),
    "data of one image, wide": (["--data", "wide"], "1 x 5000"),
    "a rate that is far too high": (
        ["--data", "data", "--learning-rate", "1e300", "--out", "diverged"],
        "training has diverged",
    ),
    "seed -1": (["--seed=-1"], "'-1' is not an integer of at least 0"),
    "rate 0": (["--learning-rate", "0"], "'0' is not a number above 0"),
    "rate nan": (["--learning-rate", "nan"], "'nan' is not a number above 0"),
    "rate inf": (["--learning-rate", "inf"], "'inf' is not a number above 0"),
    "rate word": (["--learning-rate", "fast"], "'fast' is not a number above 0"),
    "data missing": (
        ["--data", "nowhere"],
        "nowhere does not exist",
    ),
    "data a picture": (
        ["--data", "precious.png"],
        "precious.png is a single picture",
    ),
    "data floats": (
        ["--data", "floats.npy"],
        "float64",
    ),
    "data with too few labels": (
        ["--data", "labels.npz"],
        "labels of shape (8,)",
    ),
    "data with a corrupt picture": (
        ["--data", "pictures", "--strict"],
        "cannot read pictures/bad/b.png",
    ),
    "fewer pictures than a batch": (
        ["--data", "pictures"],
        f"only 3 images in pictures: use --batch-size 3 or less, not {DEFAULT.batch_size}",
    ),
    "fewer of a class than a batch": (
        ["--data", "pictures", "--classes", "good"],
        "only 2 images of these classes in pictures: use",
    ),
    "no such class": (
        ["--data", "pictures", "--classes", "good, worse"],
        "'worse'",
    ),
    "no labels": (
        ["--data", "data", "--classes", "3"],
        "data has no labels",
    ),
    "classes empty": (["--classes", " , "], "--classes: it is empty: name classes, such as 3,8"),
    "classes of a run": (
        ["--resume", "run", "--classes", "3"],
        "--classes 3 contradicts run, which was started with all",
    ),
    "size of a run": (
        ["--resume", "run", "--size", "8"],
        "--size 8 contradicts run, which was started with none",
    ),
    "size too large": (
        ["--data", "pictures", "--size", "300"],
        "--size 300 is too large: at most 128",
    ),
    "size 0": (["--size", "0"], "'0' is not an integer"),
    "data empty": (["--data", "empty"], "train-images-idx3-ubyte.gz"),
    "data not IDX": (["--data", "text"], "is not an IDX file"),
    "data truncated": (["--data", "truncated"], "truncated/train-images-idx3-ubyte"),
    "data wrong magic": (["--data", "magic"], "08 08 08 03"),
    "out not empty": (["--data", "data", "--out", "run"], "run is not empty"),
    "out a file": (["--data", "data", "--out", "output"], "output is a file"),
    "out cannot be written": (
        ["--data", "data", "--out", "output/run"],
        "cannot write to output/run",
    ),
    "value missing": (["--epochs"], "expected one argument"),
    "a digit without a run": (["sample", "--digit", "7"], "name the RUN_DIR"),
    "walk without a run": (["walk"], "RUN_DIR"),
    "sample of nothing": (["sample", "nowhere"], "nowhere has no model.npz"),
    "sample of a foreign model": (
        ["sample", "foreign"],
        "model.npz is damaged, or is not a minigan model",
    ),
    "sample of a corrupt model": (
        ["sample", "corrupt"],
        "model.npz is damaged, or is not a minigan model",
    ),
    "sample more than memory": (["sample", "run", "--count", "999999999"], "more than 4 GB"),
    "evaluate more than memory": (["evaluate", "run", "--count", "999999999"], "more than 4 GB"),
    "sample over a link to nowhere": (["sample", "run", "--out", "link.png"], "link.png exists"),
    "sample 0": (["sample", "run", "--count", "0"], "'0' is not an integer"),
    "sample to a jpeg": (
        ["sample", "run", "--out", "a.jpg"],
        "should end in .png, .svg, .pdf, .npy or /",
    ),
    "sample over a file": (["sample", "run", "--out", "precious.png"], "precious.png exists"),
    "evaluate nothing": (["evaluate", "nowhere"], "nowhere has no model.npz"),
    "evaluate too few": (["evaluate", "run", "--count", "7"], "--count 7 is too few"),
    "evaluate a corrupt model": (["evaluate", "corrupt"], "model.npz is damaged"),
    "check something": (["check", "this"], "this"),
    "toy of no shape": (["toy", "--shape", "knot"], "--shape: invalid choice: 'knot'"),
    "toy to a jpeg": (["toy", "--out", "a.jpg"], "should end in .gif, .png, .svg or .pdf"),
    "toy over a file": (
        ["toy", "--out", "precious.gif"],
        "precious.gif exists",
    ),
    "toy of no steps": (["toy", "--steps", "0"], "'0' is not an integer"),
    "inspect nothing": (["inspect", "nowhere"], "nowhere has no model.npz"),
    "inspect a corrupt model": (["inspect", "corrupt"], "model.npz is damaged"),
    "inspect no steps": (["inspect", "run", "--steps", "0"], "'0' is not an integer"),
    "sample to nowhere": (
        ["sample", "run", "--out", "nowhere/a.png"],
        "cannot write nowhere/a.png",
    ),
}


def tree(folder):
    return {p: p.lstat().st_mtime_ns for p in folder.rglob("*")}


@pytest.fixture(scope="module")
def mess(folder):
    """The folder, with many things that should not be in it."""
    (folder / "empty").mkdir()
    good = idx(IMAGES)
    for name, content in (
        ("text", b"hello"),
        ("truncated", good[:-5]),
        ("magic", b"\x08\x08" + good[2:]),
    ):
        (folder / name).mkdir()
        (folder / name / "train-images-idx3-ubyte").write_bytes(content)
    (folder / "soon" / "samples").mkdir(parents=True)
    (folder / "odd").mkdir()
    (folder / "odd" / "train-images-idx3-ubyte").write_bytes(
        idx(np.resize(np.uint8([0, 255]), (9, 6, 5)))
    )
    (folder / "wide").mkdir()
    (folder / "wide" / "train-images-idx3-ubyte").write_bytes(
        idx(np.resize(np.uint8([0, 255]), (1, 1, 5000)))
    )
    (folder / "folder.gif").mkdir()
    (folder / "fd.png").symlink_to(folder / "run" / "fd.png")
    (folder / "link.png").symlink_to(folder / "nothing-there")
    for name in "foreign", "corrupt":
        (folder / name).mkdir()
    np.savez(folder / "foreign" / "model.npz", x=np.ones(3))
    whole = bytearray((folder / "run" / "model.npz").read_bytes())
    whole[len(whole) // 2] ^= 1
    (folder / "corrupt" / "model.npz").write_bytes(whole)
    (folder / "precious.png").write_text("precious")
    np.save(folder / "floats.npy", np.zeros((9, 8, 8)))
    np.savez(
        folder / "labels.npz", images=np.resize(np.uint8([0, 255]), (9, 8, 8)), labels=np.arange(8)
    )
    for name, content in (
        ("good/a", IMAGES[0]),
        ("bad/a", IMAGES[1]),
        ("bad/b", None),
        ("good/b", IMAGES[2]),
    ):
        path = folder / "pictures" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("no picture") if content is None else Image.fromarray(content).save(path)
    (folder / "precious.gif").write_text("precious")
    return folder


@pytest.mark.parametrize("args, words", BAD_FLAGS.values(), ids=BAD_FLAGS.keys())
def test_bad_input_gets_one_sentence_and_status_2(mess, args, words):
    before = tree(mess)
    result = demo(*args, cwd=mess)
    assert result.returncode == 2, result
    assert words in result.stderr
    assert (
        result.stderr.count("\n") == 1
        and result.stderr.startswith("demo.py")
        and len(result.stderr) < 600
    )
    if "diverged" in args:  # training had started, and its folder stays
        assert (mess / "diverged" / "samples" / "epoch-0000.png").is_file()
    else:
        assert tree(mess) == before and result.stdout == ""


def test_the_version_is_printed(tmp_path):
    result = demo("--version", cwd=tmp_path)
    assert result.returncode == 0 and result.stderr == ""
    assert result.stdout.startswith(f"minigan {minigan.__version__}, NumPy {np.__version__}, ")


def test_output_that_nobody_reads(folder):
    """As with `python demo.py check | head -1`."""
    process = subprocess.Popen(
        [sys.executable, DEMO, "check"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    process.wait(timeout=60)


def test_a_terminal_without_ticks(tmp_path):
    result = demo_process("data", cwd=tmp_path, env={**os.environ, "PYTHONIOENCODING": "cp1252"})
    assert result.returncode == 0 and result.stderr == "" and result.stdout.count("?") == 4


def test_few_and_small_images(tmp_path):
    """Images of one pixel are useless, but nothing crashes."""
    for name, shape in ("one", (1, 6, 5)), ("pixel", (40, 1, 1)), ("flat", (30, 2, 40)):
        (tmp_path / name).mkdir()
        images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        (tmp_path / name / "train-images-idx3-ubyte").write_bytes(idx(images))
        result = demo(
            "--data", name, "--batch-size", 1, "--epochs", 1, "--out", name + "-run", cwd=tmp_path
        )
        assert result.returncode == 0, result.stderr
        result = demo("evaluate", name + "-run", "--count", 100, cwd=tmp_path)
        assert result.returncode == 0 or "too few" in result.stderr, result.stderr


@pytest.fixture
def no_cupy(tmp_path, monkeypatch):
    """A package `cupy` that is found first, and cannot be imported."""
    (tmp_path / "cupy.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'cupy'\", name='cupy')"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def test_missing_cupy_is_an_error_and_nothing_else_is_used(no_cupy, folder):
    before = tree(folder)
    result = demo("--backend", "cupy", "--data", "data", "--out", "new", cwd=folder)
    assert result.returncode == 2 and result.stdout == "" and tree(folder) == before
    assert (
        result.stderr.startswith("demo.py: CuPy is not installed: pip install")
        and result.stderr.count("\n") == 1
    )


def test_augmentation_is_recorded_and_kept(folder, tmp_path):
    args = ["--data", folder / "data", "--epochs", 1, "--out", "run"]
    result = demo(*args, "--augment", "shift,flip", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert settings["recipe"]["augment"] == "flip,shift"
    for given in "shift", "none":
        refused = demo("--resume", "run", "--augment", given, cwd=tmp_path)
        words = f"--augment {given} contradicts run, which was started with flip,shift"
        assert refused.returncode == 2 and words in refused.stderr
    assert demo("--resume", "run", "--epochs", 2, cwd=tmp_path).returncode == 0


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal for a subprocess")
def test_ctrl_c_saves_what_was_learned(folder, tmp_path):
    process = subprocess.Popen(
        [sys.executable, DEMO, "--data", folder / "data", "--epochs", "100000", "--out", "cut"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if line.startswith("epoch   2"):
            break
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and errors == ""
    assert "interrupted, and saved after" in output and "cut" in output
    for name in "model.npz", "history.csv", "progress.gif", "losses.png", "scores.png":
        assert (tmp_path / "cut" / name).is_file()
    assert demo("sample", "cut", "--out", "a.png", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize(
    "args",
    [
        ["--help"],
        ["sample", "--help"],
        ["evaluate", "--help"],
        ["export", "--help"],
        ["toy", "--help"],
        ["inspect", "--help"],
    ],
)
def test_help_gives_every_default_and_its_reason(args, tmp_path):
    result = demo(*args, cwd=tmp_path)
    assert result.returncode == 0
    text = " ".join(result.stdout.split())
    flags = {
        "sample": "--count --out --seed --zoom --columns --invert --epoch --force".split(),
        "evaluate": "--data --count --seed --epoch --zoom --columns --invert --format".split(),
        "export": ["--out", "--epoch", "--force"],
        "toy": "--shape --out --seed --steps --loss --penalty --penalty-weight --zoom"
        " --force".split(),
        "inspect": "--data --steps --zoom --columns --format".split(),
    }.get(
        args[0],
        [
            "--recipe",
            "--set",
            "--backend",
            "--epochs",
            "--batch-size",
            "--seed",
            "--data",
            "--classes",
            "--clusters",
            "--size",
            "--range",
            "--transpose",
            "--strict",
            "--out",
            "--open",
            "--latent-dim",
            "--learning-rate",
            "--loss",
            "--penalty",
            "--penalty-weight",
            "--augment",
            "--spectral",
            "--threads",
            "--graph",
            "--resume",
            "--checkpoint-every",
        ],
    )
    flags = [*flags, "--import"]  # every command has it
    for flag in flags:
        assert flag + " " in text
    assert text.count("(default") == len(flags)
