"""Plots: every picture that a run leaves behind.

The idea
    A grid of samples from the same noise after every epoch shows learning better than any
    number; one after the other they are an animation. The curves have the lines that a beginner
    needs to read them: where losses and scores stand if the discriminator cannot tell, and so
    answers `real_label` / 2 to everything, which is 1/2 as long as that label is 1 (see gan.py).

>>> grid(np.zeros((6, 28, 28), "float32")).shape    # 2 rows of 3, with a margin of 2 pixels
(62, 92)
"""
import math

import numpy as np
from PIL import Image

from minigan.adversarial import GAN_LOSSES

MARGIN = 2


def grid(images, columns=None):
    """Images (N, height, width) or (N, height, width, 3) in [0, 1] -> one uint8 picture, as square as N allows."""
    n, height, width, *channels = images.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    height, width = height + MARGIN, width + MARGIN
    picture = np.zeros((rows * height + MARGIN, columns * width + MARGIN, *channels), np.uint8)
    for i, image in enumerate(np.rint(255 * images.clip(0, 1)).astype(np.uint8)):
        top, left = i // columns * height + MARGIN, i % columns * width + MARGIN
        picture[top:top + height - MARGIN, left:left + width - MARGIN] = image
    return picture


def save_grid(images, path, zoom=2):
    """A grid as a PNG file (a path or an open file), every pixel drawn as a square of zoom x zoom."""
    Image.fromarray(grid(images).repeat(zoom, 0).repeat(zoom, 1)).save(path, "PNG")


def as_frame(picture):
    """A picture as a GIF can hold it, with at most 256 colours; an octree finds good ones in no time."""
    return picture.quantize(method=Image.Quantize.FASTOCTREE) if picture.mode == "RGB" else picture.copy()


def save_animation(paths, path, seconds=0.4):
    """The pictures at `paths`, one after the other, as a GIF; the last one stays for a while."""
    frames = []
    for p in paths:
        with Image.open(p) as picture:
            frames.append(as_frame(picture))
    durations = [int(1000 * seconds)] * (len(frames) - 1) + [2500]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, loop=0)


def save_curves(history, path, columns, lines, ylabel, yscale="linear"):
    """A figure of history's columns over the epochs. `columns` maps names to labels, `lines`
    heights to labels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # slow to import, so only now
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    epochs = [row["epoch"] for row in history]
    for name, label in columns.items():
        axes.plot(epochs, [row[name] for row in history], marker="o", markersize=3, label=label)
    for height, label in lines.items():
        axes.axhline(height, color="grey", linewidth=1, linestyle="--")
        axes.annotate(label, (1, height), xycoords=("axes fraction", "data"), xytext=(-4, 3),
                      textcoords="offset points", ha="right", color="grey", fontsize=9)
    axes.set(xlabel="epoch", ylabel=ylabel)
    if yscale == "log":
        logarithmic(axes)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False)
    axes.grid(alpha=0.2)
    FigureCanvasAgg(figure).print_png(path)


def logarithmic(axes):
    """Make the scale upwards logarithmic, with plain numbers: 1, 2, 5, 10, ..."""
    from matplotlib.ticker import LogLocator, StrMethodFormatter

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter("")


def save_fd(history, path):
    """fd.png: the Fréchet distance, how far the drawn images are from real ones on the whole; the losses do not say."""
    save_curves(history, path, {"fd": "of the samples, to real images"}, {}, "Fréchet distance, 0 is best", "log")


def save_losses(history, path, real_label=1.0, loss="non-saturating"):
    """losses.png: what each network pays, and what both pay if D cannot tell."""
    def name(price):
        return {1.386294: "2 log 2", 0.693147: "log 2", -0.693147: "-log 2"}.get(round(price, 6), f"{round(price, 3):g}")
    rules = GAN_LOSSES[loss]
    a = np.array(rules.undecided(real_label) if rules.undecided else 0.0)
    loss_D, loss_G = float(rules.of_D(a, real_label)[0] + rules.of_D(a, 0.0)[0]), float(rules.of_G(a)[0])
    lines = {loss_D: f"{name(loss_D)}: D's, if it cannot tell"}
    if rules.undecided:  # else such a D may say this or that, and G pay as much
        lines[loss_G] = f"{name(loss_G)}: G's, if D cannot tell"
    save_curves(history, path, {"loss_D": "discriminator", "loss_G": "generator"}, lines, "loss, mean over the epoch")


def save_scores(history, path, real_label=1.0):
    """scores.png: how sure the discriminator is, of real images and of fakes."""
    p = real_label / 2
    save_curves(history, path, {"score_real": "D(x), real images", "score_fake": "D(G(z)), fakes"},
                {p: f"{'1/2' if p == 0.5 else p}: both, if D cannot tell"}, "how real it is, says D")


def save_classes(drawn, real, path):
    """classes.png: how often each digit is drawn, beside how often it is in the test images."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes, digits = figure.add_subplot(), np.arange(10)
    axes.bar(digits - 0.2, drawn, 0.4, label="drawn")
    axes.bar(digits + 0.2, real, 0.4, label="real test images", color="lightgrey")
    axes.set(xlabel="digit, as the classifier reads it", ylabel="share", xticks=digits)
    axes.legend(frameon=False)
    FigureCanvasAgg(figure).print_png(path)


