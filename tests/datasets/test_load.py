"""Data sets from arrays, IDX files and MNIST: names, labels, classes, sizes, and bad files."""

import argparse
import gzip
import io
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest
from helpers import idx
from PIL import Image

from minigan.cli.arguments import classes
from minigan.datasets.idx import SHIPPED, TEST_LABELS, load_images, load_labels
from minigan.datasets.load import Dataset, load_dataset, reorder, with_class_order
from minigan.datasets.pixels import DataError, size_fits

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (30, 8, 12), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (30, 8, 12, 3), dtype=np.uint8)


def test_arrays_are_read_whatever_they_are_called(tmp_path):
    for name, parts in {
        "one": dict(arr_0=COLOUR),
        "ours": dict(images=COLOUR, labels=np.arange(30) % 3, other=np.zeros((9, 9, 9))),
        "keras": dict(
            x_train=GREY, y_train=np.arange(30) % 10, x_test=GREY[:7], y_test=np.arange(7)
        ),
        "medmnist": dict(
            train_images=GREY[..., None],
            train_labels=np.arange(30)[:, None] % 2,
            test_images=GREY[:7],
            val_images=GREY[:3],
        ),
    }.items():
        for pack in np.savez, np.savez_compressed:
            pack(tmp_path / f"{name}.npz", **parts)
            data = load_dataset(tmp_path / f"{name}.npz")
            real, labels = (
                next(value for key, value in parts.items() if value.ndim > 2),
                next(
                    (
                        value
                        for key, value in parts.items()
                        if key in ("labels", "y_train", "train_labels")
                    ),
                    None,
                ),
            )
            real = real[..., 0] if real.shape[-1] == 1 else real
            order = np.random.default_rng(0).permutation(30)
            np.testing.assert_array_equal(data.images, real[order])
            if labels is None:
                assert data.labels is None and data.names == []
            else:
                assert [data.names[i] for i in data.labels] == labels[order].reshape(-1).astype(
                    str
                ).tolist()
            assert (data.test is None) == (name in ("one", "ours")) and (
                data.test is None or len(data.test) == 7
            )
    np.save(tmp_path / "one.npy", np.asfortranarray(COLOUR))
    np.testing.assert_array_equal(
        load_dataset(tmp_path / "one.npy").images, COLOUR[np.random.default_rng(0).permutation(30)]
    )
    assert load_dataset(tmp_path / "one.npy", size=4).images.shape == (30, 4, 4, 3)


