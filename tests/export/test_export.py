"""Exports against NumPy's forward: ONNX Runtime, PyTorch, and the web page in Node and Chromium.

Tests are skipped where the program that they need is not installed.
"""

import base64
import copy
import gzip
import html
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
import pytest
from browser import Browser
from helpers import demo, idx

from minigan.datasets.load import Dataset
from minigan.export import html as webpage
from minigan.export.onnx import onnx_file
from minigan.export.run import export_run
from minigan.export.torch import loader_script, state_dict
from minigan.gan.latents import one_hot, sample_latents
from minigan.gan.losses import GAN_LOSSES
from minigan.gan.models import make_networks
from minigan.gan.recipes import CHOICES, RECIPES, Recipe, replace
from minigan.gan.steps import with_labels
from minigan.nn.activations import LeakyReLU, Tanh, sigmoid
from minigan.nn.batchnorm import BatchNorm2d
from minigan.nn.dense import Dense
from minigan.nn.dropout import Dropout
from minigan.nn.layer import Layer
from minigan.nn.pooling import AvgPool2d, Upsample
from minigan.nn.reshape import Reshape
from minigan.nn.sequential import Sequential
from minigan.training.run_folder import (
    RunError,
    class_count,
    image_shape,
    make_settings,
    save_model,
)
from minigan.training.sampling import (
    conditional_latents,
    generate,
    latents_and_labels,
    load_networks,
)

# of pixels from 0 to 1: another order of summation rounds differently (up to 2e-6)
TOLERANCE = 1e-5
SIZE = 28, 20  # not square, so that exchanging height and width is noticed
Z = 24
N = 30  # images that are compared


class Trained(NamedTuple):
    """What load_networks returns, and latents to compare images of."""

    settings: dict
    recipe: Recipe
    G: Sequential
    D: Sequential
    z: np.ndarray  # (N, Z)
    labels: np.ndarray | None  # (N, C)

    @property
    def latents(self):
        return with_labels(self.z, self.labels)

    @property
    def exported_z(self):
        """z as an exported generator takes it: with the labels behind it."""
        return self.z if self.labels is None else np.concatenate([self.z, self.labels], axis=1)

    @property
    def images(self):
        return generate(self.G, self.latents, self.recipe.pixel_min)


def randomise(net, rng):
    """Set all weights, biases and buffers such that every layer influences the output."""
    for layer in net.layers:
        for name in (*layer.param_names, *layer.buffer_names):
            a = getattr(layer, name)
            if name == "u":  # of SpectralNorm: converged for W, which comes before it
                a[...] = np.linalg.svd(layer.W.reshape(-1, a.size))[2][0]
            elif name == "W":
                fan_in = a.size // a.shape[-1 if type(layer).__name__ != "ConvTranspose2d" else -2]
                a[...] = rng.standard_normal(a.shape) * np.sqrt(2 / fan_in)
            elif name in ("gamma", "var"):
                a[...] = rng.random(a.shape) + 0.5
            else:
                a[...] = 0.3 * rng.standard_normal(a.shape)
    return net


def settings_of(recipe, shape=SIZE, *, names=(), labels=None, digits=True):
    """The settings of a run on images of that shape."""
    dataset = Dataset(np.zeros((1, *shape), np.uint8), labels, list(names), None, None, [])
    options = dict(clusters=labels, n_clusters=recipe.clusters) if recipe.clusters else {}
    return make_settings(recipe, dataset, "data", seed=0, backend="numpy", digits=digits, **options)


