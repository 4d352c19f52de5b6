"""The flat vector and its views."""
import copy
import pickle

import fake_device
import numpy as np
import pytest

from minigan.activations import LeakyReLU
from minigan.backend import array_module, to_host
from minigan.batchnorm import BatchNorm
from minigan.dense import Dense
from minigan.network import Sequential


def network(dtype="float64"):
    rng = np.random.default_rng(0)
    return Sequential([Dense(3, 4, rng, dtype=dtype), LeakyReLU(), Dense(4, 2, rng, "fan_in", dtype=dtype)])


def test_theta_holds_each_parameter_in_order():
    rng = np.random.default_rng(0)
    first, second = Dense(3, 4, rng), Dense(4, 2, rng, "fan_in")
    parts = [a.ravel().copy() for a in (first.W, first.b, second.W, second.b)]
    net = Sequential([first, LeakyReLU(), second])
    np.testing.assert_array_equal(net.theta, np.concatenate(parts))
    assert net.theta.shape == net.dtheta.shape == (3 * 4 + 4 + 4 * 2 + 2,)
    assert not net.dtheta.any()


def test_views_share_memory_both_ways(xp, dtype):
    net = network(dtype).to(xp)
    first, _, last = net.layers
    net.theta[...] = xp.asarray(np.arange(26, dtype=dtype))
    assert to_host(first.W).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert to_host(first.b).tolist() == [12, 13, 14, 15]
    assert to_host(last.b).tolist() == [24, 25]
    last.b[...] = 7
    assert to_host(net.theta)[-2:].tolist() == [7, 7]
    x = xp.asarray(np.ones((5, 3), dtype))
    y, caches = net.forward(x)
    net.backward(xp.asarray(np.ones((5, 2), dtype)), caches)
    assert to_host(net.dtheta)[-2:].tolist() == [5, 5]               # db of the last layer
    assert to_host(net.dtheta)[:12].any()
    net.backward(xp.asarray(np.ones((5, 2), dtype)), caches)            # written over, not added
    assert to_host(net.dtheta)[-2:].tolist() == [5, 5]
    assert array_module(y) is xp and y.dtype == dtype


@pytest.mark.parametrize("name", ["W", "b", "dW", "db"])
def test_a_view_that_was_rebound_is_refused(name):
    net = network()
    x = np.ones((5, 3))
    setattr(net.layers[2], name, getattr(net.layers[2], name) * 1.0)
    with pytest.raises(ValueError, match=rf"{name} of Dense\(4, 2\).*shape \(.*\).*rebound"):
        net.forward(x)


@pytest.mark.parametrize("name", ["theta", "dtheta"])
def test_a_flat_vector_that_was_rebound_is_refused(name):
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


def test_there_and_back_again():
    net = network()
    theta = net.theta.copy()
    assert array_module(net.to(fake_device).theta) is fake_device
    back = net.to(np)
    assert back is net and type(net.theta) is type(net.layers[0].W) is np.ndarray
    np.testing.assert_array_equal(net.theta, theta)


def test_updating_in_place_is_no_rebinding():
    net = network()
    net.layers[0].W -= 0.1
    net.layers[0].b[...] = 3
    net.forward(np.ones((5, 3)))


def test_it_chains_what_its_layers_do():
    net, x = network(), np.random.default_rng(1).standard_normal((5, 3))
    first, bend, last = net.layers
    h1, c1 = first.forward(x)
    h2, c2 = bend.forward(h1)
    y, c3 = last.forward(h2)
    net_y, caches = net.forward(x)
    np.testing.assert_array_equal(net_y, y)
    dy = np.ones_like(y)
    dx = first.backward(bend.backward(last.backward(dy, c3), c2), c1)
    np.testing.assert_array_equal(net.backward(dy, caches), dx)


def test_without_need_dx_the_first_layer_spends_nothing_on_it(monkeypatch):
    net, asked = network(), []
    for layer in net.layers:
        def spy(dy, cache, need_dx, need_dparams, layer=layer, right=layer.backward):
            asked.append((repr(layer), need_dx, need_dparams))
            return right(dy, cache, need_dx, need_dparams)
        monkeypatch.setattr(layer, "backward", spy)
    y, caches = net.forward(np.ones((5, 3)))
    assert net.backward(np.ones_like(y), caches, need_dx=False) is None
    assert [a[1] for a in asked] == [True, True, False] and all(a[2] for a in asked)
    asked.clear()
    net.backward(np.ones_like(y), caches, need_dparams=False)
    assert all(a[1] for a in asked) and not any(a[2] for a in asked)


