"""accel/graph.py on the fake CuPy, with fake streams and a fake cuBLAS. No GPU is needed."""

import ctypes
import sys
import types
from pathlib import Path

import fake_cupy
import numpy as np
import pytest
from helpers import SMALL_IMAGES as IMAGES
from helpers import arrays, demo, small, train_small
from test_fused_steps import FUSED, HostDraws

from minigan.accel import graph
from minigan.gan.models import make_networks
from minigan.gan.recipes import replace
from minigan.training.state import TrainingState

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))
import step


class CuBLAS:
    """cublasSgemm_v2 and cublasDgemm_v2 as in their manual: pointers to matrices in columns."""

    def __init__(self, wrong=1.0, status=0):
        self.wrong, self.status, self.calls = wrong, status, []
        self.cublasSgemm_v2, self.cublasDgemm_v2 = (
            lambda *args, real=real: self.gemm(real, *args)
            for real in (ctypes.c_float, ctypes.c_double)
        )

    def cublasSetStream_v2(self, handle, stream):
        self.calls.append(("stream", handle.value, stream.value))
        return 0

    def cublasSetWorkspace_v2(self, handle, workspace, size):
        self.calls.append(("workspace", size.value))
        return 0

    def gemm(self, real, handle, op_a, op_b, m, n, k, alpha, a, ld_a, b, ld_b, beta, c, ld_c):
        def work():
            A = matrix(real, a, *((k, m) if op_a else (m, k)), ld_a)
            B = matrix(real, b, *((n, k) if op_b else (k, n)), ld_b)
            C = matrix(real, c, m, n, ld_c)
            # with beta = 0, C is not read and may hold anything
            assert (alpha._obj.value, beta._obj.value) == (1, 0)
            C[...] = self.wrong * (A.T if op_a else A) @ (B.T if op_b else B)

        if self.status == 0:
            fake_cupy.recording.append(work) if fake_cupy.recording is not None else work()
        return self.status


def matrix(real, pointer, rows, columns, ld):
    """The matrix (rows, columns) stored by columns at a pointer, with ld numbers from column to
    column.
    """
    assert ld >= max(1, rows)
    flat = np.ctypeslib.as_array((real * (ld * (columns - 1) + rows)).from_address(pointer.value))
    return np.lib.stride_tricks.as_strided(
        flat, (rows, columns), (flat.itemsize, ld * flat.itemsize)
    )


class Stream:
    ptr = 4711

    def __init__(self, non_blocking):
        assert non_blocking

    __enter__, __exit__, synchronize = (
        lambda self: self,
        lambda self, *error: None,
        lambda self: None,
    )

    def begin_capture(self):
        fake_cupy.recording = []

    def end_capture(self):
        kernels, fake_cupy.recording = fake_cupy.recording, None

        def launch():
            fake_cupy.launches += 1
            counted = fake_cupy.launches
            for kernel in kernels:
                kernel()
            fake_cupy.launches = counted

        return types.SimpleNamespace(launch=launch, kernels=kernels)


@pytest.fixture(autouse=True)
def cuda(monkeypatch):
    changed = dict(Stream=Stream, device=types.SimpleNamespace(get_cublas_handle=lambda: 99))
    cuda = types.SimpleNamespace(**vars(fake_cupy.cuda) | changed)
    monkeypatch.setattr(fake_cupy, "cuda", cuda)
    yield cuda
    fake_cupy.recording = None


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
    assert counts[1] == 11
    assert counts[0] == 9 + sum(len(recording.kernels) for recording in gan.fused.recorded[0])


def test_a_run_with_graphs_is_the_same_run(monkeypatch, tmp_path, capsys):
    """Up to rounding, and it says what became of --graph."""
    monkeypatch.setattr(graph, "find_library", CuBLAS)
    recipe = replace(small("dense"), dropout=0.0, epochs=2, ema_decay=0.0)
    train_small(tmp_path / "plain", recipe, xp=fake_cupy)
    assert "CUDA graphs" not in capsys.readouterr().out
    train_small(tmp_path / "graph", recipe, xp=fake_cupy, graph=True)
    printed = capsys.readouterr().out
    assert printed.count("CUDA graphs: both steps are recorded and checked") == 1
    ours, theirs = (arrays(tmp_path / name) for name in ("graph", "plain"))
    np.testing.assert_allclose(ours["generator"], theirs["generator"], rtol=1e-3, atol=1e-5)
    train_small(tmp_path / "conv", small("dcgan"), IMAGES[:, :4, :4], xp=fake_cupy, graph=True)
    assert "CUDA graphs: not recorded: only fully connected" in capsys.readouterr().out


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


def test_a_device_that_cannot_record(monkeypatch, cuda):
    def begin_capture(stream):
        fake_cupy.recording = []
        raise ZeroDivisionError

    gan = trained_gan("dense")
    monkeypatch.setattr(Stream, "begin_capture", begin_capture)
    assert graph.record(gan.fused, CuBLAS()).startswith("not recorded: ZeroDivisionError")


def test_steps_that_allocate_memory_are_not_recorded(cuda):
    gan = trained_gan("dense")
    plain = gan.fused.discriminator_kernel
    gan.fused.discriminator_kernel = lambda a, *rest: plain(a + 0, *rest)
    assert "cannot be recorded" in graph.record(gan.fused, CuBLAS())
    assert fake_cupy.recording is None  # the stream no longer records


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

    row = step.compare(small("goodfellow-2014"), images, fake_cupy, None, **options)
    assert set(row["ms"]) == {"minigan", "gemm"}
    assert "fused_steps.py" in capsys.readouterr().err


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
