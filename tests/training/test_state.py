"""A training step of every recipe: what it receives, and that it is the same on every backend."""

import copy
import re
from functools import partial

import fake_cupy
import numpy as np
import pytest
from helpers import SMALL, SMALL_IMAGES, small

from minigan.backend import asnumpy
from minigan.gan.gradient_penalty import PENALTIES, make_penalty
from minigan.gan.latents import sample_latents
from minigan.gan.losses import GAN_LOSSES
from minigan.gan.models import make_networks
from minigan.gan.recipes import (
    FIELDS,
    RECIPES,
    allowed_choices,
    asdict,
    recipe_from_dict,
    replace,
    unused_fields,
    validate_recipe,
)
from minigan.gan.steps import (
    discriminator_step,
    discriminator_step_two_passes,
    generator_step,
)
from minigan.nn.optim import SGD
from minigan.nn.sequential import Sequential
from minigan.rng import get_rng_state, make_rng
from minigan.training import state
from minigan.training.schedule import make_optimizers, set_learning_rates
from minigan.training.state import TrainingState

IMAGES = np.random.default_rng(0).integers(0, 256, (30, 8, 12), dtype=np.uint8)
LABELS = np.arange(30) * 7 % 10 % 3  # three classes


def train_gan(recipe, xp=np, steps=5, seed=0):
    """A GAN after some steps, and their losses: the plain steps, also on a device.

    tests/accel/test_fused_steps.py has the fused ones.
    """
    gan = TrainingState(recipe, IMAGES, seed=seed, xp=xp, fused=False)
    losses = [[asnumpy(value).item() for value in gan.train_step()] for _ in range(steps)]
    return gan, losses


def other_value(recipe, field):
    """Another value of a field of this recipe, which may contradict other fields."""
    value, choices = getattr(recipe, field), allowed_choices(field)
    if choices:
        return next(choice for choice in reversed(choices) if choice != value)
    if FIELDS[field].type is tuple:
        return (0.3, 0.4, 2) if field == "momentum" else (value[0] + 1, *value[1:])
    if FIELDS[field].type is float:
        return 1.5 if field == "lr_decay" else 0.25 if value != 0.25 else 0.5
    return not value if FIELDS[field].type is bool else 2 if value != 2 else 3


@pytest.mark.parametrize("name", ["default", "dense", "goodfellow-2014", "dcgan"])
def test_a_field_is_unused_exactly_if_changing_it_changes_nothing(name):
    def trained(recipe):
        gan, _ = train_gan(recipe, steps=4)
        images = gan.generate(gan.grid_latents[:2]).ravel()
        return np.concatenate([gan.D.theta, gan.G_ema.theta, images])

    recipe = replace(small(name), clusters=0)
    plain, accepted, without_effect = trained(recipe), set(), set()
    # the last two change the length of a run, and a conditional one needs labels
    fields = FIELDS.keys() - {"name", "source", "conditional", "epochs", "steps_per_epoch"}
    for field in fields:
        changed = replace(recipe, **{field: other_value(recipe, field)})
        try:
            validate_recipe(changed)
        except ValueError:
            continue
        accepted.add(field)
        if np.array_equal(trained(changed), plain):
            without_effect.add(field)
    assert len(accepted) > 20 and without_effect == unused_fields(recipe).keys() & accepted


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_trains_the_same_on_every_backend(name, xp):
    gan, losses = train_gan(small(name), xp)
    assert np.isfinite(losses).all() and gan.t == 5
    images = gan.generate(gan.grid_latents)
    assert (
        images.shape == (100, 8, 12)
        and images.dtype == "float32"
        and 0 <= images.min() < images.max() <= 1
    )
    if xp.__name__ != "cupy":  # a GPU generates other noise
        plain, expected = train_gan(small(name))
        assert losses == expected
        np.testing.assert_array_equal(asnumpy(gan.G.theta), plain.G.theta)
        np.testing.assert_array_equal(asnumpy(gan.G_ema.buffers), plain.G_ema.buffers)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("name", RECIPES)
def test_no_training_step_makes_the_host_wait(name, fused):
    gan = TrainingState(small(name), IMAGES, xp=fake_cupy, fused=fused)
    with fake_cupy.no_sync():
        gan.train_step()
        gan.train_step()


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_learns_both_networks(name):
    gan = TrainingState(small(name), IMAGES)
    before = gan.G.theta.copy(), gan.D.theta.copy()
    gan.train_step()
    assert (gan.G.dtheta != 0).mean() > 0.3 and (gan.D.dtheta != 0).mean() > 0.3
    assert (gan.G.theta != before[0]).any() and (gan.D.theta != before[1]).any()


