"""The gallery of mistakes: each shows its mistake, its healthy version does not, and the fix works.

docs/mistakes.md and its figures show what exercises/mistakes/ has measured.
"""

import doctest
import inspect
import json
import re
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exercises.mistakes import (
    MISTAKES,
    __main__,
    batchnorm_eps,
    beta1,
    moves_discriminator,
    range01,
    saturating,
    sigmoid_then_log,
    stale_cache,
    two_sided,
)
from minigan.datasets.idx import load_images
from minigan.gan.latents import sample_latents
from minigan.gan.recipes import replace
from minigan.nn.activations import Tanh
from minigan.nn.batchnorm import BatchNorm2d
from minigan.nn.losses import elementwise_bce, softplus

ROOT = Path(__file__).resolve().parents[2]
NAMES = [__main__.module_name(mistake) for mistake in MISTAKES]
EACH = pytest.mark.parametrize("mistake", MISTAKES, ids=NAMES)
IMAGES = np.random.default_rng(0).choice(np.uint8([0, 100, 255]), (64, 5, 6))


def tiny(mistake, **changes):
    """The recipe of a mistake with networks of a few units, without dropout, in float64."""
    return replace(
        mistake.RECIPE,
        latent_dim=3,
        widths_G=(5, 6),
        widths_D=(7,),
        batch_size=8,
        dropout=0.0,
        dtype="float64",
        d_warmup_steps=min(mistake.RECIPE.d_warmup_steps, 2),
        **changes,
    )


def both(mistake):
    """(healthy, broken): GANs with tiny networks and the same initial weights."""
    return mistake.Healthy(tiny(mistake), IMAGES, seed=1), mistake.Broken(
        tiny(mistake), IMAGES, seed=1
    )


def trained(gan, steps=4):
    """The weights of a GAN and two of its images after some steps, as one vector."""
    for _ in range(steps):
        gan.train_step()
    images = gan.generate(gan.grid_latents[:2])
    return np.concatenate([gan.G.theta, gan.D.theta, images.ravel()])


def fixed(mistake):
    """The module with each wrong line replaced by the right one."""
    source = inspect.getsource(mistake)
    for wrong, right in __main__.find_fixes(source):
        assert source.count(wrong + "\n") == 1
        source = source.replace(wrong + "\n", right + "\n")
    module = types.ModuleType("fixed")
    exec(compile(source, "fixed", "exec"), vars(module))
    return module


@EACH
def test_the_fixed_line_gives_the_healthy_run(mistake):
    healthy, broken = both(mistake)
    right = trained(healthy)
    repaired = trained(fixed(mistake).Broken(tiny(mistake), IMAGES, seed=1))
    np.testing.assert_allclose(repaired, right, rtol=1e-6)  # images are float32
    if mistake is not sigmoid_then_log:  # which is wrong only for large logits
        assert not np.allclose(trained(broken), right, rtol=1e-3)


@EACH
def test_every_mistake_has_threads_and_fixes_and_its_examples_run(mistake):
    assert mistake.THREADS and all(mistake.THREADS.values())
    source = inspect.getsource(mistake)
    assert len(__main__.find_fixes(source)) == source.count("# fixed:") > 0
    assert doctest.testmod(mistake).failed == 0


def test_the_package_does_not_import_them():
    for path in (ROOT / "minigan").rglob("*.py"):
        assert "exercises.mistakes" not in path.read_text(encoding="utf-8"), path


class Recorder:
    """An optimizer that keeps the gradient instead of using it."""

    lr = 0.0

    def step(self, dtheta):
        self.dtheta = dtheta.copy()


def gradient_of_D(gan):
    """D's gradient of the first discriminator step."""
    gan.optimizer_D = Recorder()
    gan.discriminator_step(gan.next_batch())
    return gan.optimizer_D.dtheta


