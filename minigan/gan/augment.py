"""Augmentation: random flips and shifts of all images that the discriminator sees.

The idea
    A few hundred images are soon memorised. D then recognises each real image as one that it has
    seen before and calls everything else a fake, and G learns nothing more from it. If D never sees
    the same image twice, it cannot memorise it:

        flip     half of the images are mirrored, left and right exchanged
        shift    each image is moved by up to an eighth of its sides, both ways; the pixels that
                 come in from outside are black

    To change only the real images would be a mistake: D would learn that moved digits are real, and
    G would learn to generate them. Real images and fakes are therefore changed alike, in D's step
    and in G's step, with new random numbers for each image (Zhao et al. 2020, "Differentiable
    Augmentation for Data-Efficient GAN Training"). The samples of a run are not changed.

    G now learns to generate images that look real after the change. If it generated moved images,
    these would be moved once more, and further than real images ever are, so D would notice.
    Karras et al. 2020 call such a change non-leaking. Mirroring every second image is different:
    afterwards nobody can tell a mirrored image from its original, and G may generate either. `flip`
    is therefore wrong for handwriting, and right for whatever may be mirrored, such as faces and
    most photos.

Forward
    For each image there are three integers: f is 1 if it is mirrored and otherwise 0, d is the
    number of rows by which it moves down, and r the number of columns by which it then moves to the
    right. Mirroring comes first. With H rows and W columns, y[i, j] is

        x[i - d, j - r]            if f is 0
        x[i - d, W - 1 - (j - r)]  if f is 1

    and `pixel_min`, the value of black, if i - d or j - r lies outside of the image.

Backward
    Each pixel of y is a copy of one pixel of x, or constant. Hence dx at a pixel is dy at the place
    where its copy went, or 0 if it was moved out of the image: whatever moved down and right has to
    move back up and left, and what comes in from outside is 0. Mirroring is its own inverse. It
    came first and is therefore undone last:

        dx = flip(shift(dy, -d, -r))

    In terms of linear algebra, y = A x + constant with a matrix A of zeros and ones, and
    dx = Aᵀ dy. The example below checks the definition of a transpose, <A x, y> = <x, Aᵀ y>. Only
    G's step needs this: dx is the gradient of the loss with respect to the fakes. In D's own step
    nothing below D learns.

    A gradient penalty is computed at the changed images, because these are the ones that D sees.

Shapes
    x, y, dx and dy (N, H, W), or (N, H, W, 3) in colour; transforms (N, 3), integers f, d and r

>>> x = np.arange(1, 10).reshape(1, 3, 3)
>>> augment(x, np.array([[0, 1, -1]]), pixel_min=0)[0].tolist()         # one down, one to the left
[[0, 0, 0], [2, 3, 0], [5, 6, 0]]
>>> augment(x, np.array([[1, 0, 1]]), pixel_min=0)[0].tolist()          # mirrored, one to the right
[[0, 3, 2], [0, 6, 5], [0, 9, 8]]
>>> rng = np.random.default_rng(0)
>>> x, y = rng.integers(-9, 9, (2, 5, 16, 24))
>>> t = random_transforms("flip,shift", 5, (16, 24), rng=rng)
>>> Ax, Aty = augment(x, t, pixel_min=0), augment_backward(y, t)
>>> bool((Ax * y).sum() == (x * Aty).sum())
True
"""

import numpy as np

from minigan.backend import Array, get_array_module

AUGMENTATIONS = ("flip", "shift")
SHIFT_FRACTION = 8  # an image is moved by up to its side divided by this


def random_transforms(
    names: str, n: int, shape: tuple[int, ...], *, rng: np.random.Generator
) -> np.ndarray:
    """Transforms (n, 3) for n images of this shape, (H, W) or (H, W, 3); names as in "flip,shift".

    The random numbers come from a generator on the host, whose state can be saved.
    """
    chosen = names.split(",")
    height, width = (side // SHIFT_FRACTION if "shift" in chosen else 0 for side in shape[:2])
    limits = int("flip" in chosen), height, width
    return rng.integers([0, -height, -width], limits, (n, 3), endpoint=True)


def augment(x: Array, transforms: Array | None, *, pixel_min: float) -> Array:
    """The images x, mirrored and moved; None stands for images that are not changed."""
    if transforms is None:
        return x
    return shift(flip(x, transforms[:, 0]), transforms[:, 1], transforms[:, 2], fill=pixel_min)


def augment_backward(dy: Array, transforms: Array | None) -> Array:
    """dx for `augment`."""
    if transforms is None:
        return dy
    return flip(shift(dy, -transforms[:, 1], -transforms[:, 2], fill=0), transforms[:, 0])


def flip(x: Array, mirrored: Array) -> Array:
    """The images x (N, H, W[, 3]), mirrored where `mirrored` (N,) is 1."""
    xp = get_array_module(x)
    where = mirrored.reshape(-1, *[1] * (x.ndim - 1)) == 1
    return xp.where(where, x[:, :, ::-1], x)


def shift(x: Array, down: Array, right: Array, *, fill: float) -> Array:
    """The images x (N, H, W[, 3]), moved by `down` and `right` (N,); gaps are `fill`."""
    xp = get_array_module(x)
    n, height, width = x.shape[:3]
    image = xp.arange(n).reshape(-1, 1, 1)
    row = xp.arange(height).reshape(1, -1, 1) - down.reshape(-1, 1, 1)
    column = xp.arange(width).reshape(1, 1, -1) - right.reshape(-1, 1, 1)
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    inside = inside.reshape(n, height, width, *[1] * (x.ndim - 3))
    moved = x[image, row.clip(0, height - 1), column.clip(0, width - 1)]
    return xp.where(inside, moved, x.dtype.type(fill))


def read_augmentations(text: str) -> str:
    """The names in a list such as "shift,flip", each once and in the order of AUGMENTATIONS.

    Raises ValueError for other names.

    >>> read_augmentations("shift, flip"), read_augmentations("none")
    ('flip,shift', '')
    """
    names = [name.strip() for name in text.split(",")]
    if names == ["none"]:
        return ""
    if unknown := [name for name in names if name not in AUGMENTATIONS]:
        raise ValueError(
            f"{unknown[0]!r} is no augmentation: there are {' and '.join(AUGMENTATIONS)}"
        )
    return ",".join(name for name in AUGMENTATIONS if name in names)
