"""Workers: a batch in parts is the whole batch, whatever the recipe; and nobody waits for a worker that has failed."""
import copy
import subprocess
import sys
import warnings
from pathlib import Path

import fake_device
import numpy as np
import pytest
import threadpoolctl
from test_game import IMAGES, small

from minigan.activations import LeakyReLU
from minigan.backend import blas_threads
from minigan.build import make_networks
from minigan.dropout import Dropout
from minigan.game import Game
from minigan.gan import generator_step
from minigan.network import Sequential
from minigan.optim import SGD
from minigan.recipes import RECIPES, replace
from minigan.workers import MOST, Workers, workers

LABELS = np.arange(len(IMAGES)) % 3
SHARED = {  # name: a recipe whose batches can be played in parts, by name and changes
    "dcgan": ("dcgan", {}),
    "default-conv": ("default-conv", {}),
    "auto-write": ("auto-write", {}),
    "conditional": ("dcgan", {"conditional": True}),
    "hinge": ("default-conv", {"loss": "hinge", "penalty": ""}),
    "r1": ("default-conv", {"penalty": "r1", "penalty_every": 1}),
}


def play(name, cores, steps=4, batch=6, **change):
    recipe, own = SHARED[name]
    recipe = replace(small(recipe), batch_size=batch, **{**own, **change})
    game = Game(recipe, IMAGES, 0, np, *((LABELS, 3) if recipe.conditional else ()), cores=cores)
    return game, np.array([[float(value) for value in game.step()] for _ in range(steps)])


@pytest.mark.parametrize("cores", [2, 3])
@pytest.mark.parametrize("name", SHARED)
def test_parts_are_the_whole(name, cores):
    """Losses, scores, weights, running averages and gradients, to the rounding of float64."""
    (alone, expected), (together, told) = (play(name, n, dtype="float64") for n in (1, cores))
    assert alone.workers is None and len(together.workers.players) == cores
    np.testing.assert_allclose(told, expected, rtol=0, atol=1e-9)
    for array, other in zip([*alone.arrays().values(), alone.D.dtheta, alone.G.dtheta], [*together.arrays().values(), together.D.dtheta, together.G.dtheta]):
        np.testing.assert_allclose(other, array, rtol=0, atol=1e-9)


def test_as_many_workers_give_the_same_bits():
    (one, told), (two, again) = (play("dcgan", 3) for _ in range(2))
    np.testing.assert_array_equal(told, again)
    assert one.G.theta.dtype == "float32" and one.G.theta.tobytes() == two.G.theta.tobytes()


def test_a_game_that_was_saved_goes_on_with_the_same_bits():
    game, _ = play("dcgan", 2, steps=2)
    saved = copy.deepcopy(game.save())
    other, _ = play("dcgan", 2, steps=0)
    other.restore(*saved)
    for one in game, other:
        one.step()
    assert all(a.tobytes() == b.tobytes() for a, b in zip(game.arrays().values(), other.arrays().values()))


@pytest.mark.parametrize("batch, used", [(6, 2), (5, 1), (1, 1)])
def test_a_batch_that_has_no_half_is_played_as_a_whole(batch, used, monkeypatch):
    counts = []
    plain = Workers.together
    monkeypatch.setattr(Workers, "together", lambda self, move, parts: counts.append(len(parts)) or plain(self, move, parts))
    game, told = play("default-conv" if batch == 1 else "dcgan", 2, steps=1, batch=batch, **({"penalty": ""} if batch == 1 else {}))
    assert counts == ([used] * 2 if used > 1 else []) and np.isfinite(told).all()


def test_a_worker_s_parameters_are_the_network_s_own():
    game, _ = play("dcgan", 2, steps=1)
    for net, of in (game.G, 0), (game.D, 1):
        for i, pair in enumerate(game.workers.players):
            assert pair[of].theta is net.theta and not np.shares_memory(pair[of].dtheta, net.dtheta)
            assert (pair[of].state is net.state) == (i == 0)
        net.check_views()


def test_who_has_no_workers():
    G, D = make_networks(small("dcgan"), IMAGES.shape[1:], np.random.default_rng(0))
    assert workers(G, D, 1) is None and len(workers(G, D, 2).players) == 2 and len(workers(G, D, 99).players) == MOST

    class Own(LeakyReLU):
        """It may do anything."""
    for layer in Dropout(0.5), Own():
        assert workers(G, Sequential([*copy.deepcopy(D).layers, layer]), 2) is None
    assert workers(*make_networks(small("pytorch-mlp"), IMAGES.shape[1:], np.random.default_rng(0)), 2) is None
    for change in {"penalty": "wgan-gp"}, {"loss": "wasserstein"}, {"spectral": True, "penalty": ""}:
        assert Game(replace(small("default-conv"), **change), IMAGES, cores=2).workers is None
    assert Game(small("dcgan"), IMAGES, 0, fake_device, cores=2).workers is None


FAIL = """
import sys
from test_workers import blas_threads, play
game, _ = play("dcgan", 2, steps=1)
before, theta = (sys.getswitchinterval(), blas_threads()), game.G.theta.copy()
layer = game.workers.players[int(sys.argv[1])][0].layers[0]

def fail(*args):
    raise FloatingPointError("planted")
layer.forward = fail
try:
    game.step()
except FloatingPointError as error:
    assert str(error) == "planted" and (sys.getswitchinterval(), blas_threads()) == before and (game.G.theta == theta).all()
    del layer.forward
    game.step()                                                            # and then they play on
    assert (game.G.theta != theta).any()
    print("heard")
"""


@pytest.mark.parametrize("failing", [0, 1])
def test_a_worker_that_fails_is_heard_and_nobody_waits(failing):
    """In a process of its own, which can be stopped if they do."""
    done = subprocess.run([sys.executable, "-c", FAIL, str(failing)], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (0, "heard\n"), done.stderr


def test_a_parameter_that_was_rebound_is_noticed():
    game, _ = play("dcgan", 2, steps=0)
    game.D.layers[1].W = game.D.layers[1].W.copy()
    with pytest.raises(ValueError, match="was rebound to another array"):
        game.step()


def test_warnings_are_as_silent_as_outside():
    """np.errstate, which training sets, holds for the threads, too."""
    G, D = make_networks(small("dcgan"), IMAGES.shape[1:], np.random.default_rng(0))
    z = np.full((4, 3), 1e38, "float32")
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        with np.errstate(all="ignore"):
            Workers(G, D, 2).move(generator_step, G, SGD(G.theta, 0.1), z, None)
        assert heard == []
        Workers(G, D, 2).move(generator_step, G, SGD(G.theta, 0.1), z, None)
        assert heard


def test_as_many_cores_as_the_blas_takes_threads():
    for n in 1, 2:
        with threadpoolctl.threadpool_limits(n, user_api="blas"):
            assert blas_threads() == n
