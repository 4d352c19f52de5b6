"""Export formats: the generator of a run as a list of PyTorch and ONNX operations.

The idea
    Generating images needs only the generator's forward pass, whose operations other libraries
    provide as well. A run can therefore be exported as a web page (html.py), as a state dict for
    PyTorch (torch.py) or as a graph for ONNX (onnx.py). The formulas stay the same, but the order
    of the axes differs:

                                        minigan             PyTorch, ONNX
        W of a Dense layer              (K, M)              (M, K)
        W of a convolution              (k, k, C, F)        (F, C, k, k)
        W of a transposed convolution   (k, k, F, C)        (C, F, k, k)
        images between layers           (N, H, W, C)        (N, C, H, W)

    The axes of each W are permuted. Where a Reshape turns vectors into images, or images into
    vectors, an additional operation moves the channel axis, so that the vectors hold the same
    numbers in the same order. Each layer describes itself in its method `exported`, as a chain of
    operations with one input each, so a new layer needs no entry here.

    All exports contain the moving average of the generator's weights, in float32 for PyTorch and
    ONNX and rounded for the web page. In PyTorch and ONNX, the z of a conditional run has Z + C
    numbers: the latents, then a 1 for the requested class and 0 for the others. In a run with
    clusters the 1 is for a cluster, chosen at random with the probabilities `shares`.

>>> from minigan.nn.pooling import Upsample
>>> Upsample(2).exported((7, 7, 64), (14, 14, 64))[0].torch
'nn.Upsample(scale_factor=2)'
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from minigan.nn.layer import Exported, Layer
from minigan.nn.sequential import Sequential
from minigan.training.run_folder import RunError, class_count

PARAMETER_NAMES = "weight", "bias", "running_mean", "running_var"  # PyTorch's
CHANNELS_FIRST = "Permute(0, 3, 1, 2)"  # exported after a Reshape to images
CHANNELS_LAST = Exported("Permute(0, 2, 3, 1)", "Transpose", {"perm": (0, 2, 3, 1)})


def example_input(net: Sequential, shape: tuple[int, ...]) -> Any:
    """One example of zeros for a network that takes (N, *shape), with a label if it needs one.

    A layer that takes labels has the attribute `n_classes`.
    """
    x = np.zeros((1, *shape), net.theta.dtype)
    for layer in net.layers:
        if layer.takes_labels:
            return x, np.zeros((1, layer.n_classes), x.dtype)
    return x


def layer_shapes(
    net: Sequential, shape: tuple[int, ...]
) -> Iterator[tuple[Layer, tuple[int, ...], tuple[int, ...]]]:
    """Yield (layer, shape of x, shape of y) for each layer of a network that takes (N, *shape).

    The shapes exclude N, and the shape of x excludes labels.
    """
    example = example_input(net, shape)
    x, labels = example if isinstance(example, tuple) else (example, None)
    for layer in net.layers:
        y, _ = layer.forward((x, labels) if layer.takes_labels else x)
        yield layer, x.shape[1:], y.shape[1:]
        x = y


def exported_operations(G: Sequential, latent_dim: int) -> list[Exported]:
    """The operations of all layers of G, ending with images (N, H, W), or (N, H, W, 3) in colour.

    Raises RunError if a layer cannot be exported.
    """
    operations: list[Exported] = []
    y_shape: tuple[int, ...] = ()
    for layer, x_shape, y_shape in layer_shapes(G, (latent_dim,)):
        try:
            operations += layer.exported(x_shape, y_shape)
        except NotImplementedError as error:
            raise RunError(error) from None
    if len(y_shape) == 3 and operations[-1].torch == CHANNELS_FIRST:
        operations.pop()  # the images are still (N, H, W, C) before this operation
    elif len(y_shape) == 3:
        operations.append(CHANNELS_LAST)
    return operations


def latent_size(settings: dict, recipe: Any) -> int:
    """The length of the exported generator's z: Z, plus the number of classes or clusters."""
    return recipe.latent_dim + class_count(settings)
