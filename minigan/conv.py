"""Conv2D and ConvTranspose2D: the same few weights at every place of an image.

The idea
    A stroke looks the same wherever it is, so one small set of weights, the kernel, is laid upon
    every place in turn (LeCun et al. 1989). Cut out the patch of pixels under the kernel at each
    place and write it as a row: then each row is an example for one Dense layer.

Forward, Conv2D
    A kernel of k x k pixels on C channels, F of them, looks at k k C numbers at once:

        y = patches·W + b          y_nvuf = sum over i, j, c of  x_n(sv+i)(su+j)c  W_ijcf  + b_f

    All places of all images are one matrix product, which `patches_and_products` makes a few images at a
    time. The stride s is how far the kernel moves to the next place; `padding` adds rows and columns of 0 on
    all four sides. The kernel fits once into k of the H + 2 padding rows, and once more for each s that are
    left: (H + 2 padding - k) // s + 1 places.
    (The kernel is not mirrored: what the field calls convolution is, to a mathematician, a correlation.)

Backward, Conv2D
    For the product it is Dense's: db sums the rows of dy, dW = patchesᵀ·dy, dpatches = dy·Wᵀ. And the
    patches are copies of pixels, whose gradients add up, see patches.py: dx = add_patches(dy·Wᵀ), which
    `add_products` computes in one go. The patches are not kept for that, but made again from x.

ConvTranspose2D, or: backward as a forward
    Take an image of three pixels in a row, and a kernel of two, without a bias. Then y_0 = w_0 x_0 + w_1 x_1
    and y_1 = w_0 x_1 + w_1 x_2. That is y = Ax with a matrix of which most is 0, for larger images nearly
    all; and by Dense's rule, written for columns, dx = Aᵀdy:

                                           │ w_0   0  │
        A = │ w_0  w_1   0  │         Aᵀ = │ w_1  w_0 │
            │  0   w_0  w_1 │              │  0   w_1 │

    To transpose is to say <Ax, y> = <x, Aᵀy> for all x and y, where <,> is the sum of products: both are
    the sum of all y_j A_ji x_i, added up row by row on the left, column by column on the right. (A test
    holds the two layers to it.)

    Of three pixels A makes two, and Aᵀ makes three of two. That is what a generator wants: to go from small
    images to larger ones. So this layer has Aᵀ as its forward and, as (Aᵀ)ᵀ is A, A as its backward (the
    last example below shows both):

        y = add_patches(x·Wᵀ) + b;   dx = patches(dy)·W;   dW = patches(dy)ᵀ·x;   db = sum of dy

    Forward, each number of the rows x·Wᵀ was added to one pixel, so its gradient is dy there: all of
    them are patches(dy). From there on dx and dW are Dense's, with Wᵀ for W. Of H rows of pixels it makes
    (H - 1) s - 2 padding + k + output_padding: since // rounds down, a Conv2D brings several sizes down
    to H, and the last number says which of them is meant. (Dumoulin & Visin 2016, relationships 6, 14)

Shapes
    Channels last: x (N, H, W, C), so that an image's pixel is a row of C numbers, and the matrix
    product gives y (N, H', W', F) in place. Conv2D: kernel W (k, k, C, F), b (F,). ConvTranspose2D,
    from C to F channels: W (k, k, F, C), b (F,). The cache is x, from which dW is made, and of
    ConvTranspose2D the shape of y, too. k, s, padding and output_padding are one number, or a pair for
    rows and columns, and mean what they mean in PyTorch, whose images are (N, C, H, W) and whose
    kernels are (F, C, k, k), or (C, F, k, k) for the transposed.

>>> import numpy as np
>>> edge = Conv2D(1, 1, 2, np.random.default_rng(0), dtype="float64")
>>> edge.W[...] = np.array([[-1, 1], [-1, 1]]).reshape(2, 2, 1, 1)      # right minus left
>>> x = np.array([[0.0, 0, 5, 5], [0, 0, 5, 5], [0, 0, 5, 5]]).reshape(1, 3, 4, 1)
>>> y, cache = edge.forward(x)
>>> y[0, :, :, 0].tolist()
[[0.0, 10.0, 0.0], [0.0, 10.0, 0.0]]
>>> edge.backward(np.ones_like(y), cache)[0, :, :, 0].tolist()          # how often -1, how often 1
[[-1.0, 0.0, 0.0, 1.0], [-2.0, 0.0, 0.0, 2.0], [-1.0, 0.0, 0.0, 1.0]]
>>> there, back = (kind(1, 1, (1, 2), np.random.default_rng(0), dtype="float64") for kind in (Conv2D, ConvTranspose2D))
>>> there.W[...] = back.W[...] = np.reshape([2, 3], (1, 2, 1, 1))       # w_0 and w_1
>>> A = there.forward(np.eye(3).reshape(3, 1, 3, 1))[0].reshape(3, 2).T
>>> A.tolist(), back.forward(np.eye(2).reshape(2, 1, 2, 1))[0].reshape(2, 3).tolist() == A.tolist()
([[2.0, 3.0, 0.0], [0.0, 2.0, 3.0]], True)
"""
import math

