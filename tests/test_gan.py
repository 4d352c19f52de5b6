"""The two training steps: the right gradients, for the right network, without waiting."""
import fake_device
import numpy as np
import pytest

from minigan.backend import to_host
from minigan.randomness import random_generator
from minigan.gan import (discriminator_step, discriminator_step_in_two, generator_step, make_discriminator,
                         make_generator)
from minigan.gradcheck import central_difference
from minigan.layer import Layer
from minigan.losses import softplus
from minigan.optim import SGD, Adam


def setup(xp=np, dtype="float64", optimizer=lambda theta: SGD(theta, 0.0), dropout=0.0):
    rng = np.random.default_rng(0)
    G = make_generator(3, [6, 5], 8, rng, dtype=dtype).to(xp)
    D = make_discriminator(8, [6, 4], rng, dropout=dropout, dtype=dtype).to(xp)
    real = xp.asarray(rng.uniform(-1, 1, (7, 8)).astype(dtype))
    z = xp.asarray(rng.standard_normal((7, 3)).astype(dtype))
    return G, D, optimizer(G.theta), optimizer(D.theta), real, z


def test_the_networks_are_what_the_recipe_says():
    G, D, *_ = setup(dropout=0.3)
    assert repr(G) == "Sequential([Dense(3, 6), LeakyReLU(0.2), Dense(6, 5), LeakyReLU(0.2), Dense(5, 8), Tanh()])"
    assert repr(D) == ("Sequential([Dense(8, 6), LeakyReLU(0.2), Dropout(0.3),"
                       " Dense(6, 4), LeakyReLU(0.2), Dropout(0.3), Dense(4, 1)])")


def test_without_dropout_there_is_none_and_other_settings_reach_every_layer():
    rng = np.random.default_rng(0)
    D = make_discriminator(8, [6], rng)
    assert repr(D) == "Sequential([Dense(8, 6), LeakyReLU(0.2), Dense(6, 1)])"
    G = make_generator(3, [6], 8, rng, slope=0.1, rule="fan_in", dtype="float64")
    assert repr(G) == "Sequential([Dense(3, 6), LeakyReLU(0.1), Dense(6, 8), Tanh()])"
    assert G.layers[0].b.any() and G.layers[2].b.any() and G.theta.dtype == "float64"   # only "fan_in" draws b
    D = make_discriminator(8, [6], rng, slope=0.1, dropout=0.5, rule="fan_in", dtype="float64")
    assert repr(D) == "Sequential([Dense(8, 6), LeakyReLU(0.1), Dropout(0.5), Dense(6, 1)])"
    assert D.layers[0].b.any() and D.layers[3].b.any() and D.theta.dtype == "float64"
    assert make_generator(3, [6], 8, rng).theta.dtype == make_discriminator(8, [6], rng).theta.dtype == "float32"


class Spy(Layer):
    """Lets everything through, and remembers how it was called."""

    def __init__(self):
        self.forwards, self.backwards = [], []

    def forward(self, x, train=False, rng=None):
        self.forwards.append((train, rng))
        return x, None

    def backward(self, dy, cache, need_dx=True, need_dparams=True):
        self.backwards.append((need_dx, need_dparams))
        return dy


@pytest.mark.parametrize("step, passes", [(discriminator_step, 1), (discriminator_step_in_two, 2), (generator_step, 1)])
def test_both_networks_train_with_the_rng_and_no_gradient_is_computed_in_vain(step, passes):
    G, D, opt_G, opt_D, real, z = setup()
    G.layers.insert(0, first_G := Spy())
    G.layers.insert(2, inner_G := Spy())
    D.layers.insert(0, first_D := Spy())
    D.layers.insert(2, inner_D := Spy())
    if step is generator_step:
        step(G, D, opt_G, z, "rng")
        assert inner_D.backwards == [(True, False)]                   # D: only the gradient of its input,
        assert first_D.backwards == [(True, False)]                   # all the way to the pixels,
        assert inner_G.backwards == [(True, True)]                    # G: only those of its parameters
        assert first_G.backwards == []                                # and none of the noise
    else:
        step(G, D, opt_D, real, z, "rng")
        assert inner_D.backwards == [(True, True)] * passes
        assert first_D.backwards == []                                # nor of the pixels
        assert first_G.backwards == inner_G.backwards == []           # no way back into G
    for spy, times in (first_G, 1), (inner_G, 1), (first_D, passes), (inner_D, passes):
        assert spy.forwards == [(True, "rng")] * times


