"""The page of a run: index.html, which shows in a browser how training goes.

The idea
    A GAN has no single number that says how well it learns, so one looks at its samples, and at its
    curves beside the lines by which they are read. The page shows both while the run goes on, and
    says in words what they mean. It is one file that opens from the disk in any browser: there is
    no server, and it loads nothing. It reloads itself as long as the run is written. The run
    rewrites it under another name and then renames it, so that a browser never reads half of it.

    The page is at most MAX_PAGE_BYTES long. At most MAX_PAGE_FRAMES sample grids are
    kept: of all reports every k-th, with k a power of 2 so that those kept stay the same as the run
    goes on, and always the newest. Each is a JPEG with the best quality for which there is room.
    The newest is stored a second time with a better one.

    The page, and the figures that are plotted while the run goes on, may take SHARE of its time. At
    most a part of that may go to the page. What would take more waits. An epoch may take minutes,
    so the page is also written within an epoch, with the time that is left.

Why a page stops reloading itself
    A process that was killed can no longer say so. After STALE_SECONDS without a change the page
    assumes this, says so, and stops reloading itself.

>>> every_kth(list(range(10)), 4)
[0, 4, 8, 9]
>>> every_kth([0, 1, 2], 4)
[0, 1, 2]
"""

import base64
import io
import math
import os
import shlex
import sys
import threading
import time
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from minigan.datasets.pixels import format_shape
from minigan.figures.html_page import fill_page
from minigan.figures.plots import loss_curves, score_curves
from minigan.gan.losses import GAN_LOSSES
from minigan.gan.recipes import FIELDS, asdict, recipe_from_dict
from minigan.training.run_folder import class_count, image_shape, write_atomically

PAGE_TEMPLATE = Path(__file__).with_name("run_page.html")
PAGE_NAME = "index.html"
MAX_PAGE_BYTES = 5_000_000
FRAMES_SHARE, NEWEST_SHARE = 0.78, 0.1  # of the page, for all sample grids, and for the newest
MAX_PAGE_FRAMES = 60  # sample grids
MAX_POINTS = 500  # of a curve
SHARE = 0.01  # of a run's time that its page and figures may take while it goes on
PAGE_SHARE = 0.4  # of SHARE, for the page
PAGE_SECONDS = 10.0  # the shortest time between two writes of the page
FIGURE_SECONDS = 60.0  # the same for the figures
FIRST_GUESS = 0.5  # seconds that the figures are assumed to take before they were drawn
STALE_SECONDS = 600.0  # without a change, after which the page stops reloading itself
QUALITIES = (95, 85, 65, 40)  # of a JPEG, in the order in which they are tried


class Progress(NamedTuple):
    """How far a run is: what its page shows besides its history."""

    step: int
    steps: int  # of the whole run
    steps_per_epoch: int
    elapsed: float  # seconds of the run so far, including the time before an interruption
    left: float  # seconds that remain, estimated; nan if unknown
    state: str = "running"  # or "done", "interrupted", "failed"
    message: str = ""  # why it failed


class Repeated:
    """Work that is repeated while a run goes on, in a limited time.

    `first_guess` is how many seconds it is assumed to take before it was done for the first time.
    """

    def __init__(self, *, first_guess: float = 0.0):
        self.last = time.perf_counter()
        self.spent, self.cost = 0.0, first_guess  # in all, and the last time

    def seconds_since(self) -> float:
        """The seconds since the work was done, or since the beginning."""
        return time.perf_counter() - self.last

    def is_due(self, seconds: float, allowed: float) -> bool:
        """Whether it was last done at least so many seconds ago, and would by then have taken no
        more seconds than allowed.
        """
        return self.seconds_since() >= seconds and self.spent + self.cost <= allowed

    def do(self, work: Callable[[], Any]) -> None:
        """Do the work."""
        self.last = time.perf_counter()
        work()
        self.cost = time.perf_counter() - self.last
        self.spent += self.cost


