"""List the runs in a folder: what was trained, how far, and how good it is."""

import json
from pathlib import Path

from minigan.cli import arguments
from minigan.console import format_seconds
from minigan.evaluation.compare import read_history
from minigan.figures.plots import format_number
from minigan.training.lock import lock_folder
from minigan.training.run_folder import RunError

COLUMNS = ("run", "recipe", "seed", "images", "epochs", "state", "time", "last FD", "best FD")


def add_arguments(parser):
    """The options of `demo.py runs`."""
    parser.add_argument(
        "folder",
        type=arguments.path,
        nargs="?",
        default=Path("runs"),
        metavar="FOLDER",
        help="where to look for run folders, also in its sub-folders' sub-folders (default runs)",
    )


def run(args):
    """Print a table with one line per run, the oldest first."""
    if not args.folder.is_dir():
        raise RunError(f"there is no folder {args.folder}: {args.command} trains a first run")
    found = {
        path.parent
        for depth in ("", "*/", "*/*/")
        for path in args.folder.glob(f"{depth}settings.json")
    }
    if not found:
        raise RunError(f"{args.folder} holds no runs: {args.command} trains one")
    rows = [COLUMNS, *(row for _, row in sorted(describe_run(folder) for folder in found))]
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        left = zip(row[:2], widths[:2])
        right = zip(row[2:], widths[2:])
        print("  ".join([*(t.ljust(w) for t, w in left), *(t.rjust(w) for t, w in right)]))
    print(
        "index.html in the folder of a run shows it in a browser; FD is that of 2,000 samples, and"
        f" {args.command} compare plots several runs"
    )
    return 0


def describe_run(folder: Path) -> tuple[str, tuple[str, ...]]:
    """(when a run was started, its row of the table)."""
    try:
        settings = json.loads((folder / "settings.json").read_text())
        recipe, started = settings["recipe"], str(settings.get("started", ""))
        first = (
            str(folder),
            str(recipe["name"]),
            str(settings["seed"]),
            f"{settings['n_images']:,}",
        )
        planned = int(recipe["epochs"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return "", (str(folder), "damaged", *["-"] * (len(COLUMNS) - 2))
    path = folder / "history.csv"
    try:
        history = read_history(path) if path.exists() else None
    except (OSError, ValueError, LookupError, TypeError):
        history = None
    if history is None:
        epochs, last = 0, ("-", "-", "-")
    else:
        epochs, fd = int(history["epoch"][-1]), history["fd"]
        seconds = format_seconds(history["elapsed"][-1])
        last = (seconds, format_number(fd[-1], 2), format_number(min(fd), 2))
    return started, (*first, f"{epochs}/{planned}", state_of(folder, epochs, planned), *last)


def state_of(folder: Path, epochs: int, planned: int) -> str:
    """Whether a run is finished, training now, or was interrupted."""
    if (folder / ".lock").exists() or (folder / ".lock-held").exists():
        try:
            with lock_folder(folder):
                pass
        except RunError as error:
            if "is training" in str(error):  # and not that the folder cannot be written
                return "training"
    return "finished" if epochs >= planned else "interrupted"
