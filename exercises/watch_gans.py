"""Train the five GANs of exercise 3 for a few seconds, and a healthy one for comparison:

    python exercises/watch_gans.py

All real images are the four bytes 255 0 255 0. Each line gives D's loss in the last step and its
lowest loss in the run; G's loss in the last step; the mean D(x) of real images and the mean D(G(z))
of fakes; and the mean of the generated images, in bytes. G's learning rate is a tenth of D's, so
that a healthy D is ahead for a while. Run the script again when you have fixed a GAN.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from exercises.checkers.tools import explain, load
from minigan.gan.models import make_discriminator, make_generator
from minigan.gan.steps import discriminator_step, generator_step
from minigan.nn.activations import sigmoid
from minigan.nn.optim import Adam

STEPS, N = 1000, 16
PIXELS = np.tile(np.uint8([255, 0, 255, 0]), (N, 1))
REAL = PIXELS.astype("float32") / 127.5 - 1


class Outcome(NamedTuple):
    """What is printed about one GAN."""

    loss_D: float
    lowest_loss_D: float
    loss_G: float
    score_real: float  # mean D(x)
    score_fake: float  # mean D(G(z))
    generated: list[int]  # the mean of the generated images


def healthy(G, D, optimizer_G, optimizer_D, pixels, *, z_D, z_G):
    """The two steps of gan/steps.py."""
    loss_D, _, _ = discriminator_step(G, D, optimizer_D, REAL, z_D, rng=None)
    return loss_D, generator_step(G, D, optimizer_G, z_G, rng=None)


def watch(step: Callable) -> Outcome:
    """Train with a training step, such as `healthy`."""
    rng = np.random.default_rng(0)
    G, D = make_generator(2, [8], 4, rng=rng), make_discriminator(4, [8], rng=rng)
    optimizer_G, optimizer_D = Adam(G.theta, 0.001, beta1=0.5), Adam(D.theta, 0.01, beta1=0.5)
    lowest = np.inf
    for _ in range(STEPS):
        z_D, z_G = (rng.standard_normal((N, 2), dtype="float32") for _ in range(2))
        loss_D, loss_G = step(G, D, optimizer_G, optimizer_D, PIXELS, z_D=z_D, z_G=z_G)
        lowest = min(lowest, float(loss_D))
    fake = G.forward(z_G)[0]
    score_real, score_fake = (float(sigmoid(D.forward(x)[0]).mean()) for x in (REAL, fake))
    generated = ((fake.mean(axis=0) + 1) * 127.5).round().astype(int).tolist()
    return Outcome(float(loss_D), lowest, float(loss_G), score_real, score_fake, generated)


if __name__ == "__main__":
    path = Path(__file__).resolve().parent / "ex3_broken_gans.py"
    print("          loss D   lowest   loss G     D(x)  D(G(z))   G generates")
    for name in ("healthy", "gan_1", "gan_2", "gan_3", "gan_4", "gan_5"):
        try:
            step = healthy if name == "healthy" else getattr(load(path), name)
            *figures, generated = watch(step)
        except Exception as error:
            print(f"{path.name}, {name}: {explain(error, path)}.", file=sys.stderr)
            sys.exit(2)
        numbers = "".join(f"{value:9.3f}" for value in figures)
        print(f"{name:7}{numbers}  ", *(f"{pixel:3}" for pixel in generated))
