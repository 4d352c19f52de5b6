"""Exercise 6, solved.

y = x * mask, with a mask of 1 / (1 - rate), with probability 1 - rate, or 0: on average 1. The mask is drawn once; for backward it is
a constant, so dx = dy * mask, with the same mask. Without training there is none.
"""
from minigan.layer import Layer


class Dropout(Layer):
    def __init__(self, rate):
        self.rate = rate

    def forward(self, x, train=False, rng=None):
        if not train:
            return x, None
        mask = (rng.random(x.shape) >= self.rate).astype(x.dtype) / (1 - self.rate)
        return x * mask, mask

    def backward(self, dy, mask, need_dx=True, need_dparams=True):
        return dy if mask is None else dy * mask
