"""Adversarial losses: what the two players pay, by the rules of five published games.

The idea
    Two networks play against each other. The generator G turns random numbers z into an image G(z). The
    discriminator D tells real images x from G's: it answers an image with one number a, the higher, the
    more it takes the image for real. What should it pay for an answer, and what should G pay when its
    image got one? Several prices make D sort and G deceive. All that a step of training wants to know
    of them is the price of each a, and its slope there.

Forward
    Let t be 1 for a real image and 0 for a fake, and s = 2t - 1, that is 1 or -1. With softplus
    from losses.py, the prices are

                        D pays             G pays, for a fake
    non-saturating      softplus(a) - t a  softplus(-a)    Goodfellow et al. 2014, section 3
    minimax             softplus(a) - t a  -softplus(a)    Goodfellow et al. 2014, equation 1
    least-squares       (a - t)² / 2       (a - 1)² / 2    Mao et al. 2017, with their a, b, c = 0, 1, 1
    hinge               max(0, 1 - s a)    -a              Lim & Ye 2017, Miyato et al. 2018
    wasserstein         -s a               -a              Arjovsky et al. 2017

    In the first two a is the logit of losses.py, and D(x) = sigmoid(a) the probability that the image
    is real: D pays the cross-entropy. The others' answers are no probabilities, but marks of any size,
    meant to be 0 or 1, -1 or 1, or as far apart as can be.

Backward
    Number by number, so each slope is a derivative from school:

                        D's slope          G's slope       D's best answer     and its price if p = q
    non-saturating      sigmoid(a) - t     sigmoid(a) - 1  log(p / q)          2 log 2
    minimax             sigmoid(a) - t     -sigmoid(a)     log(p / q)          2 log 2
    least-squares       a - t              a - 1           p / (p + q)         1/4
    hinge               -s where s a < 1   -1              1 if p > q, or -1   2
                        else 0
    wasserstein         -s                 -1              there is none       0

    What is D's best answer? Say that an image like this comes with the density p among the real ones, and
    q among the fakes. Then D pays p times its price with t = 1 and q times its price with t = 0. That
    is lowest where the slope of the sum is 0. For the first, p (sigmoid(a) - 1) + q sigmoid(a) = 0, so
    sigmoid(a) = p / (p + q). The hinge's sum has the slope q - p all the way from -1 to 1, so D goes to
    the end that is lower. For wasserstein it is q - p everywhere: D would shout ever louder, and has to
    be held back. (The paper clips its weights.)

    Where p = q, D cannot tell, and pays the price of the last column: of one real image and one fake
    together. With a target t for real images that is a little less than 1, the first slopes become
    (sigmoid(a) - t) + sigmoid(a) = 0, so D says t / 2; and so it does in least-squares.

    Why hardly anybody plays minimax: while G draws badly, a is far below 0, and G's slope, -sigmoid(a),
    is almost 0: it "saturates". All others push hardest just then, or always alike.

Shapes
    a (N, 1); t like a, or one number; prices and slopes like a. For real images t may be less than 1
    in the first three; the last two know only sides, s = 1 or -1.

>>> import numpy as np
>>> a = np.array([[-2.0], [1.0], [3.0]])                  # three fakes, the last two taken for real
>>> for name, loss in GAN_LOSSES.items():
...     price, slope = loss.of_G(a)
...     print(f"{name:15}", price.ravel().round(2), slope.ravel().round(2))
non-saturating  [2.13 0.31 0.05] [-0.88 -0.27 -0.05]
minimax         [-0.13 -1.31 -3.05] [-0.12 -0.73 -0.95]
least-squares   [4.5 0.  2. ] [-3.  0.  2.]
hinge           [ 2. -1. -3.] [-1. -1. -1.]
wasserstein     [ 2. -1. -3.] [-1. -1. -1.]
>>> for name, loss in GAN_LOSSES.items():                 # one real image and one fake, if D cannot tell
...     a = np.array([[loss.undecided(1.0) if loss.undecided else 0.0]])
...     print(f"{name:15}", round((loss.of_D(a, 1.0)[0] + loss.of_D(a, 0.0)[0]).item(), 3))
non-saturating  1.386
minimax         1.386
least-squares   0.25
hinge           2.0
wasserstein     0.0
"""
import math
from typing import Callable, NamedTuple

from minigan.activations import sigmoid
from minigan.backend import array_module, fused
from minigan.losses import price_and_slope, softplus


class AdversarialLoss(NamedTuple):
    """What each player pays, number by number: functions that return (price, slope), both like a."""

    of_D: Callable  # (logits a, targets t) -> (price, slope)
    of_G: Callable  # (logits a of fakes) -> (price, slope)
    score: Callable = sigmoid  # logits -> what is shown as D(x): high for real, and 1/2 if D cannot tell
    undecided: Callable = None  # t of real images -> the a of a D that cannot tell; None if t must be 1: then 0 will do


def of_two(t):
    """The a with sigmoid(a) = t / 2: e^a is one probability over the other, t/2 over 1 - t/2."""
    return math.log(t / (2 - t))


@fused
def minimax(a):
    """log(1 - D(G(z))) of the 2014 formula, which is -softplus(a), and its slope."""
    return -softplus(a), -sigmoid(a)


@fused
def least_squares(a, t):
    """Half the square of what is missing to t, and its slope."""
    return (a - t) * (a - t) / 2, a - t


@fused
def hinge(a, t):
    """What is missing to 1 on the right side, and its slope; who is beyond pays nothing and learns nothing."""
    s = 2 * t - 1
    missing = array_module(a).maximum(1 - s * a, 0)
    return missing, -s * (missing > 0).astype(a.dtype)


@fused
def wasserstein(a, t):
    """a itself, to be lowered for fakes and raised for real images, and its slope."""
    s = 2 * t - 1
    return -s * a, -s + 0 * a


GAN_LOSSES = {
    "non-saturating": AdversarialLoss(price_and_slope, lambda a: price_and_slope(a, 1.0), undecided=of_two),
    "minimax": AdversarialLoss(price_and_slope, minimax, undecided=of_two),
    "least-squares": AdversarialLoss(least_squares, lambda a: least_squares(a, 1.0), lambda a: a, lambda t: t / 2),
    "hinge": AdversarialLoss(hinge, lambda a: wasserstein(a, 1.0), lambda a: (1 + a) / 2),
    "wasserstein": AdversarialLoss(wasserstein, lambda a: wasserstein(a, 1.0), lambda a: sigmoid(a - a.mean())),
}


def mean_loss(price, slope):
    """(L, da) of a batch: the mean of its prices (N, 1), and the gradient of that, which is like a."""
    return price.mean(), slope / price.size
