"""Plots: every picture that a run leaves behind.

The idea
    A grid of samples from the same noise after every epoch shows learning better than any
    number; side by side they are an animation. The curves have the lines that a beginner needs
    to read them: where the losses and scores stand if the discriminator cannot tell, and so answers
1/2 to everything. (With a real_label of 0.9 it then answers 0.45, a little below those lines.)

>>> grid(np.zeros((6, 28, 28), "float32")).shape    # 2 rows of 3, with a margin of 2 pixels
(62, 92)
"""
import math

import numpy as np
from PIL import Image

MARGIN = 2


def grid(images, columns=None):
    """Images (N, height, width) in [0, 1] -> one uint8 picture, as square as N allows."""
    n, height, width = images.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    height, width = height + MARGIN, width + MARGIN
    picture = np.zeros((rows * height + MARGIN, columns * width + MARGIN), np.uint8)
    for i, image in enumerate(np.rint(255 * images.clip(0, 1)).astype(np.uint8)):
        top, left = i // columns * height + MARGIN, i % columns * width + MARGIN
        picture[top:top + height - MARGIN, left:left + width - MARGIN] = image
    return picture


def save_grid(images, path, zoom=2):
    """A grid as a PNG file, every pixel drawn as a square of zoom x zoom."""
    Image.fromarray(grid(images).repeat(zoom, 0).repeat(zoom, 1)).save(path)


def save_animation(paths, path, seconds=0.4):
    """The pictures at `paths`, one after the other, as a GIF; the last one stays for a while."""
    frames = []
    for p in paths:
        with Image.open(p) as picture:
            frames.append(picture.copy())
    durations = [int(1000 * seconds)] * (len(frames) - 1) + [2500]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, loop=0)


def save_curves(history, path, columns, lines, ylabel):
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
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False)
    axes.grid(alpha=0.2)
    FigureCanvasAgg(figure).print_png(path)


def save_losses(history, path):
    """losses.png: what each network pays, and what both pay in equilibrium."""
    save_curves(history, path, {"loss_D": "discriminator", "loss_G": "generator"},
                {2 * math.log(2): "2 log 2: D's, if it cannot tell", math.log(2): "log 2: G's, if D cannot tell"},
                "loss, mean over the epoch")


def save_scores(history, path):
    """scores.png: how sure the discriminator is, of real images and of fakes."""
    save_curves(history, path, {"score_real": "D(x), real images", "score_fake": "D(G(z)), fakes"},
                {0.5: "1/2: both, if D cannot tell"}, "probability of being real, says D")
