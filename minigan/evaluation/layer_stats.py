"""Layer statistics: what each layer of a trained run does.

The idea
    All weights and gradients of a trained network can be examined. This module answers three
    questions about a run.

Which patterns do the networks respond to?  (inspect-weights.png)
    A unit in D's first layer multiplies each pixel by a weight and adds the products. Plotted as an
    image, its weights show the pattern to which it responds: red where bright pixels increase its
    output, blue where they decrease it. In G's last layer, each input of the layer is multiplied by
    one weight per pixel and added to the image, so its weights show what it contributes. The figure
    shows the units with the largest weights, each with its own colour scale. For a convolution it
    shows the kernels.

How large are activations and gradients?  (inspect-generator.png, inspect-discriminator.png)
    For each layer with weights there are two histograms from one batch. One shows its outputs,
    after the activation that follows the layer, and the other its dW, without the gradient of a
    penalty. The entries of dW vary over many orders of magnitude, so their logarithms are plotted.
    If the gradients of the first layers are orders of magnitude smaller than those of the last, the
    first layers do not learn. If all outputs of a tanh are saturated, or all outputs of a ReLU are
    0, hardly any gradient passes either.

    A run stores only its latest weights. Its first steps are therefore repeated from its seed and
    images. There are histograms before the first step, after 1, 10, 100, ... steps and after the
    last repeated one, and for the weights in model.npz. (On the same kind of machine the steps are
    exactly those of the run, but a run on a GPU had other noise.) The weights are those being
    trained, not their moving average, and dropout is applied, as in training. The batch is always
    the same.

Which units have stopped working?  (the table)
    A ReLU whose input is never positive has a derivative of 0 for every image. No gradient reaches
    its weights, so the unit no longer learns: it is dead. A LeakyReLU has a small derivative there
    and can recover. However, as long as its input is always negative, or always positive, the unit
    is linear, and contributes no more than a layer without activation would. The units of G are
    counted over 1,000 generated images, and those of D over 500 real and 500 generated ones. In a
    convolution a unit is a channel at all positions. (Batch norm and dropout are as in sampling.)

>>> from minigan.nn.activations import ReLU
>>> from minigan.nn.dense import Dense
>>> net = Sequential([Dense(1, 3, dtype="float64", rng=np.random.default_rng(0)), ReLU()])
>>> net.layers[0].W[...], net.layers[0].b[...] = [[1, -1, 0]], [0, -5, 5]
>>> count_units(net, np.array([[2.0], [-3.0]]))      # one unit is never positive, one always
[UnitCounts(layer='Dense(1, 3)', units=3, never=1, always=1)]
"""

import copy
import functools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from minigan.datasets.pixels import scale
from minigan.figures.plots import new_figure, save_weights
from minigan.gan.latents import sample_latents
from minigan.gan.losses import GAN_LOSSES
from minigan.gan.recipes import Recipe
from minigan.gan.steps import discriminator_step_two_passes, generator_step, with_labels
from minigan.nn.activations import LeakyReLU
from minigan.nn.conv import Conv2d
from minigan.nn.optim import NoOpOptimizer
from minigan.nn.sequential import Sequential
from minigan.training.run_data import load_run_data
from minigan.training.run_folder import RunFiles, class_names, image_shape, load_model
from minigan.training.state import TrainingState

PICTURES = ("inspect-weights.png", "inspect-generator.png", "inspect-discriminator.png")
POWERS_OF_TEN = [10**k for k in range(10)]
UNITS_SHOWN = 64  # in inspect-weights.png, for each layer
IMAGES_COUNTED = 1000  # images over which units are counted
COUNTED_AT_ONCE = 100
HISTOGRAM_NUMBERS = 50_000  # numbers sampled for a histogram


class LayerSample(NamedTuple):
    """A layer with weights, and a sample of its outputs and gradients in one batch."""

    layer: str
    outputs: np.ndarray  # (HISTOGRAM_NUMBERS,), after the activation that follows the layer
    dW: np.ndarray  # (HISTOGRAM_NUMBERS,)


class UnitCounts(NamedTuple):
    """How many units of a layer are never positive, or always positive."""

    layer: str
    units: int
    never: int  # units that are never positive
    always: int  # units that are always positive


