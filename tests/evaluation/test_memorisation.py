"""Memorisation: known values, its standard errors, and data that were made to be copies."""

import math

import numpy as np
import pytest

from minigan.datasets.idx import load_images
from minigan.datasets.pixels import scale
from minigan.evaluation.memorisation import (
    QUANTILES,
    SAMPLES_AT_ONCE,
    evenly_spaced,
    memorisation,
    nearest_distances,
    probability_nearer,
    quantiles,
)


def by_every_pair(x, training, held_out, left_out=None):
    """(share, standard error, distances), computed one image at a time."""
    distances, counts = [], np.zeros(len(training) + len(held_out))
    for row, image in enumerate(x):
        to_training = [math.dist(image, other) for other in training]
        if left_out is not None:
            to_training[left_out[row]] = math.inf
        distances.append(min(to_training))
        to_all = to_training + [math.dist(image, other) for other in held_out]
        nearest = [i for i, distance in enumerate(to_all) if distance == min(to_all)]
        for i in nearest:
            counts[i] += 1 / len(nearest)
    n, m = len(training) - (left_out is not None), len(held_out)
    by_chance = m / (n + m)
    share = 1 - counts[len(training) :].sum() / len(x) / by_chance
    variance = m * n / (n + m) * np.var(counts, ddof=1) / len(x) ** 2
    return share, math.sqrt(variance) / by_chance, distances


def test_it_agrees_with_every_pair():
    rng = np.random.default_rng(0)
    x, training, held_out = (rng.random((count, 4)) for count in (SAMPLES_AT_ONCE + 50, 90, 40))
    found = memorisation(x, training, held_out)
    share, error, distances = by_every_pair(x, training, held_out)
    assert found.share == pytest.approx(share, abs=1e-12)
    assert found.standard_error == pytest.approx(error, rel=1e-9)
    np.testing.assert_allclose(found.distances, distances, atol=1e-7)
    np.testing.assert_allclose(nearest_distances(x, training), distances, atol=1e-7)


def test_a_training_image_is_not_compared_with_itself():
    rng = np.random.default_rng(0)
    training, held_out = rng.random((300, 4)), rng.random((90, 4))
    left_out = rng.permutation(300)[:250]
    found = memorisation(training[left_out], training, held_out, left_out=left_out)
    share, error, distances = by_every_pair(training[left_out], training, held_out, left_out)
    assert found.share == pytest.approx(share, abs=1e-12) and min(distances) > 0
    assert found.standard_error == pytest.approx(error, rel=1e-9)
    np.testing.assert_allclose(found.distances, distances, atol=1e-7)


def test_images_that_are_equally_near_share_the_nearest_place():
    """Black-and-white images have few distances, so that a tie must not count for one side."""
    rng = np.random.default_rng(0)
    x, training, held_out = (rng.integers(0, 2, (n, 6)).astype("float32") for n in (70, 60, 20))
    found = memorisation(x, training, held_out)
    assert found.share == pytest.approx(by_every_pair(x, training, held_out)[0], abs=1e-12)
    same = np.zeros((5, 3))
    assert memorisation(same, np.zeros((6, 3)), np.zeros((2, 3))).share == pytest.approx(0)


@pytest.mark.parametrize("kind", ["like the data", "smooth", "black and white"])
def test_without_copies_it_is_zero_within_its_standard_error(kind):
    """300 times: the mean is 0, and the standard error is the spread of the values."""
    rng, values, errors, nearer = np.random.default_rng(0), [], [], []
    for _ in range(300):
        x, training, held_out = (rng.random((count, 8)) for count in (200, 300, 100))
        if kind == "smooth":
            x = 0.5 + 0.6 * (x - 0.5)
        if kind == "black and white":
            x, training, held_out = x.round(), training.round(), held_out.round()
        found = memorisation(x, training, held_out)
        values.append(found.share)
        errors.append(found.standard_error)
        nearer.append(probability_nearer(found.distances, nearest_distances(held_out, training))[0])
    assert abs(np.mean(values)) < 4 * np.std(values) / math.sqrt(300)
    assert np.std(np.array(values) / errors) == pytest.approx(1, abs=0.15)
    assert (np.mean(nearer) > 0.7) == (kind == "smooth"), "which `nearer` cannot tell from copies"


