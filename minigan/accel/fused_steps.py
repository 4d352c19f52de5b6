"""Fused steps: both training steps in half as many kernels of a device.

The idea
    With the plain layers, one training step of keras-mlp-fixed launches 132 kernels. With fused
    layers it launches 60, which saves time, as fused_layers.py explains. Only networks of Dense,
    LeakyReLU, Tanh and Dropout can be fused. All other networks use gan/steps.py, which is the
    reference. tests/accel/test_fused_steps.py checks that the two agree.

Other savings
    - The discriminator step does not change G, so the fakes for both steps are generated in one
      pass.
    - Real images and fakes are written directly into one batch, so nothing is concatenated.
    - The random bits for all dropout layers are generated at once.
    - All losses and scores are stored in one array, divided by the number of examples, so a single
      sum gives their means.

Shapes
    The discriminator step uses N real images and N fakes, and the generator step uses N' fakes. A
    batch of G holds N + N' examples, first the fakes for D's step, then the fakes for G's step. A
    batch of D holds 2N + N' examples, first the real images, then all fakes. Each step uses some of
    these rows.

>>> import numpy as np
>>> from minigan.gan.losses import GAN_LOSSES
>>> from minigan.gan.models import make_discriminator, make_generator
>>> rng = np.random.default_rng(0)
>>> G, D = make_generator(2, [3], 4, rng=rng), make_discriminator(4, [3], rng=rng)
>>> fused_steps(G, D, GAN_LOSSES["hinge"], n=8, n_G=8) is None      # it would save nothing on NumPy
True
"""

import itertools
from typing import Any

from minigan.accel.fused_layers import (
    backward_to,
    fused_backward,
    fused_forward,
    fused_layers,
    group_layers,
)
from minigan.backend import Array, fused, get_array_module
from minigan.datasets.pixels import scale
from minigan.gan.losses import AdversarialLoss
from minigan.nn.sequential import Sequential
from minigan.rng import random_uint16


def fused_steps(
    G: Sequential, D: Sequential, loss: AdversarialLoss, **options: Any
) -> "FusedSteps | None":
    """FusedSteps(G, D, loss, **options), or None if gan/steps.py must be used.

    It must be used on NumPy, for other layers, and for a loss whose score depends on the whole
    batch.
    """
    layers_G, layers_D = group_layers(G), group_layers(D)
    possible = (
        layers_G
        and all(activation and not dropout for _, activation, dropout in layers_G)
        and layers_D
        and all(activation for _, activation, _ in layers_D[:-1])
        and not layers_D[-1][1]
        and not loss.score_over_batch
    )
    return (
        FusedSteps(G, D, loss, **options)
        if possible and get_array_module(G.theta).__name__ != "numpy"
        else None
    )


