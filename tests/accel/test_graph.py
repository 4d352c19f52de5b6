"""accel/graph.py on the fake CuPy, with fake streams and a fake cuBLAS. No GPU is needed."""

import contextlib
import ctypes
import gc
import sys
from pathlib import Path

import fake_cuda
import fake_cupy
import numpy as np
import pytest
from conftest import load_module
from fake_cuda import CuBLAS, Stream
from helpers import SMALL_IMAGES as IMAGES
from helpers import arrays, demo, small, train_small
from test_fused_steps import FUSED, HostDraws

from minigan.accel import graph
from minigan.gan.models import make_networks
from minigan.gan.recipes import RECIPES, replace
from minigan.nn.activations import LeakyReLU
from minigan.training.state import TrainingState

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))
import step

needs_compiler = pytest.mark.skipif(not fake_cuda.COMPILER, reason="no g++")
DIGITS = np.random.default_rng(0).integers(0, 256, (16, 28, 28), dtype=np.uint8)


@pytest.fixture(autouse=True)
def nothing_is_recorded_afterwards():
    yield
    assert fake_cupy.recording is None


def trained_gan(name, **change):
    """A GAN on the fake CuPy after one training step, with NumPy's random numbers."""
    gan = TrainingState(replace(small(name), **change), IMAGES, xp=fake_cupy)
    gan.noise, gan.dropout = HostDraws(1, fake_cupy), HostDraws(2, fake_cupy)
    gan.train_step()
    return gan


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FUSED)
def test_recorded_steps_train_as_the_plain_ones(name, dtype):
    gans, library = [trained_gan(name, dtype=dtype) for _ in range(2)], CuBLAS()
    assert graph.record(gans[1].fused, library) == ""
    assert [call[0] for call in library.calls] == ["stream", "workspace"]
    assert library.calls[0][1:] == (99, 4711)
    for _ in range(4):
        losses = []
        for gan in gans:
            with fake_cupy.no_sync():
                values = gan.train_step()
            losses.append([value.item() for value in values])
        np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5 if dtype == "float32" else 1e-12)
    plain, recorded = (gan.G.theta.get() for gan in gans)
    np.testing.assert_allclose(plain, recorded, rtol=1e-3, atol=1e-5)
    assert (plain != TrainingState(gans[0].recipe, IMAGES).G.theta).mean() > 0.9


def test_launches_of_a_recorded_step():
    gan, counts = trained_gan("keras-mlp-fixed"), []
    for recorded in False, True:
        gan.noise, gan.dropout = (fake_cupy.random.default_rng(0) for _ in range(2))
        before = fake_cupy.launches
        gan.train_step()
        counts.append(fake_cupy.launches - before)
        if not recorded:
            assert graph.record(gan.fused, CuBLAS()) == ""
    # images 1, noise 2, random bits 3, two recordings, two optimizers, sums 1
    assert counts == [46, 11]


def test_a_run_with_graphs_is_the_same_run(monkeypatch, tmp_path, capsys):
    """Up to rounding, and it says what became of --graph."""
    monkeypatch.setattr(graph, "find_library", CuBLAS)
    # in float64: Adam divides gradients by their size, and so enlarges the rounding of small ones
    recipe = replace(small("dense"), dropout=0.0, epochs=2, ema_decay=0.0, dtype="float64")
    train_small(tmp_path / "plain", recipe, xp=fake_cupy)
    assert "CUDA graphs" not in capsys.readouterr().out
    train_small(tmp_path / "graph", recipe, xp=fake_cupy, graph=True)
    printed = capsys.readouterr().out
    assert printed.count("CUDA graphs: both steps are recorded and checked") == 1
    ours, theirs = (arrays(tmp_path / name) for name in ("graph", "plain"))
    np.testing.assert_allclose(ours["generator"], theirs["generator"], rtol=0, atol=1e-8)
    recipe = replace(small("dense"), augment="shift")
    train_small(tmp_path / "augmented", recipe, xp=fake_cupy, graph=True)
    assert "CUDA graphs: not recorded: its augmentation" in capsys.readouterr().out


def test_graph_without_a_gpu_is_refused(tmp_path):
    result = demo("--graph", cwd=tmp_path)
    assert result.returncode == 2 and "--graph needs a GPU: add --backend cupy" in result.stderr
    assert result.stderr.count("\n") == 1 and not list(tmp_path.iterdir())


def test_a_step_of_zeros_proves_nothing(monkeypatch):
    gan = trained_gan("dense")
    monkeypatch.setattr(gan.fused, "discriminator_gradient", lambda: None)
    monkeypatch.setattr(gan.fused, "generator_gradient", lambda: None)
    for vector in gan.G.dtheta, gan.D.dtheta, gan.fused.sums:
        vector[...] = 0
    assert "computes zeros" in graph.record(gan.fused, CuBLAS())


