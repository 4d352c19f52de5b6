"""Conv2d and ConvTranspose2d: the same small set of weights at every position of an image.

The idea
    A stroke looks the same at every position, so one small set of weights, the kernel, is applied
    at every position (LeCun et al. 1989). At each position, the pixels under the kernel are written
    as a row (im2col.py). Each row is then an example for one Dense layer.

Forward, Conv2d
    A kernel of k x k pixels on C channels, with F output channels, reads k k C numbers at once:

        y = im2col(x) @ W + b        y_nvuf = sum over i, j, c of  x_n(sv+i)(su+j)c  W_ijcf  + b_f

    That is the three-line `plain_forward` below. `im2col_matmul` computes the same for a few images
    at a time. The stride s is the distance between neighbouring positions of the kernel, and
    `padding` adds rows and columns of zeros on all four sides. Of the H + 2 padding rows, the first
    position takes k and each further position takes s more, which gives
    (H + 2 padding - k) // s + 1 positions. (The kernel is not flipped. What deep learning calls a
    convolution is a correlation in mathematics.)

Backward, Conv2d
    The backward of the product is Dense's: db sums the rows of dy, dW = rowsᵀ @ dy, and
    drows = dy @ Wᵀ. The rows are copies of pixels, and the gradients of all copies of a pixel add
    up. Hence dx = col2im(dy @ Wᵀ), which `matmul_col2im` computes in one go. The rows are not
    stored; backward computes them again from x.

ConvTranspose2d: backward as a forward
    Take an image of three pixels in a row and a kernel of two pixels, without a bias:
    y_0 = w_0 x_0 + w_1 x_1 and y_1 = w_0 x_1 + w_1 x_2. That is y = A @ x with a matrix A that
    contains zeros; for larger images it consists almost entirely of zeros. By Dense's rule, written
    for column vectors, dx = Aᵀ @ dy:

                                           │ w_0   0  │
        A = │ w_0  w_1   0  │         Aᵀ = │ w_1  w_0 │
            │  0   w_0  w_1 │              │  0   w_1 │

    The transpose is defined by <A @ x, y> = <x, Aᵀ @ y> for all x and y, where <,> is the sum of
    products. Both sides are the sum of all y_j A_ji x_i, added row by row on the left and column by
    column on the right. (A test checks that the two layers satisfy this equation.)

    A maps three pixels to two, and Aᵀ maps two pixels to three. A generator needs the latter,
    because it turns small images into larger ones. This layer therefore has Aᵀ as its forward and,
    because (Aᵀ)ᵀ = A, it has A as its backward (the last example below shows both matrices):

        y = col2im(x @ Wᵀ) + b;   dx = im2col(dy) @ W;   dW = im2col(dy)ᵀ @ x;   db = sum of dy

    In the forward pass each number of the rows x @ Wᵀ was added to one pixel, so its gradient is
    the dy of that pixel. Together these gradients are im2col(dy). From there, dx and dW follow
    Dense's rules, with Wᵀ in place of W. H rows of pixels become
    (H - 1) s - 2 padding + k + output_padding rows. Because // rounds down, a Conv2d maps several
    sizes to H, and output_padding selects one of them. (Dumoulin & Visin 2016, relationships 6, 14)

Shapes
    Channels come last, x (N, H, W, C), so a pixel is a row of C numbers, and the matrix product
    gives y (N, H', W', F) directly. Conv2d: kernel W (k, k, C, F), b (F,). ConvTranspose2d, from C
    to F channels: W (k, k, F, C), b (F,). The cache is x, and for ConvTranspose2d also the shape of
    y. kernel_size, stride, padding and output_padding are one number, or a pair for rows and
    columns. They mean what they mean in PyTorch, whose images are (N, C, H, W) and whose kernels
    are (F, C, k, k), or (C, F, k, k) when transposed.

>>> import numpy as np
>>> edge = Conv2d(1, 1, 2, dtype="float64", rng=np.random.default_rng(0))
>>> edge.W[...] = np.array([[-1, 1], [-1, 1]]).reshape(2, 2, 1, 1)      # right minus left
>>> x = np.array([[0.0, 0, 5, 5], [0, 0, 5, 5], [0, 0, 5, 5]]).reshape(1, 3, 4, 1)
>>> y, cache = edge.forward(x)
>>> y[0, :, :, 0].tolist()
[[0.0, 10.0, 0.0], [0.0, 10.0, 0.0]]
>>> np.array_equal(edge.plain_forward(x), y)
True
>>> edge.backward(np.ones_like(y), cache)[0, :, :, 0].tolist()     # how often 1, minus how often -1
[[-1.0, 0.0, 0.0, 1.0], [-2.0, 0.0, 0.0, 2.0], [-1.0, 0.0, 0.0, 1.0]]
>>> options = dict(dtype="float64", rng=np.random.default_rng(0))
>>> down, up = Conv2d(1, 1, (1, 2), **options), ConvTranspose2d(1, 1, (1, 2), **options)
>>> down.W[...] = up.W[...] = np.reshape([2, 3], (1, 2, 1, 1))          # w_0 and w_1
>>> A = down.forward(np.eye(3).reshape(3, 1, 3, 1))[0].reshape(3, 2).T
>>> A.tolist(), up.forward(np.eye(2).reshape(2, 1, 2, 1))[0].reshape(2, 3).tolist() == A.tolist()
([[2.0, 3.0, 0.0], [0.0, 2.0, 3.0]], True)
"""