class FusedSteps:
    """Both training steps, with batch sizes n (D's step) and n_G (G's step).

    loss and real_label are as in gan/steps.py, and pixel_min is as in the recipe.
    """

    def __init__(
        self,
        G: Sequential,
        D: Sequential,
        loss: AdversarialLoss,
        *,
        n: int,
        n_G: int,
        real_label: float = 1.0,
        pixel_min: float = -1.0,
    ):
        self.recorded: Any = None  # what graph.py needs as long as its recordings are used
        self.made_from: tuple = (
            (G, D, loss),
            dict(n=n, n_G=n_G, real_label=real_label, pixel_min=pixel_min),
        )
        xp, dtype = get_array_module(G.theta), G.theta.dtype
        dense_G, dense_D = ([group[0] for group in group_layers(net)] for net in (G, D))
        n_pixels, self.n, self.pixel_min = dense_G[-1].W.shape[1], n, float(pixel_min)
        self.discriminator_kernel, self.generator_kernel = loss_kernels(loss)
        self.z, self.x = (
            xp.ones((R, dense[0].W.shape[0] + 1), dtype)
            for R, dense in ((n + n_G, dense_G), (2 * n + n_G, dense_D))
        )
        self.images = xp.zeros((n, n_pixels), "uint8")
        self.real = self.x[:n, :n_pixels]
        fakes = self.x[n:, :n_pixels]
        self.G = fused_layers(G, self.z, y=fakes)
        layers_D = fused_layers(D, self.x, n_below=n_pixels)
        self.G_step_G = [layer.select_rows(slice(n, None)) for layer in self.G]
        self.D_step_D, self.D_step_G = (
            [layer.select_rows(rows) for layer in layers_D]
            for rows in (slice(0, 2 * n), slice(2 * n, None))
        )
        # the rows are the loss of D, D(x), D(G(z)) and the loss of G
        self.sums = xp.zeros((4, max(2 * n, n_G)), dtype)
        self.results = xp.zeros(4, dtype)
        self.discriminator_arguments = (
            self.D_step_D[-1].h.reshape(2, n),
            xp.asarray([[real_label], [0]], dtype),
            self.sums[0, : 2 * n].reshape(2, n),
            self.sums[1:3, :n],
            float(n),
        )
        self.generator_arguments = self.D_step_G[-1].h.reshape(n_G), self.sums[3, :n_G], float(n_G)
        dropped = [layer for layer in self.D_step_D + self.D_step_G if layer.dropout]
        # each layer's bits begin at a multiple of 4, where random_uint16 would begin for it alone
        ends = list(
            itertools.accumulate((-(-layer.h.size // 4) * 4 for layer in dropped), initial=0)
        )
        self.bits = xp.zeros(ends[-1], "uint16")
        for layer, start in zip(dropped, ends):
            p = layer.dropout.p
            bits = self.bits[start : start + layer.h.size].reshape(layer.h.shape)
            layer.constants += bits, round(p * 2**16), 1 / (1 - p)

    def __reduce__(self):  # a copy needs its own arrays, and its own views into them
        return remake, self.made_from

    def discriminator_step(
        self,
        images: Array,
        indices: Array,
        z: Array,
        optimizer: Any,
        *,
        labels: Array | None = None,
        rng: Any,
    ) -> tuple[Array, Array, Array]:
        """Train D: (loss, mean D(x), mean D(G(z))), which generator_step fills in later.

        images (n, ...), uint8; `indices` (N,) selects the real images of this step; z (N + N', Z),
        for both steps; labels (2N + N', C).
        """
        xp, (_, D, _) = get_array_module(z), self.made_from[0]
        self.results = xp.empty(4, self.sums.dtype)
        xp.take(images.reshape(len(images), -1), indices, axis=0, out=self.images)
        self.z[:, : z.shape[1]] = z
        if labels is not None:
            self.z[:, z.shape[1] : -1] = labels[self.n :]
            self.x[:, self.images.shape[1] : -1] = labels
        if self.bits.size:
            self.bits[...] = random_uint16(xp, rng, self.bits.shape)
        self.discriminator_gradient()
        optimizer.step(D.dtheta)
        return self.results[0], self.results[1], self.results[2]

    def generator_step(self, optimizer: Any) -> Array:
        """Train G on the remaining noise of the last discriminator_step; returns the loss, ()."""
        G = self.made_from[0][0]
        self.generator_gradient()
        optimizer.step(G.dtheta)
        self.sums.sum(axis=1, out=self.results)
        return self.results[3]

    def discriminator_gradient(self) -> None:
        """Fill D.dtheta."""
        scale_into(self.real, self.images, self.pixel_min)
        fused_forward(self.G)
        fused_forward(self.D_step_D)
        self.discriminator_kernel(*self.discriminator_arguments)
        fused_backward(self.D_step_D)

    def generator_gradient(self) -> None:
        """Fill G.dtheta."""
        fused_forward(self.D_step_G)
        self.generator_kernel(*self.generator_arguments)
        fused_backward(self.D_step_G, need_dparams=False)
        backward_to(self.D_step_G[0], self.G_step_G[-1])
        fused_backward(self.G_step_G)


def remake(networks_and_loss: tuple, options: dict) -> FusedSteps:
    """A new FusedSteps with the same arguments, for copying and pickling."""
    return FusedSteps(*networks_and_loss, **options)


def loss_kernels(loss: AdversarialLoss) -> tuple[Any, Any]:
    """The loss kernels of D and of G.

    They write losses, scores (D only) and, in place of the logits a, derivatives. All are divided
    by n, so that their sums are means.
    """

    @fused
    def discriminator_kernel(a, t, losses, scores, n):
        loss_D, da = loss.discriminator_loss(a, t)
        losses[...], scores[...], a[...] = loss_D / n, loss.score(a) / n, da / n

    @fused
    def generator_kernel(a, losses, n):
        loss_G, da = loss.generator_loss(a)
        losses[...], a[...] = loss_G / n, da / n

    return discriminator_kernel, generator_kernel


@fused
def scale_into(x, images, pixel_min):
    """x = the images, scaled from bytes to pixel values."""
    x[...] = scale(images, x.dtype, pixel_min)
