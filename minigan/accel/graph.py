"""CUDA graphs: both training steps are recorded once, and then launched by one call each.

    python demo.py --backend cupy --graph

This code has not run on a GPU yet, only on the tests' fake CuPy, which has the same interface. It
is therefore used only with --graph, and it checks itself: the recorded steps are compared with the
steps themselves, and if anything differs or fails, training continues without them.

The idea
    The work of a CUDA stream can be recorded instead of executed, and launched later by a single
    call, as often as one likes. A recording consists of kernels, of the numbers that they receive,
    and of the addresses of their arrays. Everything that changes from step to step must therefore
    be in an array that stays where it is, or outside of the recording.

What is outside
    - The positions of the images in the batch, noise and random bits are written into arrays of the
      recording before each launch. CuPy's generators could be recorded, because their state is on
      the device. However, the recording would then not compute the same as the step with which it
      is compared.
    - The optimizers and the moving average come after each launch, because their learning rates and
      decays are numbers on the host.
    - The weight of a penalty may change, so it is an array of shape (). Where a penalty is due in
      some steps only, steps with and without it are recorded.

What CuPy allows in a recording
    - Not its own matrix products, although cuBLAS, which computes them, can be recorded (cuBLAS
      manual, "CUDA Graphs Support"). While a step is recorded, this module calls cuBLAS directly,
      through its C interface.
    - New arrays, if their memory stays theirs. They come from a pool of the recording's own,
      because CuPy's common pool would give the memory to others. Within a recording, memory may be
      used several times, as in the step itself: its kernels are launched in the same order.
    - No waiting, and no copies from the host: CuPy raises an error.
"""

import contextlib
import ctypes
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from minigan.accel.device_kernels import PRODUCT
from minigan.accel.fused_steps import FusedSteps
from minigan.backend import Array, get_array_module
from minigan.datasets.stacked import StackedImages
from minigan.nn.optim import NoOpOptimizer
from minigan.rng import make_rng

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
    """A function (a, b, out=None) that lets cuBLAS write a @ b into out, or into a new array.

    For cuBLAS, which stores matrices column by column, this is outᵀ = bᵀ @ aᵀ.
    """
    gemm, real = (
        (library.cublasSgemm_v2, ctypes.c_float)
        if dtype == "float32"
        else (library.cublasDgemm_v2, ctypes.c_double)
    )
    one, zero = ctypes.byref(real(1)), ctypes.byref(real(0))

    def product(a, b, out=None):
        (m, k), n = a.shape, b.shape[1]
        if out is None:
            out = get_array_module(a).empty((m, n), a.dtype)
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
        return out

    return product


def record(steps: FusedSteps, library: Any = None) -> str:
    """Replace both gradient computations of a FusedSteps, after its first step, by recordings.

    Returns "" if the recordings compute the same results. Otherwise returns one line with the
    reason, and nothing has changed.
    """
    G, D, _ = steps.made_from[0]
    functions = steps.discriminator_gradient, steps.generator_gradient
    results, memory = [G.dtheta, D.dtheta, steps.sums], Memory(get_array_module(steps.sums))
    try:
        launches = record_functions(functions, results, memory=memory, library=library)
    except Exception as error:  # of any kind: the steps themselves are known to work
        return memory.give_back(error)
    steps.discriminator_gradient, steps.generator_gradient = launches  # type: ignore[method-assign]
    return ""


class Memory:
    """The memory of a recording: a pool for its arrays, and the workspace of cuBLAS.

    A pool of CuPy does not give its memory back when it is deleted, only when it is asked to.
    """

    def __init__(self, xp: Any):
        self.pool, self.workspace = xp.cuda.MemoryPool(), xp.zeros(WORKSPACE, "uint8")

    def __del__(self):
        self.pool.free_all_blocks()

    def give_back(self, error: Exception) -> str:
        """Free the memory of a recording that has failed; why it has, in one line."""
        traceback.clear_frames(error.__traceback__)  # their variables are arrays in the pool
        self.pool.free_all_blocks()
        reason = str(error).splitlines()[0] if str(error) else ""
        return f"not recorded: {type(error).__name__}: {reason}"[:200]


