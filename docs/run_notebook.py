"""Run docs/minigan.ipynb from top to bottom, and store it with its outputs:

    python docs/run_notebook.py

Progress bars are left out of what is stored, and so are the times at which cells were run.
Animations are stored as WebP, which is smaller than the GIF that a cell shows, and those that are
still large with every second frame.
"""

import base64
import io
import re
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image, ImageSequence

PATH = Path(__file__).with_name("minigan.ipynb")
MAX_ANIMATION = 250_000  # bytes, in the notebook as stored
QUALITY = 50  # of a lossy WebP, which photographs of digits bear, and thin lines do not


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


def shrink_outputs(notebook: nbformat.NotebookNode) -> None:
    """Leave out, in place, what readers do not need, and make animations smaller."""
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        cell.outputs = [part for part in cell.outputs if part.get("name") != "stderr"]
        for part in cell.outputs:
            data = part.get("data", {})
            data.pop("image/jpeg", None)  # the same picture as image/png
            if "text/html" in data:
                data["text/html"] = re.sub(
                    'data:image/gif;base64,([^"]+)',
                    lambda found: "data:image/webp;base64," + shrink_gif(found[1]),
                    data["text/html"],
                )


def shrink_gif(gif: str) -> str:
    """A GIF in base64 as a WebP in base64, of about the same duration."""
    with Image.open(io.BytesIO(base64.b64decode(gif))) as opened:
        shown = [(f.convert("RGB"), f.info["duration"]) for f in ImageSequence.Iterator(opened)]
    frames, durations = map(list, zip(*shown))
    webp = encode_webp(frames, durations)
    while len(webp) > MAX_ANIMATION and len(frames) > 10:
        last = len(frames) - 1  # which often stays for longer
        kept = sorted({*range(0, last, 2), last})
        durations = [sum(durations[i:j]) for i, j in zip(kept, [*kept[1:], last + 1])]
        frames = [frames[i] for i in kept]
        webp = encode_webp(frames, durations)
    return base64.b64encode(webp).decode()


def encode_webp(frames: list[Image.Image], durations: list[int]) -> bytes:
    """An animation, lossless or not, whichever is smaller; durations in milliseconds."""
    files = []
    for how in {"lossless": True}, {"quality": QUALITY}:
        file = io.BytesIO()
        frames[0].save(
            file,
            "WEBP",
            save_all=True,
            append_images=frames[1:],
            duration=durations,
            loop=0,
            method=4,
            **how,
        )
        files.append(file.getvalue())
    return min(files, key=len)


if __name__ == "__main__":
    notebook = nbformat.read(PATH, as_version=4)
    run(notebook)
    shrink_outputs(notebook)
    nbformat.write(notebook, PATH)
    print(f"{PATH}: {PATH.stat().st_size / 1e6:.1f} MB")
