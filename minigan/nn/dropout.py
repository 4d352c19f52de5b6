"""Dropout: set random activations to zero during training, so that no unit relies on another one.

The idea
    A discriminator with many weights can memorise the real images, and then its gradient no longer
    helps the generator. Dropout sets each activation to 0 with probability p during training, so no
    unit can rely on another unit being present. Outside of training, nothing is dropped. The
    activations that remain are scaled up during training, so that their mean is the same in both
    cases ("inverted" dropout).

    Srivastava et al. 2014 scale the weights down at test time instead. They describe the form used
    here at the end of their section 10.

Forward
    training:  y = x * mask,  where each number of the mask is 1 / (1 - p) with probability 1 - p,
               else 0. The mean of y is x: (1 - p) * x / (1 - p) + p * 0 = x.
    otherwise: y = x

Backward
    Once the mask has been sampled, it is a constant. Forward multiplies by a constant, so

        dx = dy * mask

    with the *same* mask. A dropped activation had no effect on L, so its gradient is 0. (A gradient
    check gives forward a generator with the same seed each time, and therefore gets the same mask
    each time.)

Shapes
    mask, y and dx have the shape of x. The cache is (mask, shape of x); the mask is None if nothing
    was dropped.

>>> import numpy as np
>>> layer, x = Dropout(0.5), np.ones((1, 6))
>>> y, cache = layer.forward(x, train=True, rng=np.random.default_rng(1))
>>> y.tolist()
[[2.0, 0.0, 2.0, 2.0, 2.0, 2.0]]
>>> layer.backward(3 * x, cache).tolist()
[[6.0, 0.0, 6.0, 6.0, 6.0, 6.0]]
>>> layer.forward(x)[0].tolist()                    # outside of training, nothing is dropped
[[1.0, 1.0, 1.0, 1.0, 1.0, 1.0]]
"""

from minigan.backend import Array, fused, get_array_module
from minigan.nn.layer import Layer, check_ddx, check_dy, check_float
from minigan.rng import random_uint16


class Dropout(Layer):
    """Sets each number to 0 with probability p, from 0 to 0.99, during training.

    The probability is rounded to a multiple of 1/65536, the resolution of the random numbers.
    """

    def __init__(self, p: float):
        if not 0 <= p <= 0.99:
            raise ValueError(f"the probability p of Dropout must be between 0 and 0.99, not {p}")
        self.p = float(p)

    def forward(self, x, *, train=False, rng=None):
        check_float(self, x)
        if not train or self.p == 0:
            return x, (None, x.shape)
        if rng is None:
            raise ValueError(f"{self!r} needs an rng during training (x has shape {x.shape})")
        bits = random_uint16(get_array_module(x), rng, x.shape)
        y, mask = apply_dropout(x, bits, round(self.p * 2**16), 1 / (1 - self.p))
        return y, (mask, x.shape)

    def backward(self, dy, cache, *, need_dx=True, need_dparams=True):
        mask, shape = cache
        check_dy(self, dy, shape)
        return dy if mask is None else dy * mask

    def double_backward(self, ddx, dy, cache):  # a multiplication by the same mask
        mask, shape = cache
        check_ddx(self, ddx, shape)
        return ddx if mask is None else ddx * mask, None

    def exported(self, x_shape, y_shape):
        return []  # it does nothing outside of training

    def __repr__(self):
        return f"Dropout({self.p})"


@fused
def apply_dropout(x: Array, bits: Array, threshold: int, scale: float) -> tuple[Array, Array]:
    """(y, mask): x scaled where the random bits are at least the threshold, and 0 elsewhere."""
    mask = (bits >= threshold).astype(x.dtype) * scale
    return x * mask, mask
