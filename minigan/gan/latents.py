"""Latents: the random vectors from which a generator makes images, and paths between them.

The idea
    A generator turns Z random numbers, the latent vector z, into an image. The same z always gives
    the same image, and a nearby z gives a similar image. A path from one z to another is therefore
    a gradual transition between two images, and every point on the path also gives an image.

Distributions
    normal         Z standard normal numbers
    uniform        Z uniform numbers, scaled to variance 1
    half-binary    Z/2 standard normal numbers and Z/2 signs, each -1 or 1 at random

    Digits are separate kinds of images, but normal noise is one connected cloud, so somewhere in it
    G must change from a three to an eight, and the noise in between gives images that are neither.
    A sign has nothing in between. G can use signs for what differs in kind, and normal numbers for
    what varies gradually. In our runs this lowered FD, but at first not the share of digits that
    cannot be read (docs/recipe.md). (Ben-Yosef & Weinshall 2018 use a mixture of normal
    distributions for the same reason.)

Interpolation
    The square of each of the Z normal numbers has mean 1, so the length of z is close to sqrt(Z),
    and hardly any z is near 0. The straight line between two latent vectors passes closer to 0 than
    almost all vectors that the generator was trained on, so we interpolate along the arc between
    them. Let w be the angle between the two vectors, and let t run from 0 to 1:

        slerp = (sin((1 - t) w) z0 + sin(t w) z1) / sin(w)           Shoemake 1985;
                                                                     for GANs, White 2016

    One-hot labels are interpolated along the straight line, (1 - t) y0 + t y1, whose numbers
    always have the sum 1.

Shapes
    z (N, Z); one vector (Z,); labels (N,) integers, or one-hot (N, C).

>>> slerp(np.array([1.0, 0.0]), np.array([0.0, 1.0]), 0.5).round(3).tolist()
[0.707, 0.707]
>>> latent_walk(np.eye(2), 2).round(2).tolist()
[[1.0, 0.0], [0.71, 0.71], [0.0, 1.0], [0.71, 0.71]]
>>> z, labels = latents_for_each_class(np.array([[0.1], [0.2], [0.3], [0.4]]), 4, 2)
>>> z.ravel().tolist(), labels.tolist()
([0.1, 0.2, 0.1, 0.2], [0, 0, 1, 1])
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minigan.backend import Array


def sample_latents(recipe: Any, rng: Any, n: int) -> Array:
    """n latent vectors, (n, Z), with the distribution and dtype of the recipe.

    rng is a generator of either backend.
    """
    if recipe.noise == "uniform":
        # the uniform distribution on [-a, a] has variance a²/3, so a = sqrt(3) gives variance 1
        return (2 * rng.random((n, recipe.latent_dim), dtype=recipe.dtype) - 1) * math.sqrt(3)
    z = rng.standard_normal((n, recipe.latent_dim), dtype=recipe.dtype)
    if recipe.noise == "half-binary":
        signs = z[:, recipe.latent_dim // 2 :]
        signs[...] = 1 - 2 * (signs < 0)
    return z


def one_hot(labels: np.ndarray, n_classes: int, dtype: str = "float32") -> np.ndarray:
    """Labels (n,), below n_classes, as (n, n_classes): 1 for the class, 0 for the others."""
    return np.eye(n_classes, dtype=dtype)[labels]


def latents_for_each_class(z: np.ndarray, n: int, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """(z, labels) for n images, sorted by class, from z (n, Z).

    The numbers of images per class differ by at most 1. All classes use the same first rows of z.
    If there are more classes than images, an evenly spaced selection of classes is used.
    """
    labels = np.arange(n) * n_classes // n
    first = np.searchsorted(labels, labels)  # where each class begins
    return z[np.arange(n) - first], labels


def slerp(z0: np.ndarray, z1: np.ndarray, t: float) -> np.ndarray:
    """The point at 0 <= t <= 1 on the arc from z0 to z1, both (Z,)."""
    w = math.acos(max(-1.0, min(1.0, float(z0 @ z1) / math.sqrt(float(z0 @ z0) * float(z1 @ z1)))))
    if math.sin(w) < 1e-6:
        # equal or opposite directions do not define an arc
        return linear_interpolation(z0, z1, t)
    return (math.sin((1 - t) * w) * z0 + math.sin(t * w) * z1) / math.sin(w)


def linear_interpolation(y0: np.ndarray, y1: np.ndarray, t: float) -> np.ndarray:
    """The point at 0 <= t <= 1 on the straight line from y0 to y1, both (C,)."""
    return (1 - t) * y0 + t * y1


def latent_walk(corners: np.ndarray, n: int, interpolate: Callable = slerp) -> np.ndarray:
    """corners (m, Z) -> (m n, Z): n points from each corner to the next, and from the last corner
    back to the first.
    """
    following = np.roll(corners, -1, axis=0)
    return np.stack(
        [interpolate(z0, z1, i / n) for z0, z1 in zip(corners, following) for i in range(n)]
    ).astype(corners.dtype)


def latent_grid(corners: np.ndarray, n: int, interpolate: Callable = slerp) -> np.ndarray:
    """n x n points between four corners (4, Z), row by row: (n * n, Z)."""
    a, b, c, d = corners
    positions = [i / (n - 1) for i in range(n)]
    return np.stack(
        [
            interpolate(interpolate(a, b, across), interpolate(c, d, across), down)
            for down in positions
            for across in positions
        ]
    ).astype(corners.dtype)


def interpolate_latents(path: Callable, z: np.ndarray, labels: np.ndarray | None, n: int) -> Any:
    """The input of G along a path, latent_walk or latent_grid, with n points per side.

    The corners are z (m, Z), and one-hot labels (m, C) or None.
    """
    return path(z, n) if labels is None else (path(z, n), path(labels, n, linear_interpolation))
