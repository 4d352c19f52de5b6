"""Fake CuPy: NumPy under CuPy's interface, and stricter than either.

Most machines that run these tests have no GPU. This module replaces `cupy`: its arrays compute with
NumPy, so results are equal bit for bit, but they refuse what a real device refuses, and also what
CuPy allows but should not happen in minigan:

- a host array among the operands, in an index, or in an assignment
- implicit conversion to NumPy, and NumPy's own functions (np.exp(x) works on CuPy, but hides where
  it is computed)
- everything that CuPy 14 lacks: some functions, `where=` in reductions, most Generator methods
- inside `no_sync()`, everything that makes the host wait for the device: float(x), x.get(), ...

While a stream is captured (fake_cuda.Stream), nothing is computed. What its launch will do is
listed, and what CuPy cannot record is refused: its own matrix products, copies from and to the
host, and waiting. So is what minigan must not record: random numbers, which the check of a
recording needs to be the same twice, and arrays in CuPy's common pool, which may give their memory
to others.

Reductions return arrays of shape (), as on the device, and `empty` is filled with NaN.
"""

import collections
import contextlib
import sys
import types

import fake_cuda
import numpy as np
from fake_cuda import cuda  # noqa: F401

MISSING = set(
    "errstate seterr geomspace block bmat nditer ndenumerate unstack vecdot matvec vecmat insert"
    " einsum_path histogram_bin_edges spacing".split()
)
NO_WHERE = set("sum mean max min amax amin var std prod any all".split())
GENERATOR = set(
    "exponential gamma integers poisson random standard_exponential standard_gamma"
    " standard_normal uniform".split()
)
# these launch no kernel: they return views
VIEWS = set("reshape ravel view swapaxes transpose squeeze T".split())
NOT_FUSED = set(
    "matmul dot sum mean max min argmax argmin reshape ravel concatenate stack repeat take"
    " __matmul__".split()
)
# where it is not one: one generates numbers, one adds the lower bound; one adds, one divides
KERNELS = {"integers": 2, "mean": 2}
launches = 0  # how many kernels a device would have launched,
launched = collections.Counter()  # and how many of each name
recording = None  # a list while a stream is captured: what its launch will do
_sync_allowed, _fusing = [True], [False]


@contextlib.contextmanager
def no_sync():
    """Inside the block, everything that makes the host wait for the device fails."""
    _sync_allowed.append(False)
    try:
        yield
    finally:
        _sync_allowed.pop()


def _sync(what):
    assert _sync_allowed[-1], f"{what}: the host would wait for the device here"
    assert recording is None, f"{what} cannot be recorded: the host would wait for the device"


def _launch(name, kernels=1):
    global launches
    if recording is not None:
        return
    launches += kernels
    if kernels and not _fusing[-1]:
        launched[name.strip("_")] += kernels


def _later(work):
    """Whether a stream is captured, which will do this work when it is launched."""
    if recording is None or _fusing[-1]:
        return False
    recording.append(work)
    return True


def _result(compute, *inputs):
    """The result of compute(), on the device. While a stream is captured, it has no numbers yet,
    unless it is a view of one of the inputs.
    """
    result = compute()
    if recording is None or _fusing[-1] or not isinstance(result, (np.ndarray, np.generic)):
        return _outside(result)
    result = np.asarray(result)
    if any(np.may_share_memory(result, x) for x in inputs if isinstance(x, np.ndarray)):
        return Array(result)
    fake_cuda.keep(result)

    def work():
        result[...] = compute()

    recording.append(work)
    return Array(result)


def _inside(x, what):
    """The NumPy array in a device array; a host array here is a bug."""
    if isinstance(x, Array):
        return x._host
    if isinstance(x, np.ndarray):
        raise TypeError(
            f"Unsupported type {type(x)} (a host array of shape {x.shape} met the device in {what})"
        )
    if isinstance(x, (list, tuple)):
        return type(x)(_inside(item, what) for item in x)
    return x


def _outside(x):
    if isinstance(x, (np.ndarray, np.generic)):
        return Array(np.asarray(x))
    if isinstance(x, (list, tuple)):
        return type(x)(map(_outside, x))
    return x


def _kernels(name, args):
    """How many kernels a function launches."""
    if name in VIEWS or name == "ascontiguousarray" and args[0]._host.flags.c_contiguous:
        return 0
    return len(args[0]) if name == "concatenate" else KERNELS.get(name, 1)


