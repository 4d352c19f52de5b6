"""The data of a run: find it again, also after it has moved, and check that it is the same.

The idea
    A run folder records where its data is, how it is read, and a fingerprint of the images. The
    commands that need the data afterwards load it with `load_run_data`. Data that has moved is
    named with `--data`. If the fingerprint agrees, settings.json keeps the new place, so that it
    needs to be named only once. Images that came from Python are in the run folder itself, in
    images.npz, and the folder may be moved.

>>> read_options({"classes": "3,8", "range": [0, 16]})
{'classes': '3,8', 'size': 0, 'value_range': (0, 16), 'transpose': False}
"""

import json
from pathlib import Path
from typing import Any

from minigan.datasets.idx import SHIPPED
from minigan.datasets.load import Dataset, load_dataset, with_class_order
from minigan.datasets.pixels import DataError, format_shape
from minigan.datasets.stacked import STACKED_MNIST
from minigan.training.run_folder import class_names, fingerprint, image_shape, save_settings


def read_options(settings: dict[str, Any]) -> dict[str, Any]:
    """How `load_dataset` must read the data of a run, from its settings."""
    value_range = settings.get("range")
    return {
        "classes": settings.get("classes", ""),
        "size": settings.get("size", 0),
        "value_range": tuple(value_range) if value_range else None,
        "transpose": settings.get("transpose", False),
    }


def recorded_path(folder: Path, settings: dict[str, Any]) -> Path:
    """Where the data of a run was last found.

    settings.json knows it better than `settings`, which may come from model.npz or a checkpoint.
    """
    if settings["digits"] and SHIPPED.is_dir():
        return SHIPPED
    try:
        path = json.loads((Path(folder) / "settings.json").read_text())["data"]
        return in_folder(folder, path)
    except (OSError, ValueError, KeyError, TypeError):
        return in_folder(folder, settings["data"])


def in_folder(folder: Path, path: str) -> Path:
    """The path of a run's data, which may be in the run folder, as format_path writes it."""
    inside = Path(folder) / path  # which is `path` itself if that is absolute
    return inside if inside.exists() else Path(path)


def format_path(folder: Path, data: Path) -> str:
    """The path of the data of a run as settings.json has it: absolute, or relative to the run
    folder if the data is in it; "stacked-mnist" is not a path.
    """
    if data == STACKED_MNIST:
        return str(data)
    data, folder = data.resolve(), Path(folder).resolve()
    return str(data.relative_to(folder) if data.is_relative_to(folder) else data)


def load_run_data(folder: Path, settings: dict[str, Any], data: Path | None = None) -> Dataset:
    """The Dataset that a run was trained on, from `data` or from where it was last found.

    Raises DataError if it is missing or not the same. A new place is remembered.
    """
    path = data or recorded_path(folder, settings)
    if not data and not path.exists() and path not in (SHIPPED, STACKED_MNIST):
        raise DataError(
            f"{path}, on which {folder} was trained, does not exist: if it has moved, name its new"
            " place with --data PATH"
        )
    dataset = load_dataset(path, **read_options(settings))
    dataset = with_class_order(dataset, class_names(settings))
    check_same_data(dataset, settings, path, folder)
    if data:
        remember_path(folder, data)
    return dataset


def check_same_data(dataset: Dataset, settings: dict[str, Any], path: Path, folder: Path) -> None:
    """Raise DataError unless a Dataset has the images and labels that a run was started with."""
    restore = "restore them, or name the place where they are with --data PATH"
    images, names = dataset.images, class_names(settings)
    labels = dataset.labels if names else None
    expected = settings["n_images"], *image_shape(settings)
    if images.shape != expected:
        raise DataError(
            f"{path} holds other images than those that {folder} was started with:"
            f" {len(images):,} of {format_shape(images.shape[1:])} instead of {expected[0]:,} of"
            f" {format_shape(expected[1:])}; {restore}"
        )
    if names and dataset.names != names:
        raise DataError(
            f"{path} has other class names than when {folder} was started ({', '.join(names)}):"
            f" {restore}"
        )
    if settings.get("fingerprint") not in (None, fingerprint(images, labels)):
        raise DataError(
            f"{path} holds other images or labels than those that {folder} was started with:"
            f" {restore}"
        )


def remember_path(folder: Path, path: Path) -> None:
    """Record in settings.json where the data of a run is now."""
    try:
        settings = json.loads((Path(folder) / "settings.json").read_text())
        if settings["data"] != (data := format_path(folder, path)):
            save_settings(Path(folder), {**settings, "data": data})
    except (OSError, ValueError, KeyError, TypeError):
        print(f"note: {folder} cannot be written, so the place of its data is not remembered")
