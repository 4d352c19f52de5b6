"""Double gradient check: compare a double_backward with central differences.

The idea
    gradcheck.py compares a backward with central differences of L = sum of dy * y. The same method
    works for a double backward. Take P = sum of ddx * dx for some fixed ddx, where dx is the result
    of backward. `double_backward(ddx, dy, cache)` must return the gradients of P with respect to dy
    and x, and must write its gradient with respect to each parameter. gan/gradient_penalty.py
    explains what these gradients are for.

>>> from minigan.nn.activations import Tanh
>>> for check in check_double_backward(Tanh(), np.array([[0.5, -1.0]])): print(check.name, check.ok)
ddy True
dx True
"""

import numpy as np

from minigan.nn.gradcheck import Check, compare, repeatable_forward
from minigan.nn.layer import Layer


def check_double_backward(
    layer: Layer, x: np.ndarray, *, train: bool = False, seed: int = 0
) -> list[Check]:
    """Check ddy, dx and each parameter gradient of a layer's double_backward.

    They are gradients of P = sum of ddx * dx, for a random ddx and the dx that backward returns.
    """
    x = np.array(x)
    rng = np.random.default_rng(seed + 1)
    forward = repeatable_forward(layer, train, seed)
    dy, ddx = rng.standard_normal(forward(x)[0].shape), rng.standard_normal(x.shape)
    given = layer.input_gradient(dy, forward(x)[1])[1] if hasattr(layer, "input_gradient") else dy
    # leaves gradients that double_backward must replace, even where its own are 0
    layer.backward(dy, forward(x)[1])
    for _ in range(2):  # the second call shows whether it replaces the gradients or adds to them
        ddy, dx = layer.double_backward(ddx, given, forward(x)[1])
    analytic = {
        "ddy": ddy,
        "dx": 0 * x if dx is None else dx,
        **{"d" + name: np.array(getattr(layer, "d" + name)) for name in layer.param_names},
    }
    arrays = [dy, x, *(getattr(layer, name) for name in layer.param_names)]
    return [
        compare(
            name, gradient, lambda: float((ddx * layer.backward(dy, forward(x)[1])).sum()), array
        )
        for (name, gradient), array in zip(analytic.items(), arrays)
    ]
