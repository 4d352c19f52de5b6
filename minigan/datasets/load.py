"""Data sets: load images and labels from any supported file or folder.

The idea
    `load_dataset` takes the path given by `--data` and returns images of one size, as bytes, with
    their labels if there are any. The path may be

        a folder of IDX files     named like those of MNIST, or nearly so (see idx.py)
        one IDX file of images    labels: the file with "labels" in its name instead of "images"
        a .npy or .npz file       see numpy_files.py
        .mat, .h5, .hdf5          see matlab.py
        .csv, .csv.gz, .parquet   see tables.py
        a folder of pictures      see images.py and files.py; labels: the sub-folders
        a .zip of pictures        the same
        a folder of one data set  in the files above: the file with "train" in its name, or the only
        stacked-mnist             no path, but triples of the digits of MNIST: see stacked.py

    If a file has "train" in its name and no test images in it, the test images come from the file
    beside it with "test" or "val" instead. If it has no labels, they come from the file with
    "labels" instead of "images" (or "y" instead of "x").

    A label is a number: the position of the class in the sorted list of class names. Numbers in
    names are sorted by their values, 2 before 10.

Order
    Pictures and arrays are often sorted by class. They are shuffled with a fixed seed, so that the
    first thousand are a representative sample. IDX data sets are already shuffled, so their order
    is kept.

Sizes
    An image may have at most 1024 pixels a side and 49,152 values, where a pixel in colour counts
    as three values. The largest square images are 221 x 221 in grey and 128 x 128 in colour.

Shapes
    Images (N, H, W), or (N, H, W, 3) in colour, uint8; labels (N,).

>>> import tempfile
>>> path = Path(tempfile.mkdtemp()) / "dots.npz"
>>> colours = ["red", "blue", "red", "red", "blue"]
>>> np.savez(path, images=np.eye(8, dtype="uint8")[None].repeat(5, axis=0) * 255, labels=colours)
>>> data = load_dataset(path)
>>> data.images.shape, data.names, np.bincount(data.labels).tolist()
((5, 8, 8), ['blue', 'red'], [2, 3])
>>> len(load_dataset(path, classes="blue").images)
2
"""

import math
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from minigan.datasets.files import find_files
from minigan.datasets.idx import (
    SHA256,
    SHIPPED,
    TRAIN_LABELS,
    find_idx_files,
    load_images,
    load_labels,
    read_idx,
)
from minigan.datasets.images import PICTURE_SUFFIXES, read_pictures
from minigan.datasets.labels import convert_labels
from minigan.datasets.matlab import HDF5_MAGIC, read_hdf5, read_mat
from minigan.datasets.names import join_names, natural_key, split_names
from minigan.datasets.numpy_files import NPY_MAGIC, ZIP_MAGIC, read_numpy
from minigan.datasets.pixels import (
    MAX_PIXELS,
    MAX_SIDE,
    DataError,
    format_shape,
    shorten_list,
    size_fits,
)
from minigan.datasets.raw import RawData, sibling, square_side
from minigan.datasets.stacked import STACKED_MNIST, StackedImages
from minigan.datasets.tables import CSV_SUFFIXES, PARQUET_SUFFIXES, read_csv, read_parquet
from minigan.datasets.value_range import convert_to_bytes

TABLE_SUFFIXES = (*CSV_SUFFIXES, *PARQUET_SUFFIXES)
ARRAY_SUFFIXES = ".npy", ".npz", ".mat", ".h5", ".hdf5", ".hdf"
PACKED_SUFFIXES = ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".7z", ".rar"


class Dataset(NamedTuple):
    """Images with their labels, and images for evaluation."""

    images: Any  # (N, H, W) or (N, H, W, 3), uint8: an array, or StackedImages
    labels: np.ndarray | None  # (N,), positions in `names`
    names: list[str]  # of the classes
    test: np.ndarray | None  # images for evaluation only, never used for training
    test_labels: np.ndarray | None
    notes: list[str]  # what the user should know, in sentences


