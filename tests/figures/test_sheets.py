"""Sheets: exact pixels, with words where they belong, as PNG, SVG, PDF and GIF."""

import base64
import io
import re
import warnings

import numpy as np
import pytest
from PIL import Image

from minigan.figures import plots, sheets
from minigan.figures.plots import Look, enlarge, make_grid
from minigan.figures.sheets import Sheet, draw_sheet, lay_out
from minigan.gan.latents import latents_for_each_class

RNG = np.random.default_rng(0)
GREY = RNG.random((6, 8, 7))
SHEET = Sheet(
    make_grid(GREY, columns=3),
    "Six images",
    rows=("real", "generated"),
    headings=("0", "1", "2"),
    caption="noise",
)


def picture_of(sheet, look=plots.DEFAULT_LOOK):
    """The part of a drawn sheet where the picture is."""
    [(picture, x, y), *_] = lay_out(sheet, look).pictures
    return draw_sheet(sheet, look)[y : y + picture.shape[0], x : x + picture.shape[1]]


def letters(sheet, text):
    """The box of a word of a sheet: (left, top, right, bottom)."""
    word = next(word for word in lay_out(sheet).words if word.text == text)
    height, width = sheets.draw_words(word.text, word.font, word.bold).shape
    return word.x, word.y, word.x + width, word.y + height


@pytest.mark.parametrize("look", [Look(), Look(zoom=3)])
@pytest.mark.parametrize("picture", [SHEET.picture, make_grid(RNG.random((6, 8, 7, 3)), columns=3)])
def test_the_pixels_are_exact_squares(picture, look):
    sheet = SHEET._replace(picture=picture)
    np.testing.assert_array_equal(picture_of(sheet, look), enlarge(picture, 2 * look.zoom))
    plain = Sheet(picture)
    np.testing.assert_array_equal(draw_sheet(plain, look), enlarge(picture, 2 * look.zoom))


def test_every_word_is_drawn_at_its_place_and_none_covers_the_picture():
    [(picture, left, top)] = lay_out(SHEET).pictures
    height, width = picture.shape
    drawn = draw_sheet(SHEET)
    for text in "Six images", "real", "generated", "0", "1", "2", "noise":
        x0, y0, x1, y1 = (round(edge) for edge in letters(SHEET, text))
        assert 0 <= x0 and 0 <= y0 and x1 <= drawn.shape[1] and y1 <= drawn.shape[0], text
        assert x1 <= left or y1 <= top or y0 >= top + height, text
        assert (drawn[y0:y1, x0:x1] < 100).sum() > 5, text
    for i, label in enumerate(SHEET.rows):
        _, y0, _, y1 = letters(SHEET, label)
        assert (y0 + y1) / 2 == pytest.approx(top + (i + 0.5) * height / 2, abs=2), label
    for i, heading in enumerate(SHEET.headings):
        x0, _, x1, _ = letters(SHEET, heading)
        assert (x0 + x1) / 2 == pytest.approx(left + (i + 0.5) * width / 3, abs=2), heading


def test_a_title_that_is_wider_than_the_picture_is_not_cut():
    sheet = SHEET._replace(title="W" * 80)
    x0, _, x1, _ = letters(sheet, sheet.title)
    assert x0 >= 0 and x1 <= draw_sheet(sheet).shape[1]


def test_zoom_enlarges_words_as_well():
    (height, width), (height3, width3) = (
        draw_sheet(SHEET, look).shape for look in (Look(), Look(zoom=3))
    )
    assert height3 == pytest.approx(3 * height, rel=0.03)
    assert width3 == pytest.approx(3 * width, rel=0.03)
    assert lay_out(SHEET, Look(zoom=3)).words[0].font == 3 * lay_out(SHEET).words[0].font


def embedded_pictures(svg):
    """The pictures within an SVG, as arrays, in grey."""
    found = re.findall(r'xlink:href="data:image/png;base64,([^"]*)"', svg)
    return [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(code))).convert("L")) for code in found
    ]


def test_svg_has_the_same_pixels_and_words_as_curves():
    file, plain = io.BytesIO(), io.BytesIO()
    sheets.save_sheet(SHEET, file, Look(kind="svg"))
    sheets.save_sheet(Sheet(SHEET.picture), plain, Look(kind="svg"))
    svg = file.getvalue().decode()
    assert svg.startswith("<?xml") and "date" not in svg
    [picture] = embedded_pictures(svg)
    np.testing.assert_array_equal(picture, enlarge(SHEET.picture, 2))
    layout = lay_out(SHEET)
    assert f'width="{layout.width}pt" height="{layout.height}pt"' in svg
    count = sum(len(word.text) for word in layout.words)
    assert svg.count('<use xlink:href="#DejaVu') == count
    assert "DejaVu" not in plain.getvalue().decode()


