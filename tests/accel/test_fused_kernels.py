"""Every fused formula as the kernel that CuPy's `fuse` generates for it, without and with a GPU.

Without one, the C++ code is compiled for the CPU and run on NumPy's memory. Needs g++ and CuPy (pip
install cupy-cuda12x), but neither a driver nor CUDA libraries.
"""

import ctypes
import importlib
import pkgutil
import re
import shutil
import subprocess

import numpy as np
import pytest
from conftest import load_module
from helpers import tolerance

import minigan
from minigan.accel.fused_steps import loss_kernels
from minigan.backend import asnumpy
from minigan.gan.losses import GAN_LOSSES

cupy = pytest.importorskip("cupy")
fusion = pytest.importorskip("cupy._core.fusion")
needs_compiler = pytest.mark.skipif(
    not shutil.which("g++") or not hasattr(fusion, "_FusionHistory"),
    reason="no g++, or another CuPy",
)

X, ROW, COLUMN, VECTOR, BITS, BYTES = (6, 5), (1, 5), (6, 1), (7,), "bits", "bytes"
FORMULAS = {  # the arguments: a shape of numbers, or a number
    "leaky_relu": (X, 0.2),
    "leaky_relu_backward": (X, X, 0.2),
    "relu": (X,),
    "relu_backward": (X, X),
    "tanh_backward": (X, X),
    "tanh_double_backward": (X, X, X),
    "sigmoid": (X,),
    "sigmoid_backward": (X, X),
    "sigmoid_double_backward": (X, X, X),
    "apply_dropout": (X, BITS, 19661, 1 / 0.7),
    "softplus": (X,),
    "elementwise_bce": (X, X),
    "minimax_generator_loss": (X,),
    "least_squares_loss": (X, X),
    "hinge_loss": (X, X),
    "wasserstein_loss": (X, X),
    "sgd_momentum": (VECTOR, VECTOR, VECTOR, 0.1, 0.5),
    "adam": (*[VECTOR] * 4, 0.5, 0.9, 0.1, 0.1, 0.99),
    "rmsprop_bias_corrected": (*[VECTOR] * 4, 0.9, 0.1, 0.1, 0.99),
    "lerp": (VECTOR, VECTOR, 0.1),
    "scale_into": (X, BYTES, -1.0),
    "leaky_relu_dropout": (X, X, 0.2, BITS, 19661, 1 / 0.7),
    "leaky_relu_dropout_backward": (X, X, 1.0, X, 0.2, BITS, 19661, 1 / 0.7),
    "tanh_into": (X, X),
    "tanh_backward_into": (X, X, 1.0, X),
}
MORE = {
    "leaky_relu_dropout, nothing dropped": ("leaky_relu_dropout", (X, X, 0.2)),
    "backward, nothing dropped": ("leaky_relu_dropout_backward", (X, X, 1.0, X, 0.2)),
    "backward, one output above": ("leaky_relu_dropout_backward", (X, COLUMN, ROW, X, 0.2)),
    "least squares, one target": ("least_squares_loss", (X, 1.0)),
}


def is_fused(thing):
    return callable(thing) and hasattr(thing, "kernels")


def fused_formulas():
    """{name: function} of every fused formula of the package."""
    modules = [
        importlib.import_module(found.name)
        for found in pkgutil.walk_packages(minigan.__path__, "minigan.")
        if not found.name.endswith(".__main__")
    ]
    return {
        name: thing for module in modules for name, thing in vars(module).items() if is_fused(thing)
    }


def loss_kernel_cases():
    for name, loss in GAN_LOSSES.items():
        if not loss.score_over_batch:
            discriminator_kernel, generator_kernel = loss_kernels(loss)
            yield f"D, {name}", discriminator_kernel, (X, COLUMN, X, X, 6.0)
            yield f"G, {name}", generator_kernel, (X, X, 6.0)


def cases():
    found = fused_formulas()
    return (
        [(name, found.get(name), args) for name, args in FORMULAS.items()]
        + [(name, found[of], args) for name, (of, args) in MORE.items()]
        + list(loss_kernel_cases())
    )


def test_no_fused_formula_is_left_out():
    assert set(fused_formulas()) == set(FORMULAS)


def on_device(host):
    """A CuPy array without memory: only its dtype and shape are used."""
    memory = cupy.cuda.UnownedMemory(1 << 16, host.nbytes, None, device_id=0)
    return cupy.ndarray(host.shape, host.dtype, cupy.cuda.MemoryPointer(memory, 0))


