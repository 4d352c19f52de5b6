"""Exercise 7: transposed convolution (60 minutes)

Read before
    minigan/patches.py, and of minigan/conv.py the text and Conv2D; ConvTranspose2D is what you are to find.

The task
    A convolution with the kernel W takes a large image u to a small one, and it is linear; call it A:

        A u = patches(u)·W          for a gradient dv of its result: du = add_patches(dv·Wᵀ), dW = patches(u)ᵀ·dv

    Write the layer that goes the other way, from a small image x to a large one: its forward is Aᵀ, so

        <A u, x> = <u, Aᵀx>  for all u and x           (<,> is the sum of the products, number by number)

    and its backward gives dx and, unless need_dparams is False, writes dW into self.dW. There is no b.

    Seen from x: each pixel lays a kernel, as loud as it is, upon the large image, s pixels further on for
    each pixel of x. Where kernels overlap they add up, and a frame of `padding` pixels is cut off at the end.

Shapes
    x (N, H, W, C), y (N, H', W', F), where H' = (H - 1) s - 2 padding + k, W' likewise, for a kernel of k x k
    pixels and a stride of s. self.W is (k, k, F, C): what the convolution A from F channels to C would have.

Check
    python -m pytest exercises -k transposed

Hint
    Which of A's two directions takes a small image to a large one? That is your forward, without a change. Then your
    backward's dx is A's other direction. For dW see which array now plays u's part, and which dv's.
"""
from minigan.initial_weights import initial_weights
from minigan.layer import Layer
from minigan.patches import add_patches, patches  # you will want both


class TransposedConvolution(Layer):
    names = ("W",)

    def __init__(self, n_in, n_out, size, rng, stride=1, padding=0, dtype="float32"):
        self.n_in, self.n_out, self.size, self.stride, self.padding = n_in, n_out, size, stride, padding
        shape = size, size, n_out, n_in
        self.W, _ = initial_weights("glorot", size * size * n_in, size * size * n_out, rng, dtype, shape)
        self.dW = 0 * self.W

    def forward(self, x, train=False, rng=None):  # (N, H, W, C) -> (N, H', W', F), cache
        raise NotImplementedError("TransposedConvolution.forward is not written yet")

    def backward(self, dy, cache, need_dx=True, need_dparams=True):  # (N, H', W', F) -> (N, H, W, C)
        raise NotImplementedError("TransposedConvolution.backward is not written yet")
