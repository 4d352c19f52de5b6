"""Images of one's own: pictures of every kind, arrays, labels, chosen classes; and all of it in colour."""
import gzip
import io
import json
import pickle
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image
from test_data import idx
from test_training import SMALL

from minigan.build import make_networks
from minigan.data import SHIPPED, TEST_LABELS, DataError, load_images, load_labels
from minigan.diagnosis import diagnose
from minigan.drawing import sample
from minigan.evaluation import evaluate, make_yardstick
from minigan.metrics import Yardstick, plain_features
from minigan.pictures import choose_size, read_pictures
from minigan.plots import grid, red_and_blue
from minigan.recipes import RECIPES, replace
from minigan.runs import image_shape, load_model, make_settings, new_folder, read_recipe, save_model
from minigan.sources import load
from minigan.training import train

RNG = np.random.default_rng(0)
GREY, COLOUR = RNG.integers(0, 256, (30, 8, 12), dtype=np.uint8), RNG.integers(0, 256, (30, 8, 12, 3), dtype=np.uint8)


def save(path, array, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **how)


# ---- a folder of pictures

def test_pictures_of_one_size_come_as_they_are_sorted_by_name(tmp_path):
    for i in (2, 0, 1):
        save(tmp_path / f"{i}.png", COLOUR[i])
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "._0.png").write_bytes(b"what some systems leave on a disk")
    images, labels, _, _, notes = read_pictures(tmp_path)
    np.testing.assert_array_equal(images, COLOUR[:3])
    assert labels is None and notes == []


def test_all_grey_is_grey_and_one_in_colour_makes_all_colour(tmp_path):
    save(tmp_path / "a.png", GREY[0])
    save(tmp_path / "b.png", GREY[1][..., None].repeat(3, -1))         # stored in colour, but grey
    images = read_pictures(tmp_path)[0]
    np.testing.assert_array_equal(images, GREY[:2])
    save(tmp_path / "c.png", COLOUR[0])
    images = read_pictures(tmp_path)[0]
    assert images.shape == (3, 8, 12, 3)
    np.testing.assert_array_equal(images[0], GREY[0][..., None].repeat(3, -1))


def test_other_sizes_are_cut_in_the_middle_and_scaled(tmp_path):
    for i in range(3):
        save(tmp_path / f"{i}.png", np.full((8, 8, 3), 100, np.uint8))
    wide = np.zeros((16, 48, 3), np.uint8)
    wide[:, 16:32] = [10, 200, 30]                                     # the middle third, which is all that should be seen
    save(tmp_path / "wide.png", wide)
    images, _, _, _, notes = read_pictures(tmp_path)
    assert images.shape == (4, 8, 8, 3) and notes == ["1 of 4 pictures are not of 8 x 8: they are scaled, and what sticks out is cut off"]
    np.testing.assert_array_equal(images[3][:, 2:-2], np.broadcast_to([10, 200, 30], (8, 4, 3)))
    assert images[3].min(axis=(0, 1))[1] > 180                         # at its edges, the cubic filter sees what is beyond
    assert read_pictures(tmp_path, size=4)[0].shape == (4, 4, 4, 3)


@pytest.mark.parametrize("sizes, chosen", [
    ([(28, 20)] * 3 + [(50, 50)] * 2, (28, 20)), ([(28, 20)] * 2 + [(50, 50)] * 2, (48, 48)), ([(1024, 768)] * 9, (64, 64)),
    ([(128, 128)], (128, 128)), ([(129, 128)], (64, 64)), ([(130, 90)], (130, 90)), ([(19, 35), (35, 18), (17, 40)], (16, 16)),
    ([(2, 3000)], (4, 4))])
def test_the_size_is_that_of_most_or_a_square(sizes, chosen):
    assert choose_size(sizes) == chosen


