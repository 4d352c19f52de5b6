"""Webpage: a run as one page that draws in any browser, with nothing but what is in it.

The idea
    webpage.html has the forwards of all layers again, in plain JavaScript. Into it go the layers of G and
    D, and their weights: over a million numbers, which as float32 in text would take six megabytes. So
    they are rounded.

    G's become float16: 10 binary digits after the first, so each is wrong by at most 1/2048 of itself, or,
    if it is tiny, by 3e-8. D only answers one question, so 8 bits a number will do for its matrices: column
    by column

        scale = largest |W| / 127       q = W / scale, rounded: a whole number from -127 to 127

    and W is read as q * scale, wrong by at most half a scale. What the rounding costs is measured while the
    page is made, on images drawn with and without it, and said on the page.

    Then the bytes are packed. A float16 has two, and the upper one (sign, exponent, and the first digits)
    takes few different values. So all lower bytes come first, then all upper ones: gzip makes that
    smaller. Base64 makes text of it, since a page is text.

Directions
    The sliders move z along those directions in which the images change most, on average. For normal z the
    mean of z_i x is the mean derivative of x by z_i (Stein 1981). For all i at once that is the matrix
    zᵀx / N. The directions that it stretches most are its singular vectors, as u and v in spectral.py; the
    one with the largest effect comes first. A slider stands where z is in its direction.

>>> q, scale = round_to_8_bits(np.array([[0.5, 100.0], [-1.27, 0.0]]))
>>> q.tolist(), scale.tolist()                      # 0.5 is 50 hundredths
([[50, 127], [-127, 0]], [0.01, 0.787402])
"""
import base64
import copy
import gzip
import json
import math
from pathlib import Path

import numpy as np

from minigan.activations import LeakyReLU, Sigmoid, Tanh, sigmoid
from minigan.adversarial import GAN_LOSSES
from minigan.batchnorm import BatchNorm
from minigan.conv import Conv2D, ConvTranspose2D
from minigan.data import unscale
from minigan.dense import Dense
from minigan.drawing import noise, with_labels
from minigan.dropout import Dropout
from minigan.network import Sequential
from minigan.runs import RunError, class_names, image_shape
from minigan.shapes import AveragePool2D, LabelPlanes, Maxout, Reshape, UpSample2D
from minigan.spectral import SpectralNorm

TEMPLATE = Path(__file__).with_name("webpage.html")
KINDS = (Dense, LeakyReLU, Tanh, Sigmoid, BatchNorm, Conv2D, ConvTranspose2D, AveragePool2D, UpSample2D, Reshape, LabelPlanes,
         Maxout)  # of which the page has a forward
SETTINGS = "slope", "eps", "size", "stride", "padding", "k", "shape"  # of a layer, beside its weights
SLIDERS = 6
DRAWN = 500  # images, to measure by


def steps(net, n_in):
    """(layer, shape of its x, shape of its y), without N, for each layer that does something when it samples."""
    x = np.zeros((1, n_in), net.theta.dtype)
    for layer in net.layers:
        y, _ = layer.forward(x)
        if type(layer) is not Dropout:
            yield layer, x.shape[1:], y.shape[1:]
        x = y


def round_to_8_bits(W):
    """(q, scale) with W close to q * scale: q is int8, of W's shape; scale (M,) has 6 decimal digits, one number a column."""
    largest = abs(W).reshape(-1, W.shape[-1]).max(axis=0)
    scale = np.array([float(f"{s:.6g}") for s in largest / 127])
    return np.rint(W / np.where(scale > 0, scale, 1)).clip(-127, 127).astype("int8"), scale