def test_below_the_first_weights_nothing_is_spent_on_a_gradient_that_nobody_wants(monkeypatch):
    bend, dense = LeakyReLU(), Dense(3, 2, np.random.default_rng(0), dtype="float64")
    net, asked = Sequential([bend, dense, LeakyReLU()]), []
    for layer in bend, dense:
        def spy(dy, cache, need_dx, need_dparams, layer=layer, right=layer.backward):
            asked.append((layer, need_dx))
            return right(dy, cache, need_dx, need_dparams)
        monkeypatch.setattr(layer, "backward", spy)
    y, caches = net.forward(np.ones((5, 3)))
    assert net.backward(np.ones_like(y), caches, need_dx=False) is None and asked == [(dense, False)]
    assert (dense.dW != 0).all()
    assert net.backward(np.ones_like(y), caches).shape == (5, 3) and asked[1:] == [(dense, True), (bend, True)]


def test_train_and_rng_reach_every_layer():
    seen = []

    class Spy(LeakyReLU):
        def forward(self, x, train=False, rng=None):
            seen.append((train, rng))
            return super().forward(x)
    net = Sequential([Dense(3, 2, np.random.default_rng(0), dtype="float64"), Spy(), Spy()])
    net.forward(np.ones((1, 3)), train=True, rng="the rng")
    assert seen == [(True, "the rng")] * 2


def test_layers_that_do_not_belong_together_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="float32.*float64"):
        Sequential([Dense(2, 2, rng, dtype="float32"), Dense(2, 2, rng, dtype="float64")])
    with pytest.raises(ValueError, match=r"no layer of Sequential\(\[\]\) has parameters"):
        Sequential([])
    with pytest.raises(ValueError, match=r"no layer of Sequential\(\[LeakyReLU\(0.2\)\]\) has parameters"):
        Sequential([LeakyReLU()])
    layer = Dense(2, 2, rng)
    with pytest.raises(ValueError, match=r"a layer stands twice in Sequential\(\[Dense\(2, 2\), Dense\(2, 2\)\]\)"):
        Sequential([layer, layer])
    with pytest.raises(ValueError, match=r"a network stands within Sequential.*give its layers instead"):
        Sequential([Sequential([Dense(2, 2, rng)]), Dense(2, 1, rng)])
    net = Sequential([Dense(2, 3, rng), Dense(2, 1, rng)])
    with pytest.raises(ValueError, match=r"\(N, 2\), not \(1, 3\)"):
        net.forward(np.ones((1, 2), "float32"))
    with pytest.raises(TypeError, match=r"float32 weights of shape \(2, 3\) but got float64 x of shape \(1, 2\)"):
        net.forward(np.ones((1, 2)))


def test_it_says_what_it_is():
    assert repr(network()) == "Sequential([Dense(3, 4), LeakyReLU(0.2), Dense(4, 2)])"


def test_states_lie_in_one_vector_too(xp):
    rng = np.random.default_rng(0)
    net = Sequential([Dense(3, 2, rng), BatchNorm(2), Dense(2, 4, rng), BatchNorm(4)]).to(xp)
    assert to_host(net.state).tolist() == [0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1] and len(net.theta) == 6 + 2 + 4 + 8 + 4 + 8
    x = xp.asarray(rng.standard_normal((5, 3)).astype("float32"))
    net.forward(x)
    assert to_host(net.state).tolist() == [0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1]     # sampling leaves them
    net.forward(x, train=True)
    np.testing.assert_array_equal(to_host(net.state)[:2], to_host(net.layers[1].mean))
    assert to_host(net.state)[:2].all()
    net.state[...] = 3
    assert to_host(net.layers[3].var).tolist() == [3, 3, 3, 3]
    net.layers[1].mean = net.layers[1].mean * 1
    with pytest.raises(ValueError, match=r"mean of BatchNorm\(2\), shape \(2,\), was rebound"):
        net.forward(x)


def test_a_network_without_states_has_an_empty_vector(dtype):
    net = network(dtype)
    assert net.state.shape == (0,) and net.state.dtype == dtype
    copied = copy.deepcopy(Sequential([Dense(3, 2, np.random.default_rng(0)), BatchNorm(2)]))
    copied.state[...] = 5
    assert copied.layers[1].mean.tolist() == [5, 5]
