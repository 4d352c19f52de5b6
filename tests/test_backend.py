"""Choosing a backend, and what is said when CuPy cannot work here.

Each failure is re-enacted by a stand-in for the `cupy` module that raises what the real one
raises (tried with CuPy 14.2.0): the messages must name the cause.
"""
import importlib
import subprocess
import sys
import types

import fake_device
import numpy as np
import pytest

from minigan import backend
from minigan.backend import BackendError, advice, array_module, blas_advice, keep_memory, load_backend, to_host
from minigan.randomness import random_16_bits, random_generator


class CUDARuntimeError(RuntimeError):
    pass


class OutOfMemoryError(MemoryError):
    pass


def raising(error):
    def function(*args, **kwargs):
        raise error
    return function


def stand_in(count=lambda: 1, driver=13020, runtime=13020, use=lambda shape, dtype: np.ones(shape, dtype)):
    """A module like cupy, on a machine of the given kind."""
    cupy = types.ModuleType("cupy")
    cupy.cuda = types.SimpleNamespace(
        runtime=types.SimpleNamespace(getDeviceCount=count, driverGetVersion=lambda: driver,
                                      runtimeGetVersion=lambda: runtime, CUDARuntimeError=CUDARuntimeError),
        memory=types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError))
    cupy.random = types.SimpleNamespace(XORWOW=lambda seed, size: seed,
                                        Generator=lambda bits: types.SimpleNamespace(standard_normal=use))
    return cupy


TOO_OLD = CUDARuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version")
FAILURES = {
    "no driver": (dict(count=raising(TOO_OLD), driver=0), "there is no NVIDIA driver on this machine"),
    "driver too old": (dict(count=raising(TOO_OLD), driver=12040),
                       r"driver is too old: it supports CUDA 12.4, but this CuPy is built for CUDA 13.2"),
    "no device": (dict(count=raising(CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected"))),
                  "no graphics card that it can see"),
    "no device, counted": (dict(count=lambda: 0), "no graphics card that it can see"),
    "something else": (dict(count=raising(CUDARuntimeError("cudaErrorUnknown: unknown error"))),
                       "CUDA does not start: cudaErrorUnknown"),
    "nvrtc missing": (dict(use=raising(RuntimeError('Failure finding "libnvrtc.so.13 or libnvrtc.so.12": No such file'))),
                      r"not all CUDA libraries \(Failure finding .libnvrtc.*cuda13"),
    "cuBLAS missing": (dict(use=raising(ImportError("libcublas.so.13: cannot open shared object file"))),
                       r"not all CUDA libraries \(libcublas"),
    "headers missing": (dict(use=raising(Exception('\n\n  could not open source file "cuda_fp16.h"'))),
                        r'not all CUDA libraries \(could not open source file "cuda_fp16.h"'),
    "out of memory": (dict(use=raising(OutOfMemoryError("Out of memory allocating 512 bytes"))), "card is out of memory"),
}


@pytest.mark.parametrize("machine, words", FAILURES.values(), ids=FAILURES.keys())
def test_each_failure_has_its_sentence(monkeypatch, machine, words):
    monkeypatch.setitem(sys.modules, "cupy", stand_in(**machine))
    with pytest.raises(BackendError, match=words) as caught:
        load_backend("cupy")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("error, words", [
    (ModuleNotFoundError("No module named 'cupy'", name="cupy"), "CuPy is not installed"),
    (ModuleNotFoundError("No module named 'fastrlock'", name="fastrlock"), "No module named 'fastrlock'"),
    (ImportError("\n====\nFailed to import CuPy."), "installed but broken"),
], ids=["not installed", "a dependency missing", "broken"])
def test_an_import_that_fails_has_its_sentence(monkeypatch, error, words):
    monkeypatch.setattr(importlib, "import_module", raising(error))
    with pytest.raises(BackendError, match=words) as caught:
        load_backend("cupy")
    assert "\n" not in str(caught.value)


def test_a_cupy_that_works_is_taken(monkeypatch):
    cupy = stand_in()
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    assert load_backend("cupy") is cupy


def test_numpy_is_numpy_and_nothing_else_is_known():
    assert load_backend("numpy") is np
    with pytest.raises(BackendError, match="'jax': choose numpy or cupy"):
        load_backend("jax")


def test_cupy_is_not_imported_unless_asked_for():
    code = ("import sys, minigan.training, minigan.backend as b; b.load_backend('numpy');"
            "sys.exit(any(m.split('.')[0] in ('cupy', 'torch') for m in sys.modules))")
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_arrays_decide(xp):
    x = xp.asarray(np.ones((2, 3)))
    assert array_module(x) is xp and array_module(x.sum()) is xp and array_module(x[0]) is xp
    assert type(to_host(x)) is np.ndarray


def test_generators_repeat_themselves(xp):
    def draw(seed):
        rng = random_generator(xp, seed)
        return [to_host(rng.standard_normal((3, 4), dtype="float32")), to_host(rng.random((5,), dtype="float32"))]
    a, b, c = (draw(np.random.SeedSequence(seed)) for seed in (1, 1, 2))
    for first, second, other in zip(a, b, c):
        np.testing.assert_array_equal(first, second)
        assert (first != other).any() and len(np.unique(first)) == first.size and first.dtype == "float32"


def test_a_number_of_numpy_s_is_of_numpy():
    assert array_module(np.float32(1)) is np and array_module(fake_device.asarray(1.0)) is fake_device


def blas(threads=2, architecture="Zen", api="openblas"):
    return [{"internal_api": api, "num_threads": threads, "architecture": architecture, "user_api": "blas"}]


@pytest.mark.parametrize("found, told", [
    ((blas(), 2, 0.2, "flags: avx2"), ""),
    ((blas(), 2, 0.2, "flags: avx2 avx512f"), "OPENBLAS_CORETYPE=SkylakeX"),
    ((blas(architecture="Haswell"), 2, 0.2, "avx512f"), "runs its Haswell kernels"),
    ((blas(architecture="SkylakeX"), 2, 0.2, "avx512f"), ""),
    ((blas(), 2, 0.9, "avx2"), "takes 2 threads, but only 1 of 2 cores seem to be free"),
    ((blas(threads=1), 2, 0.9, "avx2"), ""),
    ((blas(threads=8), 8, 3.0, ""), "OPENBLAS_NUM_THREADS=5 python"),
    ((blas(threads=2), 2, 9.0, ""), "OPENBLAS_NUM_THREADS=1 python"),
    ((blas(threads=4), 2, 0.0, ""), "only 2 of 2 cores"),
    ((blas(api="mkl"), 2, 9.0, "avx512f"), ""),
    (([], 2, 9.0, "avx512f"), ""),
])
def test_advice_on_the_blas(found, told):
    line = advice(*found)
    assert told in line and bool(line) == bool(told) and "\n" not in line


def test_advice_is_one_line_here():
    assert "\n" not in blas_advice()


@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (8, 2)])
def test_random_16_bits(shape, xp):
    bits = to_host(random_16_bits(xp, random_generator(xp, 0), shape))
    assert bits.shape == shape and bits.dtype == "uint16"


