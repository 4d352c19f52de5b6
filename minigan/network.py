"""Sequential: layers in a row, and all their parameters in one flat vector.

The idea
    A network behaves like a layer: x goes in, y comes out; dy comes back, dx goes on. So it is
    one, and a network that stands behind another needs no new code.

Forward
    x -> first layer -> second layer -> ... -> y, keeping the cache of each.

Backward
    The chain rule, link by link and in reverse: the last layer turns dy into the gradient of its
    own input, which is the output of the layer before it, which turns that into ... dx.
    Each layer gets back the cache that it gave out.

One flat vector
    To learn, every parameter is moved a little, according to its gradient. Which of them is a weight
    of the third layer does not matter for that. So all W and b of a network lie in one long vector,
    `theta`, and all dW and db in another, `dtheta`. Each `layer.W` is a *view*, a window of shape
    (K, M) upon its part of theta: what is written there changes theta, and the other way round. Then
    updating, saving, averaging, counting and moving to a GPU are one line each, for any network.

    One rule keeps it true: write *into* a view, `layer.W[...] = new`. After `layer.W = new` the name
    would stand for another array, of which theta knows nothing: that is refused with a ValueError
    at the next forward.

Shapes
    As for any layer. theta and dtheta are (P,), for P parameters in all, layer after layer, each
    W before its b, row by row. The layers' `states` lie in a third vector, `state`, in the same way;
    for most networks it is empty.

>>> import numpy as np
>>> from minigan.activations import LeakyReLU
>>> from minigan.dense import Dense
>>> rng = np.random.default_rng(0)
>>> net = Sequential([Dense(3, 4, rng), LeakyReLU(0.2), Dense(4, 1, rng)])
>>> net.theta.shape                                 # 3*4 + 4 + 4*1 + 1
(21,)
>>> y, caches = net.forward(np.ones((5, 3), "float32"))
>>> net.backward(np.ones((5, 1), "float32"), caches).shape
(5, 3)
>>> net.dtheta[-1].item()                           # the last bias: dy, summed over the batch
5.0
>>> net.theta -= 0.1 * net.dtheta                   # a step of learning; all views see it
>>> round(net.layers[2].b.item(), 3)
-0.5
"""
from minigan.backend import array_module, to_host
from minigan.layer import Layer


class Sequential(Layer):
    """The given layers, one after the other; a layer belongs to one network only.

    Raises ValueError if none of them has parameters, if their dtypes differ, or if a layer is
    there twice or is itself a network: its parameters cannot lie in two places of theta.
    """

    names = ("theta",)

    def __init__(self, layers):
        self.layers = list(layers)
        if len({id(layer) for layer in self.layers}) != len(self.layers):
            raise ValueError(f"a layer stands twice in {self!r}: make a second one")
        if any(isinstance(layer, Sequential) for layer in self.layers):
            raise ValueError(f"a network stands within {self!r}: give its layers instead, [*net.layers, ...]")
        arrays = [getattr(layer, name) for layer in self.layers for name in layer.names]
        if not arrays:
            raise ValueError(f"no layer of {self!r} has parameters")
        if len({str(a.dtype) for a in arrays}) != 1:
            raise ValueError(f"the layers of a network share one dtype, not {[str(a.dtype) for a in arrays]}")
        states = [getattr(layer, name) for layer in self.layers for name in layer.states]
        xp = array_module(arrays[0])
        self.place(xp.concatenate([a.ravel() for a in arrays]),
                    xp.concatenate([a.ravel() for a in states]) if states else arrays[0].ravel()[:0].copy())

    def place(self, theta, state):
        """Make theta (P,) and state the stores, and every parameter, gradient and state a view into one."""
        self.theta, self.dtheta, self.state = theta, 0 * theta, state
        self._views = [(self, name, getattr(self, name)) for name in ("theta", "dtheta", "state")]
        for kind, stores in ("names", {"": self.theta, "d": self.dtheta}), ("states", {"": self.state}):
            start = 0
            for layer, name in [(layer, name) for layer in self.layers for name in getattr(layer, kind)]:
                shape, end = getattr(layer, name).shape, start + getattr(layer, name).size
                for prefix, store in stores.items():
                    view = store[start:end].reshape(shape)
                    setattr(layer, prefix + name, view)
                    self._views.append((layer, prefix + name, view))
                start = end

    def to(self, xp):
        """Move to NumPy or CuPy, whichever module xp is; returns the network itself. Do so before
        an optimizer is made: it would go on with the old theta."""
        self.place(xp.asarray(to_host(self.theta)), xp.asarray(to_host(self.state)))
        return self

    def __setstate__(self, state):
        """After copy.deepcopy or unpickling, the layers' arrays are copies: make them views again."""
        self.__dict__.update(state)
        self.place(self.theta, self.state)

    def forward(self, x, train=False, rng=None):  # (N, K) -> (N, M), one cache a layer
        self.check_views()
        caches = []
        for layer in self.layers:
            x, cache = layer.forward(x, train, rng)
            caches.append(cache)
        return x, caches

    def check_views(self):
        """Raise ValueError if a name stands for another array than the view into theta, dtheta or state that it should be."""
        for layer, name, view in self._views:
            if getattr(layer, name) is not view:
                raise ValueError(f"{name} of {layer!r}, shape {view.shape}, was rebound to another array:"
                                 f" write into it, {name}[...] = value")

    def backward(self, dy, caches, need_dx=True, need_dparams=True):  # (N, M) -> (N, K)
        first = 0 if need_dx else next(i for i, layer in enumerate(self.layers) if layer.names)  # below, nothing learns
        for layer, cache in reversed(list(zip(self.layers, caches))[first:]):
            dy = layer.backward(dy, cache, need_dx or layer is not self.layers[first], need_dparams)
        return dy if need_dx else None

    def input_gradient(self, dy, caches):  # (N, M) -> (N, K), and the dy of each layer
        """(dx, dys): backward without parameter gradients, keeping what double_backward will want to know."""
        dys = []
        for layer, cache in zip(reversed(self.layers), reversed(caches)):
            dys.insert(0, dy)
            dy = layer.backward(dy, cache, need_dparams=False)
        return dy, dys

    def double_backward(self, ddx, dys, caches):  # (N, K) -> (N, M), and (N, K) or None
        """As a layer's, with the dy of each layer, which input_gradient gave out."""
        dxs, dx = [], None
        for layer, dy, cache in zip(self.layers, dys, caches):
            ddx, more = layer.double_backward(ddx, dy, cache)
            dxs.append(more)
        if any(more is not None for more in dxs):  # these go down to the layers below, like any gradient
            written = self.dtheta.copy()
            self.dtheta[...] = 0
            for layer, cache, more in zip(reversed(self.layers), reversed(caches), reversed(dxs)):
                dx = None if dx is None else layer.backward(dx, cache)
                dx = more if dx is None else dx if more is None else dx + more
            self.dtheta += written
        return ddx, dx

    def __repr__(self):
        return f"Sequential([{', '.join(map(repr, self.layers))}])"
