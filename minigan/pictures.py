"""Pictures: from a folder of them to bytes, all of one size.

The idea
    Pictures lie in a folder, or in sub-folders of it, in files of many kinds: PNG, JPEG, GIF, BMP, WebP.
    The library Pillow reads them. What they become is decided here:

        size            that of more than half of them. Otherwise squares: 64 pixels wide, or less where most
                        are smaller, and a multiple of 4, as convolutions want it. Or `--size`
        other sizes     are scaled until they just cover that, and what sticks out is cut off on both sides
        colour          if all of them are grey, so are the images; else all are in colour
        transparent     becomes white
        animated        the first frame
        turned          as its EXIF data say, a photo is put upright
        unreadable      is left out, named and counted; or refused, with `--strict`

    If all lie in sub-folders, these are their classes.

Shapes
    images (N, H, W), or (N, H, W, 3) in colour, uint8; labels (N,), text.

>>> choose_size([(28, 20), (28, 20), (30, 28)]), choose_size([(1024, 768), (800, 600)]), choose_size([(40, 30), (27, 39)])
((28, 20), (64, 64), (28, 28))
>>> import tempfile
>>> folder = Path(tempfile.mkdtemp())
>>> for i in range(3): Image.new("RGB", (30 + i, 28), "red").save(folder / f"{i}.png")
>>> images, labels, _, _, notes = read_pictures(folder)
>>> images.shape, images[0, 0, 0].tolist(), notes
((3, 28, 28, 3), [255, 0, 0], ['3 of 3 pictures are not of 28 x 28: they are scaled, and what sticks out is cut off'])
"""
import sys
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from minigan.data import MOST_BYTES, TRAIN_IMAGES, DataError, fits, some

FORMATS = "PNG", "JPEG", "GIF", "BMP", "WEBP"
SUFFIXES = ".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp"


def read_pictures(folder, size=0, strict=False):
    """(images, labels or None, None, None, notes) of a folder; notes are sentences for the user. Raises DataError."""
    paths = [path for path in sorted(folder.rglob("*"))
             if path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith(".")]
    if not paths:
        raise DataError(f"{folder} holds neither {TRAIN_IMAGES}.gz nor {TRAIN_IMAGES}, and no pictures ({', '.join(SUFFIXES)})")
    bad = {}
    seen = dict(attempt(look, paths, bad, strict))
    sizes = [size for size, _, _ in seen.values()]
    width, height = (size, size) if size else choose_size(sizes) if seen else (1, 1)
    if len(seen) * height * width * 3 > MOST_BYTES:
        raise DataError(f"{folder}: {len(seen):,} pictures of {height} x {width} are more than {MOST_BYTES >> 30} GB:"
                        " choose a smaller --size")
    pictures = dict(attempt(lambda path: read_picture(path, width, height), seen, bad, strict))
    if not pictures:
        raise DataError(f"none of the {len(paths):,} pictures in {folder} can be read, such as {next(iter(bad.values()))}")
    images = np.stack(list(pictures.values()))
    if (images == images[..., :1]).all():
        images = images[..., 0]
    parts = [path.relative_to(folder).parts for path in pictures]
    labels = np.array([part[0] for part in parts]) if all(len(part) > 1 for part in parts) else None
    counts = {
        f"cannot be read, and are left out: {some(bad.values(), 3)}": len(bad),
        f"are not of {height} x {width}: they are scaled, and what sticks out is cut off": sum(one != (width, height) for one in sizes),
        "have transparent parts, which become white": sum(clear for _, clear, _ in seen.values()),
        "lie in no sub-folder, so that there are no classes": (alone := sum(len(part) == 1 for part in parts)) * (alone < len(parts)),
        "are animated: the first frame is taken": sum(moves for _, _, moves in seen.values()),
    }
    notes = [f"{count:,} of {len(paths):,} pictures {what}" for what, count in counts.items() if count]
    if labels is not None:
        notes.append(f"the sub-folders are taken for classes: {some(np.unique(labels), 10)}")
    return images, labels, None, None, notes


def attempt(read, paths, bad, strict):
    """Yield (path, read(path)) for each that can be read; bad[path] is a sentence on one that cannot."""
    for path in tqdm(paths, "reading pictures", leave=False, unit=" files", disable=sys.stderr is None or not sys.stderr.isatty()):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                warnings.simplefilter("error", Image.DecompressionBombWarning)  # some 90 million pixels
                result = read(path)
        except Exception as error:  # Pillow raises nearly any of them on a damaged file
            what = "no picture" if isinstance(error, UnidentifiedImageError) else getattr(error, "strerror", None) or str(error)
            bad[path] = f"{path} ({what.partition(chr(10))[0][:100] or type(error).__name__})"
            if strict:
                raise DataError(f"cannot read {bad[path]}: mend it or take it away; without --strict it is left out") from None
        else:
            yield path, result


def look(path):
    """((width, height) when it is upright, whether parts are transparent, whether it moves), without decoding it."""
    with Image.open(path, formats=FORMATS) as picture:
        turned = picture.getexif().get(0x0112, 1) >= 5  # Exif's tag "Orientation": 5 to 8 lie on their side
        return picture.size[::-1] if turned else picture.size, is_clear(picture), getattr(picture, "is_animated", False)


def is_clear(picture):
    """Whether parts of it may be transparent."""
    return picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info


def read_picture(path, width, height):
    """(height, width, 3), uint8."""
    with Image.open(path, formats=FORMATS) as picture:
        picture.draft(None, (2 * max(width, height),) * 2)  # a JPEG need not be decoded at its full size
        upright = ImageOps.exif_transpose(picture)
    if upright.mode.startswith("I"):  # 16 bits a pixel: the upper 8
        upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
    elif is_clear(upright):
        upright = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright)
    return np.asarray(ImageOps.fit(upright.convert("RGB"), (width, height)))


def choose_size(sizes):
    """The (width, height) that pictures of these sizes should have."""
    [(most, count)] = Counter(sizes).most_common(1)
    if 2 * count > len(sizes) and fits(most[1], most[0], 3):
        return most
    middle = sorted(min(size) for size in sizes)[len(sizes) // 2]
    return (max(4, min(64, middle) // 4 * 4),) * 2
