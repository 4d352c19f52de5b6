"""Plots: every figure that a run writes.

The idea
    A grid of images generated from the same latents after every epoch shows progress better than
    any number, and together the grids form an animation. The plots of losses and scores have
    reference lines at the values that belong to a discriminator that cannot distinguish real images
    from fakes. Such a discriminator outputs `real_label` / 2 for every image, which is 1/2 unless
    the labels of real images are smoothed (see gan/steps.py). With a loss on pairs (see
    gan/losses.py) single outputs mean nothing, and the mean difference d of the logits of a real
    image and a fake is plotted instead, with the share of pairs with d above 0.

Shapes
    Images (N, H, W), or (N, H, W, 3) in colour, from 0 (black) to 1 (white). A picture is a single
    uint8 array, (height, width) or (height, width, 3).

>>> make_grid(np.zeros((6, 28, 28), "float32")).shape    # 2 rows of 3, with a margin of 2 pixels
(62, 92)
"""

import contextlib
import math
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from minigan.gan.losses import GAN_LOSSES

MARGIN = 2  # pixels between the images of a grid
NAMES_OF_LOSSES = {1.386294: "2 log 2", 0.693147: "log 2", -0.693147: "-log 2"}


class Curves(NamedTuple):
    """Which columns of a history a figure shows: {name: label}, its reference lines, {height:
    label}, and the label of its y axis. A label of a line is "value: what has this value".
    """

    columns: dict[str, str]
    lines: dict[float, str]
    ylabel: str


def to_bytes(images: np.ndarray) -> np.ndarray:
    """Convert images of any shape in [0, 1] to bytes; values outside that range are clipped."""
    return np.rint(255 * images.clip(0, 1)).astype(np.uint8)


def make_grid(images: np.ndarray, *, columns: int | None = None, background: int = 0) -> np.ndarray:
    """Arrange images (N, H, W[, 3]) in [0, 1] in one picture, by default nearly square."""
    n, height, width, *channels = images.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    height, width = height + MARGIN, width + MARGIN
    shape = (rows * height + MARGIN, columns * width + MARGIN, *channels)
    picture = np.full(shape, background, np.uint8)
    for i, image in enumerate(to_bytes(images)):
        top, left = i // columns * height + MARGIN, i % columns * width + MARGIN
        picture[top : top + height - MARGIN, left : left + width - MARGIN] = image
    return picture


def stack_rows(*rows: np.ndarray) -> np.ndarray:
    """Stack rows of images, each (n, H, W[, 3]) in [0, 1], in one picture."""
    return make_grid(np.concatenate(rows), columns=len(rows[0]))


def enlarge(picture: np.ndarray, zoom: int) -> np.ndarray:
    """Enlarge a picture: each pixel becomes a square of zoom x zoom pixels."""
    return picture.repeat(zoom, 0).repeat(zoom, 1)


def save_picture(picture: np.ndarray, path: Path | BinaryIO, *, zoom: int = 3) -> None:
    """Save an enlarged picture as a PNG file."""
    Image.fromarray(enlarge(picture, zoom)).save(path, "PNG")


def save_grid(images: np.ndarray, path: Path | BinaryIO, *, zoom: int = 2) -> None:
    """Save an enlarged grid of images (N, H, W[, 3]) as a PNG file."""
    save_picture(make_grid(images), path, zoom=zoom)


def to_gif_frame(picture: Image.Image) -> Image.Image:
    """Reduce a picture to at most 256 colours, the limit of a GIF."""
    if picture.mode == "RGB":
        return picture.quantize(method=Image.Quantize.FASTOCTREE)
    return picture.copy()


def save_animation(paths: Iterable[Path], path: Path, *, seconds: float = 0.4) -> None:
    """Save a sequence of picture files as a GIF that pauses at the last one."""
    frames = []
    for p in paths:
        with Image.open(p) as picture:
            frames.append(to_gif_frame(picture))
    durations = [int(1000 * seconds)] * (len(frames) - 1) + [2500]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, loop=0)


