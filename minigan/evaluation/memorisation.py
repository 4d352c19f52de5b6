"""Memorisation: does the generator copy training images?

The idea
    A generator that returned training images would be excellent by almost every metric of
    metrics.py, and useless. Copies are found by their distance to the nearest training image: the
    Euclidean distance of the pixels. A distance alone means nothing. It is therefore compared with
    that of held-out images: real images, such as the test images, that were not used for training.

    nearer         the probability that a generated image is nearer to the training images than a
                   held-out image is: 1/2 if both are at the same distances, 1 for copies
    memorisation   the share of the generated images that are copies, estimated as below

Why `nearer` is not enough
    A smooth or typical image, without details of its own, is near to many images, whether or not
    they were used for training. A generator that prefers such images has a `nearer` above 1/2
    without having copied anything. Memorisation therefore does not ask how near the nearest
    image is, but which image that is. A generator that has learned the distribution of n training
    images, and not the images themselves, cannot know that they were used for training and that m
    others of the same distribution were held out. The nearest of all n + m images is then a
    held-out one with probability m / (n + m), whatever the generated images look like. If a share c
    of them are copies, that probability is (1 - c) m / (n + m). We observe a share s, and solve
    for c:

        memorisation = 1 - s (n + m) / m

    This is 0 on average if nothing was copied, and 1 if everything was. Platzer and Reutterer 2021
    compare synthetic tables with training and held-out records in this way. Meehan et al. 2020
    compare distances, as `nearer` does, but separately in each region of the data.

Standard errors
    That of `nearer` is the one of the Mann-Whitney test. For N distances and M held-out ones of the
    same distribution its square is (N + M + 1) / (12 N M).

    Memorisation would be 0 if the m held-out images had been chosen from all n + m at random, after
    the training. Its standard error is that of this choice. Let c_i be the number of generated
    images whose nearest image is image i. Then s is the sum of the held-out images' c_i, divided by
    N. For a random choice, by the formula for samples without replacement,

        variance of s = m n / (n + m) * (variance of all c_i) / N²

    It is large if a few images are the nearest of many, as those with the largest grey areas are
    for noise.

What they do not show
    A copy that was shifted by a pixel is far away in pixels. A share of copies below two standard
    errors cannot be distinguished from chance, although exact copies also appear among the
    quantiles of the distances, as zeros. Finally, training and held-out images must have the same
    distribution. MNIST's test images were written by other people than its training images. A
    training image is therefore nearer to other training images than to test images more often than
    by chance: if each of the 60,000 is compared with all images but itself, memorisation is 0.09
    with a standard error of 0.01. A generator that imitates the handwriting of these people, but
    copies no image, may reach the same value. It is reported beside that of the run, as the value
    of real images.

Shapes
    generated images x (N, P), training images (n, P) and held-out images (m, P), with P pixels
    each, from 0 to 1, or bytes from 0 to 255

>>> training, held_out = np.array([[0.0], [1.0], [2.0]]), np.array([[3.0]])     # n = 3, m = 1
>>> memorisation(np.array([[0.1], [1.1], [2.1], [3.1]]), training, held_out).share    # s = 1/4
0.0
>>> memorisation(np.array([[0.1], [1.1], [2.1]]), training, held_out).share           # s = 0
1.0
"""

import math
from typing import NamedTuple

import numpy as np

from minigan.evaluation.metrics import squared_distances

QUANTILES = 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99  # of the distances
SAMPLES_AT_ONCE = 200  # compared with all images at once, so that the memory suffices


class Memorisation(NamedTuple):
    """The result of `memorisation`."""

    share: float  # of the images that are copies
    standard_error: float
    distances: np.ndarray  # of each image to its nearest training image, (N,)


def memorisation(
    x: np.ndarray,
    training: np.ndarray,
    held_out: np.ndarray,
    *,
    left_out: np.ndarray | None = None,
) -> Memorisation:
    """Estimate the share of x (N, P) that copies training images (n, P).

    If x are training images themselves, `left_out` (N,) are their positions among the training
    images, and each is compared with all images but itself. If several images are equally near,
    each counts as a part of the nearest one.
    """
    n, m = len(training), len(held_out)
    distances, counts = np.empty(len(x)), np.zeros(n + m)
    for (rows, to_training), (_, to_held_out) in zip(
        squared_distances(x, training, rows_at_once=SAMPLES_AT_ONCE),
        squared_distances(x, held_out, rows_at_once=SAMPLES_AT_ONCE),
    ):
        if left_out is not None:
            to_training[np.arange(len(to_training)), left_out[rows]] = math.inf
        distances[rows] = np.sqrt(to_training.min(axis=1).clip(0))
        to_all = np.concatenate([to_training, to_held_out], axis=1)
        nearest = to_all == to_all.min(axis=1, keepdims=True)
        which, image = np.nonzero(nearest)
        counts += np.bincount(image, 1 / nearest.sum(axis=1)[which], n + m)
    if left_out is not None:
        n -= 1
    by_chance = m / (n + m)
    share = 1 - counts[-m:].sum() / len(x) / by_chance
    variance = m * n / (n + m) * counts.var(ddof=1) / len(x) ** 2
    return Memorisation(float(share), math.sqrt(variance) / by_chance, distances)


def nearest_distances(x: np.ndarray, training: np.ndarray) -> np.ndarray:
    """The distance of each row of x to the nearest training image, (N,)."""
    blocks = squared_distances(x, training, rows_at_once=SAMPLES_AT_ONCE)
    return np.concatenate([np.sqrt(block.min(axis=1).clip(0)) for _, block in blocks])


def probability_nearer(distances: np.ndarray, held_out: np.ndarray) -> tuple[float, float]:
    """(probability that one of `distances` (N,) is below one of `held_out` (M,), standard error).

    Equal distances count as half. The standard error is that of equal distributions.
    """
    n, m, held_out = len(distances), len(held_out), np.sort(held_out)
    below, not_above = (np.searchsorted(held_out, distances, side) for side in ("left", "right"))
    nearer = 1 - (below + not_above).mean() / (2 * m)
    return float(nearer), math.sqrt((n + m + 1) / (12 * n * m))


def quantiles(distances: np.ndarray) -> list[float]:
    """The QUANTILES of distances (N,)."""
    return np.quantile(distances, QUANTILES).tolist()


def evenly_spaced(n: int, count: int) -> np.ndarray:
    """`count` positions among n, or all n if there are fewer, from the first to the last.

    The first half of MNIST's test images is neater than the second, so that the first thousand
    are no fair sample.
    """
    return np.linspace(0, n - 1, min(n, count)).round().astype(int)
