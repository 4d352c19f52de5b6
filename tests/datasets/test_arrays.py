"""Arrays of published data sets: NumPy, MATLAB, HDF5 and IDX files in the layouts of their authors.

All files are made here, by the library that their authors used.
"""

import gzip

import numpy as np
import pytest
from helpers import idx

from minigan.datasets.idx import read_idx
from minigan.datasets.labels import convert_labels
from minigan.datasets.load import load_dataset
from minigan.datasets.matlab import examples_first
from minigan.datasets.numpy_files import read_numpy
from minigan.datasets.pixels import DataError

RNG = np.random.default_rng(0)
N = 40
DIGITS = RNG.integers(0, 256, (N, 28, 28), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (N, 32, 32, 3), dtype=np.uint8)
TEST, LABELS = DIGITS[:9], np.arange(N) % 10
ORDER = np.random.default_rng(0).permutation(N)
UNIT = np.rint(RNG.random((N, 256)) * 255) / 255


def check(data, images=DIGITS, labels=LABELS, test=9):
    """A Dataset has these images and labels, shuffled, and as many test images."""
    np.testing.assert_array_equal(data.images, images[ORDER])
    if labels is None:
        assert data.labels is None
    else:
        assert [data.names[i] for i in data.labels] == [str(label) for label in labels[ORDER]]
    assert (0 if data.test is None else len(data.test)) == test


# ---- NumPy ----


def test_keras(tmp_path):
    path = tmp_path / "mnist.npz"
    np.savez(path, x_test=TEST, x_train=DIGITS, y_train=LABELS, y_test=LABELS[:9])
    check(load_dataset(path))
    np.savez(path, x_train=DIGITS, y_train=LABELS, x_val=TEST, y_val=LABELS[:9])
    check(load_dataset(path))


def test_medmnist(tmp_path):
    parts = {
        f"{part}_{kind}": array[:n]
        for part, n in (("train", N), ("val", 5), ("test", 9))
        for kind, array in (("images", COLOUR), ("labels", LABELS[:, None]))
    }
    np.savez_compressed(tmp_path / "pathmnist.npz", **parts)
    data = load_dataset(tmp_path / "pathmnist.npz")
    check(data, COLOUR)
    assert "the validation images are left out" in data.notes[0]


@pytest.mark.parametrize("name", ["kmnist", "k49"])
def test_kmnist(tmp_path, name):
    for part, n in (("train", N), ("test", 9)):
        np.savez_compressed(tmp_path / f"{name}-{part}-imgs.npz", DIGITS[:n])
        np.savez_compressed(tmp_path / f"{name}-{part}-labels.npz", LABELS[:n])
    for path in tmp_path, tmp_path / f"{name}-train-imgs.npz":
        data = load_dataset(path)
        check(data)
        assert data.test_labels is not None and f"{name}-train-labels.npz" in data.notes[0]


def test_a_file_that_numpy_wrote_under_python_2(tmp_path):
    """Its shape was written with long integers; that is no reason for a warning."""
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (40L, 28L, 28L), }"
    header = header.ljust(117) + b"\n"
    magic = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
    (tmp_path / "old.npy").write_bytes(magic + header + DIGITS.tobytes())
    np.testing.assert_array_equal(read_numpy(tmp_path / "old.npy").images, DIGITS)


def test_quickdraw(tmp_path):
    np.save(tmp_path / "full_numpy_bitmap_cat.npy", DIGITS.reshape(N, 784))
    data = load_dataset(tmp_path / "full_numpy_bitmap_cat.npy")
    check(data, labels=None, test=0)
    assert data.notes == ["each row of 784 numbers is read as an image of 28 x 28 pixels"]


def test_scikit_learns_digits(tmp_path):
    data, target = RNG.integers(0, 17, (N, 64)).astype(float), LABELS
    np.savez(tmp_path / "digits.npz", data=data, target=target)
    with pytest.raises(DataError, match="add --range 0,16"):
        load_dataset(tmp_path / "digits.npz")
    images = np.floor(data.reshape(N, 8, 8) / 16 * 255 + 0.5)
    check(load_dataset(tmp_path / "digits.npz", value_range=(0, 16)), images, target, test=0)


