"""Fixtures: each test that asks for `xp` runs on NumPy, on the device double, and on CuPy where
there is a GPU. With MINIGAN_REQUIRE_GPU=1 a missing GPU is a failure, not a skip."""
import os

import fake_device
import numpy as np
import pytest

from minigan.backend import BackendError, load_backend

REQUIRE_GPU = os.environ.get("MINIGAN_REQUIRE_GPU") == "1"


@pytest.fixture(params=["numpy", "double", "cupy"])
def xp(request):
    if request.param == "numpy":
        return np
    if request.param == "double":
        return fake_device
    try:
        return load_backend("cupy")
    except BackendError as error:
        if REQUIRE_GPU:
            pytest.fail(f"MINIGAN_REQUIRE_GPU=1, but {error}")
        pytest.skip(f"no GPU: {error}")


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param