def test_published_sizes():
    """Numbers of weights worked out by hand from the articles' layers."""

    def count(*sizes):
        return sum(a * b + b for a, b in zip(sizes, sizes[1:]))

    for name, G_sizes, D_sizes in [
        ("dense", (64, 256, 512, 784), (784, 512, 256, 1)),
        ("pytorch-mlp", (64, 256, 256, 784), (784, 256, 256, 1)),
        ("keras-mlp", (100, 256, 512, 1024, 784), (784, 1024, 512, 256, 1)),
        ("goodfellow-2014", (100, 1200, 1200, 784), None),
    ]:
        G, D = make_networks(RECIPES[name], (28, 28), rng=np.random.default_rng(0))
        assert G.theta.size == count(*G_sizes) and (
            D_sizes is None or D.theta.size == count(*D_sizes)
        )
    assert D.theta.size == (784 * 1200 + 1200) + (240 * 1200 + 1200) + 241


def test_rates_follow_the_recipe():
    recipe = replace(RECIPES["goodfellow-2014"], epochs=500)
    theta = np.zeros(1)
    G, D = SGD(theta, 9), SGD(theta, 9)
    set_learning_rates(recipe, G, D, 0, 600)
    assert (G.lr, D.lr, G.momentum, D.momentum) == (0.1, 0.05, 0.5, 0.5)
    set_learning_rates(recipe, G, D, 75_000, 600)
    assert G.lr == pytest.approx(0.1 * 1.000004**-75_000) and G.momentum == pytest.approx(0.6)
    set_learning_rates(recipe, G, D, 299_999, 600)
    assert D.momentum == pytest.approx(0.7) and D.lr == pytest.approx(0.05 * 1.000004**-299_999)

    # to the last bit: a quotient, as in earlier versions, and not a product with a negative power
    steps = range(0, 30_000, 7)
    lrs = [(set_learning_rates(recipe, G, D, step, 600), G.lr)[1] for step in steps]
    assert lrs == [0.1 * (1 / 1.000004**step) for step in steps]
    set_learning_rates(replace(recipe, lr_decay=1e10), G, D, 299_999, 600)
    assert G.lr == D.lr == 0  # a divisor too large for a float

    recipe = replace(RECIPES["auto-write"], epochs=10, final_lr_factor=0.5)
    G, D = make_optimizers(
        recipe, *make_networks(small("auto-write"), (8, 12), rng=np.random.default_rng(0))
    )
    set_learning_rates(recipe, G, D, 500, 100)
    assert G.lr == pytest.approx(0.75e-4) and D.lr == pytest.approx(2.25e-4) and D.beta1 == 0.9


def test_only_the_generator_has_weight_decay():
    recipe = replace(RECIPES["default"], weight_decay_G=0.07, beta1=0.25, beta2=0.99)
    G, D = make_optimizers(
        recipe, *make_networks(small("default"), (8, 12), rng=np.random.default_rng(0))
    )
    assert (G.weight_decay, D.weight_decay) == (0.07, 0) and (G.beta1, G.beta2) == (
        D.beta1,
        D.beta2,
    ) == (0.25, 0.99)
    assert RECIPES["default"].weight_decay_G > 0


def test_latents_have_the_distribution_of_the_recipe(xp):
    rng = xp.random.default_rng(0)
    z = asnumpy(sample_latents(RECIPES["goodfellow-2014"], rng, 1000))
    assert (
        z.shape == (1000, 100)
        and abs(z).max() == pytest.approx(3**0.5, abs=0.01)
        and z.std() == pytest.approx(1, abs=0.01)
    )
    assert z.dtype == "float32"
    for name in "dense", "default":
        z = asnumpy(sample_latents(RECIPES[name], rng, 1000))
        assert (
            z.shape == (1000, RECIPES[name].latent_dim)
            and z.dtype == "float32"
            and z.std() == pytest.approx(1, abs=0.02)
            and z.mean() == pytest.approx(0, abs=0.02)
        )
        assert (abs(z[:, -1]) == 1).all() == (name == "default")  # whose second half are signs
        assert abs(z[:, 0]).max() > 2.5


@pytest.fixture
def shown(monkeypatch):
    """The real images and the noise of every step of D, and the noise of every step of G."""
    seen, D_step, G_step = (
        {"real": [], "z_D": [], "z_G": []},
        state.discriminator_step,
        state.generator_step,
    )

    def spy_D(G, D, optimizer, real, z, *, step=D_step, **options):
        seen["real"].append(real)
        seen["z_D"].append(z)
        return step(G, D, optimizer, real, z, **options)

    def spy_G(G, D, optimizer, z, **options):
        seen["z_G"].append(z)
        return G_step(G, D, optimizer, z, **options)

    two_passes = partial(spy_D, step=discriminator_step_two_passes)
    monkeypatch.setattr(state, "discriminator_step", spy_D)
    monkeypatch.setattr(state, "discriminator_step_two_passes", two_passes)
    monkeypatch.setattr(state, "generator_step", spy_G)
    return seen


