"""Sequential: the chain of layers, the flat vectors and their views."""

import copy
import pickle

import fake_cupy
import numpy as np
import pytest
from cases import refusal

from minigan.backend import asnumpy, get_array_module
from minigan.nn.activations import LeakyReLU, Tanh
from minigan.nn.batchnorm import BatchNorm2d
from minigan.nn.dense import Dense
from minigan.nn.projection import Projection
from minigan.nn.reshape import ConcatLabels
from minigan.nn.sequential import Sequential


def network(dtype="float64"):
    rng = np.random.default_rng(0)
    return Sequential(
        [
            Dense(3, 4, dtype=dtype, rng=rng),
            LeakyReLU(),
            Dense(4, 2, init="fan_in", dtype=dtype, rng=rng),
        ]
    )


def test_theta_holds_each_parameter_in_order():
    rng = np.random.default_rng(0)
    first, second = Dense(3, 4, rng=rng), Dense(4, 2, init="fan_in", rng=rng)
    parts = [a.ravel().copy() for a in (first.W, first.b, second.W, second.b)]
    net = Sequential([first, LeakyReLU(), second])
    np.testing.assert_array_equal(net.theta, np.concatenate(parts))
    assert net.theta.shape == net.dtheta.shape == (3 * 4 + 4 + 4 * 2 + 2,)
    assert not net.dtheta.any()


def test_views_share_memory_both_ways(xp, dtype):
    net = network(dtype).to(xp)
    first, _, last = net.layers
    net.theta[...] = xp.asarray(np.arange(26, dtype=dtype))
    assert asnumpy(first.W).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert asnumpy(first.b).tolist() == [12, 13, 14, 15]
    assert asnumpy(last.b).tolist() == [24, 25]
    last.b[...] = 7
    assert asnumpy(net.theta)[-2:].tolist() == [7, 7]
    x = xp.asarray(np.ones((5, 3), dtype))
    y, caches = net.forward(x)
    net.backward(xp.asarray(np.ones((5, 2), dtype)), caches)
    assert asnumpy(net.dtheta)[-2:].tolist() == [5, 5]  # db of the last layer
    assert asnumpy(net.dtheta)[:12].any()
    net.backward(xp.asarray(np.ones((5, 2), dtype)), caches)  # replaced, not added
    assert asnumpy(net.dtheta)[-2:].tolist() == [5, 5]
    assert get_array_module(y) is xp and y.dtype == dtype


@pytest.mark.parametrize("name", ["W", "b", "dW", "db"])
def test_a_rebound_view_is_refused(name):
    net = network()
    x = np.ones((5, 3))
    setattr(net.layers[2], name, getattr(net.layers[2], name) * 1.0)
    with pytest.raises(ValueError, match=rf"{name} of Dense\(4, 2\).*shape \(.*\).*rebound"):
        net.forward(x)


@pytest.mark.parametrize("name", ["theta", "dtheta"])
def test_a_rebound_flat_vector_is_refused(name):
    net = network()
    setattr(net, name, getattr(net, name) * 1.0)
    with pytest.raises(ValueError, match=rf"{name} of Sequential.*shape \(26,\), was rebound"):
        net.forward(np.ones((5, 3)))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_has_views_of_its_own(duplicate):
    net, x = network(), np.ones((5, 3))
    twin = duplicate(net)
    twin.theta += 1
    np.testing.assert_array_equal(twin.layers[0].W, net.layers[0].W + 1)
    assert (twin.forward(x)[0] != net.forward(x)[0]).all()


def test_moving_to_a_device_and_back():
    net = network()
    theta = net.theta.copy()
    assert get_array_module(net.to(fake_cupy).theta) is fake_cupy
    back = net.to(np)
    assert back is net and type(net.theta) is type(net.layers[0].W) is np.ndarray
    np.testing.assert_array_equal(net.theta, theta)


def test_updating_in_place_is_allowed():
    net = network()
    net.layers[0].W -= 0.1
    net.layers[0].b[...] = 3
    net.forward(np.ones((5, 3)))


def test_it_chains_the_layers():
    net, x = network(), np.random.default_rng(1).standard_normal((5, 3))
    first, activation, last = net.layers
    h1, c1 = first.forward(x)
    h2, c2 = activation.forward(h1)
    y, c3 = last.forward(h2)
    net_y, caches = net.forward(x)
    np.testing.assert_array_equal(net_y, y)
    dy = np.ones_like(y)
    dx = first.backward(activation.backward(last.backward(dy, c3), c2), c1)
    np.testing.assert_array_equal(net.backward(dy, caches), dx)


def test_without_need_dx_the_first_layer_skips_dx(monkeypatch):
    net, calls = network(), []
    for layer in net.layers:

        def spy(dy, cache, *, need_dx, need_dparams, layer=layer, original=layer.backward):
            calls.append((repr(layer), need_dx, need_dparams))
            return original(dy, cache, need_dx=need_dx, need_dparams=need_dparams)

        monkeypatch.setattr(layer, "backward", spy)
    y, caches = net.forward(np.ones((5, 3)))
    assert net.backward(np.ones_like(y), caches, need_dx=False) is None
    assert [call[1] for call in calls] == [True, True, False] and all(call[2] for call in calls)
    calls.clear()
    net.backward(np.ones_like(y), caches, need_dparams=False)
    assert len(calls) == 3
    assert all(call[1] for call in calls) and not any(call[2] for call in calls)


