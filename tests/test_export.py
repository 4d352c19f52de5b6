"""A run that leaves: for PyTorch, for ONNX Runtime, and as a web page in a real browser. Each against NumPy's forward."""
import base64
import copy
import gzip
import html
import json
import math
import os
import re
import runpy
import shutil
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from test_demo import demo, folder, tree  # noqa: F401 (folder is a fixture: one finished run in run/)

from minigan import webpage
from minigan.activations import LeakyReLU, Tanh, sigmoid
from minigan.build import make_networks, make_noise, one_hot
from minigan.dense import Dense
from minigan.drawing import draw, load_networks, noise, with_labels
from minigan.dropout import Dropout
from minigan.export import export, loader, onnx_file, state_dict
from minigan.gan import join
from minigan.layer import Layer
from minigan.network import Sequential
from minigan.recipes import RECIPES, replace
from minigan.runs import RunError, image_shape, make_settings, save_model
from minigan.shapes import AveragePool2D, Reshape, UpSample2D

TOLERANCE = 1e-5  # of pixels from 0 to 1, in float32: who adds up in another order rounds otherwise (up to 2e-6 was seen)
SIZE = 28, 20  # not square, so that height and width cannot be exchanged unseen


def lively(net, rng):
    """The network with weights, biases and states such that every layer has a say in what comes out."""
    for layer in net.layers:
        for name in (*layer.names, *layer.states):
            a = getattr(layer, name)
            if name == "u":  # of SpectralNorm: where its W, which comes before it, stretches most
                a[...] = np.linalg.svd(layer.W.reshape(-1, a.size))[2][0]
            elif name == "W":
                fan_in = a.size // a.shape[-1 if type(layer).__name__ != "ConvTranspose2D" else -2]
                a[...] = rng.standard_normal(a.shape) * np.sqrt(2 / fan_in)
            else:
                a[...] = rng.random(a.shape) + 0.5 if name in ("gamma", "var") else 0.3 * rng.standard_normal(a.shape)
    return net