def test_a_black_pixel_has_the_value_of_the_recipe(shown):
    for name, low in (
        ("default", -1),
        ("keras-mlp", 0),
        ("keras-mlp-fixed", -1),
        ("goodfellow-2014", 0),
    ):
        train_gan(small(name), steps=4)
        assert (
            min(x.min() for x in shown["real"]) == low and max(x.max() for x in shown["real"]) == 1
        )
        shown["real"].clear()


def test_warm_up_steps_train_the_discriminator_alone(shown):
    gan, _ = train_gan(small("auto-write"), steps=4)
    assert (len(shown["real"]), len(shown["z_G"])) == (6, 4)
    assert (
        len(np.unique(np.concatenate(shown["real"][2:]), axis=0)) == 28
    )  # and the first epoch is whole


def test_batch_norm_sees_real_images_and_fakes_apart(monkeypatch):
    """D of dcgan takes two passes, a D without batch norm takes one."""
    used = []
    for name in "discriminator_step", "discriminator_step_two_passes":
        monkeypatch.setattr(
            state,
            name,
            lambda *args, name=name, plain=getattr(state, name), **options: (
                used.append(name) or plain(*args, **options)
            ),
        )
    for recipe in "dcgan", "auto-write", "default":
        train_gan(small(recipe), steps=1)
    assert used == ["discriminator_step_two_passes"] + ["discriminator_step"] * 4


def test_batches_are_as_large_as_the_recipe_says(shown):
    train_gan(small("keras-mlp"), steps=2)
    assert [len(x) for x in shown["real"] + shown["z_D"]] == [7] * 4 and [
        len(z) for z in shown["z_G"]
    ] == [9, 9]


@pytest.mark.parametrize("name", RECIPES)
def test_every_step_has_its_latents_and_nothing_else_is_sampled(name, shown):
    """D's step takes the next N latents of the stream, and G's step the next ones, or, with
    shared_fakes, those of D's step.
    """
    recipe, steps = small(name), 3
    gan, _ = train_gan(recipe, steps=steps)
    stream = make_rng(np, state.seed_of(0, "noise"))
    z_D = [sample_latents(recipe, stream, 7) for _ in range(recipe.d_warmup_steps)]
    z_G = []
    for _ in range(steps):
        z_D.append(sample_latents(recipe, stream, 7))
        if recipe.shared_fakes:
            z_G.append(z_D[-1])
        else:
            z_G.append(sample_latents(recipe, stream, recipe.batch_size_G or 7))
    for found, expected in zip((shown["z_D"], shown["z_G"]), (z_D, z_G)):
        assert len(found) == len(expected)
        for a, b in zip(found, expected):
            np.testing.assert_array_equal(a, b)
    assert stream.bit_generator.state == gan.noise.bit_generator.state


SHARING = {  # recipes with shared_fakes: name and changes
    "default": ("default", {}),
    "warm-up steps": ("default", {"d_warmup_steps": 2}),
    "batch norm": ("dcgan", {"shared_fakes": True}),
    "dropout": ("dense", {"shared_fakes": True}),
}


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("name", SHARING)
def test_both_networks_learn_from_shared_fakes(name, conditional, monkeypatch):
    """The gradients are those of the plain steps with the same noise, of G after D has changed. G
    makes one pass.
    """
    of_recipe, changes = SHARING[name]
    recipe = replace(small(of_recipe), conditional=conditional, **changes)
    labels = dict(labels=LABELS, n_classes=3) if conditional else {}
    gan, networks, forward = TrainingState(recipe, IMAGES, **labels), [], Sequential.forward
    monkeypatch.setattr(
        Sequential,
        "forward",
        lambda net, *args, **options: networks.append(net) or forward(net, *args, **options),
    )
    for _ in range(2):  # of the default, only the first step has a penalty
        batch = gan.next_batch()
        G, D, noise, rng = copy.deepcopy((gan.G, gan.D, gan.noise, gan.dropout))
        z, real = sample_latents(recipe, noise, 7), gan.real_images(batch)
        networks.clear()
        results_D = gan.discriminator_step(batch)
        theta_D, buffers_D = gan.D.theta.copy(), gan.D.buffers.copy()
        loss_G = gan.generator_step(batch)
        assert sum(net is gan.G for net in networks) == 1
        assert gan.noise.bit_generator.state == noise.bit_generator.state

        penalty, options = None, dict(labels=batch.labels, loss=gan.loss, rng=rng)
        if recipe.penalty and gan.t % recipe.penalty_every == 0:
            penalty = make_penalty(recipe.penalty, recipe.penalty_weight * recipe.penalty_every)
        mixing = any(layer.mixes_examples for layer in D.layers)
        step = discriminator_step_two_passes if mixing else discriminator_step
        expected = step(G, D, SGD(D.theta, 0.0), real, z, penalty=penalty, **options)
        np.testing.assert_array_equal(results_D, expected)
        np.testing.assert_array_equal(gan.D.dtheta, D.dtheta)
        assert (theta_D != D.theta).any()
        D.theta[...], D.buffers[...] = theta_D, buffers_D
        assert loss_G == generator_step(G, D, SGD(G.theta, 0.0), z, **options)
        np.testing.assert_array_equal(gan.G.dtheta, G.dtheta)
        gan.update_average()


