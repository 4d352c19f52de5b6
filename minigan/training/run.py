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

    Ctrl-C, SIGTERM or SIGHUP ends the run after the current step and saves its state. SIGUSR1 and
    SIGCONT save it without ending the run. A resumed run takes exactly the steps that it would have
    taken without the interruption. The first checkpoint is written before the first step.

    What is printed is also kept in log.txt. A page, index.html, shows the run in a browser, and the
    figures are plotted again from time to time (run_page.py).

    If several processes share the run, all of them call the same methods at the same steps. Only
    the first one evaluates, and touches the folder and the terminal. Whatever depends on a clock or
    on a signal is agreed on before each step.

    What a run needs at its end is tried at its start: the folder is locked and written to, and a
    figure is drawn. If that fails, nothing is left behind.
"""

import csv
import hashlib
import io
import json
import math
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from minigan.accel.cpu import blas_advice, blas_threads
from minigan.backend import Array, asnumpy, describe_device, first_line
from minigan.console import format_seconds, say, shows_progress
from minigan.datasets.pixels import format_shape
from minigan.datasets.raw import RawData
from minigan.figures import plots, sheets
from minigan.gan.losses import GAN_LOSSES
from minigan.training.checkpoint import save_checkpoint
from minigan.training.diagnosis import diagnose, is_falling
from minigan.training.inputs import TrainingData, TrainingOptions
from minigan.training.interruption import ENDING_SIGNALS, Interruption
from minigan.training.lock import lock_folder
from minigan.training.run_folder import (
    FORMAT,
    VECTORS,
    RunError,
    class_names,
    generator_path,
    kept_generators,
    make_default_run_folder,
    make_run_folder,
    make_settings,
    save_model,
    save_settings,
    write_atomically,
)
from minigan.training.run_page import (
    PAGE_NAME,
    Progress,
    RunPage,
    every_kth,
    open_in_browser,
)
from minigan.training.state import EVALUATED_SAMPLES, GRID_SIZE, TrainingState

FETCH_EVERY = 50  # steps between two copies of the losses to the host
FREE_REPORTS = 20  # reports that may take any time
REPORT_SHARE = 0.1  # share of the run's time that later reports may take
MAX_FRAMES, MAX_FRAME_PIXELS = 200, 70_000_000  # of an animation, which is made in memory
# the arguments of `record`; for a loss on pairs the last two have other names, see step_columns
STEP_COLUMNS = ("loss_D", "loss_G", "score_real", "score_fake")
MAX_GENERATORS, MAX_GENERATORS_BYTES = 20, 50_000_000  # of earlier epochs, kept in a run folder
ARRAYS_FILE = "images.npz"  # in the folder of a run whose images came from Python


class Run:
    """A training run of a GAN, used as `with Run(...) as run:` around the loop."""

    def __init__(
        self,
        options: TrainingOptions,
        data: TrainingData,
        gan: TrainingState,
        make_evaluator: Callable,
    ):
        self.options, self.recipe, self.gan = options, options.recipe, gan
        self.group = gan.group
        self.evaluator: Any = None
        self.real: dict[str, float] = {}
        if self.group.leads:
            self.evaluator = make_evaluator(data.dataset, data.digits)
            if gan.xp is not np and hasattr(self.evaluator, "to"):
                self.evaluator.to(gan.xp)
            self.real = self.measure_real_images(data.images)
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
        if options.arrays:
            self.settings["data"] = ARRAYS_FILE  # in the run folder
        self.notes, self.shape = [*data.dataset.notes, *options.notes], data.image_shape
        threads = blas_threads()
        before = self.settings.get("threads") or threads
        if before != threads and gan.xp is np:
            self.notes.append(
                f"the number of BLAS threads is now {threads} instead of {before}, so that this run"
                " may differ in the last bits from an uninterrupted one"
            )
        self.settings["threads"] = threads
        size, before = self.group.size, self.settings.pop("processes", 1)
        if size != before and options.settings:
            self.notes.append(
                f"the number of processes is now {size} instead of {before}, so that this run may"
                " differ in the last bits from an uninterrupted one"
            )
        if size > 1:
            self.settings["processes"] = size
        self.check_processes()
        self.first_step = self.gan.t  # of this process
        self.fd_explained = False
        self.interruption, self.stop_signal = Interruption(), 0
        self.graph_is_due = options.graph  # after the first step
        self.status = 0

    def check_processes(self) -> None:
        """Raise RunError if another process differs from the first in what a run depends on."""
        versions = self.settings["versions"]
        of_data = {"fingerprint", "image_fingerprint", "n_images", "height", "width", "channels"}
        of_data |= {"names", "shares"}
        may_differ = {"started", "data", "threads", "versions"}
        rest = sorted(self.settings.keys() - of_data - may_differ - {"recipe"})
        options = {name: self.settings[name] for name in rest} | vars(self.recipe)
        found = self.group.first_difference(
            {
                **{f"versions ({name})": versions[name] for name in ("minigan", "numpy")},
                "data": {name: self.settings.get(name) for name in of_data},
                **{f"options ({name})": value for name, value in options.items()},
                "options": {**options, "t": self.gan.t},  # whatever else differs
            }
        )
        if found:
            rank, name = found
            raise RunError(
                f"process {rank} of {self.group.size} has other {name} than process 0, so nothing"
                " was started: mpiexec must start the same command, with the same files and the"
                " same packages, on every machine"
            )

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
            if self.group.leads:
                check_figures()
            if not self.options.settings:
                self.folder = self.group.from_first(lambda: make_folder(self.options))
                new_folder = self.folder if self.group.leads else None
            self.group.from_first(self.lock)
            if self.group.leads:
                self.start_log()
                self.announce()
            self.page = RunPage(
                self.folder,
                self.settings,
                describe=self.diagnosis,
                real=self.real,
                command=self.options.command,
                imports=self.options.imports,
            )
            self.started = self.last_checkpoint = time.perf_counter()
            self.epoch_started = self.started - self.epoch_seconds
            self.stack.enter_context(np.errstate(all="ignore"))
            if self.group.leads:
                for partial in self.folder.glob("*.partial"):  # left by an interrupted write
                    partial.unlink()
                if self.options.arrays:
                    save_arrays(self.folder, self.options.arrays)
                if not self.options.checkpoint:
                    self.save_samples(0)
            self.save_checkpoint()
            if self.group.leads:
                save_settings(self.folder, self.settings)
                self.write_page("running")
            if self.options.open_page:
                self.say(open_in_browser(self.folder / PAGE_NAME))
            self.group.watch(f"{self.resume_command()} goes on from the last checkpoint")
        except BaseException as error:
            self.stack.close()
            if new_folder and isinstance(error, Exception):
                shutil.rmtree(new_folder, ignore_errors=True)
            raise
        return self

    def lock(self) -> None:
        """Lock the run folder until the run ends."""
        self.stack.enter_context(lock_folder(self.folder))

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        with self.stack:
            if kind is None:
                try:
                    self.finish()
                except Exception as failure:
                    if self.group.leads:
                        self.say_why(failure)
                    raise
            elif not self.group.leads:
                pass
            elif issubclass(kind, Exception):
                self.say_why(error)
            elif issubclass(kind, KeyboardInterrupt):
                self.say_why("Ctrl-C was pressed twice")
        if kind is None and self.group.leads:
            self.say_goodbye()

    def finish(self) -> None:
        """Save everything at the end of the run, or of the part of it that was not interrupted."""
        self.save_checkpoint()  # first, because it raises an error if a weight is NaN
        complete = self.gan.t >= self.recipe.epochs * self.gan.steps_per_epoch
        self.status = 0 if complete else 128 + self.stop_signal
        if not self.group.leads:
            return
        self.save()
        self.save_figures()
        self.write_page("interrupted" if self.status else "done")

    def say_why(self, failure: object) -> None:
        """Record in the log and on the page why the run has stopped."""
        self.log(f"stopped: {failure}")
        self.page.write(self.history, self.progress("failed", str(failure)))

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
            self.agree()
            if self.stop_signal:
                return
            yield epoch

    def steps(self, epoch: int) -> Iterator[int]:
        """Yield the numbers of the remaining steps of an epoch, with a progress bar; stops after an
        interruption.
        """
        gan, steps = self.gan, self.gan.steps_per_epoch
        self.epoch_started = time.perf_counter() - self.epoch_seconds
        self.epoch_seconds, first = 0.0, gan.t - (epoch - 1) * steps
        show = self.group.leads and shows_progress(sys.stderr)
        for i in tqdm(
            range(first, steps),
            f"epoch {epoch}/{self.recipe.epochs}{self.format_left()}",
            steps,
            False,
            initial=first,
            unit=" steps",
            disable=not show,
        ):
            yield i
            if self.group.leads:
                self.page.update(self.history, self.progress(), None)
            if len(self.pending) == len(STEP_COLUMNS) * FETCH_EVERY:
                self.fetch_losses()
            requested, due = self.agree()
            if self.stop_signal:
                return
            if requested:
                self.interruption.save_requested = False
                self.save_checkpoint()
                if self.group.leads:
                    self.save()
                    self.say(f"saved after step {gan.t:,}; training goes on")
            elif due:
                self.save_checkpoint()
            else:
                continue
            self.last_checkpoint = time.perf_counter()

    def agree(self) -> tuple[bool, bool]:
        """(whether a checkpoint is requested, whether one is due); sets `stop_signal`.

        A signal may have reached only one of the processes, and the clock is that of the first.
        """
        interruption = self.interruption
        due = time.perf_counter() - self.last_checkpoint > self.options.checkpoint_every
        if self.group.size == 1:
            self.stop_signal = interruption.signal
            return interruption.save_requested, due
        seen = [interruption.signal == number for number in ENDING_SIGNALS]
        seen += [interruption.save_requested, due and self.group.leads]
        *signals, requested, due = self.group.all_reduce(np.array(seen, "float64"))[0] > 0
        self.stop_signal = next((n for n, sent in zip(ENDING_SIGNALS, signals) if sent), 0)
        return bool(requested), bool(due)

    def record(self, *losses: Array) -> None:
        """Collect the losses and scores of a step, in the order of STEP_COLUMNS, each of shape (),
        on the device.
        """
        self.pending += losses
        if self.graph_is_due:
            self.graph_is_due = False
            self.say(f"CUDA graphs: {self.gan.record() or 'both steps are recorded and checked'}")

    def end_epoch(self, epoch: int) -> None:
        """Report a complete epoch: evaluate and save its samples, and print a line about it.

        Without a report, the time of the epoch is added to that of the next one.
        """
        gan, recipe = self.gan, self.recipe
        if gan.t < epoch * gan.steps_per_epoch:
            return
        seconds = time.perf_counter() - self.epoch_started
        if not self.group.from_first(lambda: self.report_is_due(epoch)):
            self.epoch_seconds = seconds
            return
        report_started = time.perf_counter()
        self.fetch_losses()
        self.check_weights()
        self.history.append(self.group.from_first(lambda: self.evaluate(epoch, seconds)))
        self.losses.clear()
        if not self.group.leads:
            return
        write_history(self.history, self.folder)
        self.save_samples(epoch)
        self.save()
        self.save_generator(epoch)
        diagnosis = self.diagnosis(len(self.history) - 1)
        self.explain_fd()
        self.say(format_epoch(self.history[-1], recipe.epochs, diagnosis, loss=recipe.loss))
        if len(self.history) > FREE_REPORTS:
            self.report_seconds += time.perf_counter() - report_started
        if not self.interruption and epoch < recipe.epochs:  # otherwise `finish` does this
            self.page.update(self.history, self.progress(), self.save_figures)

    def diagnosis(self, i: int) -> str:
        """The diagnosis of row i of the history, in words."""
        fds = [row["fd"] for row in self.history[: i + 1]]
        return diagnose(
            self.history[i],
            steps=self.history[i]["epoch"] * self.gan.steps_per_epoch,
            fd_falling=is_falling(fds),
            classes=self.settings.get("classes", ""),
            loss=self.recipe.loss,
        )

    def measure_real_images(self, images: np.ndarray) -> dict[str, float]:
        """The metrics of as many real images as samples are evaluated, spread evenly over the
        training images; {} if there are no more than that, which would be compared with themselves.
        """
        if len(images) <= EVALUATED_SAMPLES:
            return {}
        chosen = np.linspace(0, len(images) - 1, EVALUATED_SAMPLES).astype(int)
        try:
            return self.evaluator.quick(images[chosen])
        except np.linalg.LinAlgError:
            return {}

    def explain_fd(self) -> None:
        """Print what FD means, before the first line that contains one."""
        if self.fd_explained:
            return
        self.fd_explained = True
        real = f", and real images have {self.real['fd']:.3g}" if "fd" in self.real else ""
        self.say(
            f"FD, the Fréchet distance, is how far {EVALUATED_SAMPLES:,} samples are from real"
            f" images: 0 is best{real}. (For the 10,000 samples of evaluate it is lower: fewer"
            " samples estimate it higher.)"
        )

    def progress(self, state: str = "running", message: str = "") -> Progress:
        """How far the run is."""
        steps = self.recipe.epochs * self.gan.steps_per_epoch
        return Progress(
            self.gan.t,
            steps,
            self.gan.steps_per_epoch,
            self.elapsed(),
            self.seconds_left(),
            state,
            message,
        )

    def seconds_left(self) -> float:
        """The seconds that remain of the whole run, if all steps take as long as those of this
        process so far; nan before the first.
        """
        taken = self.gan.t - self.first_step
        remaining = self.recipe.epochs * self.gan.steps_per_epoch - self.gan.t
        seconds = time.perf_counter() - self.started
        return remaining * seconds / taken if taken else math.nan

    def format_left(self) -> str:
        """The same in words, for the progress bar."""
        left = self.seconds_left()
        return "" if math.isnan(left) else f", {format_seconds(left)} left in all"

    def write_page(self, state: str, message: str = "") -> None:
        """Write the page of the run, or say why it could not be written."""
        if reason := self.page.write(self.history, self.progress(state, message)):
            self.say(f"note: {self.folder / PAGE_NAME} could not be written ({reason})")

    def start_log(self) -> None:
        """Begin log.txt, or the part of it that belongs to this process."""
        command = " ".join([self.options.command, *map(shlex.quote, self.options.arguments)])
        self.log(f"{datetime.now().astimezone().isoformat(timespec='seconds')}  {command}")

    def log(self, line: str) -> None:
        """Append a line to log.txt. A log that cannot be written is no reason to end a run."""
        with suppress(OSError):
            # a folder's name may hold bytes that the system's encoding does not have
            path, errors = self.folder / "log.txt", "surrogateescape"
            with open(path, "a", encoding="utf-8", errors=errors) as file:
                file.write(f"{line}\n")

    def say(self, line: str) -> None:
        """Print a line, and keep it in log.txt."""
        say(line)
        self.log(line)

    def evaluate(self, epoch: int, seconds: float) -> dict:
        """The row of history.csv for an epoch that took so many seconds."""
        gan, recipe = self.gan, self.recipe
        try:
            requested = (
                asnumpy(gan.evaluation_latents[1]).argmax(axis=1) if recipe.conditional else None
            )
            xp = getattr(self.evaluator, "xp", np)
            samples = gan.generate(gan.evaluation_latents, xp=xp)
            metrics = self.evaluator.quick(samples, requested)
        except np.linalg.LinAlgError:
            # the weights are finite, but so large that the images are not
            raise self.diverged("a metric") from None
        return {
            "epoch": epoch,
            **dict(zip(step_columns(recipe.loss), np.mean(self.losses, axis=0).tolist())),
            **metrics,
            "seconds": seconds,
            "images_per_second": len(self.losses) * recipe.batch_size / seconds,
            "elapsed": self.elapsed(),
        }

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
        """Raise RunError if a weight is not finite, in all processes if it is so in one."""
        arrays = self.gan.arrays().values()
        bad = sum(not np.isfinite(asnumpy(array)).all() for array in arrays)
        if self.group.all_reduce(int(bad))[0]:
            raise self.diverged("a weight")

    def check_drift(self) -> None:
        """Raise RunError if the state of another process is not that of the first, bit for bit."""
        if self.group.size == 1:
            return
        digest = hashlib.sha256()
        for name, array in self.gan.arrays().items():
            # power iteration is a matrix product, which another processor may round differently
            if not (self.recipe.spectral and name == "D.buffers"):
                digest.update(np.ascontiguousarray(asnumpy(array)).data)
        if self.group.first_difference({"state": digest.hexdigest(), "t": self.gan.t}):
            raise RunError(
                f"step {self.gan.t}: the processes no longer hold the same weights, so this state"
                f" is not saved: {self.resume_command()} goes on from the last checkpoint"
            )

    def resume_command(self) -> str:
        """The command that resumes this run."""
        size, options = self.group.size, self.options
        launcher = f"mpiexec -n {size} " if size > 1 else ""
        folder = str(self.folder)
        name = shlex.quote(f"./{folder}" if folder.startswith("-") else folder)
        return f"{launcher}{options.command} --resume {name}{options.imports}"

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

    def save_generator(self, epoch: int) -> None:
        """Save the generator of an epoch, so that `sample --epoch` can use it, and remove those for
        which there is no room.
        """
        folder, G = self.folder / "generators", self.gan.G_ema
        folder.mkdir(exist_ok=True)
        content: dict[str, Any] = {
            "settings": json.dumps(self.settings),
            "average": asnumpy(G.theta),
            "average_state": asnumpy(G.buffers),
        }
        path = generator_path(self.folder, epoch)
        write_atomically(path, lambda file: np.savez(file, **content))
        limit = min(MAX_GENERATORS, MAX_GENERATORS_BYTES // path.stat().st_size)
        kept = every_kth([row["epoch"] for row in self.history], limit)
        for old in kept_generators(self.folder):
            if old not in kept:
                generator_path(self.folder, old).unlink(missing_ok=True)

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
        self.gan.collect_optimizers()
        self.check_weights()
        self.check_drift()
        if not self.group.leads:
            return
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
        names = class_names(self.settings)
        sheets.save_animation(
            [folder / "samples" / f"epoch-{epoch:04}.png" for epoch in shown],
            folder / "progress.gif",
            titles=[f"epoch {epoch} of {recipe.epochs}" for epoch in shown],
            rows=sheets.class_rows(names, GRID_SIZE, math.isqrt(GRID_SIZE)),
        )
        if history:
            plots.save_losses(
                history, folder / "losses.png", real_label=recipe.real_label, loss=recipe.loss
            )
            plots.save_scores(
                history, folder / "scores.png", real_label=recipe.real_label, loss=recipe.loss
            )
            plots.save_fd(history, folder / "fd.png", real=self.real.get("fd"))

    def announce(self) -> None:
        """Print which data is used and where the results are saved, with notes and hints."""
        options, recipe, n = self.options, self.recipe, len(self.gan.images)
        for note in self.notes:
            self.say(f"note: {note}")
        on_processes = f" on {self.group.size} processes" if self.group.size > 1 else ""
        self.say(
            f"{'resuming on' if options.settings else 'training on'} {n:,} images of"
            f" {format_shape(self.shape)}"
            f" with {describe_device(self.gan.xp)}{on_processes}; Ctrl-C saves and stops; "
            + (
                "save() keeps the run"
                if options.temporary
                else f"everything goes to {self.folder}; open its {PAGE_NAME} in a browser to watch"
            )
        )
        if self.gan.xp is np and (advice := blas_advice()):
            self.say(f"hint: {advice}")
        if not (options.settings or options.epochs_given or recipe.steps_per_epoch) and n < 15_000:
            an_epoch = self.gan.steps_per_epoch * recipe.batch_size  # images shown
            self.say(
                f"hint: with so few images {recipe.epochs} epochs are only"
                f" {self.gan.steps_per_epoch * recipe.epochs:,} steps;"
                f" {'--epochs ' if options.command else 'epochs='}"
                f"{math.ceil(recipe.epochs * 60_000 / an_epoch)} trains as long as this"
                " recipe does on MNIST",
            )

    def say_goodbye(self) -> None:
        """Print how long the run took, and the command to continue with."""
        seconds, folder = time.perf_counter() - self.started, str(self.folder)
        if not self.options.command:
            self.say(
                f"{'interrupted: fit() goes on' if self.status else 'done'} after"
                f" {format_seconds(seconds)}"
            )
            return
        self.say(
            f"{'interrupted, and saved' if self.status else 'done'} after"
            f" {format_seconds(seconds)}: {self.folder / PAGE_NAME} shows samples and curves,"
        )
        name = shlex.quote(f"./{folder}" if folder.startswith("-") else folder)
        name += self.options.imports
        if self.status:
            self.say(f"{self.resume_command()} resumes it")
            return
        if self.recipe.conditional:
            name += f" --digit {shlex.quote(self.settings['names'][-1])}"
        self.say(f"{self.options.command} sample {name} --out digits.png generates new images")


def save_arrays(folder: Path, arrays: RawData) -> None:
    """Save images that came from Python in the run folder, as `--data` reads them."""
    names = dict(images="images", labels="labels", test="test_images", test_labels="test_labels")
    found = {new: getattr(arrays, name) for name, new in names.items()}
    found = {name: array for name, array in found.items() if array is not None}
    write_atomically(folder / ARRAYS_FILE, lambda file: np.savez(file, **found))


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
    # a resumed run may have begun with an earlier version, which knew fewer columns
    writer = csv.DictWriter(text, dict.fromkeys(name for row in history for name in row))
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
