"""The layer contract: what forward returns and what backward gives back.

The idea
    A network is a sequence of layers. Each layer turns its input x into an output y, using its own
    parameters, most of which are weights, W. The loss L, a single number computed from the last
    output, measures how wrong the network is. Learning means changing the parameters so that L
    decreases. Every layer must therefore answer one question: how fast does L change when the
    input, or one of the weights, is changed by a tiny amount? The answer is a gradient. We write it
    with a `d` in front: dx is the derivative of L with respect to x, and has the shape of x.

Forward
    y, cache = layer.forward(x)

    The cache holds everything about this x that backward needs. It is returned, not stored in the
    layer. A discriminator may process real images and then fake ones before it computes a gradient
    for either, and a layer that stored a single cache would have lost the first one by then.

Backward
    dx = layer.backward(dy, cache)

    A layer does not know L. It receives dy, and it knows how its own y depends on its own x. The
    chain rule combines the two. Since x_i influences L through every y_j that depends on it,

        dx_i = sum over j of  dy_j * (derivative of y_j with respect to x_i)

    Applied layer by layer, from the last to the first, this is backpropagation (Rumelhart, Hinton &
    Williams 1986). Every backward in this package is a special case of that sum.

    If the layer has parameters, the same rule gives dW, and `backward` writes it into `layer.dW`,
    replacing the previous value. When a weight is used in two passes, its two gradients add up, so
    copy the first dW and add it to the second. (Most frameworks accumulate gradients instead, and
    the user must reset them.)

    Two options save work. `need_dparams=False` skips the parameter gradients if they are not used.
    `need_dx=False` skips dx, for example for the pixels of a real image, which are never changed.

Shapes
    x holds a batch of N examples; its first axis counts them. dx.shape == x.shape, dW.shape ==
    W.shape, and every array has the dtype of x: float32 for training, and float64, which has more
    digits, for checking gradients.

>>> class Double(Layer):                      # a layer of your own: y = 2x, so dx = 2 dy
...     def forward(self, x, *, train=False, rng=None):
...         return 2 * x, None                # backward needs nothing from x
...     def backward(self, dy, cache, *, need_dx=True, need_dparams=True):
...         return 2 * dy
>>> import numpy as np
>>> layer = Double()
>>> y, cache = layer.forward(np.array([[1.0, -3.0]]))
>>> y.tolist(), layer.backward(np.array([[10.0, 0.5]]), cache).tolist()
([[2.0, -6.0]], [[20.0, 1.0]])
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from minigan.backend import Array


class Layer:
    """The base class of all layers: what forward and backward take and return.

    The class attributes describe a layer to the code that uses it. Their defaults are correct for a
    layer without parameters that processes each example separately.
    """

    # names of the parameters, such as ("W", "b"); their gradients are dW and db
    param_names: tuple[str, ...] = ()
    # names of arrays that belong to the layer but are not learned, such as running means
    buffer_names: tuple[str, ...] = ()
    # whether x is a pair (x, labels), with one-hot labels (N, n_classes)
    takes_labels: bool = False
    n_classes: int = 0
    # whether y of one example depends on the other examples in the batch
    mixes_examples: bool = False
    # whether a batch may be computed in parts: the layer uses no random numbers, and any sums over
    # the batch go through all_reduce. A subclass does not inherit this and has to set it itself
    splittable: bool = False
    # all_reduce(*sums) turns sums over the rows of this part into sums over all parts of the batch;
    # here this part is the whole batch. Sequential.compute_parts sets another one
    all_reduce: Callable = staticmethod(lambda *sums: sums)
    # whether this is an activation, which belongs to the layer before it
    is_activation: bool = False
    # forward in JavaScript, for the exported web page, if page.html does not contain this layer
    javascript: str = ""

    def forward(self, x: Array, *, train: bool = False, rng: Any = None) -> tuple[Array, Any]:
        """x -> (y, cache).

        `train` is True during training and False during sampling and evaluation. `rng` is a random
        generator of the module that x belongs to, for layers that need random numbers. Most layers
        ignore both.

        Raises TypeError if x is not a floating-point array, and ValueError if its shape is wrong.
        """
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def backward(
        self, dy: Array, cache: Any, *, need_dx: bool = True, need_dparams: bool = True
    ) -> Array:
        """dy (the shape of y) -> dx (the shape of x); also fills dW, db, ...

        Modifies neither dy nor the cache, so it can be called twice. With `need_dx=False` the
        return value is undefined; with `need_dparams=False` the parameter gradients are left
        unchanged. Raises ValueError if dy does not have the shape of y.
        """
        raise NotImplementedError(f"{type(self).__name__} has no backward")

    def double_backward(self, ddx: Array, dy: Array, cache: Any) -> tuple[Array, Array | None]:
        """The backward of the backward. Only gradient_penalty.py needs it and derives it, so skip
        it until you get there.

        Let P be a number computed from the dx that backward(dy, cache) returned, and let ddx
        (the shape of x) be the gradient of P with respect to that dx. Returns (ddy, dx): the
        gradients of P with respect to dy and to x. dx is None if P does not depend on x through
        this layer. Fills dW, db, ... with the gradients of P.

        Modifies none of its arguments. Raises ValueError if ddx does not have the shape of x.
        """
        raise NotImplementedError(
            f"{self!r} has no double_backward, which a gradient penalty needs:"
            " choose a network without this layer, or no penalty"
        )

    def exported(self, x_shape: tuple[int, ...], y_shape: tuple[int, ...]) -> "list[Exported]":
        """This layer as a list of PyTorch and ONNX operations; both shapes are without N.

        Raises NotImplementedError if the layer has no such description.
        """
        raise NotImplementedError(f"{self!r} cannot be exported: it has no method `exported`")

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Exported(NamedTuple):
    """One operation of an exported network."""

    torch: str  # the PyTorch module, as Python code
    onnx: str  # the ONNX operator
    attributes: dict[str, Any] = {}  # of the ONNX operator
    arrays: list[Array] = []  # weight, bias, running mean, running variance: those that it has
    constant: Any = None  # a further input of the ONNX operator


def check_float(layer: Layer, x: Array) -> None:
    """Raise TypeError unless x is an array of float32 or float64.

    Integers would silently overflow or be rounded in a network, and float16 has too few digits.
    """
    if isinstance(x, tuple):
        raise TypeError(
            f"{layer!r} received a pair (x, labels), but its network was made without labels"
        )
    dtype = getattr(x, "dtype", None)
    if dtype not in ("float32", "float64"):
        raise TypeError(
            f"{layer!r} expects a float32 or float64 array, not {dtype or type(x).__name__}"
            f" of shape {getattr(x, 'shape', '?')}"
        )


def check_dy(layer: Layer, dy: Array, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless dy has the given shape.

    NumPy would silently broadcast (N, 1) to (N, M), and the gradient would be wrong.
    """
    if dy.shape != shape:
        raise ValueError(
            f"{layer!r} returned y of shape {shape} but received dy of shape {dy.shape}"
        )


def check_ddx(layer: Layer, ddx: Array, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless ddx has the given shape, the shape of dx, for the same reason."""
    if ddx.shape != shape:
        raise ValueError(
            f"{layer!r} returned dx of shape {shape} but received ddx of shape {ddx.shape}"
        )
