"""Own networks: a G and a D that were made by hand, and a loss of one's own, in the place of those
that a recipe names.

The idea
    A recipe names its networks and its loss, and runs look the names up in the tables ARCHITECTURES
    and GAN_LOSSES. Networks that exist already are entered there as an Architecture that returns
    copies of them. Their name depends on their layers, so that a run folder finds the same ones
    again, and no others.

>>> from minigan.nn import Dense, Reshape, Sequential
>>> rng = np.random.default_rng(0)
>>> G = Sequential([Dense(4, 6, rng=rng), Reshape(3, 2)])
>>> name, architecture = own_architecture(G, Sequential([Reshape(6), Dense(6, 1, rng=rng)]))
>>> architecture.fixed.latent_dim, architecture.fixed.image_shape
(4, (3, 2))
>>> own_architecture(G, Sequential([Reshape(5), Dense(5, 1, rng=rng)]))  # doctest: +ELLIPSIS
Traceback (most recent call last):
    ...
ValueError: D does not take G's images of shape (2, 3, 2): ...
"""

import copy
import hashlib
import json
import math
from typing import Any

import numpy as np

from minigan.gan.losses import GAN_LOSSES, AdversarialLoss
from minigan.gan.models import Architecture, FixedSize
from minigan.gan.recipes import FIELDS, Recipe, replace
from minigan.nn.activations import Sigmoid
from minigan.nn.dense import Dense
from minigan.nn.reshape import ConcatLabels, Reshape
from minigan.nn.sequential import Sequential

BUILT_IN_LOSSES = frozenset(GAN_LOSSES)


def own_architecture(G: Sequential, D: Sequential, latent_dim: int = 0) -> tuple[str, Architecture]:
    """(name, Architecture) of networks that were made by hand, to be entered in ARCHITECTURES.

    The architecture makes copies of them as they are now, with their weights. Its name depends on
    the layers, but not on the weights. `latent_dim` is Z, which is needed only if it cannot be
    derived from G's first layers. Raises ValueError if G, D and Z do not fit together.
    """
    for name, net in ("G", G), ("D", D):
        if not isinstance(net, Sequential):
            raise ValueError(f"{name} is a {type(net).__name__}: make it a Sequential([...])")
    G, D = copy.deepcopy(G).to(np), copy.deepcopy(D).to(np)
    C = count_classes(G)
    if count_classes(D) != C:
        raise ValueError(
            f"G takes labels of {C} classes, and D of {count_classes(D)}: both networks need a"
            " layer that takes them, such as ConcatLabels, or neither"
        )
    if G.theta.dtype != D.theta.dtype:
        raise ValueError(f"G has weights of {G.theta.dtype}, but D of {D.theta.dtype}")
    Z, dtype = latent_dim or find_latent_dim(G), G.theta.dtype
    labels, z = np.zeros((2, C), dtype), np.zeros((2, Z), dtype)
    images = try_forward("G", G, z, labels, f"z of shape (2, {Z})")
    if images.shape[:1] != (2,) or images.ndim not in (3, 4) or images.shape[3:] not in ((), (3,)):
        raise ValueError(
            f"G returns {images.shape[1:]} for each z, but an image is (height, width), or"
            " (height, width, 3) in colour: end G with a layer such as Reshape(28, 28)"
        )
    logits = try_forward("D", D, images, labels, f"G's images of shape {images.shape}")
    if logits.shape != (2, 1):
        raise ValueError(
            f"D returns {logits.shape[1:]} for each image, but a logit is a single number, (1,):"
            " end D with a layer such as Dense(256, 1)"
        )
    both = {"generator": G, "discriminator": D}
    layers = {name: [repr(layer) for layer in net.layers] for name, net in both.items()}
    shapes = [
        [getattr(layer, name).shape for name in (*layer.param_names, *layer.buffer_names)]
        for layer in (*G.layers, *D.layers)
    ]
    digest = hashlib.sha256(json.dumps([layers, shapes]).encode()).hexdigest()
    return f"own-{digest[:8]}", Architecture(
        lambda r, shape, n_classes, rng: (copy.deepcopy(G), copy.deepcopy(D)),
        (0, 0),
        unused=("negative_slope_G", "negative_slope_D", "dropout", "init", "init_D"),
        fixed=FixedSize(Z, images.shape[1:], C, layers),
    )


