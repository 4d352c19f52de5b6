"""Toys: GANs on data with a known density, so small that everything about them can be plotted.

The idea
    The density of images, that is, how likely each image is, is unknown. We therefore consider data
    that are single numbers with a density p of our choice, here a mixture of two Gaussians. G maps
    a random number z to a number x, and D classifies numbers. The density q of G(z) can then be
    computed, and the optimal discriminator is known (Goodfellow et al. 2014, proposition 1). Of N
    real numbers and N fakes, about N p(x) h real ones and N q(x) h fakes lie between x and x + h. A
    number found there is real with probability

        D*(x) = p(x) / (p(x) + q(x))

    The animation reproduces the first figure of that paper: p is dotted, q is green, and D is blue
    and dashed. D* is plotted with them, and arrows below show how G maps z to x. D has to be
    learned, so it is not equal to D*. The closer D is to D*, the better its gradient shows G where
    q is too small. If q were equal to p, D* would be 1/2 everywhere.

    In two dimensions, the data is a mixture of 8 Gaussians in a ring or 25 in a grid, and the plot
    shows D's output as a map, with samples of G. Here q is not computed. Instead, the modes that G
    covers are counted.

The density of G(z)
    z is standard normal, and its line is divided into intervals of equal probability. G maps each
    interval to an interval of x and spreads its probability over it, thinly where G is steep. By
    the change of variables, q(x) is the sum of (density of z) / |G'(z)| over all z with G(z) = x;
    there can be several if G is not monotonic. Two approximations are made: G is linear on each of
    2,000 intervals, and the tails of z beyond them, with a probability of 1/2001 in all, are
    ignored. Nothing is sampled or smoothed.

The distance of D from D*
    distance = mean of |D(x) - D*(x)| over x that are real or fake with equal probability, that is
               with the weight (p + q) / 2

    It should be compared with the distance of a D that always outputs 1/2. In that case
    |1/2 - p / (p + q)| (p + q) / 2 is |p - q| / 4, so the distance is the integral of |p - q| / 4.
    A D that has learned something has a smaller distance. (Half the integral of |p - q| is the
    total variation distance of p and q, the largest difference between their probabilities of any
    event. It is 1 if p and q do not overlap and 0 if they are equal.)

Modes  (counted as in Srivastava et al. 2017, "VEEGAN")
    A sample is good if it is within three standard deviations of the mean of a Gaussian, and a mode
    is hit if it is the closest mode of at least one good sample. Hitting a mode is easy: 2,500
    points spread uniformly over the grid would hit all 25 modes, and 28 % of them would be good. We
    therefore also count a mode as covered if it has at least half of its share of good samples,
    that is, half of 2,500 / 8 or of 2,500 / 25. (The Gaussians in the literature are narrower, so
    that task is harder.)

Both networks are trained by the steps of gan/steps.py, with any of the losses and penalties of
gan/. `with_loss` has settings for the relativistic loss with R1 and R2, in which three things
change. The penalty's weight gamma falls from `gamma` to `final_gamma` during the first half of
training: at first it keeps D smooth, and in the end D may be steep between modes that are narrow
compared with their distances. Half of the latents are signs (gan/latents.py): from normal noise
alone, which is connected, G cannot make separate modes without samples in between. The samples are
those of a moving average of G's weights. docs/modes.md measures what each of the three does: on the
grid only the signs make a difference.

On the line, D takes two steps for each step of G (k = 2 in the paper's algorithm 1), with ten times
the learning rate of G. With one step and the same rate, G changes before D has learned: D stays
near 1/2, and q stays far from p. All learning rates fall to a tenth, so that both networks
converge.

Shapes
    Data and samples x (n, d), in d dimensions, and noise z (n, Z); densities (n,), one number for
    each x.

>>> p = data_density(BIN_CENTRES)
>>> round((p * BIN_WIDTH).sum().item(), 6)
1.0
>>> optimal_discriminator(np.array([0.75, 0.2]), np.array([0.25, 0.2])).tolist()
[0.75, 0.5]
"""

import copy
import math
from collections.abc import Iterator
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from minigan.gan.gradient_penalty import make_penalty
from minigan.gan.latents import sample_latents
from minigan.gan.losses import GAN_LOSSES
from minigan.gan.steps import discriminator_step, generator_step
from minigan.nn.activations import LeakyReLU, Tanh, sigmoid
from minigan.nn.dense import Dense
from minigan.nn.ema import ExponentialMovingAverage
from minigan.nn.optim import Adam
from minigan.nn.sequential import Sequential


