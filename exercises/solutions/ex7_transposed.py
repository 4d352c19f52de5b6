"""Exercise 7, solved.

A's backward, du = col2im(dv @ Wᵀ), maps a small image to a large one: it is Aᵀ. Here it is the
forward, with x in place of dv. The backward of Aᵀ is (Aᵀ)ᵀ = A: dx = im2col(dy) @ W. In A's
dW = im2col(u)ᵀ @ dv the large image is now dy and the small one x: dW = im2col(dy)ᵀ @ x.
"""

from minigan.nn.im2col import col2im, im2col
from minigan.nn.initializers import initial_weights
from minigan.nn.layer import Layer


class TransposedConvolution(Layer):
    param_names = ("W",)

    def __init__(
        self, in_channels, out_channels, kernel_size, *, stride=1, padding=0, dtype="float32", rng
    ):
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.W, _ = initial_weights(
            "glorot",
            kernel_size**2 * in_channels,
            kernel_size**2 * out_channels,
            shape=(kernel_size, kernel_size, out_channels, in_channels),
            dtype=dtype,
            rng=rng,
        )
        self.dW = 0 * self.W

    def geometry(self, x):  # of the windows: there is one for each pixel of x
        k, s, p = self.kernel_size, self.stride, self.padding
        return (k, k), (s, s), (p, p), x.shape[1:3]

    def forward(self, x, *, train=False, rng=None):
        n, *small, _ = x.shape
        large = [(m - 1) * self.stride - 2 * self.padding + self.kernel_size for m in small]
        rows = x.reshape(-1, self.in_channels) @ self.W.reshape(-1, self.in_channels).T
        return col2im(rows, (n, *large, self.out_channels), self.geometry(x)), x

    def backward(self, dy, x, *, need_dx=True, need_dparams=True):
        rows = im2col(dy, self.geometry(x))
        if need_dparams:
            self.dW[...] = (rows.T @ x.reshape(-1, self.in_channels)).reshape(self.W.shape)
        return (rows @ self.W.reshape(-1, self.in_channels)).reshape(x.shape)
