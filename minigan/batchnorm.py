"""BatchNorm: every feature with mean 0 and variance 1 over the batch.

The idea
    A layer learns while the layers before it change what it is given. So give each feature a fixed
    scale: take away its mean over the batch, divide by its standard deviation, and let two learned
    numbers, gamma and beta, say which scale and mean it should have instead.
    Ioffe & Szegedy 2015, algorithm 1.

    An image that is drawn should not depend on its neighbours in the batch. So while it trains the
    layer keeps running averages of mean and variance, and uses those when it samples. They are not
    parameters, since no gradient moves them, but they belong to the trained network: they are
    its `state`, saved and moved with it (see network.py).

Forward
    training:  m = mean of x,  v = mean of (x - m)²       over the R rows of the batch: a feature is
               xhat = (x - m) / sqrt(v + eps)             an image's number, or a channel of every pixel;
                                                          eps keeps from dividing by 0
               y = gamma * xhat + beta
               mean <- mean + momentum (m - mean),  var <- var + momentum (R/(R - 1) v - var)
    sampling:  the same with the running mean and var in place of m and v

    R/(R - 1) makes of the batch's variance an unbiased estimate of that of all images.

Backward
    One feature: y_r = gamma xhat_r + beta, so dbeta = sum of dy, dgamma = sum of dy xhat, and
    dxhat = gamma dy. Sampling, m and v are constants, and dx = dxhat / sqrt(v + eps). Training,
    each x_r moves all of xhat, by way of m and v. Let sd = sqrt(v + eps), and nudge x_r by h. Then m
    moves by h/R. And v, the mean of (x_j - m)², moves by 2/R (x_r - m) h: what comes by way of m is
    -2/R h/R times the sum of all x_j - m, and that is 0. So 1/sd = (v + eps)^(-1/2) moves by
    -1/(2 sd³) 2/R (x_r - m) h = -xhat_r h / (R sd²), and xhat_j = (x_j - m) / sd, for h = 1, by

        (1 if j is r, else 0) / sd  -  1/R / sd  -  (x_j - m) xhat_r / (R sd²)
        = ((1 if j is r, else 0)  -  1/R  -  xhat_j xhat_r / R) / sd

    Multiply by dxhat_j and sum over j:

        dx_r = (dxhat_r - mean of dxhat - xhat_r * mean of dxhat xhat) / sd

    What is common to the whole batch has no effect on L; and what only stretches it has none, but
    for eps.

Shapes
    x, y (N, K) or (N, H, W, K); gamma, beta, mean, var (K,); R = N or N H W. The cache is
    (x - m, sd, whether it was training, shape of x).

>>> import numpy as np
>>> layer = BatchNorm(1, dtype="float64")
>>> y, cache = layer.forward(np.array([[1.0], [2.0], [6.0]]), train=True)
>>> y.round(2).ravel().tolist()                     # mean 3, variance 14/3
[-0.93, -0.46, 1.39]
>>> layer.mean.round(3).tolist(), layer.var.round(3).tolist()     # a tenth of the way to 3 and 7
([0.3], [1.6])
>>> layer.backward(np.array([[1.0], [1.0], [1.0]]), cache).tolist()     # a common push does nothing
[[0.0], [0.0], [0.0]]
"""
import numpy as np

from minigan.conv import sum_of_rows
from minigan.layer import Layer, check_ddx, check_dy, check_float


class BatchNorm(Layer):
    """Normalises each of n features; eps and momentum as in PyTorch."""

    names, states = ("gamma", "beta"), ("mean", "var")

    def __init__(self, n, eps=1e-5, momentum=0.1, dtype="float32"):
        self.gamma, self.beta = np.ones(n, dtype), np.zeros(n, dtype)
        self.dgamma, self.dbeta = 0 * self.gamma, 0 * self.beta
        self.mean, self.var = np.zeros(n, dtype), np.ones(n, dtype)
        self.eps, self.momentum = eps, momentum

    def forward(self, x, train=False, rng=None):
        check_float(self, x)
        if x.ndim < 2 or x.shape[-1] != len(self.gamma):
            raise ValueError(f"{self!r} wants x of shape (..., {len(self.gamma)}), not {x.shape}")
        if x.dtype != self.gamma.dtype:
            raise TypeError(f"{self!r} has {self.gamma.dtype} parameters but got {x.dtype} x of shape {x.shape}")
        rows, m, v = x.reshape(-1, x.shape[-1]), self.mean, self.var
        R = len(rows)
        if train and R < 2:
            raise ValueError(f"{self!r} cannot train on a single example, x of shape {x.shape}: it has no variance")
        if train:
            m = sum_of_rows(rows) / R
        centred = rows - m
        if train:
            v = sum_of_rows(centred * centred) / R
            self.mean += self.momentum * (m - self.mean)
            self.var += self.momentum * (R / (R - 1) * v - self.var)
        sd = (v + self.eps) ** 0.5
        y = centred * (self.gamma / sd)
        y += self.beta
        return y.reshape(x.shape), (centred, sd, train, x.shape)

    def backward(self, dy, cache, need_dx=True, need_dparams=True):
        centred, sd, train, shape = cache
        check_dy(self, dy, shape)
        rows, R = dy.reshape(centred.shape), len(centred)
        dbeta, dgamma = sum_of_rows(rows), sum_of_rows(rows * centred) / sd
        if need_dparams:
            self.dgamma[...], self.dbeta[...] = dgamma, dbeta
        if not need_dx:
            return None
        dx = rows * (self.gamma / sd)                     # dxhat / sd
        if train:                                         # less the two means, which are gamma times those of dy and dy xhat
            dx -= centred * (self.gamma / sd * dgamma / (R * sd))
            dx -= self.gamma / sd * dbeta / R
        return dx.reshape(shape)

    def double_backward(self, ddx, dy, cache):  # sampling, it is a multiplication by gamma / sd
        centred, sd, train, shape = cache
        check_ddx(self, ddx, shape)
        if train:
            raise NotImplementedError(f"{self!r} has no double_backward while it trains: it mixes the images of a batch, so that"
                                      " none has a slope of its own. Choose a discriminator without batch norm, or no penalty")
        self.dgamma[...], self.dbeta[...] = sum_of_rows((ddx * dy).reshape(centred.shape)) / sd, 0
        return ddx * (self.gamma / sd), None

    def __repr__(self):
        return f"BatchNorm({len(self.gamma)})"
