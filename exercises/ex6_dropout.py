"""Exercise 6: inverted dropout (20 minutes)

Read before
    minigan/layer.py and minigan/randomness.py. (Of minigan/dropout.py "The idea" only.)

The task
    While training, silence each number of x on its own with probability `rate`, and make those that stay
    louder, so that on average y is x. When not training, y = x.

    All chance comes from `rng`, a numpy.random.Generator that forward is given: rng.random(shape) draws
    numbers between 0 and 1. Srivastava et al. 2014; the inverted form is at the end of their section 10.

Shapes
    y, dy and dx have the shape and the dtype of x.

Check
    python -m pytest exercises -k dropout

Hint
    How loud? If three of four stay, four numbers of 1 must still add up to 4 on average. And once the dice have
    fallen, y is x times an array that is no longer random: what is its slope? (rng.random gives
    float64; x may be float32.)
"""
from minigan.layer import Layer


class Dropout(Layer):
    def __init__(self, rate):  # 0 <= rate < 1
        self.rate = rate

    def forward(self, x, train=False, rng=None):  # -> (y, cache)
        raise NotImplementedError("Dropout.forward is not written yet")

    def backward(self, dy, cache, need_dx=True, need_dparams=True):  # -> dx
        raise NotImplementedError("Dropout.backward is not written yet")
