"""Data parallelism: a batch in parts equals the whole batch; a failing replica blocks no other."""

import copy
import os
import subprocess
import sys
import warnings

import fake_cupy
import numpy as np
import pytest
from helpers import ROOT, small

from minigan.accel.cpu import blas_threads
from minigan.accel.data_parallel import MAX_REPLICAS, DataParallel, data_parallel
from minigan.gan.models import make_networks
from minigan.gan.recipes import replace
from minigan.gan.steps import generator_step
from minigan.nn.activations import LeakyReLU
from minigan.nn.dropout import Dropout
from minigan.nn.layer import Layer
from minigan.nn.optim import SGD
from minigan.nn.sequential import Sequential
from minigan.training.state import TrainingState

threadpoolctl = pytest.importorskip("threadpoolctl")
IMAGES = np.random.default_rng(0).integers(0, 256, (30, 8, 12), dtype=np.uint8)
LABELS = np.arange(len(IMAGES)) % 3
PARALLEL = {  # name: a recipe whose batches can be split, by its name and changes
    "dcgan": ("dcgan", {}),
    "default": ("default", {}),
    "conv": ("default-conv", {}),
    "auto-write": ("auto-write", {}),
    "conditional": ("dcgan", {"conditional": True}),
    "hinge": ("default-conv", {"loss": "hinge", "penalty": ""}),
    "r1": ("default-conv", {"penalty": "r1", "penalty_every": 1}),
    # pairs of a real image and a fake with the same label, which stay together
    "pairs": ("default", {"loss": "relativistic", "shared_fakes": False}),
    "pairs, r1+r2": (
        "default",
        {"loss": "relativistic", "shared_fakes": False, "penalty": "r1+r2", "penalty_every": 1},
    ),
    "pairs, batch norm": ("dcgan", {"loss": "relativistic"}),
    # fakes that both steps share, with labels, and through the batch norm of G or of both networks
    "conditional default": ("default", {"conditional": True, "clusters": 0}),
    "conv, shared": ("default-conv", {"shared_fakes": True}),
    "dcgan, shared": ("dcgan", {"shared_fakes": True}),
}


def train(name, cores, steps=4, batch_size=6, **changes):
    """A GAN after some training steps, and their losses and scores."""
    of_recipe, own = PARALLEL[name]
    recipe = replace(small(of_recipe), batch_size=batch_size, **{**own, **changes})
    labels = dict(labels=LABELS, n_classes=3) if recipe.conditional else {}
    gan = TrainingState(recipe, IMAGES, cores=cores, **labels)
    return gan, np.array([[float(value) for value in gan.train_step()] for _ in range(steps)])


@pytest.mark.parametrize("cores", [2, 3])
@pytest.mark.parametrize("name", PARALLEL)
def test_parts_equal_the_whole_batch(name, cores):
    """Losses, scores, weights, running averages and gradients, to the rounding of float64."""
    (alone, expected), (together, losses) = (train(name, n, dtype="float64") for n in (1, cores))
    assert alone.parallel is None and len(together.parallel.replicas) == cores
    np.testing.assert_allclose(losses, expected, rtol=0, atol=1e-9)
    for array, other in zip(
        [*alone.arrays().values(), alone.D.dtheta, alone.G.dtheta],
        [*together.arrays().values(), together.D.dtheta, together.G.dtheta],
    ):
        np.testing.assert_allclose(other, array, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["default", "conv", "dcgan, shared"])
@pytest.mark.parametrize(
    "batch_size, cores, parts", [(4, 3, 2), (5, 4, 1), (8, 3, 2), (3, 2, 1), (7, 2, 1)]
)
def test_a_batch_that_the_replicas_do_not_divide_equals_the_whole(name, batch_size, cores, parts):
    """Even if its fakes are shared and only one replica generates them."""
    changes = dict(batch_size=batch_size, dtype="float64")
    (alone, expected), (together, losses) = (train(name, n, **changes) for n in (1, cores))
    assert len(together.parallel.make_parts([np.zeros(batch_size)], dict(rng=None))) == parts
    np.testing.assert_allclose(losses, expected, rtol=0, atol=1e-9)
    for array, other in zip(alone.arrays().values(), together.arrays().values()):
        np.testing.assert_allclose(other, array, rtol=0, atol=1e-9)


@pytest.mark.parametrize("cores", [1, 2, 3, 4])
@pytest.mark.parametrize("name", ["default", "conv, shared", "dcgan, shared"])
def test_shared_fakes_are_generated_once_by_each_replica(name, cores, monkeypatch):
    gan, passes = train(name, cores, steps=0)[0], []
    forward = Sequential.forward
    monkeypatch.setattr(
        Sequential,
        "forward",
        lambda net, *args, **options: passes.append(net) or forward(net, *args, **options),
    )
    gan.train_step()
    replicas = gan.parallel.replicas if gan.parallel else [(gan.G, gan.D)]
    parts = {1: 1, 2: 2, 3: 3, 4: 3}[cores]  # of six examples
    found = [sum(net is G for net in passes) for G, _ in replicas]
    assert found == [1] * parts + [0] * (len(replicas) - parts)
    assert gan.parallel is None or not any(net is gan.G for net in passes)


@pytest.mark.parametrize("name", ["dcgan", "default"])
def test_equal_numbers_of_replicas_give_equal_bits(name):
    (one, losses), (two, again) = (train(name, 3) for _ in range(2))
    np.testing.assert_array_equal(losses, again)
    assert one.G.theta.dtype == "float32" and one.G.theta.tobytes() == two.G.theta.tobytes()