def fewer_units(recipe):
    """The same layers with fewer units: their number is not what is tested."""
    return replace(
        recipe,
        widths_G=tuple(w // 8 for w in recipe.widths_G),
        widths_D=tuple(w // 8 for w in recipe.widths_D),
        latent_dim=Z,
    )


RUNS: list[tuple[str, int, int, dict[str, Any]]] = [  # recipe, channels, classes, changed values
    *[(name, 1, 0, {}) for name in RECIPES],
    ("dense", 3, 4, {}),
    ("default", 1, 4, {}),
    ("default", 3, 0, {}),
    ("default-conv", 1, 0, {}),
    ("goodfellow-2014", 1, 3, {}),
    ("dcgan", 3, 0, {}),
    ("dcgan", 1, 5, {}),
    ("auto-write", 3, 2, {}),
    ("dense", 1, 0, {"spectral": True, "loss": "wasserstein"}),
    ("default", 1, 2, {"spectral": True, "loss": "hinge"}),
    ("pytorch-mlp", 1, 0, {"loss": "least-squares"}),
    ("dense", 1, 0, {"loss": "minimax"}),
    ("default", 1, 3, {"clusters": 3}),
]


@pytest.fixture(params=RUNS, ids=str)
def run(request):
    """A run of each recipe; of some also one in colour, with labels, or with changed values."""
    name, channels, n_classes, changes = request.param
    return make_run(name, (*SIZE, 3)[: 3 if channels == 3 else 2], n_classes, **changes)


def make_run(name, shape, n_classes, **changes):
    """A run of that recipe on images of that shape, in which every layer matters."""
    rng = np.random.default_rng(1)
    recipe = RECIPES[name]
    changes = {"conditional": n_classes > 0, "clusters": 0} | changes
    if changes["clusters"]:
        changes["conditional"] = False
    recipe = replace(fewer_units(recipe), **changes)
    G, D = make_networks(recipe, shape, n_classes=n_classes, rng=np.random.default_rng(0))
    randomise(G, rng), randomise(D, rng)
    settings = settings_of(
        recipe,
        shape,
        names=[f"c{i}" for i in range(n_classes)],
        labels=np.append(np.arange(max(1, n_classes)), [0, 0]),  # the first is the most frequent
    )
    z = sample_latents(recipe, rng, N)
    labels = one_hot(np.arange(N) % n_classes, n_classes) if n_classes else None
    made = Trained(settings, recipe, G, D, z, labels)
    if n_classes:
        other = generate(G, (z, np.roll(labels, 1, axis=1)), recipe.pixel_min)
        assert abs(made.images - other).mean() > 0.005  # the label matters
    images = made.images
    assert images.shape == (N, *shape)
    assert images.std(axis=0).mean() > 0.05  # z matters, and few pixels are clipped
    assert 0.1 < ((images > 0) & (images < 1)).mean()
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with one finished run of the default recipe in run/."""
    folder = tmp_path_factory.mktemp("export")
    images = np.random.default_rng(0).integers(0, 256, (128, 28, 28), dtype=np.uint8)
    (folder / "train-images-idx3-ubyte").write_bytes(idx(images))
    result = demo("--data", ".", "--epochs", 1, "--out", "run", cwd=folder)
    assert result.returncode == 0, result.stderr
    return folder


# ---- PyTorch ----


def in_torch(made, tmp_path, monkeypatch):
    """The global variables of the loader script after it has run, with the state dict beside it."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    torch.manual_seed(0)
    settings, recipe, G = made[:3]
    (tmp_path / "its name.safetensors").write_bytes(state_dict(settings, recipe, G))
    (tmp_path / "script.py").write_bytes(loader_script(settings, recipe, G, "its name.safetensors"))
    monkeypatch.chdir(tmp_path)
    return runpy.run_path("script.py")


def split_z(exported_z):
    """(z, labels or None) from the z of an exported generator."""
    return exported_z[:, :Z], exported_z[:, Z:] if exported_z.shape[1] > Z else None


def test_pytorch_generates_the_same_images(run, tmp_path, monkeypatch):
    settings, recipe, G = run[:3]
    there = in_torch(run, tmp_path, monkeypatch)
    torch, z, images = there["torch"], there["z"].numpy(), there["images"].numpy()
    assert images.shape == (100, *image_shape(settings)) and z.shape == (
        100,
        run.exported_z.shape[1],
    )
    noise, labels = split_z(z)
    assert abs(noise.var() - 1) < 6 * (2 / 2400) ** 0.5
    assert (abs(noise).max() < 1.74) == (recipe.noise == "uniform")
    signs = abs(noise) == 1
    assert signs.any() == signs[:, Z // 2 :].all() == (recipe.noise == "half-binary")
    assert not signs[:, : Z // 2].any() and abs(noise.mean()) < 6 / 2400**0.5
    if labels is not None:
        assert (labels == one_hot(np.arange(100) % labels.shape[1], labels.shape[1])).all()
    expected = generate(G, with_labels(noise, labels), recipe.pixel_min)
    assert abs(expected - images).max() < TOLERANCE
    assert images.min() >= 0 and images.max() <= 1
    x = G.forward(run.latents)[0]
    there_x = there["G"](torch.from_numpy(run.exported_z)).numpy()
    assert there_x.shape == x.shape and abs(there_x - x).max() < 2 * TOLERANCE
    exact = Sequential([copy.deepcopy(layer) for layer in G.layers])  # the same in float64
    exact.bind_views(G.theta.astype("float64"), G.buffers.astype("float64"))
    noise, labels = split_z(run.exported_z.astype("float64"))
    there_x = there["G"].double()(torch.from_numpy(run.exported_z.astype("float64"))).numpy()
    assert abs(there_x - exact.forward(with_labels(noise, labels))[0]).max() < 1e-12


def test_the_state_dict_has_pytorchs_names_and_shapes(run):
    pytest.importorskip("safetensors")
    from safetensors.numpy import load

    state = load(state_dict(run.settings, run.recipe, run.G))
    floats = {name: a for name, a in state.items() if "num_batches" not in name}
    assert {name.split(".")[1] for name in floats} <= {
        "weight",
        "bias",
        "running_mean",
        "running_var",
    }
    assert sum(a.size for a in floats.values()) == run.G.theta.size + run.G.buffers.size
    script = loader_script(run.settings, run.recipe, run.G, "a.safetensors").decode()
    compile(script, "script.py", "exec")
    assert script.count("nn.Linear") == sum(isinstance(layer, Dense) for layer in run.G.layers)


@pytest.mark.parametrize("name, longest", [("default", 25), ("dense", 12)])
def test_the_script_of_our_own_recipes_is_short(name, longest):
    recipe, shape = RECIPES[name], (28, 28)
    settings = settings_of(recipe, shape, labels=np.arange(recipe.clusters))
    n_classes = class_count(settings)
    G, _ = make_networks(recipe, shape, n_classes=n_classes, rng=np.random.default_rng(0))
    lines = [
        line
        for line in loader_script(settings, recipe, G, "a.safetensors").decode().splitlines()
        if line and line[0] != "#"
    ]
    assert len(lines) <= longest and max(map(len, lines)) < 100
    half = recipe.latent_dim // 2  # in words, because PyTorch may be missing
    signs = f"z[:, {half}:] = 1 - 2 * (z[:, {half}:] < 0).float()"
    assert (signs in lines) == (recipe.noise == "half-binary") == (name == "default")
    chosen = "torch.eye(len(shares))[shares.multinomial(100, replacement=True)]"
    assert any(chosen in line for line in lines) == (recipe.clusters > 0) == (name == "default")


# ---- ONNX ----


def in_onnx_runtime(content):
    """A session of ONNX Runtime."""
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    return runtime.InferenceSession(content, providers=["CPUExecutionProvider"])


def test_onnx_runtime_generates_the_same_images(run):
    pytest.importorskip("onnx")
    settings, recipe, G = run[:3]
    session, z, shape = (
        in_onnx_runtime(onnx_file(settings, recipe, G)),
        run.exported_z,
        image_shape(settings),
    )
    (entry,), (exit,) = session.get_inputs(), session.get_outputs()
    assert (entry.name, entry.shape) == ("z", ["N", z.shape[1]])
    assert (exit.name, exit.shape) == ("images", ["N", *shape])
    assert z.shape[1] == Z + (0 if run.labels is None else run.labels.shape[1])
    for n in 1, N:
        (there,) = session.run(None, {"z": z[:n]})
        assert there.dtype == np.float32 and there.shape == (n, *shape)
        assert there.min() >= 0 and there.max() <= 1
        assert abs(there - run.images[:n]).max() < TOLERANCE


def test_every_convolution_states_the_size_of_its_kernel(run):
    """The attribute is optional, but OpenCV 4.8 to 4.12 refuse a file without it."""
    onnx = pytest.importorskip("onnx")
    graph = onnx.load_model_from_string(onnx_file(*run[:3])).graph
    shapes = {array.name: tuple(array.dims) for array in graph.initializer}
    for node in graph.node:
        if node.op_type in ("Conv", "ConvTranspose"):
            attributes = {a.name: tuple(a.ints) for a in node.attribute}
            assert attributes["kernel_shape"] == shapes[node.input[1]][2:]


def test_batch_norm_behind_weights_is_part_of_them(run):
    """OpenCV 4 would fold it into the weights once more for each new size of a batch."""
    onnx = pytest.importorskip("onnx")
    before = run.G.theta.copy()
    graph = onnx.load_model_from_string(onnx_file(*run[:3])).graph
    assert "BatchNormalization" not in {node.op_type for node in graph.node}
    assert (run.G.theta == before).all() and len(run.G.forward(run.latents)[0]) == N


def test_the_graph_says_what_its_inputs_are():
    onnx = pytest.importorskip("onnx")
    recipe = replace(fewer_units(RECIPES["default"]), conditional=True)
    settings = settings_of(recipe, names=["cat", "dog"], labels=np.array([0, 1]))
    G, _ = make_networks(recipe, SIZE, n_classes=2, rng=np.random.default_rng(0))
    text = onnx.load_model_from_string(onnx_file(settings, recipe, G)).doc_string
    assert f"24 latents, {recipe.noise}," in text and recipe.noise == "half-binary"
    assert "'cat', 'dog'" in text and str(SIZE) in text


# ---- The page ----

CHROMIUM = (
    os.environ.get("CHROMIUM")
    or shutil.which("chromium")
    or shutil.which("chromium-browser")
    or shutil.which("google-chrome")
)
NODE = shutil.which("node")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run"
    " --disable-background-networking --disable-component-update --disable-sync"
    " --virtual-time-budget=60000 --window-size=1000,800"
).split()


def model_of(page):
    """(the model in a page, its bytes)."""
    model = json.loads(re.search(rb"const model = (.*);\n", page)[1])
    return model, np.frombuffer(gzip.decompress(base64.b64decode(model["weights"])), "uint8")


def expected_score(loss, logits, mean):
    """The score that the page should show; mean is the mean logit of many generated images."""
    return {
        "wasserstein": lambda: sigmoid(logits - mean),
        "least-squares": lambda: logits.clip(0, 1),
        "hinge": lambda: ((logits + 1) / 2).clip(0, 1),
    }.get(loss, lambda: sigmoid(logits))()


def as_the_page_reads(net, shape, entries, data):
    """The network, which takes (N, *shape), with the weights that a page holds for it."""
    net = webpage.without_spectral_norm(net, shape)
    parts = iter(entries)
    for layer in net.layers:
        if isinstance(layer, Dropout):
            continue
        part = next(parts)
        for name in (*layer.param_names, *layer.buffer_names):
            at, n, scale = (part[name].get(key) for key in ("at", "n", "scale"))
            if scale:
                values = data[at : at + n].view("int8").reshape(-1, len(scale)) * np.array(scale)
            else:
                pairs = np.stack([data[at : at + n], data[at + n : at + 2 * n]], axis=1)
                values = pairs.copy().view("<f2")
            getattr(layer, name)[...] = values.reshape(getattr(layer, name).shape)
    assert next(parts, None) is None
    return net


def networks_of_page(page, made):
    """(model, G, D): the model in a page, and both networks with the weights in it."""
    model, data = model_of(page)
    return (
        model,
        as_the_page_reads(made.G, (made.recipe.latent_dim,), model["G"], data),
        as_the_page_reads(made.D, image_shape(made.settings), model["D"], data),
    )


def test_the_page_holds_the_weights_rounded_as_it_says(run):
    settings, recipe, G, D = run[:4]
    before = G.theta.copy(), D.theta.copy()
    page = webpage.web_page(settings, recipe, G, D)
    assert (G.theta == before[0]).all() and (D.theta == before[1]).all()  # the run is unchanged
    model, G2, D2 = networks_of_page(page, run)
    x = G.forward(run.latents)[0]
    plain = webpage.without_spectral_norm(D, image_shape(settings))
    both = with_labels(x, run.labels)
    assert np.allclose(plain.forward(both)[0], D.forward(both)[0], atol=1e-5)
    assert (G2.theta == G.theta.astype("float16")).all()
    assert (G2.buffers == G.buffers.astype("float16")).all()
    for layer, rounded in zip(plain.layers, D2.layers):
        for name in set(layer.param_names) & {"W", "E"}:
            exact = getattr(layer, name)
            largest = abs(exact).reshape(-1, exact.shape[-1]).max(axis=0)
            assert (abs(exact - getattr(rounded, name)) <= 0.501 * largest / 127).all()
        for name in set(layer.param_names) - {"W", "E"}:
            exact = getattr(layer, name)
            assert (getattr(rounded, name) == exact.astype("float16")).all(), name

    z, classes = latents_and_labels(settings, recipe, webpage.MEASURED_IMAGES, seed=0)
    latents = conditional_latents(z, classes, len(model["shares"]))
    labels = latents[1] if isinstance(latents, tuple) else None
    exact, there = G.forward(latents)[0], G2.forward(latents)[0]
    a, a2 = D.forward(with_labels(exact, labels))[0], D2.forward(with_labels(there, labels))[0]
    scores = [expected_score(recipe.loss, logits, a.mean()) for logits in (a, a2)]
    assert abs(webpage.score_in_table(model["scores"], a) - scores[0]).max() < 2e-5
    images = [generate(net, latents, recipe.pixel_min) for net in (G, G2)]
    for name, difference in (
        ("image", abs(images[0] - images[1])),
        ("score", abs(scores[0] - scores[1])),
    ):
        expected = [difference.max(), difference.mean()]
        assert np.allclose(model["errors"][name], expected, rtol=0.05, atol=1e-5)
        assert 0 < model["errors"][name][0] < 0.1
    u = np.array(model["directions"])
    assert np.allclose(u @ u.T, np.eye(len(u)), atol=1e-4)
    assert model["probability"] == (recipe.loss in ("non-saturating", "minimax"))


def test_the_table_of_scores_reaches_as_far_as_the_score_changes(monkeypatch):
    logits = np.random.default_rng(0).uniform(-400, 300, (50, 1))
    for loss in "non-saturating", "hinge", "least-squares", "wasserstein":
        table = webpage.score_table(loss, logits)
        shown = webpage.score_in_table(table, logits)
        assert abs(shown - expected_score(loss, logits, logits.mean())).max() < 2e-5, loss
    wide = GAN_LOSSES["hinge"]._replace(score=lambda a: (a + 500) / 1000)
    monkeypatch.setitem(GAN_LOSSES, "wide", wide)
    shown = webpage.score_in_table(webpage.score_table("wide", logits), logits)
    assert abs(shown - (logits + 500) / 1000).max() < 2e-5


def test_the_directions_are_those_in_which_most_changes():
    rng = np.random.default_rng(0)
    z = rng.standard_normal((4000, 5))
    x = z @ np.diag([1, 4, 0, 2, 0]) @ rng.standard_normal((5, 40)) + 7
    u = webpage.strongest_directions(z, x.reshape(-1, 8, 5), 2)
    assert abs(u[0, 1]) > 0.9 and abs(u[1, 3]) > 0.9 and u.shape == (2, 5)


def pairs_for(z, labels):
    """[[z, label], ...] as the page's functions take them, in JSON."""
    labels = np.zeros((len(z), 0)) if labels is None else labels
    return json.dumps([[list(map(float, a)), list(map(float, b))] for a, b in zip(z, labels)])


def in_node(page, z, labels, tmp_path):
    """{"images", "scores"} that the functions of a page compute, without a browser."""
    code = f"""const images = [], scores = [];
      for (const [z, label] of {pairs_for(z, labels)}) {{
        const x = G(z, label);
        images.push([...pixels(x)]);
        scores.push(D(x, label));
      }}
      console.log(JSON.stringify({{images, scores}}));"""
    return run_in_node(page, code, tmp_path)


def run_in_node(page, code, tmp_path):
    """What `code` prints when it runs after the functions of a page."""
    if not NODE:
        pytest.skip("Node is not installed")
    script = re.search(r"<script>\n(.*?)// ---- The page ----", page.decode(), re.S)[1]
    script += f"unpack().then(() => {{ {code} }});"
    (tmp_path / "page.js").write_text(script, encoding="utf-8")
    result = subprocess.run(
        [NODE, tmp_path / "page.js"], capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return json.loads(result.stdout)


def check_numbers(answer, made, page, n):
    """The page's images and scores of the first n latents are NumPy's with the rounded weights."""
    model, G, D = networks_of_page(page, made)
    latents = with_labels(made.z[:n], None if made.labels is None else made.labels[:n])
    images = generate(G, latents, made.recipe.pixel_min)
    assert abs(np.array(answer["images"]) - images.reshape(n, -1)).max() < 1e-5
    labels = latents[1] if isinstance(latents, tuple) else None
    logits = D.forward(with_labels(G.forward(latents)[0], labels))[0].ravel()
    scores = webpage.score_in_table(model["scores"], logits)
    assert abs(np.array(answer["scores"]) - scores).max() < 1e-5 and scores.std() > 0.001
    return model, G, D


def test_the_page_computes_what_numpy_computes(run, tmp_path):
    page = webpage.web_page(*run[:4])
    labels = None if run.labels is None else run.labels[:5]
    check_numbers(in_node(page, run.z[:5], labels, tmp_path), run, page, 5)


def test_the_page_draws_clusters_as_often_as_they_occur(tmp_path):
    made = make_run("default", SIZE, 3, clusters=3)
    settings = {**made.settings, "shares": [0.6, 0.1, 0.3]}
    page = webpage.web_page(settings, *made[1:4])
    code = "console.log(JSON.stringify(Array.from({length: 20000}, () => [...randomLabel()])))"
    labels = np.array(run_in_node(page, code, tmp_path))
    assert labels.shape == (20000, 3) and set(labels.ravel()) == {0, 1}
    np.testing.assert_array_equal(labels.sum(axis=1), 1)
    np.testing.assert_allclose(labels.mean(axis=0), settings["shares"], atol=0.02)


@pytest.mark.parametrize("latent_dim", [1, 5, 8])
@pytest.mark.parametrize("noise", CHOICES["noise"])
def test_the_page_samples_the_noise_of_the_recipe(noise, latent_dim, tmp_path):
    recipe = replace(fewer_units(RECIPES["dense"]), noise=noise, latent_dim=latent_dim)
    G, D = make_networks(recipe, SIZE, rng=np.random.default_rng(0))
    page = webpage.web_page(settings_of(recipe), recipe, G, D)
    code = "console.log(JSON.stringify(Array.from({length: 4000}, () => [...noise()])));"
    z = np.array(run_in_node(page, code, tmp_path))
    assert z.shape == (4000, latent_dim)
    assert abs(z.mean(axis=0)).max() < 6 / 4000**0.5
    np.testing.assert_allclose(z.T @ z / len(z), np.eye(latent_dim), atol=0.15)
    like = sample_latents(recipe, np.random.default_rng(1), 4000)
    for ours, theirs in zip(like.T, z.T):  # the same values in the same halves
        assert (set(np.unique(ours)) == {-1, 1}) == (set(np.unique(theirs)) == {-1, 1})
        shares = [[(abs(x) > limit).mean() for limit in (0.5, 1, 1.5, 2)] for x in (ours, theirs)]
        np.testing.assert_allclose(*shares, atol=0.06)


@pytest.mark.parametrize("n_classes", [0, 2])
@pytest.mark.parametrize("shape", [(6, 5), (7, 9, 3), (9, 2), (3, 10)], ids=str)
def test_images_of_any_size_are_generated_as_numpy_does(shape, n_classes, tmp_path, monkeypatch):
    """The transposed convolutions of the default recipe have kernels of 3 for odd sizes, and D's
    patches are larger.
    """
    made = make_run("default", shape, n_classes, widths_G=(32, 16, 8), widths_D=(8, 32, 16))
    page = webpage.web_page(*made[:4])
    check_numbers(in_node(page, made.z, made.labels, tmp_path), made, page, N)
    pytest.importorskip("onnx")
    content = onnx_file(*made[:3])
    (there,) = in_onnx_runtime(content).run(None, {"z": made.exported_z})
    assert abs(there - made.images).max() < TOLERANCE
    there = in_torch(made, tmp_path, monkeypatch)
    images = generate(made.G, with_labels(*split_z(there["z"].numpy())))
    assert abs(images - there["images"].numpy()).max() < TOLERANCE


ASK = """<script>
const errors = [];
// Chromium's virtual time knows only timers
requestAnimationFrame = callback => setTimeout(() => callback(performance.now()), 16);
cancelAnimationFrame = clearTimeout;
addEventListener("error", event => errors.push(String(event.message)));
addEventListener("unhandledrejection", event => errors.push(String(event.reason)));
addEventListener("securitypolicyviolation", event => errors.push(`loads ${event.blockedURI}`));
console.error = console.warn = (...words) => errors.push(words.join(" "));
</script>"""
ANSWER = """<script>
const sleep = seconds => new Promise(done => setTimeout(done, 1000 * seconds));
const [height, width, channels] = model.shape;
const shown = canvas => [...canvas.getContext("2d").getImageData(0, 0, width, height).data]
  .filter((_, i) => i % 4 < channels);
const state = () => ({
  z: [...z], label: [...label], score: $("score").textContent, bar: $("bar").style.width,
  large: shown($("large")), walk: $("walk").textContent,
  sliders: [...document.querySelectorAll("#directions input")].map(slider => +slider.value),
  pressed: [...$("classes").children].map(b => b.getAttribute("aria-pressed"))});
(async () => {
  const answer = {};
  try {
    while (!z || !$("grid").children.length) await sleep(.05);
    const asked = ASKED;
    answer.images = asked.map(([z, label]) => [...pixels(G(z, label))]);
    answer.scores = asked.map(([z, label]) => D(G(z, label), label));
    answer.start = state();
    $("new").click(); answer.fresh = state();
    $("direction1").value = 2.5; $("direction1").dispatchEvent(new Event("input"));
    answer.slid = state();
    $("walk").click(); answer.walking = [];
    for (let i = 0; i < 4; i++) { await sleep(.4); answer.walking.push(state()); }
    $("walk").click(); answer.stopped = state(); await sleep(.5); answer.still = state();
    $("grid").children[3].click(); await sleep(3); answer.other = state();
    answer.thumbnail = shown($("grid").children[3].firstChild);
    $("more").click();
    for (const button of $("classes").children) {
      button.click();
      (answer.classes ??= []).push(state());
    }
    answer.buttons = [...$("classes").children].map(b => b.textContent);
    answer.slerp = [0, .25, 1].map(
      t => [...slerp(Float64Array.of(1, 2, 0), Float64Array.of(-1, 0, 3), t)]);
    answer.halves = [0, 1, 0x3ff, 0x400, 0x3c00, 0xc000, 0x3555, 0x7bff, 0x8000].map(half);
    answer.normal = Array.from({length: 4000}, normal);
    answer.noise = [...noise()];
    answer.unnamed = [...document.querySelectorAll("button, input, canvas[role]")].filter(
      e => !(e.textContent.trim() || e.getAttribute("aria-label")
             || e.labels?.[0]?.textContent.trim())).length;
    answer.native = [...document.querySelectorAll("[onclick], [tabindex]")].length;
    answer.overflow = document.documentElement.scrollWidth - innerWidth;
    answer.text = document.body.innerText;
  } catch (error) { errors.push(String(error.stack)); }
  answer.errors = errors;
  const output = document.createElement("pre");
  output.id = "answer";
  output.textContent = JSON.stringify(answer);
  document.body.replaceChildren(output);
})();
</script></body>"""


def in_chromium(page, z, labels, tmp_path):
    """What ANSWER collects in the page, opened in Chromium."""
    if not CHROMIUM:
        pytest.skip("Chromium is not installed (apt install chromium, or set CHROMIUM)")
    text = page.decode().replace("<meta charset", ASK + "<meta charset", 1)
    text = text.replace("</body>", ANSWER.replace("ASKED", pairs_for(z, labels)))
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    result = subprocess.run(
        [
            CHROMIUM,
            *FLAGS,
            f"--user-data-dir={tmp_path / 'profile'}",
            "--dump-dom",
            (tmp_path / "page.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=900,
    )
    answer = re.search(r'<pre id="answer">(.*)</pre>', result.stdout)
    assert answer, result.stderr[-2000:]
    return json.loads(html.unescape(answer[1]))


@pytest.mark.long
def test_the_page_works_in_a_browser(run, tmp_path):
    page = webpage.web_page(*run[:4])
    labels = None if run.labels is None else run.labels[:5]
    answer = in_chromium(page, run.z[:5], labels, tmp_path)
    assert answer["errors"] == []
    check_interaction(answer, *check_numbers(answer, run, page, 5))


def test_a_page_without_a_discriminator_shows_the_images_and_no_score(tmp_path):
    """That of `export --epoch`: a run keeps no earlier D."""
    made = make_run("dense", SIZE, 0, widths_G=(20,), widths_D=(16,))
    settings, recipe, G, D = made[:4]
    shown, pages = [], [webpage.web_page(settings, recipe, G, d) for d in (D, None)]
    with Browser(tmp_path / "profile") as tab:
        for name, page in zip(["with.html", "without.html"], pages):
            (tmp_path / name).write_bytes(page)
            tab.open(tmp_path / name)
            tab.run(
                "new Promise(done => { const wait = () => $('grid').children.length"
                " ? done(0) : setTimeout(wait, 50); wait(); })"
            )
            shown.append(tab.run("document.body.innerText"))
            assert tab.complaints() == []
        z = json.dumps(made.z[0].tolist())
        there = tab.run(f"[...pixels(G(Float64Array.from({z}), []))]")
        assert abs(np.array(there) - made.images[0].ravel()).max() < 0.01  # rounded weights
    assert "Discriminator" in shown[0] and "D's" in shown[0] and "score" in shown[0]
    assert not re.search("discriminator|score|D's", shown[1], re.IGNORECASE)
    assert "Everything is computed in this page" in shown[1] and len(pages[1]) < len(pages[0])


NAMES = "start", "fresh", "slid", "stopped", "still", "other"  # states of the page in ANSWER


def check_interaction(answer, model, G, D):
    """The page shows what NumPy computes from its z, and its controls do what they say."""
    states = [answer[name] for name in NAMES] + answer["walking"] + answer.get("classes", [])
    for state in states:
        z, label = np.array([state["z"]], "float32"), np.array([state["label"]], "float32")
        label = label if label.size else None
        x = G.forward(with_labels(z, label))[0]
        pixels = (x - model["pixelMin"]) / (1 - model["pixelMin"])
        assert abs(255 * pixels.clip(0, 1).ravel() - state["large"]).max() < 0.51
        p = webpage.score_in_table(model["scores"], D.forward(with_labels(x, label))[0]).item()
        percent = int(re.search(r"\d+", state["score"])[0])
        assert abs(percent - 100 * p) < 0.51 and state["bar"] == f"{percent}%"
        assert ("probability" in state["score"]) == model["probability"]
        components = (np.array(model["directions"]) @ state["z"]).clip(-4, 4)
        assert abs(components - state["sliders"]).max() < 0.0251
    at = {name: np.array(answer[name]["z"]) for name in NAMES}
    assert abs(at["start"] - at["fresh"]).max() > 0.1
    moved, u = at["slid"] - at["fresh"], np.array(model["directions"])[1]
    assert abs(moved - (moved @ u) * u).max() < 1e-3  # along its direction only
    assert abs(at["slid"] @ u - 2.5) < 1e-3
    walked = [np.array(state["z"]) for state in answer["walking"]]
    assert all(abs(a - b).max() > 1e-3 for a, b in zip([at["slid"], *walked], walked))
    assert answer["walking"][0]["walk"] == "Stop" and answer["stopped"]["walk"] == "Walk"
    assert (at["stopped"] == at["still"]).all()
    assert answer["other"]["large"] == answer["thumbnail"]
    assert abs(at["other"] - at["still"]).max() > 0.1
    w = np.arccos(-1 / np.sqrt(50))
    between = np.sin(0.75 * w) * np.array([1, 2, 0]) + np.sin(0.25 * w) * np.array([-1, 0, 3])
    assert np.allclose(answer["slerp"], [[1, 2, 0], between / np.sin(w), [-1, 0, 3]])
    bits = np.array([0, 1, 0x3FF, 0x400, 0x3C00, 0xC000, 0x3555, 0x7BFF, 0x8000], "uint16")
    assert answer["halves"] == bits.view("float16").astype(float).tolist()
    assert abs(np.mean(answer["normal"])) < 0.1 and 0.9 < np.var(answer["normal"]) < 1.1
    assert len(answer["noise"]) == model["Z"]
    assert max(map(abs, answer["noise"])) < 1.7321 or model["noise"] != "uniform"
    signs = [abs(number) == 1 for number in answer["noise"]]
    half = model["Z"] // 2 if model["noise"] == "half-binary" else model["Z"]
    assert signs == [False] * half + [True] * (model["Z"] - half)
    assert answer["unnamed"] == answer["native"] == 0 and answer["overflow"] <= 0
    assert model["recipe"] in answer["text"]
    assert ("percentage points" in answer["text"]) == model["probability"]


def test_a_page_with_classes_has_a_button_for_each(tmp_path):
    rng, name = np.random.default_rng(3), "</script><b>three"
    recipe = replace(
        RECIPES["dense"],
        name=name,
        latent_dim=Z,
        widths_G=(20,),
        widths_D=(16,),
        conditional=True,
    )
    G, D = (randomise(net, rng) for net in make_networks(recipe, SIZE, n_classes=3, rng=rng))
    settings = settings_of(
        recipe, names=["cat", name, "dog"], labels=np.array([0, 1, 2, 2]), digits=False
    )
    page = webpage.web_page(settings, recipe, G, D)
    assert page.count(b"</script>") == 1  # although the recipe's name would end the script
    z, labels = rng.standard_normal((3, Z), "float32"), np.eye(3, dtype="float32")
    made = Trained(settings, recipe, G, D, z, labels)
    answer = in_chromium(page, z, labels, tmp_path)
    assert answer["buttons"] == ["cat", name, "dog"]
    assert "New image" in answer["text"] and name in answer["text"] and answer["errors"] == []
    check_interaction(answer, *check_numbers(answer, made, page, 3))
    for c, state in enumerate(answer["classes"]):
        assert state["label"] == labels[c].tolist()
        assert state["pressed"] == ["true" if i == c else "false" for i in range(3)]
        assert state["z"] == answer["classes"][0]["z"]
    assert answer["fresh"]["label"] == answer["start"]["label"]  # a new one of the same class


def made_by_hand(networks, latent_dim, z):
    """A run with networks of no recipe."""
    recipe = replace(RECIPES["dense"], name="odd", latent_dim=latent_dim)
    return Trained(settings_of(recipe), recipe, *networks, z, None)


def test_layers_of_no_recipe_generate_the_same_images(tmp_path, monkeypatch):
    """Pooling, batch norm of a vector, and a Reshape from images to images."""
    rng = np.random.default_rng(0)
    G = [
        Dense(6, 7 * 5 * 4, rng=rng),
        BatchNorm2d(7 * 5 * 4),
        Reshape(7, 5, 4),
        Upsample(4),
        Reshape(14, 40, 4),
        AvgPool2d(2),
        Upsample(2),
        BatchNorm2d(4),  # which follows no weights
        Reshape(2240),
        Dense(2240, 560, rng=rng),
        Tanh(),
        Reshape(*SIZE),
    ]
    D = [Reshape(560), Dense(560, 1, rng=rng)]
    z = rng.standard_normal((4, 6), "float32")
    made = made_by_hand((randomise(Sequential(G), rng), randomise(Sequential(D), rng)), 6, z)
    page = webpage.web_page(*made[:4])
    check_numbers(in_node(page, z, None, tmp_path), made, page, 4)
    pytest.importorskip("onnx")
    (there,) = in_onnx_runtime(onnx_file(*made[:3])).run(None, {"z": z})
    assert abs(there - made.images).max() < TOLERANCE
    there = in_torch(made, tmp_path, monkeypatch)
    assert abs(generate(made.G, there["z"].numpy()) - there["images"].numpy()).max() < TOLERANCE


class Square(Layer):
    """A layer that says nothing about itself."""

    def forward(self, x, *, train=False, rng=None):
        return x * x, x


def test_a_layer_that_does_not_describe_itself_is_refused():
    rng = np.random.default_rng(0)
    G = Sequential([Dense(6, 560, rng=rng), Square(), Reshape(*SIZE)])
    D = Sequential([Reshape(560), Dense(560, 1, rng=rng)])
    made = made_by_hand((G, D), 6, None)
    with pytest.raises(RunError, match=r"Square\(\) cannot be exported"):
        webpage.web_page(*made[:4])
    with pytest.raises(RunError, match=r"Square\(\) cannot be exported"):
        loader_script(*made[:3], "a.safetensors")
    pytest.importorskip("onnx")
    with pytest.raises(RunError, match=r"Square\(\) cannot be exported"):
        onnx_file(*made[:3])


def test_every_layer_of_the_page_is_a_layer_of_the_package():
    from minigan import nn

    for name in webpage.page_forwards():
        assert issubclass(getattr(nn, name), Layer), name
    assert webpage.forward_name(LeakyReLU()) == webpage.forward_name(nn.ReLU()) == "LeakyReLU"


def test_a_weight_beyond_float16_is_refused(folder):
    settings, recipe, G, D = load_networks(folder / "run")
    next(layer for layer in G.layers if isinstance(layer, Dense)).b[3] = -1e5
    with pytest.raises(RunError, match="a b of 100000, .* up to 65504"):
        webpage.web_page(settings, recipe, G, D)


# ---- The command ----


def tree(folder):
    """When each file in a folder was last changed."""
    return {path: path.lstat().st_mtime_ns for path in folder.rglob("*")}


def test_the_command_writes_what_it_says(folder, tmp_path):
    result = demo("export", folder / "run", "--to", "html", "--out", "run.html", cwd=tmp_path)
    assert result.returncode == 0 and result.stderr == ""
    page = (tmp_path / "run.html").read_bytes()
    assert result.stdout == f"written: run.html ({len(page) / 1e6:.1f} MB)\n"
    assert 1_000_000 < len(page) < 2_300_000
    for word in (b"://", b"fetch(", b"import(", b"XMLHttpRequest", b"src="):  # loads nothing
        assert word not in page
    assert b"default-src 'none'" in page
    out = tmp_path / "b.html"
    result = demo("export", ".", "--to", "html", "--out", out, cwd=folder / "run")
    assert result.returncode == 0
    assert out.read_bytes() == page  # the same every time
    pytest.importorskip("onnx")
    pytest.importorskip("safetensors")
    result = demo("export", folder / "run", "--to", "onnx", "--out", "a.onnx", cwd=tmp_path)
    assert result.returncode == 0
    result = demo("export", folder / "run", "--to", "torch", "--out", "a.safetensors", cwd=tmp_path)
    size = sum((tmp_path / name).stat().st_size for name in ("a.safetensors", "a.py"))
    assert result.returncode == 0 and size > 1_000_000
    assert f"a.safetensors and a.py ({size / 1e6:.1f} MB)" in result.stdout
    assert {path.name for path in tmp_path.iterdir()} == {
        "a.onnx",
        "a.py",
        "a.safetensors",
        "b.html",
        "run.html",
    }


def test_capitals_in_a_suffix_do_not_matter(folder, tmp_path):
    args = ["export", folder / "run", "--to", "html", "--out", "Page.HTML"]
    assert demo(*args, cwd=tmp_path).returncode == 0
    assert (tmp_path / "Page.HTML").read_bytes().startswith(b"<!DOCTYPE html>")
    result = demo(*args, cwd=tmp_path)
    assert result.returncode == 2 and "Page.HTML exists" in result.stderr


@pytest.mark.parametrize(
    "args, words",
    [
        (["run", "--to", "jpeg"], "invalid choice: 'jpeg'"),
        (["run"], "the following arguments are required: --to"),
        (["nowhere", "--to", "html"], "nowhere has no model.npz"),
        (["run", "--to", "html", "--out", "a.htm"], "--out a.htm should end in .html"),
        (["run", "--to", "html", "--out", "mine.html"], "mine.html exists: choose another --out"),
        pytest.param(
            ["run", "--to", "torch", "--out", "mine.safetensors"],
            "mine.py exists: choose another --out",
            marks=pytest.mark.skipif(not find_spec("safetensors"), reason="no safetensors"),
        ),
        pytest.param(
            ["run", "--to", "torch", "--out", "mine.safetensors", "--force"],
            "--force does not replace mine.py, which is no .py file as minigan writes it",
            marks=pytest.mark.skipif(not find_spec("safetensors"), reason="no safetensors"),
        ),
        (["run", "--to", "html", "--out", "nowhere/a.html"], "cannot write nowhere/a.html"),
        (["damaged", "--to", "html"], "is damaged"),
    ],
)
def test_bad_input_gets_one_sentence_and_nothing_is_overwritten(folder, args, words):
    for name in "mine.html", "mine.py":
        (folder / name).write_text("precious")
    (folder / "damaged").mkdir(exist_ok=True)
    (folder / "damaged" / "model.npz").write_bytes(
        (folder / "run" / "model.npz").read_bytes()[:5000]
    )
    before = tree(folder)
    result = demo("export", *args, cwd=folder)
    assert result.returncode == 2 and words in result.stderr
    assert result.stderr.count("\n") == 1 and result.stdout == ""
    assert tree(folder) == before


@pytest.mark.parametrize("to, package", [("onnx", "onnx"), ("torch", "safetensors")])
def test_what_is_not_installed_is_named(folder, monkeypatch, to, package, tmp_path):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setitem(sys.modules, package + ".numpy", None)
    with pytest.raises(RunError, match=f"needs {package}, which is not installed: pip install"):
        export_run(
            folder / "run", to, tmp_path / ("a" + {"onnx": ".onnx", "torch": ".safetensors"}[to])
        )


def test_a_half_finished_run_is_exported_too(folder, tmp_path):
    settings, recipe, G, D = load_networks(folder / "run")
    settings["recipe"]["epochs"] = 50
    (tmp_path / "half").mkdir()
    vectors = {"generator": G, "discriminator": D, "average": G}
    save_model(
        tmp_path / "half",
        settings,
        **{name: net.theta for name, net in vectors.items()},
        **{f"{name}_state": net.buffers for name, net in vectors.items()},
    )
    (page,) = export_run(tmp_path / "half", "html", tmp_path / "half.html").values()
    assert model_of(page)[0]["recipe"] == "default"


def test_the_page_is_installed_with_the_package():
    from configparser import ConfigParser

    root = webpage.TEMPLATE.parents[2]
    config = ConfigParser()
    config.read(root / "setup.cfg", encoding="utf-8")
    listed = config["options.package_data"]["minigan"].split()
    assert str(webpage.TEMPLATE.relative_to(root / "minigan").as_posix()) in listed
