"""The pages blocks and fusing against the pages that they stand for: the same game, the same numbers, in fewer kernels."""
import copy

import fake_device
import numpy as np
import pytest
from test_game import IMAGES, LABELS, small

from minigan import fusing
from minigan.activations import LeakyReLU, ReLU, Sigmoid, Tanh
from minigan.adversarial import GAN_LOSSES
from minigan.backend import to_host
from minigan.blocks import backward, bend, bend_tanh, blocks, forward, layers_of, unbend, unbend_tanh
from minigan.dense import Dense
from minigan.dropout import Dropout
from minigan.gan import make_discriminator
from minigan.game import Game
from minigan.network import Sequential
from minigan.optim import Adam, WeightAverage
from minigan.recipes import RECIPES, replace
from minigan.spectral import SpectralNorm

FUSED = ["default", "pytorch-mlp", "keras-mlp", "keras-mlp-fixed"]
CHANGES = {"as it is": {}, "minimax": dict(loss="minimax"), "least squares": dict(loss="least-squares"), "hinge": dict(loss="hinge"),
           "real_label": dict(real_label=0.9), "uniform noise": dict(noise="uniform"), "SGD": dict(optimizer="sgd", learning_rate=0.1),
           "a head start": dict(head_start=2), "as many for G": dict(batch_G=0), "more for G": dict(batch_G=20), "deep": dict(widths_D=(5, 4, 3, 2)),
           "no hidden layer": dict(widths_G=(), widths_D=())}
RNG = np.random.default_rng


@pytest.fixture(params=["double", "cupy"])
def device(request):
    if request.param == "double":
        return fake_device
    from conftest import xp
    return xp.__wrapped__(request)


class HostDraws:
    """A random generator whose numbers are NumPy's, wherever they are drawn."""

    def __init__(self, seed, xp):
        self.rng, self.xp = RNG(seed), xp

    def __getattr__(self, name):
        return lambda *args, **kwargs: self.xp.asarray(getattr(self.rng, name)(*args, **kwargs))


def play(recipe, xp, fused, steps=6, conditional=False):
    recipe = replace(recipe, batch_size=8, conditional=conditional)         # batches of 8: then each layer's random bits begin at a whole draw
    game = Game(recipe, IMAGES, 0, xp, *((LABELS, 3) if conditional else ()), fused=fused)
    assert bool(game.fused) is fused
    game.noise, game.dropout = HostDraws(1, xp), HostDraws(2, xp)
    return game, np.array([[to_host(value).item() for value in game.step()] for _ in range(steps)])


def vectors(game):
    return {name: to_host(array) for name, array in game.arrays().items()}


