"""Sequential: a chain of layers, with all parameters in one flat vector.

The idea
    A network behaves like a layer: its forward turns x into y, and its backward turns dy into dx.
    The class Sequential is therefore a Layer.

Forward
    x -> first layer -> second layer -> ... -> y, keeping the cache of each layer.

    In a conditional network x is a pair (x, labels), and each layer that takes labels receives them
    together with its own x.

Backward
    The chain rule is applied layer by layer, in reverse order. The last layer turns dy into the
    gradient of its own input. This input is the output of the layer before it, which turns that
    gradient into the gradient of its own input, and so on down to dx. Each layer receives the cache
    that it returned.

One flat vector
    Each training step changes every parameter a little, according to its gradient. For this it does
    not matter which layer a parameter belongs to. All W and b of a network are therefore stored in
    one long vector, `theta`, and all dW and db in another, `dtheta`. Each `layer.W` is a *view* of
    shape (K, M) into its part of theta: writing to the view changes theta, and vice versa.
    Updating, saving, averaging, counting and moving to a GPU then take one line each, for any
    network.

    One rule preserves the views: write *into* a view, as in `layer.W[...] = new`. After
    `layer.W = new` the name would refer to a different array, which is not part of theta. The next
    forward detects this and raises ValueError.

Shapes
    x, y, dy and dx as for any layer; theta and dtheta (P,), for P parameters in total. The
    parameters are stored layer by layer, each W before its b, in row-major order. The buffers of
    the layers are stored in the same way in a third vector, `buffers`, which is empty for most
    networks.

>>> import numpy as np
>>> from minigan.nn.activations import LeakyReLU
>>> from minigan.nn.dense import Dense
>>> rng = np.random.default_rng(0)
>>> net = Sequential([Dense(3, 4, rng=rng), LeakyReLU(0.2), Dense(4, 1, rng=rng)])
>>> net.theta.shape                                 # 3*4 + 4 + 4*1 + 1
(21,)
>>> y, caches = net.forward(np.ones((5, 3), "float32"))
>>> net.backward(np.ones((5, 1), "float32"), caches).shape
(5, 3)
>>> net.dtheta[-1].item()                           # the last bias: dy, summed over the batch
5.0
>>> net.theta -= 0.1 * net.dtheta                   # one step of gradient descent; all views see it
>>> round(net.layers[2].b.item(), 3)
-0.5
"""

from collections.abc import Callable, Iterable
from typing import Any

from minigan.backend import Array, asnumpy, get_array_module
from minigan.nn.layer import Layer


