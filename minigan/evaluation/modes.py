"""Modes: how many of the 1000 kinds of images in StackedMNIST a generator produces, and how evenly.

The idea
    An image of StackedMNIST holds three digits, one in each colour (datasets/stacked.py). The
    classifier reads each of them, and the three digits a, b and c are the mode 100 a + 10 b + c of
    the image. A generator is evaluated on 25,600 samples, as in Metz et al. 2017 and in Lin et
    al. 2018, "PacGAN":

        modes         how many of the 1000 modes occur
        KL uniform    sum of s log(1000 s), with the shares s of the modes: the Kullback-Leibler
                      divergence of the samples from 1000 equally frequent modes
        KL triples    sum of s log(s / r), with the shares r of the modes among real images

    KL uniform is the figure that is published. Digits are not equally frequent in MNIST, so the
    real images are not at 0 either. In MNIST the divergence of ten digits from equal shares is
    0.0014, and of three independent ones 0.0043. KL triples does not contain this part. The share
    of a real mode is the product of the shares of its three digits.

    Neither is 0 for a perfect generator. Of 1000 modes and N samples, s differs from r by chance.
    To second order, s log(s / r) = (s - r) + (s - r)² / (2 r), where the first terms add up to 0.
    The expected (s - r)² is r (1 - r) / N, so the expected sum of the second terms is

        (1000 - 1) / (2 N) = 0.0195 for 25,600 samples

    A perfect generator has a KL uniform near 0.024 and a KL triples near 0.020. For this reason the
    figures of 25,600 real images always stand beside those of a run, and figures of different
    numbers of samples cannot be compared.

    Every image has a mode, whether its digits are legible or not. The share of the digits that are
    is `read` (see legibility.py).

Shapes
    images (N, H, W, 3); modes (N,), integers from 0 to 999; shares (1000,).

>>> modes = np.array([314, 314, 159, 265])
>>> r = np.full(1000, 1 / 1000)
>>> {name: round(value, 3) for name, value in mode_figures(modes, r).items()}
{'modes': 3, 'kl_uniform': 5.868, 'kl_triples': 5.868}
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minigan.datasets.pixels import as_floats
from minigan.evaluation.classifier import Classifier
from minigan.evaluation.metrics import Evaluator, kl_divergence

N_DIGITS = 10
MODES = N_DIGITS**3
MODE_SAMPLES = 25_600
TRIPLES_AT_ONCE = 1600  # so that few images are in memory at a time


def channels(images: np.ndarray) -> np.ndarray:
    """The three channels of each image (N, H, W, 3) as images (3 N, H, W), one after another."""
    return np.moveaxis(images, -1, 1).reshape(-1, *images.shape[1:3])


def read_modes(classifier: Classifier, images: np.ndarray) -> np.ndarray:
    """The mode of each image (N, H, W, 3), in [0, 1] or bytes, as the classifier reads it, (N,)."""
    _, p = classifier.predict(as_floats(channels(images)))
    return p.argmax(axis=1).reshape(-1, 3) @ [N_DIGITS**2, N_DIGITS, 1]


def mode_figures(modes: np.ndarray, real_shares: np.ndarray) -> dict[str, float]:
    """The three figures of modes (N,), where the shares of the real images are (1000,)."""
    shares = np.bincount(modes, minlength=MODES) / len(modes)
    return {
        "modes": int((shares > 0).sum()),
        "kl_uniform": kl_divergence(shares, np.full(MODES, 1 / MODES)),
        "kl_triples": kl_divergence(shares, real_shares),
    }


def real_mode_shares(classifier: Classifier, digits: np.ndarray) -> np.ndarray:
    """The shares (1000,) of the modes of all triples of digits (n, H, W), bytes."""
    found = np.zeros(N_DIGITS)
    for start in range(0, len(digits), TRIPLES_AT_ONCE):
        _, p = classifier.predict(as_floats(digits[start : start + TRIPLES_AT_ONCE]))
        found += np.bincount(p.argmax(axis=1), minlength=N_DIGITS)
    shares = found / len(digits)
    return np.einsum("a,b,c->abc", shares, shares, shares).ravel()


def evaluate_modes(
    classifier: Classifier, parts: dict[str, Callable], digits: np.ndarray
) -> dict[str, dict[str, float]]:
    """The figures of each part, {name: figures}, from MODE_SAMPLES images.

    A part is a function that returns the images (n, H, W, 3) in a slice of its samples. `digits`
    (n, H, W) are those of which the real images are made.
    """
    real_shares = real_mode_shares(classifier, digits)
    return {
        name: mode_figures(
            np.concatenate([read_modes(classifier, images_in(rows)) for rows in slices()]),
            real_shares,
        )
        for name, images_in in parts.items()
    }


def slices() -> Iterator[slice]:
    """The slices of TRIPLES_AT_ONCE rows of MODE_SAMPLES."""
    for start in range(0, MODE_SAMPLES, TRIPLES_AT_ONCE):
        yield slice(start, start + TRIPLES_AT_ONCE)


class TripleEvaluator(Evaluator):
    """An Evaluator for images of StackedMNIST.

    The features of an image are those of its three digits, and the metrics of each epoch contain
    the number of modes among its samples.
    """

    def to(self, xp: Any) -> None:
        """Nothing: triples are evaluated on the host."""

    def predict(self, images: np.ndarray) -> tuple[np.ndarray, None]:
        """(features (N, 3 F), None), because the image has no class."""
        features = []
        for start in range(0, len(images), TRIPLES_AT_ONCE):
            part = images[start : start + TRIPLES_AT_ONCE].reshape(-1, *self.shape)
            of_digits, _ = self.classifier.predict(as_floats(channels(part)))
            features.append(of_digits.reshape(len(part), -1))
        return np.concatenate(features), None

    def quick(self, images: np.ndarray, requested: np.ndarray | None = None) -> dict[str, float]:
        """{"fd": ..., "spread": ..., "modes": ...}: the metrics for each epoch."""
        modes = read_modes(self.classifier, images.reshape(-1, *self.shape))
        return {**super().quick(images, requested), "modes": len(np.unique(modes))}
