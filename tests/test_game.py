"""A step of every recipe: what it is given, and that it runs the same on every backend."""
import fake_device
import numpy as np
import pytest

from minigan import game as page
from minigan.adversarial import GAN_LOSSES
from minigan.backend import to_host
from minigan.build import make_networks, make_noise, make_optimizers, set_rates
from minigan.game import Game
from minigan.optim import SGD
from minigan.penalties import PENALTIES, slope_penalty
from minigan.recipes import RECIPES, asdict, from_dict, replace

IMAGES = np.random.default_rng(0).integers(0, 256, (30, 8, 12), dtype=np.uint8)
SMALLER = {"dense": ((6, 5), (5, 6)), "maxout": ((6, 5), (4, 3)), "dcgan": ((4, 3), (3, 4)), "conv": ((6, 4, 3), (3, 4, 6)), "auto-write": ((8, 6), (8, 6, 12))}


def small(name):
    recipe = RECIPES[name]
    widths_G, widths_D = SMALLER[recipe.networks]
    return replace(recipe, widths_G=widths_G, widths_D=widths_D, latent_dim=3, batch_size=7, batch_G=min(recipe.batch_G, 9),
                   head_start=min(recipe.head_start, 2), steps=min(recipe.steps, 3))


def play(recipe, xp=np, steps=5, seed=0):
    """By the pages of the core, on a device too; test_fusing.py has the other way."""
    game = Game(recipe, IMAGES, seed, xp, fused=False)
    told = [[to_host(value).item() for value in game.step()] for _ in range(steps)]
    return game, told


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_plays_the_same_on_every_backend(name, xp):
    game, told = play(small(name), xp)
    assert np.isfinite(told).all() and game.t == 5
    drawn = game.draw(game.grid_z)
    assert drawn.shape == (100, 96) and drawn.dtype == "float32" and 0 <= drawn.min() < drawn.max() <= 1
    if xp.__name__ != "cupy":                                          # a GPU draws other noise
        plain, expected = play(small(name))
        assert told == expected
        np.testing.assert_array_equal(to_host(game.G.theta), plain.G.theta)
        np.testing.assert_array_equal(to_host(game.drawer.state), plain.drawer.state)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("name", RECIPES)
def test_no_recipe_s_step_makes_the_host_wait(name, fused):
    game = Game(small(name), IMAGES, 0, fake_device, fused=fused)
    with fake_device.no_sync():
        game.step()
        game.step()


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_learns_both_networks(name):
    game = Game(small(name), IMAGES)
    before = game.G.theta.copy(), game.D.theta.copy()
    game.step()
    assert (game.G.dtheta != 0).mean() > 0.3 and (game.D.dtheta != 0).mean() > 0.3
    assert (game.G.theta != before[0]).any() and (game.D.theta != before[1]).any()


def test_published_sizes():
    """Numbers of weights worked out by hand from the articles' layers."""
    def count(*sizes):
        return sum(a * b + b for a, b in zip(sizes, sizes[1:]))
    for name, G_sizes, D_sizes in [
            ("default", (64, 256, 512, 784), (784, 512, 256, 1)), ("pytorch-mlp", (64, 256, 256, 784), (784, 256, 256, 1)),
            ("keras-mlp", (100, 256, 512, 1024, 784), (784, 1024, 512, 256, 1)), ("goodfellow-2014", (100, 1200, 1200, 784), None)]:
        G, D = make_networks(RECIPES[name], (28, 28), np.random.default_rng(0))
        assert G.theta.size == count(*G_sizes) and (D_sizes is None or D.theta.size == count(*D_sizes))
    assert D.theta.size == (784 * 1200 + 1200) + (240 * 1200 + 1200) + 241


