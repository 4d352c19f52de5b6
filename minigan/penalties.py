"""Gradient penalties: a price on the slope of the discriminator, and the backward of a backward.

The idea
    D should not only sort images, but do so gently: where its answer jumps between two images that
    are nearly the same, it tells G nothing of the way from one to the other. So D pays, besides
    its loss, for its slope at an image: g, the gradient of its logit with respect to the pixels.

        r1        P = mean of |g|² / 2      at real images: flat where it is right
                                            Mescheder et al. 2018, their R1; times gamma
        wgan-gp   P = mean of (|g| - 1)²    at points e x + (1 - e) G(z) between a real image and a
                                            fake, e random in [0, 1], one for each pair: slope 1
                                            everywhere.  Gulrajani et al. 2017; times lambda

    |g| is the length of the whole slope at one image: the root of the sum of the squares over its
    pixels. And g is the slope of the logit, not of the probability.

Forward
    No image's logit depends on another image. So with dy = 1 for each logit, D's backward gives as dx
    the slopes g of all N images at once. P is a price on that dx, and its gradient with respect to it,
    ddx, is a gradient like any other. (|g| has the slope g / |g|: the direction of g.)

        r1: ddx = g / N          wgan-gp: ddx = 2 (|g| - 1) g / |g| / N

Backward of the backward
    How does P change with the weights? g was computed with them. Let D be Dense, LeakyReLU, Dense:

        forward    h = xW + b      y = m * h       a = yV + c       m is 1 or slope, by the sign of h
        backward   dy = 1·Vᵀ       dh = m * dy     g = dx = dh·Wᵀ

    The second line is a small network in its own right: 1 goes in, and through V, the mask and W to g. It
    is derived like any other, from its end (Drucker & LeCun 1992). Its last step, dx = dh·Wᵀ, is a product
    like y = xW, with dh for x and Wᵀ for W. So by Dense's rules the gradient of its dh is ddx·W, and that
    of Wᵀ is dhᵀ·ddx; with rows and columns exchanged, that is the one of W. Then the mask, then V:

        ddh = ddx·W               dW = ddxᵀ·dh
        ddy = m * ddh
                                  dV = ddyᵀ·1

    b and c do not occur: db = dc = 0. m does not change when x or W is nudged a little, so no gradient
    flows through it. Now read ddx, ddh, ddy again: ddx goes through W, the mask, then V. It is the
    *forward* pass once more, of ddx instead of x, without the biases and with the old mask; and each
    dW is backward's xᵀ·dy with ddx in the place of x. That is all. The same with Conv2D, which is a
    product with patches: patches(ddx)·W, and dW = patches(ddx)ᵀ·dy.

The general rule
    Whatever a layer does, its dx is a sum of multiples of its dy: dx_i = sum over j of dy_j J_ji, with
    its slopes J_ji = derivative of y_j by x_i. So ddy_j = sum over i of J_ji ddx_i: ddx goes forward
    through the layer's slopes. If J holds weights, they get their dW as above. If J depends on x, as that
    of Tanh does, P depends on x by this way too, with a gradient dx; and since x was computed by the
    layers below, these dx start an ordinary backward from there down, whose dW are added.

                             ddy                       dW, db = 0           dx
        Dense                ddx·W                     ddxᵀ·dy              -
        Conv2D               patches(ddx)·W            patches(ddx)ᵀ·dy     -
        ConvTranspose2D      add_patches(ddx·Wᵀ)       patches(dy)ᵀ·ddx     -
        LeakyReLU, ReLU      f'(x) * ddx                                    - (f'' is 0)
        Tanh, Sigmoid        f'(x) * ddx                                    f''(x) * dy * ddx
        Dropout              mask * ddx, the mask held                      -
        Maxout               ddx where x was largest                        -
        Reshape, LabelPlanes, AveragePool2D, UpSample2D: their forward, of ddx

    That is `double_backward` on each page. BatchNorm has none while it trains: it mixes the batch, so
    an image has no slope of its own. (Gulrajani et al. leave it out of D for that reason.)

Shapes
    g and ddx like x; P is a number on the device, of shape ().

>>> import numpy as np
>>> from minigan.dense import Dense
>>> from minigan.network import Sequential
>>> D = Sequential([Dense(2, 1, np.random.default_rng(0), dtype="float64")])
>>> D.theta[...] = [3, 4, 0]                                # a = 3 x1 + 4 x2: the slope is (3, 4) everywhere
>>> logits, caches = D.forward(np.zeros((5, 2)))
>>> for name in PENALTIES:                                  # (3² + 4²) / 2;  (5 - 1)², and 2 (5 - 1) (3, 4) / 5
...     print(name, penalise(D, logits, caches, name).item(), D.dtheta.round(12).tolist())
r1 12.5 [3.0, 4.0, 0.0]
wgan-gp 16.0 [4.8, 6.4, 0.0]
"""
from minigan.backend import array_module
from minigan.gan import join


def r1(g):
    """(P, ddx) of half the mean of |g|², for slopes g (N, ...)."""
    return (g * g).sum() / (2 * len(g)), g / len(g)


def wgan_gp(g):
    """(P, ddx) of the mean of (|g| - 1)², for slopes g (N, ...). Where g is 0 it has no direction, and ddx is 0."""
    xp, rows = array_module(g), g.reshape(len(g), -1)
    length = xp.sqrt((rows * rows).sum(axis=1).reshape(-1, 1))
    over = length - 1
    ddx = rows * (over / xp.maximum(length, 1e-12) * (2 / len(g)))
    return (over * over).mean(), ddx.reshape(g.shape)


PENALTIES = {"r1": r1, "wgan-gp": wgan_gp}


def penalise(D, logits, caches, name, weight=1.0, n_labels=0):
    """`weight` times the penalty of that name, shape (), on D's slopes where `logits, caches = D.forward(x)`; fills
    D.dtheta with its gradient, over what was there. Of x the last n_labels columns are labels, whose slope costs nothing.

    Raises NotImplementedError if a layer of D has no double_backward.
    """
    xp = array_module(logits)
    dx, dys = D.input_gradient(xp.ones_like(logits), caches)
    ddx = xp.zeros_like(dx)
    pixels = slice(0, dx.shape[1] - n_labels)
    P, ddx[:, pixels] = PENALTIES[name](dx[:, pixels])
    ddx *= weight
    D.double_backward(ddx, dys, caches)
    return weight * P


def slope_penalty(name, weight):
    """The penalty of that name as the steps of gan.py take it: (D, real, fake, labels, rng) -> P, its gradient in D.dtheta."""
    def penalty(D, real, fake, labels, rng):
        x = real if name == "r1" else between(real, fake, rng)
        logits, caches = D.forward(join(x, labels), train=True, rng=rng)
        return penalise(D, logits, caches, name, weight, 0 if labels is None else labels.shape[1])
    return penalty


def between(real, fake, rng):
    """e real + (1 - e) fake (N, ...), with e uniform in [0, 1) for each image; rng is a random generator of their module."""
    e = rng.random((len(real), *[1] * (real.ndim - 1)), dtype=real.dtype)
    return fake + e * (real - fake)
