"""The parts of gpu_check.sh: what can only be checked on a GPU.

    python benchmarks/gpu_check.py FOLDER [PART...]

Each part is a process of its own with a time limit. A part reports each result as soon as it has
it, as a line that begins with ROW, and this process adds the row to FOLDER/gpu.json at once.
Nothing is lost when a part fails, exceeds its limit or is killed, or when this process is. This
process uses the standard library only.
"""

import contextlib
import csv
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
REHEARSAL = bool(os.environ.get("REHEARSE"))
SAVED = ROOT / "benchmarks" / "gpu.json"  # what earlier calls have achieved
DONE = "GPU_CHECK_DONE"  # the variable that tells a part which of its rows are done
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "benchmarks")]


# ---- The process of gpu_check.sh ----


def main(folder: Path, only: list[str]) -> int:
    """Run the parts that are missing or have failed; returns the exit status."""
    out = folder / "gpu.json"
    data = next(
        (
            json.loads(path.read_text())
            for path in ([out] if REHEARSAL else [out, SAVED])
            if path.exists()
        ),
        {"parts": {}, "rows": []},
    )
    environment = {
        **os.environ,
        "MINIGAN_REQUIRE_GPU": "1",
        "PYTHONUNBUFFERED": "1",
        **(dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1") if REHEARSAL else {}),
        "PYTHONPATH": os.pathsep.join(
            [
                *([str(ROOT / "tests" / "stand_in")] if REHEARSAL else []),
                *map(str, (ROOT, ROOT / "tests", ROOT / "benchmarks")),
                *unpack_wheels(Path(tempfile.mkdtemp(prefix="gpu_check-"))),
                *filter(None, [os.environ.get("PYTHONPATH")]),
            ]
        ),
    }
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    for name, (limit, _) in PARTS.items():
        limit *= 10 if REHEARSAL else 1  # on a CPU, perhaps a busy one
        before = data["parts"].get(name, {}).get("status")
        if name not in only and (only or before == "ok") and name != "environment":
            print(f"== {name}: done before" if before == "ok" else f"== {name}: left out")
            continue
        if name in only:  # again
            data["rows"] = [row for row in data["rows"] if row["part"] != name]
        print(f"== {name}", flush=True)
        began = time.monotonic()
        status = run_part(name, folder, data, out, environment, limit)
        seconds = round(time.monotonic() - began, 1)
        data["parts"][name] = {"status": status, "seconds": seconds, "limit": limit}
        save(data, out)
        print(f"== {name}: {status}, {seconds} s of at most {limit}", flush=True)
    return int(any(data["parts"].get(name, {}).get("status") != "ok" for name in PARTS))


def run_part(
    name: str, folder: Path, data: dict, out: Path, environment: dict, limit: float
) -> str:
    """Run a part in a process, and add its rows to data and to the file out; returns "ok", or what
    went wrong.
    """
    done = [row["key"] for row in data["rows"] if row["part"] == name and row["status"] == "ok"]
    process = subprocess.Popen(
        [sys.executable, "-u", __file__, str(folder), "--part", name],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd=ROOT,
        env={**environment, DONE: json.dumps(done)},
        start_new_session=True,  # so that it can be killed with all processes that it starts
    )
    stopped = threading.Event()  # not a comparison of times: the timer's clock started before ours
    timer = threading.Timer(limit, lambda: (stopped.set(), kill(process)))
    timer.start()
    failed = False
    try:
        assert process.stdout
        for line in process.stdout:
            print(line, end="", flush=True)
            if found := read_row(line):
                row = {"part": name, **found, **data.get("made_by", {})}
                if name == "environment":
                    data["made_by"] = {k: row[k] for k in ("card", "code", "date") if k in row}
                same = row["part"], row["key"]
                data["rows"] = [r for r in data["rows"] if (r["part"], r["key"]) != same]
                data["rows"].append(row)
                failed = failed or row["status"] == "failed"
                save(data, out)
        status = process.wait()
    finally:
        timer.cancel()
        kill(process)
        if process.stdout:
            process.stdout.close()
        process.wait()
    if stopped.is_set():
        return f"stopped after {limit} s"
    return "ok" if status == 0 and not failed else "failed"


def read_row(line: str) -> dict[str, Any] | None:
    """The row in a line, if there is one and it is complete: a part may be killed while it writes,
    and the warnings of libraries may fall into the middle of a line.
    """
    if not line.startswith("ROW "):
        return None
    try:
        row = json.loads(line[4:])
    except ValueError:
        return None
    return row if isinstance(row, dict) and {"key", "status"} <= set(row) else None


def kill(process: subprocess.Popen) -> None:
    """Kill a process and those that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def save(data: dict, path: Path) -> None:
    """Replace the file at once, so that it is complete whenever this process is killed."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(data, indent=1) + "\n")
    partial.replace(path)


def unpack_wheels(folder: Path) -> list[str]:
    """Unpack the wheels in benchmarks/wheels/ whose packages are missing; the path to import them
    from.
    """
    for wheel in sorted((ROOT / "benchmarks" / "wheels").glob("*.whl")):
        package = wheel.name.partition("-")[0]
        try:
            importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            with zipfile.ZipFile(wheel) as file:
                file.extractall(folder)
            print(f"{package}: from {wheel.name}")
    return [str(folder)] if folder.is_dir() else []


# ---- The parts ----


def row(key: str, status: str = "ok", **values: Any) -> None:
    """Report a result."""
    print("ROW " + json.dumps({"key": key, "status": status, **values}), flush=True)


def is_done(key: str) -> bool:
    """Whether an earlier call has reported this result."""
    return key in json.loads(os.environ.get(DONE, "[]"))


@contextlib.contextmanager
def attempt(key: str):
    """A context in which an error is reported as the failure of that row, and nothing else."""
    try:
        yield
    except Exception as error:
        traceback.print_exc()
        row(key, "failed", error=f"{type(error).__name__}: {error}"[:300])


def check_environment(folder: Path) -> None:
    """Versions and the card. This part is repeated by every call."""
    import cupy

    from minigan.backend import load_backend

    versions = {}
    for name in (
        "numpy cupy-cuda12x cupy-cuda13x torch matplotlib pytest pytest-xdist hypothesis filelock"
        " threadpoolctl loky"
    ).split():
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    code = hashlib.sha256()
    for path in sorted((ROOT / "minigan").rglob("*.py")):
        code.update(path.read_bytes())
    runtime = load_backend("cupy").cuda.runtime
    properties, (_, memory) = runtime.getDeviceProperties(0), runtime.memGetInfo()
    name = properties["name"]
    row(
        "environment",
        card=name.decode() if isinstance(name, bytes) else name,
        memory=memory,
        capability=f"{properties['major']}.{properties['minor']}",
        multiprocessors=properties["multiProcessorCount"],
        driver=runtime.driverGetVersion(),
        cuda=runtime.runtimeGetVersion(),
        python=platform.python_version(),
        cores=os.cpu_count(),
        versions=versions,
        code=code.hexdigest()[:12],
        date=time.strftime("%Y-%m-%d"),
        rehearsal=REHEARSAL,
    )
    cupy.show_config()


def demo(*args: Any) -> tuple[int, float]:
    """`python demo.py ...`: (exit status, seconds); its output goes to ours."""
    began = time.monotonic()
    result = subprocess.run([sys.executable, "demo.py", *map(str, args)], cwd=ROOT)
    return result.returncode, round(time.monotonic() - began, 2)


def small() -> list:
    """The options that make a run small, in a rehearsal."""
    return ["--epochs", 2, "--data", small_data(), "--batch-size", 64] if REHEARSAL else []


def small_data() -> str:
    """A file of a few hundred digits."""
    import numpy as np

    from minigan.datasets.idx import load_images

    path = Path(tempfile.gettempdir()) / f"gpu_check-{os.getpid()}.npy"
    np.save(path, load_images()[:640])
    return str(path)


def free_folder(folder: Path, name: str) -> Path:
    """A path that does not exist yet."""
    return next(path for i in range(100) if not (path := folder / f"{name}-{i}").exists())


def train(key: str, folder: Path, *args: Any) -> None:
    """Train with these options, and report seconds and Fréchet distances."""
    if is_done(key):
        return
    with attempt(key):
        run = free_folder(folder, re.sub(r"\W+", "-", key))
        status, seconds = demo("--backend", "cupy", *args, *small(), "--out", run)
        history = read_history(run)
        row(
            key,
            "ok" if status == 0 else "failed",
            exit_status=status,
            seconds=seconds,  # of the whole process
            training=round(sum(float(r["seconds"]) for r in history), 2),
            elapsed=round(float(history[-1]["elapsed"]), 2),  # from its start to the last report
            epochs=len(history),
            fd=[round(float(r["fd"]), 3) for r in history],
            images_per_second=round(max(float(r["images_per_second"]) for r in history)),
            run=run.name,
        )


def read_history(run: Path) -> list[dict[str, str]]:
    """The rows of history.csv."""
    with open(run / "history.csv") as file:
        return list(csv.DictReader(file))


def check_default(folder: Path) -> None:
    """`python demo.py --backend cupy`, with CuPy's kernels compiled on the way, and again."""
    train("default, first run", folder)
    train("default, second run", folder)


def check_tests(folder: Path) -> None:
    """The tests that use a GPU, in four processes if pytest-xdist is there."""
    workers = []
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        importlib.metadata.version("pytest-xdist")
        workers = ["-n", "4"]
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "pytest", "-v", "-rfE", "-m", "gpu", "-p", "no:cacheprovider"),
            *(*workers, "tests"),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    counts, began = {"PASSED": 0, "FAILED": 0, "ERROR": 0, "SKIPPED": 0}, time.monotonic()
    failed, reported = [], 0.0

    def report(status: str) -> None:
        row(
            "tests",
            status,
            **{name.lower(): n for name, n in counts.items()},
            seconds=round(time.monotonic() - began, 1),
            failures=failed,
        )

    assert process.stdout
    for line in process.stdout:
        print(line, end="")
        if found := re.search(r"::.*\b(PASSED|FAILED|ERROR|SKIPPED)\b", line):
            counts[found[1]] += 1
            if found[1] in ("FAILED", "ERROR"):
                failed.append(line.strip()[:160])
            if time.monotonic() - reported > 5:  # this part may be stopped at any moment
                reported = time.monotonic()
                report("incomplete")
    report("ok" if process.wait() == 0 and counts["PASSED"] else "failed")


