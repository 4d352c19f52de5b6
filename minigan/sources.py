"""Sources: images of one's own, whatever they lie in.

The idea
    `load` takes what the command's `--data` names, and gives images of one size, as bytes, with labels if there are any:

        a folder of IDX files     named like MNIST's, see data.py; Fashion-MNIST comes like that
        one IDX file of images    labels: the file whose name says "labels" where this one's says "images"
        a .npy or .npz file       NumPy's arrays of bytes: `images`, and `labels`, test_images, test_labels if they are there
        a folder of pictures      see pictures.py; labels: the sub-folders, if all pictures lie in some

    A label is a number: the position in the list of the classes' names, which are sorted.

Order
    Pictures and arrays often lie class by class. They are mixed, always in the same way, so that the first
    thousand are a fair sample. (Who makes IDX files has mixed them: they stay as they are.)

Shapes
    Images (N, H, W), or (N, H, W, 3) in colour, uint8; labels (N,).

>>> import tempfile
>>> path = Path(tempfile.mkdtemp()) / "dots.npz"
>>> np.savez(path, images=np.zeros((5, 8, 8), "uint8"), labels=["red", "blue", "red", "red", "blue"])
>>> data = load(path)
>>> data.images.shape, data.names, np.bincount(data.labels).tolist(), len(load(path, classes="blue").images)
((5, 8, 8), ['blue', 'red'], [2, 3], 2)
"""
import math
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from minigan.data import (DAMAGE, MOST_BYTES, MOST_PIXELS, MOST_SIDE, TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS, DataError,
                          find, fits, in_words, load_images, load_labels, read_idx, some)
from minigan.pictures import SUFFIXES, read_pictures

NAMES = [("images", "labels", "test_images", "test_labels"), ("train_images", "train_labels", "test_images", "test_labels"),
         ("x_train", "y_train", "x_test", "y_test")]  # of the arrays in a .npz file: ours, and those of others


class Data(NamedTuple):
    """Images, and what is known of them."""

    images: np.ndarray  # (N, H, W), or (N, H, W, 3) in colour, uint8
    labels: np.ndarray | None  # (N,) positions in `names`
    names: list  # of the classes; empty without labels
    test: np.ndarray | None  # images to measure against: no training is shown them
    test_labels: np.ndarray | None
    notes: list  # what the user should know, in sentences


def load(path, classes="", size=0, strict=False):
    """The Data at a path; of some classes only ("3,8"), and cut and scaled to size x size pixels, where these are given.

    Raises DataError where it cannot be used; if strict, also for a single picture that cannot be read.
    """
    path, notes = Path(path), []
    if not (path.is_dir() or path.is_file()):
        raise DataError(f"{path} {'is no file or folder' if path.exists() else 'does not exist'}: name a folder of images, an IDX file,"
                        " or a .npy or .npz file")
    if size and not fits(size, size):
        raise DataError(f"--size {size} is too large: at most {math.isqrt(MOST_PIXELS // 3)}, or {math.isqrt(MOST_PIXELS)} for grey images")
    idx = bool(find(path, TRAIN_IMAGES)) if path.is_dir() else not is_numpy(path)
    if path.is_dir() and not idx:
        *found, notes = read_pictures(path, size, strict)
    else:
        found = (read_idx_folder if path.is_dir() else read_idx_file if idx else read_arrays)(path)
    (images, labels), (test, test_labels) = check(path, size, *found[:2]), check(path, size, *found[2:])
    if test is not None and test.shape[1:] != images.shape[1:]:
        raise DataError(f"{path} holds images of {in_words(images.shape[1:])}, but test images of {in_words(test.shape[1:])}")
    if not idx:
        (images, labels), (test, test_labels) = mixed(images, labels), mixed(test, test_labels)
    names, n = [], len(images)
    if labels is not None:
        names, places = np.unique(labels if test_labels is None else np.concatenate([labels, test_labels]), return_inverse=True)
        labels, test_labels = places[:n], None if test_labels is None else places[n:]
    data = Data(images, labels, [str(name) for name in names], test, None if labels is None else test_labels, notes)
    return only(data, classes, path) if classes else data


def mixed(images, labels):
    """Both in another order, which is the same each time."""
    order = np.random.default_rng(0).permutation(0 if images is None else len(images))
    return tuple(None if array is None else array[order] for array in (images, labels))


def only(data, classes, path):
    """The part of data that belongs to some classes, "3,8"."""
    if data.labels is None:
        raise DataError(f"{path} has no labels, so that --classes cannot choose: pictures get them from sub-folders, one a class,"
                        f" arrays from `labels` beside `images`, IDX folders from {TRAIN_LABELS}")
    there = [data.names[i] for i in np.unique(data.labels)]
    if unknown := [name for name in classes.split(",") if name not in there]:
        raise DataError(f"no class in {path} is called {unknown[0]!r}: there are {some(there, 30)}")
    kept = [i for i, name in enumerate(data.names) if name in classes.split(",")]

    def part(images, labels):
        rows = [] if images is None or labels is None else np.flatnonzero(np.isin(labels, kept))
        return (images[rows], np.searchsorted(kept, labels[rows])) if len(rows) else (None, None)
    return Data(*part(data.images, data.labels), [data.names[i] for i in kept], *part(data.test, data.test_labels), data.notes)


