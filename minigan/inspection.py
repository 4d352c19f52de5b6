"""Inspection: what each layer of a trained run does.

The idea
    A network is no black box to those who hold its weights. Three questions, three answers.

What has it learned to see?  (inspect-weights.png)
    A unit of D's first layer multiplies each pixel by a weight and adds up. Its weights, drawn as an image, are
    what it looks for: red where ink speaks for it, blue where ink speaks against it. The other way round,
    each number that goes into G's last layer is multiplied by weights, one for each pixel, and added to the
    image: they are what it paints. The largest are shown, each with colours of its own scale; of a
    convolution, the kernels.

How do the numbers flow?  (inspect-generator.png, inspect-discriminator.png)
    For each layer with weights, two histograms from one batch: of what comes out of it, after its bend, and
    of its dW, without what a penalty adds. dW may be of any size, so its powers of ten are drawn. If the
    gradients of the first layers are many powers of ten smaller than those of the last, the first learn nothing;
    if all that comes out lies at the ends of a tanh, or at 0, nothing gets through either.

    A run keeps its last weights only. So its first steps are taken again, from its seed and its images, and
    drawn before the first step, after 1, 10, 100, ... steps, and, from model.npz, at the end. (On the same kind
    of machine they are the steps of the run; of a run on a GPU, with other noise.) The weights are those that
    learn, not the average that draws, and dropout is at work, as in training. The batch is the same each time.

Who has stopped working?  (the table)
    A ReLU whose input is never above 0 has slope 0 for every image. So no gradient reaches its weights, and it
    stays as it is: it is dead. A LeakyReLU keeps its small slope, so it can come back; but as long as it is
    always below 0, or always above, it does not bend, and adds nothing that a plain Dense could not. Counted
    over 1,000 images: for G its own, for D half real, half drawn. In a convolution a unit is a channel, and the
    count runs over all its places, too. (Batch norm and dropout as when drawing.)

>>> from minigan.activations import ReLU
>>> from minigan.dense import Dense
>>> net = Sequential([Dense(1, 3, np.random.default_rng(0), dtype="float64"), ReLU()])
>>> net.layers[0].W[...], net.layers[0].b[...] = [[1, -1, 0]], [0, -5, 5]
>>> count_units(net, np.array([[2.0], [-3.0]]))      # of three, the second is never on, the third always
[('Dense(1, 3)', 3, 1, 1)]
"""
import copy
import math
from pathlib import Path

import numpy as np

from minigan.activations import LeakyReLU, Sigmoid, Tanh
from minigan.adversarial import GAN_LOSSES
from minigan.build import make_noise
from minigan.conv import Conv2D
from minigan.data import SHIPPED, DataError, scale
from minigan.game import Game
from minigan.gan import discriminator_step_in_two, generator_step, join
from minigan.network import Sequential
from minigan.plots import save_weights
from minigan.runs import class_names, image_shape, load_model
from minigan.shapes import Maxout
from minigan.sources import load

PICTURES = ("inspect-weights.png", "inspect-generator.png", "inspect-discriminator.png")
BENDS = (LeakyReLU, Tanh, Sigmoid, Maxout)
SHOWN, COUNTED, AT_ONCE, KEPT = 64, 1000, 100, 50_000  # units drawn; images counted over, at once; numbers in a histogram


