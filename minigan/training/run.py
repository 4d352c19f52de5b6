"""A run: everything around the training loop, such as data, folder, checkpoints and interruptions.

The idea
    The loop (loop.py) only takes training steps. The class Run does the rest in four methods:
    `epochs` and `steps` yield the epochs and steps that remain, `record` collects losses, and
    `end_epoch` evaluates the samples and saves the results.

    Such a report takes about half a second. With 60,000 images that is little beside an epoch, but
    with 50 images it is as long as many epochs. After the first 20 reports, all further ones may
    therefore take a tenth of the time. Epochs for which no time is left have no report, except the
    last one. Each report describes all steps since the previous one. Whether an epoch has a report
    has no effect on the training.

    Losses and scores stay on the device and are copied to the host once in FETCH_EVERY steps.
    Copying them at every step would make the host wait for the device.

    Ctrl-C, SIGTERM or SIGHUP ends the run after the current step and saves its state, and SIGUSR1
    saves it without ending the run. A resumed run takes exactly the steps that it would have taken
    without the interruption. The first checkpoint is written before the first step.

    What a run needs at its end is tried at its start: the folder is locked and written to, and a
    figure is drawn. If that fails, nothing is left behind.
"""

import csv
import io
import math
import shlex
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from minigan.accel.cpu import blas_advice, blas_threads, limit_blas_threads
from minigan.backend import Array, asnumpy, first_line
from minigan.console import is_terminal, say
from minigan.datasets.idx import SHIPPED
from minigan.datasets.load import Dataset, load_dataset, with_class_order
from minigan.datasets.pixels import format_shape
from minigan.datasets.stacked import StackedImages
from minigan.figures import plots
from minigan.gan.losses import GAN_LOSSES
from minigan.gan.models import ARCHITECTURES
from minigan.gan.recipes import Recipe
from minigan.training.checkpoint import save_checkpoint
from minigan.training.diagnosis import diagnose, is_falling
from minigan.training.lock import lock_folder
from minigan.training.run_data import check_same_data
from minigan.training.run_folder import (
    FORMAT,
    MAX_CLASSES,
    VECTORS,
    RunError,
    class_names,
    make_default_run_folder,
    make_run_folder,
    make_settings,
    save_model,
    save_settings,
    write_atomically,
)
from minigan.training.state import GAN, GRID_SIZE, find_clusters

FETCH_EVERY = 50  # steps between two copies of the losses to the host
FREE_REPORTS = 20  # reports that may take any time
REPORT_SHARE = 0.1  # share of the run's time that later reports may take
MAX_FRAMES, MAX_FRAME_PIXELS = 200, 70_000_000  # of an animation, which is made in memory
# the arguments of `record`; for a loss on pairs the last two have other names, see step_columns
STEP_COLUMNS = ("loss_D", "loss_G", "score_real", "score_fake")
MAX_LATENT_DIM = 4096


@dataclass
class TrainingOptions:
    """The settings that a user gives, and for a resumed run its settings and checkpoint."""

    recipe: Recipe
    data: Path = SHIPPED
    folder: Path | None = None  # the run folder; None: runs/<time>-<recipe>
    seed: int = 0
    backend: str = "numpy"
    classes: str = ""  # train on images with these labels only, such as "3,8"
    size: int = 0  # scale images to size x size
    value_range: tuple[float, float] | None = None  # the values that are black and white
    transpose: bool = False  # exchange rows and columns of every image
    strict: bool = False  # refuse a folder with an unreadable picture
    checkpoint_every: float = 30.0  # seconds
    threads: int = 0  # of NumPy's matrix products; 0: see limit_blas_threads
    epochs_given: bool = False  # whether the user chose the number of epochs
    notes: list[str] = field(default_factory=list)  # printed before training starts
    command: str = "python demo.py"  # the command as the user types it, for hints
    settings: dict | None = None  # settings of the resumed run; None for a new run
    checkpoint: tuple[dict, dict] | None = None  # (arrays, words) to resume from