@pytest.mark.parametrize("copied", [0.3, 1.0])
def test_the_share_of_copies_is_found(copied):
    rng, values = np.random.default_rng(0), []
    for _ in range(100):
        x, training, held_out = (rng.random((count, 5)) for count in (200, 300, 100))
        n = int(copied * 200)
        x[:n] = training[rng.choice(300, n)] + 0.001 * rng.standard_normal((n, 5))
        values.append(memorisation(x, training, held_out).share)
    assert np.mean(values) == pytest.approx(copied, abs=max(4 * np.std(values) / 10, 1e-12))


def test_the_probability_of_being_nearer():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 9, 40) / 2, rng.integers(1, 12, 30) / 2  # with ties
    pairs = [1.0 if p < q else 0.5 if p == q else 0.0 for p in a for q in b]
    assert probability_nearer(a, b)[0] == pytest.approx(np.mean(pairs))
    assert probability_nearer(b, a)[0] == pytest.approx(1 - np.mean(pairs))
    assert probability_nearer(np.zeros(5), np.ones(3))[0] == 1
    results = [probability_nearer(*rng.random((2, 50))) for _ in range(1000)]
    assert np.mean([p for p, _ in results]) == pytest.approx(0.5, abs=0.01)
    assert np.std([p for p, _ in results]) == pytest.approx(results[0][1], rel=0.1)


def test_the_quantiles_and_the_chosen_positions():
    assert quantiles(np.arange(101.0)) == pytest.approx([100 * q for q in QUANTILES])
    assert 0.5 in QUANTILES and list(QUANTILES) == sorted(QUANTILES)
    assert evenly_spaced(11, 6).tolist() == [0, 2, 4, 6, 8, 10]
    assert evenly_spaced(4, 100).tolist() == [0, 1, 2, 3]
    assert len(set(evenly_spaced(10_000, 1000))) == 1000


@pytest.fixture(scope="module")
def digits():
    """Three samples of MNIST's training images, by the same writers: (new, training, held out)."""
    images = scale(load_images()[:9000], pixel_min=0.0)
    return images[::9], images[np.arange(9000) % 9 > 2], images[2::9]


def measure(images, training, held_out):
    """(memorisation, its standard error, nearer) of images (N, 28, 28)."""
    images, training, held_out = (x.reshape(len(x), -1) for x in (images, training, held_out))
    found = memorisation(images, training, held_out)
    nearer, _ = probability_nearer(found.distances, nearest_distances(held_out, training))
    return found.share, found.standard_error, nearer


def without_details(images, n_components):
    """The images as sums of a few of their principal components."""
    x = images.reshape(len(images), -1)
    _, vectors = np.linalg.eigh(np.cov(x, rowvar=False).astype("float32"))
    components = vectors[:, -n_components:]
    mean = x.mean(axis=0)
    return (mean + (x - mean) @ components @ components.T).reshape(images.shape)


def test_new_digits_are_not_copies_even_without_details(digits):
    """Smooth digits are nearer to the training images than real ones, and are no copies."""
    new, training, held_out = digits
    share, error, nearer = measure(new, training, held_out)
    assert abs(share) < 3 * error < 0.35 and abs(nearer - 0.5) < 0.05
    share, error, nearer = measure(without_details(new, 50), training, held_out)
    assert abs(share) < 3 * error < 0.35 and nearer > 0.56, "0.5 + 3 standard errors"


def test_copied_digits_are_copies(digits):
    new, training, held_out = digits
    rng = np.random.default_rng(0)
    noisy = training[:500] + 0.01 * rng.standard_normal((500, 28, 28), "float32")
    share, error, nearer = measure(noisy, training, held_out)
    assert share == 1 and nearer > 0.99
    half = np.concatenate([noisy[:250], new[:250]])
    share, error, nearer = measure(half, training, held_out)
    assert abs(share - 0.5) < 3 * error < 0.5 and nearer > 0.7


def test_noise_is_far_away_and_has_a_large_standard_error(digits):
    """A few grey training images are the nearest of many noise images."""
    _, training, held_out = digits
    noise = np.random.default_rng(0).random((500, 28, 28), "float32")
    share, error, nearer = measure(noise, training, held_out)
    m, n = len(held_out), len(training)
    binomial = math.sqrt(n / m / 500)  # if each image were the nearest of one at most
    assert nearer == 0 and error > 2 * binomial and abs(share) < 3 * error
