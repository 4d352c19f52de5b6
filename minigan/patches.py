"""Patches: all that a small window sees on its way over an image, and the way back.

The idea
    A window of k x l pixels is moved over an image, s rows down or t columns across at a time. At each
    place where it stops, all that it sees is written as a row of numbers. With a window of 2 x 2 pixels,
    one row down and two columns across, an image of 3 x 4 pixels gives four rows:

         place (0, 0)        place (0, 1)        place (1, 0)        place (1, 1)
        ┌───────┐                   ┌───────┐
        │ 0   1 │ 2   3       0   1 │ 2   3 │     0   1   2   3       0   1   2   3
        │       │                   │       │   ┌───────┐                   ┌───────┐
        │ 4   5 │ 6   7       4   5 │ 6   7 │   │ 4   5 │ 6   7       4   5 │ 6   7 │
        └───────┘                   └───────┘   │       │                   │       │
          8   9  10  11       8   9  10  11     │ 8   9 │10  11       8   9 │10  11 │
                                                └───────┘                   └───────┘
         0 1 4 5             2 3 6 7             4 5 8 9             6 7 10 11

    Such rows are what a matrix product can work on: each of them is like an example of dense.py.
    (Chellapilla, Puri & Simard 2006)

Forward
    patches:      row (v, u), that is of the v-th place down and the u-th across, counted from 0,
                  holds  x_(sv+i)(tu+j)c  for each i < k, j < l and channel c

    `padding` surrounds the image with rows and columns of 0 first, for the window to reach over
    the edge.

Backward
    Each number in the rows is a copy of a pixel. Where windows overlap, a pixel was copied several
    times, as 4 and 5 above. It reaches L through each copy, with slope 1. So its gradient is the sum of
    theirs:

    add_patches:  dx_(sv+i)(tu+j)c  is the sum of all  drows_(v, u)(i, j, c)  that fall upon it

    and what fell upon the padding is cut off.

Shapes
    x (N, H, W, C); rows (N height width, k l C), for height x width places.

>>> import numpy as np
>>> x = np.arange(12.0).reshape(1, 3, 4, 1)
>>> rows = patches(x, (2, 2), (1, 2), (0, 0), 2, 2)
>>> rows.tolist()
[[0.0, 1.0, 4.0, 5.0], [2.0, 3.0, 6.0, 7.0], [4.0, 5.0, 8.0, 9.0], [6.0, 7.0, 10.0, 11.0]]
>>> add_patches(np.ones_like(rows), x.shape, (2, 2), (1, 2), (0, 0), 2, 2)[0, :, :, 0].tolist()    # 4 and 5: twice
[[1.0, 1.0, 1.0, 1.0], [2.0, 2.0, 2.0, 2.0], [1.0, 1.0, 1.0, 1.0]]
"""
import math

from minigan.backend import array_module

CACHE = 410_000  # numbers that we take to have room in it, with all else that is needed beside them


def windows(x, size, stride, padding, height, width):
    """x (N, H, W, C) -> (N, height, width, k, l, C), to read only: at each of height x width places, what the window sees.

    `size` is (k, l), `stride` (s, t), and `padding` how many rows and columns of 0 there are on each side. An
    array's own `strides` say how far apart in memory its neighbours lie, along each axis. With them each number of
    each window has a place of its own here, although nothing is copied.
    """
    xp, (n, _, _, channels), (k, l), (s, t), x = array_module(x), x.shape, size, stride, padded(x, padding)
    step_n, step_y, step_x, step_c = x.strides
    return xp.lib.stride_tricks.as_strided(
        x, (n, height, width, k, l, channels), (step_n, s * step_y, t * step_x, step_y, step_x, step_c))


def patches(x, size, stride, padding, height, width):
    """x (N, H, W, C) -> (N height width, k l C): a row for each place. Here the numbers are copied."""
    return windows(x, size, stride, padding, height, width).reshape(len(x) * height * width, -1)