def test_a_generator_step_alone_has_new_noise(shown):
    """Without a step of D before it there are no fakes to share; none are used twice either."""
    gan = TrainingState(small("default"), IMAGES)
    batch = gan.next_batch()
    gan.generator_step(batch)
    gan.discriminator_step(batch)
    gan.generator_step(batch)
    gan.generator_step(batch)
    alone, shared, again = shown["z_G"]
    np.testing.assert_array_equal(shared, shown["z_D"][0])
    assert (alone != shared).any() and (again != shared).any() and (again != alone).any()


def test_with_replacement_an_epoch_repeats_some_images_and_leaves_some_out(shown):
    recipe = replace(small("keras-mlp"), steps_per_epoch=0)
    gan, _ = train_gan(recipe, steps=4)
    assert gan.steps_per_epoch == 4 and len(np.unique(gan.indices)) < 28
    gan, _ = train_gan(replace(recipe, with_replacement=False), steps=4)
    assert len(np.unique(gan.indices)) == 28
    gan, _ = train_gan(
        replace(recipe, with_replacement=False, steps_per_epoch=9), steps=9
    )  # more steps than one pass has
    assert np.bincount(gan.indices, minlength=30).min() >= 2


def test_without_an_average_the_generator_itself_generates():
    gan, _ = train_gan(small("pytorch-mlp"))
    assert gan.G_ema is gan.G
    gan, _ = train_gan(small("default"))
    assert gan.G_ema is not gan.G and (gan.G_ema.theta != gan.G.theta).any()


def test_running_statistics_are_averaged_with_the_weights():
    gan, _ = train_gan(replace(small("dcgan"), ema_decay=0.9))
    assert gan.G_ema.buffers.shape == gan.G.buffers.shape != (0,)
    assert (gan.G_ema.buffers != gan.G.buffers).any() and (gan.G_ema.buffers[:4] != 0).all()


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_trains_with_labels(name, xp):
    losses = []
    for module in (np, xp) if xp.__name__ != "cupy" else (xp,):
        gan = TrainingState(
            replace(small(name), conditional=True),
            IMAGES,
            labels=LABELS,
            n_classes=3,
            xp=module,
            fused=False,
        )
        for _ in range(5):
            losses.append([asnumpy(value).item() for value in gan.train_step()])
        assert gan.generate(gan.grid_latents).shape == (100, 8, 12)
    assert np.isfinite(losses).all() and losses[:5] == losses[-5:]


def test_each_image_comes_with_its_own_label(monkeypatch):
    seen, D_step, G_step = [], state.discriminator_step, state.generator_step

    def spy_D(G, D, optimizer, real, z, *, labels, **options):
        seen.append((real, labels))
        return D_step(G, D, optimizer, real, z, labels=labels, **options)

    def spy_G(G, D, optimizer, z, *, labels, **options):
        np.testing.assert_array_equal(
            labels, np.resize(seen[-1][1], (9, 3))
        )  # as long as G's batch
        return G_step(G, D, optimizer, z, labels=labels, **options)

    monkeypatch.setattr(state, "discriminator_step", spy_D)
    monkeypatch.setattr(state, "generator_step", spy_G)
    gan = TrainingState(
        replace(small("keras-mlp-fixed"), conditional=True), IMAGES, labels=LABELS, n_classes=3
    )
    for _ in range(9):
        gan.train_step()
    images = IMAGES / 127.5 - 1
    for real, labels in seen:
        for row, label in zip(real, labels):
            i = abs(images - row).sum(axis=(1, 2)).argmin()
            assert label.tolist() == np.eye(3)[LABELS[i]].tolist()


def test_the_grid_has_the_same_noise_for_each_class():
    gan = TrainingState(
        replace(small("default"), conditional=True), IMAGES, labels=LABELS, n_classes=3
    )
    z, labels = gan.grid_latents
    np.testing.assert_array_equal(z[:33], z[34:67])
    np.testing.assert_array_equal(z[67:], z[:33])
    assert (
        labels.argmax(axis=1).tolist() == [0] * 34 + [1] * 33 + [2] * 33
        and (labels.sum(axis=1) == 1).all()
    )
    z, labels = gan.evaluation_latents
    shares = labels.mean(axis=0)  # classes are as frequent as in the images
    np.testing.assert_allclose(shares, np.bincount(LABELS) / 30, atol=0.05)
    assert len(np.unique(z[:, 0])) == 2000


@pytest.mark.parametrize("loss", GAN_LOSSES)
@pytest.mark.parametrize("penalty", ["", *PENALTIES])
def test_every_loss_and_penalty_trains_the_same_on_every_backend(loss, penalty, xp):
    recipe = replace(small("dense"), loss=loss, penalty=penalty, spectral=loss == "hinge")
    gan, losses = train_gan(recipe, xp)
    assert np.isfinite(losses).all()
    if xp.__name__ != "cupy":
        plain, expected = train_gan(recipe)
        assert losses == expected
        np.testing.assert_array_equal(asnumpy(gan.D.theta), plain.D.theta)
    if xp is fake_cupy:
        with fake_cupy.no_sync():
            gan.train_step()


