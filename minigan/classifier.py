"""The classifier: a judge who knows digits, so that drawn ones can be measured.

The idea
    A generator's losses do not say how good its digits are. A network that reads digits can: it
    says which digit it sees and how sure it is. And what comes out of the layer before its last, 128
    numbers for each image, describes a digit by its strokes rather than by its pixels: in these numbers,
    its "features", drawn images can be compared with real ones. The classifier is made of the layers
    of this package, and comes trained in data/classifier.npz; it was made by

        python -m minigan.classifier data/classifier.npz

    which shows every training image 30 times, each time shifted by up to two pixels, and keeps the
    running average of the weights. That takes half a minute to a few; the seed is always the same.

Forward, of its loss
    The network gives ten numbers z_j for each image. The softmax makes them probabilities,

        p_j = e^z_j / (e^z_0 + ... + e^z_9)

    and the loss is the mean of -log p_label: the cross-entropy of losses.py, for ten classes
    (Bishop 2006, equations 4.104 and 4.108). A number that is taken from all z_j takes the same factor
    from all e^z_j, which changes no p_j. So the largest is taken off first, and no power overflows.

Backward
    -log p_label = log(sum of e^z_j) - z_label. The derivative of the first term with respect to z_j is
    e^z_j over that sum, which is p_j. The one of z_label is 1 if j is the label, else 0. So

        dz_j = (p_j - 1 if j is the label else p_j) / N

Shapes
    images (N, 784), bytes scaled to [0, 1]; z and dz (N, 10); labels (N,), whole numbers.

>>> L, dz = softmax_cross_entropy(np.array([[0.0, 0.0], [3.0, 0.0]]), np.array([1, 0]))
>>> round(float(L), 4), dz.round(4).tolist()      # (log 2 + log(1 + e^-3)) / 2
(0.3709, [[0.25, -0.25], [-0.0237, 0.0237]])
"""
import hashlib
import math
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from minigan.activations import ReLU
from minigan.data import SHIPPED, TEST_IMAGES, TEST_LABELS, DataError, load_images, load_labels
from minigan.dense import Dense
from minigan.dropout import Dropout
from minigan.network import Sequential
from minigan.optim import Adam, WeightAverage

PATH = SHIPPED / "classifier.npz"
COMMAND = "python -m minigan.classifier data/classifier.npz"


def make_classifier(rng):
    """(N, 784) -> (N, 10) logits, by way of 512 and 128 units."""
    return Sequential([Dense(784, 512, rng, "he"), ReLU(), Dropout(0.3),
                       Dense(512, 128, rng, "he"), ReLU(), Dropout(0.3), Dense(128, 10, rng)])


def softmax_cross_entropy(z, labels):
    """(L, dz) for logits z (N, classes) and labels (N,)."""
    p = softmax(z)
    rows = np.arange(len(z))
    L = -np.log(p[rows, labels]).mean()
    p[rows, labels] -= 1
    return L, p / len(z)


def softmax(z):
    """e^z over its sum, row by row; z (N, classes)."""
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return p


def shifted(images, rng, most=2):
    """Each image moved by up to `most` pixels in both directions, with paper where it was."""
    n, height, width = images.shape
    padded = np.pad(images, ((0, 0), (most, most), (most, most)))
    down, right = rng.integers(0, 2 * most + 1, (2, n, 1, 1))
    return padded[np.arange(n)[:, None, None], down + np.arange(height)[:, None], right + np.arange(width)]


def as_input(images):
    """Bytes (N, 28, 28) or (N, 784) as the classifier wants them."""
    return images.reshape(len(images), -1).astype("float32") / 255


def train_classifier(images, labels, epochs=30, batch_size=128, seed=0):
    """A trained classifier; the rate falls from 1e-3 to 0 along half a cosine."""
    rng = np.random.default_rng(seed)
    net, averaged = make_classifier(rng), make_classifier(rng)
    optimizer, average = Adam(net.theta), WeightAverage(averaged.theta, 0.999)
    steps = len(images) // batch_size
    for epoch in tqdm(range(epochs), "training the classifier", disable=not sys.stderr.isatty(), unit=" epochs"):
        order = rng.permutation(len(images))
        for i in range(steps):
            optimizer.lr = 1e-3 * 0.5 * (1 + math.cos(math.pi * (epoch + i / steps) / epochs))
            batch = order[i * batch_size:(i + 1) * batch_size]
            z, caches = net.forward(as_input(shifted(images[batch], rng)), train=True, rng=rng)
            _, dz = softmax_cross_entropy(z, labels[batch])
            net.backward(dz, caches, need_dx=False)
            optimizer.step(net.dtheta)
            average.step(net.theta)
    return averaged


class Judge(NamedTuple):
    """A trained classifier, and where it comes from."""

    net: Sequential
    accuracy: float  # on the 10,000 test images, as measured when it was saved
    sha256: str  # of its weights
    command: str  # that made it

    def look(self, images):
        """(features (N, 128), probabilities (N, 10)) of images (N, 784) in [0, 1], float32."""
        features, probabilities = [], []
        for start in range(0, len(images), 2000):
            x = images[start:start + 2000]
            for layer in self.net.layers[:-1]:
                x, _ = layer.forward(x)
            features.append(x)
            probabilities.append(softmax(self.net.layers[-1].forward(x)[0]))
        return np.concatenate(features), np.concatenate(probabilities)


def save_classifier(net, accuracy, path):
    """Weights in float16: half the bytes, and no figure that is made with them moves by 1 %."""
    np.savez(path, theta=net.theta.astype("float16"), accuracy=accuracy, command=COMMAND)


def load_classifier(path=PATH):
    """The Judge in a file; raises DataError if there is none."""
    net = make_classifier(np.random.default_rng(0))
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            theta, accuracy, command = file["theta"], float(file["accuracy"]), str(file["command"])
        net.theta[...] = theta
    except Exception as error:
        raise DataError(f"{path} is missing or damaged ({str(error).splitlines()[0]}): restore it, git checkout data") from None
    return Judge(net, accuracy, hashlib.sha256(theta.tobytes()).hexdigest(), command)


def measure_accuracy(net, images, labels):
    """The share of images whose largest probability is that of their label."""
    _, p = Judge(net, 0, "", "").look(as_input(images))
    return float((p.argmax(axis=1) == labels).mean())


if __name__ == "__main__":
    path = Path(sys.argv[1]) if len(sys.argv) == 2 else sys.exit(f"to make the classifier anew: {COMMAND}")
    net = train_classifier(load_images(), load_labels())
    net.theta[...] = net.theta.astype("float16")  # measured as it is saved
    accuracy = measure_accuracy(net, load_images(name=TEST_IMAGES), load_labels(name=TEST_LABELS))
    save_classifier(net, accuracy, path)
    print(f"{path}: {accuracy:.2%} of the 10,000 test images are read right")
