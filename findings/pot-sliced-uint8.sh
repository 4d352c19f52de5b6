#!/usr/bin/env bash
# POT's sliced Wasserstein distance of images in whole numbers is 0, whatever the images.
#
# Versions: POT 0.9.7.post1, numpy 2.4.6, scipy 1.17.1, Linux on x86-64, CPython 3.11.
# Most would expect: images as they come from a data set, uint8 or int64, are projected on random
#   directions, which makes them floats anyway; so their distance is that of the same images as
#   floats. Failing that, an error, as ot.dist raises for uint8.
# What happens: sliced_wasserstein_distance and max_sliced_wasserstein_distance give the uniform
#   weights 1 / n the dtype of the first set. In whole numbers that is 0, so the distance of black
#   images from white ones is 0.0: a float, without a warning. If only one set is uint8, the order
#   of the arguments decides: 0 with it in front, right with it behind. wasserstein_1d does the
#   same, while emd2_1d, for the same task, is right.
# Why it matters: this distance is a standard measure of generated images (progressive growing of
#   GANs brought it in), real images are stored as uint8, and 0 is what a perfect generator gets.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    POT==0.9.7.post1 numpy==2.4.6 scipy==1.17.1
cat > "$folder/see.py" <<'END2'
import warnings

import numpy as np
import ot

warnings.simplefilter("error")
rng = np.random.default_rng(0)
levels = np.arange(256)
bright = np.minimum(rng.choice(levels, (200, 784)) + 64, 255)  # 200 images of 28x28 pixels
dark = rng.choice(levels // 3, (200, 784))
black, white = np.zeros((200, 784)), np.full((200, 784), 255.0)
directions = rng.standard_normal((784, 50))
directions /= np.linalg.norm(directions, axis=0)


def by_hand(x, y):
    """Root of the mean squared difference of the sorted projections, for sets of equal size."""
    sorted_x, sorted_y = np.sort(x @ directions, axis=0), np.sort(y @ directions, axis=0)
    return np.sqrt(np.mean((sorted_x - sorted_y) ** 2))


def as_types(x, y, first, second):
    return x.astype(first), y.astype(second)


for name, x, y in ("bright and dark noise", bright, dark), ("black and white", black, white):
    right = by_hand(x, y)
    print(f"{name}: by hand {right:.3f}")
    assert right > 10
    for first, second in (
        ("float64", "float64"),
        ("uint8", "uint8"),
        ("int64", "int64"),
        ("uint8", "float32"),
        ("float32", "uint8"),
    ):
        sets = as_types(x, y, first, second)
        sliced = float(ot.sliced_wasserstein_distance(*sets, projections=directions))
        largest = float(ot.max_sliced_wasserstein_distance(*sets, projections=directions))
        print(f"  {first}, {second}: sliced {sliced:.3f}, max-sliced {largest:.3f}")
        if first.startswith("float"):
            assert abs(sliced / right - 1) < 1e-4 and largest > sliced
        else:
            assert sliced == largest == 0

for dtype in "float64", "int64":
    x, y = as_types(bright[:, 400], dark[:, 400], dtype, dtype)
    one, other = float(ot.wasserstein_1d(x, y)), float(ot.emd2_1d(x, y, metric="cityblock"))
    right = np.mean(np.abs(np.sort(bright[:, 400]) - np.sort(dark[:, 400])))
    print(f"grey levels of a pixel, {dtype}: wasserstein_1d {one:.3f}, emd2_1d {other:.3f},"
          f" by hand {right:.3f}")
    assert abs(other - right) < 1e-9
    assert one == 0 if dtype == "int64" else abs(one - right) < 1e-9
END2
"$folder/venv/bin/python" "$folder/see.py"
echo "as described"