def same(fused, plain, dtype):
    """To rounding: the bias is added within the product, means are taken of other sums."""
    tolerance = dict(rtol=1e-9, atol=1e-12) if dtype == "float64" else dict(rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(fused[1], plain[1], **tolerance)
    expected = vectors(plain[0])
    for name, vector in vectors(fused[0]).items():
        assert vector.dtype == dtype
        np.testing.assert_allclose(vector, expected[name], **tolerance, err_msg=name)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("name", FUSED)
def test_a_fused_game_is_the_same_game(name, change, device):
    recipe = replace(small(name), dtype="float64", **change)
    same(play(recipe, device, True), play(recipe, device, False), "float64")


@pytest.mark.parametrize("name", FUSED)
def test_in_float32_and_with_labels_too(name, device):
    same(play(small(name), device, True), play(small(name), device, False), "float32")
    recipe = replace(small(name), dtype="float64")
    fused, plain = play(recipe, device, True, conditional=True), play(recipe, device, False, conditional=True)
    same(fused, plain, "float64")
    assert abs(fused[1] - play(recipe, device, True)[1]).max() > 1e-3         # and they are looked at


def test_what_is_compared_does_depend_on_dropout(device):
    recipe = replace(small("default"), dtype="float64")
    assert abs(play(recipe, device, True)[1] - play(replace(recipe, dropout=0.5), device, True)[1]).max() > 1e-3


@pytest.mark.parametrize("name, most, by_the_core", [("keras-mlp-fixed", 60, 128), ("keras-mlp", 60, 128), ("default", 47, 99), ("pytorch-mlp", 43, 82)])
def test_launches_of_a_step(name, most, by_the_core):
    """The page fusing.py and docs/speed.md give these numbers."""
    images = RNG(0).integers(0, 256, (300, 28, 28), dtype="uint8")
    counts = {}
    for fused in True, False:
        game = Game(RECIPES[name], images, 0, fake_device, fused=fused)
        game.step()
        before = fake_device.launches
        with fake_device.no_sync():
            game.step()
        counts[fused] = fake_device.launches - before
    assert counts[True] <= most and counts[False] <= by_the_core


def test_a_step_with_labels_does_not_make_the_host_wait():
    game = Game(replace(small("default"), conditional=True), IMAGES, 0, fake_device, LABELS, 3)
    with fake_device.no_sync():
        game.step()
        game.step()


def test_each_formula_is_one_launch():
    x, a = (fake_device.asarray(np.ones((3, 4), dtype)) for dtype in ("float32", "float32"))
    bits = fake_device.asarray(np.ones((3, 4), "uint16")), 1000, 1.25
    images, theta = fake_device.asarray(np.ones((3, 4), "uint8")), fake_device.asarray(np.ones(5))
    judge_D, judge_G = fusing.judges(GAN_LOSSES["hinge"])
    with_memory, without, average = Adam(theta), Adam(theta, beta1=0.0), WeightAverage(0 * theta)
    for act in (lambda: bend(a, x, 0.2), lambda: bend(a, x, 0.2, *bits), lambda: unbend(a, x, 1.0, x, 0.2, *bits),
                lambda: unbend(a, x[:, :1], x[:1], x, 0.2), lambda: bend_tanh(a, x), lambda: unbend_tanh(a, x, 1.0, x),
                lambda: judge_D(a, x, x, x, 3.0), lambda: judge_G(a, x, 3.0), lambda: fusing.show(a, images, -1.0),
                lambda: with_memory.step(theta), lambda: without.step(theta), lambda: average.step(theta)):
        before = fake_device.launches
        act()
        assert fake_device.launches == before + 1


def test_which_games_are_fused():
    def moves(recipe, xp=fake_device):
        return Game(recipe, IMAGES, 0, xp).fused
    for name in RECIPES:
        assert bool(moves(small(name))) is (name in FUSED), name
        assert not moves(small(name), np)
    for change in dict(loss="wasserstein"), dict(penalty="r1"), dict(spectral=True):
        assert not moves(replace(small("default"), **change)), change


def layers(*made):
    return layers_of(Sequential([Dense(2, 2, RNG(0)), *made]))


def test_which_networks_are_blocks():
    assert len(layers()) == len(layers(LeakyReLU())) == len(layers(Tanh())) == len(layers(LeakyReLU(), Dropout(0.5))) == 1
    assert len(layers(LeakyReLU(), Dropout(0.5), Dense(2, 3, RNG(0)), Tanh())) == 2 and layers(LeakyReLU(), Dropout(0))[0][2] is None
    for others in ([ReLU()], [Sigmoid()], [LeakyReLU(), Tanh()], [Dropout(0.5)], [Tanh(), Dropout(0.5)], [LeakyReLU(), Dropout(0.5), Dropout(0.5)],
                   [LeakyReLU(), Dropout(0.5), LeakyReLU()], [SpectralNorm(Dense(2, 2, RNG(0)), RNG(0))]):
        assert layers(*others) == [], others
    assert layers_of(Sequential([LeakyReLU(), Dense(2, 2, RNG(0))])) == []


def test_which_pairs_of_networks_are_fused():
    def fused(G, D):
        G, D = (Sequential(net).to(fake_device) for net in (G, D))
        return fusing.fused_moves(G, D, GAN_LOSSES["hinge"], 4, 4, 1.0, -1.0) is not None

    def dense(n_in, n_out):
        return Dense(n_in, n_out, RNG(0))
    assert fused([dense(2, 6), Tanh()], [dense(6, 1)]) and fused([dense(2, 6), LeakyReLU()], [dense(6, 3), Tanh(), dense(3, 1)])
    assert not fused([dense(2, 6)], [dense(6, 1)])                             # pixels without an end
    assert not fused([dense(2, 3), LeakyReLU(), Dropout(0.5), dense(3, 6), Tanh()], [dense(6, 1)])
    assert not fused([dense(2, 6), Tanh()], [dense(6, 1), Tanh()])
    assert not fused([dense(2, 6), Tanh()], [dense(6, 3), dense(3, 1)])
    assert not fused([dense(2, 6), Sigmoid()], [dense(6, 1)]) and not fused([dense(2, 6), Tanh()], [dense(6, 3), ReLU(), dense(3, 1)])


def test_blocks_forward_and_backward(xp, dtype):
    """A network by itself, on any backend: h, and every dW and db."""
    net = make_discriminator(5, [4, 3], RNG(0), dtype=dtype).to(xp)
    x, dy = (RNG(1).standard_normal(shape).astype(dtype) for shape in ((7, 5), (7, 1)))
    y, caches = net.forward(xp.asarray(x))
    dx, dtheta = to_host(net.backward(xp.asarray(dy), caches)), to_host(net.dtheta).copy()
    net.dtheta[...] = 0
    found = blocks(net, xp.asarray(np.concatenate([x, np.ones((7, 1), dtype)], axis=1)))
    forward(found)
    close = dict(rtol=1e-5, atol=1e-6) if dtype == "float32" else dict(rtol=1e-12)
    np.testing.assert_allclose(to_host(found[-1].h), to_host(y), **close)
    found[-1].h[...] = xp.asarray(dy)
    backward(found)
    np.testing.assert_allclose(to_host(net.dtheta), dtheta, **close)
    np.testing.assert_allclose(to_host(found[0].h) @ to_host(net.layers[0].W).T, dx, **close)
    part = found[0].of(slice(2, 5))
    part.h[...] = 7
    assert (to_host(found[0].h)[2:5] == 7).all() and part.x.shape == (3, 6) and part.y.shape == (3, 4)


def test_without_learning_nothing_is_learnt():
    net = make_discriminator(5, [4], RNG(0))
    net.dtheta[...] = 3
    backward(blocks(net, np.ones((7, 6), "float32")), learning=False)
    assert (net.dtheta == 3).all()


def test_a_game_that_is_saved_goes_on_bit_for_bit():
    recipe = replace(small("default"), dropout=0.3)
    games = [Game(recipe, IMAGES, 0, fake_device) for _ in range(2)]
    for _ in range(3):
        games[0].step()
    games[1].restore(*games[0].save())
    for game in games:
        game.noise, game.dropout = HostDraws(1, fake_device), HostDraws(2, fake_device)    # a device's streams cannot be read
    told = [[[value.item() for value in game.step()] for _ in range(3)] for game in games]
    assert told[0] == told[1]


def test_a_copy_learns_by_itself():
    game = Game(small("default"), IMAGES, 0, fake_device)
    game.step()
    twin, before = copy.deepcopy(game.fused), game.D.theta.get()
    G, D = twin.made_of[:2]
    assert D is not game.D
    D.dtheta[...] = 0
    twin.play_D()
    assert (D.dtheta.get() != 0).any()
    game.D.theta[...] = 9
    np.testing.assert_array_equal(D.theta.get(), before)


def test_what_a_step_tells_stays():
    """Losses are brought home later, so that no step may write over those of another."""
    game = Game(small("default"), IMAGES, 0, fake_device)
    told = game.step()
    numbers = [value.item() for value in told]
    game.step()
    assert [value.item() for value in told] == numbers
