"""Device kernels: CUDA code for what is neither a matrix product nor elementwise.

The idea
    A kernel is a function that a device executes many times at once, each time in another thread.
    Threads form blocks, and blocks form a grid. A thread knows its position, threadIdx in its block
    and blockIdx in the grid, and works on the numbers that belong to it. Threads of a block can
    exchange numbers through shared memory: after __syncthreads(), each sees what the others have
    written.

    CuPy's RawKernel compiles such code when it is first called. Here `real` is float or double,
    whichever the arrays hold. A kernel gets addresses and numbers, and nothing checks them: arrays
    must be contiguous and on the device.

    The tests compile the same code for a CPU and run it thread by thread (tests/fake_cuda.py).
"""

import functools
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import numpy as np

from minigan.backend import Array, get_array_module

MAX_SIZE = 2_000_000_000  # numbers in an array, because the kernels count them in 32 bits
# what computes the products while a CUDA graph is recorded (graph.py)
PRODUCT: ContextVar[Callable | None] = ContextVar("PRODUCT", default=None)
THREADS = 256  # of a block
MAX_BLOCKS = 4096  # of a grid; each thread then handles several numbers


class DeviceKernel:
    """A kernel of that name in CUDA code, in which `real` is the dtype of the arrays."""

    def __init__(self, name: str, code: str):
        self.name, self.code = name, code
        self.compiled: dict[Any, Any] = {}  # by module and dtype

    def __call__(self, grid: tuple, block: tuple, arrays: tuple[Array, ...], numbers: tuple = ()):
        """Launch it; the dtype is that of the first array, and the numbers have NumPy's types.

        Raises MemoryError if an array has too many numbers to be counted in 32 bits.
        """
        if max(array.size for array in arrays) > MAX_SIZE:
            raise MemoryError(f"{self.name} of more than {MAX_SIZE:,} numbers")
        xp, dtype = get_array_module(arrays[0]), arrays[0].dtype
        if (xp, dtype) not in self.compiled:
            real = {"float32": "float", "float64": "double"}[str(dtype)]
            self.compiled[xp, dtype] = xp.RawKernel(f"typedef {real} real;\n{self.code}", self.name)
        self.compiled[xp, dtype](grid, block, (*arrays, *numbers))

    def for_each(self, size: int, arrays: tuple[Array, ...], numbers: tuple = ()) -> None:
        """Launch it with a thread for each of `size` numbers, or for several of them."""
        blocks = min(MAX_BLOCKS, max(1, -(-size // THREADS)))
        self((blocks,), (THREADS,), arrays, (*int32(size), *numbers))


@functools.lru_cache(maxsize=None)
def int32(*numbers: int) -> tuple[np.int32, ...]:
    """The numbers as CUDA's int; a Python int would be passed as a long long."""
    return tuple(map(np.int32, numbers))


@functools.lru_cache(maxsize=None)
def ones(xp: Any, n: int, dtype: Any) -> Array:
    """n ones, made once."""
    return xp.ones(n, dtype)


def matmul(a: Array, b: Array, out: Array | None = None) -> Array:
    """a @ b of two matrices, in `out` if there is one; what graph.py can record."""
    return (PRODUCT.get() or get_array_module(a).matmul)(a, b, out=out)


def has_kernels(x: Array) -> bool:
    """Whether x is on a device for which kernels can be compiled."""
    return hasattr(get_array_module(x), "RawKernel")
