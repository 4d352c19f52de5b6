"""docs/minigan.ipynb runs from top to bottom, its solutions are right, and it has no outputs."""

import re
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
PATH = Path(__file__).resolve().parents[2] / "docs" / "minigan.ipynb"


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
            assert (
                part["output_type"] in ("stream", "display_data") and part.get("name") != "stderr"
            ), (name, part)
    # this minigan, not another one that is installed
    assert f"from {PATH.parent.parent}" in output(cells["clone"])


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
    fd = [float(found) for found in re.findall(r"FD ([\d.]+)", output(cells["learn"]))]
    assert len(fd) == images(cells["learn"]) == 4 and fd == sorted(fd, reverse=True) and fd[-1] < 15
    assert images(cells["train"]) == 1 and images(cells["walk"]) == 2


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


def test_it_has_no_outputs():
    """Outputs would change with every run."""
    notebook = read()
    nbformat.validate(notebook)
    assert PATH.stat().st_size < 100_000 and set(notebook.metadata) == {
        "kernelspec",
        "language_info",
    }
    for cell in notebook.cells:
        assert cell.metadata == {} and not re.fullmatch("[0-9a-f]{8}", cell.id), cell.id
        assert (
            cell.cell_type == "markdown" or cell.outputs == [] and cell.execution_count is None
        ), cell.id
