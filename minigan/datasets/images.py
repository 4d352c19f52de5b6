"""Pictures: a folder or zip archive of image files as arrays of bytes, all of the same size.

The idea
    The Pillow library decodes every raster format that it can decode by itself, without an outside
    program. Documents (EPS, PDF, WMF) are left out. This module converts the pictures to one array,
    by these rules:

        size            `--size` if it is given; otherwise the size that more than half of the
                        pictures share; otherwise a square whose side is at most 64, at most the
                        median of the pictures' shorter sides, and a multiple of 4, as convolutions
                        require
        other sizes     are scaled until they just cover that size, and cropped around the centre
        colour          the images are grey if all pictures are grey, and otherwise in colour
        transparency    becomes white
        16 bits         keep their upper 8 bits, unless `--range` is given; if they use less than
                        half of the range, as those of 12-bit cameras do, `--range` is asked for
        animations      only the first frame is used, and only the first page of a TIFF
        rotation        photos are turned upright according to their EXIF data
        unreadable      pictures are named, counted and skipped; with `--strict` they are an error

    files.py says which files count, and what sub-folders mean.

Shapes
    Images (N, H, W), or (N, H, W, 3) in colour, uint8; labels (N,), text.

>>> choose_size([(28, 20), (28, 20), (30, 28)]), choose_size([(1024, 768), (800, 600)])
((28, 20), (64, 64))
>>> choose_size([(40, 30), (27, 39)])
(28, 28)
>>> import tempfile
>>> folder = Path(tempfile.mkdtemp())
>>> for i in range(3): Image.new("RGB", (30 + i, 28), "red").save(folder / f"{i}.png")
>>> pictures = read_pictures(folder)
>>> pictures.images.shape, pictures.images[0, 0, 0].tolist(), pictures.notes
((3, 28, 28, 3), [255, 0, 0], ['3 of 3 pictures are not 28 x 28: they are scaled and cropped'])
"""

import sys
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from minigan.console import is_terminal
from minigan.datasets.files import (
    DataFile,
    class_labels,
    describe_left_out,
    find_files,
    find_zipped,
    split_files,
)
from minigan.datasets.idx import TRAIN_IMAGES
from minigan.datasets.names import join_names, natural_key
from minigan.datasets.pixels import MAX_BYTES, DataError, shorten_list, size_fits
from minigan.datasets.raw import RawData
from minigan.datasets.value_range import convert_to_bytes, format_range, guess_range, map_range

# formats that Pillow knows, but decodes only with an outside program, or not at all
NOT_DECODED = {"EPS", "FPX", "MIC", "MPEG", "PDF"}
MOVING = {"GIF", "PNG", "WEBP", "AVIF", "FLI"}  # formats of animations
PAGED = {"TIFF", "DCX"}  # formats with several pages
EXIF_ORIENTATION = 0x0112  # values 5 to 8 mean that the picture lies on its side
MAX_SQUARE = 64  # largest default side for pictures of different sizes


def find_formats() -> dict[str, str]:
    """{suffix: name} of the raster formats that this Pillow decodes by itself."""
    Image.init()
    stubs = {
        name
        for name, (plugin, _) in Image.OPEN.items()
        if isinstance(plugin, type) and issubclass(plugin, ImageFile.StubImageFile)
    }
    decoded = {name: name for name in Image.OPEN if name not in NOT_DECODED | stubs}
    decoded["MPO"] = "JPEG"  # a JPEG file with a second picture
    suffixes = Image.registered_extensions().items()
    return {suffix: decoded[name] for suffix, name in sorted(suffixes) if name in decoded}


FORMATS = find_formats()
PICTURE_SUFFIXES = tuple(FORMATS)
# formats that are recognised whatever the suffix is
COMMON_FORMATS = tuple(
    name for name in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "AVIF") if name in Image.OPEN
)


class PictureHeader(NamedTuple):
    """What is known of a picture before it is decoded."""

    size: tuple[int, int]  # (width, height) when it is upright
    transparent: bool  # whether parts of it may be transparent
    animated: bool
    paged: bool  # whether it has several pages


