"""The contract: what every layer promises.

The idea
    A network is a row of layers. Each turns its input x into an output y, with the help of
    numbers of its own, its parameters, most of which are called weights, W. The last output is
    turned into one number, the loss L, which says how wrong it was. To learn is to change the
    parameters so that L falls. So every layer is asked one question: if I nudge your input, or
    one of your weights, how fast does L change? The answer is a gradient, and we write it with a `d`
    in front: dx is the derivative of L with respect to x, and has the shape of x.

Forward
    y, cache = layer.forward(x)

    The cache is whatever the layer will want to remember about this x. It is handed out, not
    kept inside: a discriminator sees real images and then fake ones before it learns from
    either, and a layer with a single memory would have forgotten the first by then.

Backward
    dx = layer.backward(dy, cache)

    A layer knows nothing of L. It is told dy, and it knows how its own y depends on its own x.
    The chain rule joins the two: x_i reaches L through every y_j that it touches, so

        dx_i = sum over j of  dy_j * (derivative of y_j with respect to x_i)

    Done layer by layer, from the last to the first, that is called backpropagation (Rumelhart,
    Hinton & Williams 1986). The sum is all that any page of this package derives.

    If the layer has parameters, the same rule gives dW, and `backward` writes it into `layer.dW`,
    over what was there before. When a weight is used in two passes, its two effects on L add up:
    then keep a copy of the first dW, and add it. (Most frameworks always add, and have to be told
    to forget the last step's.)

    Two switches save work. Where nobody will use the gradients of the parameters, `backward` is
    told `need_dparams=False`. Where nobody will use dx, as with the pixels of a real image, which
    will never be moved, it is told `need_dx=False`.

Shapes
    x holds a batch, N examples at once: its first axis counts them. dx.shape == x.shape,
    dW.shape == W.shape, and every array has the dtype of x: float32 to train, float64, which has more
    digits, to check.

>>> class Double(Layer):                      # a layer of your own: y = 2x, so dx = 2 dy
...     def forward(self, x, train=False, rng=None):
...         return 2 * x, None                # nothing to remember
...     def backward(self, dy, cache, need_dx=True, need_dparams=True):
...         return 2 * dy
>>> import numpy as np
>>> layer = Double()
>>> y, cache = layer.forward(np.array([[1.0, -3.0]]))
>>> y.tolist(), layer.backward(np.array([[10.0, 0.5]]), cache).tolist()
([[2.0, -6.0]], [[20.0, 1.0]])
"""


class Layer:
    """What forward and backward take and give; every layer is one of these."""

    names = ()  # of the parameters, such as ("W", "b"), whose gradients are then dW and db
    states = ()  # of arrays that belong to the layer but are not learned, and so have no gradient; most layers have none

    def forward(self, x, train=False, rng=None):
        """x -> (y, cache). `train` says whether the network is learning, or only used, which we call
        sampling; `rng` is a generator of random numbers, of x's own module, for layers that need some.
        Most ignore both.

        Raises TypeError if x is not floating point, ValueError if its shape does not fit.
        """
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def backward(self, dy, cache, need_dx=True, need_dparams=True):
        """dy (the shape of y) -> dx (the shape of x); fills dW, db, ... on the way.

        Writes neither into dy nor into the cache, so that it can be called twice. Where
        `need_dx` is False, what is returned means nothing; where `need_dparams` is False, the
        parameter gradients stay as they are. Raises ValueError if dy has not the shape of y.
        """
        raise NotImplementedError(f"{type(self).__name__} has no backward")

    def double_backward(self, ddx, dy, cache):
        """The backward of the backward: only penalties.py needs it, and derives it. Skip it until then.

        ddx (the shape of x), the gradient of some number P with respect to the dx that backward(dy, cache)
        gave -> (ddy, dx), those with respect to that dy and to x; dx is None where P does not depend
        on x through this layer. Fills dW, db, ... with those of P.

        Writes into none of its arguments. Raises ValueError if ddx has not the shape of x.
        """
        raise NotImplementedError(f"{self!r} has no double_backward, which a gradient penalty needs:"
                                  " choose a network without it, or no penalty")

    def __repr__(self):
        return f"{type(self).__name__}()"


def check_float(layer, x):
    """Raise TypeError unless x, of any shape, is an array of float32 or float64: a byte or an integer
    would silently wrap around or be rounded on its way through a network, and float16 is too coarse."""
    dtype = getattr(x, "dtype", None)
    if dtype not in ("float32", "float64"):
        raise TypeError(f"{layer!r} wants a float32 or float64 array, not {dtype or type(x).__name__}"
                        f" of shape {getattr(x, 'shape', '?')}")


def check_dy(layer, dy, shape):
    """Raise ValueError unless dy has the given shape: NumPy would stretch a (N, 1) over a (N, M)
    without a word, and the gradient would be wrong."""
    if dy.shape != shape:
        raise ValueError(f"{layer!r} gave out y of shape {shape} but got back dy of shape {dy.shape}")


def check_ddx(layer, ddx, shape):
    """Raise ValueError unless ddx has the given shape, that of dx, for the same reason."""
    if ddx.shape != shape:
        raise ValueError(f"{layer!r} gave back dx of shape {shape} but got ddx of shape {ddx.shape}")