def test_rates_follow_the_recipe():
    recipe = replace(RECIPES["goodfellow-2014"], epochs=500)
    theta = np.zeros(1)
    G, D = SGD(theta, 9), SGD(theta, 9)
    set_rates(recipe, G, D, 0, 600)
    assert (G.lr, D.lr, G.momentum, D.momentum) == (0.1, 0.05, 0.5, 0.5)
    set_rates(recipe, G, D, 75_000, 600)
    assert G.lr == pytest.approx(0.1 * 1.000004 ** -75_000) and G.momentum == pytest.approx(0.6)
    set_rates(recipe, G, D, 299_999, 600)
    assert D.momentum == pytest.approx(0.7) and D.lr == pytest.approx(0.05 * 1.000004 ** -299_999)

    recipe = replace(RECIPES["auto-write"], epochs=10, final_rate=0.5)
    G, D = make_optimizers(recipe, *make_networks(small("auto-write"), (8, 12), np.random.default_rng(0)))
    set_rates(recipe, G, D, 500, 100)
    assert G.lr == pytest.approx(0.75e-4) and D.lr == pytest.approx(2.25e-4) and D.beta1 == 0.9


def test_only_the_generator_s_weights_fade():
    G, D = make_optimizers(RECIPES["default"], *make_networks(small("default"), (8, 12), np.random.default_rng(0)))
    assert (G.decay, D.decay) == (0.07, 0) and (G.beta1, G.beta2) == (D.beta1, D.beta2) == (0, 0.99)


def test_noise_is_as_the_recipe_says(xp):
    rng = xp.random.default_rng(0)
    z = to_host(make_noise(RECIPES["goodfellow-2014"], rng, 1000))
    assert z.shape == (1000, 100) and abs(z).max() == pytest.approx(3 ** 0.5, abs=0.01) and z.std() == pytest.approx(1, abs=0.01)
    assert z.dtype == "float32"
    z = to_host(make_noise(RECIPES["default"], rng, 1000))
    assert z.shape == (1000, 64) and z.std() == pytest.approx(1, abs=0.02) and z.mean() == pytest.approx(0, abs=0.02)


@pytest.fixture
def shown(monkeypatch):
    """The real images and the noise of every step of D, and the noise of every step of G."""
    seen, D_step, G_step = {"real": [], "z_D": [], "z_G": []}, page.discriminator_step, page.generator_step

    def spy_D(G, D, optimizer, real, z, *rest):
        seen["real"].append(real)
        seen["z_D"].append(z)
        return D_step(G, D, optimizer, real, z, *rest)

    def spy_G(G, D, optimizer, z, *rest):
        seen["z_G"].append(z)
        return G_step(G, D, optimizer, z, *rest)
    monkeypatch.setattr(page, "discriminator_step", spy_D)
    monkeypatch.setattr(page, "generator_step", spy_G)
    return seen


def test_black_is_where_the_recipe_wants_it(shown):
    for name, low in ("default", -1), ("keras-mlp", 0), ("keras-mlp-fixed", -1), ("goodfellow-2014", 0):
        play(small(name), steps=4)
        assert min(x.min() for x in shown["real"]) == low and max(x.max() for x in shown["real"]) == 1
        shown["real"].clear()


def test_the_discriminator_may_start_ahead(shown):
    game, _ = play(small("auto-write"), steps=4)
    assert (len(shown["real"]), len(shown["z_G"])) == (6, 4)
    assert len(np.unique(np.concatenate(shown["real"][2:]), axis=0)) == 28     # and the first epoch is whole


def test_batch_norm_sees_real_images_and_fakes_apart(monkeypatch):
    """D of dcgan: two passes, with the statistics that G's step will use; without batch norm, one."""
    used = []
    for name in "discriminator_step", "discriminator_step_in_two":
        monkeypatch.setattr(page, name, lambda *args, name=name, plain=getattr(page, name): used.append(name) or plain(*args))
    for recipe in "dcgan", "auto-write", "default":
        play(small(recipe), steps=1)
    assert used == ["discriminator_step_in_two"] + ["discriminator_step"] * 4


def test_batches_are_as_large_as_the_recipe_says(shown):
    play(small("keras-mlp"), steps=2)
    assert [len(x) for x in shown["real"] + shown["z_D"]] == [7] * 4 and [len(z) for z in shown["z_G"]] == [9, 9]