def test_loss_penalty_and_spectral_norm_reach_the_networks():
    usual, _ = train_gan(small("dense"), steps=2)
    for change in (
        dict(loss="hinge"),
        dict(loss="minimax"),
        dict(loss="relativistic"),
        dict(penalty="r1"),
        dict(penalty="r2"),
        dict(penalty="r1+r2"),
        dict(penalty="wgan-gp"),
        dict(spectral=True),
    ):
        other, _ = train_gan(replace(small("dense"), **change), steps=2)
        assert (other.G.theta != usual.G.theta).any(), change
        if "loss" not in change:
            assert (other.D.theta != usual.D.theta).any(), change
    assert [repr(layer) for layer in other.D.layers][1::3] == [
        "SpectralNorm(Dense(96, 5))",
        "SpectralNorm(Dense(5, 6))",
        "SpectralNorm(Dense(6, 1))",
    ] and other.D.buffers.any()
    heavier, _ = train_gan(replace(small("dense"), penalty="r1", penalty_weight=20.0), steps=1)
    lighter, _ = train_gan(replace(small("dense"), penalty="r1", penalty_weight=10.0), steps=1)
    none, _ = train_gan(small("dense"), steps=1)
    np.testing.assert_allclose(
        heavier.D.dtheta - none.D.dtheta,
        2 * (lighter.D.dtheta - none.D.dtheta),
        rtol=2e-3,
        atol=1e-6,
    )


def test_a_penalty_every_few_steps_has_a_larger_weight(monkeypatch):
    weights = []
    monkeypatch.setattr(state, "make_penalty", lambda name, weight: weights.append((name, weight)))
    train_gan(replace(small("dense"), penalty="r1", penalty_weight=5.0, penalty_every=4), steps=9)
    assert weights == [("r1", 20.0)] * 3  # at steps 0, 4 and 8


def test_warm_up_steps_have_no_penalty(monkeypatch):
    """A penalty is due every so many training steps, and a warm-up step is not one."""
    weights = []
    monkeypatch.setattr(state, "make_penalty", lambda name, weight: weights.append(weight))
    train_gan(replace(small("dense"), penalty="r1", penalty_every=4, d_warmup_steps=3), steps=4)
    assert weights == [40.0]


def test_a_penalty_is_on_the_gradient_of_the_pixels_not_of_the_labels():
    """With weights on the labels alone, the gradient of the pixels is 0."""
    gan = TrainingState(
        replace(small("dense"), conditional=True, dropout=0.0), IMAGES, labels=LABELS, n_classes=3
    )
    gan.D.theta[...] = np.abs(gan.D.theta)  # every LeakyReLU lets pass what is positive
    gan.D.layers[1].W[:96] = 0
    x, labels = np.ones((7, 8, 12), "float32"), np.eye(3, dtype="float32")[[0, 1, 2, 0, 1, 2, 0]]
    for name in PENALTIES:
        P = make_penalty(name, 1.0)(gan.D, x, -x, labels=labels, rng=np.random.default_rng(0))
        assert P == (1 if name == "wgan-gp" else 0) and not gan.D.dtheta[96 * 5 :].any()
    gan.D.layers[1].W[:96] = 0.1
    assert (
        make_penalty("r1", 1.0)(gan.D, x, -x, labels=labels, rng=None) > 0
        and gan.D.dtheta[: 96 * 5].all()
    )


PAIRED = {  # recipes with a loss on pairs: name and changes
    "default": ("default", {"shared_fakes": False}),
    "classes": ("default", {"shared_fakes": False, "clusters": 0, "conditional": True}),
    "dropout": ("dense", {}),
    "batch norm": ("dcgan", {}),
    "another batch for G": ("keras-mlp-fixed", {}),
}


def paired_gan(name, xp=np, **options):
    """A GAN with a loss on pairs."""
    of_recipe, changes = PAIRED[name]
    recipe = replace(small(of_recipe), loss="relativistic", **changes)
    labels = dict(labels=LABELS, n_classes=3) if recipe.conditional else {}
    return TrainingState(recipe, IMAGES, xp=xp, **labels, **options)


def spy_on_steps(monkeypatch):
    """What both steps receive: a list of (real images or None, z, labels) for each."""
    seen = {"D": [], "G": []}
    for name in "discriminator_step", "discriminator_step_two_passes":

        def spy_D(G, D, optimizer, real, z, *, labels, step=getattr(state, name), **options):
            seen["D"].append((real, z, labels))
            return step(G, D, optimizer, real, z, labels=labels, **options)

        monkeypatch.setattr(state, name, spy_D)
    step_G = state.generator_step

    def spy_G(G, D, optimizer, z, *, labels, real, **options):
        seen["G"].append((real, z, labels))
        return step_G(G, D, optimizer, z, labels=labels, real=real, **options)

    monkeypatch.setattr(state, "generator_step", spy_G)
    return seen


