"""The number of BLAS threads follows the cores that a process may use, not those of the machine."""

import ctypes
import io
import os
import subprocess
import sys

import pytest

from minigan.accel import cpu
from minigan.accel.cpu import (
    blas_threads,
    limit_blas_threads,
    preserve_blas_threads,
    threads_of_resumed_run,
    usable_cores,
)

threadpoolctl = pytest.importorskip("threadpoolctl")
context = pytest.importorskip("loky.backend.context")

V1 = "/sys/fs/cgroup/cpu/cpu.cfs_{}_us".format
QUOTAS = {  # what Docker and Kubernetes mount in a container
    "version 2": {"/sys/fs/cgroup/cpu.max": "250000 100000\n"},
    "version 2, unlimited": {"/sys/fs/cgroup/cpu.max": "max 100000\n"},
    "version 1": {V1("quota"): "250000\n", V1("period"): "100000\n"},
    "version 1, unlimited": {V1("quota"): "-1\n", V1("period"): "100000\n"},
}


@pytest.fixture
def machine(monkeypatch):
    """A machine of 64 cores, without any limit."""
    for name in (*cpu.GRANTED_CORES, *cpu.BLAS_VARIABLES, "LOKY_MAX_CPU_COUNT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)), raising=False)
    use_files(monkeypatch, QUOTAS["version 2, unlimited"])


def use_files(monkeypatch, files):
    """Only these files are in /sys/fs/cgroup."""
    exists = os.path.exists

    def is_there(path):
        return path in files if str(path).startswith("/sys/fs/cgroup") else exists(path)

    monkeypatch.setattr(os.path, "exists", is_there)
    monkeypatch.setattr(context, "open", lambda path: io.StringIO(files[path]), raising=False)


@pytest.mark.parametrize("name", QUOTAS)
def test_the_quota_of_a_container_limits_the_cores(machine, monkeypatch, name):
    use_files(monkeypatch, QUOTAS[name])
    assert usable_cores() == (64 if "unlimited" in name else 3)


@pytest.mark.parametrize("name", cpu.GRANTED_CORES)
def test_a_scheduler_limits_the_cores(machine, monkeypatch, name):
    monkeypatch.setenv(name, "5")
    assert usable_cores() == 5
    monkeypatch.setenv(name, "many")  # NCPUS may be anybody's
    assert usable_cores() == 64
    monkeypatch.setenv(name, "0")
    assert usable_cores() == 64


def test_the_affinity_limits_the_cores(machine, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 9}, raising=False)
    assert usable_cores() == 2


def test_the_load_of_the_machine_is_not_that_of_a_container(machine, monkeypatch):
    monkeypatch.setattr(cpu, "cores_used_by_others", lambda: 60.0)
    library = {"user_api": "blas", "internal_api": "openblas", "num_threads": 3}
    monkeypatch.setattr(threadpoolctl, "threadpool_info", lambda: [library])
    use_files(monkeypatch, QUOTAS["version 2"])
    assert "cores seem to be free" not in cpu.blas_advice()


@pytest.mark.parametrize(
    "user, nice, idle, own, cores",
    [
        (100, 0, 6300, 100, 0),  # all that was computed is this process's own
        (4800, 0, 1600, 1600, 32),
        (6400, 0, 0, 0, 64),
        (0, 6400, 0, 0, 0),  # low priority
        (0, 0, 0, 0, 0),  # /proc/stat never changes in some sandboxes
    ],
)
def test_the_cores_that_others_use(machine, monkeypatch, user, nice, idle, own, cores):
    """While it waits, these times pass, in ticks of which a second has 100."""
    passed = [0]

    def proc_stat(path):
        times = 5000 + passed[0] * user, 3000 + passed[0] * nice, 0, 9000 + passed[0] * idle
        return io.StringIO(f"cpu  {' '.join(map(str, times))} 0 0 0 0 0 0\ncpu0 1 2 3 4")

    monkeypatch.setattr(cpu.os, "sysconf", lambda name: 100, raising=False)
    monkeypatch.setattr(cpu.time, "sleep", lambda seconds: passed.__setitem__(0, 1))
    monkeypatch.setattr(cpu.time, "process_time", lambda: 7 + passed[0] * own / 100)
    monkeypatch.setattr(cpu, "open", proc_stat, raising=False)
    assert cpu.cores_used_by_others() == cores


