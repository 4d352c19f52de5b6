"""Fused layers and fused steps against the plain ones: the same numbers, in fewer kernels."""

import copy

import fake_cupy
import numpy as np
import pytest
from helpers import small

from minigan.accel.fused_layers import (
    fused_backward,
    fused_forward,
    fused_layers,
    group_layers,
    leaky_relu_dropout,
    leaky_relu_dropout_backward,
    tanh_backward_into,
    tanh_into,
)
from minigan.accel.fused_steps import fused_steps, loss_kernels, scale_into
from minigan.backend import asnumpy
from minigan.gan.losses import GAN_LOSSES
from minigan.gan.models import make_discriminator
from minigan.gan.recipes import RECIPES, replace
from minigan.nn.activations import LeakyReLU, ReLU, Sigmoid, Tanh
from minigan.nn.dense import Dense
from minigan.nn.dropout import Dropout
from minigan.nn.ema import ExponentialMovingAverage
from minigan.nn.optim import Adam
from minigan.nn.reshape import ConcatLabels, Reshape
from minigan.nn.sequential import Sequential
from minigan.nn.spectral_norm import SpectralNorm
from minigan.rng import random_uint16
from minigan.training.state import TrainingState

FUSED = ["dense", "pytorch-mlp", "keras-mlp", "keras-mlp-fixed"]
CHANGES = {
    "as it is": {},
    "minimax": dict(loss="minimax"),
    "least squares": dict(loss="least-squares"),
    "hinge": dict(loss="hinge"),
    "real_label": dict(real_label=0.9),
    "uniform noise": dict(noise="uniform"),
    "SGD": dict(optimizer="sgd", learning_rate=0.1),
    "warm-up steps": dict(d_warmup_steps=2),
    "as many for G": dict(batch_size_G=0),
    "more for G": dict(batch_size_G=20),
    "deep": dict(widths_D=(5, 4, 3, 2)),
    "no hidden layer": dict(widths_G=(), widths_D=()),
}
RNG = np.random.default_rng
IMAGES = RNG(0).integers(0, 256, (30, 8, 12), dtype=np.uint8)
LABELS = np.arange(len(IMAGES)) % 3


class HostDraws:
    """A random generator with NumPy's numbers on every backend."""

    def __init__(self, seed, xp):
        self.rng, self.xp = RNG(seed), xp

    def integers(self, low, high, shape, dtype):
        """16 random bits, of which each layer's begin at a whole 64-bit number, as on NumPy."""
        if dtype != np.uint16:
            return self.xp.asarray(self.rng.integers(low, high, shape, dtype=dtype))
        return self.xp.asarray(random_uint16(np, self.rng, shape))

    def __getattr__(self, name):
        return lambda *args, **kwargs: self.xp.asarray(getattr(self.rng, name)(*args, **kwargs))


def train(recipe, xp, fused, steps=6, conditional=False):
    """A GAN after some training steps, and their losses and scores."""
    # with batches of 8 the random bits of each layer begin at a whole 64-bit number
    recipe = replace(recipe, batch_size=8, conditional=conditional)
    labels = dict(labels=LABELS, n_classes=3) if conditional else {}
    gan = TrainingState(recipe, IMAGES, xp=xp, fused=fused, **labels)
    assert bool(gan.fused) is fused
    gan.noise, gan.dropout = HostDraws(1, xp), HostDraws(2, xp)
    losses = [[asnumpy(value).item() for value in gan.train_step()] for _ in range(steps)]
    return gan, np.array(losses)


def vectors(gan):
    return {name: asnumpy(array) for name, array in gan.arrays().items()}


