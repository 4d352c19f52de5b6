"""The gallery of mistakes: each is really one, its healthy twin does not have it, the line that is said to mend it mends it, and
docs/mistakes.md says and shows what exercises/mistakes/ has measured."""
import doctest
import inspect
import json
import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from exercises.mistakes import (MISTAKES, __main__, batchnorm_eps, beta1, moves_discriminator, range01, saturating,
                                sigmoid_then_log, stale_cache, two_sided)

from minigan.activations import Tanh
from minigan.batchnorm import BatchNorm
from minigan.build import make_noise
from minigan.data import load_images
from minigan.losses import price_and_slope, softplus
from minigan.recipes import replace

NAMES = [__main__.name_of(mistake) for mistake in MISTAKES]
EACH = pytest.mark.parametrize("mistake", MISTAKES, ids=NAMES)
IMAGES = np.random.default_rng(0).choice(np.uint8([0, 100, 255]), (64, 5, 6))


def tiny(mistake, **changes):
    """The recipe of a mistake with networks of a few units, without dropout, in float64."""
    return replace(mistake.RECIPE, latent_dim=3, widths_G=(5, 6), widths_D=(7,), batch_size=8, dropout=0.0, dtype="float64",
                   head_start=min(mistake.RECIPE.head_start, 2), **changes)


def both(mistake):
    """(healthy, broken) games with tiny networks that begin alike."""
    return mistake.Healthy(tiny(mistake), IMAGES, 1), mistake.Broken(tiny(mistake), IMAGES, 1)


def state_after(game, steps=4):
    for _ in range(steps):
        game.step()
    return np.concatenate([game.G.theta, game.D.theta, game.draw(game.grid_z[:2]).ravel()])


def mended(mistake):
    """The module as it is when each wrong line is replaced by the one that is said to mend it."""
    source = inspect.getsource(mistake)
    for wrong, right in __main__.mends(source):
        assert source.count(wrong + "\n") == 1
        source = source.replace(wrong + "\n", right + "\n")
    module = types.ModuleType("mended")
    exec(compile(source, "mended", "exec"), vars(module))
    return module


@EACH
def test_the_mended_line_mends_it_and_nothing_else_does(mistake):
    healthy, broken = both(mistake)
    right = state_after(healthy)
    np.testing.assert_allclose(state_after(mended(mistake).Broken(tiny(mistake), IMAGES, 1)), right, rtol=1e-6)  # drawn in float32
    if mistake is not sigmoid_then_log:  # which is wrong only where a float ends
        assert not np.allclose(state_after(broken), right, rtol=1e-3)


@EACH
def test_a_page_says_what_it_should(mistake):
    text = mistake.__doc__
    assert re.findall(r"^(?=\S)(.*)$", text, re.MULTILINE)[1:] == ["What people do", "What one sees", "Why"]
    assert mistake.THREADS and all(mistake.THREADS.values())
    assert any("#" in thread for thread in mistake.THREADS) or mistake is stale_cache  # found in code: FIELD names no thread
    assert __main__.mends(inspect.getsource(mistake))
    assert inspect.getsource(mistake).count("# mended:") == len(__main__.mends(inspect.getsource(mistake)))
    assert inspect.getsource(mistake).count("\n") < 140 and doctest.testmod(mistake).failed == 0


def test_the_engine_knows_nothing_of_them():
    assert sorted(NAMES) == sorted(path.stem for path in (ROOT / "exercises/mistakes").glob("*.py") if not path.stem.startswith("__"))
    for path in (ROOT / "minigan").glob("*.py"):
        assert "exercises.mistakes" not in path.read_text(encoding="utf-8"), path


class Listener:
    """An optimizer that keeps the gradient instead of using it."""

    lr = 0.0

    def step(self, dtheta):
        self.dtheta = dtheta.copy()


def gradient_of_D(game):
    game.optimizer_D = Listener()
    game.step_of_D()
    return game.optimizer_D.dtheta


