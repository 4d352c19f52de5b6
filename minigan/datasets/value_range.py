"""Value range: convert arrays of numbers to bytes, after asking which values are black and white.

The idea
    Training uses bytes, 0 for black and 255 for white. Arrays come in other ranges: floats in
    [0, 1] or [-1, 1], scikit-learn's digits in [0, 16], masks with the bytes 0 and 1, cameras with
    12 bits in 16. A generator that is trained on such numbers as if they were bytes learns to draw
    black squares. `convert_to_bytes` therefore converts what is certain, and refuses everything
    else with a sentence that names the range it found and the option that answers:

        --range LOW,HIGH    LOW becomes black, HIGH white; values outside are clipped

    Certain are bytes that use at least a tenth of 0 ... 255, other integers (also stored as floats)
    that use at least half of it, and booleans.

Shapes
    Images of any shape, and of any numeric type; the result has the same shape, uint8.

>>> convert_to_bytes(np.array([[[0.0, 0.5], [1.0, 2.0]]]), (0, 1), what="x", notes=[]).tolist()
[[[0, 128], [255, 255]]]
>>> convert_to_bytes(np.full((5, 2, 2), 0.5), None, what="x.npy", notes=[])
Traceback (most recent call last):
    ...
minigan.datasets.pixels.DataError: x.npy holds float64 from 0.5 to 0.5, ... add --range 0,1 ...
"""

import re

import numpy as np

from minigan.datasets.pixels import DataError

LEAST_CONTRAST = 25.5  # a tenth of 0 ... 255
MAX_EXAMINED = 10_000  # images whose contrast is measured
CHUNK = 1 << 22  # numbers that are converted at a time
COMMON_RANGES = (0, 1), (-1, 1), (0, 16), (0, 255), (0, 1023), (0, 4095), (0, 16383), (0, 65535)


def convert_to_bytes(
    images: np.ndarray,
    value_range: tuple[float, float] | None,
    *,
    what: str,
    notes: list[str],
) -> np.ndarray:
    """Convert images (N, ...) to uint8, and append sentences for the user to `notes`.

    Raises DataError, in which `what` names the images, if the values are not numbers, or if it is
    uncertain which of them are black and white.
    """
    if images.dtype.kind not in "uifb":
        raise DataError(f"{what} holds {images.dtype}, but images must be numbers")
    if images.dtype == bool:
        images, value_range = images.view(np.uint8), value_range or (0, 1)
    if images.dtype == np.uint8 and value_range in (None, (0, 255)):
        if value_range is None:
            check_contrast(images, what)
        return images
    low, high = images.min(), images.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise DataError(f"{what} contains NaN or infinity: save np.nan_to_num(x) instead of x")
    if value_range is None:
        if not (low >= 0 and 127 < high <= 255 and is_integral(images)):
            raise DataError(
                f"{what} holds {images.dtype} from {low:g} to {high:g}, and it is uncertain which"
                f" values are black and white: add --range {format_range(guess_range(low, high))}"
                " if these are, or other numbers LOW,HIGH"
            )
        return map_range(images, 0, 255)
    black, white = value_range
    outside = count_outside(images, min(value_range), max(value_range))
    notes.append(
        f"the values range from {low:g} to {high:g}: {black:g} becomes black and {white:g} white"
        + (f"; {outside / images.size:.2%} of them are outside and clipped" if outside else "")
    )
    return map_range(images, black, white)


def range_in_python(text: str) -> str:
    """A message with the argument of Python in the place of the option --range.

    >>> range_in_python("add --range 0,1 if these are")
    'add value_range=(0, 1) if these are'
    """
    return re.sub(r"--range (-?[\d.e+-]+),(-?[\d.e+-]+)", r"value_range=(\1, \2)", text)


def check_contrast(images: np.ndarray, what: str) -> None:
    """Raise DataError if bytes, (N, ...), use less than a tenth of the range."""
    low, high = measure_contrast(images)
    if low == high:
        raise DataError(
            f"{what}: nearly all values are {low}, of 0 to 255: add --range 0,255 to train on them"
            " as they are"
        )
    if high - low < LEAST_CONTRAST:
        shade = "black" if high < 64 else "white" if low > 191 else "grey"
        found = guess_range(low, high)
        raise DataError(
            f"{what}: the values range from {low} to {high}, of 0 to 255, so the images are nearly"
            f" {shade}: add --range {format_range(found)} to turn {found[0]} into black and"
            f" {found[1]} into white, or --range 0,255 to train on them as they are"
        )


def measure_contrast(images: np.ndarray) -> tuple[int, int]:
    """The darkest and brightest value of images (N, ...), apart from those of one image in 100."""
    if not images.size:
        return 0, 255
    sample = images[:: -(-len(images) // MAX_EXAMINED)]
    sample = sample.reshape(len(sample), -1)
    low = np.quantile(sample.min(axis=1), 0.01, method="lower")
    high = np.quantile(sample.max(axis=1), 0.99, method="higher")
    return int(low), int(high)


def guess_range(low: float, high: float) -> tuple[float, float]:
    """A common range that fits values from `low` to `high`; the values' own range if none does."""
    for black, white in COMMON_RANGES:
        if black <= low and high <= white and (high - low > (white - black) / 2 or white == 1):
            return black, white
    low, high = float(f"{low:.4g}"), float(f"{high:.4g}")  # digits that one would type
    return (low, high) if high > low else (low, low + 1)


def format_range(value_range: tuple[float, float]) -> str:
    """The argument of --range."""
    return ",".join(f"{value:.10g}" for value in value_range)


def split_rows(images: np.ndarray) -> list[np.ndarray]:
    """Images (N, ...) in parts that can be converted in little memory."""
    n = max(1, CHUNK * len(images) // images.size)
    return [images[start : start + n] for start in range(0, len(images), n)]


def is_integral(images: np.ndarray) -> bool:
    """Whether all values are whole numbers."""
    return images.dtype.kind != "f" or all(
        (part == np.rint(part)).all() for part in split_rows(images)
    )


def count_outside(images: np.ndarray, low: float, high: float) -> int:
    """How many values are below `low` or above `high`."""
    return sum(int(((part < low) | (part > high)).sum()) for part in split_rows(images))


def map_range(images: np.ndarray, black: float, white: float) -> np.ndarray:
    """Scale [black, white] to 0 ... 255, rounded and clipped; uint8."""
    result = np.empty(images.shape, np.uint8)
    for part, out in zip(split_rows(images), split_rows(result)):
        scaled = (part.astype(np.float64) - black) * (255 / (white - black))
        out[...] = np.floor(scaled.clip(0, 255) + 0.5)
    return result