class TrainingData(NamedTuple):
    """The training images, uint8, and their labels, if the networks receive any."""

    images: Any  # (n, H, W), or (n, H, W, 3) in colour: an array, or StackedImages
    labels: np.ndarray | None  # (n,), from 0 to n_classes - 1: classes, clusters, or None
    n_classes: int  # or clusters; 0 without labels
    dataset: Dataset
    digits: bool  # whether this is the MNIST in data/

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(H, W), or (H, W, 3) in colour."""
        return self.images.shape[1:]


def load_training_data(options: TrainingOptions) -> TrainingData:
    """Load the training images and check that the recipe can be trained on them.

    Raises DataError or RunError.
    """
    recipe, data, settings, folder = options.recipe, options.data, options.settings, options.folder
    if recipe.latent_dim > MAX_LATENT_DIM:
        raise RunError(f"--latent-dim {recipe.latent_dim} is too large: at most {MAX_LATENT_DIM}")
    dataset = load_dataset(
        data,
        classes=options.classes,
        size=options.size,
        strict=options.strict,
        value_range=options.value_range,
        transpose=options.transpose,
    )
    if settings:
        dataset = with_class_order(dataset, class_names(settings))
    images, labels = dataset.images, dataset.labels if recipe.conditional else None
    shape = images.shape[1:]
    if settings:
        assert folder is not None
        check_same_data(dataset, settings, data, folder)
    if recipe.batch_size > len(images):
        raise RunError(
            f"there are only {len(images)} images{' of these classes' if options.classes else ''}"
            f" in {data}:"
            f" use --batch-size {len(images)} or less, not {recipe.batch_size}"
        )
    multiple = ARCHITECTURES[recipe.networks].size_multiple
    if shape[0] % multiple or shape[1] % multiple:
        raise RunError(
            f"{data} holds images of {format_shape(shape)}, and the recipe {recipe.name} needs"
            f" multiples of {multiple}: use"
            f" --size {min(shape[:2]) // multiple * multiple or multiple}, or a recipe for any"
            " size, such as --recipe default"
        )
    if recipe.conditional and labels is None:
        why = "".join(f"; {note}" for note in dataset.notes if "no classes" in note)
        raise RunError(
            f"{data} has no labels, which --conditional needs: pictures get labels from"
            f" sub-folders, and arrays from `labels` beside `images`{why}"
        )
    if recipe.conditional and len(dataset.names) > MAX_CLASSES:
        raise RunError(
            f"{len(dataset.names):,} classes are too many for --conditional: at most {MAX_CLASSES}"
        )
    n_classes = len(dataset.names) if recipe.conditional else 0
    if recipe.clusters and isinstance(images, StackedImages):
        raise RunError(
            f"{data} cannot be divided into clusters, because its images are made on the fly: use"
            " --clusters 0"
        )
    if recipe.clusters:
        limit_blas_threads(options.threads)
        labels, n_classes = find_clusters(recipe, images, seed=options.seed)
    return TrainingData(
        images,
        labels,
        n_classes,
        dataset,
        settings["digits"] if settings else data.resolve() == SHIPPED and shape == (28, 28),
    )


class Run:
    """A training run of a GAN, used as `with Run(...) as run:` around the loop."""

    def __init__(
        self, options: TrainingOptions, data: TrainingData, gan: GAN, make_evaluator: Callable
    ):
        self.options, self.recipe, self.gan = options, options.recipe, gan
        self.evaluator = make_evaluator(data.dataset, data.digits)
        self.history: list[dict] = []  # one row per report
        self.losses: list[list] = []  # one row per step since the last report, on the host
        self.pending: list[Array] = []  # losses that are still on the device
        # time spent on the run before this process, and on the steps since the last report before
        # the current epoch
        self.seconds_before = self.epoch_seconds = 0.0
        self.report_seconds = 0.0  # time that this process has spent on reports after the first 20
        self.restore()
        self.folder = options.folder or Path()  # of a new run, made in __enter__
        self.settings = options.settings or make_settings(
            self.recipe,
            data.dataset,
            options.data,
            seed=options.seed,
            backend=gan.xp.__name__,
            digits=data.digits,
            classes=options.classes,
            size=options.size,
            value_range=options.value_range,
            transpose=options.transpose,
            clusters=data.labels if self.recipe.clusters else None,
            n_clusters=data.n_classes,
        )
        self.notes, self.shape = [*data.dataset.notes, *options.notes], data.image_shape
        threads = blas_threads()
        before = self.settings.get("threads") or threads
        if before != threads and gan.xp is np:
            self.notes.append(
                f"the number of BLAS threads is now {threads} instead of {before}, so that this run"
                " may differ in the last bits from an uninterrupted one"
            )
        self.settings["threads"] = threads
        self.interruption = Interruption()
        self.status = 0

    def restore(self) -> None:
        """Continue from the checkpoint, if there is one.

        Raises RunError if it belongs to another run.
        """
        if self.options.checkpoint:
            arrays, words = self.options.checkpoint
            try:
                self.gan.restore(arrays, words["counts"])
            except (KeyError, ValueError, TypeError, IndexError) as error:
                raise RunError(
                    f"the checkpoint in {self.options.folder} does not belong to this run"
                    f" ({error}): start a new run"
                ) from None
            self.history, self.losses = words["history"], words["losses"]
            self.seconds_before, self.epoch_seconds = words["seconds"], words["epoch_seconds"]

    def __enter__(self) -> "Run":
        self.stack, new_folder = ExitStack(), None
        try:
            # first, so that a signal waits until the run can be resumed
            self.stack.enter_context(self.interruption)
            check_figures()
            if not self.options.settings:
                new_folder = self.folder = make_folder(self.options)
            self.stack.enter_context(lock_folder(self.folder))
            self.announce()
            self.started = self.last_checkpoint = time.perf_counter()
            self.epoch_started = self.started - self.epoch_seconds
            self.stack.enter_context(np.errstate(all="ignore"))
            for partial in self.folder.glob("*.partial"):  # left by an interrupted write
                partial.unlink()
            if not self.options.checkpoint:
                self.save_samples(0)
            self.save_checkpoint()
            save_settings(self.folder, self.settings)
        except BaseException as error:
            self.stack.close()
            if new_folder and isinstance(error, Exception):
                shutil.rmtree(new_folder, ignore_errors=True)
            raise
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        with self.stack:
            if kind is None:
                self.save_checkpoint()  # first, because it raises an error if a weight is NaN
                self.save()
                self.save_figures()
        if kind is None:
            complete = self.gan.t >= self.recipe.epochs * self.gan.steps_per_epoch
            self.status = 0 if complete else 128 + self.interruption.signal
            self.say_goodbye()

    @property
    def reported(self) -> int:
        """The last epoch that has a report; 0 if there is none."""
        return self.history[-1]["epoch"] if self.history else 0

    def epochs(self) -> Iterator[int]:
        """Yield the numbers of the remaining epochs; stops after an interruption.

        A run that was interrupted between an epoch and its report begins with that epoch, of which
        no steps remain.
        """
        last = max(self.reported, (self.gan.t - 1) // self.gan.steps_per_epoch)
        for epoch in range(last + 1, self.recipe.epochs + 1):
            if self.interruption:
                return
            yield epoch

    def steps(self, epoch: int) -> Iterator[int]:
        """Yield the numbers of the remaining steps of an epoch, with a progress bar; stops after an
        interruption.
        """
        gan, steps = self.gan, self.gan.steps_per_epoch
        self.epoch_started = time.perf_counter() - self.epoch_seconds
        self.epoch_seconds, first = 0.0, gan.t - (epoch - 1) * steps
        show = is_terminal(sys.stderr)
        for i in tqdm(
            range(first, steps),
            f"epoch {epoch}/{self.recipe.epochs}",
            steps,
            False,
            initial=first,
            unit=" steps",
            disable=not show,
        ):
            yield i
            if len(self.pending) == len(STEP_COLUMNS) * FETCH_EVERY:
                self.fetch_losses()
            if self.interruption:
                return
            if self.interruption.save_requested:
                self.interruption.save_requested = False
                self.save_checkpoint()
                self.save()
                say(f"saved after step {gan.t:,}; training goes on")
            elif time.perf_counter() - self.last_checkpoint <= self.options.checkpoint_every:
                continue
            else:
                self.save_checkpoint()
            self.last_checkpoint = time.perf_counter()

    def record(self, *losses: Array) -> None:
        """Collect the losses and scores of a step, in the order of STEP_COLUMNS, each of shape (),
        on the device.
        """
        self.pending += losses

    def end_epoch(self, epoch: int) -> None:
        """Report a complete epoch: evaluate and save its samples, and print a line about it.

        Without a report, the time of the epoch is added to that of the next one.
        """
        gan, recipe = self.gan, self.recipe
        if gan.t < epoch * gan.steps_per_epoch:
            return
        seconds = time.perf_counter() - self.epoch_started
        if not self.report_is_due(epoch):
            self.epoch_seconds = seconds
            return
        report_started = time.perf_counter()
        self.fetch_losses()
        self.check_weights()
        try:
            metrics = self.evaluator.quick(gan.generate(gan.evaluation_latents))
        except np.linalg.LinAlgError:
            # the weights are finite, but so large that the images are not
            raise self.diverged("a metric") from None
        self.history.append(
            {
                "epoch": epoch,
                **dict(zip(step_columns(recipe.loss), np.mean(self.losses, axis=0).tolist())),
                **metrics,
                "seconds": seconds,
                "images_per_second": len(self.losses) * recipe.batch_size / seconds,
                "elapsed": self.elapsed(),
            }
        )
        self.losses.clear()
        write_history(self.history, self.folder)
        self.save_samples(epoch)
        self.save()
        diagnosis = diagnose(
            self.history[-1],
            steps=gan.t,
            fd_falling=is_falling([row["fd"] for row in self.history]),
            classes=self.settings.get("classes", ""),
            loss=recipe.loss,
        )
        say(format_epoch(self.history[-1], recipe.epochs, diagnosis, loss=recipe.loss))
        if len(self.history) > FREE_REPORTS:
            self.report_seconds += time.perf_counter() - report_started

    def report_is_due(self, epoch: int) -> bool:
        """Whether an epoch has a report: the last one always has."""
        if epoch == self.recipe.epochs or len(self.history) < FREE_REPORTS:
            return True
        return self.report_seconds <= REPORT_SHARE * (time.perf_counter() - self.started)

    def elapsed(self) -> float:
        """Seconds of the run so far, including the time before an interruption."""
        return self.seconds_before + time.perf_counter() - self.started

    def fetch_losses(self) -> None:
        """Copy the pending losses to the host. Raises RunError if one of them is not finite."""
        if self.pending:
            self.losses.extend(
                asnumpy(self.gan.xp.stack(self.pending)).reshape(-1, len(STEP_COLUMNS)).tolist()
            )
            self.pending = []
            if not np.isfinite(self.losses[-FETCH_EVERY:]).all():
                raise self.diverged("a loss")

    def check_weights(self) -> None:
        """Raise RunError if a weight is not finite."""
        if not all(np.isfinite(asnumpy(array)).all() for array in self.gan.arrays().values()):
            raise self.diverged("a weight")

    def diverged(self, what: str) -> RunError:
        """The error for a run that has diverged."""
        flags = "--learning-rate" + (" or --penalty-weight" if self.recipe.penalty else "")
        saved = (self.folder / "model.npz").exists()
        return RunError(
            f"step {self.gan.t}: {what} is NaN or infinite: training has diverged; try a smaller"
            f" {flags} ({self.folder} holds"
            f" {'the results before that' if saved else 'nothing worth keeping'})"
        )

    def save_samples(self, epoch: int) -> None:
        """Save the sample grid of an epoch."""
        plots.save_grid(
            self.gan.generate(self.gan.grid_latents),
            self.folder / "samples" / f"epoch-{epoch:04}.png",
        )

    def save(self) -> None:
        """Save model.npz."""
        gan = self.gan
        vectors = [
            asnumpy(vector)
            for net in (gan.G, gan.D, gan.G_ema)
            for vector in (net.theta, net.buffers)
        ]
        save_model(self.folder, self.settings, **dict(zip(VECTORS, vectors)))

    def save_checkpoint(self) -> None:
        """Save everything needed to resume from here."""
        self.fetch_losses()
        self.check_weights()
        arrays, counts = self.gan.save()
        complete = self.gan.t == self.reported * self.gan.steps_per_epoch
        save_checkpoint(
            self.folder,
            self.gan.t,
            arrays,
            {
                "format": FORMAT,
                "settings": self.settings,
                "counts": counts,
                "history": self.history,
                "losses": self.losses,
                "seconds": self.elapsed(),
                "epoch_seconds": 0.0 if complete else time.perf_counter() - self.epoch_started,
            },
        )

    def save_figures(self) -> None:
        """Save the animation of the sample grids, and the plots of the history."""
        history, folder, recipe = self.history, self.folder, self.recipe
        epochs = [0, *(row["epoch"] for row in history)]
        grid = 4 * GRID_SIZE * math.prod(self.shape[:2])  # pixels, enlarged twice
        every_nth = 1 + len(history) // max(1, min(MAX_FRAMES, MAX_FRAME_PIXELS // grid))
        shown = [*epochs[:-1:every_nth], epochs[-1]]
        plots.save_animation(
            [folder / "samples" / f"epoch-{epoch:04}.png" for epoch in shown],
            folder / "progress.gif",
        )
        if history:
            plots.save_losses(
                history, folder / "losses.png", real_label=recipe.real_label, loss=recipe.loss
            )
            plots.save_scores(
                history, folder / "scores.png", real_label=recipe.real_label, loss=recipe.loss
            )
            plots.save_fd(history, folder / "fd.png")

    def announce(self) -> None:
        """Print which data is used and where the results are saved, with notes and hints."""
        options, recipe, n = self.options, self.recipe, len(self.gan.images)
        for note in self.notes:
            say(f"note: {note}")
        say(
            f"{'resuming on' if options.settings else 'training on'} {n:,} images of"
            f" {format_shape(self.shape)}"
            f" with {self.gan.xp.__name__}; Ctrl-C saves and stops; everything goes to"
            f" {self.folder}",
        )
        if self.gan.xp is np and (advice := blas_advice()):
            say(f"hint: {advice}")
        if not (options.settings or options.epochs_given or recipe.steps_per_epoch) and n < 15_000:
            an_epoch = self.gan.steps_per_epoch * recipe.batch_size  # images shown
            say(
                f"hint: with so few images {recipe.epochs} epochs are only"
                f" {self.gan.steps_per_epoch * recipe.epochs:,} steps;"
                f" --epochs {math.ceil(recipe.epochs * 60_000 / an_epoch)} trains as long as this"
                " recipe does on MNIST",
            )

    def say_goodbye(self) -> None:
        """Print how long the run took, and the command to continue with."""
        seconds, folder = time.perf_counter() - self.started, str(self.folder)
        say(
            f"{'interrupted, and saved' if self.status else 'done'} after {seconds // 60:.0f} min"
            f" {seconds % 60:.0f} s: {self.folder / 'progress.gif'} shows the progress,"
        )
        name = shlex.quote(f"./{folder}" if folder.startswith("-") else folder)
        if self.status:
            say(f"{self.options.command} --resume {name} resumes it")
            return
        if self.recipe.conditional:
            name += f" --digit {shlex.quote(self.settings['names'][-1])}"
        say(f"{self.options.command} sample {name} --out digits.png generates new images")


def make_folder(options: TrainingOptions) -> Path:
    """Make the folder of a new run. Raises RunError."""
    if options.folder:
        return make_run_folder(options.folder)
    return make_default_run_folder(options.recipe.name)


def check_figures() -> None:
    """Raise RunError if matplotlib cannot draw figures, as a run does at its end.

    If a module is missing, ModuleNotFoundError is raised, for which `main` says what to install.
    """
    try:
        plots.draw_test_figure()
    except ModuleNotFoundError:  # the sentence for it names what to install
        raise
    except Exception as error:
        advice = "set MPLCONFIGDIR to a folder that can be written, or install matplotlib again"
        reason = first_line(error)
        raise RunError(
            "matplotlib cannot draw figures, so nothing was started"
            f" ({reason.partition('; set the MPLCONFIGDIR')[0]}): {advice}"
        ) from None


def write_history(history: list[dict], folder: Path) -> None:
    """Write history.csv; it is rewritten at every report."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, history[0])
    writer.writeheader()
    writer.writerows(history)
    write_atomically(folder / "history.csv", lambda file: file.write(text.getvalue().encode()))


