"""What several test files share: small images, small recipes, and a training run on them."""

import contextlib
import csv
import functools
import importlib.util
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

from minigan.datasets.load import Dataset
from minigan.evaluation.metrics import Evaluator
from minigan.gan.recipes import RECIPES, replace
from minigan.nn.gradcheck import compare
from minigan.training.checkpoint import load_run
from minigan.training.inputs import TrainingData, TrainingOptions
from minigan.training.run import Run
from minigan.training.run_folder import read_recipe
from minigan.training.state import TrainingState, find_clusters

LONG = False  # whether pytest runs with --long; conftest.py sets it
LEFT_OUT = 0  # how many long tests were left out
ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "demo.py"
SMALL = replace(
    RECIPES["dense"], latent_dim=3, widths_G=(6,), widths_D=(6, 5), batch_size=20, epochs=2
)
SMALL_IMAGES = np.random.default_rng(0).integers(0, 256, (90, 6, 5), dtype=np.uint8)
WIDTHS = {
    "dense": ((6, 5), (5, 6)),
    "maxout": ((6, 5), (4, 3)),
    "dcgan": ((4, 3), (3, 4)),
    "patch": ((6, 4, 3), (3, 6, 5)),
    "conv": ((6, 4, 3), (3, 4, 6)),
    "auto-write": ((8, 6), (8, 6, 12)),
}


def small(name):
    """A recipe of that name with tiny networks."""
    recipe = RECIPES[name]
    widths_G, widths_D = WIDTHS[recipe.networks]
    return replace(
        recipe,
        widths_G=widths_G,
        widths_D=widths_D,
        latent_dim=3,
        batch_size=7,
        batch_size_G=min(recipe.batch_size_G, 9),
        d_warmup_steps=min(recipe.d_warmup_steps, 2),
        steps_per_epoch=min(recipe.steps_per_epoch, 3),
    )


def idx(array, type_code=8, shape=None):
    """The bytes of an IDX file."""
    shape = array.shape if shape is None else shape
    return (
        bytes([0, 0, type_code, len(shape)])
        + b"".join(n.to_bytes(4, "big") for n in shape)
        + array.tobytes()
    )


def arrays(folder):
    """The arrays in a run's model.npz."""
    with np.load(folder / "model.npz", allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def make_evaluator(dataset, digits):
    """An evaluator without a classifier."""
    return Evaluator(dataset.images[:], None)  # StackedImages are not an array


def train_small(
    folder,
    recipe=SMALL,
    images=SMALL_IMAGES,
    *,
    labels=None,
    names=(),
    seed=0,
    xp=np,
    checkpoint_every=30.0,
    resume=False,
    evaluator=make_evaluator,
    fused=True,
    graph=False,
    path=Path("nowhere"),
):
    """Train as demo.py does, on arrays, on any backend, fake CuPy included; returns the status."""
    options = TrainingOptions(recipe, path, folder, seed, checkpoint_every=checkpoint_every)
    options.graph = graph
    if resume:
        settings, checkpoint, _ = load_run(folder)
        read_recipe(settings)
        settings["recipe"]["epochs"] = recipe.epochs
        options.settings, options.checkpoint = settings, checkpoint
    names = list(names) or (
        [str(i) for i in range(int(labels.max()) + 1)] if labels is not None else []
    )
    used, n_classes = (labels, len(names)) if recipe.conditional else (None, 0)
    if recipe.clusters:
        used, n_classes = find_clusters(recipe, images, seed=seed)
    data = TrainingData(
        images,
        used,
        n_classes,
        Dataset(images, labels, names, None, None, []),
        False,
    )
    gan = TrainingState(
        recipe, images, labels=data.labels, n_classes=n_classes, seed=seed, xp=xp, fused=fused
    )
    with Run(options, data, gan, evaluator) as run:
        for epoch in run.epochs():
            for _ in run.steps(epoch):
                loss_D, loss_G, score_real, score_fake = gan.train_step()
                run.record(loss_D, loss_G, score_real, score_fake)
            run.end_epoch(epoch)
    return run.status


def tolerance(xp, dtype):
    """The relative tolerance of an elementwise formula with exp or tanh, on xp against NumPy.

    The fake CuPy computes with NumPy. CUDA's exp and tanh may differ from NumPy's in the last two
    bits, and products and sums are contracted. In sigmoid(a) - t, where a difference cancels, one
    such bit of float32 is more than 1e-6.
    """
    if xp.__name__ in ("numpy", "fake_cupy"):
        return 0
    return 1e-5 if dtype == "float32" else 1e-12


def assert_derivatives(where, checks):
    """Every check is ok. Otherwise the error names what is wrong where, and its likely cause;
    conftest.py repeats this at the end of the test run.
    """
    assert checks
    wrong = [f"{where}: {check}" for check in checks if not check.ok]
    assert not wrong, "\n".join(wrong)


def assert_gradient(where, name, gradient, f, x):
    """A gradient of f() with respect to x, of that name, agrees with central differences."""
    assert_derivatives(where, [compare(name, gradient, f, x)])


def module_of(layer):
    """The file that a layer's class comes from, such as minigan/nn/dense.py."""
    return type(layer).__module__.replace(".", "/") + ".py"


TIMES = ("seconds", "images_per_second", "elapsed")  # columns of history.csv


def history(folder):
    """The rows of a run's history.csv, without the times."""
    with open(folder / "history.csv") as file:
        return [
            {key: value for key, value in row.items() if key not in TIMES}
            for row in csv.DictReader(file)
        ]


def assert_same_run(a, b):
    """Two run folders hold the same model, history, samples and animation, bit for bit."""
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


@functools.cache
def load_demo():
    """demo.py as a module."""
    spec = importlib.util.spec_from_file_location("demo_script", DEMO)
    module = importlib.util.module_from_spec(spec)
    with signals_restored():  # demo.py sets one while it imports
        spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def signals_restored():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def demo(*args, cwd):
    """`python demo.py` with these arguments in the folder cwd, but within this process, which saves
    the second that Python takes to start. A warning is an error, as everywhere in the tests.
    """
    argv, output, errors = [str(arg) for arg in args], io.StringIO(), io.StringIO()
    streams = contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors)
    before = Path.cwd()
    os.chdir(cwd)
    try:
        with streams[0], streams[1], signals_restored():
            status = load_demo().main(argv)
    except SystemExit as end:  # from argparse
        status = end.code or 0
    finally:
        os.chdir(before)
    return subprocess.CompletedProcess(argv, status, output.getvalue(), errors.getvalue())


def demo_process(*args, cwd, **options):
    """The same in a process of its own."""
    return subprocess.run(
        [sys.executable, DEMO, *map(str, args)], cwd=cwd, capture_output=True, text=True, **options
    )
