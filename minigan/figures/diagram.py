"""Diagrams: a GAN with its data and its gradients, and a convolution with its transpose.

The idea
    The diagram of a GAN is drawn from the networks themselves, so that its shapes are those that
    layers really have. There is a panel for each of the two training steps (see gan/steps.py):

        z → G → fake → D ← real

    Black arrows are the forward pass. Dashed red arrows are gradients: they begin at the loss and
    end where nothing is left to learn. In the discriminator step they end at D's first layer, in
    the generator step they pass through D, whose weights do not change, and through the fake image
    to G. The layers whose weights change are red.

    G is drawn from the bottom to the top and D from the top to the bottom, so that the fake image
    is between G's last layer and D's first.

    The diagram of a convolution shows numbers that the layers of nn/conv.py have computed.

Shapes
    Coordinates are pixels, with y downwards. Shapes in the diagram are those of one example.

>>> from minigan.nn.activations import Tanh
>>> from minigan.nn.dense import Dense
>>> dense = Dense(2, 3, rng=np.random.default_rng(0))
>>> diagram_rows([(dense, (3,)), (Tanh(), (3,))])
[DiagramRow(lines=['Dense(2, 3)', 'Tanh()'], shape=(3,), labels=False, learns=True)]
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from minigan.figures.plots import DEFAULT_LOOK, Look, new_figure, save_figure
from minigan.gan.losses import GAN_LOSSES
from minigan.gan.recipes import Recipe
from minigan.nn.conv import Conv2d, ConvTranspose2d
from minigan.nn.layer import Layer

INK, GRADIENT, LEARNS, IDLE, IMAGE = "#222222", "#c2261c", "#fbdcd8", "#eeeeee", "#dbe9f6"
WIDTH, LINE, FONT = 900, 15, 11
X = {"z": 14, "G": 128, "fake": 396, "D": 526, "loss": 794}  # left edges of the boxes
LONGEST = 30  # letters in the name of a layer that fit without a smaller font
BOX, SMALL = 216, 82  # widths of a network and of any other box


class DiagramRow(NamedTuple):
    """A part of a network: a layer with weights and the layers after it, or layers before it."""

    lines: list[str]
    shape: tuple[int, ...]  # of the output
    labels: bool  # whether a layer receives the labels
    learns: bool  # whether there are weights


class Diagram(NamedTuple):
    """What the diagram of a GAN shows: the networks, the shapes of one example, and the recipe."""

    G: list[DiagramRow]
    D: list[DiagramRow]
    z: tuple[int, ...]
    image: tuple[int, ...]
    labels: tuple[int, ...]  # () if the networks receive none
    recipe: Recipe


def diagram_rows(layers: Sequence[tuple[Layer, tuple[int, ...]]]) -> list[DiagramRow]:
    """Rows of layers, (layer, shape of its output), from the first to the last."""
    rows: list[DiagramRow] = []
    for layer, shape in layers:
        learns = bool(layer.param_names)
        if rows and (rows[-1].learns or not learns) and not (learns or layer.takes_labels):
            row = rows.pop()
            rows.append(row._replace(lines=[*row.lines, repr(layer)], shape=shape))
        else:
            rows.append(DiagramRow([repr(layer)], shape, layer.takes_labels, learns))
    return rows


def save_gan_diagram(diagram: Diagram, file: Path | BinaryIO, look: Look = DEFAULT_LOOK) -> None:
    """Draw both training steps of a GAN."""
    tallest = max(network_height(diagram.G), network_height(diagram.D))
    panel, notes = tallest + 104, find_notes(diagram.recipe)
    height = 2 * panel + 20 * len(notes) + 8
    with new_figure(WIDTH / 72, height / 72) as figure:
        figure.set_dpi(72 * look.zoom)
        axes = make_canvas(figure, WIDTH, height)
        for step in 0, 1:
            draw_step(axes, diagram, step, top=step * panel, tallest=tallest)
        for i, (note, colour) in enumerate(notes):
            y = 2 * panel + 20 * i
            write(axes, X["z"], y, note, ha="left", color=colour)
        save_canvas(figure, file, look)


def find_notes(recipe: Recipe) -> list[tuple[str, str]]:
    """What a reader of the diagram has to know, as lines with their colours."""
    notes = [
        ("Black arrows: the forward pass. All shapes are those of one example.", INK),
        ("Dashed red arrows: gradients. Red layers: their weights change in this step.", GRADIENT),
    ]
    if recipe.shared_fakes:
        notes.append(("The generator step uses the fakes of the discriminator step again.", INK))
    if recipe.augment:
        change = recipe.augment.replace(",", " and ")
        notes.append((f"Between all images and D: a random {change}, and its transpose back.", INK))
    if recipe.penalty:
        times = "" if recipe.penalty_every == 1 else f", in every {recipe.penalty_every}th step"
        notes.append((f"D's loss has a gradient penalty, {recipe.penalty}{times}.", INK))
    return notes


def make_canvas(figure: Any, width: float, height: float) -> Any:
    """Axes without a frame that cover the figure, in pixels, with y downwards."""
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    return axes


def save_canvas(figure: Any, file: Path | BinaryIO, look: Look) -> None:
    """Write a figure of 72 units per inch; a PNG is twice as large, so that it remains sharp."""
    if look.kind == "png":
        figure.set_dpi(2 * 72 * look.zoom)
        figure.canvas.print_png(file)
    else:
        save_figure(figure, file, look)


def network_height(rows: list[DiagramRow]) -> int:
    """The height of the box of a network."""
    return 26 + sum(row_height(row) + 4 for row in rows)


def row_height(row: DiagramRow) -> int:
    """The height of a row: its layers, and a line for the shape of the output."""
    return LINE * (len(row.lines) + 1) + 4


def draw_step(axes: Any, diagram: Diagram, step: int, *, top: float, tallest: int) -> None:
    """Draw the panel of a training step, 0 of D and 1 of G, whose upper edge is at `top`."""
    G, D, recipe, labels = diagram.G, diagram.D, diagram.recipe, diagram.labels
    loss = GAN_LOSSES[recipe.loss]
    titles = (
        "1  Discriminator step: D learns to distinguish real images from fakes",
        "2  Generator step: G learns from the gradient that D passes to its images",
    )
    write(axes, X["z"], top + 16, titles[step], size=14, weight="bold", ha="left")
    first, last = top + 38, top + 38 + tallest
    in_G, first_G, out_G, label_G = draw_network(axes, "G", G, last, upwards=True, red=step == 1)
    in_D, first_D, out_D, label_D = draw_network(axes, "D", D, first, upwards=False, red=step == 0)

    apart = 12 if labels and label_G == in_G else 0  # z and the labels enter one row
    draw_box(axes, X["z"], in_G - apart, ["z", str(diagram.z)], "white")
    arrow(axes, [(X["z"] + SMALL, in_G - apart), (X["G"], in_G - apart)])
    fake_y, real_y = out_G, out_G + 110
    draw_box(axes, X["fake"], fake_y, ["fake", str(diagram.image)], IMAGE)
    arrow(axes, [(X["G"] + BOX, fake_y - 7), (X["fake"], fake_y - 7)])
    arrow(axes, [(X["fake"] + SMALL, fake_y - 7), (X["D"], fake_y - 7)])
    if step == 0 or loss.paired:
        draw_box(axes, X["fake"], real_y, ["real", str(diagram.image)], IMAGE)
        corner = X["D"] - 24
        arrow(
            axes,
            [
                (X["fake"] + SMALL, real_y),
                (corner, real_y),
                (corner, in_D + 14),
                (X["D"], in_D + 14),
            ],
        )
    if labels:
        label_y = last + 28
        kind = "class" if recipe.conditional else "cluster"
        draw_box(axes, X["z"], label_y, [kind, str(labels)], "white")
        for target, x, down in ((label_G, X["G"], apart), (label_D, X["D"], 0)):
            if target is not None:
                path = [(x - 14, label_y), (x - 14, target + down), (x, target + down)]
                arrow(axes, [(X["z"] + SMALL, label_y), *path])
    name = "DG"[step]
    draw_box(axes, X["loss"], out_D, [f"loss of {name}", recipe.loss], "white", width=92)
    arrow(axes, [(X["D"] + BOX, out_D - 7), (X["loss"], out_D - 7)])
    write(axes, (X["D"] + BOX + X["loss"]) / 2, out_D - 16, "logit", size=9)
    arrow(axes, [(X["loss"], out_D + 7), (X["D"] + BOX, out_D + 7)], red=True)
    write(axes, (X["D"] + BOX + X["loss"]) / 2, out_D + 17, "dlogit", size=9, color=GRADIENT)
    side = X["D"] + BOX - 9
    end = in_D if step == 1 else first_D  # G's gradient passes through all of D
    arrow(axes, [(side, out_D), (side, end)], red=True)
    constant: Any = {"size": 9, "color": GRADIENT}
    if step == 0:
        centre, text = X["fake"] + SMALL / 2, "no gradient:\nG is constant"
        write(axes, centre, fake_y + 39, text, **constant)
    else:
        centre, text = X["D"] + BOX / 2, "D's weights are constant"
        write(axes, centre, first + network_height(D) + 14, text, **constant)
    if step == 1:
        arrow(axes, [(X["D"], fake_y + 7), (X["fake"] + SMALL, fake_y + 7)], red=True)
        arrow(axes, [(X["fake"], fake_y + 7), (X["G"] + BOX, fake_y + 7)], red=True)
        between = (X["G"] + BOX + X["fake"]) / 2
        write(axes, between, fake_y + 17, "dfake", size=9, color=GRADIENT)
        side = X["G"] + BOX - 9
        arrow(axes, [(side, out_G), (side, first_G)], red=True)


def draw_network(
    axes: Any, name: str, rows: list[DiagramRow], start: float, *, upwards: bool, red: bool
) -> tuple[float, float, float, float | None]:
    """Draw a network, "G" or "D", from the height `start`; its layers are red if `red`.

    Returns the heights of its input, of its first layer with weights, where its gradient ends, of
    its output, and of the layer that receives the labels, if there is one.
    """
    x, title = X[name], {"G": "G, the generator", "D": "D, the discriminator"}[name]
    height = network_height(rows)
    top = start - height if upwards else start
    patch(axes, x, top, BOX, height, colour="white", edge=GRADIENT if red else INK)
    write(axes, x + 8, top + 13, title, weight="bold", ha="left")
    y, centres = top + 26, {}
    for i in reversed(range(len(rows))) if upwards else range(len(rows)):
        row = rows[i]
        h = row_height(row)
        colour = LEARNS if red and row.learns else IDLE
        patch(axes, x + 6, y, BOX - 28, h, colour=colour, edge="none")
        for k, line in enumerate([*row.lines, f"→ {row.shape}"]):
            size = min(FONT - (k > 0), LONGEST * FONT / len(line))
            write(axes, x + 12, y + LINE * (k + 0.5) + 2, line, ha="left", size=size)
        centres[i] = y + h / 2
        y += h + 4
    labels = next((centres[i] for i, row in enumerate(rows) if row.labels), None)
    learning = next((centres[i] for i, row in enumerate(rows) if row.learns), centres[0])
    return centres[0], learning, centres[len(rows) - 1], labels


def draw_box(
    axes: Any, x: float, y: float, lines: list[str], colour: str, *, width: int = SMALL
) -> None:
    """A box with centred lines, the first of them bold, centred at the height y."""
    patch(axes, x, y - 21, width, 42, colour=colour)
    write(axes, x + width / 2, y - 8, lines[0], weight="bold")
    write(axes, x + width / 2, y + 9, lines[1], size=FONT - 1)


def patch(
    axes: Any, x: float, y: float, width: float, height: float, *, colour: str, edge: str = INK
) -> None:
    """A rectangle with round corners."""
    from matplotlib.patches import FancyBboxPatch

    box = FancyBboxPatch(
        (x, y), width, height, "round,pad=0,rounding_size=5", facecolor=colour, edgecolor=edge
    )
    axes.add_patch(box)


def write(axes: Any, x: float, y: float, text: str, *, size: float = FONT, **style: Any) -> None:
    """A text, centred at (x, y) unless `ha` says otherwise."""
    style = {"ha": "center", "color": INK, **style}
    axes.text(x, y, text, fontsize=size, va="center", parse_math=False, **style)


def arrow(axes: Any, points: list[tuple[float, float]], *, red: bool = False) -> None:
    """An arrow along points; a red one is dashed."""
    colour, style = (GRADIENT, (0, (4, 1.5))) if red else (INK, "-")
    (x0, y0), (x1, y1) = points[-2:]
    along = np.array([x1 - x0, y1 - y0]) / np.hypot(x1 - x0, y1 - y0)
    across = along[::-1] * (1, -1)
    base = np.array([x1, y1]) - 9 * along
    axes.plot(*zip(*points[:-1], base), color=colour, linestyle=style, linewidth=1.7)
    axes.fill(*np.transpose([points[-1], base + 4.5 * across, base - 4.5 * across]), color=colour)


# ---- A convolution and its transpose ----

CELL = 38
COLOURS = ("#8ec1ea", "#f5b971")  # of two windows, and of the numbers that belong to them
BOTH = "#c9a7d8"  # where two windows overlap


def save_convolution_diagram(file: Path | BinaryIO, look: Look = DEFAULT_LOOK) -> None:
    """Draw a Conv2d and a ConvTranspose2d with the same kernel, and what they compute."""
    rng = np.random.default_rng(0)
    down = Conv2d(1, 1, 3, stride=2, dtype="float64", rng=rng)
    up = ConvTranspose2d(1, 1, 3, stride=2, dtype="float64", rng=rng)
    kernel = np.array([[1, 0, 1], [0, 2, 0], [1, 0, 1]])
    down.W[...] = up.W[...] = kernel.reshape(3, 3, 1, 1)
    x = np.array(
        [[1, 0, 2, 0, 0], [0, 3, 0, 1, 0], [1, 0, 0, 0, 2], [0, 1, 0, 2, 0], [3, 0, 1, 0, 1]]
    )
    small = np.array([[1, 2], [0, 3]])
    gathered = down.forward(x.reshape(1, 5, 5, 1).astype("float64"))[0].reshape(2, 2)
    spread = up.forward(small.reshape(1, 2, 2, 1).astype("float64"))[0].reshape(5, 5)
    windows = np.zeros((5, 5), int)  # 1 and 2: in the window of that number; 3: in both
    windows[:3, :3] += 1
    windows[:3, 2:] += 2
    of_windows = ["white", *COLOURS, BOTH]
    large = [[of_windows[i] for i in row] for row in windows]
    owners = [[*COLOURS], ["white", "white"]]
    width, height = WIDTH, 640
    with new_figure(width / 72, height / 72) as figure:
        axes = make_canvas(figure, width, height)
        left, middle, right = 30, 372, 642
        for top, heading, text, first, last in (
            (
                16,
                "Convolution: each window of x becomes one number of y",
                "Each number of a window is multiplied by the number at its place in the kernel,"
                " and the products are added.\n"
                "The windows are two pixels apart (stride 2): 5 x 5 pixels become 2 x 2.",
                NumberGrid("x", x, large),
                NumberGrid("y", gathered, owners),
            ),
            (
                336,
                "Its transpose: each number of x becomes a window of y",
                "The kernel is multiplied by each number of x and added to its window of y. Where"
                " windows overlap, the products add up.\n2 x 2 pixels become 5 x 5. This is the"
                " backward of the convolution, and the convolution is the backward of this.",
                NumberGrid("x", small, owners),
                NumberGrid("y", spread, large),
            ),
        ):
            write(axes, left, top + 8, heading, size=14, weight="bold", ha="left")
            centre = top + 46 + 2.5 * CELL + 8
            draw_grid(axes, left, centre, first)
            draw_grid(axes, middle, centre, NumberGrid("kernel W", kernel, [["#f3f3f3"] * 3] * 3))
            draw_grid(axes, right, centre, last)
            start = left + CELL * first.numbers.shape[1]
            arrow(axes, [(start + 18, centre), (middle - 18, centre)])
            arrow(axes, [(middle + 3 * CELL + 18, centre), (right - 18, centre)])
            for k, line in enumerate(text.splitlines()):
                write(axes, left, top + 270 + 17 * k, line, ha="left", size=12)
        save_canvas(figure, file, look)


class NumberGrid(NamedTuple):
    """Numbers (height, width), with the colour of each and a name."""

    name: str
    numbers: np.ndarray
    colours: list[list[str]]


def draw_grid(axes: Any, x: float, middle: float, grid: NumberGrid) -> None:
    """A grid of numbers with its name above it, centred at the height `middle`."""
    from matplotlib.patches import Rectangle

    top = middle - CELL * len(grid.numbers) / 2
    write(axes, x, top - 12, grid.name, ha="left", size=12, weight="bold")
    for i, row in enumerate(grid.numbers):
        for j, number in enumerate(row):
            corner = x + CELL * j, top + CELL * i
            colour = grid.colours[i][j]
            axes.add_patch(Rectangle(corner, CELL, CELL, facecolor=colour, edgecolor=INK))
            write(axes, corner[0] + CELL / 2, corner[1] + CELL / 2, f"{number:g}", size=13)
