"""Training: the loop around the two steps of gan.py.

The idea
    An epoch shows the images once, in a new order, N at a time (the few that are left over at the
    end are left out); each N images are one step of the discriminator and one of the generator.
    After every epoch the generator draws the same noise again, and all that one wants to know is
    written down.

Where the randomness comes from
    One seed, six independent streams: initial weights, the order of the images, the noise that
    G draws from, dropout, and the noise of the sample grids and of the samples that are measured.
    So the grids show the same noise in every run with that seed and latent_dim. (On the same machine,
    with as many threads, the whole run is the same bit for bit; elsewhere the BLAS adds in another
    order, and the smallest difference grows from step to step.)

What is kept where
    The images, as bytes, the networks and the noise are on the device from the start. Losses
    and scores stay there, too, and come home once in EVERY steps: asking for one sooner would
    make the host wait for the device at each step.

What is drawn, and saved as `average`, is the running average of G's weights (see optim.py). So
the learning rate need not fall: the average rests although the networks do not (docs/recipe.md
says what a falling rate does).
"""
import csv
import io
import signal
import sys
import threading
import time

import numpy as np
from tqdm import tqdm

from minigan import plots
from minigan.backend import random_generator, to_host
from minigan.data import scale
from minigan.diagnosis import diagnose
from minigan.gan import discriminator_step, generator_step
from minigan.optim import Adam, WeightAverage
from minigan.recipes import make_networks
from minigan.runs import RunError, draw, save_model, save_settings, write_whole

EVERY = 50  # steps between two looks at the losses
GRID = 100  # images in a sample grid
SAMPLES = 2000  # that are measured after every epoch
MEASURED = ("loss_D", "loss_G", "score_real", "score_fake")


def train(recipe, images, folder, settings, yardstick, seed=0, xp=np):
    """Train on images (n, height, width), uint8, and fill the run folder; True if not interrupted.

    `settings` is saved with the model; `yardstick` (see metrics.py) measures the samples of each
    epoch; xp is numpy or cupy. Ctrl-C ends the run after the step
    in hand, and everything learned so far is saved.
    """
    weights, order, noise, dropout, grid, measured = np.random.SeedSequence(seed).spawn(6)
    n, height, width = images.shape
    G, D = make_networks(recipe, height * width, np.random.default_rng(weights))
    drawer, _ = make_networks(recipe, height * width, np.random.default_rng(weights))
    G, D, drawer = G.to(xp), D.to(xp), drawer.to(xp)       # drawer: G with averaged weights
    optimizer_G = Adam(G.theta, recipe.learning_rate, recipe.beta1, recipe.beta2, decay=recipe.decay_G)
    optimizer_D = Adam(D.theta, recipe.learning_rate, recipe.beta1, recipe.beta2)
    average = WeightAverage(drawer.theta, recipe.average)

    order, images = np.random.default_rng(order), xp.asarray(images.reshape(n, -1))
    noise, dropout = random_generator(xp, noise), random_generator(xp, dropout)
    grid_z, measured_z = (xp.asarray(np.random.default_rng(stream).standard_normal((n, recipe.latent_dim)).astype(recipe.dtype))
                          for stream, n in ((grid, GRID), (measured, SAMPLES)))

    def sample_grid(epoch):
        pictures = to_host(draw(drawer, grid_z)).reshape(GRID, height, width)
        plots.save_grid(pictures, folder / "samples" / f"epoch-{epoch:04}.png")

    def save():
        save_model(folder, settings, generator=to_host(G.theta), discriminator=to_host(D.theta),
                   average=to_host(drawer.theta))

    N, history = recipe.batch_size, []
    steps = n // N
    start = time.perf_counter()
    show = sys.stderr is not None and sys.stderr.isatty()
    with Interruptible() as interrupted, np.errstate(all="ignore"):
        save_settings(folder, settings)
        sample_grid(0)
        for epoch in range(1, recipe.epochs + 1):
            began, told, waiting = time.perf_counter(), [], []
            indices = xp.asarray(order.permutation(n))
            for i in tqdm(range(steps), f"epoch {epoch}/{recipe.epochs}", leave=False, unit=" steps", disable=not show):
                done = (epoch - 1 + i / steps) / recipe.epochs
                optimizer_G.lr = optimizer_D.lr = recipe.learning_rate * (1 - (1 - recipe.final_rate) * done)

                real = scale(images[indices[i * N:(i + 1) * N]], recipe.dtype)
                z = noise.standard_normal((N, recipe.latent_dim), dtype=real.dtype)
                loss_D, score_real, score_fake = discriminator_step(G, D, optimizer_D, real, z, dropout, recipe.real_label)
                z = noise.standard_normal((recipe.batch_G or N, recipe.latent_dim), dtype=real.dtype)
                loss_G = generator_step(G, D, optimizer_G, z, dropout)
                average.step(G.theta)

                waiting += [loss_D, loss_G, score_real, score_fake]
                if len(waiting) == len(MEASURED) * EVERY or i == steps - 1:
                    told += to_host(xp.stack(waiting)).reshape(-1, len(MEASURED)).tolist()
                    waiting = []
                if interrupted:
                    break
            if interrupted:
                break
            seconds = time.perf_counter() - began
            if not np.isfinite(told).all():
                raise RunError(f"epoch {epoch}: a loss is no number any more, training has diverged; try a smaller"
                               f" --learning-rate ({folder} holds what there was after epoch {epoch - 1})")
            history.append({"epoch": epoch, **dict(zip(MEASURED, np.mean(told, axis=0).tolist())),
                            **yardstick.quick(to_host(draw(drawer, measured_z)).astype("float32")),
                            "seconds": seconds, "images_per_second": steps * N / seconds,
                            "elapsed": time.perf_counter() - start})
            write_history(history, folder)
            sample_grid(epoch)
            save()
            print(describe(history[-1], recipe.epochs), flush=True)
        save()
        every = 1 + len(history) // 200                    # an animation of 200 pictures is long enough
        shown = [*range(0, len(history), every), len(history)]
        plots.save_animation([folder / "samples" / f"epoch-{epoch:04}.png" for epoch in shown], folder / "progress.gif")
        if history:
            plots.save_losses(history, folder / "losses.png", recipe.real_label)
            plots.save_scores(history, folder / "scores.png", recipe.real_label)
            plots.save_fd(history, folder / "fd.png")
    return len(history) == recipe.epochs


def write_history(history, folder):
    """history.csv, whole, after every epoch."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, history[0])
    writer.writeheader()
    writer.writerows(history)
    write_whole(folder / "history.csv", lambda file: file.write(text.getvalue().encode()))


def describe(row, epochs):
    """An epoch in one line."""
    return (f"epoch {row['epoch']:3}/{epochs}   FD {row['fd']:5.1f}   loss D {row['loss_D']:.2f}  G {row['loss_G']:.2f}"
            f"   D(x) {row['score_real']:.2f}  D(G(z)) {row['score_fake']:.2f}"
            f"   {row['seconds']:.1f} s  {row['images_per_second']:,.0f} images/s   {diagnose(row)}")


class Interruptible:
    """While it is entered, the first Ctrl-C only makes it true; a second one stops at once."""

    def __init__(self):
        self.asked = False

    def __bool__(self):
        return self.asked

    def __enter__(self):
        def ask(number, frame):
            if self.asked:
                raise KeyboardInterrupt
            self.asked = True
        self.main = threading.current_thread() is threading.main_thread()
        if self.main:  # no other may listen to signals
            self.before = signal.signal(signal.SIGINT, ask)
        return self

    def __exit__(self, *error):
        if self.main:
            signal.signal(signal.SIGINT, self.before)
