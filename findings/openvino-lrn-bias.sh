#!/usr/bin/env bash
# OpenVINO cuts the bias of ONNX's LRN to a whole number, so pixel norm divides zeros by zero.
#
# Versions: openvino 2026.4.1, onnx 1.23.2, onnxruntime 1.32.0, numpy 2.4.6, Linux on x86-64,
#   CPython 3.11.
# Most would expect: bias is a float in ONNX and in OpenVINO's own definition of the operator, so
#   y = x / (bias + alpha / size * sum of squares) ** beta is computed with any bias, and x = 0
#   gives 0 for every bias above 0.
# What happens: the CPU plugin computes with int(bias), also if the precision hint is f32. A bias
#   of 1.99 counts as 1, and any bias below 1 as 0. Then a pixel whose features are all 0 becomes
#   0 / 0 = NaN. With whole numbers, like the default 1 or AlexNet's 2, everything is right.
#   Nothing is said.
# Why it matters: LRN over all channels with beta 0.5 is pixel norm (progressive GANs), in one
#   node, and there bias is the epsilon of 1e-8. With features that are never all 0 the error is
#   below what a test allows. After a ReLU, a pixel without any positive feature turns into NaN,
#   the next layers spread it, and which images are affected depends on z.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    openvino==2026.4.1 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
cat > "$folder/see.py" <<'END2'
import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper, numpy_helper

core = openvino.Core()
precise = {"INFERENCE_PRECISION_HINT": "f32"}


def run(nodes, weights, x, shape):
    """The output y of OpenVINO and of onnxruntime for a graph with the one input x."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.asarray(array, np.float32), k) for k, array in weights.items()],
    )
    opsets = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    model = model.SerializeToString()
    y = core.compile_model(core.read_model(model), "CPU", precise)({"x": x})[0]
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return y, session.run(None, {"x": x})[0]


def lrn(source, target, channels, bias):
    """Pixel norm: the window of every channel holds all channels, and alpha / size is 1 / n."""
    size = 2 * channels - 1
    return helper.make_node("LRN", [source], [target], size=size, alpha=size / channels,
                            beta=0.5, bias=float(bias))  # fmt: skip


def pixel_norm(x, bias):
    with np.errstate(invalid="ignore"):
        return x / np.sqrt(bias + np.mean(np.square(x, dtype=np.float64), axis=1, keepdims=True))


rng = np.random.default_rng(0)
x = rng.standard_normal((2, 8, 6, 6)).astype(np.float32)
x[0, :, 2, 3] = 0
for bias in 1e-8, 0.1, 0.9, 1, 1.5, 1.99, 2:
    y, same = run([lrn("x", "y", 8, bias)], {}, x, x.shape)
    right, whole = pixel_norm(x, bias), pixel_norm(x, int(bias))
    print(f"bias {bias}: error {np.nanmax(np.abs(y - right)):.1e}, NaN {np.isnan(y).sum()};"
          f" against int(bias) {np.nanmax(np.abs(y - whole)):.1e}")
    assert np.allclose(same, right, atol=1e-5)
    assert np.allclose(y, whole, atol=1e-5, equal_nan=True)
    assert np.isnan(y).sum() == (8 if bias < 1 else 0)
    assert np.allclose(y, right, atol=1e-5) == (bias in (1, 2))

up = {"strides": [2, 2], "pads": [1, 1, 1, 1]}
layers = ("x", 12, 7, {}), ("n0", 8, 4, up), ("n1", 1, 4, up)  # 7x7, 14x14 and 28x28 pixels
for epsilon in 1e-8, 1:
    nodes, weights, channels = [], {}, 16
    rng = np.random.default_rng(1)
    for i, (source, filters, k, geometry) in enumerate(layers):
        weights[f"w{i}"] = rng.normal(0, 0.3, (channels, filters, k, k))
        weights[f"b{i}"] = rng.normal(0, 0.02, filters)
        nodes.append(helper.make_node("ConvTranspose", [source, f"w{i}", f"b{i}"], [f"c{i}"],
                                      **geometry))  # fmt: skip
        if i == 2:
            nodes.append(helper.make_node("Tanh", ["c2"], ["y"]))
        else:
            nodes.append(helper.make_node("Relu", [f"c{i}"], [f"r{i}"]))
            nodes.append(lrn(f"r{i}", f"n{i}", filters, epsilon))
        channels = filters
    z = rng.standard_normal((64, 16, 1, 1)).astype(np.float32)
    images, same = run(nodes, weights, z, (64, 1, 28, 28))
    lost = np.isnan(images)
    affected = lost.any(axis=(1, 2, 3))
    print(f"generator of 28x28 pixels, epsilon {epsilon}: {affected.sum()} of 64 images have NaN,"
          f" in {lost[affected].mean() if affected.any() else 0:.1%} of their pixels")
    assert np.isfinite(same).all()
    assert 5 < affected.sum() < 60 if epsilon < 1 else np.allclose(images, same, atol=1e-4)
END2
"$folder/venv/bin/python" "$folder/see.py"
echo "as described"
