"""Optimizers: how the parameters change, given their gradient.

An optimizer updates one flat parameter vector, theta, in place, given its gradient dtheta, which
has the same shape (P,) and dtype (see sequential.py). The gradient comes from a batch, not from the
whole data set, so it is a noisy estimate of the full gradient.

SGD  (stochastic gradient descent)
    A small change of theta changes L by the sum of change * dtheta. Among all changes of the same
    length, that sum is largest in the direction of dtheta, so L grows fastest in this direction.
    SGD steps in the opposite direction. The learning rate lr scales the step.

        theta = theta - lr * dtheta

    With momentum, theta moves like a rolling ball. It keeps a fraction of its velocity, and the
    gradient accelerates it. Gradients that agree from step to step add up, and gradients that
    disagree cancel out.

        velocity = momentum * velocity - lr * dtheta
        theta = theta + velocity                        Polyak 1964; Sutskever et al. 2013,
                                                        equations 1, 2

Adam  (Kingma & Ba 2015, algorithm 1, in its notation: g is the gradient, m and v are its moments)
    Gradients are noisy, and their size differs widely from weight to weight. Adam keeps two running
    averages per weight, m of the gradient and v of its square, and steps against m, measured in
    units of sqrt(v). A weight whose gradient hardly changes from step to step moves by about lr per
    step, however small that gradient is. A weight whose gradient is pure noise hardly moves.

        m = beta1 m + (1 - beta1) g
        v = beta2 v + (1 - beta2) g²

    beta1 and beta2, such as 0.9 and 0.999, are the fractions of the old averages that are kept.
    Both averages start at 0, so at first they are too small. If every g were equal, the difference
    between g and m would be multiplied by beta1 at each step, so after t steps m = (1 - beta1^t) g.
    Dividing m by this factor corrects the bias; v is corrected likewise. A small eps prevents
    division by zero:

        theta = theta - lr * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

    For the first gradient, theta changes by -lr * g / (|g| + eps). Each parameter moves by about
    lr, in the direction that reduces L.

The same in fewer operations
    `plain_step` computes this formula as it stands, and `step` computes a faster form of it.
    Instead of m and v, Adam keeps the sums

        s = beta1 s + g
        q = beta2 q + g²

    Multiplying the first sum by 1 - beta1 gives the update of m, so m = (1 - beta1) s; likewise
    v = (1 - beta2) q. Substitute both into the update of theta. With
    r = sqrt((1 - beta2) / (1 - beta2^t)) the root becomes r sqrt(q). After dividing numerator and
    denominator by r, all constants can be computed once per step:

        theta = theta - rate * s / (sqrt(q) + eps / r)
        rate = lr (1 - beta1) / (1 - beta1^t) / r

    With beta1 = 0 the gradient is not averaged: s is g, and Adam is RMSProp (Hinton 2012, "Neural
    Networks for Machine Learning", lecture 6e) with bias correction.

If beta2 changes
    Some recipes change beta2 during training (see training/schedule.py). If every g were equal, the
    difference between g² and v would be multiplied by the beta2 of each step, so the exact factor
    is v = (1 - the product of all beta2 so far) g². The product takes the place of beta2^t. As
    v = (1 - beta2) q, an earlier q belongs to the earlier beta2: it is multiplied by
    (1 - beta2 before) / (1 - beta2), which leaves v unchanged.

AdamW  (Loshchilov & Hutter 2019, algorithm 2; as in PyTorch, multiplied by lr)
    With weight decay, each step also shrinks every parameter by the fraction lr * weight_decay:

        theta = theta - lr * weight_decay * theta

    Weights that the gradient does not restore decay to zero, and no weight can grow without limit.

Shapes
    theta, dtheta, velocity and the averages (P,); lr, momentum and the betas are numbers.

>>> import numpy as np
>>> theta = np.array([1.0, 1.0])
>>> SGD(theta, lr=0.1).step(np.array([1.0, -2.0])); theta.tolist()
[0.9, 1.2]
>>> theta = np.array([1.0, 1.0])
>>> adam = Adam(theta, lr=0.1)                     # the size of the gradient does not matter
>>> adam.step(np.array([1.0, -0.002])); theta.round(4).tolist()
[0.9, 1.1]
"""

import math

from minigan.backend import Array, fused, get_array_module

OPTIMIZER_ARRAYS = ("s", "q", "velocity")  # what SGD and Adam keep of each parameter


class SGD:
    """Stochastic gradient descent with momentum. lr and momentum may be changed between steps."""

    def __init__(self, theta: Array, lr: float, *, momentum: float = 0.0):
        self.theta, self.lr, self.momentum = theta, lr, momentum
        self.velocity, self.chunks = zeros(theta), chunks(theta)

    def step(self, dtheta: Array) -> None:
        """Update theta from its gradient dtheta (P,).

        Raises ValueError unless dtheta has the shape and dtype of theta.
        """
        check_like(self.theta, dtheta)
        for chunk in self.chunks:
            sgd_momentum(
                self.theta[chunk],
                self.velocity[chunk],
                dtheta[chunk],
                float(self.lr),
                float(self.momentum),
            )