def test_stale_cache_has_a_wrong_gradient_and_its_twin_the_right_one():
    healthy, broken = both(stale_cache)
    twin = stale_cache.Healthy(tiny(stale_cache), IMAGES, seed=1)
    real = twin.real_images(twin.next_batch())
    fake = twin.G.forward(sample_latents(twin.recipe, twin.noise, 8))[0]

    def loss():
        return softplus(-twin.D.forward(real)[0]).mean() + softplus(twin.D.forward(fake)[0]).mean()

    theta, numeric = twin.D.theta, np.empty_like(twin.D.theta)
    for i in range(len(theta)):
        middle = theta[i]
        theta[i] = middle + 1e-6
        above = loss()
        theta[i] = middle - 1e-6
        numeric[i] = (above - loss()) / 2e-6
        theta[i] = middle
    np.testing.assert_allclose(gradient_of_D(healthy), numeric, rtol=1e-4, atol=1e-8)
    wrong = gradient_of_D(broken)
    assert np.linalg.norm(wrong - numeric) > 0.3 * np.linalg.norm(numeric)
    np.testing.assert_allclose(wrong[-1], numeric[-1], rtol=1e-6)  # the last bias needs no cache


def test_stale_cache_never_changes_a_discriminator_that_outputs_one_half():
    healthy, broken = both(stale_cache)
    for gan in healthy, broken:
        gan.D.layers[-1].W[...] = gan.D.layers[-1].b[...] = 0
    assert abs(gradient_of_D(broken)).max() < 1e-12 < 1e-3 < abs(gradient_of_D(healthy)).max()


def test_moves_discriminator_trains_it_to_be_fooled():
    healthy, broken = both(moves_discriminator)
    before = healthy.D.theta.copy()
    healthy.generator_step(healthy.next_batch())
    assert (healthy.D.theta == before).all()

    def mean_logit():
        return broken.D.forward(broken.G.forward(broken.grid_latents)[0])[0].mean()

    at_first = mean_logit()
    for _ in range(20):
        broken.generator_step(broken.next_batch())
    assert (broken.D.theta != before).mean() > 0.5
    broken.G.theta[...] = moves_discriminator.Healthy(broken.recipe, IMAGES, seed=1).G.theta
    assert mean_logit() > at_first


def optimum(losses, a):
    """D(x) at the logit that minimises the losses, computed for the logits a."""
    return 1 / (1 + np.exp(-a[losses.argmin()]))


@pytest.mark.parametrize("p, q", [(0.0, 0.7), (0.3, 0.3), (2.0, 0.1)])
def test_the_optimal_discriminators_of_the_page_minimise_the_loss(p, q):
    a = np.linspace(-6, 6, 120001)
    real, fake = elementwise_bce(a, 1.0)[0], elementwise_bce(a, 0.0)[0]
    assert optimum(p * real + q * fake + q * real, a) == pytest.approx(
        (p + q) / (p + 2 * q), abs=1e-4
    )
    for fake_label, loss in (0.0, elementwise_bce), (0.1, two_sided.two_sided_loss):
        if p or fake_label:
            losses = p * elementwise_bce(a, 0.9)[0] + q * loss(a, 0 * a)[0]
            expected = (0.9 * p + fake_label * q) / (p + q)
            assert optimum(losses, a) == pytest.approx(expected, abs=1e-4)


def test_range01_shows_what_tanh_cannot_reach_easily():
    healthy, broken = both(range01)
    right, wrong = (gan.real_images(gan.next_batch()) for gan in (healthy, broken))
    assert (right.min(), right.max(), wrong.min(), wrong.max()) == (-1, 1, 0, 1)
    np.testing.assert_allclose(2 * wrong - 1, right, atol=1e-12)  # the same images
    _, cache = Tanh().forward(np.array([0.0, -4.0]))
    assert Tanh().backward(np.ones(2), cache) == pytest.approx([1, 0], abs=2e-3)
    black = np.zeros((8, 2, 2), "uint8")
    for gan, error in (
        (range01.Healthy(tiny(range01), black), 0.75),
        (range01.Broken(tiny(range01), black), 0.5),
    ):
        output = gan.G.layers[-3]  # before Tanh and Reshape
        output.W[...], output.b[...] = 0, np.arctanh(0.5)  # all pixels are 0.5
        assert list(range01.measure(gan).values()) == pytest.approx([error, error])


