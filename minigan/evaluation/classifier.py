"""The classifier: a network that recognises digits, used to evaluate generated digits.

The idea
    The losses of a GAN do not measure the quality of its digits. A classifier can, because it
    returns the probability of each digit. In addition, the 128 outputs of its last hidden layer
    describe a digit by its strokes rather than by its pixels. These outputs are called features,
    and generated images are compared with real ones by their features. The classifier consists of
    layers of this package. A trained one, 468,874 weights in float16 that classify 99.05 % of
    MNIST's 10,000 test images correctly, is in classifier.npz beside this file; it was made by

        python -m minigan.evaluation.classifier classifier.npz

    It is trained for 30 epochs on images that are randomly shifted by up to two pixels, and an
    exponential moving average of its weights is saved. Training takes half a minute to a few
    minutes. The seed is always the same, but weights that are trained on another machine differ in
    their last digits, because another BLAS sums in a different order. `python demo.py evaluate`
    prints the SHA-256 of the weights with its figures.

Forward, of the loss
    The network returns ten logits a_j per image. The softmax turns them into probabilities,

        p_j = e^a_j / (e^a_0 + ... + e^a_9)

    and the loss is the mean of -log p_label: the cross-entropy of nn/losses.py for ten classes
    (Bishop 2006, equations 4.104 and 4.108). Subtracting the same number from all a_j divides all
    e^a_j by the same factor, which does not change p_j. The largest a_j is therefore subtracted
    first, so that no exponential overflows.

Backward
    -log p_label = log(sum of e^a_j) - a_label. The derivative of the first term with respect to a_j
    is e^a_j divided by the sum, which is p_j. That of a_label is 1 if j is the label, else 0:

        da_j = (p_j - 1 if j is the label else p_j) / N

Shapes
    images (N, 28, 28) or (N, 784), in [0, 1]; a and da (N, 10); labels (N,), integers.

>>> L, da = softmax_cross_entropy(np.array([[0.0, 0.0], [3.0, 0.0]]), np.array([1, 0]))
>>> round(float(L), 4), da.round(4).tolist()      # (log 2 + log(1 + e^-3)) / 2
(0.3709, [[0.25, -0.25], [-0.0237, 0.0237]])
"""

import copy
import hashlib
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from minigan.backend import Array, get_array_module
from minigan.console import is_terminal
from minigan.datasets.idx import TEST_IMAGES, TEST_LABELS, load_images, load_labels
from minigan.datasets.pixels import DataError, scale
from minigan.nn.activations import ReLU
from minigan.nn.dense import Dense
from minigan.nn.dropout import Dropout
from minigan.nn.ema import ExponentialMovingAverage
from minigan.nn.optim import Adam
from minigan.nn.reshape import Reshape
from minigan.nn.sequential import Sequential

CLASSIFIER_PATH = Path(__file__).with_name("classifier.npz")
CLASSIFIER_COMMAND = "python -m minigan.evaluation.classifier classifier.npz"
MAX_SHIFT = 2  # pixels
IMAGES_AT_ONCE = 2000  # images per forward pass in `predict`


def make_classifier(rng: np.random.Generator) -> Sequential:
    """Images (N, 28, 28) or (N, 784) -> logits (N, 10), with 512 and 128 hidden units."""
    return Sequential(
        [
            Reshape(784),
            Dense(784, 512, init="he", rng=rng),
            ReLU(),
            Dropout(0.3),
            Dense(512, 128, init="he", rng=rng),
            ReLU(),
            Dropout(0.3),
            Dense(128, 10, rng=rng),
        ]
    )


