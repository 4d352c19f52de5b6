"""CUDA kernels without a GPU: the same code, compiled for the CPU by g++ and run thread by thread.

A block's threads take turns. Each runs until its next __syncthreads(), or to its end, before the
next one begins, so that a missing __syncthreads() gives wrong numbers. Everything that a launch
passes is checked: contiguous arrays of the dtypes and numbers of the sizes that the kernel's
parameters have. `cuda` has what minigan uses of cupy.cuda, and CuBLAS takes the place of that
library.
"""

import collections
import contextlib
import ctypes
import hashlib
import shutil
import subprocess
import sys
import tempfile
import time
import types
import weakref
from pathlib import Path

import numpy as np

COMPILER = shutil.which("g++")
CACHE = Path(__file__).resolve().parents[1] / ".pytest_cache" / "fake_cuda"  # git ignores it
PREAMBLE = """
#include <algorithm>
#include <cmath>
#include <csetjmp>
#include <cstdlib>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <ucontext.h>
#include <utility>
#include <vector>
struct Dim { unsigned x, y, z; };
static Dim gridDim, blockDim, blockIdx, threadIdx;
// Each thread has a stack of its own. Switching between them by _setjmp and _longjmp needs no call
// of the system, as swapcontext does, which only makes them.
struct Place { jmp_buf registers; };
static Place scheduler;
static std::vector<Place> threads;
static unsigned current;
static void pause_thread() {
    if (!_setjmp(threads[current].registers)) _longjmp(scheduler.registers, 1);
}
static void __syncthreads() { pause_thread(); }
#define __global__
#define __device__ static
#define __shared__ static
using std::max; using std::min;
"""
LAUNCHER = """
static void** arguments;
template <class... P, size_t... I>
static void call(void (*f)(P...), std::index_sequence<I...>) { f(*(P*)arguments[I]...); }
template <class... P>
static void call(void (*f)(P...)) { call(f, std::index_sequence_for<P...>{}); }
// the size of each parameter; negative for an address, of numbers of that size
template <class T> static int size_of() {
    using N = typename std::remove_pointer<T>::type;
    return std::is_pointer<T>::value ? -(int)sizeof(N) : (int)sizeof(T);
}
template <class... P>
static int list(void (*f)(P...), int* sizes) {
    int all[] = {size_of<P>()...};
    std::memcpy(sizes, all, sizeof(all));
    return sizeof...(P);
}
static std::vector<char> finished;
static ucontext_t maker;
static std::vector<ucontext_t> made;
static void begin() {
    if (!_setjmp(threads[current].registers)) setcontext(&maker);
    for (;;) {  // once for each block
        call(KERNEL);
        finished[current] = 1;
        pause_thread();
    }
}
static void set_thread(unsigned i) {
    current = i;
    threadIdx = {i % blockDim.x, i / blockDim.x, 0};
}
__attribute__((noinline)) static void resume(unsigned i) {
    set_thread(i);
    if (!_setjmp(scheduler.registers)) _longjmp(threads[i].registers, 1);
}
extern "C" int parameters(int* sizes) { return list(KERNEL, sizes); }
extern "C" void launch(unsigned* grid, unsigned* block, void** args, int synchronised) {
    gridDim = {grid[0], grid[1], 1}; blockDim = {block[0], block[1], 1}; arguments = args;
    unsigned n = block[0] * block[1];
    std::vector<char> stacks(synchronised ? n * 65536ul : 0);
    threads.resize(n); finished.resize(n); made.resize(n);
    for (unsigned i = 0; synchronised && i < n; i++) {
        current = i;
        getcontext(&made[i]);
        made[i].uc_stack.ss_sp = stacks.data() + i * 65536ul;
        made[i].uc_stack.ss_size = 65536;
        makecontext(&made[i], begin, 0);
        swapcontext(&maker, &made[i]);
    }
    for (unsigned y = 0; y < grid[1]; y++) for (unsigned x = 0; x < grid[0]; x++) {
        blockIdx = {x, y, 0};
        if (!synchronised) {
            for (unsigned i = 0; i < n; i++) { set_thread(i); call(KERNEL); }
            continue;
        }
        std::fill(finished.begin(), finished.end(), 0);
        for (bool any = true; any;) {
            any = false;
            for (unsigned i = 0; i < n; i++) if (!finished[i]) {
                any = true;
                resume(i);
            }
        }
    }
}
"""


