"""Randomness: where random numbers come from.

The idea
    A generator of random numbers is a long, fixed list of numbers that look like chance, and a
    place in it. The seed says where in the list to begin: the same seed, the same numbers. So a
    run can be repeated, if everything random comes from generators that were made from its seed,
    and none from a hidden, global one. Every function that needs chance is therefore given an `rng`.

    A generator belongs to NumPy or to CuPy, and draws where its numbers are needed. NumPy's list is called
    PCG64, CuPy's XORWOW (Marsaglia 2003): so the numbers are not the same, even for the same seed. In
    the code `xp` is the one module or the other, here and on every later page.

    The place in NumPy's list is the generator's state. It can be kept, and gone back to.

>>> rng = random_generator(np, 0)
>>> state = random_state(rng)
>>> first = rng.random()
>>> set_random_state(rng, state)
>>> rng.random() == first
True
>>> random_16_bits(np, rng, (2, 3)).shape
(2, 3)
"""
import math

import numpy as np


def random_generator(xp, seed):
    """A random generator of the module xp, numpy or cupy; seed is an int or a numpy SeedSequence."""
    if xp.__name__ != "cupy":
        return xp.random.default_rng(seed)
    # CuPy's default keeps a state for every core of the card at hand, which costs time at each
    # call and makes the numbers depend on the card; 65536 states are enough, and the same on all.
    return xp.random.Generator(xp.random.XORWOW(seed, size=65536))


def random_state(rng):
    """Where the generator is in its list, as a dict of numbers and words; None on a card, see `set_random_state`."""
    bits = getattr(rng, "bit_generator", None)
    return bits.state if isinstance(bits, np.random.BitGenerator) else None


def set_random_state(rng, state):
    """Make the generator draw what another would have drawn, whose `random_state` this was. CuPy's has none
    that can be read: there, a run that is continued draws other noise than one that was not interrupted."""
    if state is not None:
        rng.bit_generator.state = state


def random_16_bits(xp, rng, shape):
    """Random whole numbers below 2^16, enough for a yes or no: uint16 of that shape.

    Four are cut from each random number of 64 bits, which is cheaper than four floats. (CuPy
    hands the bound on as a signed number, where 2^64 - 1 might not fit: there they are drawn one by one.)
    """
    if xp.__name__ == "cupy":
        return rng.integers(0, 1 << 16, shape, dtype=xp.uint16)
    size = math.prod(shape)
    bits = rng.integers(0, 1 << 64, (size + 3) // 4, dtype=xp.uint64).view(xp.uint16)
    return bits[:size].reshape(shape)