@pytest.mark.parametrize("step", [discriminator_step, discriminator_step_in_two])
def test_the_target_of_real_images_is_1_unless_told_otherwise(step):
    G, D, _, optimizer, real, z = setup()
    assert step(G, D, optimizer, real, z, None)[0] == step(G, D, optimizer, real, z, None, 1.0)[0]
    assert step(G, D, optimizer, real, z, None)[0] != step(G, D, optimizer, real, z, None, 0.9)[0]


@pytest.mark.parametrize("real_label", [1.0, 0.9])
def test_the_discriminator_s_gradient_against_central_differences(real_label):
    """Through the whole loss: mean over real of softplus(z) - label z, plus mean over fake of softplus(z)."""
    G, D, _, optimizer, real, z = setup()
    fake, _ = G.forward(z)

    def loss():
        on_real, on_fake = D.forward(real)[0], D.forward(fake)[0]
        return float((softplus(on_real) - real_label * on_real).mean() + softplus(on_fake).mean())
    L, score_real, score_fake = discriminator_step(G, D, optimizer, real, z, None, real_label)
    assert L == pytest.approx(loss(), rel=1e-13)
    np.testing.assert_allclose(D.dtheta, central_difference(loss, D.theta), rtol=1e-7, atol=1e-10)
    assert score_real == pytest.approx((1 / (1 + np.exp(-D.forward(real)[0]))).mean())
    assert score_fake == pytest.approx((1 / (1 + np.exp(-D.forward(fake)[0]))).mean())


def test_the_generator_s_gradient_against_central_differences():
    """Through both networks: mean of -log D(G(z)) = softplus(-z)."""
    G, D, optimizer, _, _, z = setup()

    def loss():
        return float(softplus(-D.forward(G.forward(z)[0])[0]).mean())
    assert generator_step(G, D, optimizer, z, None) == pytest.approx(loss(), rel=1e-13)
    np.testing.assert_allclose(G.dtheta, central_difference(loss, G.theta), rtol=1e-7, atol=1e-10)


def setup_with_labels(dtype="float64", xp=np):
    rng = np.random.default_rng(0)
    G = make_generator(3 + 4, [6, 5], 8, rng, dtype=dtype).to(xp)
    D = make_discriminator(8 + 4, [6, 4], rng, dtype=dtype).to(xp)
    real, z = rng.uniform(-1, 1, (7, 8)).astype(dtype), rng.standard_normal((7, 3)).astype(dtype)
    return G, D, *map(xp.asarray, (real, z, np.eye(4, dtype=dtype)[[0, 3, 1, 2, 2, 0, 1]]))


@pytest.mark.parametrize("step", [discriminator_step, discriminator_step_in_two])
def test_with_labels_the_discriminator_s_gradient_against_central_differences(step):
    """Real images and fakes with their labels beside them; a fake that was drawn for a 7 is shown as a 7."""
    G, D, real, z, labels = setup_with_labels()
    fake = G.forward(np.hstack([z, labels]))[0]

    def loss():
        on_real, on_fake = (D.forward(np.hstack([x, labels]))[0] for x in (real, fake))
        return float((softplus(on_real) - on_real).mean() + softplus(on_fake).mean())
    L, _, _ = step(G, D, SGD(D.theta, 0.0), real, z, None, labels=labels)
    assert L == pytest.approx(loss(), rel=1e-13)
    np.testing.assert_allclose(D.dtheta, central_difference(loss, D.theta), rtol=1e-7, atol=1e-10)


