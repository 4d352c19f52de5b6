"""CUDA graphs: both training steps are recorded once, and launched by two calls instead of fifty.

    python demo.py --backend cupy --recipe dense --graph

This code has not run on a GPU yet, only on the tests' fake CuPy, which has the same interface. It
is therefore used only with --graph, and it checks itself: the recorded steps are compared with the
steps themselves, and if anything differs or fails, training continues without them.

The work of a CUDA stream can be recorded instead of executed, and launched later by a single call,
as often as one likes. A recording consists of kernels and of the addresses of their arrays, so the
recorded code must not wait for the device, allocate memory, or read anything from the host.
`discriminator_gradient` and `generator_gradient` of fused_steps.py meet these conditions.
Everything that changes from step to step is outside them: images, noise, random bits, and the
optimizers, whose learning rate is a number on the host.

The obstacle is matrix products: CuPy does not allow its own to be recorded, although cuBLAS, which
computes them, can be (cuBLAS manual, "CUDA Graphs Support"). This module therefore calls cuBLAS
directly, through its C interface.
"""

import contextlib
import ctypes
from collections.abc import Callable
from typing import Any

from minigan.accel.fused_steps import FusedSteps
from minigan.backend import Array, get_array_module

# Bytes for cuBLAS, as its manual recommends for the newest cards. The memory stays reserved,
# because every launch of the graph uses it again.
WORKSPACE = 32 << 20


def find_library() -> ctypes.CDLL:
    """cuBLAS, which CuPy has already loaded. Raises OSError where it has another name."""
    for name in "libcublas.so.13", "libcublas.so.12":
        with contextlib.suppress(OSError):
            return ctypes.CDLL(name)
    raise OSError("cuBLAS was not found as libcublas.so.13 or libcublas.so.12")


def matrix_layout(x: Array) -> tuple[int, int]:
    """(operation, leading dimension) of a matrix for cuBLAS, which stores matrices column by
    column.

    A matrix that we store row by row is its own transpose there: operation 0, unchanged. A view
    that is a transpose to us must be transposed: operation 1. Raises ValueError for any other view.
    """
    if x.flags.c_contiguous:
        return 0, x.shape[1]
    if x.T.flags.c_contiguous:
        return 1, x.shape[0]
    raise ValueError(f"a matrix of shape {x.shape} and strides {x.strides} is not contiguous")


def check_status(status: int) -> None:
    """Raise RuntimeError unless cuBLAS succeeded."""
    if status:
        raise RuntimeError(f"cuBLAS returned the status {status}")


def make_product(library: Any, handle: ctypes.c_void_p, dtype: str) -> Callable:
    """A function (a, b, out) that lets cuBLAS write a @ b into out.

    For cuBLAS, which stores matrices column by column, this is outᵀ = bᵀ @ aᵀ.
    """
    gemm, real = (
        (library.cublasSgemm_v2, ctypes.c_float)
        if dtype == "float32"
        else (library.cublasDgemm_v2, ctypes.c_double)
    )
    one, zero = ctypes.byref(real(1)), ctypes.byref(real(0))

    def product(a, b, out):
        (m, k), n = a.shape, b.shape[1]
        (op_b, ld_b), (op_a, ld_a), (op_out, _) = (matrix_layout(x) for x in (b, a, out))
        same_dtype = a.dtype == b.dtype == out.dtype == dtype
        if b.shape[0] != k or out.shape != (m, n) or op_out or not same_dtype:
            raise ValueError(
                f"cannot write the product of {a.dtype} {a.shape} and {b.dtype} {b.shape} into"
                f" {out.dtype} {out.shape}"
            )
        pointer_a, pointer_b, pointer_out = (ctypes.c_void_p(x.data.ptr) for x in (a, b, out))
        right, left = (pointer_b, ld_b), (pointer_a, ld_a)
        status = gemm(handle, op_b, op_a, n, m, k, one, *right, *left, zero, pointer_out, n)
        check_status(status)

    return product


def record(steps: FusedSteps, library: Any = None) -> str:
    """Replace both gradient computations of a FusedSteps, after its first step, by recordings.

    Returns "" if the recordings compute the same results. Otherwise returns one line with the
    reason, and nothing has changed.
    """
    xp = get_array_module(steps.sums)
    layers = [*steps.G, *steps.G_step_G, *steps.D_step_D, *steps.D_step_G]
    G, D, _ = steps.made_from[0]
    results = [G.dtheta, D.dtheta, steps.sums]
    functions = steps.discriminator_gradient, steps.generator_gradient
    plain_product = layers[0].product
    try:
        for function in functions:
            function()
        expected = [result.copy() for result in results]
        library = library or find_library()
        handle = ctypes.c_void_p(xp.cuda.device.get_cublas_handle())
        product = make_product(library, handle, steps.sums.dtype)
        workspace = xp.zeros(WORKSPACE, "uint8")
        address, size = ctypes.c_void_p(workspace.data.ptr), ctypes.c_size_t(WORKSPACE)
        xp.cuda.Device().synchronize()
        with xp.cuda.Stream(non_blocking=True) as stream:
            check_status(library.cublasSetStream_v2(handle, ctypes.c_void_p(stream.ptr)))
            check_status(library.cublasSetWorkspace_v2(handle, address, size))
            for layer in layers:
                layer.product = product
            for function in functions:  # no kernel may be compiled or loaded during the recording
                function()
            stream.synchronize()
            graphs = [capture(stream, function) for function in functions]
        check_recording(graphs, results, expected)
    except Exception as error:  # of any kind: the steps themselves are known to work
        reason = str(error).splitlines()[0] if str(error) else ""
        return f"not recorded: {type(error).__name__}: {reason}"[:200]
    finally:
        for layer in layers:
            layer.product = plain_product
    steps.recorded = graphs, workspace  # both have to live as long as they are used
    discriminator, generator = graphs
    steps.discriminator_gradient = discriminator.launch  # type: ignore[method-assign]
    steps.generator_gradient = generator.launch  # type: ignore[method-assign]
    return ""


def check_recording(graphs: list, results: list[Array], expected: list[Array]) -> None:
    """Raise ValueError unless the graphs fill the results with the expected numbers, up to
    rounding.
    """
    for result in results:
        result[...] = 0
    for graph in graphs:
        graph.launch()
    for result, right in zip(results, expected):
        error, size = float(abs(result - right).max()), float(abs(right).max())
        if not 0 < size:
            raise ValueError("the step to be recorded computes zeros, which prove nothing")
        if not error <= 1e-3 * size:  # also true if the error is NaN
            raise ValueError(
                f"the error of the recording is {error:.2g} where the largest number is {size:.2g}"
            )


def capture(stream: Any, function: Callable) -> Any:
    """The graph of the work of function(). If it fails, the stream no longer records."""
    stream.begin_capture()
    try:
        function()
    except Exception:
        with contextlib.suppress(Exception):
            stream.end_capture()
        raise
    return stream.end_capture()