def pack(net, n_in, data, coarse):
    """What the page is told of each layer, a list of dicts; appends the weights to `data`, a bytearray, and rounds
    the network's own to what was appended. Raises RunError for a layer or a weight that the page cannot have."""
    told = []
    for layer, x, y in steps(net, n_in):
        kind = next((kind.__name__ for kind in KINDS if isinstance(layer, kind)), None)
        if not kind:
            raise RunError(f"{layer!r} cannot be exported: minigan/webpage.html has no forward for it")
        settings = {name: value for name, value in vars(layer).items() if name in SETTINGS}
        told.append({"kind": kind, "from": x, "to": y, **settings})
        for name in (*layer.names, *layer.states):
            a = getattr(layer, name)
            told[-1][name] = {"at": len(data), "n": a.size}
            if coarse and name == "W":
                q, scale = round_to_8_bits(a)
                told[-1][name]["scale"] = scale.tolist()
                a[...] = q * scale
                data += q.tobytes()
            else:
                if abs(a).max() > 65504:
                    raise RunError(f"{layer!r} has a {name} of {abs(a).max():.0f}, and a page holds numbers up to 65504: train it anew")
                a[...] = half = a.astype("<f2")
                data += half.reshape(-1, 1).view("uint8").T.tobytes()
    return told


def directions(z, x, n):
    """The n directions, (n, Z) and of length 1, along which x (N, pixels) changes most with z (N, Z); the strongest first."""
    return np.linalg.svd(z.T @ (x - x.mean(axis=0)))[0].T[:n]


def plain(net, n_in):
    """A copy of a network in which each SpectralNorm is the layer that it wraps, with V = W / sigma for W (see spectral.py)."""
    net.forward(np.zeros((1, n_in), net.theta.dtype))  # whereupon each of them holds its V
    return Sequential([layer.layer if isinstance(layer, SpectralNorm) else layer for layer in copy.deepcopy(net).layers])


def web_page(settings, recipe, G, D):
    """The page of a run, bytes; settings, recipe, G and D as load_networks gives them."""
    names, shape = class_names(settings), (*image_shape(settings), 1)[:3]
    n_z, n_x = recipe.latent_dim + len(names), math.prod(shape) + len(names)
    z, labels = noise(settings, recipe, DRAWN, 0)

    def results(G, D):
        x, a = [], []
        for some in np.array_split(np.arange(DRAWN), 10):  # the layers in between need more room than the images
            label = None if labels is None else labels[some]
            x.append(G.forward(with_labels(z[some], label, settings))[0])
            a.append(D.forward(with_labels(x[-1], label, settings))[0])
        return np.concatenate(x), np.concatenate(a)

    x, a = results(G, D)
    data, G, D = bytearray(), plain(G, n_z), plain(D, n_x)
    model = {
        "recipe": recipe.name, "shape": shape, "noun": "digit" if settings["digits"] else "image", "Z": recipe.latent_dim,
        "classes": names, "noise": recipe.noise, "low": recipe.low, "loss": recipe.loss, "middle": float(a.mean()),
        "directions": directions(z, x, SLIDERS).round(5).tolist(),
        "G": pack(G, n_z, data, coarse=False), "D": pack(D, n_x, data, coarse=True),
    }
    rounded_x, rounded_a = results(G, D)
    of_images = abs(unscale(rounded_x, recipe.low) - unscale(x, recipe.low))
    of_verdicts = abs(score(recipe.loss, rounded_a, model["middle"]) - score(recipe.loss, a, model["middle"]))
    model["errors"] = {"image": [float(of_images.max()), float(of_images.mean())],
                       "verdict": [float(of_verdicts.max()), float(of_verdicts.mean())], "count": DRAWN}
    model["weights"] = base64.b64encode(gzip.compress(data, mtime=0)).decode()
    text = json.dumps(model).replace("<", "\\u003c")  # so that nothing in a run's settings can end the script
    return TEMPLATE.read_text(encoding="utf-8").replace("MODEL_GOES_HERE", text, 1).encode()


def score(loss, a, middle):
    """D's answers a as the page shows them, from 0 to 1, as in adversarial.py; of wasserstein, which knows no scale, by
    how they compare with `middle`, the mean answer to drawn images."""
    return sigmoid(a - middle) if loss == "wasserstein" else GAN_LOSSES[loss].score(a).clip(0, 1)
