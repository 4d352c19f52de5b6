"""Evaluation: all the figures of metrics.py for one run, and the pictures that belong to them.

The idea
    A figure means something beside what real images get, its floor, and what noise gets, its
    ceiling. So the same is measured three times: on images that the run draws, on training
    images, and on uniform noise, always against the test images, which no run has been shown.

    Beside the numbers stand pictures, in the run folder:

        classes.png         how often each digit is drawn
        real-and-fake.png   real images above, drawn ones below
        neighbours.png      drawn images, and below each the training image that is nearest to it, in
                            pixels and in the classifier's features: had the generator learned
                            images by heart, they would be the same (Goodfellow et al. 2014, figure 2)
        walk.png, walk.gif  from one drawn image to another, through all that lies between
        gradient.png        what the discriminator tells the generator: see `wishes`

    To walk from z_0 to z_1 in a straight line would lead through the middle, where a normal
    distribution of many dimensions hardly ever is. We walk on the arc instead, with w the angle
    between the two (Shoemake 1985, page 247):

        slerp(z_0, z_1, t) = sin((1 - t) w) / sin(w) z_0 + sin(t w) / sin(w) z_1

>>> slerp(np.array([1.0, 0.0]), np.array([0.0, 1.0]), 0.5).round(3).tolist()
[0.707, 0.707]
"""
import json
import math
from pathlib import Path

import numpy as np

from minigan import plots
from minigan.build import make_noise
from minigan.classifier import load_classifier
from minigan.data import SHIPPED, DataError, in_words
from minigan.losses import bce_on_logits
from minigan.metrics import Yardstick, nearest
from minigan.runs import draw, draw_many, image_shape, load_networks, write_whole
from minigan.sources import load

FIGURES = {  # name in metrics.json: what is printed
    "fd": "Fréchet distance, 0 is best", "score": "classifier score, 1 to 10",
    "confidence": "classifier's confidence", "class_kl": "class KL, 0 is best", "precision": "precision, in pixels",
    "coverage": "coverage, in pixels", "recall": "recall, in features",
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

    drawn = draw_many(G, recipe, count, seed, train_pixels.shape[1])
    rng = np.random.default_rng(seed)
    noise = rng.random(drawn.shape, dtype="float32")
    judge = yardstick.judge
    result = {
        "run": yardstick.full(drawn), "floor": yardstick.full(train_pixels[:count]), "ceiling": yardstick.full(noise),
        "count": count, "seed": seed, "against": f"{len(yardstick.images)} {against}{classes and f' of the classes {classes}'}",
        "features": {"classifier_accuracy": judge.accuracy, "classifier_sha256": judge.sha256,
                     "classifier_command": judge.command} if judge else "images shrunk to 8 x 8, for want of a classifier",
    }
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
    z = make_noise(recipe, rng, 14)
    plots.save_grid(shaped(draw(G, square(z[:4], 10), recipe.low)), folder / "walk.png")
    plots.save_walk(shaped(draw(G, round_trip(z[:4], 20), recipe.low)), folder / "walk.gif")
    plots.save_gradient(shaped(draw(G, z, recipe.low)), shaped(wishes(G, D, z)), folder / "gradient.png")
    write_whole(folder / "metrics.json", lambda file: file.write(json.dumps(result, indent=2).encode() + b"\n"))
    return result


def wishes(G, D, z):
    """What D would like changed in each image G(z), (N, pixels): less the gradient of
    -log D(G(z)) with respect to the pixels, which is all that the generator ever learns from."""
    logits, cache = D.forward(G.forward(z)[0])
    _, dlogits = bce_on_logits(logits, 1.0)
    return -D.backward(dlogits, cache, need_dparams=False)


def slerp(z0, z1, t):
    """The point at 0 <= t <= 1 on the arc from z0 to z1, both (Z,)."""
    w = math.acos(max(-1.0, min(1.0, float(z0 @ z1) / math.sqrt(float(z0 @ z0) * float(z1 @ z1)))))
    if math.sin(w) < 1e-6:
        return (1 - t) * z0 + t * z1  # the same direction, or the opposite one: no arc between them
    return (math.sin((1 - t) * w) * z0 + math.sin(t * w) * z1) / math.sin(w)


def square(corners, n):
    """n x n points between four corners (4, Z), row by row: (n * n, Z)."""
    steps = [i / (n - 1) for i in range(n)]
    return np.stack([slerp(slerp(corners[0], corners[1], across), slerp(corners[2], corners[3], across), down)
                     for down in steps for across in steps]).astype(corners.dtype)


def round_trip(corners, n):
    """n points on the way from each corner to the next, and from the last back to the first."""
    following = np.roll(corners, -1, axis=0)
    return np.stack([slerp(z0, z1, i / n) for z0, z1 in zip(corners, following) for i in range(n)]).astype(corners.dtype)


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
