"""What the checkers share.

A checker is a generator. It yields the name of a step, then checks that step, and raises NotYet
with a hint if the answer is wrong. All names yielded before the last one are therefore steps that
the student has solved.
"""

import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from minigan.nn.gradcheck import Check, check_layer


class NotYet(Exception):
    """Something is not right yet; the message says what, and where to look."""


def demand(right: Any, message: str) -> None:
    """Raise NotYet with the message unless `right` is true."""
    if not right:
        raise NotYet(message)


def grade(checker: Callable, path: Path, part: str = "", *, hints: int = 2) -> str | None:
    """Grade the answer in a file, or one part of it.

    Returns None if it is right. Otherwise returns a sentence that says what is wrong, and what is
    already right. With fewer `hints` it says less: 1 names the step that fails, and 0 only says
    that the answer is not right yet. What is not written yet, and what Python cannot run, is
    explained in any case.
    """
    steps: list[str] = []
    try:
        with (
            warnings.catch_warnings(),
            np.errstate(over="warn", divide="warn", invalid="warn", under="ignore"),
        ):
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", RuntimeWarning)  # an overflow, a division by zero
            for step in checker(load(path)):
                steps.append(step)
        return None
    except NotYet as error:
        found = str(error)
        if hints == 1:
            found = "this is not right yet; for what is wrong, add --hint 2"
        elif hints == 0 and part:  # which steps are right would say where a given mistake is
            steps, found = [], "the mistake is still there; for a hint, add --hint 1"
        elif hints == 0:
            steps[-1:], found = [""], "it is not right yet; for a hint, add --hint 1"
    except NotImplementedError as error:  # not written yet: its own words are enough
        found, steps[-1:] = str(error), [""]
    except (Exception, SystemExit) as error:
        found = explain(error, path)
    *done, step = steps or [""]
    so_far = f" (Right so far: {'; '.join(dict.fromkeys(done))}.)" if done else ""
    where = ", ".join(filter(None, [path.name, part, step]))
    return f"{where}: {found}.{so_far}".replace("\n", " ").replace("?.", "?")


def load(path: Path) -> types.ModuleType:
    """A file as a module, executed anew each time."""
    module = types.ModuleType(path.stem)
    module.__file__ = str(path)
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), module.__dict__)
    return module


def explain(error: BaseException, path: Path) -> str:
    """An exception from the student's code in words, with the line that raised it."""
    if isinstance(error, SyntaxError):
        return f"line {error.lineno} is not valid Python: {error.msg}"
    lines, trace = [], error.__traceback__
    while trace:
        lines += [trace.tb_lineno] if trace.tb_frame.f_code.co_filename == str(path) else []
        trace = trace.tb_next
    where = f"line {lines[-1]}" if lines else "it"
    if isinstance(error, ValueError) and "read-only" in str(error):
        return (
            f"{where} modifies an array that it received, which other code still needs: create a"
            " new array"
        )
    if isinstance(error, RuntimeWarning):
        return f"{where} gives infinity or NaN ({error})"
    return f"{where} raises {type(error).__name__}: {error}"


def locked(array: Any) -> np.ndarray:
    """A read-only copy; writing into it leads to the message about modified arrays in `explain`."""
    array = np.array(array)
    array.flags.writeable = False
    return array


def like(name: str, array: Any, x: np.ndarray, other: str = "x") -> None:
    """Demand an array with the shape and the dtype of x."""
    demand(isinstance(array, np.ndarray), f"your {name} is not an array but {array!r:.60}")
    demand(
        array.shape == x.shape,
        f"your {name} has the shape {array.shape}, but {other} has {x.shape}",
    )
    demand(
        array.dtype == x.dtype,
        f"your {name} is {array.dtype} where {other} is {x.dtype}: some operand has another dtype",
    )


def forward(layer: Any, x: np.ndarray, *, train: bool = False, seed: int = 0) -> tuple:
    """(y, cache) of a read-only x, with a random generator of that seed.

    Raises NotYet if forward does not return two values.
    """
    result = layer.forward(locked(x), train=train, rng=np.random.default_rng(seed))
    demand(
        isinstance(result, tuple) and len(result) == 2,
        "forward returns two values, y and a cache (None if nothing has to be stored), but yours"
        f" returns {type(result).__name__}",
    )
    return result


def worst(mine: np.ndarray, right: np.ndarray) -> tuple[int, ...]:
    """The index at which two arrays differ most."""
    difference = np.where(np.isfinite(mine), abs(mine - right), np.inf)
    return tuple(map(int, np.unravel_index(difference.argmax(), right.shape)))


