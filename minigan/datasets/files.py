"""Files: which files of a folder or zip archive are data, and which part of the data they are.

The idea
    A folder of data holds more than data. What systems and programs leave behind is never data:
    hidden files and folders (with a dot at the beginning, such as .ipynb_checkpoints), __MACOSX,
    and the folders of training runs, whose sample grids are pictures, too. What is left out is
    counted by kind, and the user reads the counts in a note.

    The sub-folders are the classes, unless they are the parts of a data set:

        cats/ dogs/                     two classes
        train/cats/ train/dogs/ test/   a part to train on, and one to compare the results with
        pets/train/ pets/test/          the same: a folder around everything means nothing

    Beside train/, a folder test/ is preferred to val/, which is then left out.

>>> paths = ["train/cats/1.png", "train/dogs/2.png", "val/cats/3.png"]
>>> split_files([PurePosixPath(path) for path in paths])[0]
{'train': [0, 1], 'test': [2]}
"""

import os
import zipfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePath, PurePosixPath
from typing import IO, Any, NamedTuple

import numpy as np

from minigan.datasets.pixels import shorten_list

HIDDEN = "__macosx"
FOLDERS_OF_PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
}
MAX_ZIPPED = 1 << 28  # bytes of a picture in a zip archive


class DataFile(NamedTuple):
    """A file of data, or a part of a file, such as a row of a table."""

    path: PurePath  # relative to the folder, archive or table
    name: str  # for messages
    open: Callable[[], IO[bytes]]


def find_files(folder: Path, suffixes: Collection[str], left_out: Counter[str]) -> list[DataFile]:
    """The files below a folder with one of these suffixes, sorted by their paths.

    All other files are counted in `left_out`, by kind. Links are followed, but no folder is entered
    twice.
    """
    found, seen = [], set()
    for place, folders, names in os.walk(folder, followlinks=True):
        here = Path(place)
        if here.resolve() in seen:
            folders.clear()
            continue
        seen.add(here.resolve())
        for name in list(folders):
            kind = "hidden" if is_hidden(name) else "of training runs"
            if is_hidden(name) or is_run(here / name):
                folders.remove(name)
                left_out[kind] += sum(len(files) for _, _, files in os.walk(here / name))
        for name in names:
            path = here / name
            if kind := why_left_out(name, suffixes):
                left_out[kind] += 1
            elif not path.is_file():
                left_out["missing, where a link points to nothing"] += 1
            else:
                opener: Any = partial(open, path, "rb")
                found.append(DataFile(path.relative_to(folder), str(path), opener))
    return sorted(found)


def find_zipped(
    archive: zipfile.ZipFile, where: Path, suffixes: Collection[str], left_out: Counter[str]
) -> list[DataFile]:
    """The same for a zip archive; `where` names it in messages."""
    found = []
    for info in archive.infolist():
        path = PurePosixPath(info.filename)
        if info.is_dir():
            continue
        if any(is_hidden(part) for part in path.parts):
            left_out["hidden"] += 1
        elif kind := why_left_out(path.name, suffixes):
            left_out[kind] += 1
        elif info.file_size > MAX_ZIPPED:
            left_out[f"of more than {MAX_ZIPPED >> 20} MB"] += 1
        else:
            name = f"{where}/{info.filename}"
            found.append(DataFile(path, name, partial(archive.open, info)))
    return sorted(found)


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is not meant to be seen."""
    return name.startswith(".") or name.lower() == HIDDEN


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a training run, which begins with a grid of samples."""
    samples = folder / "samples"
    return samples.is_dir() and (
        (folder / "settings.json").is_file() or (samples / "epoch-0000.png").is_file()
    )


def why_left_out(name: str, suffixes: Collection[str]) -> str:
    """The kind of a file that is left out; "" for a file with one of the suffixes."""
    if is_hidden(name):
        return "hidden"
    suffix = PurePath(name).suffix.lower()
    return "" if suffix in suffixes else suffix or "without a suffix"


def most_first(kind_and_count: tuple[str, int]) -> tuple[int, str]:
    """Sorts kinds by their counts, and kinds of the same count by name."""
    return -kind_and_count[1], kind_and_count[0]


def describe_left_out(left_out: Counter[str]) -> Iterator[str]:
    """A note with the count of each kind, if anything was left out."""
    if left_out:
        kinds = (f"{count:,} {kind}" for kind, count in sorted(left_out.items(), key=most_first))
        yield f"files left out: {shorten_list(kinds, 12)}"


def split_files(
    paths: Sequence[PurePath],
) -> tuple[dict[str, list[int]], list[str | None], list[str]]:
    """({"train": positions, "test": positions}, the class of each path or None, notes)."""
    notes: list[str] = []
    parts = [path.parts for path in paths]
    while parts and len({part[0] for part in parts}) == 1 and min(map(len, parts)) > 2:
        parts = [part[1:] for part in parts]  # a folder around everything
    first = [FOLDERS_OF_PARTS.get(part[0].lower()) if len(part) > 1 else None for part in parts]
    rows = {
        name: [i for i, f in enumerate(first) if f == name] for name in ("train", "test", "val")
    }
    if not rows["train"] or not (rows["test"] or rows["val"]):
        classes = [part[0] if len(part) > 1 else None for part in parts]
        return {"train": list(range(len(paths))), "test": []}, classes, notes
    measured = "test" if rows["test"] else "val"
    train_name, test_name = (parts[rows[name][0]][0] for name in ("train", measured))
    notes.append(
        f"trained on the {len(rows['train']):,} pictures in {train_name}/; the results are compared"
        f" with the {len(rows[measured]):,} in {test_name}/"
    )
    if rest := len(paths) - len(rows["train"]) - len(rows[measured]):
        notes.append(f"{rest:,} pictures in other folders than these two are left out")
    classes = [part[1] if f and len(part) > 2 else None for part, f in zip(parts, first)]
    return {"train": rows["train"], "test": rows[measured]}, classes, notes


def class_labels(classes: Sequence[str | None], rows: Sequence[int]) -> np.ndarray | None:
    """The classes of these rows as labels, or None unless each has one."""
    chosen = [classes[i] for i in rows]
    return np.array(chosen) if chosen and None not in chosen else None
