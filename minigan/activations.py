"""Activations: LeakyReLU, ReLU, Tanh and Sigmoid bend the signal.

The idea
    Two Dense layers in a row are still one Dense layer: leaving out the biases, (xW)V = x(WV), and
    WV is one matrix. What makes a network more than that is a bend between them: a function f
    applied to each number on its own.

Forward
    y = f(x), number by number.

Backward
    x_i touches only y_i, so the sum of the chain rule has one term: the local slope times dy.

        dx = f'(x) * dy

    LeakyReLU   f(x) = x for x > 0, slope * x otherwise          f'(x) = 1  or  slope
                With 0 <= slope <= 1 that is max(x, slope * x). A small slope keeps a little
                gradient alive on the negative side. At the kink, x = 0, there is no derivative;
                we take `slope`, as PyTorch does.  Maas et al. 2013
    ReLU        the same with slope 0.  Nair & Hinton 2010
    Tanh        f(x) = (e^x - e^-x) / (e^x + e^-x)                f'(x) = 1 - y²
                By the quotient rule: with s = e^x - e^-x and c = e^x + e^-x we have s' = c and
                c' = s, so (s/c)' = (c·c - s·s) / c² = 1 - (s/c)². No x left: y is remembered.
    Sigmoid     f(x) = 1 / (1 + e^-x)                             f'(x) = y (1 - y)
                The chain rule gives f' = e^-x / (1 + e^-x)². That is y times e^-x / (1 + e^-x), and
                that fraction and y, which is 1 / (1 + e^-x), make 1 together: so it is 1 - y.

Shapes
    y, dy and dx all have the shape of x, whatever it is. The cache is y: of LeakyReLU it tells, too,
    on which side of 0 x was.

>>> import numpy as np
>>> x = np.array([[-2.0, 0.0, 1.0]])
>>> for layer in LeakyReLU(0.1), ReLU(), Tanh(), Sigmoid():
...     y, cache = layer.forward(x)
...     slope = layer.backward(np.ones_like(x), cache)
...     print(f"{layer!r:16}", y.round(3).tolist(), slope.round(3).tolist())
LeakyReLU(0.1)   [[-0.2, 0.0, 1.0]] [[0.1, 0.1, 1.0]]
ReLU()           [[0.0, 0.0, 1.0]] [[0.0, 0.0, 1.0]]
Tanh()           [[-0.964, 0.0, 0.762]] [[0.071, 1.0, 0.42]]
Sigmoid()        [[0.119, 0.5, 0.731]] [[0.105, 0.25, 0.197]]
"""
from minigan.backend import array_module, fused
from minigan.layer import Layer, check_ddx, check_dy, check_float


class LeakyReLU(Layer):
    """y = x where x > 0, slope * x elsewhere; 0 <= slope <= 1."""

    def __init__(self, slope=0.2):
        if not 0 <= slope <= 1:
            raise ValueError(f"LeakyReLU's slope is between 0 and 1, not {slope}")
        self.slope = float(slope)

    def forward(self, x, train=False, rng=None):
        check_float(self, x)
        y = leaky(x, self.slope) if self.slope else relu(x)
        return y, y  # y has the sign of x, which is all that backward wants to know; so x may be forgotten

    def backward(self, dy, y, need_dx=True, need_dparams=True):
        check_dy(self, dy, y.shape)
        return leaky_backward(dy, y, self.slope) if self.slope else relu_backward(dy, y)

    def double_backward(self, ddx, dy, y):  # a slope that is 1 or `slope` does not change with x
        check_ddx(self, ddx, y.shape)
        return leaky_backward(ddx, y, self.slope), None

    def __repr__(self):
        return f"LeakyReLU({self.slope})"


class ReLU(LeakyReLU):
    """y = x where x > 0, 0 elsewhere: LeakyReLU with slope 0, and its backward."""

    def __init__(self):
        super().__init__(slope=0)

    def __repr__(self):
        return "ReLU()"


class Tanh(Layer):
    """y = tanh(x), between -1 and 1."""

    def forward(self, x, train=False, rng=None):
        check_float(self, x)
        y = array_module(x).tanh(x)
        return y, y

    def backward(self, dy, y, need_dx=True, need_dparams=True):
        check_dy(self, dy, y.shape)
        return tanh_backward(dy, y)

    def double_backward(self, ddx, dy, y):
        check_ddx(self, ddx, y.shape)
        return tanh_backward(ddx, y), tanh_bend(ddx, dy, y)


class Sigmoid(Layer):
    """y = 1 / (1 + e^-x), between 0 and 1."""

    def forward(self, x, train=False, rng=None):
        check_float(self, x)
        y = sigmoid(x)
        return y, y

    def backward(self, dy, y, need_dx=True, need_dparams=True):
        check_dy(self, dy, y.shape)
        return sigmoid_backward(dy, y)

    def double_backward(self, ddx, dy, y):
        check_ddx(self, ddx, y.shape)
        return sigmoid_backward(ddx, y), sigmoid_bend(ddx, dy, y)


@fused
def leaky(x, slope):
    """max(x, slope * x)."""
    return array_module(x).maximum(x, slope * x)


@fused
def relu(x):
    """max(x, 0): not max(x, 0 * x), which is no number at minus infinity."""
    return array_module(x).maximum(x, 0)


@fused
def leaky_backward(dy, y, slope):
    """dy times `slope` or 1, where y > 0 counts as 0 or 1: to compute is ten times as fast as to choose between two values."""
    return dy * (slope + (1 - slope) * (y > 0).astype(y.dtype))


@fused
def relu_backward(dy, y):
    """dy times 0 or 1: leaky_backward with slope 0, in fewer operations."""
    return dy * (y > 0).astype(y.dtype)


@fused
def tanh_backward(dy, y):
    """dy (1 - y²)."""
    return dy * (1 - y * y)


@fused
def tanh_bend(ddx, dy, y):
    """ddx dy f''(x): the slope 1 - y² has itself the slope -2y y', with y' = 1 - y²."""
    return ddx * dy * (-2 * y * (1 - y * y))


@fused
def sigmoid_backward(dy, y):
    """dy y (1 - y)."""
    return dy * (y * (1 - y))


@fused
def sigmoid_bend(ddx, dy, y):
    """ddx dy f''(x): the slope y - y² has itself the slope (1 - 2y) y', with y' = y (1 - y)."""
    return ddx * dy * ((1 - 2 * y) * (y * (1 - y)))


@fused
def sigmoid(x):
    """1 / (1 + e^-x), number by number, for x of any size.

    e^-x overflows for large negative x. Multiplied above and below by e^x the same fraction
    reads e^x / (e^x + 1). So, with e^-|x|, which is never above 1: for x >= 0 it is
    1 / (1 + e^-|x|), for x < 0 it is e^-|x| / (1 + e^-|x|); and e^min(x, 0) is either numerator.
    """
    xp = array_module(x)
    return xp.exp(xp.minimum(x, 0)) / (1 + xp.exp(-xp.abs(x)))
