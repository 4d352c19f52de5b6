"""Toy animation: the training of the GANs in toys.py and dirac.py as a GIF, for example for a
lecture.

The idea
    The figure is made once, and each frame only updates the parts that have changed. LinePlot and
    PlanePlot make the figure. Their method `update` brings it up to date with G and D, and returns
    a row of the table for this step. The table shows every fourth frame.

    On the line     above: p, q, D and D*. Below: z, standard normal, and the x that G maps it to.
                    There is the same probability between any two neighbouring arrows, so q is high
                    where the arrows are dense. D and D* are plotted where p + q is at least 0.02,
                    because elsewhere D hardly ever receives an x.
    In the plane    red where D's output is near 1 (real), blue where it is near 0 (fake), and white
                    where it is 1/2, or with a loss on pairs, where D ranks a point as high as real
                    ones on average; circles of three standard deviations around each Gaussian of
                    the data; and 500 samples of G.

    Dirac-GAN       three phase portraits: psi to the right, theta upwards, and one curve for each
                    choice of penalties. The table has the eigenvalues of dirac.py.

Shapes
    Frames are 600 x 450 pixels, and 900 x 370 for the Dirac-GAN.
"""

from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from minigan.console import say
from minigan.figures import dirac
from minigan.figures.plots import DPI, Look, new_figure, save_figure
from minigan.figures.toys import (
    BIN_CENTRES,
    TOY_FRAMES,
    TOYS,
    Toy,
    data_density,
    generator_density,
    measure_line,
    measure_modes,
    optimal_discriminator,
    probability_real,
    sample_data,
    train_toy,
    with_loss,
)
from minigan.gan.latents import sample_latents
from minigan.gan.losses import GAN_LOSSES
from minigan.nn.activations import sigmoid
from minigan.nn.sequential import Sequential

GIF_COLOURS = 96  # fewer colours make a smaller file, but paler reds
GIF = Look(kind="gif")
PRINT_EVERY = 4  # frames between two rows of the table
PLANE_SIDE = 81  # points along each side at which D is evaluated


def animate_toy(
    name: str,
    *,
    steps: int | None = None,
    seed: int = 0,
    loss: str = "non-saturating",
    penalty: str = "",
    gamma: float = 0.0,
    file: BinaryIO,
    look: Look = GIF,
) -> None:
    """Train on the toy of that name, write the GIF to an open file, and print a table.

    loss, penalty and gamma are as in `with_loss`. If look.kind is not "gif", the file is a picture
    of the end.
    """
    toy, frames = with_loss(TOYS[name], loss, penalty, gamma), []
    rng = np.random.default_rng([seed, 1])  # the samples shown are not those used for training
    with new_figure(6, 4.5) as figure:
        figure.set_dpi(DPI * look.zoom)
        plot = LinePlot(figure, rng=rng) if name == "line" else PlanePlot(figure, toy, rng=rng)
        say(plot.head)
        for i, (step, G, D) in enumerate(train_toy(toy, steps or toy.steps, seed=seed)):
            row = plot.update(step, G, D)
            if i % PRINT_EVERY == 0:
                say(row)
            if look.kind != "gif":
                continue
            figure.canvas.draw()
            frames.append(np.array(figure.canvas.buffer_rgba())[..., :3])
            if i == 1:
                figure.set_layout_engine("none")  # the layout is final, and computing it is slow
        save_toy(figure, frames, file, look)