def test_with_replacement_an_epoch_repeats_some_images_and_leaves_some_out(shown):
    recipe = replace(small("keras-mlp"), steps=0)
    game, _ = play(recipe, steps=4)
    assert game.steps == 4 and len(np.unique(game.indices)) < 28
    game, _ = play(replace(recipe, with_replacement=False), steps=4)
    assert len(np.unique(game.indices)) == 28
    game, _ = play(replace(recipe, with_replacement=False, steps=9), steps=9)      # more steps than one pass has
    assert np.bincount(game.indices, minlength=30).min() >= 2


def test_without_an_average_the_generator_itself_draws():
    game, _ = play(small("pytorch-mlp"))
    assert game.drawer is game.G
    game, _ = play(small("default"))
    assert game.drawer is not game.G and (game.drawer.theta != game.G.theta).any()


def test_running_statistics_are_averaged_with_the_weights():
    game, _ = play(replace(small("dcgan"), average=0.9))
    assert game.drawer.state.shape == game.G.state.shape != (0,)
    assert (game.drawer.state != game.G.state).any() and (game.drawer.state[:4] != 0).all()


LABELS = np.arange(30) * 7 % 10 % 3                                    # three classes


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_plays_with_labels(name, xp):
    told = []
    for module in (np, xp) if xp.__name__ != "cupy" else (xp,):
        game = Game(replace(small(name), conditional=True), IMAGES, 0, module, LABELS, 3, fused=False)
        for _ in range(5):
            told.append([to_host(value).item() for value in game.step()])
        assert game.draw(game.grid_z).shape == (100, 96)
    assert np.isfinite(told).all() and told[:5] == told[-5:]


def test_each_image_comes_with_its_own_label(monkeypatch):
    seen, D_step, G_step = [], page.discriminator_step, page.generator_step

    def spy_D(G, D, optimizer, real, z, rng, label, labels, *rest):
        seen.append((real, labels))
        return D_step(G, D, optimizer, real, z, rng, label, labels, *rest)

    def spy_G(G, D, optimizer, z, rng, labels, *rest):
        np.testing.assert_array_equal(labels, np.resize(seen[-1][1], (9, 3)))      # as long as G's batch
        return G_step(G, D, optimizer, z, rng, labels, *rest)
    monkeypatch.setattr(page, "discriminator_step", spy_D)
    monkeypatch.setattr(page, "generator_step", spy_G)
    game = Game(replace(small("keras-mlp-fixed"), conditional=True), IMAGES, 0, np, LABELS, 3)
    for _ in range(9):
        game.step()
    images = IMAGES.reshape(30, -1) / 127.5 - 1
    for real, labels in seen:
        for row, label in zip(real, labels):
            i = abs(images - row).sum(axis=1).argmin()
            assert label.tolist() == np.eye(3)[LABELS[i]].tolist()


def test_the_grid_has_the_same_noise_for_each_class():
    game = Game(replace(small("default"), conditional=True), IMAGES, 0, np, LABELS, 3)
    z, labels = game.grid_z[:, :3], game.grid_z[:, 3:]
    np.testing.assert_array_equal(z[:33], z[34:67])
    np.testing.assert_array_equal(z[67:], z[:33])
    assert labels.argmax(axis=1).tolist() == [0] * 34 + [1] * 33 + [2] * 33 and (labels.sum(axis=1) == 1).all()
    shares = game.measured_z[:, 3:].mean(axis=0)                       # these as often as in the images
    np.testing.assert_allclose(shares, np.bincount(LABELS) / 30, atol=0.05)
    assert len(np.unique(game.measured_z[:, 0])) == 2000


@pytest.mark.parametrize("loss", GAN_LOSSES)
@pytest.mark.parametrize("penalty", ["", *PENALTIES])
def test_every_loss_and_penalty_plays_the_same_on_every_backend(loss, penalty, xp):
    recipe = replace(small("default"), loss=loss, penalty=penalty, spectral=loss == "hinge")
    game, told = play(recipe, xp)
    assert np.isfinite(told).all()
    if xp.__name__ != "cupy":
        plain, expected = play(recipe)
        assert told == expected
        np.testing.assert_array_equal(to_host(game.D.theta), plain.D.theta)
    if xp is fake_device:
        with fake_device.no_sync():
            game.step()


