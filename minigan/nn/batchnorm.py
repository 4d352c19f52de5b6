"""BatchNorm2d: normalise every channel to mean 0 and variance 1 over the batch.

The idea
    While a layer learns, the layers before it change the distribution of its input. Batch
    normalisation fixes the scale of each feature: it subtracts the mean over the batch and divides
    by the standard deviation. Two learned parameters, gamma and beta, then set the scale and the
    mean that the feature should have. A feature is a channel of an image or, for inputs (N, K), one
    of the K numbers, as in PyTorch's BatchNorm1d. Ioffe & Szegedy 2015, algorithm 1.

    A generated image should not depend on the other images in its batch. During training the layer
    therefore keeps running averages of the mean and the variance, and it uses these averages
    outside of training. They are not parameters, because no gradient updates them. They are buffers
    of the trained network, which are saved and moved with it (see sequential.py).

    The layer mixes the examples of a batch. A discriminator that contains it should therefore
    process real and fake images in two separate passes (`discriminator_step_two_passes`). If a
    batch is computed in parts, its sums have to be over all parts: `all_reduce` adds them up (see
    `Sequential.compute_parts`).

Forward
    training:  m = mean of x,  v = mean of (x - m)²
               xhat = (x - m) / sqrt(v + eps)
               y = gamma * xhat + beta
               mean <- mean + momentum (m - mean),  var <- var + momentum (R/(R - 1) v - var)
    otherwise: the same with the running mean and var in place of m and v

    The means are over the R rows of the batch: its examples or, for images, all their pixels. A
    small eps prevents division by zero. The factor R/(R - 1) makes the variance of the batch an
    unbiased estimate of the variance over all images.

Backward, for one feature
    The formula y_r = gamma xhat_r + beta, for every row r, gives

        dbeta = sum of dy          dgamma = sum of dy xhat          dxhat_r = gamma dy_r

    Let sd = sqrt(v + eps). Outside of training m and v are constants, and dx = dxhat / sd. During
    training each x_r influences every xhat, through m and through v. Suppose that x_r changes by h.

    First, m changes by h / R, because it is the mean of R numbers.

    Second, v is the mean of (x_j - m)². Through x_r itself it changes by 2/R (x_r - m) h. Through m
    it does not change, because that change is -2/R h/R times the sum of all x_j - m, and this sum
    is 0.

    Third, 1/sd = (v + eps)^(-1/2). Its derivative with respect to v is -1/2 (v + eps)^(-3/2), which
    is -1 / (2 sd³). Hence 1/sd changes by -1 / (2 sd³) times 2/R (x_r - m) h, which equals
    -xhat_r h / (R sd²).

    Fourth, xhat_j = (x_j - m) (1/sd). Here m and 1/sd change, and so does x_j if j is r. Per unit
    of h, xhat_j changes by

        (1 if j is r, else 0) / sd  -  1/R / sd  -  (x_j - m) xhat_r / (R sd²)
        = ((1 if j is r, else 0)  -  1/R  -  xhat_j xhat_r / R) / sd

    Fifth, the chain rule says to multiply by dxhat_j and sum over j. Sums divided by R are means:

        dx_r = (dxhat_r - mean of dxhat - xhat_r * mean of dxhat xhat) / sd

    The second term says that a shift common to the whole batch has no effect on L. The third says
    that a change that only scales the batch has no effect either (up to eps).

Shapes
    x, y (N, H, W, K) or (N, K); gamma, beta, mean, var (K,); R = N H W or N. The cache is
    (x - m, sd, R, shape of x); R is 0 outside of training.

>>> import numpy as np
>>> layer = BatchNorm2d(1, dtype="float64")
>>> y, cache = layer.forward(np.array([[1.0], [2.0], [6.0]]), train=True)
>>> y.round(2).ravel().tolist()                     # mean 3, variance 14/3
[-0.93, -0.46, 1.39]
>>> layer.mean.round(3).tolist(), layer.var.round(3).tolist()     # a tenth of the way to 3 and 7
([0.3], [1.6])
>>> layer.backward(np.array([[1.0], [1.0], [1.0]]), cache).tolist()   # a shift has no effect
[[0.0], [0.0], [0.0]]
"""