def test_saturating_has_a_gradient_that_is_smaller_by_d_over_1_minus_d():
    healthy, broken = both(saturating)
    norms = []
    for gan in healthy, broken:
        gan.optimizer_G = Recorder()
        gan.D.layers[-1].W[...] *= 1e-6  # all images get the same logit
        gan.D.layers[-1].b[...] = -9.0
        gan.generator_step(gan.choose_images())
        norms.append(np.linalg.norm(gan.optimizer_G.dtheta))
    d = 1 / (1 + np.exp(9.0))
    assert norms[1] / norms[0] == pytest.approx(d / (1 - d), rel=1e-4)


def test_batchnorm_eps_leaves_a_variance_that_is_not_1():
    x = np.random.default_rng(0).normal(3, [1.0, 0.3], (1000, 2))
    healthy, broken = both(batchnorm_eps)
    v = x.var(axis=0)
    for gan, expected, rtol in (healthy, np.ones(2), 1e-3), (broken, v / (v + 0.8), 1e-6):
        y, _ = gan.batch_norm(2, "float64").forward(x, train=True)
        np.testing.assert_allclose(y.var(axis=0), expected, rtol=rtol)
    assert sum(isinstance(layer, BatchNorm2d) for layer in broken.G.layers) == 1
    for gan in healthy, broken:
        x = gan.grid_latents
        for layer in gan.G.layers[:3]:
            x, _ = layer.forward(x)
        v = gan.G.layers[3].forward(x, train=True)[0].var(axis=0)
        measured = batchnorm_eps.measure(gan)["variance after batch norm"]
        assert measured == pytest.approx(v.mean(), rel=1e-6)


def test_two_sided_is_flat_where_the_fakes_are():
    _, learned, optimal, one = two_sided.distant_fakes(0.0, steps=1000)
    _, _, _, both_sides = two_sided.distant_fakes(0.1, steps=1000)
    assert one[1] < 10 * both_sides[1] < 0 and one[0] < 3 * both_sides[0] < 0
    far_away = two_sided.distant_fakes(0.1, steps=1)[2][-1]
    assert far_away == pytest.approx(np.log(1 / 9), abs=0.01)


def test_two_sided_changes_the_targets_of_fakes_only():
    a, loss = np.array([[0.3], [-1.0]]), two_sided.two_sided_loss
    assert (loss(a, np.array([[0.9], [0.9]]))[1] == elementwise_bce(a, 0.9)[1]).all()
    np.testing.assert_allclose(loss(a, np.zeros((2, 1)))[1], elementwise_bce(a, 0.1)[1])
    assert loss(a.astype("float32"), np.zeros((2, 1), "float32"))[1].dtype == np.float32


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_beta1_enlarges_the_circles_as_computed(momentum):
    healthy, broken = both(beta1)
    assert healthy.optimizer_G.beta1 == 0.0
    assert broken.optimizer_G.beta1 == broken.optimizer_D.beta1 == 0.9
    x, vx, y, vy, lr, radius = 1.0, 0.0, 0.0, 0.0, 0.1, []
    for _ in range(4000):
        vx = momentum * vx + (1 - momentum) * y
        x -= lr * vx
        vy = momentum * vy + (1 - momentum) * x
        y += lr * vy
        radius.append(np.hypot(x, y))
    growth = (max(radius[-100:]) / max(radius[900:1000])) ** (1 / 3000)
    assert beta1.growth(momentum, lr) == pytest.approx(growth, abs=1e-4)
    assert (growth > 1.005) == (momentum > 0)


