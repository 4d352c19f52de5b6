"""im2col: write every window of an image as a row of a matrix, and col2im, its backward.

The idea
    A window of k x l pixels moves over an image in steps of s rows down or t columns across. At
    each position, the numbers under the window are written as a row. A window of 2 x 2 pixels, in
    steps of one row down and two columns across, turns an image of 3 x 4 pixels into four rows:

       position (0, 0)     position (0, 1)     position (1, 0)     position (1, 1)
        ┌───────┐                   ┌───────┐
        │ 0   1 │ 2   3       0   1 │ 2   3 │     0   1   2   3       0   1   2   3
        │       │                   │       │   ┌───────┐                   ┌───────┐
        │ 4   5 │ 6   7       4   5 │ 6   7 │   │ 4   5 │ 6   7       4   5 │ 6   7 │
        └───────┘                   └───────┘   │       │                   │       │
          8   9  10  11       8   9  10  11     │ 8   9 │10  11       8   9 │10  11 │
                                                └───────┘                   └───────┘
         0 1 4 5             2 3 6 7             4 5 8 9             6 7 10 11

    A matrix product can process these rows, because each row is like one example for a Dense layer.
    (Chellapilla, Puri & Simard 2006)

Forward
    im2col:   row (v, u), for the v-th position down and the u-th across, counted from 0,
              holds  x_(sv+i)(tu+j)c  for each i < k, j < l and channel c

    `padding` first surrounds the image with rows and columns of zeros, so that the window can
    extend beyond the edge.

Backward
    Each number in the rows is a copy of a pixel. Where windows overlap, a pixel is copied several
    times, like 4 and 5 above, and it influences L through every copy. Its gradient is therefore the
    sum of the gradients of its copies:

    col2im:   dx_(sv+i)(tu+j)c  is the sum of all  drows_(v, u)(i, j, c)  copied from that pixel

    The gradients of the padding are discarded.

Shapes
    x (N, H, W, C); rows (N height width, k l C), for height x width positions. The geometry of a
    window is the tuple ((k, l), (s, t), padding, (height, width)).

>>> import numpy as np
>>> x = np.arange(12.0).reshape(1, 3, 4, 1)
>>> geometry = (2, 2), (1, 2), (0, 0), (2, 2)
>>> rows = im2col(x, geometry)
>>> rows.tolist()
[[0.0, 1.0, 4.0, 5.0], [2.0, 3.0, 6.0, 7.0], [4.0, 5.0, 8.0, 9.0], [6.0, 7.0, 10.0, 11.0]]
>>> col2im(np.ones_like(rows), x.shape, geometry)[0, :, :, 0].tolist()    # 4 and 5: twice
[[1.0, 1.0, 1.0, 1.0], [2.0, 2.0, 2.0, 2.0], [1.0, 1.0, 1.0, 1.0]]
"""

import math
from typing import Any

from minigan.backend import Array, get_array_module

Pair = tuple[int, int]
Geometry = tuple[Pair, Pair, Pair, Pair]  # kernel size, stride, padding, positions

# how many numbers of the rows fit into the processor's cache, beside everything else
CACHE_SIZE = 410_000


def im2col(x: Array, geometry: Geometry) -> Array:
    """x (N, H, W, C) -> rows (N height width, k l C): one row for each position of the window."""
    height, width = geometry[3]
    return windows(x, geometry).reshape(len(x) * height * width, -1)