def test_several_arrays_that_could_be_the_images(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=DIGITS, train_images=DIGITS)
    with pytest.raises(DataError, match="holds x_train, train_images: name the array of images"):
        load_dataset(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", x=DIGITS, y=LABELS, labels=LABELS)
    with pytest.raises(DataError, match="holds y, labels, which could all be the labels"):
        load_dataset(tmp_path / "a.npz")


# ---- Labels ----


@pytest.mark.parametrize(
    "labels",
    [
        LABELS.astype("float32"),
        np.eye(10)[LABELS],
        np.eye(10, dtype=bool)[LABELS],
        2 * np.eye(10)[LABELS] - 1,
        LABELS[:, None],
        LABELS[None],
        LABELS.astype(str),
        LABELS.astype("S"),
    ],
    ids=["floats", "one-hot", "booleans", "1 and -1", "column", "row", "words", "bytes"],
)
def test_labels_of_all_kinds(tmp_path, labels):
    np.savez(tmp_path / "a.npz", images=DIGITS, labels=labels)
    data = load_dataset(tmp_path / "a.npz")
    check(data, test=0)
    assert any("one-hot" in note for note in data.notes) == (labels.shape == (N, 10))


@pytest.mark.parametrize(
    "labels, words",
    [
        (LABELS + 0.25, r"a label 0.25, .* y.round\(\).astype\(int\)"),
        (np.where(LABELS == 3, np.nan, LABELS), "a label nan"),
        (RNG.random((N, 10)), r"labels of shape \(40, 10\): .* such as y.argmax\(axis=1\)"),
        (np.zeros((N, 10)), r"labels of shape \(40, 10\)"),
        (np.eye(14)[LABELS] + np.eye(14)[LABELS + 1], r"labels of shape \(40, 14\)"),  # ChestMNIST
        (np.array([{}] * N), "labels of type object"),
    ],
)
def test_labels_that_are_uncertain(labels, words):
    with pytest.raises(DataError, match=words):
        convert_labels(labels, N, what="x", notes=[])


# ---- IDX ----


@pytest.mark.parametrize(
    "code, kind", [(8, "u1"), (9, "i1"), (11, ">i2"), (12, ">i4"), (13, ">f4"), (14, ">f8")]
)
def test_idx_files_of_every_type(tmp_path, code, kind):
    array = (DIGITS // 2).astype(kind)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(array, type_code=code))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(LABELS.astype(kind), type_code=code))
    assert read_idx(tmp_path / "train-images-idx3-ubyte").dtype.isnative
    data = load_dataset(tmp_path, value_range=(0, 255))
    np.testing.assert_array_equal(data.images, DIGITS // 2)
    assert data.labels.tolist() == LABELS.tolist() and data.images.dtype == np.uint8


@pytest.mark.parametrize(
    "images, labels, test",
    [
        ("train-images.idx3-ubyte", "train-labels.idx1-ubyte", "t10k-images.idx3-ubyte"),
        (
            "emnist-letters-train-images-idx3-ubyte",
            "emnist-letters-train-labels-idx1-ubyte",
            "emnist-letters-test-images-idx3-ubyte",
        ),
    ],
    ids=["Kaggle", "EMNIST"],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_variants_of_the_names_of_idx_files(tmp_path, images, labels, test, zipped):
    for name, array in (images, DIGITS), (labels, LABELS.astype("u1")), (test, TEST):
        content = idx(array)
        path = tmp_path / (name + ".gz" if zipped else name)
        path.write_bytes(gzip.compress(content) if zipped else content)
    for path in tmp_path, tmp_path / (images + ".gz" if zipped else images):
        data = load_dataset(path)
        np.testing.assert_array_equal(data.images, DIGITS)
        assert data.labels.tolist() == LABELS.tolist() and len(data.test) == 9
    turned = load_dataset(tmp_path, transpose=True)
    np.testing.assert_array_equal(turned.images, DIGITS.swapaxes(1, 2))
    np.testing.assert_array_equal(turned.test, TEST.swapaxes(1, 2))


def test_emnist_has_a_hint_and_several_sets_in_a_folder(tmp_path):
    path = tmp_path / "emnist-digits-train-images-idx3-ubyte"
    path.write_bytes(idx(DIGITS))
    assert "--transpose turns it" in load_dataset(path).notes[-1]
    assert "--transpose turns it" in load_dataset(tmp_path).notes[-1]
    assert load_dataset(path, transpose=True).notes == []
    (tmp_path / "emnist-letters-train-images-idx3-ubyte").write_bytes(idx(DIGITS))
    with pytest.raises(DataError, match="several data sets: name one of the files emnist-digits"):
        load_dataset(tmp_path)


# ---- MATLAB ----


def test_svhn(tmp_path):
    io = pytest.importorskip("scipy.io")
    for part, n in (("train", N), ("test", 9)):
        content = {"X": COLOUR[:n].transpose(1, 2, 3, 0), "y": np.uint8(LABELS[:n, None] + 1)}
        io.savemat(tmp_path / f"{part}_32x32.mat", content, do_compression=True)
    for path in tmp_path, tmp_path / "train_32x32.mat":
        check(load_dataset(path), COLOUR, LABELS + 1)


def test_usps_resampled(tmp_path):
    io = pytest.importorskip("scipy.io")
    content = {
        f"{part}_{kind}": array[:n].T
        for part, n in (("train", N), ("test", 9))
        for kind, array in (("patterns", 2 * UNIT - 1), ("labels", 2 * np.eye(10)[LABELS] - 1))
    }
    io.savemat(tmp_path / "usps_resampled.mat", content)
    with pytest.raises(DataError, match="add --range -1,1"):
        load_dataset(tmp_path / "usps_resampled.mat")
    data = load_dataset(tmp_path / "usps_resampled.mat", value_range=(-1, 1))
    check(data, np.rint(255 * UNIT).reshape(N, 16, 16))


def test_usps_all(tmp_path):
    io = pytest.importorskip("scipy.io")
    images = RNG.integers(0, 256, (10, 12, 256), dtype=np.uint8)
    io.savemat(tmp_path / "usps_all.mat", {"data": images.transpose(2, 1, 0)})
    data = load_dataset(tmp_path / "usps_all.mat")
    order = np.random.default_rng(0).permutation(120)
    np.testing.assert_array_equal(data.images, images.reshape(120, 16, 16)[order])
    assert [data.names[i] for i in data.labels] == [str(1 + i // 12) for i in order]
    assert "numbered from 1 to 10" in " ".join(data.notes)


def test_mnist_original_and_mnist_all(tmp_path):
    io = pytest.importorskip("scipy.io")
    rows = DIGITS.reshape(N, 784)
    content = {"data": rows.T, "label": LABELS[None].astype(float)}
    io.savemat(tmp_path / "mnist-original.mat", content)
    check(load_dataset(tmp_path / "mnist-original.mat"), test=0)
    content = {f"train{i}": rows[LABELS == i] for i in range(10)}
    io.savemat(tmp_path / "mnist_all.mat", content | {f"test{i}": rows[:2] for i in range(10)})
    by_class = np.argsort(LABELS, kind="stable")
    check(load_dataset(tmp_path / "mnist_all.mat"), DIGITS[by_class], LABELS[by_class], test=20)


def test_emnist_as_a_mat_file(tmp_path):
    io = pytest.importorskip("scipy.io")
    rows = DIGITS.swapaxes(1, 2).reshape(N, 784)
    parts = {
        part: {"images": rows[:n], "labels": LABELS[:n, None], "writers": LABELS[:n, None]}
        for part, n in (("train", N), ("test", 9))
    }
    mapping = np.arange(20).reshape(10, 2)
    io.savemat(tmp_path / "emnist-digits.mat", {"dataset": {**parts, "mapping": mapping}})
    check(load_dataset(tmp_path / "emnist-digits.mat", transpose=True))


@pytest.mark.parametrize("shape", [(32, 32, 50), (50, 32, 32), (32, 32, 3, 50), (50, 32, 32, 1)])
def test_the_axis_of_the_examples(shape):
    assert len(examples_first(np.zeros(shape), None, "x")[0]) == 50


@pytest.mark.parametrize("shape", [(28, 28, 28), (28, 32, 50), (100, 100), (3, 28, 28, 5)])
def test_an_uncertain_axis_of_the_examples(shape):
    with pytest.raises(DataError, match="uncertain along which axis"):
        examples_first(np.zeros(shape), None, "x.mat")


@pytest.mark.parametrize("content", [b"", b"MATLAB 5.0 MAT-file" + bytes(200), b"MATLAB 7.3 MAT"])
def test_damaged_mat_files(tmp_path, content):
    pytest.importorskip("scipy.io")
    pytest.importorskip("h5py")
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(DataError, match="cannot read .*a.mat|holds nothing") as caught:
        load_dataset(tmp_path / "a.mat")
    assert "\n" not in str(caught.value)


# ---- HDF5 ----


def test_usps_in_hdf5(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "usps.h5", "w") as file:
        for part, n in (("train", N), ("test", 9)):
            file[f"{part}/data"], file[f"{part}/target"] = UNIT[:n].astype("float32"), LABELS[:n]
    data = load_dataset(tmp_path / "usps.h5", value_range=(0, 1))
    check(data, np.rint(255 * UNIT).reshape(N, 16, 16))


def test_labels_and_test_images_in_other_hdf5_files(tmp_path):
    h5py = pytest.importorskip("h5py")
    for part, n in (("train", N), ("test", 9), ("valid", 5)):
        for kind, array in ("x", COLOUR), ("y", LABELS[:, None, None, None]):
            name = f"camelyonpatch_level_2_split_{part}_{kind}.h5"
            with h5py.File(tmp_path / name, "w") as file:
                file.create_dataset(kind, data=array[:n], compression="gzip")
    check(load_dataset(tmp_path / "camelyonpatch_level_2_split_train_x.h5"), COLOUR)


def test_words_as_labels_in_hdf5(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"], file["labels"] = DIGITS, [f"class {i}" for i in LABELS]
    check(load_dataset(tmp_path / "a.h5"), labels=np.array([f"class {i}" for i in LABELS]), test=0)


def test_mat_files_of_version_7_3(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
        file["X"], file["y"] = COLOUR.transpose(0, 3, 2, 1), LABELS[None].astype(float)
    with open(tmp_path / "a.mat", "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(128))
    check(load_dataset(tmp_path / "a.mat"), COLOUR, test=0)


@pytest.mark.parametrize("cut", [8, 100, 3000])
def test_damaged_hdf5_files(tmp_path, cut):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"] = DIGITS
    (tmp_path / "a.h5").write_bytes((tmp_path / "a.h5").read_bytes()[:cut])
    with pytest.raises(DataError, match="cannot read .*a.h5") as caught:
        load_dataset(tmp_path / "a.h5")
    assert "\n" not in str(caught.value)
