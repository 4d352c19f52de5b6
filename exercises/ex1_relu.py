"""Exercise 1: ReLU, forward and backward (10 minutes)

Read before
    minigan/layer.py. (Of minigan/activations.py the text only: its code is what you are to find.)

The task
    Write the two methods below.

        y = x where x > 0, and 0 elsewhere, number by number          Nair & Hinton 2010

    backward is told dy, the derivative of the loss L with respect to y, and returns dx.

Shapes
    y, dy and dx have the shape and the dtype of x, whatever they are.

Check
    python -m pytest exercises -k relu

Hint
    Nudge one number of x a little: how fast does y follow if that number is 3, how fast if it is -3?
    And what must forward put into the cache, so that backward can tell the one from the other?
"""
from minigan.layer import Layer


class ReLU(Layer):
    def forward(self, x, train=False, rng=None):  # -> (y, cache); train and rng do not matter here
        raise NotImplementedError("ReLU.forward is not written yet")

    def backward(self, dy, cache, need_dx=True, need_dparams=True):  # -> dx; no parameters, so both switches do not matter
        raise NotImplementedError("ReLU.backward is not written yet")