import math
from typing import Any

from minigan.backend import Array, get_array_module
from minigan.nn.im2col import (
    Geometry,
    Pair,
    col2im,
    im2col,
    im2col_matmul,
    matmul_col2im,
)
from minigan.nn.initializers import initial_weights
from minigan.nn.layer import Exported, Layer, check_ddx, check_dy, check_float


class Conv2d(Layer):
    """A convolution from in_channels to out_channels."""

    param_names = ("W", "b")
    splittable = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        *,
        stride: int | Pair = 1,
        padding: int | Pair = 0,
        init: str = "glorot",
        dtype: str = "float32",
        rng: Any,
    ):
        self.kernel_size, self.stride, self.padding = pair(kernel_size), pair(stride), pair(padding)
        (k, l) = self.kernel_size
        (self.in_channels, self.out_channels) = (in_channels, out_channels)
        # the mean number of windows that contain a pixel, times out_channels
        fan_out = math.ceil(k * l * out_channels / math.prod(self.stride))
        self.W, self.b = initial_weights(
            init,
            k * l * in_channels,
            fan_out,
            shape=(k, l, in_channels, out_channels),
            dtype=dtype,
            rng=rng,
        )
        self.dW, self.db = 0 * self.W, 0 * self.b

    def plain_forward(self, x: Array) -> Array:  # (N, H, W, C) -> (N, H', W', F)
        """y as the formula says: rows, product, bias. `forward` is a faster form of it."""
        geometry = self.geometry(x.shape)
        y = im2col(x, geometry) @ self.W.reshape(-1, self.out_channels) + self.b
        return y.reshape(len(x), *geometry[3], self.out_channels)

    def plain_backward(
        self, dy: Array, x: Array
    ) -> tuple[Array, Array, Array]:  # (N, H', W', F) -> (N, H, W, C)
        """(dx, dW, db) as the formula says: Dense's backward, then col2im. `backward` is a faster
        form of it.
        """
        geometry, dy_rows = self.geometry(x.shape), dy.reshape(-1, self.out_channels)
        dW = (im2col(x, geometry).T @ dy_rows).reshape(self.W.shape)
        return (
            col2im(dy_rows @ self.W.reshape(-1, self.out_channels).T, x.shape, geometry),
            dW,
            dy_rows.sum(axis=0),
        )

    def forward(self, x, *, train=False, rng=None):  # (N, H, W, C) -> (N, H', W', F)
        check_image(self, x, self.in_channels)
        geometry = self.geometry(x.shape)
        if min(geometry[3]) < 1:
            raise ValueError(f"{self!r} is larger than its padded image, x of shape {x.shape}")
        y = im2col_matmul(x, geometry, self.W.reshape(-1, self.out_channels))
        y += self.b
        return y.reshape(len(x), *geometry[3], self.out_channels), x

    def backward(self, dy, cache, *, need_dx=True, need_dparams=True):
        x, geometry = cache, self.geometry(cache.shape)
        check_dy(self, dy, (len(x), *geometry[3], self.out_channels))
        dy = dy.reshape(-1, self.out_channels)
        if need_dparams:
            im2col_matmul(x, geometry, dy=dy, dW=self.dW.reshape(-1, self.out_channels))
            self.db[...] = sum_rows(dy)
        return matmul_col2im(dy, self.W, x.shape, geometry) if need_dx else None

    def double_backward(self, ddx, dy, cache):
        # Dense's double_backward on the rows im2col(ddx), because im2col is the backward of col2im
        x = cache
        check_ddx(self, ddx, x.shape)
        ddy = im2col_matmul(
            ddx,
            self.geometry(x.shape),
            self.W.reshape(-1, self.out_channels),
            dy=dy.reshape(-1, self.out_channels),
            dW=self.dW.reshape(-1, self.out_channels),
        )
        self.db[...] = 0
        return ddy.reshape(dy.shape), None

    def geometry(self, shape: tuple[int, ...]) -> Geometry:
        """Kernel size, stride, padding, and the numbers of positions down and across, for images of
        this shape, (N, H, W, C).
        """
        down, across = (
            (n + 2 * p - k) // s + 1
            for n, k, s, p in zip(shape[1:3], self.kernel_size, self.stride, self.padding)
        )
        return self.kernel_size, self.stride, self.padding, (down, across)

    def exported(self, x_shape, y_shape):
        k, s, p = self.kernel_size, self.stride, self.padding
        return [
            Exported(
                f"nn.Conv2d({self.in_channels}, {self.out_channels}, {k}, {s}, {p})",
                "Conv",
                {"kernel_shape": k, "strides": s, "pads": p + p},
                [self.W.transpose(3, 2, 0, 1), self.b],
            )
        ]

    def __repr__(self):
        return (
            f"Conv2d({self.in_channels}, {self.out_channels}, {self.kernel_size[0]} x"
            f" {self.kernel_size[1]})"
        )


