#!/usr/bin/env bash
# MPICH 5.0.2: over a link with a delay, Allgatherv takes four times as long as the Reduce_scatter of
# the same vector, because it waits for every 32 kB.
#
# Versions: mpich 5.0.2, mpi4py 4.1.2, numpy 2.3.5, Linux on x86-64, CPython 3.11. As root: it joins
#   two network namespaces of its own through a program that holds each packet back for 1 ms.
# Most would expect: on two machines, collecting a vector of which each has a half takes as long as
#   adding up the halves of two vectors: in both, a half goes each way.
# What happens: above 32 kB, Allgatherv sends pieces of 32 kB, and waits for each before it sends the
#   next. With a delay of 1 ms, 2 MB need 33 ms for that alone. Larger pieces
#   (MPIR_CVAR_ALLGATHERV_PIPELINE_MSG_SIZE) make it as fast as Reduce_scatter.
# Why it matters: optimizers that are shared as in ZeRO's first stage end every step with an Allgatherv
#   of the parameters, whose parts are rarely equal. Between machines in a cloud, where a message takes
#   from 0.1 to 1 ms, a small generator then waits for most of its training time, and the gradient's
#   Reduce_scatter, which one would suspect, looks fine.
set -euo pipefail
folder=$(mktemp -d)
first="fa$$" second="fb$$"
clean() {
    ip netns del "$first" 2>/dev/null || true
    ip netns del "$second" 2>/dev/null || true
    rm -rf "$folder"
}
trap clean EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.3.5 mpi4py==4.1.2 mpich==5.0.2
ip netns add "$first"
ip netns add "$second"
cat > "$folder/enter" <<END
#!/bin/sh
while case \$1 in -*) true;; *) false;; esac; do shift; done
case \$1 in 10.78.0.1) name=$first;; *) name=$second;; esac
shift
exec ip netns exec \$name sh -c "\$*"
END
chmod +x "$folder/enter"
cat > "$folder/job.py" <<'PY'
import time

import numpy as np
from mpi4py import MPI

world, n = MPI.COMM_WORLD, 540_000  # float32: 2.2 MB, as many parameters as a small generator has
vector, part = np.zeros(n, np.float32), np.zeros(n // 2, np.float32)
lengths = [n // 2, n // 2]


def milliseconds(operation):
    times = []
    for _ in range(9):
        world.Barrier()
        began = time.perf_counter()
        operation()
        times.append(world.allreduce(time.perf_counter() - began, MPI.MAX))
    return 1e3 * sorted(times)[4]


scatter = milliseconds(lambda: world.Reduce_scatter(vector, part, lengths))
gather = milliseconds(lambda: world.Allgatherv(MPI.IN_PLACE, (vector, lengths)))
if world.rank == 0:
    print(scatter, gather)
PY
cat > "$folder/run.py" <<'PY'
import collections, fcntl, os, select, struct, subprocess, sys, threading, time

folder, *hosts = sys.argv[1:]
ends = []
for number, host in enumerate(hosts, start=1):  # a TUN device in each namespace
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(end, 0x400454CA, struct.pack("16sH22x", host.encode(), 0x1001))
    at = ["ip", "-n", host]
    for command in (
        ["ip", "link", "set", host, "netns", host, "name", "cable", "mtu", "9000"],
        [*at, "addr", "add", f"10.78.0.{number}/24", "dev", "cable"],
        [*at, "link", "set", "cable", "up"],
        [*at, "link", "set", "lo", "up"],
    ):
        subprocess.run(command, check=True)
    ends.append(end)


def carry():
    """Pass every packet on, 1 ms after it has come, at 1 Gb/s."""
    waiting, free = {end: collections.deque() for end in ends}, dict.fromkeys(ends, 0.0)
    while True:
        now = time.perf_counter()
        for end, packets in waiting.items():
            while packets and packets[0][0] <= now:
                os.write(end, packets.popleft()[1])
        times = [packets[0][0] for packets in waiting.values() if packets]
        pause = max(0.0, min(times) - now) if times else None
        for end in select.select(ends, [], [], pause)[0]:
            packet, other = os.read(end, 65_535), ends[1 - ends.index(end)]
            free[other] = max(time.perf_counter(), free[other]) + len(packet) / 125e6
            waiting[other].append((free[other] + 1e-3, packet))


threading.Thread(target=carry, daemon=True).start()
time.sleep(2)
found = {}
for pieces in "32768", "1000000000":
    command = ["ip", "netns", "exec", hosts[0], f"{folder}/venv/bin/mpiexec", "-iface", "cable"]
    command += ["-launcher", "ssh", "-launcher-exec", f"{folder}/enter", "-ppn", "1", "-n", "2"]
    command += ["-hosts", "10.78.0.1,10.78.0.2", f"{folder}/venv/bin/python", f"{folder}/job.py"]
    settings = {"UCX_TLS": "tcp,self", "MPIR_CVAR_ALLGATHERV_PIPELINE_MSG_SIZE": pieces}
    done = subprocess.run(
        command, env={**os.environ, **settings}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    scatter, gather = found[pieces] = [float(word) for word in done.stdout.split()]
    print(f"pieces of {pieces} bytes: Reduce_scatter {scatter:.1f} ms, Allgatherv {gather:.1f} ms")
(scatter, slow), (_, fast) = found.values()
assert slow > 2.5 * scatter and slow > 2.5 * fast, "no longer as described"
print("as described")
os._exit(0)
PY
"$folder/venv/bin/python" "$folder/run.py" "$folder" "$first" "$second"