def animate_dirac(*, steps: int | None = None, file: BinaryIO, look: Look = GIF) -> None:
    """Write the GIF of the Dirac-GAN's trajectories to an open file, and print its eigenvalues.

    If look.kind is not "gif", the file is a picture of the end.
    """
    steps, frames, drawn = steps or dirac.STEPS, [], []
    settings = f"learning rate {dirac.RATE:g}, weight of each penalty {dirac.GAMMA:g}"
    say(settings)
    say("penalty     steps         eigenvalues of a step       modulus   distance at the end")
    with new_figure(9, 4) as figure:
        figure.suptitle(f"The Dirac-GAN: {settings}", fontsize=10)
        figure.set_dpi(DPI * look.zoom)
        for axes, kind in zip(figure.subplots(1, 3), dirac.DYNAMICS):
            largest = 0.0
            for i, (name, k) in enumerate(dirac.PENALTY_COUNTS.items()):
                c = k * dirac.GAMMA
                points, mu = dirac.trajectory(kind, c, steps), dirac.multipliers(kind, c)
                left = np.linalg.norm(points[-1]) / np.linalg.norm(points[0])
                say(
                    f"{name:12}{kind:14}{mu[0]:.3f}  {mu[1]:.3f}"
                    f"{abs(mu).max():10.3f}{left:12.2g} times that at the start"
                )
                (curve,) = axes.plot([], [], ".-", color=f"C{i}", markersize=3, linewidth=0.8)
                curve.set_label(f"{name}, |mu| = {abs(mu).max():.3f}")
                drawn.append((curve, points))
                largest = max(largest, abs(points).max())
            axes.plot(0, 0, "k+")
            limits = -1.1 * largest, 1.1 * largest
            title = "continuous time" if kind == "continuous" else f"{kind} steps"
            axes.set(title=title, xlabel="psi", xlim=limits, ylim=limits, aspect="equal")
            axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.2), frameon=False)
        figure.axes[0].set_ylabel("theta")
        for i in range(TOY_FRAMES + 1):
            for curve, points in drawn:
                curve.set_data(*points[: 1 + steps * i // TOY_FRAMES].T)
            if look.kind == "gif":
                figure.canvas.draw()
                frames.append(np.array(figure.canvas.buffer_rgba())[..., :3])
        save_toy(figure, frames, file, look)


def save_toy(figure: Any, frames: list[np.ndarray], file: BinaryIO, look: Look) -> None:
    """Write the frames as a GIF, or the figure as it is at the end as a picture."""
    if look.kind == "gif":
        save_toy_gif(frames, file)
    else:
        save_figure(figure, file, look)


def save_toy_gif(frames: list[np.ndarray], file: BinaryIO) -> None:
    """Save frames, uint8 (height, width, 3), as a GIF that pauses at the first and last frames."""
    some = Image.fromarray(np.concatenate(frames[::5]))
    palette = some.quantize(GIF_COLOURS)  # one palette for all frames prevents flicker
    values = palette.getpalette() or []
    palette.putpalette([255 if value > 245 else value for value in values])  # pure white
    pictures = [
        Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE)
        for frame in frames
    ]
    durations = [1000] + [120] * (len(frames) - 2) + [3000]
    pictures[0].save(
        file, "GIF", save_all=True, append_images=pictures[1:], duration=durations, loop=0
    )


class LinePlot:
    """The first figure of Goodfellow et al. 2014: densities, discriminators, and the map of G."""

    head = "   step   D to D*   1/2 to D*   p to q"

    def __init__(self, figure: Any, *, rng: np.random.Generator):
        self.axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
        axes, self.p = self.axes, data_density(BIN_CENTRES)
        axes.plot(BIN_CENTRES, self.p, "k:", linewidth=2, label="p, density of the data")
        (self.q_line,) = axes.plot([], [], color="green", linewidth=2, label="q, density of G(z)")
        (self.optimum_line,) = axes.plot(
            [], [], color="lightskyblue", linewidth=4, label="D* = p / (p + q), the optimal D"
        )
        (self.D_line,) = axes.plot(
            [], [], color="blue", linestyle="--", linewidth=1.6, label="D, the discriminator"
        )
        axes.axhline(0.5, color="grey", linewidth=0.7)
        axes.set(xlim=(-4, 4), ylim=(0, 1.42), yticks=(0, 0.5, 1), ylabel="density, probability")
        axes.legend(ncols=2, loc="upper center", fontsize=8.5, framealpha=1, edgecolor="white")
        quantiles = (np.arange(25) + 0.5) / 25
        z = np.quantile(rng.standard_normal(100_000), quantiles).astype("float32")
        below.set(
            ylim=(-0.08, 1.08), yticks=(0, 1), yticklabels=("z", "x = G(z)"), xlabel="x and z"
        )
        for height in 0, 1:
            below.axhline(height, color="black", linewidth=0.8)
        self.z, self.arrows = (
            z[:, None],
            below.quiver(
                z,
                0 * z,
                0 * z,
                0 * z + 1,
                angles="xy",
                scale_units="xy",
                scale=1,
                width=0.003,
                headwidth=4,
                color="green",
            ),
        )

    def update(self, step: int, G: Sequential, D: Sequential) -> str:
        """Update the figure for G and D; returns a row of the table."""
        p, q, D_x = self.p, generator_density(G), probability_real(D, BIN_CENTRES[:, None])
        frequent = p + q >= 0.02
        self.q_line.set_data(BIN_CENTRES, q)
        self.optimum_line.set_data(
            BIN_CENTRES, np.where(frequent, optimal_discriminator(p, q), np.nan)
        )
        self.D_line.set_data(BIN_CENTRES, np.where(frequent, D_x, np.nan))
        self.arrows.set_UVC((G.forward(self.z)[0] - self.z)[:, 0], np.ones(len(self.z)))
        distance, distance_of_half, variation = measure_line(G, D)
        self.axes.set_title(
            f"step {step:,}: distance from D to D* {distance:.3f}, from p to q {variation:.2f}",
            fontsize=11,
        )
        return f"{step:7,}{distance:10.3f}{distance_of_half:12.3f}{variation:9.3f}"


class PlanePlot:
    """Samples of G over a map of D's output."""

    head = "   step   modes hit   covered   good samples"

    def __init__(self, figure: Any, toy: Toy, *, rng: np.random.Generator):
        from matplotlib.patches import Circle

        self.toy, self.axes = toy, figure.add_subplot()
        axes, side = self.axes, np.linspace(-3, 3, PLANE_SIDE)
        self.places = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
        self.output = axes.imshow(
            np.zeros((PLANE_SIDE, PLANE_SIDE)),
            cmap="RdBu_r",
            vmin=-0.2,  # wider than the range of D, so that the dots remain visible on every colour
            vmax=1.2,
            origin="lower",
            extent=(-3, 3, -3, 3),
            interpolation="nearest",
        )
        # few colours, because of the palette
        self.output.set_cmap(self.output.get_cmap().resampled(21))
        paired = GAN_LOSSES[toy.loss].paired
        label = "D: probability of being " + ("ranked above a real x" if paired else "real")
        bar = figure.colorbar(self.output, label=label, ticks=(0, 0.5, 1))
        bar.ax.set_ylim(0, 1)
        for mean in toy.means:
            axes.add_patch(Circle(mean, 3 * toy.std, fill=False, edgecolor="green", linewidth=1.3))
        axes.plot(
            [],
            [],
            "o",
            color="green",
            markerfacecolor="none",
            markersize=9,
            label="modes of the data, to 3 standard deviations",
        )
        self.z = sample_latents(toy, rng, 2500)
        self.real = sample_data(toy, 2500, rng=rng)
        (self.dots,) = axes.plot([], [], ".", color="black", markersize=3, label="500 samples of G")
        axes.set(xlim=(-3, 3), ylim=(-3, 3), xticks=(-2, 0, 2), yticks=(-2, 0, 2))
        figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)

    def update(self, step: int, G: Sequential, D: Sequential) -> str:
        """Update the figure for G and D; returns a row of the table."""
        x, n = G.forward(self.z)[0], len(self.toy.means)
        logits = D.forward(self.places.astype("float32"))[0]
        if GAN_LOSSES[self.toy.loss].paired:  # single logits have no meaning
            logits = logits - D.forward(self.real)[0].mean()
        self.output.set_data(sigmoid(logits).reshape(PLANE_SIDE, PLANE_SIDE))
        self.dots.set_data(*x[:500].T)
        hit, covered, good = measure_modes(x, self.toy)
        self.axes.set_title(
            f"step {step:,}: {hit} of {n} modes hit, {covered} covered, {good:.0%} good samples",
            fontsize=11,
        )
        return f"{step:7,}{hit:6} of {n}{covered:10}{good:15.1%}"