def bright(shape):
    """Images of that shape, each with something black and something white."""
    images = np.zeros(shape, np.uint8)
    images[:, shape[1] // 2 :, shape[2] // 2 :] = 255
    return images


def npy(array):
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def npz(**parts):
    content = io.BytesIO()
    np.savez(content, **parts)
    return content.getvalue()


def npy_claiming(shape, body=bytes(100)):
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + (len(header) + 1).to_bytes(2, "little") + header + b"\n" + body


def bomb():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("images.npy", npy_claiming((5 << 20, 32, 32), bytes(30_000_000)))
    return content.getvalue()


def zip_of_pictures():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("a.png", b"")
    return content.getvalue()


class Evil:
    def __reduce__(self):
        return print, ("executed",)


BAD_ARRAYS = {
    "floats": (
        npy(GREY / 255),
        r"holds float64 from 0 to 1, and it is uncertain which .*: add --range 0,1 if",
    ),
    "rows of pixels": (
        npy(GREY.reshape(30, -1)),
        r"array of shape \(30, 96\), but images must be .*x.reshape\(-1, height, width\)",
    ),
    "channels first": (
        npy(COLOUR.transpose(0, 3, 1, 2)),
        r"array of shape \(30, 3, 8, 12\).*x.transpose\(0, 2, 3, 1\)",
    ),
    "transparency": (
        npy(np.zeros((5, 8, 8, 4), "uint8")),
        r"array of shape \(5, 8, 8, 4\).*x\[..., :3\]",
    ),
    "no images": (npy(GREY[:0]), r"`images` has the shape \(0, 8, 12\), which is empty"),
    "too large": (
        npy(bright((1, 300, 200))),
        "images of 300 x 200, which are too large: at most 1024 .* 49,152 .* a smaller --size",
    ),
    "too large in colour": (
        npy(bright((1, 129, 128, 3))),
        "images of 129 x 128 in colour, which are too large",
    ),
    "objects": (npy(np.array([Evil()], dtype=object)), "holds object"),
    "a pickle": (pickle.dumps(Evil()), "is not an IDX file"),
    "cut off": (npy(GREY)[:-7], "should hold 2,880 bytes but holds only 2,873: is it truncated"),
    "claims too much": (npy_claiming((100_000, 1000, 1000)), "which is empty or more than 4 GB"),
    "claims a gigabyte": (
        npy_claiming((1000, 1000, 1000)),
        "should hold 1,000,000,000 bytes but holds only 100: is it truncated",
    ),
    "a negative size": (npy_claiming((-1, 28, 28)), "which is empty"),
    "a bomb": (bomb(), "which is empty or more than 4 GB"),
    "labels do not match": (
        npz(images=GREY, labels=np.arange(29)),
        r"30 images, but labels of shape \(29,\): each image needs one",
    ),
    "labels are no list": (
        npz(images=GREY, labels=np.zeros((30, 10), int)),
        r"labels of shape \(30, 10\)",
    ),
    "labels are fractions": (
        npz(images=GREY, labels=np.full(30, 0.5)),
        r"holds a label 0.5, but labels must be .* y.round\(\).astype\(int\)",
    ),
    "two to choose from": (
        npz(a=GREY, b=GREY),
        "holds a, b: name the array of images `images`",
    ),
    "none to choose from": (
        npz(labels=np.zeros(30), names=np.zeros(30)),
        "holds labels, names: name the",
    ),
    "test images of another size": (
        npz(images=GREY, test_images=GREY[:, :4]),
        "images of 8 x 12, but test images of 4 x 12",
    ),
    "a zip of pictures": (
        zip_of_pictures(),
        r"none of the 1 pictures in .* can be read, such as .*bad/a.png \(not a picture\)",
    ),
    "half a zip": (npz(images=GREY)[:300], "is damaged, or is not a NumPy file"),
    "a changed byte": (
        npz(images=GREY).replace(GREY[5].tobytes(), GREY[6].tobytes()),
        "is damaged.*CRC",
    ),
    "a bad header": (b"\x93NUMPY\x01\x00\x05\x00{'a':", "is damaged"),
}


@pytest.mark.parametrize("content, words", BAD_ARRAYS.values(), ids=BAD_ARRAYS.keys())
def test_bad_arrays_get_a_sentence_that_names_them(tmp_path, content, words, capsys):
    path = tmp_path / "bad"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        load_dataset(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert capsys.readouterr().out == ""  # nothing was executed


def test_paths_without_images(tmp_path):
    Image.fromarray(GREY[0]).save(tmp_path / "a.png")
    (tmp_path / "empty").mkdir()
    for path, words in (
        (tmp_path / "nowhere", "nowhere does not exist"),
        (tmp_path / "a.png", "is a single picture: name the folder"),
        (tmp_path / "empty", "neither train-images-idx3-ubyte.gz nor .* and no pictures"),
    ):
        with pytest.raises(DataError, match=words):
            load_dataset(path)


# The true limits: sides up to 1024, and 49,152 numbers an image, three per pixel in colour
SIZES = [
    ((1, 1), True),
    ((200, 200), True),
    ((221, 221), True),
    ((222, 221), True),
    ((222, 222), False),
    ((256, 256), False),
    ((48, 1024), True),
    ((1024, 48), True),
    ((49, 1024), False),
    ((1, 1024), True),
    ((1, 1025), False),
    ((1025, 1), False),
    ((128, 128, 3), True),
    ((129, 128, 3), False),
    ((256, 64, 3), True),
    ((16, 1024, 3), True),
    ((17, 1024, 3), False),
    ((200, 200, 3), False),
    ((256, 256, 3), False),
]


@pytest.mark.parametrize("shape, accepted", SIZES, ids=str)
def test_the_limits_of_an_images_size(tmp_path, shape, accepted):
    assert size_fits(*shape) == accepted
    np.save(tmp_path / "a.npy", bright((1, *shape)))
    if accepted:
        images = load_dataset(tmp_path / "a.npy", value_range=(0, 255)).images
        assert images.shape == (1, *shape)
    else:
        with pytest.raises(DataError, match=f"images of {shape[0]} x {shape[1]}.* too large"):
            load_dataset(tmp_path / "a.npy")
        scaled = load_dataset(tmp_path / "a.npy", size=64)
        assert scaled.images.shape == (1, 64, 64, *shape[2:])


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (-1, 5), (5, 5, 0), (5, 5, 2), (5, 5, 4)])
def test_sizes_that_no_image_has(shape):
    assert not size_fits(*shape)