def load_dataset(
    path: Path,
    *,
    classes: str = "",
    size: int = 0,
    strict: bool = False,
    value_range: tuple[float, float] | None = None,
    transpose: bool = False,
) -> Dataset:
    """Load the Dataset at a path.

    With `classes`, such as "3,8", only images of these classes are returned (`split_names`). With
    `size`, images are scaled and cropped to size x size pixels. `value_range` are the values that
    become black and white. With `transpose`, rows and columns of every image are exchanged. Raises
    DataError if the data cannot be used or, if `strict` is set, if any picture cannot be read.
    """
    path = Path(path)
    if path == STACKED_MNIST:
        if classes:
            raise DataError(
                f"{path} has no labels, so --classes cannot select any: omit one of the two"
            )
        options = dict(size=size, value_range=value_range, transpose=transpose)
        return stack(load_dataset(SHIPPED, **options))  # type: ignore[arg-type]
    if not (path.is_dir() or path.is_file()):
        problem = "is not a file or folder" if path.exists() else "does not exist"
        if path.resolve() == SHIPPED:
            raise DataError(
                f"there is no MNIST in {path}: python -m minigan data says where to get it; or"
                " train on images of your own with --data"
            )
        raise DataError(
            f"{path} {problem}: name a folder of images, or a file of an IDX, NumPy, MATLAB, HDF5,"
            " CSV, Parquet or zip format"
        )
    if size and not size_fits(size, size):
        raise DataError(
            f"--size {size} is too large: at most {math.isqrt(MAX_PIXELS // 3)}, or"
            f" {math.isqrt(MAX_PIXELS)} for grey images"
        )
    raw, is_idx = read_raw(path, size=size, strict=strict, value_range=value_range)
    if raw.images_are_bytes:
        value_range = 0, 255
    raw = check_raw(raw, str(path), size=size, value_range=value_range)
    if transpose:
        turned = None if raw.test is None else raw.test.swapaxes(1, 2).copy()
        raw = raw._replace(images=raw.images.swapaxes(1, 2).copy(), test=turned)
    elif "emnist" in path.name.lower():
        note = "EMNIST is published with rows and columns exchanged: --transpose turns it"
        raw = raw._replace(notes=[*raw.notes, note])
    data = make_dataset(raw, in_order=is_idx)
    return select_classes(data, classes, path) if classes else data


def stack(digits: Dataset) -> Dataset:
    """The Dataset of all triples of digits; its test images are a fixed sample of them."""
    notes = ["each image is made of three digits, drawn at random: one in each colour"]
    if STACKED_MNIST.exists():
        notes.append(
            f"{STACKED_MNIST} means the digits in {SHIPPED}, not what is called so in this folder:"
            " give its full path to train on that"
        )
    test = None if digits.test is None else StackedImages(digits.test)[:]
    return Dataset(StackedImages(digits.images), None, [], test, None, [*digits.notes, *notes])


def check_raw(
    raw: RawData, what: str, *, size: int = 0, value_range: tuple[float, float] | None = None
) -> RawData:
    """Check and convert images and labels, with notes for the user; `what` names them in errors.

    The images are (N, H, W) or (N, H, W, 3), uint8, afterwards, and the labels (N,). `size` and
    `value_range` are as in load_dataset. Raises DataError.
    """
    notes, options = list(raw.notes), dict[str, Any](size=size, value_range=value_range)
    images, labels = check_images(what, raw.images, raw.labels, **options, notes=notes)
    test, test_labels = None, None
    if raw.test is not None:  # notes are about the training images
        test, test_labels = check_images(what, raw.test, raw.test_labels, **options, notes=[])
        if test.shape[1:] != images.shape[1:]:
            raise DataError(
                f"{what} holds images of {format_shape(images.shape[1:])}, but test images of"
                f" {format_shape(test.shape[1:])}"
            )
    return RawData(images, labels, test, test_labels, notes, images_are_bytes=True)


def make_dataset(raw: RawData, *, in_order: bool = False) -> Dataset:
    """The Dataset of images and labels that check_raw has converted, in a random order that is
    always the same, or in their own order.
    """
    images, labels, test, test_labels, notes, _ = raw
    if not in_order:
        images, labels = shuffled(images, labels)
        if test is not None:
            test, test_labels = shuffled(test, test_labels)
    return number_labels(images, labels, test, test_labels, list(notes))