def test_every_kind_of_picture_becomes_what_one_sees(tmp_path):
    """Each of these is 4 x 4, red or grey, whatever it is stored as."""
    red = Image.new("RGB", (4, 4), (200, 0, 0))
    red.save(tmp_path / "a.png")
    red.quantize(4).save(tmp_path / "b palette.png")
    clear = red.convert("RGBA")
    clear.paste((0, 0, 0, 0), (0, 0, 2, 4))                            # its left half is black, but cannot be seen
    clear.save(tmp_path / "c clear.png")
    Image.fromarray(np.full((4, 4), 0x80FF, np.uint16)).save(tmp_path / "d 16 bits.png")
    Image.new("1", (4, 4), 1).save(tmp_path / "e 1 bit.png")
    red.convert("CMYK").save(tmp_path / "f print.jpg", quality=100)
    red.save(tmp_path / "g moves.gif", save_all=True, append_images=[Image.new("RGB", (4, 4), "blue")])
    exif = Image.Exif()
    exif[0x0112] = 6                                                   # lies on its side: turn it right
    turned = Image.new("RGB", (4, 4), (200, 0, 0))
    turned.paste((0, 0, 0), (0, 0, 4, 2))                              # black above, which belongs to the right
    turned.save(tmp_path / "h turned.png", exif=exif)
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 200, 0, 0])
    palette.save(tmp_path / "i clear palette.png", transparency=1)
    red.save(tmp_path / "j.bmp")
    red.save(tmp_path / "k.PNG")
    images, _, _, _, notes = read_pictures(tmp_path)
    seen = dict(zip("abcdefghijk", images))
    red, white = [200, 0, 0], [255, 255, 255]
    for name in "abgjk":
        assert (seen[name] == red).all(), name
    assert (seen["c"][:, 2:] == red).all() and (seen["c"][:, :2] == white).all()
    assert (seen["d"] == 0x80).all() and (seen["e"] == 255).all()
    assert abs(seen["f"].astype(int) - red).max() < 12
    assert (seen["h"][:, :2] == red).all() and (seen["h"][:, 2:] == 0).all()
    assert (seen["i"] == white).all()
    assert notes == ["2 of 11 pictures have transparent parts, which become white", "1 of 11 pictures are animated: the first frame is taken"]


