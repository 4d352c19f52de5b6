"""Binary cross-entropy: the loss of a classifier with two classes, from probabilities and from
logits.

The idea
    The discriminator outputs p, its probability that an image is real. The target t is 1 for real
    and 0 for fake. A confident wrong answer should have a large loss. The loss of one example is
    therefore -log of the probability of the correct class, which is p if t = 1 and 1 - p if t = 0.

Forward, from probabilities
    One formula covers both cases; L is its mean over the N outputs:

        L = mean of  -t log(p) - (1 - t) log(1 - p)          Bishop 2006, equation 4.90, over N

Backward
    The derivative of log(p) is 1/p, so the derivative of one output's loss is
    -t/p + (1 - t)/(1 - p). Over the common denominator p (1 - p) the numerator is
    -t (1 - p) + (1 - t) p = p - t. The mean contributes the factor 1/N:

        dp = (p - t) / (p (1 - p)) / N

Why this form breaks
    p comes from a sigmoid, which in float32 is exactly 1 for inputs above about 17. In that case
    1 - p is 0, its logarithm is -inf, dp divides by zero, and training ends in NaN. The problem is
    avoidable, because dp divides by p (1 - p), and the backward of the sigmoid multiplies by
    p (1 - p) again.

Forward, from logits
    Let the network end without a sigmoid. Its output is then an unbounded number a, the logit.
    Substitute p = sigmoid(a) = 1/(1 + e^-a), for which 1 - p = 1/(1 + e^a). With

        softplus(a) = log(1 + e^a)

    we have -log(1 - p) = softplus(a) and -log(p) = softplus(-a). Factoring e^a out of the sum in
    the logarithm gives log(1 + e^a) = log(e^a (e^-a + 1)) = a + log(1 + e^-a), that is,

        softplus(a) = a + softplus(-a)

    Hence -log(p) = softplus(a) - a, and t (softplus(a) - a) + (1 - t) softplus(a) simplifies to

        L = mean of  softplus(a) - t a

    The same identity shows how to compute softplus without overflow: use its right side for a > 0,
    and its left side otherwise. Both are max(a, 0) + log(1 + e^-|a|).

Backward
    The derivative of softplus is e^a / (1 + e^a), the sigmoid. Hence

        da = (sigmoid(a) - t) / N

    This is prediction minus target, and it is accurate for every a.

Shapes
    a, p and their gradients have one shape, such as (N, 1); t has the same shape or is a single
    number. N is the number of elements of a. L has shape () and stays on the device of a; float(L)
    copies it to the host.

>>> import numpy as np
>>> a = np.array([[0.0], [2.0]])
>>> L, da = bce_with_logits(a, np.array([[1.0], [0.0]]))
>>> round(float(L), 4), da.round(4).tolist()        # (log 2 + softplus(2)) / 2
(1.41, [[-0.25], [0.4404]])
>>> L, dp = bce(sigmoid(a), np.array([[1.0], [0.0]]))
>>> round(float(L), 4)
1.41
>>> L, da = bce_with_logits(np.float32([[1000.0], [-1000.0]]), 0.0)
>>> float(L), da.tolist()
(500.0, [[0.5], [0.0]])
"""

from minigan.backend import Array, fused, get_array_module
from minigan.nn.activations import sigmoid


@fused
def softplus(a: Array) -> Array:
    """log(1 + e^a), elementwise, without overflow for any a."""
    xp = get_array_module(a)
    return xp.maximum(a, 0) + xp.log1p(xp.exp(-xp.abs(a)))


def bce_with_logits(logits: Array, targets: Array | float) -> tuple[Array, Array]:
    """(L, dlogits) of binary cross-entropy for logits and targets in [0, 1]; the form to use.

    Raises TypeError unless logits are floating-point, and ValueError if targets is an array whose
    shape or dtype differs from that of logits.
    """
    check_targets(logits, targets)
    loss, dlogits = elementwise_bce(logits, targets)
    return loss.mean(), dlogits / logits.size


@fused
def elementwise_bce(a: Array, t: Array | float) -> tuple[Array, Array]:
    """(softplus(a) - t a, sigmoid(a) - t): the loss of each logit, and its derivative."""
    return softplus(a) - t * a, sigmoid(a) - t


def bce(p: Array, targets: Array | float) -> tuple[Array, Array]:
    """(L, dp) of binary cross-entropy for probabilities p; the textbook form.

    Where p is exactly 0 or 1, it is infinite or NaN, with a warning from NumPy. The docstring of
    the module explains why. Raises the same errors as bce_with_logits.
    """
    check_targets(p, targets)
    t, log = targets, get_array_module(p).log
    L = -(t * log(p) + (1 - t) * log(1 - p)).mean()
    return L, (p - t) / (p * (1 - p)) / p.size


def check_targets(outputs: Array, targets: Array | float) -> None:
    """Raise TypeError unless outputs are floating-point, and ValueError unless targets is a number
    or an array of the shape and dtype of outputs.
    """
    if outputs.dtype.kind != "f":
        raise TypeError(
            f"a loss expects float32 or float64, not {outputs.dtype} of shape {outputs.shape}"
        )
    if not isinstance(targets, (int, float)) and (
        targets.shape != outputs.shape or targets.dtype != outputs.dtype
    ):
        raise ValueError(
            f"targets ({targets.dtype}, shape {targets.shape}) do not match"
            f" outputs ({outputs.dtype}, shape {outputs.shape})"
        )