def _call(function, name, args, kwargs):
    _launch(name, _kernels(name, args))
    assert not (_fusing[-1] and name in NOT_FUSED), f"{name} cannot be part of a fused kernel"
    if name in NO_WHERE and {"where", "initial"} & set(kwargs):
        raise TypeError(f"cupy.{name} has no where= or initial=")
    _check_recorded(name)
    inside = {key: _inside(value, name) for key, value in kwargs.items()}
    inputs = _inside(args, name)

    def compute():
        return function(*inputs, **inside)

    if isinstance(kwargs.get("out"), Array):
        if not _later(compute):
            compute()
        return kwargs["out"]
    itself = getattr(function, "__self__", None)  # of a method
    return _result(compute, itself, *inputs)


def _check_recorded(name):
    """While a stream is captured, refuse what CuPy refuses, and random numbers."""
    if recording is None:
        return
    if name in ("matmul", "dot", "__matmul__", "__rmatmul__"):
        raise NotImplementedError("calling cuBLAS API during stream capture is unsupported")
    assert name not in GENERATOR, f"{name} cannot be recorded: a check would see other numbers"


class Array:
    """An array on the fake device."""

    __slots__ = ("_host",)
    __hash__ = None
    __array_priority__ = 100

    def __init__(self, host):
        self._host = host

    def __array__(self, *args, **kwargs):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed."
            " Please use `.get()` to construct a NumPy array explicitly."
        )

    def __array_function__(self, function, *args):
        raise TypeError(f"numpy.{function.__name__} met a device array")

    def __array_ufunc__(self, ufunc, method, *args, **kwargs):
        # np.float32(2) * x arrives here and is allowed in CuPy; so does np.exp(x), which is refused
        if method == "__call__" and any(isinstance(a, np.generic) for a in args) and not kwargs:
            return _call(ufunc, ufunc.__name__, args, kwargs)
        raise TypeError(f"numpy.{ufunc.__name__} met a device array")

    @property
    def data(self):
        """Its address."""
        return types.SimpleNamespace(ptr=self._host.ctypes.data)

    def get(self, out=None):
        _sync("get()")
        if out is None:
            return self._host.copy()
        assert out.shape == self.shape and out.dtype == self.dtype and out.flags.c_contiguous
        out[...] = self._host
        return out

    def set(self, host):
        _sync("set()")
        assert host.shape == self.shape and host.dtype == self.dtype
        self._host[...] = host

    def item(self, *args):
        _sync("item()")
        return self._host.item(*args)

    def tolist(self):
        _sync("tolist()")
        return self._host.tolist()

    def astype(self, dtype, copy=True):
        if not copy and self.dtype == dtype:
            return self  # without a kernel, as in CuPy
        return _call(self._host.astype, "astype", (dtype,), {"copy": copy})

    def __float__(self):
        _sync("float()")
        return float(self._host)

    def __int__(self):
        _sync("int()")
        return int(self._host)

    def __index__(self):
        _sync("index()")
        return self._host.__index__()

    def __bool__(self):
        _sync("bool()")
        return bool(self._host)

    def __repr__(self):
        _sync("repr()")
        return f"device {self._host!r}"

    def __len__(self):
        return len(self._host)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index):
        _launch(
            "x[...]", isinstance(index, Array)
        )  # selecting by an index array; a slice is a view
        index, by_array = _inside(index, "x[...]"), isinstance(index, Array)
        if by_array:
            return _result(lambda: self._host[index])
        part = self._host[index]
        if not isinstance(part, np.ndarray):  # CuPy's x[0] is a view of shape (), not a number
            part = self._host[(*index, ...) if isinstance(index, tuple) else (index, ...)]
        return _outside(part)

    def __setitem__(self, index, value):
        _launch("x[...] = value")
        index, value = _inside(index, "x[...]"), _inside(value, "x[...] = value")
        if _later(lambda: self._host.__setitem__(index, value)):
            return
        for i in index if isinstance(index, tuple) else (index,):
            if isinstance(i, np.ndarray) and i.dtype.kind in "iu":
                assert np.unique(i).size == i.size, (
                    "repeated indices: undefined in CuPy, use xp.add.at"
                )
        self._host[index] = value

    def __getattr__(self, name):
        if name.startswith("__"):  # __array_interface__ would make np.asarray(x) work
            raise AttributeError(name)
        attribute = getattr(self._host, name)
        if isinstance(attribute, np.ndarray):
            return _outside(attribute)
        if callable(attribute):
            return lambda *args, **kwargs: _call(attribute, name, args, kwargs)
        return attribute


