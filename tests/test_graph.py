"""benchmarks/graph.py on a stand-in for CuPy's streams and for cuBLAS: what a GPU would have to do is not tried here."""
import contextlib
import ctypes
import sys
import types
from pathlib import Path

import fake_device
import numpy as np
import pytest
from test_fusing import FUSED, HostDraws
from test_game import IMAGES, small

from minigan.game import Game
from minigan.recipes import replace

sys.path.append(str(Path(__file__).resolve().parent.parent / "benchmarks"))
import graph
import step


class CuBLAS:
    """cublasSgemm_v2 and cublasDgemm_v2 as their manual has them: pointers to matrices that lie column by column."""

    def __init__(self, wrong=1.0, status=0):
        self.wrong, self.status, self.calls = wrong, status, []
        self.cublasSgemm_v2, self.cublasDgemm_v2 = (lambda *args, real=real: self.gemm(real, *args) for real in (ctypes.c_float, ctypes.c_double))

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
            assert (alpha._obj.value, beta._obj.value) == (1, 0)       # and then C is not read, which may hold anything
            C[...] = self.wrong * (A.T if op_a else A) @ (B.T if op_b else B)
        if self.status == 0:
            fake_device.recording.append(work) if fake_device.recording is not None else work()
        return self.status


def matrix(real, pointer, rows, columns, ld):
    """The matrix (rows, columns) that lies column by column from a pointer on, ld numbers from column to column."""
    assert ld >= max(1, rows)
    flat = np.ctypeslib.as_array((real * (ld * (columns - 1) + rows)).from_address(pointer.value))
    return np.lib.stride_tricks.as_strided(flat, (rows, columns), (flat.itemsize, ld * flat.itemsize))


class Stream:
    ptr = 4711

    def __init__(self, non_blocking):
        assert non_blocking

    __enter__, __exit__, synchronize = lambda self: self, lambda self, *error: None, lambda self: None

    def begin_capture(self):
        fake_device.recording = []

    def end_capture(self):
        kernels, fake_device.recording = fake_device.recording, None

        def launch():
            fake_device.launches += 1
            counted = fake_device.launches
            for kernel in kernels:
                kernel()
            fake_device.launches = counted
        return types.SimpleNamespace(launch=launch, kernels=kernels)


@pytest.fixture(autouse=True)
def cuda(monkeypatch):
    device = types.SimpleNamespace(get_cublas_handle=lambda: 99)
    cuda = types.SimpleNamespace(Stream=Stream, device=device, Device=lambda: types.SimpleNamespace(synchronize=lambda: None))
    monkeypatch.setattr(fake_device, "cuda", cuda, raising=False)
    yield cuda
    fake_device.recording = None


def game_of(name, **change):
    game = Game(replace(small(name), **change), IMAGES, 0, fake_device)
    game.noise, game.dropout = HostDraws(1, fake_device), HostDraws(2, fake_device)
    game.step()
    return game


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FUSED)
def test_a_recorded_game_is_the_same_game(name, dtype):
    games, library = [game_of(name, dtype=dtype) for _ in range(2)], CuBLAS()
    assert graph.record(games[1].fused, library) == ""
    assert [call[0] for call in library.calls] == ["stream", "workspace"] and library.calls[0][1:] == (99, 4711)
    for _ in range(4):
        told = []
        for game in games:
            with fake_device.no_sync():
                values = game.step()
            told.append([value.item() for value in values])
        np.testing.assert_allclose(told[0], told[1], rtol=1e-5 if dtype == "float32" else 1e-12)
    np.testing.assert_allclose(games[0].G.theta.get(), games[1].G.theta.get(), rtol=1e-3, atol=1e-5)
    assert (games[0].G.theta.get() != Game(games[0].recipe, IMAGES).G.theta).mean() > 0.9


def test_launches_of_a_recorded_step():
    game, counts = game_of("keras-mlp-fixed"), []
    for recorded in False, True:
        game.noise, game.dropout = (fake_device.random.default_rng(0) for _ in range(2))
        before = fake_device.launches
        game.step()
        counts.append(fake_device.launches - before)
        if not recorded:
            assert graph.record(game.fused, CuBLAS()) == ""
    assert counts[1] == 11                # fetching the images 1, noise 2, random bits 3, two recordings, two optimizers, sums 1
    assert counts[0] == 9 + sum(len(recorded.kernels) for recorded in game.fused.recorded[0])