@pytest.mark.parametrize(
    "size, grey, colour",
    [(1, True, True), (128, True, True), (129, True, False), (221, True, False)],
)
def test_the_limits_of_the_option_size(tmp_path, size, grey, colour):
    for array, accepted in (GREY[:2], grey), (COLOUR[:2], colour):
        np.save(tmp_path / "a.npy", array)
        if accepted:
            images = load_dataset(tmp_path / "a.npy", size=size).images
            assert images.shape == (2, size, size, *array.shape[3:])
        else:
            with pytest.raises(DataError, match=f"images of {size} x {size} in colour"):
                load_dataset(tmp_path / "a.npy", size=size)


@pytest.mark.parametrize("size", [222, 999_999_999])
def test_an_option_size_that_is_too_large_for_any_image(tmp_path, size):
    np.save(tmp_path / "a.npy", GREY)
    with pytest.raises(
        DataError, match=f"--size {size} is too large: at most 128, or 221 for grey"
    ):
        load_dataset(tmp_path / "a.npy", size=size)


def test_an_idx_file_alone_and_with_its_labels(tmp_path):
    path = tmp_path / "my-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(idx(GREY)))
    data = load_dataset(path)
    np.testing.assert_array_equal(data.images, GREY)  # not shuffled
    assert data.labels is None and data.test is None
    (tmp_path / "my-labels-idx1-ubyte.gz").write_bytes(
        gzip.compress(idx(np.arange(30, dtype=np.uint8) % 12))
    )
    data = load_dataset(path)
    assert data.names == [str(i) for i in range(12)] and data.labels.tolist() == [
        i % 12 for i in range(30)
    ]
    assert load_dataset(path, classes="11,3").names == ["3", "11"]  # in their own order
    np.testing.assert_array_equal(load_dataset(path, classes="11").images, GREY[11::12])


def test_classes_of_mnist():
    data, labels = load_dataset(SHIPPED, classes="3,8"), load_labels()
    assert data.names == ["3", "8"] and data.test.shape == (1010 + 974, 28, 28)
    np.testing.assert_array_equal(data.images, load_images()[(labels == 3) | (labels == 8)])
    np.testing.assert_array_equal(data.labels, labels[(labels == 3) | (labels == 8)] == 8)
    np.testing.assert_array_equal(
        data.test_labels,
        load_labels(name=TEST_LABELS)[np.isin(load_labels(name=TEST_LABELS), [3, 8])] == 8,
    )
    whole = load_dataset(SHIPPED)
    assert (
        whole.names == list("0123456789")
        and (whole.labels == labels).all()
        and len(whole.test) == 10_000
        and whole.notes == []
    )


def test_classes_of_test_images_with_and_without_labels(tmp_path):
    np.savez(tmp_path / "a.npz", images=GREY, labels=np.arange(30) % 2, test_images=GREY[:4])
    assert (
        load_dataset(tmp_path / "a.npz").test is not None
        and load_dataset(tmp_path / "a.npz", classes="1").test is None
    )
    np.savez(tmp_path / "a.npz", images=GREY, test_images=GREY[:4], test_labels=[7, 7, 8, 8])
    assert (
        load_dataset(tmp_path / "a.npz").test_labels is None
        and load_dataset(tmp_path / "a.npz").names == []
    )
    np.savez(
        tmp_path / "a.npz",
        images=GREY,
        labels=np.arange(30) % 2,
        test_images=GREY[:4],
        test_labels=[0, 1, 2, 2],
    )
    assert (
        load_dataset(tmp_path / "a.npz").names == ["0", "1", "2"]
        and load_dataset(tmp_path / "a.npz", classes="1").test.shape[0] == 1
    )
    with pytest.raises(DataError, match="is called '2': there are 0, 1"):
        load_dataset(tmp_path / "a.npz", classes="2")