def read_raw(path: Path, **settings: Any) -> tuple[RawData, bool]:
    """(what is at the path, whether it is already shuffled, as IDX data sets are)."""
    if path.is_dir():
        if files := find_idx_files(path):
            return read_idx_files(path, files), True
        file = find_data_file(path)
        if not file:
            return read_pictures(path, **settings), False
        path = file
    name = path.name.lower()
    if name.endswith(PARQUET_SUFFIXES):
        return read_parquet(path, **settings), False
    start = first_bytes(path)
    if start.startswith(ZIP_MAGIC) and not has_arrays(path):
        return read_pictures(path, **settings), False
    if name.endswith(PICTURE_SUFFIXES):
        raise DataError(f"{path} is a single picture: name the folder that contains it")
    if name.endswith(PACKED_SUFFIXES):
        raise DataError(f"{path} is an archive: unpack it, and name the file or folder in it")
    raw = read_file(path)
    notes = list(raw.notes)
    if raw.labels is None:
        for old, new in (["images", "image", "imgs"], "labels"), (["x"], "y"):
            if beside := sibling(path, old, new):
                notes.append(f"the labels are in {beside.name}")
                raw = raw._replace(labels=read_labels(beside))
    if raw.test is None:
        for new in "test", "t10k", "val", "valid", "validation":
            if beside := sibling(path, ["train", "training"], new):
                notes.append(f"the results are compared with the images in {beside.name}")
                test = read_raw(beside, **settings)[0]
                raw = raw._replace(test=test.images, test_labels=test.labels)
                break
    is_idx = start[:2] in (b"\0\0", b"\x1f\x8b") and not name.endswith(CSV_SUFFIXES)
    return raw._replace(notes=notes), is_idx


def read_file(path: Path) -> RawData:
    """Read a single file of arrays or a table, recognised by its first bytes or its suffix."""
    name, start = path.name.lower(), first_bytes(path)
    if name.endswith(".mat"):
        return read_mat(path)
    if start.startswith(HDF5_MAGIC):
        return read_hdf5(path)
    if start.startswith((NPY_MAGIC, ZIP_MAGIC)):
        return read_numpy(path)
    if name.endswith(CSV_SUFFIXES):
        return read_csv(path)
    return RawData(read_idx(path))


def read_labels(path: Path) -> np.ndarray:
    """The array in a file that holds nothing but labels. Raises DataError."""
    raw = read_file(path)
    return raw.images if raw.labels is None else raw.labels


def first_bytes(path: Path) -> bytes:
    """The beginning of a file. Raises DataError if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(len(HDF5_MAGIC))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None


def has_arrays(path: Path) -> bool:
    """Whether a zip archive is a .npz file; one that is damaged counts as such."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(".npy") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError):
        return True


def find_data_file(folder: Path) -> Path | None:
    """The file of training images in a folder with arrays or tables and no pictures, or None.

    Raises DataError if several files could be it.
    """
    data = (*TABLE_SUFFIXES, *ARRAY_SUFFIXES)
    found = find_files(folder, {*data, ".gz", *PICTURE_SUFFIXES}, Counter())
    names = [file.path.name.lower() for file in found]
    if any(name.endswith(PICTURE_SUFFIXES) for name in names):
        return None
    files = [folder / file.path for file, name in zip(found, names) if name.endswith(data)]
    if len(files) > 1:
        images = [path for path in files if "label" not in path.name.lower()]
        files = [path for path in images if "train" in path.name.lower()] or images
        firsts = [path for path in files if "-00000-of-" in path.name]
        files = firsts if len(firsts) == 1 else files
    if len(files) > 1:
        raise DataError(
            f"{folder} holds several files of data: name one of them, such as"
            f" {shorten_list(files, 3)}"
        )
    return files[0] if files else None


def read_idx_files(folder: Path, files: dict[tuple[str, str], Path]) -> RawData:
    """Read the IDX files of a data set in a folder, those of MNIST with their hashes."""

    def read(part, kind):
        path = files.get((part, kind))
        if path is None:
            return None
        if path.name.removesuffix(".gz") in SHA256:
            return (load_images if kind == "images" else load_labels)(
                folder, path.name.removesuffix(".gz")
            )
        return read_idx(path)

    images = read("train", "images")
    return RawData(images, read("train", "labels"), read("test", "images"), read("test", "labels"))


