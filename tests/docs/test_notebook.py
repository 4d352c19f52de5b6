"""docs/minigan.ipynb runs from top to bottom, its solutions are right, and it has its outputs."""

import base64
import io
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
PATH = Path(__file__).resolve().parents[2] / "docs" / "minigan.ipynb"
sys.path.insert(0, str(PATH.parent))
import run_notebook  # noqa: E402


def read():
    return nbformat.read(PATH, as_version=4)


def output(cell):
    """Everything that a cell has printed."""
    return "".join(
        part["text"]
        for part in cell.outputs
        if part["output_type"] == "stream" and part["name"] == "stdout"
    )


def images(cell):
    """How many images a cell has shown."""
    return sum(
        "image/png" in part.get("data", {}) or "<img" in part.get("data", {}).get("text/html", "")
        for part in cell.outputs
    )


@pytest.fixture(scope="module")
def cells():
    """{id: cell} after a complete run, with a cell for each solution below its exercise."""
    notebook = read()
    for i, cell in reversed(list(enumerate(notebook.cells))):
        if cell.id.endswith("-answer"):
            (code,) = re.findall(r"^```python\n(.*?)^```$", cell.source, re.MULTILINE | re.DOTALL)
            notebook.cells.insert(i + 1, nbformat.v4.new_code_cell(code, id=cell.id + "-run"))
    notebook.cells.append(nbformat.v4.new_code_cell("print(minigan.__file__)", id="where"))
    nbclient.NotebookClient(
        notebook,
        timeout=900,
        kernel_name="python3",
        resources={"metadata": {"path": str(PATH.parent)}},
    ).execute()
    return {cell.id: cell for cell in notebook.cells}


@pytest.mark.long
def test_it_runs_without_warnings(cells):
    assert sum(cell.cell_type == "code" for cell in cells.values()) > 15
    for name, cell in cells.items():
        for part in cell.get("outputs", []):
            bar = part.get("name") == "stderr" and (
                "steps/s" in part["text"] or not part["text"].strip()  # of fit; the end clears it
            )
            assert bar or (
                part["output_type"] in ("stream", "display_data") and part.get("name") != "stderr"
            ), (name, part)
    # this minigan, not another one that is installed
    assert output(cells["where"]).startswith(str(PATH.parent.parent))


@pytest.mark.long
def test_the_checks_agree_with_the_text(cells):
    nudge = [float(line.split()[-1]) for line in output(cells["nudge"]).splitlines()]
    assert nudge[0] == pytest.approx(nudge[1], rel=1e-8)
    assert re.findall(r"^(.) (\w+)", output(cells["check"]), re.MULTILINE) == [
        ("✓", "dx"),
        ("✓", "dW"),
        ("✓", "db"),
    ]
    assert re.findall(r"^(.) (\w+)", output(cells["break"]), re.MULTILINE) == [
        ("✓", "dx"),
        ("✓", "dW"),
        ("✗", "db"),
    ]
    assert "a missing sum over the batch: only the last example counts" in output(cells["break"])
    rows = [line.split() for line in output(cells["bce"]).splitlines()[1:]]
    assert rows[0][1] == rows[0][3] == "0.6931" and rows[3] == [
        "20",
        "inf",
        "inf",
        "20.0000",
        "1.0000",
    ]


@pytest.mark.long
def test_it_learns(cells):
    distances = [float(line.split()[-1]) for line in output(cells["toy"]).splitlines()[1:]]
    assert distances[0] > 0.9 and distances[-1] < 0.1 and images(cells["toy"]) == 1
    fd = [float(found) for found in re.findall(r"FD +([\d.]+)", output(cells["train"]))]
    assert len(fd) == 4 and fd == sorted(fd, reverse=True) and fd[-1] < 15
    assert images(cells["train"]) == 1 and images(cells["walk"]) == 2
    assert images(cells["learn"]) == 2 and images(cells["own"]) == 1  # a curve and an animation


@pytest.mark.long
def test_the_solutions_are_right_and_the_exercises_are_unsolved(cells):
    assert output(cells["task-1-try"]).startswith("✗ dx") and output(
        cells["task-1-answer-run"]
    ).startswith("✓ dx")
    assert not output(cells["task-2-try"]) and "a factor of 403" in output(
        cells["task-2-answer-run"]
    )
    averaged, trained = (
        float(output(cells[name]).split()[1]) for name in ("task-3-try", "task-3-answer-run")
    )
    assert trained > 2 * averaged  # "several times as large"


def test_it_has_its_outputs():
    """Those of one run from top to bottom, made by docs/run_notebook.py."""
    notebook = read()
    nbformat.validate(notebook)
    assert PATH.stat().st_size < 1_000_000
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    for cell in notebook.cells:
        assert cell.metadata == {} and not re.fullmatch("[0-9a-f]{8}", cell.id), cell.id
    for cell in code:
        for part in cell.outputs:
            assert part.output_type in ("stream", "display_data"), cell.id
            assert part.get("name") != "stderr", cell.id
        text = output(cell)
        assert not re.search(r"/(tmp|home|root|work)/", text), "a path of the machine"
    assert sum(map(images, code)) >= 7 and output(code[0]).startswith("minigan ")


def test_animations_are_stored_smaller_and_last_as_long(monkeypatch):
    """Thin lines stay as they are; every second frame is left out where that is not enough."""
    monkeypatch.setattr(run_notebook, "MAX_ANIMATION", 30_000)
    rng = np.random.default_rng(0)
    frames = [Image.fromarray(rng.integers(0, 256, (60, 60), "uint8")) for _ in range(24)]
    file, durations = io.BytesIO(), [100] * 23 + [3000]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)
    webp = base64.b64decode(run_notebook.shrink_gif(base64.b64encode(file.getvalue()).decode()))
    shown = []
    with Image.open(io.BytesIO(webp)) as picture:
        for i in range(picture.n_frames):
            picture.seek(i)
            picture.load()
            shown.append((picture.info["duration"], np.asarray(picture.convert("L"), float)))
    assert len(webp) < len(file.getvalue()) / 2 and 4 < len(shown) < 24
    assert sum(duration for duration, _ in shown) == sum(durations) and shown[-1][0] == 3000
    for (_, stored), frame in zip([shown[0], shown[-1]], [frames[0], frames[-1]]):
        assert np.corrcoef(stored.ravel(), np.asarray(frame, float).ravel())[0, 1] > 0.8


def test_the_first_cell_unpacks_an_uploaded_zip(tmp_path):
    """As on Colab, where it would also install what minigan needs."""
    (cell,) = [cell for cell in read().cells if cell.id == "clone"]
    package = PATH.parent.parent / "minigan"
    with zipfile.ZipFile(tmp_path / "minigan-main.zip", "w") as file:
        for path in package.rglob("*.py"):
            file.write(path, Path("minigan-main", "minigan", path.relative_to(package)))
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as file:
        file.writestr("other/file.py", "x = 1")
    fake = "import subprocess\nsubprocess.run = lambda command: print(*command[1:])\n"
    code = fake + cell.source + "\nprint(minigan.__file__)\n"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    clone = tmp_path / "minigan-main"
    assert result.stdout.splitlines()[0] == f"-m pip install -q {clone}", result.stderr
    assert result.stdout.splitlines()[-1] == str(clone / "minigan" / "__init__.py")
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=nothing, capture_output=True, text=True
    )
    assert result.returncode == 1 and "upload a zip of the repository" in result.stderr
    assert not (tmp_path / "other").exists()