def test_a_photo_on_its_side_counts_with_its_upright_size(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 8
    Image.new("RGB", (40, 20), "red").save(tmp_path / "a.jpg", exif=exif)
    assert read_pictures(tmp_path)[0].shape == (1, 40, 20, 3)


def test_one_corrupt_file_among_a_thousand_is_named_and_left_out_or_refused(tmp_path):
    for i in range(1000):
        save(tmp_path / f"{i:04}.png", COLOUR[i % 30])
    good = (tmp_path / "0500.png").read_bytes()
    (tmp_path / "0500.png").write_bytes(good[:len(good) // 2])
    data = load(tmp_path)
    assert data.images.shape == (999, 8, 12, 3) and len(data.notes) == 1
    assert data.notes[0].startswith(f"1 of 1,000 pictures cannot be read, and are left out: {tmp_path / '0500.png'} (")
    with pytest.raises(DataError, match=r"cannot read .*0500.png \(.*without --strict it is left out"):
        load(tmp_path, strict=True)
    (tmp_path / "0500.png").unlink()
    assert len(load(tmp_path, strict=True).images) == 999


def png(width, height, body=b""):
    """A PNG file that claims a size."""
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


BAD_PICTURES = {
    "text": (b"hello", "no picture"), "nothing": (b"", "no picture"), "no body": (png(4, 4), "bad.png"),
    "a bomb": (png(30_000, 30_000, zlib.compress(bytes(1000))), "decompression bomb"),
    "nearly a bomb": (png(10_000, 10_000, zlib.compress(bytes(1000))), "decompression bomb"),
}


@pytest.mark.parametrize("content, words", BAD_PICTURES.values(), ids=BAD_PICTURES.keys())
def test_bad_pictures_are_refused_if_there_are_no_others(tmp_path, content, words):
    (tmp_path / "bad.png").write_bytes(content)
    tracemalloc.start()
    with pytest.raises(DataError, match=f"none of the 1 pictures in .* can be read, such as .*bad.png.*{words}"[:400] if words != "bad.png" else "bad.png"):
        read_pictures(tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


def test_more_pictures_than_fit_into_memory(tmp_path, monkeypatch):
    save(tmp_path / "a.png", COLOUR[0])
    monkeypatch.setattr("minigan.pictures.MOST_BYTES", 8 * 12 * 3 - 1)
    with pytest.raises(DataError, match="1 pictures of 8 x 12 are more than 0 GB: choose a smaller --size"):
        read_pictures(tmp_path)


def test_sub_folders_are_classes_if_all_pictures_lie_in_some(tmp_path):
    for i in range(12):
        save(tmp_path / ("cats", "dogs", "owls")[i % 3] / "deeper" / f"{i}.png", COLOUR[i])
    data = load(tmp_path)
    assert data.names == ["cats", "dogs", "owls"] and np.bincount(data.labels).tolist() == [4, 4, 4]
    assert data.notes == ["the sub-folders are taken for classes: cats, dogs, owls"]
    for image, label in zip(data.images, data.labels):                 # mixed, but still together
        assert any((image == COLOUR[i]).all() for i in range(label, 12, 3))
    assert (np.diff(data.labels) < 0).any()
    chosen = load(tmp_path, classes="cats,owls")
    assert chosen.names == ["cats", "owls"] and np.bincount(chosen.labels).tolist() == [4, 4]
    with pytest.raises(DataError, match="no class in .* is called 'bats': there are cats, dogs, owls$"):
        load(tmp_path, classes="bats")
    save(tmp_path / "one.png", COLOUR[0])
    data = load(tmp_path)
    assert data.labels is None and data.notes == ["1 of 13 pictures lie in no sub-folder, so that there are no classes"]
    with pytest.raises(DataError, match="has no labels, so that --classes cannot choose"):
        load(tmp_path, classes="cats")


# ---- arrays and IDX files

def test_arrays_are_read_whatever_they_are_called(tmp_path):
    for name, parts in {
        "one": dict(arr_0=COLOUR), "ours": dict(images=COLOUR, labels=np.arange(30) % 3, other=np.zeros((9, 9, 9))),
        "keras": dict(x_train=GREY, y_train=np.arange(30) % 10, x_test=GREY[:7], y_test=np.arange(7)),
        "medmnist": dict(train_images=GREY[..., None], train_labels=np.arange(30)[:, None] % 2, test_images=GREY[:7], val_images=GREY[:3]),
    }.items():
        for pack in np.savez, np.savez_compressed:
            pack(tmp_path / f"{name}.npz", **parts)
            data = load(tmp_path / f"{name}.npz")
            real, labels = next(value for key, value in parts.items() if value.ndim > 2), next(
                (value for key, value in parts.items() if key in ("labels", "y_train", "train_labels")), None)
            real = real[..., 0] if real.shape[-1] == 1 else real
            order = np.random.default_rng(0).permutation(30)
            np.testing.assert_array_equal(data.images, real[order])
            if labels is None:
                assert data.labels is None and data.names == []
            else:
                assert [data.names[i] for i in data.labels] == labels[order].reshape(-1).astype(str).tolist()
            assert (data.test is None) == (name in ("one", "ours")) and (data.test is None or len(data.test) == 7)
    np.save(tmp_path / "one.npy", np.asfortranarray(COLOUR))
    np.testing.assert_array_equal(load(tmp_path / "one.npy").images, COLOUR[np.random.default_rng(0).permutation(30)])
    assert load(tmp_path / "one.npy", size=4).images.shape == (30, 4, 4, 3)


def npy(array):
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def npz(**parts):
    content = io.BytesIO()
    np.savez(content, **parts)
    return content.getvalue()


def lying(shape, body=bytes(100)):
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + (len(header) + 1).to_bytes(2, "little") + header + b"\n" + body


def bomb():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("images.npy", lying((5 << 20, 32, 32), bytes(30_000_000)))
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
    "floats": (npy(GREY / 255), r"`images` holds float64, and images are bytes.*\(255 \* x\).astype\('uint8'\)"),
    "rows of pixels": (npy(GREY.reshape(30, -1)), r"array of shape \(30, 96\), and images are .*x.reshape\(-1, height, width\)"),
    "channels first": (npy(COLOUR.transpose(0, 3, 1, 2)), r"array of shape \(30, 3, 8, 12\).*x.transpose\(0, 2, 3, 1\)"),
    "transparency": (npy(np.zeros((5, 8, 8, 4), "uint8")), r"array of shape \(5, 8, 8, 4\).*x\[..., :3\]"),
    "no images": (npy(GREY[:0]), r"`images` has the shape \(0, 8, 12\): that is nothing"),
    "too large": (npy(np.zeros((1, 300, 200), "uint8")), "images of 300 x 200, which are too large .* a smaller --size"),
    "too large in colour": (npy(np.zeros((1, 129, 128, 3), "uint8")), "images of 129 x 128 in colour, which are too large"),
    "objects": (npy(np.array([Evil()], dtype=object)), "holds object"),
    "a pickle": (pickle.dumps(Evil()), "is not an IDX file"),
    "cut off": (npy(GREY)[:-7], "should hold 2,880 bytes but holds only 2,873: cut off"),
    "lies big": (lying((100_000, 1000, 1000)), "that is nothing, or more than 4 GB"),
    "lies less big": (lying((1000, 1000, 1000)), "should hold 1,000,000,000 bytes but holds only 100: cut off"),
    "less than nothing": (lying((-1, 28, 28)), "that is nothing"),
    "a bomb": (bomb(), "that is nothing, or more than 4 GB"),
    "labels do not match": (npz(images=GREY, labels=np.arange(29)), r"30 images, but labels of shape \(29,\): each needs one"),
    "labels are no list": (npz(images=GREY, labels=np.zeros((30, 10), int)), r"labels of shape \(30, 10\)"),
    "labels are fractions": (npz(images=GREY, labels=np.zeros(30)), "`labels` holds float64: labels are whole numbers, or words"),
    "two to choose from": (npz(a=GREY, b=GREY), "holds a, b: call the one with the images `images`"),
    "none to choose from": (npz(labels=np.zeros(30)), "holds labels: call the one"),
    "test images of another size": (npz(images=GREY, test_images=GREY[:, :4]), "images of 8 x 12, but test images of 4 x 12"),
    "a zip of pictures": (zip_of_pictures(), "zip file without arrays: if it holds pictures, unpack them"),
    "half a zip": (npz(images=GREY)[:300], "is damaged, or no file of NumPy's"),
    "a changed byte": (npz(images=GREY).replace(GREY[5].tobytes(), GREY[6].tobytes()), "is damaged.*CRC"),
    "a bad header": (b"\x93NUMPY\x01\x00\x05\x00{'a':", "is damaged"),
}


@pytest.mark.parametrize("content, words", BAD_ARRAYS.values(), ids=BAD_ARRAYS.keys())
def test_bad_arrays_get_a_sentence_that_names_them(tmp_path, content, words, capsys):
    path = tmp_path / "bad"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        load(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert capsys.readouterr().out == ""                               # nothing was executed


def test_what_cannot_be_a_source(tmp_path):
    save(tmp_path / "a.png", GREY[0])
    (tmp_path / "empty").mkdir()
    for path, words in ((tmp_path / "nowhere", "nowhere does not exist"), (tmp_path / "a.png", "is a picture: name the folder"),
                        (tmp_path / "empty", "neither train-images-idx3-ubyte.gz nor .* and no pictures")):
        with pytest.raises(DataError, match=words):
            load(path)
    for size in 222, 999_999_999:
        with pytest.raises(DataError, match=f"--size {size} is too large: at most 128, or 221 for grey"):
            load(tmp_path, size=size)


def test_an_idx_file_alone_and_with_its_labels(tmp_path):
    path = tmp_path / "my-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(idx(GREY)))
    data = load(path)
    np.testing.assert_array_equal(data.images, GREY)                   # not mixed
    assert data.labels is None and data.test is None
    (tmp_path / "my-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.arange(30, dtype=np.uint8) % 12)))
    data = load(path)
    assert data.names == [str(i) for i in range(12)] and data.labels.tolist() == [i % 12 for i in range(30)]
    assert load(path, classes="11,3").names == ["3", "11"]             # in their own order
    np.testing.assert_array_equal(load(path, classes="11").images, GREY[11::12])


def test_classes_of_mnist():
    data, labels = load(SHIPPED, classes="3,8"), load_labels()
    assert data.names == ["3", "8"] and data.test.shape == (1010 + 974, 28, 28)
    np.testing.assert_array_equal(data.images, load_images()[(labels == 3) | (labels == 8)])
    np.testing.assert_array_equal(data.labels, labels[(labels == 3) | (labels == 8)] == 8)
    np.testing.assert_array_equal(data.test_labels, load_labels(name=TEST_LABELS)[np.isin(load_labels(name=TEST_LABELS), [3, 8])] == 8)
    whole = load(SHIPPED)
    assert whole.names == list("0123456789") and (whole.labels == labels).all() and len(whole.test) == 10_000 and whole.notes == []


def test_test_images_without_labels_cannot_be_chosen(tmp_path):
    np.savez(tmp_path / "a.npz", images=GREY, labels=np.arange(30) % 2, test_images=GREY[:4])
    assert load(tmp_path / "a.npz").test is not None and load(tmp_path / "a.npz", classes="1").test is None
    np.savez(tmp_path / "a.npz", images=GREY, test_images=GREY[:4], test_labels=[7, 7, 8, 8])
    assert load(tmp_path / "a.npz").test_labels is None and load(tmp_path / "a.npz").names == []
    np.savez(tmp_path / "a.npz", images=GREY, labels=np.arange(30) % 2, test_images=GREY[:4], test_labels=[0, 1, 2, 2])
    assert load(tmp_path / "a.npz").names == ["0", "1", "2"] and load(tmp_path / "a.npz", classes="1").test.shape[0] == 1
    with pytest.raises(DataError, match="is called '2': there are 0, 1"):
        load(tmp_path / "a.npz", classes="2")


# ---- in colour

@pytest.mark.parametrize("name", RECIPES)
def test_networks_for_colour(name):
    recipe = RECIPES[name]
    G, D = make_networks(recipe, (8, 12, 3), np.random.default_rng(0))
    z = RNG.standard_normal((2, recipe.latent_dim)).astype(recipe.dtype)
    drawn, _ = G.forward(z)
    assert drawn.shape == (2, 8 * 12 * 3) and D.forward(drawn)[0].shape == (2, 1)
    for shape in (8, 12), (8, 12, 1):                                  # the same networks
        assert [net.theta.size for net in make_networks(recipe, (8, 12), np.random.default_rng(0))] == [
            net.theta.size for net in make_networks(recipe, shape, np.random.default_rng(0))]


@pytest.fixture(scope="module", params=["dense", "dcgan"])
def coloured(request, tmp_path_factory):
    """A run on pictures in colour: each of one colour, red or green."""
    folder = tmp_path_factory.mktemp("coloured")
    for i in range(60):
        save(folder / "data" / ("red", "green")[i % 2] / f"{i}.png",
             np.full((8, 12, 3), [(200 + i % 50, 20, 20), (20, 200 + i % 50, 20)][i % 2], np.uint8))
    recipe = replace(SMALL, epochs=3) if request.param == "dense" else replace(
        RECIPES["dcgan"], widths_G=(4, 3), widths_D=(3, 4), batch_size=20, epochs=3, steps=20, learning_rate=0.01)
    data = load(folder / "data")
    yardstick, _ = make_yardstick(data, False)
    settings = make_settings(recipe, 0, data.images, folder / "data", "numpy", False)
    assert train(recipe, data.images, new_folder(folder / "run"), settings, yardstick) == 0
    return folder / "run"


def test_a_run_in_colour_draws_in_colour(coloured):
    settings = json.loads((coloured / "settings.json").read_text())
    assert settings["channels"] == 3 and image_shape(settings) == (8, 12, 3)
    images = sample(coloured, 5, 0)
    assert images.shape == (5, 8, 12, 3) and images.dtype == np.float32
    with Image.open(coloured / "samples" / "epoch-0003.png") as picture:
        pixels = np.asarray(picture)
    assert pixels.shape == (2 * (10 * 10 + 2), 2 * (10 * 14 + 2), 3) and abs(pixels[..., 0].astype(int) - pixels[..., 2]).max() > 20
    with Image.open(coloured / "progress.gif") as animation:
        animation.seek(3)
        frame = np.asarray(animation.convert("RGB")).astype(int)
    assert abs(frame - pixels).mean() < 8                              # a GIF has 256 colours


def test_a_run_in_colour_is_measured_in_colour(coloured):
    result = evaluate(coloured, count=100)
    assert result["floor"]["fd"] < result["run"]["fd"]
    for name in "gradient.png", "neighbours.png", "real-and-fake.png", "walk.gif", "walk.png":
        with Image.open(coloured / name) as picture:
            pixels = np.asarray(picture.convert("RGB")).astype(int)
        assert abs(pixels[..., 0] - pixels[..., 2]).max() > 20, name


def test_shrunk_features_see_each_colour():
    images = RNG.random((3, 16, 8, 3)).astype("float32")
    features = plain_features(images.reshape(3, -1), 16, 8, 3)
    assert features.shape == (3, 3 * 64)
    for channel in range(3):
        np.testing.assert_allclose(features[:, 64 * channel:64 * (channel + 1)],
                                   plain_features(np.ascontiguousarray(images[..., channel]).reshape(3, -1), 16, 8), rtol=1e-6)
    real = RNG.integers(0, 256, (50, 8, 8, 3), dtype=np.uint8)
    swapped = real[..., ::-1].reshape(50, -1).astype("float32") / 255
    yardstick = Yardstick(np.where([True, False, False], real, 0).astype("uint8"), None)
    assert yardstick.quick(yardstick.images)["fd"] < 1e-3 < yardstick.quick(swapped)["fd"]


def test_a_grid_and_wishes_in_colour():
    picture = grid(COLOUR[:6] / 255)
    assert picture.shape == (2 * 10 + 2, 3 * 14 + 2, 3)
    np.testing.assert_array_equal(picture[12:20, 30:42], COLOUR[5])
    assert red_and_blue(np.array([[[[2.0, -2.0, 0.0]]]])).tolist() == [[[[1.0, 0.0, 0.5]]]]


# ---- settings

def test_settings_of_earlier_runs_are_grey(tmp_path):
    settings = make_settings(SMALL, 0, GREY, "nowhere", "numpy")
    G, D = make_networks(SMALL, (8, 12), np.random.default_rng(0))
    vectors = dict(generator=G.theta, discriminator=D.theta, average=G.theta, generator_state=G.state, discriminator_state=D.state,
                   average_state=G.state)
    for name in "channels", "classes", "size":
        del settings[name]
    save_model(tmp_path, settings, **vectors)
    assert load_model(tmp_path)[1] == SMALL and sample(tmp_path, 2, 0).shape == (2, 8, 12)


@pytest.mark.parametrize("changed", [{"channels": 2}, {"channels": 4}, {"channels": "3"}, {"channels": True}, {"classes": 3}, {"size": "4"},
                                     {"channels": 3, "height": 129, "width": 128}])
def test_settings_that_cannot_be(changed):
    settings = make_settings(SMALL, 0, GREY, "nowhere", "numpy")
    assert read_recipe(settings) == SMALL
    with pytest.raises(ValueError):
        read_recipe({**settings, **changed})


def test_a_run_on_two_digits_is_measured_by_these(tmp_path):
    data = load(SHIPPED, classes="3,8")
    yardstick, _ = make_yardstick(data, True)
    assert len(yardstick.images) == 1984
    recipe = replace(SMALL, epochs=1)
    settings = make_settings(recipe, 0, data.images[:100], SHIPPED, "numpy", True, "3,8")
    train(recipe, data.images[:100], new_folder(tmp_path / "run"), settings, yardstick)
    result = evaluate(tmp_path / "run", count=100)
    assert result["against"] == "1984 MNIST's test images of the classes 3,8"
    assert sum(result["floor"]["classes"][i] for i in (3, 8)) > 0.95 and result["floor"]["class_kl"] < 0.1
    assert np.isfinite(result["ceiling"]["class_kl"])                  # noise is read as what the test images have none of


def test_the_diagnosis_knows_which_digits_there_are():
    row = {"score_real": 0.6, "score_fake": 0.4, "fd": 3.0, "spread": 1.0, **{f"share_{i}": 0.0 for i in range(10)}}
    assert diagnose({**row, "share_3": 0.55, "share_8": 0.45}, "3,8") == "healthy"
    assert diagnose({**row, "share_3": 0.55, "share_8": 0.45}).startswith("collapsed: 55% of the samples are threes")
    assert diagnose({**row, "share_3": 0.85, "share_8": 0.15}, "3,8").startswith("collapsed: 85% of the samples are threes")
    assert diagnose({**row, "share_1": 0.6, "share_3": 0.38, "share_8": 0.02}, "3,8") == (
        "hardly any eights: 2.0% of the samples, where 50% would be fair")
    assert diagnose({**row, "share_3": 1.0}, "3") == "healthy"
