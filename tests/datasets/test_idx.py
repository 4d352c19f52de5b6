"""The IDX reader on good files, bad files and files with false sizes; MNIST in data/; scaling."""

import gzip
import hashlib
import tracemalloc

import numpy as np
import pytest
from helpers import idx

from minigan.datasets import idx as module
from minigan.datasets.idx import load_images, load_labels, read_idx
from minigan.datasets.pixels import DataError, scale, unscale

ARRAY = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)


@pytest.mark.parametrize("shape", [(24,), (2, 12), (2, 3, 4), (1, 2, 3, 4)])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzipped"])
def test_any_idx_file_of_bytes_is_read(tmp_path, shape, pack):
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    (tmp_path / "file").write_bytes(pack(idx(array)))
    read = read_idx(tmp_path / "file")
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, array)


GOOD = idx(ARRAY)
BAD = {
    "empty": (b"", "is not an IDX file: it begins with nothing"),
    "short": (b"\0\0", "is not an IDX file: it begins with 00 00"),
    "text": (b"hello, world", "is not an IDX file: it begins with 68 65 6c 6c"),
    "wrong magic": (b"\0\1" + GOOD[2:], "it begins with 00 01 08 03"),
    "another type": (
        idx(ARRAY, type_code=10),
        "IDX type 10, but there are only the types 8, 9, 11",
    ),
    "floats cut": (idx(ARRAY, type_code=13), "2 x 3 x 4 numbers of 4 bytes but is only 40 bytes"),
    "no dimensions": (b"\0\0\x08\0", "no dimensions"),
    "nothing inside": (idx(ARRAY[:0]), "0 x 3 x 4 bytes: that is not an array"),
    "nothing, but wide": (
        idx(ARRAY[:0], shape=(0, 1 << 32 - 1, 1 << 32 - 1)),
        "that is not an array",
    ),
    "too many dimensions": (idx(ARRAY[0, 0, :1], shape=(1,) * 65), "that is not an array"),
    "header cut": (GOOD[:9], "middle of its header"),
    "truncated": (GOOD[:-1], "2 x 3 x 4 bytes of data but holds only 23"),
    "too long": (GOOD + b"x", "2 x 3 x 4 bytes of data but holds more"),
    "claims too much": (
        idx(ARRAY, shape=(1 << 31, 28, 28)),
        r"2147483648 x 28 x 28 bytes but is only 40 bytes long: is it truncated\?",
    ),
    "gzipped, truncated inside": (gzip.compress(GOOD[:-1]), "only 23"),
    "gzipped, cut": (gzip.compress(GOOD)[:-12], "cannot read .*ended before"),
    "gzipped, damaged": (
        gzip.compress(GOOD)[:12] + b"\xff\xff\xff" + gzip.compress(GOOD)[15:],
        "cannot read",
    ),
    "gzipped, checksum": (gzip.compress(GOOD)[:-8] + b"\0" * 8, "cannot read .*CRC"),
    "gzipped, claims too much": (
        gzip.compress(idx(ARRAY, shape=(100_000, 1000, 1000))),
        "gzipped: is it truncated",
    ),
}


@pytest.mark.parametrize("content, words", BAD.values(), ids=BAD.keys())
def test_bad_files_get_a_sentence_that_names_them(tmp_path, content, words):
    path = tmp_path / "some-images"
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(DataError, match=words) as caught:
        read_idx(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert peak < 1_000_000  # no array of the claimed size was allocated


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        read_idx(tmp_path / "nothing")
    with pytest.raises(DataError, match="directory"):
        read_idx(tmp_path)


def test_a_hash_that_differs_is_refused(tmp_path):
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(GOOD))
    read_idx(path, sha256=hashlib.sha256(GOOD).hexdigest())
    with pytest.raises(DataError, match="SHA-256 differs"):
        read_idx(path, sha256=hashlib.sha256(GOOD + b"x").hexdigest())


def test_the_shipped_mnist_is_whole():
    images, labels = load_images(), load_labels()
    assert images.shape == (60000, 28, 28) and images.dtype == np.uint8 and labels.shape == (60000,)
    assert load_images(name=module.TEST_IMAGES).shape == (10000, 28, 28)
    test_labels = load_labels(name=module.TEST_LABELS)
    counts = "5923 6742 5958 6131 5842 5421 5918 6265 5851 5949"
    assert " ".join(map(str, np.bincount(labels))) == counts
    counts = "980 1135 1032 1010 982 892 958 1028 974 1009"
    assert " ".join(map(str, np.bincount(test_labels))) == counts


def test_a_shipped_file_that_was_changed_is_noticed(tmp_path, monkeypatch):
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(GOOD))
    np.testing.assert_array_equal(
        load_images(tmp_path), ARRAY
    )  # in another folder any images are accepted
    monkeypatch.setattr(module, "SHIPPED", tmp_path)
    with pytest.raises(DataError, match="is not the file of MNIST"):
        load_images(tmp_path)


def test_folders_that_do_not_hold_images(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        load_images(tmp_path / "nowhere")
    with pytest.raises(DataError, match="train-images-idx3-ubyte.gz nor train-images-idx3-ubyte"):
        load_images(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(GOOD)
    with pytest.raises(DataError, match="it is a file"):
        load_images(path)
    path.write_bytes(idx(np.zeros(5, np.uint8)))
    with pytest.raises(DataError, match=r"shape \(5,\), not images"):
        load_images(tmp_path)


def test_scale_and_back(xp, dtype):
    x = scale(xp.asarray(np.arange(256, dtype=np.uint8)), dtype)
    assert x.dtype == dtype and float(x[0]) == -1 and float(x[255]) == 1
    back = unscale(x)
    assert back.dtype == dtype
    np.testing.assert_allclose(np.rint(255 * np.array(back.tolist())), np.arange(256))
