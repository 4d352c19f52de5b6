"""Batch norm with an eps of 0.8

What people do
    In Keras, `BatchNormalization(momentum=0.8)`. In PyTorch, `BatchNorm1d(n, 0.8)`. But PyTorch's second argument is eps,
    which is there to keep from dividing by 0. It stands so in 22 scripts of the most starred collection of GANs, and in
    everything that was copied from them.

What one sees
    Little that would make one ask. It trains. But D gets ahead, digits come later, and of fewer kinds.

Why
    What comes out of a batch norm should have variance 1, whatever goes in (batchnorm.py). With v the variance of what
    goes in,

        xhat = (x - m) / sqrt(v + eps)        has the variance  v / (v + eps)

    which is 1 only where v is much more than 0.8. A feature that varies little, v = 0.1, comes out with 1/9, and the next
    layer sees three times less of it: just what batch norm was to prevent. Where v is small, every feature is just
    multiplied by 1 / sqrt(0.8) = 1.1, as if there were no batch norm. (Keras's momentum is the share of the old that is
    kept, PyTorch's and ours the share of the new: 0.8 there is 0.2 here.)
"""
import numpy as np

from minigan.activations import LeakyReLU, Tanh
from minigan.batchnorm import BatchNorm
from minigan.build import make_optimizers
from minigan.dense import Dense
from minigan.game import Game
from minigan.network import Sequential
from minigan.recipes import RECIPES, replace

THREADS = {"eriklindernoren/PyTorch-GAN#116": "is eps=0.8 by design?"}
RECIPE = replace(RECIPES["default"], name="PyTorch-GAN's gan.py", latent_dim=100, widths_G=(128, 256, 512, 1024), batch_size=64,
                 dropout=0.0, learning_rate=2e-4, beta1=0.5, beta2=0.999, decay_G=0.0, average=0.0, rule="fan_in")


class Healthy(Game):
    """With batch norm after each hidden layer of G but the first, as in that script; its G draws itself, without an average."""

    def __init__(self, recipe, images, seed=0):
        super().__init__(recipe, images, seed)
        rng, sizes, layers = np.random.default_rng(seed), (recipe.latent_dim, *recipe.widths_G), []
        for i, (n_in, n_out) in enumerate(zip(sizes, sizes[1:])):
            layers += [Dense(n_in, n_out, rng, recipe.rule, recipe.dtype), *([self.batch_norm(n_out)] if i else []), LeakyReLU(0.2)]
        self.drawer = self.G = Sequential([*layers, Dense(sizes[-1], self.images.shape[1], rng, recipe.rule, recipe.dtype), Tanh()])
        self.optimizer_G, self.optimizer_D = make_optimizers(recipe, self.G, self.D)

    def batch_norm(self, n):
        return BatchNorm(n, momentum=0.2, dtype=self.recipe.dtype)


class Broken(Healthy):
    def batch_norm(self, n):
        return BatchNorm(n, 0.8, dtype=self.recipe.dtype)
        # mended: return BatchNorm(n, momentum=0.2, dtype=self.recipe.dtype)


def look(game):
    """The variance that features have behind a batch norm, before gamma and beta, on average: it should be 1."""
    x, variances = game.grid_z, []
    for layer in game.G.layers:
        if isinstance(layer, BatchNorm):
            v = x.var(axis=0)
            variances.append(float((v / (v + layer.eps)).mean()))
            x = layer.gamma * (x - x.mean(axis=0)) / (v + layer.eps) ** 0.5 + layer.beta
        else:
            x, _ = layer.forward(x)
    return {"variance behind batch norm": sum(variances) / len(variances)}


seen = ("variance behind batch norm",)


def symptom(healthy, broken):
    name = seen[0]
    return (f"The variance behind batch norm, the mean over three layers and the last epoch: {healthy[name]:.2f} in the healthy run,"
            f" {broken[name]:.2f} in the broken one; at the first step {healthy['curves'][name][0]:.2f} and {broken['curves'][name][0]:.2f}.")
