"""Gradient check: how a page proves itself.

The idea
    A derivative is a promise: nudge this number by h, and L moves by (derivative) * h. So nudge
    it and see. If a backward was derived wrongly, or typed wrongly, the two will not agree.

Forward
    Move one number of x up by h and down by h, all others held still:

        derivative  ~  (L(x + h) - L(x - h)) / 2h            the central difference

Which h
    Taylor's series about x says L(x ± h) = L ± hL' + h²/2 L'' ± h³/6 L''' + ... The even terms
    cancel, and what is left over is an error of h²/6 L'''. (One-sided, (L(x + h) - L(x)) / h would
    be off by h/2 L'', which is far more.) So the smaller h, the better, but only up to a point. L is
    rounded, by about eps = 2e-16 of itself, and dividing by h makes that eps/h.

    Where L and L''' are about 1, the two errors together, h²/6 + eps/h, are least where their slope
    h/3 - eps/h² is 0. That is h = (3 eps)^(1/3), about 1e-5, and leaves an error of some 4e-11; so does
    6e-6, which we take. In float32 eps is 1e-7, and no h leaves less than 1e-5: too coarse to find a small
    mistake. So we check in float64. (Press et al. 2007, "Numerical Recipes", section 5.7)

Backward
    A layer gives out an array, not one number. We make the number L = sum of dy * y, for some
    dy: then its derivative with respect to y is that dy, and `backward(dy)` must give dx. Which
    dy? A random one. With dy = 1 everywhere, a backward that exchanges the rows of dy, or transposes
    it, would pass.

What it cannot see
    That forward computes the wrong thing: sigmoid(2x) with the derivative of sigmoid(2x) passes.
    The tests therefore compare every forward with a second formula too.

Shapes
    x of any shape, and its gradient like it, float64. Each number of x costs two forwards: keep x small.

>>> from minigan.activations import Tanh
>>> for check in check_layer(Tanh(), np.array([[0.5, -1.0]])): print(check.name, check.ok)
dx True
>>> class Wrong(Tanh):
...     def backward(self, dy, y, need_dx=True, need_dparams=True):
...         return 2 * dy * (1 - y * y)
>>> print(*(check.cause for check in check_layer(Wrong(), np.array([[0.5, -1.0]]))))
it is 2 times what it should be, everywhere: a factor too much, or += where = belongs
"""
import math
from itertools import product
from typing import NamedTuple

import numpy as np

TOLERANCE = 1e-7  # of the relative error; `python demo.py check` shows that right ones stay below 1e-9


class Check(NamedTuple):
    """One gradient against its central differences; `print(check)` says it in words."""

    name: str  # "dx", "dW", ...
    error: float  # the largest difference, relative to the largest entry of either
    index: tuple  # where that is
    analytic: float  # what backward says there
    numeric: float  # what the central difference says there
    cause: str  # what is typically behind such an error; "" if there is none

    @property
    def ok(self):
        """Whether the two agree."""
        return self.error < TOLERANCE

    def __str__(self):
        if self.ok:
            return f"✓ {self.name:8} relative error {self.error:.0e}"
        return (f"✗ {self.name:8} relative error {self.error:.0e}, worst at {list(self.index)}: backward says"
                f" {self.analytic:.6g}, the difference {self.numeric:.6g}. Likely {self.cause}.")


def central_difference(f, x, h=6e-6):
    """The derivative of f() with respect to every number in x, an array that f reads; of x's shape.

    f takes nothing and returns a number. x is float64, and is the same afterwards.
    """
    dx = np.empty_like(x)
    for i in product(*map(range, x.shape)):
        middle = x[i].copy()
        x[i] = middle + h
        above = f()
        x[i] = middle - h
        dx[i] = (above - f()) / (2 * h)
        x[i] = middle
    return dx


def check_layer(layer, x, train=False, seed=0):
    """A list of Checks: dx, and the gradient of each parameter of the layer. x has the shape that it takes.

    x and the parameters are float64. With `train=True` forward gets a fresh generator with this
    seed each time, so that what is random is drawn the same. Raises TypeError for another dtype.
    """
    x, parameters = np.array(x), {name: getattr(layer, name) for name in layer.names}
    for name, array in {"x": x, **parameters}.items():
        if array.dtype != "float64":
            raise TypeError(f"a gradient check wants float64, but {name} is {array.dtype} of shape {array.shape}")

    forward = repeatable(layer, train, seed)

    def backward(x, dy):
        for name in layer.names:
            getattr(layer, "d" + name)[...] = 0
        for _ in range(2):  # the second time shows whether it writes over the first, as it should, or adds
            dx = layer.backward(dy, forward(x)[1])
        return {"x": dx, **{name: np.array(getattr(layer, "d" + name)) for name in layer.names}}

    dy = np.random.default_rng(seed + 1).standard_normal(forward(x)[0].shape)
    loss = lambda: float((dy * forward(x)[0]).sum())
    analytic, last = backward(x, dy), backward(x[-1:], dy[-1:]) if len(x) > 1 and not train else {}
    return [compare("d" + name, analytic[name], loss, array, last.get(name), len(x))
            for name, array in {"x": x, **parameters}.items()]


