"""Labels smoothed on both sides

What people do
    Salimans et al. 2016 use the target 0.9, not 1, for real images, so that D is not rewarded for
    ever larger logits. If that is good for real images, people conclude, it must be good for fakes,
    and they use 0.1 in place of 0.

What you see
    In short runs on digits, nothing: the two runs differ no more than two seeds do. The mistake
    shows where G is far from the data, as in the toy in the lower half of the figure. There G gets
    no gradient and may never move.

Why
    Let the target be s for real images (density p) and f for fakes (density q). D's loss is

        -p (s log D + (1 - s) log(1 - D))  -  q (f log D + (1 - f) log(1 - D))

    and it is minimal where its derivative is 0, (s p + f q) / D = ((1 - s) p + (1 - f) q) / (1 -
    D):

        D = (s p + f q) / (p + q)

    With f = 0 that is s times p / (p + q), the optimum without smoothing. With f > 0, q is also in
    the numerator: where there are many fakes, D learns to consider them slightly real. G follows
    the logit uphill, and where q is much larger than p, the logit is

        f = 0    log(s p / ((1 - s) p + q))
                 close to  log(p / q) + log s, which still rises towards the data
        f > 0    log((s p + f q) / ((1 - s) p + (1 - f) q))
                 close to  log(f / (1 - f)), which is flat

    It is flat exactly where G has most to learn.
"""

import math
from functools import cache

import numpy as np

from minigan.figures.toys import (
    BIN_CENTRES,
    TOY_BATCH,
    TOYS,
    data_density,
    make_mlp,
    sample_data,
)
from minigan.gan.recipes import RECIPES, replace
from minigan.nn.losses import bce_with_logits, elementwise_bce
from minigan.nn.optim import Adam
from minigan.training.state import TrainingState

THREADS = {
    "soumith/ganhacks#10": "should it be one-sided? Closed",
    "soumith/ganhacks#53": "the same, asked again",
    "soumith/ganhacks#41": "quotes Goodfellow's tutorial: why never the fakes",
}
RECIPE, Healthy = replace(RECIPES["dense"], real_label=0.9), TrainingState


class Broken(TrainingState):
    def __init__(self, recipe, images, **options):
        super().__init__(recipe, images, **options)
        self.loss = self.loss._replace(discriminator_loss=two_sided_loss)


def two_sided_loss(a, t):
    """The cross-entropy with targets of 0.1 in place of 0."""
    return elementwise_bce(a, t.clip(0.1))
    # fixed: return elementwise_bce(a, t)


@cache
def distant_fakes(fake_label, *, mean=4.0, steps=2000):
    """Train D alone on a toy (minigan/figures/toys.py) whose fakes are a Gaussian far from the
    data.

    Returns x, D's logits there, the optimal logits, and the mean derivative of either over the
    fakes.
    """
    toy, rng = TOYS["line"], np.random.default_rng(0)
    D = make_mlp(1, 1, toy.widths, activation=toy.activation, rng=rng)
    optimizer = Adam(D.theta, toy.lr_D, beta1=0.0, beta2=0.99)
    targets = np.full((2 * TOY_BATCH, 1), fake_label, "float32")
    targets[:TOY_BATCH] = 0.9
    for step in range(steps):
        fake = mean + toy.std * rng.standard_normal((TOY_BATCH, 1), dtype="float32")
        real = sample_data(toy, TOY_BATCH, rng=rng)
        logits, memory = D.forward(np.concatenate([real, fake]))
        D.backward(bce_with_logits(logits, targets)[1], memory, need_dx=False)
        optimizer.lr = toy.lr_D * (1 - 0.9 * step / steps)
        optimizer.step(D.dtheta)
    x, p = BIN_CENTRES, data_density(BIN_CENTRES)
    q = np.exp(-(((x - mean) / toy.std) ** 2) / 2) / (toy.std * math.sqrt(2 * math.pi))
    learned = D.forward(x[:, None].astype("float32"))[0][:, 0]
    optimal = np.log((0.9 * p + fake_label * q) / (0.1 * p + (1 - fake_label) * q))
    derivatives = [
        float((np.gradient(logits, x) * q).sum() / q.sum()) for logits in (learned, optimal)
    ]
    return x, learned, optimal, derivatives


def plot_panels(axes_pair, rows):
    """D's logit on the toy, where all fakes are around 4 and the data around -1.5 and 1.5."""
    axes_pair[1].sharey(axes_pair[0])
    for axes, fake_label in zip(axes_pair, (0.0, 0.1)):
        x, learned, optimal, _ = distant_fakes(fake_label)
        axes.plot(x, learned, label="D after training")
        axes.plot(x, optimal, "--", label="optimal D")
        axes.axvspan(2.8, 5, color="grey", alpha=0.15, label="fakes")
        axes.set(
            xlabel=f"x of the toy; the target for fakes is {fake_label:g}",
            ylabel="D's logit",
            xlim=(-4, 5),
            ylim=(-12, 5),
        )
        axes.legend(frameon=False, loc="lower left", fontsize=8)
        axes.grid(alpha=0.2)


def symptom(healthy, broken):
    one, both = (distant_fakes(fake_label)[3] for fake_label in (0.0, 0.1))
    return (
        f"On the toy, the mean derivative of the optimal logit over the fakes is {one[1]:.1f} if"
        f" only the labels of real images are smoothed, and {both[1]:.2f} if both are; for a D"
        f" trained for 2,000 steps it is {one[0]:.1f} and {both[0]:.2f}. That derivative is all"
        f" that G receives. On digits, D(G(z)) over the last epoch is {broken['D(G(z))']:.2f}"
        f" instead of {healthy['D(G(z))']:.2f}."
    )
