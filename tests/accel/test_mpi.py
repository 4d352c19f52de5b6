"""Runs under mpiexec: the same run, and nothing hangs. Skipped without mpi4py or mpiexec."""

import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers import DEMO, ROOT

from minigan.accel.cpu import usable_cores
from minigan.training.run_folder import read_npz

pytest.importorskip("mpi4py")
MPIEXEC = shutil.which(
    "mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
)
if MPIEXEC is None:
    pytest.skip("no mpiexec", allow_module_level=True)

TINY = ["--recipe", "dense", "--set", "widths_G=6", "--set", "widths_D=6,5", "--latent-dim", "3"]
TINY += ["--batch-size", "7", "--data", "data.npz", "--out", "run"]
LIMIT = 120  # seconds, on a machine that does much else; nothing here takes as long
OPEN_MPI = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
VERSION = subprocess.run([MPIEXEC, "--version"], capture_output=True, text=True).stdout
OPEN_MPI_LAUNCHES = "Open MPI" in VERSION
OPEN_MPI |= {"PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe"}


def environment():
    folders = [ROOT, ROOT / "tests", ROOT / "tests" / "accel"]
    return {**os.environ, **OPEN_MPI, "PYTHONPATH": os.pathsep.join(map(str, folders))}


def command(size, *args):
    return [MPIEXEC, "-n", str(size), sys.executable, *map(str, args)]


def mpiexec(size, *args, cwd=ROOT):
    """`mpiexec -n size python args`, after it has ended."""
    return subprocess.run(
        command(size, *args),
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )


class Started:
    """A run under mpiexec that goes on; its output is in files."""

    def __init__(self, size, *args, cwd, launcher=(), env=None):
        self.folder, self.out = cwd / "run", cwd / "out.txt"
        with open(self.out, "w") as file:
            self.process = subprocess.Popen(
                [*launcher, DEMO, *args] if launcher else command(size, DEMO, *args),
                cwd=cwd,
                env=env or environment(),
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def wait_for(self, condition):
        """Wait until condition() is true."""
        limit = time.monotonic() + LIMIT
        while not condition():
            assert self.process.poll() is None, self.text()
            assert time.monotonic() < limit, self.text()
            time.sleep(0.02)

    def wait_for_checkpoint(self):
        """Wait until some steps have been saved."""
        self.wait_for(lambda: max(steps_of(self.folder), default=0) > 5)

    def text(self):
        return self.out.read_text()

    def end(self):
        """(exit status, seconds that it took to end, output)"""
        started = time.monotonic()
        status = self.process.wait(LIMIT)
        return status, time.monotonic() - started, self.text()


def steps_of(folder):
    return [int(path.stem.split("-")[1]) for path in folder.glob("checkpoint-*.npz")]


def processes_of(started):
    """The PIDs of the processes of a run, in the order of their numbers."""
    started.wait_for(lambda: len(found_pids(started)) > 1)
    return found_pids(started)


def found_pids(started):
    """Which processes were started by the launcher: those that have demo.py as an argument."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().split(b"\0")
            if str(DEMO).encode() not in words or words[0] != sys.executable.encode():
                continue
            if os.readlink(path / "cwd") != str(started.folder.parent):
                continue
            settings = dict(
                word.partition("=")[::2]
                for word in (path / "environ").read_bytes().decode().split("\0")
            )
        except OSError:
            continue
        rank = settings.get("PMI_RANK", settings.get("OMPI_COMM_WORLD_RANK"))
        if rank is not None:
            found[int(rank)] = int(path.name)
    return [found[rank] for rank in sorted(found)]


def write_data(folder):
    """data.npz in a folder, which is returned."""
    images = np.random.default_rng(0).integers(0, 256, (90, 8, 8), dtype=np.uint8)
    np.savez(folder / "data.npz", images=images)
    return folder


@pytest.fixture
def place(tmp_path):
    return write_data(tmp_path)


def state(folder):
    """The arrays of the newest checkpoint."""
    path = max(folder.glob("checkpoint-*.npz"))
    arrays = read_npz(path)
    arrays.pop("text")
    return path.name, {name: array.tobytes() for name, array in arrays.items()}


@pytest.mark.parametrize("size", [2, pytest.param(3, marks=pytest.mark.long)])
def test_the_same_run(size):
    checks = "sums", "errors", "arrays", "repeat", "agree"
    done = mpiexec(size, ROOT / "tests/accel/mpi_worker.py", *checks)
    assert (done.returncode, done.stdout) == (0, f"{size} agree\n"), done.stderr


@pytest.mark.parametrize("size, others", [(2, []), pytest.param(4, [2, 3], marks=pytest.mark.long)])
def test_a_run_folder_and_other_numbers_of_processes(size, others, place):
    """One process writes. A run continues on as many processes bit for bit, and on others."""
    done = mpiexec(size, DEMO, *TINY, "--epochs", "2", cwd=place)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("epoch ") == 2 and done.stdout.count(f"on {size} processes") == 1
    assert json.loads((place / "run/settings.json").read_text())["processes"] == size
    whole = state(place / "run")
    shutil.rmtree(place / "run")
    mpiexec(size, DEMO, *TINY, "--epochs", "1", cwd=place)
    shutil.copytree(place / "run", place / "half")
    more = ["--epochs", "2", "--resume", "run"]
    assert mpiexec(size, DEMO, *more, cwd=place).returncode == 0
    assert state(place / "run") == whole
    for other in others:
        shutil.rmtree(place / "run")
        shutil.copytree(place / "half", place / "run")
        done = mpiexec(other, DEMO, *more, cwd=place)
        assert done.returncode == 0, done.stderr
        assert f"the number of processes is now {other} instead of {size}" in done.stdout
        assert state(place / "run")[0] == whole[0]
    shutil.rmtree(place / "run")
    shutil.copytree(place / "half", place / "run")
    alone = subprocess.run(
        [sys.executable, DEMO, *more], cwd=place, capture_output=True, text=True, env=environment()
    )
    assert alone.returncode == 0, alone.stderr
    assert f"the number of processes is now 1 instead of {size}" in alone.stdout
    assert state(place / "run")[0] == whole[0]
    assert "processes" not in json.loads((place / "run/settings.json").read_text())


REFUSED = {  # name: (arguments of each process, what is said)
    "rows": ([[], [], [], [], [], [], [], []], "8 processes are more than the 7 images"),
    "flags": ([[], ["--seed", "1"]], "process 1 of 2 has other options (seed)"),
    "recipe": ([[], ["--learning-rate", "1"]], "process 1 of 2 has other options (learning_rate)"),
    "data": ([[], ["--data", "other.npz"]], "process 1 of 2 has other data"),
    "fewer": ([[], ["--data", "fewer.npz"]], "process 1 of 2 has other data"),
    "wrong": ([["--loss", "no"], ["--loss", "no"]], "invalid choice: 'no'"),
    "file": ([["--data", "no.npz"], ["--data", "no.npz"]], "no.npz"),
    "one file": ([[], ["--data", "no.npz"]], "process 1 of 2"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_refused_before_anything_is_written(why, place):
    """In one sentence, without a traceback, whichever process notices it."""
    images = np.random.default_rng(1).integers(0, 256, (90, 8, 8), dtype=np.uint8)
    np.savez(place / "other.npz", images=images)
    np.savez(place / "fewer.npz", images=images[:80])
    each, sentence = REFUSED[why]
    parts = [["-n", "1", sys.executable, str(DEMO), *TINY, *args] for args in each]
    words = [word for part in parts for word in (":", *part)][1:]
    started = time.monotonic()
    done = subprocess.run(
        [MPIEXEC, *words], cwd=place, env=environment(), capture_output=True, text=True
    )
    assert done.returncode != 0 and time.monotonic() - started < LIMIT
    assert done.stderr.count(sentence) == 1, done.stderr
    assert "Traceback" not in done.stderr and not (place / "run").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_saves_once(number, place):
    args = [*TINY, "--epochs", "9999"]
    run = Started(2, *args, "--checkpoint-every", "0.001", cwd=place)
    run.wait_for_checkpoint()
    if OPEN_MPI_LAUNCHES:  # its mpiexec prints nothing more, so one process receives the signal
        os.kill(processes_of(run)[1], number)
    else:
        run.process.send_signal(number)
    status, _, text = run.end()
    assert status == 128 + number, text
    assert text.count("interrupted, and saved") == 1
    assert "mpiexec -n 2 python demo.py --resume run resumes it" in text


SLOW = """
import time
from minigan.training import run
save = run.save_checkpoint
run.save_checkpoint = lambda *args: (time.sleep(0.25), save(*args))
"""
if OPEN_MPI_LAUNCHES:

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_open_mpi_lets_a_run_save_before_it_kills_it(number, place):
        """It sends SIGCONT at once, then SIGTERM, and 0.2 s later SIGKILL: too early for this."""
        (place / "slow.py").write_text(SLOW)
        args = ["--epochs", "9999", "--checkpoint-every", "1e9", "--import", "slow.py"]
        run = Started(2, *TINY, *args, cwd=place)
        run.wait_for(lambda: (run.folder / "history.csv").exists())
        assert steps_of(run.folder) == [0]
        run.process.send_signal(number)
        run.end()
        assert max(steps_of(run.folder)) > 0


@pytest.mark.parametrize("rank", [pytest.param(0, marks=pytest.mark.long), 2])
def test_a_killed_process_ends_the_run(rank, place):
    """Within seconds, with a sentence that names it and says how to go on; and it does go on."""
    run = Started(3, *TINY, "--epochs", "9999", "--checkpoint-every", "0.001", cwd=place)
    run.wait_for_checkpoint()
    pids = processes_of(run)
    shared = set(re.findall(r"/dev/shm/mpich_shm_\S+", Path(f"/proc/{pids[0]}/maps").read_text()))
    os.kill(pids[rank], signal.SIGKILL)
    status, seconds, text = run.end()
    assert not [path for path in shared if Path(path).exists()]
    assert status != 0 and seconds < 10
    if hasattr(select, "epoll"):
        assert re.search(rf"process {rank} of 3 \(PID {pids[rank]} on .*\) was killed", text), text
        assert text.count("was killed or failed: mpiexec -n 3 ") == 1
    else:
        assert re.search(rf"one of .*process {rank} of 3 \(PID {pids[rank]} ", text), text
    before = max(steps_of(run.folder))
    epochs = before // 12 + 2
    done = mpiexec(3, DEMO, "--resume", "run", "--epochs", str(epochs), cwd=place)
    assert done.returncode == 0, done.stderr
    assert max(steps_of(run.folder)) == epochs * 12


LOADING = """
import os, pathlib, time
from minigan.training import inputs
def load(*args, **options):
    pathlib.Path(f"loading-{os.getpid()}").touch()
    time.sleep(600)
inputs.load_dataset = load
"""


@pytest.mark.parametrize("rank", [0, 1])
def test_killed_while_data_are_loaded(rank, place):
    """Where a process is often killed, because memory is short."""
    (place / "slow.py").write_text(LOADING)
    run = Started(2, *TINY, "--import", "slow.py", cwd=place)
    run.wait_for(lambda: list(place.glob("loading-*")))
    pid = processes_of(run)[rank]
    shared = re.findall(r"/dev/shm/mpich_shm_\S+", Path(f"/proc/{pid}/maps").read_text())
    os.kill(pid, signal.SIGKILL)
    status, seconds, text = run.end()
    assert status != 0 and seconds < 10 and not [path for path in shared if Path(path).exists()]
    named = rf"process {rank} of 2 \(PID {pid} on .*\) was killed or failed: nothing had been saved"
    assert re.search(named, text) or not hasattr(select, "epoll"), text


FAIL = """
import os
from minigan.training.state import TrainingState
step = TrainingState.generator_step
def fails(gan, batch):
    if gan.t == 3 and gan.group.rank == {rank}:
        {what}
    return step(gan, batch)
TrainingState.generator_step = fails
"""
FAILURES = {  # name: (what the process does at a step, the sentence, which process has to say it)
    "memory": ("raise MemoryError", "out of memory", True),
    "bug": ("raise ZeroDivisionError('planted')", "ZeroDivisionError: planted", True),
    "NaN": ("gan.D.theta[0] = float('nan')", "step 4: ", False),
    "drift": ("gan.G_ema.theta[0] += 1", "no longer hold the same weights", False),
    "exit": ("raise SystemExit(2)", "it ended with status 2", True),
}


@pytest.mark.parametrize("what", FAILURES)
@pytest.mark.parametrize("rank", [pytest.param(0, marks=pytest.mark.long), 1])
def test_a_failing_process_ends_the_run(what, rank, place):
    action, sentence, named = FAILURES[what]
    (place / "fail.py").write_text(FAIL.format(rank=rank, what=action))
    args = ["--epochs", "9999", "--checkpoint-every", "0.001", "--import", "fail.py"]
    done = mpiexec(2, DEMO, *TINY, *args, cwd=place)
    assert done.returncode != 0 and sentence in done.stderr, done.stderr
    if named:
        assert re.search(rf"process {rank} of 2 \(PID \d+ on .*\): .*{sentence}", done.stderr)
        assert "was killed" not in done.stderr and done.stderr.count("goes on from the last") == 1
    if what != "bug":
        assert "Traceback" not in done.stderr, done.stderr


def side_by_side(*commands):
    """`mpiexec -n 1 command : -n 1 another ...`, after it has ended."""
    words = [word for command in commands for word in (":", "-n", "1", *command)][1:]
    return subprocess.run(
        [MPIEXEC, *map(str, words)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )


@pytest.mark.parametrize("missing", [0, 2])
def test_a_process_that_never_starts(missing):
    """MPICH lets the others wait for it; Open MPI ends them."""
    code = "from minigan.accel import mpi; mpi.SECONDS_TO_ADVICE, mpi.SECONDS_TO_CONNECT = 1, 3\n"
    commands = [[sys.executable, "-c", code + "mpi.start_group()"]] * 3
    commands[missing] = ["false"]
    done = side_by_side(*commands)
    assert done.returncode != 0
    if not OPEN_MPI_LAUNCHES:
        assert "still waits for others to start" in done.stderr


def test_a_host_without_mpi4py_ends_the_run(place):
    """Such a host says so, and the other processes do not wait for it."""
    first = [sys.executable, DEMO, *TINY, "--out", place / "run"]
    code = "import runpy, sys; sys.modules['mpi4py'] = None; sys.argv[:1] = []\n"
    code += "runpy.run_path(sys.argv[0], run_name='__main__')"
    other = ["env", "MPI_LOCALRANKID=0", "OMPI_COMM_WORLD_LOCAL_RANK=0", sys.executable, "-c", code]
    started = time.monotonic()
    done = side_by_side(first, [*other, *first[1:]])
    assert done.returncode != 0 and time.monotonic() - started < LIMIT / 2
    assert done.stderr.count("mpi4py is missing") == 1 and "process 1 on " in done.stderr
    assert not (place / "run").exists()


def test_shared_memory_is_removed_with_a_run_that_fails(place):
    code = "import pathlib, sys; from minigan.accel import mpi; group = mpi.start_group()\n"
    code += "paths = mpi.shared_memory_files()\n"
    code += "if group.leads: pathlib.Path(sys.argv[1]).write_text(' '.join(paths))\n"
    code += "group.gather(0)\nif group.rank: group.abort(1, 'planted')\ngroup.finish(0)"
    done = mpiexec(2, "-c", code, place / "paths")
    assert done.returncode != 0 and "planted" in done.stderr
    paths = (place / "paths").read_text().split()
    if re.search(r"Version: +5\.", VERSION):  # MPICH 4.3.1 and Open MPI have no such files
        assert paths
    assert not [path for path in paths if Path(path).exists()]


def test_without_a_helper_process_the_run_goes_on():
    """On a machine that cannot start another process, for instance."""
    code = "import sys; sys.executable = '/missing'; from minigan.accel import mpi\n"
    code += "group = mpi.start_group(); group.watch('advice'); group.finish(0); print('done')"
    done = mpiexec(2, "-c", code)
    assert (done.returncode, done.stdout.count("done"), done.stderr) == (0, 2, "")


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="only on Linux")
def test_what_cannot_be_watched_is_closed():
    """Where one process may have fewer open files, none keeps its pipe."""
    code = "import os, resource; from minigan.accel import mpi; group = mpi.start_group()\n"
    code += "if group.rank: resource.setrlimit(resource.RLIMIT_NOFILE, (900, 900))\n"
    code += "before = os.listdir('/proc/self/fd'); pipes = group.pipes_from_neighbours()\n"
    code += "print(pipes, os.listdir('/proc/self/fd') == before); group.finish(0)"
    done = mpiexec(2, "-c", code)
    assert (done.stdout, done.stderr) == ("[] True\n" * 2, "")


BUSY = """
import os, signal, subprocess
from minigan.accel.mpi import MPIGroup
abort = MPIGroup.abort
def aborts(group, *args):  # while mpiexec's own process has no time to read
    launcher = os.getppid()
    subprocess.Popen(f"sleep 0.4; kill -CONT {launcher}", shell=True, start_new_session=True)
    os.kill(launcher, signal.SIGSTOP)
    abort(group, *args)
MPIGroup.abort = aborts
"""


@pytest.mark.long
def test_a_failure_is_reported_on_a_busy_machine(place):
    fail = FAIL.format(rank=1, what="raise MemoryError")
    (place / "fail.py").write_text(BUSY + fail)
    done = mpiexec(2, DEMO, *TINY, "--epochs", "9999", "--import", "fail.py", cwd=place)
    assert done.returncode != 0 and "out of memory" in done.stderr


@pytest.mark.parametrize("cores, expected", [("1", "0.0"), ("2", "0.005")])
def test_more_processes_than_cores_do_not_wait_in_a_loop(cores, expected, monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", cores)
    if usable_cores() < int(cores) or OPEN_MPI_LAUNCHES:  # which binds each process to a core
        pytest.skip("this machine has one core")
    code = "from minigan.accel.mpi import start_group; group = start_group()\n"
    code += "if group.leads: print(group.seconds_of_polling)\ngroup.finish(0)"
    done = mpiexec(2, "-c", code)
    assert (done.returncode, done.stdout.strip()) == (0, expected), done.stderr


def test_only_training_is_shared(place):
    done = mpiexec(2, DEMO, "sample", "--out", "digits.png", cwd=place)
    assert done.returncode != 0 and done.stderr.count("run sample without mpiexec") == 1
    assert not (place / "digits.png").exists()


def test_without_mpiexec_mpi4py_is_not_imported(place):
    code = (
        "import sys, runpy; sys.argv = sys.argv[1:] + ['--epochs', '1']\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as end: assert end.code == 0\n"
        "assert not [name for name in sys.modules if 'mpi4py' in name]; print('none')"
    )
    launched = ("PMI_", "PMIX_", "OMPI_", "MV2_", "PALS_")
    alone = {k: v for k, v in environment().items() if not k.startswith(launched)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(DEMO), *TINY],
        cwd=place,
        env=alone,
        capture_output=True,
        text=True,
    )
    assert done.stdout.endswith("none\n"), done.stderr