def inspect_layers(
    folder: Path,
    steps: int = 100,
    *,
    path: Path | None = None,
    files: RunFiles | None = None,
    say: Callable[[str], Any] = str,
) -> dict[str, list[UnitCounts]]:
    """Write the PICTURES into the folder of a run; `path` is the new place of its data, if any.

    Returns {"generator": counts, "discriminator": counts} (see `count_units`).
    Raises RunError or DataError if the run or its data cannot be used, or if its folder cannot be
    written. With `files`, these remember what could not be written, and the counts are returned.
    `say` receives what is done next.
    """
    folder, given = Path(folder), files
    files = files or RunFiles(folder)
    settings, recipe, vectors = load_model(folder)
    names, shape = class_names(settings), image_shape(settings)
    data = load_run_data(folder, settings, path)
    images, labels = data.images, data.labels if recipe.conditional else None
    say("restoring the networks as they were before the first step")
    gan = TrainingState(recipe, images, labels=labels, n_classes=len(names), seed=settings["seed"])
    rng = np.random.default_rng(0)
    chosen = rng.integers(0, len(images), IMAGES_COUNTED)
    z = sample_latents(recipe, rng, IMAGES_COUNTED)
    real = scale(images[chosen], recipe.dtype, recipe.pixel_min)
    labels = None if gan.labels is None else gan.one_hot[gan.labels[chosen]]
    n = recipe.batch_size
    batch = {"real": real[:n], "z": z[:n], "labels": None if labels is None else labels[:n]}

    say(f"repeating the first {steps:,} of its training steps")
    samples = {}  # {when: {network: [LayerSample, ...]}}
    with np.errstate(all="ignore"):
        for step in range(steps + 1):
            if step in (0, steps) or step in POWERS_OF_TEN:
                samples[f"step {step:,}"] = sample_layers(gan.G, gan.D, recipe, **batch)
            if step < steps:
                gan.train_step()
    G, D = gan.G, gan.D
    for net, name in (G, "generator"), (D, "discriminator"):
        net.theta[...], net.buffers[...] = vectors[name], vectors[name + "_state"]
    samples["at the end"] = sample_layers(G, D, recipe, **batch)
    say("drawing weights, outputs and gradients")
    files.save("inspect-weights.png", lambda file: save_weight_images(G, D, shape, file))
    for name in "generator", "discriminator":
        of_network = {when: layers[name] for when, layers in samples.items()}
        files.save(
            f"inspect-{name}.png",
            functools.partial(save_histograms, of_network, name),
        )
    if given is None:
        files.check()

    say(f"counting units that are never positive, over {IMAGES_COUNTED:,} images")
    half = IMAGES_COUNTED // 2
    labels_G = labels_D = None
    if labels is not None:
        labels_G, labels_D = labels[:half], np.concatenate([labels[half:], labels[:half]])
    fake = np.concatenate([G.forward(latents)[0] for latents in in_chunks(z[:half], labels_G)])
    both = np.concatenate([real[half:], fake])
    return {
        "generator": count_units(G, z, labels),
        "discriminator": count_units(D, both, labels_D),
    }


def in_chunks(x: np.ndarray, labels: np.ndarray | None) -> Iterator[Any]:
    """Yield inputs of a network in chunks, from x (N, ...) and labels (N, C) or None."""
    for i in range(0, len(x), COUNTED_AT_ONCE):
        part = slice(i, i + COUNTED_AT_ONCE)
        yield with_labels(x[part], None if labels is None else labels[part])


def weighted_layers(net: Sequential) -> list[tuple[int, int]]:
    """(index of the layer, index of its activation or of itself) for each layer with weights."""
    weighted = [i for i, layer in enumerate(net.layers) if "W" in layer.param_names]
    pairs = []
    for i, end in zip(weighted, [*weighted[1:], len(net.layers)]):
        activations = [j for j in range(i, end) if net.layers[j].is_activation]
        pairs.append((i, max(activations, default=i)))
    return pairs


