"""CPU settings: the number of BLAS threads that NumPy uses, and whether freed memory is kept.

The idea
    NumPy's matrix products are computed by a library, the BLAS, which chooses its number of threads
    itself: one for each core of the machine. A container or a cluster's job may use fewer cores,
    and threads that have to wait for each other on them are several times slower than fewer threads
    would be. The number of threads is therefore limited to the cores that this process may use,
    unless the user has set it, by --threads or in the environment. It never depends on how busy the
    machine is, because another number of threads may change the last bits of a matrix product, and
    a run with the same seed should remain the same run. Everything else is the user's choice, and
    `blas_advice` only recommends better settings.

>>> openblas = {"internal_api": "openblas", "num_threads": 4}
>>> choose_blas_advice([openblas], cores=4, load=0.1, processor="")
''
"""

import ctypes
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

GRANTED_CORES = (  # set by schedulers: Slurm, PBS Professional, Torque, Grid Engine, LSF
    "SLURM_CPUS_PER_TASK",
    "NCPUS",
    "PBS_NUM_PPN",
    "NSLOTS",
    "LSB_DJOB_NUMPROC",
)
BLAS_VARIABLES = (  # with which users set the number of threads
    "OPENBLAS_NUM_THREADS",
    "GOTO_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "OMP_NUM_THREADS",
)


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


def release_unused_memory() -> bool:
    """Return memory that is no longer used to the system; True if any was (glibc on Linux can).

    To load images and to cluster them takes more memory than training on them does.
    """
    try:
        return bool(ctypes.CDLL(None).malloc_trim(0))  # malloc_trim(3), of glibc
    except (AttributeError, OSError, TypeError):
        return False


def blas_libraries() -> list[dict]:
    """The BLAS libraries that are loaded, as threadpoolctl describes them.

    [] without threadpoolctl: on a machine with a GPU, NumPy's BLAS does not matter.
    """
    try:
        import threadpoolctl
    except ModuleNotFoundError:
        return []
    return [lib for lib in threadpoolctl.threadpool_info() if lib["user_api"] == "blas"]


def blas_threads() -> int:
    """The number of threads of NumPy's matrix products: the number of cores or the value of
    OPENBLAS_NUM_THREADS; 1 if it is unknown.
    """
    return max((lib["num_threads"] for lib in blas_libraries()), default=1)


def usable_cores() -> int:
    """The number of cores that this process may use.

    It is limited by its affinity, by the quota of its container (cgroup 1 or 2), by
    LOKY_MAX_CPU_COUNT, and by a cluster's scheduler, if one has started it. Without loky, quotas
    and LOKY_MAX_CPU_COUNT are ignored.
    """
    try:
        from loky import cpu_count  # imported here because it takes 0.1 seconds
    except ModuleNotFoundError:

        def cpu_count():
            affinity = getattr(os, "sched_getaffinity", None)
            return len(affinity(0)) if affinity else os.cpu_count() or 1

    granted = [os.environ.get(name, "") for name in GRANTED_CORES]
    return min([cpu_count(), *(int(n) for n in granted if n.isdecimal() and int(n) > 0)])


def host_share(processes: list[tuple[int, frozenset[int]]]) -> list[int]:
    """How many cores each process of a run gets, for all of its processes on one host.

    Each is described by its `usable_cores` and by the numbers of the cores on which it may run. A
    core that several of them may use is divided among them, and so is what a container or a
    scheduler grants.

    >>> host_share([(4, frozenset(range(4)))] * 2)         # all on the same four cores
    [2, 2]
    >>> host_share([(1, frozenset([i])) for i in (0, 1)])  # each is bound to a core of its own
    [1, 1]
    >>> host_share([(2, frozenset(range(8)))] * 2)         # a container that may use two of eight
    [1, 1]
    """
    found = []
    for usable, mine in processes:
        part = sum(1 / sum(core in others for _, others in processes) for core in mine)
        if usable < len(mine) or not mine:  # granted to all of them together
            part = min(part or usable, usable / len(processes))
        found.append(max(1, int(part + 1e-9)))
    return found