def pictures_in(folder, names):
    """Two pictures in a sub-folder for each name."""
    for i, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for k in range(2):
            Image.new("L", (8, 8), 10 * i + 125 * k).save(folder / name / f"{k}.png")
    return folder


def test_numbers_in_the_names_of_classes_are_sorted_by_value(tmp_path):
    names = [str(i) for i in range(12)]
    data = load_dataset(pictures_in(tmp_path / "numbers", names))
    assert data.names == names and "classes: 0, 1, 2, 3" in data.notes[-1]
    for image, label in zip(data.images, data.labels):
        assert image[0, 0] % 125 // 10 == label  # the grey of the class
    mixed = ["img2", "img10", "x", "-3", "10", "9"]
    data = load_dataset(pictures_in(tmp_path / "mixed", mixed))
    assert data.names == ["-3", "9", "10", "img2", "img10", "x"]
    assert (data.images[data.labels == 3, 0, 0] % 125 == 0).all()  # img2, the first one made


def test_a_class_whose_name_has_a_comma_can_be_selected(tmp_path, capsys):
    names = ["cats", "salt, pepper", 'the "best"']
    folder = pictures_in(tmp_path / "pictures", names)
    for text, chosen in {
        '"salt, pepper"': ["salt, pepper"],
        'cats, "salt, pepper"': ["cats", "salt, pepper"],
        '"the ""best""",cats': ["cats", 'the "best"'],
        " cats ,": ["cats"],
    }.items():
        listed = classes(text)
        assert load_dataset(folder, classes=listed).names == chosen
        assert classes(listed) == listed
    with pytest.raises(DataError, match="called 'dogs': there are cats, \"salt, pepper\","):
        load_dataset(folder, classes="dogs")
    with pytest.raises(argparse.ArgumentTypeError, match="empty"):
        classes(" , ")
    for text in "a\rb", "a\nb", '"', '""', "a\0b":  # a list of names, or a sentence
        try:
            load_dataset(folder, classes=classes(text))
        except (argparse.ArgumentTypeError, DataError):
            pass


def test_a_run_keeps_the_order_of_classes_that_it_began_with():
    labels, test_labels = np.array([0, 1, 2, 1]), np.array([2])
    data = Dataset(GREY[:4], labels, ["2", "10", "a"], GREY[:1], test_labels, [])
    old = with_class_order(data, ["10", "2", "a"])
    assert old.names == ["10", "2", "a"]
    assert old.labels.tolist() == [1, 0, 2, 0] and old.test_labels.tolist() == [2]
    assert with_class_order(data, ["10", "2"]) is data  # other classes: the caller says so


@pytest.mark.parametrize("shape", [(1, 2), (2, 2), (50, 3), (301, 4, 3)])
def test_images_are_reordered_within_their_array(shape):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        x, order = rng.random(shape), rng.permutation(shape[0])
        expected = x[order]
        reorder(x, order)
        np.testing.assert_array_equal(x, expected)


def peak_of_loading(path, **options):
    """(data, the largest memory that loading it took, divided by the size of its images)."""
    tracemalloc.start()
    try:
        data = load_dataset(path, **options)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return data, peak / (data.images.nbytes + (0 if data.test is None else data.test.nbytes))


@pytest.mark.parametrize("pack", [np.savez, np.savez_compressed])
def test_loading_takes_little_more_memory_than_the_images(tmp_path, monkeypatch, pack):
    monkeypatch.setattr("minigan.datasets.numpy_files.BYTES_AT_ONCE", 1 << 18)
    images = RNG.integers(0, 256, (2000, 32, 32, 3), dtype=np.uint8)
    pack(tmp_path / "a.npz", images=images, labels=np.arange(2000) % 7, test_images=images[:500])
    load_dataset(tmp_path / "a.npz")  # whatever is imported and compiled once
    data, peak = peak_of_loading(tmp_path / "a.npz")
    order = np.random.default_rng(0).permutation(2000)
    np.testing.assert_array_equal(data.images, images[order])
    np.testing.assert_array_equal(data.labels, (np.arange(2000) % 7)[order])
    assert peak < 1.25
    data, peak = peak_of_loading(tmp_path / "a.npz", size=16)
    assert data.images.shape == (2000, 16, 16, 3) and peak < 4 + 1.5  # with the larger images