class ConvTranspose2d(Layer):
    """The transpose of a Conv2d from out_channels to in_channels."""

    param_names = ("W", "b")
    splittable = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        *,
        stride: int | Pair = 1,
        padding: int | Pair = 0,
        output_padding: int | Pair = 0,
        init: str = "glorot",
        dtype: str = "float32",
        rng: Any,
    ):
        self.kernel_size, self.stride, self.padding = pair(kernel_size), pair(stride), pair(padding)
        self.output_padding, (k, l) = pair(output_padding), self.kernel_size
        self.in_channels, self.out_channels = in_channels, out_channels
        if any(more and more >= s for more, s in zip(self.output_padding, self.stride)):
            raise ValueError(
                f"output_padding {self.output_padding} must be less than the stride, {self.stride}"
            )
        # the mean number of windows that contain a pixel, times in_channels
        fan_in = math.ceil(k * l * in_channels / math.prod(self.stride))
        W, self.b = initial_weights(
            init,
            fan_in,
            k * l * out_channels,
            shape=(k, l, in_channels, out_channels),
            dtype=dtype,
            rng=rng,
        )
        self.W = W.swapaxes(2, 3).copy()
        self.dW, self.db = 0 * self.W, 0 * self.b

    def forward(self, x, *, train=False, rng=None):  # (N, H, W, C) -> (N, H', W', F)
        check_image(self, x, self.in_channels)
        shape = self.output_shape(x.shape)
        y = matmul_col2im(x.reshape(-1, self.in_channels), self.W, shape, self.geometry(x.shape))
        return y + self.b, (x, shape)

    def backward(self, dy, cache, *, need_dx=True, need_dparams=True):
        x, shape = cache
        check_dy(self, dy, shape)
        W, dW, x_rows = (a.reshape(-1, self.in_channels) for a in (self.W, self.dW, x))
        dx = im2col_matmul(
            dy,
            self.geometry(x.shape),
            W if need_dx else None,
            dy=x_rows,
            dW=dW if need_dparams else None,
        )
        if need_dparams:
            self.db[...] = sum_rows(dy.reshape(-1, self.out_channels))
        return dx.reshape(x.shape) if need_dx else None

    def double_backward(self, ddx, dy, cache):
        # dx = im2col(dy) @ W, so the gradient with respect to im2col(dy) is ddx @ Wᵀ
        x, shape = cache
        check_ddx(self, ddx, x.shape)
        ddx = ddx.reshape(-1, self.in_channels)
        im2col_matmul(dy, self.geometry(x.shape), dy=ddx, dW=self.dW.reshape(-1, self.in_channels))
        self.db[...] = 0
        return matmul_col2im(ddx, self.W, shape, self.geometry(x.shape)), None

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of y (N, H', W', F) for x of this shape, (N, H, W, C)."""
        height, width = (
            (m - 1) * s - 2 * p + k + more
            for m, k, s, p, more in zip(
                shape[1:3], self.kernel_size, self.stride, self.padding, self.output_padding
            )
        )
        if min(height, width) < 1:
            raise ValueError(f"the padding of {self!r} removes the whole image, x of shape {shape}")
        return shape[0], height, width, self.out_channels

    def geometry(self, shape: tuple[int, ...]) -> Geometry:
        """Kernel size, stride, padding, and the numbers of positions down and across, of the Conv2d
        whose output has this shape, (N, H, W, C).
        """
        return self.kernel_size, self.stride, self.padding, (shape[1], shape[2])

    def exported(self, x_shape, y_shape):
        k, s, p, more = self.kernel_size, self.stride, self.padding, self.output_padding
        return [
            Exported(
                f"nn.ConvTranspose2d({self.in_channels}, {self.out_channels}, {k}, {s}, {p},"
                f" {more})",
                "ConvTranspose",
                {"kernel_shape": k, "strides": s, "pads": p + p, "output_padding": more},
                [self.W.transpose(3, 2, 0, 1), self.b],
            )
        ]

    def __repr__(self):
        return (
            f"ConvTranspose2d({self.in_channels}, {self.out_channels}, {self.kernel_size[0]}"
            f" x {self.kernel_size[1]})"
        )


def sum_rows(rows: Array) -> Array:
    """rows (R, K) -> (K,), the sum over rows.

    It is computed as a product with a row of ones, which for small K is faster than .sum(axis=0).
    """
    return get_array_module(rows).ones(len(rows), dtype=rows.dtype) @ rows


def pair(value: int | Pair) -> Pair:
    """(value, value) for a single number; a pair stays unchanged."""
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def check_image(layer: Any, x: Array, channels: int) -> None:
    """Raise TypeError or ValueError unless x is (N, H, W, channels), of the weights' dtype."""
    check_float(layer, x)
    if x.ndim != 4 or x.shape[3] != channels:
        raise ValueError(f"{layer!r} expects x of shape (N, H, W, {channels}), not {x.shape}")
    if x.dtype != layer.W.dtype:
        raise TypeError(
            f"{layer!r} has {layer.W.dtype} weights but received {x.dtype} x of shape {x.shape}"
        )