def patches_and_products(x, how, W=None, dy=None, dW=None):
    """The two products that convolutions make of rows = patches(x, *how), where `how` is all that patches wants besides x.

    Returns rows·W, (N height width, F), if there is a W (k l C, F), else None. If there is a dW (k l C, F), writes
    rowsᵀ·dy into it, for dy (N height width, F). But for rounding, the same numbers as of all rows, sooner.

    A few images at a time, whose rows are still in the processor's cache for the products, and then make room for those
    of the next: all rows together take many times the memory of x. So it is sooner to make them again for a backward than
    to keep them.
    """
    xp, seen, places = array_module(x), windows(x, *how), math.prod(how[-2:])
    y = None if W is None else xp.empty((len(x) * places, W.shape[1]), dtype=x.dtype)
    few = few_of(xp, len(x), math.prod(seen.shape[1:]))
    room = xp.empty((min(few, len(x)) * places, math.prod(seen.shape[3:])), dtype=x.dtype)
    if dW is not None:
        dW[...] = 0
    for first in range(0, len(x), few):
        images, part = seen[first:first + few], slice(first * places, (first + few) * places)
        rows = room[:len(images) * places]
        rows.reshape(images.shape)[...] = images
        if W is not None:
            xp.matmul(rows, W, out=y[part])
        if dW is not None:
            dW += rows.T @ dy[part]
    return y


def add_patches(rows, shape, size, stride, padding, height, width):
    """rows (n height width, k l C) -> (n, H, W, C) of a given shape: what was copied from a pixel is added to it."""
    xp, (n, H, W, channels), (k, l), (s, t), (p, q) = array_module(rows), shape, size, stride, padding
    rows = rows.reshape(n, height, width, k, l, channels)
    x = xp.zeros((n, H + 2 * p, W + 2 * q, channels), dtype=rows.dtype)
    for i in range(k):
        for j in range(l):
            x[:, i:i + s * height:s, j:j + t * width:t] += rows[:, :, :, i, j]
    return x[:, p:p + H, q:q + W]


def add_products(y, W, shape, stride, padding, height, width):
    """add_patches(y·Wᵀ): y (n height width, F), W (k, l, C, F) -> (n, H, W, C). The same numbers, sooner.

    Of the product we make one part for every t pixels in a row of the kernel, if t is the stride. In such a part,
    places side by side hold pixels side by side, so that whole rows of the image are added in one go. And we do so for
    a few images at a time, whose product is then still in the processor's cache.
    """
    xp, (n, H, width_x, C), (k, l, _, F), (s, t), (p, q) = array_module(y), shape, W.shape, stride, padding
    if C == 1 or l % t:  # single numbers are too little for a product, and a kernel's row must be made of such parts
        return add_patches(y @ W.reshape(-1, F).T, shape, (k, l), stride, padding, height, width)
    parts, run = W.reshape(k, l // t, t * C, F).swapaxes(2, 3), width * t * C
    x = xp.empty((n, H + 2 * p, (width_x + 2 * q) * C), dtype=y.dtype)
    few = few_of(xp, n, height * width * k * l * C)
    for first in range(0, n, few):
        images, part = x[first:first + few], y[first * height * width:(first + few) * height * width]
        images[...] = 0
        for i in range(k):
            rows = xp.matmul(part, parts[i])  # (l / t, places, t C)
            for j in range(l // t):
                images[:, i:i + s * height:s, j * t * C:j * t * C + run] += rows[j].reshape(-1, height, run)
    return x.reshape(n, H + 2 * p, width_x + 2 * q, C)[:, p:p + H, q:q + width_x]


def few_of(xp, n, size):
    """How many of n images at a time, if the rows of one are so many numbers: those of all shall fit into the processor's
    cache. On a device all images: there each operation costs a launch."""
    return max(1, CACHE // size) if xp.__name__ == "numpy" else max(1, n)


def padded(x, padding):
    """x (N, H, W, C) with as many rows and columns of 0 on each side as `padding`, a pair, says."""
    (p, q), (n, height, width, channels) = padding, x.shape
    if p == q == 0:
        return array_module(x).ascontiguousarray(x)
    larger = array_module(x).zeros((n, height + 2 * p, width + 2 * q, channels), dtype=x.dtype)
    larger[:, p:p + height, q:q + width] = x
    return larger