class Launch:
    """A function that launches a graph, whose memory must last as long."""

    def __init__(self, graph: Any, memory: Memory):
        self.graph, self.memory = graph, memory

    def __call__(self) -> None:
        self.graph.launch()


def record_functions(
    functions: Sequence[Callable[[], None]],
    results: list[Array],
    *,
    memory: Memory,
    buffers: Sequence[Array] = (),
    library: Any = None,
) -> list[Launch]:
    """Record functions that are always called one after the other; for each, what launches it.

    `results` are the arrays that they fill, and `buffers` are those that they change, which are
    left as they were. Raises an error of any kind if the recordings fail or compute something else.
    """
    xp, kept = get_array_module(results[0]), [buffer.copy() for buffer in buffers]

    def restore():
        for buffer, before in zip(buffers, kept):
            buffer[...] = before

    try:
        for function in functions:
            function()
        expected = [array.copy() for array in (*results, *buffers)]
        graphs = capture_all(functions, xp, str(results[0].dtype), memory, library)
        restore()
        check_recording(graphs, results, buffers, expected)
    finally:
        restore()

    return [Launch(graph, memory) for graph in graphs]


def capture_all(
    functions: Sequence[Callable[[], None]], xp: Any, dtype: str, memory: Memory, library: Any
) -> list:
    """One graph for each function."""
    library = library or find_library()
    handle = ctypes.c_void_p(xp.cuda.device.get_cublas_handle())
    address = ctypes.c_void_p(memory.workspace.data.ptr)
    xp.cuda.Device().synchronize()
    before = PRODUCT.set(make_product(library, handle, dtype))
    try:
        with (
            xp.cuda.Stream(non_blocking=True) as stream,
            xp.cuda.using_allocator(memory.pool.malloc),
        ):
            check_status(library.cublasSetStream_v2(handle, ctypes.c_void_p(stream.ptr)))
            size = ctypes.c_size_t(WORKSPACE)
            check_status(library.cublasSetWorkspace_v2(handle, address, size))
            for function in functions:  # no kernel may be compiled or loaded during the recording
                function()
            stream.synchronize()
            return [capture(stream, function) for function in functions]
    finally:
        PRODUCT.reset(before)


def check_recording(
    graphs: list, results: list[Array], buffers: Sequence[Array], expected: list[Array]
) -> None:
    """Raise ValueError unless the graphs fill the results, and then the buffers, with the expected
    numbers, up to rounding.
    """
    for result in results:
        result[...] = 0
    for graph in graphs:
        graph.launch()
    for i, (result, right) in enumerate(zip((*results, *buffers), expected)):
        if not result.size:
            continue
        error, size = float(abs(result - right).max()), float(abs(right).max())
        if not 0 < size and i < len(results):
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


class DrawnBefore:
    """A random generator whose numbers are drawn before they are asked for.

    The first time, it hands out new arrays from the generator `example`, and after each `rewind`
    the same arrays again, in the same order. `refill` fills them from another generator.
    """

    def __init__(self, example: Any):
        self.example = example
        self.arrays: list[tuple[Array, Callable]] = []
        self.next = 0

    def __getattr__(self, name: str) -> Callable:
        if name.startswith("_"):
            raise AttributeError(name)

        def draw(*args: Any, **options: Any) -> Array:
            def from_generator(rng: Any) -> Array:
                return getattr(rng, name)(*args, **options)

            if self.next == len(self.arrays):
                self.arrays.append((from_generator(self.example), from_generator))
            self.next += 1
            return self.arrays[self.next - 1][0]

        return draw

    def rewind(self) -> None:
        """Begin again with the first array."""
        self.next = 0

    def refill(self, rng: Any) -> None:
        """Fill all arrays with new numbers of a generator."""
        for array, from_generator in self.arrays:
            array[...] = from_generator(rng)