def positions(real):
    """The positions in IMAGES of real images, scaled to [-1, 1]."""
    images = IMAGES / 127.5 - 1
    return [int(abs(images - x).sum(axis=(1, 2)).argmin()) for x in real]


@pytest.mark.parametrize("name", PAIRED)
def test_with_a_loss_on_pairs_G_has_real_images_of_its_own_with_their_labels(name, monkeypatch):
    """Another order than D's, in which an epoch shows no image twice; the fakes have the labels of
    the real images that they are paired with.
    """
    gan, seen = paired_gan(name), spy_on_steps(monkeypatch)
    for _ in range(2 * gan.steps_per_epoch):
        gan.train_step()
    orders = {net: [positions(real) for real, _, _ in steps] for net, steps in seen.items()}
    for epoch in range(2):
        in_epoch = slice(epoch * gan.steps_per_epoch, (epoch + 1) * gan.steps_per_epoch)
        shown = np.concatenate(orders["G"][in_epoch])
        assert name == "another batch for G" or len(np.unique(shown)) == len(shown)
        assert not set(map(tuple, orders["G"])) & set(map(tuple, orders["D"]))
    assert orders["G"][: gan.steps_per_epoch] != orders["G"][gan.steps_per_epoch :]
    labels = None if gan.labels is None else np.eye(gan.n_classes)[gan.labels]
    for net, steps in seen.items():
        for (real, z, given), order in zip(steps, orders[net]):
            assert len(real) == len(z) == (9 if (name, net) == ("another batch for G", "G") else 7)
            assert (given is None) == (labels is None)
            if given is not None:
                np.testing.assert_array_equal(given, labels[order])


@pytest.mark.parametrize("name", PAIRED)
def test_a_loss_on_pairs_leaves_all_other_streams_as_they_are(name, monkeypatch):
    """D receives the images and the noise that it receives with a loss on single logits."""
    seen = spy_on_steps(monkeypatch)
    gan, (of_recipe, changes) = paired_gan(name), PAIRED[name]
    labels = dict(labels=LABELS, n_classes=3) if gan.recipe.conditional else {}
    usual = TrainingState(replace(small(of_recipe), **changes), IMAGES, **labels)
    for one in gan, usual:
        for _ in range(3):
            one.train_step()
    for (real, z, _), (usual_real, usual_z, _) in zip(seen["D"][:3], seen["D"][3:]):
        np.testing.assert_array_equal(real, usual_real)
        np.testing.assert_array_equal(z, usual_z)
    assert all(real is None for real, _, _ in seen["G"][3:])
    for stream in "order", "noise":
        a, b = (getattr(one, stream).bit_generator.state for one in (gan, usual))
        assert a == b
    unused = np.random.default_rng(state.seed_of(0, "order_G")).bit_generator.state
    assert usual.order_G.bit_generator.state == unused != gan.order_G.bit_generator.state
    assert "shown_G" not in usual.save()[1] and "indices_G" not in usual.save()[0]


def test_a_further_stream_does_not_change_the_seeds_of_the_others():
    """Those of version 0.1.0 had six streams, in this order."""
    old = ("weights", "order", "noise", "dropout", "grid", "evaluation")
    assert state.STREAMS[:6] == old
    for seed, stream in zip(np.random.SeedSequence(5).spawn(6), old):
        assert (
            state.seed_of(5, stream).generate_state(4).tolist() == seed.generate_state(4).tolist()
        )


@pytest.mark.parametrize("steps", [0, 3, 4])
@pytest.mark.parametrize("name", PAIRED)
def test_a_gan_with_a_loss_on_pairs_is_restored_bit_for_bit(name, steps):
    """Also between two epochs: of four steps, or three."""
    gan, other = paired_gan(name), paired_gan(name)
    for _ in range(steps):
        gan.train_step()
    other.restore(*copy.deepcopy(gan.save()))
    for _ in range(5):
        np.testing.assert_array_equal(gan.train_step(), other.train_step())
    for a, b in zip(gan.arrays().values(), other.arrays().values()):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", PAIRED)
def test_a_loss_on_pairs_trains_the_same_on_every_backend(name, xp):
    losses = []
    for module in (np, xp) if xp.__name__ != "cupy" else (xp,):
        gan = paired_gan(name, module, fused=False)
        losses.append([[asnumpy(value).item() for value in gan.train_step()] for _ in range(5)])
    assert np.isfinite(losses).all() and losses[0] == losses[-1]
    gan = paired_gan(name, xp, fused=True)
    assert gan.fused is None
    if xp is fake_cupy:
        with fake_cupy.no_sync():
            gan.train_step()


