"""IDX files: the format of MNIST, and the copy of MNIST in data/.

The idea
    MNIST is distributed as "IDX" files, a format described on Y. LeCun's MNIST page. An IDX file
    consists of a short header followed by the numbers.

        bytes 0, 1      zero
        byte 2          the type of the numbers: 8 for unsigned bytes; 9, 11, 12, 13 and 14 for
                        signed bytes, integers of 16 and 32 bits, and floats of 32 and 64
        byte 3          the number of dimensions: 3 for images, 1 for labels
        4 bytes each    the length of each dimension, most significant byte first
        then            the numbers, row by row, most significant byte first

    A header may be wrong. The array size it gives is therefore compared with the size of the file
    before memory is allocated, and every error message names the file.

    Data sets with MNIST's layout vary its file names: emnist-letters-train-images-idx3-ubyte.gz,
    or train-images.idx3-ubyte on Kaggle. `find_idx_files` recognises these.

Shapes
    Images (N, H, W) and labels (N,), both uint8 in MNIST.

>>> import pathlib, tempfile
>>> path = pathlib.Path(tempfile.mkdtemp()) / "tiny"
>>> header = bytes([0, 0, 8, 2]) + bytes([0, 0, 0, 2, 0, 0, 0, 3])
>>> _ = path.write_bytes(header + bytes(range(6)))
>>> read_idx(path).tolist()
[[0, 1, 2], [3, 4, 5]]
"""

import gzip
import hashlib
import math
import re
import zlib
from pathlib import Path

import numpy as np

from minigan.datasets.pixels import DataError, shorten_list

REPOSITORY = Path(__file__).resolve().parents[2]
# MNIST: data/ in the repository; an installed package has no copy and looks in the current folder
SHIPPED = REPOSITORY / "data" if (REPOSITORY / "demo.py").is_file() else Path("mnist").resolve()
TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
SHA256 = {  # of the decompressed content of the files in data/
    TRAIN_IMAGES: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    TRAIN_LABELS: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    TEST_IMAGES: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    TEST_LABELS: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
IDX_NAME = re.compile(
    r"(.*?)(train|t10k|test)[-_.](images|labels)[-_.]idx\d(?:-\w+)?(?:\.gz)?", re.IGNORECASE
)
MAX_DIMENSIONS = 8
GZIP_RATIO = 1032  # gzip cannot compress by a larger factor


def read_idx(path: Path, *, sha256: str | None = None) -> np.ndarray:
    """Read the array from an IDX file, which may be gzipped.

    `sha256` is the expected hash of the decompressed content. Raises DataError unless the file
    holds exactly one IDX array.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            size, zipped = path.stat().st_size, file.read(2) == b"\x1f\x8b"
        with (gzip.open if zipped else open)(path, "rb") as file:
            header = file.read(4)
            check_idx_header(path, header)
            lengths = file.read(4 * header[3])
            if len(lengths) < 4 * header[3]:
                raise DataError(f"{path} ends in the middle of its header")
            shape = tuple(
                int.from_bytes(lengths[i : i + 4], "big") for i in range(0, len(lengths), 4)
            )
            dtype = np.dtype(IDX_TYPES[header[2]])
            claimed = math.prod(shape) * dtype.itemsize
            unit = "bytes" if dtype.itemsize == 1 else f"numbers of {dtype.itemsize} bytes"
            claim = f"{' x '.join(map(str, shape))} {unit}"
            if claimed == 0 or len(shape) > MAX_DIMENSIONS:
                raise DataError(f"{path} claims to hold {claim}: that is not an array of images")
            if claimed > (GZIP_RATIO * size if zipped else size):
                raise DataError(
                    f"{path} claims to hold {claim} but is only {size} bytes long"
                    f"{', gzipped' if zipped else ''}: is it truncated?"
                )
            body = file.read(claimed + 1)
    except (OSError, EOFError, zlib.error) as error:  # gzip.BadGzipFile is an OSError
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"cannot read {path}: {reason}") from None
    if len(body) != claimed:
        held = "more" if len(body) > claimed else f"only {len(body)}"
        raise DataError(f"{path} claims to hold {claim} of data but holds {held}")
    found = hashlib.sha256(header + lengths)
    found.update(body)
    if sha256 and found.hexdigest() != sha256:
        raise DataError(
            f"{path} is not the file of MNIST (its SHA-256 differs): python -m minigan data says"
            " where to get it"
        )
    return np.frombuffer(body, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def check_idx_header(path: Path, header: bytes) -> None:
    """Raise DataError unless the first four bytes begin an IDX file."""
    if len(header) < 4 or header[:2] != b"\0\0":
        start = header.hex(" ") or "nothing"
        raise DataError(f"{path} is not an IDX file: it begins with {start}, not with 00 00")
    if header[2] not in IDX_TYPES:
        raise DataError(
            f"{path} holds numbers of IDX type {header[2]}, but there are only the types"
            f" {', '.join(map(str, IDX_TYPES))}"
        )
    if header[3] == 0:
        raise DataError(f"{path} claims to have no dimensions")


def find_idx(folder: Path, name: str) -> Path | None:
    """The path of an IDX file in a folder, gzipped or not, or None if there is none."""
    return next((p for p in (folder / (name + ".gz"), folder / name) if p.is_file()), None)


def find_idx_files(folder: Path) -> dict[tuple[str, str], Path]:
    """The IDX files of a data set in a folder, by ("train" or "test", "images" or "labels").

    Raises DataError if the folder holds several data sets, such as EMNIST's.
    """
    sets: dict[str, dict[tuple[str, str], Path]] = {}
    for path in sorted(folder.iterdir(), reverse=True):  # as in find_idx, .gz comes first
        if (match := IDX_NAME.fullmatch(path.name)) and path.is_file():
            prefix, part, kind = (group.lower() for group in match.groups())
            sets.setdefault(prefix, {}).setdefault(
                ("train" if part == "train" else "test", kind), path
            )
    sets = {prefix: files for prefix, files in sets.items() if ("train", "images") in files}
    if len(sets) > 1:
        names = shorten_list(sorted(files["train", "images"].name for files in sets.values()), 10)
        raise DataError(f"{folder} holds several data sets: name one of the files {names}")
    return next(iter(sets.values()), {})


def load_images(folder: Path = SHIPPED, name: str = TRAIN_IMAGES) -> np.ndarray:
    """Load the images (N, H, W), uint8, from a folder whose files are named like those of MNIST.

    Those of MNIST itself (SHIPPED) must match their known hashes. Raises DataError.
    """
    return read_named_idx(folder, name, kind="images", n_dims=3)


def load_labels(folder: Path = SHIPPED, name: str = TRAIN_LABELS) -> np.ndarray:
    """Load the labels (N,), uint8, of the images from `load_images`. Raises DataError."""
    return read_named_idx(folder, name, kind="labels", n_dims=1)


def read_named_idx(folder: Path, name: str, *, kind: str, n_dims: int) -> np.ndarray:
    """Load one of MNIST's four files. Raises DataError unless it holds arrays of the given kind."""
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(
            f"{folder} is not a folder of images:"
            f" it {'is a file' if folder.exists() else 'does not exist'}"
        )
    path = find_idx(folder, name)
    if path is None:
        raise DataError(
            f"{folder} has neither {name}.gz nor {name}: put the {kind} there under one of these"
            " names"
        )
    array = read_idx(path, sha256=SHA256[name] if folder.resolve() == SHIPPED else None)
    if array.ndim != n_dims:
        raise DataError(
            f"{path} holds an array of shape {array.shape}, not {kind}, which have {n_dims}"
            " dimensions"
        )
    return array
