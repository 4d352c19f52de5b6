"""Every fused formula as the kernel that CuPy's own `fuse` writes for it, without a GPU: the C++ is compiled for the CPU and run
on NumPy's memory. Needs CuPy (pip install cupy-cuda12x; no driver, no CUDA libraries) and g++."""
import ctypes
import importlib
import pkgutil
import re
import shutil
import subprocess

import numpy as np
import pytest

import minigan
from minigan import fusing
from minigan.adversarial import GAN_LOSSES

cupy = pytest.importorskip("cupy")
fusion = pytest.importorskip("cupy._core.fusion")
pytestmark = pytest.mark.skipif(not shutil.which("g++") or not hasattr(fusion, "_FusionHistory"), reason="no g++, or another CuPy")

X, ROW, COLUMN, VECTOR, BITS, BYTES = (6, 5), (1, 5), (6, 1), (7,), "bits", "bytes"
FORMULAS = {  # the arguments: a shape of numbers, or a number
    "leaky": (X, 0.2), "leaky_backward": (X, X, 0.2), "relu": (X,), "relu_backward": (X, X), "tanh_backward": (X, X), "tanh_bend": (X, X, X),
    "sigmoid": (X,), "sigmoid_backward": (X, X),
    "sigmoid_bend": (X, X, X), "drop": (X, BITS, 19661, 1 / 0.7), "softplus": (X,), "price_and_slope": (X, X), "minimax": (X,), "least_squares": (X, X),
    "hinge": (X, X), "wasserstein": (X, X), "roll": (VECTOR, VECTOR, VECTOR, 0.1, 0.5), "adam": (*[VECTOR] * 4, 0.5, 0.9, 0.1, 0.1, 0.99),
    "adam_without_memory": (*[VECTOR] * 4, 0.9, 0.1, 0.1, 0.99), "approach": (VECTOR, VECTOR, 0.1), "show": (X, BYTES, -1.0),
    "bend": (X, X, 0.2, BITS, 19661, 1 / 0.7), "unbend": (X, X, 1.0, X, 0.2, BITS, 19661, 1 / 0.7), "bend_tanh": (X, X), "unbend_tanh": (X, X, 1.0, X)}
MORE = {"bend, nothing dropped": ("bend", (X, X, 0.2)), "unbend, nothing dropped": ("unbend", (X, X, 1.0, X, 0.2)),
        "unbend, one output above": ("unbend", (X, COLUMN, ROW, X, 0.2)), "least squares, one target": ("least_squares", (X, 1.0))}


def is_fused(thing):
    return callable(thing) and hasattr(thing, "__wrapped__") and thing.__code__.co_filename.endswith("backend.py")


def fused_formulas():
    pages = [importlib.import_module(f"minigan.{page.name}") for page in pkgutil.iter_modules(minigan.__path__)]
    return {name: thing for page in pages for name, thing in vars(page).items() if is_fused(thing)}


def judges():
    for name, loss in GAN_LOSSES.items():
        if name != "wasserstein":
            judge_D, judge_G = fusing.judges(loss)
            yield f"D, {name}", judge_D, (X, COLUMN, X, X, 6.0)
            yield f"G, {name}", judge_G, (X, X, 6.0)


def cases():
    found = fused_formulas()
    return [(name, found.get(name), args) for name, args in FORMULAS.items()] + [
        (name, found[of], args) for name, (of, args) in MORE.items()] + list(judges())


def test_no_fused_formula_is_left_out():
    assert set(fused_formulas()) == set(FORMULAS)


def on_device(host):
    """A CuPy array like it that lies nowhere: only its dtype and shape will be looked at."""
    memory = cupy.cuda.UnownedMemory(1 << 16, host.nbytes, None, device_id=0)
    return cupy.ndarray(host.shape, host.dtype, cupy.cuda.MemoryPointer(memory, 0))


def kernel_of(formula, args):
    fusion._thread_local.history, fusion._thread_local.is_old_fusing = fusion._FusionHistory(), True
    try:
        kernel, options = fusion._thread_local.history.get_fusion(formula, args, "kernel")
    finally:
        fusion._thread_local.history, fusion._thread_local.is_old_fusing = None, False
    assert type(kernel) is cupy.ElementwiseKernel and not options          # one kernel, number by number
    return kernel


def run(kernel, arrays, shape, folder):
    """What the kernel makes of the arrays, in place, and what it gives out."""
    params = [p for p in kernel.params if p.name != "_ind"]
    arrays += [np.empty(shape, p.dtype) for p in params[len(arrays):]]
    body = "".join(f"{p.ctype} &{p.name} = {p.name}_[{'i' if a.ndim else 0}]; " for p, a in zip(params, arrays))
    signature = ", ".join(f"{p.ctype} *{p.name}_" for p in params)
    code = ("#include <algorithm>\n#include <cmath>\nusing namespace std;\n#define __device__\n" + re.sub("#include.*", "", kernel.preamble)
            + f'\nextern "C" void run(long n, {signature}) {{ for (long i = 0; i < n; i++) {{ {body}\n{kernel.operation}; }} }}\n')
    (folder / "kernel.cpp").write_text(code)
    subprocess.run(["g++", "-shared", "-fPIC", "-ffp-contract=off", "-o", folder / "kernel.so", folder / "kernel.cpp"], check=True)
    ctypes.CDLL(str(folder / "kernel.so")).run(ctypes.c_long(np.prod(shape)), *(ctypes.c_void_p(a.ctypes.data) for a in arrays))
    return arrays


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name, formula, args", cases(), ids=[name for name, _, _ in cases()])
def test_the_kernel_computes_the_formula(name, formula, args, dtype, tmp_path):
    rng = np.random.default_rng(0)
    host = [rng.integers(0, 65536, X).astype("uint16") if a == BITS else rng.integers(0, 256, X).astype("uint8") if a == BYTES
            else rng.standard_normal(a).astype(dtype) if isinstance(a, tuple) else np.dtype(dtype).type(a) if isinstance(a, float) else a for a in args]
    if name.startswith("adam"):
        host[3] = abs(host[3])                                             # a mean of squares
    kernel = kernel_of(formula.__wrapped__, [on_device(a) if isinstance(a, np.ndarray) else a for a in host])
    if dtype == "float32":                                                 # doubles occur as constants only, and are rounded before they are used
        assert all(line.startswith("const double") for line in kernel.operation.splitlines() if "double" in line)
    shape = np.broadcast_shapes(*(a.shape for a in host if isinstance(a, np.ndarray)))
    arrays = [np.broadcast_to(a, shape).copy() if isinstance(a, np.ndarray) else np.array(a) for a in host]
    result = formula(*host)
    results = run(kernel, arrays, shape, tmp_path)
    given_out = [] if result is None else list(result) if isinstance(result, tuple) else [result]
    tolerance = dict(rtol=1e-6 if dtype == "float32" else 1e-15, atol=1e-7 if dtype == "float32" else 1e-15)   # exp and tanh differ a bit
    for ours, theirs in zip(host + given_out, results, strict=True):
        np.testing.assert_allclose(theirs, np.broadcast_to(ours, theirs.shape), **tolerance)
