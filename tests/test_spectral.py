"""Spectral normalisation: sigma against NumPy's singular values, u as a state, and a place in a network."""
import copy

import fake_device
import numpy as np
import pytest

from minigan.activations import LeakyReLU
from minigan.backend import array_module, to_host
from minigan.conv import Conv2D
from minigan.dense import Dense
from minigan.gradcheck import central_difference
from minigan.network import Sequential
from minigan.penalties import penalise
from minigan.selfcheck import draws, random_x, settled
from minigan.spectral import SpectralNorm, unit


def network(xp=np, dtype="float64"):
    rng = draws()
    layers = SpectralNorm(Dense(5, 6, rng, "he", dtype), rng), LeakyReLU(0.2), SpectralNorm(Dense(6, 1, rng, "he", dtype), rng)
    return Sequential(layers).to(xp)


def test_it_divides_by_the_largest_singular_value():
    for inner, x in (Dense(5, 4, draws(), "he", "float64"), (3, 5)), (Conv2D(2, 3, 3, draws(), 2, 1, "he", "float64"), (2, 5, 6, 2)):
        layer = settled(inner)
        _, (_, V, _, _, sigma) = layer.forward(random_x(x))
        W = layer.W.reshape(-1, layer.W.shape[-1])
        assert sigma == pytest.approx(np.linalg.svd(W, compute_uv=False)[0], rel=1e-12)
        np.testing.assert_allclose(V, layer.W / sigma, rtol=1e-15)
        assert np.linalg.svd(V.reshape(W.shape), compute_uv=False)[0] == pytest.approx(1, rel=1e-12)


def test_a_round_of_power_iteration_in_every_training_step_and_none_in_sampling():
    layer = SpectralNorm(Dense(5, 4, draws(), "he", "float64"), draws())
    layer.W[...] = np.random.default_rng(8).standard_normal((5, 4))    # another W: u has to turn anew
    u = layer.u.copy()
    layer.forward(random_x((3, 5)))
    np.testing.assert_array_equal(layer.u, u)
    _, (_, _, _, v, sigma) = layer.forward(random_x((3, 5)), train=True)
    expected_v = layer.W @ u / np.linalg.norm(layer.W @ u)
    np.testing.assert_allclose(v, expected_v, rtol=1e-13)
    np.testing.assert_allclose(layer.u, layer.W.T @ v / np.linalg.norm(layer.W.T @ v), rtol=1e-13)
    assert sigma == pytest.approx(v @ layer.W @ layer.u, rel=1e-13)
    largest, before = np.linalg.svd(layer.W, compute_uv=False)[0], 0
    for _ in range(60):
        _, (_, _, _, _, sigma) = layer.forward(random_x((3, 5)), train=True)
        assert before - 1e-12 <= sigma <= largest + 1e-12
        before = sigma
    assert sigma == pytest.approx(largest, rel=1e-6)


def test_it_starts_near_the_right_sigma():
    layer = SpectralNorm(Dense(784, 512, draws(), "glorot", "float64"), draws())
    _, (_, _, _, _, sigma) = layer.forward(np.zeros((1, 784)))
    assert 0.9 < sigma / np.linalg.svd(layer.W, compute_uv=False)[0] <= 1


def test_two_answers_lie_no_further_apart_than_two_inputs():
    D, rng = network(), np.random.default_rng(0)
    for _ in range(200):
        D.forward(random_x((3, 5)), train=True)
    x, y = 9 * rng.standard_normal((2, 500, 5))
    assert (abs(D.forward(x)[0] - D.forward(y)[0]).ravel() <= np.linalg.norm(x - y, axis=1) + 1e-12).all()


def test_each_backward_is_that_of_its_own_forward():
    """u and W may have moved on since."""
    layer = SpectralNorm(Dense(5, 4, draws(), "he", "float64"), draws())
    layer.W[...] = np.random.default_rng(8).standard_normal((5, 4))
    x, dy = random_x((3, 5)), np.random.default_rng(2).standard_normal((3, 4))
    _, first = layer.forward(x, train=True)
    dx, dW = layer.backward(dy, first), layer.dW.copy()
    layer.W[...] *= 0.3
    layer.forward(2 * x, train=True)
    np.testing.assert_array_equal(layer.backward(dy, first), dx)
    np.testing.assert_array_equal(layer.dW, dW)


def test_in_a_network_its_weights_lie_in_theta_and_u_in_state():
    D = network()
    first = D.layers[0]
    assert D.theta.size == 5 * 6 + 6 + 6 + 1 and D.state.size == 6 + 1 and first.names == ("W", "b")
    for array, store in (first.W, D.theta), (first.b, D.theta), (first.dW, D.dtheta), (first.db, D.dtheta), (first.u, D.state):
        assert np.shares_memory(array, store)
    y, caches = D.forward(random_x((3, 5)), train=True)
    D.backward(np.ones((3, 1)), caches)
    assert (D.dtheta[:30] != 0).all() and D.dtheta[-1] == 3
    before = first.u.copy()
    D.theta += 0.5 * np.random.default_rng(0).standard_normal(D.theta.size)    # a step is seen by the layer
    again, _ = D.forward(random_x((3, 5)), train=True)
    assert (abs(again - y) > 1e-6).all() and (first.u != before).all()
    twin = copy.deepcopy(D)
    np.testing.assert_array_equal(twin.forward(random_x((3, 5)))[0], D.forward(random_x((3, 5)))[0])
    twin.theta[...] = 1
    assert not (D.theta == 1).any() and np.shares_memory(twin.layers[0].u, twin.state)
    first.W = first.W.copy()
    with pytest.raises(ValueError, match="rebound"):
        D.forward(random_x((3, 5)))


@pytest.mark.parametrize("name", ["r1", "wgan-gp"])
def test_a_penalty_through_it(name):
    D = network()

    def P():
        g, _ = D.input_gradient(np.ones((3, 1)), D.forward(random_x((3, 5)))[1])
        squares = (g ** 2).sum(axis=1)
        return float((squares / 2 if name == "r1" else (squares ** 0.5 - 1) ** 2).mean())
    assert penalise(D, *D.forward(random_x((3, 5))), name) == pytest.approx(P(), rel=1e-12)
    dtheta = D.dtheta.copy()
    numeric = central_difference(P, D.theta)
    assert abs(numeric).max() > 1e-3 and abs(dtheta - numeric).max() < 1e-8 * abs(numeric).max()


def test_the_same_on_the_double_without_waiting(dtype):
    def run(xp):
        D = network(xp, dtype)
        logits, caches = D.forward(xp.asarray(random_x((3, 5)).astype(dtype)), train=True)
        dx = D.backward(xp.ones_like(logits), caches)
        dtheta = D.dtheta.copy()
        return logits, dx, dtheta, penalise(D, logits, caches, "r1"), D.dtheta, D.state
    with fake_device.no_sync():
        there = run(fake_device)
    for ours, theirs in zip(run(np), there):
        assert ours.dtype == theirs.dtype == dtype and array_module(theirs) is fake_device
        np.testing.assert_array_equal(ours, to_host(theirs))


def test_a_matrix_of_zeros_stays_one():
    layer = SpectralNorm(Dense(3, 2, draws()), draws())
    layer.W[...] = 0
    y, _ = layer.forward(np.ones((4, 3), "float32"), train=True)
    assert not y.any() and unit(np.zeros(3)).tolist() == [0, 0, 0] and repr(layer) == "SpectralNorm(Dense(3, 2))"