class Toy(NamedTuple):
    """A mixture of Gaussians of equal width, and the settings to train a GAN on it."""

    means: np.ndarray  # of the Gaussians, (number, d)
    std: float  # standard deviation of each
    weights: tuple[float, ...]  # of the mixture; their sum is 1
    widths: tuple[int, ...]  # of the hidden layers of both networks
    activation: type  # of the hidden layers; Tanh makes smooth curves
    lr_G: float
    lr_D: float
    k: int  # steps of D for each step of G
    steps: int  # of G
    latent_dim: int  # Z
    noise: str = "normal"  # distribution of z: see gan/latents.py
    dtype: str = "float32"
    final_lr_factor: float = 0.1  # the learning rates fall linearly to this fraction
    ema_decay: float = 0.0  # of the moving average of G's weights; 0: none
    loss: str = "non-saturating"  # see gan/losses.py
    penalty: str = ""  # see gan/gradient_penalty.py
    gamma: float = 0.0  # weight of the penalty at the first step
    final_gamma: float = 0.0  # its weight during the second half of training


ANGLES = [i * math.pi / 4 for i in range(8)]
TOYS = {
    "line": Toy(
        means=np.array([[-1.5], [1.5]]),
        std=0.6,
        weights=(0.4, 0.6),
        widths=(32, 32),
        activation=Tanh,
        lr_G=5e-4,
        lr_D=5e-3,
        k=2,
        steps=3000,
        latent_dim=1,
    ),
    "ring": Toy(
        means=np.array([[2 * math.cos(angle), 2 * math.sin(angle)] for angle in ANGLES]),
        std=0.1,
        weights=(1 / 8,) * 8,
        widths=(64,) * 4,
        activation=LeakyReLU,
        lr_G=1e-3,
        lr_D=1e-3,
        k=1,
        steps=3000,
        latent_dim=2,
    ),
    "grid": Toy(
        means=np.array([[x, y] for y in range(-2, 3) for x in range(-2, 3)], float),
        std=0.1,
        weights=(1 / 25,) * 25,
        widths=(64,) * 4,
        activation=LeakyReLU,
        lr_G=1e-3,
        lr_D=1e-3,
        k=1,
        steps=5000,
        latent_dim=2,
    ),
}
PAIRED = dict(  # what with_loss changes in a toy for the relativistic loss
    lr_G=3e-3,
    lr_D=3e-3,
    latent_dim=8,
    noise="half-binary",
    final_lr_factor=0.02,
    ema_decay=0.998,
)
FIRST_GAMMA, LAST_GAMMA = 0.1, 0.003  # if no other penalty weight is given
TOY_BATCH = 256  # real examples, and fakes, per step
TOY_FRAMES = 40  # frames of the animation, in addition to the first
BIN_EDGES = np.linspace(-5, 5, 501)  # of the bins on the line
BIN_CENTRES, BIN_WIDTH = (BIN_EDGES[1:] + BIN_EDGES[:-1]) / 2, BIN_EDGES[1] - BIN_EDGES[0]
Z_QUANTILES = np.array(  # the ends of 2,000 intervals of equal probability, (2001, 1)
    [[NormalDist().inv_cdf((i + 0.5) / 2001)] for i in range(2001)], "float32"
)


def train_toy(toy: Toy, steps: int, *, seed: int) -> Iterator[tuple[int, Sequential, Sequential]]:
    """Train a GAN on a toy, and yield (step, G, D) before the first step and for each frame.

    Frames are closer together at the beginning, when more changes. If the toy has an ema_decay, G
    has the moving average of the weights.
    """
    rng, d = np.random.default_rng(seed), toy.means.shape[1]
    G = make_mlp(toy.latent_dim, d, toy.widths, activation=toy.activation, rng=rng)
    D = make_mlp(d, 1, toy.widths, activation=toy.activation, rng=rng)
    G_ema = copy.deepcopy(G) if toy.ema_decay else G
    average = ExponentialMovingAverage(G_ema.theta, toy.ema_decay)
    optimizer_G = Adam(G.theta, beta1=0.0, beta2=0.99)
    optimizer_D = Adam(D.theta, beta1=0.0, beta2=0.99)
    loss, penalty = GAN_LOSSES[toy.loss], None
    frames = {round(steps * (i / TOY_FRAMES) ** 2) for i in range(TOY_FRAMES + 1)}
    for step in range(steps + 1):
        if step in frames:
            yield step, G_ema, D
        lr_factor = 1 - (1 - toy.final_lr_factor) * step / steps
        optimizer_G.lr, optimizer_D.lr = toy.lr_G * lr_factor, toy.lr_D * lr_factor
        if toy.penalty:
            penalty = make_penalty(toy.penalty, gamma_at(toy, step / steps))
        for _ in range(toy.k):
            real = sample_data(toy, TOY_BATCH, rng=rng)
            z = sample_latents(toy, rng, TOY_BATCH)
            discriminator_step(G, D, optimizer_D, real, z, loss=loss, penalty=penalty, rng=rng)
        z = sample_latents(toy, rng, TOY_BATCH)
        pairs = sample_data(toy, TOY_BATCH, rng=rng) if loss.paired else None
        generator_step(G, D, optimizer_G, z, loss=loss, real=pairs, rng=rng)
        if toy.ema_decay:
            average.step(G.theta)