class RecordedSteps:
    """Both steps of a TrainingState that has no FusedSteps, recorded either with a penalty or
    without. `library` is as in `record`.

    Raises an error of any kind if they cannot be recorded.
    """

    def __init__(self, gan: Any, *, penalised: bool, memory: Memory, library: Any = None):
        xp, recipe = gan.xp, gan.recipe
        self.gan, self.penalised = gan, penalised
        self.indices = gan.indices[: recipe.batch_size].copy()
        self.weight = xp.ones((), recipe.dtype)
        # the loss of D, both scores and the loss of G
        self.numbers, self.results = xp.zeros(4, recipe.dtype), xp.zeros(4, recipe.dtype)
        example = make_rng(xp, 0)
        self.draws = {
            (step, name): DrawnBefore(example)
            for step in ("D", "G")
            for name in ("noise", "dropout")
        }
        functions = self.discriminator_gradient, self.generator_gradient
        results, buffers = [gan.G.dtheta, gan.D.dtheta, self.numbers], [gan.G.buffers]
        buffers += [gan.D.buffers]
        self.launch_D, self.launch_G = record_functions(
            functions, results, memory=memory, buffers=buffers, library=library
        )

    def discriminator_gradient(self) -> None:
        """Fill D.dtheta, and three of the numbers."""
        with self.recordable("D") as gan:
            weight = self.weight if self.penalised else 0.0
            values = gan.plain_discriminator_step(gan.make_batch(self.indices), weight)
        for i, value in enumerate(values):
            self.numbers[i] = value

    def generator_gradient(self) -> None:
        """Fill G.dtheta, and the last of the numbers."""
        with self.recordable("G") as gan:
            self.numbers[3] = gan.plain_generator_step(gan.make_batch(self.indices))

    @contextlib.contextmanager
    def recordable(self, step: str) -> Iterator[Any]:
        """The GAN, for the time being with random numbers that are drawn before, and without
        optimizers.
        """
        gan = self.gan
        changed: dict[str, Any] = {name: self.draws[step, name] for name in ("noise", "dropout")}
        for draws in changed.values():
            draws.rewind()
        changed |= dict(optimizer_G=NoOpOptimizer(), optimizer_D=NoOpOptimizer())
        before = {name: getattr(gan, name) for name in changed}
        vars(gan).update(changed)
        try:
            yield gan
        finally:
            vars(gan).update(before)

    def discriminator_step(self, indices: Array, weight: float) -> tuple[Array, Array, Array]:
        """Train D: (loss, mean D(x), mean D(G(z))), which generator_step fills in later."""
        gan = self.gan
        self.results = gan.xp.empty(4, self.numbers.dtype)
        self.indices[...] = indices
        if self.penalised:
            self.weight[...] = weight
        self.refill("D")
        self.launch_D()
        gan.optimizer_D.step(gan.D.dtheta)
        return self.results[0], self.results[1], self.results[2]

    def generator_step(self) -> Array:
        """Train G, after discriminator_step; returns the loss, ()."""
        gan = self.gan
        self.refill("G")
        self.launch_G()
        gan.optimizer_G.step(gan.G.dtheta)
        self.results[...] = self.numbers
        return self.results[3]

    def refill(self, step: str) -> None:
        """Draw the random numbers of a step."""
        for name in "noise", "dropout":
            self.draws[step, name].refill(getattr(self.gan, name))


def record_steps(gan: Any, library: Any = None) -> tuple[dict[bool, RecordedSteps], str]:
    """({whether there is a penalty: RecordedSteps}, "") of a TrainingState after its first step, or
    ({}, the reason in one line).
    """
    recipe = gan.recipe
    own = [
        layer
        for layer in (*gan.G.layers, *gan.D.layers)
        if not type(layer).__module__.startswith("minigan.")
    ]
    for refused, reason in (
        (not hasattr(gan.xp, "cuda"), "there is no device"),
        (gan.group.size > 1, "several processes share each batch"),
        (isinstance(gan.images, StackedImages), "its images are made on the fly"),
        (recipe.augment, "its augmentation is chosen on the host in each step"),
        (gan.loss.paired, f"the loss {recipe.loss} takes a second batch in each step"),
        (own, f"{own[:1]} may change from step to step, which a recording would not"),
    ):
        if refused:
            return {}, f"not recorded: {reason}"
    penalised = [True] if recipe.penalty else []
    if not recipe.penalty or recipe.penalty_every > 1:
        penalised.insert(0, False)
    memory, found = Memory(gan.xp), {}
    try:
        for each in penalised:
            found[each] = RecordedSteps(gan, penalised=each, memory=memory, library=library)
        return found, ""
    except Exception as error:  # of any kind: the steps themselves are known to work
        found.clear()
        return {}, memory.give_back(error)
    finally:
        gan.shared = None
