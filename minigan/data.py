"""Data: MNIST, the IDX format, and the one place that scales pixels.

The idea
    MNIST's makers store arrays in "IDX" files (Y. LeCun's page of MNIST describes them): a short
    header, then the numbers, one byte each.

        byte 0, 1   zero
        byte 2      the type of the numbers; 8 means unsigned bytes, the only one we read
        byte 3      how many dimensions: 3 for images, 1 for labels
        4 each      the length of each dimension, most significant byte first
        then        the numbers, row by row

    A file can lie. So what its header claims is compared with what is really there before an array of
    that size is made, and every complaint names the file.

Scaling
    The generator ends in a tanh, so it draws in [-1, 1]. Real images must be shown to the discriminator
    in that same range: otherwise it can tell them apart by brightness alone, and teaches nothing about
    shapes. Pixels are kept as bytes, which need a quarter of the memory of float32, and scaled batch by
    batch:

        scale:    x = byte / 127.5 - 1          0 ... 255  ->  -1 ... 1
        unscale:  (x + 1) / 2                  -1 ... 1    ->   0 ... 1

    A generator that ends in a sigmoid draws in [0, 1], and then black must be 0. `low` says which black
    it is, -1 or 0.

Shapes
    Images (N, height, width), uint8; scaled as they are. Labels (N,), uint8.

>>> scale(np.uint8([0, 51, 255]), "float64").round(3).tolist(), unscale(np.float32([-1, 0, 1])).tolist()
([-1.0, -0.6, 1.0], [0.0, 0.5, 1.0])
>>> import pathlib, tempfile
>>> path = pathlib.Path(tempfile.mkdtemp()) / "tiny"
>>> _ = path.write_bytes(bytes([0, 0, 8, 2]) + bytes([0, 0, 0, 2, 0, 0, 0, 3]) + bytes(range(6)))
>>> read_idx(path).tolist()
[[0, 1, 2], [3, 4, 5]]
"""
import gzip
import hashlib
import math
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np

SHIPPED = Path(__file__).resolve().parent.parent / "data"
TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
MOST_SIDE, MOST_PIXELS = 1024, 128 * 128 * 3  # of one image; a pixel in colour counts as three
MOST_BYTES = 1 << 32  # of all images together: 4 GB
SHA256 = {  # of the unpacked bytes of what data/ ships
    TRAIN_IMAGES: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    TRAIN_LABELS: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    TEST_IMAGES: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    TEST_LABELS: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
DAMAGE = (ValueError, LookupError, TypeError, AttributeError, EOFError, MemoryError, RuntimeError, ArithmeticError, SyntaxError,
          struct.error, zlib.error, zipfile.BadZipFile, tokenize.TokenError)  # what NumPy raises when a file is bad


class DataError(ValueError):
    """A file or folder of data cannot be used; the message names it and says why."""


def scale(images, dtype="float32", low=-1.0):
    """Bytes 0 ... 255, of any shape, to numbers in [low, 1], for a low of -1 or 0."""
    return images.astype(dtype) / (255 / (1 - low)) + low


def unscale(x, low=-1.0):
    """Numbers in [low, 1], of any shape, to numbers in [0, 1]; what is darker than low is black."""
    return ((x - low) / (1 - low)).clip(0, 1)


def read_idx(path, sha256=None):
    """The uint8 array in an IDX file, plain or gzipped.

    `sha256` is the hash that the unpacked file must have. Raises DataError for anything that is
    not exactly one IDX array of unsigned bytes.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            size, zipped = path.stat().st_size, file.read(2) == b"\x1f\x8b"
        with (gzip.open if zipped else open)(path, "rb") as file:
            header = file.read(4)
            if len(header) < 4 or header[:2] != b"\0\0":
                raise DataError(f"{path} is not an IDX file: it begins with {header.hex(' ') or 'nothing'}, not with 00 00")
            if header[2] != 8:
                raise DataError(f"{path} holds numbers of IDX type {header[2]}, and only type 8, unsigned bytes, is read")
            if header[3] == 0:
                raise DataError(f"{path} says that it has no dimensions")
            lengths = file.read(4 * header[3])
            if len(lengths) < 4 * header[3]:
                raise DataError(f"{path} ends in the middle of its header")
            shape = tuple(int.from_bytes(lengths[i:i + 4], "big") for i in range(0, len(lengths), 4))
            claimed = math.prod(shape)
            if claimed == 0 or len(shape) > 8:
                raise DataError(f"{path} says it holds {' x '.join(map(str, shape))} bytes: that is no array of images")
            most = 1032 * size if zipped else size  # gzip cannot pack tighter than 1032 to 1
            if claimed > most:
                raise DataError(f"{path} says it holds {' x '.join(map(str, shape))} bytes"
                                f" but is only {size} bytes long{', gzipped' if zipped else ''}: cut off?")
            body = file.read(claimed + 1)
    except (OSError, EOFError, zlib.error) as error:  # gzip.BadGzipFile is an OSError
        raise DataError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
    if len(body) != claimed:
        raise DataError(f"{path} says it holds {' x '.join(map(str, shape))} bytes of data"
                        f" but holds {'more' if len(body) > claimed else f'only {len(body)}'}")
    found = hashlib.sha256(header + lengths)
    found.update(body)
    if sha256 and found.hexdigest() != sha256:
        raise DataError(f"{path} is not the file that minigan ships (its SHA-256 differs): restore it, git checkout data")
    return np.frombuffer(body, dtype=np.uint8).reshape(shape)


def find(folder, name):
    """The path of an IDX file in a folder, gzipped or plain, or None."""
    return next((p for p in (folder / (name + ".gz"), folder / name) if p.is_file()), None)


def load_images(folder=SHIPPED, name=TRAIN_IMAGES):
    """The images (N, height, width), uint8, in a folder with files named like MNIST's.

    What lies in minigan's own `data/` is checked against its known hashes. Raises DataError.
    """
    return read_mnist(folder, name, "images", 3)


def load_labels(folder=SHIPPED, name=TRAIN_LABELS):
    """The labels (N,), uint8, that belong to `load_images`. Raises DataError."""
    return read_mnist(folder, name, "labels", 1)


def read_mnist(folder, name, what, n_dims):
    """One of the four files, checked for what it should hold."""
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder with images: " + ("it is a file" if folder.exists() else "it does not exist"))
    path = find(folder, name)
    if path is None:
        raise DataError(f"{folder} holds neither {name}.gz nor {name}: put the {what} there under one of these names")
    array = read_idx(path, SHA256[name] if folder.resolve() == SHIPPED else None)
    if array.ndim != n_dims:
        raise DataError(f"{path} holds an array of shape {array.shape}, not {what}, which have {n_dims} dimensions")
    return array


def fits(height, width, channels=1):
    """Whether images of this size can be trained on."""
    return 1 <= height <= MOST_SIDE and 1 <= width <= MOST_SIDE and channels in (1, 3) and height * width * channels <= MOST_PIXELS


def in_words(shape):
    """An image's shape, (height, width) or (height, width, 3), in words."""
    return f"{shape[0]} x {shape[1]}{' in colour' if len(shape) == 3 else ''}"


def some(things, most):
    """The first few of many things, in words."""
    return ", ".join(str(thing) for thing in list(things)[:most]) + (", ..." if len(things) > most else "")
