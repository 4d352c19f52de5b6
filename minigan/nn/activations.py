"""Activations: LeakyReLU, ReLU, Tanh and Sigmoid make a network nonlinear.

The idea
    Two Dense layers in a row compute no more than a single one: without the biases,

        (x @ W) @ V = x @ (W @ V)

    and W @ V is one matrix. A network can compute more than that if a nonlinear function f, applied
    to each number separately, comes between them.

Forward
    y = f(x), elementwise.

Backward
    x_i influences only y_i, so the sum in the chain rule has a single term:

        dx = f'(x) * dy

    LeakyReLU   f(x) = x for x > 0, and negative_slope * x otherwise. f'(x) = 1 or negative_slope.
                As 0 <= negative_slope <= 1, that is max(x, negative_slope * x). With a small
                negative_slope, some gradient passes even where x is negative. At x = 0 the
                derivative does not exist; like PyTorch, we use negative_slope there.
                Maas et al. 2013
    ReLU        LeakyReLU with negative_slope 0.  Nair & Hinton 2010
    Tanh        f(x) = (e^x - e^-x) / (e^x + e^-x), f'(x) = 1 - y². By the quotient rule: with
                s = e^x - e^-x and c = e^x + e^-x we have s' = c and c' = s, so
                (s/c)' = (c·c - s·s) / c² = 1 - (s/c)². This depends on y only, so y is the cache.
    Sigmoid     f(x) = 1 / (1 + e^-x), f'(x) = y (1 - y). The chain rule gives
                f' = e^-x / (1 + e^-x)², which is y times e^-x / (1 + e^-x). This fraction and
                y = 1 / (1 + e^-x) add up to 1, so the fraction is 1 - y.

Shapes
    x has any shape, and y, dy and dx have the same shape. The cache is y. For LeakyReLU that is
    enough, because y is positive exactly where x is.

>>> import numpy as np
>>> x = np.array([[-2.0, 0.0, 1.0]])
>>> for layer in LeakyReLU(0.1), ReLU(), Tanh(), Sigmoid():
...     y, cache = layer.forward(x)
...     dx = layer.backward(np.ones_like(x), cache)
...     print(f"{layer!r:16}", y.round(3).tolist(), dx.round(3).tolist())
LeakyReLU(0.1)   [[-0.2, 0.0, 1.0]] [[0.1, 0.1, 1.0]]
ReLU()           [[0.0, 0.0, 1.0]] [[0.0, 0.0, 1.0]]
Tanh()           [[-0.964, 0.0, 0.762]] [[0.071, 1.0, 0.42]]
Sigmoid()        [[0.119, 0.5, 0.731]] [[0.105, 0.25, 0.197]]
"""

from minigan.backend import Array, fused, get_array_module
from minigan.nn.layer import Exported, Layer, check_ddx, check_dy, check_float


class LeakyReLU(Layer):
    """y = x for x > 0, negative_slope * x otherwise; 0 <= negative_slope <= 1."""

    splittable, is_activation = True, True

    def __init__(self, negative_slope: float = 0.2):
        if not 0 <= negative_slope <= 1:
            raise ValueError(
                f"LeakyReLU's negative_slope must be between 0 and 1, not {negative_slope}"
            )
        self.negative_slope = float(negative_slope)

    def forward(self, x, *, train=False, rng=None):
        check_float(self, x)
        y = leaky_relu(x, self.negative_slope) if self.negative_slope else relu(x)
        return y, y  # y > 0 exactly where x > 0, which is all that backward needs

    def backward(self, dy, cache, *, need_dx=True, need_dparams=True):
        y = cache
        check_dy(self, dy, y.shape)
        return (
            leaky_relu_backward(dy, y, self.negative_slope)
            if self.negative_slope
            else relu_backward(dy, y)
        )

    def double_backward(self, ddx, dy, cache):  # f' is piecewise constant, so f'' is 0
        y = cache
        check_ddx(self, ddx, y.shape)
        return leaky_relu_backward(ddx, y, self.negative_slope), None

    def exported(self, x_shape, y_shape):
        return [
            Exported(
                f"nn.LeakyReLU({self.negative_slope})", "LeakyRelu", {"alpha": self.negative_slope}
            )
        ]

    def __repr__(self):
        return f"LeakyReLU({self.negative_slope})"