def close(mine: np.ndarray, right: np.ndarray, tolerance: float = 1e-9) -> bool:
    """Whether two arrays are equal up to rounding."""
    return mine.shape == right.shape and bool(
        (abs(mine - right) <= tolerance * (abs(right).max() + 1e-300)).all()
    )


def gradients(layer: Any, x: np.ndarray, *, train: bool = False, seed: int = 0) -> Iterator[str]:
    """Demand that dx and each parameter gradient agree with central differences, one by one."""
    for check in check_layer(layer, x, train=train, seed=seed):
        yield f"the values of {check.name}"
        demand(check.ok, hint(check))


def hint(check: Check) -> str:
    """A failed gradient check as a hint."""
    if not check.index:
        return f"your {check.name} cannot be compared: {check.cause}"
    return (
        f"your {check.name} at {list(check.index)} is {check.analytic:.4g}, but central differences"
        f" give {check.numeric:.4g}; likely cause: {check.cause}"
    )


def writes_gradients(layer: Any, x: np.ndarray) -> Iterator[str]:
    """Demand that dW etc. are written in place: not added to, not replaced, and unchanged where
    they are not needed.
    """
    y, _ = forward(layer, x)
    dy = locked(np.random.default_rng(8).standard_normal(y.shape))
    for name in ["d" + name for name in layer.param_names]:
        yield f"{name} is written in place"
        array = getattr(layer, name)
        array[...] = 7
        layer.backward(dy, forward(layer, x)[1], need_dparams=False)
        demand(
            getattr(layer, name) is array and (array == 7).all(),
            f"{name} changes although backward was called with need_dparams=False: G's step passes"
            " through D without changing it",
        )
        array[...] = 0
        layer.backward(dy, forward(layer, x)[1])
        demand(
            getattr(layer, name) is array,
            f"layer.{name} is another array after backward: write into it, self.{name}[...] = ...,"
            " because it is a view into the network's dtheta (minigan/nn/sequential.py)",
        )
        once = array.copy()
        layer.backward(dy, forward(layer, x)[1])
        demand(
            close(array, once) or not close(array, 2 * once),
            f"your {name} is twice as large after a second call: backward writes {name}, it does"
            " not add",
        )
        demand(
            close(array, once),
            f"your {name} depends on its previous content: backward writes {name}, replacing all"
            " of it",
        )


def all_gradients(layer: Any, dx: np.ndarray) -> list[np.ndarray]:
    """Copies of dx and of each parameter gradient."""
    parameter_gradients = [getattr(layer, "d" + name) for name in layer.param_names]
    return [np.array(array) for array in (dx, *parameter_gradients)]


def all_close(arrays: list[np.ndarray], others: list[np.ndarray]) -> bool:
    """Whether two lists of arrays are equal up to rounding."""
    return all(close(one, other) for one, other in zip(arrays, others))


def contract(make: Callable, x: np.ndarray, *, train: bool = False) -> Iterator[str]:
    """Demand what every layer has to fulfil once its values are right: make(dtype) -> layer."""
    layer, other = make("float64"), np.random.default_rng(9).standard_normal(x.shape)
    y, cache = forward(layer, x, train=train)
    dy = locked(np.random.default_rng(8).standard_normal(y.shape))
    first = all_gradients(layer, layer.backward(dy, cache))

    yield "two forwards before two backwards"
    _, cache = forward(layer, x, train=train)
    forward(layer, other, train=train, seed=1)
    demand(
        all_close(all_gradients(layer, layer.backward(dy, cache)), first),
        "after a second forward with other numbers, backward returns different gradients for the"
        " first: what it needs belongs in the cache, not in the layer (a discriminator processes"
        " two batches before it learns)",
    )

    yield "backward can be called twice"
    demand(
        all_close(all_gradients(layer, layer.backward(dy, cache)), first),
        "backward returns different gradients when it is called again with the same dy and cache:"
        " it modifies its cache",
    )

    yield "float32 stays float32"
    layer, x = make("float32"), x.astype("float32")
    y, cache = forward(layer, x, train=train)
    demand(
        y.dtype == "float32",
        f"x is float32 but your y is {y.dtype}: some operand has another dtype",
    )
    dx = layer.backward(locked(dy.astype("float32")), cache)
    demand(
        dx.dtype == "float32",
        f"dy is float32 but your dx is {dx.dtype}: some operand has another dtype",
    )
