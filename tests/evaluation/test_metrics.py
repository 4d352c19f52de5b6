"""Metrics against numbers known by hand or computed in another way."""

import math
import tracemalloc

import numpy as np
import pytest

from minigan.datasets.idx import TEST_IMAGES, load_images, load_labels
from minigan.datasets.pixels import scale
from minigan.evaluation.classifier import load_classifier
from minigan.evaluation.metrics import (
    Evaluator,
    class_shares,
    classifier_score,
    cohens_kappa,
    frechet_distance,
    kernel_sum,
    kid,
    kl_divergence,
    knn_radii,
    mean_deviation,
    mean_kernel,
    moments,
    nearest_neighbours,
    precision_and_coverage,
    recall,
    squared_distances,
)

RNG = np.random.default_rng(0)


def test_frechet_of_equal_distributions_is_zero():
    a = RNG.standard_normal((300, 5)) @ RNG.standard_normal((5, 5))
    assert frechet_distance(moments(a), moments(a)) == pytest.approx(0, abs=1e-10)
    assert frechet_distance(moments(a), moments(a + 2)) == pytest.approx(5 * 4)


def test_frechet_of_two_normal_distributions_by_hand():
    """With diagonal covariances it is |m1 - m2|² + sum of (sd1 - sd2)²."""
    real = np.array([1.0, 2.0]), np.diag([4.0, 9.0])
    generated = np.array([1.0, 5.0]), np.diag([1.0, 16.0])
    assert frechet_distance(real, generated) == pytest.approx(9 + (2 - 1) ** 2 + (3 - 4) ** 2)
    assert frechet_distance(generated, real) == pytest.approx(frechet_distance(real, generated))


def test_frechet_against_the_complex_root_of_the_product():
    a, b = (RNG.standard_normal((400, 6)) @ RNG.standard_normal((6, 6)) for _ in range(2))
    (m1, C1), (m2, C2) = moments(a), moments(b)
    root_trace = np.sqrt(np.linalg.eigvals(C1 @ C2).astype(complex)).sum().real
    expected = ((m1 - m2) ** 2).sum() + np.trace(C1 + C2) - 2 * root_trace
    assert frechet_distance((m1, C1), (m2, C2)) == pytest.approx(expected, rel=1e-9)


def test_a_constant_feature_does_no_harm():
    a, b = RNG.standard_normal((100, 3)), RNG.standard_normal((100, 3))
    a[:, 1] = b[:, 1] = 5.0
    assert math.isfinite(frechet_distance(moments(a), moments(b)))


def test_moments_are_numpy_s():
    a = RNG.standard_normal((50, 3)).astype("float32")
    m, C = moments(a)
    assert m.dtype == C.dtype == "float64"
    np.testing.assert_allclose(C, (a - m).T.astype("float64") @ (a - m) / 49, rtol=1e-5)
    m, C = moments(a[:1])
    assert m.tolist() == a[0].tolist() and C.tolist() == np.zeros((3, 3)).tolist()


def kernel(x, y):
    """The kernel of KID for two rows."""
    return (float(np.dot(x, y)) / len(x) + 1) ** 3


def test_kid_against_every_pair():
    """Sets of different sizes, so that no count can be mistaken for another."""
    real, generated = RNG.standard_normal((7, 4)), RNG.standard_normal((5, 4)) + 0.5
    between = np.mean([kernel(x, y) for x in real for y in generated])
    within = [
        np.mean([kernel(x, y) for i, x in enumerate(a) for j, y in enumerate(a) if i != j])
        for a in (real, generated)
    ]
    assert mean_kernel(real) == pytest.approx(within[0], rel=1e-12)
    expected = within[0] + within[1] - 2 * between
    assert kid(real, generated) == pytest.approx(expected, rel=1e-12)
    assert kid(generated, real) == pytest.approx(expected, rel=1e-12)
    assert kid(real, generated, mean_real=within[0]) == pytest.approx(expected, rel=1e-12)


