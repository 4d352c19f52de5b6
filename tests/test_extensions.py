"""A new layer, architecture, loss and recipe, each registered in one place.

Everything else has to work without another change: every command, exports, parameter counts,
data-parallel training, other backends, and the table of derivatives.
"""

import json
import re
import shutil
import subprocess

import fake_cupy
import numpy as np
import pytest
from helpers import arrays

from minigan.accel.data_parallel import data_parallel
from minigan.backend import asnumpy, fused, get_array_module
from minigan.cli.main import main
from minigan.evaluation import derivatives
from minigan.gan.losses import GAN_LOSSES, AdversarialLoss
from minigan.gan.models import (
    ARCHITECTURES,
    Architecture,
    image_layer,
    label_layers,
    make_networks,
)
from minigan.gan.recipes import RECIPES, Recipe, asdict, recipe_from_dict, replace
from minigan.gan.steps import generator_step
from minigan.nn.conv import Conv2d, ConvTranspose2d
from minigan.nn.dense import Dense
from minigan.nn.gradcheck import check_layer
from minigan.nn.layer import Exported, Layer, check_ddx, check_dy, check_float
from minigan.nn.optim import SGD
from minigan.nn.reshape import Reshape
from minigan.nn.sequential import Sequential
from minigan.training.loop import train
from minigan.training.sampling import conditional_latents, generate, load_networks
from minigan.training.state import TrainingState

IMAGES = np.random.default_rng(0).integers(0, 256, (60, 8, 12), dtype=np.uint8)
LABELS = np.arange(60) % 3


class PReLU(Layer):
    """y = x for x > 0, and slope * x otherwise, with one learned slope (He et al. 2015)."""

    param_names = ("slope",)
    splittable = True
    javascript = "function PReLU(x, {slope: [a]}) { return x.map(v => v > 0 ? v : a * v); }"

    def __init__(self, dtype="float32"):
        self.slope = np.full(1, 0.25, dtype)
        self.dslope = 0 * self.slope

    def forward(self, x, *, train=False, rng=None):
        check_float(self, x)
        return self.derivative(x) * x, x

    def backward(self, dy, cache, *, need_dx=True, need_dparams=True):
        x = cache
        check_dy(self, dy, x.shape)
        if need_dparams:
            self.dslope[...] = (dy * x * (x <= 0)).sum()
        return dy * self.derivative(x)

    def double_backward(self, ddx, dy, cache):
        x = cache
        check_ddx(self, ddx, x.shape)
        self.dslope[...] = (ddx * dy * (x <= 0)).sum()
        return ddx * self.derivative(x), None

    def derivative(self, x):
        """1 or the slope, like x."""
        return get_array_module(x).where(x > 0, x.dtype.type(1), self.slope)

    def exported(self, x_shape, y_shape):
        return [Exported("nn.PReLU()", "PRelu", arrays=[self.slope])]