def _operator(name):
    def operate(self, *others):
        _launch(name)
        assert not (_fusing[-1] and name in NOT_FUSED), f"{name} cannot be part of a fused kernel"
        _check_recorded(name)
        others, method = _inside(others, name), getattr(self._host, name)
        if name.startswith("__i") and name != "__invert__":
            if not _later(lambda: method(*others)):
                method(*others)
            return self
        return _result(lambda: method(*others))

    setattr(Array, name, operate)


for _name in "add sub mul truediv pow matmul and or".split():
    for _prefix in "", "r", "i":
        _operator(f"__{_prefix}{_name}__")
for _name in "lt le gt ge eq ne neg abs invert".split():
    _operator(f"__{_name}__")


class Generator:
    """A random generator of the fake device: NumPy's numbers, CuPy's methods."""

    def __init__(self, seed=None):
        self._generator = np.random.default_rng(seed)

    def __getattr__(self, name):
        if name not in GENERATOR:
            raise AttributeError(f"cupy.random.Generator has no {name}")

        def draw(*args, **kwargs):
            assert not (
                name == "random" and "out" in kwargs and not args and "size" not in kwargs
            ), "CuPy repeats one sample here: pass size="
            return _call(getattr(self._generator, name), name, args, kwargs)

        return draw


random = types.SimpleNamespace(default_rng=Generator)
get_default_memory_pool = fake_cuda.MemoryPool


def asnumpy(x):
    return x.get() if isinstance(x, Array) else np.asarray(x)


def asarray(x, dtype=None):
    if isinstance(x, Array) and dtype in (None, x.dtype):
        return x
    assert recording is None, "a copy from the host cannot be recorded"
    return Array(np.array(getattr(x, "_host", x), dtype))


def empty(shape, dtype=float):
    host = np.full(shape, np.nan if np.dtype(dtype).kind == "f" else 77, dtype)
    if recording is not None:
        fake_cuda.keep(host)
    return Array(host)


def empty_like(x, dtype=None):
    return empty(x.shape, dtype or x.dtype)


def __getattr__(name):
    """Everything else is NumPy's, for device arrays."""
    if name.startswith("__") or name in MISSING:
        raise AttributeError(f"cupy has no {name}")
    attribute = getattr(np, name)
    if isinstance(attribute, (type, types.ModuleType)) or not callable(attribute):
        return attribute

    def function(*args, **kwargs):
        return _call(attribute, name, args, kwargs)

    if name in ("add", "subtract", "maximum", "minimum"):
        function.at = lambda *args: attribute.at(*_inside(args, name + ".at"))
    return function


def _as_strided(x, shape, strides):
    """A view of an array's memory. Both libraries omit the bounds check; here it is made."""
    last = sum((n - 1) * step for n, step in zip(shape, strides))
    assert 0 <= last < x._host.nbytes and x._host.flags.c_contiguous, (
        "as_strided reads foreign memory"
    )
    return Array(np.lib.stride_tricks.as_strided(x._host, shape, strides))


def _record_fused(call, args):
    """Record a fused kernel; its results are arrays without numbers yet."""
    global recording
    copies = [Array(a._host.copy()) if isinstance(a, Array) else a for a in args]
    listed, recording = recording, None
    try:
        results = call(*copies)  # for their shapes, and without a change of the arguments
    finally:
        recording = listed
    flat = [results] if isinstance(results, Array) else results or []
    for result in flat:
        fake_cuda.keep(result._host)

    def work():
        found = call(*args)
        for result, new in zip(flat, [found] if isinstance(found, Array) else found or []):
            result._host[...] = new._host

    recording.append(work)
    return results


def fuse(kernel_name=None):
    """Like cupy.fuse: an elementwise formula is one launch, whatever the number of operations."""

    def decorate(function):
        def call(*args):
            global launches
            if recording is not None and not _fusing[-1]:
                return _record_fused(call, args)
            before = launches
            if not _fusing[-1]:
                launched[kernel_name or function.__name__] += 1
            _fusing.append(True)
            try:
                return function(*args)
            finally:
                _fusing.pop()
                launches = before + 1

        return call

    return decorate


if fake_cuda.COMPILER:
    RawKernel = fake_cuda.RawKernel
ndarray = Array
lib = types.SimpleNamespace(stride_tricks=types.SimpleNamespace(as_strided=_as_strided))
xp = sys.modules[__name__]
