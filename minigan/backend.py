"""Backend: NumPy or CuPy.

The idea
    CuPy is NumPy on a graphics card. It has the same function names and the same arithmetic, but
    its arrays are in the memory of the card. The computer is called the host, and the card is
    called the device.

    Once networks, data and noise are on the device, all layers run there unchanged, because *arrays
    decide*: a + b and a @ b are computed where a and b are stored. Code that needs a function by
    name gets it from the module of an array:

        xp = get_array_module(x);  xp.tanh(x)

    `xp.asarray` copies data to the device, and `asnumpy` copies it back. The decorator `fused`
    compiles an elementwise formula, which a device would otherwise compute in several kernels, into
    one kernel.

What differs between the two
    - Mixing their arrays is an error.
    - `float(x)` or `print(x)` makes the host wait for the device. A training step therefore does
      neither, and losses are copied to the host only occasionally.
    - CuPy's sums and means are arrays of shape (), not numbers.
    - Their random generators differ (see rng.py). Initial weights are sampled on the host and
      copied; noise is sampled on the device. Both backends therefore start from the same network
      but receive different noise.

>>> import numpy as np
>>> get_array_module(np.ones(3)).__name__
'numpy'
>>> asnumpy(np.float32(1.5)).tolist()
1.5
>>> load_backend("numpy").__name__
'numpy'
>>> load_backend("abacus")
Traceback (most recent call last):
    ...
minigan.backend.BackendError: there is no backend 'abacus': choose numpy or cupy
"""

import functools
import importlib
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from minigan import moved

Array = Any  # a numpy.ndarray or a cupy.ndarray

BACKENDS = ("numpy", "cupy")


class BackendError(RuntimeError):
    """A backend cannot be used; the message says why, and what to do about it."""


def get_array_module(x: Array) -> Any:
    """The module that the array x belongs to: numpy or cupy."""
    return sys.modules[type(x).__module__.partition(".")[0]]


def fused(function: Callable) -> Callable:
    """A decorator for elementwise formulas, such as x * (1 - x).

    NumPy evaluates the formula as it stands, one operation after another. A device would launch one
    kernel per operation, and the launches would take longer than the arithmetic. CuPy's `fuse`
    therefore compiles the formula into a single kernel. Float arguments are converted to the dtype
    of the first array, as NumPy does with a Python float beside an array.
    """
    kernels: dict[Any, Callable] = {}

    @functools.wraps(function)
    def call(x, *others):
        xp = get_array_module(x)
        # within another fused formula x is not an array but a placeholder
        if not hasattr(xp, "fuse") or not isinstance(x, xp.ndarray):
            return function(x, *others)
        others = tuple(x.dtype.type(a) if isinstance(a, float) else a for a in others)
        if xp in kernels:
            return kernels[xp](x, *others)
        kernels[xp] = xp.fuse(kernel_name=function.__name__)(function)
        result = kernels[xp](x, *others)
        if getattr(kernels[xp], "new_fusion", None) is not None:  # CuPy does not say so
            warnings.warn(
                f"CuPy could not compile {function.__name__} in its usual way, and may compute it"
                " more slowly or in several kernels",
                RuntimeWarning,
                stacklevel=2,
            )
        return result

    call.kernels = kernels  # type: ignore[attr-defined]  # by module, for tests
    return call


def asnumpy(x: Array) -> np.ndarray:
    """x as a NumPy array; an array on a device is copied, and the host waits for the copy."""
    return x.get() if hasattr(x, "get") else np.asarray(x)


