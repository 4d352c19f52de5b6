"""Fusing: the same two moves on a device, in half as many kernels.

The idea
    Played by the pages above, a step of keras-mlp-fixed starts 128 kernels (see blocks.py for what that
    costs). This page plays the same game, of blocks, with 60. It is for networks of Dense, LeakyReLU,
    Tanh and Dropout; whatever else is in a game, the pages above play it (see `fused_moves`). They say
    what is meant, and tests/test_fusing.py holds this page to them.

What is saved, besides
    - D's move does not change G, so the fakes for both moves are drawn in one pass.
    - Real images and fakes are written into one batch at once; nothing is joined.
    - The random bits for all dropout are drawn together.
    - All prices and scores lie in one array, divided by how many they are, and are added up together.

Shapes
    N images and N fakes for D's move, N' fakes for G's. In G a batch is N + N' examples: the fakes for D,
    then those for G. In D it is 2N + N': the real images, and then all fakes. A move uses some of its rows.

>>> import numpy as np
>>> from minigan.gan import make_discriminator, make_generator
>>> rng = np.random.default_rng(0)
>>> G, D = make_generator(2, [3], 4, rng), make_discriminator(4, [3], rng)
>>> fused_moves(G, D, GAN_LOSSES["hinge"], 8, 8, 1.0, -1.0) is None            # on NumPy they would save nothing
True
"""
import itertools

from minigan.adversarial import GAN_LOSSES
from minigan.backend import array_module, fused
from minigan.blocks import backward, blocks, forward, hand_down, layers_of
from minigan.data import scale
from minigan.randomness import random_16_bits


def fused_moves(G, D, loss, *rest):
    """FusedMoves(G, D, loss, *rest), or None where the pages above have to play: on NumPy, or with other layers or losses."""
    of_G, of_D = layers_of(G), layers_of(D)
    possible = (of_G and all(activation and not dropout for _, activation, dropout in of_G)
                and of_D and all(activation for _, activation, _ in of_D[:-1]) and not of_D[-1][1]
                and loss is not GAN_LOSSES["wasserstein"])  # whose score looks at the whole batch
    return FusedMoves(G, D, loss, *rest) if possible and array_module(G.theta).__name__ != "numpy" else None


class FusedMoves:
    """Both moves of a game with batches of n and n_G; loss and real_label as in gan.py, low as in data.py."""

    def __init__(self, G, D, loss, n, n_G, real_label, low):
        xp, dtype, n_pixels = array_module(G.theta), G.theta.dtype, layers_of(G)[-1][0].W.shape[1]
        self.made_of, self.n, self.low = (G, D, loss, n, n_G, real_label, low), n, float(low)
        self.judge_D, self.judge_G = judges(loss)
        self.z, self.x = (xp.ones((R, net.layers[0].W.shape[0] + 1), dtype) for R, net in ((n + n_G, G), (2 * n + n_G, D)))
        self.images, self.real, fakes = xp.zeros((n, n_pixels), "uint8"), self.x[:n, :n_pixels], self.x[n:, :n_pixels]
        self.G, D = blocks(G, self.z, y=fakes), blocks(D, self.x, n_pixels)
        self.G_learning = [block.of(slice(n, None)) for block in self.G]
        self.D_in_D, self.D_in_G = ([block.of(rows) for block in D] for rows in (slice(0, 2 * n), slice(2 * n, None)))
        self.told = xp.zeros((4, max(2 * n, n_G)), dtype)
        self.of_D = (self.D_in_D[-1].h.reshape(2, n), xp.asarray([[real_label], [0]], dtype), self.told[0, :2 * n].reshape(2, n),
                     self.told[1:3, :n], float(n))
        self.of_G = self.D_in_G[-1].h.reshape(n_G), self.told[3, :n_G], float(n_G)
        dropped = [block for block in self.D_in_D + self.D_in_G if block.dropout]
        ends = list(itertools.accumulate((-(-block.h.size // 4) * 4 for block in dropped), initial=0))  # as if drawn one by one
        self.bits = xp.zeros(ends[-1], "uint16")
        for block, start in zip(dropped, ends):
            rate, bits = block.dropout.rate, self.bits[start:start + block.h.size].reshape(block.h.shape)
            block.constants += bits, round(rate * 2 ** 16), 1 / (1 - rate)

    def __reduce__(self):  # a copy has arrays of its own, and makes views of its own into them
        return FusedMoves, self.made_of

    def step(self, images, shown, z, rng, optimizer_D, optimizer_G, labels=None):
        """(loss of D, mean D(x), mean D(G(z)), loss of G), as one array on the device.

        images (n, pixels), uint8, of which `shown` (N,) are the numbers of the real ones; z (N + N', Z); labels (2N + N', C).
        """
        xp, (G, D, *_) = array_module(z), self.made_of
        xp.take(images, shown, axis=0, out=self.images)
        self.z[:, :z.shape[1]] = z
        if labels is not None:
            self.z[:, z.shape[1]:-1], self.x[:, images.shape[1]:-1] = labels[self.n:], labels
        if self.bits.size:
            self.bits[...] = random_16_bits(xp, rng, self.bits.shape)
        self.play_D()
        optimizer_D.step(D.dtheta)
        self.play_G()
        optimizer_G.step(G.dtheta)
        return self.told.sum(axis=1)

    def play_D(self):
        """Fill D.dtheta."""
        show(self.real, self.images, self.low)
        forward(self.G)
        forward(self.D_in_D)
        self.judge_D(*self.of_D)
        backward(self.D_in_D)

    def play_G(self):
        """Fill G.dtheta."""
        forward(self.D_in_G)
        self.judge_G(*self.of_G)
        backward(self.D_in_G, learning=False)
        hand_down(self.D_in_G[0], self.G_learning[-1])
        backward(self.G_learning)


def judges(loss):
    """Each player's kernel: prices, scores, and over the logits a their slopes; all divided by n, for the means."""
    @fused
    def judge_D(a, t, price, score, n):
        paid, slope = loss.of_D(a, t)
        price[...], score[...], a[...] = paid / n, loss.score(a) / n, slope / n

    @fused
    def judge_G(a, price, n):
        paid, slope = loss.of_G(a)
        price[...], a[...] = paid / n, slope / n
    return judge_D, judge_G


@fused
def show(x, images, low):
    """x = the images, scaled."""
    x[...] = scale(images, x.dtype, low)