def shuffled(images: np.ndarray, labels: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Images and labels in a random order that is always the same.

    Images are moved within their array, if it can be changed: a second one may not fit into memory.
    """
    order = np.random.default_rng(0).permutation(len(images))
    if images.flags.c_contiguous and images.flags.writeable:
        reorder(images, order)
    else:
        images = np.ascontiguousarray(images[order])
    return images, None if labels is None else labels[order]


def reorder(x: np.ndarray, order: np.ndarray) -> None:
    """x[...] = x[order] without a second array of that size; order is a permutation.

    Row i receives row order[i], whose place then receives row order[order[i]], and so on, until the
    circle closes at row i. Each circle is followed once.

    >>> x = np.array([10, 11, 12, 13])
    >>> reorder(x, np.array([2, 1, 3, 0]))
    >>> x.tolist()
    [12, 11, 13, 10]
    """
    moved = np.zeros(len(x), bool)
    for first in range(len(x)):
        if moved[first]:
            continue
        row, to = x[first].copy(), first
        while order[to] != first:
            x[to] = x[order[to]]
            moved[to] = True
            to = order[to]
        x[to] = row
        moved[to] = True


def number_labels(
    images: np.ndarray,
    labels: np.ndarray | None,
    test: np.ndarray | None,
    test_labels: np.ndarray | None,
    notes: list[str],
) -> Dataset:
    """A Dataset in which each label is a position in the sorted list of all labels."""
    if labels is None:
        return Dataset(images, None, [], test, None, notes)
    both = labels if test_labels is None else np.concatenate([labels, test_labels])
    distinct, positions = np.unique(both, return_inverse=True)
    names = [str(name) for name in distinct]
    order = sorted(range(len(names)), key=lambda i: natural_key(names[i]))
    positions = np.argsort(order)[positions]
    return Dataset(
        images,
        positions[: len(labels)],
        [names[i] for i in order],
        test,
        None if test_labels is None else positions[len(labels) :],
        notes,
    )


def with_class_order(data: Dataset, names: list[str]) -> Dataset:
    """The same Dataset with its classes in the order of `names`, if these are its classes.

    A run keeps the order that it began with, and earlier versions sorted 10 before 2.
    """
    if data.labels is None or sorted(data.names) != sorted(names):
        return data
    positions = np.array([names.index(name) for name in data.names])
    labels, test = data.labels, data.test_labels
    return data._replace(
        names=names,
        labels=positions[labels],
        test_labels=None if test is None else positions[test],
    )


def select_classes(data: Dataset, classes: str, path: Path) -> Dataset:
    """The part of a Dataset in the given classes, such as "3,8". Raises DataError."""
    if data.labels is None:
        raise DataError(
            f"{path} has no labels, so --classes cannot select any: pictures get labels from"
            " sub-folders, one per class, arrays from `labels` beside `images`, and IDX folders"
            f" from {TRAIN_LABELS}"
        )
    present, wanted = [data.names[i] for i in np.unique(data.labels)], split_names(classes)
    if unknown := [name for name in wanted if name not in present]:
        listed = [join_names([name]) for name in present]  # as --classes takes them
        raise DataError(
            f"no class in {path} is called {unknown[0]!r}: there are {shorten_list(listed, 30)}"
        )
    kept = [i for i, name in enumerate(data.names) if name in wanted]

    def part(images, labels):
        rows = [] if images is None or labels is None else np.flatnonzero(np.isin(labels, kept))
        return (images[rows], np.searchsorted(kept, labels[rows])) if len(rows) else (None, None)

    images, labels = part(data.images, data.labels)
    test, test_labels = part(data.test, data.test_labels)
    names = [data.names[i] for i in kept]
    return Dataset(images, labels, names, test, test_labels, data.notes)


def check_images(
    what: str,
    images: np.ndarray,
    labels: np.ndarray | None,
    *,
    size: int,
    value_range: tuple[float, float] | None,
    notes: list[str],
) -> tuple[np.ndarray, np.ndarray | None]:
    """Check and convert (images, labels), and append sentences for the user to `notes`.

    The images returned are (N, H, W) or (N, H, W, 3), uint8, scaled to size x size unless size is
    0, and the labels are (N,). Raises DataError for other shapes, for values that may not be what
    they seem, for images that are too large, and for labels that do not match the images.
    """
    if images.ndim == 2 and (side := square_side(images.shape[1])):
        notes.append(
            f"each row of {images.shape[1]} numbers is read as an image of {side} x {side} pixels"
        )
        images = images.reshape(-1, side, side)
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    if images.ndim != 3 and not (images.ndim == 4 and images.shape[3] == 3):
        raise DataError(
            f"{what} holds an array of shape {images.shape}, but images must be (N, height, width),"
            " or (N, height, width, 3) in colour: try x.reshape(-1, height, width),"
            " x.transpose(0, 2, 3, 1) or x[..., :3]"
        )
    images = convert_to_bytes(images, value_range, what=what, notes=notes)
    if size and images.shape[1:3] != (size, size):
        fitted = np.empty((len(images), size, size, *images.shape[3:]), np.uint8)
        for image, out in zip(images, fitted):
            out[...] = np.asarray(ImageOps.fit(Image.fromarray(image), (size, size)))
        images = fitted
    if not size_fits(*images.shape[1:]):
        raise DataError(
            f"{what} holds images of {format_shape(images.shape[1:])}, which are too large: at"
            f" most {MAX_SIDE} pixels a side and {MAX_PIXELS:,} values, three per pixel in colour;"
            " use a smaller --size, such as 64, to scale and crop them"
        )
    if labels is not None:
        labels = convert_labels(labels, len(images), what=what, notes=notes)
    return images, labels