def save_walk(images: np.ndarray, path: Path | BinaryIO, *, zoom: int = 5) -> None:
    """Save a sequence of images (N, H, W[, 3]) as a GIF that loops without a pause."""
    frames = [to_gif_frame(Image.fromarray(enlarge(image, zoom))) for image in to_bytes(images)]
    frames[0].save(path, "GIF", save_all=True, append_images=frames[1:], duration=80, loop=0)


@contextlib.contextmanager
def new_figure(width: float, height: float) -> Iterator[Any]:
    """A context with a matplotlib figure of that size in inches, drawn in matplotlib's own style.

    figure.canvas.print_png(path) writes it. Figures are always made and written within the context,
    because a user's settings (a font that is missing, LaTeX) would otherwise apply to them.
    """
    matplotlib = import_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.style.context("default"):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)  # becomes figure.canvas
        yield figure


def import_matplotlib() -> Any:
    """The module matplotlib, whatever the environment variable MPLBACKEND says.

    Notebooks set MPLBACKEND for all programs that they start. Where the backend that it names is
    not installed, importing matplotlib fails, and minigan needs no backend but Agg. The backend is
    therefore chosen after the import, so that a notebook in this process still has its own.
    """
    # imported here, because matplotlib is slow to import and not every command needs it
    new = "matplotlib" not in sys.modules
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
        import matplotlib.style
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    if new and backend:
        with contextlib.suppress(ValueError):  # it is not installed
            matplotlib.rcParams["backend"] = backend
    return matplotlib


def draw_test_figure() -> None:
    """Draw a small figure and discard it; raises whatever error prevents that.

    A run calls this before its first step, because its own figures are drawn after its last one.
    """
    with new_figure(2, 2) as figure:
        figure.add_subplot().plot([1, 2], label="$10^2$")
        figure.legend()
        figure.canvas.draw()


def save_curves(
    history: list[dict],
    path: Path,
    *,
    columns: dict[str, str],
    lines: dict[float, str],
    ylabel: str,
    yscale: str = "linear",
) -> None:
    """Plot columns of a history against epochs.

    `columns` maps the names of the columns to labels, and `lines` maps the heights of horizontal
    reference lines to labels.
    """
    with new_figure(7, 4) as figure:
        axes = figure.add_subplot()
        epochs = [row["epoch"] for row in history]
        for name, label in columns.items():
            axes.plot(epochs, [row[name] for row in history], marker="o", markersize=3, label=label)
        for height, label in lines.items():
            axes.axhline(height, color="grey", linewidth=1, linestyle="--")
            axes.annotate(
                label,
                (1, height),
                xycoords=("axes fraction", "data"),
                xytext=(-4, 3),
                textcoords="offset points",
                ha="right",
                color="grey",
                fontsize=9,
            )
        axes.set(xlabel="epoch", ylabel=ylabel)
        if yscale == "log":
            set_log_scale(axes)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(frameon=False)
        axes.grid(alpha=0.2)
        figure.canvas.print_png(path)


def set_log_scale(axes: Any) -> None:
    """Make the y axis logarithmic, with plain numbers as labels: 1, 2, 5, 10, ..."""
    from matplotlib.ticker import LogLocator, StrMethodFormatter

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter("")


def save_fd(history: list[dict], path: Path) -> None:
    """Save fd.png: the Fréchet distance between generated and real images.

    See evaluation/metrics.py for its definition.
    """
    save_curves(
        history,
        path,
        columns={"fd": "generated and real images"},
        lines={},
        ylabel="Fréchet distance (0 is best)",
        yscale="log",
    )


def save_losses(
    history: list[dict], path: Path, *, real_label: float = 1.0, loss: str = "non-saturating"
) -> None:
    """Save losses.png: the losses, with their values if D cannot distinguish real from fake."""
    save_curves(history, path, **loss_curves(real_label, loss)._asdict())


