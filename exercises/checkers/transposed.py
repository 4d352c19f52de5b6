"""Exercise 7."""
import numpy as np

from exercises.checkers.tools import close, demand, forward, gradients, habits, like, locked, worst, written

SIZES = [(1, 2, 0), (2, 2, 0), (2, 4, 1), (1, 3, 1)]  # stride, kernel, padding
X = np.random.default_rng(7).standard_normal((2, 3, 4, 3))  # N, H, W, C; and F will be 2


def by_hand(x, W, stride, padding, add=True):
    """Each number of x lays a kernel upon y, one by one; with add=False over what is there."""
    (n, H, width, C), (k, _, F, _) = x.shape, W.shape
    y = np.zeros((n, (H - 1) * stride + k, (width - 1) * stride + k, F))
    for a, v, u in np.ndindex(n, H, width):
        place = y[a, v * stride:v * stride + k, u * stride:u * stride + k]
        place[...] = (place if add else 0) + W @ x[a, v, u]
    return y[:, padding:y.shape[1] - padding, padding:y.shape[2] - padding]


def check(answer):
    def make(dtype, stride=2, size=4, padding=1):
        return answer.TransposedConvolution(3, 2, size, np.random.default_rng(8), stride, padding, dtype)

    yield "the shape of y"
    for stride, size, padding in SIZES:
        y, _ = forward(make("float64", stride, size, padding), X)
        right = by_hand(X, np.zeros((size, size, 2, 3)), stride, padding).shape
        demand(y.shape == right, f"for x of shape {X.shape}, a kernel of {size} x {size}, stride {stride} and padding {padding} your y"
               f" has the shape {y.shape}, not {right}")

    yield "the values of y"
    for stride, size, padding in SIZES:
        layer = make("float64", stride, size, padding)
        (y, _), right = forward(layer, X), by_hand(X, layer.W, stride, padding)
        where = f" (a kernel of {size} x {size}, stride {stride}, padding {padding})"
        demand(not close(y, 0 * right), f"your y is 0 everywhere{where}")
        if not close(y, right):
            mirrored, last = by_hand(X, layer.W[::-1, ::-1], stride, padding), by_hand(X, layer.W, stride, padding, add=False)
            demand(not close(y, mirrored), f"your kernel is mirrored: nothing is turned around here, neither in A nor in its"
                   f" transpose{where}")
            demand(not close(y, last), f"where kernels overlap the last one wins: they must add up{where}")
            i = worst(y, right)
            demand(False, f"your y at {list(i)} is {y[i]:.4g}, kernels laid one by one give {right[i]:.4g}{where}")

    yield "the shape of dx"
    layer = make("float64")
    y, cache = forward(layer, X)
    like("dx", layer.backward(locked(y), cache), X)

    yield from written(layer, X)
    for stride, size, padding in SIZES[2:]:
        yield from gradients(make("float64", stride, size, padding), X)
    yield from habits(make, X)
