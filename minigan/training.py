"""Training: the loop around a game.

The idea
    An epoch shows the images once, in a new order, N at a time (the few that are left over at the
    end are left out); each N images are one step of the game (see game.py). After every epoch the
    generator draws the same noise again, and all that one wants to know is written down.

    Losses and scores stay on the device and come home once in EVERY steps: asking for one sooner
    would make the host wait for the device at each step.

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
from minigan.backend import to_host
from minigan.diagnosis import diagnose
from minigan.game import Game
from minigan.runs import VECTORS, RunError, save_model, save_settings, write_whole

EVERY = 50  # steps between two looks at the losses
MEASURED = ("loss_D", "loss_G", "score_real", "score_fake")  # as Game.step returns them


def train(recipe, images, folder, settings, yardstick, seed=0, xp=np):
    """Train on images (n, height, width), uint8, and fill the run folder; True if not interrupted.

    `settings` is saved with the model; `yardstick` (see metrics.py) measures the samples of each
    epoch; xp is numpy or cupy. Ctrl-C ends the run after the step
    in hand, and everything learned so far is saved.
    """
    height, width = images.shape[1:]
    game, history = Game(recipe, images, seed, xp), []

    def sample_grid(epoch):
        plots.save_grid(game.draw(game.grid_z).reshape(-1, height, width), folder / "samples" / f"epoch-{epoch:04}.png")

    def save():
        vectors = [to_host(vector) for net in (game.G, game.D, game.drawer) for vector in (net.theta, net.state)]
        save_model(folder, settings, **dict(zip(VECTORS, vectors)))

    start = time.perf_counter()
    show = sys.stderr is not None and sys.stderr.isatty()
    with Interruptible() as interrupted, np.errstate(all="ignore"):
        save_settings(folder, settings)
        sample_grid(0)
        for epoch in range(1, recipe.epochs + 1):
            began, told, waiting = time.perf_counter(), [], []
            for i in tqdm(range(game.steps), f"epoch {epoch}/{recipe.epochs}", leave=False, unit=" steps", disable=not show):
                waiting += game.step()
                if len(waiting) == len(MEASURED) * EVERY or i == game.steps - 1:
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
                            **yardstick.quick(game.draw(game.measured_z)),
                            "seconds": seconds, "images_per_second": game.steps * recipe.batch_size / seconds,
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
