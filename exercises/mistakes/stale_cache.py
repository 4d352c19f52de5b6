"""The stale cache

What people do
    A layer keeps its input where forward finds room for one: `self.x = x`. D looks at real images, then at fakes, and then
    both gradients go back. But the second look has written over the first: the correction that real images ask for goes back
    through what D remembers of fakes. Here forward hands its cache out, and it is the same name, `cache`, that is used twice.

What one sees
    D stays undecided: it says 1/2 to everything, as if it had learned nothing, and G, who learns only from D, draws noise.
    Nothing fails, no number is odd. It is the kind of mistake that only a check against central differences finds.

Why
    In a Dense layer dW = x^T dy (dense.py). So D's gradient should be, and is:

        right    dW = x_real^T dy_real + x_fake^T dy_fake
        wrong    dW = x_fake^T dy_real + x_fake^T dy_fake = x_fake^T (dy_real + dy_fake)

    No real image is left in it. At the last layer dy_real = (D(x) - 1) / N and dy_fake = D(G(z)) / N. For a D that says 1/2 to
    all, they are -1/(2N) and 1/(2N), row by row: they cancel, and where nothing moves D any more it stays.
"""
from minigan.activations import sigmoid
from minigan.build import make_noise
from minigan.game import Game
from minigan.losses import bce_on_logits
from minigan.recipes import RECIPES

THREADS = {
    "shinseung428/gan_numpy": "the real images' gradient is taken from the fakes' cache; its README advises to \"work with one number\"",
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
    return (f"D(x) and D(G(z)), the mean of the last epoch: {broken['D(x)']:.2f} and {broken['D(G(z))']:.2f}, where the healthy run has"
            f" {healthy['D(x)']:.2f} and {healthy['D(G(z))']:.2f}.")
