"""Labels smoothed on both sides

What people do
    Salimans et al. 2016 tell D to answer 0.9, not 1, to real images: it should not be rewarded for being ever surer. If
    that is good for real images, it is good for fakes: 0.1 instead of 0.

What one sees
    Nothing, in short runs on digits: the two are no farther apart than two seeds. What is wrong shows where G is far off,
    as on the toy in the lower half of the picture: there it is told nothing, and so it may stay there.

Why
    Let D be told s for real images (density p) and f for fakes (density q). It pays

        -p (s log D + (1 - s) log(1 - D))  -  q (f log D + (1 - f) log(1 - D))

    which is lowest where its slope is 0, (s p + f q) / D = ((1 - s) p + (1 - f) q) / (1 - D):

        D = (s p + f q) / (p + q)

    With f = 0 that is s times the answer p / (p + q) that D gives without smoothing: the same, scaled. With f > 0, q is
    above the line, too: where there are many fakes, D is told to find them a little real. G goes where the logit rises,
    and where q is much more than p, the logit is

        f = 0    log(s p / ((1 - s) p + q)),  close to  log(p / q) + log s        which still rises towards the data
        f > 0    log((s p + f q) / ((1 - s) p + (1 - f) q)),  close to  log(f / (1 - f))        which is flat

    It is flat just there, where G has most to learn.
"""
import math
from functools import cache

import numpy as np

from minigan.game import Game
from minigan.losses import bce_on_logits, price_and_slope
from minigan.optim import Adam
from minigan.recipes import RECIPES, replace
from minigan.toy import MIDDLES, N, TOYS, data, data_density, network

THREADS = {
    "soumith/ganhacks#10": "should it be one-sided? Closed",
    "soumith/ganhacks#53": "the same, asked again",
    "soumith/ganhacks#41": "quotes Goodfellow's tutorial: why never the fakes",
}
RECIPE, Healthy = replace(RECIPES["default"], real_label=0.9), Game


class Broken(Game):
    def __init__(self, *args):
        super().__init__(*args)
        self.loss = self.loss._replace(of_D=two_sided)


def two_sided(a, t):
    return price_and_slope(a, t.clip(0.1))
    # mended: return price_and_slope(a, t)


@cache
def far_off(fake_label, middle=4.0, steps=2000):
    """(x, D's logits there, the best answer's logits, mean slope of either where the fakes are): D alone learns, on the toy of
    minigan/toy.py, while G stands far off, with fakes around `middle` as wide as a bell."""
    toy, rng = TOYS["line"], np.random.default_rng(0)
    D = network(1, toy, 1, rng)
    optimizer, target = Adam(D.theta, toy.rate_D, beta1=0.0, beta2=0.99), np.full((2 * N, 1), fake_label, "float32")
    target[:N] = 0.9
    for step in range(steps):
        fake = middle + toy.spread * rng.standard_normal((N, 1), dtype="float32")
        logits, memory = D.forward(np.concatenate([data(toy, rng, N), fake]))
        D.backward(bce_on_logits(logits, target)[1], memory, need_dx=False)
        optimizer.lr = toy.rate_D * (1 - 0.9 * step / steps)
        optimizer.step(D.dtheta)
    x, p = MIDDLES, data_density(MIDDLES)
    q = np.exp(-((x - middle) / toy.spread) ** 2 / 2) / (toy.spread * math.sqrt(2 * math.pi))
    learned = D.forward(x[:, None].astype("float32"))[0][:, 0]
    best = np.log((0.9 * p + fake_label * q) / (0.1 * p + (1 - fake_label) * q))
    return x, learned, best, [float((np.gradient(logits, x) * q).sum() / q.sum()) for logits in (learned, best)]


def panel(below, rows):
    """D's logit on the toy, where all fakes are at 4 and the data around -1.5 and 1.5."""
    below[1].sharey(below[0])
    for axes, fake_label in zip(below, (0.0, 0.1)):
        x, learned, best, _ = far_off(fake_label)
        axes.plot(x, learned, label="D, as it learned")
        axes.plot(x, best, "--", label="the best answer")
        axes.axvspan(2.8, 5, color="grey", alpha=0.15, label="fakes are here")
        axes.set(xlabel=f"x on the toy's line; fakes are labelled {fake_label:g}", ylabel="D's logit", xlim=(-4, 5), ylim=(-12, 5))
        axes.legend(frameon=False, loc="lower left", fontsize=8)
        axes.grid(alpha=0.2)


def symptom(healthy, broken):
    slopes = [far_off(fake_label)[3] for fake_label in (0.0, 0.1)]
    return (f"On the toy, where the fakes are, the logit of the best answer has a mean slope of {slopes[0][1]:.1f} if only real images' labels"
            f" are smoothed and {slopes[1][1]:.2f} if both are; that of a D that has learned for 2,000 steps {slopes[0][0]:.1f} and"
            f" {slopes[1][0]:.2f}. That slope is all that G gets. On digits, D(G(z)) over the last epoch: {broken['D(G(z))']:.2f} instead of"
            f" {healthy['D(G(z))']:.2f}.")
