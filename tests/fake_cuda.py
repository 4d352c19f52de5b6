"""CUDA kernels without a GPU: the same code, compiled for the CPU by g++ and run thread by thread.

A block's threads take turns. Each runs until its next __syncthreads(), or to its end, before the
next one begins, so that a missing __syncthreads() gives wrong numbers. Everything that a launch
passes is checked: contiguous arrays of the dtypes and numbers of the sizes that the kernel's
parameters have. `cuda` has what minigan uses of cupy.cuda.
"""

import ctypes
import hashlib
import shutil
import subprocess
import sys
import tempfile
import time
import types
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
    device=types.SimpleNamespace(get_cublas_handle=nothing),
    Device=lambda *args: types.SimpleNamespace(synchronize=nothing, use=nothing),
    Event=Event,
    alloc_pinned_memory=bytearray,
    get_current_stream=lambda: types.SimpleNamespace(synchronize=lambda: synchronized.append(1)),
    get_elapsed_time=lambda start, end: 1e3 * (end.time - start.time),
)


class Stream:
    """cupy.cuda.Stream, which cannot record: tests/accel/test_graph.py has one that can."""

    ptr = 0

    def __init__(self, non_blocking=False):
        raise CUDARuntimeError("the fake CuPy has no streams")


cuda.Stream = Stream
