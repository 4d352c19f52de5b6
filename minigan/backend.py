"""Backend: NumPy or CuPy.

The idea
    CuPy is NumPy on a graphics card: the same names, the same arithmetic, but the arrays lie in the
    card's memory. The computer is called the host, the card the device.

    Put networks, data and noise on the device once, and everything on the pages above runs there
    without knowing it, because *arrays decide*: a + b and a @ b run where a and b are. Where a page
    needs a function by name, it asks the array at hand for its module:

        xp = array_module(x);  xp.tanh(x)

    Data goes to the device in one place (`xp.asarray`), and comes home in one (`to_host`). And `fused`
    makes one operation of a formula that a device would compute in several.

What differs between the two
    - Mixing them is an error, and `float(x)` or `print(x)` makes the host wait for the card. So
      a training step does neither: losses are brought home only now and then.
    - Sums and means are arrays of shape (), not numbers.
    - Random numbers: the card's are not NumPy's (see randomness.py). Initial weights are drawn on the
      host and copied, noise is drawn where it is used: the two backends start from the same network
      and then see different noise.

>>> import numpy as np
>>> array_module(np.ones(3)).__name__
'numpy'
>>> to_host(np.float32(1.5)).tolist()
1.5
>>> load_backend("numpy").__name__
'numpy'
>>> load_backend("abacus")
Traceback (most recent call last):
    ...
minigan.backend.BackendError: there is no backend 'abacus': choose numpy or cupy
"""
import ctypes
import functools
import importlib
import os
import sys
from pathlib import Path

import numpy as np

BACKENDS = ("numpy", "cupy")


class BackendError(RuntimeError):
    """A backend cannot be used; the message says in one sentence why, and what to do."""


def array_module(x):
    """The module that made the array x: numpy or cupy."""
    return sys.modules[type(x).__module__.partition(".")[0]]


def fused(function):
    """A decorator for formulas that work number by number, such as x * (1 - x).

    NumPy runs the formula as it is, operation by operation. A device would start one kernel for each,
    which costs more than their arithmetic; CuPy's `fuse` makes a single one of them. Floats among the
    arguments take the dtype of the first array, as a Python float next to an array would.
    """
    kernels = {}

    @functools.wraps(function)
    def call(x, *others):
        xp = array_module(x)
        if not hasattr(xp, "fuse") or not isinstance(x, xp.ndarray):  # inside another fused formula, x only stands for an array
            return function(x, *others)
        if xp not in kernels:
            kernels[xp] = xp.fuse(kernel_name=function.__name__)(function)
        return kernels[xp](x, *(x.dtype.type(a) if isinstance(a, float) else a for a in others))
    return call


def to_host(x):
    """x as a NumPy array; from a device it is copied, and the host waits for that."""
    return x.get() if hasattr(x, "get") else np.asarray(x)


def keep_memory():
    """Tell the C library to keep memory that is freed; True if it is one that can (Linux's glibc).

    Each step takes the same large arrays and lets them go. Left alone, the library gives them back to the
    system, which hands out fresh pages, wiped, at the next step: for convolutions a third of the time.
    """
    MMAP_MAX, TRIM_THRESHOLD = -4, -1  # names and numbers of mallopt(3)
    try:
        library = ctypes.CDLL(None)
        return bool(library.mallopt(MMAP_MAX, 0) and library.mallopt(TRIM_THRESHOLD, 2 ** 31 - 1))
    except (AttributeError, OSError, TypeError):
        return False


def blas_threads():
    """How many threads NumPy's matrix products take: all cores, or what OPENBLAS_NUM_THREADS says; 1 if we cannot tell."""
    import threadpoolctl  # here, so that a machine that only computes on its GPU can do without

    return max((lib["num_threads"] for lib in threadpoolctl.threadpool_info() if lib["user_api"] == "blas"), default=1)


