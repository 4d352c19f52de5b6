"""Augmentation: what is changed, its transpose, and both training steps with it."""

import fake_cupy
import numpy as np
import pytest
from helpers import assert_gradient

from minigan.accel.data_parallel import DataParallel
from minigan.backend import asnumpy
from minigan.gan.augment import (
    augment,
    augment_backward,
    random_transforms,
    read_augmentations,
)
from minigan.gan.gradient_penalty import make_penalty
from minigan.gan.losses import GAN_LOSSES
from minigan.gan.models import make_networks
from minigan.gan.recipes import RECIPES, replace
from minigan.gan.steps import (
    discriminator_step,
    discriminator_step_two_passes,
    generate_fakes,
    generator_step,
)
from minigan.nn.losses import softplus
from minigan.nn.optim import SGD

SHAPES = [(16, 24), (16, 24, 3)]


def plain(x, transforms, fill):
    """The definition, pixel by pixel."""
    y = np.full_like(x, fill)
    height, width = x.shape[1:3]
    for n, (f, down, right) in enumerate(transforms):
        image = x[n, :, ::-1] if f else x[n]
        for i in range(height):
            for j in range(width):
                if 0 <= i - down < height and 0 <= j - right < width:
                    y[n, i, j] = image[i - down, j - right]
    return y


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("names", ["flip", "shift", "flip,shift"])
def test_against_the_definition(shape, names, xp):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, *shape)).astype("float32")
    t = random_transforms(names, 40, shape, rng=rng)
    y = augment(xp.asarray(x), xp.asarray(t), pixel_min=-1.0)
    assert y.dtype == "float32"
    np.testing.assert_array_equal(asnumpy(y), plain(x, t, -1.0))


def test_none_changes_nothing():
    x = np.ones((2, 3, 4))
    assert augment(x, None, pixel_min=0.0) is x and augment_backward(x, None) is x


@pytest.mark.parametrize("shape", SHAPES)
def test_the_backward_is_the_transpose(shape, xp):
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((2, 30, *shape))
    t = xp.asarray(random_transforms("flip,shift", 30, shape, rng=rng))
    Ax = asnumpy(augment(xp.asarray(x), t, pixel_min=0.0))
    Aty = asnumpy(augment_backward(xp.asarray(y), t))
    np.testing.assert_allclose((Ax * y).sum(axis=(1, 2)), (x * Aty).sum(axis=(1, 2)), atol=1e-12)


def test_every_shift_and_both_directions_are_equally_likely():
    t = random_transforms("flip,shift", 70_000, (24, 32, 3), rng=np.random.default_rng(0))
    for column, values in (0, [0, 1]), (1, range(-3, 4)), (2, range(-4, 5)):
        found, counts = np.unique(t[:, column], return_counts=True)
        assert found.tolist() == list(values)
        np.testing.assert_allclose(counts / len(t), 1 / len(values), rtol=0.04)
    correlations = np.corrcoef(t.T) - np.eye(3)
    assert abs(correlations).max() < 0.02
    only = random_transforms("shift", 500, (24, 32), rng=np.random.default_rng(0))
    assert not only[:, 0].any() and only[:, 1:].any(axis=0).all()
    only = random_transforms("flip", 500, (24, 32), rng=np.random.default_rng(0))
    assert only[:, 0].any() and not only[:, 1:].any()


@pytest.mark.parametrize(
    "text, names",
    [("flip", "flip"), ("shift,flip", "flip,shift"), (" shift ,shift", "shift"), ("none", "")],
)
def test_names_are_put_in_order(text, names):
    assert read_augmentations(text) == names


@pytest.mark.parametrize("text", ["colour", "flip,", "", "flip shift", "none,flip"])
def test_unknown_names_are_refused(text):
    with pytest.raises(ValueError, match="is no augmentation: there are flip and shift"):
        read_augmentations(text)


def parts(name="dense", n=6, shape=(8, 16), n_classes=0):
    recipe = RECIPES[name]
    widths = {"dense": ((6, 5), (5, 6)), "default": ((6, 4, 3), (3, 6, 5))}[name]
    recipe = replace(
        recipe, widths_G=widths[0], widths_D=widths[1], latent_dim=3, dropout=0.0, dtype="float64"
    )
    rng = np.random.default_rng(2)
    G, D = make_networks(recipe, shape, n_classes=n_classes, rng=rng)
    for net in G, D:  # far from kinks
        net.theta[...] = rng.standard_normal(net.theta.shape) * 0.3
    real, z = rng.uniform(-1, 1, (n, *shape)), rng.standard_normal((n, 3))
    labels = np.eye(n_classes)[rng.integers(0, n_classes, n)] if n_classes else None
    t = random_transforms("flip,shift", 2 * n, shape, rng=rng).reshape(n, 2, 3)
    return G, D, real, z, labels, t


def inputs(x, labels):
    return x if labels is None else (x, labels)


