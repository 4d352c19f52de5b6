"""Optimizers: from a gradient to a step; and the average of weights.

All of them work on one flat vector of parameters, theta, in place, and its gradient, dtheta, of
the same shape (P,) and dtype (see network.py).

SGD
    dtheta points to where L grows fastest, so walk the other way.

        theta = theta - lr * dtheta

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

WeightAverage
    Two networks that chase each other never come to rest: each step is noisy, and the generator
    circles around a good place. The mean of its last weights lies nearer to it than most of
    them. (Polyak & Juditsky 1992; for GANs, Yazici et al. 2019.) We keep a running average, and
    sample from that:

        average = average + (1 - decay) * (theta - average)

    with decay growing as (1 + n) / (10 + n), n = 0, 1, ..., up to its final value (the `num_updates`
    rule of TensorFlow's ExponentialMovingAverage). After n steps that is a memory of about the
    last n/9 of them: the first weights, which are no good, are soon forgotten, and the longer we
    train, the calmer the average. A final value of 0.9999 is reached after 90,000 steps.

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

from minigan.backend import array_module


class SGD:
    """Stochastic gradient descent; lr is the learning rate."""

    def __init__(self, theta, lr):
        self.theta, self.lr = theta, lr

    def step(self, dtheta):
        check_like(self.theta, dtheta)
        self.theta -= self.lr * dtheta


class Adam:
    """Adam, exactly as in algorithm 1 of the paper; its defaults too."""

    def __init__(self, theta, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
        self.theta, self.lr, self.beta1, self.beta2, self.eps = theta, lr, beta1, beta2, eps
        self.m, self.v, self.t = 0 * theta, 0 * theta, 0
        # Millions of numbers do not fit into a processor's cache, so on the host we walk through
        # them in pieces that do, and do all of the arithmetic on one piece before the next.
        on_host = array_module(theta).__name__ == "numpy"
        self.piece = min(theta.size, 1 << 14) if on_host else theta.size
        self.scratch = theta[:self.piece].copy(), theta[:self.piece].copy()

    def step(self, dtheta):
        """The formula of the page above, piece by piece and without new arrays: `plain_step`
        is the same in one go."""
        check_like(self.theta, dtheta)
        self.t += 1
        xp = array_module(dtheta)
        correct1, correct2 = 1 - self.beta1 ** self.t, 1 - self.beta2 ** self.t
        for start in range(0, dtheta.size, self.piece):
            part = slice(start, start + self.piece)
            g, m, v, theta = dtheta[part], self.m[part], self.v[part], self.theta[part]
            a, b = self.scratch[0][:g.size], self.scratch[1][:g.size]
            m *= self.beta1
            xp.multiply(g, 1 - self.beta1, out=a)
            m += a
            v *= self.beta2
            xp.multiply(g, g, out=a)
            a *= 1 - self.beta2
            v += a
            xp.multiply(m, self.lr / correct1, out=a)
            xp.sqrt(v, out=b)
            b *= 1 / math.sqrt(correct2)
            b += self.eps
            a /= b
            theta -= a

    def plain_step(self, dtheta):
        """What `step` computes, as one would write it down."""
        self.t += 1
        xp, g = array_module(dtheta), dtheta
        self.m[...] = self.beta1 * self.m + (1 - self.beta1) * g
        self.v[...] = self.beta2 * self.v + (1 - self.beta2) * g * g
        m_hat = self.m / (1 - self.beta1 ** self.t)
        v_hat = self.v / (1 - self.beta2 ** self.t)
        self.theta -= self.lr * m_hat / (xp.sqrt(v_hat) + self.eps)


class WeightAverage:
    """A running average of theta, kept in `average`, an array like it."""

    def __init__(self, average, decay=0.9999):
        self.average, self.decay, self.n = average, decay, 0

    def step(self, theta):
        check_like(self.average, theta)
        decay = min(self.decay, (1 + self.n) / (10 + self.n))
        self.average += (1 - decay) * (theta - self.average)
        self.n += 1


def check_like(theta, dtheta):
    """Raise ValueError where a gradient of another shape or dtype would be stretched or cast."""
    if dtheta.shape != theta.shape or dtheta.dtype != theta.dtype:
        raise ValueError(f"{dtheta.dtype} of shape {dtheta.shape} does not fit parameters"
                         f" that are {theta.dtype} of shape {theta.shape}")