def test_stale_cache_has_a_wrong_gradient_and_its_twin_the_right_one():
    healthy, broken = both(stale_cache)
    twin = stale_cache.Healthy(tiny(stale_cache), IMAGES, 1)
    real, fake = twin.next_images(), twin.G.forward(make_noise(twin.recipe, twin.noise, 8))[0]

    def loss():
        return softplus(-twin.D.forward(real)[0]).mean() + softplus(twin.D.forward(fake)[0]).mean()

    theta, numeric = twin.D.theta, np.empty_like(twin.D.theta)
    for i in range(len(theta)):
        kept = theta[i]
        theta[i] = kept + 1e-6
        above = loss()
        theta[i] = kept - 1e-6
        numeric[i] = (above - loss()) / 2e-6
        theta[i] = kept
    np.testing.assert_allclose(gradient_of_D(healthy), numeric, rtol=1e-4, atol=1e-8)
    wrong = gradient_of_D(broken)
    assert np.linalg.norm(wrong - numeric) > 0.3 * np.linalg.norm(numeric)
    np.testing.assert_allclose(wrong[-1], numeric[-1], rtol=1e-6)  # the last bias sees no cache


def test_stale_cache_never_moves_a_discriminator_that_says_one_half():
    healthy, broken = both(stale_cache)
    for game in healthy, broken:
        game.D.layers[-1].W[...] = game.D.layers[-1].b[...] = 0
    assert abs(gradient_of_D(broken)).max() < 1e-12 < 1e-3 < abs(gradient_of_D(healthy)).max()


def test_moves_discriminator_moves_it():
    healthy, broken = both(moves_discriminator)
    before = healthy.D.theta.copy()
    healthy.step_of_G()
    assert (healthy.D.theta == before).all()
    said = broken.D.forward(broken.G.forward(broken.grid_z)[0])[0].mean()
    for _ in range(20):
        broken.step_of_G()
    assert (broken.D.theta != before).mean() > 0.5
    broken.G.theta[...] = healthy.G.theta
    assert broken.D.forward(broken.G.forward(broken.grid_z)[0])[0].mean() > said  # towards being fooled


@pytest.mark.parametrize("p, q", [(0.0, 0.7), (0.3, 0.3), (2.0, 0.1)])
def test_the_best_answers_on_the_pages_are_where_the_price_is_lowest(p, q):
    a = np.linspace(-6, 6, 120001)
    pays = p * price_and_slope(a, 1.0)[0] + q * price_and_slope(a, 0.0)[0] + q * price_and_slope(a, 1.0)[0]
    assert 1 / (1 + np.exp(-a[pays.argmin()])) == pytest.approx((p + q) / (p + 2 * q), abs=1e-4)
    for two_sided_label, of_fakes in (0.0, price_and_slope), (0.1, two_sided.two_sided):
        if p or two_sided_label:
            pays = p * price_and_slope(a, 0.9)[0] + q * of_fakes(a, 0 * a)[0]
            best = (0.9 * p + two_sided_label * q) / (p + q)
            assert 1 / (1 + np.exp(-a[pays.argmin()])) == pytest.approx(best, abs=1e-4)


def test_range01_shows_what_tanh_cannot_reach_easily():
    healthy, broken = both(range01)
    right, wrong = healthy.next_images(), broken.next_images()
    assert (right.min(), right.max(), wrong.min(), wrong.max()) == (-1, 1, 0, 1)
    np.testing.assert_allclose(2 * wrong - 1, right, atol=1e-12)  # the same images
    _, memory = Tanh().forward(np.array([0.0, -4.0]))
    assert Tanh().backward(np.ones(2), memory) == pytest.approx([1, 0], abs=2e-3)
    black = np.zeros((8, 2, 2), "uint8")
    for game, off in (range01.Healthy(tiny(range01), black), 0.75), (range01.Broken(tiny(range01), black), 0.5):
        game.G.layers[-2].W[...], game.G.layers[-2].b[...] = 0, np.arctanh(0.5)  # it draws 0.5 everywhere
        assert range01.look(game) == {"off black, typical": pytest.approx(off), "off black, mean": pytest.approx(off)}


def test_saturating_has_a_gradient_that_is_shorter_by_d_over_1_minus_d():
    healthy, broken = both(saturating)
    lengths = []
    for game in healthy, broken:
        game.optimizer_G = Listener()
        game.D.layers[-1].W[...] *= 1e-6  # all images get the same answer
        game.D.layers[-1].b[...] = -9.0
        game.step_of_G()
        lengths.append(np.linalg.norm(game.optimizer_G.dtheta))
    d = 1 / (1 + np.exp(9.0))
    assert lengths[1] / lengths[0] == pytest.approx(d / (1 - d), rel=1e-4)