def assert_equal(fused, plain, dtype):
    """Up to rounding: the bias is added within the product, and sums have another order."""
    tolerance = dict(rtol=1e-9, atol=1e-12) if dtype == "float64" else dict(rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(fused[1], plain[1], **tolerance)
    expected = vectors(plain[0])
    for name, vector in vectors(fused[0]).items():
        assert vector.dtype == dtype
        np.testing.assert_allclose(vector, expected[name], **tolerance, err_msg=name)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("name", FUSED)
def test_fused_steps_equal_plain_steps(name, change, device):
    recipe = replace(small(name), dtype="float64", **change)
    assert_equal(train(recipe, device, True), train(recipe, device, False), "float64")


@pytest.mark.parametrize("name", FUSED)
def test_fused_steps_in_float32_and_with_labels(name, device):
    assert_equal(train(small(name), device, True), train(small(name), device, False), "float32")
    recipe = replace(small(name), dtype="float64")
    fused, plain = (
        train(recipe, device, True, conditional=True),
        train(recipe, device, False, conditional=True),
    )
    assert_equal(fused, plain, "float64")
    # the labels make a difference
    assert abs(fused[1] - train(recipe, device, True)[1]).max() > 1e-3


def test_the_results_depend_on_dropout(device):
    recipe = replace(small("dense"), dtype="float64")
    more = train(replace(recipe, dropout=0.5), device, True)[1]
    assert abs(train(recipe, device, True)[1] - more).max() > 1e-3


@pytest.mark.parametrize(
    "name, fused_kernels, plain_kernels",
    [
        ("keras-mlp-fixed", 60, 132),
        ("keras-mlp", 60, 132),
        ("dense", 47, 103),
        ("pytorch-mlp", 43, 86),
    ],
)
def test_launches_of_a_training_step(name, fused_kernels, plain_kernels):
    """fused_steps.py and docs/gpu.md give these numbers."""
    images = RNG(0).integers(0, 256, (300, 28, 28), dtype="uint8")
    counts = {}
    for fused in True, False:
        gan = TrainingState(RECIPES[name], images, xp=fake_cupy, fused=fused)
        gan.train_step()
        before = fake_cupy.launches
        with fake_cupy.no_sync():
            gan.train_step()
        counts[fused] = fake_cupy.launches - before
    assert counts[True] <= fused_kernels and counts[False] <= plain_kernels


def test_a_step_with_labels_does_not_make_the_host_wait():
    recipe = replace(small("dense"), conditional=True)
    gan = TrainingState(recipe, IMAGES, labels=LABELS, n_classes=3, xp=fake_cupy)
    with fake_cupy.no_sync():
        gan.train_step()
        losses = gan.train_step()
    assert all(np.isfinite(value.get()) for value in losses)


def test_each_formula_is_one_launch():
    x, a = (fake_cupy.asarray(np.ones((3, 4), dtype)) for dtype in ("float32", "float32"))
    bits = fake_cupy.asarray(np.ones((3, 4), "uint16")), 1000, 1.25
    images, theta = fake_cupy.asarray(np.ones((3, 4), "uint8")), fake_cupy.asarray(np.ones(5))
    discriminator_kernel, generator_kernel = loss_kernels(GAN_LOSSES["hinge"])
    adam, rmsprop, ema = (
        Adam(theta),
        Adam(theta, beta1=0.0),
        ExponentialMovingAverage(0 * theta),
    )
    for launch in (
        lambda: leaky_relu_dropout(a, x, 0.2),
        lambda: leaky_relu_dropout(a, x, 0.2, *bits),
        lambda: leaky_relu_dropout_backward(a, x, 1.0, x, 0.2, *bits),
        lambda: leaky_relu_dropout_backward(a, x[:, :1], x[:1], x, 0.2),
        lambda: tanh_into(a, x),
        lambda: tanh_backward_into(a, x, 1.0, x),
        lambda: discriminator_kernel(a, x, x, x, 3.0),
        lambda: generator_kernel(a, x, 3.0),
        lambda: scale_into(a, images, -1.0),
        lambda: adam.step(theta),
        lambda: rmsprop.step(theta),
        lambda: ema.step(theta),
    ):
        before = fake_cupy.launches
        launch()
        assert fake_cupy.launches == before + 1


def test_which_recipes_are_fused():
    def fused(recipe, xp=fake_cupy):
        return TrainingState(recipe, IMAGES, xp=xp).fused

    for name in RECIPES:
        assert bool(fused(small(name))) is (name in FUSED), name
        assert not fused(small(name), np)
    for change in (
        dict(loss="wasserstein"),
        dict(penalty="r1"),
        dict(spectral=True),
        dict(shared_fakes=True),  # fused steps generate the fakes of both steps, which differ
    ):
        assert not fused(replace(small("dense"), **change)), change


def dense(n_in, n_out):
    return Dense(n_in, n_out, rng=RNG(0))


def groups(*layers):
    return group_layers(Sequential([dense(2, 2), *layers]))


def test_which_layers_can_be_grouped():
    for one in [], [LeakyReLU()], [Tanh()], [LeakyReLU(), Dropout(0.5)]:
        assert len(groups(*one)) == 1
    assert len(groups(LeakyReLU(), Dropout(0.5), dense(2, 3), Tanh())) == 2
    assert groups(LeakyReLU(), Dropout(0))[0][2] is None
    for others in (
        [ReLU()],
        [Sigmoid()],
        [LeakyReLU(), Tanh()],
        [Dropout(0.5)],
        [Tanh(), Dropout(0.5)],
        [LeakyReLU(), Dropout(0.5), Dropout(0.5)],
        [LeakyReLU(), Dropout(0.5), LeakyReLU()],
        [SpectralNorm(dense(2, 2), rng=RNG(0))],
    ):
        assert groups(*others) == [], others
    assert group_layers(Sequential([LeakyReLU(), dense(2, 2)])) == []


def test_which_pairs_of_networks_are_fused():
    def fused(G, D):
        G, D = (Sequential(net).to(fake_cupy) for net in (G, D))
        return fused_steps(G, D, GAN_LOSSES["hinge"], n=4, n_G=4) is not None

    assert fused([dense(2, 6), Tanh()], [dense(6, 1)])
    assert fused([dense(2, 6), LeakyReLU()], [dense(6, 3), Tanh(), dense(3, 1)])
    assert fused([dense(2, 6), Tanh(), Reshape(2, 3)], [Reshape(6), dense(6, 1)])
    assert fused([ConcatLabels(1), dense(2, 6), Tanh()], [ConcatLabels(2), dense(8, 1)])
    assert not fused([dense(2, 6)], [dense(6, 1)])  # unbounded pixels
    assert not fused([dense(2, 3), LeakyReLU(), Dropout(0.5), dense(3, 6), Tanh()], [dense(6, 1)])
    assert not fused([dense(2, 6), Tanh()], [dense(6, 1), Tanh()])
    assert not fused([dense(2, 6), Tanh()], [dense(6, 3), dense(3, 1)])
    assert not fused([dense(2, 6), Sigmoid()], [dense(6, 1)])
    assert not fused([dense(2, 6), Tanh()], [dense(6, 3), ReLU(), dense(3, 1)])
    assert not fused([dense(2, 6), Tanh()], [dense(6, 3), Tanh(), Reshape(3), dense(3, 1)])


def test_fused_layers_forward_and_backward(xp, dtype):
    """A single network, on any backend: h, and every dW and db."""
    net = make_discriminator(5, [4, 3], dtype=dtype, rng=RNG(0)).to(xp)
    x, dy = (RNG(1).standard_normal(shape).astype(dtype) for shape in ((7, 5), (7, 1)))
    y, caches = net.forward(xp.asarray(x))
    dx, dtheta = asnumpy(net.backward(xp.asarray(dy), caches)), asnumpy(net.dtheta).copy()
    net.dtheta[...] = 0
    found = fused_layers(net, xp.asarray(np.concatenate([x, np.ones((7, 1), dtype)], axis=1)))
    fused_forward(found)
    close = dict(rtol=1e-5, atol=1e-6) if dtype == "float32" else dict(rtol=1e-12)
    np.testing.assert_allclose(asnumpy(found[-1].h), asnumpy(y), **close)
    found[-1].h[...] = xp.asarray(dy)
    fused_backward(found)
    np.testing.assert_allclose(asnumpy(net.dtheta), dtheta, **close)
    np.testing.assert_allclose(asnumpy(found[0].h) @ asnumpy(net.layers[0].W).T, dx, **close)
    part = found[0].select_rows(slice(2, 5))
    part.h[...] = 7
    assert (asnumpy(found[0].h)[2:5] == 7).all()
    assert part.x.shape == (3, 6) and part.y.shape == (3, 4)


def test_without_need_dparams_gradients_are_unchanged():
    net = make_discriminator(5, [4], rng=RNG(0))
    net.dtheta[...] = 3
    fused_backward(fused_layers(net, np.ones((7, 6), "float32")), need_dparams=False)
    assert (net.dtheta == 3).all()


def test_a_restored_gan_continues_bit_for_bit():
    recipe = replace(small("dense"), dropout=0.3)
    gans = [TrainingState(recipe, IMAGES, xp=fake_cupy) for _ in range(2)]
    for _ in range(3):
        gans[0].train_step()
    gans[1].restore(*gans[0].save())
    for gan in gans:  # the state of a device's generator cannot be read
        gan.noise, gan.dropout = HostDraws(1, fake_cupy), HostDraws(2, fake_cupy)
    first, second = (
        [[value.item() for value in gan.train_step()] for _ in range(3)] for gan in gans
    )
    assert first == second


def test_a_copy_learns_by_itself():
    gan = TrainingState(small("dense"), IMAGES, xp=fake_cupy)
    gan.train_step()
    copied, before = copy.deepcopy(gan.fused), gan.D.theta.get()
    (G, D, _), _ = copied.made_from
    assert D is not gan.D and G is not gan.G
    D.dtheta[...] = 0
    copied.discriminator_gradient()
    assert (D.dtheta.get() != 0).any()
    gan.D.theta[...] = 9
    np.testing.assert_array_equal(D.theta.get(), before)


def test_the_losses_of_a_step_are_not_overwritten_by_the_next():
    """They are copied to the host only later."""
    gan = TrainingState(small("dense"), IMAGES, xp=fake_cupy)
    losses = gan.train_step()
    numbers = [value.item() for value in losses]
    gan.train_step()
    assert [value.item() for value in losses] == numbers
