"""BatchNorm: every feature with mean 0 and variance 1 over the batch.

The idea
    A layer learns while the layers before it change what it is given. So give each feature a fixed
    scale: take away its mean over the batch, divide by its standard deviation, and let two learned
    numbers, gamma and beta, say which scale and mean it should have instead. A feature is one of the K
    numbers of an example, or a channel of an image.  Ioffe & Szegedy 2015, algorithm 1.

    An image that is drawn should not depend on its neighbours in the batch. So while it trains the
    layer keeps running averages of mean and variance, and uses those when it samples. They are not
    parameters, since no gradient moves them, but they belong to the trained network: they are
    its `states`, saved and moved with it (see network.py).

    It mixes the images of a batch. So a D that has it wants real images and fakes in two passes
    (`discriminator_step_in_two`).

Forward
    training:  m = mean of x,  v = mean of (x - m)²
               xhat = (x - m) / sqrt(v + eps)
               y = gamma * xhat + beta
               mean <- mean + momentum (m - mean),  var <- var + momentum (R/(R - 1) v - var)
    sampling:  the same with the running mean and var in place of m and v

    The means are over the R rows of the batch: its examples or, where these are images, all their pixels. A
    tiny eps keeps from dividing by 0. R/(R - 1) makes of the batch's variance an unbiased estimate of
    that of all images.

Backward, of one feature
    From y_r = gamma xhat_r + beta, in every row, we read off

        dbeta = sum of dy          dgamma = sum of dy xhat          dxhat_r = gamma dy_r

    Let sd = sqrt(v + eps). When the layer samples, m and v are constants, and dx = dxhat / sd. When it
    trains, each x_r moves all of xhat, by way of m and of v. Nudge x_r by h.

    First, m is the mean of R numbers, so it moves by h / R.

    Second, v is the mean of (x_j - m)². By way of x_r itself it moves by 2/R (x_r - m) h. By way of m it
    does not move: that would be -2/R h/R times the sum of all x_j - m, which is 0.

    Third, 1/sd = (v + eps)^(-1/2). Its slope by v is -1/2 (v + eps)^(-3/2), which is -1 / (2 sd³). So it
    moves by -1 / (2 sd³) times 2/R (x_r - m) h, that is by -xhat_r h / (R sd²).

    Fourth, xhat_j = (x_j - m) (1/sd), where all three move: x_j if j is r, m, and 1/sd. For h = 1 it moves by

        (1 if j is r, else 0) / sd  -  1/R / sd  -  (x_j - m) xhat_r / (R sd²)
        = ((1 if j is r, else 0)  -  1/R  -  xhat_j xhat_r / R) / sd

    Fifth, the chain rule: multiply by dxhat_j and sum over j. The sums over R are means:

        dx_r = (dxhat_r - mean of dxhat - xhat_r * mean of dxhat xhat) / sd

    The middle term says: what is common to the whole batch has no effect on L. The last one says the same
    of what only stretches the batch (but for eps).

Shapes
    x, y (N, K) or (N, H, W, K); gamma, beta, mean, var (K,); R = N or N H W. The cache is
    (x - m, sd, R or, when sampling, 0, shape of x).

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
        rows, R, m, v = x.reshape(-1, x.shape[-1]), 0, self.mean, self.var
        if train:
            R, m = self.total(len(rows), sum_of_rows(rows))
            if R < 2:
                raise ValueError(f"{self!r} cannot train on a single example, x of shape {x.shape}: it has no variance")
            m = m / R
        centred = rows - m
        if train:
            v = self.total(sum_of_rows(centred * centred))[0] / R
            self.mean += self.momentum * (m - self.mean)
            self.var += self.momentum * (R / (R - 1) * v - self.var)
        sd = (v + self.eps) ** 0.5
        y = centred * (self.gamma / sd)
        y += self.beta
        return y.reshape(x.shape), (centred, sd, R, x.shape)

    def backward(self, dy, cache, need_dx=True, need_dparams=True):
        centred, sd, R, shape = cache
        check_dy(self, dy, shape)
        rows = dy.reshape(centred.shape)
        dbeta, dgamma = sum_of_rows(rows), sum_of_rows(rows * centred) / sd
        if need_dparams:
            self.dgamma[...], self.dbeta[...] = dgamma, dbeta
        if not need_dx:
            return None
        if not R:
            return dy * (self.gamma / sd)                 # dxhat / sd
        dbeta, dgamma = self.total(dbeta, dgamma)
        dx = centred * (-dgamma / (R * sd))               # -xhat * mean of dy xhat
        dx += rows                                        # + dy
        dx -= dbeta / R                                   # - mean of dy
        dx *= self.gamma / sd                             # all of them have dxhat = gamma dy instead of dy
        return dx.reshape(shape)

    def total(self, *sums):
        """Sums over all rows of the batch, each (K,) or their number, from the sums over the rows at hand. Here these are all rows;
        where a batch is computed in parts, the sums of all parts are added up."""
        return sums

    def double_backward(self, ddx, dy, cache):  # sampling, it is a multiplication by gamma / sd
        centred, sd, R, shape = cache
        check_ddx(self, ddx, shape)
        if R:
            raise NotImplementedError(f"{self!r} has no double_backward while it trains: it mixes the images of a batch, so that"
                                      " none has a slope of its own. Choose a discriminator without batch norm, or no penalty")
        self.dgamma[...], self.dbeta[...] = sum_of_rows((ddx * dy).reshape(centred.shape)) / sd, 0
        return ddx * (self.gamma / sd), None

    def __repr__(self):
        return f"BatchNorm({len(self.gamma)})"
