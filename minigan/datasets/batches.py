"""Batches: images in random order, scaled as the networks expect them, for a loop of your own.

The idea
    Training steps take batches of N real images with values in [-1, 1]. `batches` makes them from
    an array of bytes: it shuffles the images anew for each epoch, and scales one batch at a time.
    The few images that are left over at the end of an epoch are skipped.

Shapes
    images (n, H, W) or (n, H, W, 3), uint8; a batch has the same shape with N in the place of n.

>>> images = np.arange(0, 250, 10, dtype="uint8").reshape(25, 1, 1)
>>> [x.shape for x in batches(images, 10, rng=np.random.default_rng(0))]
[(10, 1, 1), (10, 1, 1)]
>>> next(batches(images, 26, rng=np.random.default_rng(0)))
Traceback (most recent call last):
    ...
minigan.datasets.pixels.DataError: a batch of 26 is larger than the data, 25 images: use at most 25
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from minigan.datasets.pixels import DataError, scale
from minigan.datasets.value_range import convert_to_bytes, range_in_python


def batches(
    images: np.ndarray,
    batch_size: int,
    *,
    epochs: int = 1,
    labels: np.ndarray | None = None,
    value_range: tuple[float, float] | None = None,
    pixel_min: float = -1.0,
    dtype: str = "float32",
    rng: np.random.Generator,
) -> Iterator[Any]:
    """Yield batches x (N, H, W[, 3]) of all images in random order, once per epoch.

    With labels (n,), integers from 0, the pairs (x, labels) are yielded, whose labels (N, C) are
    one-hot. Images must be bytes, or numbers whose black and white are stated with `value_range`,
    such as (0, 1). Black becomes pixel_min, -1 or 0, and white 1. Raises DataError.
    """
    images = np.asarray(images)
    if images.ndim not in (3, 4):
        raise DataError(
            f"images must be (n, height, width), or (n, height, width, 3), not {images.shape}"
        )
    if not 1 <= batch_size <= len(images):
        raise DataError(
            f"a batch of {batch_size} is larger than the data, {len(images)} images: use at most"
            f" {len(images)}"
            if batch_size > 0
            else f"a batch must have at least 1 image, not {batch_size}"
        )
    if labels is not None and np.shape(labels) != images.shape[:1]:
        raise DataError(f"{len(images)} images, but labels of shape {np.shape(labels)}")
    try:
        images = convert_to_bytes(images, value_range, what="images", notes=[])
    except DataError as error:
        raise DataError(range_in_python(str(error))) from None
    one_hot = None if labels is None else np.eye(int(np.max(labels)) + 1, dtype=dtype)[labels]
    for _ in range(epochs):
        order = rng.permutation(len(images))
        for start in range(0, len(images) - batch_size + 1, batch_size):
            chosen = order[start : start + batch_size]
            x = scale(images[chosen], dtype, pixel_min)
            yield x if one_hot is None else (x, one_hot[chosen])
