"""Gradient penalties: penalise the gradient of the discriminator, with a backward of a backward.

The idea
    D should not only separate real images from fakes but do so smoothly. Where its logit jumps
    between two nearly equal images, its gradient does not show G the way from one to the other. A
    gradient penalty is therefore added to D's loss. It depends on g, the gradient of D's logit with
    respect to the image.

        r1        P = mean of |g|² / 2      at real images: D should be flat where it is correct.
                                            Mescheder et al. 2018, R1; multiplied by gamma
        r2        the same at fakes         D should be flat where G reads its gradient.
                                            R2 of the same paper
        r1+r2     the sum of both           with the same gamma; Huang et al. 2024
        wgan-gp   P = mean of (|g| - 1)²    at points e x + (1 - e) G(z) between a real image and a
                                            fake, with a random e in [0, 1) for each pair: the
                                            gradient norm should be 1 everywhere.
                                            Gulrajani et al. 2017; multiplied by lambda

    |g| is the length of the gradient for one image, the root of the sum of squares over its pixels.
    Note that g is the gradient of the logit, not of the probability.

Why at fakes as well
    G changes its fakes in the direction of g at the fakes, and the larger g is there, the further
    they go. R1 makes D flat at real images only. That suffices while all fakes are near real
    images. If some of them stray from the data, nothing prevents D from becoming ever steeper
    there. G's gradient grows with it and throws these fakes further away, and training diverges.
    R2 penalises g at the very points where G uses it. Huang et al. report that on triples of MNIST
    digits training with R1 alone diverges for every gamma from 0.1 to 100, and with both penalties
    it does not. figures/dirac.py shows what each of them does to the smallest GAN there is.

Forward
    The logit of one image does not depend on the others. With dy = 1 for each logit, D's backward
    returns as dx the gradients g of all N images at once. P is a function of that dx, and ddx is
    the gradient of P with respect to it. (The gradient of |g| is g / |g|.)

        r1, r2: ddx = g / N      wgan-gp: ddx = 2 (|g| - 1) g / |g| / N

    r1+r2 has 2N gradients, of N real images and N fakes, and ddx = g / N for each: twice what r1
    has for a batch of 2N. These are the images of D's own step, which has just computed their
    logits, so the penalty needs no further forward.

Backward of the backward
    P depends on the weights, because g was computed from them. Let D be Dense, LeakyReLU, Dense:

        forward    h = x @ W + b     y = m * h       a = y @ V + c       m: 1 or negative_slope
        backward   dy = 1 @ Vᵀ       dh = m * dy     g = dx = dh @ Wᵀ

    The second line is itself a small network: its input is 1, which passes through V, the mask and
    W to give g. It is differentiated like any other network, starting from its end
    (Drucker & LeCun 1992). Its last step, dx = dh @ Wᵀ, is a product like y = x @ W, with dh in
    place of x and Wᵀ in place of W. By Dense's rules the gradient of dh is ddx @ W, and the
    gradient of Wᵀ is dhᵀ @ ddx. The transpose of the latter is the gradient of W. The steps through
    the mask and V follow:

        ddh = ddx @ W             dW = ddxᵀ @ dh
        ddy = m * ddh
                                  dV = ddyᵀ @ 1

    b and c do not occur in the second line, so db = dc = 0. m does not change when x or W changes a
    little, so no gradient flows through it. In these formulas ddx passes through W, then the mask,
    then V. This is the *forward* pass again, applied to ddx instead of x, without biases and with
    the old mask. Each dW is backward's xᵀ @ dy with ddx in place of x. The same holds for Conv2d,
    which is a product with the rows of im2col: ddy = im2col(ddx) @ W, and dW = im2col(ddx)ᵀ @ dy.

The general rule
    For every layer, dx is a linear function of dy: dx_i = sum over j of dy_j J_ji, where J_ji is
    the derivative of y_j with respect to x_i (the Jacobian). Hence ddy_j = sum over i of J_ji
    ddx_i, which means that ddx passes forward through the Jacobian. If J contains weights, their dW
    is computed as above. If J depends on x, as Tanh's does, P depends on x through J as well, and
    has a gradient dx with respect to it. The layers below computed this x, so each such dx starts
    an ordinary backward pass through the layers below, and the resulting dW are added.

                             ddy                       dW, db = 0           dx
        Dense                ddx @ W                   ddxᵀ @ dy            -
        Conv2d               im2col(ddx) @ W           im2col(ddx)ᵀ @ dy    -
        ConvTranspose2d      col2im(ddx @ Wᵀ)          im2col(dy)ᵀ @ ddx    -
        LeakyReLU, ReLU      f'(x) * ddx                                    - (f'' is 0)
        Tanh, Sigmoid        f'(x) * ddx                                    f''(x) * dy * ddx
        Dropout              mask * ddx, the same mask                      -
        Maxout               ddx where x was largest                        -
        Projection           sum of ddx_k V_k          backward's, ddx for x        -
        Reshape, AvgPool2d, Upsample: their forward, applied to ddx
        ConcatLabels, ConcatLabelMaps: their forward, applied to ddx and labels of 0

    This is the `double_backward` of each layer. BatchNorm2d has no double_backward in training,
    because it mixes the batch, so an image has no gradient of its own. (Gulrajani et al. omit it
    from D for that reason.)

Shapes
    g and ddx have the shape of x. P has shape () and stays on the device.

>>> import numpy as np
>>> from minigan.nn.dense import Dense
>>> D = Sequential([Dense(2, 1, dtype="float64", rng=np.random.default_rng(0))])
>>> D.theta[...] = [3, 4, 0]              # a = 3 x1 + 4 x2: the gradient is (3, 4) everywhere
>>> logits, caches = D.forward(np.zeros((5, 2)))
>>> for name in PENALTIES:                # (3² + 4²) / 2;  (5 - 1)², and 2 (5 - 1) (3, 4) / 5
...     print(name, gradient_penalty(D, logits, caches, name).item(), D.dtheta.round(12).tolist())
r1 12.5 [3.0, 4.0, 0.0]
r2 12.5 [3.0, 4.0, 0.0]
r1+r2 25.0 [6.0, 8.0, 0.0]
wgan-gp 16.0 [4.8, 6.4, 0.0]
"""