def inspect(folder, steps=100):
    """Write the PICTURES into the folder of a run; returns {"generator": what count_units returns, "discriminator": ...}.

    Raises RunError or DataError where the run or its data cannot be used.
    """
    folder = Path(folder)
    settings, recipe, vectors = load_model(folder)
    path, names, conditional = SHIPPED if settings["digits"] else Path(settings["data"]), class_names(settings), recipe.conditional
    data = load(path, settings.get("classes", ""), settings.get("size", 0))
    images, shape = data.images, image_shape(settings)
    if images.shape != (settings["n_images"], *shape) or conditional and data.names != names:
        raise DataError(f"{path} holds other images than those that {folder} was trained on: put them back to inspect it")
    game, flows = Game(recipe, images, settings["seed"], labels=data.labels if conditional else None, n_classes=len(names)), {}
    rng = np.random.default_rng(0)
    shown, z = rng.integers(0, len(images), COUNTED), make_noise(recipe, rng, COUNTED)
    real = scale(images[shown].reshape(COUNTED, -1), recipe.dtype, recipe.low)
    labels = game.labels[shown] if conditional else None
    batch = real[:recipe.batch_size], z[:recipe.batch_size], labels if labels is None else labels[:recipe.batch_size]
    with np.errstate(all="ignore"):
        for step in range(steps + 1):
            if step in (0, steps) or str(step).rstrip("0") == "1":
                flows[f"step {step:,}"] = flow(game.G, game.D, recipe, *batch)
            if step < steps:
                game.step()
    G, D = game.G, game.D
    for net, name in (G, "generator"), (D, "discriminator"):
        net.theta[...], net.state[...] = vectors[name], vectors[name + "_state"]
    flows["at the end"] = flow(G, D, recipe, *batch)
    layers = [layer for net in (D, G) for layer in net.layers if "W" in layer.names]
    looked_for, painted = weight_images(layers[0], False, shape), weight_images(layers[-1], True, shape)
    save_weights([(f"discriminator's first layer: what its units look for\n{layers[0]!r}, {len(looked_for)} with the largest weights",
                   looked_for, "red: ink there excites the unit; blue: ink there calms it"),
                  (f"generator's last layer: what its units paint\n{layers[-1]!r}, {len(painted)} with the largest weights",
                   painted, "red: the unit adds ink there; blue: it takes ink away")], folder / "inspect-weights.png")
    for name in "generator", "discriminator":
        save_flow({when: found[name] for when, found in flows.items()}, name, folder / f"inspect-{name}.png")
    z, half = join(z, labels), COUNTED // 2
    fake = np.concatenate([G.forward(z[i:i + AT_ONCE])[0] for i in range(0, half, AT_ONCE)])
    seen = join(np.concatenate([real[half:], fake]), labels if labels is None else np.concatenate([labels[half:], labels[:half]]))
    return {"generator": count_units(G, z), "discriminator": count_units(D, seen)}


def stages(net):
    """For each layer with weights (its place among the layers, and that of the bend behind it, or its own)."""
    weighted = [i for i, layer in enumerate(net.layers) if "W" in layer.names]
    for i, end in zip(weighted, [*weighted[1:], len(net.layers)]):
        yield i, max([j for j in range(i, end) if isinstance(net.layers[j], BENDS)], default=i)


def outputs(net, x, train=False, rng=None):
    """[y of each layer]: what Sequential's forward computes, with nothing forgotten."""
    ys = []
    for layer in net.layers:
        x, _ = layer.forward(x, train, rng)
        ys.append(x)
    return ys


class Still:
    """An optimizer that takes no step."""

    def step(self, dtheta):
        """Nothing."""


def flow(G, D, recipe, real, z, labels=None):
    """{"generator": [(layer, some of what comes out of it, of its dW), ...], "discriminator": ...} of a batch. The dW are those
    of the two steps of gan.py, with the recipe's loss, but without what a penalty adds."""
    G, D, rng, loss = copy.deepcopy(G), copy.deepcopy(D), np.random.default_rng(0), GAN_LOSSES[recipe.loss]  # batch norm would remember
    ys_G = outputs(G, join(z, labels), True, rng)
    ys_D = [outputs(D, join(images, labels), True, rng) for images in (real, ys_G[-1])]
    generator_step(G, D, Still(), z, rng, labels, loss)
    discriminator_step_in_two(G, D, Still(), real, z, rng, recipe.real_label, labels, loss)
    return {name: [(repr(net.layers[i]), rng.choice(np.concatenate([ys[j].ravel() for ys in passes]), KEPT),
                    rng.choice(net.layers[i].dW.ravel(), KEPT)) for i, j in stages(net)]
            for name, net, passes in (("generator", G, [ys_G]), ("discriminator", D, ys_D))}