def test_without_proc_stat_nobody_uses_a_core(monkeypatch):
    def missing(path):
        raise FileNotFoundError(path)

    monkeypatch.setattr(cpu, "open", missing, raising=False)
    assert cpu.cores_used_by_others() == 0


def test_threads_are_limited_unless_the_user_has_set_them(machine, monkeypatch):
    limits = []
    monkeypatch.setattr(cpu, "blas_threads", lambda: limits[-1] if limits else 64)
    monkeypatch.setattr(threadpoolctl, "threadpool_limits", lambda n, user_api: limits.append(n))
    assert limit_blas_threads() == 64 and limits == []
    use_files(monkeypatch, QUOTAS["version 2"])
    for name in cpu.BLAS_VARIABLES:
        monkeypatch.setenv(name, "64")
        assert limit_blas_threads() == 64 and limits == []
        monkeypatch.delenv(name)
    assert limit_blas_threads() == 3 and limits == [3]


def test_a_number_that_is_given_is_used(machine, monkeypatch):
    """Also beyond the limit, and whatever the environment says."""
    limits = []
    monkeypatch.setattr(cpu, "blas_threads", lambda: limits[-1] if limits else 64)
    monkeypatch.setattr(threadpoolctl, "threadpool_limits", lambda n, user_api: limits.append(n))
    use_files(monkeypatch, QUOTAS["version 2"])
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "64")
    assert limit_blas_threads(5) == 5 and limits == [5]


def test_a_resumed_run_has_as_many_threads_as_before_if_it_may(machine, monkeypatch):
    assert [threads_of_resumed_run(n) for n in (1, 5, 64, 65, 0, -1)] == [1, 5, 64, 0, 0, 0]
    use_files(monkeypatch, QUOTAS["version 2"])
    assert [threads_of_resumed_run(n) for n in (3, 4)] == [3, 0]
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert threads_of_resumed_run(3) == 0


def test_the_number_of_threads_is_restored():
    assert blas_threads() == 1
    with preserve_blas_threads():
        assert limit_blas_threads(2) == blas_threads() == 2
    with pytest.raises(KeyError), preserve_blas_threads():
        limit_blas_threads(2)
        raise KeyError
    assert blas_threads() == 1


def test_the_blas_has_fewer_threads_from_then_on():
    """In a process of its own, with this machine's BLAS."""
    code = (
        "import numpy; from minigan.accel.cpu import *;"
        "before = blas_threads(); print(before, limit_blas_threads(), blas_threads())"
    )
    free = {name: value for name, value in os.environ.items() if name not in cpu.BLAS_VARIABLES}
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**free, "LOKY_MAX_CPU_COUNT": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    before, limited, after = map(int, result.stdout.split())
    assert limited == after == 1 and (before > 1 or usable_cores() == 1)


def test_tests_use_one_thread():
    assert blas_threads() == limit_blas_threads() == 1


MEMORY = """
import re
import numpy as np
from minigan.accel.cpu import disable_malloc_trim, release_unused_memory

def megabytes():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024

assert disable_malloc_trim()
array, after = np.ones(100 << 20, dtype="uint8"), np.ones(1 << 20, dtype="uint8")
del array
before = megabytes()
assert release_unused_memory()
print(before - megabytes() > 90)
"""


def test_memory_that_loading_has_left_unused_is_returned():
    if not (sys.platform == "linux" and hasattr(ctypes.CDLL(None), "malloc_trim")):
        pytest.skip("this C library cannot return memory")
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True)
    assert done.stdout == "True\n", done.stderr
