"""A folder of pictures: sizes, colours, formats, classes, and files that cannot be read."""

import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from minigan.datasets.images import choose_size, read_pictures
from minigan.datasets.load import load_dataset
from minigan.datasets.pixels import DataError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (30, 8, 12), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (30, 8, 12, 3), dtype=np.uint8)


def save(path, array):
    """Write an image file, and the folders that it is in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def test_pictures_of_one_size_come_as_they_are_sorted_by_name(tmp_path):
    for i in (2, 0, 1):
        save(tmp_path / f"{i}.png", COLOUR[i])
    raw = read_pictures(tmp_path)
    np.testing.assert_array_equal(raw.images, COLOUR[:3])
    assert raw.labels is None and raw.notes == []


def test_one_picture_in_colour_puts_all_in_colour(tmp_path):
    save(tmp_path / "a.png", GREY[0])
    save(tmp_path / "b.png", GREY[1][..., None].repeat(3, -1))  # stored in colour, but grey
    images = read_pictures(tmp_path)[0]
    np.testing.assert_array_equal(images, GREY[:2])
    save(tmp_path / "c.png", COLOUR[0])
    images = read_pictures(tmp_path)[0]
    assert images.shape == (3, 8, 12, 3)
    np.testing.assert_array_equal(images[0], GREY[0][..., None].repeat(3, -1))


def test_other_sizes_are_scaled_and_cropped_around_the_centre(tmp_path):
    for i in range(3):
        save(tmp_path / f"{i}.png", np.full((8, 8, 3), 100, np.uint8))
    wide = np.zeros((16, 48, 3), np.uint8)
    wide[:, 16:32] = [10, 200, 30]  # the middle third, which is all that remains
    save(tmp_path / "wide.png", wide)
    images, notes = (raw := read_pictures(tmp_path)).images, raw.notes
    assert images.shape == (4, 8, 8, 3) and notes == [
        "1 of 4 pictures are not 8 x 8: they are scaled and cropped"
    ]
    np.testing.assert_array_equal(images[3][:, 2:-2], np.broadcast_to([10, 200, 30], (8, 4, 3)))
    assert (
        images[3].min(axis=(0, 1))[1] > 180
    )  # the cubic filter mixes in some of the rest at the edges
    assert read_pictures(tmp_path, size=4)[0].shape == (4, 4, 4, 3)


@pytest.mark.parametrize(
    "sizes, chosen",
    [
        ([(28, 20)] * 3 + [(50, 50)] * 2, (28, 20)),
        ([(28, 20)] * 2 + [(50, 50)] * 2, (48, 48)),
        ([(1024, 768)] * 9, (64, 64)),
        ([(128, 128)], (128, 128)),
        ([(129, 128)], (64, 64)),
        ([(130, 90)], (130, 90)),
        ([(19, 35), (35, 18), (17, 40)], (16, 16)),
        ([(2, 3000)], (4, 4)),
    ],
)
def test_the_size_is_the_most_frequent_one_or_a_square(sizes, chosen):
    assert choose_size(sizes) == chosen


def test_a_large_grey_picture_keeps_its_size_only_on_request(tmp_path):
    save(tmp_path / "a.png", RNG.integers(0, 256, (200, 200), dtype=np.uint8))
    assert read_pictures(tmp_path)[0].shape == (1, 64, 64)
    assert read_pictures(tmp_path, size=200)[0].shape == (1, 200, 200)


def test_every_format_is_decoded_to_what_is_visible(tmp_path):
    """Each of these is 4 x 4, red or grey, in another format."""
    red = Image.new("RGB", (4, 4), (200, 0, 0))
    red.save(tmp_path / "a.png")
    red.quantize(4).save(tmp_path / "b palette.png")
    clear = red.convert("RGBA")
    clear.paste((0, 0, 0, 0), (0, 0, 2, 4))  # its left half is black, but transparent
    clear.save(tmp_path / "c clear.png")
    Image.fromarray(np.full((4, 4), 0x80FF, np.uint16)).save(tmp_path / "d 16 bits.png")
    Image.new("1", (4, 4), 1).save(tmp_path / "e 1 bit.png")
    red.convert("CMYK").save(tmp_path / "f print.jpg", quality=100)
    red.save(
        tmp_path / "g moves.gif", save_all=True, append_images=[Image.new("RGB", (4, 4), "blue")]
    )
    exif = Image.Exif()
    exif[0x0112] = 6  # it lies on its side
    turned = Image.new("RGB", (4, 4), (200, 0, 0))
    turned.paste((0, 0, 0), (0, 0, 4, 2))  # black at the top, which belongs on the right
    turned.save(tmp_path / "h turned.png", exif=exif)
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 200, 0, 0])
    palette.save(tmp_path / "i clear palette.png", transparency=1)
    red.save(tmp_path / "j.bmp")
    red.save(tmp_path / "k.PNG")
    images, notes = (raw := read_pictures(tmp_path)).images, raw.notes
    seen = dict(zip("abcdefghijk", images))
    red, white = [200, 0, 0], [255, 255, 255]
    for name in "abgjk":
        assert (seen[name] == red).all(), name
    assert (seen["c"][:, 2:] == red).all() and (seen["c"][:, :2] == white).all()
    assert (seen["d"] == 0x80).all() and (seen["e"] == 255).all()
    assert abs(seen["f"].astype(int) - red).max() < 12
    assert (seen["h"][:, :2] == red).all() and (seen["h"][:, 2:] == 0).all()
    assert (seen["i"] == white).all()
    assert notes == [
        "2 of 11 pictures have transparent parts, which become white",
        "1 of 11 pictures are animated: the first frame is used",
    ]


def test_a_photo_on_its_side_counts_with_its_upright_size(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 8
    Image.new("RGB", (40, 20), "red").save(tmp_path / "a.jpg", exif=exif)
    assert read_pictures(tmp_path)[0].shape == (1, 40, 20, 3)


def test_one_corrupt_file_among_a_thousand_is_left_out_or_refused(tmp_path):
    for i in range(1000):
        save(tmp_path / f"{i:04}.png", COLOUR[i % 30])
    good = (tmp_path / "0500.png").read_bytes()
    (tmp_path / "0500.png").write_bytes(good[: len(good) // 2])
    data = load_dataset(tmp_path)
    assert data.images.shape == (999, 8, 12, 3) and len(data.notes) == 1
    assert data.notes[0].startswith(
        f"1 of 1,000 pictures cannot be read and are skipped: {tmp_path / '0500.png'} ("
    )
    with pytest.raises(DataError, match=r"cannot read .*0500.png \(.*or omit --strict to skip it"):
        load_dataset(tmp_path, strict=True)
    (tmp_path / "0500.png").unlink()
    assert len(load_dataset(tmp_path, strict=True).images) == 999


def png(width, height, body=b""):
    """A PNG file that claims to be of a size."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", body)
        + chunk(b"IEND", b"")
    )


