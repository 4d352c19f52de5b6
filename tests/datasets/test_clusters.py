"""k-means, and the clusters of images that take the place of labels."""

import numpy as np

from minigan.backend import asnumpy
from minigan.datasets import clusters
from minigan.datasets.clusters import cluster_images, kmeans
from minigan.datasets.idx import load_images, load_labels


def squares(x, found):
    """The sum of the squared distances of all rows to the means of their clusters."""
    means = np.stack([x[found == k].mean(axis=0) for k in range(found.max() + 1)])
    return ((x - means[found]) ** 2).sum()


def test_separate_groups_are_found():
    rng = np.random.default_rng(0)
    centres = np.array([[0, 0], [30, 0], [0, 30]])
    kind = rng.integers(0, 3, 300)
    x = (centres[kind] + rng.standard_normal((300, 2))).astype("float32")
    for seed in range(5):
        found = kmeans(x, 12, rng=np.random.default_rng(seed))
        for k in range(12):
            assert len(set(kind[found == k])) <= 1  # no cluster holds parts of two groups


def test_every_image_is_nearest_to_the_mean_of_its_cluster(monkeypatch):
    """At the end neither step changes anything, and more rounds have made the sum smaller."""
    x = np.random.default_rng(0).standard_normal((500, 3)).astype("float32")
    sums = []
    for rounds in 1, 2, 4, 100:
        monkeypatch.setattr(clusters, "MAX_ROUNDS", rounds)
        found = kmeans(x, 7, rng=np.random.default_rng(1))
        sums.append(squares(x, found))
    assert sums == sorted(sums, reverse=True) and sums[-1] < 0.9 * sums[0]
    means = np.stack([x[found == k].mean(axis=0) for k in range(7)])
    distances = ((x[:, None] - means) ** 2).sum(axis=2)
    np.testing.assert_array_equal(distances.argmin(axis=1), found)


def test_equal_images_leave_clusters_empty_without_harm():
    found = kmeans(np.ones((50, 4), "float32"), 5, rng=np.random.default_rng(0))
    assert len(set(found.tolist())) == 1 and 0 <= found[0] < 5


def test_few_images_are_grouped_into_few_clusters():
    images = np.random.default_rng(0).integers(0, 256, (250, 30, 9, 3), dtype=np.uint8)
    for n, expected in (50, 1), (199, 1), (250, 2):
        found, count = cluster_images(images[:n], 256, rng=np.random.default_rng(0))
        assert found.shape == (n,) and count == expected and set(found) == set(range(count))


def test_clusters_of_digits_mostly_hold_one_digit():
    images, labels = load_images()[:20_000], load_labels()[:20_000]
    found, count = cluster_images(images, 100, rng=np.random.default_rng(0))
    table = np.zeros((count, 10))
    np.add.at(table, (found, labels), 1)
    assert count == 100 and 0.85 < table.max(axis=1).sum() / len(labels) < 0.95


def test_a_device_finds_the_same_clusters(device, monkeypatch):
    """Up to a few images whose distances to two centres are equal but for rounding."""
    monkeypatch.setattr(clusters, "IMAGES_PER_PART_ON_DEVICE", 300)
    images = load_images()[:2000]
    options = [dict(rng=np.random.default_rng(0), xp=xp) for xp in (np, device)]
    (expected, count), (found, on_device) = (cluster_images(images, 20, **o) for o in options)
    assert count == on_device == 20 and isinstance(found, np.ndarray)
    assert found.dtype == expected.dtype and (found == expected).mean() > 0.99


def test_an_empty_cluster_on_a_device_keeps_its_centre(device):
    x = np.float32([[0, 0], [2, 0], [9, 9]])
    centres = device.asarray(np.float32([[1, 1], [7, 7], [8, 8]]))
    parts = [slice(0, 2), slice(2, 4)]
    clusters.update_centres(centres, device.asarray(x), device.asarray(np.array([0, 0, 2])), parts)
    assert asnumpy(centres).tolist() == [[1, 0], [7, 7], [9, 9]]
