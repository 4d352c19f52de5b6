"""MPI: the processes that mpiexec has started, as one process group.

The idea
    MPI is how programs on clusters have exchanged numbers since 1994. A launcher, mpiexec or a
    cluster's own, starts the same program n times, on one machine or on many, and a library
    connects the n processes. `mpiexec -n 4 python demo.py ...` is therefore all that a user types.
    The launcher leaves traces in the environment. Without them mpi4py, the library's interface, is
    not imported, and there is a group of one process.

What can go wrong, and what then happens
    A process that waits for a sum waits for ever if another one no longer takes part. Every end of
    a process therefore passes through `finish`. If all processes end, which includes errors that
    all of them meet, such as a wrong option, the first one reports, and all exit. If only this one
    ends, with an error, it names itself, and MPI ends all others.

    If a process is killed, nothing in it can report. The launcher then kills the others. (Open
    MPI's says which process it was. MPICH 5.0.2's often names one that it has killed itself.) A
    small helper on each host, `Witness`, outlives them, and says which process it was and how to go
    on. It also removes the shared memory that MPICH 5.0.2 leaves in /dev/shm, 2 MB and more each
    time, where a container often has room for 64 MB.

    A process can also fail before MPI has connected it with the others, for instance on a machine
    that lacks mpi4py. MPICH then lets the others wait for ever, so `connect` limits the time.

Sums of NaN
    Where a loss is NaN in one process, all must stop at the same step. Their sum is NaN everywhere,
    but their maximum need not be: with MPICH 5.0.2 the processes receive different values. All
    decisions are therefore made on sums, or by the first process.

The images in memory once
    All processes of a host read the same images, so one of them loads them and writes them to a
    temporary file. The others, and it as well, map that file into their memory: the system then
    keeps one copy for all. The file is removed at once, and its contents exist as long as a process
    has them in its memory. (MPI has windows of shared memory too, but they are limited to 64 MB in
    many containers.)

Which array is summed
    MPI sums the memory of an array. A transposed array would be added as it lies in memory, without
    an error, so it is refused.
"""

import importlib
import os
import pickle
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from platform import node
from typing import Any, NamedTuple

import numpy as np

from minigan.accel.cpu import host_share, usable_cores
from minigan.accel.process_group import ONE_PROCESS, ProcessGroup
from minigan.accel.witness import Witness, hold, silence
from minigan.backend import Array, BackendError, first_line

# what launchers set in the environment of each process, and where the number of processes is
LAUNCHERS = {
    "PMI_RANK": "PMI_SIZE",  # MPICH, Intel MPI, Microsoft MPI, Slurm with --mpi=pmi2
    "OMPI_COMM_WORLD_RANK": "OMPI_COMM_WORLD_SIZE",  # Open MPI
    "MV2_COMM_WORLD_RANK": "MV2_COMM_WORLD_SIZE",  # MVAPICH
    "PMIX_RANK": "",  # Slurm with --mpi=pmix
    "PALS_RANKID": "",  # HPE Cray
}
# where launchers set the number of each process on its host
LOCAL_RANKS = (
    "MPI_LOCALRANKID",  # MPICH, Intel MPI
    "OMPI_COMM_WORLD_LOCAL_RANK",  # Open MPI
    "MV2_COMM_WORLD_LOCAL_RANK",  # MVAPICH
    "SLURM_LOCALID",
    "PALS_LOCAL_RANKID",  # HPE Cray
)
# what says that an MPI was built to read the memory of GPUs, and shall; nothing else tells it apart
# from one that ends with an invalid address
READS_DEVICES = (
    "OMPI_MCA_opal_cuda_support",  # Open MPI, NVIDIA HPC-X
    "MV2_USE_CUDA",  # MVAPICH
    "MPICH_GPU_SUPPORT_ENABLED",  # HPE Cray MPICH
    "I_MPI_OFFLOAD",  # Intel MPI
)
# MPICH 5.0.2 collects long vectors in pieces of 32 kB, and each waits for the one before: over a
# cable with a delay of 1 ms, a step of `default` took 109 ms, and without the pieces 62.
WITHOUT_PIECES = {"MPIR_CVAR_ALLGATHERV_PIPELINE_MSG_SIZE": str(2**30)}
SECONDS_TO_ADVICE = 10.0  # how long processes wait for others to start until they say so,
SECONDS_TO_CONNECT = 300  # and until they end
SECONDS_OF_POLLING = 5e-3  # how long a process waits in a loop; a pause would take more time,
SECONDS_OF_PAUSES = 2e-4  # and how long it then sleeps between two looks
SECONDS_FOR_OTHERS = 3.0  # how long a failed process waits for the others to fail as well
ALIGNMENT = 64  # bytes
SECONDS_TO_FORWARD = 1.0  # how long mpiexec is given to print what a process has written