class Picture(NamedTuple):
    """A decoded picture."""

    pixels: np.ndarray  # (height, width, 3), uint8
    # the smallest and largest value, if the file has more than 8 bits in grey
    extremes: tuple[float, float] | None


def read_pictures(
    folder: Path,
    *,
    size: int = 0,
    strict: bool = False,
    value_range: tuple[float, float] | None = None,
) -> RawData:
    """Read the pictures below a folder, or in a zip archive.

    The images are scaled to size x size, unless size is 0. Raises DataError if no picture can be
    read, if `strict` is set and any picture cannot be read, or if the images would exceed
    MAX_BYTES.
    """
    left_out: Counter[str] = Counter()
    settings: Any = dict(size=size, strict=strict, value_range=value_range)
    if folder.is_dir():
        files = find_files(folder, PICTURE_SUFFIXES, left_out)
        raw = read_files(folder, files, left_out, **settings)
    else:
        with zipfile.ZipFile(folder) as archive:
            files = find_zipped(archive, folder, PICTURE_SUFFIXES, left_out)
            raw = read_files(folder, files, left_out, **settings)
    if raw.labels is None:
        return raw
    names = sorted(set(raw.labels.tolist()), key=natural_key)
    classes = shorten_list([join_names([name]) for name in names], 10)
    return raw._replace(notes=[*raw.notes, f"the sub-folders are used as classes: {classes}"])


def read_files(
    where: Path,
    files: Sequence[DataFile],
    left_out: Counter[str],
    *,
    size: int = 0,
    strict: bool = False,
    value_range: tuple[float, float] | None = None,
) -> RawData:
    """The same for files that were found already; `where` names their place in messages."""
    if not files:
        others = "".join(f" ({note})" for note in describe_left_out(left_out))
        if where.is_dir():
            raise DataError(
                f"{where} holds neither {TRAIN_IMAGES}.gz nor {TRAIN_IMAGES}, and no pictures, such"
                f" as .png, .jpg or .webp{others}"
            )
        raise DataError(
            f"{where} holds neither arrays nor pictures{others}: unpack it, and name"
            " the file or folder with the images"
        )
    total, unreadable = len(files), dict[str, str]()
    headers = dict(read_each(read_header_of, files, unreadable, strict=strict))
    files = [file for file in files if file.name in headers]
    rows, classes, notes = split_files([file.path for file in files])
    chosen = [files[i] for i in rows["train"] + rows["test"]]
    sizes = [headers[files[i].name].size for i in rows["train"]]
    width, height = (size, size) if size else choose_size(sizes)
    if len(chosen) * height * width * 3 > MAX_BYTES:
        raise DataError(
            f"{where}: {len(chosen):,} pictures of {height} x {width} are more than"
            f" {MAX_BYTES >> 30} GB: choose a smaller --size"
        )

    def decode(file):
        return read_picture(file, width, height, value_range)

    images = PictureArray(len(chosen), height, width)
    extremes = {}  # of each picture that could be read
    for name, picture in read_each(decode, chosen, unreadable, strict=strict):
        images.append(picture.pixels)
        extremes[name] = picture.extremes
    rows = {part: [i for i in rows[part] if files[i].name in extremes] for part in rows}
    if not rows["train"]:
        raise DataError(
            f"none of the {total:,} pictures in {where} can be read, such as"
            f" {next(iter(unreadable.values()))}"
        )
    total -= len(files) - len(chosen)  # without those in other folders
    shown = [headers[file.name] for file in chosen]
    counts = {
        f"cannot be read and are skipped: {shorten_list(unreadable.values(), 3)}": len(unreadable),
        f"are not {height} x {width}: they are scaled and cropped": sum(
            header.size != (width, height) for header in shown
        ),
        "have transparent parts, which become white": sum(h.transparent for h in shown),
        "are in no sub-folder, so there are no classes": count_without_class(classes, rows),
        "are animated: the first frame is used": sum(h.animated for h in shown),
        "have several pages: the first is used": sum(h.paged for h in shown),
    }
    notes += [f"{n:,} of {total:,} pictures {what}" for what, n in counts.items() if n]
    notes += describe_left_out(left_out)
    check_depths(where, list(extremes.values()), value_range)
    pixels = images.pixels[: images.count]
    if not any(extremes.values()):
        pixels = convert_to_bytes(pixels, value_range, what=str(where), notes=notes)
    n = len(rows["train"])
    labels, test_labels = (class_labels(classes, rows[part]) for part in ("train", "test"))
    test = pixels[n:] if rows["test"] else None
    test_labels = None if labels is None else test_labels
    return RawData(pixels[:n], labels, test, test_labels, notes, images_are_bytes=True)