def with_loss(toy: Toy, loss: str, penalty: str = "", gamma: float = 0.0) -> Toy:
    """The toy with another loss and penalty, and with the settings that we have found for them.

    `gamma` is the weight of the penalty at the first step; 0 means FIRST_GAMMA.
    """
    if GAN_LOSSES[loss].paired:
        toy = toy._replace(**PAIRED)  # type: ignore[arg-type]
    if penalty:
        first = gamma or FIRST_GAMMA
        toy = toy._replace(
            penalty=penalty, gamma=first, final_gamma=first * LAST_GAMMA / FIRST_GAMMA
        )
    return toy._replace(loss=loss)


def gamma_at(toy: Toy, progress: float) -> float:
    """The weight of the penalty when a part of the training, from 0 to 1, is done.

    It is multiplied by the same number in every step of the first half.
    """
    return toy.gamma * (toy.final_gamma / toy.gamma) ** min(1, 2 * progress)


def make_mlp(
    in_features: int,
    out_features: int,
    widths: tuple[int, ...],
    *,
    activation: type,
    rng: np.random.Generator,
) -> Sequential:
    """(N, in_features) -> (N, out_features): Dense and an activation for each width, then Dense."""
    sizes, layers = [in_features, *widths], []
    for a, b in zip(sizes, sizes[1:]):
        layers += [Dense(a, b, rng=rng), activation()]
    return Sequential([*layers, Dense(sizes[-1], out_features, rng=rng)])


def sample_data(toy: Toy, n: int, *, rng: np.random.Generator) -> np.ndarray:
    """Sample n real examples, (n, d), float32."""
    means = toy.means[rng.choice(len(toy.means), n, p=toy.weights)]
    return (means + toy.std * rng.standard_normal(means.shape)).astype("float32")


def data_density(x: np.ndarray, toy: Toy = TOYS["line"]) -> np.ndarray:
    """p at each number of x, (n,), for a toy in one dimension."""
    return sum(
        weight * NormalDist().pdf(0) / toy.std * np.exp(-(((x - mean) / toy.std) ** 2) / 2)
        for weight, mean in zip(toy.weights, toy.means[:, 0])
    )


def generator_density(G: Sequential) -> np.ndarray:
    """The mean of q over each bin, (500,); see "The density of G(z)" above."""
    ends = G.forward(Z_QUANTILES)[0][:, 0].astype("float64")
    left, right = np.minimum(ends[1:], ends[:-1]), np.maximum(ends[1:], ends[:-1])
    below_edge = (BIN_EDGES[:, None] - left) / np.maximum(right - left, 1e-12)
    cumulative = below_edge.clip(0, 1).mean(axis=1)  # the probability that x is below an edge
    return np.diff(cumulative) / BIN_WIDTH


def optimal_discriminator(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """D* = p / (p + q), elementwise; 1/2 where both densities are 0."""
    return np.where(p + q > 0, p, 0.5) / np.where(p + q > 0, p + q, 1)


def probability_real(D: Sequential, x: np.ndarray) -> np.ndarray:
    """D's probability that each row of x (n, d) is real, (n,)."""
    return sigmoid(D.forward(x.astype("float32"))[0])[:, 0]


def measure_line(G: Sequential, D: Sequential) -> tuple[float, float, float]:
    """(distance of D from D*, distance of 1/2 from D*, total variation distance of p and q)."""
    p, q = data_density(BIN_CENTRES), generator_density(G)
    weight, optimum = (p + q) / 2 * BIN_WIDTH, optimal_discriminator(p, q)
    distance_of_D, distance_of_half = (
        float((abs(output - optimum) * weight).sum())
        for output in (probability_real(D, BIN_CENTRES[:, None]), 0.5)
    )
    return distance_of_D, distance_of_half, float(1 - np.minimum(p, q).sum() * BIN_WIDTH)


def measure_modes(x: np.ndarray, toy: Toy) -> tuple[int, int, float]:
    """(modes hit, modes covered, share of good samples) of samples x (n, 2)."""
    distances = np.sqrt(((x[:, None] - toy.means) ** 2).sum(axis=2))
    good = distances.min(axis=1) <= 3 * toy.std
    counts = np.bincount(distances.argmin(axis=1)[good], minlength=len(toy.means))
    hit, covered = counts > 0, counts >= len(x) / len(toy.means) / 2
    return int(hit.sum()), int(covered.sum()), float(good.mean())