def test_with_labels_the_generator_s_gradient_against_central_differences():
    G, D, _, z, labels = setup_with_labels()

    def loss():
        fake = G.forward(np.hstack([z, labels]))[0]
        return float(softplus(-D.forward(np.hstack([fake, labels]))[0]).mean())
    assert generator_step(G, D, SGD(G.theta, 0.0), z, None, labels) == pytest.approx(loss(), rel=1e-13)
    np.testing.assert_allclose(G.dtheta, central_difference(loss, G.theta), rtol=1e-7, atol=1e-10)


def test_with_labels_on_every_backend(xp):
    told = []
    for module in np, xp:
        G, D, real, z, labels = setup_with_labels(xp=module)
        told.append([to_host(discriminator_step(G, D, SGD(D.theta, 0.1), real, z, None, labels=labels)[0]).item(),
                     to_host(generator_step(G, D, SGD(G.theta, 0.1), z, None, labels)).item()])
    assert told[0] == pytest.approx(told[1], rel=1e-12)


@pytest.mark.parametrize("step", [discriminator_step, discriminator_step_in_two])
def test_the_discriminator_s_step_moves_the_discriminator_only(step):
    G, D, _, optimizer, real, z = setup(optimizer=lambda theta: SGD(theta, 0.1))
    G_before, D_before = G.theta.copy(), D.theta.copy()
    step(G, D, optimizer, real, z, None)
    np.testing.assert_array_equal(G.theta, G_before)
    assert not G.dtheta.any()
    np.testing.assert_allclose(D.theta, D_before - 0.1 * D.dtheta, rtol=1e-14)
    assert D.dtheta.any()


def test_the_generator_s_step_moves_the_generator_only():
    G, D, optimizer, _, _, z = setup(optimizer=lambda theta: SGD(theta, 0.1))
    G_before, D_before = G.theta.copy(), D.theta.copy()
    D.dtheta[...] = 7                                                 # not even a gradient is written
    generator_step(G, D, optimizer, z, None)
    np.testing.assert_array_equal(D.theta, D_before)
    assert (D.dtheta == 7).all()
    np.testing.assert_allclose(G.theta, G_before - 0.1 * G.dtheta, rtol=1e-14)
    assert G.dtheta.any()


def test_gradients_of_the_last_step_are_forgotten():
    G, D, opt_G, opt_D, real, z = setup()
    discriminator_step(G, D, opt_D, real, z, None)
    generator_step(G, D, opt_G, z, None)
    first = D.dtheta.copy(), G.dtheta.copy()
    discriminator_step(G, D, opt_D, real, z, None)
    generator_step(G, D, opt_G, z, None)
    np.testing.assert_array_equal(D.dtheta, first[0])
    np.testing.assert_array_equal(G.dtheta, first[1])


@pytest.mark.parametrize("real_label", [1.0, 0.9])
def test_one_batch_of_both_is_two_passes(real_label):
    """The fast form of the discriminator's step against the plain one."""
    (G, D, _, opt, real, z), (G2, D2, _, opt2, _, _) = setup(), setup()
    one = discriminator_step(G, D, opt, real, z, None, real_label)
    two = discriminator_step_in_two(G2, D2, opt2, real, z, None, real_label)
    np.testing.assert_allclose(one, two, rtol=1e-13)
    np.testing.assert_allclose(D.dtheta, D2.dtheta, rtol=1e-11, atol=1e-15)