from collections.abc import Callable
from typing import Any

from minigan.backend import Array, get_array_module
from minigan.gan.steps import real_and_fake, with_labels
from minigan.nn.sequential import Sequential


def r1_penalty(g: Array) -> tuple[Array, Array]:
    """(P, ddx) of half the mean of |g|², for gradients g (N, ...)."""
    return (g * g).sum() / (2 * len(g)), g / len(g)


def r1_and_r2_penalty(g: Array) -> tuple[Array, Array]:
    """(P, ddx) of r1 plus r2, for the gradients g (2N, ...) of N real images and N fakes."""
    return (g * g).sum() / len(g), g * (2 / len(g))


def wgan_gp_penalty(g: Array) -> tuple[Array, Array]:
    """(P, ddx) of the mean of (|g| - 1)², for gradients g (N, ...).

    Where g is 0, it has no direction, and ddx is set to 0.
    """
    xp, rows = get_array_module(g), g.reshape(len(g), -1)
    length = xp.sqrt((rows * rows).sum(axis=1).reshape(-1, 1))
    excess = length - 1
    ddx = rows * (excess / xp.maximum(length, 1e-12) * (2 / len(g)))
    return (excess * excess).mean(), ddx.reshape(g.shape)


PENALTIES: dict[str, Callable] = {
    "r1": r1_penalty,
    "r2": r1_penalty,
    "r1+r2": r1_and_r2_penalty,
    "wgan-gp": wgan_gp_penalty,
}
SAME_WEIGHT = ("r1", "r2", "r1+r2")  # penalties for which a weight, gamma, has the same meaning


def gradient_penalty(
    D: Sequential, logits: Array, caches: list, name: str, *, weight: float = 1.0
) -> Array:
    """`weight` times the penalty of that name, shape (), for `logits, caches = D.forward(x)`.

    Fills D.dtheta with its gradient, replacing the previous content. Raises NotImplementedError if
    a layer of D has no double_backward.
    """
    dx, dys = D.input_gradient(get_array_module(logits).ones_like(logits), caches)
    P, ddx = PENALTIES[name](dx)
    ddx *= weight
    D.double_backward(ddx, dys, caches)
    return weight * P


def make_penalty(name: str, weight: float) -> Callable:
    """The penalty of that name as a function of (D, real, fake, *, both, labels, rng), as
    discriminator_step expects it.
    """

    def penalty(
        D: Sequential,
        real: Array,
        fake: Array,
        *,
        both: tuple | None = None,
        labels: Array | None,
        rng: Any,
    ) -> Array:
        if name == "r1+r2" and both:
            logits, caches = both
            return gradient_penalty(D, logits, caches, name, weight=weight)
        if name == "r1+r2":
            x = real_and_fake(real, fake, labels)
        elif name == "wgan-gp":
            x = with_labels(random_interpolates(real, fake, rng=rng), labels)
        else:
            x = with_labels(real if name == "r1" else fake, labels)
        logits, caches = D.forward(x, train=True, rng=rng)
        return gradient_penalty(D, logits, caches, name, weight=weight)

    return penalty


def random_interpolates(real: Array, fake: Array, *, rng: Any) -> Array:
    """e real + (1 - e) fake (N, ...), with a random e for each image, uniform in [0, 1).

    rng is a generator of the module that the images belong to.
    """
    e = rng.random((len(real), *[1] * (real.ndim - 1)), dtype=real.dtype)
    return fake + e * (real - fake)