def repeatable(layer, train, seed):
    """x -> (y, cache), always from the same `states` of the layer, and with the same random numbers."""
    states = [getattr(part, name) for part in getattr(layer, "layers", [layer]) for name in part.states]
    before = [state.copy() for state in states]

    def forward(x):
        for state, was in zip(states, before):
            state[...] = was
        return layer.forward(x, train=train, rng=np.random.default_rng(seed))
    return forward


def check_double_backward(layer, x, train=False, seed=0):
    """The same of the layer's double_backward (skip it, too): a list of Checks of ddy, dx and each parameter's gradient.

    The number is P = sum of ddx * dx, for a random ddx and the dx that backward returns.
    """
    x, rng, forward = np.array(x), np.random.default_rng(seed + 1), repeatable(layer, train, seed)
    dy, ddx = rng.standard_normal(forward(x)[0].shape), rng.standard_normal(x.shape)
    given = layer.input_gradient(dy, forward(x)[1])[1] if hasattr(layer, "input_gradient") else dy
    for _ in range(2):  # as above
        ddy, dx = layer.double_backward(ddx, given, forward(x)[1])
    analytic = {"ddy": ddy, "dx": 0 * x if dx is None else dx, **{"d" + name: np.array(getattr(layer, "d" + name)) for name in layer.names}}
    P = lambda: float((ddx * layer.backward(dy, forward(x)[1])).sum())
    arrays = dy, x, *(getattr(layer, name) for name in layer.names)
    return [compare(name, gradient, P, array) for (name, gradient), array in zip(analytic.items(), arrays)]


def check_loss(loss, z, t):
    """A list with one Check, of the dz that `loss(z, t) -> (L, dz)` returns. z is float64, of the shape that it takes."""
    z = np.array(z)
    if z.dtype != "float64":
        raise TypeError(f"a gradient check wants float64, but z is {z.dtype} of shape {z.shape}")
    return [compare("dz", loss(z, t)[1], lambda: float(loss(z, t)[0]), z, n=z.size)]


def compare(name, analytic, f, x, last=None, n=1):
    """The Check of an analytic gradient of f() with respect to x, which should have x's shape. `last` is
    what it would be if only the last of the n examples existed, where that is known."""
    numeric = central_difference(f, x)
    if analytic is None or analytic.shape != x.shape:
        shape = getattr(analytic, "shape", None)
        return Check(name, math.inf, (), math.nan, math.nan,
                     f"a transposed matrix, or a missing sum: it has shape {shape}, not {x.shape}")
    difference = abs(analytic - numeric)
    index = tuple(map(int, np.unravel_index(difference.argmax(), x.shape)))
    error = difference.max() / max(abs(analytic).max(), abs(numeric).max(), 1e-30)
    error = float(error) if error == error else math.inf  # NaN is not small
    found = Check(name, error, index, float(analytic[index]), float(numeric[index]), "")
    return found if found.ok else found._replace(cause=likely(analytic, numeric, f, x, index, last, n))


def likely(analytic, numeric, f, x, index, last, n):
    """What typically makes a gradient of the shape of x wrong in this way, in words."""
    def same(a, b):
        return a.shape == b.shape and abs(a - b).max() <= 1e-4 * abs(b).max()

    if not np.isfinite(analytic).all():
        return "a division by zero, or an overflow: backward gives NaN or infinity"
    if not analytic.any():
        return "a gradient that is never written: it is 0 everywhere"
    if analytic.ndim == 2 and same(analytic.T, numeric):
        return "a transposed matrix: it is right once rows and columns are exchanged"
    if last is not None and same(analytic, last):
        return "a missing sum over the batch: only the last example counts"
    ratio = float((analytic * numeric).sum() / max((numeric * numeric).sum(), 1e-300))
    if abs(ratio - 1) > 1e-3 and same(analytic, ratio * numeric):
        what = "the sign" if abs(ratio + 1) < 1e-4 else "a factor too much, or += where = belongs" if ratio > 1 else "a factor is missing"
        if abs(ratio * n - 1) < 1e-4 or abs(ratio / n - 1) < 1e-4:
            what = "a sum over the batch where a mean belongs, or the other way round"
        return f"it is {ratio:.4g} times what it should be, everywhere: {what}"
    middle, values = float(x[index]), []
    for h in 6e-6, 0, -6e-6:
        x[index] = middle + h
        values.append(f())
    above, here, below = values
    x[index] = middle
    if abs((above - here) - (here - below)) > 0.01 * abs(above - below):
        return "a kink: the slope differs to the left and to the right of this x, so move x away from it"
    wrong = int((abs(analytic - numeric) > 1e-6 * abs(numeric).max()).sum())
    return f"the formula itself: {wrong} of {analytic.size} entries are wrong, by no common factor"
