"""Exercise 7: transposed convolution (60 minutes)

Read before
    minigan/nn/im2col.py, and the text and Conv2d of minigan/nn/conv.py; ConvTranspose2d is the
    solution.

The task
    A convolution with kernel W maps a large image u to a small one. It is linear; call it A:

        A u = im2col(u) @ W

    For a gradient dv of its result, du = col2im(dv @ Wᵀ) and dW = im2col(u)ᵀ @ dv.

    Write the layer that maps in the other direction, from a small image x to a large one. Its
    forward is Aᵀ, so

        <A u, x> = <u, Aᵀx>  for all u and x           (<,> is the sum of the elementwise products)

    Its backward returns dx and, unless need_dparams is False, writes dW into self.dW. The layer has
    no bias.

    Seen from x, each pixel adds a copy of the kernel, multiplied by the pixel's value, to the large
    image. Neighbouring pixels of x add theirs s pixels apart. Where copies overlap they are summed,
    and a border of `padding` pixels is cut off at the end.

Shapes
    x (N, H, W, C), y (N, H', W', F), where H' = (H - 1) s - 2 padding + k, and W' likewise, for a
    kernel of k x k pixels and a stride of s. self.W is (k, k, F, C), the kernel of a convolution A
    from F to C channels.

Check
    python -m pytest exercises -k transposed

Hint
    Which of A's two directions, forward or backward, maps a small image to a large one? That one is
    your forward, unchanged. The dx of your backward is A's other direction. For dW, find out which
    of your arrays plays the role of u, and which one that of dv.
"""

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

    def forward(self, x, *, train=False, rng=None):  # (N, H, W, C) -> (N, H', W', F), cache
        raise NotImplementedError("TransposedConvolution.forward is not written yet")

    def backward(self, dy, cache, *, need_dx=True, need_dparams=True):  # (N, H', W', F) -> dx
        raise NotImplementedError("TransposedConvolution.backward is not written yet")