def test_without_need_dx_layers_below_the_first_weights_are_skipped(monkeypatch):
    activation, dense = LeakyReLU(), Dense(3, 2, dtype="float64", rng=np.random.default_rng(0))
    net, calls = Sequential([activation, dense, LeakyReLU()]), []
    for layer in activation, dense:

        def spy(dy, cache, *, need_dx, need_dparams, layer=layer, original=layer.backward):
            calls.append((layer, need_dx))
            return original(dy, cache, need_dx=need_dx, need_dparams=need_dparams)

        monkeypatch.setattr(layer, "backward", spy)
    y, caches = net.forward(np.ones((5, 3)))
    assert net.backward(np.ones_like(y), caches, need_dx=False) is None
    assert calls == [(dense, False)] and (dense.dW != 0).all()
    assert net.backward(np.ones_like(y), caches).shape == (5, 3)
    assert calls[1:] == [(dense, True), (activation, True)]


def test_train_and_rng_reach_every_layer():
    seen = []

    class Spy(LeakyReLU):
        def forward(self, x, *, train=False, rng=None):
            seen.append((train, rng))
            return super().forward(x)

    net = Sequential([Dense(3, 2, dtype="float64", rng=np.random.default_rng(0)), Spy(), Spy()])
    net.forward(np.ones((1, 3)), train=True, rng="the rng")
    assert seen == [(True, "the rng")] * 2


def test_layers_that_do_not_fit_together_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="float32.*float64"):
        Sequential([Dense(2, 2, dtype="float32", rng=rng), Dense(2, 2, dtype="float64", rng=rng)])
    with pytest.raises(ValueError, match=r"no layer of Sequential\(\[\]\) has parameters"):
        Sequential([])
    with pytest.raises(
        ValueError, match=r"no layer of Sequential\(\[LeakyReLU\(0.2\)\]\) has parameters"
    ):
        Sequential([LeakyReLU()])
    layer = Dense(2, 2, rng=rng)
    with pytest.raises(
        ValueError, match=r"occurs twice in Sequential\(\[Dense\(2, 2\), Dense\(2, 2\)\]\)"
    ):
        Sequential([layer, layer])
    with pytest.raises(ValueError, match=r"a network inside Sequential.*pass its layers instead"):
        Sequential([Sequential([Dense(2, 2, rng=rng)]), Dense(2, 1, rng=rng)])
    net = Sequential([Dense(2, 3, rng=rng), Dense(2, 1, rng=rng)])
    with pytest.raises(ValueError, match=r"\(N, 2\), not \(1, 3\)"):
        net.forward(np.ones((1, 2), "float32"))
    with pytest.raises(
        TypeError,
        match=r"float32 weights of shape \(2, 3\) but received float64 x of shape \(1, 2\)",
    ):
        net.forward(np.ones((1, 2)))


def test_repr():
    assert repr(network()) == "Sequential([Dense(3, 4), LeakyReLU(0.2), Dense(4, 2)])"


def test_buffers_are_views_into_one_vector(xp):
    rng = np.random.default_rng(0)
    net = Sequential(
        [Dense(3, 2, rng=rng), BatchNorm2d(2), Dense(2, 4, rng=rng), BatchNorm2d(4)]
    ).to(xp)
    initial = [0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1]
    assert asnumpy(net.buffers).tolist() == initial and len(net.theta) == 6 + 2 + 4 + 8 + 4 + 8
    x = xp.asarray(rng.standard_normal((5, 3)).astype("float32"))
    net.forward(x)
    assert asnumpy(net.buffers).tolist() == initial  # changed in training only
    net.forward(x, train=True)
    np.testing.assert_array_equal(asnumpy(net.buffers)[:2], asnumpy(net.layers[1].mean))
    assert asnumpy(net.buffers)[:2].all()
    net.buffers[...] = 3
    assert asnumpy(net.layers[3].var).tolist() == [3, 3, 3, 3]
    net.layers[1].mean = net.layers[1].mean * 1
    with pytest.raises(ValueError, match=r"mean of BatchNorm2d\(2\), shape \(2,\), was rebound"):
        net.forward(x)


def test_a_network_without_buffers_has_an_empty_vector(dtype):
    net = network(dtype)
    assert net.buffers.shape == (0,) and net.buffers.dtype == dtype
    copied = copy.deepcopy(Sequential([Dense(3, 2, rng=np.random.default_rng(0)), BatchNorm2d(2)]))
    copied.buffers[...] = 5
    assert copied.layers[1].mean.tolist() == [5, 5]


def test_labels_reach_every_layer_that_takes_them_and_no_other():
    rng = np.random.default_rng(0)
    layers = [ConcatLabels(3), Dense(5, 4, dtype="float64", rng=rng), Tanh()]
    net = Sequential([*layers, Projection(4, 3, dtype="float64", rng=rng)])
    x, labels = rng.standard_normal((6, 2)), np.eye(3)[[0, 1, 2, 2, 1, 0]]
    net.layers[-1].E[...] = rng.standard_normal((3, 4))
    hidden = np.tanh(np.concatenate([x, labels], axis=1) @ layers[1].W + layers[1].b)
    expected, _ = net.layers[-1].forward((hidden, labels))
    np.testing.assert_array_equal(net.forward((x, labels))[0], expected)
    with refusal(TypeError, "ConcatLabels(3)", "the pair (x, labels)"):
        net.forward(x)
    with refusal(TypeError, "Dense(2, 1)", "without labels"):
        Sequential([Dense(2, 1, dtype="float64", rng=rng)]).forward((x, labels))
