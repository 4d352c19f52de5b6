"""Optimizers: from a gradient to a step; and the average of weights.

All of them work on one flat vector of parameters, theta, in place, and its gradient, dtheta, of
the same shape (P,) and dtype (see network.py). The gradient is that of a batch, not of all examples
there are: it is a little wrong, each time in another way.

SGD  (stochastic gradient descent)
    A small move of theta changes L by the sum of move * dtheta. Of all moves of the same length, that is
    largest along dtheta: there L grows fastest. So walk the other way; the learning rate lr says how far.

        theta = theta - lr * dtheta

    With momentum, we walk like a ball that rolls: it keeps a share of its velocity, and the
    gradient pushes it. Steps that agree add up; those that do not cancel.

        velocity = momentum * velocity - lr * dtheta
        theta = theta + velocity                        Polyak 1964; Sutskever et al. 2013, equations 1, 2

Adam  (Kingma & Ba 2015, algorithm 1, in its letters: g the gradient, m and v its moments)
    Gradients are noisy, and of very different size from weight to weight. So keep two running
    averages of each weight's gradient: m, of the gradient itself, and v, of its square; then
    step in the direction of m, measured in units of sqrt(v). A weight whose gradient always
    points the same way moves by about lr, however small that gradient; one whose gradient is
    mere noise hardly moves.

        m = beta1 m + (1 - beta1) g
        v = beta2 v + (1 - beta2) g²

    beta1 and beta2, such as 0.9 and 0.999, say how much of the old average is kept. Both averages begin
    at 0, which is too low at first: if every g were the same, what m lacks of it would be multiplied by
    beta1 at each step, so after t steps m = (1 - beta1^t) g. Dividing by that factor puts it right, and
    likewise for v. A small eps keeps from dividing by 0:

        theta = theta - lr * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

    With the first gradient that is a step of lr * g / (|g| + eps): lr, in the direction of -g.

The same in fewer operations
    `plain_step` is that formula as it stands, `step` a faster form. Instead of m and v it keeps the sums

        s = beta1 s + g
        q = beta2 q + g²

    Times 1 - beta1, the first is the line of m again, so m = (1 - beta1) s; likewise v = (1 - beta2) q.
    Put both into theta's line. With r = sqrt((1 - beta2) / (1 - beta2^t)) its root is r sqrt(q). Divide
    above and below by r, and all constants have come together, each computed once a step:

        theta = theta - rate * s / (sqrt(q) + eps / r)        rate = lr (1 - beta1) / (1 - beta1^t) / r

    With beta1 = 0, s is g, and there is nothing to keep.

AdamW  (Loshchilov & Hutter 2019, algorithm 2; as in PyTorch, times lr)
    With a `decay`, each step also shrinks every weight by its share lr * decay, before the rest:

        theta = theta - lr * decay * theta

    What is not pushed back again and again fades, so weights cannot grow for ever.

WeightAverage
    Two networks that play against each other never come to rest: each step is noisy, and the generator
    circles around a good place. The mean of its last weights lies nearer to it than most of them.
    (Polyak & Juditsky 1992; for GANs, Yazici et al. 2019.) So keep a running average, and draw with that:

        average = average + (1 - decay) * (theta - average)

    with decay growing as (1 + n) / (6 + n), n = 0, 1, ..., up to its final value. Then two thirds of the
    average come from the last fifth of all steps: the first weights, which are no good, are soon forgotten,
    and the longer we train, the calmer the average. A final 0.9999 is reached after 50,000 steps.
    (TensorFlow's ExponentialMovingAverage has a 10 for our 6: so much comes from the last ninth, then.
    docs/recipe.md says what that gives.)

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

from minigan.backend import array_module, fused


class SGD:
    """Stochastic gradient descent. Both lr and momentum may be changed from step to step."""

    def __init__(self, theta, lr, momentum=0.0):
        self.theta, self.lr, self.momentum = theta, lr, momentum
        self.velocity, self.pieces = 0 * theta, pieces(theta)

    def step(self, dtheta):
        """Move theta by one step against its gradient dtheta (P,). Raises ValueError if that has not theta's shape and dtype."""
        check_like(self.theta, dtheta)
        for piece in self.pieces:
            roll(self.theta[piece], self.velocity[piece], dtheta[piece], float(self.lr), float(self.momentum))


