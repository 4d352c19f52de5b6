"""Random numbers: where they come from.

The idea
    A random generator produces a long fixed sequence of numbers that look random, and keeps its
    position in that sequence. The seed selects the starting point: the same seed gives the same
    numbers. A run can therefore be repeated if all its random numbers come from generators made
    from its seed, and none from a hidden global generator. Every function that needs random numbers
    takes an `rng`.

    A generator belongs to NumPy or to CuPy and returns arrays of that module. NumPy's generator is
    PCG64 and CuPy's is XORWOW (Marsaglia 2003), so the numbers differ even for the same seed. In
    the code `xp` is either module.

    The position of NumPy's generator is its state, which can be saved and restored.

A part of a batch
    Several processes can share a batch, each with some of its rows (accel/process_group.py). If
    the run is to stay the same, each row must receive the random numbers that it would have had in
    one process. `RowsRng` therefore draws the numbers of all rows, and returns those of its own.
    Where every number takes one step of the generator, as for dropout, it skips the others.

>>> rng = make_rng(np, 0)
>>> state = get_rng_state(rng)
>>> first = rng.random()
>>> set_rng_state(rng, state)
>>> rng.random() == first
True
>>> random_uint16(np, rng, (2, 3)).shape
(2, 3)
>>> whole, part = make_rng(np, 0), RowsRng(make_rng(np, 0), rows=slice(1, 3), n=4)
>>> all(
...     (whole.random((4, 5))[1:3] == part.random((2, 5))).all()
...     and (random_uint16(np, whole, (4, 5))[1:3] == random_uint16(np, part, (2, 5))).all()
...     for _ in range(3)
... )
True
"""

import math
from typing import Any

import numpy as np

from minigan.backend import Array


def make_rng(xp: Any, seed: Any) -> Any:
    """A random generator of the module xp, numpy or cupy; seed: an int or a numpy SeedSequence."""
    if xp.__name__ != "cupy":
        return xp.random.default_rng(seed)
    # The numbers depend on how many states the generator keeps. CuPy's default may differ between
    # versions, so the number of states is fixed here.
    return xp.random.Generator(xp.random.XORWOW(seed, size=65536))


def get_rng_state(rng: Any) -> Any:
    """The state of a NumPy generator, as a dict; None for CuPy, see `set_rng_state`."""
    bits = getattr(rng, "bit_generator", None)
    return bits.state if isinstance(bits, np.random.BitGenerator) else None


def set_rng_state(rng: Any, state: Any) -> None:
    """Restore what `get_rng_state` returned.

    CuPy has no function that returns the state of its generator, so a run resumed on CuPy receives
    different noise from an uninterrupted run. A state of NumPy's generator means nothing to CuPy's.
    """
    if state is not None and get_rng_state(rng) is not None:
        rng.bit_generator.state = state


def random_uint16(xp: Any, rng: Any, shape: tuple[int, ...]) -> Array:
    """Random integers below 2^16, as uint16 of that shape; enough for yes-or-no decisions.

    Each 64-bit random number is split into four, which is faster than sampling four floats. The
    lowest 16 bits come first, on machines of either byte order. On CuPy each integer is sampled
    separately, because CuPy treats the upper bound as a signed number, in which 2^64 - 1 might not
    fit.
    """
    if isinstance(rng, RowsRng):
        return rng.uint16(xp, shape)
    if xp.__name__ == "cupy":
        return rng.integers(0, 1 << 16, shape, dtype=xp.uint16)
    size = math.prod(shape)
    bits = rng.integers(0, 1 << 64, (size + 3) // 4, dtype=xp.uint64)
    quarters = bits.astype("<u8", copy=False).view("<u2")
    return quarters[:size].reshape(shape).astype(xp.uint16, copy=False)


class RowsRng:
    """The random numbers of some rows of a batch of n rows, from the generator of the batch.

    `rows` is their slice. An array of k times as many rows belongs to a batch of k n rows, such as
    n real images and then n fakes, and has these rows of each n.
    """

    def __init__(self, rng: Any, *, rows: slice, n: int):
        self.rng, self.rows, self.n = rng, rows, n

    def whole_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape for all rows of the batch, (k, n, ...), for an array of this shape."""
        count = self.rows.stop - self.rows.start
        if shape[0] % count:
            raise ValueError(f"{shape[0]} rows are not a multiple of this part's {count}")
        return shape[0] // count, self.n, *shape[1:]

    def select_rows(self, whole: Array, shape: tuple[int, ...]) -> Array:
        """The numbers (k, n, ...) of this part's rows, in its own shape."""
        return whole[:, self.rows].reshape(shape)

    def random(self, shape: tuple[int, ...], **options: Any) -> Array:
        """Uniform numbers, as `random` of the generator."""
        return self.select_rows(self.rng.random(self.whole_shape(shape), **options), shape)

    def standard_normal(self, shape: tuple[int, ...], **options: Any) -> Array:
        """Normal numbers, as `standard_normal` of the generator."""
        whole = self.rng.standard_normal(self.whole_shape(shape), **options)
        return self.select_rows(whole, shape)

    def uint16(self, xp: Any, shape: tuple[int, ...]) -> Array:
        """What `random_uint16` would give these rows."""
        whole, bits = self.whole_shape(shape), getattr(self.rng, "bit_generator", None)
        if not isinstance(bits, np.random.PCG64):  # it cannot skip
            return self.select_rows(random_uint16(xp, self.rng, whole), shape)
        k, n, *row = whole
        size, found, word = math.prod(row), [], 0  # `word`: 64-bit numbers drawn or skipped so far
        for block in range(k):
            start, stop = ((block * n + i) * size for i in (self.rows.start, self.rows.stop))
            skip(bits, start // 4 - word)  # by -1 if the last word drawn holds the first number
            count = (stop + 3) // 4 - start // 4
            words = self.rng.integers(0, 1 << 64, count, dtype=xp.uint64)
            quarters = words.astype("<u8", copy=False).view("<u2")[start % 4 :]
            found.append(quarters[: stop - start].reshape(-1, *row))
            word = start // 4 + count
        skip(bits, (k * n * size + 3) // 4 - word)
        return xp.concatenate(found).astype(xp.uint16, copy=False)


def skip(bits: np.random.PCG64, count: int) -> None:
    """Let a generator skip `count` 64-bit numbers, back if it is negative.

    Half of a number that NumPy keeps for the next 32-bit one stays kept, as when they are drawn.
    """
    if count:
        before: Any = bits.state
        bits.advance(count)
        after: Any = bits.state
        bits.state = after | {name: before[name] for name in ("has_uint32", "uinteger")}
