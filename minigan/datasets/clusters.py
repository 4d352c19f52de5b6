"""Clusters: groups of similar images, found without labels, which take the place of labels.

The idea
    Labels make the task of a GAN much easier (gan/steps.py), but most images have none. Similar
    images can be grouped without labels, by k-means (Lloyd 1957, published in 1982). It alternates
    two steps:

        assign    each image belongs to the nearest of K centres
        update    each centre becomes the mean of its images

    Neither step can increase the sum of the squared distances of all images to their centres: the
    first chooses the smallest distance for each image, and of all points, the mean has the smallest
    sum of squared distances to a set of images. The sum therefore converges, to a minimum that
    depends on the first centres, which are images chosen at random.

    A cluster of digits is usually part of one class, such as slanted ones. With 256 clusters, 93 %
    of the images of MNIST have the most frequent digit of their cluster. Clusters have been used as
    labels of GANs before (Sage et al. 2018; Liu et al. 2020, who use features of the
    discriminator).

Features
    Comparing images pixel by pixel takes long. Each image is therefore averaged down to at most
    14 x 14 pixels. The square root of the averages makes differences between dark pixels count for
    more, and those between bright ones for less. Without it the share of 93 % was 91 %.

On a device
    The features are computed on the host and k-means on the device, where it takes most of the
    time. The sum of the images of a cluster is then a product: row k of the matrix `members` is 1
    for the images of cluster k and 0 for the others, and members @ x holds all sums.

Shapes
    images (n, H, W), or (n, H, W, 3) in colour, uint8; x (n, F), float32; centres (K, F); clusters
    (n,), integers from 0 to K - 1.

>>> x = np.array([[0.0], [0.1], [5.0], [5.1], [5.2]])
>>> clusters = kmeans(x, 2, rng=np.random.default_rng(0))
>>> (clusters == clusters[0]).tolist(), (clusters == clusters[-1]).tolist()
([True, True, False, False, False], [False, False, True, True, True])
"""

from typing import Any

import numpy as np

from minigan.backend import Array, asnumpy, get_array_module
from minigan.datasets.pixels import IMAGES_REDUCED_AT_ONCE, as_floats, pixel_features

MIN_IMAGES = 100  # per cluster, on average; fewer images are grouped into fewer clusters
MAX_ROUNDS = 20  # the clusters hardly change afterwards
FEATURE_SIZE = 14
IMAGES_PER_PART = 5000
IMAGES_PER_PART_ON_DEVICE = 50_000


def cluster_images(
    images: np.ndarray, n_clusters: int, *, xp: Any = np, rng: np.random.Generator
) -> tuple[np.ndarray, int]:
    """(clusters (n,), K): groups of similar images (n, ...), K of them, at most n_clusters.

    They are computed by the module xp, numpy or cupy, whose rounding may differ.
    """
    n_clusters = min(n_clusters, max(1, len(images) // MIN_IMAGES))
    features = np.empty(0)
    for start in range(0, len(images), IMAGES_REDUCED_AT_ONCE):
        part = as_floats(images[start : start + IMAGES_REDUCED_AT_ONCE])
        x = np.sqrt(pixel_features(part, images.shape[1:], size=FEATURE_SIZE))
        if start == 0:
            features = np.empty((len(images), x.shape[1]), x.dtype)
        features[start : start + len(x)] = x
    return asnumpy(kmeans(xp.asarray(features), n_clusters, rng=rng)), n_clusters


def kmeans(x: Array, n_clusters: int, *, rng: np.random.Generator) -> Array:
    """The cluster (n,) of each row of x (n, F); there are at least as many rows as clusters."""
    xp = get_array_module(x)
    centres = x[xp.asarray(rng.choice(len(x), n_clusters, replace=False))]
    clusters = xp.full(len(x), -1)
    size = IMAGES_PER_PART if xp is np else IMAGES_PER_PART_ON_DEVICE
    parts = [slice(i, i + size) for i in range(0, len(x), size)]
    for _ in range(MAX_ROUNDS):
        nearest = xp.concatenate([nearest_centres(x[part], centres) for part in parts])
        if (nearest == clusters).all():
            break
        clusters = nearest
        if xp is not np:
            update_centres(centres, x, clusters, parts)
            continue
        counts = np.bincount(clusters, minlength=n_clusters)[:, None]
        order, starts = np.argsort(clusters, kind="stable"), np.cumsum(counts) - counts[:, 0]
        filled = counts[:, 0] > 0  # the centre of an empty cluster remains where it is
        centres[filled] = np.add.reduceat(x[order], starts[filled]) / counts[filled]
    return clusters


def update_centres(centres: Array, x: Array, clusters: Array, parts: list[slice]) -> None:
    """Replace each centre (K, F) by the mean of the rows of x (n, F) in its cluster, on a device;
    that of an empty cluster remains.
    """
    xp, sums, counts = get_array_module(x), 0 * centres, 0 * centres[:, :1]
    for part in parts:
        members = (xp.arange(len(centres))[:, None] == clusters[part]).astype(x.dtype)
        sums += members @ x[part]
        counts += members.sum(axis=1, keepdims=True)
    centres[...] = xp.where(counts > 0, sums / xp.maximum(counts, 1), centres)


def nearest_centres(x: Array, centres: Array) -> Array:
    """The index (n,) of the centre (K, F) nearest to each row of x (n, F)."""
    # |x - c|² = |x|² - 2 x·c + |c|², and |x|² is the same for all centres
    distances = x @ (-2 * centres.T)
    distances += (centres * centres).sum(axis=1)
    return distances.argmin(axis=1)