def count_units(net, x):
    """[(layer with weights, units, those never above 0, those always), ...] for each that has a (Leaky)ReLU behind it."""
    counts = []
    for i, j in stages(net):
        if isinstance(net.layers[j], LeakyReLU):
            counts.append([repr(net.layers[i]), j, False, True])
    for start in range(0, len(x), AT_ONCE):
        ys = outputs(net, x[start:start + AT_ONCE])
        for count in counts:
            on = ys[count[1]].reshape(-1, ys[count[1]].shape[-1]) > 0
            count[2], count[3] = count[2] | on.any(axis=0), count[3] & on.all(axis=0)
    return [(name, len(ever), int((~ever).sum()), int(always.sum())) for name, _, ever, always in counts]


def table(result):
    """What `inspect` returns in words: a line for each layer with a (Leaky)ReLU."""
    lines = [f"{'of 1,000 images':15} {'layer':32} {'units':>6} {'never above 0':>14} {'always above 0':>15}"]
    for name, counts in result.items():
        lines += [f"{name:15} {layer:32} {units:6,} {never:6,} = {never / units:5.1%} {always:7,} = {always / units:5.1%}"
                  for layer, units, never, always in counts]
        lines += [] if counts else [f"{name:15} has no LeakyReLU or ReLU"]
    return "\n".join(lines)


def weight_images(layer, last, shape):
    """The weights of each unit of G's last layer, or D's first, as images: (units, height, width), the largest first."""
    W, channels = layer.W, math.prod(shape[2:])
    if W.ndim == 4:  # a convolution: (k, k, channels of the image, units), but for a Conv2D that is the last
        W = (W.swapaxes(2, 3) if last and isinstance(layer, Conv2D) else W)[:, :, :channels].mean(axis=2).transpose(2, 0, 1)
    else:
        W = (W if last else W.T)[:, :math.prod(shape)].reshape(-1, *shape[:2], channels).mean(axis=3)  # labels have weights, too
    return W[np.argsort(-(W * W).sum(axis=(1, 2)), kind="stable")[:SHOWN]]


def save_flow(flows, name, path):
    """inspect-generator.png or -discriminator.png: the histograms, a row a layer, a colour a step, the last one red.

    `flows` maps each step's name to [(layer, some of what comes out of it, its dW), ...]."""
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    layers = [layer for layer, _, _ in next(iter(flows.values()))]
    figure = Figure(figsize=(10, 1 + 1.6 * len(layers)), layout="constrained")
    for row, pair in enumerate(figure.subplots(len(layers), 2, squeeze=False)):
        for column, axes in enumerate(pair, 1):
            values = {when: flow[row][column].astype("float64") for when, flow in flows.items()}
            if column == 2:
                values = {when: np.log10(abs(dW[dW != 0])) for when, dW in values.items()}
            bins = np.histogram_bin_edges(np.concatenate(list(values.values())), 60)
            for i, (when, numbers) in enumerate(values.items()):
                colour = "crimson" if i == len(values) - 1 else colormaps["viridis_r"](0.1 + 0.9 * i / (len(values) - 1))
                axes.stairs(np.histogram(numbers, bins)[0] / max(1, len(numbers)), bins, label=when, color=colour, linewidth=1.3)
            axes.set(yscale="log", ylim=(1e-4, 1.5), ylabel="share")
        pair[0].set_title(f"{layers[row]}: what comes out", fontsize=9)
        pair[1].set_title("sizes of its dW, as powers of ten", fontsize=9)
    figure.legend(*pair[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(flows), frameon=False)
    figure.suptitle(f"{name}, layer by layer", fontsize=11)
    FigureCanvasAgg(figure).print_png(path)