def softmax_cross_entropy(a: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(L, da) of logits a (N, classes) and labels (N,)."""
    p = softmax(a)
    rows = np.arange(len(a))
    L = -np.log(p[rows, labels]).mean()
    p[rows, labels] -= 1
    return L, p / len(a)


def softmax(a: Array) -> Array:
    """e^a divided by its sum, for each row of a (N, classes)."""
    p = get_array_module(a).exp(a - a.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return p


def random_shift(images: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
    """Each image (N, H, W) shifted by up to MAX_SHIFT pixels both ways; gaps become black."""
    n, height, width = images.shape
    padded = np.pad(images, ((0, 0), (MAX_SHIFT, MAX_SHIFT), (MAX_SHIFT, MAX_SHIFT)))
    down, right = rng.integers(0, 2 * MAX_SHIFT + 1, (2, n, 1, 1))
    image, row, column = np.arange(n)[:, None, None], np.arange(height)[:, None], np.arange(width)
    return padded[image, down + row, right + column]


def random_noise(n: int, shape: tuple[int, ...], *, rng: np.random.Generator) -> np.ndarray:
    """n images (n, *shape) of uniform noise from 0 to a brightness that differs between images."""
    brightness = rng.random((n, 1, 1), dtype="float32")
    return brightness * rng.random((n, *shape), dtype="float32")


def train_classifier(
    images: np.ndarray,
    labels: np.ndarray,
    *,
    make: Callable[[np.random.Generator], Sequential] = make_classifier,
    epochs: int = 30,
    batch_size: int = 128,
    n_noise: int = 0,
    seed: int = 0,
) -> Sequential:
    """Train a classifier on images (N, 28, 28), uint8, with cosine decay of the learning rate.

    Each step also uses n_noise images of noise with random labels, for which the smallest expected
    loss is that of equal probabilities.
    """
    rng = np.random.default_rng(seed)
    net, averaged = make(rng), make(rng)
    optimizer, average = Adam(net.theta), ExponentialMovingAverage(averaged.theta, 0.999)
    steps, show = len(images) // batch_size, is_terminal(sys.stderr)
    for epoch in tqdm(range(epochs), "training the classifier", disable=not show, unit=" epochs"):
        order = rng.permutation(len(images))
        for i in range(steps):
            optimizer.lr = 1e-3 * 0.5 * (1 + math.cos(math.pi * (epoch + i / steps) / epochs))
            batch = order[i * batch_size : (i + 1) * batch_size]
            x, y = scale(random_shift(images[batch], rng=rng), pixel_min=0.0), labels[batch]
            if n_noise:
                x = np.concatenate([x, random_noise(n_noise, x.shape[1:], rng=rng)])
                y = np.concatenate([y, rng.integers(0, 10, n_noise)])
            logits, caches = net.forward(x, train=True, rng=rng)
            _, dlogits = softmax_cross_entropy(logits, y)
            net.backward(dlogits, caches, need_dx=False)
            optimizer.step(net.dtheta)
            average.step(net.theta)
    return averaged


class Classifier(NamedTuple):
    """A trained classifier and its origin."""

    net: Sequential
    accuracy: float  # on the 10,000 test images, measured when the classifier was saved
    sha256: str  # hash of its weights
    command: str  # the command that made it

    def to(self, xp: Any) -> "Classifier":
        """The same classifier for arrays of the module xp, numpy or cupy."""
        return self._replace(net=copy.deepcopy(self.net).to(xp))

    def predict(self, images: Array) -> tuple[Array, Array]:
        """(features (N, 128), probabilities (N, 10)) of images in [0, 1], float32."""
        xp = get_array_module(images)
        features, probabilities = [], []
        for start in range(0, len(images), IMAGES_AT_ONCE):
            x = images[start : start + IMAGES_AT_ONCE]
            for layer in self.net.layers[:-1]:
                x, _ = layer.forward(x)
            features.append(x)
            probabilities.append(softmax(self.net.layers[-1].forward(x)[0]))
        return xp.concatenate(features), xp.concatenate(probabilities)


def save_classifier(
    net: Sequential, accuracy: float, path: Path, *, command: str = CLASSIFIER_COMMAND
) -> None:
    """Save the weights as float16, which changes no metric by more than 1 %."""
    np.savez(path, theta=net.theta.astype("float16"), accuracy=accuracy, command=command)


def load_classifier(
    path: Path = CLASSIFIER_PATH,
    *,
    make: Callable[[np.random.Generator], Sequential] = make_classifier,
) -> Classifier:
    """Load the Classifier in a file. Raises DataError if the file is missing or damaged."""
    net = make(np.random.default_rng(0))
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            theta, accuracy, command = file["theta"], float(file["accuracy"]), str(file["command"])
        net.theta[...] = theta
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{path} is missing or damaged ({reason}): install minigan again") from None
    return Classifier(net, accuracy, hashlib.sha256(theta.tobytes()).hexdigest(), command)


def measure_accuracy(net: Sequential, images: np.ndarray, labels: np.ndarray) -> float:
    """The share of images (N, 28, 28), uint8, that are classified correctly."""
    _, p = Classifier(net, 0, "", "").predict(scale(images, pixel_min=0.0))
    return float((p.argmax(axis=1) == labels).mean())


def make_classifier_file(
    args: list[str],
    *,
    command: str = CLASSIFIER_COMMAND,
    **training: Any,
) -> None:
    """Train a classifier on MNIST and save it to the path that args, the command line, names.

    `training` holds arguments of train_classifier.
    """
    if len(args) != 1 or args[0].startswith("-"):
        sys.exit(f"to make the classifier again: {command}")
    path = Path(args[0])
    net = train_classifier(load_images(), load_labels(), **training)
    net.theta[...] = net.theta.astype("float16")  # measure the weights as they will be saved
    accuracy = measure_accuracy(net, load_images(name=TEST_IMAGES), load_labels(name=TEST_LABELS))
    save_classifier(net, accuracy, path, command=command)
    print(f"{path}: {accuracy:.2%} of the 10,000 test images are classified correctly")


if __name__ == "__main__":
    make_classifier_file(sys.argv[1:])
