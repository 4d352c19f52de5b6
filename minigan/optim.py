"""Optimizers: from a gradient to a step; and the average of weights.

All of them work on one flat vector of parameters, theta, in place, and its gradient, dtheta, of
the same shape (P,) and dtype (see network.py).

SGD
    dtheta points to where L grows fastest, so walk the other way.

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

    beta1 and beta2, such as 0.9 and 0.999, say how much of the old average is kept; eps, 1e-8, keeps
    from dividing by 0. Both begin at 0, which is too low at first: if every g were the same, then after t steps
    m = (1 - beta1^t) g. Dividing by that factor puts it right, and likewise for v:

        theta = theta - lr * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

    With the first gradient that is a step of lr * g / (|g| + eps): lr, in the direction of -g.

    decay  (Loshchilov & Hutter 2019, "AdamW", algorithm 2; as in PyTorch, times lr)
    Each step also shrinks every weight by its share lr * decay, before the rest:

        theta = theta - lr * decay * theta

    What is not pushed back again and again fades; so weights cannot grow for ever, and the tanh
    at the end of a generator is not driven to plain black and white (docs/recipe.md).

WeightAverage
    Two networks that chase each other never come to rest: each step is noisy, and the generator
    circles around a good place. The mean of its last weights lies nearer to it than most of
    them. (Polyak & Juditsky 1992; for GANs, Yazici et al. 2019.) We keep a running average, and
    sample from that:

        average = average + (1 - decay) * (theta - average)

    with decay growing as (1 + n) / (6 + n), n = 0, 1, ..., up to its final value. After n steps that
    is a memory of about the last fifth of them: the first weights, which are no good, are soon
    forgotten, and the longer we train, the calmer the average. A final value of 0.9999 is reached
    after 50,000 steps. (TensorFlow's ExponentialMovingAverage has a 10 for our 6, a ninth of the
    steps; docs/recipe.md says what that gives.)

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
    """Stochastic gradient descent; lr is the learning rate. Both it and the momentum may be changed
    from step to step."""

    def __init__(self, theta, lr, momentum=0.0):
        self.theta, self.lr, self.momentum = theta, lr, momentum
        self.velocity, self.pieces = 0 * theta, pieces(theta)

    def step(self, dtheta):
        check_like(self.theta, dtheta)
        for piece in self.pieces:
            roll(self.theta[piece], self.velocity[piece], dtheta[piece], float(self.lr), float(self.momentum))


class Adam:
    """Adam, exactly as in algorithm 1 of the paper; its defaults too. With a decay, AdamW.

    `plain_step` is the formula as one would write it down; `step` is the same in fewer operations.
    It keeps sums instead of averages, s = m / (1 - beta1) and q = v / (1 - beta2), and draws all
    constants together:

        s = beta1 s + g
        q = beta2 q + g²
        theta = theta - rate * s / (sqrt(q) + eps / r)

    where r = sqrt((1 - beta2) / (1 - beta2^t)) and rate = lr (1 - beta1) / (1 - beta1^t) / r.
    With beta1 = 0, s is g, and there is nothing to keep.
    """

    def __init__(self, theta, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, decay=0.0):
        self.theta, self.lr, self.beta1, self.beta2, self.eps, self.decay = theta, lr, beta1, beta2, eps, decay
        self.s, self.q, self.t = 0 * theta, 0 * theta, 0
        self.pieces = pieces(theta)

    def step(self, dtheta):
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
        """What `step` computes, in the letters of the paper."""
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
    """Slices that cover theta. Millions of numbers do not fit into a processor's cache; walking
    through them piece by piece, doing all of the arithmetic on one before the next, they are
    fetched from memory once. On a device one piece is all, since each operation costs a launch."""
    size = size if array_module(theta).__name__ == "numpy" else max(1, theta.size)
    return [slice(start, start + size) for start in range(0, theta.size, size)]


def check_like(theta, dtheta):
    """Raise ValueError where a gradient of another shape or dtype would be stretched or cast."""
    if dtheta.shape != theta.shape or dtheta.dtype != theta.dtype:
        raise ValueError(f"{dtheta.dtype} of shape {dtheta.shape} does not fit parameters"
                         f" that are {theta.dtype} of shape {theta.shape}")
