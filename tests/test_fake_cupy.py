"""The fake CuPy itself: it refuses what it should, and computes what NumPy computes."""

import sys

import fake_cupy
import numpy as np
import pytest
from fake_cupy import Array, asarray, no_sync

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
    "host function of device": lambda x: fake_cupy.maximum(HOST, x),
    "device function of host": lambda x: fake_cupy.exp(HOST),
    "list with a host array": lambda x: fake_cupy.concatenate([x, HOST]),
    "host index": lambda x: x[np.array([0, 1])],
    "host mask": lambda x: x[HOST > 1],
    "host value": lambda x: x.__setitem__(0, HOST[0]),
    "out on the host": lambda x: fake_cupy.exp(x, out=HOST),
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
def test_functions_that_cupy_lacks_are_missing(name):
    assert hasattr(np, name) and not hasattr(fake_cupy, name)


def test_the_generator_has_only_cupy_s_methods():
    rng = fake_cupy.random.default_rng(0)
    np.testing.assert_array_equal(
        rng.standard_normal((2, 3)).get(), np.random.default_rng(0).standard_normal((2, 3))
    )
    assert isinstance(rng.random((2,), dtype="float32"), Array)
    for name in "normal", "permutation", "shuffle", "choice":
        with pytest.raises(AttributeError, match=name):
            getattr(rng, name)
    with pytest.raises(AssertionError, match="pass size="):
        rng.random(out=fake_cupy.empty((3,)))


WAITS = {
    "float": float,
    "int": lambda x: int(x),
    "bool": bool,
    "item": lambda x: x.item(),
    "get": lambda x: x.get(),
    "tolist": lambda x: x.tolist(),
    "repr": repr,
    "f-string": lambda x: f"{x}",
    "if": lambda x: 1 if x > 0 else 0,
    "range": lambda x: range(x.astype(int)),
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS.keys())
def test_waiting_fails_inside_no_sync_only(wait):
    loss = asarray(np.float32(2))
    wait(loss)
    with no_sync():
        with pytest.raises(AssertionError, match="host would wait"):
            wait(loss)
    wait(loss)


def test_arithmetic_needs_no_waiting(x):
    with no_sync():
        y = x * 2 + x @ x.T @ x - x.mean()
        y[0] = 1.0
        assert (
            y.shape == (2, 3)
            and len(y) == 2
            and y.dtype == "float32"
            and y.ndim == 2
            and y.size == 6
        )


def test_reductions_return_arrays_without_dimensions(x):
    for total in x.sum(), x.mean(), x.max(), x[0, 1], fake_cupy.sum(x):
        assert type(total) is Array and total.shape == ()
    assert x.sum(axis=0).shape == (3,)


def test_empty_is_filled_with_nan():
    assert np.isnan(fake_cupy.empty((2, 2)).get()).all()
    assert (fake_cupy.empty((2,), dtype=int).get() == 77).all()
    assert np.isnan(fake_cupy.empty_like(asarray(HOST)).get()).all()


def test_copies_and_views_behave_as_on_a_device(x):
    host = HOST.copy()
    device = asarray(host)
    host[...] = 99  # a copy was made, so the device array is unchanged
    np.testing.assert_array_equal(device.get(), HOST)
    copied = device.get()
    copied[...] = 99
    np.testing.assert_array_equal(device.get(), HOST)
    view = device[0:1].reshape(3)
    view -= 1  # a view shares its memory
    np.testing.assert_array_equal(device.get()[0], HOST[0] - 1)
    assert asarray(device) is device


def test_out_and_in_place_operations_return_the_same_array(x):
    out = fake_cupy.empty((2, 3), "float32")
    assert fake_cupy.multiply(x, 2.0, out=out) is out
    np.testing.assert_array_equal(out.get(), 2 * HOST)
    before = x
    x += 1
    assert x is before


def test_repeated_indices_are_refused(x):
    with pytest.raises(AssertionError, match="repeated indices"):
        x[asarray(np.array([0, 0]))] = 1.0
    fake_cupy.add.at(x, (asarray(np.array([0, 0])),), asarray(np.float32(1)))
    np.testing.assert_array_equal(x.get()[0], HOST[0] + 2)


def test_results_equal_numpy_s(x):
    pairs = [
        (abs(-x), abs(-HOST)),
        (x**2 / (x + 1), HOST**2 / (HOST + 1)),
        (2 - x, 2 - HOST),
        (x.T, HOST.T),
        (np.float32(3) * x, 3 * HOST),
        (fake_cupy.tanh(x), np.tanh(HOST)),
        (x[:, 1:], HOST[:, 1:]),
        (x[asarray(np.array([1, 0]))], HOST[[1, 0]]),
        ((x > 2) * np.float32(2), (HOST > 2) * np.float32(2)),
        (fake_cupy.stack([x, x]), np.stack([HOST, HOST])),
        (x.astype("float64"), HOST.astype("float64")),
    ]
    for device, host in pairs:
        assert isinstance(device, Array) and device.dtype == host.dtype
        np.testing.assert_array_equal(device.get(), host)


def test_launches_are_counted(x):
    before = fake_cupy.launches
    fake_cupy.tanh(x @ x.T)
    x[0] = 1.0
    assert fake_cupy.launches - before == 3 and x.shape and fake_cupy.launches - before == 3
    assert x.astype(x.dtype, copy=False) is x and fake_cupy.launches - before == 3
    x.astype("float64"), x.astype(x.dtype)
    assert fake_cupy.launches - before == 5


def test_operations_of_several_kernels_count_several_times(x):
    """integers generates numbers, then adds the bound; concatenate copies arrays one by one."""
    before = fake_cupy.launches
    fake_cupy.random.default_rng(0).integers(0, 9, (3,))
    assert fake_cupy.launches == before + 2
    fake_cupy.concatenate([x, x, x])
    assert fake_cupy.launches == before + 5


def test_launches_are_counted_by_name(x):
    fake_cupy.launched.clear()
    formula = fake_cupy.fuse(kernel_name="formula")(lambda x: fake_cupy.exp(x) + x)
    formula(x), x @ x.T, fake_cupy.matmul(x, x.T), x[1:].T, fake_cupy.concatenate([x, x])
    assert fake_cupy.launched == {"formula": 1, "matmul": 2, "concatenate": 2}


def test_the_module_of_an_array_is_fake_cupy(x):
    assert sys.modules[type(x).__module__] is fake_cupy


def test_a_fused_formula_is_one_launch():
    @fake_cupy.fuse()
    def formula(x, y):
        x += 1
        return x * y + fake_cupy.exp(y), x

    x, y = fake_cupy.asarray(np.ones(3)), fake_cupy.asarray(np.zeros(3))
    before = fake_cupy.launches
    z, same = formula(x, y)
    assert fake_cupy.launches == before + 1
    assert z.get().tolist() == [1, 1, 1] and x.get().tolist() == [2, 2, 2] and same is x
    z * x + y
    assert fake_cupy.launches == before + 3
    x.reshape(3, 1)[1:], x[fake_cupy.asarray(np.array([2, 0]))]
    assert fake_cupy.launches == before + 4  # only the second of these launches a kernel


@pytest.mark.parametrize(
    "formula", [lambda x: x @ x, lambda x: x.sum(), lambda x: fake_cupy.concatenate([x, x])]
)
def test_only_elementwise_formulas_can_be_fused(formula):
    x = fake_cupy.asarray(np.ones((3, 3)))
    with pytest.raises(AssertionError, match="cannot be part of a fused kernel"):
        fake_cupy.fuse()(formula)(x)
    x @ x  # outside of the fused formula it is allowed again
