"""Data sets: load images and labels from any supported file or folder.

The idea
    `load_dataset` takes the path given by `--data` and returns images of one size, as bytes, with
    their labels if there are any. The path may be

        a folder of IDX files     named like those of MNIST (see idx.py) or Fashion-MNIST
        one IDX file of images    labels: the file with "labels" in its name instead of "images"
        a .npy or .npz file       NumPy arrays of bytes: `images` and, optionally, `labels`,
                                  `test_images` and `test_labels`
        a folder of pictures      see images.py; labels: the sub-folders, if all pictures are in one

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
>>> np.savez(path, images=np.zeros((5, 8, 8), "uint8"), labels=colours)
>>> data = load_dataset(path)
>>> data.images.shape, data.names, np.bincount(data.labels).tolist()
((5, 8, 8), ['blue', 'red'], [2, 3])
>>> len(load_dataset(path, classes="blue").images)
2
"""

import math
import zipfile
from pathlib import Path
from typing import IO, Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from minigan.datasets.idx import (
    SHIPPED,
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    find_idx,
    load_images,
    load_labels,
    read_idx,
)
from minigan.datasets.images import PICTURE_SUFFIXES, read_pictures
from minigan.datasets.names import join_names, natural_key, split_names
from minigan.datasets.pixels import (
    DAMAGE,
    MAX_BYTES,
    MAX_PIXELS,
    MAX_SIDE,
    DataError,
    format_shape,
    shorten_list,
    size_fits,
)

ARRAY_NAMES = [  # of the arrays in a .npz file: minigan's, and those in common use
    ("images", "labels", "test_images", "test_labels"),
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("x_train", "y_train", "x_test", "y_test"),
]
ZIP_MAGIC, NPY_MAGIC = b"PK", b"\x93NUMPY"
Arrays = tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None, np.ndarray | None]


class Dataset(NamedTuple):
    """Images with their labels, class names and test images."""

    images: np.ndarray  # (N, H, W), or (N, H, W, 3) in colour, uint8
    labels: np.ndarray | None  # (N,) positions in `names`
    names: list[str]  # of the classes; empty without labels
    test: np.ndarray | None  # images for evaluation only, never used for training
    test_labels: np.ndarray | None
    notes: list[str]  # what the user should know, in sentences


def load_dataset(path: Path, *, classes: str = "", size: int = 0, strict: bool = False) -> Dataset:
    """Load the Dataset at a path.

    With `classes`, such as "3,8", only images of these classes are returned (`split_names`). With
    `size`, images are scaled and cropped to size x size pixels. Raises DataError if the data cannot
    be used or, if `strict` is set, if any picture cannot be read.
    """
    path = Path(path)
    notes: list[str] = []
    if not (path.is_dir() or path.is_file()):
        problem = "is not a file or folder" if path.exists() else "does not exist"
        if path.resolve() == SHIPPED:
            raise DataError(
                f"there is no MNIST in {path}: python -m minigan data says where to get it; or"
                " train on images of your own with --data"
            )
        raise DataError(
            f"{path} {problem}: name a folder of images, an IDX file, or a .npy or .npz file"
        )
    if size and not size_fits(size, size):
        raise DataError(
            f"--size {size} is too large: at most {math.isqrt(MAX_PIXELS // 3)}, or"
            f" {math.isqrt(MAX_PIXELS)} for grey images"
        )
    is_idx = bool(find_idx(path, TRAIN_IMAGES)) if path.is_dir() else not is_numpy(path)
    found: Arrays
    if path.is_dir() and not is_idx:
        images, labels, notes = read_pictures(path, size=size, strict=strict)
        found = images, labels, None, None
    elif path.is_dir():
        found = read_idx_folder(path)
    else:
        found = read_idx_file(path) if is_idx else read_arrays(path)
    train, test = check_images(path, size, *found[:2]), check_images(path, size, *found[2:])
    assert train is not None  # every reader returns images or raises DataError
    if test and test[0].shape[1:] != train[0].shape[1:]:
        raise DataError(
            f"{path} holds images of {format_shape(train[0].shape[1:])}, but test images of"
            f" {format_shape(test[0].shape[1:])}"
        )
    if not is_idx:
        train, test = shuffled(*train), shuffled(*test) if test else None
    images, labels = train
    test_images, test_labels = test or (None, None)
    data = number_labels(images, labels, test_images, test_labels, notes)
    return select_classes(data, classes, path) if classes else data