def loss_curves(real_label: float, loss: str) -> Curves:
    """The Curves of both losses of a run with this target for real images and adversarial loss."""
    functions = GAN_LOSSES[loss]
    equilibrium = functions.equilibrium_logit
    known = equilibrium is not None
    a = np.array(equilibrium(real_label) if equilibrium is not None else 0.0)
    loss_D = float(functions.discriminator_loss(a, real_label)[0])
    if not functions.paired:  # one fake in addition to the real image
        loss_D += float(functions.discriminator_loss(a, 0.0)[0])
    loss_G = float(functions.generator_loss(a)[0])
    who = "both, if D" if functions.paired else "D, if it"
    lines = {loss_D: f"{format_loss(loss_D)}: {who} cannot distinguish"}
    if known:  # otherwise D may output any constant, and the loss of G depends on that
        lines[loss_G] = f"{format_loss(loss_G)}: G, if D cannot distinguish"
    return Curves(
        {"loss_D": "discriminator", "loss_G": "generator"}, lines, "loss, mean over the epoch"
    )


def format_loss(loss: float) -> str:
    """A loss as a formula if it is one of NAMES_OF_LOSSES, otherwise with three decimals."""
    return NAMES_OF_LOSSES.get(round(loss, 6), f"{round(loss, 3) + 0.0:g}")


def format_number(value: float, digits: int) -> str:
    """The value with so many decimals; a value that is rounded to 0 has no minus sign.

    >>> format_number(-0.0004, 3), format_number(-0.0006, 3)
    ('0.000', '-0.001')
    """
    return f"{round(value, digits) + 0.0:.{digits}f}"


def save_scores(
    history: list[dict], path: Path, *, real_label: float = 1.0, loss: str = "non-saturating"
) -> None:
    """Save scores.png: the mean output of the discriminator for real images and for fakes, or for a
    loss on pairs the mean difference of the two logits, and the share of positive differences.
    """
    save_curves(history, path, **score_curves(real_label, loss)._asdict())


def score_curves(real_label: float, loss: str) -> Curves:
    """The Curves of D's outputs in a run with this target for real images and adversarial loss."""
    if GAN_LOSSES[loss].paired:
        return Curves(
            {"difference": "mean of D(x) - D(G(z))", "ordered": "share of pairs above 0"},
            {
                0.0: "0: the mean, if D cannot distinguish",
                0.5: "1/2: the share, if D cannot distinguish",
            },
            "pairs of a real image and a fake",
        )
    p = real_label / 2
    return Curves(
        {"score_real": "D(x), real images", "score_fake": "D(G(z)), fakes"},
        {p: f"{'1/2' if p == 0.5 else p}: both, if D cannot distinguish"},
        "mean output of D",
    )


def save_classes(generated: np.ndarray | list, real: np.ndarray, path: Path | BinaryIO) -> None:
    """Save classes.png: the share of each digit, (10,), among generated and among test images."""
    digits = np.arange(10)
    with new_figure(7, 3.5) as figure:
        axes = figure.add_subplot()
        axes.bar(digits - 0.2, generated, 0.4, label="generated images")
        axes.bar(digits + 0.2, real, 0.4, label="real test images", color="lightgrey")
        axes.set(xlabel="digit, as classified", ylabel="share of the images", xticks=digits)
        axes.legend(frameon=False)
        figure.canvas.print_png(path)