def kernel_of(formula, args):
    fusion._thread_local.history, fusion._thread_local.is_old_fusing = fusion._FusionHistory(), True
    try:
        kernel, options = fusion._thread_local.history.get_fusion(formula, args, "kernel")
    finally:
        fusion._thread_local.history, fusion._thread_local.is_old_fusing = None, False
    assert type(kernel) is cupy.ElementwiseKernel and not options  # one elementwise kernel
    return kernel


def run(kernel, arrays, shape, folder):
    """The arrays after the kernel has run on them, and its outputs."""
    params = [p for p in kernel.params if p.name != "_ind"]
    arrays += [np.empty(shape, p.dtype) for p in params[len(arrays) :]]
    body = "".join(
        f"{p.ctype} &{p.name} = {p.name}_[{'i' if a.ndim else 0}]; " for p, a in zip(params, arrays)
    )
    signature = ", ".join(f"{p.ctype} *{p.name}_" for p in params)
    code = (
        "#include <algorithm>\n#include <cmath>\nusing namespace std;\n#define __device__\n"
        + re.sub("#include.*", "", kernel.preamble)
        + f'\nextern "C" void run(long n, {signature}) '
        + f"{{ for (long i = 0; i < n; i++) {{ {body}\n{kernel.operation}; }} }}\n"
    )
    (folder / "kernel.cpp").write_text(code)
    subprocess.run(
        [
            "g++",
            "-shared",
            "-fPIC",
            "-ffp-contract=off",
            "-o",
            folder / "kernel.so",
            folder / "kernel.cpp",
        ],
        check=True,
    )
    ctypes.CDLL(str(folder / "kernel.so")).run(
        ctypes.c_long(np.prod(shape)), *(ctypes.c_void_p(a.ctypes.data) for a in arrays)
    )
    return arrays


every_formula = pytest.mark.parametrize(
    "name, formula, args", cases(), ids=[name for name, _, _ in cases()]
)


def arguments(name, args, dtype):
    """The arguments of a formula, as NumPy arrays and scalars."""
    rng = np.random.default_rng(0)
    host = [
        rng.integers(0, 65536, X).astype("uint16")
        if a == BITS
        else rng.integers(0, 256, X).astype("uint8")
        if a == BYTES
        else rng.standard_normal(a).astype(dtype)
        if isinstance(a, tuple)
        else np.dtype(dtype).type(a)
        if isinstance(a, float)
        else a
        for a in args
    ]
    if name in ("adam", "rmsprop_bias_corrected"):
        host[3] = abs(host[3])  # a sum of squares
    return host


@needs_compiler
@every_formula
def test_the_kernel_computes_the_formula(name, formula, args, dtype, tmp_path):
    host = arguments(name, args, dtype)
    kernel = kernel_of(
        formula.__wrapped__, [on_device(a) if isinstance(a, np.ndarray) else a for a in host]
    )
    if dtype == "float32":  # doubles are constants only, and rounded before they are used
        assert all(
            line.startswith("const double")
            for line in kernel.operation.splitlines()
            if "double" in line
        )
    shape = np.broadcast_shapes(*(a.shape for a in host if isinstance(a, np.ndarray)))
    arrays = [
        np.broadcast_to(a, shape).copy() if isinstance(a, np.ndarray) else np.array(a) for a in host
    ]
    result = formula(*host)
    results = run(kernel, arrays, shape, tmp_path)
    outputs = [] if result is None else list(result) if isinstance(result, tuple) else [result]
    close = dict(
        rtol=1e-6 if dtype == "float32" else 1e-15, atol=1e-7 if dtype == "float32" else 1e-15
    )  # exp and tanh differ slightly
    for expected, array in zip(host + outputs, results, strict=True):
        np.testing.assert_allclose(array, np.broadcast_to(expected, array.shape), **close)


@pytest.mark.gpu
@every_formula
def test_on_a_gpu_the_formula_is_one_elementwise_kernel(name, formula, args, dtype):
    """If CuPy's tracing of a formula fails, its `fuse` changes to another, slower way for good, and
    says nothing.
    """
    xp = load_module("cupy")
    host = arguments(name, args, dtype)
    device = [xp.asarray(a) if isinstance(a, np.ndarray) else a for a in host]
    results = [formula(*arrays) for arrays in (device, host)]
    on_device, on_host = (
        [r for r in (list(result) if isinstance(result, tuple) else [result]) if r is not None]
        for result in results
    )
    for array, expected in zip(device + on_device, host + on_host, strict=True):
        if isinstance(expected, np.ndarray):
            assert array.dtype == expected.dtype
            rtol, atol = tolerance(xp, dtype), 1e-6 if dtype == "float32" else 1e-13
            np.testing.assert_allclose(asnumpy(array), expected, rtol=rtol, atol=atol)
    assert formula.kernels[xp].new_fusion is None
