"""Runs: the folder that a training leaves behind.

The idea
    Whatever a run was, its folder says; whatever it learned, its folder holds. Most is written after
    each epoch, that is, when all images have been shown once:

        settings.json      everything needed to repeat it, versions included
        history.csv        a row an epoch: losses, scores, how good 2,000 samples are, seconds
        samples/           epoch-0000.png, untrained, then one an epoch, from the same noise
        progress.gif       these, one after the other; and losses.png, scores.png, fd.png
        model.npz          the weights: NumPy alone can load them, and nothing in it is executed

    model.npz holds flat vectors (see network.py): `generator`, `discriminator`, `average`, which is the
    generator to draw with, and the `state` of each. And `settings`, from which the networks are built anew.

>>> import tempfile
>>> folder = new_folder(Path(tempfile.mkdtemp()) / "mine")
>>> (folder / "note").write_text("a run was here") and new_folder(folder)  # doctest: +ELLIPSIS
Traceback (most recent call last):
    ...
minigan.runs.RunError: ...mine is not empty: choose another --out, nothing was overwritten
"""
import hashlib
import json
import os
import platform
import zipfile
from datetime import datetime
from pathlib import Path

import numpy as np

import minigan
from minigan.build import CONVOLUTIONAL, make_networks
from minigan.data import DAMAGE, fits, in_words
from minigan.recipes import asdict, from_dict

MOST_CLASSES = 1000  # of a conditional run
FORMAT = 2  # of settings.json and model.npz
VECTORS = [network + part for network in ("generator", "discriminator", "average") for part in ("", "_state")]


class RunError(ValueError):
    """A run folder or a model cannot be used; the message says which and why."""


def new_folder(path):
    """Make the folder of a new run, with its samples/. Raises RunError unless it is new or empty."""
    path = Path(path)
    try:
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise RunError(f"{path} is {'not empty' if path.is_dir() else 'a file'}: choose another --out, nothing was overwritten")
        (path / "samples").mkdir(parents=True)
    except OSError as error:
        raise RunError(f"cannot write to {path} ({error.strerror}): choose another --out") from None
    return path


def default_path(recipe_name):
    """runs/<time>-<recipe>, below the folder one is in."""
    return Path("runs") / f"{datetime.now():%Y%m%d-%H%M%S}-{recipe_name}"


def make_settings(recipe, seed, images, data, backend, digits=False, classes="", size=0, labels=None, names=()):
    """The dict that settings.json holds; `digits` says that the data is MNIST as shipped, classes, size, labels and names are as in
    sources.load. A conditional run can be asked for `names`, whose `shares` of the images it remembers."""
    seen = fingerprint(images, labels if recipe.conditional else None)
    told = {"names": list(names), "shares": (np.bincount(labels, minlength=len(names)) / len(labels)).tolist()} if recipe.conditional else {}
    return {
        "format": FORMAT, "recipe": asdict(recipe), "seed": seed, "backend": backend,
        "data": str(Path(data).resolve()), "digits": digits, "n_images": len(images), "height": images.shape[1], "width": images.shape[2],
        "channels": 3 if images.ndim == 4 else 1, "classes": classes, "size": size, "fingerprint": seen, **told,
        "versions": {"minigan": minigan.__version__, "python": platform.python_version(), "numpy": np.__version__,
                     "machine": platform.machine(), "system": platform.system()},
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def fingerprint(images, labels=None):
    """What tells these images, and the labels that a conditional run is shown, from any others: the beginning of a SHA-256."""
    found = hashlib.sha256(np.ascontiguousarray(images))
    if labels is not None:
        found.update(np.ascontiguousarray(labels, "int64"))
    return found.hexdigest()[:16]


def write_whole(path, write):
    """Write a file so that it is never there by half: into another file, then rename."""
    partial = path.with_name(path.name + ".partial")
    try:
        with open(partial, "wb") as file:
            write(file)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def save_model(folder, settings, **vectors):
    """model.npz: the flat vectors (NumPy arrays) and the settings."""
    write_whole(folder / "model.npz", lambda file: np.savez(file, settings=json.dumps(settings), **vectors))


def save_settings(folder, settings):
    """settings.json, for people to read."""
    write_whole(folder / "settings.json", lambda file: file.write(json.dumps(settings, indent=2).encode() + b"\n"))


def read_npz(path):
    """{name: array} of a .npz file of ours; raises OSError or one of DAMAGE. Nothing in it is executed (no pickle),
    and nothing unpacked: ours are not compressed, so that no small file can hold a huge array."""
    with open(path, "rb") as opened:
        with zipfile.ZipFile(opened) as parts:
            if any(part.compress_type != zipfile.ZIP_STORED for part in parts.infolist()):
                raise ValueError("it is compressed, which minigan's files are not")
        opened.seek(0)
        with np.load(opened, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}  # reading a part compares its checksum


def load_model(folder):
    """(settings, recipe, {name: vector} for each of VECTORS) of a run.

    Raises RunError if there is no model.npz, or one that no training of ours has written.
    """
    path = Path(folder) / "model.npz"
    if not path.is_file():
        raise RunError(f"{folder} holds no model.npz: name the folder of a run, such as runs/<time>-default")
    try:
        file = read_npz(path)
        settings = json.loads(str(file["settings"]))
        recipe = read_recipe(settings)
        if settings["format"] == 1:  # there was no state then
            file = {name: np.empty(0, recipe.dtype) for name in VECTORS} | file
        vectors = {name: file[name] for name in VECTORS}
        sizes = count_parameters(recipe, settings, vectors)
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror or error}") from None
    except DAMAGE as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error).partition("\n")[0] or type(error).__name__
        raise RunError(f"{path} is damaged, or not a model of minigan's ({reason})") from None
    for name, size in sizes.items():
        vector = vectors[name]
        if vector.shape != (size,) or vector.dtype != recipe.dtype:
            raise RunError(f"{path} is damaged: its settings ask for {recipe.dtype} of shape ({size},)"
                           f" for the {name}, but it holds {vector.dtype} of shape {vector.shape}")
        if not np.isfinite(vector).all():
            raise RunError(f"{path} holds NaN: its training has diverged; train anew with a smaller --learning-rate")
    return settings, recipe, vectors