def check_steps(folder: Path) -> None:
    """The table of steps: minigan, and PyTorch on the same card, alternately."""
    from gpu_steps import measure_steps

    measure_steps(row, is_done, attempt, rehearsal=REHEARSAL)


def check_recipes(folder: Path) -> None:
    """Two further recipes: a fully connected one, and one with batch norm."""
    train("dense", folder, "--recipe", "dense")
    train("dcgan, 8 epochs", folder, "--recipe", "dcgan", *([] if REHEARSAL else ["--epochs", 8]))


def check_resume(folder: Path) -> None:
    """A run that is killed after its first epoch and resumed."""
    key = "killed and resumed"
    with attempt(key):
        run = free_folder(folder, "killed")
        options = small() or ["--recipe", "dense", "--epochs", 4]
        process = subprocess.Popen(
            [
                *(sys.executable, "demo.py", "--backend", "cupy", *map(str, options)),
                *("--checkpoint-every", "0.5", "--out", str(run)),
            ],
            cwd=ROOT,
        )
        while process.poll() is None and not (run / "history.csv").exists():
            time.sleep(0.05)
        process.kill()
        process.wait()
        killed = len(read_history(run))
        status, seconds = demo("--resume", run)
        epochs = [int(r["epoch"]) for r in read_history(run)]
        complete = epochs == list(range(1, int(options[options.index("--epochs") + 1]) + 1))
        row(
            key,
            "ok" if status == 0 and complete else "failed",
            exit_status=status,
            killed_after=killed,
            epochs=epochs,
            seconds=seconds,
        )


def check_profile(folder: Path) -> None:
    """Where the microseconds of a step go."""
    from gpu_steps import measure_calls, measure_outside, measure_phases

    measure_phases(row, is_done, attempt, rehearsal=REHEARSAL)
    measure_calls(row, is_done, attempt)
    measure_outside(row, is_done, attempt)


PARTS: dict[str, tuple[float, Callable]] = {
    "environment": (10, check_environment),
    "default": (45, check_default),
    "tests": (150, check_tests),
    "steps": (150, check_steps),
    "recipes": (60, check_recipes),
    "resume": (25, check_resume),
    "profile": (30, check_profile),
}


if __name__ == "__main__":
    if sys.argv[2:3] == ["--part"]:
        PARTS[sys.argv[3]][1](Path(sys.argv[1]))
    else:
        unknown = [name for name in sys.argv[2:] if name not in PARTS]
        if len(sys.argv) < 2 or unknown:
            sys.exit(f"usage: gpu_check.py FOLDER [PART...], with the parts {', '.join(PARTS)}")
        sys.exit(main(Path(sys.argv[1]).resolve(), sys.argv[2:]))
