"""The loss that saturates

What people do
    The formula says that G makes log(1 - D(G(z))) small, so that is what they write. It is right, and the 2014 paper that
    has the formula advises against it in the same section, 3.

What one sees
    D gets ahead, D(G(z)) is 0.000something, G's loss stands at 0 and G stands still, for hundreds of steps. When it wakes
    at last, it runs to a single image. Whether one sees that hangs on the optimizer. Adam divides each gradient by its
    own size, so that one that is a thousand times too short makes a step as long as ever: with our recipe `default`
    minimax is as good as any other ([losses.md](losses.md)). Here both runs have plain SGD with momentum, as people had
    in 2014, and D a head start of 300 steps.

Why
    With a for D's logit, G's price and its slope are (adversarial.py)

        log(1 - D) = -softplus(a)      slope -sigmoid(a)     = -D
        -log D     = softplus(-a)      slope sigmoid(a) - 1  = -(1 - D)

    The gradient of all of G is a sum over images of that slope times one and the same thing. So image by image the first
    is D / (1 - D) times as long as the second: where D says 1/1000, a thousandth. It is shortest when G has most to
    learn.
"""
from minigan.adversarial import minimax
from minigan.game import Game
from minigan.losses import price_and_slope
from minigan.recipes import RECIPES, replace

THREADS = {
    "soumith/ganhacks#11": "what \"maximise log D\" in trick 2 means, and why",
    "soumith/ganhacks#36": "D's loss is 0: why should that be a failure?",
    "carpedm20/DCGAN-tensorflow#331": "D's loss goes to 0, is that right?",
    "eriklindernoren/PyTorch-GAN#57": "the same, and poor digits",
}
RECIPE = replace(RECIPES["default"], optimizer="sgd", learning_rate=0.05, momentum=(0.5, 0.5, 1), head_start=300)
Healthy = Game


class Broken(Game):
    def __init__(self, *args):
        super().__init__(*args)
        self.loss = self.loss._replace(of_G=minimax)
        # mended: self.loss = self.loss._replace(of_G=lambda a: price_and_slope(a, 1.0))


seen, yscale = ("length of G's gradient", "D(G(z))"), "log"


def symptom(healthy, broken):
    first = [row["curves"]["length of G's gradient"][0] for row in (healthy, broken)]
    return (f"In the first steps after D's head start G's gradient has the length {first[0]:.2g} in the healthy run and {first[1]:.2g} in the"
            f" broken one; over the last epoch, {healthy[seen[0]]:.2g} and {broken[seen[0]]:.2g}. D(G(z)) is then"
            f" {healthy['D(G(z))']:.2g} and {broken['D(G(z))']:.2g}.")