def launched_rank() -> int:
    """The number of this process, as its launcher has set it; 0 without one."""
    numbers = [os.environ.get(rank, "") for rank in LAUNCHERS]
    return next((int(number) for number in numbers if number.isdecimal()), 0)


def launched_local_rank() -> int:
    """The number of this process on its host, as its launcher has set it; 0 without one."""
    numbers = [os.environ.get(rank, "") for rank in LOCAL_RANKS]
    return next((int(number) for number in numbers if number.isdecimal()), launched_rank())


def launched_size() -> int | None:
    """How many processes a launcher has started, 0 if it does not say, None without a launcher."""
    for rank, size in LAUNCHERS.items():
        if rank in os.environ:
            number = os.environ.get(size, "")
            return int(number) if number.isdecimal() else 0
    return None


def start_group() -> ProcessGroup:
    """The processes that a launcher has started together with this one; ONE_PROCESS without one.

    Raises BackendError if they cannot be connected.
    """
    expected = launched_size()
    if expected is None or expected == 1:
        return ONE_PROCESS
    advice = 'pip install -e ".[mpi]" installs mpi4py and MPICH, with an mpiexec that fits'
    for name, value in WITHOUT_PIECES.items():
        os.environ.setdefault(name, value)
    try:
        mpi4py = importlib.import_module("mpi4py")
        mpi4py.rc(initialize=False, finalize=True, thread_level="funneled")
        MPI = importlib.import_module("mpi4py.MPI")
        library = MPI.Get_library_version()
    except ModuleNotFoundError:
        raise BackendError(f"mpiexec started this, but mpi4py is missing: {advice}") from None
    except (ImportError, RuntimeError, OSError) as error:
        raise BackendError(
            f"mpi4py cannot load an MPI library ({first_line(error)}): {advice}"
        ) from None
    if ("OMPI_COMM_WORLD_RANK" in os.environ) != library.startswith("Open MPI"):
        launcher = "Open MPI" if "OMPI_COMM_WORLD_RANK" in os.environ else "another MPI"
        if "OMPI_COMM_WORLD_RANK" in os.environ or "PMIX_RANK" not in os.environ:
            raise BackendError(
                f"the mpiexec of {launcher} started this, but mpi4py uses"
                f" {first_line(library).partition(',')[0]!r}: use the mpiexec that belongs to it"
            )
    if not MPI.Is_initialized():
        connect(MPI)
    size = MPI.COMM_WORLD.Get_size()
    if expected and size != expected:
        raise BackendError(
            f"mpiexec started {expected} processes, but mpi4py sees {size}: use the mpiexec that"
            f" belongs to its library, {first_line(library)!r}"
        )
    return MPIGroup(MPI) if size > 1 else ONE_PROCESS


def connect(MPI: Any) -> None:
    """Initialise MPI, which waits until all processes have done so.

    If one of them has ended before, MPICH 5.0.2 waits for ever, and Python cannot interrupt it. A
    helper process therefore says after a while what is wrong, and an alarm ends this process.
    """
    if not hasattr(signal, "alarm"):  # on Windows
        MPI.Init_thread(MPI.THREAD_FUNNELED)
        return
    helper = None
    if launched_rank() < 2:  # one sentence is enough, but the first process may be the missing one
        with suppress(OSError):
            helper = Witness(
                f"process {launched_rank()} (PID {os.getpid()} on {node()}) still waits for others"
                " to start: if one of them has failed, press Ctrl-C; `python demo.py --version` and"
                " `python -m mpi4py --version` have to work on every machine",
                seconds=SECONDS_TO_ADVICE,
            )
    signal.alarm(SECONDS_TO_CONNECT)
    try:
        MPI.Init_thread(MPI.THREAD_FUNNELED)
    finally:
        signal.alarm(0)
        if helper:
            helper.dismiss()


