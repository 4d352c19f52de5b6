"""The generator's step that moves the discriminator

What people do
    In G's step the gradient goes through D, so D's parameters get one, too. And then whoever is told to step, steps: an
    optimizer over "all variables", a `backward` that also updates, a D that was never "frozen", or whose gradients of G's step were
    not forgotten before its own.

What one sees
    G's loss falls at once, and D's rises: D is trained to be fooled. It takes everything for real, more or less, G has nothing
    to fear, and what it draws is accordingly.

Why
    D takes two steps in each round: for its own loss, and for G's, -log D(G(z)). Where real images have density p and fakes q, it
    pays in all

        -p log D  -  q log(1 - D)  -  q log D

    as if each fake came twice, once labelled fake and once real. The best answer to that is where the slope is 0,
    -(p + q) / D + q / (1 - D) = 0:

        D = (p + q) / (p + 2q)        and not  p / (p + q)

    which is never below 1/2, not even for the worst of fakes, where p = 0. And its logit, log(p/q + 1), is flat there: it tells G
    nothing about where the real images are. If G were perfect, p = q, D would say 2/3 to all.
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
    return (f"D(G(z)), the mean of the last epoch: {broken['D(G(z))']:.2f}, where the healthy run has {healthy['D(G(z))']:.2f}. D pays"
            f" {broken['loss of D']:.2f} instead of {healthy['loss of D']:.2f}, and G only {broken['loss of G']:.2f} instead of"
            f" {healthy['loss of G']:.2f}.")
