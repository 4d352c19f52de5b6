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

>>> rng = make_rng(np, 0)
>>> state = get_rng_state(rng)
>>> first = rng.random()
>>> set_rng_state(rng, state)
>>> rng.random() == first
True
>>> random_uint16(np, rng, (2, 3)).shape
(2, 3)
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
    if xp.__name__ == "cupy":
        return rng.integers(0, 1 << 16, shape, dtype=xp.uint16)
    size = math.prod(shape)
    bits = rng.integers(0, 1 << 64, (size + 3) // 4, dtype=xp.uint64)
    quarters = bits.astype("<u8", copy=False).view("<u2")
    return quarters[:size].reshape(shape).astype(xp.uint16, copy=False)