def test_sigmoid_then_log_is_nan_for_large_logits():
    a = np.float32([[-3.0], [2.0], [17.0]])
    with np.errstate(all="ignore"):
        losses, da = sigmoid_then_log.bce_of_sigmoid(a, np.ones_like(a))
    right, right_da = elementwise_bce(a, np.ones_like(a))
    np.testing.assert_allclose(losses[:2], right[:2], rtol=1e-4)
    np.testing.assert_allclose(da[:2], right_da[:2], rtol=1e-4)
    assert np.isnan(losses[2]) and np.isnan(da[2])
    assert np.isfinite(right).all() and np.isfinite(right_da).all()


def test_with_clipping_its_gradient_is_zero_for_large_logits():
    a, loss = np.array([-20.0, -10.0, 1.0]), sigmoid_then_log.bce_of_clipped_sigmoid
    losses, da = loss(a, 1.0)
    numeric = (loss(a + 1e-5, 1.0)[0] - loss(a - 1e-5, 1.0)[0]) / 2e-5
    assert da[0] == 0 and losses[0] == pytest.approx(-np.log(1e-7))
    np.testing.assert_allclose(da, numeric, atol=1e-6)


def test_sigmoid_then_log_ends_a_run():
    recipe = replace(tiny(sigmoid_then_log), dtype="float32")
    for kind, survives in (sigmoid_then_log.Healthy, True), (sigmoid_then_log.Broken, False):
        gan = kind(recipe, IMAGES)
        gan.D.layers[-1].b[...] = 20.0  # D is very certain, and right for real images
        with np.errstate(all="ignore"):
            finite = np.isfinite(gan.train_step()).all()
        assert finite == survives == np.isfinite(gan.D.theta).all()


@pytest.fixture(scope="module")
def results():
    return __main__.read_rows(ROOT / "docs" / "mistakes.jsonl")


@EACH
def test_the_page_shows_what_was_measured(mistake, results, monkeypatch):
    name = __main__.module_name(mistake)
    page = (ROOT / "docs" / "mistakes.md").read_text(encoding="utf-8")
    pair = [results[__main__.run_key(mistake, side, __main__.STEPS)] for side in __main__.SIDES]
    distant_fakes = two_sided.distant_fakes
    monkeypatch.setattr(two_sided, "distant_fakes", lambda label: distant_fakes(label, steps=5))
    section = __main__.write_section(mistake, pair)
    if mistake is two_sided:  # measured in part by this test, so only the words are compared
        section, page = (re.sub(r"-?\d+\.\d+", "#", text) for text in (section, page))
    assert section in page
    with Image.open(ROOT / "docs" / "mistakes" / f"{name}.png") as figure:
        assert figure.format == "PNG" and figure.width > 500


def test_old_names_of_curves_are_still_read(tmp_path):
    row = {"mistake": "beta1", "side": "healthy", "steps": 1, "curves": {"D(x)": [0.5]}}
    row["curves"]["length of G's gradient"] = [0.25]
    (tmp_path / "mistakes.jsonl").write_text(json.dumps(row) + "\n")
    (read,) = __main__.read_rows(tmp_path / "mistakes.jsonl").values()
    assert read["curves"] == {"D(x)": [0.5], "gradient norm of G": [0.25]}


@pytest.fixture
def small_runs(monkeypatch):
    """A few hundred images instead of all, and small networks."""
    for mistake in MISTAKES:
        recipe = replace(
            mistake.RECIPE, widths_G=(8, 8), widths_D=(8,), batch_size=32, d_warmup_steps=0
        )
        monkeypatch.setattr(mistake, "RECIPE", recipe)
    images = load_images()[:600]
    dataset = types.SimpleNamespace(images=images[:300], labels=None, test=images[300:])
    monkeypatch.setattr(__main__, "load_dataset", lambda path: dataset)
    distant_fakes = two_sided.distant_fakes
    monkeypatch.setattr(two_sided, "distant_fakes", lambda label: distant_fakes(label, steps=5))


