"""NumPy files: .npy and .npz, read without executing anything in them.

The idea
    A .npz file is a zip archive of .npy files. `raw.py` says which of its arrays are images and
    which are labels. KMNIST has a file of images and a file of labels (kmnist-train-imgs.npz and
    kmnist-train-labels.npz), and its test images in two more; `load.py` looks for these.

    The header of each array is read first, so that its size is checked before memory is allocated.

>>> import tempfile
>>> path = Path(tempfile.mkdtemp()) / "a.npz"
>>> np.savez(path, x_train=np.zeros((5, 8, 8)), y_train=np.arange(5), other=np.zeros(3))
>>> raw = read_numpy(path)
>>> raw.images.shape, raw.labels.tolist(), raw.test
((5, 8, 8), [0, 1, 2, 3, 4], None)
"""

import math
import warnings
import zipfile
from pathlib import Path
from typing import IO, Any, BinaryIO, NamedTuple

import numpy as np

from minigan.datasets.pixels import DAMAGE, MAX_BYTES, DataError
from minigan.datasets.raw import RawData, choose_arrays

ZIP_MAGIC, NPY_MAGIC = b"PK", b"\x93NUMPY"
BYTES_AT_ONCE = 1 << 24


def read_numpy(path: Path) -> RawData:
    """Read a .npy or .npz file.

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
            else:
                files = {"images": file}
                file.seek(0)
            headers = {name: read_header(part) for name, part in files.items()}
            wanted, notes = choose_arrays(path, {n: h.shape for n, h in headers.items()})
            images, labels, test, test_labels = (
                None if name is None else read_body(files[name], headers[name], f"{path}: `{name}`")
                for name in wanted
            )
            assert images is not None
            return RawData(images, labels, test, test_labels, notes)
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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of Python 2, which wrote (12L, 8L, 8L)
        if version == (1, 0):
            return ArrayHeader(*np.lib.format.read_array_header_1_0(file))
        return ArrayHeader(*np.lib.format.read_array_header_2_0(file))


def read_body(file: BinaryIO, header: ArrayHeader, what: str) -> np.ndarray:
    """Read the array after the header; `what` names it in errors. Raises DataError."""
    shape, by_columns, dtype = header
    if dtype.hasobject:
        raise DataError(
            f"{what} holds objects, which are not read because they could run code: save it with"
            " the type of its numbers or words, such as np.array(x.tolist())"
        )
    size = math.prod(shape) * dtype.itemsize
    if not 0 < size <= MAX_BYTES:
        raise DataError(
            f"{what} has the shape {shape}, which is empty or more than {MAX_BYTES >> 30} GB"
        )
    content = read_bytes(file, size)
    if len(content) < size:
        raise DataError(
            f"{what} should hold {size:,} bytes but holds only {len(content):,}: is it truncated?"
        )
    return content.view(dtype).reshape(shape, order="F" if by_columns else "C")


def read_bytes(file: IO[bytes], size: int) -> np.ndarray:
    """Read `size` bytes, or what the file has of them, without a second copy in memory.

    The memory grows with what is read, because a small file may claim to be large.
    """
    content = bytearray()
    while len(content) < size and (part := file.read(min(size - len(content), BYTES_AT_ONCE))):
        content += part
    return np.frombuffer(content, np.uint8)