def load_backend(name: str) -> Any:
    """The module numpy or cupy, after a test that it works; raises BackendError if it does not."""
    if name == "numpy":
        return np
    if name != "cupy":
        raise BackendError(f"there is no backend {name!r}: choose {' or '.join(BACKENDS)}")
    try:
        cupy = importlib.import_module("cupy")
    except ModuleNotFoundError as error:
        if error.name == "cupy":
            raise BackendError(
                'CuPy is not installed: pip install "cupy-cuda12x[ctk]" or "cupy-cuda13x[ctk]",'
                " whichever CUDA version nvidia-smi shows"
            ) from None
        raise BackendError(f"CuPy cannot be imported ({error}): install it again") from None
    except ImportError:
        raise BackendError(
            "CuPy is installed but broken: remove every cupy package that `pip list` shows,"
            ' then pip install "cupy-cuda12x[ctk]" or "cupy-cuda13x[ctk]"'
        ) from None
    return try_cupy(cupy)


def try_cupy(cupy: Any) -> Any:
    """The module cupy, after a test that it can use the card; raises BackendError if it cannot.

    CuPy can be imported without a working card, so each thing that it needs is tried separately.
    """
    runtime = cupy.cuda.runtime
    try:
        count = runtime.getDeviceCount()
    except runtime.CUDARuntimeError as error:
        driver, built = runtime.driverGetVersion(), runtime.runtimeGetVersion()
        if driver == 0:
            raise BackendError(
                "there is no NVIDIA driver on this machine: --backend cupy needs"
                " an NVIDIA graphics card and its driver"
            ) from None
        if driver < built:
            raise BackendError(
                f"the NVIDIA driver is too old: it supports CUDA {cuda_version(driver)}, but this"
                f" CuPy was built for CUDA {cuda_version(built)}; update the driver or install an"
                " older CuPy"
            ) from None
        if "NoDevice" in str(error):
            count = 0
        else:
            raise BackendError(f"CUDA does not start: {first_line(error)}") from None
    if count == 0:
        raise BackendError(
            "the NVIDIA driver finds no graphics card: check nvidia-smi and CUDA_VISIBLE_DEVICES"
        )
    check_cupy_cache()
    try:  # random numbers, a matrix product and a compiled kernel use every library that we need
        a = cupy.random.Generator(cupy.random.XORWOW(0, size=256)).standard_normal(
            (2, 2), dtype="float32"
        )
        float((a @ a + 1).sum())
    except cupy.cuda.memory.OutOfMemoryError:
        raise BackendError(
            "the graphics card is out of memory: nvidia-smi shows which processes use it"
        ) from None
    except Exception as error:
        raise BackendError(
            f"CuPy finds the graphics card but not all CUDA libraries ({first_line(error)}):"
            ' pip install "cupy-cuda12x[ctk]" or "cupy-cuda13x[ctk]" installs them'
        ) from None
    return cupy


def describe_device(xp: Any) -> str:
    """What computes with the module xp, in words: "numpy", or "cupy on" a card and its memory."""
    if not hasattr(xp, "cuda"):
        return xp.__name__
    runtime = xp.cuda.runtime
    properties = runtime.getDeviceProperties(runtime.getDevice())
    name, memory = properties["name"], properties["totalGlobalMem"] / 2**30
    name = name.decode() if isinstance(name, bytes) else name
    return f"{xp.__name__} on {name}, {memory:.0f} GB"


def check_cupy_cache() -> None:
    """Raise BackendError if CuPy cannot write to the folder in which it keeps compiled kernels.

    Its own error would come with the first kernel that is not there yet, after training has begun.
    """
    if os.environ.get("CUPY_CACHE_IN_MEMORY") == "1":
        return
    folder = os.environ.get("CUPY_CACHE_DIR") or os.path.expanduser("~/.cupy/kernel_cache")
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise BackendError(
            f"CuPy cannot write to its cache folder {folder} ({error.strerror}): set CUPY_CACHE_DIR"
            " to a folder that can be written"
        ) from None


def cuda_version(number: int) -> str:
    """CUDA's 12040 is version 12.4."""
    return f"{number // 1000}.{number % 1000 // 10}"


def first_line(error: object) -> str:
    """The first line of an error's message that is not empty or a rule of = signs."""
    return next(
        (line.strip() for line in str(error).splitlines() if line.strip(" =")), type(error).__name__
    )


def __getattr__(name: str) -> Any:
    return moved.member("backend", name)