class ReLU(LeakyReLU):
    """y = max(x, 0): LeakyReLU with negative_slope 0."""

    splittable = True

    def __init__(self):
        super().__init__(negative_slope=0)

    def __repr__(self):
        return "ReLU()"


class Tanh(Layer):
    """y = tanh(x), between -1 and 1."""

    splittable, is_activation = True, True

    def forward(self, x, *, train=False, rng=None):
        check_float(self, x)
        y = get_array_module(x).tanh(x)
        return y, y

    def backward(self, dy, cache, *, need_dx=True, need_dparams=True):
        y = cache
        check_dy(self, dy, y.shape)
        return tanh_backward(dy, y)

    def double_backward(self, ddx, dy, cache):
        y = cache
        check_ddx(self, ddx, y.shape)
        return tanh_backward(ddx, y), tanh_double_backward(ddx, dy, y)

    def exported(self, x_shape, y_shape):
        return [Exported("nn.Tanh()", "Tanh")]


class Sigmoid(Layer):
    """y = 1 / (1 + e^-x), between 0 and 1."""

    splittable, is_activation = True, True

    def forward(self, x, *, train=False, rng=None):
        check_float(self, x)
        y = sigmoid(x)
        return y, y

    def backward(self, dy, cache, *, need_dx=True, need_dparams=True):
        y = cache
        check_dy(self, dy, y.shape)
        return sigmoid_backward(dy, y)

    def double_backward(self, ddx, dy, cache):
        y = cache
        check_ddx(self, ddx, y.shape)
        return sigmoid_backward(ddx, y), sigmoid_double_backward(ddx, dy, y)

    def exported(self, x_shape, y_shape):
        return [Exported("nn.Sigmoid()", "Sigmoid")]


@fused
def leaky_relu(x: Array, negative_slope: float) -> Array:
    """max(x, negative_slope * x)."""
    return get_array_module(x).maximum(x, negative_slope * x)


@fused
def relu(x: Array) -> Array:
    """max(x, 0). Not max(x, 0 * x), which is NaN for infinite x."""
    return get_array_module(x).maximum(x, 0)


@fused
def leaky_relu_backward(dy: Array, y: Array, negative_slope: float) -> Array:
    """dy where y > 0, and negative_slope * dy elsewhere.

    Multiplying by a mask is faster than np.where.
    """
    return dy * (negative_slope + (1 - negative_slope) * (y > 0).astype(y.dtype))


@fused
def relu_backward(dy: Array, y: Array) -> Array:
    """dy where y > 0, and 0 elsewhere: leaky_relu_backward with negative_slope 0."""
    return dy * (y > 0).astype(y.dtype)


@fused
def tanh_backward(dy: Array, y: Array) -> Array:
    """dy (1 - y²)."""
    return dy * (1 - y * y)


@fused
def tanh_double_backward(ddx: Array, dy: Array, y: Array) -> Array:
    """ddx dy f''(x): the derivative of 1 - y² is -2y y', with y' = 1 - y²."""
    return ddx * dy * (-2 * y * (1 - y * y))


@fused
def sigmoid_backward(dy: Array, y: Array) -> Array:
    """dy y (1 - y)."""
    return dy * (y * (1 - y))


@fused
def sigmoid_double_backward(ddx: Array, dy: Array, y: Array) -> Array:
    """ddx dy f''(x): the derivative of y - y² is (1 - 2y) y', with y' = y (1 - y)."""
    return ddx * dy * ((1 - 2 * y) * (y * (1 - y)))


@fused
def sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x), elementwise, without overflow for any x.

    e^-x overflows for large negative x. Multiplying numerator and denominator by e^x gives
    e^x / (e^x + 1). With e^-|x|, which never exceeds 1, the two forms are 1 / (1 + e^-|x|) for
    x >= 0 and e^-|x| / (1 + e^-|x|) for x < 0. The numerator of both is e^min(x, 0).
    """
    xp = get_array_module(x)
    return xp.exp(xp.minimum(x, 0)) / (1 + xp.exp(-xp.abs(x)))