FAILURES = {
    "no library": (dict(library=None), "OSError: cuBLAS was not found"),
    "wrong numbers": (
        dict(library=CuBLAS(wrong=1.01)),
        "ValueError: the error of the recording is",
    ),
    "NaN": (dict(library=CuBLAS(wrong=np.nan)), "ValueError: the error of the recording is nan"),
    "a status": (dict(library=CuBLAS(status=13)), "RuntimeError: cuBLAS returned the status 13"),
}


@pytest.mark.parametrize("options, reason", FAILURES.values(), ids=FAILURES.keys())
def test_after_a_failed_recording_the_steps_work_as_before(options, reason, monkeypatch):
    def not_found(name):
        raise OSError("not here")

    monkeypatch.setattr(ctypes, "CDLL", not_found)
    gans = [trained_gan("dense") for _ in range(2)]
    line = graph.record(gans[1].fused, **options)
    assert line.startswith(f"not recorded: {reason}") and "\n" not in line
    for _ in range(3):
        losses = [[value.item() for value in gan.train_step()] for gan in gans]
        assert losses[0] == losses[1]


def test_a_device_that_cannot_record(monkeypatch):
    def begin_capture(stream):
        raise ZeroDivisionError

    gan = trained_gan("dense")
    monkeypatch.setattr(Stream, "begin_capture", begin_capture)
    assert graph.record(gan.fused, CuBLAS()).startswith("not recorded: ZeroDivisionError")


ALL = [name for name in RECIPES if name not in FUSED]


def gans_of(name, *, batch_size=4, labels=None, **change):
    """Two GANs on the fake CuPy after one training step, with the same random numbers."""
    # in float32 the gradients of biases below batch norm would be rounding, which Adam scales up
    recipe = replace(small(name), batch_size=batch_size, d_warmup_steps=0, dtype="float64")
    if not recipe.conditional:
        recipe = replace(recipe, clusters=0)
    recipe = replace(recipe, **change)
    classes = dict(labels=labels, n_classes=3) if recipe.has_labels else {}
    gans = [TrainingState(recipe, DIGITS[:, :8, :8], xp=fake_cupy, **classes) for _ in range(2)]
    for gan in gans:
        gan.noise, gan.dropout = HostDraws(1, fake_cupy), HostDraws(2, fake_cupy)
        gan.train_step()
    return gans