@pytest.mark.parametrize("name", ["dcgan", "default"])
def test_a_restored_gan_continues_with_the_same_bits(name):
    gan, _ = train(name, 2, steps=2)
    saved = copy.deepcopy(gan.save())
    other, _ = train(name, 2, steps=0)
    other.restore(*saved)
    for one in gan, other:
        one.train_step()
    assert all(
        a.tobytes() == b.tobytes() for a, b in zip(gan.arrays().values(), other.arrays().values())
    )


@pytest.mark.parametrize("batch_size, parts", [(6, 2), (5, 1), (1, 1)])
def test_a_batch_that_cannot_be_halved_is_not_split(batch_size, parts, monkeypatch):
    counts = []
    run_parts = DataParallel.run_parts
    monkeypatch.setattr(
        DataParallel,
        "run_parts",
        lambda self, step, parts: counts.append(len(parts)) or run_parts(self, step, parts),
    )
    # a batch of one cannot pass through the batch norm of dcgan's D
    name, changes = ("conv", {"penalty": ""}) if batch_size == 1 else ("dcgan", {})
    gan, losses = train(name, 2, steps=1, batch_size=batch_size, **changes)
    assert counts == ([parts] * 2 if parts > 1 else []) and np.isfinite(losses).all()


def test_replicas_share_parameters_but_not_gradients():
    gan, _ = train("dcgan", 2, steps=1)
    for net, of in (gan.G, 0), (gan.D, 1):
        for i, replica in enumerate(gan.parallel.replicas):
            copied = replica[of]
            assert copied.theta is net.theta
            assert not np.shares_memory(copied.dtheta, net.dtheta)
            assert (copied.buffers is net.buffers) == (i == 0)
        net.check_views()


def test_where_data_parallelism_does_not_apply():
    G, D = make_networks(small("dcgan"), IMAGES.shape[1:], rng=np.random.default_rng(0))
    assert data_parallel(G, D, 1) is None
    assert len(data_parallel(G, D, 2).replicas) == 2
    assert len(data_parallel(G, D, 99).replicas) == MAX_REPLICAS

    class Silent(Layer):
        """A layer that does not say whether it is splittable."""

    class Heir(LeakyReLU):
        """A subclass of a layer that is splittable; it might mix examples."""

    for layer in Dropout(0.5), Silent(), Heir():
        assert data_parallel(G, Sequential([*copy.deepcopy(D).layers, layer]), 2) is None
    dense = make_networks(small("pytorch-mlp"), IMAGES.shape[1:], rng=np.random.default_rng(0))
    assert data_parallel(*dense, 2) is None
    for changes in (
        {"penalty": "wgan-gp"},
        {"loss": "wasserstein"},
        {"spectral": True, "penalty": ""},
        {"dropout": 0.3},
    ):
        for name in "default", "default-conv":
            assert TrainingState(replace(small(name), **changes), IMAGES, cores=2).parallel is None
    assert TrainingState(small("dcgan"), IMAGES, xp=fake_cupy, cores=2).parallel is None


FAIL = """
import faulthandler, sys
from test_data_parallel import blas_threads, train
gan, _ = train(sys.argv[2], 2, steps=1)
before, theta = (sys.getswitchinterval(), blas_threads()), gan.G.theta.copy()
layer = gan.parallel.replicas[int(sys.argv[1])][0].layers[0]

def fail(*args, **options):
    raise FloatingPointError("planted")
layer.forward = fail
faulthandler.dump_traceback_later(5, exit=True)  # if a replica waits for another
try:
    gan.train_step()
except FloatingPointError as error:
    assert str(error) == "planted"
    assert (sys.getswitchinterval(), blas_threads()) == before and (gan.G.theta == theta).all()
    del layer.forward
    gan.train_step()                                                 # training can continue
    assert (gan.G.theta != theta).any()
    print("raised")
"""


@pytest.mark.parametrize("name", ["dcgan", "default"])
@pytest.mark.parametrize("failing", [0, 1])
def test_the_error_of_a_replica_is_raised_and_no_other_waits(failing, name):
    """In a process of its own, which ends if they do wait."""
    path = os.pathsep.join(map(str, (ROOT, ROOT / "tests", ROOT / "tests" / "accel")))
    done = subprocess.run(
        [sys.executable, "-c", FAIL, str(failing), name],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "raised\n"), done.stderr


@pytest.mark.parametrize("name", ["dcgan", "default"])
@pytest.mark.parametrize("network", ["G", "D"])
def test_a_rebound_parameter_is_noticed(name, network):
    gan, _ = train(name, 2, steps=0)
    layer = next(layer for layer in getattr(gan, network).layers if "W" in layer.param_names)
    layer.W = layer.W.copy()
    with pytest.raises(ValueError, match="rebound to another array"):
        gan.train_step()


def test_threads_keep_np_errstate():
    G, D = make_networks(small("dcgan"), IMAGES.shape[1:], rng=np.random.default_rng(0))
    z = np.full((4, 3), 1e38, "float32")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with np.errstate(all="ignore"):
            DataParallel(G, D, 2).run(generator_step, G, SGD(G.theta, 0.1), z, rng=None)
        assert caught == []
        DataParallel(G, D, 2).run(generator_step, G, SGD(G.theta, 0.1), z, rng=None)
        assert caught


def test_blas_threads_is_the_limit_of_the_blas():
    for n in 1, 2:
        with threadpoolctl.threadpool_limits(n, user_api="blas"):
            assert blas_threads() == n
