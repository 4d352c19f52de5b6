"""Web page: a run as a single HTML file that generates images in a browser and loads nothing else.

The idea
    page.html implements the forward passes of all layers in plain JavaScript. To export a run, the
    layers of G and D and their weights are inserted into it. The recipe dense has over a million
    weights, which would be six megabytes of text in float32, so they are rounded.

    The weights of G become float16, with 10 binary digits after the leading one. The relative error
    is at most 1/2048; for tiny numbers the absolute error is at most 3e-8. D only outputs a score,
    so 8 bits per weight are enough for its matrices W and E. (Other arrays,
    such as biases, are small and become float16.) For each column

        scale = largest |W| / 127       q = W / scale, rounded: an integer from -127 to 127

    and the page computes W as q * scale, with an error of at most scale / 2. The effect of rounding
    is measured when the page is made, on images generated with and without it, and stated on the
    page. For a generator of an earlier epoch there is no D, and the page shows no score.

    The bytes are then compressed. A float16 has two bytes, and the upper one (sign, exponent and
    the first digits) takes few different values. All lower bytes are therefore stored before all
    upper bytes, which gzip compresses better. Base64 turns the result into text.

Directions
    The sliders change z along the directions in which the images change most, on average. For
    normal z the mean of z_i x is the mean derivative of x with respect to z_i (Stein 1981). For all
    i together, the means form the matrix zᵀ @ x / N. The directions are its left singular vectors,
    ordered by singular value (compare u and v in spectral_norm.py). The position of a slider is the
    component of z in its direction.

Layers of your own
    A layer that page.html does not implement provides its forward pass in the attribute
    `javascript`. It defines a function with the name of the class. The function takes x, a flat
    array, an object with the attributes and arrays of the layer and with `from` and `to`, the
    shapes of x and y, and the label.

>>> q, scale = round_to_8_bits(np.array([[0.5, 100.0], [-1.27, 0.0]]))
>>> q.tolist(), scale.tolist()                      # 0.5 is 50 hundredths
([[50, 127], [-127, 0]], [0.01, 0.787402])
"""

import base64
import copy
import gzip
import re
from pathlib import Path
from typing import Any

import numpy as np

from minigan.datasets.pixels import unscale
from minigan.export.formats import example_input, layer_shapes
from minigan.figures.html_page import fill_page
from minigan.gan.losses import GAN_LOSSES
from minigan.gan.recipes import Recipe
from minigan.gan.steps import with_labels
from minigan.nn.activations import sigmoid
from minigan.nn.dropout import Dropout
from minigan.nn.layer import Layer
from minigan.nn.sequential import Sequential
from minigan.nn.spectral_norm import SpectralNorm
from minigan.training.run_folder import RunError, class_count, class_names, image_shape
from minigan.training.sampling import conditional_latents, latents_and_labels

TEMPLATE = Path(__file__).with_name("page.html")
SLIDERS = 6
MEASURED_IMAGES = 500  # images for measuring the effect of rounding
MEASURED_AT_ONCE = 50
TABLE_SIZE = 1201  # points in the table of D's scores
TABLE_REACH = 15.0  # largest distance of a logit from the centre: sigmoid(15) is 1 to 6 digits
MAX_FLOAT16 = 65504


