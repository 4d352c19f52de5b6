"""Choosing a backend, the messages when CuPy cannot work, and the CPU settings.

Each failure is simulated by a replacement of the `cupy` module that raises what CuPy 14.2.0 raises.
The messages must name the cause.
"""

import importlib
import subprocess
import sys
import types
import warnings

import fake_cupy
import numpy as np
import pytest

from minigan.accel import cpu
from minigan.accel.cpu import blas_advice, choose_blas_advice, disable_malloc_trim
from minigan.backend import BackendError, asnumpy, fused, get_array_module, load_backend
from minigan.rng import make_rng, random_uint16


@pytest.fixture(autouse=True)
def cache_of_cupy(monkeypatch, tmp_path):
    """No test writes to the user's own."""
    monkeypatch.setenv("CUPY_CACHE_DIR", str(tmp_path / "cupy"))


class CUDARuntimeError(RuntimeError):
    pass


class OutOfMemoryError(MemoryError):
    pass


def raising(error):
    def function(*args, **kwargs):
        raise error

    return function


def mock_cupy(
    count=lambda: 1, driver=13020, runtime=13020, use=lambda shape, dtype: np.ones(shape, dtype)
):
    """A module like cupy, on a machine of the given kind."""
    cupy = types.ModuleType("cupy")
    cupy.cuda = types.SimpleNamespace(
        runtime=types.SimpleNamespace(
            getDeviceCount=count,
            driverGetVersion=lambda: driver,
            runtimeGetVersion=lambda: runtime,
            CUDARuntimeError=CUDARuntimeError,
        ),
        memory=types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
    )
    cupy.random = types.SimpleNamespace(
        XORWOW=lambda seed, size: seed,
        Generator=lambda bits: types.SimpleNamespace(standard_normal=use),
    )
    return cupy


TOO_OLD = CUDARuntimeError(
    "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version"
)
FAILURES = {
    "no driver": (
        dict(count=raising(TOO_OLD), driver=0),
        "there is no NVIDIA driver on this machine",
    ),
    "driver too old": (
        dict(count=raising(TOO_OLD), driver=12040),
        r"driver is too old: it supports CUDA 12.4, but this CuPy was built for CUDA 13.2",
    ),
    "no device": (
        dict(
            count=raising(CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected"))
        ),
        "driver finds no graphics card",
    ),
    "no device, counted": (dict(count=lambda: 0), "driver finds no graphics card"),
    "something else": (
        dict(count=raising(CUDARuntimeError("cudaErrorUnknown: unknown error"))),
        "CUDA does not start: cudaErrorUnknown",
    ),
    "nvrtc missing": (
        dict(
            use=raising(
                RuntimeError('Failure finding "libnvrtc.so.13 or libnvrtc.so.12": No such file')
            )
        ),
        r"not all CUDA libraries \(Failure finding .libnvrtc.*cuda13",
    ),
    "cuBLAS missing": (
        dict(use=raising(ImportError("libcublas.so.13: cannot open shared object file"))),
        r"not all CUDA libraries \(libcublas",
    ),
    "headers missing": (
        dict(use=raising(Exception('\n\n  could not open source file "cuda_fp16.h"'))),
        r'not all CUDA libraries \(could not open source file "cuda_fp16.h"',
    ),
    "out of memory": (
        dict(use=raising(OutOfMemoryError("Out of memory allocating 512 bytes"))),
        "card is out of memory",
    ),
}


@pytest.mark.parametrize("machine, fragment", FAILURES.values(), ids=FAILURES.keys())
def test_each_failure_has_its_message(monkeypatch, machine, fragment):
    monkeypatch.setitem(sys.modules, "cupy", mock_cupy(**machine))
    with pytest.raises(BackendError, match=fragment) as caught:
        load_backend("cupy")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "error, fragment",
    [
        (ModuleNotFoundError("No module named 'cupy'", name="cupy"), "CuPy is not installed"),
        (
            ModuleNotFoundError("No module named 'fastrlock'", name="fastrlock"),
            "No module named 'fastrlock'",
        ),
        (ImportError("\n====\nFailed to import CuPy."), "installed but broken"),
    ],
    ids=["not installed", "a dependency missing", "broken"],
)
def test_a_failing_import_has_its_message(monkeypatch, error, fragment):
    monkeypatch.setattr(importlib, "import_module", raising(error))
    with pytest.raises(BackendError, match=fragment) as caught:
        load_backend("cupy")
    assert "\n" not in str(caught.value)


