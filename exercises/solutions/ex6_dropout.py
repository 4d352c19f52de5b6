"""Exercise 6, solved.

y = x * mask, where each number of the mask is 1 / (1 - p) with probability 1 - p, and 0 otherwise:
its mean is 1. The mask is generated once, in forward. For backward it is a constant, so dx = dy *
mask, with the same mask. Outside training there is no mask.
"""

from minigan.nn.layer import Layer


class Dropout(Layer):
    def __init__(self, p):
        self.p = p

    def forward(self, x, *, train=False, rng=None):
        if not train:
            return x, None
        mask = (rng.random(x.shape) >= self.p).astype(x.dtype) / (1 - self.p)
        return x * mask, mask

    def backward(self, dy, mask, *, need_dx=True, need_dparams=True):
        return dy if mask is None else dy * mask