def round_to_8_bits(W: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # (..., M) -> (..., M), (M,)
    """(q, scale) with W close to q * scale; q is int8, and scale has 6 digits for each column."""
    largest = abs(W).reshape(-1, W.shape[-1]).max(axis=0)
    scale = np.array([float(f"{s:.6g}") for s in largest / 127])
    return np.rint(W / np.where(scale > 0, scale, 1)).clip(-127, 127).astype("int8"), scale


def page_forwards() -> list[str]:
    """The names of the layers whose forward pass page.html implements."""
    listed = re.search(r"const forwards = \{(.*?)\}", TEMPLATE.read_text(encoding="utf-8"), re.S)
    return re.findall(r"\w+", listed[1]) if listed else []


def forward_name(layer: Layer) -> str:
    """The name of the layer's forward pass on the page. Raises RunError if there is none."""
    if layer.javascript:
        return type(layer).__name__
    known = page_forwards()
    for kind in type(layer).__mro__:  # a ReLU is a LeakyReLU
        if kind.__name__ in known:
            return kind.__name__
    raise RunError(
        f"{layer!r} cannot be exported to html: minigan/export/page.html has no forward for it,"
        " and it has no `javascript`"
    )


def pack_network(
    net: Sequential, shape: tuple[int, ...], data: bytearray, *, coarse: bool
) -> list[dict]:
    """Describe each layer of a network that takes (N, *shape) for the page.

    The weights are appended to `data`, and the network's own weights are rounded to the same
    values. `coarse` rounds matrices to 8 bits. Raises RunError for a layer or weight that the page
    cannot represent.
    """
    layers = []
    for layer, x_shape, y_shape in layer_shapes(net, shape):
        if isinstance(layer, Dropout):
            continue  # it is inactive when sampling
        settings = {
            name: value
            for name, value in vars(layer).items()
            if isinstance(value, (bool, int, float, str, tuple))
        }
        entry: dict[str, Any] = {
            **settings,
            "kind": forward_name(layer),
            "from": x_shape,
            "to": y_shape,
        }
        for name in (*layer.param_names, *layer.buffer_names):
            entry[name] = append_weights(layer, name, data, coarse=coarse and name in "WE")
        layers.append(entry)
    return layers


def append_weights(layer: Layer, name: str, data: bytearray, *, coarse: bool) -> dict:
    """Round an array of a layer and append it to `data`; the array itself becomes the rounded one.

    Returns the position of its first byte, its size, and the scale of each column if its numbers
    have 8 bits. Raises RunError for numbers too large for float16.
    """
    array = getattr(layer, name)
    place: dict[str, Any] = {"at": len(data), "n": array.size}
    if coarse:
        q, scale = round_to_8_bits(array)
        array[...] = q * scale
        data += q.tobytes()
        return {**place, "scale": scale.tolist()}
    if abs(array).max() > MAX_FLOAT16:
        raise RunError(
            f"{layer!r} has a {name} of {abs(array).max():.0f}, but a page holds numbers up to"
            f" {MAX_FLOAT16}: train it again"
        )
    array[...] = half = array.astype("<f2")
    data += half.reshape(-1, 1).view("uint8").T.tobytes()
    return place


def strongest_directions(z: np.ndarray, images: np.ndarray, n: int) -> np.ndarray:
    """The n unit vectors (n, Z) along which images (N, ...) change most with z (N, Z)."""
    x = images.reshape(len(images), -1)
    return np.linalg.svd(z.T @ (x - x.mean(axis=0)))[0].T[:n]


def without_spectral_norm(net: Sequential, shape: tuple[int, ...]) -> Sequential:
    """A copy in which each SpectralNorm is replaced by its wrapped layer, with V = W / sigma."""
    net.forward(example_input(net, shape))  # after this, each wrapped layer holds its V
    return Sequential(
        [
            layer.layer if isinstance(layer, SpectralNorm) else layer
            for layer in copy.deepcopy(net).layers
        ]
    )


def score_table(loss: str, logits: np.ndarray) -> dict:
    """A table of D's score, from 0 (fake) to 1 (real), as a function of the logit.

    See gan/losses.py for the scores. For some losses (wasserstein) the score depends on the batch
    and has no scale of its own. A logit is then compared with the mean of `logits`, the logits of
    generated images.
    """
    adversarial = GAN_LOSSES[loss]
    centre = float(logits.mean()) if adversarial.score_over_batch else 0.0

    def score(a):
        scores = sigmoid(a - centre) if adversarial.score_over_batch else adversarial.score(a)
        return scores.clip(0, 1)

    reach = max(TABLE_REACH, float(abs(logits - centre).max()))
    ends = centre + np.array([-1.0, 1.0])[:, None] * [TABLE_REACH, reach]
    if abs(np.diff(score(ends))).max() < 1e-5:
        reach = TABLE_REACH  # the score is constant beyond it
    a = np.linspace(centre - reach, centre + reach, TABLE_SIZE)
    return {"first": a[0], "last": a[-1], "values": score(a).round(5).tolist()}


def score_in_table(table: dict, logits: np.ndarray) -> np.ndarray:
    """The scores of logits, interpolated in such a table as on the page."""
    a = np.linspace(table["first"], table["last"], len(table["values"]))
    return np.interp(logits, a, table["values"])


def images_and_logits(
    G: Sequential, D: Sequential | None, z: np.ndarray, labels: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """G's images for z (N, Z) and one-hot labels (N, C), and D's logits for these images.

    Without D, the logits are 0. Both are computed in chunks, because the hidden layers need more
    memory than the images.
    """
    images, logits = [], []
    for i in range(0, len(z), MEASURED_AT_ONCE):
        part = slice(i, i + MEASURED_AT_ONCE)
        some = None if labels is None else labels[part]
        images.append(G.forward(with_labels(z[part], some))[0])
        logits.append(
            D.forward(with_labels(images[-1], some))[0] if D else np.zeros((len(images[-1]), 1))
        )
    return np.concatenate(images), np.concatenate(logits)


def largest_and_mean(differences: np.ndarray) -> list[float]:
    """[largest, mean] of absolute differences."""
    return [float(abs(differences).max()), float(abs(differences).mean())]


def web_page(settings: dict, recipe: Recipe, G: Sequential, D: Sequential | None) -> bytes:
    """The web page of a run, given the result of load_networks_of. Raises RunError."""
    names, shape = class_names(settings), image_shape(settings)
    z, classes = latents_and_labels(settings, recipe, MEASURED_IMAGES, seed=0)
    latents = conditional_latents(z, classes, class_count(settings))
    labels = latents[1] if isinstance(latents, tuple) else None
    images, logits = images_and_logits(G, D, z, labels)

    data = bytearray()
    G = without_spectral_norm(G, (recipe.latent_dim,))
    D = without_spectral_norm(D, shape) if D else None
    scores = score_table(recipe.loss, logits)
    model = {
        "recipe": recipe.name,
        "shape": (*shape, 1)[:3],
        "noun": "digit" if settings["digits"] else "image",
        "Z": recipe.latent_dim,
        "classes": names,
        "shares": [round(share, 6) for share in settings["shares"]] if classes is not None else [],
        "noise": recipe.noise,
        "pixelMin": recipe.pixel_min,
        "scores": scores,
        "probability": GAN_LOSSES[recipe.loss].score_is_probability,
        "directions": strongest_directions(z, images, SLIDERS).round(5).tolist(),
        "G": pack_network(G, (recipe.latent_dim,), data, coarse=False),
        "D": pack_network(D, shape, data, coarse=True) if D else None,
    }
    rounded_images, rounded_logits = images_and_logits(G, D, z, labels)
    model["errors"] = {
        "image": largest_and_mean(
            unscale(rounded_images, recipe.pixel_min) - unscale(images, recipe.pixel_min)
        ),
        "score": largest_and_mean(
            score_in_table(scores, rounded_logits) - score_in_table(scores, logits)
        ),
        "count": MEASURED_IMAGES,
    }
    model["weights"] = base64.b64encode(gzip.compress(data, mtime=0)).decode()
    return fill_template(model, [*G.layers, *(D.layers if D else ())])


def fill_template(model: dict, layers: list[Layer]) -> bytes:
    """page.html with the model and the JavaScript of additional layers inserted."""
    more = {type(layer).__name__: layer.javascript for layer in layers if layer.javascript}
    forwards = "\n".join(f"{code}\nforwards.{name} = {name};" for name, code in more.items())
    page = TEMPLATE.read_text(encoding="utf-8").replace("// MORE_FORWARDS", forwards, 1)
    return fill_page(page, model).encode()