class Sequential(Layer):
    """The given layers, one after the other. A layer can belong to one network only.

    Raises ValueError if none of the layers has parameters, if their dtypes differ, or if a layer
    occurs twice or is itself a network, because a parameter can be a view into only one place of
    one vector.
    """

    param_names = ("theta",)

    def __init__(self, layers: Iterable[Layer]):
        self.layers = list(layers)
        if len({id(layer) for layer in self.layers}) != len(self.layers):
            raise ValueError(f"a layer occurs twice in {self!r}: make a second layer")
        if any(isinstance(layer, Sequential) for layer in self.layers):
            raise ValueError(
                f"there is a network inside {self!r}: pass its layers instead, [*net.layers, ...]"
            )
        arrays = [getattr(layer, name) for layer in self.layers for name in layer.param_names]
        if not arrays:
            raise ValueError(f"no layer of {self!r} has parameters")
        if len({str(a.dtype) for a in arrays}) != 1:
            raise ValueError(
                "the layers of a network must share one dtype, not"
                f" {[str(a.dtype) for a in arrays]}"
            )
        buffers = [getattr(layer, name) for layer in self.layers for name in layer.buffer_names]
        xp = get_array_module(arrays[0])
        self.bind_views(
            xp.concatenate([a.ravel() for a in arrays]),
            xp.concatenate([a.ravel() for a in buffers])
            if buffers
            else arrays[0].ravel()[:0].copy(),
        )

    def bind_views(self, theta: Array, buffers: Array) -> None:
        """Use theta (P,) and `buffers` as storage: make every parameter, gradient and buffer of the
        layers a view into theta, dtheta or buffers.
        """
        self.theta, self.dtheta, self.buffers = theta, 0 * theta, buffers
        self._views: list[tuple[Layer, str, Array]] = [
            (self, name, getattr(self, name)) for name in ("theta", "dtheta", "buffers")
        ]
        for kind, stores in (
            ("param_names", {"": self.theta, "d": self.dtheta}),
            ("buffer_names", {"": self.buffers}),
        ):
            start = 0
            for layer, name in [
                (layer, name) for layer in self.layers for name in getattr(layer, kind)
            ]:
                shape, end = getattr(layer, name).shape, start + getattr(layer, name).size
                for prefix, store in stores.items():
                    view = store[start:end].reshape(shape)
                    setattr(layer, prefix + name, view)
                    self._views.append((layer, prefix + name, view))
                start = end

    def to(self, xp: Any) -> "Sequential":
        """Move the network to the array module xp, numpy or cupy, and return the network itself.

        Do this before making an optimizer, because an existing one would keep the old theta.
        """
        self.bind_views(xp.asarray(asnumpy(self.theta)), xp.asarray(asnumpy(self.buffers)))
        return self

    def compute_parts(self, all_reduce: Callable) -> None:
        """From now on every batch is a part of a larger one: all_reduce(*sums) turns sums over the
        rows of a part into sums over all parts, for layers that mix the examples of a batch.
        """
        for layer in self.layers:
            layer.all_reduce = all_reduce

    def __setstate__(self, state):
        """Make the layers' arrays views again, because copying or unpickling has copied them."""
        self.__dict__.update(state)
        self.bind_views(self.theta, self.buffers)

    def forward(self, x, *, train=False, rng=None):  # (N, K) -> (N, M), and the cache of each layer
        self.check_views()
        labels, caches = None, []
        if isinstance(x, tuple) and any(layer.takes_labels for layer in self.layers):
            x, labels = x
        for layer in self.layers:
            pair = layer.takes_labels and labels is not None
            x, cache = layer.forward((x, labels) if pair else x, train=train, rng=rng)
            caches.append(cache)
        return x, caches

    def check_views(self) -> None:
        """Raise ValueError if an attribute of a layer no longer refers to its view into theta,
        dtheta or buffers.
        """
        for layer, name, view in self._views:
            if getattr(layer, name) is not view:
                raise ValueError(
                    f"{name} of {layer!r}, shape {view.shape}, was rebound to another array:"
                    f" write into it, {name}[...] = value"
                )

    def backward(self, dy, cache, *, need_dx=True, need_dparams=True):  # (N, M) -> (N, K)
        # without dx, backward ends at the first layer with parameters
        first = (
            0 if need_dx else next(i for i, layer in enumerate(self.layers) if layer.param_names)
        )
        for layer, layer_cache in reversed(list(zip(self.layers, cache))[first:]):
            dy = layer.backward(
                dy,
                layer_cache,
                need_dx=need_dx or layer is not self.layers[first],
                need_dparams=need_dparams,
            )
        return dy if need_dx else None

    def input_gradient(self, dy: Array, cache: list) -> tuple[Array, list[Array]]:
        """(dx, dys): the dx of backward, and the dy of each layer, which double_backward needs.

        dy (N, M), dx (N, K). The parameter gradients are left unchanged.
        """
        dys: list[Array] = []
        for layer, layer_cache in zip(reversed(self.layers), reversed(cache)):
            dys.insert(0, dy)
            dy = layer.backward(dy, layer_cache, need_dparams=False)
        return dy, dys

    def double_backward(self, ddx, dy, cache):  # (N, K) -> (N, M), and (N, K) or None
        """As for a layer, but `dy` is the list of all layers' dy that input_gradient returned."""
        dxs, dx = [], None
        for layer, layer_dy, layer_cache in zip(self.layers, dy, cache):
            ddx, more = layer.double_backward(ddx, layer_dy, layer_cache)
            dxs.append(more)
        # each dx is propagated down through the layers below, like any gradient
        if any(more is not None for more in dxs):
            written = self.dtheta.copy()
            self.dtheta[...] = 0
            for layer, layer_cache, more in zip(
                reversed(self.layers), reversed(cache), reversed(dxs)
            ):
                dx = None if dx is None else layer.backward(dx, layer_cache)
                dx = more if dx is None else dx if more is None else dx + more
            self.dtheta += written
        return ddx, dx

    def __repr__(self):
        return f"Sequential([{', '.join(map(repr, self.layers))}])"