def toy_gan(r, shape, n_classes, rng):
    """(G, D) with a convolution each."""
    (height, width, *_), (a,), (b,) = shape, r.widths_G, r.widths_D
    channels, options = 3 if len(shape) == 3 else 1, dict(dtype=r.dtype, rng=rng)
    places = height // 2 * (width // 2)
    G = [
        *label_layers(n_classes),
        Dense(r.latent_dim + n_classes, places * a, **options),
        PReLU(r.dtype),
        Reshape(height // 2, width // 2, a),
        ConvTranspose2d(a, channels, 2, stride=2, **options),
        PReLU(r.dtype),
        Reshape(*shape),
    ]
    D = [
        image_layer(shape, n_classes),
        Conv2d(channels + n_classes, b, 2, stride=2, **options),
        PReLU(r.dtype),
        Reshape(places * b),
        Dense(places * b, 1, **options),
    ]
    return Sequential(G), Sequential(D)


@fused
def squared_hinge(a, t):
    """Half the square of the hinge loss, and its derivative."""
    s = 2 * t - 1
    distance = get_array_module(a).maximum(1 - s * a, 0)
    return distance * distance / 2, -s * distance


TOY_LOSS = AdversarialLoss(
    squared_hinge, lambda a: squared_hinge(a, 1.0), score=lambda a: (1 + a) / 2
)
TOY = Recipe(
    "toy",
    "this test",
    networks="toy-conv",
    loss="squared-hinge",
    latent_dim=4,
    widths_G=(3,),
    widths_D=(5,),
    batch_size=20,
    epochs=2,
    learning_rate=1e-2,
    penalty="r1",
    penalty_every=2,
    ema_decay=0.9,
)


@pytest.fixture
def entered(monkeypatch):
    """One line each: the toy is known to the package."""
    monkeypatch.setitem(ARCHITECTURES, "toy-conv", Architecture(toy_gan, (1, 1), size_multiple=2))
    monkeypatch.setitem(GAN_LOSSES, "squared-hinge", TOY_LOSS)
    monkeypatch.setitem(RECIPES, "toy", TOY)
    row = derivatives.Row("test_extensions", "PReLU", PReLU, (4, 6))
    monkeypatch.setattr(derivatives, "LAYERS", [*derivatives.LAYERS, row])


def command(*args):
    """Run a command in this process; returns its exit status."""
    return main(list(map(str, args)), train)


@pytest.fixture(params=["grey", "conditional", "colour"])
def trained(entered, request, tmp_path, monkeypatch):
    """The folder of a finished run of the toy recipe."""
    monkeypatch.chdir(tmp_path)
    images = (
        np.stack([IMAGES, IMAGES // 2, 255 - IMAGES], -1) if request.param == "colour" else IMAGES
    )
    np.savez("data.npz", images=images, labels=LABELS)
    flags = ["--conditional"] if request.param == "conditional" else []
    assert command("--data", "data.npz", "--recipe", "toy", "--out", "run", *flags) == 0
    return tmp_path / "run"


def exported_inputs(folder):
    """(G, latents, z of the exported generator, images, expected from NumPy)."""
    settings, recipe, G, _ = load_networks(folder)
    n_classes = len(settings.get("names", []))
    z = np.random.default_rng(1).standard_normal((7, recipe.latent_dim)).astype("float32")
    latents = conditional_latents(z, np.arange(7) % n_classes if n_classes else None, n_classes)
    z = np.concatenate(latents, axis=1) if n_classes else z
    return G, latents, z, generate(G, latents, recipe.pixel_min)


def test_a_run_is_sampled_walked_measured_and_inspected(trained, capsys):
    settings = json.loads((trained / "settings.json").read_text())
    assert recipe_from_dict(settings["recipe"]).networks == "toy-conv"
    assert command("sample", trained, "--count", 5, "--out", "five.npy") == 0
    images = np.load("five.npy")
    assert images.shape == (5, *IMAGES.shape[1:], 3)[: 4 if settings["channels"] == 3 else 3]
    assert images.std() > 0.01
    assert command("walk", trained, "--frames", 2, "--out", "walk.gif") == 0
    assert command("evaluate", trained, "--count", 100) == 0
    assert command("inspect", trained, "--steps", 1) == 0
    assert command("compare", trained, trained, "--out", "both.png") == 0
    assert "PReLU" in repr(load_networks(trained)[3])


def test_the_loss_is_a_choice_of_any_recipe(entered, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("data.npz", images=IMAGES)
    options = ["--data", "data.npz", "--epochs", 1, "--batch-size", 20]
    assert command(*options, "--loss", "squared-hinge", "--out", "run") == 0
    assert load_networks(tmp_path / "run")[1].loss == "squared-hinge"


def test_an_interrupted_run_is_resumed_exactly(trained, monkeypatch):
    flags = ["--conditional"] if load_networks(trained)[1].conditional else []
    options = ["--data", "data.npz", "--recipe", "toy", *flags]
    assert command(*options, "--epochs", 3, "--out", "whole") == 0
    assert command("--resume", trained, "--epochs", 3) == 0
    whole, resumed = arrays(trained.with_name("whole")), arrays(trained)
    for name in set(whole) - {"settings"}:
        np.testing.assert_array_equal(whole[name], resumed[name], err_msg=name)


def test_the_recipe_is_listed_with_its_parameters(entered, capsys):
    assert command("recipes") == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("toy "))
    G, D = make_networks(TOY, (28, 28), rng=np.random.default_rng(0))
    assert re.findall(r"[GD] +([\d,]+)", line) == [f"{G.theta.size:,}", f"{D.theta.size:,}"]


def test_onnx_runtime_generates_the_same_images(trained):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    assert command("export", trained, "--to", "onnx", "--out", "toy.onnx") == 0
    _, _, z, images = exported_inputs(trained)
    session = runtime.InferenceSession("toy.onnx", providers=["CPUExecutionProvider"])
    (there,) = session.run(None, {"z": z})
    assert there.shape == images.shape and abs(there - images).max() < 1e-5
    assert images.std(axis=0).mean() > 0.005


def test_the_state_dict_has_the_layers_parameters(trained):
    pytest.importorskip("safetensors")
    from safetensors.numpy import load_file

    assert command("export", trained, "--to", "torch", "--out", "toy.safetensors") == 0
    state, G = load_file("toy.safetensors"), load_networks(trained)[2]
    slopes = [a for a in state.values() if a.shape == (1,) and a.dtype == np.float32]
    assert sum(a.size for a in state.values()) == G.theta.size
    assert [layer.slope for layer in G.layers if isinstance(layer, PReLU)][0] in slopes
    assert trained.with_name("toy.py").read_text().count("nn.PReLU()") == 2


def test_the_page_has_the_layers_forward(trained):
    assert command("export", trained, "--to", "html", "--out", "toy.html") == 0
    page = trained.with_name("toy.html").read_text(encoding="utf-8")
    assert page.count(PReLU.javascript) == 1 and '"probability":false' in page
    if not shutil.which("node"):
        return
    _, latents, _, images = exported_inputs(trained)
    z, labels = latents if isinstance(latents, tuple) else (latents, np.zeros((len(latents), 0)))
    asked = json.dumps([[a.tolist(), b.tolist()] for a, b in zip(z, labels)])
    script = re.search(r"<script>\n(.*?)// ---- The page ----", page, re.S)[1]
    script += f"""unpack().then(() => console.log(JSON.stringify(
      {asked}.map(([z, label]) => [[...pixels(G(z, label))], D(G(z, label), label)]))));"""
    trained.with_name("page.js").write_text(script, encoding="utf-8")
    result = subprocess.run(["node", "page.js"], capture_output=True, text=True, timeout=100)
    assert result.returncode == 0, result.stderr[-1000:]
    pixels, scores = zip(*json.loads(result.stdout))
    assert abs(np.array(pixels) - images.reshape(7, -1)).max() < 5e-3  # weights of 16 bits
    settings, _, G, D = load_networks(trained)
    fake = G.forward(latents)[0]
    logits = D.forward((fake, labels.astype("float32")) if labels.size else fake)[0]
    expected = TOY_LOSS.score(logits).clip(0, 1).ravel()
    assert abs(np.array(scores) - expected).max() < 0.02  # weights of 8 bits


def test_data_parallel_training_accepts_the_layer(entered):
    gan = TrainingState(TOY, IMAGES, seed=3, cores=2)
    assert gan.parallel is not None
    G, D = make_networks(TOY, (8, 12), rng=np.random.default_rng(0))
    z = np.random.default_rng(1).standard_normal((6, TOY.latent_dim), "float32")
    optimizer = SGD(G.theta, lr=0.0)
    alone, dtheta = generator_step(G, D, optimizer, z, loss=TOY_LOSS, rng=None), G.dtheta.copy()
    parallel = data_parallel(G, D, 2)
    together = parallel.run(generator_step, G, optimizer, z, loss=TOY_LOSS, rng=None)
    np.testing.assert_allclose(together, alone, rtol=1e-5)
    np.testing.assert_allclose(G.dtheta, dtheta, atol=1e-5 * abs(dtheta).max())
    one = TrainingState(TOY, IMAGES, seed=3)
    for _ in range(3):
        np.testing.assert_allclose(gan.train_step(), one.train_step(), rtol=1e-4)


def test_a_device_computes_the_same(entered):
    recipe = replace(TOY, dtype="float64")
    host, device = (
        TrainingState(recipe, IMAGES, seed=3),
        TrainingState(recipe, IMAGES, seed=3, xp=fake_cupy),
    )
    batch_host, batch_device = host.next_batch(), device.next_batch()
    np.testing.assert_array_equal(batch_host.indices, asnumpy(batch_device.indices))
    np.testing.assert_array_equal(
        host.generate(host.grid_latents), device.generate(device.grid_latents)
    )
    for _ in range(3):
        losses = device.train_step()
        assert np.isfinite([float(a) for a in losses]).all()
    assert not np.array_equal(asnumpy(device.G.theta), host.G.theta)


def test_the_settings_of_the_recipe_are_read_again(entered):
    assert recipe_from_dict(asdict(TOY)) == TOY
    with pytest.raises(ValueError, match="toy-conv need 1 widths_G"):
        recipe_from_dict({**asdict(TOY), "widths_G": (3, 3)})


def test_the_table_of_derivatives_has_its_rows(entered, capsys):
    rows = [(name, check) for _, name, check in derivatives.check_derivatives()]
    found = {(name, check.name) for name, check in rows}
    assert {("PReLU", "dx"), ("PReLU", "dslope"), ("PReLU, double backward", "ddy")} <= found
    assert {("squared-hinge, D", "da"), ("squared-hinge, G", "da")} <= found
    assert all(check.ok for _, check in rows)


def test_a_layer_without_a_double_backward_is_checked_all_the_same(monkeypatch, capsys):
    """Only gradient penalties need one. So it is for a layer that wraps another."""

    class Half(Layer):
        def forward(self, x, *, train=False, rng=None):
            return x / 2, None

        def backward(self, dy, cache, *, need_dx=True, need_dparams=True):
            return dy / 2

    rows = [
        derivatives.Row("test_extensions", "Half", lambda dtype: Half(), (4, 6)),
        derivatives.Row("x", "Half!", lambda dtype: derivatives.WithLabels(Half(), dtype), (4, 6)),
    ]
    assert not any(derivatives.has_double_backward(row.make("float64")) for row in rows)
    monkeypatch.setattr(derivatives, "LAYERS", [*derivatives.LAYERS, rows[0]])
    assert command("check") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if "Half" in line]
    assert [line[-1] for line in lines] == ["✓", "-"]
    assert lines[1] == ["test_extensions", "Half,", "double", "backward", "-"]


@pytest.mark.parametrize("wrong", ["dx", "dslope"])
def test_a_wrong_backward_is_found(entered, wrong, monkeypatch, capsys):
    class WrongPReLU(PReLU):
        def backward(self, dy, cache, **options):
            dx = super().backward(dy, cache, **options)
            if wrong == "dslope":
                self.dslope *= 1.001
                return dx
            return 1.001 * dx

    checks = check_layer(WrongPReLU("float64"), derivatives.random_x((4, 6)))
    assert [check.name for check in checks if not check.ok] == [wrong]
    row = derivatives.Row("test_extensions", "PReLU", WrongPReLU, (4, 6))
    monkeypatch.setattr(derivatives, "LAYERS", [row])
    assert command("check") == 1
    assert "test_extensions.py, PReLU: " in capsys.readouterr().out
