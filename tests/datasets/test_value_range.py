"""Which values are black and white: what is asked about, and what --range does."""

import numpy as np
import pytest
from helpers import demo, idx
from PIL import Image

from minigan.datasets.images import read_pictures
from minigan.datasets.load import load_dataset
from minigan.datasets.pixels import DataError

RNG = np.random.default_rng(0)
UNIT = RNG.random((40, 8, 12))
BYTES = RNG.integers(0, 256, (40, 8, 12), dtype=np.uint8)
ORDER = np.random.default_rng(0).permutation(40)

ASKED = {
    "0 and 1": (BYTES % 2, "nearly black: add --range 0,1 to turn 0 into black and 1 into white"),
    "0 to 16": (BYTES % 17, "nearly black: add --range 0,16 "),
    "white": (240 + BYTES % 16, "nearly white: add --range 240,255"),
    "a shade": (np.full_like(BYTES, 7), "nearly all values are 7, of 0 to 255: add --range 0,255"),
    "black": (0 * BYTES, "nearly all values are 0, of 0 to 255: add --range 0,255"),
    "floats to 1": (UNIT, "float64 from .* to .*, and it is uncertain .*: add --range 0,1 if"),
    "floats around 0": (2 * UNIT - 1, "add --range -1,1 if"),
    "digits": ((17 * UNIT).astype(int), "int64 from 0 to 16, .* add --range 0,16 if"),
    "10 bits": ((1024 * UNIT).astype("uint16"), "uint16 .* add --range 0,1023 if"),
    "12 bits": ((4096 * UNIT).astype("uint16"), "uint16 .* add --range 0,4095 if"),
    "16 bits": ((65536 * UNIT).astype("uint16"), "uint16 .* add --range 0,65535 if"),
    "others": (7000 * UNIT - 3000, "float64 from -2998.*: add --range -2999,3997 if"),
    "NaN": (np.where(UNIT > 0.5, np.nan, UNIT), "contains NaN or infinity"),
    "words": (np.full((3, 8, 8), "a"), "holds <U1, but images must be numbers"),
}


@pytest.mark.parametrize("images, words", ASKED.values(), ids=ASKED.keys())
def test_what_is_uncertain_is_asked_about(tmp_path, images, words):
    np.save(tmp_path / "a.npy", images)
    with pytest.raises(DataError, match=words) as caught:
        load_dataset(tmp_path / "a.npy")
    assert "\n" not in str(caught.value)


CERTAIN = {
    "bytes": BYTES,
    "dark bytes": BYTES % 60,
    "integers": BYTES.astype("int64"),
    "whole floats": BYTES.astype("float32"),
}


@pytest.mark.parametrize("images", CERTAIN.values(), ids=CERTAIN.keys())
def test_what_is_certain_is_read_as_it_is(tmp_path, images):
    np.save(tmp_path / "a.npy", images)
    data = load_dataset(tmp_path / "a.npy")
    np.testing.assert_array_equal(data.images, images[ORDER])
    assert data.images.dtype == np.uint8 and data.notes == []


@pytest.mark.parametrize(
    "images, low, high",
    [(UNIT, 0, 1), (2 * UNIT - 1, -1, 1), (16 * UNIT, 0, 16), (BYTES % 2, 0, 1), (UNIT, 1, 0)],
    ids=["unit", "around 0", "to 16", "bits", "negative"],
)
def test_range_maps_low_to_black_and_high_to_white(tmp_path, images, low, high):
    np.savez(tmp_path / "a.npz", images=images, test_images=images[:5])
    data = load_dataset(tmp_path / "a.npz", value_range=(low, high))
    expected = np.rint((images[ORDER].astype(float) - low) / (high - low) * 255)
    assert abs(data.images - expected).max() <= 0.5 and data.test.max() > 200
    assert data.notes[0].startswith("the values range from ")
    assert data.notes[0].endswith(f"{low} becomes black and {high} white")


