"""Fixtures: a test with the argument `xp` runs on NumPy, on the fake CuPy, and on CuPy where there
is a GPU; a test with `device` runs on the last two. With MINIGAN_REQUIRE_GPU=1 a missing GPU is a
failure instead of a skip.
"""

import os

import fake_cupy
import numpy as np
import pytest

from minigan.backend import BackendError, load_backend

REQUIRE_GPU = os.environ.get("MINIGAN_REQUIRE_GPU") == "1"


def load_module(name):
    """numpy, the fake CuPy, or CuPy itself; without a GPU the test is skipped."""
    if name == "numpy":
        return np
    if name == "fake":
        return fake_cupy
    try:
        return load_backend("cupy")
    except BackendError as error:
        if REQUIRE_GPU:
            pytest.fail(f"MINIGAN_REQUIRE_GPU=1, but {error}")
        pytest.skip(f"no GPU: {error}")


@pytest.fixture(params=["numpy", "fake", "cupy"])
def xp(request):
    return load_module(request.param)


@pytest.fixture(params=["fake", "cupy"])
def device(request):
    return load_module(request.param)


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param