def test_the_command_trains_plots_and_continues(small_runs, tmp_path, capsys, monkeypatch):
    args = ["stale_cache", "--steps", "2", "--out", str(tmp_path)]
    assert __main__.main(args) == 0
    lines = (tmp_path / "mistakes.jsonl").read_text().splitlines()
    assert [json.loads(line)["side"] for line in lines] == ["healthy", "broken"]
    first, *printed, last = capsys.readouterr().out.splitlines()
    assert first.startswith("training 2 runs; ") and str(tmp_path / "mistakes.md") in last
    assert [line.partition(": FD")[0] for line in printed] == [
        "1 of 2: stale_cache, healthy",
        "2 of 2: stale_cache, broken",
    ]
    page = (tmp_path / "mistakes.md").read_text(encoding="utf-8")
    assert page.count("\n## ") == 1 and "stale_cache.png" in page
    assert (tmp_path / "mistakes" / "stale_cache.png").is_file()
    (tmp_path / "mistakes.jsonl").write_text(lines[0] + "\n")  # as if interrupted after the first
    assert __main__.main(args) == 0
    assert "1 of 1: stale_cache, broken" in capsys.readouterr().out
    again = [json.loads(line) for line in (tmp_path / "mistakes.jsonl").read_text().splitlines()]
    assert len(again) == len(lines)
    for row, line in zip(again, lines):  # the same seed, the same run
        assert {**row, "seconds": 0} == {**json.loads(line), "seconds": 0}
    monkeypatch.setattr(__main__, "train_side", None)
    assert __main__.main(args) == 0 and "nothing is trained" in capsys.readouterr().out


def test_without_out_it_changes_no_file_of_the_repository(small_runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs" / "mistakes.md"
    before = page.stat().st_mtime_ns
    assert __main__.main(["--page"]) == 0
    assert page.stat().st_mtime_ns == before
    written = tmp_path / "runs" / "gallery" / "mistakes.md"
    links = re.findall(r"\]\((?!https?:)([^)]+)\)", written.read_text(encoding="utf-8"))
    assert links and all((written.parent / link).exists() for link in links)


def test_identical_runs_are_trained_once():
    assert __main__.modules_sharing(beta1, "healthy")[0] is stale_cache
    assert __main__.modules_sharing(beta1, "broken") == [beta1]
    assert __main__.modules_sharing(two_sided, "healthy") == [two_sided]
    keys = {__main__.run_key(mistake, side, 1) for mistake in MISTAKES for side in __main__.SIDES}
    assert len([side for _, side, _ in keys if side == "healthy"]) == 4 and len(keys) == 12


@pytest.mark.long
def test_the_command_plots_every_figure(small_runs, tmp_path):
    assert __main__.main(["--steps", "2", "--out", str(tmp_path)]) == 0
    assert sorted(path.stem for path in (tmp_path / "mistakes").iterdir()) == sorted(NAMES)
    assert (tmp_path / "mistakes.md").read_text(encoding="utf-8").count("\n## ") == 8


@pytest.mark.parametrize(
    "args, message",
    [
        (["gradient"], "'gradient'; there are stale_cache, "),
        (["--steps", "0"], "--steps must be 1 or more, not 0"),
        (["--steps", "many"], "argument --steps: invalid int value: 'many'"),
        (["--page", "--out", "FILE"], "cannot write to "),
        (["--page", "--out", "DAMAGED"], "line 2, is damaged"),
    ],
)
def test_bad_input_gets_one_sentence_and_status_2(args, message, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    (tmp_path / "mistakes.jsonl").write_text(
        '{"mistake": "beta1", "side": "healthy", "steps": 1, "curves": {}}\n{"mistake": "be\n'
    )
    paths = {"FILE": str(tmp_path / "file"), "DAMAGED": str(tmp_path)}
    with pytest.raises(SystemExit) as ended:
        __main__.main([paths.get(arg, arg) for arg in args])
    error = capsys.readouterr().err
    assert ended.value.code == 2 and message in error and error.count("\n") == 1
