"""Convolutions on a device: im2col and col2im in one kernel each.

The idea
    nn/im2col.py copies and adds whole slices, one for each row or pixel of the convolution kernel,
    and a few images at a time, which suits a processor's cache. A device would launch a kernel for
    each slice, about 80 in a step of dcgan. Here one kernel writes all rows, and one adds them all
    up. There is one thread for each number of the result.

im2col
    Thread number i writes number i of rows (N height width, k l C + 1). With / rounding down and %
    for the remainder, its row is i / (k l C + 1), and its column is the remainder. They say which
    pixel the number is a copy of, the pixel in row a and column j of window (v, u) of image n:

        c = column % C       j = column / C % l         a = column / C / l
        u = row % width      v = row / width % height   n = row / width / height

        rows[row, column] = x[n, s v + a - p, t u + j - q, c]        0 outside of the image

    The padding is therefore not stored. As in fused_layers.py, the last column holds ones, so that
    the bias is the last row of the matrix: rows @ [W; b] is the whole forward, and rowsᵀ @ dy is
    [dW; db].

col2im
    A pixel collects its copies instead of each copy being added to its pixel, because two threads
    must not add to the same number. Row Y = y + p of the padded image is row a of window v if
    Y = s v + a. Hence a is Y % s, or that plus a multiple of s, and below k; then v = (Y - a) / s,
    which must be one of the positions 0 to height - 1. The same holds across:

        dx[n, y, x, c] = sum over these a and j of  drows[(n, v, u), (a, j, c)]

    For each pixel the copies are added in the same order as in nn/im2col.py. In a transposed
    convolution the bias b[c] is added to the sum.

Shapes
    As in nn/im2col.py and nn/conv.py. The layers here compute the same as those in nn/conv.py, and
    have the same caches.

>>> import numpy as np
>>> from minigan.nn.im2col import im2col
>>> x = np.arange(12.0).reshape(1, 3, 4, 1)
>>> geometry = (2, 2), (1, 2), (0, 0), (2, 2)
>>> im2col(x, geometry)[0].tolist()      # what the kernel writes, but for the column of ones
[0.0, 1.0, 4.0, 5.0]
"""

import math

from minigan.accel.device_kernels import DeviceKernel, has_kernels, int32, matmul, ones
from minigan.backend import Array, get_array_module
from minigan.nn.conv import Conv2d, ConvTranspose2d, check_image
from minigan.nn.im2col import Geometry
from minigan.nn.layer import check_ddx, check_dy

GEOMETRY = """int H, int W, int C, int k, int l, int s, int t, int p, int q, int height,
    int width, int columns"""

IM2COL = DeviceKernel(
    "im2col",
    f"""
extern "C" __global__ void im2col(const real* x, real* rows, int size, {GEOMETRY}) {{
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < size; i += gridDim.x * blockDim.x) {{
        int column = i % columns, row = i / columns;
        real value = 1;  // the column of ones
        if (column < k * l * C) {{
            int c = column % C, j = column / C % l, a = column / C / l;
            int u = row % width, v = row / width % height, n = row / width / height;
            int down = s * v + a - p, across = t * u + j - q;
            bool inside = down >= 0 && down < H && across >= 0 && across < W;
            value = inside ? x[((n * H + down) * W + across) * C + c] : 0;
        }}
        rows[i] = value;
    }}
}}
""",
)

COL2IM = DeviceKernel(
    "col2im",
    f"""
extern "C" __global__ void col2im(
    const real* rows, real* x, const real* bias, int size, {GEOMETRY}, int with_bias) {{
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < size; i += gridDim.x * blockDim.x) {{
        int c = i % C, X = i / C % W + q, Y = i / C / W % H + p, n = i / C / W / H;
        real sum = 0;
        for (int a = Y % s; a < k && a <= Y; a += s) {{
            int v = (Y - a) / s;
            for (int j = X % t; v < height && j < l && j <= X; j += t) {{
                int u = (X - j) / t;
                if (u < width)
                    sum += rows[((n * height + v) * width + u) * columns + (a * l + j) * C + c];
            }}
        }}
        x[i] = with_bias ? sum + bias[c] : sum;
    }}
}}
""",
)


def device_im2col(x: Array, geometry: Geometry, *, with_ones: bool) -> Array:
    """im2col(x), followed by a column of ones if wanted: (N height width, k l C [+ 1])."""
    xp, (N, H, W, C) = get_array_module(x), x.shape
    ((k, l), (s, t), (p, q), (height, width)) = geometry
    shape = N * height * width, k * l * C + with_ones
    rows = xp.empty(shape, x.dtype)
    numbers = int32(H, W, C, k, l, s, t, p, q, height, width, shape[1])
    IM2COL.for_each(math.prod(shape), (xp.ascontiguousarray(x), rows), numbers)
    return rows


