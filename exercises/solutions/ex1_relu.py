"""Exercise 1, solved.

A positive number passes unchanged, so the derivative of y with respect to it is 1. Any other number
has no influence on y, so its derivative is 0. Hence dx is dy where x is positive, and 0 elsewhere.
The cache is a mask that is True where x is positive.
"""

import numpy as np

from minigan.nn.layer import Layer


class ReLU(Layer):
    def forward(self, x, *, train=False, rng=None):
        y = np.maximum(x, 0)
        return y, y > 0

    def backward(self, dy, positive, *, need_dx=True, need_dparams=True):
        return dy * positive
