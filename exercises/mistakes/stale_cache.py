"""The stale cache

What people do
    A layer keeps its input where forward finds room for one: `self.x = x`. D looks at real images, then at fakes, and
    then both gradients go back. But the second look has written over the first: the correction that real images ask for
    goes back through what D remembers of fakes. Here forward hands its cache out, and it is the same name, `cache`, that
    is used twice.

What one sees
    Nothing fails, and no single number is odd. But D learns nothing from real images, and ends the wrong way round: sure
    that fakes are real and that real images are fakes, and G draws one thing, no digit. Only a check against central
    differences finds it at once.

Why
    In a Dense layer dW = xᵀ·dy (dense.py). So D's gradient should be, and is:

        right    dW = x_realᵀ·dy_real + x_fakeᵀ·dy_fake
        wrong    dW = x_fakeᵀ·dy_real + x_fakeᵀ·dy_fake = x_fakeᵀ·(dy_real + dy_fake)

    No real image is left in it. At the last layer dy_real = (D(x) - 1) / N and dy_fake = D(G(z)) / N, row by row. Their
    sum is 0 where

        D(x) + D(G(z)) = 1

    and that is all that D now strives for: saying 1/2 to both would do, and so would 0 to real images and 1 to fakes. G
    pushes D(G(z)) up, again and again, and D brings back the sum to 1, not D(G(z)) to where it was: here real images got
    less and less.
"""
from minigan.activations import sigmoid
from minigan.build import make_noise
from minigan.game import Game
from minigan.losses import bce_on_logits
from minigan.recipes import RECIPES

THREADS = {
    "shinseung428/gan_numpy": "the gradient of real images from the cache of fakes; its README advises to \"work with one number\"",
    "JoshElkind/from-scratch-NumPy-GAN-alphabet-images-": "the same",
}
RECIPE, Healthy = RECIPES["default"], Game


class Broken(Game):
    def step_of_D(self, penalised=True):
        G, D, rng = self.G, self.D, self.dropout
        real, z = self.next_images(), make_noise(self.recipe, self.noise, self.recipe.batch_size)
        fake, _ = G.forward(z, train=True, rng=rng)
        logits_real, cache = D.forward(real, train=True, rng=rng)
        # mended: logits_real, cache_real = D.forward(real, train=True, rng=rng)
        logits_fake, cache = D.forward(fake, train=True, rng=rng)
        loss_real, dlogits_real = bce_on_logits(logits_real, 1.0)
        loss_fake, dlogits_fake = bce_on_logits(logits_fake, 0.0)
        D.backward(dlogits_real, cache, need_dx=False)
        # mended: D.backward(dlogits_real, cache_real, need_dx=False)
        dtheta_real = D.dtheta.copy()
        D.backward(dlogits_fake, cache, need_dx=False)
        D.dtheta += dtheta_real
        self.optimizer_D.step(D.dtheta)
        return loss_real + loss_fake, sigmoid(logits_real).mean(), sigmoid(logits_fake).mean()


seen = "D(x)", "D(G(z))"


def symptom(healthy, broken):
    return (f"D(x) and D(G(z)), the mean of the last epoch: {broken['D(x)']:.3f} and {broken['D(G(z))']:.3f}, where the healthy run has"
            f" {healthy['D(x)']:.2f} and {healthy['D(G(z))']:.2f}. Their sum is {broken['D(x)'] + broken['D(G(z))']:.3f}. D pays"
            f" {broken['loss of D']:.1f} instead of {healthy['loss of D']:.2f}, and G {broken['loss of G']:.3f}.")