class RunPage:
    """Writes the page of a run, and decides when to write it and when to plot the figures.

    `describe` maps the position of a row of the history to its diagnosis in words, `real` holds the
    metrics of real images, if they are known, `command` is what the user types to train, "" in
    Python, and `imports` are options that every command on this run needs.
    """

    def __init__(
        self,
        folder: Path,
        settings: dict[str, Any],
        *,
        describe: Callable[[int], str],
        real: dict[str, float],
        command: str = "python demo.py",
        imports: str = "",
    ):
        self.folder, self.settings = Path(folder), settings
        self.command, self.imports = command, imports
        self.describe, self.real = describe, real
        self.diagnoses: dict[int, str] = {}  # {position of a row: its diagnosis}
        # {epoch: its sample grid}, and (epoch, its sample grid in better quality)
        self.frames: dict[int, dict[str, Any]] = {}
        self.newest: tuple[int, dict[str, Any]] = (-1, {})
        self.started = time.perf_counter()
        self.page = Repeated()
        self.figures = Repeated(first_guess=FIRST_GUESS)

    def update(
        self, history: list[dict], progress: Progress, draw_figures: Callable[[], None] | None
    ) -> None:
        """Write the page and plot the figures, if it is time for them.

        Without `draw_figures` only the page is written, and only if it was not written for as long
        as figures are.
        """
        allowed = SHARE * (time.perf_counter() - self.started)
        wait = PAGE_SECONDS if draw_figures else FIGURE_SECONDS
        if self.page.is_due(wait, PAGE_SHARE * allowed):
            self.page.do(lambda: self.write(history, progress))
        if draw_figures and self.figures.is_due(FIGURE_SECONDS, allowed - self.page.spent):
            self.figures.do(draw_figures)

    def write(self, history: list[dict], progress: Progress) -> str:
        """Write the page; returns why it could not be written, or "".

        A page that cannot be written is no reason to end a run: on Windows, for example, a file
        that a browser is reading cannot be replaced.
        """
        try:
            page = self.render(history, progress, every=self.page.seconds_since())
            write_atomically(self.folder / PAGE_NAME, lambda file: file.write(page))
        except OSError as error:
            return error.strerror or str(error)
        return ""

    def render(self, history: list[dict], progress: Progress, *, every: float) -> bytes:
        """The page, if it is written about once in `every` seconds."""
        rows, frames = self.select_rows(history), self.select_frames(history)
        for i in rows:
            if i not in self.diagnoses:
                self.diagnoses[i] = self.describe(i)
        shown = [history[i] for i in rows]
        loss, real_label = self.settings["recipe"]["loss"], self.settings["recipe"]["real_label"]
        # rows of an earlier version have fewer columns
        names = [name for name in dict.fromkeys(n for row in shown for n in row) if name != "epoch"]
        model = {
            "name": self.folder.resolve().name,
            "state": progress.state,
            "message": progress.message,
            "step": progress.step,
            "steps": progress.steps,
            "stepsPerEpoch": progress.steps_per_epoch,
            "elapsed": round(progress.elapsed, 1),
            "left": round(progress.left, 1) if math.isfinite(progress.left) else None,
            "written": round(1000 * time.time()),
            "reload": round(min(60.0, max(PAGE_SECONDS, every))),
            "stale": max(STALE_SECONDS, 3 * every),
            "diagnosis": self.diagnoses[rows[-1]] if rows else "",
            "epochs": [row["epoch"] for row in shown],
            "history": {name: [five_digits(row.get(name)) for row in shown] for name in names},
            "diagnoses": [self.diagnoses[i] for i in rows],
            "frames": frames,
            "charts": chart_settings(loss, real_label, self.real),
            "real": {name: five_digits(value) for name, value in self.real.items()},
            "settings": describe_settings(self.settings),
            "commands": self.next_commands(progress.state, trained=bool(history)),
        }
        return fill_page(PAGE_TEMPLATE.read_text(encoding="utf-8"), model).encode()

    def select_rows(self, history: list[dict]) -> list[int]:
        """The positions of the rows of the history that the page shows: few enough for a curve, and
        one for each sample grid.
        """
        frames = set(every_kth([0, *(row["epoch"] for row in history)], MAX_PAGE_FRAMES))
        points = set(every_kth(list(range(len(history))), MAX_POINTS))
        return [i for i, row in enumerate(history) if i in points or row["epoch"] in frames]

    def select_frames(self, history: list[dict]) -> list[dict[str, Any]]:
        """[{"epoch": its number, ...}, ...] of the sample grids on the page, as encode_picture
        returns them.
        """
        epochs = every_kth([0, *(row["epoch"] for row in history)], MAX_PAGE_FRAMES)
        planned = min(MAX_PAGE_FRAMES, self.settings["recipe"]["epochs"] + 1)
        room = MAX_PAGE_BYTES * 3 // 4  # base64 needs four characters for three bytes
        each, for_newest = int(room * FRAMES_SHARE / planned), int(room * NEWEST_SHARE)
        # a JPEG of an earlier run may be larger; what is no longer shown is forgotten
        self.frames = {epoch: self.frames[epoch] for epoch in epochs if epoch in self.frames}
        for epoch in epochs:
            newest = epoch == epochs[-1] != self.newest[0]
            if epoch in self.frames and not newest:
                continue
            try:
                picture = read_sample_grid(self.folder / "samples" / f"epoch-{epoch:04}.png")
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
                continue  # it was removed or damaged
            if epoch not in self.frames:
                self.frames[epoch] = encode_picture(picture, each)
            if newest:
                self.newest = epoch, encode_picture(picture, max(each, for_newest))
        return [
            {"epoch": epoch, **self.frames[epoch]} for epoch in epochs[:-1] if epoch in self.frames
        ] + [{"epoch": epoch, **self.newest[1]} for epoch in epochs[-1:] if epoch == self.newest[0]]

    def next_commands(self, state: str, *, trained: bool) -> list[list[str]]:
        """[[command, what it does], ...]: how to go on. Before the first report there is nothing to
        sample from.
        """
        if not self.command:
            return [
                ["gan.fit(epochs=5)", "trains for five more epochs, or continues after Ctrl-C"],
                ["gan.sample(100)", "generates new images, as an array"],
                ["gan.evaluate()", "measures 10,000 new images, beside real ones and noise"],
                ['gan.save("my-run")', "keeps the run in a folder, for GAN.load and all commands"],
            ]
        folder = str(self.folder)
        name = shlex.quote(f"./{folder}" if folder.startswith("-") else folder) + self.imports
        conditional, epochs = (
            self.settings["recipe"]["conditional"],
            self.settings["recipe"]["epochs"],
        )
        digit = f" --digit {shlex.quote(self.settings['names'][-1])}" if conditional else ""
        resume = {
            "done": [f"--resume {name} --epochs {2 * epochs}", "trains for as many epochs again"],
            "failed": [f"--resume {name}", "continues from the last checkpoint"],
        }.get(state, [f"--resume {name}", "continues after an interruption"])
        commands = [
            resume,
            [f"sample {name}{digit} --out samples.png", "generates new images"],
            [f"walk {name} --out walk.gif", "turns one image into the next, as an animation"],
            [f"evaluate {name}", "measures 10,000 new images, beside real ones and noise"],
            [f"inspect {name}", "shows what each layer does"],
            [f"export {name} --to html", "writes a page that generates images in a browser"],
        ]
        if not trained:
            return [[f"{self.command} {resume[0]}", resume[1]]]
        first = 1 if state == "done" else 0  # of a run that is not done, resuming comes first
        return [
            [f"{self.command} {text}", meaning]
            for text, meaning in commands[first:] + commands[:first]
        ]