def col2im(rows: Array, shape: tuple[int, ...], geometry: Geometry) -> Array:
    """rows (N height width, k l C) -> (N, H, W, C), the given shape.

    Adds each number of the rows to the pixel that it was copied from. The columns of the image are
    divided into blocks of t, the horizontal stride. Column j of a window is then column j % t of a
    block, and its neighbours up to the end of the block are added with it, because in images with
    several channels this is faster than adding each column by itself.
    """
    xp = get_array_module(rows)
    (n, H, W, channels) = shape
    ((k, l), (s, t), (p, q), (height, width)) = geometry
    rows = rows.reshape(n, height, width, k, l, channels)
    blocks, at_once = max(-(-(W + 2 * q) // t), width + (l - 1) // t), t if channels > 1 else 1
    x = xp.zeros((n, H + 2 * p, blocks, t, channels), dtype=rows.dtype)
    for i in range(k):
        for j in range(0, l, at_once):
            block, first, last = j // t, j % t, min(j + at_once, l)
            down, across = slice(i, i + s * height, s), slice(block, block + width)
            x[:, down, across, first : first + last - j] += rows[:, :, :, i, j:last]
    return x.reshape(n, H + 2 * p, blocks * t, channels)[:, p : p + H, q : q + W]


def windows(x: Array, geometry: Geometry) -> Array:
    """x (N, H, W, C) -> (N, height, width, k, l, C), read only: the numbers under the window at
    each position.

    The strides of an array say how far apart neighbouring elements are in memory, along each axis.
    With suitable strides, every number of every window has its own index in the result, although
    nothing is copied.
    """
    (k, l), (s, t), padding, (height, width) = geometry
    xp, (n, _, _, channels), x = get_array_module(x), x.shape, pad(x, padding)
    step_n, step_y, step_x, step_c = x.strides
    return xp.lib.stride_tricks.as_strided(
        x,
        (n, height, width, k, l, channels),
        (step_n, s * step_y, t * step_x, step_y, step_x, step_c),
    )


def im2col_matmul(
    x: Array,
    geometry: Geometry,
    W: Array | None = None,
    *,
    dy: Array | None = None,
    dW: Array | None = None,
) -> Any:
    """The two products with rows = im2col(x, geometry) that convolutions need, computed for a few
    images at a time.

    With W (k l C, F), returns rows @ W, of shape (N height width, F); otherwise None. With
    dW (k l C, F), writes rowsᵀ @ dy into it, for dy (N height width, F). Up to rounding, the
    results equal the products with all rows at once. This is faster because the rows of a few
    images are still in the processor's cache when they are multiplied, and the rows of the next
    images reuse their memory. All rows together take many times the memory of x, so it is also
    faster to compute them again in the backward pass than to store them.
    """
    xp, views, positions = get_array_module(x), windows(x, geometry), math.prod(geometry[3])
    y: Any = None if W is None else xp.empty((len(x) * positions, W.shape[1]), dtype=x.dtype)
    chunk = chunk_size(xp, len(x), math.prod(views.shape[1:]))
    workspace = xp.empty(
        (min(chunk, len(x)) * positions, math.prod(views.shape[3:])), dtype=x.dtype
    )
    if dW is not None:
        dW[...] = 0
    for first in range(0, len(x), chunk):
        images = views[first : first + chunk]
        part = slice(first * positions, (first + chunk) * positions)
        rows = workspace[: len(images) * positions]
        rows.reshape(images.shape)[...] = images
        if W is not None:
            xp.matmul(rows, W, out=y[part])
        if dW is not None and dy is not None:
            dW += rows.T @ dy[part]
    return y


def matmul_col2im(y: Array, W: Array, shape: tuple[int, ...], geometry: Geometry) -> Array:
    """col2im(y @ Wᵀ) in a faster form: y (N height width, F), W (k, l, C, F) -> (N, H, W, C).

    Each row of the kernel is divided into parts of t pixels, where t is the horizontal stride, and
    the product is computed separately for each part. Within a part, neighbouring positions
    correspond to neighbouring pixels, so whole rows of the image are added at once. Only a few
    images are processed at a time, so that their product is still in the cache when it is added.
    """
    (k, l), (s, t), (p, q), (height, width) = geometry
    xp, (n, H, width_x, C), F = get_array_module(y), shape, W.shape[3]
    if C == 1 or l % t:  # the products would be too narrow, or the parts would not fill the kernel
        return col2im(y @ W.reshape(-1, F).T, shape, geometry)
    parts, run = W.reshape(k, l // t, t * C, F).swapaxes(2, 3), width * t * C
    x = xp.empty((n, H + 2 * p, (width_x + 2 * q) * C), dtype=y.dtype)
    chunk = chunk_size(xp, n, height * width * k * l * C)
    for first in range(0, n, chunk):
        images = x[first : first + chunk]
        part = y[first * height * width : (first + chunk) * height * width]
        images[...] = 0
        for i in range(k):
            rows = xp.matmul(part, parts[i])  # (l / t, positions, t C)
            for j in range(l // t):
                images[:, i : i + s * height : s, j * t * C : j * t * C + run] += rows[j].reshape(
                    -1, height, run
                )
    return x.reshape(n, H + 2 * p, width_x + 2 * q, C)[:, p : p + H, q : q + width_x]


def chunk_size(xp: Any, n: int, size: int) -> int:
    """How many of n images to process at a time, if the rows of one image hold `size` numbers.

    The rows of a chunk should fit into the processor's cache. On a device a chunk is all n images,
    because each operation has a launch cost.
    """
    return max(1, CACHE_SIZE // size) if xp.__name__ == "numpy" else max(1, n)


def pad(x: Array, padding: Pair) -> Array:
    """x (N, H, W, C) with `padding` rows and columns of zeros on each side."""
    (p, q), (n, height, width, channels) = padding, x.shape
    if p == q == 0:
        return get_array_module(x).ascontiguousarray(x)
    larger = get_array_module(x).zeros((n, height + 2 * p, width + 2 * q, channels), dtype=x.dtype)
    larger[:, p : p + height, q : q + width] = x
    return larger
