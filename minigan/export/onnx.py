"""Export to ONNX: a graph from `z`, (N, Z), to `images`, (N, H, W) or (N, H, W, 3), in [0, 1].

N may be any number. The graph consists of the operations of formats.py, followed by those of
`unscale` in datasets/pixels.py.

Outside of training, batch norm multiplies each channel by a constant and adds another one. If it
follows a layer with weights, both constants become a part of the weights and the bias:

    gamma (x @ W + b - mean) / sd + beta  =  x @ (W s) + (b - mean) s + beta,   s = gamma / sd

The images are the same, and the graph is smaller. OpenCV 4 would fold batch norm itself, but again
for each new batch size (docs/usage.md).
"""

import copy
import json
from typing import Any

import numpy as np

from minigan.export.formats import PARAMETER_NAMES, exported_operations, latent_size
from minigan.gan.recipes import Recipe
from minigan.nn.batchnorm import BatchNorm2d
from minigan.nn.conv import Conv2d, ConvTranspose2d
from minigan.nn.dense import Dense
from minigan.nn.layer import Exported
from minigan.nn.reshape import Reshape
from minigan.nn.sequential import Sequential
from minigan.training.run_folder import RunError, class_names, image_shape

OPSET, IR_VERSION = 17, 8  # released in 2022
# layers with a weight and a bias, and the axis of W that counts the output channels
CHANNEL_AXES = {Dense: -1, Conv2d: -1, ConvTranspose2d: -2}


def onnx_file(settings: dict, recipe: Recipe, G: Sequential) -> bytes:
    """The graph of G as the content of a file. Raises ImportError without onnx, and RunError."""
    import onnx  # installed by the extra `export`
    from onnx import helper

    operations = exported_operations(fold_batch_norm(G), recipe.latent_dim)
    operations += unscale_operations(recipe.pixel_min)
    nodes, initializers, current = [], [], "z"
    for i, operation in enumerate(operations):
        inputs = [current]
        if operation.onnx == "Resize":
            inputs.append("")  # an omitted optional input precedes the scales
        for name, array in constant_inputs(operation):
            initializers.append(onnx.numpy_helper.from_array(array, f"{i}.{name}"))
            inputs.append(f"{i}.{name}")
        current = "images" if i == len(operations) - 1 else f"y{i}"
        nodes.append(helper.make_node(operation.onnx, inputs, [current], **operation.attributes))

    def tensor(name, *shape):
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", *shape])

    graph = helper.make_graph(
        nodes,
        "minigan",
        [tensor("z", latent_size(settings, recipe))],
        [tensor("images", *image_shape(settings))],
        initializers,
    )
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, ir_version=IR_VERSION, opset_imports=opsets)
    model.doc_string = describe_inputs(settings, recipe)
    if recipe.clusters:
        helper.set_model_props(model, {"shares": json.dumps(settings["shares"])})
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise RunError(f"a layer is not valid in opset {OPSET} of ONNX ({reason})") from None
    return model.SerializeToString()


def fold_batch_norm(G: Sequential) -> Sequential:
    """A copy of G without the batch norms that follow a layer with weights.

    Between a Dense layer and batch norm there may be a Reshape, which turns units into channels.
    """
    layers: list[Any] = []
    for layer in copy.deepcopy(G).layers:
        i = len(layers) - 1
        if i > 0 and isinstance(layers[i], Reshape) and isinstance(layers[i - 1], Dense):
            i -= 1
        axis = CHANNEL_AXES.get(type(layers[i])) if i >= 0 else None
        if not isinstance(layer, BatchNorm2d) or axis is None:
            layers.append(layer)
            continue
        s = layer.gamma / (layer.var.astype("float64") + layer.eps) ** 0.5
        times = len(layers[i].b) // len(s)  # after a Reshape each channel has several units
        s, mean, beta = (np.tile(a, times) for a in (s, layer.mean, layer.beta))
        W = np.moveaxis(np.moveaxis(layers[i].W, axis, -1) * s, -1, axis)
        b = (layers[i].b - mean) * s + beta
        layers[i].W, layers[i].b = W.astype(G.theta.dtype), b.astype(G.theta.dtype)
    return Sequential(layers)


def unscale_operations(pixel_min: float) -> list[Exported]:
    """The operations that scale numbers in [pixel_min, 1] to [0, 1]."""
    return [
        Exported("", "Sub", constant=pixel_min),
        Exported("", "Div", constant=1 - pixel_min),
        Exported("", "Clip", arrays=[0.0, 1.0]),
    ]


def constant_inputs(operation: Exported) -> list[tuple[str, np.ndarray]]:
    """(name, array) for each constant input of an operation, as float32 or int64."""
    inputs = [
        (name, np.asarray(array, "float32"))
        for name, array in zip(PARAMETER_NAMES, operation.arrays)
    ]
    if operation.constant is not None:
        constant = np.asarray(operation.constant)
        inputs.append(
            ("constant", constant.astype("int64" if constant.dtype.kind == "i" else "float32"))
        )
    return inputs


def describe_inputs(settings: dict, recipe: Recipe) -> str:
    """A description of z and images, in words."""
    names, label = class_names(settings), ""
    if names:
        classes = ", ".join(map(repr, names))
        label = f"; then a 1 for the requested class and 0 for the others: {classes}"
    elif recipe.clusters:
        label = (
            f"; then a 1 for one of {len(settings['shares'])} clusters and 0 for the others; the"
            " probabilities of the clusters are in the metadata `shares`"
        )
    return (
        f"z: {recipe.latent_dim} latents, {recipe.noise}, of variance 1{label}."
        f" images: {image_shape(settings)}, in [0, 1]"
    )