BAD_PICTURES = {
    "text": (b"hello", "not a picture"),
    "nothing": (b"", "not a picture"),
    "no body": (png(4, 4), "bad.png"),
    "a bomb": (png(30_000, 30_000, zlib.compress(bytes(1000))), "decompression bomb"),
    "nearly a bomb": (png(10_000, 10_000, zlib.compress(bytes(1000))), "decompression bomb"),
}


@pytest.mark.parametrize("content, words", BAD_PICTURES.values(), ids=BAD_PICTURES.keys())
def test_bad_pictures_are_refused_if_there_are_no_others(tmp_path, content, words):
    (tmp_path / "bad.png").write_bytes(content)
    tracemalloc.start()
    with pytest.raises(
        DataError,
        match=f"none of the 1 pictures in .* can be read, such as .*bad.png.*{words}"[:400]
        if words != "bad.png"
        else "bad.png",
    ):
        read_pictures(tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


def test_more_pictures_than_fit_into_memory(tmp_path, monkeypatch):
    save(tmp_path / "a.png", COLOUR[0])
    monkeypatch.setattr("minigan.datasets.images.MAX_BYTES", 8 * 12 * 3 - 1)
    with pytest.raises(
        DataError, match="1 pictures of 8 x 12 are more than 0 GB: choose a smaller --size"
    ):
        read_pictures(tmp_path)


def test_sub_folders_are_classes_if_all_pictures_are_in_one(tmp_path):
    for i in range(12):
        save(tmp_path / ("cats", "dogs", "owls")[i % 3] / "deeper" / f"{i}.png", COLOUR[i])
    data = load_dataset(tmp_path)
    assert data.names == ["cats", "dogs", "owls"] and np.bincount(data.labels).tolist() == [4, 4, 4]
    assert data.notes == ["the sub-folders are used as classes: cats, dogs, owls"]
    for image, label in zip(data.images, data.labels):  # shuffled, but each with its own label
        assert any((image == COLOUR[i]).all() for i in range(label, 12, 3))
    assert (np.diff(data.labels) < 0).any()
    chosen = load_dataset(tmp_path, classes="cats,owls")
    assert chosen.names == ["cats", "owls"] and np.bincount(chosen.labels).tolist() == [4, 4]
    with pytest.raises(
        DataError, match="no class in .* is called 'bats': there are cats, dogs, owls$"
    ):
        load_dataset(tmp_path, classes="bats")
    save(tmp_path / "one.png", COLOUR[0])
    data = load_dataset(tmp_path)
    assert data.labels is None and data.notes == [
        "1 of 13 pictures are in no sub-folder, so there are no classes"
    ]
    with pytest.raises(DataError, match="has no labels, so --classes cannot select any"):
        load_dataset(tmp_path, classes="cats")


@pytest.mark.parametrize("colour_at", [0, 150, 299, None])
def test_pictures_are_not_held_twice(tmp_path, colour_at):
    """A grey picture takes a third of one in colour, even before it is known that all are grey."""
    pictures = RNG.integers(0, 256, (300, 64, 64), dtype=np.uint8)[..., None].repeat(3, axis=-1)
    if colour_at is not None:
        pictures[colour_at, :, :, 0] = 7
    for i, picture in enumerate(pictures):
        save(tmp_path / f"{i:03}.png", picture)
    (tmp_path / "099.png").write_bytes(b"damaged")
    expected = np.delete(pictures, 99, axis=0)
    read_pictures(tmp_path)
    tracemalloc.start()
    try:
        images = read_pictures(tmp_path).images
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(images, expected if colour_at is not None else expected[..., 0])
    assert peak < 1.45 * images.nbytes + 500_000  # with the headers of the files