from minigan.backend import array_module
from minigan.initial_weights import initial_weights
from minigan.layer import Layer, check_ddx, check_dy, check_float
from minigan.patches import add_products, patches_and_products


class Conv2D(Layer):
    """n_in channels to n_out, with a kernel of `size`."""

    names = ("W", "b")

    def __init__(self, n_in, n_out, size, rng, stride=1, padding=0, rule="glorot", dtype="float32"):
        self.size, self.stride, self.padding = pair(size), pair(stride), pair(padding)
        (k, l), (self.n_in, self.n_out) = self.size, (n_in, n_out)
        back = math.ceil(k * l * n_out / math.prod(self.stride))  # so many patches hold a pixel, times n_out
        self.W, self.b = initial_weights(rule, k * l * n_in, back, rng, dtype, (k, l, n_in, n_out))
        self.dW, self.db = 0 * self.W, 0 * self.b

    def forward(self, x, train=False, rng=None):  # (N, H, W, C) -> (N, H', W', F)
        check_image(self, x, self.n_in)
        how = self.window(x.shape)
        if min(how[3:]) < 1:
            raise ValueError(f"{self!r} is larger than its image, x of shape {x.shape}")
        y = patches_and_products(x, how, self.W.reshape(-1, self.n_out))
        y += self.b
        return y.reshape(len(x), *how[3:], self.n_out), x

    def backward(self, dy, x, need_dx=True, need_dparams=True):
        how = self.window(x.shape)
        check_dy(self, dy, (len(x), *how[3:], self.n_out))
        dy = dy.reshape(-1, self.n_out)
        if need_dparams:
            patches_and_products(x, how, dy=dy, dW=self.dW.reshape(-1, self.n_out))
            self.db[...] = sum_of_rows(dy)
        if need_dx:
            return add_products(dy, self.W, x.shape, *how[1:])

    def double_backward(self, ddx, dy, x):  # Dense's, of patches: their forward is the backward of add_patches
        check_ddx(self, ddx, x.shape)
        ddy = patches_and_products(
            ddx, self.window(x.shape), self.W.reshape(-1, self.n_out), dy.reshape(-1, self.n_out), self.dW.reshape(-1, self.n_out))
        self.db[...] = 0
        return ddy.reshape(dy.shape), None

    def window(self, shape):
        """Size, stride, padding, and how many places there are for the kernel, down and across, on images (N, H, W, C)."""
        places = ((n + 2 * p - k) // s + 1 for n, k, s, p in zip(shape[1:3], self.size, self.stride, self.padding))
        return self.size, self.stride, self.padding, *places

    def __repr__(self):
        return f"Conv2D({self.n_in}, {self.n_out}, {self.size[0]} x {self.size[1]})"


class ConvTranspose2D(Layer):
    """n_in channels to n_out: the transpose of a Conv2D from n_out to n_in."""

    names = ("W", "b")

    def __init__(self, n_in, n_out, size, rng, stride=1, padding=0, output_padding=0, rule="glorot", dtype="float32"):
        self.size, self.stride, self.padding, self.more = pair(size), pair(stride), pair(padding), pair(output_padding)
        (k, l), (self.n_in, self.n_out) = self.size, (n_in, n_out)
        if any(more and more >= s for more, s in zip(self.more, self.stride)):
            raise ValueError(f"an output_padding of {self.more} must be less than the stride, {self.stride}")
        terms = math.ceil(k * l * n_in / math.prod(self.stride))  # that many patches overlap, at each pixel, times n_in
        W, self.b = initial_weights(rule, terms, k * l * n_out, rng, dtype, (k, l, n_in, n_out))
        self.W = W.swapaxes(2, 3).copy()
        self.dW, self.db = 0 * self.W, 0 * self.b

    def forward(self, x, train=False, rng=None):  # (N, H, W, C) -> (N, H', W', F)
        check_image(self, x, self.n_in)
        n, height, width, _ = x.shape
        shape = n, *((m - 1) * s - 2 * p + k + more for m, k, s, p, more in
                     zip((height, width), self.size, self.stride, self.padding, self.more)), self.n_out
        if min(shape[1:3]) < 1:
            raise ValueError(f"{self!r} pads away all of its image, x of shape {x.shape}")
        y = add_products(x.reshape(-1, self.n_in), self.W, shape, self.stride, self.padding, height, width)
        return y + self.b, (x, shape)

    def backward(self, dy, cache, need_dx=True, need_dparams=True):
        x, shape = cache
        check_dy(self, dy, shape)
        W, dW, x_rows = (a.reshape(-1, self.n_in) for a in (self.W, self.dW, x))
        dx = patches_and_products(dy, (self.size, self.stride, self.padding, *x.shape[1:3]), W if need_dx else None,
                                  x_rows, dW if need_dparams else None)
        if need_dparams:
            self.db[...] = sum_of_rows(dy.reshape(-1, self.n_out))
        return dx.reshape(x.shape) if need_dx else None

    def double_backward(self, ddx, dy, cache):  # dx = patches(dy)·W, so patches(dy) has the gradient ddx·Wᵀ
        x, shape = cache
        check_ddx(self, ddx, x.shape)
        how, ddx = (self.size, self.stride, self.padding, *x.shape[1:3]), ddx.reshape(-1, self.n_in)
        patches_and_products(dy, how, dy=ddx, dW=self.dW.reshape(-1, self.n_in))
        self.db[...] = 0
        return add_products(ddx, self.W, shape, *how[1:]), None

    def __repr__(self):
        return f"ConvTranspose2D({self.n_in}, {self.n_out}, {self.size[0]} x {self.size[1]})"


def sum_of_rows(rows):
    """rows (R, K) -> (K,). As a product with a row of ones it is several times as fast as .sum(axis=0) for small K."""
    return array_module(rows).ones(len(rows), dtype=rows.dtype) @ rows


def pair(value):
    """One number for rows and columns, or a pair as it is."""
    return (value, value) if isinstance(value, int) else tuple(value)


def check_image(layer, x, channels):
    """Raise TypeError or ValueError unless x is (N, H, W, channels), in the dtype of the weights."""
    check_float(layer, x)
    if x.ndim != 4 or x.shape[3] != channels:
        raise ValueError(f"{layer!r} wants x of shape (N, H, W, {channels}), not {x.shape}")
    if x.dtype != layer.W.dtype:
        raise TypeError(f"{layer!r} has {layer.W.dtype} weights but got {x.dtype} x of shape {x.shape}")