class PictureArray:
    """An array that pictures (height, width, 3) are appended to, grey as long as all are grey.

    It is allocated once, or twice if the first picture is grey and another one is not.
    """

    def __init__(self, capacity: int, height: int, width: int):
        # memory that is not written to is not occupied
        self.pixels: np.ndarray = np.empty((capacity, height, width), np.uint8)
        self.count = 0

    def append(self, picture: np.ndarray) -> None:
        """Add a picture; it is grey if its three channels are equal."""
        if self.pixels.ndim == 3 and not (picture == picture[..., :1]).all():
            colour: np.ndarray = np.empty((*self.pixels.shape, 3), np.uint8)
            colour[: self.count] = self.pixels[: self.count, ..., None]
            self.pixels = colour
        self.pixels[self.count] = picture if self.pixels.ndim == 4 else picture[..., 0]
        self.count += 1


def count_without_class(classes: Sequence[str | None], rows: dict[str, list[int]]) -> int:
    """How many training pictures are in no class, if others are."""
    alone = sum(classes[i] is None for i in rows["train"])
    return alone if alone < len(rows["train"]) else 0


def check_depths(
    where: Path,
    of_pictures: Sequence[tuple[float, float] | None],
    value_range: tuple[float, float] | None,
) -> None:
    """Raise DataError if pictures with more than 8 bits are nearly black, or mixed with others.

    `of_pictures` are the `extremes` of the pictures. With `value_range` only the second is an
    error, because one range cannot fit both.
    """
    extremes = [pair for pair in of_pictures if pair]
    if value_range and 0 < len(extremes) < len(of_pictures):
        raise DataError(
            f"{where}: {len(extremes):,} of {len(of_pictures):,} pictures have more than 8 bits, so"
            " that one --range does not fit all: put them into a folder of their own"
        )
    if extremes and not value_range:
        low, high = min(e[0] for e in extremes), max(e[1] for e in extremes)
        if high < 1 << 15:
            found = guess_range(low, high)
            raise DataError(
                f"{where}: pictures with 16 bits have values from {low:g} to {high:g} only, of 0 to"
                f" 65535: add --range {format_range(found)} to turn {found[0]:g} into black and"
                f" {found[1]:g} into white, or --range 0,65535 to train on them as they are"
            )


def read_each(
    read: Callable, files: Collection[DataFile], unreadable: dict[str, str], *, strict: bool
) -> Iterator[tuple[str, Any]]:
    """Yield (name, read(file)) for each file that can be read.

    For a picture that cannot be read, unreadable[name] is set to a description of the error, or
    DataError is raised if `strict` is set.
    """
    quiet = not is_terminal(sys.stderr)
    for file in tqdm(files, "reading pictures", leave=False, unit=" files", disable=quiet):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                # raised above about 90 million pixels
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                result = read(file)
        except Exception as error:  # for a damaged file Pillow may raise almost any exception
            unreadable[file.name] = f"{file.name} ({why_unreadable(error)})"
            if strict:
                raise DataError(
                    f"cannot read {unreadable[file.name]}: repair or remove it, or omit --strict"
                    " to skip it"
                ) from None
        else:
            yield file.name, result


def why_unreadable(error: Exception) -> str:
    """The first line of Pillow's error message, shortened."""
    if isinstance(error, UnidentifiedImageError):
        return "not a picture"
    text = getattr(error, "strerror", None) or str(error)
    return text.partition("\n")[0][:100] or type(error).__name__


