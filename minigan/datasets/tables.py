"""Tables: CSV files of pixels, and Parquet files of pictures.

The idea
    Kaggle publishes MNIST and data sets like it as CSV files: a row is an image, with one column
    per pixel and one for the label. The header may be missing. The Hugging Face Hub publishes
    Parquet files: a row has the bytes of an image file and a label, and the names of the classes
    are in the file's metadata. A large data set is cut into shards (train-00000-of-00002.parquet),
    which are read together. PyArrow reads both formats.

    Columns are recognised by their names (see raw.py). In a CSV file without a header, the first
    column is the label if the number of the other columns is a square.

Shapes
    Pixels (N, H * W); pictures as in images.py; labels (N,), integers or words.

>>> split_columns(["label", "1x1", "1x2", "id"]), split_columns(["pixel0", "pixel1", "class"])
((0, [1, 2]), (2, [0, 1]))
"""

import gzip
import io
import json
import re
from collections import Counter
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from minigan.datasets.files import DataFile
from minigan.datasets.images import read_files
from minigan.datasets.optional import import_optional, unreadable_file
from minigan.datasets.pixels import DataError, shorten_list
from minigan.datasets.raw import RawData, name_parts, sibling, square_side

CSV_SUFFIXES, PARQUET_SUFFIXES = (".csv", ".csv.gz"), (".parquet",)
NO_PIXELS = {"", "id", "index", "image_id", "unnamed: 0"}  # columns that only number the rows
SHARD = re.compile(r"(.*)-\d{5}(-of-\d{5}).*\.parquet")


def read_csv(path: Path) -> RawData:
    """Read a CSV file with a row per image; it may be gzipped. Raises DataError."""
    csv: Any = import_optional("pyarrow.csv", path)
    try:
        zipped = path.suffix.lower() == ".gz"
        with (gzip.open if zipped else open)(path, "rt", encoding="utf-8-sig") as file:
            first = [cell.strip().strip("\"'") for cell in file.readline().split(",")]
        header = not all(is_number(cell) for cell in first)
        label, pixels = split_columns(first) if header else guess_columns(len(first))
        names = [str(i) for i in range(len(first))]
        types = dict.fromkeys(names, "float32") | (
            {} if label is None else {names[label]: "string"}
        )
        wanted = [*pixels, *([] if label is None else [label])]
        options = csv.ConvertOptions(
            column_types=types, include_columns=[names[i] for i in wanted], strings_can_be_null=True
        )
        reading = csv.ReadOptions(column_names=names, skip_rows=int(header))
        parts, labels = [], []
        with csv.open_csv(path, read_options=reading, convert_options=options) as reader:
            for batch in reader:
                columns = [batch.column(i) for i in range(len(pixels))]
                part = np.stack([c.to_numpy(zero_copy_only=False) for c in columns], axis=1)
                parts.append(smallest(part))
                if label is not None:
                    labels += batch.column(len(pixels)).to_pylist()
    except DataError:
        raise
    except Exception as error:  # pyarrow.ArrowInvalid, OSError, UnicodeDecodeError and others
        raise unreadable_file(path, error) from None
    if not parts or not sum(map(len, parts)):
        raise DataError(f"{path} holds no rows of pixels")
    if None in labels:
        raise DataError(f"{path}: row {labels.index(None) + 1} has no label")
    notes = []
    if not header and label is not None:
        notes.append(f"{path} has no header: the first of its columns is used as the label")
    return RawData(np.concatenate(parts), as_integers(labels) if labels else None, notes=notes)


