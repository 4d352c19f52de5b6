"""The device double is tested too: that it refuses what it should, and computes what NumPy does."""
import sys

import fake_device
import numpy as np
import pytest
from fake_device import Array, asarray, no_sync

HOST = np.arange(6, dtype="float32").reshape(2, 3)


@pytest.fixture
def x():
    return asarray(HOST)


REFUSED = {
    "np.asarray": lambda x: np.asarray(x),
    "np.array": lambda x: np.array(x),
    "np.exp": lambda x: np.exp(x),
    "np.add with out": lambda x: np.add(np.float32(1), x, out=x),
    "np.sum": lambda x: np.sum(x),
    "np.concatenate": lambda x: np.concatenate([x, x]),
    "np.where": lambda x: np.where(x > 0, x, 0),
    "assert_allclose": lambda x: np.testing.assert_allclose(x, HOST),
    "device + host": lambda x: x + HOST,
    "host + device": lambda x: HOST + x,
    "device @ host": lambda x: x @ HOST.T,
    "device += host": lambda x: x.__iadd__(HOST),
    "device > host": lambda x: x > HOST,
    "host function of device": lambda x: fake_device.maximum(HOST, x),
    "device function of host": lambda x: fake_device.exp(HOST),
    "list with a host array": lambda x: fake_device.concatenate([x, HOST]),
    "host index": lambda x: x[np.array([0, 1])],
    "host mask": lambda x: x[HOST > 1],
    "host value": lambda x: x.__setitem__(0, HOST[0]),
    "out on the host": lambda x: fake_device.exp(x, out=HOST),
    "host += device": lambda x: HOST.__iadd__(x),
    "host slice = device": lambda x: HOST.copy().__setitem__(0, x[0]),
    "where in a sum": lambda x: x.sum(where=x > 0),
}


@pytest.mark.parametrize("act", REFUSED.values(), ids=REFUSED.keys())
def test_what_a_device_refuses(x, act):
    with pytest.raises((TypeError, ValueError)):
        act(x)
    np.testing.assert_array_equal(x.get(), HOST)


@pytest.mark.parametrize("name", ["errstate", "insert", "nditer", "einsum_path"])
def test_functions_that_cupy_lacks(name):
    assert hasattr(np, name) and not hasattr(fake_device, name)


def test_its_generator_knows_only_cupy_s_methods():
    rng = fake_device.random.default_rng(0)
    np.testing.assert_array_equal(rng.standard_normal((2, 3)).get(), np.random.default_rng(0).standard_normal((2, 3)))
    assert isinstance(rng.random((2,), dtype="float32"), Array)
    for name in "normal", "permutation", "shuffle", "choice":
        with pytest.raises(AttributeError, match=name):
            getattr(rng, name)
    with pytest.raises(AssertionError, match="pass size="):
        rng.random(out=fake_device.empty((3,)))


WAITS = {
    "float": float, "int": lambda x: int(x), "bool": bool, "item": lambda x: x.item(), "get": lambda x: x.get(),
    "tolist": lambda x: x.tolist(), "repr": repr, "f-string": lambda x: f"{x}", "if": lambda x: 1 if x > 0 else 0,
    "range": lambda x: range(x.astype(int)),
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS.keys())
def test_waiting_is_noticed_only_where_it_is_forbidden(wait):
    loss = asarray(np.float32(2))
    wait(loss)
    with no_sync():
        with pytest.raises(AssertionError, match="host would wait"):
            wait(loss)
    wait(loss)


def test_what_needs_no_waiting(x):
    with no_sync():
        y = x * 2 + x @ x.T @ x - x.mean()
        y[0] = 1.0
        assert y.shape == (2, 3) and len(y) == 2 and y.dtype == "float32" and y.ndim == 2 and y.size == 6


def test_reductions_are_arrays_of_no_dimension(x):
    for total in x.sum(), x.mean(), x.max(), x[0, 1], fake_device.sum(x):
        assert type(total) is Array and total.shape == ()
    assert x.sum(axis=0).shape == (3,)


def test_empty_is_poisoned():
    assert np.isnan(fake_device.empty((2, 2)).get()).all()
    assert (fake_device.empty((2,), dtype=int).get() == 77).all()
    assert np.isnan(fake_device.empty_like(asarray(HOST)).get()).all()