def compile_for_cpu(code, name):
    """The library with that kernel; compiled once."""
    code = PREAMBLE + code + LAUNCHER.replace("KERNEL", name)
    folder = CACHE
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = Path(tempfile.mkdtemp())
    library = folder / f"{name}-{hashlib.sha256(code.encode()).hexdigest()[:16]}.so"
    if not library.exists():
        with tempfile.TemporaryDirectory(dir=folder) as work:
            source, made = Path(work, "kernel.cpp"), Path(work, "kernel.so")
            source.write_text(code)
            options = [
                "-O1",
                "-std=c++17",
                "-shared",
                "-fPIC",
                "-ffp-contract=off",
                "-U_FORTIFY_SOURCE",
            ]
            subprocess.run([COMPILER, *options, "-o", made, source], check=True)
            made.replace(library)
    return ctypes.PyDLL(str(library))  # keeps the GIL: a library's variables are one launch's


class RawKernel:
    """cupy.RawKernel, on the fake CuPy's arrays."""

    def __init__(self, code, name, options=()):
        self.name, self.synchronised = name, "__syncthreads" in code
        self.library = compile_for_cpu(code, name)
        sizes = (ctypes.c_int * 64)()
        self.sizes = list(sizes[: self.library.parameters(sizes)])

    def __call__(self, grid, block, args):
        fake = sys.modules["fake_cupy"]
        if fake.recording is not None:
            return fake.recording.append(lambda: self(grid, block, args))
        assert len(args) == len(self.sizes), f"{self.name} has {len(self.sizes)} parameters"
        assert np.prod(block) <= 1024 and min(*grid, *block) > 0
        assert max(grid[1:], default=1) < 65536
        values = []
        for i, (arg, size) in enumerate(zip(args, self.sizes)):
            if isinstance(arg, fake.Array):
                assert arg._host.flags.c_contiguous, f"{self.name}: argument {i} is not contiguous"
                assert arg.dtype.itemsize == -size, f"{self.name}: argument {i} is {arg.dtype}"
                values.append(ctypes.c_void_p(arg._host.ctypes.data))
            else:
                assert isinstance(arg, np.generic), f"{self.name}: argument {i} is {type(arg)}"
                assert arg.dtype.itemsize == size, f"{self.name}: argument {i} is {arg.dtype}"
                values.append(ctypes.create_string_buffer(arg.tobytes()))
        fake._launch(self.name)
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(v) for v in values))
        dims = [(ctypes.c_uint * 2)(*d, *[1] * (2 - len(d))) for d in (grid, block)]
        self.library.launch(*dims, pointers, int(self.synchronised))


class Event:
    """cupy.cuda.Event."""

    def record(self):
        self.time = time.perf_counter()

    def synchronize(self):
        pass


class CUDARuntimeError(RuntimeError):
    pass


class OutOfMemoryError(MemoryError):
    pass


def nothing(*args, **kwargs):
    pass


PROPERTIES = {
    "name": b"no card, but the tests' fake CuPy",
    "major": 0,
    "minor": 0,
    "multiProcessorCount": 1,
    "totalGlobalMem": 1 << 33,
}
synchronized: list = []  # an entry for each time that the host has waited for a stream
cuda = types.SimpleNamespace(
    runtime=types.SimpleNamespace(
        getDeviceCount=lambda: 1,
        getDevice=lambda: 0,
        getDeviceProperties=lambda device: PROPERTIES,
        memGetInfo=lambda: (1 << 33, 1 << 33),
        driverGetVersion=lambda: 13020,
        runtimeGetVersion=lambda: 13020,
        CUDARuntimeError=CUDARuntimeError,
    ),
    memory=types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
    device=types.SimpleNamespace(get_cublas_handle=lambda: 99),
    Device=lambda *args: types.SimpleNamespace(synchronize=nothing, use=nothing),
    Event=Event,
    alloc_pinned_memory=bytearray,
    get_current_stream=lambda: types.SimpleNamespace(synchronize=lambda: synchronized.append(1)),
    get_elapsed_time=lambda start, end: 1e3 * (end.time - start.time),
)