def read_header_of(file: DataFile) -> PictureHeader:
    """Read the header of a picture without decoding the picture."""
    with file.open() as opened, open_picture(opened, file) as picture:
        on_its_side = picture.getexif().get(EXIF_ORIENTATION, 1) >= 5
        several = getattr(picture, "is_animated", False)
        return PictureHeader(
            picture.size[::-1] if on_its_side else picture.size,
            has_transparency(picture),
            several and picture.format in MOVING,
            several and picture.format in PAGED,
        )


def open_picture(opened: IO[bytes], file: DataFile) -> Image.Image:
    """Open a picture of a common format, or of the format that its suffix names."""
    named = FORMATS.get(file.path.suffix.lower(), "PNG")
    return Image.open(opened, formats=(*COMMON_FORMATS, named))


def has_transparency(picture: Image.Image) -> bool:
    """Whether parts of a picture may be transparent."""
    return picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info


def read_picture(
    file: DataFile, width: int, height: int, value_range: tuple[float, float] | None = None
) -> Picture:
    """Decode a picture, and scale and crop it to this size.

    Grey pictures of more than 8 bits are mapped from `value_range`, or else from 0 ... 65535.
    """
    extremes = None
    with file.open() as opened, open_picture(opened, file) as picture:
        # a JPEG can be decoded at a reduced size
        picture.draft(None, (2 * max(width, height),) * 2)
        clear = find_clear_shade(picture)
        upright = ImageOps.exif_transpose(picture)
    values = np.asarray(upright)
    if upright.mode == "F" or upright.mode.startswith("I"):
        extremes = float(values.min()), float(values.max())
        if value_range:
            grey = map_range(values, *value_range)
        elif upright.mode == "F" or extremes[0] < 0 or extremes[1] >= 1 << 16:
            raise DataError(
                f"its values range from {extremes[0]:g} to {extremes[1]:g}: add --range"
                f" {format_range(guess_range(*extremes))}"
            )
        else:
            grey = (values >> 8).astype(np.uint8)
        upright = Image.fromarray(grey)
    if isinstance(clear, int):
        clear_pixels = values == (bool(clear) if values.dtype == bool else clear)
        grey = np.array(upright.convert("L"))
        grey[clear_pixels] = 255
        upright = Image.fromarray(grey)
    elif has_transparency(upright):
        if clear:
            upright.info["transparency"] = clear
        upright = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright)
    pixels = np.asarray(ImageOps.fit(upright.convert("RGB"), (width, height)))
    return Picture(pixels, extremes)


def find_clear_shade(picture: Image.Image) -> int | tuple[int, ...] | None:
    """The shade or colour that is transparent in an open picture, as its pixels store it.

    It is None for palettes and if there is none. A PNG file gives it with as many bits as a pixel
    has. Pillow widens pixels of 2 and 4 bits to 8 and narrows colours of 16 bits to 8, but (at
    least up to 13.0) not the transparent shade.
    """
    shade: Any = picture.info.get("transparency")
    tile: Any = getattr(picture, "tile", None)
    stored = tile[0][3] if tile else ""
    if isinstance(shade, tuple):
        return tuple(value >> 8 for value in shade) if stored == "RGB;16B" else shade
    if not isinstance(shade, int) or not picture.mode.startswith(("1", "L", "I")):
        return None
    largest = {"L;2": 3, "L;4": 15}.get(stored, 255) if isinstance(stored, str) else 255
    return shade * (255 // largest) if shade <= largest else shade


def choose_size(sizes: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """Choose one (width, height) for pictures of these sizes; (1, 1) if there are none."""
    sizes = list(sizes)
    if not sizes:
        return 1, 1
    [(most, count)] = Counter(sizes).most_common(1)
    if 2 * count > len(sizes) and size_fits(most[1], most[0], 3):
        return most
    median = sorted(min(size) for size in sizes)[len(sizes) // 2]
    side = max(4, min(MAX_SQUARE, median) // 4 * 4)
    return side, side
