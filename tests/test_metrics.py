"""Metrics against numbers known by hand or by another way; the classifier; the diagnoses."""
import hashlib
import math

import numpy as np
import pytest

from minigan import classifier, diagnosis
from minigan.adversarial import GAN_LOSSES
from minigan.classifier import (as_input, load_classifier, make_classifier, measure_accuracy, save_classifier, shifted,
                                softmax, softmax_cross_entropy)
from minigan.data import TEST_IMAGES, TEST_LABELS, DataError, load_images, load_labels
from minigan.diagnosis import diagnose
from minigan.gradcheck import check_loss
from minigan.metrics import (Yardstick, ball_sizes, classifier_score, frechet_distance, kl, moments, nearest,
                             plain_features, precision_and_coverage, recall, shares, squared_distances)
from minigan.recipes import RECIPES, replace
from minigan.runs import make_settings, new_folder
from minigan.training import train

RNG = np.random.default_rng(0)


def test_frechet_of_what_is_the_same_is_zero():
    a = RNG.standard_normal((300, 5)) @ RNG.standard_normal((5, 5))
    assert frechet_distance(moments(a), moments(a)) == pytest.approx(0, abs=1e-10)
    assert frechet_distance(moments(a), moments(a + 2)) == pytest.approx(5 * 4)


def test_frechet_of_two_normal_distributions_by_hand():
    """With diagonal covariances it is |m1 - m2|² + sum of (sd1 - sd2)²."""
    real = np.array([1.0, 2.0]), np.diag([4.0, 9.0])
    drawn = np.array([1.0, 5.0]), np.diag([1.0, 16.0])
    assert frechet_distance(real, drawn) == pytest.approx(9 + (2 - 1) ** 2 + (3 - 4) ** 2)
    assert frechet_distance(drawn, real) == pytest.approx(frechet_distance(real, drawn))


def test_frechet_against_the_complex_root_of_the_product():
    a, b = (RNG.standard_normal((400, 6)) @ RNG.standard_normal((6, 6)) for _ in range(2))
    (m1, C1), (m2, C2) = moments(a), moments(b)
    root_trace = np.sqrt(np.linalg.eigvals(C1 @ C2).astype(complex)).sum().real
    expected = ((m1 - m2) ** 2).sum() + np.trace(C1 + C2) - 2 * root_trace
    assert frechet_distance((m1, C1), (m2, C2)) == pytest.approx(expected, rel=1e-9)


def test_a_feature_that_never_changes_does_no_harm():
    a, b = RNG.standard_normal((100, 3)), RNG.standard_normal((100, 3))
    a[:, 1] = b[:, 1] = 5.0
    assert math.isfinite(frechet_distance(moments(a), moments(b)))


def test_moments_are_numpy_s():
    a = RNG.standard_normal((50, 3)).astype("float32")
    m, C = moments(a)
    assert m.dtype == C.dtype == "float64"
    np.testing.assert_allclose(C, (a - m).T.astype("float64") @ (a - m) / 49, rtol=1e-5)


def test_scores_by_hand():
    sure = np.eye(10)[np.arange(100) % 10]
    assert classifier_score(sure) == pytest.approx(10)                # sure of each, all ten alike
    assert classifier_score(sure[::10]) == pytest.approx(1)           # sure, but always the same
    assert classifier_score(np.full((50, 10), 0.1)) == pytest.approx(1)
    np.testing.assert_array_equal(shares(sure), np.full(10, 0.1))
    assert kl(np.array([0.5, 0.5, 0]), np.array([0.25, 0.25, 0.5])) == pytest.approx(math.log(2))
    assert kl(np.full(10, 0.1), np.full(10, 0.1)) == 0


def brute(a, b):
    return ((a[:, None] - b[None]) ** 2).sum(-1)


def test_neighbours_against_every_pair():
    real, drawn = RNG.standard_normal((40, 3)), RNG.standard_normal((30, 3)) * 0.7
    pairs = brute(drawn, real)
    for rows, block in squared_distances(drawn, real):
        np.testing.assert_allclose(block, pairs[rows], atol=1e-12)
    balls = np.sort(brute(real, real), axis=1)[:, 3]                   # column 0 is the image itself
    np.testing.assert_allclose(ball_sizes(real), balls, atol=1e-12)
    precision, coverage = precision_and_coverage(real, balls, drawn)
    assert precision == np.mean([(row <= balls).any() for row in pairs])
    assert coverage == np.mean([(column <= ball).any() for column, ball in zip(pairs.T, balls)])
    drawn_balls = np.sort(brute(drawn, drawn), axis=1)[:, 3]
    assert recall(real, drawn) == np.mean([(column <= drawn_balls).any() for column in pairs.T])
    np.testing.assert_array_equal(nearest(drawn, real), pairs.argmin(axis=1))