def layer_outputs(
    net: Sequential, x: Any, *, train: bool = False, rng: Any = None
) -> list[np.ndarray]:
    """The output y of every layer, for an input x of the network, which may be (x, labels)."""
    ys = []
    x, labels = x if isinstance(x, tuple) else (x, None)
    for layer in net.layers:
        pair = layer.takes_labels and labels is not None
        x, _ = layer.forward((x, labels) if pair else x, train=train, rng=rng)
        ys.append(x)
    return ys


def sample_layers(
    G: Sequential,
    D: Sequential,
    recipe: Recipe,
    real: np.ndarray,
    z: np.ndarray,
    *,
    labels: np.ndarray | None = None,
) -> dict[str, list[LayerSample]]:
    """{"generator": LayerSamples, "discriminator": LayerSamples} for a batch.

    real is (N, H, W) or (N, H, W, 3), z is (N, Z), and labels is (N, C) or None. The dW come from
    the two steps in gan/steps.py with the recipe's loss, without a penalty. The networks are not
    changed.
    """
    G, D = copy.deepcopy(G), copy.deepcopy(D)  # a forward pass changes batch norm's buffers
    rng, loss = np.random.default_rng(0), GAN_LOSSES[recipe.loss]
    ys_G = layer_outputs(G, with_labels(z, labels), train=True, rng=rng)
    ys_D = [
        layer_outputs(D, with_labels(images, labels), train=True, rng=rng)
        for images in (real, ys_G[-1])
    ]
    generator_step(G, D, NoOpOptimizer(), z, labels=labels, loss=loss, real=real, rng=rng)
    discriminator_step_two_passes(
        G,
        D,
        NoOpOptimizer(),
        real,
        z,
        labels=labels,
        real_label=recipe.real_label,
        loss=loss,
        rng=rng,
    )
    samples: dict[str, list[LayerSample]] = {}
    for name, net, passes in ("generator", G, [ys_G]), ("discriminator", D, ys_D):
        samples[name] = []
        for i, j in weighted_layers(net):
            layer: Any = net.layers[i]
            ys = np.concatenate([ys[j].ravel() for ys in passes])
            outputs = rng.choice(ys, HISTOGRAM_NUMBERS)
            dW = rng.choice(layer.dW.ravel(), HISTOGRAM_NUMBERS)
            samples[name].append(LayerSample(repr(layer), outputs, dW))
    return samples


def count_units(
    net: Sequential, x: np.ndarray, labels: np.ndarray | None = None
) -> list[UnitCounts]:
    """UnitCounts of each layer followed by a ReLU or LeakyReLU, for x (N, ...), labels (N, C)."""
    pairs = [(i, j) for i, j in weighted_layers(net) if isinstance(net.layers[j], LeakyReLU)]
    ever: dict[int, Any] = {j: False for _, j in pairs}  # whether each unit was ever positive
    always: dict[int, Any] = {j: True for _, j in pairs}
    for chunk in in_chunks(x, labels):
        ys = layer_outputs(net, chunk)
        for _, j in pairs:
            positive = ys[j].reshape(-1, ys[j].shape[-1]) > 0
            ever[j] = ever[j] | positive.any(axis=0)
            always[j] = always[j] & positive.all(axis=0)
    return [
        UnitCounts(repr(net.layers[i]), len(ever[j]), int((~ever[j]).sum()), int(always[j].sum()))
        for i, j in pairs
    ]


def format_layer_stats(result: dict[str, list[UnitCounts]]) -> str:
    """The result of inspect_layers as a table."""
    lines = [
        f"{'of 1,000 images':15} {'layer':32} {'units':>6} {'never above 0':>14}"
        f" {'always above 0':>15}"
    ]
    for name, counts in result.items():
        lines += [
            f"{name:15} {layer:32} {units:6,} {never:6,} = {never / units:5.1%}"
            f" {always:7,} = {always / units:5.1%}"
            for layer, units, never, always in counts
        ]
        if not counts:
            lines.append(f"{name:15} has no LeakyReLU or ReLU")
    return "\n".join(lines)


def first_layer_weights(layer: Any, shape: tuple[int, ...]) -> np.ndarray:
    """The weights of each unit of D's first layer as images (units, height, width), largest first.

    `shape` is that of the run's images. Weights of labels are omitted, and those of the three
    colours are averaged.
    """
    channels = math.prod(shape[2:])
    if layer.W.ndim == 4:  # a convolution: (k, k, channels, units)
        kernels = layer.W[:, :, :channels].mean(axis=2).transpose(2, 0, 1)
    else:  # a Dense layer: (pixels, units)
        kernels = average_colours(layer.W.T[:, : math.prod(shape)], shape)
    return largest_kernels(kernels)


