"""Exercise 1: ReLU, forward and backward (10 minutes)

Read before
    minigan/nn/layer.py. (In minigan/nn/activations.py read the text only: its code is the
    solution.)

The task
    Write the two methods below.

        y = x where x > 0, and 0 elsewhere, elementwise               Nair & Hinton 2010

    backward receives dy, the gradient of the loss L with respect to y, and returns dx.

Shapes
    y, dy and dx have the shape and the dtype of x, whatever they are.

Check
    python -m pytest exercises -k relu

Hint
    Increase one number of x by a tiny amount. How fast does y change if that number is 3, and how
    fast if it is -3? What must forward store in the cache so that backward can distinguish the two
    cases?
"""

from minigan.nn.layer import Layer


class ReLU(Layer):
    def forward(self, x, *, train=False, rng=None):  # -> (y, cache); train and rng are not needed
        raise NotImplementedError("ReLU.forward is not written yet")

    def backward(self, dy, cache, *, need_dx=True, need_dparams=True):  # -> dx
        raise NotImplementedError("ReLU.backward is not written yet")