def shuffled(images: np.ndarray, labels: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Images and labels in a random order that is always the same."""
    order = np.random.default_rng(0).permutation(len(images))
    return images[order], None if labels is None else labels[order]


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
    path: Path, size: int, images: np.ndarray | None, labels: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None] | None:
    """Check and convert (images, labels); None if there are no images.

    The images returned are (N, H, W) or (N, H, W, 3), scaled to size x size unless size is 0, and
    the labels are (N,). Raises DataError for other shapes, for images that are too large, and for
    labels that do not match the images.
    """
    if images is None:
        return None
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    if images.ndim != 3 and not (images.ndim == 4 and images.shape[3] == 3):
        raise DataError(
            f"{path} holds an array of shape {images.shape}, but images must be (N, height, width),"
            " or (N, height, width, 3) in colour: try x.reshape(-1, height, width),"
            " x.transpose(0, 2, 3, 1) or x[..., :3]"
        )
    if size and images.shape[1:3] != (size, size):
        images = np.stack(
            [np.asarray(ImageOps.fit(Image.fromarray(image), (size, size))) for image in images]
        )
    if not size_fits(*images.shape[1:]):
        raise DataError(
            f"{path} holds images of {format_shape(images.shape[1:])}, which are too large: at"
            f" most {MAX_SIDE} pixels a side and {MAX_PIXELS:,} values, three per pixel in colour;"
            " use a smaller --size, such as 64, to scale and crop them"
        )
    if labels is not None:
        labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
        if labels.shape != images.shape[:1]:
            raise DataError(
                f"{path} holds {len(images):,} images, but labels of shape {labels.shape}: each"
                " image needs one label, unless all labels are omitted"
            )
    return images, labels


def read_idx_folder(folder: Path) -> Arrays:
    """(images, labels, test images, test labels) from a folder; None for missing ones."""
    images = load_images(folder, TRAIN_IMAGES)
    labels = load_labels(folder, TRAIN_LABELS) if find_idx(folder, TRAIN_LABELS) else None
    test = load_images(folder, TEST_IMAGES) if find_idx(folder, TEST_IMAGES) else None
    test_labels = load_labels(folder, TEST_LABELS) if find_idx(folder, TEST_LABELS) else None
    return images, labels, test, test_labels


def read_idx_file(path: Path) -> Arrays:
    """(images, labels or None, None, None) from an IDX file and the file of its labels."""
    beside = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
    if path.suffix.lower() in PICTURE_SUFFIXES:
        raise DataError(f"{path} is a single picture: name the folder that contains it")
    labels = read_idx(beside) if beside != path and beside.is_file() else None
    return read_idx(path), labels, None, None


def is_numpy(path: Path) -> bool:
    """Whether a file begins like a .npy or .npz file."""
    try:
        with open(path, "rb") as file:
            return file.read(len(NPY_MAGIC)).startswith((NPY_MAGIC, ZIP_MAGIC))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None


def read_arrays(path: Path) -> Arrays:
    """(images, labels, test images, test labels) from a .npy or .npz file; None for missing ones.

    Nothing in the file is executed (no pickle), and array sizes are checked before memory is
    allocated. Raises DataError.
    """
    try:
        with open(path, "rb") as file:
            files: dict[str, Any]
            if file.read(len(ZIP_MAGIC)) == ZIP_MAGIC:
                zipped = zipfile.ZipFile(file)
                files = {
                    name.removesuffix(".npy"): zipped.open(name)
                    for name in zipped.namelist()
                    if name.endswith(".npy")
                }
                if not files:
                    raise DataError(
                        f"{path} is a zip file without arrays: if it holds pictures, unpack it"
                        " and name the folder"
                    )
            else:
                files = {"images": file}
                file.seek(0)
            headers = {name: read_header(part) for name, part in files.items()}
            wanted = choose_arrays(path, headers)
            images, labels, test, test_labels = (
                read_body(
                    files[name], headers[name], what=f"{path}: `{name}`", are_labels=are_labels
                )
                if name in files
                else None
                for name, are_labels in zip(wanted, (False, True, False, True))
            )
            return images, labels, test, test_labels
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None
    except DAMAGE as error:
        reason = str(error).partition("\n")[0][:100] or type(error).__name__
        raise DataError(f"{path} is damaged, or is not a NumPy file ({reason})") from None


class ArrayHeader(NamedTuple):
    """The header of a .npy file."""

    shape: tuple[int, ...]
    by_columns: bool  # whether the first index changes fastest
    dtype: np.dtype


def read_header(file: IO[bytes]) -> ArrayHeader:
    """Read the header of an open .npy file."""
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return ArrayHeader(*np.lib.format.read_array_header_1_0(file))
    return ArrayHeader(*np.lib.format.read_array_header_2_0(file))


def choose_arrays(path: Path, headers: dict[str, ArrayHeader]) -> tuple[str, str, str, str]:
    """Choose the names of (images, labels, test images, test labels) among the arrays of a file."""
    known = next((names for names in ARRAY_NAMES if names[0] in headers), None)
    if known:
        return known
    possible = [name for name, header in headers.items() if len(header.shape) in (3, 4)]
    if len(possible) != 1:
        raise DataError(
            f"{path} holds {shorten_list(headers, 10)}: name the array of images `images`"
        )
    return (possible[0], *ARRAY_NAMES[0][1:])


def read_body(file: BinaryIO, header: ArrayHeader, *, what: str, are_labels: bool) -> np.ndarray:
    """Read the array after the header; `what` names it in errors. Raises DataError."""
    shape, by_columns, dtype = header
    if are_labels and dtype.kind not in "iubU":
        raise DataError(f"{what} holds {dtype}, but labels must be integers or words")
    if not are_labels and dtype != np.uint8:
        raise DataError(
            f"{what} holds {dtype}, but images must be bytes (uint8): save x.astype('uint8') if x"
            " is in [0, 255], or (255 * x).astype('uint8') if it is in [0, 1]"
        )
    size = math.prod(shape) * dtype.itemsize
    if not 0 < size <= MAX_BYTES:
        raise DataError(
            f"{what} has the shape {shape}, which is empty or more than {MAX_BYTES >> 30} GB"
        )
    content = file.read(size)
    if len(content) < size:
        raise DataError(
            f"{what} should hold {size:,} bytes but holds only {len(content):,}: is it truncated?"
        )
    return np.frombuffer(content, dtype).reshape(shape, order="F" if by_columns else "C")