def check(path, size, images, labels):
    """(images, labels) as they should be, the first scaled to size x size, if that is not 0; both may be None."""
    if images is None:
        return None, None
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    if images.ndim != 3 and not (images.ndim == 4 and images.shape[3] == 3):
        raise DataError(f"{path} holds an array of shape {images.shape}, and images are (N, height, width), or (N, height, width, 3) in"
                        " colour: x.reshape(-1, height, width), x.transpose(0, 2, 3, 1) or x[..., :3] may be what it needs")
    if size and images.shape[1:3] != (size, size):
        images = np.stack([np.asarray(ImageOps.fit(Image.fromarray(image), (size, size))) for image in images])
    if not fits(*images.shape[1:]):
        raise DataError(f"{path} holds images of {in_words(images.shape[1:])}, which are too large for a fully connected network: at most"
                        f" {MOST_PIXELS:,} numbers, and {MOST_SIDE} a side; a smaller --size, such as 64, cuts and scales them")
    if labels is not None:
        labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
        if labels.shape != images.shape[:1]:
            raise DataError(f"{path} holds {len(images):,} images, but labels of shape {labels.shape}: each needs one,"
                            " or leave all labels out")
    return images, labels


def read_idx_folder(folder):
    """(images, labels, test images, test labels) of a folder, None for what it does not hold."""
    return [read(folder, name) if find(folder, name) else None for read, name in (
        (load_images, TRAIN_IMAGES), (load_labels, TRAIN_LABELS), (load_images, TEST_IMAGES), (load_labels, TEST_LABELS))]


def read_idx_file(path):
    """The same of a single file."""
    beside = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
    if path.suffix.lower() in SUFFIXES:
        raise DataError(f"{path} is a picture: name the folder that it lies in")
    return read_idx(path), read_idx(beside) if beside != path and beside.is_file() else None, None, None


def is_numpy(path):
    """Whether a file begins like a .npy or a .npz file."""
    try:
        with open(path, "rb") as file:
            return file.read(6).startswith((b"\x93NUMPY", b"PK"))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None


def read_arrays(path):
    """(images, labels, test images, test labels) of a .npy or .npz file. Nothing in it is executed (no pickle), and of
    what an array claims to hold, nothing is believed before it is read."""
    try:
        with open(path, "rb") as file:
            if file.read(2) == b"PK":
                zipped = zipfile.ZipFile(file)
                files = {name.removesuffix(".npy"): zipped.open(name) for name in zipped.namelist() if name.endswith(".npy")}
                if not files:
                    raise DataError(f"{path} is a zip file without arrays: if it holds pictures, unpack them, and name their folder")
            else:
                files = {"images": file}
                file.seek(0)
            headers = {name: read_header(part) for name, part in files.items()}
            wanted = next((names for names in NAMES if names[0] in files), None)
            if wanted is None:  # then there may be only one that can be it
                maybe = [name for name, (shape, _, _) in headers.items() if len(shape) in (3, 4)]
                if len(maybe) != 1:
                    raise DataError(f"{path} holds {some(files, 10)}: call the one with the images `images`")
                wanted = maybe[0], *NAMES[0][1:]
            return [read_body(files[name], *headers[name], f"{path}: `{name}`", are_labels) if name in files else None
                    for name, are_labels in zip(wanted, (False, True, False, True))]
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None
    except DAMAGE as error:
        reason = str(error).partition("\n")[0][:100] or type(error).__name__
        raise DataError(f"{path} is damaged, or no file of NumPy's ({reason})") from None


def read_header(file):
    """(shape, whether columns come first, dtype): how an open .npy file begins."""
    version = np.lib.format.read_magic(file)
    return (np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0)(file)


def read_body(file, shape, by_columns, dtype, what, are_labels):
    """The array that follows."""
    if are_labels and dtype.kind not in "iubU":
        raise DataError(f"{what} holds {dtype}: labels are whole numbers, or words")
    if not are_labels and dtype != np.uint8:
        raise DataError(f"{what} holds {dtype}, and images are bytes, uint8: save them as x.astype('uint8') where x is 0 ... 255,"
                        " as (255 * x).astype('uint8') where it is 0 ... 1")
    size = math.prod(shape) * dtype.itemsize
    if not 0 < size <= MOST_BYTES:
        raise DataError(f"{what} has the shape {shape}: that is nothing, or more than {MOST_BYTES >> 30} GB")
    content = file.read(size)
    if len(content) < size:
        raise DataError(f"{what} should hold {size:,} bytes but holds only {len(content):,}: cut off?")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if by_columns else "C")
