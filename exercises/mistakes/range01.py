"""Data in [0, 1] against tanh

What people do
    G ends in a tanh, so it draws in [-1, 1]. Real images are `pixels / 255`, in [0, 1].

What one sees
    D finds fakes ever more easily, and G, with a gradient that grows and grows, draws digits late, and smeared. Those who
    take G's numbers for [-1, 1] when they draw it see grey; those who multiply by 255 and cast to bytes see bright spots,
    as what is below 0 comes round again.

Why
    Any number below 0 gives a fake away, and half of tanh's range is below 0. So G must hit black, four fifths of all
    pixels, exactly: y = 0. There tanh is steepest. With y = tanh(a), a mistake of da in the sum before it shows as

        dy = (1 - y²) da  =  da          at y = 0, where black is now
                          =  nearly 0    at y = -1, where black should be

    At -1 a is far out on the flat side, and however noisy a is, black is black.
"""
import numpy as np

from minigan.backend import to_host
from minigan.data import unscale
from minigan.game import Game
from minigan.recipes import RECIPES

THREADS = {
    "fchollet/deep-learning-with-python-notebooks#7": "noise, until tanh is replaced by a sigmoid, or the data scaled to [-1, 1]",
    "fchollet/deep-learning-with-python-notebooks#112": "bright spots",
    "togheppi/DCGAN#2": "why tanh, if the data are not in its range?",
    "eriklindernoren/Keras-GAN#103": "its kin: right in training, wrong when drawn (`0.5 * x + 1`); mended in #118 and #120",
}
RECIPE, Healthy = RECIPES["default"], Game


class Broken(Game):
    black = 0.0

    def next_images(self):
        super().next_images()
        return self.images[self.rows()].astype(self.recipe.dtype) / 255
        # mended: return self.images[self.rows()].astype(self.recipe.dtype) / 127.5 - 1

    def draw(self, z):
        return to_host(unscale(self.drawer.forward(z)[0], low=0.0))
        # mended: return to_host(unscale(self.drawer.forward(z)[0], low=-1.0))


def look(game):
    """How far pixels that are black in all of 5,000 real images are from black, as a share of the way from there to white, 1:
    the typical one, and the mean, to which a few noisy images add most."""
    always, black = game.images[:5000].max(axis=0) == 0, getattr(game, "black", game.recipe.low)
    off = abs(game.G.forward(game.grid_z)[0][:, always] - black) / (1 - black)
    return {"off black, typical": float(np.median(off)), "off black, mean": float(off.mean())}


LENGTH = "length of G's gradient"
seen, yscale = ("off black, typical", LENGTH), "log"


def symptom(healthy, broken):
    typical, mean = ([100 * row[f"off black, {which}"] for row in (broken, healthy)] for which in ("typical", "mean"))
    return (f"A typical pixel of those that are black in every real image is off by {typical[0]:.2g} % of the way to white, in the healthy"
            f" run by {typical[1]:.2g} % (median, its mean over the last epoch). The mean over pixels hides that: {mean[0]:.1f} and"
            f" {mean[1]:.1f} %, for the healthy run's few bad images are bad all over. D(x) and D(G(z)) are {broken['D(x)']:.2f} and"
            f" {broken['D(G(z))']:.2f} instead of {healthy['D(x)']:.2f} and {healthy['D(G(z))']:.2f}, and G's gradient has the length"
            f" {broken[LENGTH]:.1f} instead of {healthy[LENGTH]:.2f}.")
