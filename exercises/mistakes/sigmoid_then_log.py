"""A sigmoid, then a logarithm

What people do
    D ends with a sigmoid, so that its output is a probability p, and the loss takes the logarithm
    of p, as in the formula. When the first NaN appears, p is clipped to at least 1e-7, and
    everything seems fine.

What you see
    NaN, at once or after hours: whenever D is very certain of a single image. With clipping, a loss
    of G that stays at 16.1 = -log(1e-7) while D's loss is 0, and images that no longer change.

Why
    In float32 sigmoid(a) is exactly 1 from about a = 17 on. For such a, 1 - p is 0 and its
    logarithm is -inf. For a real image, t = 1, the term -(1 - t) log(1 - p) is 0 times infinity,
    which is NaN. It is enough that D is very certain of one image, and right. The gradient fares no
    better:

        da = (p - t) / (p (1 - p))  p (1 - p)  =  0/0 * 0

    Where p is clipped it is a constant, and its derivative is 0. That happens where D is most
    certain that G's images are fakes: the loss is at its maximum, and G gets no gradient. With
    logits nothing needs to be clipped, because the derivative of the sigmoid cancels (losses.py):

        loss = softplus(a) - t a,    da = sigmoid(a) - t
"""

import numpy as np

from minigan.gan.recipes import RECIPES
from minigan.nn.activations import sigmoid
from minigan.nn.losses import elementwise_bce
from minigan.training.state import TrainingState

THREADS = {
    "ARENA_3.0#369": "NaN: sigmoid, then log(0)",
    "AYLIEN/gan-intro#1": "NaN; fixed in #10",
    "tdeboissiere/DeepLearningImplementations#11": "G's loss stays at 16.03 from epoch 2 on",
    "osh/KerasGAN#14": "D's loss at 0, G's at 16, \"the maximum, no doubt\", and noise",
    "soumith/ganhacks#36": 'a comment: without the sigmoid "it worked like a charm"',
}
RECIPE, Healthy = RECIPES["dense"], TrainingState


def bce_of_sigmoid(a, t):
    """(loss, da), elementwise, computed from p as in the formula."""
    p = sigmoid(a)
    loss = -t * np.log(p) - (1 - t) * np.log(1 - p)
    dp = (p - t) / (p * (1 - p))
    return loss, dp * (p * (1 - p))


LOSSES = dict(discriminator_loss=bce_of_sigmoid, generator_loss=lambda a: bce_of_sigmoid(a, 1.0))


class Broken(TrainingState):
    def __init__(self, recipe, images, **options):
        super().__init__(recipe, images, **options)
        self.loss = self.loss._replace(**LOSSES)
        # fixed: without this line


def bce_of_clipped_sigmoid(a, t, least=1e-7):
    """The same with p between 1e-7 and 1 - 1e-7; outside, the derivative of clip is 0."""
    p = sigmoid(a)
    inside, p = (least < p) & (p < 1 - least), p.clip(least, 1 - least)
    return -t * np.log(p) - (1 - t) * np.log(1 - p), inside * (p - t)


def plot_panels(axes_pair, rows):
    """Loss and derivative over D's logit for the target 1, in float32, computed in three ways."""
    a = np.linspace(-30, 30, 601, dtype="float32")
    with np.errstate(all="ignore"):
        results = (
            {"from logits": elementwise_bce(a, 1.0)},
            {
                "sigmoid, then log": bce_of_sigmoid(a, 1.0),
                "clipped": bce_of_clipped_sigmoid(a, 1.0),
            },
        )
    axes_pair[1].sharey(axes_pair[0])
    for axes, lines in zip(axes_pair, results):
        for style, (name, (loss, da)) in zip(("-", "--"), lines.items()):
            axes.plot(a, loss / 10, f"C0{style}", label=f"loss / 10, {name}")
            axes.plot(a, da, f"C1{style}", label=f"derivative, {name}")
            if (undefined := a[np.isnan(da)]).size:
                axes.axvspan(undefined[0], undefined[-1], color="C3", alpha=0.15, label="NaN")
        axes.set(xlabel="a, D's logit; the target is 1")
        axes.legend(frameon=False, fontsize=8)
        axes.grid(alpha=0.2)


def symptom(healthy, broken):
    a = np.linspace(0, 30, 3001, dtype="float32")
    with np.errstate(all="ignore"):
        nan = a[np.isnan(bce_of_sigmoid(a, 1.0)[1])][0]
    loss, da = bce_of_clipped_sigmoid(-a, 1.0)
    end = (
        f"is NaN at step {broken['stopped']}"
        if broken["stopped"]
        else f"has no NaN in {broken['steps']:,} steps"
    )
    return (
        f"The broken run {end}. For the target 1 in float32 the derivative is NaN from a ="
        f" {nan:.1f} on; with clipping it is 0 below a = {-a[da == 0][0]:.1f}, where D is most"
        f" certain and the loss is largest, {loss.max():.1f}."
    )