def blas_advice():
    """One line on how NumPy's matrix products could be faster on this machine; "" if there is none.

    They are the work of a library, the BLAS. Nothing is changed here: both settings are read
    when Python starts, and are the user's to make.
    """
    import threadpoolctl  # here, so that a machine that only computes on its GPU can do without

    libraries = [lib for lib in threadpoolctl.threadpool_info() if lib["user_api"] == "blas"]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    try:
        processor = Path("/proc/cpuinfo").read_text()
    except OSError:
        processor = ""
    return advice(libraries, cores, load, processor)


def advice(libraries, cores, load, processor):
    """What blas_advice says, given what it found: OpenBLAS as threadpoolctl describes it, the cores
    that we may use, how many of them were busy of late, and Linux's description of the processor."""
    for lib in libraries:
        threads = lib["num_threads"]
        free = max(1, cores - round(load))
        if lib["internal_api"] == "openblas" and threads > free:
            return (f"NumPy's BLAS takes {threads} threads, but only {free} of {cores} cores seem to be free, which can make it"
                    f" slower than with fewer: OPENBLAS_NUM_THREADS={free} python demo.py ...")
        if lib["internal_api"] == "openblas" and lib.get("architecture") in ("Haswell", "Zen") and "avx512f" in processor:
            return (f"NumPy's BLAS runs its {lib['architecture']} kernels, but this processor has AVX-512, with which it may"
                    " be much faster: OPENBLAS_CORETYPE=SkylakeX python demo.py ...")
    return ""


def load_backend(name):
    """The module numpy or cupy, tried out; raises BackendError if it cannot work here."""
    if name == "numpy":
        return np
    if name != "cupy":
        raise BackendError(f"there is no backend {name!r}: choose {' or '.join(BACKENDS)}")
    try:
        cupy = importlib.import_module("cupy")
    except ModuleNotFoundError as error:
        if error.name == "cupy":
            raise BackendError("CuPy is not installed: pip install -e \".[cuda12]\" or \".[cuda13]\","
                               " whichever CUDA version nvidia-smi shows") from None
        raise BackendError(f"CuPy cannot be imported ({error}): install it again") from None
    except ImportError:
        raise BackendError("CuPy is installed but broken: remove every cupy package that `pip list` shows,"
                           " then pip install -e \".[cuda12]\" or \".[cuda13]\"") from None
    return try_cupy(cupy)


def try_cupy(cupy):
    """Importing CuPy proves nothing: use the card, step by step, to say what is missing."""
    runtime = cupy.cuda.runtime
    try:
        count = runtime.getDeviceCount()
    except runtime.CUDARuntimeError as error:
        driver, built = runtime.driverGetVersion(), runtime.runtimeGetVersion()
        if driver == 0:
            raise BackendError("there is no NVIDIA driver on this machine: --backend cupy needs"
                               " an NVIDIA graphics card and its driver") from None
        if driver < built:
            raise BackendError(f"the NVIDIA driver is too old: it supports CUDA {version(driver)}, but this CuPy is"
                               f" built for CUDA {version(built)}; update the driver or install an older CuPy") from None
        if "NoDevice" in str(error):
            count = 0
        else:
            raise BackendError(f"CUDA does not start: {first_line(error)}") from None
    if count == 0:
        raise BackendError("there is an NVIDIA driver but no graphics card that it can see:"
                           " look at nvidia-smi and CUDA_VISIBLE_DEVICES")
    try:  # random numbers, a matrix product and a compiled kernel: every library that we need
        a = cupy.random.Generator(cupy.random.XORWOW(0, size=256)).standard_normal((2, 2), dtype="float32")
        float((a @ a + 1).sum())
    except cupy.cuda.memory.OutOfMemoryError:
        raise BackendError("the graphics card is out of memory: nvidia-smi shows who uses it") from None
    except Exception as error:
        raise BackendError(f"CuPy finds the graphics card but not all CUDA libraries ({first_line(error)}):"
                           " pip install -e \".[cuda12]\" or \".[cuda13]\" brings them") from None
    return cupy


def version(number):
    """CUDA's 12040 is version 12.4."""
    return f"{number // 1000}.{number % 1000 // 10}"


def first_line(error):
    """The first line of an error's message that says anything."""
    return next((line.strip() for line in str(error).splitlines() if line.strip(" =")), type(error).__name__)