def open_in_browser(path: Path) -> str:
    """Open a page in the user's browser, and return what was done in words.

    Without a screen nothing is opened: Python would start a browser for terminals, such as lynx,
    if there is one.
    """
    address = path.resolve().as_uri()
    screens = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    if sys.platform.startswith("linux") and not any(os.environ.get(name) for name in screens):
        return f"note: --open found no screen; open {address} in a browser"

    def show():
        with suppress(webbrowser.Error, OSError):
            webbrowser.open(address)

    threading.Thread(target=show, daemon=True).start()  # some browsers return only at their end
    return f"opening {address}"


def every_kth(items: list[Any], limit: int) -> list[Any]:
    """Every k-th item from the first on, and the last: at most `limit` items, or one if that is
    fewer, with the smallest k that is a power of 2.
    """
    k = 1
    while math.ceil(len(items) / k) + 1 > max(limit, 2) and k < len(items) and len(items) > limit:
        k *= 2
    chosen = items[::k]
    return chosen if not items or chosen[-1] == items[-1] else [*chosen, items[-1]]


def five_digits(value: float | None) -> float | None:
    """The value rounded to five digits, which are enough for a curve; None remains None."""
    return None if value is None else float(f"{value:.5g}")


def read_sample_grid(path: Path) -> Image.Image:
    """Read a picture, at its original size if every pixel was enlarged to a square of 2 x 2."""
    with Image.open(path) as opened:
        picture = opened if opened.mode in ("L", "RGB") else opened.convert("RGB")
        pixels = np.asarray(picture)
    if (
        pixels.shape[0] % 2 == pixels.shape[1] % 2 == 0
        and (pixels[::2] == pixels[1::2]).all()
        and (pixels[:, ::2] == pixels[:, 1::2]).all()
    ):
        pixels = pixels[::2, ::2]
    return Image.fromarray(pixels)