def train_both(gans, steps):
    """Train both without waiting for the device; losses and vectors are equal up to rounding."""
    float32 = gans[0].recipe.dtype == "float32"
    values = [], []
    for _ in range(steps):
        for gan, found in zip(gans, values):
            with fake_cupy.no_sync():
                found += gan.train_step()  # as in a run, they stay on the device for some time
    losses = [[value.item() for value in found] for found in values]
    np.testing.assert_allclose(*losses, rtol=1e-5 if float32 else 1e-8)
    expected = gans[0].arrays()
    for key, vector in gans[1].arrays().items():
        tolerance = dict(rtol=1e-3, atol=1e-5) if float32 else dict(rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(vector.get(), expected[key].get(), **tolerance, err_msg=key)


@needs_compiler
@pytest.mark.parametrize("name", ALL)
def test_every_other_recipe_is_recorded_and_trains_as_before(name):
    gans = gans_of(name)
    assert record_steps(gans[1]) == ""
    assert not gans[0].recorded and gans[1].recorded
    train_both(gans, 9 if gans[0].recipe.penalty else 3)  # with and without a penalty


@pytest.mark.gpu
@pytest.mark.parametrize("name", RECIPES)
def test_on_a_gpu_every_recipe_is_recorded(name):
    xp, recipe = load_module("cupy"), replace(small(name), batch_size=4, dtype="float64")
    recipe = replace(recipe, clusters=0, d_warmup_steps=0)
    gans = [TrainingState(recipe, DIGITS[:, :8, :8], xp=xp) for _ in range(2)]
    for gan in gans:
        gan.train_step()
    assert gans[1].record() == ""
    train_both(gans, 9)


CHANGES = {
    "labels": dict(name="dcgan", conditional=True),
    "clusters": dict(name="default", clusters=3),
    "uniform noise": dict(name="dcgan", noise="uniform"),
    "half-binary noise": dict(name="default-conv", noise="half-binary"),
    "a weight that changes": dict(
        name="default-conv", penalty_every=1, final_penalty_weight=0.1, burn_in=3.0
    ),
    "r1+r2": dict(name="default-conv", penalty="r1+r2"),
    "wgan-gp": dict(name="default-conv", penalty="wgan-gp", loss="wasserstein"),
    "dropout": dict(name="goodfellow-2014", dropout=0.25),
    "more for G": dict(name="dcgan", batch_size_G=6),
    "float32": dict(name="default", dtype="float32", clusters=3),
    "least squares": dict(name="dcgan", loss="least-squares"),
}


@needs_compiler
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_recorded_steps_of_changed_recipes(change):
    gans = gans_of(**change, labels=np.arange(len(DIGITS)) % 3)
    assert record_steps(gans[1]) == ""
    train_both(gans, 6)


def record_steps(gan, library=None):
    return gan.record(library or CuBLAS())


LAUNCHES = {  # steps without a penalty
    "default": 9,
    "long": 9,
    "default-conv": 12,
    "dcgan": 10,
    "auto-write": 10,
    "goodfellow-2014": 28,
}


@needs_compiler
@pytest.mark.parametrize("name", ALL)
def test_launches_of_a_recorded_step_of_any_recipe(name):
    """Positions 1, noise 2 for each step that draws some, random bits 3 for each dropout, two
    recordings, two optimizers, the average of weights and of buffers, and results 1.
    """
    recipe = replace(RECIPES[name], batch_size=2, d_warmup_steps=0)
    gan = TrainingState(recipe, DIGITS, xp=fake_cupy)
    gan.train_step()
    assert record_steps(gan) == ""
    before = fake_cupy.launches
    gan.train_step()
    assert fake_cupy.launches - before == LAUNCHES[name]


@needs_compiler
def test_batch_norm_s_buffers_change_only_in_steps():
    gans = gans_of("dcgan")
    before = gans[1].G.buffers.get()
    assert record_steps(gans[1]) == ""
    np.testing.assert_array_equal(gans[1].G.buffers.get(), before)
    train_both(gans, 1)
    assert (gans[1].G.buffers.get() != before).all()


@needs_compiler
@pytest.mark.parametrize("options, reason", FAILURES.values(), ids=FAILURES.keys())
def test_after_a_failed_recording_any_recipe_trains_as_before(options, reason, monkeypatch):
    def not_found(name):
        raise OSError("not here")

    monkeypatch.setattr(ctypes, "CDLL", not_found)
    gans = gans_of("default-conv")
    line = gans[1].record(**options)
    assert not gans[1].recorded and line.startswith(f"not recorded: {reason}") and "\n" not in line
    train_both(gans, 5)


class Counting(LeakyReLU):
    """A layer of somebody's own."""


REFUSED = {
    "augmentation": (dict(name="dcgan", augment="shift"), "augmentation"),
    "pairs": (dict(name="dcgan", loss="relativistic"), "second batch"),
    "spectral norm": (dict(name="dcgan", spectral=True), "cuBLAS"),
}


@needs_compiler
@pytest.mark.parametrize("change, words", REFUSED.values(), ids=REFUSED.keys())
def test_what_changes_on_the_host_is_refused(change, words):
    gans = gans_of(**change)
    assert words in record_steps(gans[1]) and not gans[1].recorded
    train_both(gans, 2)


@needs_compiler
def test_layers_of_other_packages_are_refused():
    gan = gans_of("dcgan")[0]
    gan.D.layers[2].__class__ = Counting
    assert "may change from step to step" in record_steps(gan)


def test_steps_that_allocate_memory_are_recorded_in_a_pool_of_their_own(monkeypatch):
    gan = trained_gan("dense")
    plain = gan.fused.discriminator_kernel
    gan.fused.discriminator_kernel = lambda a, *rest: (a + 0, plain(a, *rest))
    assert graph.record(gan.fused, CuBLAS()) == ""
    monkeypatch.setattr(
        fake_cupy.cuda, "using_allocator", lambda allocator: contextlib.nullcontext()
    )
    gan = trained_gan("dense")
    gan.fused.discriminator_kernel = lambda a, *rest: (a + 0, plain(a, *rest))
    assert "common pool" in graph.record(gan.fused, CuBLAS())


@needs_compiler
@pytest.mark.parametrize("wrong", [1.0, 1.01], ids=["recorded", "failed"])
def test_the_memory_of_a_recording_is_given_back(wrong, monkeypatch):
    """When nobody uses it any longer, or at once if the recording has failed."""
    pools = []

    class Pool(fake_cuda.MemoryPool):
        def __init__(self):
            super().__init__()
            pools.append(self)

    monkeypatch.setattr(fake_cupy.cuda, "MemoryPool", Pool)
    gans = gans_of("default-conv")[1], trained_gan("dense")
    reasons = record_steps(gans[0], CuBLAS(wrong)), graph.record(gans[1].fused, CuBLAS(wrong))
    assert [reason == "" for reason in reasons] == [wrong == 1] * 2
    assert [pool.freed for pool in pools] == [wrong != 1] * 2
    del gans
    gc.collect()
    assert all(pool.freed for pool in pools)


CANNOT_BE_RECORDED = {
    "a matrix product of CuPy": lambda gan: gan.G.theta[:4].reshape(2, 2) @ gan.xp.eye(2),
    "waiting": lambda gan: float(gan.D.theta[0]),
    "a copy from the host": lambda gan: gan.xp.asarray(np.ones(2)),
    "random numbers": lambda gan: fake_cupy.random.default_rng(0).random((2,)),
}


@needs_compiler
@pytest.mark.parametrize("act", CANNOT_BE_RECORDED.values(), ids=CANNOT_BE_RECORDED.keys())
def test_what_a_recording_must_not_do(act, monkeypatch):
    gan = gans_of("dcgan")[0]
    plain, eye = gan.plain_generator_step, fake_cupy.eye(2)
    monkeypatch.setattr(gan.xp, "eye", lambda n: eye, raising=False)

    def generator_step(batch):
        act(gan)
        return plain(batch)

    gan.plain_generator_step = generator_step
    assert record_steps(gan).startswith("not recorded: ") and not gan.recorded


@pytest.mark.parametrize("m, k, n", [(2, 3, 4), (5, 1, 3), (1, 4, 1), (3, 4, 1), (1, 3, 2)])
@pytest.mark.parametrize("transposed", [(False, False), (True, False), (False, True), (True, True)])
def test_products_of_every_shape_and_order(m, k, n, transposed, dtype):
    rng = np.random.default_rng(0)
    host, device = [], []
    for shape, is_transposed in zip(((m, k), (k, n)), transposed):
        x = rng.standard_normal(shape[::-1] if is_transposed else shape).astype(dtype)
        host.append(x.T if is_transposed else x)
        device.append(fake_cupy.asarray(x).T if is_transposed else fake_cupy.asarray(x))
    out = fake_cupy.empty((m, n), dtype)
    graph.make_product(CuBLAS(), ctypes.c_void_p(99), dtype)(*device, out=out)
    np.testing.assert_allclose(out.get(), host[0] @ host[1], rtol=1e-5)


def test_arrays_that_cannot_be_multiplied():
    product = graph.make_product(CuBLAS(), ctypes.c_void_p(99), "float32")
    x = fake_cupy.asarray(np.ones((4, 6), "float32"))
    float64 = fake_cupy.asarray(np.ones((6, 2)))
    for a, b, out in [
        (x, x, x),
        (x, x.T, x),
        (x[:, :4], x, x),
        (x, float64, fake_cupy.empty((4, 2), "float32")),
    ]:
        with pytest.raises(ValueError):
            product(a, b, out=out)


def test_the_benchmark_times_plain_fused_and_recorded_steps(monkeypatch, capsys):
    monkeypatch.setattr(step, "torch", None)
    monkeypatch.setattr(graph, "find_library", CuBLAS)
    images, options = np.zeros((20, 28, 28), "uint8"), dict(rounds=1, graph=True)
    recipe = replace(small("dense"), batch_size=8)
    row = step.compare(recipe, images, fake_cupy, None, **options)
    assert set(row["ms"]) == {"minigan", "gemm", "unfused", "recorded"}
    assert row["launches"] < row["unfused"]
    assert "not recorded" not in capsys.readouterr().err
    step.show_row("small", row)
    printed = capsys.readouterr().out
    assert "recorded: " in printed and "unfused: " in printed

    monkeypatch.setattr(graph, "find_library", lambda: graph.ctypes.CDLL("no such library"))
    row = step.compare(recipe, images, fake_cupy, None, **options)
    assert "recorded" not in row["ms"]
    assert capsys.readouterr().err.startswith("not recorded: OSError")


def test_the_default_recipe_is_timed_with_its_matrix_products(monkeypatch, capsys):
    """Its convolutions in parts on two cores, beside the same ones in one part."""
    monkeypatch.setattr(step, "torch", None)
    images, recipe = np.zeros((20, 28, 28), "uint8"), replace(small("default"), batch_size=8)
    row = step.compare(recipe, images, np, 2, rounds=1)
    assert set(row["ms"]) == {"minigan", "gemm", "serial"} and row["unfused"] > row["launches"] > 0
    step.show_row("small", row)
    assert "small, serial: " in capsys.readouterr().out


def test_shared_fakes_save_the_products_of_one_pass_of_the_generator():
    recipe = small("default")
    flops = [step.Gemm(replace(recipe, shared_fakes=s), np).flops() for s in (False, True)]
    G, _ = make_networks(recipe, step.SHAPE, rng=np.random.default_rng(0))
    sizes = step.product_shapes(G, recipe.latent_dim)
    one_pass = sum(2 * recipe.batch_size * R * K * M for R, K, M, _ in sizes)
    assert one_pass > 0 and flops[0] - flops[1] == one_pass