def test_batchnorm_eps_leaves_a_variance_that_is_not_1():
    x = np.random.default_rng(0).normal(3, [1.0, 0.3], (1000, 2))
    healthy, broken = both(batchnorm_eps)
    v = x.var(axis=0)
    np.testing.assert_allclose(healthy.batch_norm(2).forward(x, train=True)[0].var(axis=0), 1, rtol=1e-3)
    np.testing.assert_allclose(broken.batch_norm(2).forward(x, train=True)[0].var(axis=0), v / (v + 0.8), rtol=1e-6)
    assert sum(isinstance(layer, BatchNorm) for layer in broken.G.layers) == 1
    for game in healthy, broken:
        x = game.grid_z
        for layer in game.G.layers[:3]:
            x, _ = layer.forward(x)
        v = game.G.layers[3].forward(x, train=True)[0].var(axis=0)
        assert batchnorm_eps.look(game)["variance behind batch norm"] == pytest.approx(v.mean(), rel=1e-6)


def test_two_sided_is_flat_where_the_fakes_are():
    (_, learned, best, one), (_, _, _, two) = (two_sided.far_off(label, steps=1000) for label in (0.0, 0.1))
    assert one[1] < 10 * two[1] < 0 and one[0] < 3 * two[0] < 0
    assert two_sided.far_off(0.1, steps=1)[2][-1] == pytest.approx(np.log(1 / 9), abs=0.01)
    assert abs(learned - best)[100:350].mean() < 0.5


def test_two_sided_labels_only_the_fakes_otherwise():
    a = np.array([[0.3], [-1.0]])
    assert (two_sided.two_sided(a, np.array([[0.9], [0.9]]))[1] == price_and_slope(a, 0.9)[1]).all()
    np.testing.assert_allclose(two_sided.two_sided(a, np.zeros((2, 1)))[1], price_and_slope(a, 0.1)[1])
    assert two_sided.two_sided(a.astype("float32"), np.zeros((2, 1), "float32"))[1].dtype == np.float32


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
def test_beta1_makes_the_circles_grow_as_it_says(memory):
    healthy, broken = both(beta1)
    assert (healthy.optimizer_G.beta1, broken.optimizer_G.beta1, broken.optimizer_D.beta1) == (0.0, 0.9, 0.9)
    x, vx, y, vy, rate, far = 1.0, 0.0, 0.0, 0.0, 0.1, []
    for _ in range(4000):
        vx = memory * vx + (1 - memory) * y
        x -= rate * vx
        vy = memory * vy + (1 - memory) * x
        y += rate * vy
        far.append(np.hypot(x, y))
    growth = (max(far[-100:]) / max(far[900:1000])) ** (1 / 3000)
    assert beta1.growth(memory, rate) == pytest.approx(growth, abs=1e-4) and (growth > 1.005) == (memory > 0)


def test_sigmoid_then_log_is_nan_where_a_float_ends_and_clipped_it_is_flat():
    a = np.float32([[-3.0], [2.0], [17.0]])
    with np.errstate(all="ignore"):
        prices, slopes = sigmoid_then_log.sigmoid_then_log(a, np.ones_like(a))
    right, right_slopes = price_and_slope(a, np.ones_like(a))
    np.testing.assert_allclose(prices[:2], right[:2], rtol=1e-4)
    np.testing.assert_allclose(slopes[:2], right_slopes[:2], rtol=1e-4)
    assert np.isnan(prices[2]) and np.isnan(slopes[2]) and np.isfinite(right).all() and np.isfinite(right_slopes).all()
    far = np.array([-20.0, -10.0, 1.0])
    price, slope = sigmoid_then_log.clipped(far, 1.0)
    numeric = (sigmoid_then_log.clipped(far + 1e-5, 1.0)[0] - sigmoid_then_log.clipped(far - 1e-5, 1.0)[0]) / 2e-5
    assert slope[0] == 0 and price[0] == pytest.approx(-np.log(1e-7))
    np.testing.assert_allclose(slope, numeric, atol=1e-6)


def test_sigmoid_then_log_ends_a_run():
    recipe = replace(tiny(sigmoid_then_log), dtype="float32")
    for game, lives in (sigmoid_then_log.Healthy(recipe, IMAGES), True), (sigmoid_then_log.Broken(recipe, IMAGES), False):
        game.D.layers[-1].b[...] = 20.0  # very sure, and of real images rightly
        with np.errstate(all="ignore"):
            assert np.isfinite(game.step()).all() == lives == np.isfinite(game.D.theta).all()


@pytest.fixture(scope="module")
def results():
    return __main__.done(ROOT / "docs" / "mistakes.jsonl")