class MemoryPool:
    """cupy.cuda.MemoryPool, which keeps the memory of the arrays of a recording."""

    def __init__(self):
        self.kept, self.freed = [], False

    def malloc(self, size):
        raise NotImplementedError

    def free_all_blocks(self):
        self.freed = True


_pools = [None]


@contextlib.contextmanager
def using_allocator(allocator):
    """cupy.cuda.using_allocator, with the malloc of a MemoryPool."""
    _pools.append(allocator.__self__)
    try:
        yield
    finally:
        _pools.pop()


def keep(host):
    """Keep the memory of an array that is allocated while a stream is captured."""
    assert _pools[-1], "not recorded: CuPy's common pool may give this memory to another array"
    _pools[-1].kept.append(host)


class Stream:
    """cupy.cuda.Stream, which can record."""

    ptr = 4711

    def __init__(self, non_blocking=False):
        assert non_blocking, "the default stream and those that wait for it cannot be captured"

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def synchronize(self):
        pass

    def begin_capture(self):
        fake = sys.modules["fake_cupy"]
        fake.recording, self.launches = [], fake.launches

    def end_capture(self):
        fake = sys.modules["fake_cupy"]
        kernels, fake.recording, fake.launches = fake.recording, None, self.launches
        pool = _pools[-1]
        for host in pool.kept if pool else ():
            if host.dtype.kind == "f":
                host[...] = np.nan  # nothing has been computed
        return Graph(kernels, pool)


class Graph:
    """cupy.cuda.Graph."""

    def __init__(self, kernels, pool):
        self.kernels, self.pool = kernels, weakref.ref(pool or self)

    def launch(self):
        fake = sys.modules["fake_cupy"]
        pool = self.pool()
        assert pool and not getattr(pool, "freed", False), "the memory has been given back"
        after, names = fake.launches + 1, fake.launched + collections.Counter(["recorded step"])
        for kernel in self.kernels:
            kernel()
        fake.launches = after
        fake.launched.clear()
        fake.launched.update(names)


class CuBLAS:
    """cublasSgemm_v2 and cublasDgemm_v2 as in their manual: pointers to matrices in columns."""

    def __init__(self, wrong=1.0, status=0):
        self.wrong, self.status, self.calls = wrong, status, []
        self.cublasSgemm_v2, self.cublasDgemm_v2 = (
            lambda *args, real=real: self.gemm(real, *args)
            for real in (ctypes.c_float, ctypes.c_double)
        )

    def cublasSetStream_v2(self, handle, stream):
        self.calls.append(("stream", handle.value, stream.value))
        return 0

    def cublasSetWorkspace_v2(self, handle, workspace, size):
        self.calls.append(("workspace", size.value))
        return 0

    def gemm(self, real, handle, op_a, op_b, m, n, k, alpha, a, ld_a, b, ld_b, beta, c, ld_c):
        fake = sys.modules["fake_cupy"]

        def work():
            A = matrix(real, a, *((k, m) if op_a else (m, k)), ld_a)
            B = matrix(real, b, *((n, k) if op_b else (k, n)), ld_b)
            C = matrix(real, c, m, n, ld_c)
            # with beta = 0, C is not read and may hold anything
            assert (alpha._obj.value, beta._obj.value) == (1, 0)
            C[...] = self.wrong * (A.T if op_a else A) @ (B.T if op_b else B)

        if self.status == 0:
            work() if fake.recording is None else fake.recording.append(work)
        return self.status


def matrix(real, pointer, rows, columns, ld):
    """The matrix (rows, columns) stored by columns at a pointer, with ld numbers from column to
    column.
    """
    assert ld >= max(1, rows)
    flat = np.ctypeslib.as_array((real * (ld * (columns - 1) + rows)).from_address(pointer.value))
    return np.lib.stride_tricks.as_strided(
        flat, (rows, columns), (flat.itemsize, ld * flat.itemsize)
    )


for _name, _value in dict(
    Stream=Stream, MemoryPool=MemoryPool, using_allocator=using_allocator
).items():
    setattr(cuda, _name, _value)
