"""The generator's step that moves the discriminator

What people do
    In G's step the gradient goes through D, so D's parameters get one, too. And then whoever is told to step, steps: an
    optimizer over "all variables", a `backward` that also updates, a D that was never "frozen", or whose gradients of G's
    step were not forgotten before its own.

What one sees
    G's loss is below log 2 = 0.69 from the first steps on, and D's does not get below that of a D that cannot tell: D is
    trained to be fooled. It takes everything for real, fakes too, and the gradient that G gets from it is a tenth as long
    as it should be. Adam makes that up, more or less, so it learns: later, and never quite.

Why
    D takes two steps in each round: for its own loss, and for G's, -log D(G(z)). Where real images have density p and
    fakes q, it pays in all

        -p log D  -  q log(1 - D)  -  q log D

    as if each fake came twice, once labelled fake and once real. The best answer to that is where the slope is 0, -(p +
    q) / D + q / (1 - D) = 0:

        D = (p + q) / (p + 2q)        and not  p / (p + q)

    which is never below 1/2, not even for the worst of fakes, where p = 0. And its logit, log(p/q + 1), is flat there: it
    tells G nothing about where the real images are. If G were perfect, p = q, D would say 2/3 to all.
"""
from minigan.build import make_noise
from minigan.game import Game
from minigan.losses import bce_on_logits
from minigan.recipes import RECIPES

THREADS = {
    "soumith/ganhacks#29": "D's loss grows and G's falls to 0, from the beginning; a comment finds the missing `var_list`",
    "burness/tensorflow-101#14": "is it all right that both are updated?",
    "eriklindernoren/Keras-GAN#91": "what `trainable = False` freezes, and when",
    "JoshElkind/from-scratch-NumPy-GAN-alphabet-images-": "its `backward` also updates",
}
RECIPE, Healthy = RECIPES["default"], Game


class Broken(Game):
    def step_of_G(self):
        z = make_noise(self.recipe, self.noise, self.recipe.batch_size)
        fake, cache_G = self.G.forward(z, train=True, rng=self.dropout)
        logits, cache_D = self.D.forward(fake, train=True, rng=self.dropout)
        loss, dlogits = bce_on_logits(logits, 1.0)
        self.G.backward(self.D.backward(dlogits, cache_D), cache_G, need_dx=False)
        self.optimizer_G.step(self.G.dtheta)
        self.optimizer_D.step(self.D.dtheta)
        # mended: without this line
        return loss


seen = "D(x)", "D(G(z))"


def symptom(healthy, broken):
    name = "length of G's gradient"
    return (f"D(x) and D(G(z)), the mean of the last epoch: {broken['D(x)']:.2f} and {broken['D(G(z))']:.2f}, close to 2/3, where the"
            f" healthy run has {healthy['D(x)']:.2f} and {healthy['D(G(z))']:.2f}. G pays {broken['loss of G']:.2f} instead of"
            f" {healthy['loss of G']:.2f}, and its gradient has the length {broken[name]:.3f} instead of {healthy[name]:.3f}.")
