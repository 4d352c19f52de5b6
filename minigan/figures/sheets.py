"""Sheets: pictures made of images, with words around them.

The idea
    A grid of images says little without words: which row is real, which is generated, and what do
    the colours mean? A sheet is such a grid with a title above it, a label beside each row or above
    each column, and a caption or a scale of colours below. The words are black on white, because
    most slides are white. The images keep their exact pixels, each enlarged to a square.

    The layout is computed once, in pixels. For PNG and GIF, words are drawn one by one and copied
    into an array. For SVG and PDF, the same layout becomes a figure of matplotlib. Words are curves
    there, and remain sharp at any size.

Shapes
    Images (N, H, W), or (N, H, W, 3) in colour, from 0 (black) to 1 (white). A picture is a single
    uint8 array, (height, width) or (height, width, 3).

>>> picture = make_grid(np.zeros((6, 28, 28)))
>>> plain, labelled = Sheet(picture), Sheet(picture, rows=("real", "generated"))
>>> [draw_sheet(sheet).shape[1] - 2 * picture.shape[1] > 0 for sheet in (plain, labelled)]
[False, True]
"""

import functools
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from minigan.figures.plots import (
    DEFAULT_LOOK,
    Look,
    enlarge,
    make_grid,
    new_figure,
    red_and_blue,
    save_figure,
    save_frames,
    to_bytes,
)

MIN_FONT = 13  # pixels
FONT_SHARE = 1 / 60  # size of the font as a share of the width of the picture
MAX_SHEET_PIXELS = 1 << 28  # of the images of a sheet, without their usual zoom
BAR_COLOURS = 9  # in a scale of colours


class Sheet(NamedTuple):
    """A picture and the words around it; whatever is empty is left out."""

    picture: np.ndarray  # (height, width[, 3]), a grid of images
    title: str = ""
    rows: Sequence[str] = ()  # one label for each row of images
    headings: Sequence[str] = ()  # one for each column
    bar: tuple[str, str] = ("", "")  # what blue and red mean, for a scale of colours
    caption: str = ""
    zoom: int = 2  # each pixel becomes a square of zoom x zoom pixels


class Word(NamedTuple):
    """A text of the layout, with its top left corner in pixels from that of the sheet."""

    text: str
    x: float
    y: float
    font: int  # size in pixels
    bold: bool = False


class Layout(NamedTuple):
    """The size of a sheet in pixels, its words, and its pictures with their top left corners."""

    width: int
    height: int
    words: list[Word]
    pictures: list[tuple[np.ndarray, int, int]]


def save_sheet(sheet: Sheet, file: Path | BinaryIO, look: Look = DEFAULT_LOOK) -> None:
    """Write a sheet as PNG, SVG or PDF."""
    if look.kind == "png":
        Image.fromarray(draw_sheet(sheet, look)).save(file, "PNG")
        return
    layout = lay_out(sheet, look)
    width, height = layout.width, layout.height
    with new_figure(width / 72, height / 72) as figure:
        figure.set_dpi(72)
        figure.set_layout_engine("none")
        for picture, x, y in layout.pictures:
            h, w = picture.shape[:2]
            axes = figure.add_axes((x / width, 1 - (y + h) / height, w / width, h / height))
            colours = picture if picture.ndim == 3 else picture[..., None].repeat(3, -1)
            axes.imshow(colours, interpolation="none", aspect="auto")
            axes.set_axis_off()
        for word in layout.words:
            figure.text(
                word.x / width,
                1 - word.y / height,
                word.text,
                va="top",
                fontsize=word.font,
                fontweight="bold" if word.bold else "normal",
                parse_math=False,
            )
        save_figure(figure, file, look)


def draw_sheet(sheet: Sheet, look: Look = DEFAULT_LOOK) -> np.ndarray:
    """A sheet as a picture, (height, width), or (height, width, 3) if anything is in colour."""
    layout = lay_out(sheet, look)
    channels = [3] if any(picture.ndim == 3 for picture, _, _ in layout.pictures) else []
    canvas = np.full((layout.height, layout.width, *channels), 255, np.uint8)

    def part(x: int, y: int, size: tuple[int, ...]) -> np.ndarray:
        return canvas[y : y + size[0], x : x + size[1]]

    for picture, x, y in layout.pictures:
        part(x, y, picture.shape)[...] = (
            picture[..., None] if channels > [picture.ndim] else picture
        )
    for word in layout.words:
        letters = draw_words(word.text, word.font, word.bold)
        below = part(round(word.x), round(word.y), letters.shape)
        letters = letters[: below.shape[0], : below.shape[1]]
        np.minimum(below, letters[..., None] if channels else letters, out=below)
    return canvas


