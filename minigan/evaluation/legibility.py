"""Legibility: the share of the digits that a second classifier can read.

The idea
    The recipe `default` was chosen by its Fréchet distance in the features of classifier.py. If one
    classifier compares many recipes, the best of them is partly the one whose faults it overlooks.
    A second classifier, by which nothing was chosen, has other weaknesses. It consists of
    convolutions instead of Dense layers, and it starts from another seed. Its weights, 210,618 in
    float16 that classify 99.42 % of MNIST's 10,000 test images correctly, are in
    conv_classifier.npz beside this file, which was made by

        python -m minigan.evaluation.legibility conv_classifier.npz

    It is trained like the first one, in about five minutes, with one addition. A classifier that
    has only seen digits returns arbitrary probabilities for all other images: on uniform noise, the
    largest probability of the first one is 0.91 on average. The second one is therefore also
    trained on noise, for which all probabilities should be equal (Hendrycks et al. 2019, "Deep
    Anomaly Detection with Outlier Exposure").

    An image is read if the probability of some class is 0.9 or more, and the metric `read` is the
    share of the images that are read. The metric `confidence` is the mean of the first classifier's
    largest probability. In a mean, good digits compensate for illegible ones, and an image with 0.8
    counts almost as much as one with 0.9. A share says how many images are good enough. It does not
    say whether all classes occur, or whether the images vary.

>>> net = make_conv_classifier(np.random.default_rng(0))
>>> net.theta.size, net.forward(np.zeros((5, 28, 28), "float32"))[0].shape
(210618, (5, 10))
"""

import sys
from pathlib import Path

import numpy as np

from minigan.evaluation.classifier import Classifier, load_classifier, make_classifier_file
from minigan.nn.activations import ReLU
from minigan.nn.conv import Conv2d
from minigan.nn.dense import Dense
from minigan.nn.dropout import Dropout
from minigan.nn.reshape import Reshape
from minigan.nn.sequential import Sequential

CONV_CLASSIFIER_PATH = Path(__file__).with_name("conv_classifier.npz")
CONV_CLASSIFIER_COMMAND = "python -m minigan.evaluation.legibility conv_classifier.npz"
READ_CONFIDENCE = 0.9  # an image is read if its largest probability is at least this


def make_conv_classifier(rng: np.random.Generator) -> Sequential:
    """Images (N, 28, 28) or (N, 784) -> logits (N, 10), with 16 and 32 channels and 128 units."""
    return Sequential(
        [
            Reshape(28, 28, 1),
            Conv2d(1, 16, 4, stride=2, padding=1, init="he", rng=rng),
            ReLU(),
            Conv2d(16, 32, 4, stride=2, padding=1, init="he", rng=rng),
            ReLU(),
            Reshape(7 * 7 * 32),
            Dense(7 * 7 * 32, 128, init="he", rng=rng),
            ReLU(),
            Dropout(0.3),
            Dense(128, 10, rng=rng),
        ]
    )


def load_conv_classifier() -> Classifier:
    """The second classifier in the package. Raises DataError if it is missing or damaged."""
    return load_classifier(CONV_CLASSIFIER_PATH, make=make_conv_classifier)


def share_read(classifier: Classifier, images: np.ndarray) -> float:
    """The share of images (N, 28, 28) or (N, 784), in [0, 1], that the classifier reads."""
    _, p = classifier.predict(images)
    return float((p.max(axis=1) >= READ_CONFIDENCE).mean())


if __name__ == "__main__":
    make_classifier_file(
        sys.argv[1:],
        command=CONV_CLASSIFIER_COMMAND,
        make=make_conv_classifier,
        epochs=22,
        n_noise=16,
        seed=1,
    )