def device_col2im(
    rows: Array, shape: tuple[int, ...], geometry: Geometry, bias: Array | None = None
) -> Array:
    """col2im(rows) of the given shape, plus a bias (C,) for each channel if there is one."""
    xp, (_, H, W, C) = get_array_module(rows), shape
    ((k, l), (s, t), (p, q), (height, width)) = geometry
    x = xp.empty(shape, rows.dtype)
    numbers = int32(H, W, C, k, l, s, t, p, q, height, width, rows.shape[1], bias is not None)
    COL2IM.for_each(x.size, (rows, x, rows if bias is None else bias), numbers)
    return x


class DeviceConv2d(Conv2d):
    """Conv2d on a device. W_b and dW_b are [W; b] and [dW; db], (k l C + 1, F): views that
    device_layers.py sets. A network that has been moved back to NumPy computes as in nn/conv.py.
    """

    splittable = True
    W_b: Array
    dW_b: Array

    def forward(self, x, *, train=False, rng=None):
        check_image(self, x, self.in_channels)
        geometry = self.geometry(x.shape)
        if min(geometry[3]) < 1 or not has_kernels(x):  # super() says what is wrong
            return super().forward(x)
        y = matmul(device_im2col(x, geometry, with_ones=True), self.W_b)
        return y.reshape(len(x), *geometry[3], self.out_channels), x

    def backward(self, dy, cache, *, need_dx=True, need_dparams=True):
        x, geometry = cache, self.geometry(cache.shape)
        check_dy(self, dy, (len(x), *geometry[3], self.out_channels))
        if not has_kernels(x):
            return super().backward(dy, cache, need_dx=need_dx, need_dparams=need_dparams)
        dy = dy.reshape(-1, self.out_channels)
        if need_dparams:
            rows = device_im2col(x, geometry, with_ones=True)
            matmul(rows.T, dy, out=self.dW_b)
        if not need_dx:
            return None
        return device_col2im(matmul(dy, self.W_b[:-1].T), x.shape, geometry)

    def double_backward(self, ddx, dy, cache):
        x = cache
        check_ddx(self, ddx, x.shape)
        if not has_kernels(x):
            return super().double_backward(ddx, dy, cache)
        rows = device_im2col(ddx, self.geometry(x.shape), with_ones=False)
        dy_rows = dy.reshape(-1, self.out_channels)
        matmul(rows.T, dy_rows, out=self.dW_b[:-1])
        self.db[...] = 0
        return matmul(rows, self.W_b[:-1]).reshape(dy.shape), None


class DeviceConvTranspose2d(ConvTranspose2d):
    """ConvTranspose2d on a device."""

    splittable = True

    def forward(self, x, *, train=False, rng=None):
        check_image(self, x, self.in_channels)
        if not has_kernels(x):
            return super().forward(x)
        shape = self.output_shape(x.shape)
        x_rows, W = (a.reshape(-1, self.in_channels) for a in (x, self.W))
        rows = matmul(x_rows, W.T)
        return device_col2im(rows, shape, self.geometry(x.shape), self.b), (x, shape)

    def backward(self, dy, cache, *, need_dx=True, need_dparams=True):
        x, shape = cache
        check_dy(self, dy, shape)
        if not has_kernels(x):
            return super().backward(dy, cache, need_dx=need_dx, need_dparams=need_dparams)
        W, dW, x_rows = (a.reshape(-1, self.in_channels) for a in (self.W, self.dW, x))
        rows = device_im2col(dy, self.geometry(x.shape), with_ones=False)
        if need_dparams:
            matmul(rows.T, x_rows, out=dW)
            sum_rows_into(self.db, dy.reshape(-1, self.out_channels))
        return matmul(rows, W).reshape(x.shape) if need_dx else None


def sum_rows_into(total: Array, rows: Array) -> None:
    """total (K,) = the sum of rows (R, K), in one kernel.

    For few columns CuPy's sum(axis=0) would use a single block, and so a single multiprocessor.
    The product with a row of ones is cuBLAS's. A single column is summed as a whole, because CuPy
    computes the product of two vectors as an elementwise product and a sum.
    """
    xp = get_array_module(rows)
    if len(total) == 1:
        rows.sum(out=total.reshape(()))
    else:
        row = ones(xp, len(rows), rows.dtype)[None]
        matmul(row, rows, out=total[None])
