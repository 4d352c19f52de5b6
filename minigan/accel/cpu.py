"""CPU settings: the number of BLAS threads that NumPy uses, and whether freed memory is kept.

The idea
    NumPy's matrix products are computed by a library, the BLAS, which chooses its number of threads
    itself. The best number depends on the machine and on the other processes that run on it. The
    BLAS reads its settings when NumPy is imported, and they are the user's choice. They are
    therefore not changed here; `blas_advice` only recommends better ones.

>>> openblas = {"internal_api": "openblas", "num_threads": 4}
>>> choose_blas_advice([openblas], cores=4, load=0.1, processor="")
''
"""

import ctypes
import os
from pathlib import Path


def disable_malloc_trim() -> bool:
    """Make the C library keep freed memory; True if it supports this (glibc on Linux does).

    Each training step allocates and frees the same large arrays. By default the library returns
    their memory to the system, which has to provide new, zeroed memory in the next step. For
    convolutions this takes a third of the time.
    """
    MMAP_MAX, TRIM_THRESHOLD = -4, -1  # names and numbers of mallopt(3)
    try:
        library = ctypes.CDLL(None)
        return bool(library.mallopt(MMAP_MAX, 0) and library.mallopt(TRIM_THRESHOLD, 2**31 - 1))
    except (AttributeError, OSError, TypeError):
        return False


def blas_threads() -> int:
    """The number of threads of NumPy's matrix products: the number of cores or the value of
    OPENBLAS_NUM_THREADS; 1 if it is unknown.
    """
    import threadpoolctl  # imported here because a machine with a GPU does not need it

    return max(
        (
            lib["num_threads"]
            for lib in threadpoolctl.threadpool_info()
            if lib["user_api"] == "blas"
        ),
        default=1,
    )


def blas_advice() -> str:
    """A sentence on how to make NumPy's matrix products faster on this machine; "" if nothing is to
    be recommended.
    """
    import threadpoolctl

    libraries = [lib for lib in threadpoolctl.threadpool_info() if lib["user_api"] == "blas"]
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    try:
        processor = Path("/proc/cpuinfo").read_text()
    except OSError:
        processor = ""
    return choose_blas_advice(libraries, cores=cores, load=load, processor=processor)


def choose_blas_advice(libraries: list[dict], *, cores: int, load: float, processor: str) -> str:
    """The sentence that blas_advice returns for these properties of the machine.

    `libraries` are described as by threadpoolctl. `cores` is the number of cores that this process
    may use, `load` is the number of cores that were busy recently, and `processor` is Linux's
    description of the processor.
    """
    for lib in libraries:
        threads = lib["num_threads"]
        free = max(1, cores - round(load))
        if lib["internal_api"] == "openblas" and threads > free:
            return (
                f"NumPy's BLAS uses {threads} threads, but only {free} of {cores} cores seem to be"
                " free, which can make it slower than with fewer:"
                f" OPENBLAS_NUM_THREADS={free} python demo.py ..."
            )
        if (
            lib["internal_api"] == "openblas"
            and lib.get("architecture") in ("Haswell", "Zen")
            and "avx512f" in processor
        ):
            return (
                f"NumPy's BLAS uses its {lib['architecture']} kernels, but this processor has"
                " AVX-512, which may be much faster:"
                " OPENBLAS_CORETYPE=SkylakeX python demo.py ..."
            )
    return ""
