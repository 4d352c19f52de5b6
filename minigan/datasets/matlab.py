"""MATLAB and HDF5 files: named arrays, in MATLAB's order of axes or in NumPy's.

The idea
    SciPy reads .mat files up to version 7, and h5py reads HDF5, which later .mat files are, too.
    raw.py says which arrays are images and labels. MATLAB's habit is to put the examples last:

        SVHN (train_32x32.mat)        X (32, 32, 3, N), y (N, 1), where class 10 is the digit 0
        USPS (usps_resampled.mat)     train_patterns (256, N), train_labels (10, N), one-hot
        USPS (usps_all.mat)           data (256, N, 10): pixels, examples, classes
        MNIST (mnist_all.mat)         train0 ... train9 and test0 ... test9, each (N, 784)
        EMNIST (emnist-letters.mat)   dataset.train.images (N, 784), transposed: `--transpose`

    `examples_first` finds the axis of the examples: it is as long as the labels or, without labels,
    the only one that leaves something that can be an image.

Shapes
    Images (N, ...) and labels (N,) or (N, K), of any type.

>>> images, labels = examples_first(np.zeros((32, 32, 3, 50)), np.zeros((50, 1)), "x.mat")
>>> images.shape, labels.shape
((50, 32, 32, 3), (50, 1))
>>> examples_first(np.zeros((784, 70)), None, "x.mat")[0].shape
(70, 784)
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minigan.datasets.optional import import_optional, unreadable_file
from minigan.datasets.pixels import MAX_BYTES, DataError
from minigan.datasets.raw import RawData, choose_arrays, square_side

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
MAT_73 = b"MATLAB 7.3"


def read_mat(path: Path) -> RawData:
    """Read the images and labels of a .mat file of any version. Raises DataError."""
    with open(path, "rb") as file:
        later = file.read(len(MAT_73)) == MAT_73
    if later:
        return read_hdf5(path, matlab=True)
    loadmat = import_optional("scipy.io", path).loadmat
    try:
        content = loadmat(path, simplify_cells=True)
    except Exception as error:  # for a damaged file SciPy may raise almost any exception
        raise unreadable_file(path, error) from None
    arrays = {
        name: array
        for name, array in flatten(content).items()
        if array.dtype.kind in "biufU" and not name.startswith("__")
    }
    return arrange(path, {n: a.shape for n, a in arrays.items()}, arrays.__getitem__)


def flatten(content: dict[str, Any], prefix: str = "") -> dict[str, np.ndarray]:
    """{"a/b": array} for {"a": {"b": array}}."""
    flat: dict[str, np.ndarray] = {}
    for name, value in content.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{name}/")
        else:
            flat[prefix + name] = np.asarray(value)
    return flat


def read_hdf5(path: Path, *, matlab: bool = False) -> RawData:
    """Read the images and labels of an HDF5 file; `matlab` says that MATLAB wrote it.

    MATLAB stores its arrays with the axes in reverse order. Raises DataError.
    """
    h5py = import_optional("h5py", path)
    try:
        with h5py.File(path, "r") as file:
            found: dict[str, Any] = {}

            def visit(name, item):
                if isinstance(item, h5py.Dataset) and not name.startswith("#"):
                    if item.dtype.kind in "biufS" or h5py.check_string_dtype(item.dtype):
                        found[name] = item

            file.visititems(visit)

            def read(name):
                item = found[name]
                if not 0 < item.size * item.dtype.itemsize <= MAX_BYTES:
                    raise DataError(
                        f"{path}: {name} has the shape {item.shape}, which is empty or more than"
                        f" {MAX_BYTES >> 30} GB"
                    )
                if h5py.check_string_dtype(item.dtype):
                    return item.asstr()[...].astype(str)
                return item[...].T if matlab else item[...]

            shapes = {n: i.shape[::-1] if matlab else i.shape for n, i in found.items()}
            if matlab:
                return arrange(path, shapes, read)
            wanted, notes = choose_arrays(path, shapes)
            images, labels, test, test_labels = (
                None if name is None else read(name) for name in wanted
            )
            assert images is not None
            return RawData(images, labels, test, test_labels, notes)
    except DataError:
        raise
    except Exception as error:  # for a damaged file h5py may raise almost any exception
        raise unreadable_file(path, error) from None


def arrange(
    path: Path, shapes: dict[str, tuple[int, ...]], read: Callable[[str], np.ndarray]
) -> RawData:
    """The images and labels among MATLAB's arrays, with the examples along the first axis."""
    numbered = {part: by_class(part, shapes, read) for part in ("train", "test")}
    if numbered["train"]:
        return RawData(*numbered["train"], *(numbered["test"] or (None, None)))
    wanted, notes = choose_arrays(path, shapes)
    images, labels, test, test_labels = (None if name is None else read(name) for name in wanted)
    assert images is not None
    if labels is None and images.ndim == 3 and square_side(len(images)) and test is None:
        pixels, n, n_classes = images.shape
        if n_classes < n != pixels:
            notes.append(f"the classes are numbered from 1 to {n_classes}, along the last axis")
            labels = np.arange(1, n_classes + 1).repeat(n)
            return RawData(images.transpose(2, 1, 0).reshape(-1, pixels), labels, notes=notes)
    train = examples_first(images, labels, str(path))
    if test is None:
        return RawData(*train, notes=notes)
    return RawData(*train, *examples_first(test, test_labels, str(path)), notes=notes)


def by_class(
    part: str, shapes: dict[str, tuple[int, ...]], read: Callable[[str], np.ndarray]
) -> tuple[np.ndarray, np.ndarray] | None:
    """(images, labels) from arrays called train0, train1, ...; None if there are none."""
    names = [name for name in shapes if re.fullmatch(rf"{part}_?\d+", name)]
    if len(names) < 2:
        return None
    arrays = [read(name) for name in names]
    labels = [int(name.removeprefix(part).lstrip("_")) for name in names]
    return np.concatenate(arrays), np.repeat(labels, [len(array) for array in arrays])


def examples_first(
    images: np.ndarray, labels: np.ndarray | None, what: str
) -> tuple[np.ndarray, np.ndarray | None]:
    """Move the axis of the examples to the front. Raises DataError if it is uncertain."""
    axes = [images.ndim - 1, 0]
    if images.ndim == 4:  # (H, W, C, N) or (N, H, W, C)
        axes = [axis for axis in axes if images.shape[2 if axis == 3 else 3] in (1, 3)]
    elif images.ndim == 3 and labels is None:
        axes = [a for a in axes if len({n for i, n in enumerate(images.shape) if i != a}) == 1]
    elif images.ndim == 2:
        axes = [axis for axis in axes if square_side(images.shape[1 - axis])]
    if labels is not None:
        axes = [axis for axis in axes if images.shape[axis] in labels.shape]
    if len(axes) != 1:
        raise DataError(
            f"{what} holds images of shape {images.shape}, and it is uncertain along which axis"
            " the images lie: save them in NumPy, as (N, height, width[, 3])"
        )
    count = images.shape[axes[0]]
    if labels is not None and labels.ndim == 2 and labels.shape[1] == count != labels.shape[0]:
        labels = labels.T
    return np.moveaxis(images, axes[0], 0), labels
