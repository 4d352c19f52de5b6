"""A toy: a GAN so small that everything about it can be seen.

The idea
    Of images nobody knows the density, that is, how often which of them occurs. So let the data be single
    numbers, drawn from a density p that we choose, here two bells. G turns a random number z into a
    number x, and D judges numbers. Then the density q of what G draws can be computed, and the best answer
    that any discriminator could give is known (Goodfellow et al. 2014, proposition 1). Of 2N numbers, half of
    them fakes, about N p(x) h are real and N q(x) h are fakes between x and x + h. So a number found there
    is real with probability

        D*(x) = p(x) / (p(x) + q(x))

    The animation is the paper's first figure: p dotted, q green, D blue and dashed, D* beside it, and
    below how G takes each z to its x. D is not D* at once: it learns. And as it nears D*, G sees where q
    is too small, and moves there. If q became p, D* would be 1/2 everywhere.

    In two dimensions, a ring of 8 bells or a grid of 25, the picture is a map: how real D finds each
    place, and where G's samples lie. (There q is not computed, and the bells that G has found are counted instead.)

The density of G(z)
    z is standard normal. Cut its line into pieces of equal probability. G takes each piece to an
    interval of x, and spreads its probability over it: where G is steep, thinly. So q(x) is the sum, over
    all z with G(z) = x, of (density of z) / |G'(z)|: the change of variables. There may be several such z,
    where G goes up and down again. Here G counts as straight on each of 2,000 pieces. No samples are drawn,
    nothing is smoothed, and what lies in each bin of x is exact but for that.

How far D is from D*
    distance = mean of |D(x) - D*(x)| over x that are real or fake with equal chance: weight (p + q) / 2

    It must be read beside what a D that always says 1/2 would get: |1/2 - p / (p + q)| (p + q) / 2 is
    |p - q| / 4, so that is the integral of |p - q| / 4. A D that has learned something is below it. (Half of
    the integral of |p - q| is the total variation distance of p and q, the largest difference between the two
    in the probability of any event: 1 if they do not overlap, 0 if q = p.)

Modes  (Srivastava et al. 2017, "VEEGAN", count likewise)
    A sample is good if it lies within three standard deviations of a bell's middle, and a bell is hit if a
    good sample is nearest to it. That is easily had: 2,500 points thrown evenly over the grid would hit all 25,
    with 28 % of them good. So we also count a bell as filled if it has at least half of the good samples that
    it should have: half of 2,500 / 8, or / 25. (Bells in the literature are narrower, which is harder.)

Both networks learn by their steps in gan.py. On the line D takes two steps for each of G's (the k of the
paper's algorithm 1), with ten times its rate. With one step and the same rate G runs away from every answer before
D has learned it: D stays at 1/2, its distance is that of 1/2, and q stays far from p. All rates
fall to a tenth, so that the two come to rest.

>>> p = data_density(MIDDLES)
>>> round((p * WIDTH).sum().item(), 6)
1.0
>>> best_answer(np.array([0.75, 0.2]), np.array([0.25, 0.2])).tolist()
[0.75, 0.5]
"""
import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from minigan.activations import LeakyReLU, Tanh, sigmoid
from minigan.dense import Dense
from minigan.gan import discriminator_step, generator_step
from minigan.network import Sequential
from minigan.optim import Adam


class Toy(NamedTuple):
    """Bells of equal width, and what it takes to learn them."""

    bells: np.ndarray  # their middles, (bells, dimensions)
    spread: float  # standard deviation of each
    shares: tuple  # how much of the data each has
    widths: tuple  # of the hidden layers of both networks
    bend: type  # Tanh makes smooth curves
    rate_G: float
    rate_D: float
    k: int  # steps of D for each of G
    steps: int


def even(n):
    """The same share for each of n bells."""
    return (1 / n,) * n


TOYS = {
    "line": Toy(np.array([[-1.5], [1.5]]), 0.6, (0.4, 0.6), (32, 32), Tanh, 5e-4, 5e-3, 2, 3000),
    "ring": Toy(np.array([[2 * math.cos(i * math.pi / 4), 2 * math.sin(i * math.pi / 4)] for i in range(8)]), 0.1, even(8),
                (64,) * 4, LeakyReLU, 1e-3, 1e-3, 1, 3000),
    "grid": Toy(np.array([[x, y] for y in range(-2, 3) for x in range(-2, 3)], float), 0.1, even(25),
                (64,) * 4, LeakyReLU, 1e-3, 1e-3, 1, 5000),
}
N = 256  # real numbers, and fakes, a step
FRAMES = 40  # of the animation, besides the first
EDGES = np.linspace(-5, 5, 501)  # of the bins on the line
MIDDLES, WIDTH = (EDGES[1:] + EDGES[:-1]) / 2, EDGES[1] - EDGES[0]
PIECES = np.array([[NormalDist().inv_cdf((i + 0.5) / 2001)] for i in range(2001)], "float32")  # of z


