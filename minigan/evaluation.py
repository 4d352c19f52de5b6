"""Evaluation: all the figures of metrics.py for one run, and the pictures that belong to them.

The idea
    A figure means something only beside what real images get, its floor, and what noise gets, its
    ceiling. So the same is measured three times, always against the test images, which no run has
    been shown: on images that the run draws, on training images, and on uniform noise.

    Beside the numbers stand pictures, in the run folder:

        classes.png         how often each digit is drawn
        real-and-fake.png   real images above, drawn ones below
        neighbours.png      drawn images, and below each the training image that is nearest to it, in
                            pixels and in the classifier's features: had the generator learned
                            images by heart, they would be the same (Goodfellow et al. 2014, figure 2)
        walk.png, walk.gif  from one drawn image to another, through all that lies between
        gradient.png        what the discriminator tells the generator: see `wishes`

    A run that can be asked for a digit has one figure more, `agreement`: how often the classifier reads
    what was asked for. Its classes are drawn as often as they are among the images of training.
"""
import json
from pathlib import Path

import numpy as np

from minigan import plots
from minigan.build import make_noise, one_hot
from minigan.classifier import load_classifier
from minigan.data import SHIPPED, DataError, in_words
from minigan.drawing import draw, load_networks, noise, round_trip, square, with_labels
from minigan.gan import join
from minigan.losses import bce_on_logits
from minigan.metrics import Yardstick, nearest
from minigan.runs import class_names, image_shape, write_whole
from minigan.sources import load

FIGURES = {  # name in metrics.json: what is printed
    "fd": "Fréchet distance, 0 is best", "score": "classifier score, 1 to 10",
    "confidence": "classifier's confidence", "class_kl": "class KL, 0 is best", "precision": "precision, in pixels",
    "coverage": "coverage, in pixels", "recall": "recall, in features", "agreement": "digit is what was asked for",
}


def make_yardstick(data, digits):
    """(Yardstick, what it measures against) for data as sources.load gives it; digits says that it is MNIST as shipped."""
    if digits:
        return Yardstick(data.test, load_classifier()), "MNIST's test images"
    if data.test is not None:
        return Yardstick(data.test[:10_000], None), "test images"
    return Yardstick(data.images[:10_000], None), "training images, for want of test images"


def evaluate(folder, count=10_000, seed=0):
    """Measure a run, write metrics.json and the pictures into its folder; returns what is written.

    Raises RunError or DataError where the run or its data cannot be used.
    """
    folder = Path(folder)
    settings, recipe, G, D = load_networks(folder)
    path = SHIPPED if settings["digits"] else Path(settings["data"])
    classes, shape = settings.get("classes", ""), image_shape(settings)
    data = load(path, classes, settings.get("size", 0))
    training = data.images
    if training.shape[1:] != shape:
        raise DataError(f"{path} holds other images than those of {in_words(shape)} that {folder} was trained on")
    yardstick, against = make_yardstick(data, settings["digits"])
    if min(len(training), len(yardstick.images)) < 10:
        raise DataError(f"{path} holds too few images to measure against: at least 10 are needed")
    train_pixels = training.reshape(len(training), -1).astype("float32") / 255

    z, labels = noise(settings, recipe, count, seed)
    drawn = draw(G, with_labels(z, labels, settings), recipe.low).astype("float32")
    rng = np.random.default_rng(seed)
    nothing = rng.random(drawn.shape, dtype="float32")
    judge = yardstick.judge
    result = {
        "run": yardstick.full(drawn), "floor": yardstick.full(train_pixels[:count]), "ceiling": yardstick.full(nothing),
        "count": count, "seed": seed, "against": f"{len(yardstick.images)} {against}{classes and f' of the classes {classes}'}",
        "features": {"classifier_accuracy": judge.accuracy, "classifier_sha256": judge.sha256,
                     "classifier_command": judge.command} if judge else "images shrunk to 8 x 8, for want of a classifier",
    }
    if judge and labels is not None:  # here the names are digits
        digits = np.array([int(name) for name in class_names(settings)])
        for part, images, asked in ("run", drawn, labels), ("floor", train_pixels[:count], data.labels[:count]), ("ceiling", nothing, labels):
            result[part]["agreement"] = float((judge.look(images)[1].argmax(axis=1) == digits[asked]).mean())

    def shaped(images):
        return images.reshape(-1, *shape)
    if judge:
        plots.save_classes(result["run"]["classes"], yardstick.shares, folder / "classes.png")
    some = rng.choice(len(train_pixels), 20, replace=len(train_pixels) < 20)
    plots.save_picture(plots.rows_of(shaped(train_pixels[some[:10]]), shaped(train_pixels[some[10:]]),
                                     shaped(drawn[:10]), shaped(drawn[10:20])), folder / "real-and-fake.png")
    train_features = yardstick.look(train_pixels)[0]
    like = nearest(drawn[:14], train_pixels), nearest(yardstick.look(drawn[:14])[0], train_features)
    plots.save_picture(plots.rows_of(shaped(drawn[:14]), *(shaped(train_pixels[i]) for i in like)), folder / "neighbours.png")
    z, labels = make_noise(recipe, rng, 14), None if labels is None else labels[:14]

    def asked(z):  # for a walk: all for the same class
        return with_labels(z, None if labels is None else np.full(len(z), labels[0]), settings)
    plots.save_grid(shaped(draw(G, asked(square(z[:4], 10)), recipe.low)), folder / "walk.png")
    plots.save_walk(shaped(draw(G, asked(round_trip(z[:4], 20)), recipe.low)), folder / "walk.gif")
    z, c = with_labels(z, labels, settings), None if labels is None else one_hot(labels, len(class_names(settings)), z.dtype)
    plots.save_gradient(shaped(draw(G, z, recipe.low)), shaped(wishes(G, D, z, c)), folder / "gradient.png")
    write_whole(folder / "metrics.json", lambda file: file.write(json.dumps(result, indent=2).encode() + b"\n"))
    return result


def wishes(G, D, z, labels=None):
    """What D would like changed in each image G(z), (N, pixels): less the gradient of
    -log D(G(z)) with respect to the pixels, which is all that the generator ever learns from.
    labels (N, C) are those that z holds, too, if any."""
    drawn, _ = G.forward(z)
    logits, cache = D.forward(join(drawn, labels))
    _, dlogits = bce_on_logits(logits, 1.0)
    return -D.backward(dlogits, cache, need_dparams=False)[:, :drawn.shape[1]]


def table(result):
    """The figures in words, run beside floor and ceiling."""
    lines = [f"{'':30}{'this run':>10}{'real images':>13}{'noise':>10}"]
    for name, words in FIGURES.items():
        if name in result["run"]:
            run, floor, ceiling = (result[part][name] for part in ("run", "floor", "ceiling"))
            lines.append(f"{words:30}{run:10.3f}{floor:13.3f}{ceiling:10.3f}")
    if "classes" in result["run"]:
        lines.append("digits drawn, in %: " + "  ".join(f"{i}: {100 * s:.1f}" for i, s in enumerate(result["run"]["classes"])))
    features = result["features"]
    lines.append(f"{result['count']} images, against {result['against']};"
                 + (f" features of a classifier that reads {features['classifier_accuracy']:.2%} of the test images right,"
                    f"\nweights {features['classifier_sha256'][:16]}..., made by {features['classifier_command']}"
                    if isinstance(features, dict) else f" features: {features}"))
    return "\n".join(lines)