def train_a_little(xp, dtype="float64", steps=20, seed=1):
    """A small GAN with weights, images and noise from the host: all losses and scores."""
    G, D, opt_G, opt_D, real, _ = setup(xp, dtype, lambda theta: Adam(theta, 0.01, 0.5), dropout=0.3)
    rng, dropout, told = np.random.default_rng(seed), random_generator(xp, seed), []
    for _ in range(steps):
        z1, z2 = (xp.asarray(rng.standard_normal((7, 3)).astype(dtype)) for _ in range(2))
        told += [*discriminator_step(G, D, opt_D, real, z1, dropout, 0.9), generator_step(G, D, opt_G, z2, dropout)]
    return [to_host(v).item() for v in told], to_host(G.theta), to_host(D.theta)


def test_a_seeded_run_equals_itself(dtype):
    first, second, other = train_a_little(np, dtype), train_a_little(np, dtype), train_a_little(np, dtype, seed=2)
    assert first[0] == second[0] and first[0] != other[0]
    np.testing.assert_array_equal(first[1], second[1])
    np.testing.assert_array_equal(first[2], second[2])


def test_on_the_double_it_is_the_same_bit_for_bit(dtype):
    here, there = train_a_little(np, dtype), train_a_little(fake_device, dtype)
    assert here[0] == there[0]
    np.testing.assert_array_equal(here[1], there[1])
    np.testing.assert_array_equal(here[2], there[2])


@pytest.mark.parametrize("step_D", [discriminator_step, discriminator_step_in_two])
def test_a_step_never_makes_the_host_wait(step_D):
    G, D, opt_G, opt_D, real, z = setup(fake_device, "float32", lambda theta: Adam(theta), dropout=0.3)
    dropout = fake_device.random.default_rng(0)
    with fake_device.no_sync():
        told = [*step_D(G, D, opt_D, real, z, dropout, 0.9), generator_step(G, D, opt_G, z, dropout)]
    assert all(v.dtype == "float32" and v.shape == () for v in told)
    assert G.theta.dtype == D.theta.dtype == opt_G.q.dtype == "float32"


def test_the_steps_return_the_dtype_of_the_images(dtype):
    G, D, opt_G, opt_D, real, z = setup(np, dtype, lambda theta: Adam(theta), dropout=0.3)
    rng = np.random.default_rng(0)
    for value in *discriminator_step(G, D, opt_D, real, z, rng), generator_step(G, D, opt_G, z, rng):
        assert value.dtype == dtype
    assert G.theta.dtype == D.theta.dtype == dtype


def test_it_learns_two_modes_with_their_mean_and_spread():
    """Points on a line, half of them around -1 and half around +1, with a spread of 0.1 each: the
    generator must find both, and how wide they are."""
    rng = np.random.default_rng(0)
    G = make_generator(2, [32, 32], 1, rng)
    G.layers.pop()                                                    # no tanh: points, not pixels
    D = make_discriminator(1, [32, 32], rng)
    opt_G, opt_D = Adam(G.theta, 2e-3, 0.5), Adam(D.theta, 2e-3, 0.5)
    steps = 3000
    for step in range(steps):
        opt_G.lr = opt_D.lr = 2e-3 * (1 - step / steps)
        real = (rng.choice([-1, 1], (128, 1)) + 0.1 * rng.standard_normal((128, 1))).astype("float32")
        z = rng.standard_normal((128, 2), dtype="float32")
        discriminator_step(G, D, opt_D, real, z, None)
        generator_step(G, D, opt_G, rng.standard_normal((128, 2), dtype="float32"), None)
    points, _ = G.forward(rng.standard_normal((4000, 2), dtype="float32"))
    left, right = points[points < 0], points[points >= 0]
    assert 0.35 < len(left) / 4000 < 0.65
    for mode, where in (left, -1), (right, 1):
        assert np.median(mode) == pytest.approx(where, abs=0.07)
        quartiles = np.percentile(mode, [25, 75])
        assert 0.02 < (quartiles[1] - quartiles[0]) / 1.349 < 0.2     # of a normal: the sd. With other seeds and BLAS kernels: 0.03 to 0.13