def encode_picture(picture: Image.Image, size: int) -> dict[str, Any]:
    """{"src": a data URL, "width": ..., "height": ...} of the picture as a JPEG of at most `size`
    bytes, with the best of QUALITIES for which this is possible, or else reduced to half its height
    and width until it is.
    """
    while True:
        for quality in QUALITIES:
            content = io.BytesIO()
            picture.save(content, "JPEG", quality=quality, subsampling=0)
            if content.tell() <= size or max(picture.size) < 32:
                text = base64.b64encode(content.getvalue()).decode()
                width, height = picture.size
                return {"src": f"data:image/jpeg;base64,{text}", "width": width, "height": height}
            if content.tell() > 4 * size:  # no quality reduces it that much
                break
        picture = picture.reduce(2)


def chart_settings(loss: str, real_label: float, real: dict[str, float]) -> list[dict[str, Any]]:
    """What each chart of the page shows, with the reference lines and how to read it.

    A loss on pairs has its own charts, because a single output of D then means nothing.
    """
    losses, scores = loss_curves(real_label, loss), score_curves(real_label, loss)
    charts: list[dict[str, Any]] = [
        {
            "title": "Fréchet distance (FD)",
            "log": True,
            "columns": {"fd": "2,000 samples"},
            "lines": [],
            "last": "fd",
            "words": "How far the samples are from real images, on a logarithmic scale; 0 is best."
            " This is the curve to watch.",
        },
        {
            "title": "Losses",
            "columns": losses.columns,
            "lines": split_labels(losses.lines),
            "words": "Each network's loss depends on the other network, so neither says how good"
            " the images are. Curves that stay near their lines mean a balanced game. Dotted:"
            f" {explain_lines(losses.lines)}.",
        },
    ]
    if "fd" in real:
        charts[0]["lines"] = [
            {"value": five_digits(real["fd"]), "tag": "real", "words": "2,000 real images"}
        ]
        charts[0]["words"] += (
            f" Dotted: the newest value, and that of 2,000 real images, {real['fd']:.3g}, which"
            " good samples approach."
        )
    if "modes" in real:  # StackedMNIST
        charts.insert(
            1,
            {
                "title": "Modes",
                "columns": {"modes": "of 2,000 samples"},
                "lines": [{"value": real["modes"], "tag": "real", "words": "2,000 real images"}],
                "words": "How many of the 1000 combinations of three digits occur. Dotted:"
                f" {real['modes']:.0f}, the number among 2,000 real images.",
            },
        )
    if not GAN_LOSSES[loss].paired:
        words = (
            "The probability with which the discriminator takes images for real: near 1 for real"
            " images and 0 for fakes if it wins, and the same for both if it cannot distinguish"
            " them."
            if GAN_LOSSES[loss].score_is_probability
            else "The mean score that the discriminator gives: far apart if it distinguishes real"
            " images from fakes, and the same for both if it cannot."
        )
        return [
            *charts,
            {
                "title": "Outputs of the discriminator",
                "columns": scores.columns,
                "lines": split_labels(scores.lines),
                "words": f"{words} Dotted: {explain_lines(scores.lines)}.",
            },
        ]
    mean, share = split_labels(scores.lines)
    return [
        *charts,
        {
            "title": "Pairs that the discriminator ranks correctly",
            "columns": {"ordered": "share of pairs with D(x) above D(G(z))"},
            "lines": [share],
            "words": "With a loss on pairs of a real image and a fake, only the difference of the"
            " two outputs has a meaning. The share is 1 if the discriminator wins, and 1/2 if it"
            " can only guess.",
        },
        {
            "title": "Mean difference of a pair",
            "columns": {"difference": "mean of D(x) - D(G(z))"},
            "lines": [mean],
            "words": "By how much the real image is ranked above the fake, on average.",
        },
    ]


