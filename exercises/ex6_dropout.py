"""Exercise 6: inverted dropout (20 minutes)

Read before
    minigan/nn/layer.py and minigan/rng.py. (In minigan/nn/dropout.py read "The idea" only.)

The task
    During training, set each number of x to 0 independently with probability p, and scale up the
    remaining numbers so that the mean of y is x. Outside training, y = x.

    All random numbers come from `rng`, a numpy.random.Generator that forward receives:
    rng.random(shape) returns uniform numbers between 0 and 1. Srivastava et al. 2014; the inverted
    form is described at the end of their section 10.

Shapes
    y, dy and dx have the shape and the dtype of x.

Check
    python -m pytest exercises -k dropout

Hint
    What is the scale? If three of four numbers remain, four ones must still have a mean sum of 4.
    Once the random numbers are generated, y is x times an array that is no longer random. What is
    its derivative? (rng.random returns float64; x may be float32.)
"""

from minigan.nn.layer import Layer


class Dropout(Layer):
    def __init__(self, p):  # 0 <= p < 1
        self.p = p

    def forward(self, x, *, train=False, rng=None):  # -> (y, cache)
        raise NotImplementedError("Dropout.forward is not written yet")

    def backward(self, dy, cache, *, need_dx=True, need_dparams=True):  # -> dx
        raise NotImplementedError("Dropout.backward is not written yet")
