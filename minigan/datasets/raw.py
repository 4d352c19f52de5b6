"""Raw data: what a reader finds in a file or folder, before it is checked and converted.

The idea
    Data sets name their arrays in many ways: `x_train`, `train_images`, `train/data`, `X`. The
    words in such a name say which part of the data set it belongs to, and whether it holds images
    or labels. `name_parts` understands them, and `choose_arrays` finds the images and labels among
    all arrays of a file.

    Training uses the training part. Its results are compared with the test part or, if there is
    none, with the validation part. A validation part beside a test part is left out.

>>> name_parts("x_train"), name_parts("val_labels"), name_parts("other")
(('train', 'images'), ('val', 'labels'), None)
>>> choose_arrays("a.npz", dict(x_train=(9, 8, 8), y_train=(9,), x_test=(3, 8, 8)))
(['x_train', 'y_train', 'x_test', None], [])
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minigan.datasets.pixels import DataError, shorten_list

PARTS = {  # words that name a part of a data set
    **dict.fromkeys(("train", "training", "tr"), "train"),
    **dict.fromkeys(("test", "testing", "t10k", "te"), "test"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
}
CONTENTS = {  # words that name what an array holds
    **dict.fromkeys(
        ("images", "image", "imgs", "img", "x", "data", "patterns", "pixels"), "images"
    ),
    **dict.fromkeys(
        ("labels", "label", "y", "target", "targets", "ans", "class", "classes"), "labels"
    ),
}
LEAST_ROW = 16  # an array (N, K) can hold images if K is a square number of at least this


class RawData(NamedTuple):
    """Images and labels of any type and shape; None for what is missing."""

    images: np.ndarray
    labels: np.ndarray | None = None
    test: np.ndarray | None = None
    test_labels: np.ndarray | None = None
    notes: Sequence[str] = ()  # what the user should know, in sentences
    images_are_bytes: bool = False  # whether black and white are 0 and 255 already


def name_parts(name: str) -> tuple[str, str] | None:
    """("train", "test" or "val", "images" or "labels") for the name of an array; None for others.

    A name that mentions no part means the training part.
    """
    words = re.findall(r"[a-z]+(?:10k)?", name.lower())
    part = next((PARTS[word] for word in words if word in PARTS), "train")
    contents = [CONTENTS[word] for word in words if word in CONTENTS]
    return (part, contents[-1]) if contents else None


def choose_arrays(
    path: Path | str, shapes: Mapping[str, tuple[int, ...]]
) -> tuple[list[str | None], list[str]]:
    """([names of the images, labels, test images, test labels], notes) among named arrays.

    Raises DataError if no array can be the training images, or several can.
    """
    roles: dict[tuple[str, str], list[str]] = {}
    for name in shapes:
        if role := name_parts(name):
            roles.setdefault(role, []).append(name)
    if not roles.get(("train", "images")):
        known = {name for names in roles.values() for name in names}
        roles["train", "images"] = [
            name for name, shape in shapes.items() if name not in known and holds_images(shape)
        ]
    if not roles["train", "images"] and len(shapes) == 1:
        roles = {("train", "images"): list(shapes)}  # whatever its name, such as `y` of labels
    if len(roles["train", "images"]) != 1:
        raise DataError(
            f"{path} holds {shorten_list(shapes, 10) or 'nothing'}: name the array of images"
            " `images`"
        )
    notes, measured = [], "test" if ("test", "images") in roles else "val"
    if measured == "test" and ("val", "images") in roles:
        notes.append(
            f"{path}: the validation images are left out; the results are compared with the test"
            " images"
        )
    wanted = [(part, kind) for part in ("train", measured) for kind in ("images", "labels")]
    for role in wanted:
        if len(roles.get(role, [])) > 1:
            raise DataError(
                f"{path} holds {shorten_list(roles[role], 10)}, which could all be the {role[1]}:"
                f" save it with only one of them, called `{role[1]}`"
            )
    return [roles[role][0] if role in roles else None for role in wanted], notes


def holds_images(shape: Iterable[int]) -> bool:
    """Whether an array of this shape may hold images, as (N, H, W[, 3]) or one in each row."""
    shape = tuple(shape)
    return len(shape) in (3, 4) or (len(shape) == 2 and square_side(shape[1]) > 0)


def square_side(n: int) -> int:
    """The side of a square of n pixels; 0 if there is none, or it is very small."""
    side = math.isqrt(n)
    return side if side * side == n >= LEAST_ROW else 0


def sibling(path: Path, old: Iterable[str], new: str) -> Path | None:
    """The file whose name has a word of `old` replaced by `new`, if there is one beside `path`."""
    for word in old:
        name = re.sub(rf"(?<![a-zA-Z]){word}(?![a-zA-Z])", new, path.name, flags=re.IGNORECASE)
        names = [name, name.replace("idx3", "idx1")]  # of images, and of their labels
        for beside in map(path.with_name, names):
            if beside != path and beside.is_file():
                return beside
    return None
