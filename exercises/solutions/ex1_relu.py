"""Exercise 1, solved.

A number above 0 is handed through, so y follows it with slope 1; any other has no influence at all:
slope 0. So dx is dy where x was above 0, and 0 elsewhere. Where that was is all there is to remember.
"""
import numpy as np

from minigan.layer import Layer


class ReLU(Layer):
    def forward(self, x, train=False, rng=None):
        y = np.maximum(x, 0)
        return y, y > 0

    def backward(self, dy, positive, need_dx=True, need_dparams=True):
        return dy * positive
