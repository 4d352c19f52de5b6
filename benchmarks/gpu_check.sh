#!/usr/bin/env bash
# Everything that can only be checked on a GPU, in one call of at most eight minutes.
#
#     bash benchmarks/gpu_check.sh [FOLDER] [PART...]
#
# Needs Python 3.10 or newer with numpy, cupy 14, matplotlib, tqdm, pytest and hypothesis (and torch
# for the comparison), already installed; it installs and downloads nothing. Small packages that are
# missing are taken from benchmarks/wheels/, which is not part of the repository. To fill it:
#
#     pip download -d benchmarks/wheels --only-binary :all: filelock threadpoolctl loky pytest-xdist
#
# Results go to FOLDER/gpu.json, row by row, and everything that is printed to FOLDER/gpu_check.txt
# (FOLDER: $OUT, or a new temporary folder), next to the runs that are trained. What has succeeded
# according to benchmarks/gpu.json is not done again: copy FOLDER/gpu.json there between two calls,
# and name a part to repeat it. `python benchmarks/gpu_report.py` writes docs/gpu.md's tables.
# `REHEARSE=1 bash benchmarks/gpu_check.sh` uses the tests' fake CuPy and small sizes instead of a GPU.
# The parts and their limits are in gpu_check.py. Exit status 0 if every part passed.
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:-${OUT:-$(mktemp -d)}}
mkdir -p "$out"
limit=480
[ -z "${REHEARSE:-}" ] || limit=4800  # all limits are ten times as long
timeout --kill-after 5 "$limit" "${PYTHON:-python3}" -u benchmarks/gpu_check.py "$out" "${@:2}" 2>&1 | tee -a "$out/gpu_check.txt"
status=${PIPESTATUS[0]}
echo "the results are in $out/gpu.json, and everything above in $out/gpu_check.txt; exit status $status"
exit "$status"
