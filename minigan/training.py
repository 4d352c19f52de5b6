"""Training: the loop around a game.

The idea
    An epoch shows all images once, in a new order, N at a time; the few that are left over at the end
    are left out. Each N images are one step of the game (see game.py). After every epoch the generator
    draws from the same noise again, and all that one wants to know is written down.

    Losses and scores stay on the device and come home once in EVERY steps: asking for one sooner
    would make the host wait for the device at each step.

    What draws, and is saved as `average`, is G with the running average of its weights (see optim.py). So
    the learning rate need not fall: the average rests although the networks do not. (docs/recipe.md says
    what a falling rate does.)
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
from minigan.backend import blas_threads, to_host
from minigan.checkpoint import save_checkpoint
from minigan.diagnosis import diagnose
from minigan.game import Game
from minigan.runs import FORMAT, VECTORS, RunError, class_names, save_model, save_settings, write_whole

EVERY = 50  # steps between two looks at the losses
MEASURED = ("loss_D", "loss_G", "score_real", "score_fake")  # as Game.step returns them


def train(recipe, images, folder, settings, yardstick, seed=0, xp=np, every=30.0, checkpoint=None, labels=None):
    """Train on images (n, height, width), uint8, or (n, height, width, 3) in colour, and fill the run folder; returns 0,
    or 130 or 143 (128 and the number of the signal) if it was interrupted.

    `settings` is saved with the model; `yardstick` (see metrics.py) measures the samples of each
    epoch; xp is numpy or cupy; a checkpoint is written when `every` seconds have passed since the
    last. `labels` (n,) are wanted by a conditional recipe. `checkpoint`, (arrays, words) as load_checkpoint
    gives them, is where to go on. Ctrl-C or a SIGTERM ends the run after the step in hand, and everything
    learned so far is saved.
    """
    game, history, told, waiting = Game(recipe, images, seed, xp, labels, len(class_names(settings)), cores=blas_threads()), [], [], []
    past = now = 0.0  # seconds of the run, and of its epoch in hand, before this process
    if checkpoint:
        arrays, words = checkpoint
        try:
            game.restore(arrays, words["counts"])
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise RunError(f"the checkpoint in {folder} is not one of this run ({error}): begin a new run") from None
        history, told, past, now = words["history"], words["told"], words["past"], words["now"]

    def sample_grid(epoch):
        plots.save_grid(game.draw(game.grid_z).reshape(-1, *images.shape[1:]), folder / "samples" / f"epoch-{epoch:04}.png")

    def save():
        vectors = [to_host(vector) for net in (game.G, game.D, game.drawer) for vector in (net.theta, net.state)]
        save_model(folder, settings, **dict(zip(VECTORS, vectors)))

    def diverged(what):
        return RunError(f"step {game.t}: {what} is no number any more, training has diverged; try a smaller --learning-rate"
                        f"{' or --penalty-weight' if recipe.penalty else ''} ({folder} holds "
                        f"{'what there was before' if (folder / 'model.npz').exists() else 'nothing worth keeping'})")

    def bring_home():
        """The losses that wait on the device."""
        nonlocal waiting
        if waiting:
            told.extend(to_host(xp.stack(waiting)).reshape(-1, len(MEASURED)).tolist())
            waiting = []
            if not np.isfinite(told[-EVERY:]).all():
                raise diverged("a loss")

    def check_weights():
        if not all(np.isfinite(to_host(array)).all() for array in game.arrays().values()):
            raise diverged("a weight")

    def save_all():
        bring_home()
        check_weights()
        arrays, counts = game.save()
        save_checkpoint(folder, game.t, arrays, {
            "format": FORMAT, "settings": settings, "counts": counts, "history": history, "told": told,
            "past": past + time.perf_counter() - start,
            "now": 0.0 if game.t == len(history) * game.steps else time.perf_counter() - began})

    start = last = time.perf_counter()
    began = start - now
    show = sys.stderr is not None and sys.stderr.isatty()
    with Interruptible() as interrupted, np.errstate(all="ignore"):
        for left in folder.glob("*.partial"):              # of a file that was cut off
            left.unlink()
        if checkpoint:
            save_all()                                     # with its new number of epochs, if that was raised
        else:
            sample_grid(0)
        save_settings(folder, settings)
        for epoch in range(len(history) + 1, recipe.epochs + 1):
            began, now = time.perf_counter() - now, 0.0
            first = game.t - (epoch - 1) * game.steps
            for i in tqdm(range(first, game.steps), f"epoch {epoch}/{recipe.epochs}", game.steps, False, initial=first,
                          unit=" steps", disable=not show):
                waiting += game.step()
                if len(waiting) == len(MEASURED) * EVERY or i == game.steps - 1:
                    bring_home()
                if interrupted:
                    break
                if time.perf_counter() - last > every:
                    save_all()
                    last = time.perf_counter()
            if interrupted and game.t < epoch * game.steps:
                break
            seconds = time.perf_counter() - began
            check_weights()
            history.append({"epoch": epoch, **dict(zip(MEASURED, np.mean(told, axis=0).tolist())),
                            **yardstick.quick(game.draw(game.measured_z)),
                            "seconds": seconds, "images_per_second": game.steps * recipe.batch_size / seconds,
                            "elapsed": past + time.perf_counter() - start})
            told.clear()
            write_history(history, folder)
            sample_grid(epoch)
            save()
            print(describe(history[-1], recipe.epochs, settings.get("classes", ""), recipe.loss), flush=True)
            if interrupted:
                break
        save()
        save_all()
        every_nth = 1 + len(history) // 200                # an animation of 200 pictures is long enough
        shown = [*range(0, len(history), every_nth), len(history)]
        plots.save_animation([folder / "samples" / f"epoch-{epoch:04}.png" for epoch in shown], folder / "progress.gif")
        if history:
            plots.save_losses(history, folder / "losses.png", recipe.real_label, recipe.loss)
            plots.save_scores(history, folder / "scores.png", recipe.real_label)
            plots.save_fd(history, folder / "fd.png")
    return 0 if len(history) == recipe.epochs else 128 + interrupted.signal


def write_history(history, folder):
    """history.csv, whole, after every epoch."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, history[0])
    writer.writeheader()
    writer.writerows(history)
    write_whole(folder / "history.csv", lambda file: file.write(text.getvalue().encode()))


def describe(row, epochs, classes="", loss="non-saturating"):
    """An epoch in one line."""
    return (f"epoch {row['epoch']:3}/{epochs}   FD {row['fd']:6.3g}   loss D {row['loss_D']:.2f}  G {row['loss_G']:.2f}"
            f"   D(x) {row['score_real']:.2f}  D(G(z)) {row['score_fake']:.2f}"
            f"   {row['seconds']:.1f} s  {row['images_per_second']:,.0f} images/s   {diagnose(row, classes, loss)}")


class Interruptible:
    """While it is entered, the first Ctrl-C or SIGTERM only makes it true; a second one stops at once."""

    def __init__(self):
        self.signal = 0

    def __bool__(self):
        return self.signal != 0

    def __enter__(self):
        def ask(number, frame):
            if self.signal:
                raise KeyboardInterrupt
            self.signal = number
        self.main = threading.current_thread() is threading.main_thread()
        if self.main:  # no other may listen to signals
            self.before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *error):
        if self.main:
            for number, handler in self.before.items():
                signal.signal(number, handler)
