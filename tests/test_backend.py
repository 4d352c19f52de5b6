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

from minigan.backend import BackendError, array_module, load_backend, random_generator, to_host


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