def test_kid_against_the_means_of_products_of_features():
    """(s + 1)³ = 1 + 3 s + 3 s² + s³, and a mean of s³ is a product of tensors of third moments."""
    a, b = RNG.standard_normal((2300, 5)), RNG.standard_normal((1700, 5)) + [0, 0, 0.3, 0, -0.2]

    def mean_of_all_pairs(x, y):
        total = 1.0
        for letters, factor in ("i", 3), ("ij", 3), ("ijk", 1):
            inputs = ",".join("n" + letter for letter in letters)
            first, second = (
                np.einsum(f"{inputs}->{letters}", *[z] * len(letters)) / len(z) for z in (x, y)
            )
            total += factor * (first * second).sum() / 5 ** len(letters)
        return total

    expected = -2 * mean_of_all_pairs(a, b)
    for x in a, b:  # more rows than one block holds
        n, diagonal = len(x), np.mean(((x * x).sum(axis=1) / 5 + 1) ** 3)
        expected += (mean_of_all_pairs(x, x) - diagonal / n) * n / (n - 1)
    assert kid(a, b) == pytest.approx(expected, rel=1e-10)


def test_kid_is_unbiased_and_fd_is_not():
    """The mean over many small sets is the value for the whole distributions, which is known."""
    rng, n, d = np.random.default_rng(1), 2000, 1.0
    equal = np.array([kid(*rng.standard_normal((2, 6, 3))) for _ in range(n)])
    assert abs(equal.mean()) < 4 * equal.std() / math.sqrt(n)
    assert equal.min() < 0 < equal.max()
    with_themselves = [
        (kernel_sum(x, x) + kernel_sum(y, y) - 2 * kernel_sum(x, y)) / 36
        for x, y in rng.standard_normal((300, 2, 6, 3))
    ]
    assert np.mean(with_themselves) > 20 * equal.std() / math.sqrt(n), "the biased form"
    sets = [(rng.standard_normal((9, 3)), rng.standard_normal((5, 3))) for _ in range(n)]
    assert np.mean([frechet_distance(moments(x), moments(y)) for x, y in sets[:300]]) > 0.5

    # y = x + (d, 0, 0) changes the means by d, one of the second moments by d², and of the third
    # moments those of (1, 1, 1) by 3d + d³ and six others by d
    expected = 3 * d**2 / 3 + 3 * d**4 / 3**2 + ((3 * d + d**3) ** 2 + 6 * d**2) / 3**3
    values = [kid(x, y + [d, 0, 0]) for x, y in sets]
    error = np.std(values) / math.sqrt(n)
    assert error < 0.1 * expected and abs(np.mean(values) - expected) < 4 * error


def test_kid_in_float32_is_that_in_float64():
    a, b = RNG.random((2, 3000, 64)) * 2
    expected = kid(a, b + 0.01)
    assert kid(a.astype("float32"), (b + 0.01).astype("float32")) == pytest.approx(
        expected, abs=1e-6
    )


def test_scores_by_hand():
    certain = np.eye(10)[np.arange(100) % 10]
    assert classifier_score(certain) == pytest.approx(10)  # every image recognised, digits alike
    assert classifier_score(certain[::10]) == pytest.approx(1)  # always the same digit
    assert classifier_score(np.full((50, 10), 0.1)) == pytest.approx(1)
    np.testing.assert_array_equal(class_shares(certain), np.full(10, 0.1))
    s, r = np.array([0.5, 0.5, 0]), np.array([0.25, 0.25, 0.5])
    assert kl_divergence(s, r) == pytest.approx(math.log(2))
    assert kl_divergence(np.full(10, 0.1), np.full(10, 0.1)) == 0


def brute_force(a, b):
    """Squared distances of all pairs of rows."""
    return ((a[:, None] - b[None]) ** 2).sum(-1)