@EACH
def test_the_page_says_and_shows_what_was_measured(mistake, results, monkeypatch):
    name, page = __main__.name_of(mistake), (ROOT / "docs" / "mistakes.md").read_text(encoding="utf-8")
    pair = [results[__main__.key(mistake, side, __main__.STEPS)] for side in __main__.SIDES]
    far_off = two_sided.far_off
    monkeypatch.setattr(two_sided, "far_off", lambda label: far_off(label, steps=5))
    said = __main__.section(mistake, pair)
    if mistake is two_sided:  # part of it is measured anew, so only the words are compared
        said, page = (re.sub(r"-?\d+\.\d+", "#", text) for text in (said, page))
    assert said in page
    with Image.open(ROOT / "docs" / "mistakes" / f"{name}.png") as picture:
        assert picture.format == "PNG" and picture.width > 500


@pytest.fixture
def few(monkeypatch):
    """A few hundred images instead of all, and small networks."""
    for mistake in MISTAKES:
        monkeypatch.setattr(mistake, "RECIPE", replace(mistake.RECIPE, widths_G=(8, 8), widths_D=(8,), batch_size=32, head_start=0))
    images = load_images()[:600]
    monkeypatch.setattr(__main__, "load", lambda path: types.SimpleNamespace(images=images[:300], test=images[300:]))
    far_off = two_sided.far_off
    monkeypatch.setattr(two_sided, "far_off", lambda label: far_off(label, steps=5))


def test_the_command_trains_draws_and_goes_on_where_it_was(few, tmp_path, capsys, monkeypatch):
    assert __main__.main(["stale_cache", "--steps", "2", "--out", str(tmp_path)]) == 0
    lines = (tmp_path / "mistakes.jsonl").read_text().splitlines()
    assert [json.loads(line)["side"] for line in lines] == ["healthy", "broken"]
    said = capsys.readouterr().out
    assert re.match(r"stale_cache, healthy: FD \d+\.\d, \d+ s\nstale_cache, broken: FD ", said)
    assert "## The stale cache" in (tmp_path / "mistakes.md").read_text() and "## Adam" not in (tmp_path / "mistakes.md").read_text()
    assert (tmp_path / "mistakes" / "stale_cache.png").is_file()
    (tmp_path / "mistakes.jsonl").write_text(lines[0] + "\n")  # as if it had been stopped after the first
    assert __main__.main(["stale_cache", "--steps", "2", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("stale_cache, broken")
    again = [json.loads(line) for line in (tmp_path / "mistakes.jsonl").read_text().splitlines()]
    for row, line in zip(again, lines):
        assert {**row, "seconds": 0} == {**json.loads(line), "seconds": 0}  # the same seed, the same run
    monkeypatch.setattr(__main__, "play", None)
    assert __main__.main(["stale_cache", "--steps", "2", "--out", str(tmp_path)]) == 0 and capsys.readouterr().out == ""


def test_runs_that_are_the_same_are_trained_once(few):
    assert __main__.sharing(beta1, "healthy")[0] is stale_cache and __main__.sharing(beta1, "broken") == [beta1]
    assert __main__.sharing(two_sided, "healthy") == [two_sided]
    keys = {__main__.key(mistake, side, 1) for mistake in MISTAKES for side in __main__.SIDES}
    assert len([side for _, side, _ in keys if side == "healthy"]) == 4 and len(keys) == 12


def test_the_command_draws_every_picture(few, tmp_path):
    assert __main__.main(["--steps", "2", "--out", str(tmp_path)]) == 0
    assert sorted(path.stem for path in (tmp_path / "mistakes").iterdir()) == sorted(NAMES)
    assert (tmp_path / "mistakes.md").read_text(encoding="utf-8").count("\n## ") == 8


@pytest.mark.parametrize("args, said", [
    (["gradient"], "no mistake is called 'gradient'; there are stale_cache, "),
    (["--steps", "0"], "--steps is 1 or more, not 0"),
    (["--steps", "many"], "argument --steps: invalid int value: 'many'"),
    (["--page", "--out", "FILE"], "cannot write to "),
    (["--page", "--out", "DAMAGED"], "line 2, is damaged: delete that line"),
])
def test_bad_input_gets_one_sentence_and_status_2(args, said, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    (tmp_path / "mistakes.jsonl").write_text('{"mistake": "beta1", "side": "healthy", "steps": 1}\n{"mistake": "be\n')
    args = [{"FILE": str(tmp_path / "file"), "DAMAGED": str(tmp_path)}.get(arg, arg) for arg in args]
    with pytest.raises(SystemExit) as ended:
        __main__.main(args)
    error = capsys.readouterr().err
    assert ended.value.code == 2 and said in error and error.count("\n") == 1