def test_a_working_cupy_is_returned(monkeypatch):
    cupy = mock_cupy()
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    assert load_backend("cupy") is cupy


def test_a_cache_folder_that_cannot_be_written_is_named(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setitem(sys.modules, "cupy", mock_cupy())
    monkeypatch.setenv("CUPY_CACHE_DIR", str(tmp_path / "file" / "cache"))
    with pytest.raises(BackendError, match=r"file.cache \(Not a dir.*\): set CUPY_CACHE_DIR to a"):
        load_backend("cupy")
    monkeypatch.setenv("CUPY_CACHE_IN_MEMORY", "1")
    load_backend("cupy")
    monkeypatch.delenv("CUPY_CACHE_IN_MEMORY")
    monkeypatch.delenv("CUPY_CACHE_DIR")
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "file"))
    with pytest.raises(BackendError, match=r"kernel_cache \("):
        load_backend("cupy")
    monkeypatch.setenv("CUPY_CACHE_DIR", str(tmp_path / "new" / "cache"))
    load_backend("cupy")
    assert list((tmp_path / "new" / "cache").iterdir()) == []


def test_numpy_is_numpy_and_other_names_are_refused():
    assert load_backend("numpy") is np
    with pytest.raises(BackendError, match="'jax': choose numpy or cupy"):
        load_backend("jax")


def test_cupy_is_imported_only_on_request():
    code = (
        "import sys, minigan.training.run, minigan.backend as b; b.load_backend('numpy');"
        "sys.exit(any(m.split('.')[0] in ('cupy', 'torch') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_arrays_decide(xp):
    x = xp.asarray(np.ones((2, 3)))
    assert (
        get_array_module(x) is xp
        and get_array_module(x.sum()) is xp
        and get_array_module(x[0]) is xp
    )
    assert type(asnumpy(x)) is np.ndarray


def test_equal_seeds_give_equal_numbers(xp):
    def draw(seed):
        rng = make_rng(xp, seed)
        return [
            asnumpy(rng.standard_normal((3, 4), dtype="float32")),
            asnumpy(rng.random((5,), dtype="float32")),
        ]

    a, b, c = (draw(np.random.SeedSequence(seed)) for seed in (1, 1, 2))
    for first, second, other in zip(a, b, c):
        np.testing.assert_array_equal(first, second)
        assert (
            (first != other).any()
            and len(np.unique(first)) == first.size
            and first.dtype == "float32"
        )


def test_a_numpy_scalar_belongs_to_numpy():
    assert (
        get_array_module(np.float32(1)) is np
        and get_array_module(fake_cupy.asarray(1.0)) is fake_cupy
    )


def blas(threads=2, architecture="Zen", api="openblas"):
    return [
        {
            "internal_api": api,
            "num_threads": threads,
            "architecture": architecture,
            "user_api": "blas",
        }
    ]


@pytest.mark.parametrize(
    "found, advice",
    [
        ((blas(), 2, 0.2, "flags: avx2"), ""),
        ((blas(), 2, 0.2, "flags: avx2 avx512f"), "OPENBLAS_CORETYPE=SkylakeX"),
        ((blas(architecture="Haswell"), 2, 0.2, "avx512f"), "Haswell kernels"),
        ((blas(architecture="SkylakeX"), 2, 0.2, "avx512f"), ""),
        ((blas(), 2, 0.9, "avx2"), "only 1 of 2 cores"),
        ((blas(threads=1), 2, 0.9, "avx2"), ""),
        ((blas(threads=8), 8, 3.0, ""), "python demo.py --threads 5"),
        ((blas(threads=2), 2, 9.0, ""), "python demo.py --threads 1"),
        ((blas(threads=4), 2, 0.0, ""), "only 2 of 2 cores"),
        ((blas(api="mkl"), 2, 9.0, "avx512f"), ""),
        (([], 2, 9.0, "avx512f"), ""),
    ],
)
def test_advice_on_the_blas(found, advice):
    libraries, cores, load, processor = found
    line = choose_blas_advice(libraries, cores=cores, load=load, processor=processor)
    assert advice in line and bool(line) == bool(advice) and "\n" not in line


def test_advice_is_one_line_here():
    assert "\n" not in blas_advice()


@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (8, 2)])
def test_random_uint16(shape, xp):
    bits = asnumpy(random_uint16(xp, make_rng(xp, 0), shape))
    assert bits.shape == shape and bits.dtype == "uint16"


