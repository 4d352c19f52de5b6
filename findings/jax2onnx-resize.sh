#!/usr/bin/env bash
# jax2onnx exports jax.image.resize with other pixels for "nearest" and wrong borders for "cubic".
#
# Versions: jax2onnx 0.17.1, jax and jaxlib 0.10.2, onnx 1.23.2, onnxruntime 1.32.0, numpy 2.4.6,
#   Linux on x86-64, CPython 3.11.
# Most would expect: the exported file computes what the JAX function computes, or the export
#   fails, as it does for antialias=True and for "lanczos3", which ONNX's Resize does not have.
# What happens: "nearest" is written with the rounding round_prefer_floor. JAX takes the input pixel
#   that contains the centre of the output pixel, and the later of two if the centre lies on their
#   edge; the file takes the earlier one. With an even divisor this concerns every pixel: 28 to 14
#   gives the even rows and columns, where JAX gives the odd ones. From 4 to 7, 16 to 28 or 32 to
#   28 it is every seventh row and column. "cubic" is written without exclude_outside, so that the
#   borders are wrong, three pixels wide at factor 2 and six at factor 4. "linear" is right.
#   Nothing is said.
# Why it matters: a generator of 28x28 pixels that starts from 4x4 resizes 4 to 7 or 16 to 28, and
#   a discriminator of several scales shrinks 28 to 14. The cases that a quick test tries, whole
#   factors upwards with "nearest" and anything with "linear", are right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    jax2onnx==0.17.1 jax==0.10.2 jaxlib==0.10.2 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
cat > "$folder/see.py" <<'END2'
import os

os.environ["JAX_PLATFORMS"] = "cpu"

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
from jax2onnx import to_onnx  # noqa: E402

rng = np.random.default_rng(0)


def run(f, x):
    """f of x in JAX, and what the file that jax2onnx writes of f computes."""
    model = to_onnx(f, [jax.ShapeDtypeStruct(x.shape, x.dtype)]).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return np.asarray(f(jnp.asarray(x))), session.run(None, {session.get_inputs()[0].name: x})[0]


def resize(x, pixels, method):
    return jax.image.resize(x, (len(x), pixels, pixels, x.shape[3]), method, antialias=False)


print("nearest, share of the rows that are other ones:")
for pixels, target, share in (
    (7, 14, 0), (7, 28, 0), (4, 28, 0), (27, 9, 0),
    (28, 14, 1), (28, 7, 1), (4, 7, 1 / 7), (16, 28, 1 / 7), (32, 28, 1 / 7),
):  # fmt: skip
    x = np.arange(pixels, dtype=np.float32).repeat(pixels).reshape(1, pixels, pixels, 1)
    right, y = (rows[0, :, 0, 0] for rows in run(lambda x: resize(x, target, "nearest"), x))
    centres = (np.arange(target) + 0.5) * pixels / target
    moved = np.mean(y != right)
    print(f"  {pixels} to {target}: {moved:.0%}; JAX {right[:5].astype(int)},"
          f" the file {y[:5].astype(int)}")
    assert np.array_equal(right, np.floor(centres)) and np.array_equal(y, np.ceil(centres) - 1)
    assert moved == share

x = rng.standard_normal((2, 28, 28, 1)).astype(np.float32)
right, y = run(lambda x: resize(x, 14, "nearest"), x)
assert np.array_equal(right, x[:, 1::2, 1::2]) and np.array_equal(y, x[:, ::2, ::2])

x = rng.standard_normal((2, 7, 7, 1)).astype(np.float32)
for method, factor, border in ("linear", 2, 0), ("cubic", 2, 3), ("cubic", 4, 6):
    right, y = run(lambda x: resize(x, 7 * factor, method), x)
    wrong = np.abs(y - right).max(axis=(0, 2, 3))
    inner = np.abs(y - right)[:, border : 7 * factor - border, border : 7 * factor - border]
    print(f"{method}, 7 to {7 * factor}: error up to {wrong.max():.2f}, {border} pixels from the"
          f" border {inner.max():.0e}")
    assert inner.max() < 1e-5 and (wrong.max() > 0.05) == (method == "cubic")

layers = ("", 16, 16), (7, 16, 8), (14, 8, 8), (28, 8, 1)
first = jnp.asarray(rng.normal(0, 0.25, (16, 4 * 4 * 16)), jnp.float32)
kernels = [jnp.asarray(rng.normal(0, 0.15, (3, 3, i, o)), jnp.float32) for _, i, o in layers[1:]]


def generator(z, method):
    x = (z @ first).reshape(-1, 4, 4, 16)
    for (pixels, _, channels), kernel in zip(layers[1:], kernels, strict=True):
        x = resize(x, pixels, method)
        x = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME",
                                         dimension_numbers=("NHWC", "HWIO", "NHWC"))  # fmt: skip
        x = jnp.tanh(x) if channels == 1 else jnp.where(x > 0, x, 0.2 * x)
    return x


z = rng.standard_normal((16, 16)).astype(np.float32)
for method in "linear", "nearest", "cubic":
    right, images = run(lambda z: generator(z, method), z)
    moved = np.abs(images - right) * 127.5
    print(f"generator of 28x28 pixels, {method}: {np.mean(moved > 1):.0%} of the pixels differ by"
          f" more than a grey level, by {moved.max():.1f} at most")
    assert moved.max() < 0.1 if method == "linear" else np.mean(moved > 1) > 0.2
END2
"$folder/venv/bin/python" "$folder/see.py"
echo "as described"
