"""Drawing: new images from a trained generator: at random, of a class that is asked for, or on a walk.

The idea
    To draw is to run G forward, once, on new noise. Whoever keeps the noise keeps the image: the same z
    gives the same image again, and a z nearby gives one that looks like it. So one can walk from one
    image to another, and all on the way are drawings, too.

    A generator that was told labels while it learned (see gan.py) is told one for each image now. What
    it is not told, such as slant and stroke, must come from the noise: with the same z, a 3 and a 7 look as
    if the same hand had written them.

Walking
    The squares of Z normal numbers have the mean 1 each, so the length of z is close to sqrt(Z); hardly any
    z lies near 0. The straight line between two of them passes closer to 0 than G has ever been, so we
    walk on the arc between them. With w the angle between them, seen from 0, and t from 0 to 1:

        slerp = (sin((1 - t) w) z0 + sin(t w) z1) / sin(w)           Shoemake 1985; for GANs, White 2016

>>> slerp(np.array([1.0, 0.0]), np.array([0.0, 1.0]), 0.5).round(3).tolist()
[0.707, 0.707]
>>> round_trip(np.eye(2), 2).round(2).tolist()
[[1.0, 0.0], [0.71, 0.71], [0.0, 1.0], [0.71, 0.71]]
"""
import math

import numpy as np

from minigan.build import each_class, make_networks, make_noise, one_hot
from minigan.data import some, unscale
from minigan.gan import join
from minigan.runs import RunError, class_names, image_shape, load_model

MOST_COLUMNS = 100  # classes that walk side by side
MOST_SAMPLES = 1 << 30  # pixels that may be drawn at once: 4 GB


def load_networks(folder):
    """(settings, recipe, G, D) of a run, on the host; G with the average of its weights."""
    settings, recipe, vectors = load_model(folder)
    G, D = make_networks(recipe, image_shape(settings), np.random.default_rng(0), len(class_names(settings)))
    G.theta[...], D.theta[...] = vectors["average"], vectors["discriminator"]
    G.state[...], D.state[...] = vectors["average_state"], vectors["discriminator_state"]
    return settings, recipe, G, D


def draw(G, z, low=-1.0):
    """Images (N, pixels) in [0, 1] that the generator makes of z (N, Z), in parts, since the layers in between need
    more room than the images; low is the recipe's."""
    return np.concatenate([unscale(G.forward(z[i:i + 1000])[0], low) for i in range(0, len(z), 1000)])


def draw_many(G, recipe, count, seed):
    """`count` images (count, pixels), float32 in [0, 1], of a G that takes no labels, from noise with this seed."""
    return draw(G, make_noise(recipe, np.random.default_rng(seed), count), recipe.low).astype("float32")


def noise(settings, recipe, count, seed):
    """(z, labels) for `count` images: noise (count, Z) with this seed, and the number of each image's class, as often as
    among the images of training; None where G takes none. `with_labels` joins the two."""
    n_pixels, names = math.prod(image_shape(settings)), class_names(settings)
    if count * n_pixels > MOST_SAMPLES:
        raise RunError(f"{count} images are more than 4 GB: draw at most {MOST_SAMPLES // n_pixels} at a time")
    rng = np.random.default_rng(seed)
    z = make_noise(recipe, rng, count)
    return z, rng.choice(len(names), count, p=settings["shares"]) if names else None


def with_labels(z, labels, settings):
    """What G takes: z (N, Z), and beside it the labels (N,), one-hot; z where they are None."""
    return z if labels is None else join(z, one_hot(labels, len(class_names(settings)), z.dtype))


def find_class(folder, settings, name):
    """The number of a class of the run, by its name. Raises RunError if there is none."""
    names = class_names(settings)
    if not names:
        raise RunError(f"{folder} was trained without --conditional: it draws what it likes, and cannot be asked for {name!r}")
    if name not in names:
        raise RunError(f"{folder} has no class {name!r}: it has {some(names, 30)}")
    return names.index(name)


def sample(folder, count, seed, digit=None):
    """`count` images (count, height, width) or (count, height, width, 3), float32 in [0, 1], drawn by the generator of a run.

    All of the class `digit`, if that is given; otherwise, if G takes labels, as many of each class as of any other, or one
    more, one class after the other, all from the same noise. Raises RunError.
    """
    settings, recipe, G, _ = load_networks(folder)
    z, labels = noise(settings, recipe, count, seed)
    if digit is not None:
        z = with_labels(z, np.full(count, find_class(folder, settings, digit)), settings)
    elif labels is not None:
        z = each_class(z, count, len(class_names(settings)))
    return draw(G, z, recipe.low).astype("float32").reshape(count, *image_shape(settings))


def walk(folder, seeds, frames, digit=None):
    """Images (len(seeds) * frames, columns, height, width[, 3]) on the way from the first image of each seed to that of the next,
    and back to the first; a column for each class, or only one. Raises RunError."""
    settings, recipe, G, _ = load_networks(folder)
    if len(seeds) < 2:
        raise RunError("a walk needs two seeds or more, such as --seeds 1,2,3")
    z = round_trip(np.concatenate([noise(settings, recipe, 1, seed)[0] for seed in seeds]), frames)
    names = class_names(settings)
    if len(names) > MOST_COLUMNS and digit is None:
        raise RunError(f"{folder} has {len(names)} classes, too many to walk side by side: choose one with --digit")
    classes = [find_class(folder, settings, digit)] if digit is not None else list(range(len(names))) or [None]
    columns = [draw(G, with_labels(z, None if i is None else np.full(len(z), i), settings), recipe.low) for i in classes]
    return np.stack(columns, axis=1).reshape(len(z), len(classes), *image_shape(settings))


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