def save_memorisation(generated: np.ndarray, held_out: np.ndarray, path: Path | BinaryIO) -> None:
    """Save memorisation.png: how far generated and held-out images are from the training images.

    Both arrays, (N,) and (M,), hold distances to the nearest training image. Below the histograms
    are two bars from the 5 % quantile to the 95 % quantile, which are thicker between the quartiles
    and have a white mark at the median.
    """
    with new_figure(7, 4.5) as figure:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[5, 1])
        bins = np.linspace(0, max(generated.max(), held_out.max()), 40)
        for y, name, distances, colour in (
            (1, "generated images", generated, "C0"),
            (0, "held-out real images", held_out, "grey"),
        ):
            weights = np.full(len(distances), 100 / len(distances))
            above.hist(
                distances, bins, weights=weights, histtype="stepfilled", alpha=0.4, color=colour
            )
            low, first, median, third, high = np.quantile(distances, [0.05, 0.25, 0.5, 0.75, 0.95])
            below.plot([low, high], [y, y], color=colour, linewidth=2)
            below.plot([first, third], [y, y], color=colour, linewidth=8, solid_capstyle="butt")
            below.plot(median, y, "|", color="white", markersize=8, markeredgewidth=2)
            label = f"{name}, median {median:.2f}"
            above.plot([], [], color=colour, linewidth=8, alpha=0.4, label=label)
        figure.suptitle("Distance to the nearest training image")
        above.set(ylabel="% of the images")
        below.set(yticks=[0, 1], yticklabels=["held-out", "generated"], ylim=(-0.6, 1.6))
        below.set(xlim=(0, None))
        below.set_xlabel(
            "Euclidean distance of the pixels, each from 0 to 1\n"
            "(bars: quantiles at 5, 25, 50, 75 and 95 %)"
        )
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
        figure.canvas.print_png(path)


def red_and_blue(values: np.ndarray) -> np.ndarray:
    """Map numbers (N, H, W) to colours (N, H, W, 3): 0 to white, positive to red, negative to blue.

    Values for images in colour, (N, H, W, 3), become deviations from grey. The largest absolute
    value in each image has the full colour.
    """
    if values.ndim == 4:
        return 0.5 + values / np.maximum(abs(values).max(axis=(1, 2, 3), keepdims=True), 1e-30) / 2
    strength = values / np.maximum(abs(values).max(axis=(1, 2), keepdims=True), 1e-30)
    colour = np.ones((*values.shape, 3))
    colour[..., 1] -= abs(strength)
    colour[..., 0] -= (-strength).clip(0)
    colour[..., 2] -= strength.clip(0)
    return colour


def save_gradient(images: np.ndarray, gradient: np.ndarray, path: Path | BinaryIO) -> None:
    """Save gradient.png: generated images above `gradient`, both (N, H, W[, 3]).

    To look more real to D, red pixels should be brighter and blue pixels darker. For images in
    colour, the plotted colour is the change itself, and grey means no change.
    """
    if images.ndim == 3:
        images = images[..., None].repeat(3, -1)
    both = np.concatenate([images, red_and_blue(gradient)])
    save_picture(make_grid(both, columns=len(images), background=90), path)


def save_weights(panels: list[tuple[str, np.ndarray, str]], path: Path | BinaryIO) -> None:
    """Save inspect-weights.png: the weights of some units as images, eight in a row.

    A panel is (title, weights (units, H, W), caption).
    """
    with new_figure(11, 6.4) as figure:
        for axes, (title, weights, caption) in zip(figure.subplots(1, len(panels)), panels):
            n, height, width = weights.shape
            missing, margins = -n % 8, (max(1, height // 14), max(1, width // 14))
            tiles = np.pad(
                red_and_blue(weights), ((0, missing), (0, 0), (0, 0), (0, 0)), constant_values=1
            )
            tiles = np.pad(
                tiles, ((0, 0), (0, margins[0]), (0, margins[1]), (0, 0)), constant_values=0.6
            )
            _, height, width, _ = tiles.shape
            rows = tiles.reshape(-1, 8, height, width, 3).swapaxes(1, 2)
            axes.imshow(rows.reshape(-1, 8 * width, 3))
            axes.set(title=title, xlabel=caption, xticks=[], yticks=[])
        figure.canvas.print_png(path)