def explain_lines(lines: dict[float, str]) -> str:
    """The reference lines of Curves in words.

    >>> explain_lines({1.386: "2 log 2: D, if it cannot distinguish"})
    '2 log 2 (D, if it cannot distinguish)'
    """
    parts = [label.partition(": ") for label in lines.values()]
    return " and ".join(f"{tag} ({words})" for tag, _, words in parts)


def split_labels(lines: dict[float, str]) -> list[dict[str, Any]]:
    """The reference lines of Curves, each with a short tag and with words."""
    parts = {value: label.partition(": ") for value, label in lines.items()}
    return [
        {"value": five_digits(value), "tag": tag, "words": words}
        for value, (tag, _, words) in parts.items()
    ]


def describe_settings(settings: dict[str, Any]) -> list[list[str]]:
    """[[name, value], ...]: the settings of a run as text, the most important ones first.

    Only settings that differ from the default of their field are listed after these.
    """
    recipe, shape = recipe_from_dict(settings["recipe"]), image_shape(settings)
    versions = settings["versions"]
    data = "MNIST" if settings["digits"] else Path(settings["data"]).name
    classes = f", classes {settings['classes']}" if settings.get("classes") else ""
    first = {
        "recipe": recipe.name,
        "data": f"{data}: {settings['n_images']:,} images of {format_shape(shape)}{classes}",
        "seed": settings["seed"],
        "epochs": recipe.epochs,
        "batch size": recipe.batch_size,
        "learning rate": f"{recipe.learning_rate:g}"
        + (f", of D {recipe.learning_rate_D:g}" if recipe.learning_rate_D else ""),
        "loss": recipe.loss,
        "penalty": f"{recipe.penalty}, weight {recipe.penalty_weight:g}"
        if recipe.penalty
        else "none",
        "networks": f"{recipe.networks}, G {recipe.widths_G}, D {recipe.widths_D}",
        "latents": f"{recipe.latent_dim}, {recipe.noise}",
    }
    given = {"name", "source", "epochs", "batch_size", "learning_rate", "learning_rate_D", "loss"}
    given |= {
        "penalty",
        "penalty_weight",
        "networks",
        "widths_G",
        "widths_D",
        "latent_dim",
        "noise",
    }
    others = {
        name: value
        for name, value in asdict(recipe).items()
        if name not in given and value != FIELDS[name].default
    }
    if recipe.clusters:  # of few images there are fewer
        others["clusters"] = class_count(settings)
    last = {
        "computed with": settings["backend"],
        "threads": settings.get("threads", "unknown"),
        "versions": f"minigan {versions['minigan']}, NumPy {versions['numpy']}, Python"
        f" {versions['python']}",
        "started": settings.get("started", "unknown").replace("T", " "),
    }
    return [[name, str(value)] for name, value in {**first, **others, **last}.items()]