def fail_to_start(prog: str, error: BackendError) -> int:
    """Report an error of start_group, once on each host; returns the exit status.

    Other hosts may not have this error, and then wait for this process. On all hosts but the first,
    it therefore ends by a signal, after which MPICH's launcher ends the others.
    """
    if launched_local_rank() == 0:
        rank = launched_rank()
        name = f"process {rank} on {node()}: " if rank else ""
        with suppress(OSError):
            print(f"{prog}: {name}{error}", file=sys.stderr, flush=True)
        if rank and hasattr(signal, "SIGKILL"):
            time.sleep(SECONDS_TO_FORWARD)
            os.kill(os.getpid(), signal.SIGKILL)
    return 2


class MPIGroup(ProcessGroup):
    """All processes that mpiexec has started."""

    def __init__(self, MPI: Any):
        self.MPI, self.world = MPI, MPI.COMM_WORLD
        super().__init__(self.world.Get_rank(), self.world.Get_size())
        # sums of a run, and ends of processes, never wait for each other
        self.comm, self.ends = self.world.Dup(), self.world.Dup()
        self.host = MPI.Get_processor_name()
        self.name = f"process {self.rank} of {self.size} (PID {os.getpid()} on {self.host})"
        self.neighbours = neighbours = self.comm.Split_type(MPI.COMM_TYPE_SHARED)
        self.local_rank, self.local_size = neighbours.Get_rank(), neighbours.Get_size()
        # Slurm grants cores to each process, and the other schedulers to all that are on a host
        usable = usable_cores() * (self.local_size if "SLURM_CPUS_PER_TASK" in os.environ else 1)
        found = neighbours.allgather((usable, allowed_cores()))
        self.cores = host_share(found)[self.local_rank]
        cores_in_all = sum({cores: usable for usable, cores in found}.values())
        self.seconds_of_polling = SECONDS_OF_POLLING if self.local_size <= cores_in_all else 0.0
        self.advice = ""
        self.witness: Witness | None = None
        self.witness_pid = 0  # of the helper of this host
        self.close_pipe: Callable[[], None] = lambda: None  # the one to the helper
        switches = (os.environ.get(name, "").lower() for name in READS_DEVICES)
        self.reads_devices = any(switch in ("1", "true") for switch in switches)

    def add_up(self, array: Array) -> None:
        check_contiguous(array)
        if isinstance(array, np.ndarray):
            self.collective("Allreduce", self.MPI.IN_PLACE, array)
        else:  # Open MPI reads the memory of a GPU in blocking operations only (its FAQ)
            self.wait_for_all()
            self.comm.Allreduce(self.MPI.IN_PLACE, array)

    def add_up_part(self, vector: np.ndarray) -> None:
        check_contiguous(vector)
        part = vector[self.rows(len(vector))]
        total = np.empty_like(part)
        self.collective("Reduce_scatter", vector, total, self.lengths(len(vector)))
        part[...] = total

    def collect(self, vector: np.ndarray) -> None:
        check_contiguous(vector)
        self.collective("Allgatherv", self.MPI.IN_PLACE, (vector, self.lengths(len(vector))))

    def lengths(self, n: int) -> list[int]:
        """How many of n rows each process has."""
        parts = (ProcessGroup(rank, self.size).rows(n) for rank in range(self.size))
        return [part.stop - part.start for part in parts]

    def gather(self, value: Any) -> list:
        self.wait_for_all()
        return self.comm.allgather(value)

    def from_first(self, make: Callable[[], Any]) -> Any:
        found: tuple[Any, Exception | None] = None, None
        if self.leads:
            try:
                found = make(), None
            except Exception as error:
                found = None, error
        self.wait_for_all()
        value, failure = self.comm.bcast(found)
        if failure is not None:
            raise failure
        return value

    def once_per_host(self, make: Callable[[], Any], same: str) -> Any:
        everywhere = self.neighbours.allgather(same)
        readers = self.neighbours.Split(everywhere.index(same))
        if readers.Get_size() == 1:
            return make()
        value: Any = None
        failure: Exception | None = None
        written: Written | None = None
        if readers.Get_rank() == 0:
            try:
                value = make()
                with suppress(OSError):  # without a place for the file, each has its own copy
                    written = write_shared(value)
            except Exception as error:
                failure = error
        self.wait(readers.Ibarrier())
        written, failure = readers.bcast((written, failure))
        if failure is not None:
            raise failure
        shared = None
        with suppress(OSError, ValueError):  # such as another file system, in a container
            shared = read_shared(written) if written else None
        readers.Barrier()  # all have it in their memory
        if written and readers.Get_rank() == 0:
            with suppress(OSError):
                os.unlink(written.path)
        if shared is not None:
            return shared
        return make() if value is None else value

    def collective(self, name: str, *args: Any) -> None:
        """A collective operation of MPI, by its name, without keeping a core busy for long.

        MPI waits in a loop. Where other programs need the cores as well, that takes them from the
        very process that is waited for. On one host the non-blocking form of the operation is
        therefore started, and a loop with pauses asks whether it is complete. Hosts mostly belong
        to one job, so between them MPI waits in its own way.
        """
        if self.local_size < self.size:
            getattr(self.comm, name)(*args)
            return
        self.wait(getattr(self.comm, "I" + name.lower())(*args))

    def wait(self, request: Any) -> None:
        """Wait for a non-blocking operation: first in a loop, then with pauses."""
        started = time.perf_counter()
        while not request.Test():
            if time.perf_counter() - started > self.seconds_of_polling:
                time.sleep(SECONDS_OF_PAUSES)

    def wait_for_all(self) -> None:
        """Wait until all processes are here, if they are on one host: between hosts, one more
        message would cost more than it saves.
        """
        if self.local_size == self.size:
            self.collective("Barrier")

    def finish(self, status: int, sentence: object = None) -> tuple[int, object]:
        """Wait until all processes end; if this one has failed, at most a few seconds.

        If the others go on after that, this one reports, and all are ended.
        """
        request = self.ends.Ibarrier()
        failed, started = sentence is not None or status in (1, 2), time.monotonic()
        while not request.Test():
            if failed and time.monotonic() - started > SECONDS_FOR_OTHERS:
                self.abort(status, sentence or f"it ended with status {status}")
            time.sleep(0.01)
        if self.witness:
            self.witness.dismiss()
        return status, sentence if self.leads else None

    def crash(self, error: Exception) -> None:
        traceback.print_exception(error)
        self.abort(1, f"{type(error).__name__}: {first_line(error)}")

    def abort(self, status: int, sentence: object) -> None:
        """Print what happened to this process, and end all of them.

        The pause is for mpiexec. MPICH 5.0.2's, on a busy machine, can receive the last lines and
        the end at the same time; then it ends all processes and prints none of the lines.
        """
        with suppress(OSError, ValueError, AttributeError):
            advice = f"\n{self.advice}" if self.advice else ""
            print(f"{self.name}: {sentence}{advice}", file=sys.stderr, flush=True)
        if self.witness_pid:
            silence(self.witness_pid)
        for path in shared_memory_files():
            with suppress(OSError):
                os.unlink(path)
        time.sleep(SECONDS_TO_FORWARD)
        self.world.Abort(status or 1)

    def watch(self, advice: str) -> None:
        """From now on, print which process was killed, and `advice`, if one is. Without advice,
        nothing has been saved. A later call takes the place of an earlier one.

        Each host has a helper, which knows the processes of its host. MPICH's launcher always
        prints what the helper of that host says on which a process was killed, and sometimes what
        the others say.
        """
        self.advice, earlier, close_earlier = advice, self.witness, self.close_pipe
        names, pipes = self.neighbours.allgather(self.name), self.pipes_from_neighbours()
        advice = advice or "nothing had been saved, so start it again"
        elsewhere = ", or ended with one on another host" if self.local_size < self.size else ""
        if self.local_rank == 0:
            with suppress(OSError):  # without a helper, the run goes on all the same
                self.witness = Witness(
                    f"was killed or failed{elsewhere}: {advice}",
                    unknown="one of " + ", ".join(names),
                    pipes=dict(zip(pipes, names)),
                    remove=shared_memory_files(),
                )
        pid = self.witness.process.pid if self.witness else 0
        self.witness_pid = self.neighbours.bcast(pid)
        if earlier:
            earlier.dismiss()
        close_earlier()

    def pipes_from_neighbours(self) -> list[int]:
        """The reading ends of pipes that the processes of this host hold, in the first of them;
        empty in the others, and where one of them cannot have such a pipe, as on Windows.
        """
        folder: str | None = None
        pipes: list[int] = []
        held = False
        self.close_pipe = lambda: None
        if self.local_rank == 0:
            with suppress(OSError, AttributeError):
                folder = tempfile.mkdtemp(prefix="minigan-")
                for i in range(self.local_size):
                    os.mkfifo(f"{folder}/{i}")
                    pipes.append(os.open(f"{folder}/{i}", os.O_RDONLY | os.O_NONBLOCK))
        folder = self.neighbours.bcast(folder)
        with suppress(OSError, ImportError):
            if folder:
                self.close_pipe = hold(f"{folder}/{self.local_rank}")
                held = True
        complete = all(self.neighbours.allgather(held))
        if self.local_rank == 0 and folder:
            shutil.rmtree(folder, ignore_errors=True)
        if not complete:
            for pipe in pipes:
                os.close(pipe)
            self.close_pipe()
        return pipes if complete else []


