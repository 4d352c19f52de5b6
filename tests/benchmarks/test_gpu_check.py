"""benchmarks/gpu_check.py keeps every result, whatever happens to its parts; gpu_report.py."""

import json
import os
import signal
import sys
import time
import zipfile
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))
import gpu_check
import gpu_report

PART = """
import json, os, subprocess, sys, time
folder, _, name = sys.argv[1:]
done = json.loads(os.environ["GPU_CHECK_DONE"])
def row(key, status="ok", **values):
    if key not in done:
        print("ROW " + json.dumps(dict(key=key, status=status, **values)), flush=True)
print(name, "begins")
if name == "environment":
    done = []
    row("environment", card="a card", code="c0de", date="today")
if name == "slow":
    row("first", number=1)
    code, nowhere = "import time; time.sleep(600)", subprocess.DEVNULL
    child = subprocess.Popen([sys.executable, "-c", code], stdout=nowhere, stderr=nowhere)
    open(folder + "/child", "w").write(str(child.pid))
    time.sleep(60)
if name == "wrong":
    row("a"), row("b", "failed" if not os.path.exists(folder + "/mended") else "ok")
if name == "crashes":
    row("before")
    os.abort()
if name == "half a row":
    row("whole")
    print('ROW {"key": "half", "sta', end="", flush=True)
    os.abort()
if name == "last":
    row("last")
"""


@pytest.fixture
def check(tmp_path, monkeypatch):
    """A function that runs these parts and returns (exit status, what gpu.json holds)."""
    script = tmp_path / "part.py"
    script.write_text(PART)
    monkeypatch.setattr(gpu_check, "__file__", str(script))
    monkeypatch.setattr(gpu_check, "ROOT", tmp_path)
    monkeypatch.setattr(gpu_check, "SAVED", tmp_path / "benchmarks" / "gpu.json")
    monkeypatch.setattr(gpu_check, "REHEARSAL", False)

    def run(*names, limit=30, only=(), folder="out"):
        monkeypatch.setattr(gpu_check, "PARTS", dict.fromkeys(names, (limit, None)))
        (tmp_path / folder).mkdir(exist_ok=True)
        status = gpu_check.main(tmp_path / folder, list(only))
        return status, json.loads((tmp_path / folder / "gpu.json").read_text())

    return run


def keys(data):
    return [(row["part"], row["key"]) for row in data["rows"]]


def test_results_are_kept_when_a_part_exceeds_its_limit_fails_or_crashes(check, tmp_path):
    status, data = check("environment", "slow", "wrong", "crashes", "last", limit=3)
    assert status == 1 and keys(data) == [
        ("environment", "environment"),
        ("slow", "first"),
        ("wrong", "a"),
        ("wrong", "b"),
        ("crashes", "before"),
        ("last", "last"),
    ]
    outcomes = {name: part["status"] for name, part in data["parts"].items()}
    assert outcomes == {
        "environment": "ok",
        "slow": "stopped after 3 s",
        "wrong": "failed",
        "crashes": "failed",
        "last": "ok",
    }
    assert {row["card"] for row in data["rows"]} == {"a card"}
    child = int((tmp_path / "out" / "child").read_text())  # a process of the part that was stopped
    for _ in range(50):
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            break
        if Path(f"/proc/{child}/stat").read_text().split()[2] == "Z":
            break  # it has ended, and nobody has asked how
        time.sleep(0.1)
    else:
        os.kill(child, signal.SIGKILL)
        pytest.fail("a process that the part had started goes on")


def test_half_a_row_is_left_out_and_a_failed_environment_stops_nothing(check):
    status, data = check("half a row", "last")
    assert status == 1 and keys(data) == [("half a row", "whole"), ("last", "last")]
    Path(gpu_check.__file__).write_text(PART.replace('card="a card", ', "") + "os.abort()\n")
    status, data = check("environment", "last", folder="other")
    assert status == 1 and ("last", "last") in keys(data)


def test_a_later_call_does_what_is_missing_or_failed(check, tmp_path, capsys):
    _, data = check("environment", "wrong", "last")
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "out" / "gpu.json").rename(tmp_path / "benchmarks" / "gpu.json")
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "mended").touch()
    capsys.readouterr()
    status, data = check("environment", "wrong", "last", folder="again")
    printed = capsys.readouterr().out
    assert status == 0 and "last: done before" in printed
    assert printed.count("ROW") == 2 and '"key": "b"' in printed  # the environment, and b
    assert len(data["rows"]) == 4 and all(row["status"] == "ok" for row in data["rows"])
    check("environment", "wrong", "last", folder="again", only=["last"])
    assert "wrong: done before" in capsys.readouterr().out


def test_wheels_of_missing_packages_are_unpacked(check, tmp_path, capsys):
    folder = tmp_path / "benchmarks" / "wheels"
    folder.mkdir(parents=True)
    for name in "numpy", "no_such_package":
        with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as file:
            file.writestr(f"{name}/__init__.py", "")
    assert gpu_check.unpack_wheels(tmp_path / "packages") == [str(tmp_path / "packages")]
    assert [path.name for path in (tmp_path / "packages").iterdir()] == ["no_such_package"]


def test_the_report_has_every_number(tmp_path):
    steps = [
        ("default/128", "", {"minigan": 800.5, "plain": 2000.0, "torch": 1601.0}),
        ("default/128/reduce-overhead", "reduce-overhead", {"torch, reduce-overhead": 901.0}),
        ("dense/512", "", {"minigan": 300.0, "recorded": 100.0, "torch": 450.0}),
    ]
    rows = [
        dict(
            part="steps",
            key=key,
            status="ok",
            recipe=key.split("/")[0],
            batch=int(key.split("/")[1]),
            mode=mode,
            us=us,
            reasons={"gemm": "OSError: none"} if mode == "" else {},
        )
        for key, mode, us in steps
    ]
    run = dict(seconds=9.5, training=7.25, epochs=2, images_per_second=70000, fd=[2.5, 1.25])
    rows += [
        dict(part="default", key="default, first run", status="ok", **run),
        dict(part="recipes", key="dense", status="failed", error="ValueError: no"),
        dict(part="profile", key="x * 2", status="ok", returns_us=5.5, us=6.5),
    ]
    parts = {"steps": dict(status="stopped after 150 s", seconds=150.0, limit=150)}
    source = tmp_path / "gpu.json"
    source.write_text(json.dumps({"parts": parts, "rows": rows}))
    (tmp_path / "gpu.md").write_text(f"before\n{gpu_report.BEGIN}\nold\n{gpu_report.END}\nafter\n")
    gpu_report.main([str(source), str(tmp_path)])
    text = (tmp_path / "gpu.md").read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
    assert "| default | 128 | 2000.0 | 800.5 | - | 1601.0 | 901.0 | **2.00** |" in text
    assert "| dense | 512 | - | 300.0 | 100.0 | 450.0 | - | **4.50** |" in text
    for words in "2.5, 1.25", "stopped after 150 s", "OSError: none", "recipes, dense", "| 5.5 |":
        assert words in text
    assert (tmp_path / "gpu.png").stat().st_size > 5000
