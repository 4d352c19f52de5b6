"""minigan in a notebook, under redirected streams, in a thread, and in a read-only folder."""

import contextlib
import errno
import io
import json
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from helpers import DEMO, demo, load_demo, signals_restored

from minigan.training import run_folder

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
IMAGES = np.random.default_rng(0).integers(0, 256, (32, 8, 8), dtype=np.uint8)
TRAIN = ["--data", "data.npy", "--epochs", "1", "--batch-size", "16", "--out"]


class OnlyWrite:
    """A stream with as little as print needs: no flush, fileno, isatty or reconfigure."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with data and a run."""
    folder = tmp_path_factory.mktemp("work")
    np.save(folder / "data.npy", IMAGES)
    assert demo(*TRAIN, "run", cwd=folder).returncode == 0
    return folder


def main(*args):
    with signals_restored():
        return load_demo().main([str(arg) for arg in args])


COMMANDS = [  # (arguments, exit status)
    ([*TRAIN, "redirected"], 0),
    (["evaluate", "run", "--count", 100], 0),
    (["inspect", "run", "--steps", 1], 0),
    (["toy", "--steps", 2, "--out", "toy.gif"], 0),
    (["check"], 0),
    (["--help"], 0),
    (["--epochs", 0], 2),
    (["paint"], 2),
]


def complaints(text):
    """The lines on standard error that do not only say what is done next."""
    return [line for line in text.splitlines() if not line.startswith("... ")]


@pytest.mark.parametrize("args, status", COMMANDS, ids=lambda x: str(x))
def test_streams_need_no_more_than_write(workplace, monkeypatch, args, status):
    monkeypatch.chdir(workplace)
    output, errors = OnlyWrite(), OnlyWrite()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        assert main(*args) == status
    assert bool(output.text) == (status == 0)
    assert len(complaints(errors.text)) == (status == 2)


def test_output_into_a_pipe_that_is_not_a_file(workplace, monkeypatch):
    class Closed(OnlyWrite):
        def write(self, text):
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.chdir(workplace)
    with contextlib.redirect_stdout(Closed()):
        assert main("recipes") == 2


def test_in_another_thread(workplace, monkeypatch):
    monkeypatch.chdir(workplace)
    statuses = []
    arguments = [*TRAIN, "thread"]
    thread = threading.Thread(target=lambda: statuses.append(load_demo().main(arguments)))
    thread.start()
    thread.join()
    assert statuses == [0]


def test_handlers_of_ctrl_c_are_the_callers_afterwards():
    def mine(number, frame):
        pass

    with signals_restored():
        signal.signal(signal.SIGINT, mine)
        assert load_demo().main(["recipes"]) == 0
        assert signal.getsignal(signal.SIGINT) is mine
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # as demo.py has it while it imports
        assert load_demo().main(["recipes"]) == 0
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    # a process in the background of a shell may ignore Ctrl-C
    code = "import sys, signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    code += f"sys.path.insert(0, {str(DEMO.parent)!r}); import demo;"
    code += "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_in_a_jupyter_kernel(workplace):
    """With the MPLBACKEND that the kernel sets, and a shell command that inherits it."""
    train = " ".join(TRAIN)
    cells = [
        f"%run {DEMO} {train} by-run",
        f"import sys; sys.path.insert(0, {str(DEMO.parent)!r})\n"
        f"import demo\nprint(demo.main({[*TRAIN, 'by-main']}), demo.main(['--epochs', '0']))",
        f"!{sys.executable} {DEMO} {train} by-shell",
        "import signal, matplotlib.pyplot as plt\n"
        "print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)\n"
        "plt.plot([1, 2])",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    resources = {"metadata": {"path": str(workplace)}}
    nbclient.NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources=resources
    ).execute()
    by_run, by_main, by_shell, last = [
        "".join(part.get("text", "") for part in cell.outputs) for cell in notebook.cells
    ]
    for text in by_run, by_main, by_shell:
        assert "epoch   1/1" in text and "generates new images" in text
    assert "'0' is not an integer" in by_main and "0 2\n" in by_main
    assert last.startswith("True")
    assert "image/png" in str(notebook.cells[-1].outputs)  # the notebook's own figures are shown
    for name in "by-run", "by-main", "by-shell":
        assert (workplace / name / "losses.png").is_file()


@pytest.mark.parametrize(
    "args, words, figures",
    [
        (["evaluate", "run", "--count", 100], "chet distance", "walk.gif"),
        (["inspect", "run", "--steps", 1], "never above 0", "inspect-weights.png"),
    ],
)
def test_in_a_read_only_folder_the_numbers_are_printed(
    workplace, monkeypatch, args, words, figures
):
    def read_only(path, write):
        write(io.BytesIO())
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(run_folder, "write_atomically", read_only)
    result = demo(*args, cwd=workplace)
    assert result.returncode == 2 and words in result.stdout and "written" not in result.stdout
    (error,) = complaints(result.stderr)
    assert error.startswith("demo.py: cannot write to run (Read-only file system), so ")
    assert figures in error
    monkeypatch.undo()
    again = demo(*args, cwd=workplace)
    assert again.returncode == 0 and figures in again.stdout and complaints(again.stderr) == []


def test_what_can_be_written_is_written(workplace, monkeypatch):
    """As on a disk that is full, or beside a file of another user."""
    plain = run_folder.write_atomically

    def all_but_one(path, write):
        if path.name == "walk.gif":
            raise OSError(errno.ENOSPC, "No space left on device")
        plain(path, write)

    monkeypatch.setattr(run_folder, "write_atomically", all_but_one)
    (workplace / "run" / "metrics.json").unlink(missing_ok=True)
    result = demo("evaluate", "run", "--count", 100, cwd=workplace)
    assert result.returncode == 2 and "so walk.gif is missing" in result.stderr
    assert json.loads((workplace / "run" / "metrics.json").read_text())["count"] == 100
