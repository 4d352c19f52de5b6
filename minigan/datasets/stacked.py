"""StackedMNIST: three random digits as the colours of one image, to count what a generator misses.

The idea
    MNIST has ten kinds of digits, and a generator that leaves some of them out is hard to find. In
    StackedMNIST (Metz et al. 2017, "Unrolled generative adversarial networks") each image holds
    three digits, drawn at random: one in its red, one in its green and one in its blue channel.
    That makes 10 x 10 x 10 = 1000 kinds of images, or modes, and evaluation/modes.py counts how
    many of them a generator produces. `--data stacked-mnist` selects it.

    There are 60,000³ such images, so none of them is stored. Only the digits are, and an image is
    put together when it is needed, from the positions of its three digits. Training draws these
    positions for each epoch (`draw`), which is as many images as there are digits. What is drawn
    depends on the seed of the run, and the positions are part of its checkpoint.

    Whatever looks at the data itself, such as a table of metrics, needs a sample that is always the
    same. It is given by a single position i: digit i in red, and in green and blue the digits at
    place i of two random orders. Hence images[:100] are a hundred random images.

Shapes
    digits (n, H, W), uint8; positions (..., 3), integers, or (...) of the fixed sample; images
    (..., H, W, 3), uint8, on the device that the digits are on.

>>> images = StackedImages(np.arange(10, dtype="uint8").reshape(10, 1, 1))
>>> len(images), images.shape
(10, (10, 1, 1, 3))
>>> images[np.array([[3, 1, 4], [1, 5, 9]])].tolist()
[[[[3, 1, 4]]], [[[1, 5, 9]]]]
>>> images[:2].tolist()
[[[[0, 4, 2]]], [[[1, 6, 9]]]]
"""

from pathlib import Path
from typing import Any

import numpy as np

from minigan.backend import Array, get_array_module

STACKED_MNIST = Path("stacked-mnist")  # as --data names it
CHANNELS = 3


class StackedImages:
    """All images that can be made of three digits (n, H, W), uint8; its length is n."""

    ndim, dtype = 4, np.dtype("uint8")

    def __init__(self, digits: Array):
        self.digits = digits
        self.shape = (*digits.shape, CHANNELS)
        rng, n = np.random.default_rng(0), len(digits)
        # the positions (n, 3) of the fixed sample
        self.sample = np.stack([np.arange(n), rng.permutation(n), rng.permutation(n)], axis=-1)

    def __len__(self) -> int:
        return len(self.digits)

    def __getitem__(self, positions: Any) -> Array:
        xp = get_array_module(self.digits)
        if isinstance(positions, (slice, int)) or positions.ndim == 1:
            positions = xp.asarray(self.sample[positions])
        return xp.stack([self.digits[positions[..., i]] for i in range(CHANNELS)], axis=-1)

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """The positions (count, 3) of random images."""
        return rng.integers(0, len(self.digits), (count, CHANNELS))

    def to(self, xp: Any) -> "StackedImages":
        """The same images with the digits on the backend xp."""
        return StackedImages(xp.asarray(self.digits))


def to_backend(images: Any, xp: Any) -> Any:
    """Images, an array or StackedImages, on the backend xp."""
    return images.to(xp) if isinstance(images, StackedImages) else xp.asarray(images)