def test_values_outside_are_clipped_and_counted(tmp_path):
    np.save(tmp_path / "a.npy", np.where(UNIT < 0.1, -5, UNIT))
    data = load_dataset(tmp_path / "a.npy", value_range=(0, 1))
    share = (UNIT < 0.1).mean()
    assert data.images.min() == 0 and f"{share:.2%} of them are outside" in data.notes[0]


def test_true_is_white(tmp_path):
    np.save(tmp_path / "a.npy", UNIT > 0.5)
    images = load_dataset(tmp_path / "a.npy").images
    np.testing.assert_array_equal(images, 255 * (UNIT > 0.5)[ORDER])


def test_a_few_bright_images_do_not_hide_that_the_others_are_black(tmp_path):
    images = np.repeat(BYTES % 2, 10, axis=0)
    images[7] = 255
    np.save(tmp_path / "a.npy", images)
    with pytest.raises(DataError, match="nearly black"):
        load_dataset(tmp_path / "a.npy")


@pytest.mark.parametrize("bits, asked", [(1, True), (8, False)])
def test_bytes_in_idx_files_and_pictures_are_asked_about(tmp_path, bits, asked):
    images = BYTES >> (8 - bits)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(images))
    (tmp_path / "pictures").mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / "pictures" / f"{i}.png")
    for path in tmp_path, tmp_path / "pictures":
        if asked:
            with pytest.raises(DataError, match="nearly black: add --range 0,1"):
                load_dataset(path)
            assert set(load_dataset(path, value_range=(0, 1)).images.ravel()) == {0, 255}
        else:
            assert len(load_dataset(path).images) == 40


def save_16_bits(folder, values):
    for i, image in enumerate(values):
        Image.fromarray(image.astype(np.uint16)).save(folder / f"{i}.png")


def test_pictures_with_12_bits_in_16_are_asked_about(tmp_path):
    values = np.rint(4095 * UNIT)
    values[0, 0, 0] = 4095
    save_16_bits(tmp_path, values)
    with pytest.raises(
        DataError, match=r"from \d+ to 4095 only, of 0 to 65535: add --range 0,4095"
    ):
        read_pictures(tmp_path)
    images = read_pictures(tmp_path, value_range=(0, 4095)).images
    names = sorted(map(str, range(40)))
    expected = np.rint(values / 4095 * 255)[[int(name) for name in names]]
    np.testing.assert_array_equal(images, expected)
    assert read_pictures(tmp_path, value_range=(0, 65535)).images.max() == 16
    Image.fromarray(BYTES[0]).save(tmp_path / "8.png")
    with pytest.raises(DataError, match="39 of 40 pictures have more than 8 bits"):
        read_pictures(tmp_path, value_range=(0, 4095))


def test_pictures_of_floats_need_a_range(tmp_path):
    for i in range(3):
        Image.fromarray(UNIT[i].astype("float32")).save(tmp_path / f"{i}.tif")
    with pytest.raises(DataError, match="none of the 3 pictures .*its values .*: add --range 0,1"):
        read_pictures(tmp_path)
    images = read_pictures(tmp_path, value_range=(0, 1)).images
    assert abs(images - 255 * UNIT[:3]).max() <= 0.51


@pytest.mark.parametrize("text", ["0", "1,1", "0,x", "0,nan", "0,1,2", "", "-1,-1"])
def test_what_is_no_range(tmp_path, text):
    result = demo("--range", text, cwd=tmp_path)
    assert result.returncode == 2 and "is not LOW,HIGH" in result.stderr


def test_a_negative_range_is_no_option(tmp_path):
    np.save(tmp_path / "a.npy", 2 * UNIT - 1)
    result = demo("--data", "a.npy", "--batch-size", "99", "--range", "-1,1", cwd=tmp_path)
    assert result.returncode == 2 and "only 40 images" in result.stderr