def test_blocks_do_not_matter():
    """More rows than one block holds."""
    a, b = RNG.standard_normal((2100, 2)), RNG.standard_normal((50, 2))
    np.testing.assert_array_equal(nearest(a, b), brute(a, b).argmin(axis=1))
    np.testing.assert_allclose(ball_sizes(a)[[0, 999, 1000, 2099]],
                               np.sort(brute(a[[0, 999, 1000, 2099]], a), axis=1)[:, 3], atol=1e-12)


def test_what_copies_and_what_collapses_is_seen():
    """Memorised images have perfect precision and no coverage; a single image has neither spread nor recall."""
    real = RNG.standard_normal((500, 4))
    balls = ball_sizes(real)
    precision, coverage = precision_and_coverage(real, balls, real[:5].repeat(20, axis=0))
    assert precision == 1 and coverage < 0.1
    assert recall(real, real[:1].repeat(100, axis=0)) < 0.01
    precision, coverage = precision_and_coverage(real, balls, RNG.standard_normal((500, 4)))
    assert precision > 0.8 and coverage > 0.8
    assert precision_and_coverage(real, balls, real + 100)[0] == 0


def test_plain_features_are_averages():
    images = RNG.random((3, 16 * 8)).astype("float32")
    small = plain_features(images, 16, 8)
    assert small.shape == (3, 64)
    np.testing.assert_allclose(small.reshape(3, 8, 8), images.reshape(3, 8, 2, 8).mean(axis=2), rtol=1e-5)
    assert plain_features(RNG.random((3, 30)).astype("float32"), 6, 5).shape == (3, 30)
    assert plain_features(RNG.random((3, 29 * 31)).astype("float32"), 29, 31).shape == (3, 64)


# The classifier

def test_its_loss_against_central_differences_and_by_hand():
    z, labels = RNG.standard_normal((5, 10)), np.array([0, 3, 9, 3, 1])
    for check in check_loss(softmax_cross_entropy, z, labels):
        assert check.ok, str(check)
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(softmax(z), p, rtol=1e-12)
    assert softmax_cross_entropy(z, labels)[0] == pytest.approx(-np.log(p[np.arange(5), labels]).mean())
    check, = check_loss(lambda z, t: (softmax_cross_entropy(z, t)[0], 1.001 * softmax_cross_entropy(z, t)[1]), z, labels)
    assert not check.ok
    assert np.isfinite(softmax(np.array([[1000.0, -1000.0]]))).all()


def test_shifting_moves_images_by_at_most_two_pixels():
    image = np.zeros((1, 28, 28), np.uint8)
    image[0, 10, 15] = 255
    moved = shifted(image.repeat(500, axis=0), np.random.default_rng(0))
    n, rows, columns = np.nonzero(moved)
    assert len(n) == 500 and moved.shape == (500, 28, 28) and moved.dtype == np.uint8
    assert set(rows) == {8, 9, 10, 11, 12} and set(columns) == {13, 14, 15, 16, 17}


def test_the_shipped_classifier_reads_digits():
    judge = load_classifier()
    assert judge.accuracy >= 0.988 and judge.command == classifier.COMMAND and len(judge.sha256) == 64
    measured = measure_accuracy(judge.net, load_images(name=TEST_IMAGES), load_labels(name=TEST_LABELS))
    assert measured == pytest.approx(judge.accuracy, abs=2e-4)         # to two images: another BLAS rounds otherwise


def test_a_small_classifier_learns(tmp_path):
    """Two epochs on a part of MNIST, saved and loaded again."""
    images, labels = load_images()[:6000], load_labels()[:6000]
    net = classifier.train_classifier(images, labels, epochs=2)
    accuracy = measure_accuracy(net, load_images(name=TEST_IMAGES)[:1000], load_labels(name=TEST_LABELS)[:1000])
    assert accuracy > 0.75
    save_classifier(net, accuracy, tmp_path / "c.npz")
    judge = load_classifier(tmp_path / "c.npz")
    np.testing.assert_array_equal(judge.net.theta, net.theta.astype("float16").astype("float32"))
    assert judge.accuracy == accuracy
    assert judge.sha256 == hashlib.sha256(net.theta.astype("float16").tobytes()).hexdigest()


@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_a_missing_or_damaged_classifier_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "c.npz").write_bytes(content)
    with pytest.raises(DataError, match="c.npz is missing or damaged"):
        load_classifier(tmp_path / "c.npz")


@pytest.fixture(scope="module")
def digits():
    return Yardstick(load_images(name=TEST_IMAGES)[:3000], load_classifier())