def test_random_16_bits_are_uniform():
    bits = random_16_bits(np, random_generator(np, 0), (64, 4096))
    for shift in range(16):
        assert (bits >> shift & 1).mean() == pytest.approx(0.5, abs=0.005)
    assert len(np.unique(bits)) > 60_000 and abs(np.corrcoef(bits[:, :-1].ravel(), bits[:, 1:].ravel())[0, 1]) < 0.01


def test_on_cupy_random_16_bits_are_drawn_one_by_one(monkeypatch):
    """CuPy hands a bound on as a signed number (its _generator_api.pyx), so all 64 bits might not fit; 16 do."""
    monkeypatch.setattr(fake_device, "__name__", "cupy")
    bits = random_16_bits(fake_device, fake_device.random.default_rng(0), (3, 5))
    assert to_host(bits).tolist() == np.random.default_rng(0).integers(0, 1 << 16, (3, 5), dtype="uint16").tolist()


def test_memory_is_kept_where_the_c_library_can():
    """In a process of its own: large arrays that are taken again and again cost no new pages."""
    code = """if True:
        import resource, sys
        import numpy as np
        from minigan.backend import keep_memory
        kept = keep_memory()
        def pages():
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            for _ in range(20):
                arrays = [np.ones(3_000_000) for _ in range(3)]
                del arrays
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
        pages()
        print(int(kept), pages())
    """
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    kept, faults = map(int, result.stdout.split())
    assert faults < 5000 if kept else True
    assert kept or not sys.platform.startswith("linux") or "musl" in sys.version


def test_a_c_library_without_mallopt_is_left_alone(monkeypatch):
    for library in (lambda name: types.SimpleNamespace()), raising(OSError()), raising(TypeError()):
        monkeypatch.setattr(backend.ctypes, "CDLL", library)
        assert keep_memory() is False