@pytest.mark.parametrize("kind, begins", [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_the_same_sheet_and_figure_give_the_same_file(kind, begins):
    files = [io.BytesIO() for _ in range(4)]
    for file in files[:2]:
        sheets.save_sheet(SHEET, file, Look(kind=kind))
    for file in files[2:]:
        plots.save_classes([0.1] * 10, np.full(10, 0.1), file, look=Look(kind=kind))
    a, b, c, d = (file.getvalue() for file in files)
    assert a == b != c == d and a.startswith(begins) and c.startswith(begins)


def test_names_with_strange_letters_are_drawn_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = [sheets.draw_words(text, 13) for text in ("$x^", "_a", "数字", "a\nb", "\\frac{")]
    assert all((letters < 100).any() for letters in drawn)
    assert drawn[3].shape[0] > 1.7 * drawn[1].shape[0]


def test_invert_makes_grey_images_black_on_white():
    images = np.zeros((3, 4, 4))
    images[:, 1, 1] = 1
    plain, inverted = (
        sheets.arrange_images(images, columns=2, look=Look(invert=invert))
        for invert in (False, True)
    )
    np.testing.assert_array_equal(inverted, 255 - plain)
    assert plain.max() == 255 and np.median(inverted) == 255


def test_a_sheet_that_is_too_large_is_refused_before_it_is_drawn():
    images = np.broadcast_to(np.zeros((1, 28, 28)), (10_000, 28, 28))
    sheets.arrange_images(images[:10], look=Look(zoom=10))
    with pytest.raises(MemoryError):
        sheets.arrange_images(images, look=Look(zoom=10))


def test_rows_of_several_groups():
    a, b = np.zeros((5, 2, 2)), np.full((5, 2, 2), 0.5)
    images, labels = sheets.labelled_rows([("a", a), ("b", b)], 3)
    assert labels == ["a", "b", "a", "b"] and images.shape == (12, 2, 2)
    assert images[:, 0, 0].tolist() == [0] * 3 + [0.5] * 3 + [0, 0, 1, 0.5, 0.5, 1]
    images, labels = sheets.labelled_rows([("a", a), ("b", b)], 3, alternate=False)
    assert labels == ["a", "", "b", ""]
    assert images[:, 0, 0].tolist() == [0] * 5 + [1] + [0.5] * 5 + [1]


@pytest.mark.parametrize("classes, count, columns", [(10, 100, 10), (3, 100, 10), (26, 60, 8)])
def test_rows_are_labelled_with_the_classes_of_their_images(classes, count, columns):
    names = [f"class {i}" for i in range(classes)]
    _, labels = latents_for_each_class(np.zeros((count, 1)), count, classes)
    of_rows, seen = sheets.class_rows(names, count, columns), set()
    assert len(of_rows) == -(-count // columns)
    for i, label in enumerate(of_rows):
        here = {names[k] for k in labels[i * columns : (i + 1) * columns]}
        assert set(filter(None, label.split(", "))) == here - seen
        seen |= here


def test_the_gradient_is_below_its_image(tmp_path):
    rng = np.random.default_rng(0)
    images, gradient = rng.random((3, 4, 5)), rng.standard_normal((3, 4, 5))
    drawn = []
    for look in Look(), Look(invert=True):
        sheets.save_gradient(images, gradient, tmp_path / "gradient.png", look=look)
        with Image.open(tmp_path / "gradient.png") as picture:
            drawn.append(np.asarray(picture))
    grey = (drawn[0] == 90).all(axis=2)
    top = np.nonzero(grey.sum(axis=1) == 69)[0][0]  # the upper edge of the picture
    left = np.nonzero(grey[top])[0][0]
    for pixels, shown in zip(drawn, (images, 1 - images)):
        pixels = pixels[top : top + 42 : 3, left : left + 69 : 3]
        assert pixels[0].tolist() == [[90] * 3] * 23
        for i in range(3):
            columns = slice(2 + 7 * i, 7 + 7 * i)
            expected = np.rint(255 * shown[i])[..., None].repeat(3, -1)
            np.testing.assert_array_equal(pixels[2:6, columns], expected)
            expected = np.rint(255 * plots.red_and_blue(gradient[i : i + 1])[0])
            np.testing.assert_array_equal(pixels[8:12, columns], expected)
    for colour in [255, 0, 0], [0, 0, 255]:  # the scale below
        assert (drawn[0][top + 42 :] == colour).all(axis=2).any()


def frames_of(path):
    """(frames in grey, durations) of a GIF."""
    frames, durations = [], []
    with Image.open(path) as animation:
        for i in range(animation.n_frames):
            animation.seek(i)
            frames.append(np.asarray(animation.convert("L")))
            durations.append(animation.info["duration"])
    return frames, durations


def test_an_animation_pauses_at_its_last_picture(tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for i, path in enumerate(paths):
        plots.save_grid(np.full((4, 5, 5), i / 3), path)
    sheets.save_animation(paths, tmp_path / "all.gif")
    frames, durations = frames_of(tmp_path / "all.gif")
    assert durations == [400, 400, 2500] and frames[0].shape == (32, 32)


def test_each_frame_has_its_title(tmp_path):
    images = np.stack([make_grid(GREY[i : i + 2]) for i in (0, 0, 1)])
    titles = ["epoch 9 of 10", "epoch 10 of 10", "epoch 10 of 10"]
    sheets.save_walk(images, tmp_path / "all.gif", titles=titles, headings=["a", "b"], zoom=3)
    frames, _ = frames_of(tmp_path / "all.gif")
    assert len(frames) == 3
    expected = draw_sheet(Sheet(images[0], titles[1], headings=["a", "b"], zoom=3))
    np.testing.assert_array_equal(frames[1], expected)
    assert (frames[0][:20] != frames[1][:20]).any() and frames[0].shape == frames[1].shape
    y = lay_out(Sheet(images[0], titles[0], headings=["a", "b"], zoom=3)).pictures[0][2]
    picture = frames[0][y : y + 3 * images.shape[1]]
    np.testing.assert_array_equal(picture, frames[1][y : y + 3 * images.shape[1]])