class Adam:
    """Adam, exactly as in algorithm 1 of the paper; its defaults too. With a decay, AdamW."""

    def __init__(self, theta, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, decay=0.0):
        self.theta, self.lr, self.beta1, self.beta2, self.eps, self.decay = theta, lr, beta1, beta2, eps, decay
        self.s, self.q, self.t = 0 * theta, 0 * theta, 0
        self.pieces = pieces(theta)

    def step(self, dtheta):
        """The same by Adam's rule."""
        check_like(self.theta, dtheta)
        self.t += 1
        r = math.sqrt((1 - self.beta2) / (1 - self.beta2 ** self.t))
        rate = self.lr * (1 - self.beta1) / (1 - self.beta1 ** self.t) / r
        for piece in self.pieces:
            theta, g, s, q = self.theta[piece], dtheta[piece], self.s[piece], self.q[piece]
            constants = self.beta2, rate, self.eps / r, 1 - self.lr * self.decay
            if self.beta1:
                adam(theta, g, s, q, self.beta1, *constants)
            else:
                adam_without_memory(theta, g, g, q, *constants)

    def plain_step(self, dtheta):
        """What `step` computes, in the letters of the paper; dtheta (P,)."""
        self.t += 1
        xp, g, beta1, beta2 = array_module(dtheta), dtheta, self.beta1, self.beta2
        m, v = (1 - beta1) * self.s, (1 - beta2) * self.q
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        m_hat = m / (1 - beta1 ** self.t)
        v_hat = v / (1 - beta2 ** self.t)
        self.theta -= self.lr * self.decay * self.theta
        self.theta -= self.lr * m_hat / (xp.sqrt(v_hat) + self.eps)
        self.s[...], self.q[...] = m / (1 - beta1), v / (1 - beta2)


class WeightAverage:
    """A running average of theta, kept in `average`, an array like it."""

    def __init__(self, average, decay=0.9999):
        self.average, self.decay, self.n = average, decay, 0
        self.pieces = pieces(average)

    def step(self, theta):
        """Move the average towards theta (P,)."""
        check_like(self.average, theta)
        decay = min(self.decay, (1 + self.n) / (6 + self.n))
        for piece in self.pieces:
            approach(self.average[piece], theta[piece], 1 - decay)
        self.n += 1


@fused
def roll(theta, velocity, g, lr, momentum):
    """A step of SGD, in place."""
    velocity *= momentum
    velocity -= lr * g
    theta += velocity


@fused
def adam(theta, g, s, q, beta1, *constants):
    """The three lines of Adam, in place."""
    s *= beta1
    s += g
    adam_without_memory(theta, g, s, q, *constants)


@fused
def adam_without_memory(theta, g, s, q, beta2, rate, eps, left):
    """The last two of them; `left` is what decay leaves of theta."""
    q *= beta2
    q += g * g
    theta *= left
    theta -= rate * s / (array_module(q).sqrt(q) + eps)


@fused
def approach(average, theta, share):
    """average = average + share (theta - average), in place."""
    average += share * (theta - average)


def pieces(theta, size=1 << 16):
    """Slices that cover theta (P,). Millions of numbers do not fit into a processor's cache; walking
    through them piece by piece, doing all of the arithmetic on one before the next, they are
    fetched from memory once. On a device one piece is all, since each operation costs a launch."""
    size = size if array_module(theta).__name__ == "numpy" else max(1, theta.size)
    return [slice(start, start + size) for start in range(0, theta.size, size)]


def check_like(theta, dtheta):
    """Raise ValueError where a gradient of another shape or dtype would be stretched or cast."""
    if dtheta.shape != theta.shape or dtheta.dtype != theta.dtype:
        raise ValueError(f"{dtheta.dtype} of shape {dtheta.shape} does not fit parameters"
                         f" that are {theta.dtype} of shape {theta.shape}")
