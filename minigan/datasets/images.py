"""Pictures: a folder of image files as one array of bytes, with all images of the same size.

The idea
    A folder and its sub-folders hold image files in the formats PNG, JPEG, GIF, BMP and WebP. The
    Pillow library decodes them, and this module converts them to one array, by these rules:

        size            `--size` if it is given; otherwise the size that more than half of the
                        pictures share; otherwise a square whose side is at most 64, at most the
                        median of the pictures' shorter sides, and a multiple of 4, as convolutions
                        require
        other sizes     are scaled until they just cover that size, and cropped around the centre
        colour          the images are grey if all pictures are grey, and otherwise in colour
        transparency    becomes white
        animations      only the first frame is used
        rotation        photos are turned upright according to their EXIF data
        unreadable      pictures are named, counted and skipped; with `--strict` they are an error

    If all pictures are in sub-folders, the sub-folders are the classes.

Shapes
    Images (N, H, W), or (N, H, W, 3) in colour, uint8; labels (N,), text.

>>> choose_size([(28, 20), (28, 20), (30, 28)]), choose_size([(1024, 768), (800, 600)])
((28, 20), (64, 64))
>>> choose_size([(40, 30), (27, 39)])
(28, 28)
>>> import tempfile
>>> folder = Path(tempfile.mkdtemp())
>>> for i in range(3): Image.new("RGB", (30 + i, 28), "red").save(folder / f"{i}.png")
>>> images, labels, notes = read_pictures(folder)
>>> images.shape, images[0, 0, 0].tolist(), notes
((3, 28, 28, 3), [255, 0, 0], ['3 of 3 pictures are not 28 x 28: they are scaled and cropped'])
"""

import sys
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from minigan.datasets.idx import TRAIN_IMAGES
from minigan.datasets.names import join_names, natural_key
from minigan.datasets.pixels import MAX_BYTES, DataError, shorten_list, size_fits

FORMATS = "PNG", "JPEG", "GIF", "BMP", "WEBP"
PICTURE_SUFFIXES = ".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp"
EXIF_ORIENTATION = 0x0112  # values 5 to 8 mean that the picture lies on its side
MAX_SQUARE = 64  # largest default side for pictures of different sizes


class PictureHeader(NamedTuple):
    """What is known of a picture before it is decoded."""

    size: tuple[int, int]  # (width, height) when it is upright
    transparent: bool  # whether parts of it may be transparent
    animated: bool


def read_pictures(
    folder: Path, *, size: int = 0, strict: bool = False
) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
    """(images, labels or None, notes) from a folder; notes are sentences for the user.

    The images are scaled to size x size, unless size is 0. Raises DataError if no picture can be
    read, if `strict` is set and any picture cannot be read, or if the images would exceed
    MAX_BYTES.
    """
    paths = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in PICTURE_SUFFIXES
        and path.is_file()
        and not path.name.startswith(".")
    ]
    if not paths:
        raise DataError(
            f"{folder} holds neither {TRAIN_IMAGES}.gz nor {TRAIN_IMAGES}, and no pictures"
            f" ({', '.join(PICTURE_SUFFIXES)})"
        )
    unreadable: dict[Path, str] = {}
    headers = dict(read_each(read_header_of, paths, unreadable, strict=strict))
    width, height = (size, size) if size else choose_size([h.size for h in headers.values()])
    if len(headers) * height * width * 3 > MAX_BYTES:
        raise DataError(
            f"{folder}: {len(headers):,} pictures of {height} x {width} are more than"
            f" {MAX_BYTES >> 30} GB: choose a smaller --size"
        )

    def decode(path):
        return read_picture(path, width, height)

    pictures = dict(read_each(decode, headers, unreadable, strict=strict))
    if not pictures:
        raise DataError(
            f"none of the {len(paths):,} pictures in {folder} can be read, such as"
            f" {next(iter(unreadable.values()))}"
        )
    images = np.stack(list(pictures.values()))
    if (images == images[..., :1]).all():
        images = images[..., 0]
    parts = [path.relative_to(folder).parts for path in pictures]
    labels = np.array([part[0] for part in parts]) if all(len(part) > 1 for part in parts) else None
    alone = sum(len(part) == 1 for part in parts)
    counts = {
        f"cannot be read and are skipped: {shorten_list(unreadable.values(), 3)}": len(unreadable),
        f"are not {height} x {width}: they are scaled and cropped": sum(
            header.size != (width, height) for header in headers.values()
        ),
        "have transparent parts, which become white": sum(h.transparent for h in headers.values()),
        "are in no sub-folder, so there are no classes": alone if alone < len(parts) else 0,
        "are animated: the first frame is used": sum(h.animated for h in headers.values()),
    }
    notes = [f"{n:,} of {len(paths):,} pictures {what}" for what, n in counts.items() if n]
    if labels is not None:
        names = sorted(set(labels.tolist()), key=natural_key)
        listed = shorten_list([join_names([name]) for name in names], 10)
        notes.append(f"the sub-folders are used as classes: {listed}")
    return images, labels, notes


def read_each(
    read: Callable, paths: Collection[Path], unreadable: dict[Path, str], *, strict: bool
) -> Iterator[tuple[Path, Any]]:
    """Yield (path, read(path)) for each path that can be read.

    For a picture that cannot be read, unreadable[path] is set to a description of the error, or
    DataError is raised if `strict` is set.
    """
    quiet = sys.stderr is None or not sys.stderr.isatty()
    for path in tqdm(paths, "reading pictures", leave=False, unit=" files", disable=quiet):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                # raised above about 90 million pixels
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                result = read(path)
        except Exception as error:  # for a damaged file Pillow may raise almost any exception
            unreadable[path] = f"{path} ({why_unreadable(error)})"
            if strict:
                raise DataError(
                    f"cannot read {unreadable[path]}: repair or remove it, or omit --strict"
                    " to skip it"
                ) from None
        else:
            yield path, result


def why_unreadable(error: Exception) -> str:
    """The first line of Pillow's error message, shortened."""
    if isinstance(error, UnidentifiedImageError):
        return "not a picture"
    text = getattr(error, "strerror", None) or str(error)
    return text.partition("\n")[0][:100] or type(error).__name__


def read_header_of(path: Path) -> PictureHeader:
    """Read the header of a picture without decoding the picture."""
    with Image.open(path, formats=FORMATS) as picture:
        on_its_side = picture.getexif().get(EXIF_ORIENTATION, 1) >= 5
        return PictureHeader(
            picture.size[::-1] if on_its_side else picture.size,
            has_transparency(picture),
            getattr(picture, "is_animated", False),
        )


def has_transparency(picture: Image.Image) -> bool:
    """Whether parts of a picture may be transparent."""
    return picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info


def read_picture(path: Path, width: int, height: int) -> np.ndarray:
    """The pixels of a picture, scaled and cropped: (height, width, 3), uint8."""
    with Image.open(path, formats=FORMATS) as picture:
        # a JPEG can be decoded at a reduced size
        picture.draft(None, (2 * max(width, height),) * 2)
        upright = ImageOps.exif_transpose(picture)
    if upright.mode.startswith("I"):  # 16 bits per pixel: keep the upper 8
        upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
    elif has_transparency(upright):
        upright = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright)
    return np.asarray(ImageOps.fit(upright.convert("RGB"), (width, height)))


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
