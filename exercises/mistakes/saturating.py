"""The saturating loss

What people do
    The formula says that G minimises log(1 - D(G(z))), and this is what people implement. The
    formula is correct, but the 2014 paper that states it advises against using it, in the same
    section (3).

What you see
    D gets ahead, D(G(z)) falls below 0.001, G's loss stays at 0 and G does not change for hundreds
    of steps. When it finally starts to learn, it collapses to a single image. Whether you see this
    depends on the optimizer. Adam divides each gradient by its own size, so even a gradient that is
    a thousand times too small gives a step of the usual length. With our recipe `dense`, minimax
    is as good as any other loss ([losses.md](losses.md)). Here both runs use SGD with momentum, as
    was usual in 2014, and D takes 300 warm-up steps.

Why
    With D's logit a, G's loss and its derivative are (losses.py)

        log(1 - D) = -softplus(a)      derivative -sigmoid(a)     = -D
        -log D     = softplus(-a)      derivative sigmoid(a) - 1  = -(1 - D)

    G's gradient is a sum over images of that derivative times a factor that does not depend on the
    loss. For each image, the first gradient is D / (1 - D) times the second. Where D is 1/1000,
    that is about a thousandth. The gradient is smallest when G has most to learn.
"""

from minigan.gan.losses import GAN_LOSSES
from minigan.gan.recipes import RECIPES, replace
from minigan.training.state import TrainingState

THREADS = {
    "soumith/ganhacks#11": 'what "maximise log D" in trick 2 means, and why',
    "soumith/ganhacks#36": "D's loss is 0: why should that be a failure?",
    "carpedm20/DCGAN-tensorflow#331": "D's loss goes to 0, is that right?",
    "eriklindernoren/PyTorch-GAN#57": "the same, and poor digits",
}
RECIPE = replace(
    RECIPES["dense"],
    optimizer="sgd",
    learning_rate=0.05,
    momentum=(0.5, 0.5, 1),
    d_warmup_steps=300,
)
Healthy = TrainingState


class Broken(TrainingState):
    def __init__(self, recipe, images, **options):
        super().__init__(recipe, images, **options)
        self.loss = GAN_LOSSES["minimax"]
        # fixed: self.loss = GAN_LOSSES["non-saturating"]


curves, yscale = ("gradient norm of G", "D(G(z))"), "log"


def symptom(healthy, broken):
    name = curves[0]
    first = [row["curves"][name][0] for row in (healthy, broken)]
    return (
        f"In the first steps after D's warm-up the gradient norm of G is {first[0]:.2g} in the"
        f" healthy run and {first[1]:.2g} in the broken one; over the last epoch,"
        f" {healthy[name]:.2g} and {broken[name]:.2g}. D(G(z)) is then {healthy['D(G(z))']:.2g} and"
        f" {broken['D(G(z))']:.2g}."
    )