def test_copies_and_views_are_those_of_a_device(x):
    host = HOST.copy()
    device = asarray(host)
    host[...] = 99                                        # a copy was made: the device does not see it
    np.testing.assert_array_equal(device.get(), HOST)
    home = device.get()
    home[...] = 99
    np.testing.assert_array_equal(device.get(), HOST)
    view = device[0:1].reshape(3)
    view -= 1                                             # but a view is a view
    np.testing.assert_array_equal(device.get()[0], HOST[0] - 1)
    assert asarray(device) is device


def test_out_and_in_place_give_the_same_array_back(x):
    out = fake_device.empty((2, 3), "float32")
    assert fake_device.multiply(x, 2.0, out=out) is out
    np.testing.assert_array_equal(out.get(), 2 * HOST)
    before = x
    x += 1
    assert x is before


def test_repeated_indices_are_refused(x):
    with pytest.raises(AssertionError, match="repeated indices"):
        x[asarray(np.array([0, 0]))] = 1.0
    fake_device.add.at(x, (asarray(np.array([0, 0])),), asarray(np.float32(1)))
    np.testing.assert_array_equal(x.get()[0], HOST[0] + 2)


def test_it_computes_what_numpy_computes(x):
    pairs = [(abs(-x), abs(-HOST)), (x ** 2 / (x + 1), HOST ** 2 / (HOST + 1)), (2 - x, 2 - HOST), (x.T, HOST.T),
             (np.float32(3) * x, 3 * HOST), (fake_device.tanh(x), np.tanh(HOST)), (x[:, 1:], HOST[:, 1:]),
             (x[asarray(np.array([1, 0]))], HOST[[1, 0]]), ((x > 2) * np.float32(2), (HOST > 2) * np.float32(2)),
             (fake_device.stack([x, x]), np.stack([HOST, HOST])), (x.astype("float64"), HOST.astype("float64"))]
    for there, here in pairs:
        assert isinstance(there, Array) and there.dtype == here.dtype
        np.testing.assert_array_equal(there.get(), here)


def test_it_counts_what_would_be_launched(x):
    before = fake_device.launches
    fake_device.tanh(x @ x.T)
    x[0] = 1.0
    assert fake_device.launches - before == 3 and x.shape and fake_device.launches - before == 3


def test_what_cupy_does_in_two_kernels_counts_twice(x):
    """Its Generator.integers draws and then adds the lower bound; its concatenate copies array by array, if there are few."""
    before = fake_device.launches
    fake_device.random.default_rng(0).integers(0, 9, (3,))
    assert fake_device.launches == before + 2
    fake_device.concatenate([x, x, x])
    assert fake_device.launches == before + 5


def test_it_says_what_would_be_launched(x):
    fake_device.launched.clear()
    formula = fake_device.fuse(kernel_name="formula")(lambda x: fake_device.exp(x) + x)
    formula(x), x @ x.T, fake_device.matmul(x, x.T), x[1:].T, fake_device.concatenate([x, x])
    assert fake_device.launched == {"formula": 1, "matmul": 2, "concatenate": 2}


def test_an_array_says_which_module_made_it(x):
    assert sys.modules[type(x).__module__] is fake_device


def test_a_fused_formula_is_one_launch():
    @fake_device.fuse()
    def formula(x, y):
        x += 1
        return x * y + fake_device.exp(y), x
    x, y = fake_device.asarray(np.ones(3)), fake_device.asarray(np.zeros(3))
    before = fake_device.launches
    z, same = formula(x, y)
    assert fake_device.launches == before + 1
    assert z.get().tolist() == [1, 1, 1] and x.get().tolist() == [2, 2, 2] and same is x
    z * x + y
    assert fake_device.launches == before + 3
    x.reshape(3, 1)[1:], x[fake_device.asarray(np.array([2, 0]))]
    assert fake_device.launches == before + 4                           # of these, only the second


@pytest.mark.parametrize("formula", [lambda x: x @ x, lambda x: x.sum(), lambda x: fake_device.concatenate([x, x])])
def test_only_number_by_number_can_be_fused(formula):
    x = fake_device.asarray(np.ones((3, 3)))
    with pytest.raises(AssertionError, match="cannot be part of a fused kernel"):
        fake_device.fuse()(formula)(x)
    x @ x                                                              # and it is over afterwards