SCHEDULED = dict(
    optimizer="adam",
    loss="relativistic",
    penalty="r1+r2",
    penalty_weight=1.0,
    final_penalty_weight=0.1,
    beta2=0.9,
    final_beta2=0.99,
    ema_decay=0.0,
    ema_half_life=0.5,
    burn_in=1.5,  # epochs of four steps: six steps
)


def test_schedules_change_three_values_over_the_burn_in(monkeypatch):
    """After 0, 1, ... of six steps the ramp is (1 - cos(pi n / 6)) / 2, and then it stays at 1."""
    weights, make = [], state.make_penalty
    monkeypatch.setattr(
        state, "make_penalty", lambda name, weight: weights.append(weight) or make(name, weight)
    )
    gan = TrainingState(replace(small("dense"), **SCHEDULED), IMAGES)
    assert gan.steps_per_epoch == 4
    product, last_beta2 = 1.0, 0.9
    for n, ramp in enumerate([0, 0.0669873, 0.25, 0.5, 0.75, 0.9330127, 1, 1, 1]):
        before = gan.G_ema.theta.copy()
        gan.train_step()
        assert weights.pop() == pytest.approx(1 - 0.9 * ramp, rel=1e-6)
        beta2, half_life = 0.9 + 0.09 * ramp, 2 * ramp  # in steps
        product *= beta2
        for optimizer in gan.optimizer_G, gan.optimizer_D:
            assert optimizer.beta2 == pytest.approx(beta2, rel=1e-7)
            assert optimizer.beta2_history[1] == pytest.approx(product, rel=1e-6)
            assert optimizer.beta2_history[0] == pytest.approx(last_beta2, rel=1e-7)
        last_beta2 = beta2
        decay = 0.5 ** (1 / half_life) if n else 0.0
        expected = decay * before + (1 - decay) * gan.G.theta
        np.testing.assert_allclose(gan.G_ema.theta, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("steps", [0, 3, 7])
def test_a_gan_with_schedules_is_restored_bit_for_bit(steps):
    recipe = replace(small("dense"), **SCHEDULED, d_warmup_steps=2)
    gan, other = (TrainingState(recipe, IMAGES) for _ in range(2))
    for _ in range(steps):
        gan.train_step()
    other.restore(*copy.deepcopy(gan.save()))
    for _ in range(4):
        np.testing.assert_array_equal(gan.train_step(), other.train_step())
    np.testing.assert_array_equal(gan.G_ema.theta, other.G_ema.theta)
    first = 0.9**2 if steps + 4 else 1  # of D's warm-up steps
    of_G, of_D = (net.beta2_history[1] for net in (gan.optimizer_G, gan.optimizer_D))
    assert of_D == pytest.approx(first * of_G, rel=1e-12)


@pytest.mark.parametrize(
    "change, words",
    [
        (dict(burn_in=0.0), "needs a burn_in together with"),
        (
            dict(final_penalty_weight=0.0, final_beta2=0.0, ema_half_life=0.0),
            "needs a burn_in together with",
        ),
        (dict(final_beta2=1.0), "final_beta2 is 1.0, but must be"),
        (dict(optimizer="sgd"), "only adam uses final_beta2"),
        (dict(ema_decay=0.9), "both an ema_decay and an ema_half_life"),
        (dict(ema_half_life=-1.0), "ema_half_life is -1.0, but must be"),
        (dict(burn_in=float("nan")), "burn_in is nan, but must be"),
    ],
)
def test_schedules_that_contradict_each_other_are_refused(change, words):
    recipe = {**asdict(small("dense")), **SCHEDULED}
    assert recipe_from_dict(recipe).burn_in == 1.5
    with pytest.raises(ValueError, match=words):
        recipe_from_dict({**recipe, **change})


def test_the_last_bias_of_D_learns_nothing_from_pairs():
    gan = paired_gan("default")
    gan.train_step()
    projection = gan.D.layers[-1]
    assert abs(projection.db).max() < 1e-7 < 1e-4 < abs(projection.dW).max()


def test_values_that_contradict_each_other_are_refused():
    with pytest.raises(
        ValueError,
        match="^the penalty r1 needs a discriminator without batch norm.* the recipe dcgan",
    ):
        recipe_from_dict({**asdict(RECIPES["dcgan"]), "penalty": "r1"})
    with pytest.raises(
        ValueError,
        match="^the hinge loss requires real_label to be 1, but the recipe default has 0.9",
    ):
        recipe_from_dict({**asdict(RECIPES["default"]), "loss": "hinge", "real_label": 0.9})
    with pytest.raises(ValueError, match="^the relativistic loss pairs .* shared_fakes to False"):
        recipe_from_dict({**asdict(RECIPES["default"]), "loss": "relativistic"})
    with pytest.raises(ValueError, match="^the relativistic loss requires real_label to be 1"):
        recipe_from_dict({**asdict(RECIPES["dense"]), "loss": "relativistic", "real_label": 0.9})
    for name, value in (
        ("loss", "best"),
        ("penalty", "r3"),
        ("spectral", 1),
        ("penalty_every", 0),
        ("penalty_weight", "much"),
    ):
        with pytest.raises(ValueError, match=f"^{name} is {value!r}"):
            recipe_from_dict({**asdict(RECIPES["default"]), name: value})
    with pytest.raises(
        NotImplementedError, match="batch"
    ):  # a recipe that was not validated fails in the layer
        train_gan(replace(small("dcgan"), penalty="r1"), steps=1)


@pytest.mark.parametrize(
    "recipe, n, labels, words",
    [
        ({}, 6, None, "6 images are fewer than the batch_size, 7"),
        ({"conditional": True}, 30, None, "must be given"),
        ({}, 30, [0, 1] * 15, "must not be given"),
        ({"conditional": True}, 30, [0, 2] * 15, "30 integers from 0 to 1"),
        ({"conditional": True}, 30, [0, -1] * 15, "30 integers from 0 to 1"),
        ({"conditional": True}, 30, [0.0, 1.0] * 15, "not float64"),
        ({"conditional": True}, 30, [0, 1], "of shape (2,)"),
    ],
)
def test_data_that_cannot_be_trained_on_is_refused(recipe, n, labels, words):
    recipe = replace(small("dense"), dropout=0.0, **recipe)
    labels = None if labels is None else np.array(labels)
    with pytest.raises(ValueError, match=re.escape(words)):
        TrainingState(recipe, IMAGES[:n], labels=labels, n_classes=2)


@pytest.mark.parametrize(
    "recipe",
    [
        SMALL,
        replace(SMALL, conditional=True, noise="uniform"),
        replace(SMALL, clusters=3, noise="half-binary"),
    ],
    ids=["no labels", "classes", "clusters"],
)
def test_a_sample_is_the_same_bit_for_bit_whatever_the_count(recipe):
    images, labels = np.tile(SMALL_IMAGES, (4, 1, 1)), np.arange(360) % 5
    options = dict(labels=labels, n_classes=5) if recipe.conditional else {}
    gan = TrainingState(recipe, images, **options)
    many = gan.sample(250, seed=3)
    for n in 1, 7, 100, 101:
        assert gan.sample(n, seed=3).tobytes() == many[:n].tobytes(), n
    assert (gan.sample(7, seed=4) != many[:7]).any()


@pytest.mark.parametrize("name", ["dense", "default"])
def test_augmentation_has_random_numbers_of_its_own(name):
    """The batches, the noise and the masks are those of a run without it, and D and G differ."""
    images = np.random.default_rng(1).integers(0, 256, (40, 8, 16), dtype=np.uint8)
    plain, changed = (
        TrainingState(replace(small(name), augment=augment), images)
        for augment in ("", "flip,shift")
    )
    before = get_rng_state(plain.augmentation)
    for _ in range(3):
        plain.train_step()
        changed.train_step()
    for stream in "order", "noise", "dropout":
        assert get_rng_state(getattr(plain, stream)) == get_rng_state(getattr(changed, stream))
    assert get_rng_state(plain.augmentation) == before != get_rng_state(changed.augmentation)
    assert (plain.D.theta != changed.D.theta).any() and (plain.G.theta != changed.G.theta).any()
    assert "augmentation" not in plain.save()[1] and "augmentation" in changed.save()[1]


def test_both_steps_receive_changed_images_with_new_numbers(monkeypatch):
    images = np.random.default_rng(1).integers(0, 256, (40, 8, 16), dtype=np.uint8)
    recipe, seen = replace(small("auto-write"), augment="shift"), []

    def spy(step):
        def inner(*args, **options):
            seen.append((options["transforms"], options["pixel_min"]))
            return step(*args, **options)

        return inner

    for name in "discriminator_step", "generator_step":
        monkeypatch.setattr(state, name, spy(getattr(state, name)))
    gan = TrainingState(recipe, images)
    for _ in range(2):
        gan.train_step()
    warm_up = recipe.d_warmup_steps
    assert [t.shape for t, _ in seen] == [(7, 2, 3)] * (warm_up + 4)
    assert {fill for _, fill in seen} == {0.0}  # black of this recipe
    rows = [t.reshape(-1, 3).tolist() for t, _ in seen]
    assert all(a != b for i, a in enumerate(rows) for b in rows[:i])


def test_augmentation_on_fake_cupy_gives_the_same():
    """Fused steps have no augmentation, so the plain ones are used."""
    images = np.random.default_rng(1).integers(0, 256, (40, 8, 16), dtype=np.uint8)
    recipe = replace(small("dense"), augment="flip,shift")
    here, there = (TrainingState(recipe, images, xp=xp) for xp in (np, fake_cupy))
    assert there.fused is None
    for _ in range(3):
        here.train_step()
        there.train_step()
    np.testing.assert_array_equal(here.D.theta, asnumpy(there.D.theta))
