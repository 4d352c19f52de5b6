"""Sigmoid, then log

What people do
    D ends in a sigmoid, so that it answers with a probability p; the loss takes its logarithm, as the formula says. When
    the first NaN comes, p is clipped, to 1e-7 at least, and all seems well.

What one sees
    NaN, at once or after hours: whenever D is very sure of a single image. Or, clipped, a loss of G that stands still at
    16.1 = -log(1e-7) while D's is 0, and pictures that do not change any more.

Why
    In float32 sigmoid(a) is exactly 1 from about a = 17 on. Then 1 - p is 0, and its logarithm -inf; and -(1 - t) log(1 -
    p) is 0 times infinity for a real image, t = 1: NaN. It is enough that D is very sure of one image, and right. The
    gradient fares no better:

        da = (p - t) / (p (1 - p))  p (1 - p)  =  0/0 * 0

    Clipping makes p a constant where it clips: its slope is 0. That is where D is surest that G's images are fakes: the
    price is at its highest, and G is told nothing. On logits nothing needs to be clipped: the sigmoid's slope cancels
    (losses.py),

        price = softplus(a) - t a,    da = sigmoid(a) - t
"""
import numpy as np

from minigan.activations import sigmoid
from minigan.game import Game
from minigan.losses import price_and_slope
from minigan.recipes import RECIPES

THREADS = {
    "ARENA_3.0#369": "NaN: sigmoid, then log(0)",
    "AYLIEN/gan-intro#1": "NaN; mended in #10",
    "tdeboissiere/DeepLearningImplementations#11": "G's loss stands at 16.03 from the second epoch on",
    "osh/KerasGAN#14": "D's loss at 0, G's at 16, \"the maximum, no doubt\", and noise",
    "soumith/ganhacks#36": "a comment: without the sigmoid \"it worked like a charm\"",
}
RECIPE, Healthy = RECIPES["default"], Game


class Broken(Game):
    def __init__(self, *args):
        super().__init__(*args)
        self.loss = self.loss._replace(of_D=sigmoid_then_log, of_G=lambda a: sigmoid_then_log(a, 1.0))
        # mended: without this line


def sigmoid_then_log(a, t):
    """(price, slope) by way of p, as the formula says."""
    p = sigmoid(a)
    price = -t * np.log(p) - (1 - t) * np.log(1 - p)
    dp = (p - t) / (p * (1 - p))
    return price, dp * (p * (1 - p))


def clipped(a, t, least=1e-7):
    """The same with p between 1e-7 and 1 - 1e-7. Where clip holds p, its own slope is 0, and elsewhere 1."""
    p = sigmoid(a)
    inside, p = (least < p) & (p < 1 - least), p.clip(least, 1 - least)
    return -t * np.log(p) - (1 - t) * np.log(1 - p), inside * (p - t)


def panel(below, rows):
    """Price and slope over D's logit for the target 1, in float32, by each of the three ways."""
    a = np.linspace(-30, 30, 601, dtype="float32")
    with np.errstate(all="ignore"):
        ways = {"on logits": price_and_slope(a, 1.0)}, {"sigmoid, then log": sigmoid_then_log(a, 1.0), "the same, clipped": clipped(a, 1.0)}
    below[1].sharey(below[0])
    for axes, curves in zip(below, ways):
        for style, (name, (price, slope)) in zip(("-", "--"), curves.items()):
            axes.plot(a, price / 10, f"C0{style}", label=f"price / 10, {name}")
            axes.plot(a, slope, f"C1{style}", label=f"slope, {name}")
            if (lost := a[np.isnan(slope)]).size:
                axes.axvspan(lost[0], lost[-1], color="C3", alpha=0.15, label="NaN")
        axes.set(xlabel="a, D's logit; the target is 1")
        axes.legend(frameon=False, fontsize=8)
        axes.grid(alpha=0.2)


def symptom(healthy, broken):
    a = np.linspace(0, 30, 3001, dtype="float32")
    with np.errstate(all="ignore"):
        nan = a[np.isnan(sigmoid_then_log(a, 1.0)[1])][0]
    flat = -a[clipped(-a, 1.0)[1] == 0][0]
    end = f"is NaN at step {broken['stopped']}" if broken["stopped"] else f"has lived through {broken['steps']:,} steps"
    return (f"The broken run {end}. For the target 1 in float32 the slope is NaN from a = {nan:.1f} on; clipped, it is 0 below"
            f" a = {flat:.1f}, where D is surest and the price highest, {clipped(-a, 1.0)[0].max():.1f}.")
