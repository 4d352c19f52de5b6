"""Exercise 7, solved.

A's way back, du = add_patches(dv·Wᵀ), goes from small to large, and is Aᵀ: here it is the forward, with x for dv. Its own
way back is then (Aᵀ)ᵀ = A: dx = patches(dy)·W. And in A's dW = patches(u)ᵀ·dv the large image is now dy, the small
one x: dW = patches(dy)ᵀ·x.
"""
from minigan.initial_weights import initial_weights
from minigan.layer import Layer
from minigan.patches import add_patches, patches


class TransposedConvolution(Layer):
    names = ("W",)

    def __init__(self, n_in, n_out, size, rng, stride=1, padding=0, dtype="float32"):
        self.n_in, self.n_out, self.size, self.stride, self.padding = n_in, n_out, size, stride, padding
        shape = size, size, n_out, n_in
        self.W, _ = initial_weights("glorot", size * size * n_in, size * size * n_out, rng, dtype, shape)
        self.dW = 0 * self.W

    def window(self, x):  # what patches and add_patches want to know of the kernel, and of its places: one for each pixel of x
        return (self.size,) * 2, (self.stride,) * 2, (self.padding,) * 2, *x.shape[1:3]

    def forward(self, x, train=False, rng=None):
        n, *small, _ = x.shape
        large = ((m - 1) * self.stride - 2 * self.padding + self.size for m in small)
        rows = x.reshape(-1, self.n_in) @ self.W.reshape(-1, self.n_in).T
        return add_patches(rows, (n, *large, self.n_out), *self.window(x)), x

    def backward(self, dy, x, need_dx=True, need_dparams=True):
        rows = patches(dy, *self.window(x))
        if need_dparams:
            self.dW[...] = (rows.T @ x.reshape(-1, self.n_in)).reshape(self.W.shape)
        return (rows @ self.W.reshape(-1, self.n_in)).reshape(x.shape)
