"""Record both moves of a game once, and play them back: two launches of a CUDA graph instead of some fifty of kernels.

    python benchmarks/step.py --backend cupy --graph

It has not run on a GPU yet, only on the tests' stand-in, which has the same interface. So it is not part of the package.

A stream of work for the device can be recorded instead of being done, and started later, as often as one likes, by one call.
What is recorded is which kernels, and on which places in memory; so it must wait for nothing, ask for no memory, and take
nothing from the host. `play_D` and `play_G` of minigan/fusing.py are made for that. What changes from step to step stays
outside of them: images, noise, random bits, and the optimizers, whose rate is a number of the host's.

Matrix products are what stands in the way: CuPy refuses to have its own recorded, though cuBLAS, which does the work, can be
(cuBLAS manual, "CUDA Graphs Support"). Here it is called directly, through its C interface.
"""
import contextlib
import ctypes

from minigan.backend import array_module

WORKSPACE = 32 << 20  # bytes for cuBLAS, as its manual recommends for the newest cards; of its own, since the graph will use it again


def find_library():
    """cuBLAS, which CuPy has loaded already. Raises OSError where it goes by another name."""
    for name in "libcublas.so.13", "libcublas.so.12":
        with contextlib.suppress(OSError):
            return ctypes.CDLL(name)
    raise OSError("cuBLAS is not found as libcublas.so.13 or libcublas.so.12")


def order(x):
    """(operation, leading dimension) of a matrix for cuBLAS. It reads memory column by column, so that what lies row by row
    is the transpose to it: 0, as it is. What is already a transpose to us is to be turned around: 1."""
    if x.flags.c_contiguous:
        return 0, x.shape[1]
    if x.T.flags.c_contiguous:
        return 1, x.shape[0]
    raise ValueError(f"a matrix of shape {x.shape} and strides {x.strides} does not lie in one piece")


def check(status):
    if status:
        raise RuntimeError(f"cuBLAS returned the status {status}")


def make_product(library, handle, dtype):
    """A function (a, b, out) that has cuBLAS write a·b into out. To it all three are transposes: outᵀ = bᵀ·aᵀ."""
    gemm, real = (library.cublasSgemm_v2, ctypes.c_float) if dtype == "float32" else (library.cublasDgemm_v2, ctypes.c_double)
    one, zero = real(1), real(0)

    def product(a, b, out):
        (m, k), n = a.shape, b.shape[1]
        (turn_b, ld_b), (turn_a, ld_a), (turn_out, _) = order(b), order(a), order(out)
        if b.shape[0] != k or out.shape != (m, n) or turn_out or not a.dtype == b.dtype == out.dtype == dtype:
            raise ValueError(f"no product of {a.dtype} {a.shape} and {b.dtype} {b.shape} for {out.dtype} {out.shape}")
        a, b, c = (ctypes.c_void_p(x.data.ptr) for x in (a, b, out))
        check(gemm(handle, turn_b, turn_a, n, m, k, ctypes.byref(one), b, ld_b, a, ld_a, ctypes.byref(zero), c, n))
    return product


def record(moves, library=None):
    """Replace both moves of a FusedMoves that has made a step by recordings of them. "" if the recordings do what the moves do;
    otherwise one line that says why not, and the moves are as they were."""
    xp, blocks = array_module(moves.told), [*moves.G, *moves.G_learning, *moves.D_in_D, *moves.D_in_G]
    results = [net.dtheta for net in moves.made_of[:2]] + [moves.told]
    plays, plain = (moves.play_D, moves.play_G), blocks[0].product
    try:
        for play in plays:
            play()
        expected = [result.copy() for result in results]
        library, handle = library or find_library(), ctypes.c_void_p(xp.cuda.device.get_cublas_handle())
        product, workspace = make_product(library, handle, moves.told.dtype), xp.zeros(WORKSPACE, "uint8")
        xp.cuda.Device().synchronize()
        with xp.cuda.Stream(non_blocking=True) as stream:
            check(library.cublasSetStream_v2(handle, ctypes.c_void_p(stream.ptr)))
            check(library.cublasSetWorkspace_v2(handle, ctypes.c_void_p(workspace.data.ptr), ctypes.c_size_t(WORKSPACE)))
            for block in blocks:
                block.product = product
            for play in plays:  # once as they are: while recording, no kernel may have to be compiled or loaded
                play()
            stream.synchronize()
            graphs = [capture(stream, play) for play in plays]
        for result in results:
            result[...] = 0
        for graph in graphs:
            graph.launch()
        for result, right in zip(results, expected):
            off, size = float(abs(result - right).max()), float(abs(right).max())
            if not off <= 1e-3 * size:  # the same sums, maybe in another order; and NaN is not all right, either
                raise ValueError(f"the recording is off by {off:.2g} where the largest number is {size:.2g}")
    except Exception as error:  # whatever it is: the moves themselves are known to work
        return f"not recorded: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:200]
    finally:
        for block in blocks:
            block.product = plain
    moves.recorded = graphs, workspace  # which have to live as long as they are used
    moves.play_D, moves.play_G = (graph.launch for graph in graphs)
    return ""


def capture(stream, play):
    """The graph of what play() would do. Where it fails, the stream is left as one that does not record."""
    stream.begin_capture()
    try:
        play()
    except Exception:
        with contextlib.suppress(Exception):
            stream.end_capture()
        raise
    return stream.end_capture()
