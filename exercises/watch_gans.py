"""Watch the five GANs of exercise 3 train for a few seconds, beside a healthy one:

    python exercises/watch_gans.py

Real images are four bytes, 255 0 255 0. Each line tells what D and G pay in the last step, and the least that D ever paid;
then how sure D is that real images and fakes are real, and what G draws on average, in bytes. G learns ten times more
slowly than D, so that a healthy D is ahead for a while. Run it again when you have mended one.
"""
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from exercises.checkers.tools import in_words, load

from minigan.activations import sigmoid
from minigan.gan import discriminator_step, generator_step, make_discriminator, make_generator
from minigan.optim import Adam

STEPS, N = 1000, 16
PIXELS = np.tile(np.uint8([255, 0, 255, 0]), (N, 1))


def healthy(G, D, optim_G, optim_D, pixels, z_D, z_G):
    """The two steps of gan.py."""
    loss_D = discriminator_step(G, D, optim_D, pixels.astype("float32") / 127.5 - 1, z_D, None)[0]
    return loss_D, generator_step(G, D, optim_G, z_G, None)


def watch(step):
    """(D's loss, its least, G's loss, D(x), D(G(z)), the pixels that G draws) after so many steps."""
    rng = np.random.default_rng(0)
    G, D = make_generator(2, [8], 4, rng), make_discriminator(4, [8], rng)
    optim_G, optim_D = Adam(G.theta, lr=0.001, beta1=0.5), Adam(D.theta, lr=0.01, beta1=0.5)
    least = np.inf
    for _ in range(STEPS):
        z_D, z_G = (rng.standard_normal((N, 2), dtype="float32") for _ in range(2))
        loss_D, loss_G = step(G, D, optim_G, optim_D, PIXELS, z_D, z_G)
        least = min(least, float(loss_D))
    drawn = G.forward(z_G)[0]
    p_real, p_fake = (float(sigmoid(D.forward(x)[0]).mean()) for x in (PIXELS.astype("float32") / 127.5 - 1, drawn))
    return float(loss_D), least, float(loss_G), p_real, p_fake, ((drawn.mean(axis=0) + 1) * 127.5).round().astype(int).tolist()


if __name__ == "__main__":
    path = Path(__file__).resolve().parent / "ex3_broken_gans.py"
    print("          D pays at least   G pays     D(x)  D(G(z))   G draws")
    for name in ("healthy", "gan_1", "gan_2", "gan_3", "gan_4", "gan_5"):
        try:
            *figures, drawn = watch(healthy if name == "healthy" else getattr(load(path), name))
        except Exception as error:
            print(f"{path.name}, {name}: {in_words(error, path)}.", file=sys.stderr)
            sys.exit(2)
        print(f"{name:7}", *(f"{value:8.3f}" for value in figures), " ", *(f"{pixel:3}" for pixel in drawn))
