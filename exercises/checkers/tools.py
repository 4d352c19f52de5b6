"""What the checkers share. A checker is a generator: it names a step, then looks whether that step is right, and
raises NotYet with a hint where it is not. So what was named before is what the student has already got right."""
import types
import warnings

import numpy as np

from minigan.gradcheck import check_layer


class NotYet(Exception):
    """Something is not right yet; the message says what, and where to look."""


def demand(right, message):
    """Raise NotYet with the message unless it is right."""
    if not right:
        raise NotYet(message)


def grade(checker, path, part=""):
    """None if the answer in the file, or one part of it, is right; else one sentence: what is not, and what already is."""
    steps = []
    try:
        with warnings.catch_warnings(), np.errstate(over="warn", divide="warn", invalid="warn", under="ignore"):
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", RuntimeWarning)  # NumPy's: an overflow, a division by zero
            for step in checker(load(path)):
                steps.append(step)
        return None
    except NotYet as error:
        found = str(error)
    except NotImplementedError as error:  # a hole: it needs no more than its own words
        found, steps[-1:] = str(error), [""]
    except (Exception, SystemExit) as error:
        found = in_words(error, path)
    *done, step = steps or [""]
    so_far = f" (Right so far: {'; '.join(dict.fromkeys(done))}.)" if done else ""
    where = ", ".join(filter(None, [path.name, part, step]))
    return f"{where}: {found}.{so_far}".replace("\n", " ").replace("?.", "?")


def load(path):
    """The file as a module, read anew each time."""
    module = types.ModuleType(path.stem)
    module.__file__ = str(path)
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), module.__dict__)
    return module


def in_words(error, path):
    """An exception that came out of the student's code, with the line where it did."""
    if isinstance(error, SyntaxError):
        return f"line {error.lineno} is not Python: {error.msg}"
    lines, trace = [], error.__traceback__
    while trace:
        lines += [trace.tb_lineno] if trace.tb_frame.f_code.co_filename == str(path) else []
        trace = trace.tb_next
    where = f"line {lines[-1]}" if lines else "it"
    if isinstance(error, ValueError) and "read-only" in str(error):
        return f"{where} writes into an array that it was given, which others still need: make a new one"
    if isinstance(error, RuntimeWarning):
        return f"{where} gives infinity or NaN ({error})"
    return f"{where} raises {type(error).__name__}: {error}"


def locked(array):
    """A copy that cannot be written into; whoever tries gets the sentence above."""
    array = np.array(array)
    array.flags.writeable = False
    return array


def like(name, array, x, other="x"):
    """Demand an array with the shape and the dtype of x."""
    demand(isinstance(array, np.ndarray), f"your {name} is no array but {array!r:.60}")
    demand(array.shape == x.shape, f"your {name} has the shape {array.shape}, {other} has {x.shape}")
    demand(array.dtype == x.dtype, f"your {name} is {array.dtype} where {other} is {x.dtype}: an array of another dtype has crept in")


def forward(layer, x, train=False, seed=0):
    """(y, cache) of a locked x, with a generator of that seed; NotYet if forward does not return two things."""
    result = layer.forward(locked(x), train=train, rng=np.random.default_rng(seed))
    demand(isinstance(result, tuple) and len(result) == 2,
           f"forward returns two things, y and a cache (None if there is nothing to remember), but yours returns {type(result).__name__}")
    return result


def worst(mine, right):
    """Where two arrays differ most, as an index."""
    difference = np.where(np.isfinite(mine), abs(mine - right), np.inf)
    return tuple(map(int, np.unravel_index(difference.argmax(), right.shape)))


def close(mine, right, tolerance=1e-9):
    """Are they the same, but for rounding?"""
    return mine.shape == right.shape and bool((abs(mine - right) <= tolerance * (abs(right).max() + 1e-300)).all())


def gradients(layer, x, train=False, seed=0):
    """Demand that dx and each parameter's gradient agree with central differences; a step for each."""
    for check in check_layer(layer, x, train, seed):
        yield f"the values of {check.name}"
        demand(check.ok, says(check))


def says(check):
    """A failed Check of gradcheck.py as a hint."""
    if not check.index:
        return f"your {check.name} cannot be compared: {check.cause}"
    return (f"your {check.name} at {list(check.index)} is {check.analytic:.4g}, central differences give"
            f" {check.numeric:.4g}; likely {check.cause}")


def written(layer, x):
    """dW and the like are written into: not added to, not replaced, and not touched where nobody wants them."""
    y, _ = forward(layer, x)
    dy = locked(np.random.default_rng(8).standard_normal(y.shape))
    for name in ["d" + name for name in layer.names]:
        yield f"{name} is written into"
        array = getattr(layer, name)
        array[...] = 7
        layer.backward(dy, forward(layer, x)[1], need_dparams=False)
        demand(getattr(layer, name) is array and (array == 7).all(),
               f"{name} changes although backward was told need_dparams=False: G learns through D without changing it")
        array[...] = 0
        layer.backward(dy, forward(layer, x)[1])
        demand(getattr(layer, name) is array, f"layer.{name} is another array after backward: write into it, self.{name}[...] = ...,"
               " for it is a window upon the network's dtheta (minigan/network.py)")
        once = array.copy()
        layer.backward(dy, forward(layer, x)[1])
        demand(close(array, once) or not close(array, 2 * once),
               f"your {name} is twice as large after a second call: backward writes {name}, it does not add")
        demand(close(array, once), f"your {name} depends on what was there before: backward writes {name}, over all of it")


def all_of(layer, dx):
    """Copies of dx and of the gradient of each parameter."""
    return [np.array(array) for array in (dx, *(getattr(layer, "d" + name) for name in layer.names))]


def same(some, others):
    """Are all of these arrays the same, but for rounding?"""
    return all(close(one, other) for one, other in zip(some, others))


def habits(make, x, train=False):
    """What every layer owes its network, once its values are right: make(dtype) -> layer."""
    layer, other = make("float64"), np.random.default_rng(9).standard_normal(x.shape)
    y, cache = forward(layer, x, train)
    dy = locked(np.random.default_rng(8).standard_normal(y.shape))
    first = all_of(layer, layer.backward(dy, cache))

    yield "two forwards before two backwards"
    _, cache = forward(layer, x, train)
    forward(layer, other, train, seed=1)
    demand(same(all_of(layer, layer.backward(dy, cache)), first),
           "after a second forward, of other numbers, backward gives other gradients for the first: what it needs belongs into"
           " the cache, not into the layer (a discriminator sees two batches before it learns)")

    yield "backward can be called twice"
    demand(same(all_of(layer, layer.backward(dy, cache)), first),
           "backward gives other gradients when it is called again with the same dy and cache: it writes into its cache")

    yield "float32 stays float32"
    layer, x = make("float32"), x.astype("float32")
    y, cache = forward(layer, x, train)
    demand(y.dtype == "float32", f"x is float32 but your y is {y.dtype}: an array of another dtype has crept in")
    dx = layer.backward(locked(dy.astype("float32")), cache)
    demand(dx.dtype == "float32", f"dy is float32 but your dx is {dx.dtype}: an array of another dtype has crept in")