def small(recipe):
    """The same layers, with fewer units: what is tested is not how many."""
    return replace(recipe, widths_G=tuple(w // 8 for w in recipe.widths_G), widths_D=tuple(w // 8 for w in recipe.widths_D), latent_dim=24)


RUNS = [*[(name, 1, 0, {}) for name in RECIPES],
        ("default", 3, 4, {}), ("goodfellow-2014", 1, 3, {}), ("dcgan", 3, 0, {}), ("dcgan", 1, 5, {}), ("auto-write", 3, 2, {}),
        ("default", 1, 0, {"spectral": True, "loss": "wasserstein"}), ("default-conv", 1, 2, {"spectral": True, "loss": "hinge"}),
        ("pytorch-mlp", 1, 0, {"loss": "least-squares"})]


@pytest.fixture(params=RUNS, ids=str)
def run(request):
    """(settings, recipe, G, D, z, images that G makes of z) for each recipe, grey and without labels, and for some
    with so many channels and classes, and values changed; z has its labels beside it."""
    name, channels, n_classes, changes = request.param
    recipe, rng = replace(small(RECIPES[name]), conditional=n_classes > 0, **changes), np.random.default_rng(0)
    G, D = make_networks(recipe, (*SIZE, channels), rng, n_classes)
    lively(G, rng), lively(D, rng)
    labels = np.append(np.arange(max(1, n_classes)), [0, 0])  # of the first there are most
    settings = make_settings(recipe, 0, np.zeros((1, *SIZE, 3)[:3 + (channels == 3)]), "data", "numpy", True,
                             labels=labels, names=[f"c{i}" for i in range(n_classes)])
    z = make_noise(recipe, rng, 30)
    if n_classes:
        z = join(z, one_hot(np.arange(30) % n_classes, n_classes))
        assert abs(draw(G, z, recipe.low) - draw(G, join(z[:, :24], np.roll(z[:, 24:], 1, 1)), recipe.low)).mean() > 0.005
    images = draw(G, z, recipe.low)
    assert images.std(axis=0).mean() > 0.05 and 0.1 < ((images > 0) & (images < 1)).mean()   # they depend on z, and few are cut off
    return settings, recipe, G, D, z, images


def in_torch(settings, recipe, G, tmp_path, monkeypatch):
    """What the script has in the end, with the state dict beside it."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    torch.manual_seed(0)
    (tmp_path / "its name.safetensors").write_bytes(state_dict(settings, recipe, G))
    (tmp_path / "script.py").write_bytes(loader(settings, recipe, G, "its name.safetensors"))
    monkeypatch.chdir(tmp_path)
    return runpy.run_path("script.py")


def test_pytorch_draws_the_same_images(run, tmp_path, monkeypatch):
    settings, recipe, G, _, z, images = run
    there = in_torch(settings, recipe, G, tmp_path, monkeypatch)
    assert there["images"].shape == (100, *image_shape(settings)) and there["z"].shape == (100, z.shape[1])
    torch, noise, labels = there["torch"], there["z"][:, :24], there["z"][:, 24:]
    assert abs(float(noise.var()) - 1) < 6 * (2 / 2400) ** 0.5 and (noise.abs().max() < 1.74) == (recipe.noise == "uniform")
    assert (labels.numpy() == np.eye(max(1, z.shape[1] - 24))[np.arange(100) % max(1, z.shape[1] - 24), :z.shape[1] - 24]).all()
    assert abs(draw(G, there["z"].numpy(), recipe.low).reshape(there["images"].shape) - there["images"].numpy()).max() < TOLERANCE
    assert float(there["images"].min()) >= 0 and float(there["images"].max()) <= 1
    x = G.forward(z)[0]
    assert abs(there["G"](torch.from_numpy(z)).numpy().reshape(x.shape) - x).max() < 2 * TOLERANCE
    exact = Sequential([copy.deepcopy(layer) for layer in G.layers])          # in float64 there is nothing to be excused by
    exact.place(G.theta.astype("float64"), G.state.astype("float64"))
    there = there["G"].double()(torch.from_numpy(z.astype("float64"))).numpy()
    assert abs(there.reshape(x.shape) - exact.forward(z.astype("float64"))[0]).max() < 1e-12


def test_the_script_of_the_default_recipe_has_at_most_twelve_lines_of_code(folder):
    settings, recipe, G, _ = load_networks(folder / "run")
    lines = [line for line in loader(settings, recipe, G, "a.safetensors").decode().splitlines() if line and line[0] != "#"]
    assert len(lines) <= 12 and max(map(len, lines)) < 100


def test_onnx_runtime_draws_the_same_images(run):
    settings, recipe, G, _, z, images = run
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(onnx_file(settings, recipe, G), providers=["CPUExecutionProvider"])
    (entry,), (exit,) = session.get_inputs(), session.get_outputs()
    assert (entry.name, entry.shape, exit.name, exit.shape) == ("z", ["N", z.shape[1]], "images", ["N", *image_shape(settings)])
    for n in 1, 30:
        there, = session.run(None, {"z": z[:n]})
        assert there.dtype == np.float32 and there.shape == (n, *image_shape(settings)) and 0 <= there.min() and there.max() <= 1
        assert abs(there.reshape(n, -1) - images[:n]).max() < TOLERANCE


def a_run(name, networks, latent_dim, **more):
    """What is in a run folder, as load_networks would give it, of hand-made networks."""
    recipe = replace(RECIPES["default"], name=name, latent_dim=latent_dim)
    return {**make_settings(recipe, 0, np.zeros((1, *SIZE)), "data", "numpy", True), **more}, recipe, *networks


# ---- The page ----

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ("--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update"
         " --disable-sync --virtual-time-budget=60000 --window-size=1000,800").split()


def model_of(page):
    """(the model that a page holds, its bytes)."""
    model = json.loads(re.search(rb"const model = (.*);\n", page)[1])
    return model, np.frombuffer(gzip.decompress(base64.b64decode(model["weights"])), "uint8")


def mark(model, a):
    """From 0 to 1, what the page makes of D's answers."""
    return {"wasserstein": lambda: sigmoid(a - model["middle"]), "least-squares": lambda: a.clip(0, 1),
            "hinge": lambda: ((a + 1) / 2).clip(0, 1), "non-saturating": lambda: sigmoid(a)}[model["loss"]]()


def as_the_page_reads(net, told, data):
    """The network with the weights that a page holds for it."""
    net = webpage.plain(net, math.prod(told[0]["from"]))
    parts = iter(told)
    for layer in net.layers:
        if isinstance(layer, Dropout):
            continue
        part = next(parts)
        for name in (*layer.names, *layer.states):
            at, n, scale = (part[name].get(key) for key in ("at", "n", "scale"))
            if scale:
                values = data[at:at + n].view("int8").reshape(-1, len(scale)) * np.array(scale)
            else:
                values = np.stack([data[at:at + n], data[at + n:at + 2 * n]], axis=1).copy().view("<f2")
            getattr(layer, name)[...] = values.reshape(getattr(layer, name).shape)
    return net


def test_the_page_holds_the_weights_rounded_as_it_says(run):
    settings, recipe, G, D, z, images = run
    before = G.theta.copy(), D.theta.copy()
    model, data = model_of(webpage.web_page(settings, recipe, G, D))
    assert (G.theta == before[0]).all() and (D.theta == before[1]).all()                      # the run itself is not rounded
    x = G.forward(z)[0]
    plain = webpage.plain(D, x.shape[1] + z.shape[1] - 24)
    assert np.allclose(plain.forward(join(x, z[:, 24:]))[0], D.forward(join(x, z[:, 24:]))[0], atol=1e-5)
    G2, D2 = as_the_page_reads(G, model["G"], data), as_the_page_reads(D, model["D"], data)
    assert (G2.theta == G.theta.astype("float16")).all() and (G2.state == G.state.astype("float16")).all()
    for layer, rounded in zip(plain.layers, D2.layers):
        if "W" in layer.names:
            largest = abs(layer.W).reshape(-1, layer.W.shape[-1]).max(axis=0)
            assert (abs(layer.W - rounded.W) <= 0.501 * largest / 127).all()
    z = with_labels(*noise(settings, recipe, webpage.DRAWN, 0), settings)
    exact, there = G.forward(z)[0], G2.forward(z)[0]
    a, a2 = D.forward(join(exact, z[:, 24:]))[0], D2.forward(join(there, z[:, 24:]))[0]
    assert abs(model["middle"] - a.mean()) < 1e-5
    for said, difference in zip(("image", "verdict"), (abs(draw(G, z, recipe.low) - draw(G2, z, recipe.low)),
                                                       abs(mark(model, a) - mark(model, a2)))):
        assert np.allclose(model["errors"][said], [difference.max(), difference.mean()], rtol=0.05, atol=1e-7)
        assert 0 < model["errors"][said][0] < 0.1
    u = np.array(model["directions"])
    assert np.allclose(u @ u.T, np.eye(len(u)), atol=1e-4)


def test_the_directions_are_those_in_which_most_changes():
    rng = np.random.default_rng(0)
    z = rng.standard_normal((4000, 5))
    x = z @ np.diag([1, 4, 0, 2, 0]) @ rng.standard_normal((5, 40)) + 7
    u = webpage.directions(z, x, 2)
    assert abs(u[0, 1]) > 0.9 and abs(u[1, 3]) > 0.9 and u.shape == (2, 5)


ASK = """<script>
const errors = [];
requestAnimationFrame = draw => setTimeout(() => draw(performance.now()), 16);  // Chromium's virtual time knows timers only
cancelAnimationFrame = clearTimeout;
addEventListener("error", event => errors.push(String(event.message)));
addEventListener("unhandledrejection", event => errors.push(String(event.reason)));
addEventListener("securitypolicyviolation", event => errors.push(`the page wanted ${event.blockedURI}`));
console.error = console.warn = (...words) => errors.push(words.join(" "));
</script>"""
ANSWER = """<script>
const sleep = seconds => new Promise(done => setTimeout(done, 1000 * seconds));
const [height, width, channels] = model.shape;
const shown = canvas => [...canvas.getContext("2d").getImageData(0, 0, width, height).data].filter((_, i) => i % 4 < channels);
const state = () => ({z: [...z], label: [...label], verdict: $("verdict").textContent, bar: $("bar").style.width, large: shown($("large")),
                      sliders: [...document.querySelectorAll("#directions input")].map(slider => +slider.value),
                      walk: $("walk").textContent, pressed: [...$("classes").children].map(b => b.getAttribute("aria-pressed"))});
(async () => {
  const answer = {};
  try {
    while (!z || !$("grid").children.length) await sleep(.05);
    const asked = ASKED;
    answer.images = asked.map(([z, label]) => [...pixels(G(z, label))]);
    answer.verdicts = asked.map(([z, label]) => D(G(z, label), label));
    answer.start = state();
    $("new").click(); answer.fresh = state();
    $("direction1").value = 2.5; $("direction1").dispatchEvent(new Event("input")); answer.slid = state();
    $("walk").click(); answer.walking = [];
    for (let i = 0; i < 4; i++) { await sleep(.4); answer.walking.push(state()); }
    $("walk").click(); answer.stopped = state(); await sleep(.5); answer.still = state();
    $("grid").children[3].click(); await sleep(3); answer.other = state();
    answer.thumbnail = shown($("grid").children[3].firstChild);
    $("more").click();
    for (const button of $("classes").children) { button.click(); (answer.classes ??= []).push(state()); }
    answer.buttons = [...$("classes").children].map(b => b.textContent);
    answer.slerp = [0, .25, 1].map(t => [...slerp(Float64Array.of(1, 2, 0), Float64Array.of(-1, 0, 3), t)]);
    answer.half = Float64Array.from({length: 65536}, (_, bits) => half(bits)).filter(Number.isFinite).length;
    answer.halves = [0, 1, 0x3ff, 0x400, 0x3c00, 0xc000, 0x3555, 0x7bff, 0x8000].map(half);
    answer.normal = Array.from({length: 4000}, normal);
    answer.noise = [...noise()];
    answer.unnamed = [...document.querySelectorAll("button, input, canvas[role]")].filter(
      e => !(e.textContent.trim() || e.getAttribute("aria-label") || e.labels?.[0]?.textContent.trim())).length;
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


def in_chromium(page, asked, tmp_path):
    """What the page, opened in Chromium, answers to ANSWER; asked are pairs of z and label."""
    if not CHROMIUM:
        pytest.skip("no Chromium on this machine (apt install chromium, or set CHROMIUM)")
    question = json.dumps([[list(map(float, z)), list(map(float, label))] for z, label in asked])
    page = page.decode().replace("<meta charset", ASK + "<meta charset", 1).replace("</body>", ANSWER.replace("ASKED", question))
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    result = subprocess.run([CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", (tmp_path / "page.html").as_uri()],
                            capture_output=True, text=True, timeout=900)
    answer = re.search(r'<pre id="answer">(.*)</pre>', result.stdout)
    assert answer, result.stderr[-2000:]
    return json.loads(html.unescape(answer[1]))


def test_the_page_draws_and_judges_as_numpy_does(run, tmp_path):
    settings, recipe, G, D, z, _ = run
    page = webpage.web_page(settings, recipe, G, D)
    model, data = model_of(page)
    G, D = as_the_page_reads(G, model["G"], data), as_the_page_reads(D, model["D"], data)
    z = z[:5]
    answer = in_chromium(page, [(row[:24], row[24:]) for row in z], tmp_path)
    assert answer["errors"] == []
    assert abs(np.array(answer["images"]) - draw(G, z, recipe.low)).max() < 1e-5
    verdicts = mark(model, D.forward(join(G.forward(z)[0], z[:, 24:]))[0]).ravel()
    assert abs(np.array(answer["verdicts"]) - verdicts).max() < 1e-5 and verdicts.std() > 0.001
    look_around(answer, model, G, D)


NAMES = "start", "fresh", "slid", "stopped", "still", "other"  # what ANSWER keeps of the page's state


def look_around(answer, model, G, D):
    """What the page shows is what NumPy computes from the z that it says, and its parts do what they say."""
    states = [answer[name] for name in NAMES] + answer["walking"] + answer.get("classes", [])
    for state in states:
        z, label = np.array([state["z"]], "float32"), np.array([state["label"]], "float32").reshape(1, -1)
        x = G.forward(np.concatenate([z, label], axis=1))[0]
        assert abs(255 * ((x - model["low"]) / (1 - model["low"])).clip(0, 1) - state["large"]).max() < 0.51
        p = mark(model, D.forward(np.concatenate([x, label], axis=1))[0]).item()
        percent, words = state["verdict"].split(" ", 1)
        assert abs(int(percent) - 100 * p) < 0.51 and state["bar"] == f"{percent}%"
        assert words == ("% real" if model["loss"] == "non-saturating" else "of 100 for looking real")
        places = (np.array(model["directions"]) @ state["z"]).clip(-4, 4)
        assert abs(places - state["sliders"]).max() < 0.0251
    at = {name: np.array(answer[name]["z"]) for name in NAMES}
    assert abs(at["start"] - at["fresh"]).max() > 0.1
    moved, u = at["slid"] - at["fresh"], np.array(model["directions"])[1]
    assert abs(moved - (moved @ u) * u).max() < 1e-3 and abs(at["slid"] @ u - 2.5) < 1e-3       # along its direction only
    walked = [np.array(state["z"]) for state in answer["walking"]]
    assert all(abs(a - b).max() > 1e-3 for a, b in zip([at["slid"], *walked], walked))
    assert answer["walking"][0]["walk"] == "Stop" and answer["stopped"]["walk"] == "Walk" and (at["stopped"] == at["still"]).all()
    assert answer["other"]["large"] == answer["thumbnail"] and abs(at["other"] - at["still"]).max() > 0.1
    w = np.arccos(-1 / np.sqrt(50))
    between = (np.sin(.75 * w) * np.array([1, 2, 0]) + np.sin(.25 * w) * np.array([-1, 0, 3])) / np.sin(w)
    assert np.allclose(answer["slerp"], [[1, 2, 0], between, [-1, 0, 3]])
    bits = np.array([0, 1, 0x3ff, 0x400, 0x3c00, 0xc000, 0x3555, 0x7bff, 0x8000], "uint16")
    assert answer["halves"] == bits.view("float16").astype(float).tolist()
    assert abs(np.mean(answer["normal"])) < 0.1 and 0.9 < np.var(answer["normal"]) < 1.1
    assert len(answer["noise"]) == model["Z"] and (max(map(abs, answer["noise"])) < 1.7321 or model["noise"] == "normal")
    assert answer["unnamed"] == answer["native"] == 0 and answer["overflow"] <= 0
    assert model["recipe"] in answer["text"] and ("percentage points" in answer["text"]) == (model["loss"] == "non-saturating")


def test_a_page_with_classes_has_a_button_for_each(tmp_path):
    rng, name = np.random.default_rng(3), "</script><b>three"
    recipe = replace(RECIPES["default"], name=name, latent_dim=8, widths_G=(20,), widths_D=(16,), conditional=True)
    G, D = (lively(net, rng) for net in make_networks(recipe, SIZE, rng, 3))
    settings = make_settings(recipe, 0, np.zeros((1, *SIZE)), "data", "numpy", labels=[0, 1, 2, 2], names=["cat", name, "dog"])
    page = webpage.web_page(settings, recipe, G, D)
    assert page.count(b"</script>") == 1                              # although the recipe's name would end the script
    model, data = model_of(page)
    G, D = as_the_page_reads(G, model["G"], data), as_the_page_reads(D, model["D"], data)
    z, labels = rng.standard_normal((3, 8), "float32"), np.eye(3, dtype="float32")
    answer = in_chromium(page, list(zip(z, labels)), tmp_path)
    assert answer["buttons"] == ["cat", name, "dog"] and "New image" in answer["text"] and name in answer["text"]
    assert answer["errors"] == []
    x = G.forward(np.concatenate([z, labels], axis=1))[0]
    assert abs(np.array(answer["images"]) - (x + 1) / 2).max() < 1e-5
    look_around(answer, model, G, D)
    for c, state in enumerate(answer["classes"]):
        assert state["label"] == labels[c].tolist() and state["pressed"] == ["true" if i == c else "false" for i in range(3)]
        assert state["z"] == answer["classes"][0]["z"]
    assert answer["fresh"]["label"] == answer["start"]["label"]      # a new one of the same class


def test_layers_of_no_recipe_draw_the_same_too(tmp_path, monkeypatch):
    """Pooling, and a Reshape from images to images, which no generator of ours has."""
    rng = np.random.default_rng(0)
    G = Sequential([Dense(6, 7 * 5 * 4, rng), Reshape(7, 5, 4), UpSample2D(4), Reshape(14, 40, 4), AveragePool2D(2), UpSample2D(2),
                    Reshape(2240), Dense(2240, 560, rng), Tanh()])
    settings, recipe, G, D = a_run("odd", (lively(G, rng), lively(Sequential([Dense(560, 1, rng)]), rng)), 6)
    z = rng.standard_normal((4, 6), "float32")
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    there, = runtime.InferenceSession(onnx_file(settings, recipe, G), providers=["CPUExecutionProvider"]).run(None, {"z": z})
    assert abs(there.reshape(4, -1) - draw(G, z)).max() < TOLERANCE
    model, data = model_of(page := webpage.web_page(settings, recipe, G, D))
    answer = in_chromium(page, [(row, []) for row in z], tmp_path)
    assert answer["errors"] == [] and abs(np.array(answer["images"]) - draw(as_the_page_reads(G, model["G"], data), z)).max() < 1e-5
    there = in_torch(settings, recipe, G, tmp_path, monkeypatch)
    assert abs(draw(G, there["z"].numpy()).reshape(100, *SIZE) - there["images"].numpy()).max() < TOLERANCE


def test_a_layer_that_is_known_nowhere_else_is_refused():
    class Square(Layer):
        def forward(self, x, train=False, rng=None):
            return x * x, x

    rng = np.random.default_rng(0)
    networks = Sequential([Dense(6, 560, rng), Square()]), Sequential([Dense(560, 1, rng)])
    settings, recipe, G, D = a_run("odd", networks, 6)
    pytest.importorskip("onnx")
    for give in webpage.web_page, lambda settings, recipe, G, D: onnx_file(settings, recipe, G):
        with pytest.raises(RunError, match=r"Square\(\) cannot be exported"):
            give(settings, recipe, G, D)


def test_a_weight_beyond_float16_is_refused(folder):
    settings, recipe, G, D = load_networks(folder / "run")
    G.layers[0].b[3] = -1e5
    with pytest.raises(RunError, match="a b of 100000, and a page holds numbers up to 65504"):
        webpage.web_page(settings, recipe, G, D)


# ---- The command ----

def test_the_command_writes_what_it_says(folder, tmp_path):
    result = demo("export", folder / "run", "--to", "html", cwd=tmp_path)
    assert result.returncode == 0 and result.stderr == "" and re.fullmatch(r"written: run\.html \((1\.9|2\.0) MB\)\n", result.stdout)
    page = (tmp_path / "run.html").read_bytes()
    assert len(page) < 2_000_000
    assert not any(word in page for word in (b"://", b"fetch(", b"import(", b"XMLHttpRequest", b"src="))  # nothing from the net
    assert b"default-src 'none'" in page
    assert demo("export", ".", "--to", "html", "--out", tmp_path / "b.html", cwd=folder / "run").returncode == 0
    assert (tmp_path / "b.html").read_bytes() == page                                       # the same every time
    pytest.importorskip("onnx")
    pytest.importorskip("safetensors")
    assert demo("export", folder / "run", "--to", "onnx", "--out", "a.onnx", cwd=tmp_path).returncode == 0
    result = demo("export", folder / "run", "--to", "torch", "--out", "a.safetensors", cwd=tmp_path)
    assert result.returncode == 0 and "a.safetensors and a.py (2.2 MB)" in result.stdout
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.onnx", "a.py", "a.safetensors", "b.html", "run.html"]


@pytest.mark.parametrize("args, words", [
    (["run", "--to", "jpeg"], "invalid choice: 'jpeg'"), (["run"], "the following arguments are required: --to"),
    (["nowhere", "--to", "html"], "nowhere holds no model.npz"),
    (["run", "--to", "html", "--out", "a.htm"], "--out a.htm should end in .html"),
    (["run", "--to", "html", "--out", "mine.html"], "mine.html exists: choose another --out, nothing was overwritten"),
    pytest.param(["run", "--to", "torch", "--out", "mine.safetensors"], "mine.py exists: choose another --out, nothing was overwritten",
                 marks=pytest.mark.skipif(not find_spec("safetensors"), reason="no safetensors")),
    (["run", "--to", "html", "--out", "nowhere/a.html"], "cannot write nowhere/a.html"), (["damaged", "--to", "html"], "is damaged")])
def test_bad_input_gets_one_sentence_and_nothing_is_overwritten(folder, args, words):
    for name in "mine.html", "mine.py":
        (folder / name).write_text("precious")
    (folder / "damaged").mkdir(exist_ok=True)
    (folder / "damaged" / "model.npz").write_bytes((folder / "run" / "model.npz").read_bytes()[:5000])
    before = tree(folder)
    result = demo("export", *args, cwd=folder)
    assert result.returncode == 2 and words in result.stderr and result.stderr.count("\n") == 1 and result.stdout == ""
    assert tree(folder) == before


@pytest.mark.parametrize("to, package", [("onnx", "onnx"), ("torch", "safetensors")])
def test_what_is_not_installed_is_named(folder, monkeypatch, to, package, tmp_path):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setitem(sys.modules, package + ".numpy", None)
    with pytest.raises(RunError, match=f"needs {package}, which is not installed: pip install"):
        export(folder / "run", to, tmp_path / ("a" + {"onnx": ".onnx", "torch": ".safetensors"}[to]))


def test_a_half_finished_run_goes_too(folder, tmp_path):
    settings, recipe, G, D = load_networks(folder / "run")
    settings["recipe"]["epochs"] = 50
    (tmp_path / "half").mkdir()
    save_model(tmp_path / "half", settings, generator=G.theta, discriminator=D.theta, average=G.theta, generator_state=G.state,
               discriminator_state=D.state, average_state=G.state)
    page, = export(tmp_path / "half", "html", tmp_path / "half.html").values()
    assert model_of(page)[0]["recipe"] == "default"


def test_the_page_belongs_to_the_package():
    """A package that is installed as a copy must have it, too."""
    assert webpage.TEMPLATE.parent.joinpath("webpage.py").is_file()
    text = (webpage.TEMPLATE.parent.parent / "setup.cfg").read_text(encoding="utf-8")
    assert re.search(r"package_data\]\nminigan =\n +webpage\.html\n", text)
