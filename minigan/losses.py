"""Binary cross-entropy: the price of a wrong guess between two classes.

The idea
    The discriminator answers with p, its probability that an image is real. The target t is 1
    for real, 0 for fake. Being sure and wrong must cost a lot: the price is -log of the
    probability that was given to what is true, which is p if t = 1, and 1 - p if t = 0.

Forward, on probabilities
    Both cases in one formula, and the mean over the N answers:

        L = mean of  -t log(p) - (1 - t) log(1 - p)          Bishop 2006, equation 4.90, over N

Backward
    The derivative of log(p) is 1/p. So per answer the slope is -t/p + (1 - t)/(1 - p). Over the common
    denominator p (1 - p), that has -t (1 - p) + (1 - t) p = p - t above; and 1/N comes from the mean:

        dp = (p - t) / (p (1 - p)) / N

Why it breaks
    p comes out of a sigmoid, which in float32 is exactly 1 from about 17 on. Then 1 - p is 0,
    its logarithm is -inf, and dp divides by zero: the run ends in NaN. But the trouble is man-made:
    dp divides by p (1 - p) only for the sigmoid's own slope, p (1 - p), to multiply it away again.

Forward, on logits
    Let the network end without a sigmoid, in a number z of any size, the "logit", and put
    p = sigmoid(z) = 1/(1 + e^-z) into the formula. Then 1 - p is 1/(1 + e^z). With

        softplus(z) = log(1 + e^z)

    we have -log(1 - p) = softplus(z) and -log(p) = softplus(-z). Take e^z out of what stands in its
    logarithm: log(1 + e^z) = log(e^z (e^-z + 1)) = z + log(1 + e^-z), that is

        softplus(z) = z + softplus(-z)

    So -log(p) = softplus(z) - z, and of t (softplus(z) - z) + (1 - t) softplus(z) remains

        L = mean of  softplus(z) - t z

    The same line shows how to compute softplus. For z > 0 take its right side, else its left: that is
    max(z, 0) + log(1 + e^-|z|), and never overflows.

Backward
    The slope of softplus is e^z / (1 + e^z), which is the sigmoid. So

        dz = (sigmoid(z) - t) / N

    which is right for every z, and as simple as can be: what was said less what was true.

Shapes
    z, p, their gradients and t: all the same, such as (N, 1); or t one number for all. N is how many
    numbers z has. L is a single number, of shape (), and stays where z is: float(L) brings it home.

>>> import numpy as np
>>> z = np.array([[0.0], [2.0]])
>>> L, dz = bce_on_logits(z, np.array([[1.0], [0.0]]))
>>> round(float(L), 4), dz.round(4).tolist()        # (log 2 + softplus(2)) / 2
(1.41, [[-0.25], [0.4404]])
>>> L, dp = bce_on_probabilities(sigmoid(z), np.array([[1.0], [0.0]]))
>>> round(float(L), 4)
1.41
>>> L, dz = bce_on_logits(np.float32([[1000.0], [-1000.0]]), 0.0)
>>> float(L), dz.tolist()
(500.0, [[0.5], [0.0]])
"""
from minigan.activations import sigmoid
from minigan.backend import array_module, fused


@fused
def softplus(z):
    """log(1 + e^z), number by number, for z of any size."""
    xp = array_module(z)
    return xp.maximum(z, 0) + xp.log1p(xp.exp(-xp.abs(z)))


def bce_on_logits(z, t):
    """(L, dz) of binary cross-entropy for logits z and targets t in [0, 1]; the one to use.

    Raises ValueError if t is an array of another shape than z.
    """
    check_target(z, t)
    price, slope = price_and_slope(z, t)
    return price.mean(), slope / z.size


@fused
def price_and_slope(z, t):
    """softplus(z) - t z and sigmoid(z) - t, number by number."""
    return softplus(z) - t * z, sigmoid(z) - t


def bce_on_probabilities(p, t):
    """(L, dp) of binary cross-entropy for probabilities p; the textbook form.

    It is infinite or NaN, with NumPy's warning, where p is exactly 0 or 1: see above for why.
    Raises ValueError if t is an array of another shape than p.
    """
    check_target(p, t)
    log = array_module(p).log
    L = -(t * log(p) + (1 - t) * log(1 - p)).mean()
    return L, (p - t) / (p * (1 - p)) / p.size


def check_target(z, t):
    """Raise TypeError or ValueError unless t is one number, or an array of the shape and dtype of z."""
    if z.dtype.kind != "f":
        raise TypeError(f"a loss wants float32 or float64, not {z.dtype} of shape {z.shape}")
    if not isinstance(t, (int, float)) and (t.shape != z.shape or t.dtype != z.dtype):
        raise ValueError(f"targets {t.dtype} of shape {t.shape} do not fit"
                         f" outputs {z.dtype} of shape {z.shape}")
