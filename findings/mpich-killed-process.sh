#!/usr/bin/env bash
# MPICH 5.0.2 (the wheel on PyPI): after a process was killed, mpiexec names another one.
#
# Versions: mpich 5.0.2, mpi4py 4.1.2, numpy 2.3.5, Linux on x86-64, CPython 3.11.
# Most would expect: where one process of a job is killed, by a scheduler or because memory is short,
# the PID in mpiexec's "BAD TERMINATION ..., EXIT CODE: 9" is that process.
# What happens: mpiexec kills the others with the same signal, and then reports one of those that it
# finds ended. Of ten jobs of four processes, in which process 3 is killed, several name another one.
# Why that matters: who looks for the process that ran out of memory, or for a host with a fault, in a
# log of a long training run looks at the wrong one. What a program logs itself can be trusted: minigan
# prints which process was killed, read from the order in which the system closed their pipes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.3.5 mpi4py==4.1.2 mpich==5.0.2
cat > "$folder/job.py" <<'PY'
import os

import numpy as np
from mpi4py import MPI

world = MPI.COMM_WORLD
pids = world.gather(os.getpid())
if pids:
    print(*pids, flush=True)
gradient = np.zeros(100_000)
while True:  # what a training run does: one sum after the other
    world.Allreduce(MPI.IN_PLACE, gradient)
PY
cat > "$folder/kill.py" <<'PY'
import os, re, signal, subprocess, sys, time

folder, other = sys.argv[1], 0
for job in range(10):
    command = [f"{folder}/venv/bin/mpiexec", "-n", "4", sys.executable, f"{folder}/job.py"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    pids = [int(word) for word in process.stdout.readline().split()]
    time.sleep(0.5)
    os.kill(pids[3], signal.SIGKILL)
    text = process.communicate(timeout=60)[0]
    named = int(re.search(r"PID (\d+) RUNNING AT", text).group(1))
    code = re.search(r"EXIT CODE: (\d+)", text).group(1)
    print(f"killed: process 3; mpiexec names process {pids.index(named)}, exit code {code}")
    other += named != pids[3]
print(f"another process was named in {other} of 10")
sys.exit(0 if other >= 2 else 1)
PY
"$folder/venv/bin/python" "$folder/kill.py" "$folder"
