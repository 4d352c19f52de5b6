"""The classifier: its loss, its training, and the trained one in the package."""

import hashlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT

from minigan.datasets.idx import TEST_IMAGES, TEST_LABELS, load_images, load_labels
from minigan.datasets.pixels import DataError, scale
from minigan.evaluation import classifier as module
from minigan.evaluation import legibility
from minigan.evaluation.classifier import (
    CLASSIFIER_COMMAND,
    Classifier,
    load_classifier,
    measure_accuracy,
    random_noise,
    random_shift,
    save_classifier,
    softmax,
    softmax_cross_entropy,
    train_classifier,
)
from minigan.evaluation.legibility import CONV_CLASSIFIER_COMMAND, load_conv_classifier
from minigan.nn.gradcheck import check_loss

RNG = np.random.default_rng(0)


def test_its_loss_against_central_differences_and_by_hand():
    a, labels = RNG.standard_normal((5, 10)), np.array([0, 3, 9, 3, 1])
    for check in check_loss(softmax_cross_entropy, a, labels):
        assert check.ok, str(check)
    p = np.exp(a) / np.exp(a).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(softmax(a), p, rtol=1e-12)
    L, da = softmax_cross_entropy(a, labels)
    assert L == pytest.approx(-np.log(p[np.arange(5), labels]).mean())
    (check,) = check_loss(
        lambda a, t: (softmax_cross_entropy(a, t)[0], 1.001 * softmax_cross_entropy(a, t)[1]),
        a,
        labels,
    )
    assert not check.ok
    assert np.isfinite(softmax(np.array([[1000.0, -1000.0]]))).all()


def test_shifts_are_at_most_two_pixels():
    image = np.zeros((1, 28, 28), np.uint8)
    image[0, 10, 15] = 255
    shifted = random_shift(image.repeat(500, axis=0), rng=np.random.default_rng(0))
    n, rows, columns = np.nonzero(shifted)
    assert len(n) == 500 and shifted.shape == (500, 28, 28) and shifted.dtype == np.uint8
    assert set(rows) == {8, 9, 10, 11, 12} and set(columns) == {13, 14, 15, 16, 17}


def test_the_shipped_classifier_recognises_digits():
    shipped = load_classifier()
    assert shipped.accuracy >= 0.988 and len(shipped.sha256) == 64
    measured = measure_accuracy(
        shipped.net, load_images(name=TEST_IMAGES), load_labels(name=TEST_LABELS)
    )
    # to two images: another BLAS rounds differently
    assert measured == pytest.approx(shipped.accuracy, abs=2e-4)


BOTH_CLASSIFIERS = pytest.mark.parametrize(
    "module, load, command",
    [
        (module, load_classifier, CLASSIFIER_COMMAND),
        (legibility, load_conv_classifier, CONV_CLASSIFIER_COMMAND),
    ],
    ids=["first", "second"],
)


@BOTH_CLASSIFIERS
def test_a_shipped_classifier_names_the_command_that_made_it(module, load, command):
    assert load().command == command
    python, flag, name, path = command.split()
    assert (python, flag) == ("python", "-m")
    assert importlib.util.find_spec(name) is not None and name == module.__name__
    assert (Path(module.__file__).parent / path).is_file()


@BOTH_CLASSIFIERS
def test_the_command_runs_and_imports_its_module_once(module, load, command):
    """Without a path it only names the command; Python warns if the package has imported it."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-m", module.__name__],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1 and result.stderr.strip().endswith(command)
    assert "Traceback" not in result.stderr


def test_its_probabilities_are_those_of_its_network():
    shipped, images = load_classifier(), scale(load_images()[:2005], pixel_min=0.0)
    features, p = shipped.predict(images)
    logits, _ = shipped.net.forward(images)
    np.testing.assert_allclose(p, softmax(logits), rtol=1e-4, atol=1e-7)
    assert features.shape == (2005, 128) and (features >= 0).all()
    np.testing.assert_array_equal(shipped.predict(images.reshape(-1, 784))[0], features)


def test_a_small_classifier_learns(tmp_path):
    """Two epochs on a part of MNIST, saved and loaded again."""
    net = train_classifier(load_images()[:6000], load_labels()[:6000], epochs=2)
    accuracy = measure_accuracy(
        net, load_images(name=TEST_IMAGES)[:1000], load_labels(name=TEST_LABELS)[:1000]
    )
    assert accuracy > 0.75
    save_classifier(net, accuracy, tmp_path / "c.npz")
    loaded = load_classifier(tmp_path / "c.npz")
    np.testing.assert_array_equal(loaded.net.theta, net.theta.astype("float16").astype("float32"))
    assert loaded.accuracy == accuracy and loaded.command == CLASSIFIER_COMMAND
    assert loaded.sha256 == hashlib.sha256(net.theta.astype("float16").tobytes()).hexdigest()


def test_noise_in_training_makes_it_undecided_about_noise():
    noise = np.random.default_rng(1).random((500, 28, 28), dtype="float32")
    confidence, accuracy = [], []
    for n_noise in 0, 16:
        net = train_classifier(
            load_images()[:6000], load_labels()[:6000], epochs=2, n_noise=n_noise
        )
        confidence.append(Classifier(net, 0, "", "").predict(noise)[1].max(axis=1).mean())
        accuracy.append(measure_accuracy(net, load_images()[:1000], load_labels()[:1000]))
    assert confidence[1] < 0.3 < confidence[0] and min(accuracy) > 0.75


def test_noise_is_of_any_brightness():
    noise = random_noise(400, (28, 28), rng=np.random.default_rng(0))
    assert noise.shape == (400, 28, 28) and noise.dtype == "float32"
    brightest = noise.max(axis=(1, 2))
    assert brightest.min() < 0.05 and 0.95 < brightest.max() <= 1
    np.testing.assert_allclose(noise.mean(axis=(1, 2)), brightest / 2, rtol=0.1)


@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_a_missing_or_damaged_classifier_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "c.npz").write_bytes(content)
    with pytest.raises(DataError, match="c.npz is missing or damaged"):
        load_classifier(tmp_path / "c.npz")
