"""Pixels: permitted image sizes, the scaling of bytes to floating-point numbers, and averages.

Scaling
    A generator that ends with tanh produces numbers in [-1, 1]. The discriminator must receive real
    images in the same range. Otherwise it can distinguish real from generated images by brightness
    alone, and its gradient carries no information about shapes. Pixels are stored as bytes, which
    need a quarter of the memory of float32, and are scaled batch by batch:

        scale:    x = byte / 127.5 - 1          0 ... 255  ->  -1 ... 1
        unscale:  (x + 1) / 2                  -1 ... 1    ->   0 ... 1

    A generator that ends with a sigmoid produces numbers in [0, 1], so black must then be 0.
    `pixel_min` is the value of black, -1 or 0.

Shapes
    Images (N, H, W), or (N, H, W, 3) in colour, uint8; scaled images have the same shape.

>>> scale(np.uint8([0, 51, 255]), "float64").round(3).tolist()
[-1.0, -0.6, 1.0]
>>> unscale(np.float32([-1, 0, 1])).tolist()
[0.0, 0.5, 1.0]
"""

import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable

import numpy as np

from minigan.backend import Array, get_array_module

MAX_SIDE, MAX_PIXELS = 1024, 128 * 128 * 3  # per image; a pixel in colour counts as three
MAX_BYTES = 1 << 32  # for all images together: 4 GB
IMAGES_REDUCED_AT_ONCE = 500  # by pixel_features, so that few are converted to floats at a time
# exceptions that NumPy may raise for a damaged file
DAMAGE = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    EOFError,
    MemoryError,
    RuntimeError,
    ArithmeticError,
    SyntaxError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    tokenize.TokenError,
)


class DataError(ValueError):
    """A file or folder of data cannot be used; the message names it and says why."""


def scale(images: Array, dtype: str | np.dtype = "float32", pixel_min: float = -1.0) -> Array:
    """Scale bytes 0 ... 255, of any shape, to [pixel_min, 1]; pixel_min is -1 or 0."""
    return images.astype(dtype) / (255 / (1 - pixel_min)) + pixel_min


def as_floats(images: Array) -> Array:
    """Bytes 0 ... 255 as float32 in [0, 1]; numbers of other types are returned as they are."""
    if images.dtype != np.uint8:
        return images
    x = images.astype("float32")
    x /= 255
    return x


def unscale(x: Array, pixel_min: float = -1.0) -> Array:
    """Scale numbers in [pixel_min, 1], of any shape, to [0, 1]; values outside are clipped."""
    return ((x - pixel_min) / (1 - pixel_min)).clip(0, 1)


def pixel_features(images: Array, shape: tuple[int, ...], *, size: int = 8) -> Array:
    """Simple features of images (N, ...): each image averaged down to size x size pixels.

    `shape` is that of an image, (H, W) or (H, W, 3). Returns (N, size * size), or three times as
    many columns in colour; a side shorter than `size` is kept.
    """
    height, width, channels = (*shape, 1)[:3]
    planes = images.reshape(-1, height, width, channels).transpose(0, 3, 1, 2)
    asarray = get_array_module(images).asarray
    down, across = (asarray(averaging_matrix(n, size)) for n in (height, width))
    small = down @ planes @ across.T
    return small.reshape(len(images), -1)


def averaging_matrix(n: int, size: int) -> np.ndarray:
    """A matrix (min(size, n), n) whose rows average adjacent intervals of n pixels."""
    edges = np.linspace(0, n, min(size, n) + 1).round().astype(int)
    rows = np.zeros((len(edges) - 1, n), "float32")
    for row, start, end in zip(rows, edges, edges[1:]):
        row[start:end] = 1 / (end - start)
    return rows


def size_fits(height: int, width: int, channels: int = 1) -> bool:
    """Whether minigan can train on images of this size."""
    return (
        1 <= height <= MAX_SIDE
        and 1 <= width <= MAX_SIDE
        and channels in (1, 3)
        and height * width * channels <= MAX_PIXELS
    )


def format_shape(shape: tuple[int, ...]) -> str:
    """The shape of an image, (H, W) or (H, W, 3), in words."""
    return f"{shape[0]} x {shape[1]}{' in colour' if len(shape) == 3 else ''}"


def shorten_list(things: Iterable, most: int) -> str:
    """The first `most` items of a list, separated by commas."""
    things = list(things)
    return ", ".join(str(thing) for thing in things[:most]) + (
        ", ..." if len(things) > most else ""
    )
