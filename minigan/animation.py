"""Animation: the toys of toy.py while they learn, as a GIF for a lecture.

The idea
    A figure is made once, and for each frame only what has changed is drawn into it anew. So `line_picture` and
    `plane_picture` make the figure, and return a function that brings it up to date with G and D, and says in
    one line how far they are.

    On the line     above: p, q, D and D*; below: z, standard normal, and where G takes it. The 25 arrows have
                    equal probability between them, so where they crowd, q is high. D and D* are drawn where
                    p + q is at least 0.02: elsewhere nobody ever asks D.
    In the plane    red where D says real, blue where it says fake, white where it cannot tell; around each bell
                    the circle of three standard deviations; and 500 samples of G.

Shapes
    Frames are 600 x 450 pixels.
"""
import numpy as np
from PIL import Image

from minigan.toy import MIDDLES, TOYS, best_answer, data_density, generator_density, judge, measure_line, measure_modes, noise, play

COLOURS = 96  # of the GIF: fewer make a smaller file, and fainter reds
COLUMNS = {"line": "   step   D to D*   1/2 to D*   p to q", "plane": "   step   bells hit   filled   good samples"}


def animate(name, steps, seed, file):
    """Train the toy of that name, write the GIF into an open file, and print how it went."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # slow to import, so only now
    from matplotlib.figure import Figure

    toy = TOYS[name]
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    canvas, frames = FigureCanvasAgg(figure), []
    picture = line_picture if name == "line" else plane_picture
    show = picture(figure, toy, np.random.default_rng([seed, 1]))  # the samples shown are none that are learned from
    print(COLUMNS["line" if name == "line" else "plane"])
    for i, (step, G, D) in enumerate(play(toy, steps or toy.steps, seed)):
        row = show(step, G, D)
        canvas.draw()
        frames.append(np.array(canvas.buffer_rgba())[..., :3])
        if i == 1:
            figure.set_layout_engine("none")  # it has found its places, and seeking them is slow
        if i % 4 == 0:
            print(row, flush=True)
    palette = Image.fromarray(np.concatenate(frames[::5])).quantize(COLOURS)  # of all, or colours would flicker
    palette.putpalette([255 if value > 245 else value for value in palette.getpalette()])  # and nearly white is to be white
    frames = [Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    durations = [1000] + [120] * (len(frames) - 2) + [3000]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)


def line_picture(figure, toy, rng):
    """The paper's first figure; returns show(step, G, D)."""
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
    p = data_density(MIDDLES)
    above.plot(MIDDLES, p, "k:", linewidth=2, label="p, density of the data")
    q_line, = above.plot([], [], color="green", linewidth=2, label="q, density of G(z)")
    best_line, = above.plot([], [], color="lightskyblue", linewidth=4, label="D* = p / (p + q), the best answer")
    D_line, = above.plot([], [], color="blue", linestyle="--", linewidth=1.6, label="D, the discriminator's answer")
    above.axhline(0.5, color="grey", linewidth=0.7)
    above.set(xlim=(-4, 4), ylim=(0, 1.42), yticks=(0, 0.5, 1), ylabel="density, probability")
    above.legend(ncols=2, loc="upper center", fontsize=8.5, framealpha=1, edgecolor="white")
    z = np.quantile(rng.standard_normal(100_000), (np.arange(25) + 0.5) / 25).astype("float32")[:, None]
    below.set(ylim=(-0.08, 1.08), yticks=(0, 1), yticklabels=("z", "x = G(z)"), xlabel="x, and z")
    for height in 0, 1:
        below.axhline(height, color="black", linewidth=0.8)
    arrows = below.quiver(z[:, 0], 0 * z[:, 0], 0 * z[:, 0], 0 * z[:, 0] + 1, angles="xy", scale_units="xy", scale=1, width=0.003,
                          headwidth=4, color="green")

    def show(step, G, D):
        q, said = generator_density(G), judge(D, MIDDLES[:, None])
        asked = p + q >= 0.02
        q_line.set_data(MIDDLES, q)
        best_line.set_data(MIDDLES, np.where(asked, best_answer(p, q), np.nan))
        D_line.set_data(MIDDLES, np.where(asked, said, np.nan))
        arrows.set_UVC((G.forward(z)[0] - z)[:, 0], np.ones(len(z)))
        distance, half, apart = measure_line(G, D)
        above.set_title(f"step {step:,}: D is {distance:.3f} from D*, p and q {apart:.2f} apart", fontsize=11)
        return f"{step:7,}{distance:10.3f}{half:12.3f}{apart:9.3f}"
    return show


def plane_picture(figure, toy, rng):
    """Samples over D's field; returns show(step, G, D)."""
    from matplotlib.patches import Circle

    axes = figure.add_subplot()
    side = np.linspace(-3, 3, 81)
    places = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    field = axes.imshow(np.zeros((81, 81)), cmap="RdBu_r", vmin=-0.2, vmax=1.2, origin="lower", extent=(-3, 3, -3, 3),
                        interpolation="nearest")
    field.set_cmap(field.get_cmap().resampled(21))  # few colours, and none so dark that dots would drown
    bar = figure.colorbar(field, label="D: probability of being real", ticks=(0, 0.5, 1))
    bar.ax.set_ylim(0, 1)
    for bell in toy.bells:
        axes.add_patch(Circle(bell, 3 * toy.spread, fill=False, edgecolor="green", linewidth=1.3))
    axes.plot([], [], "o", color="green", markerfacecolor="none", markersize=9, label="bells of the data, to 3 standard deviations")
    z = noise(toy, rng, 2500)
    dots, = axes.plot([], [], ".", color="black", markersize=3, label="500 samples of G")
    axes.set(xlim=(-3, 3), ylim=(-3, 3), xticks=(-2, 0, 2), yticks=(-2, 0, 2))
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)

    def show(step, G, D):
        x = G.forward(z)[0]
        field.set_data(judge(D, places).reshape(81, 81))
        dots.set_data(*x[:500].T)
        hit, filled, good = measure_modes(x, toy)
        axes.set_title(f"step {step:,}: {hit} of {len(toy.bells)} bells hit, {filled} filled, {good:.0%} good samples", fontsize=11)
        return f"{step:7,}{hit:6} of {len(toy.bells)}{filled:9}{good:15.1%}"
    return show