def read_recipe(settings):
    """The Recipe in settings, every value of the type that it should have; else ValueError."""
    if settings["format"] not in range(1, FORMAT + 1):
        raise ValueError(f"its format is {settings['format']}, and this minigan reads up to {FORMAT}")
    told = {"channels": 1, "classes": "", "size": 0, **settings}  # earlier runs had none of these
    for name, kind in dict(height=int, width=int, channels=int, data=str, digits=bool, classes=str, size=int).items():
        if type(told[name]) is not kind:
            raise ValueError(f"{name} is {told[name]!r}")
    recipe, shape = from_dict(settings["recipe"]), image_shape(settings)
    names, shares = class_names(settings), settings.get("shares")
    if recipe.conditional and not (type(names) is type(shares) is list and 0 < len(names) == len(shares) <= MOST_CLASSES and all(
            type(name) is str for name in names) and all(type(s) is float and 0 <= s <= 1 for s in shares) and abs(sum(shares) - 1) < 1e-6):
        raise ValueError("its classes have no names, or no shares")
    if not fits(shape[0], shape[1], told["channels"]):
        raise ValueError(f"its images are of {in_words(shape)}, {told['channels']} channels")
    if recipe.networks in CONVOLUTIONAL and (shape[0] % 4 or shape[1] % 4):
        raise ValueError(f"its images are of {in_words(shape)}, and its networks want multiples of 4")
    return recipe


def class_names(settings):
    """The names of the classes that a conditional run can be asked for; none for others."""
    return settings.get("names", []) if settings.get("recipe", {}).get("conditional") else []


def image_shape(settings):
    """(height, width), or (height, width, 3) in colour, of the images in settings."""
    return (settings["height"], settings["width"], 3)[:3 if settings.get("channels") == 3 else 2]


def count_parameters(recipe, settings, vectors=None):
    """How many numbers each vector of a model must have. Raises ValueError, before networks of an absurd
    size are built, if between two neighbouring widths alone there were more weights than in the vectors."""
    for name, widths in ("generator", (recipe.latent_dim, *recipe.widths_G)), ("discriminator", recipe.widths_D):
        if vectors and max(a * b for a, b in zip((1, *widths), widths)) > vectors[name].size:
            raise ValueError(f"its settings ask for more weights than the {vectors[name].size} of its {name}")
    G, D = make_networks(recipe, image_shape(settings), np.random.default_rng(0), len(class_names(settings)))
    return dict(zip(VECTORS, [vector.size for net in (G, D, G) for vector in (net.theta, net.state)]))
