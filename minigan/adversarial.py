"""Adversarial losses: what the two players pay, by the rules of five published games.

The idea
    Two networks play against each other (gan.py, the next page, has the game): the generator G turns
    random numbers z into an image G(z), the discriminator D tells real images x from G's. D answers an image with one number a, its logit: the higher, the more it takes the image for
    real. What should it pay for an answer, and what should G pay when its image got one? Several
    prices make D sort and G deceive. All that a training step wants to know of them is the price
    of each a, and its slope there.

Forward
    Let t be 1 for a real image and 0 for a fake, and s = 2t - 1, that is 1 or -1. With softplus
    from losses.py, the prices are

                        D pays             G pays, for a fake
    non-saturating      softplus(a) - t a  softplus(-a)    Goodfellow et al. 2014, section 3
    minimax             softplus(a) - t a  -softplus(a)    Goodfellow et al. 2014, equation 1
    least-squares       (a - t)² / 2       (a - 1)² / 2    Mao et al. 2017, with their a, b, c = 0, 1, 1
    hinge               max(0, 1 - s a)    -a              Lim & Ye 2017, Miyato et al. 2018
    wasserstein         -s a               -a              Arjovsky et al. 2017

    The first D is the judge of gan.py, with D(x) = sigmoid(a). The others' answers are no
    probabilities, but marks of any size, meant to be 0 or 1, -1 or 1, or as far apart as can be.

Backward
    Number by number, so each slope is a derivative from school:

                        D's slope          G's slope       D's best answer     and its price if p = q
    non-saturating      sigmoid(a) - t     sigmoid(a) - 1  log(p / q)          2 log 2
    minimax             sigmoid(a) - t     -sigmoid(a)     log(p / q)          2 log 2
    least-squares       a - t              a - 1           p / (p + q)         1/4
    hinge               -s where s a < 1   -1              1 if p > q, or -1   2
                        else 0
    wasserstein         -s                 -1              there is none       0

    The best answer: where real images come with a density of p and fakes with q, D pays
    p price(a, t = 1) + q price(a, t = 0). That is lowest where p slope(a, 1) + q slope(a, 0) = 0: for
    the first, p (sigmoid(a) - 1) + q sigmoid(a) = 0, so sigmoid(a) = p / (p + q). The hinge's sum is
    q - p all the way from -1 to 1, so D goes to the end that is lower. For wasserstein it is q - p
    everywhere: D would shout ever louder, and has to be held back, by a penalty on its slope (see
    penalties.py) or by spectral normalisation (spectral.py). The paper clips its weights.

    Why hardly anybody plays minimax: while G draws badly, a is far below 0, and G's slope, -sigmoid(a),
    is almost 0: it "saturates". All others push hardest just then, or always alike.

Shapes
    a (N, 1); t like a, or one number; prices and slopes like a. For real images t may be a little less
    than 1 (`real_label`, see gan.py) in the first three; the last two know only sides, s = 1 or -1.

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
    undecided: Callable = None  # t of real images -> the a of a D that cannot tell; None where t must be 1: then 0 is as good as others


def of_two(t):
    """The logit of t / 2."""
    return math.log(t / (2 - t))


@fused
def minimax(a):
    """log(1 - D(G(z))) of the 2014 formula, and its slope."""
    return -softplus(a), -sigmoid(a)


@fused
def least_squares(a, t):
    """Half the square of what is missing to t."""
    return (a - t) * (a - t) / 2, a - t


@fused
def hinge(a, t):
    """What is missing to 1 on the right side; who is beyond pays nothing and learns nothing."""
    s = 2 * t - 1
    missing = array_module(a).maximum(1 - s * a, 0)
    return missing, -s * (missing > 0).astype(a.dtype)


@fused
def wasserstein(a, t):
    """a itself: to be lowered for fakes, and raised for real images."""
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
    """(L, dlogits) of a batch: the mean price, and its gradient; what the checks of selfcheck.py differentiate. (The
    steps of gan.py do the same in place.)"""
    return price.mean(), slope / price.size