def limit_blas_threads(threads: int = 0) -> int:
    """Set the threads of NumPy's matrix products to a number, or for 0 limit them to
    `usable_cores`; returns their number.

    If the user has set their number in the environment, it is not limited. A number cannot be set
    without threadpoolctl: ModuleNotFoundError.
    """
    if threads:
        set_blas_threads(threads)
        return blas_threads()
    threads = blas_threads()
    if threads > 1 and not is_set_by_user():
        cores = usable_cores()
        if cores < threads:
            set_blas_threads(cores)
    return blas_threads()


def set_blas_threads(threads: int) -> None:
    """Set the number of threads of NumPy's matrix products."""
    import threadpoolctl

    threadpoolctl.threadpool_limits(threads, user_api="blas")


def is_set_by_user() -> bool:
    """Whether a variable of the environment sets the number of BLAS threads."""
    return any(os.environ.get(name) for name in BLAS_VARIABLES)


def threads_of_resumed_run(recorded: int) -> int:
    """The number of threads for a run that has used `recorded` of them (0 if that is unknown).

    It is the same, so that the run continues bit for bit, or 0 for the default of
    `limit_blas_threads`, if there are fewer cores now or the user has set another number in the
    environment.
    """
    same = recorded > 0 and not is_set_by_user() and recorded <= usable_cores()
    return recorded if same else 0


@contextmanager
def preserve_blas_threads() -> Iterator[None]:
    """A context that restores the number of BLAS threads at its end, as a notebook expects."""
    threads, known = blas_threads(), blas_libraries()
    try:
        yield
    finally:
        if known:
            set_blas_threads(threads)


def blas_advice() -> str:
    """A sentence on how to make NumPy's matrix products faster on this machine; "" if nothing is to
    be recommended.
    """
    libraries = blas_libraries()
    if all(lib["num_threads"] == 1 for lib in libraries):
        cores, load = 1, 0.0
    else:
        cores = usable_cores()
        # the load is that of the whole machine, and tells nothing about a part of its cores
        load = cores_used_by_others() if cores == os.cpu_count() else 0.0
    try:
        processor = Path("/proc/cpuinfo").read_text()
    except OSError:
        processor = ""
    return choose_blas_advice(libraries, cores=cores, load=load, processor=processor)


def cores_used_by_others(seconds: float = 0.3) -> float:
    """How many cores other processes use, measured while this one waits for some seconds.

    Processes of low priority are not counted, because they yield to this one. It is 0 where the
    system does not tell (only Linux does). The load average would also count what this process did
    in the last minute, and what has ended in the meantime.
    """
    try:
        before = read_cpu_times()
        time.sleep(seconds)
        busy, total = (after - past for after, past in zip(read_cpu_times(), before))
    except (OSError, ValueError):
        return 0.0
    return (os.cpu_count() or 1) * max(0.0, busy) / total if total > 0 else 0.0


def read_cpu_times() -> tuple[float, float]:
    """(time that other processes have used, all time), of all cores together, in clock ticks."""
    with open("/proc/stat") as file:  # its first line: cpu, and the times that proc(5) describes
        user, nice, system, idle, iowait, irq, softirq, steal = map(
            int, file.readline().split()[1:9]
        )
    own = time.process_time() * os.sysconf("SC_CLK_TCK")
    busy = user + system + irq + softirq + steal
    return busy - own, busy + nice + idle + iowait


def choose_blas_advice(libraries: list[dict], *, cores: int, load: float, processor: str) -> str:
    """The sentence that blas_advice returns for these properties of the machine.

    `libraries` are described as by threadpoolctl. `cores` is the number of cores that this process
    may use, `load` is the number of cores that others use, and `processor` is Linux's description
    of the processor.
    """
    for lib in libraries:
        threads = lib["num_threads"]
        free = max(1, cores - round(load))
        if lib["internal_api"] == "openblas" and threads > free:
            return (
                f"NumPy's BLAS uses {threads} threads, but only {free} of {cores} cores seem to be"
                " free, which can make it slower than with fewer:"
                f" python demo.py --threads {free}"
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
