"""The second classifier: its training, the trained one in the package, and what it can read."""

import numpy as np
import pytest

from minigan.datasets.idx import TEST_IMAGES, TEST_LABELS, load_images, load_labels
from minigan.datasets.pixels import scale
from minigan.evaluation import classifier, legibility
from minigan.evaluation.classifier import (
    load_classifier,
    make_classifier_file,
    measure_accuracy,
)
from minigan.evaluation.legibility import (
    CONV_CLASSIFIER_PATH,
    READ_CONFIDENCE,
    load_conv_classifier,
    make_conv_classifier,
    share_read,
)
from minigan.nn.conv import Conv2d

LABELS = load_labels(name=TEST_LABELS)[:2000]


@pytest.fixture(scope="module")
def second():
    return load_conv_classifier()


@pytest.fixture(scope="module")
def real():
    """Test images in [0, 1]."""
    return scale(load_images(name=TEST_IMAGES)[:2000], pixel_min=0.0)


def test_the_shipped_weights_recognise_digits(second):
    assert second.accuracy >= 0.992 and len(second.sha256) == 64
    measured = measure_accuracy(
        second.net, load_images(name=TEST_IMAGES), load_labels(name=TEST_LABELS)
    )
    # to two images: another BLAS rounds differently
    assert measured == pytest.approx(second.accuracy, abs=2e-4)
    described = f"{second.net.theta.size:,} in float16 that classify {100 * second.accuracy:.2f} %"
    assert described in " ".join(legibility.__doc__.split())
    assert CONV_CLASSIFIER_PATH.stat().st_size < 1e6


def test_it_is_another_network_than_the_first(second, real):
    first = load_classifier()
    assert [layer for layer in second.net.layers if isinstance(layer, Conv2d)]
    assert not [layer for layer in first.net.layers if isinstance(layer, Conv2d)]
    wrong, wrong_of_first = (
        set(np.flatnonzero(c.predict(real)[1].argmax(axis=1) != LABELS)) for c in (second, first)
    )
    assert len(wrong) < len(wrong_of_first) and wrong_of_first - wrong


def test_an_image_is_read_if_its_largest_probability_is_high_enough(second, real):
    p = second.predict(real)[1].max(axis=1)
    assert 0 < (p < READ_CONFIDENCE).sum() < 60
    assert share_read(second, real) == np.mean([value >= READ_CONFIDENCE for value in p])
    assert share_read(second, real) == share_read(second, real.reshape(2000, 784))
    order = p.argsort()
    assert share_read(second, real[order[:5]]) == 0 and share_read(second, real[order[-5:]]) == 1


def test_fewer_images_are_read_the_more_two_digits_are_mixed(second, real):
    """Mixtures of two digits of different classes, up to their average."""
    shifted = np.roll(np.arange(2000), 1)
    differ = LABELS != LABELS[shifted]
    ours, theirs = real[differ], real[shifted][differ]
    shares = [share_read(second, (1 - w) * ours + w * theirs) for w in (0, 0.2, 0.3, 0.4, 0.5)]
    assert shares == sorted(shares, reverse=True) and shares[0] > 0.97 and shares[-1] < 0.6


def test_fewer_images_are_read_if_parts_are_missing(second, real):
    """Columns from the left are erased."""
    columns = np.arange(28, dtype="float32")
    shares = [share_read(second, real * (columns >= erased)) for erased in (0, 8, 12, 16, 28)]
    assert shares == sorted(shares, reverse=True) and shares[-2] < 0.6 and shares[-1] == 0


def test_more_real_images_are_read_than_of_noise(second, real):
    noise = np.random.default_rng(0).random((1000, 28, 28), dtype="float32")
    assert share_read(second, real) > 0.97 and share_read(second, noise) < 0.05


@pytest.fixture
def small_mnist(monkeypatch):
    """A function that limits MNIST to its first images, for the function that the command calls."""

    def limit(count):
        for name, load in ("load_images", load_images), ("load_labels", load_labels):
            monkeypatch.setattr(
                classifier, name, lambda load=load, **options: load(**options)[:count]
            )

    return limit


OPTIONS = dict(command="python -m it", make=make_conv_classifier)


def test_a_small_one_learns_and_is_saved_with_its_command(tmp_path, small_mnist, capsys):
    """Two epochs on a part of MNIST."""
    small_mnist(6000)
    path = tmp_path / "c.npz"
    make_classifier_file([str(path)], **OPTIONS, epochs=2)
    loaded = load_classifier(path, make=make_conv_classifier)
    assert loaded.command == "python -m it" and 0.85 < loaded.accuracy < 1
    assert f"{loaded.accuracy:.2%}" in capsys.readouterr().out


def test_the_weights_depend_on_the_seed_and_on_noise(tmp_path, small_mnist):
    small_mnist(128)
    hashes = []
    for options in {}, {"seed": 0}, {"seed": 1}, {"n_noise": 2}, {"epochs": 2}:
        make_classifier_file([str(tmp_path / "c.npz")], **{"epochs": 1, **OPTIONS, **options})
        hashes.append(load_classifier(tmp_path / "c.npz", make=make_conv_classifier).sha256)
    assert hashes[0] == hashes[1] and len(set(hashes)) == 4