def count_classes(net: Sequential) -> int:
    """C, the number of classes whose labels a network takes; 0 if it takes none."""
    return next((layer.n_classes for layer in net.layers if layer.takes_labels), 0)


def find_latent_dim(G: Sequential) -> int:
    """Z, the length of the latents that G takes, from its first layers. Raises ValueError."""
    for layer in G.layers:
        if isinstance(layer, Reshape):
            return math.prod(layer.shape)
        if isinstance(layer, Dense):
            return layer.W.shape[0] - count_classes(G)
        if not isinstance(layer, ConcatLabels):
            break
    raise ValueError(
        "the length of z cannot be derived from G's first layer: give it as latent_dim"
    )


def try_forward(name: str, net: Sequential, x: Any, labels: Any, what: str) -> Any:
    """The output of G or D, of that name, for x (2, ...) with labels (2, C), which are left out if
    C is 0. Raises ValueError if the network does not take x; `what` says what x is.
    """
    try:
        return net.forward((x, labels) if labels.shape[1] else x)[0]
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name} does not take {what}: {error}") from None


def recipe_of_networks(
    base: Recipe, networks: str, architecture: Architecture, *, clusters: int, name: str
) -> Recipe:
    """The settings of a recipe that do not concern the networks, for networks of one's own."""
    fixed = architecture.fixed
    assert fixed is not None
    if not fixed.n_classes and clusters:
        raise ValueError(
            f"clusters={clusters} needs networks that take labels, and these take none"
        )
    G, _ = architecture.make(base, fixed.image_shape, fixed.n_classes, None)
    activations = [layer for layer in G.layers if layer.is_activation]
    unused: dict[str, Any] = {field: FIELDS[field].default for field in architecture.unused}
    return replace(
        base,
        name=name,
        source="networks of its own",
        networks=networks,
        latent_dim=fixed.latent_dim,
        widths_G=(),
        widths_D=(),
        conditional=fixed.n_classes > 0 and not clusters,
        pixel_min=0.0 if activations and isinstance(activations[-1], Sigmoid) else -1.0,
        dtype=str(G.theta.dtype),
        **unused,
    )


def own_loss(loss: AdversarialLoss) -> tuple[str, AdversarialLoss]:
    """(name, loss) of a loss of one's own; it has the name of the discriminator's function.

    Raises ValueError if it has no name of its own, or does not return what a loss returns.
    """
    name = loss.discriminator_loss.__name__.replace("_", "-")
    if name == "<lambda>" or name in BUILT_IN_LOSSES:
        raise ValueError(
            f"a loss has the name of D's function, and {name!r} cannot be used: give that function"
            " another name, such as def my_loss(a, t)"
        )
    a = np.zeros((3, 1), "float32")
    for what, pair in (
        ("discriminator_loss(a, t)", loss.discriminator_loss(a, np.ones_like(a))),
        ("generator_loss(a)", loss.generator_loss(a)),
    ):
        shapes = [np.shape(array) for array in pair]
        if shapes != [a.shape] * 2:
            raise ValueError(
                f"{what} of the loss {name} must return the loss of each logit and its derivative,"
                f" both of the shape of a, (N, 1); for N = 3 it returns the shapes {shapes}"
            )
    return name, loss


def describe_difference(layers: Any, architecture: Architecture) -> str:
    """The first layer that differs between `layers` of settings.json and networks, in words."""
    assert architecture.fixed is not None
    layers = layers if isinstance(layers, dict) else {}
    for network, ours in architecture.fixed.layers.items():
        theirs = layers.get(network) or ["one of a recipe"]
        for i in range(max(len(ours), len(theirs))):
            pair = [str(net[i]) if i < len(net) else "nothing" for net in (theirs, ours)]
            if pair[0] != pair[1]:
                return f"layer {i} of the {network} was {pair[0]}, and is {pair[1]}"
    return "a layer has parameters of another shape"
