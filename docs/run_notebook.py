"""Run docs/minigan.ipynb from top to bottom, and store it with its outputs:

    python docs/run_notebook.py

Progress bars are left out of what is stored, and so are the times at which cells were run.
"""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

PATH = Path(__file__).with_name("minigan.ipynb")


def run(notebook: nbformat.NotebookNode) -> None:
    """Execute all cells in the folder of the notebook, in place. Raises CellExecutionError."""
    client = NotebookClient(
        notebook,
        timeout=900,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(PATH.parent)}},
    )
    client.execute()
    notebook.metadata.language_info = {"name": "python"}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [part for part in cell.outputs if part.get("name") != "stderr"]
            for part in cell.outputs:
                part.get("data", {}).pop("image/jpeg", None)  # the same picture as image/png


if __name__ == "__main__":
    notebook = nbformat.read(PATH, as_version=4)
    run(notebook)
    nbformat.write(notebook, PATH)
    print(f"{PATH}: {PATH.stat().st_size / 1e6:.1f} MB")
