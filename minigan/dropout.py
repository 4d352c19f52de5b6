"""Dropout: forget a random part of the signal, so that nothing relies on one unit alone.

The idea
    A discriminator with many weights could learn the real images by heart, and then it has
    nothing to teach the generator. So while it trains, each number that passes is silenced, set to
    0, with probability `rate`: no unit can rely on another being there. When the network is only
    used, nothing is silenced. For the next layer to see numbers of the same average size in both
    cases, those that stay are made larger while it trains ("inverted" dropout).

    Srivastava et al. 2014 scale the weights instead, when the network is used; the form used here is at
    the end of their section 10.

Forward
    train:     y = x * mask,  each number of the mask being 1 / (1 - rate) with probability 1 - rate,
               else 0. On average y is x: (1 - rate) * x / (1 - rate) + rate * 0 = x.
    otherwise: y = x

Backward
    Once drawn, the mask is a constant, so this is a multiplication by a constant:

        dx = dy * mask

    by the *same* mask: a silenced unit had no effect on L, so it has no gradient. (And a gradient check
    that gives forward the same `rng` each time gets the same mask each time.)

Shapes
    mask, y and dx have the shape of x. The cache is (mask, shape of x), with
    mask = None where nothing was dropped.

>>> import numpy as np
>>> layer, x = Dropout(0.5), np.ones((1, 6))
>>> y, cache = layer.forward(x, train=True, rng=np.random.default_rng(1))
>>> y.tolist()
[[2.0, 0.0, 2.0, 2.0, 2.0, 2.0]]
>>> layer.backward(3 * x, cache).tolist()
[[6.0, 0.0, 6.0, 6.0, 6.0, 6.0]]
>>> layer.forward(x)[0].tolist()                    # sampling: nothing is dropped
[[1.0, 1.0, 1.0, 1.0, 1.0, 1.0]]
"""
from minigan.backend import array_module, fused
from minigan.layer import Layer, check_ddx, check_dy, check_float
from minigan.randomness import random_16_bits


class Dropout(Layer):
    """Silences each number with probability `rate`, 0 to 0.99, while training. (To be exact, with
    the nearest multiple of 1/65536: that is how fine its random numbers are.)"""

    def __init__(self, rate):
        if not 0 <= rate <= 0.99:
            raise ValueError(f"a dropout rate is at least 0 and at most 0.99, not {rate}")
        self.rate = float(rate)

    def forward(self, x, train=False, rng=None):
        check_float(self, x)
        if not train or self.rate == 0:
            return x, (None, x.shape)
        if rng is None:
            raise ValueError(f"{self!r} needs an rng while training (x has shape {x.shape})")
        bits = random_16_bits(array_module(x), rng, x.shape)
        y, mask = drop(x, bits, round(self.rate * 2 ** 16), 1 / (1 - self.rate))
        return y, (mask, x.shape)

    def backward(self, dy, cache, need_dx=True, need_dparams=True):
        mask, shape = cache
        check_dy(self, dy, shape)
        return dy if mask is None else dy * mask

    def double_backward(self, ddx, dy, cache):  # by the same mask, once more
        mask, shape = cache
        check_ddx(self, ddx, shape)
        return ddx if mask is None else ddx * mask, None

    def __repr__(self):
        return f"Dropout({self.rate})"


@fused
def drop(x, bits, threshold, louder):
    """(y, mask): x where the random bits are a number from the threshold on, made louder, and 0 elsewhere."""
    mask = (bits >= threshold).astype(x.dtype) * louder
    return x * mask, mask
