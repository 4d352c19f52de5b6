"""A run on two "hosts": two network namespaces of this machine, joined by a cable that exists for
the test only. Nothing leaves the machine. Skipped where namespaces are not allowed.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
from helpers import ROOT
from test_mpi import LIMIT, MPIEXEC, TINY, Started, environment, processes_of, write_data

CABLE = "mg0"  # the network interface in both namespaces
FIRST, SECOND = (f"mg{os.getpid()}{side}" for side in "ab")
ADDRESSES = {FIRST: "10.77.0.1", SECOND: "10.77.0.2"}
# takes the place of ssh: enters the namespace of an address
ENTER = """#!/bin/sh
while case $1 in -*) true;; *) false;; esac; do shift; done
case $1 in 10.77.0.1) name={first};; 10.77.0.2) name={second};; *) exit 1;; esac
shift
exec ip netns exec $name sh -c "$*"
"""


def ip(*args):
    return subprocess.run(["ip", *args], capture_output=True, text=True, check=True)


def plug_in():
    """A cable from one namespace to the other."""
    ends = ["netns", FIRST, "type", "veth", "peer", "name", CABLE, "netns", SECOND]
    ip("link", "add", CABLE, *ends)


@contextlib.contextmanager
def two_hosts(folder, plug_in=plug_in):
    """The beginning of a command that starts two processes, one in each namespace.

    Raises OSError or CalledProcessError if this system does not allow namespaces.
    """
    try:
        for name in ADDRESSES:
            ip("netns", "add", name)
        plug_in()
        for name, address in ADDRESSES.items():
            ip("-n", name, "addr", "add", f"{address}/24", "dev", CABLE)
            for device in CABLE, "lo":
                ip("-n", name, "link", "set", device, "up")
        for name in ADDRESSES:  # until then UCX may find no way to the other address
            while "tentative" in ip("-n", name, "addr").stdout:
                time.sleep(0.1)
        enter = folder / "enter"
        enter.write_text(ENTER.format(first=FIRST, second=SECOND))
        enter.chmod(0o755)
        yield [
            *("ip", "netns", "exec", FIRST, MPIEXEC, "-iface", CABLE, "-launcher", "ssh"),
            *("-launcher-exec", str(enter), "-hosts", ",".join(ADDRESSES.values())),
            *("-ppn", "1", "-n", "2", sys.executable),
        ]
    finally:
        for name in ADDRESSES:
            if shutil.which("ip"):
                subprocess.run(["ip", "netns", "del", name], capture_output=True)


def environment_of_hosts():
    """The environment in which the library sends everything through the cable.

    Otherwise UCX, on which MPICH 5 is built, finds that both processes are on one machine, and
    sends only its own words through the cable, and the numbers through memory.
    """
    cable = {"UCX_TLS": "tcp,self", "FI_PROVIDER": "tcp", "FI_TCP_IFACE": CABLE}
    return {**environment(), **cable}


@pytest.fixture
def launcher(tmp_path):
    version = subprocess.run([MPIEXEC, "--version"], capture_output=True, text=True).stdout
    if "HYDRA" not in version:
        pytest.skip("network namespaces: only with the mpiexec of MPICH")
    with contextlib.ExitStack() as stack:
        try:
            found = stack.enter_context(two_hosts(tmp_path))
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"network namespaces are not allowed: {error}")
        yield found


def test_the_same_run_on_two_hosts(launcher):
    """Each process has its own network, so that every sum goes over the cable."""
    before = received()
    done = subprocess.run(
        [*launcher, ROOT / "tests/accel/mpi_worker.py", "sums", "errors", "some"],
        env=environment_of_hosts(),
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert (done.returncode, done.stdout) == (0, "2 agree\n"), done.stderr
    assert received() - before > 60_000  # the words of the library alone are 20,000


@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_killed_on_either_host_is_named(rank, launcher, tmp_path):
    """MPICH's launcher forwards what its own host's helper says, and sometimes the other's too."""
    args = [*TINY, "--epochs", "9999", "--checkpoint-every", "0.001"]
    run = Started(2, *args, cwd=write_data(tmp_path), launcher=launcher, env=environment_of_hosts())
    run.wait_for_checkpoint()
    pid = processes_of(run)[rank]
    os.kill(pid, signal.SIGKILL)
    status, seconds, text = run.end()
    assert status != 0 and seconds < 10
    named = (
        rf"process {rank} of 2 \(PID {pid} on .*\) was killed or failed, or ended with one on an"
    )
    assert re.search(named, text), text


SERVER = """
import socket
connection, _ = socket.create_server(("10.77.0.2", 5000)).accept()
for _ in range(10):
    connection.sendall(connection.recv(1))
left = 5_000_000
while left:
    left -= len(connection.recv(left))
connection.sendall(b".")
"""
CLIENT = """
import socket, time
connection = None
while not connection:
    try:
        connection = socket.create_connection(("10.77.0.2", 5000))
    except OSError:
        time.sleep(0.1)
times = []
for _ in range(10):
    started = time.perf_counter()
    connection.sendall(b".")
    connection.recv(1)
    times.append(time.perf_counter() - started)
started = time.perf_counter()
connection.sendall(bytes(5_000_000))
connection.recv(1)
print(min(times), time.perf_counter() - started)
"""


def test_the_slow_cable_of_the_benchmark(tmp_path):
    """It holds each packet back for as long as it should, and carries no more than it should."""
    sys.path.append(str(ROOT / "benchmarks"))
    from parallel import SlowCable

    with contextlib.ExitStack() as stack:
        try:
            cable = stack.enter_context(contextlib.closing(SlowCable(1e7, 2e-3)))
            stack.enter_context(two_hosts(tmp_path, cable.plug_in))
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"network namespaces are not allowed: {error}")
        first, second = (["ip", "netns", "exec", name, sys.executable, "-c"] for name in ADDRESSES)
        with subprocess.Popen([*second, SERVER]):
            done = subprocess.run([*first, CLIENT], capture_output=True, text=True, timeout=LIMIT)
    answer, transfer = map(float, done.stdout.split())
    assert 4e-3 <= answer < 0.1 and 5e6 / 1e7 <= transfer


def received():
    """Bytes that have come through the cable to the second host."""
    text = ip("netns", "exec", SECOND, "cat", f"/sys/class/net/{CABLE}/statistics/rx_bytes").stdout
    return int(text)