def play(toy, steps, seed):
    """Train; yields (step, G, D) before the first step, and some FRAMES times after it, more often at first."""
    rng, dims = np.random.default_rng(seed), toy.bells.shape[1]
    G, D = (network(n_in, toy, n_out, rng) for n_in, n_out in ((dims, dims), (dims, 1)))
    optimizer_G, optimizer_D = Adam(G.theta, beta1=0.0, beta2=0.99), Adam(D.theta, beta1=0.0, beta2=0.99)
    shown = {round(steps * (i / FRAMES) ** 2) for i in range(FRAMES + 1)}
    for step in range(steps + 1):
        if step in shown:
            yield step, G, D
        share = 1 - 0.9 * step / steps
        optimizer_G.lr, optimizer_D.lr = toy.rate_G * share, toy.rate_D * share
        for _ in range(toy.k):
            discriminator_step(G, D, optimizer_D, data(toy, rng, N), noise(toy, rng, N), rng)
        generator_step(G, D, optimizer_G, noise(toy, rng, N), rng)


def network(n_in, toy, n_out, rng):
    """Dense and a bend for each width, then one Dense: no tanh at the end, x may be any number."""
    sizes, layers = [n_in, *toy.widths], []
    for a, b in zip(sizes, sizes[1:]):
        layers += [Dense(a, b, rng), toy.bend()]
    return Sequential([*layers, Dense(sizes[-1], n_out, rng)])


def data(toy, rng, n):
    """n real examples, (n, dimensions), float32."""
    bells = toy.bells[rng.choice(len(toy.bells), n, p=toy.shares)]
    return (bells + toy.spread * rng.standard_normal(bells.shape)).astype("float32")


def noise(toy, rng, n):
    """n times z, (n, dimensions): as many random numbers as G makes of them."""
    return rng.standard_normal((n, toy.bells.shape[1]), dtype="float32")


def data_density(x, toy=TOYS["line"]):
    """p at each number of x, (n,)."""
    return sum(share * NormalDist.pdf(NormalDist(), 0) / toy.spread * np.exp(-((x - middle) / toy.spread) ** 2 / 2)
               for share, middle in zip(toy.shares, toy.bells[:, 0]))


def generator_density(G):
    """The mean of q over each bin, (500,): how much of each piece of z lies in it. See above."""
    ends = G.forward(PIECES)[0][:, 0].astype("float64")
    left, right = np.minimum(ends[1:], ends[:-1]), np.maximum(ends[1:], ends[:-1])
    below = ((EDGES[:, None] - left) / np.maximum(right - left, 1e-12)).clip(0, 1).mean(axis=1)  # probability of x < edge
    return np.diff(below) / WIDTH


def best_answer(p, q):
    """D*, number by number; 1/2 where there is neither."""
    return np.where(p + q > 0, p, 0.5) / np.where(p + q > 0, p + q, 1)


def judge(D, x):
    """D's probability that each row of x (n, dimensions) is real: (n,)."""
    return sigmoid(D.forward(x.astype("float32"))[0])[:, 0]


def measure_line(G, D):
    """(distance of D to D*, of 1/2 to D*, total variation distance of p and q): see above."""
    p, q = data_density(MIDDLES), generator_density(G)
    weight, best = (p + q) / 2 * WIDTH, best_answer(p, q)
    return tuple(float((abs(said - best) * weight).sum()) for said in (judge(D, MIDDLES[:, None]), 0.5)) + (
        float(1 - np.minimum(p, q).sum() * WIDTH),)


def measure_modes(x, toy):
    """(bells hit, bells filled, share of good samples) of samples x (n, 2)."""
    distances = np.sqrt(((x[:, None] - toy.bells) ** 2).sum(axis=2))
    good = distances.min(axis=1) <= 3 * toy.spread
    counts = np.bincount(distances.argmin(axis=1)[good], minlength=len(toy.bells))
    return int((counts > 0).sum()), int((counts >= len(x) / len(toy.bells) / 2).sum()), float(good.mean())