def test_neighbours_against_every_pair():
    real, generated = RNG.standard_normal((40, 3)), RNG.standard_normal((30, 3)) * 0.7
    pairs = brute_force(generated, real)
    for rows, block in squared_distances(generated, real):
        np.testing.assert_allclose(block, pairs[rows], atol=1e-12)
    radii = np.sort(brute_force(real, real), axis=1)[:, 3]  # column 0 is the image itself
    np.testing.assert_allclose(knn_radii(real), radii, atol=1e-12)
    precision, coverage = precision_and_coverage(real, radii, generated)
    assert precision == np.mean([(row <= radii).any() for row in pairs])
    assert coverage == np.mean([(column <= r).any() for column, r in zip(pairs.T, radii)])
    radii = np.sort(brute_force(generated, generated), axis=1)[:, 3]
    assert recall(real, generated) == np.mean([(column <= radii).any() for column in pairs.T])
    np.testing.assert_array_equal(nearest_neighbours(generated, real), pairs.argmin(axis=1))


def test_blocks_do_not_matter():
    """More rows than one block holds."""
    a, b = RNG.standard_normal((2100, 2)), RNG.standard_normal((50, 2))
    np.testing.assert_array_equal(nearest_neighbours(a, b), brute_force(a, b).argmin(axis=1))
    some = [0, 999, 1000, 2099]
    expected = np.sort(brute_force(a[some], a), axis=1)[:, 3]
    np.testing.assert_allclose(knn_radii(a)[some], expected, atol=1e-12)


def test_memorised_and_collapsed_images_are_noticed():
    """Memorised images have perfect precision and no coverage; a single image has no recall."""
    real = RNG.standard_normal((500, 4))
    radii = knn_radii(real)
    precision, coverage = precision_and_coverage(real, radii, real[:5].repeat(20, axis=0))
    assert precision == 1 and coverage < 0.1
    assert recall(real, real[:1].repeat(100, axis=0)) < 0.01
    precision, coverage = precision_and_coverage(real, radii, RNG.standard_normal((500, 4)))
    assert precision > 0.8 and coverage > 0.8
    assert precision_and_coverage(real, radii, real + 100)[0] == 0


def exact_precision_and_coverage(real, generated):
    """From the integers of the pixels, whose squared distances float64 holds without rounding."""
    real, generated = (x.reshape(len(x), -1).astype("float64") for x in (real, generated))

    def distances(a, b):
        return (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1) - 2 * a @ b.T

    within = distances(real, real)
    np.fill_diagonal(within, math.inf)
    inside = distances(generated, real) <= np.sort(within, axis=1)[:, 2]
    return inside.any(axis=1).mean(), inside.any(axis=0).mean()


