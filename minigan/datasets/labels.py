"""Labels: one class per image, from integers, words, floats or one-hot rows.

The idea
    A label may be an integer or a word. Libraries also store whole numbers as floats, such as 3.0,
    and one-hot rows, in which the position of the largest number is the class. Both are understood.
    What is ambiguous is refused, with the line of NumPy that converts it.

Shapes
    Labels (N,), (N, 1), or one-hot (N, K); the result is (N,), integers or words.

>>> convert_labels(np.array([3.0, 7.0]), 2, what="y", notes=[]).tolist()
[3, 7]
>>> convert_labels(np.array([[0, 0, 1], [1, 0, 0]]), 2, what="y", notes=[]).tolist()
[2, 0]
"""

import numpy as np

from minigan.datasets.pixels import DataError


def convert_labels(labels: np.ndarray, count: int, *, what: str, notes: list[str]) -> np.ndarray:
    """Labels (count,), integers or words; appends sentences for the user to `notes`.

    Raises DataError, in which `what` names the data, if there are not `count` labels, or if it is
    uncertain which class one of them means.
    """
    if labels.dtype.kind not in "iubfUS":
        raise DataError(
            f"{what} holds labels of type {labels.dtype}: they must be integers or words"
        )
    if labels.ndim > 1 and labels.size == count:  # (N, 1), (1, N) or (N, 1, 1, 1)
        labels = labels.reshape(count)
    if labels.ndim == 2 and len(labels) == count and is_one_hot(labels):
        notes.append(
            f"the labels are one-hot: the position of the 1, from 0 to {labels.shape[1] - 1}, is"
            " used as the class"
        )
        labels = labels.argmax(axis=1)
    if labels.shape != (count,):
        raise DataError(
            f"{what} holds {count:,} images, but labels of shape {labels.shape}: each image needs"
            " one label, such as y.argmax(axis=1) of one number per class, unless all labels are"
            " omitted"
        )
    if labels.dtype.kind == "S":
        return np.char.decode(labels, "utf-8", "replace")
    if labels.dtype.kind == "f":
        if not (np.isfinite(labels).all() and (labels == np.rint(labels)).all()):
            example = labels[~(labels == np.rint(labels)) | ~np.isfinite(labels)][0]
            raise DataError(
                f"{what} holds a label {example:g}, but labels must be integers or words: if they"
                " are rounded classes, save y.round().astype(int)"
            )
        return labels.astype(np.int64)
    return labels


def is_one_hot(labels: np.ndarray) -> bool:
    """Whether each row of (N, K) holds one large number, the same everywhere, and K - 1 small ones.

    They may be 1 and 0, or 1 and -1, or True and False.
    """
    if labels.dtype.kind not in "iubf" or labels.shape[1] < 2:
        return False
    high, low = labels.max(), labels.min()
    is_high = labels == high
    return high > low and bool(
        (is_high.sum(axis=1) == 1).all() and (is_high | (labels == low)).all()
    )
