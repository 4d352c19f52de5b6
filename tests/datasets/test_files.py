"""Which files are data: hidden files, training runs, splits, zip archives, and what is left out."""

import os
import struct
import warnings
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from minigan.datasets.images import PICTURE_SUFFIXES, read_pictures
from minigan.datasets.load import load_dataset
from minigan.datasets.pixels import DataError

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (30, 8, 12, 3), dtype=np.uint8)


def save(path, array=COLOUR[0], **options):
    """Write an image file, and the folders that it is in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


def test_runs_hidden_files_and_other_kinds_are_left_out_and_counted(tmp_path):
    for i in range(3):
        save(tmp_path / f"{i}.png", COLOUR[i])
    for place in "__MACOSX", ".ipynb_checkpoints", "runs/a/samples", "runs/b/samples":
        save(tmp_path / place / "epoch-0000.png", COLOUR[9])
    (tmp_path / "runs" / "a" / "settings.json").write_text("{}")
    for name in "._0.png", ".DS_Store", "notes.txt", "more.txt", "photo.heic", "page.eps", "README":
        (tmp_path / name).write_bytes(b"something else")
    raw = read_pictures(tmp_path)
    np.testing.assert_array_equal(raw.images, COLOUR[:3])
    assert raw.labels is None and len(raw.notes) == 1
    assert raw.notes[0].startswith("files left out: ")
    kinds = set(raw.notes[0].partition(": ")[2].split(", "))
    assert kinds == {
        "4 hidden",
        "3 of training runs",
        "2 .txt",
        "1 .heic",
        "1 .eps",
        "1 without a suffix",
    }


def test_a_folder_in_which_everything_is_left_out_says_what_it_holds(tmp_path):
    save(tmp_path / "run" / "samples" / "epoch-0000.png")
    with pytest.raises(DataError, match=r"no pictures.*\(files left out: 1 of training runs\)"):
        load_dataset(tmp_path)
    # a folder that is named is read
    assert len(load_dataset(tmp_path / "run" / "samples").images) == 1


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no symbolic links")
def test_links_are_followed_but_not_in_circles(tmp_path):
    save(tmp_path / "real" / "a.png")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "cats").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "around").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "gone.png").symlink_to(tmp_path / "nowhere")
    raw = read_pictures(tmp_path / "data")
    assert len(raw.images) == 1 and raw.labels.tolist() == ["cats"]
    assert "1 missing, where a link points to nothing" in raw.notes[0]


@pytest.mark.parametrize("around", ["", "mnist_png"])
@pytest.mark.parametrize(
    "train, test",
    [("train", "test"), ("training", "testing"), ("Train", "val"), ("train", "valid")],
)
def test_parts_of_a_data_set_are_no_classes(tmp_path, around, train, test):
    for i in range(12):
        save(tmp_path / around / train / ("cats", "dogs")[i % 2] / f"{i}.png", COLOUR[i])
    for i in range(12, 16):
        save(tmp_path / around / test / ("cats", "dogs")[i % 2] / f"{i}.png", COLOUR[i])
    data = load_dataset(tmp_path)
    assert data.names == ["cats", "dogs"] and len(data.images) == 12 and len(data.test) == 4
    for image, label in zip(data.test, data.test_labels):
        assert any((image == COLOUR[i]).all() for i in range(12 + label, 16, 2))
    assert (
        f"trained on the 12 pictures in {train}/; the results are compared with the 4 in {test}/"
        in data.notes
    )
    chosen = load_dataset(tmp_path, classes="dogs")
    assert len(chosen.images) == 6 and len(chosen.test) == 2


def test_of_three_parts_the_test_part_is_measured_against(tmp_path):
    for i, part in enumerate(["train"] * 5 + ["test"] * 3 + ["val"] * 2 + ["more"] * 1):
        save(tmp_path / part / f"{i}.png", COLOUR[i])
    data = load_dataset(tmp_path)
    assert len(data.images) == 5 and len(data.test) == 3 and data.labels is None
    assert "3 pictures in other folders than these two are left out" in data.notes


def test_a_grey_test_part_of_another_size_is_converted_with_the_others(tmp_path):
    for i in range(4):
        save(tmp_path / "train" / f"{i}.png", COLOUR[i])
    save(tmp_path / "test" / "a.png", RNG.integers(0, 256, (20, 20), dtype=np.uint8))
    data = load_dataset(tmp_path)
    assert data.test.shape == (1, 8, 12, 3)


def test_folders_called_train_beside_classes_are_classes(tmp_path):
    for i, name in enumerate(["train", "plane", "car"]):
        save(tmp_path / name / "0.png", COLOUR[i])
    assert load_dataset(tmp_path).names == ["car", "plane", "train"]


def test_a_zip_of_pictures_is_read_like_a_folder(tmp_path):
    for i in range(6):
        save(tmp_path / "pets" / ("cats", "dogs")[i % 2] / f"{i}.png", COLOUR[i])
    save(tmp_path / "pets" / "__MACOSX" / "a.png")
    (tmp_path / "pets" / "notes.txt").write_text("no picture")
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for path in (tmp_path / "pets").rglob("*"):
            archive.write(path, path.relative_to(tmp_path))
    zipped, folder = load_dataset(tmp_path / "pets.zip"), load_dataset(tmp_path / "pets")
    np.testing.assert_array_equal(zipped.images, folder.images)
    np.testing.assert_array_equal(zipped.labels, folder.labels)
    assert zipped.names == folder.names == ["cats", "dogs"] and zipped.notes == folder.notes


def test_a_zip_of_something_else(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("train.csv", "label,pixel0\n")
    with pytest.raises(DataError, match=r"neither arrays nor pictures.*1 \.csv.*unpack it"):
        load_dataset(tmp_path / "a.zip")
    (tmp_path / "a.tar.gz").write_bytes(b"\x1f\x8b")
    with pytest.raises(DataError, match="is an archive: unpack it"):
        load_dataset(tmp_path / "a.tar.gz")


def savable(suffix):
    """Whether this Pillow writes pictures in colour with this suffix."""
    name = Image.registered_extensions()[suffix]
    return name in Image.SAVE and name not in ("MSP", "XBM", "PALM")  # black and white


@pytest.mark.parametrize("suffix", [s for s in PICTURE_SUFFIXES if savable(s)])
def test_every_raster_format_that_this_pillow_writes_is_read(tmp_path, suffix):
    red = Image.new("RGB", (64, 64), (200, 0, 0))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of formats that Pillow will drop
            red.save(tmp_path / f"a{suffix.upper()}")
    except (OSError, KeyError, ValueError) as error:  # a library that Pillow was built without
        pytest.skip(f"this Pillow does not write {suffix}: {error}")
    raw = read_pictures(tmp_path, value_range=(0, 255))
    expected = [200, 0, 0] if raw.images.ndim == 4 else 60  # .bw, .pfm and .pbm are grey
    if suffix == ".pbm":
        return
    assert raw.images.shape[1:3] == (64, 64)
    assert abs(raw.images[0, 16, 16].astype(int) - expected).max() < 12


def test_documents_are_left_out(tmp_path):
    save(tmp_path / "a.png")
    Image.fromarray(COLOUR[0]).save(tmp_path / "a.pdf")
    Image.fromarray(COLOUR[0]).save(tmp_path / "a.eps")
    (tmp_path / "a.wmf").write_bytes(b"\xd7\xcd\xc6\x9a" + bytes(100))
    raw = read_pictures(tmp_path)
    assert len(raw.images) == 1 and raw.notes == ["files left out: 1 .eps, 1 .pdf, 1 .wmf"]


def test_only_animations_are_called_so(tmp_path):
    def save_two(name, kind=None):
        first, second = map(Image.fromarray, COLOUR[:2])
        first.save(tmp_path / name, kind, save_all=True, append_images=[second])

    save_two("phone.jpg", "MPO")  # with a second, hidden picture
    assert read_pictures(tmp_path).notes == []
    save_two("pages.tif")
    assert read_pictures(tmp_path).notes == [
        "1 of 2 pictures have several pages: the first is used"
    ]
    save_two("moves.webp")
    assert "1 of 3 pictures are animated: the first frame is used" in read_pictures(tmp_path).notes


def png(bits, colour_type, width, rows, transparent):
    """A PNG file with a transparent shade or colour, which Pillow cannot write in few bits."""

    def chunk(name, data):
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, 1, bits, colour_type, 0, 0, 0)
    values = struct.pack(f">{len(transparent)}H", *transparent)
    parts = (b"IHDR", header), (b"tRNS", values), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


@pytest.mark.parametrize(
    "bits, rows, transparent, seen",
    [
        (1, b"\0\x50", 0, [255, 255, 255, 255]),
        (1, b"\0\x50", 1, [0, 255, 0, 255]),
        (2, b"\0\x1b", 1, [0, 255, 170, 255]),
        (2, b"\0\x1b", 2, [0, 85, 255, 255]),
        (4, b"\0\x01\x2f", 2, [0, 17, 255, 255]),
        (8, b"\0\x00\x01\x02\xff", 2, [0, 1, 255, 255]),
        (16, b"\0" + struct.pack(">4H", 0, 0x1000, 0x2001, 0x2002), 0x2001, [0, 16, 255, 32]),
        (16, b"\0" + struct.pack(">4H", 0, 0x1000, 0x9000, 0x40), 0x40, [0, 16, 143, 255]),
    ],
)
def test_a_transparent_shade_becomes_white_at_any_depth(tmp_path, bits, rows, transparent, seen):
    (tmp_path / "a.png").write_bytes(png(bits, 0, 4, rows, [transparent]))
    value_range = (0, 65535) if bits == 16 else (0, 255)
    raw = read_pictures(tmp_path, value_range=value_range)
    assert raw.images[0, 0].tolist() == seen
    assert "1 of 1 pictures have transparent parts, which become white" in raw.notes


def test_a_transparent_colour_of_16_bits_becomes_white(tmp_path):
    rows = b"\0" + struct.pack(">6H", 0x1234, 0x2345, 0x3456, 0xFFFF, 0, 0)
    (tmp_path / "a.png").write_bytes(png(16, 2, 2, rows, [0x1234, 0x2345, 0x3456]))
    assert read_pictures(tmp_path).images[0, 0].tolist() == [[255, 255, 255], [255, 0, 0]]
