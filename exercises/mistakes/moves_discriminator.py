"""A generator step that updates the discriminator

What people do
    In G's step the gradient passes through D, so D's parameters get gradients as well. Something
    then applies these gradients: an optimizer over all variables, a `backward` that also updates, a
    D that was never "frozen", or gradients of G's step that were not zeroed before D's own step.

What you see
    G's loss is below log 2 = 0.69 from the first steps on, and D's loss does not fall below that of
    a D that cannot distinguish real images from fakes. D is trained to be fooled. It classifies
    everything as real, fakes included, and the gradient that G receives is a tenth of its healthy
    size. Adam mostly compensates for that, so G does learn, but later and never completely.

Why
    D takes two steps in each training step: one for its own loss, and one for G's, -log D(G(z)).
    Where real images have density p and fakes density q, the sum of both losses is

        -p log D  -  q log(1 - D)  -  q log D

    as if each fake occurred twice, once with the label fake and once with the label real. It is
    minimal where its derivative is 0, -(p + q) / D + q / (1 - D) = 0:

        D = (p + q) / (p + 2q)        and not  p / (p + q)

    This is never below 1/2, not even for the worst fakes, where p = 0. Its logit, log(p/q + 1),
    is flat there: it tells G nothing about where the real images are. If G were perfect, p = q, D
    would be 2/3 everywhere.
"""

from minigan.gan.latents import sample_latents
from minigan.gan.recipes import RECIPES
from minigan.nn.losses import bce_with_logits
from minigan.training.state import TrainingState

THREADS = {
    "soumith/ganhacks#29": "D's loss grows and G's falls to 0, from the beginning; a comment"
    " finds the missing `var_list`",
    "burness/tensorflow-101#14": "is it all right that both are updated?",
    "eriklindernoren/Keras-GAN#91": "what `trainable = False` freezes, and when",
    "JoshElkind/from-scratch-NumPy-GAN-alphabet-images-": "its `backward` also updates",
}
RECIPE, Healthy = RECIPES["dense"], TrainingState


class Broken(TrainingState):
    def generator_step(self, batch):
        z = sample_latents(self.recipe, self.noise, self.recipe.batch_size)
        fake, cache_G = self.G.forward(z, train=True, rng=self.dropout)
        logits, cache_D = self.D.forward(fake, train=True, rng=self.dropout)
        loss, dlogits = bce_with_logits(logits, 1.0)
        self.G.backward(self.D.backward(dlogits, cache_D), cache_G, need_dx=False)
        self.optimizer_G.step(self.G.dtheta)
        self.optimizer_D.step(self.D.dtheta)
        # fixed: without this line
        return loss


curves = "D(x)", "D(G(z))"


def symptom(healthy, broken):
    name = "gradient norm of G"
    return (
        f"D(x) and D(G(z)), means of the last epoch: {broken['D(x)']:.2f} and"
        f" {broken['D(G(z))']:.2f}, close to 2/3, instead of {healthy['D(x)']:.2f} and"
        f" {healthy['D(G(z))']:.2f} in the healthy run. The loss of G is {broken['loss of G']:.2f}"
        f" instead of {healthy['loss of G']:.2f}, and its gradient norm {broken[name]:.3f} instead"
        f" of {healthy[name]:.3f}."
    )
