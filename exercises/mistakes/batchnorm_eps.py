"""Batch norm with an eps of 0.8

What people do
    In Keras, `BatchNormalization(momentum=0.8)`. In PyTorch, `BatchNorm1d(n, 0.8)`. However,
    PyTorch's second argument is eps, which prevents division by zero. The mistake is in 22 scripts
    of the most-starred collection of GANs, and in everything that was copied from them.

What you see
    Little that would raise suspicion. The GAN trains, but D gets ahead, and digits appear later and
    are less diverse.

Why
    The output of batch norm should have variance 1, whatever its input (batchnorm.py). With v the
    variance of the input,

        xhat = (x - m) / sqrt(v + eps)        has the variance  v / (v + eps)

    which is close to 1 only where v is much larger than 0.8. A feature with a small variance, v =
    0.1, has variance 1/9 afterwards, so the next layer receives it three times smaller, which is
    exactly what batch norm should prevent. Where v is small, every feature is simply multiplied by
    1 / sqrt(0.8) = 1.1, as if there were no batch norm. (Keras' momentum is the fraction of the old
    value that is kept, PyTorch's and ours the fraction of the new one: 0.8 there is 0.2 here.)
"""

import math

import numpy as np

from minigan.gan.recipes import RECIPES, replace
from minigan.nn.activations import LeakyReLU, Tanh
from minigan.nn.batchnorm import BatchNorm2d
from minigan.nn.dense import Dense
from minigan.nn.reshape import Reshape
from minigan.nn.sequential import Sequential
from minigan.training.state import TrainingState, make_initial_networks

THREADS = {"eriklindernoren/PyTorch-GAN#116": "is eps=0.8 by design?"}
RECIPE = replace(
    RECIPES["dense"],
    name="PyTorch-GAN's gan.py",
    latent_dim=100,
    widths_G=(128, 256, 512, 1024),
    batch_size=64,
    dropout=0.0,
    learning_rate=2e-4,
    beta1=0.5,
    beta2=0.999,
    weight_decay_G=0.0,
    ema_decay=0.0,
    init="fan_in",
)


class Healthy(TrainingState):
    """With batch norm after each hidden layer of G but the first, as in that script, and without an
    EMA.
    """

    def __init__(self, recipe, images, *, seed=0):
        shape, rng = images.shape[1:], np.random.default_rng(seed)
        options = dict(init=recipe.init, dtype=recipe.dtype, rng=rng)
        sizes, layers = (recipe.latent_dim, *recipe.widths_G), []
        for i, (n_in, n_out) in enumerate(zip(sizes, sizes[1:])):
            batch_norm = [self.batch_norm(n_out, recipe.dtype)] if i else []
            layers += [Dense(n_in, n_out, **options), *batch_norm, LeakyReLU(0.2)]
        output = [Dense(sizes[-1], math.prod(shape), **options), Tanh(), Reshape(*shape)]
        _, D = make_initial_networks(recipe, shape, seed=seed)
        super().__init__(recipe, images, seed=seed, networks=(Sequential([*layers, *output]), D))

    def batch_norm(self, n, dtype):
        return BatchNorm2d(n, momentum=0.2, dtype=dtype)


class Broken(Healthy):
    def batch_norm(self, n, dtype):
        return BatchNorm2d(n, eps=0.8, dtype=dtype)
        # fixed: return BatchNorm2d(n, momentum=0.2, dtype=dtype)


def measure(gan):
    """The mean variance of the features after batch norm, before gamma and beta: it should be 1."""
    x, variances = gan.grid_latents, []
    for layer in gan.G.layers:
        if isinstance(layer, BatchNorm2d):
            v = x.var(axis=0)
            variances.append(float((v / (v + layer.eps)).mean()))
            x = layer.gamma * (x - x.mean(axis=0)) / (v + layer.eps) ** 0.5 + layer.beta
        else:
            x, _ = layer.forward(x)
    return {"variance after batch norm": sum(variances) / len(variances)}


curves = ("variance after batch norm",)


def symptom(healthy, broken):
    name = curves[0]
    first = [row["curves"][name][0] for row in (healthy, broken)]
    return (
        "The variance after batch norm, the mean of three layers over the last epoch, is"
        f" {healthy[name]:.2f} in the healthy run and {broken[name]:.2f} in the broken one; at the"
        f" first step it is {first[0]:.2f} and {first[1]:.2f}."
    )
