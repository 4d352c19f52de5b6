#!/usr/bin/env bash
# Everything that can only be checked on a GPU, in one call of at most eight minutes.
#
#     bash benchmarks/gpu_check.sh [FOLDER]
#
# Needs Python 3.10 or newer with numpy, cupy 14, matplotlib, tqdm, pytest, hypothesis (and torch
# for the comparison), already installed; it installs and downloads nothing. Its output also goes to
# FOLDER/gpu_check.txt (default: a new temporary folder), next to the run that it trains.
# Exit status 0 if every part passed.
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:-$(mktemp -d)}
mkdir -p "$out"
export MINIGAN_REQUIRE_GPU=1 PYTHONPATH=$PWD PYTHONUNBUFFERED=1
failed=0

part() {  # part SECONDS NAME COMMAND...: run it with a time limit, and note whether it failed
    local seconds=$1 name=$2
    shift 2
    echo "== $name"
    if timeout "$seconds" "$@"; then echo "== $name: passed"; else failed=1; echo "== $name: FAILED"; fi
}

checks() {
    python3 --version
    python3 -c 'import cupy; cupy.show_config()'
    part 240 "the test suite, with CuPy" python3 -m pytest -q -rs --ignore tests/test_planted_bugs.py
    part 60 "two epochs of demo.py --backend cupy" python3 demo.py --backend cupy --epochs 2 --out "$out/run"
    part 90 "a training step, its launches and gemm time; unfused, and recorded" python3 benchmarks/step.py --backend cupy --graph --rounds 5
    part 30 "samples of that run" python3 demo.py sample "$out/run" --count 64 --out "$out/digits.png"
    part 60 "one epoch with NumPy, for its speed" python3 demo.py --epochs 1 --out "$out/run-numpy"
    if python3 -c 'import torch' 2> /dev/null; then
        part 60 "comparison with PyTorch" python3 benchmarks/compare_torch.py
    else
        echo "== comparison with PyTorch: skipped, torch is not installed"
    fi
    return $failed
}

checks 2>&1 | tee "$out/gpu_check.txt"
status=${PIPESTATUS[0]}
echo "everything above is in $out/gpu_check.txt; exit status $status"
exit "$status"