def last_layer_weights(layer: Any, shape: tuple[int, ...]) -> np.ndarray:
    """The same for the inputs of G's last layer: images (inputs, height, width), largest first."""
    W, channels = layer.W, math.prod(shape[2:])
    if W.ndim == 4:  # a convolution: (k, k, channels, inputs), or the last two swapped in a Conv2d
        W = W.swapaxes(2, 3) if isinstance(layer, Conv2d) else W
        return largest_kernels(W[:, :, :channels].mean(axis=2).transpose(2, 0, 1))
    return largest_kernels(average_colours(W, shape))  # a Dense layer: (inputs, pixels)


def average_colours(rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Rows (n, pixels) of weights for images of that shape, as images (n, H, W)."""
    return rows.reshape(len(rows), *shape[:2], -1).mean(axis=3)


def largest_kernels(kernels: np.ndarray) -> np.ndarray:
    """The kernels (n, height, width) with the largest sums of squares, at most UNITS_SHOWN."""
    sizes = (kernels * kernels).sum(axis=(1, 2))
    return kernels[np.argsort(-sizes, kind="stable")[:UNITS_SHOWN]]


def save_weight_images(
    G: Sequential, D: Sequential, shape: tuple[int, ...], path: Path | BinaryIO
) -> None:
    """Save inspect-weights.png, with D's first layer and G's last layer."""
    first = next(layer for layer in D.layers if "W" in layer.param_names)
    last = next(layer for layer in reversed(G.layers) if "W" in layer.param_names)
    detected, added = first_layer_weights(first, shape), last_layer_weights(last, shape)
    save_weights(
        [
            (
                f"the discriminator's first layer: what its units detect\n{first!r},"
                f" {len(detected)} with the largest weights",
                detected,
                "red: bright pixels increase the output; blue: they decrease it",
            ),
            (
                f"the generator's last layer: what its inputs add to the image\n{last!r},"
                f" {len(added)} with the largest weights",
                added,
                "red: makes these pixels brighter; blue: makes them darker",
            ),
        ],
        path,
    )


def save_histograms(
    samples: dict[str, list[LayerSample]], name: str, path: Path | BinaryIO
) -> None:
    """Save inspect-generator.png or inspect-discriminator.png, from {when: samples of the layers}.

    There is a row for each layer and a colour for each time; the last time is red.
    """
    layers = [sample.layer for sample in next(iter(samples.values()))]
    with new_figure(10, 1 + 1.6 * len(layers)) as figure:
        from matplotlib import colormaps

        colours = [
            colormaps["viridis_r"](0.1 + 0.9 * i / (len(samples) - 1))
            for i in range(len(samples) - 1)
        ] + ["crimson"]
        for row, (left, right) in enumerate(figure.subplots(len(layers), 2, squeeze=False)):
            outputs = {when: some[row].outputs.astype("float64") for when, some in samples.items()}
            dW = {when: some[row].dW.astype("float64") for when, some in samples.items()}
            powers = {when: np.log10(abs(values[values != 0])) for when, values in dW.items()}
            for axes, numbers in (left, outputs), (right, powers):
                bins = np.histogram_bin_edges(np.concatenate(list(numbers.values())), 60)
                for (when, values), colour in zip(numbers.items(), colours):
                    shares = np.histogram(values, bins)[0] / max(1, len(values))
                    axes.stairs(shares, bins, label=when, color=colour, linewidth=1.3)
                axes.set(yscale="log", ylim=(1e-4, 1.5), ylabel="share")
            left.set_title(f"{layers[row]}: outputs", fontsize=9)
            right.set_title("log10 |dW|", fontsize=9)
        figure.legend(
            *left.get_legend_handles_labels(),
            loc="outside lower center",
            ncols=len(samples),
            frameon=False,
        )
        figure.suptitle(f"{name}, layer by layer", fontsize=11)
        figure.canvas.print_png(path)