def test_loss_penalty_and_spectral_norm_reach_the_networks():
    usual, _ = play(small("default"), steps=2)
    for change in dict(loss="hinge"), dict(loss="minimax"), dict(penalty="r1"), dict(penalty="wgan-gp"), dict(spectral=True):
        other, _ = play(replace(small("default"), **change), steps=2)
        assert (other.G.theta != usual.G.theta).any(), change
        if "loss" not in change:
            assert (other.D.theta != usual.D.theta).any(), change
    assert [repr(layer) for layer in other.D.layers][::3] == [
        "SpectralNorm(Dense(96, 5))", "SpectralNorm(Dense(5, 6))", "SpectralNorm(Dense(6, 1))"] and other.D.state.any()
    heavier, _ = play(replace(small("default"), penalty="r1", penalty_weight=20.0), steps=1)
    lighter, _ = play(replace(small("default"), penalty="r1", penalty_weight=10.0), steps=1)
    none, _ = play(small("default"), steps=1)
    np.testing.assert_allclose(heavier.D.dtheta - none.D.dtheta, 2 * (lighter.D.dtheta - none.D.dtheta), rtol=2e-3, atol=1e-6)


def test_a_penalty_may_be_paid_now_and_then(monkeypatch):
    weights = []
    monkeypatch.setattr(page, "slope_penalty", lambda name, weight: weights.append((name, weight)))
    play(replace(small("default"), penalty="r1", penalty_weight=5.0, penalty_every=4), steps=9)
    assert weights == [("r1", 20.0)] * 3                               # at steps 0, 4 and 8


def test_a_head_start_is_without_the_penalty(monkeypatch):
    """It is due every so many steps of the game, of which a head start has none."""
    weights = []
    monkeypatch.setattr(page, "slope_penalty", lambda name, weight: weights.append(weight))
    play(replace(small("default"), penalty="r1", penalty_every=4, head_start=3), steps=4)
    assert weights == [40.0]


def test_a_penalty_is_on_the_pixels_slope_not_on_the_labels():
    """With weights on the label's numbers alone, D is steep by them, and flat by the pixels."""
    game = Game(replace(small("default"), conditional=True, dropout=0.0), IMAGES, 0, np, LABELS, 3)
    game.D.theta[...] = np.abs(game.D.theta)                           # every LeakyReLU lets pass what is positive
    game.D.layers[0].W[:96] = 0
    x, labels = np.ones((7, 96), "float32"), np.eye(3, dtype="float32")[[0, 1, 2, 0, 1, 2, 0]]
    for name in PENALTIES:
        P = slope_penalty(name, 1.0)(game.D, x, -x, labels, np.random.default_rng(0))
        assert P == (0 if name == "r1" else 1) and not game.D.dtheta[96 * 5:].any()
    game.D.layers[0].W[:96] = 0.1
    assert slope_penalty("r1", 1.0)(game.D, x, -x, labels, None) > 0 and game.D.dtheta[:96 * 5].all()


def test_values_that_cannot_go_together_are_refused():
    with pytest.raises(ValueError, match="^the penalty r1 wants a discriminator without batch norm, .* the recipe dcgan has one"):
        from_dict({**asdict(RECIPES["dcgan"]), "penalty": "r1"})
    with pytest.raises(ValueError, match="^the hinge loss knows no real_label but 1, and the recipe default has 0.9"):
        from_dict({**asdict(RECIPES["default"]), "loss": "hinge", "real_label": 0.9})
    for name, value in ("loss", "best"), ("penalty", "r2"), ("spectral", 1), ("penalty_every", 0), ("penalty_weight", "much"):
        with pytest.raises(ValueError, match=f"^{name} is {value!r}"):
            from_dict({**asdict(RECIPES["default"]), name: value})
    with pytest.raises(NotImplementedError, match="mixes the images"):     # and who comes past that is told by the layer
        play(replace(small("dcgan"), penalty="r1"), steps=1)
