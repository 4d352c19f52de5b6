#!/usr/bin/env bash
# MNN's bicubic upsampling fills the first rows and columns of an image with a copy of later ones.
#
# Versions: MNN 3.6.1, onnx 1.23.2, onnxruntime 1.32.0, numpy 2.4.6, Linux on x86-64, CPython
#   3.11.
# Most would expect: a Resize in mode "cubic" with the coordinates of PyTorch's
#   Upsample(mode="bicubic"), which are ONNX's default, takes at the border the nearest pixel of
#   the image for those outside, as the operator's definition says, on all four sides alike.
# What happens: an output pixel before the centre of the first input pixel has a negative
#   coordinate. MNN rounds it towards 0 to find the pixels, but takes their weights from its
#   floor, so that the four pixels are those of one place further on. With scale 2, the first row
#   is a copy of the third, and the first column one of the third; with scale 4, it is two rows
#   and two columns. All other pixels agree with the formula to 1e-5, also at the bottom and on
#   the right, and so does the whole image with aligned corners, with asymmetric coordinates or in
#   mode "linear". Nothing is said.
# Why it matters: many small generators upsample and convolve, to avoid the checkerboards of
#   transposed convolutions. If they do so bicubically, MNN (for phones) returns images with a
#   wrong border at the top and on the left. A test of one upsampling on pixels in the middle
#   passes; but each further block spreads the error, and three blocks bring it to most of a 32x32
#   image here.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    MNN==3.6.1 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
cat > "$folder/see.py" <<'END2'
import pathlib
import subprocess
import sys

import MNN.expr
import MNN.nn
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

folder = pathlib.Path(sys.argv[1])


def run(nodes, weights, x, shape):
    """The output y of MNN and of onnxruntime for a graph with the one input x."""
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
    path, converted = str(folder / "model.onnx"), str(folder / "model.mnn")
    onnx.save(model, path)
    command = [folder / "venv/bin/mnnconvert", "-f", "ONNX", "--modelFile", path,
               "--MNNModel", converted, "--bizCode", "see"]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    net = MNN.nn.load_module_from_file(converted, ["x"], ["y"])
    tensor = MNN.expr.const(np.ascontiguousarray(x), x.shape, MNN.expr.NCHW, MNN.expr.float)
    y = MNN.expr.convert(net.forward([tensor])[0], MNN.expr.NCHW)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.array(y.read()).reshape(shape), session.run(None, {"x": x})[0]


def resize(source, target, scales, mode="cubic", coordinates="pytorch_half_pixel"):
    return helper.make_node("Resize", [source, "", scales], [target], mode=mode,
                            coordinate_transformation_mode=coordinates)  # fmt: skip


def matrix(n, scale, late=False):
    """The bicubic interpolation of n pixels, a = -0.75; late is what MNN computes."""
    a, rows = -0.75, np.zeros((n * scale, n))
    for j in range(n * scale):
        place = (j + 0.5) / scale - 0.5
        first = int(np.floor(place))
        for k in range(first - 1, first + 3):
            d = abs(place - k)
            near = (a + 2) * d**3 - (a + 3) * d**2 + 1
            far = a * (d**3 - 5 * d**2 + 8 * d - 4)
            column = k + 1 if late and place < 0 else k
            rows[j, min(max(column, 0), n - 1)] += near if d <= 1 else far
    return rows


rng = np.random.default_rng(0)
x = rng.standard_normal((2, 3, 6, 6)).astype(np.float32)
for scale in 2, 3, 4:
    weights, shape = {"scales": [1, 1, scale, scale]}, (2, 3, 6 * scale, 6 * scale)
    y, same = run([resize("x", "y", "scales")], weights, x, shape)
    right, late = ((m := matrix(6, scale, late)) @ x @ m.T for late in (False, True))
    wrong = np.abs(y - right).max(axis=(0, 1))
    first = scale // 2  # rows before the centre of the first input pixel
    copy = np.abs(y[:, :, 0] - y[:, :, scale]).max()
    print(f"scale {scale}: error of row 0 up to {wrong[0].max():.2f}, of the pixels from row"
          f" and column {first} on {wrong[first:, first:].max():.0e};"
          f" row 0 less row {scale} {copy:.0e}")
    assert np.allclose(same, right, atol=1e-5) and np.allclose(y, late, atol=1e-5)
    assert wrong[first:, first:].max() < 1e-5
    assert wrong[:first].max(axis=1).min() > 0.5 and wrong[:, :first].max(axis=0).min() > 0.5
    assert np.allclose(y[:, :, :first], y[:, :, scale : scale + first], atol=1e-6)
    for mode, coordinates in (
        ("cubic", "align_corners"),
        ("cubic", "asymmetric"),
        ("linear", "pytorch_half_pixel"),
    ):
        y, same = run([resize("x", "y", "scales", mode, coordinates)], weights, x, shape)
        assert np.allclose(y, same, atol=1e-5), (mode, coordinates)

weights = {"scales": [1, 1, 2, 2], "first": rng.normal(0, 0.3, (16, 8, 4, 4))}
nodes = [helper.make_node("ConvTranspose", ["x", "first"], ["block0"])]  # from 1x1 to 4x4 pixels
for block, channels in enumerate((8, 8, 1)):
    up, conv = f"up{block}", f"conv{block}"
    weights[f"w{block}"] = rng.normal(0, 0.15, (channels, 8, 3, 3))
    nodes += [
        resize(f"block{block}", up, "scales"),
        helper.make_node("Conv", [up, f"w{block}"], [conv], pads=[1, 1, 1, 1]),
        helper.make_node("Tanh" if block == 2 else "LeakyRelu", [conv],
                         ["y" if block == 2 else f"block{block + 1}"]),
    ]  # fmt: skip
z = rng.standard_normal((16, 16, 1, 1)).astype(np.float32)
images, same = run(nodes, weights, z, (16, 1, 32, 32))
moved = np.abs(images - same)[:, 0] * 127.5
edge, rest = moved[:, :8], moved[:, 24:, 24:]
print(f"generator of 32x32 pixels: {np.mean(moved > 1):.0%} of all pixels differ by more than a"
      f" grey level; in the 8 rows at the top by {edge.mean():.1f} in the mean and"
      f" {edge.max():.0f} at most, in the corner at the bottom right by {rest.max():.3f} at most")
assert np.mean(moved > 1) > 0.5
assert edge.mean() > 5 and edge.max() > 50 and rest.max() < 0.1
END2
"$folder/venv/bin/python" "$folder/see.py" "$folder"
echo "as described"