import numpy as np

from minigan.nn.conv import sum_rows
from minigan.nn.layer import Exported, Layer, check_ddx, check_dy, check_float


class BatchNorm2d(Layer):
    """Normalises num_features features, the last axis of x; eps and momentum as in PyTorch."""

    param_names, buffer_names = ("gamma", "beta"), ("mean", "var")
    # splittable all the same, because all_reduce adds up the sums of all parts
    mixes_examples, splittable = True, True

    def __init__(
        self, num_features: int, *, eps: float = 1e-5, momentum: float = 0.1, dtype: str = "float32"
    ):
        self.gamma, self.beta = np.ones(num_features, dtype), np.zeros(num_features, dtype)
        self.dgamma, self.dbeta = 0 * self.gamma, 0 * self.beta
        self.mean, self.var = np.zeros(num_features, dtype), np.ones(num_features, dtype)
        self.eps, self.momentum = eps, momentum

    def forward(self, x, *, train=False, rng=None):
        check_float(self, x)
        if x.ndim < 2 or x.shape[-1] != len(self.gamma):
            raise ValueError(f"{self!r} expects x of shape (..., {len(self.gamma)}), not {x.shape}")
        if x.dtype != self.gamma.dtype:
            raise TypeError(
                f"{self!r} has {self.gamma.dtype} parameters but received {x.dtype} x of shape"
                f" {x.shape}"
            )
        rows, R, m, v = x.reshape(-1, x.shape[-1]), 0, self.mean, self.var
        if train:
            R, m = self.all_reduce(len(rows), sum_rows(rows))
            if R < 2:
                raise ValueError(
                    f"{self!r} cannot train on a single example, x of shape {x.shape}: its variance"
                    " is undefined"
                )
            m = m / R
        centred = rows - m
        if train:
            v = self.all_reduce(sum_rows(centred * centred))[0] / R
            self.mean += self.momentum * (m - self.mean)
            self.var += self.momentum * (R / (R - 1) * v - self.var)
        sd = (v + self.eps) ** 0.5
        y = centred * (self.gamma / sd)
        y += self.beta
        return y.reshape(x.shape), (centred, sd, R, x.shape)

    def backward(self, dy, cache, *, need_dx=True, need_dparams=True):
        centred, sd, R, shape = cache
        check_dy(self, dy, shape)
        rows = dy.reshape(centred.shape)
        dbeta, dgamma = sum_rows(rows), sum_rows(rows * centred) / sd
        if need_dparams:
            self.dgamma[...], self.dbeta[...] = dgamma, dbeta
        if not need_dx:
            return None
        if not R:
            return dy * (self.gamma / sd)  # dxhat / sd
        dbeta, dgamma = self.all_reduce(dbeta, dgamma)
        dx = centred * (-dgamma / (R * sd))  # - xhat * mean of dy xhat
        dx += rows  # + dy
        dx -= dbeta / R  # - mean of dy
        dx *= self.gamma / sd  # the factor gamma of dxhat = gamma dy, and 1 / sd
        return dx.reshape(shape)

    def double_backward(self, ddx, dy, cache):
        # outside of training, the layer multiplies by gamma / sd and adds a constant
        centred, sd, R, shape = cache
        check_ddx(self, ddx, shape)
        if R:
            raise NotImplementedError(
                f"{self!r} has no double_backward in training: it mixes the examples of a batch, so"
                " no example has a gradient of its own. Choose a discriminator without batch norm,"
                " or no penalty"
            )
        self.dgamma[...], self.dbeta[...] = sum_rows((ddx * dy).reshape(centred.shape)) / sd, 0
        return ddx * (self.gamma / sd), None

    def exported(self, x_shape, y_shape):
        dims = "2d" if len(x_shape) == 3 else "1d"
        return [
            Exported(
                f"nn.BatchNorm{dims}({len(self.mean)}, eps={self.eps})",
                "BatchNormalization",
                {"epsilon": self.eps},
                [self.gamma, self.beta, self.mean, self.var],
            )
        ]

    def __repr__(self):
        return f"BatchNorm2d({len(self.gamma)})"