@pytest.mark.parametrize("name, n_classes", [("dense", 0), ("default", 4)])
def test_the_generator_s_gradient_against_central_differences(name, n_classes):
    G, D, _, z, labels, t = parts(name, n_classes=n_classes)

    def loss():
        fake = G.forward(inputs(z, labels))[0]
        return float(softplus(-D.forward(inputs(plain(fake, t[:, 1], -1.0), labels))[0]).mean())

    options = dict(labels=labels, transforms=t, pixel_min=-1.0, rng=None)
    L = generator_step(G, D, SGD(G.theta, 0.0), z, **options)
    assert float(L) == pytest.approx(loss())
    assert_gradient("minigan/gan/augment.py", "dtheta of G", G.dtheta, loss, G.theta)


@pytest.mark.parametrize("step", [discriminator_step, discriminator_step_two_passes])
@pytest.mark.parametrize("name, n_classes", [("dense", 0), ("default", 4)])
def test_the_discriminator_s_gradient_against_central_differences(step, name, n_classes):
    G, D, real, z, labels, t = parts(name, n_classes=n_classes)
    x = plain(real, t[:, 0], -1.0)
    y = plain(G.forward(inputs(z, labels))[0], t[:, 1], -1.0)

    def loss():
        a, b = (D.forward(inputs(images, labels))[0] for images in (x, y))
        return float(softplus(-a).mean() + softplus(b).mean())

    options = dict(labels=labels, transforms=t, pixel_min=-1.0, rng=None)
    L, _, _ = step(G, D, SGD(D.theta, 0.0), real, z, **options)
    assert float(L) == pytest.approx(loss())
    assert_gradient("minigan/gan/augment.py", "dtheta of D", D.dtheta, loss, D.theta)


def test_with_a_loss_on_pairs_the_real_images_of_g_s_step_are_changed_too():
    G, D, real, z, _, t = parts()
    loss_on_pairs = GAN_LOSSES["relativistic"]

    def loss():
        x, y = plain(real, t[:, 0], -1.0), plain(G.forward(z)[0], t[:, 1], -1.0)
        return float(softplus(D.forward(x)[0] - D.forward(y)[0]).mean())

    options = dict(real=real, loss=loss_on_pairs, transforms=t, pixel_min=-1.0, rng=None)
    L = generator_step(G, D, SGD(G.theta, 0.0), z, **options)
    assert float(L) == pytest.approx(loss())
    assert_gradient("minigan/gan/augment.py", "dtheta of G", G.dtheta, loss, G.theta)


@pytest.mark.parametrize("step", [discriminator_step, discriminator_step_two_passes])
def test_a_penalty_is_computed_at_the_changed_images(step):
    G, D, real, z, labels, t = parts()
    seen = []

    def penalty(D, real, fake, *, labels, rng, both=None):
        seen.extend([real, fake])
        make_penalty("r1", 1.0)(D, real, fake, labels=labels, rng=rng)

    step(G, D, SGD(D.theta, 0.0), real, z, penalty=penalty, transforms=t, pixel_min=-1.0, rng=None)
    np.testing.assert_array_equal(seen[0], plain(real, t[:, 0], -1.0))
    np.testing.assert_array_equal(seen[1], plain(G.forward(z)[0], t[:, 1], -1.0))


@pytest.mark.parametrize("shared", [False, True])
def test_parallel_steps_agree(shared):
    """Each part of the batch keeps its own transforms."""
    G, D, real, z, labels, t = parts("default", n_classes=4)
    parallel = DataParallel(G, D, 3)
    found = []
    for run in None, parallel:
        fakes = {}
        if shared:
            make = parallel.generate_fakes if run else lambda *a, **k: generate_fakes(G, *a, **k)
            fakes = dict(fakes=make(z, labels=labels, rng=None))
        common = dict(labels=labels, pixel_min=-1.0, rng=None, **fakes)
        args = dict(transforms=t, penalty=make_penalty("r1", 1.0), **common)
        if run:
            losses = parallel.run(discriminator_step, D, SGD(D.theta, 0.0), real, z, **args)
            L = parallel.run(generator_step, G, SGD(G.theta, 0.0), z, transforms=t, **common)
        else:
            losses = discriminator_step(G, D, SGD(D.theta, 0.0), real, z, **args)
            L = generator_step(G, D, SGD(G.theta, 0.0), z, transforms=t, **common)
        found.append([*map(float, losses), float(L), *D.dtheta, *G.dtheta])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-9, atol=1e-12)


def test_nothing_waits_for_the_device():
    rng = np.random.default_rng(0)
    x = fake_cupy.asarray(rng.standard_normal((5, 16, 24)).astype("float32"))
    t = fake_cupy.asarray(random_transforms("flip,shift", 5, (16, 24), rng=rng))
    with fake_cupy.no_sync():
        augment_backward(augment(x, t, pixel_min=-1.0), t)
