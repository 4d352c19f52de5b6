"""`import cupy` without a GPU, for rehearsals of benchmarks/gpu_check.sh: the tests' fake CuPy.

With this folder in PYTHONPATH, `--backend cupy` trains on the fake CuPy, which takes the name and
the generators of CuPy.
"""

import sys
import types

import fake_cuda
import fake_cupy

from minigan.accel import graph

graph.find_library = fake_cuda.CuBLAS
fake_cupy.__name__ = "cupy"
fake_cupy.show_config = lambda: print("the tests' fake CuPy")
fake_cupy.random = types.SimpleNamespace(
    XORWOW=lambda seed, size: seed,
    Generator=fake_cupy.Generator,
    default_rng=fake_cupy.Generator,
)
sys.modules["cupy"] = fake_cupy