def step_columns(loss: str) -> tuple[str, ...]:
    """The names in history.csv of the numbers that a training step with this loss returns."""
    return (*STEP_COLUMNS[:2], *GAN_LOSSES[loss].score_names)


def format_epoch(row: dict, epochs: int, diagnosis: str, *, loss: str = "non-saturating") -> str:
    """The results of an epoch in one line."""
    scores = (
        f"D(x) - D(G(z)) {plots.format_number(row['difference'], 2)}  above 0 {row['ordered']:.0%}"
        if GAN_LOSSES[loss].paired
        else f"D(x) {row['score_real']:.2f}  D(G(z)) {row['score_fake']:.2f}"
    )
    modes = f"modes {row['modes']}   " if "modes" in row else ""
    return (
        f"epoch {row['epoch']:3}/{epochs}   FD {row['fd']:6.3g}   {modes}loss D"
        f" {plots.format_number(row['loss_D'], 2)}  G {plots.format_number(row['loss_G'], 2)}"
        f"   {scores}"
        f"   {row['seconds']:.1f} s  {row['images_per_second']:,.0f} images/s   {diagnosis}"
    )


class Interruption:
    """A context in which the first Ctrl-C, SIGTERM or SIGHUP only makes this object true.

    A second Ctrl-C stops the process immediately. SIGUSR1 only sets `save_requested`. The last two
    signals stay ignored if they were ignored before, as by nohup; Windows does not have them.
    """

    def __init__(self):
        self.signal, self.save_requested = 0, False

    def __bool__(self):
        return self.signal != 0

    def __enter__(self):
        optional = [getattr(signal, name, None) for name in ("SIGHUP", "SIGUSR1")]

        def handle(number, frame):
            if number == optional[1]:
                self.save_requested = True
            elif self.signal and number == signal.SIGINT:
                raise KeyboardInterrupt
            else:
                self.signal = self.signal or number

        self.before = {}
        if threading.current_thread() is threading.main_thread():  # others may install no handlers
            for number in signal.SIGINT, signal.SIGTERM, *optional:
                if number and (
                    number not in optional or signal.getsignal(number) != signal.SIG_IGN
                ):
                    self.before[number] = signal.signal(number, handle)
        return self

    def __exit__(self, *error):
        for number, handler in self.before.items():
            if handler is not None:  # it was not installed by Python
                signal.signal(number, handler)
