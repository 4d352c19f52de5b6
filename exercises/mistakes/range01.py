"""Data in [0, 1] with a tanh

What people do
    G ends with a tanh, so it generates numbers in [-1, 1]. The real images are `pixels / 255`, in
    [0, 1].

What you see
    D finds fakes more and more easily. G receives larger and larger gradients, and digits appear
    late and blurred. If you display G's output as numbers in [-1, 1], you see grey. If you multiply
    it by 255 and cast it to bytes, you see bright spots, because negative numbers wrap around.

Why
    A single negative number identifies a fake, and half of the range of tanh is negative. G must
    therefore produce black, which is four fifths of all pixels, exactly: y = 0. At this value tanh
    is steepest. With y = tanh(a), a small error da in the sum a appears in y as

        dy = (1 - y²) da  =  da          at y = 0, where black is now
                          =  nearly 0    at y = -1, where black should be

    At -1 the argument a is far out on the flat part of the curve, and black stays black however
    noisy a is.
"""

import numpy as np

from minigan.backend import asnumpy
from minigan.datasets.pixels import unscale
from minigan.gan.recipes import RECIPES
from minigan.training.state import TrainingState

THREADS = {
    "fchollet/deep-learning-with-python-notebooks#7": "noise, until tanh is replaced by a"
    " sigmoid, or the data scaled to [-1, 1]",
    "fchollet/deep-learning-with-python-notebooks#112": "bright spots",
    "togheppi/DCGAN#2": "why tanh, if the data are not in its range?",
    "eriklindernoren/Keras-GAN#103": "a related mistake: right in training, wrong when displayed"
    " (`0.5 * x + 1`); fixed in #118 and #120",
}
RECIPE, Healthy = RECIPES["dense"], TrainingState


class Broken(TrainingState):
    black = 0.0

    def real_images(self, batch):
        return self.images[batch.indices].astype(self.recipe.dtype) / 255
        # fixed: return self.images[batch.indices].astype(self.recipe.dtype) / 127.5 - 1

    def generate(self, latents):
        return asnumpy(unscale(self.G_ema.forward(latents)[0], 0.0))
        # fixed: return asnumpy(unscale(self.G_ema.forward(latents)[0], -1.0))


def measure(gan):
    """The error of generated pixels that are black in all of 5,000 real images; white would be 1.

    The median is the typical error; a few noisy images contribute most to the mean.
    """
    always_black = gan.images[:5000].max(axis=0) == 0
    black = getattr(gan, "black", gan.recipe.pixel_min)
    pixels = gan.G.forward(gan.grid_latents)[0][:, always_black]
    error = abs(pixels - black) / (1 - black)
    return {
        "error of black, median": float(np.median(error)),
        "error of black, mean": float(error.mean()),
    }


curves, yscale = ("error of black, median", "gradient norm of G"), "log"


def symptom(healthy, broken):
    norm = "gradient norm of G"
    median, mean = (
        [100 * row[f"error of black, {which}"] for row in (broken, healthy)]
        for which in ("median", "mean")
    )
    return (
        f"The median error of pixels that are black in every real image is {median[0]:.2g} % of the"
        f" way to white, in the healthy run {median[1]:.2g} % (means over the last epoch). The mean"
        f" over pixels hides this: {mean[0]:.1f} and {mean[1]:.1f} %, because the few bad images of"
        f" the healthy run are bad everywhere. D(x) and D(G(z)) are {broken['D(x)']:.2f} and"
        f" {broken['D(G(z))']:.2f} instead of {healthy['D(x)']:.2f} and {healthy['D(G(z))']:.2f},"
        f" and the gradient norm of G is {broken[norm]:.1f} instead of {healthy[norm]:.2f}."
    )