class Written(NamedTuple):
    """A value whose arrays are in a file."""

    words: bytes  # the value without the memory of its arrays, as pickle writes it
    path: str
    lengths: list[int]  # of the arrays in the file, in bytes


def write_shared(value: Any) -> Written:
    """Write the arrays in a value, such as a tuple of arrays and strings, to a temporary file."""
    buffers: list[pickle.PickleBuffer] = []
    words = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    lengths = [buffer.raw().nbytes for buffer in buffers]
    with tempfile.NamedTemporaryFile(prefix="minigan-", delete=False) as file:
        try:
            for buffer, length in zip(buffers, lengths):
                file.write(buffer.raw())
                file.write(bytes(ALIGNMENT - length % ALIGNMENT))
        except OSError:
            os.unlink(file.name)
            raise
    return Written(words, file.name, lengths)


def read_shared(written: Written) -> Any:
    """The value that write_shared was given. Its arrays cannot be changed."""
    memory, buffers, start = np.memmap(written.path, mode="r"), [], 0
    for length in written.lengths:
        buffers.append(memory[start : start + length])
        start += length + ALIGNMENT - length % ALIGNMENT
    return pickle.loads(written.words, buffers=buffers)


def check_contiguous(array: Array) -> None:
    """Raise ValueError if MPI would take the elements of an array in another order."""
    if not array.flags.c_contiguous:
        raise ValueError(f"an array of shape {array.shape} is not contiguous: MPI sums memory")


def shared_memory_files() -> list[str]:
    """The files in /dev/shm through which MPICH's processes on this host exchange numbers."""
    with suppress(OSError), open("/proc/self/maps") as file:
        paths = {line.split()[-1] for line in file if line.strip()}
        return sorted(path for path in paths if path.startswith("/dev/shm/mpich_shm_"))
    return []


def allowed_cores() -> frozenset[int]:
    """The numbers of the cores on which this process may run; empty where they are unknown."""
    with suppress(AttributeError, OSError):
        return frozenset(os.sched_getaffinity(0))
    return frozenset()