def test_random_uint16_is_uniform():
    bits = random_uint16(np, make_rng(np, 0), (64, 4096))
    for shift in range(16):
        assert (bits >> shift & 1).mean() == pytest.approx(0.5, abs=0.005)
    assert (
        len(np.unique(bits)) > 60_000
        and abs(np.corrcoef(bits[:, :-1].ravel(), bits[:, 1:].ravel())[0, 1]) < 0.01
    )


class BigEndian:
    """The generator of a big-endian machine, whose integers have their first byte first."""

    def integers(self, *args, dtype):
        return np.random.default_rng(0).integers(*args, dtype=dtype).astype(">u8")


def test_random_uint16_is_the_same_on_machines_of_either_byte_order():
    [number] = np.random.default_rng(0).integers(0, 1 << 64, 1, dtype="uint64").tolist()
    expected = [number >> shift & 0xFFFF for shift in (0, 16, 32, 48)]
    for rng in make_rng(np, 0), BigEndian():
        bits = random_uint16(np, rng, (4,))
        assert bits.tolist() == expected and bits.dtype == np.dtype("uint16")


def test_on_cupy_random_uint16_draws_each_number_separately(monkeypatch):
    """CuPy passes a bound on as a signed number (its _generator_api.pyx): 64 bits might not fit."""
    monkeypatch.setattr(fake_cupy, "__name__", "cupy")
    bits = random_uint16(fake_cupy, fake_cupy.random.default_rng(0), (3, 5))
    assert (
        asnumpy(bits).tolist()
        == np.random.default_rng(0).integers(0, 1 << 16, (3, 5), dtype="uint16").tolist()
    )


def test_freed_memory_is_kept_where_the_c_library_can_keep_it():
    """In a process of its own: large arrays that are allocated repeatedly need no new pages."""
    code = """if True:
        import resource, sys
        import numpy as np
        from minigan.accel.cpu import disable_malloc_trim
        kept = disable_malloc_trim()
        def pages():
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            for _ in range(20):
                arrays = [np.ones(3_000_000) for _ in range(3)]
                del arrays
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
        pages()
        print(int(kept), pages())
    """
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    kept, faults = map(int, result.stdout.split())
    assert faults < 5000 if kept else True
    assert kept or not sys.platform.startswith("linux") or "musl" in sys.version


def test_a_c_library_without_mallopt_is_no_error(monkeypatch):
    for library in (lambda name: types.SimpleNamespace()), raising(OSError()), raising(TypeError()):
        monkeypatch.setattr(cpu.ctypes, "CDLL", library)
        assert disable_malloc_trim() is False


def test_a_formula_that_cupy_cannot_trace_is_reported_once(monkeypatch):
    """CuPy's `fuse` changes to another way for good, and says nothing."""

    class Fusion:
        def __init__(self, function):
            self.function, self.new_fusion = function, None

        def __call__(self, *args):
            self.new_fusion = self
            return self.function(*args)

    x = fake_cupy.asarray(np.ones(3, "float32"))
    formula = fused(lambda x: x + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        formula(x)
    monkeypatch.setattr(fake_cupy, "fuse", lambda kernel_name: Fusion)
    formula = fused(lambda x: x + 1)
    with pytest.warns(RuntimeWarning, match="could not compile"):
        assert formula(x).get().tolist() == [2, 2, 2]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        formula(x)
