"""Spectral normalisation: sigma against NumPy's singular values, u as a buffer, in a network."""

import copy

import fake_cupy
import numpy as np
import pytest
from helpers import assert_gradient

from minigan.backend import asnumpy, get_array_module
from minigan.evaluation.derivatives import converged, fresh_rng, random_x
from minigan.gan.gradient_penalty import gradient_penalty
from minigan.nn.activations import LeakyReLU
from minigan.nn.conv import Conv2d
from minigan.nn.dense import Dense
from minigan.nn.gradcheck import central_difference
from minigan.nn.sequential import Sequential
from minigan.nn.spectral_norm import SpectralNorm, unit_vector


def network(xp=np, dtype="float64"):
    rng = fresh_rng()
    layers = (
        SpectralNorm(Dense(5, 6, init="he", dtype=dtype, rng=rng), rng=rng),
        LeakyReLU(0.2),
        SpectralNorm(Dense(6, 1, init="he", dtype=dtype, rng=rng), rng=rng),
    )
    return Sequential(layers).to(xp)


def he_dense():
    return Dense(5, 4, init="he", dtype="float64", rng=fresh_rng())


def test_it_divides_by_the_largest_singular_value():
    for inner, x in (
        (he_dense(), (3, 5)),
        (
            Conv2d(2, 3, 3, stride=2, padding=1, init="he", dtype="float64", rng=fresh_rng()),
            (2, 5, 6, 2),
        ),
    ):
        layer = converged(inner)
        _, (_, V, _, _, sigma) = layer.forward(random_x(x))
        W = layer.W.reshape(-1, layer.W.shape[-1])
        assert sigma == pytest.approx(np.linalg.svd(W, compute_uv=False)[0], rel=1e-12)
        np.testing.assert_allclose(V, layer.W / sigma, rtol=1e-15)
        assert np.linalg.svd(V.reshape(W.shape), compute_uv=False)[0] == pytest.approx(1, rel=1e-12)


def test_one_power_iteration_per_training_forward_and_none_in_sampling():
    layer = SpectralNorm(he_dense(), rng=fresh_rng())
    # another W, for which u has not converged
    layer.W[...] = np.random.default_rng(8).standard_normal((5, 4))
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


def test_the_initial_sigma_is_nearly_correct():
    layer = SpectralNorm(Dense(784, 512, dtype="float64", rng=fresh_rng()), rng=fresh_rng())
    _, (_, _, _, _, sigma) = layer.forward(np.zeros((1, 784)))
    assert 0.9 < sigma / np.linalg.svd(layer.W, compute_uv=False)[0] <= 1


def test_two_logits_differ_by_no_more_than_their_inputs():
    D, rng = network(), np.random.default_rng(0)
    for _ in range(200):
        D.forward(random_x((3, 5)), train=True)
    x, y = 9 * rng.standard_normal((2, 500, 5))
    assert (
        abs(D.forward(x)[0] - D.forward(y)[0]).ravel() <= np.linalg.norm(x - y, axis=1) + 1e-12
    ).all()


def test_backward_belongs_to_its_own_forward():
    """u and W may have changed since."""
    layer = SpectralNorm(he_dense(), rng=fresh_rng())
    layer.W[...] = np.random.default_rng(8).standard_normal((5, 4))
    x, dy = random_x((3, 5)), np.random.default_rng(2).standard_normal((3, 4))
    _, first = layer.forward(x, train=True)
    dx, dW = layer.backward(dy, first), layer.dW.copy()
    layer.W[...] *= 0.3
    layer.forward(2 * x, train=True)
    np.testing.assert_array_equal(layer.backward(dy, first), dx)
    np.testing.assert_array_equal(layer.dW, dW)


def test_in_a_network_w_and_b_are_in_theta_and_u_in_the_buffers():
    D = network()
    first = D.layers[0]
    assert (
        D.theta.size == 5 * 6 + 6 + 6 + 1
        and D.buffers.size == 6 + 1
        and first.param_names == ("W", "b")
    )
    for array, store in (
        (first.W, D.theta),
        (first.b, D.theta),
        (first.dW, D.dtheta),
        (first.db, D.dtheta),
        (first.u, D.buffers),
    ):
        assert np.shares_memory(array, store)
    y, caches = D.forward(random_x((3, 5)), train=True)
    D.backward(np.ones((3, 1)), caches)
    assert (D.dtheta[:30] != 0).all() and D.dtheta[-1] == 3
    before = first.u.copy()
    # an optimizer step reaches the layer
    D.theta += 0.5 * np.random.default_rng(0).standard_normal(D.theta.size)
    again, _ = D.forward(random_x((3, 5)), train=True)
    assert (abs(again - y) > 1e-6).all() and (first.u != before).all()
    copied = copy.deepcopy(D)
    np.testing.assert_array_equal(
        copied.forward(random_x((3, 5)))[0], D.forward(random_x((3, 5)))[0]
    )
    copied.theta[...] = 1
    assert not (D.theta == 1).any() and np.shares_memory(copied.layers[0].u, copied.buffers)
    first.W = first.W.copy()
    with pytest.raises(ValueError, match="rebound"):
        D.forward(random_x((3, 5)))


@pytest.mark.parametrize("name", ["r1", "wgan-gp"])
def test_a_gradient_penalty_through_it_against_central_differences(name):
    D = network()

    def P():
        g, _ = D.input_gradient(np.ones((3, 1)), D.forward(random_x((3, 5)))[1])
        squares = (g**2).sum(axis=1)
        return float((squares / 2 if name == "r1" else (squares**0.5 - 1) ** 2).mean())

    assert gradient_penalty(D, *D.forward(random_x((3, 5))), name) == pytest.approx(P(), rel=1e-12)
    dtheta = D.dtheta.copy()
    assert_gradient(f"minigan/nn/spectral_norm.py: {name}", "dtheta", dtheta, P, D.theta)
    numeric = central_difference(P, D.theta)
    assert abs(numeric).max() > 1e-3 and abs(dtheta - numeric).max() < 1e-8 * abs(numeric).max()


def test_the_same_on_the_fake_cupy_without_waiting(dtype):
    def run(xp):
        D = network(xp, dtype)
        logits, caches = D.forward(xp.asarray(random_x((3, 5)).astype(dtype)), train=True)
        dx = D.backward(xp.ones_like(logits), caches)
        dtheta = D.dtheta.copy()
        return logits, dx, dtheta, gradient_penalty(D, logits, caches, "r1"), D.dtheta, D.buffers

    with fake_cupy.no_sync():
        on_device = run(fake_cupy)
    for host, device in zip(run(np), on_device):
        assert host.dtype == device.dtype == dtype and get_array_module(device) is fake_cupy
        np.testing.assert_array_equal(host, asnumpy(device))


def test_a_matrix_of_zeros_stays_zero():
    layer = SpectralNorm(Dense(3, 2, rng=fresh_rng()), rng=fresh_rng())
    layer.W[...] = 0
    y, _ = layer.forward(np.ones((4, 3), "float32"), train=True)
    assert not y.any() and unit_vector(np.zeros(3)).tolist() == [0, 0, 0]


def test_repr():
    layer = SpectralNorm(Dense(3, 2, rng=fresh_rng()), rng=fresh_rng())
    assert repr(layer) == "SpectralNorm(Dense(3, 2))"