def test_real_digits_are_better_than_worse_ones(digits):
    """The order that every metric is for: real, then noisy, then collapsed or noise."""
    train = as_input(load_images()[:3000])
    noisy = (train + 0.3 * RNG.standard_normal(train.shape).astype("float32")).clip(0, 1)
    ones = as_input(load_images()[load_labels() == 1][:3000])
    real, noisy, ones, noise = map(digits.full, (train, noisy, ones, RNG.random(train.shape, dtype="float32")))
    assert real["fd"] < 5 < noisy["fd"] and real["fd"] < 5 < ones["fd"] and noise["fd"] > 50
    assert real["score"] > 9 > noisy["score"] > ones["score"] and noise["score"] < 2
    assert real["coverage"] > 0.6 > ones["coverage"] and noise["coverage"] == 0
    assert real["precision"] > 0.6 > noisy["precision"] and noise["precision"] == 0
    assert real["recall"] > 0.6 > ones["recall"] and noise["recall"] == 0
    assert real["class_kl"] < 0.02 < 1 < ones["class_kl"]
    assert ones["classes"][1] > 0.97 and real["confidence"] > 0.97


def test_after_an_epoch_the_same_is_measured_in_brief(digits):
    train = as_input(load_images()[:2000])
    row = digits.quick(train)
    assert list(row) == ["fd", "spread", *(f"share_{i}" for i in range(10))]
    assert row["fd"] == digits.full(train)["fd"] and row["spread"] == pytest.approx(1, abs=0.05)
    assert [row[f"share_{i}"] for i in range(10)] == digits.full(train)["classes"]


def test_images_that_are_no_digits_have_no_classes():
    images = RNG.integers(0, 256, (300, 12, 10), dtype=np.uint8)
    yardstick = Yardstick(images, None)
    assert list(yardstick.quick(yardstick.images)) == ["fd", "spread"]
    assert yardstick.quick(yardstick.images) == pytest.approx({"fd": 0, "spread": 1}, abs=1e-6)
    assert list(yardstick.full(yardstick.images)) == ["fd", "precision", "coverage", "recall"]


def row(real=0.5, fake=0.4, spread=1.0, fd=3.0, **changed):
    shared = {f"share_{i}": 0.1 for i in range(10)} | {f"share_{name[1:]}": value for name, value in changed.items()}
    return {"epoch": 3, "loss_D": 1.3, "loss_G": 0.9, "score_real": real, "score_fake": fake, "fd": fd, "spread": spread, **shared}


@pytest.mark.parametrize("figures, words", [
    (row(), "healthy"),
    (row(fd=120.0, _8=0.9), "still scribbling"),
    (row(fd=120.0, _8=0.9, real=0.9, fake=0.1), "collapsed: 90% of the samples are eights"),
    (row(_1=0.94, _2=0.0), "collapsed: 94% of the samples are ones"),
    (row(spread=0.2), "collapsed: the samples differ from each other only 20% as much as real images do"),
    (row(real=0.99, fake=0.01), r"the discriminator has won: D\(x\) = 0.99, D\(G\(z\)\) = 0.01, .*try a lower"),
    (row(real=0.5, fake=0.5), "the discriminator cannot tell real from drawn"),
    (row(_7=0.004), "hardly any sevens: 0.4% of the samples"),
    (row(fd=math.nan), "diverged"),
])
def test_diagnoses(figures, words):
    with pytest.raises(AssertionError, match="^" + words):
        raise AssertionError(diagnose(figures))


@pytest.mark.parametrize("loss", GAN_LOSSES)
def test_only_probabilities_are_taken_for_certainty(loss):
    """A D of hinge or least squares is meant to say 1 and 0, and G learns all the same."""
    told = diagnose(row(real=0.99, fake=0.01), loss=loss)
    assert told.startswith("the discriminator has won") if loss in ("non-saturating", "minimax") else told == "healthy"


def test_the_words_of_the_digits():
    assert diagnosis.DIGITS[3] == "threes" and len(diagnosis.DIGITS) == 10


FAILING = replace(RECIPES["default"], epochs=2, batch_size=64, dropout=0.0, real_label=1.0, average=0.9, decay_G=0.0, beta1=0.9, beta2=0.999)
RUNS = {  # made to fail, each in its way: a recipe, and what must be said of one of its epochs
    "a generator of two units": (replace(FAILING, widths_G=(2,), learning_rate=1e-3), "the discriminator has won"),
    "far too fast": (replace(FAILING, dropout=0.3, real_label=0.9, beta1=0.5, learning_rate=0.05), "collapsed: "),
    "nothing wrong": (replace(RECIPES["default"], epochs=3, batch_size=32), "healthy"),
}


@pytest.mark.parametrize("recipe, words", RUNS.values(), ids=RUNS.keys())
def test_runs_that_fail_are_told_so(tmp_path, capsys, recipe, words):
    images = load_images()[:12_800]
    yardstick = Yardstick(load_images(name=TEST_IMAGES)[:2000], load_classifier())
    train(recipe, images, new_folder(tmp_path / "run"), make_settings(recipe, 0, images, "", "numpy", True), yardstick)
    told = capsys.readouterr().out.splitlines()
    assert len(told) == recipe.epochs
    assert words in told[-1]
    if words == "healthy":
        assert not any("collapsed" in line or "has won:" in line for line in told)
