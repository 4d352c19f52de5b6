"""The stale cache

What people do
    A layer stores its input in an attribute: `self.x = x`. D processes real images, then fakes, and
    then both gradients go back. By then the second forward pass has replaced what the first one
    stored, so the gradient of the loss on real images goes back through the activations of the
    fakes. Here forward returns its cache, and the same variable, `cache`, is used twice.

What you see
    Nothing fails, and no single number is suspicious. D, however, learns nothing from real images,
    and ends up inverted: it is certain that fakes are real and that real images are fakes. G
    generates one image, which is not a digit. Only a check against central differences finds the
    mistake at once.

Why
    In a Dense layer dW = xᵀ @ dy (dense.py). The correct gradient of D and the actual one are

        right    dW = x_realᵀ @ dy_real + x_fakeᵀ @ dy_fake
        wrong    dW = x_fakeᵀ @ dy_real + x_fakeᵀ @ dy_fake = x_fakeᵀ @ (dy_real + dy_fake)

    The second contains no real image. At the last layer dy_real = (D(x) - 1) / N and
    dy_fake = D(G(z)) / N, row by row. Their sum is 0 where

        D(x) + D(G(z)) = 1

    and that is all that D now learns. It would be satisfied by 1/2 for both, and also by 0 for real
    images and 1 for fakes. G increases D(G(z)) again and again, and D restores the sum, not
    D(G(z)): in this run D(x) became smaller and smaller.
"""

from minigan.gan.latents import sample_latents
from minigan.gan.recipes import RECIPES
from minigan.nn.activations import sigmoid
from minigan.nn.losses import bce_with_logits
from minigan.training.state import TrainingState

THREADS = {
    "shinseung428/gan_numpy": "the gradient of real images from the cache of fakes; its README"
    ' advises to "work with one number"',
    "JoshElkind/from-scratch-NumPy-GAN-alphabet-images-": "the same",
}
RECIPE, Healthy = RECIPES["dense"], TrainingState


class Broken(TrainingState):
    def discriminator_step(self, batch):
        G, D, rng = self.G, self.D, self.dropout
        real = self.real_images(batch)
        z = sample_latents(self.recipe, self.noise, self.recipe.batch_size)
        fake, _ = G.forward(z, train=True, rng=rng)
        logits_real, cache = D.forward(real, train=True, rng=rng)
        # fixed: logits_real, cache_real = D.forward(real, train=True, rng=rng)
        logits_fake, cache = D.forward(fake, train=True, rng=rng)
        loss_real, dlogits_real = bce_with_logits(logits_real, 1.0)
        loss_fake, dlogits_fake = bce_with_logits(logits_fake, 0.0)
        D.backward(dlogits_real, cache, need_dx=False)
        # fixed: D.backward(dlogits_real, cache_real, need_dx=False)
        dtheta_real = D.dtheta.copy()
        D.backward(dlogits_fake, cache, need_dx=False)
        D.dtheta += dtheta_real
        self.optimizer_D.step(D.dtheta)
        return loss_real + loss_fake, sigmoid(logits_real).mean(), sigmoid(logits_fake).mean()


curves = "D(x)", "D(G(z))"


def symptom(healthy, broken):
    return (
        f"D(x) and D(G(z)), means of the last epoch: {broken['D(x)']:.3f} and"
        f" {broken['D(G(z))']:.3f} instead of {healthy['D(x)']:.2f} and {healthy['D(G(z))']:.2f} in"
        f" the healthy run. Their sum is {broken['D(x)'] + broken['D(G(z))']:.3f}. The loss of D is"
        f" {broken['loss of D']:.1f} instead of {healthy['loss of D']:.2f}, the loss of G is"
        f" {broken['loss of G']:.3f}."
    )
