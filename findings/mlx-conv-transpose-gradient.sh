#!/usr/bin/env bash
# MLX's gradient of a transposed convolution loses rows and columns if output_padding exceeds padding.
#
# Versions: mlx 0.32.4 with its CPU backend (mlx[cpu]), numpy 2.4.6, Linux on x86-64, CPython 3.11.
# Most would expect: the gradient with respect to the input of conv_transpose2d has the shape of the
#   input, for every output_padding that the forward pass accepts, as the rules of any autograd say.
# What happens: where output_padding > padding (as with kernel 3, stride 2, padding 0, output_padding
#   1, which turns 13 pixels into 28 and 15 into 32), it is smaller by a row and a column. The
#   forward pass and the gradient of the weights of this layer are right. An activation in between
#   raises an error that names two shapes that the user never wrote. Without one, in two stacked
#   layers, or for a bias or a shift per channel before the layer, nothing is said and the gradients
#   of everything before it are wrong.
# Why it matters: transposed convolutions with output_padding are how small generators reach 28 or 32
#   pixels, and the layer that is hurt comes before the one that is set up in the unusual way.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "mlx[cpu]==0.32.4" numpy==2.4.6
cat > "$folder/see.py" <<'END2'
import mlx.core as mx
import mlx.nn as nn
import numpy as np

mx.set_default_device(mx.cpu)
rng = np.random.default_rng(0)


def normal(*shape):
    return mx.array(rng.standard_normal(shape).astype("float32"))


def slopes(f, a, h=1e-2):
    """A slope of f along a random direction: by central differences, and from mx.grad."""
    u = normal(*a.shape)
    return (f(a + h * u) - f(a - h * u)).item() / (2 * h), (mx.grad(f)(a) * u).sum().item()


x, w = normal(2, 5, 5, 3), normal(4, 3, 3, 3)
for padding, more in (1, 1), (0, 0), (0, 1):
    def loss(x):
        y = mx.conv_transpose2d(x, w, stride=2, padding=padding, output_padding=more)
        return (y * y).sum()

    dx = mx.grad(loss)(x)
    print(f"padding {padding}, output_padding {more}: x {x.shape}, gradient {dx.shape}")
    assert (dx.shape == x.shape) == (more <= padding)

mx.random.seed(0)
first = nn.ConvTranspose2d(3, 5, 3, stride=2, padding=1)
first.weight = normal(*first.weight.shape)
for more in 0, 1:
    second = nn.ConvTranspose2d(5, 2, 3, stride=2, padding=0, output_padding=more)
    second.weight = normal(*second.weight.shape)

    def loss_of_weight(weight):
        first.weight = weight
        y = second(first(x))
        return (y * y).sum()

    both = np.array([slopes(loss_of_weight, first.weight) for _ in range(10)])
    error = np.linalg.norm(both[:, 1] - both[:, 0]) / np.linalg.norm(both[:, 0])
    print(f"two layers, output_padding {more}: ten slopes, relative error of the gradient {error:.2%}")
    assert error < 0.01 if more == 0 else error > 0.05
END2
"$folder/venv/bin/python" "$folder/see.py"
echo "as described"