FAILURES = {
    "no library": (dict(library=None), "not recorded: OSError: cuBLAS is not found"),
    "wrong numbers": (dict(library=CuBLAS(wrong=1.01)), "not recorded: ValueError: the recording is off by"),
    "not a number": (dict(library=CuBLAS(wrong=np.nan)), "not recorded: ValueError: the recording is off by nan"),
    "a status": (dict(library=CuBLAS(status=13)), "not recorded: RuntimeError: cuBLAS returned the status 13"),
}


@pytest.mark.parametrize("how, words", FAILURES.values(), ids=FAILURES.keys())
def test_what_cannot_be_recorded_is_played_as_before(how, words, monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: (_ for _ in ()).throw(OSError("not here")))
    games = [game_of("default") for _ in range(2)]
    line = graph.record(games[1].fused, **how)
    assert line.startswith(words) and "\n" not in line
    for _ in range(3):
        told = [[value.item() for value in game.step()] for game in games]
        assert told[0] == told[1]


def test_a_capture_that_fails_is_ended(monkeypatch, cuda):
    """As where the device does not record: the stream must not go on recording."""
    game = game_of("default")
    monkeypatch.setattr(Stream, "begin_capture", lambda self: (setattr(fake_device, "recording", []), 1 / 0))
    assert graph.record(game.fused, CuBLAS()).startswith("not recorded: ZeroDivisionError")
    monkeypatch.undo()


def test_moves_that_ask_for_memory_are_not_recorded(monkeypatch, cuda):
    game = game_of("default")
    plain = game.fused.judge_D
    game.fused.judge_D = lambda a, *rest: plain(a + 0, *rest)
    assert "cannot be recorded" in graph.record(game.fused, CuBLAS()) and fake_device.recording is None


@pytest.mark.parametrize("m, k, n", [(2, 3, 4), (5, 1, 3), (1, 4, 1), (3, 4, 1), (1, 3, 2)])
@pytest.mark.parametrize("turned", [(False, False), (True, False), (False, True), (True, True)])
def test_products_of_every_shape_and_order(m, k, n, turned, dtype):
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape[::-1] if turn else shape).astype(dtype) for shape, turn in zip(((m, k), (k, n)), turned))
    A, B = (fake_device.asarray(x).T if turn else fake_device.asarray(x) for x, turn in zip((a, b), turned))
    out = fake_device.empty((m, n), dtype)
    graph.make_product(CuBLAS(), ctypes.c_void_p(99), dtype)(A, B, out=out)
    np.testing.assert_allclose(out.get(), (a.T if turned[0] else a) @ (b.T if turned[1] else b), rtol=1e-5)


def test_what_is_no_product():
    product = graph.make_product(CuBLAS(), ctypes.c_void_p(99), "float32")
    x = fake_device.asarray(np.ones((4, 6), "float32"))
    for a, b, out in [(x, x, x), (x, x.T, x), (x[:, :4], x, x), (x, fake_device.asarray(np.ones((6, 2))), fake_device.empty((4, 2), "float32"))]:
        with pytest.raises(ValueError):
            product(a, b, out=out)


def test_the_benchmark_times_all_ways_to_play(monkeypatch, capsys):
    monkeypatch.setattr(step, "torch", None)
    monkeypatch.setattr(graph, "find_library", CuBLAS)
    recipe = replace(small("default"), batch_size=8)
    row = step.compare(recipe, np.zeros((20, 28, 28), "uint8"), fake_device, None, 1, False, graph=True)
    assert set(row["ms"]) == {"minigan", "floor", "unfused", "recorded"} and row["launches"] < row["unfused"]
    step.show("small", row)
    told = capsys.readouterr()
    assert "recorded: " in told.out and "unfused: " in told.out and told.err == "both moves are recorded\n"
    monkeypatch.setattr(graph, "find_library", lambda: graph.ctypes.CDLL("no such library"))
    row = step.compare(recipe, np.zeros((20, 28, 28), "uint8"), fake_device, None, 1, False, graph=True)
    assert "recorded" not in row["ms"] and capsys.readouterr().err.startswith("not recorded: OSError")
    row = step.compare(small("goodfellow-2014"), np.zeros((20, 28, 28), "uint8"), fake_device, None, 1, False, graph=True)
    assert set(row["ms"]) == {"minigan", "floor"} and "this recipe's moves are not those of fusing.py" in capsys.readouterr().err