def lay_out(sheet: Sheet, look: Look = DEFAULT_LOOK) -> Layout:
    """Compute the layout of a sheet: the title, the headings, the rows, the scale, the caption."""
    picture = enlarge(sheet.picture, sheet.zoom * look.zoom)
    height, width = picture.shape[:2]
    if not any([sheet.title, *sheet.rows, *sheet.headings, *sheet.bar, sheet.caption]):
        return Layout(width, height, [], [(picture, 0, 0)])
    font = max(MIN_FONT * look.zoom, round(width * FONT_SHARE))
    pad, words = font // 2, []

    def size(text: str, bold: bool = False) -> tuple[int, int]:
        letters = draw_words(text, font, bold)
        return letters.shape[1], letters.shape[0]

    left = pad + max((size(label)[0] + pad for label in sheet.rows), default=0)
    right, y = left + width, pad  # of what is used so far

    def add_line(text: str, bold: bool = False) -> None:
        nonlocal right, y
        x = left if size(text)[0] <= width else pad
        words.append(Word(text, x, y, font, bold))
        right, y = max(right, x + size(text, bold)[0]), y + size(text, bold)[1] + pad

    if sheet.title:
        add_line(sheet.title, bold=True)
    for i, heading in enumerate(sheet.headings):
        centre = left + (i + 0.5) * width / len(sheet.headings)
        words.append(Word(heading, max(0, centre - size(heading)[0] / 2), y, font))
    y += max((size(heading)[1] + pad // 2 for heading in sheet.headings), default=0)
    for i, label in enumerate(sheet.rows):
        centre = y + (i + 0.5) * height / len(sheet.rows)
        words.append(Word(label, left - pad - size(label)[0], centre - size(label)[1] / 2, font))
    pictures = [(picture, left, y)]
    y += height + pad
    if any(sheet.bar):
        low, high = sheet.bar
        bar = draw_bar(font)
        words.append(Word(low, left, y, font))
        x = left + size(low)[0] + pad
        pictures.append((bar, x, y))
        words.append(Word(high, x + bar.shape[1] + pad, y, font))
        right = max(right, x + bar.shape[1] + pad + size(high)[0])
        y += max(font, size(low)[1]) + pad
    if sheet.caption:
        add_line(sheet.caption)
    return Layout(right + pad, y, words, pictures)


def draw_bar(font: int) -> np.ndarray:
    """A scale of colours, from blue to red, with squares of font x font pixels."""
    colours = red_and_blue(np.linspace(-1, 1, BAR_COLOURS).reshape(1, 1, BAR_COLOURS))[0]
    bar = enlarge(np.rint(255 * colours).astype(np.uint8), font)
    bar[[0, -1]] = bar[:, [0, -1]] = 128
    return bar


@functools.lru_cache(maxsize=1000)
def draw_words(text: str, font: int, bold: bool = False) -> np.ndarray:
    """A text of one or more lines in black on white, (height, width) bytes; `font` is in pixels."""
    with new_figure(1, 1) as figure:
        figure.set_dpi(72)
        figure.set_layout_engine("none")
        weight = "bold" if bold else "normal"
        words = figure.text(
            0, 1, text, va="top", fontsize=font, fontweight=weight, parse_math=False
        )
        box = words.get_window_extent(figure.canvas.get_renderer())
        # a tenth of a pixel more, because matplotlib rounds down
        figure.set_size_inches(
            (math.ceil(box.width) + 1.1) / 72, (math.ceil(box.height) + 1.1) / 72
        )
        figure.canvas.draw()
        return np.array(figure.canvas.buffer_rgba())[..., 0]


def arrange_images(images: np.ndarray, *, columns: int | None = None, look: Look) -> np.ndarray:
    """Images (N, H, W[, 3]) in [0, 1] in a grid, as make_grid does, black on white if look says so.

    Raises MemoryError if the enlarged grid would have more than MAX_SHEET_PIXELS pixels.
    """
    if math.prod(images.shape[:3]) * look.zoom**2 > MAX_SHEET_PIXELS:
        raise MemoryError
    if look.invert:
        return make_grid(1 - images, columns=columns, background=255)
    return make_grid(images, columns=columns)


def labelled_rows(
    groups: Sequence[tuple[str, np.ndarray]], columns: int, *, alternate: bool = True
) -> tuple[np.ndarray, list[str]]:
    """(images in rows, the label of each row) of groups (label, images (n, H, W[, 3])).

    All groups have n images. If these are more than `columns`, they continue in further rows: a row
    of each group and then the next row of each, or, without `alternate`, group after group. Their
    last rows are filled up with white images.
    """
    n = len(groups[0][1])
    starts = range(0, n, columns)
    order = [(start, group) for start in starts for group in groups]
    if not alternate:
        order = [(start, group) for group in groups for start in starts]
    rows, labels = [], []
    for start, (label, images) in order:
        row = images[start : start + columns]
        blank = np.ones((min(columns, n) - len(row), *row.shape[1:]), row.dtype)
        rows += [row, blank]
        labels.append(label if alternate or start == 0 else "")
    return np.concatenate(rows), labels


def class_rows(names: Sequence[str], count: int, columns: int) -> list[str]:
    """The labels of the rows of `count` images that are sorted by class, equally many of each, as
    latents_for_each_class in gan/latents.py makes them: the classes that begin in each row.

    >>> class_rows(["a", "b"], 8, 2), class_rows(["a", "b", "c"], 4, 2), class_rows([], 4, 2)
    (['a', '', 'b', ''], ['a', 'b, c'], [])
    """
    classes = np.arange(count) * len(names) // count
    labels, before = [], set()
    for start in range(0, count if names else 0, columns):
        here = [names[i] for i in dict.fromkeys(classes[start : start + columns].tolist())]
        new = [name if len(name) <= 20 else name[:19] + "…" for name in here if name not in before]
        labels.append(", ".join(new) if len(new) <= 5 else f"{new[0]} to {new[-1]}")
        before |= {*here}
    return labels


def save_gradient(
    images: np.ndarray,
    gradient: np.ndarray,
    file: Path | BinaryIO,
    *,
    look: Look = DEFAULT_LOOK,
) -> None:
    """Save gradient.png: generated images above `gradient`, both (N, H, W[, 3]).

    To look more real to D, red pixels should be brighter and blue pixels darker. For images in
    colour, the plotted colour is the change itself, and grey means no change.
    """
    grey = images.ndim == 3
    if look.invert:
        images = 1 - images
    if grey:
        images = images[..., None].repeat(3, -1)
    columns = min(look.columns or len(images), len(images))
    both, labels = labelled_rows(
        [("generated", images), ("gradient", red_and_blue(gradient))], columns
    )
    sheet = Sheet(
        make_grid(both, columns=columns, background=90),
        "What would make these images look more real to the discriminator?",
        labels,
        bar=("should be darker", "should be brighter") if grey else ("", ""),
        caption="" if grey else "gradient: the change of each colour; grey is no change",
        zoom=3,
    )
    save_sheet(sheet, file, look)


def save_animation(
    paths: Iterable[Path],
    file: Path | BinaryIO,
    *,
    titles: Sequence[str] = (),
    rows: Sequence[str] = (),
    seconds: float = 0.4,
) -> None:
    """Save picture files as a GIF that pauses at the last one.

    `titles` has a title for each file, and `rows` the labels of the rows of images.
    """
    frames = []
    for i, path in enumerate(paths):
        with Image.open(path) as opened:
            picture = np.asarray(opened)
        frames.append(draw_sheet(Sheet(picture, titles[i] if titles else "", rows, zoom=1)))
    save_frames(same_size(frames), file, [int(1000 * seconds)] * (len(frames) - 1) + [2500])


def save_walk(
    images: np.ndarray,
    file: Path | BinaryIO,
    *,
    titles: Sequence[str] = (),
    headings: Sequence[str] = (),
    rows: Sequence[str] = (),
    zoom: int = 5,
    look: Look = DEFAULT_LOOK,
) -> None:
    """Save a sequence of images (N, H, W[, 3]), in [0, 1] or bytes, as a GIF that loops without a
    pause.

    `titles` has a title for each image. If each is a grid, `headings` and `rows` have the labels of
    its columns and rows.
    """
    pictures = images if images.dtype == np.uint8 else to_bytes(images)
    frames = [
        draw_sheet(Sheet(picture, title, rows, headings, zoom=zoom), look)
        for picture, title in zip(pictures, titles or [""] * len(images))
    ]
    save_frames(same_size(frames), file, [80] * len(frames))


def same_size(frames: list[np.ndarray]) -> list[np.ndarray]:
    """Frames whose titles differ in width, filled up with white on the right."""
    width = max(frame.shape[1] for frame in frames)
    return [
        np.pad(
            frame,
            ((0, 0), (0, width - frame.shape[1]), *[(0, 0)] * (frame.ndim - 2)),
            constant_values=255,
        )
        for frame in frames
    ]