@pytest.mark.parametrize("part, repeats", [(1, 1), (2, 1), (3, 2), (4, 2), (1, 5), (2, 5)])
def test_copies_are_inside_whatever_float32_rounds(part, repeats):
    """Copies of a part of the images, each of which may occur more often than k = 3 times."""
    real = load_images(name=TEST_IMAGES)[: 1237 // repeats].repeat(repeats, axis=0)
    real = np.random.default_rng(0).permutation(real)
    generated = real[: len(real) // part]
    expected = exact_precision_and_coverage(real, generated)
    assert expected[0] == 1 and (expected[1] == 1) == (part == 1)
    x, copies = (scale(a, pixel_min=0.0).reshape(len(a), -1) for a in (real, generated))
    assert precision_and_coverage(x, knn_radii(x), copies) == expected
    assert recall(copies, x) == 1


def test_the_distance_of_equal_images_is_exactly_zero():
    x = scale(load_images(name=TEST_IMAGES)[:1200], pixel_min=0.0).reshape(1200, -1)
    for rows, distances in squared_distances(x[:777], x, rows_at_once=300):
        at = np.arange(len(distances))
        assert (distances[at, at + rows.start] == 0).all()
        assert (distances == 0).sum() == len(distances)  # and no other one


@pytest.fixture(scope="module")
def digits():
    return Evaluator(load_images(name=TEST_IMAGES)[:3000], load_classifier())


def test_real_digits_are_better_than_worse_ones(digits):
    """The order that every metric is for: real, then noisy, then collapsed or noise."""
    images, labels = load_images(), load_labels()
    train = scale(images[:3000], pixel_min=0.0).reshape(3000, -1)
    noisy = (train + 0.3 * RNG.standard_normal(train.shape).astype("float32")).clip(0, 1)
    ones = scale(images[labels == 1][:3000], pixel_min=0.0)
    noise = RNG.random(train.shape, dtype="float32")
    real, noisy, ones, noise = map(digits.evaluate, (train, noisy, ones, noise))
    assert real["fd"] < 5 < noisy["fd"] and real["fd"] < 5 < ones["fd"] and noise["fd"] > 50
    assert abs(real["kid"]) < 0.2 < 1 < noisy["kid"] < noise["kid"] and ones["kid"] > 1
    assert real["score"] > 9 > noisy["score"] > ones["score"] and noise["score"] < 2
    assert real["coverage"] > 0.6 > ones["coverage"] and noise["coverage"] == 0
    assert real["precision"] > 0.6 > noisy["precision"] and noise["precision"] == 0
    assert real["recall"] > 0.6 > ones["recall"] and noise["recall"] == 0
    assert real["class_kl"] < 0.02 < 1 < ones["class_kl"]
    assert ones["classes"][1] > 0.97 and real["confidence"] > 0.97


def test_the_quick_metrics_are_a_part_of_all_metrics(digits):
    train = scale(load_images()[:2000], pixel_min=0.0)
    quick, metrics = digits.quick(train), digits.evaluate(train)
    assert list(quick) == ["fd", "spread", *(f"share_{i}" for i in range(10))]
    assert quick["fd"] == metrics["fd"] and quick["spread"] == pytest.approx(1, abs=0.05)
    assert [quick[f"share_{i}"] for i in range(10)] == metrics["classes"]
    flat = train.reshape(2000, -1)
    assert digits.quick(flat) == quick and digits.evaluate(flat) == metrics
    features, p = digits.predict(train[:5])
    np.testing.assert_array_equal(digits.features(train[:5]), features)
    assert features.shape == (5, 128) and p.shape == (5, 10)


def test_images_that_are_not_digits_have_no_classes():
    images = RNG.integers(0, 256, (300, 12, 10), dtype=np.uint8)
    evaluator = Evaluator(images, None)
    same = images.astype("float32") / 255
    assert list(evaluator.quick(same)) == ["fd", "spread"]
    assert evaluator.quick(same) == pytest.approx({"fd": 0, "spread": 1}, abs=1e-6)
    metrics = evaluator.evaluate(same)
    assert list(metrics) == ["fd", "kid", "precision", "coverage", "recall"]
    features = evaluator.features(same)
    assert metrics["kid"] == kid(features, features) < 0  # each image is paired with itself once
    assert evaluator.predict(same)[1] is None and evaluator.features(same).shape == (300, 64)


def test_cohens_kappa_of_the_example_in_wikipedia():
    """Of 50 proposals both readers accept 20, both refuse 15, and they differ on 5 and 10."""
    a = np.repeat([1, 1, 0, 0], [20, 5, 10, 15])
    b = np.repeat([1, 0, 1, 0], [20, 5, 10, 15])
    assert cohens_kappa(a, b) == pytest.approx(0.4)
    assert cohens_kappa(a, a) == 1 and cohens_kappa(0 * a, 0 * a) == 0


@pytest.mark.parametrize("digits", [True, False])
def test_labels_without_effect_are_noticed(digits):
    images, labels = load_images()[:1500], load_labels()[:1500].astype(int)
    evaluator = Evaluator(
        images[:500],
        load_classifier() if digits else None,
        labelled=(images, labels),
    )
    found = {
        name: evaluator.quick(images / np.float32(255), requested)["label_agreement"]
        for name, requested in {
            "real": labels,
            "one later": np.roll(labels, 1),
            "half": np.where(np.arange(1500) % 2, labels, np.roll(labels, 1)),
        }.items()
    }
    assert found["real"] == pytest.approx(1, abs=0.02)  # at most 5,000 images have the means
    assert abs(found["one later"]) < 0.1 and abs(found["half"] - 0.5) < 0.1
    assert "label_agreement" not in evaluator.quick(images / np.float32(255))


def test_classes_that_cannot_be_told_apart_have_no_agreement():
    images, labels = load_images()[:1500], np.arange(1500) % 3
    evaluator = Evaluator(images[:500], None, labelled=(images, labels))
    assert list(evaluator.quick(images / np.float32(255), labels)) == ["fd", "spread"]


def test_bytes_have_the_same_metrics_as_floats_bit_for_bit():
    images = load_images(name=TEST_IMAGES)[:700].reshape(700, -1)
    a, b = images[:300], images[300:]
    x, y = (scale(part, pixel_min=0.0) for part in (a, b))
    for ours, theirs in zip(squared_distances(a, b), squared_distances(x, y)):
        np.testing.assert_array_equal(ours[1], theirs[1])
    np.testing.assert_array_equal(knn_radii(a), knn_radii(x))
    np.testing.assert_array_equal(nearest_neighbours(x, b), nearest_neighbours(x, y))
    assert mean_deviation(a) == float(x.std(axis=0).mean())
    evaluator = Evaluator(images.reshape(-1, 28, 28), load_classifier())
    assert evaluator.evaluate(a) == evaluator.evaluate(x)
    assert evaluator.quick(a) == evaluator.quick(x)


def test_the_size_of_the_parts_does_not_matter(monkeypatch):
    """Neither that of the other rows, nor of the pixels, nor of the images that are reduced."""
    images = RNG.integers(0, 256, (130, 20, 24, 3), dtype=np.uint8)
    generated = RNG.random((70, 20, 24, 3), dtype="float32")

    def measure():
        evaluator = Evaluator(images, None)
        return evaluator.evaluate(generated) | evaluator.quick(generated)

    whole = measure()
    monkeypatch.setattr("minigan.evaluation.metrics.NUMBERS_AT_ONCE", 37 * 20 * 24 * 3)
    monkeypatch.setattr("minigan.evaluation.metrics.IMAGES_REDUCED_AT_ONCE", 17)
    parts = measure()
    assert parts.keys() == whole.keys()
    for name, value in parts.items():
        assert value == pytest.approx(whole[name], rel=1e-5), name


def test_measuring_takes_little_memory_beside_the_images(monkeypatch):
    """The real images stay bytes: as floats they would take four times as much."""
    monkeypatch.setattr("minigan.evaluation.metrics.NUMBERS_AT_ONCE", 50 * 64 * 64 * 3)
    monkeypatch.setattr("minigan.evaluation.metrics.IMAGES_REDUCED_AT_ONCE", 50)
    monkeypatch.setattr("minigan.evaluation.metrics.ROWS_AT_ONCE", 50)
    monkeypatch.setitem(squared_distances.__kwdefaults__, "rows_at_once", 50)
    images = RNG.integers(0, 256, (1000, 64, 64, 3), dtype=np.uint8)
    generated = RNG.random((20, 64, 64, 3), dtype="float32")
    tracemalloc.start()
    try:
        evaluator = Evaluator(images, None)
        evaluator.quick(generated)
        evaluator.evaluate(generated)
        nearest_neighbours(generated.reshape(20, -1), evaluator.images)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < images.nbytes


@pytest.mark.parametrize("with_classifier", [True, False])
def test_a_device_has_the_same_metrics(device, with_classifier):
    """For images on the device, as a generator makes them, and for bytes on the host."""
    real = load_images(name=TEST_IMAGES)[:1000]
    classifier = load_classifier() if with_classifier else None
    labelled = load_images()[:1000], load_labels()[:1000]
    host = Evaluator(real, classifier, labelled=labelled)
    on_device = Evaluator(real, classifier, labelled=labelled)
    on_device.to(device)
    images = load_images()[:500]
    floats, requested = images.astype("float32") / 255, np.arange(500) % 10
    for x, y in (floats, device.asarray(floats)), (images, images):
        expected, found = host.quick(x, requested), on_device.quick(y, requested)
        assert list(found) == list(expected) and len(found) == (13 if with_classifier else 3)
        for name, value in found.items():
            assert isinstance(value, float)
            assert value == pytest.approx(expected[name], rel=1e-4, abs=1e-6), name
    expected, found = host.evaluate(images), on_device.evaluate(images)
    assert found.keys() == expected.keys()
    assert found["fd"] == pytest.approx(expected["fd"], rel=1e-4)
    if classifier:  # the host's has not moved
        assert isinstance(classifier.net.theta, np.ndarray)