def rows_of(*rows):
    """Rows of images, each (n, height, width) or (n, height, width, 3) in [0, 1], one below the other, as one picture."""
    return grid(np.concatenate(rows), columns=len(rows[0]))


def save_picture(picture, path, zoom=3):
    """A grey (height, width) or coloured (height, width, 3) uint8 picture as a PNG file."""
    Image.fromarray(picture.repeat(zoom, 0).repeat(zoom, 1)).save(path)


def red_and_blue(values):
    """(n, height, width) of either sign -> (n, height, width, 3): white at 0, red above, blue below. Colours
    (n, height, width, 3) -> the same around grey. Each image is scaled by its own largest value."""
    if values.ndim == 4:
        return 0.5 + values / np.maximum(abs(values).max(axis=(1, 2, 3), keepdims=True), 1e-30) / 2
    strength = values / np.maximum(abs(values).max(axis=(1, 2), keepdims=True), 1e-30)
    colour = np.ones((*values.shape, 3))
    colour[..., 1] -= abs(strength)
    colour[..., 0] -= (-strength).clip(0)
    colour[..., 2] -= strength.clip(0)
    return colour


def save_gradient(drawn, wish, path):
    """gradient.png: drawn images, and below each what the discriminator would like changed: red
    where it wants more light, blue where it wants less; of images in colour, the colour that it wants more of, and
    grey where it is content."""
    if drawn.ndim == 3:
        drawn = drawn[..., None].repeat(3, -1)
    height, width = drawn.shape[1] + MARGIN, drawn.shape[2] + MARGIN
    picture = np.full((2 * height + MARGIN, len(drawn) * width + MARGIN, 3), 90, np.uint8)
    for row, images in enumerate((drawn, red_and_blue(wish))):
        for i, image in enumerate(np.rint(255 * images.clip(0, 1)).astype(np.uint8)):
            top, left = row * height + MARGIN, i * width + MARGIN
            picture[top:top + height - MARGIN, left:left + width - MARGIN] = image
    save_picture(picture, path)


def save_walk(images, path, zoom=5):
    """A GIF of images (n, height, width) or (n, height, width, 3), one after the other, again and again."""
    frames = [as_frame(Image.fromarray(np.rint(255 * image.clip(0, 1)).astype(np.uint8).repeat(zoom, 0).repeat(zoom, 1)))
              for image in images]
    frames[0].save(path, "GIF", save_all=True, append_images=frames[1:], duration=80, loop=0)


def save_weights(panels, path):
    """inspect-weights.png. A panel is (title, weights (units, height, width), words below): its units as images, eight in a row."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6.4), layout="constrained")
    for axes, (title, weights, words) in zip(figure.subplots(1, len(panels)), panels):
        n, height, width = weights.shape
        tiles = np.pad(red_and_blue(weights), ((0, -n % 8), (0, 0), (0, 0), (0, 0)), constant_values=1)
        tiles = np.pad(tiles, ((0, 0), (0, max(1, height // 14)), (0, max(1, width // 14)), (0, 0)), constant_values=0.6)
        _, height, width, _ = tiles.shape
        axes.imshow(tiles.reshape(-1, 8, height, width, 3).swapaxes(1, 2).reshape(-1, 8 * width, 3))
        axes.set(title=title, xlabel=words, xticks=[], yticks=[])
    FigureCanvasAgg(figure).print_png(path)
