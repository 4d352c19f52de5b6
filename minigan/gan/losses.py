"""Adversarial losses: what the discriminator and the generator minimise, in six published versions.

The idea
    Two networks are trained against each other. The generator G turns random numbers z into an
    image G(z). The discriminator D distinguishes real images x from generated ones. It returns one
    number per image, the logit a. The higher a is, the more likely D considers the image to be
    real. A loss for D must make it separate the logits of real and generated images, and a loss for
    G must make it deceive D. There are several such pairs of losses. A training step needs only the
    loss of each a, and its derivative.

Forward
    Let t be 1 for a real image and 0 for a fake one, and s = 2t - 1, that is 1 or -1. With softplus
    from nn/losses.py, the losses per image are

                        discriminator      generator, of a fake
    non-saturating      softplus(a) - t a  softplus(-a)    Goodfellow et al. 2014, section 3
    minimax             softplus(a) - t a  -softplus(a)    Goodfellow et al. 2014, equation 1
    least-squares       (a - t)² / 2       (a - 1)² / 2    Mao et al. 2017, their a, b, c = 0, 1, 1
    hinge               max(0, 1 - s a)    -a              Lim & Ye 2017, Miyato et al. 2018
    wasserstein         -s a               -a              Arjovsky et al. 2017

    In the first two rows a is a logit in the strict sense: D(x) = sigmoid(a) is the probability
    that the image is real, and D minimises the cross-entropy. In the other rows a is an unbounded
    score. For fakes and real images its targets are 0 and 1 (least-squares), or below -1 and above
    1 (hinge), or as far apart as possible (wasserstein).

Backward
    The losses are elementwise, and their derivatives are elementary:

                        discriminator      generator       D's optimum           its loss if p = q
    non-saturating      sigmoid(a) - t     sigmoid(a) - 1  log(p / q)            2 log 2
    minimax             sigmoid(a) - t     -sigmoid(a)     log(p / q)            2 log 2
    least-squares       a - t              a - 1           p / (p + q)           1/4
    hinge               -s where s a < 1   -1              1 if p > q, else -1   2
                        else 0
    wasserstein         -s                 -1              none                  0

    For the optimal D, suppose that an image occurs with density p among real images and with
    density q among fakes. The expected loss of D for this image is p times its loss for t = 1 plus
    q times its loss for t = 0, and it is smallest where its derivative with respect to a is 0. In
    the first row p (sigmoid(a) - 1) + q sigmoid(a) = 0, so sigmoid(a) = p / (p + q). For the hinge
    loss the derivative is q - p everywhere between -1 and 1, so the optimum is at one of these two
    ends. For wasserstein the derivative is q - p everywhere, so D's scores would grow without
    bound, and D must be constrained. (The paper clips the weights.)

    Where p = q, D cannot distinguish real images from fakes. The last column is the loss of the
    optimal D in this case, for one real image plus one fake. With a target t slightly below 1 for
    real images, the condition in the first row becomes (sigmoid(a) - t) + sigmoid(a) = 0, so
    D(x) = t / 2; the same holds for least-squares.

    Minimax is rarely used, because while G is poor, a is far below 0, and the derivative of G's
    loss, -sigmoid(a), is almost 0: it "saturates". In the same situation, the derivatives of all
    other losses are at their largest, or they are constant.

A loss on pairs
    The losses above look at one image at a time. A relativistic loss (Jolicoeur-Martineau 2018;
    Huang et al. 2024, "The GAN is dead; long live the GAN") looks at pairs of a real image x and a
    fake G(z), at the same position in the batch, and only at the difference of their logits,

        d = D(x) - D(G(z))

    D is asked which of the two is real, so d is the logit of a binary cross-entropy: its target is
    1 for D, which should rank the real image first, and 0 for G.

                        discriminator      generator
    relativistic        softplus(-d)       softplus(d)
    derivative, dd      sigmoid(d) - 1     sigmoid(d)

    d grows with D(x) and falls with D(G(z)), so the derivative with respect to D(x) is dd, and with
    respect to D(G(z)) it is -dd. They add up to 0 in every pair. The last bias of D adds the same
    number to all logits, so its gradient is their sum: 0, up to rounding. It learns nothing, and it
    has no effect either, because d does not contain it. In G's step x is a constant. G receives
    -sigmoid(d), which is close to -1 while D ranks the pairs correctly: the loss does not saturate.

    For the optimal D, suppose that two images x and y occur as (real, fake) with density p(x) q(y)
    and as (fake, real) with density p(y) q(x). This is the situation of the first row, with these
    two in place of p and q. Hence d = log(p(x) q(y) / (p(y) q(x))), which D attains with

        D(x) = log(p(x) / q(x)) + any constant

    This is the non-saturating optimum except for the constant. The zero point is gone: a single
    logit has no meaning, and there is no fixed boundary across which G could move all fakes at
    once. A fake is good if it ranks as high as a real image. If p = q, then d = 0, and both losses
    are log 2. What tells how training goes is therefore the mean of d, and the share of pairs with
    d above 0, which D ranks correctly. At the equilibrium they are 0 and 1/2.

    Here t has to be 1: for p = q, d is 0 whatever the target is. In a conditional GAN both images
    of a pair have the same label, so that D cannot rank them by their classes.

Shapes
    a (N, 1); t has the shape of a or is a single number; losses and derivatives have the shape of
    a. For real images t may be less than 1 in the first three rows. The last two rows require t to
    be 1 or 0. For a loss on pairs, d (N, 1) is in the place of a.

>>> import numpy as np
>>> a = np.array([[-2.0], [1.0], [3.0]])       # three fakes; D considers the last two real
...                                            # as d of three pairs: D ranks the last two correctly
>>> for name, loss in GAN_LOSSES.items():
...     L, da = loss.generator_loss(a)
...     print(f"{name:15}", L.ravel().round(2), da.ravel().round(2))
non-saturating  [2.13 0.31 0.05] [-0.88 -0.27 -0.05]
minimax         [-0.13 -1.31 -3.05] [-0.12 -0.73 -0.95]
least-squares   [4.5 0.  2. ] [-3.  0.  2.]
hinge           [ 2. -1. -3.] [-1. -1. -1.]
wasserstein     [ 2. -1. -3.] [-1. -1. -1.]
relativistic    [0.13 1.31 3.05] [0.12 0.73 0.95]
>>> for name, loss in GAN_LOSSES.items():   # a real image and a fake, if D cannot distinguish them
...     if loss.paired: continue
...     a = np.array([[loss.equilibrium_logit(1.0) if loss.equilibrium_logit else 0.0]])
...     real, fake = (loss.discriminator_loss(a, t)[0].item() for t in (1.0, 0.0))
...     print(f"{name:15}", round(real + fake, 3))
non-saturating  1.386
minimax         1.386
least-squares   0.25
hinge           2.0
wasserstein     0.0
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from minigan.backend import Array, fused, get_array_module
from minigan.nn.activations import sigmoid
from minigan.nn.losses import elementwise_bce, softplus


class AdversarialLoss(NamedTuple):
    """The losses of both networks: elementwise functions that return (loss, dlogits), both of the
    shape of the logits.
    """

    # logits a, targets t -> (loss, da)
    discriminator_loss: Callable
    # logits a of fakes -> (loss, da)
    generator_loss: Callable
    # logits -> the score that is reported as D(x): high for real, 1/2 if D cannot distinguish
    score: Callable = sigmoid
    # the target t of real images -> the logit of an optimal D that cannot distinguish; None if t
    # must be 1, in which case a logit of 0 is optimal
    equilibrium_logit: Callable | None = None
    # whether the score of a logit depends on the other logits in its batch
    score_over_batch: bool = False
    # whether it is a loss on pairs: both losses are then functions of d = D(x) - D(G(z))
    paired: bool = False

    @property
    def score_is_probability(self) -> bool:
        """Whether the score is the probability that the image is real."""
        return self.score is sigmoid

    @property
    def score_names(self) -> tuple[str, str]:
        """What D's step returns beside the loss: D's mean scores of real images and of fakes, or
        for a loss on pairs the mean of d and the share of pairs with d above 0.
        """
        return ("difference", "ordered") if self.paired else ("score_real", "score_fake")


def bce_equilibrium_logit(t: float) -> float:
    """The a with sigmoid(a) = t / 2: e^a is the ratio of the probabilities t / 2 and 1 - t / 2."""
    return math.log(t / (2 - t))


def non_saturating_generator_loss(a: Array) -> tuple[Array, Array]:
    """-log D(G(z)): the cross-entropy of fakes with the target 1, and its derivative."""
    return elementwise_bce(a, 1.0)


@fused
def minimax_generator_loss(a: Array) -> tuple[Array, Array]:
    """log(1 - D(G(z))), as in the 2014 formula, which is -softplus(a), and its derivative."""
    return -softplus(a), -sigmoid(a)


@fused
def least_squares_loss(a: Array, t: Array | float) -> tuple[Array, Array]:
    """Half the squared distance of a from t, and its derivative."""
    return (a - t) * (a - t) / 2, a - t


@fused
def hinge_loss(a: Array, t: Array | float) -> tuple[Array, Array]:
    """The distance of a from a margin of 1 on the correct side, and its derivative; beyond the
    margin both are 0.
    """
    s = 2 * t - 1
    distance = get_array_module(a).maximum(1 - s * a, 0)
    return distance, -s * (distance > 0).astype(a.dtype)


@fused
def wasserstein_loss(a: Array, t: Array | float) -> tuple[Array, Array]:
    """a for fakes and -a for real images, and its derivative."""
    s = 2 * t - 1
    return -s * a, -s + 0 * a


GAN_LOSSES = {
    "non-saturating": AdversarialLoss(
        elementwise_bce, non_saturating_generator_loss, equilibrium_logit=bce_equilibrium_logit
    ),
    "minimax": AdversarialLoss(
        elementwise_bce, minimax_generator_loss, equilibrium_logit=bce_equilibrium_logit
    ),
    "least-squares": AdversarialLoss(
        least_squares_loss, lambda a: least_squares_loss(a, 1.0), lambda a: a, lambda t: t / 2
    ),
    "hinge": AdversarialLoss(hinge_loss, lambda a: wasserstein_loss(a, 1.0), lambda a: (1 + a) / 2),
    "wasserstein": AdversarialLoss(
        wasserstein_loss,
        lambda a: wasserstein_loss(a, 1.0),
        lambda a: sigmoid(a - a.mean()),
        score_over_batch=True,
    ),
    "relativistic": AdversarialLoss(
        elementwise_bce,
        lambda d: elementwise_bce(d, 0.0),
        lambda a: sigmoid(a - a.mean()),
        score_over_batch=True,
        paired=True,
    ),
}
NON_SATURATING = GAN_LOSSES["non-saturating"]


def mean_loss(loss: Array, da: Array) -> tuple[Array, Array]:
    """(L, da) of a batch: the mean loss and its gradient, from the losses and derivatives (N, 1) of
    its logits.
    """
    return loss.mean(), da / loss.size