class Adam:
    """Adam, exactly as in algorithm 1 of the paper, with the default values of the paper.

    With a nonzero weight_decay it is AdamW.
    """

    def __init__(
        self,
        theta: Array,
        lr: float = 1e-3,
        *,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ):
        self.theta = theta
        self.lr = lr
        self.beta1 = beta1
        self.beta2 = beta2
        self.eps = eps
        self.weight_decay = weight_decay
        # if beta2 changes: (its value at the previous step, the product of all its values so far)
        self.beta2_history: tuple[float, float] | None = None
        self.s, self.q, self.t = zeros(theta), zeros(theta), 0
        self.chunks = chunks(theta)

    def step(self, dtheta: Array) -> None:
        """Update theta from its gradient dtheta (P,).

        Raises ValueError unless dtheta has the shape and dtype of theta.
        """
        check_like(self.theta, dtheta)
        self.t += 1
        before, product = self.beta2_history or (self.beta2, self.beta2**self.t)
        beta2 = self.beta2 * ((1 - before) / (1 - self.beta2))
        r = math.sqrt((1 - self.beta2) / (1 - product))
        rate = self.lr * (1 - self.beta1) / (1 - self.beta1**self.t) / r
        for chunk in self.chunks:
            theta, g, s, q = self.theta[chunk], dtheta[chunk], self.s[chunk], self.q[chunk]
            constants = beta2, rate, self.eps / r, 1 - self.lr * self.weight_decay
            if self.beta1:
                adam(theta, g, s, q, self.beta1, *constants)
            else:
                rmsprop_bias_corrected(theta, g, g, q, *constants)

    def plain_step(self, dtheta: Array) -> None:
        """The same update as `step`, in the notation of the paper; dtheta (P,)."""
        self.t += 1
        xp, g, beta1, beta2 = get_array_module(dtheta), dtheta, self.beta1, self.beta2
        before, product = self.beta2_history or (beta2, beta2**self.t)
        m, v = (1 - beta1) * self.s, (1 - before) * self.q
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        m_hat = m / (1 - beta1**self.t)
        v_hat = v / (1 - product)
        self.theta -= self.lr * self.weight_decay * self.theta
        self.theta -= self.lr * m_hat / (xp.sqrt(v_hat) + self.eps)
        self.s[...], self.q[...] = m / (1 - beta1), v / (1 - beta2)


class NoOpOptimizer:
    """An optimizer that leaves theta unchanged, for code that needs only the gradient of a training
    step.
    """

    def step(self, dtheta: Array) -> None:
        """Do nothing with dtheta (P,)."""


@fused
def sgd_momentum(theta: Array, velocity: Array, g: Array, lr: float, momentum: float) -> None:
    """One step of SGD, in place."""
    velocity *= momentum
    velocity -= lr * g
    theta += velocity


@fused
def adam(theta: Array, g: Array, s: Array, q: Array, beta1: float, *constants: float) -> None:
    """One step of Adam, in place: the update of s, then that of q and theta."""
    s *= beta1
    s += g
    rmsprop_bias_corrected(theta, g, s, q, *constants)


@fused
def rmsprop_bias_corrected(theta: Array, g: Array, s: Array, q: Array, *constants: float) -> None:
    """The update of q and theta.

    `constants` are beta2, rate, eps / r, and the fraction of theta that is left after weight decay.
    """
    beta2, rate, eps, kept = constants
    q *= beta2
    q += g * g
    theta *= kept
    theta -= rate * s / (get_array_module(q).sqrt(q) + eps)


def zeros(theta: Array) -> Array:
    """Zeros like theta (P,). The system provides their memory only where they are changed."""
    return get_array_module(theta).zeros(theta.shape, theta.dtype)


def chunks(theta: Array, part: slice | None = None, *, size: int = 1 << 16) -> list[slice]:
    """Slices that cover theta (P,), or a part of it.

    Millions of numbers do not fit into a processor's cache. If all arithmetic on one chunk is
    completed before the next chunk begins, each number is fetched from memory only once. On a
    device there is a single chunk, because each operation has a launch cost.
    """
    size = size if get_array_module(theta).__name__ == "numpy" else max(1, theta.size)
    start, stop, _ = (part or slice(None)).indices(theta.size)
    return [slice(i, min(i + size, stop)) for i in range(start, stop, size)]


def check_like(theta: Array, dtheta: Array) -> None:
    """Raise ValueError if dtheta differs in shape or dtype: it would be broadcast or cast."""
    if dtheta.shape != theta.shape or dtheta.dtype != theta.dtype:
        raise ValueError(
            f"a gradient of {dtheta.dtype}, shape {dtheta.shape}, does not match parameters"
            f" of {theta.dtype}, shape {theta.shape}"
        )