def is_number(text: str) -> bool:
    """Whether a cell holds a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def split_columns(header: list[str]) -> tuple[int | None, list[int]]:
    """(the position of the label or None, those of the pixels) from the names of the columns."""
    names = [name.lower() for name in header]
    labels = [i for i, name in enumerate(names) if (name_parts(name) or ("", ""))[1] == "labels"]
    label = labels[0] if len(labels) == 1 else None
    return label, [i for i, n in enumerate(names) if i != label and n not in NO_PIXELS]


def guess_columns(count: int) -> tuple[int | None, list[int]]:
    """The same for a table of numbers without a header."""
    if square_side(count - 1) and not square_side(count):
        return 0, list(range(1, count))
    return None, list(range(count))


def smallest(values: np.ndarray) -> np.ndarray:
    """Bytes if all values are whole numbers from 0 to 255, otherwise the values as they are."""
    whole = values.size and (values >= 0).all() and (values <= 255).all()
    if whole and (values == np.rint(values)).all():
        return values.astype(np.uint8)
    return values


def as_integers(labels: list[str]) -> np.ndarray:
    """Labels (N,) as numbers if all are numbers, and as words otherwise."""
    if all(is_number(label) for label in labels):
        return np.array([float(label) for label in labels])
    return np.array(labels)


def read_parquet(path: Path, **settings: Any) -> RawData:
    """Read a Parquet file, or all shards of it, and its test part in a file beside it.

    `settings` are the keyword arguments of `read_pictures`. Raises DataError.
    """
    parquet: Any = import_optional("pyarrow.parquet", path)
    try:
        train = read_rows(parquet, path, part="train")
        beside = find_test_shard(path)
        test = read_rows(parquet, beside, part="test") if beside else ([], [])
    except DataError:
        raise
    except Exception as error:  # pyarrow.ArrowInvalid, OSError, ValueError and others
        raise unreadable_file(path, error) from None
    names = np.unique([*train[1], *test[1]])
    files = [file for part in (train, test) for file in by_label(*part, names)]
    raw = read_files(path, files, Counter(), **settings)
    if not train[1] or raw.labels is None:
        return raw._replace(labels=None, test_labels=None)
    positions = (raw.labels, raw.test_labels)
    labels, test_labels = (None if p is None else names[p.astype(int)] for p in positions)
    return raw._replace(labels=labels, test_labels=test_labels)


def by_label(files: list[DataFile], labels: list, names: np.ndarray) -> list[DataFile]:
    """The files with the positions of their labels in `names` as folders, if there are labels."""
    if not labels:
        return files
    positions = np.searchsorted(names, labels)
    return [
        file._replace(path=file.path.parent / str(position) / file.path.name)
        for file, position in zip(files, positions)
    ]


def shards(path: Path) -> list[Path]:
    """All files of which `path` is one shard; only `path` itself if its name has no number."""
    match = SHARD.fullmatch(path.name)
    if not match:
        return [path]
    return sorted(path.parent.glob(f"{match[1]}-?????{match[2]}*.parquet"))


def find_test_shard(path: Path) -> Path | None:
    """A file or shard of the test part beside that of the training part, if there is one."""
    for new in "test", "validation", "valid", "val":
        if found := sibling(path, ["train", "training"], new):
            return found
        if SHARD.fullmatch(path.name) and path.name.startswith("train-"):
            others = sorted(path.parent.glob(f"{new}-00000-of-?????*.parquet"))
            if others:
                return others[0]
    return None


def read_rows(parquet: Any, path: Path, *, part: str) -> tuple[list[DataFile], list]:
    """(image files, labels or []) of all shards of a part."""
    schema = parquet.read_schema(path)
    images = [f.name for f in schema if (name_parts(f.name) or ("", ""))[1] == "images"]
    labels = [f.name for f in schema if (name_parts(f.name) or ("", ""))[1] == "labels"]
    if len(images) != 1 or len(labels) > 1:
        raise DataError(
            f"{path} holds the columns {shorten_list(schema.names, 10)}: name the column of images"
            " `image` and that of labels `label`"
        )
    table = parquet.ParquetDataset(shards(path)).read(columns=images + labels)
    cells = table.column(images[0]).to_pylist()
    cells = [cell.get("bytes") if isinstance(cell, dict) else cell for cell in cells]
    if not all(isinstance(cell, bytes) for cell in cells):
        raise DataError(
            f"{path}: the column {images[0]} holds {schema.field(images[0]).type}, but it should"
            " hold the bytes of an image file in every row, as on the Hugging Face Hub"
        )
    files = [
        DataFile(PurePosixPath(part, f"{i}"), f"{path}: row {i}", partial(io.BytesIO, cell))
        for i, cell in enumerate(cells)
    ]
    classes = table.column(labels[0]).to_pylist() if labels else []
    if None in classes or -1 in classes:  # the Hub's labels of a test part that has none
        classes = []
    names = class_names_of(schema, labels[0]) if classes else []
    return files, [names[c] for c in classes] if names else classes


def class_names_of(schema: Any, label: str) -> list[str]:
    """The names of the classes in the Hub's metadata; [] if they are numbers or missing."""
    try:
        content = json.loads((schema.metadata or {})[b"huggingface"])
        names = list(map(str, content["info"]["features"][label]["names"]))
    except (KeyError, TypeError, ValueError):
        return []
    return [] if names == [str(i) for i in range(len(names))] else names
