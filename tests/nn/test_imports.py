"""minigan.nn stands alone: importing it loads NumPy and nothing for figures, images or progress."""

import subprocess
import sys

import pytest

CODE = """
import sys
from {source} import (
    Adam, Dense, Dropout, LeakyReLU, Sequential, Sigmoid, Tanh, bce_with_logits
)
print(*sorted(set(name.partition(".")[0] for name in sys.modules)))
print(*sorted(name for name in sys.modules if name.startswith("minigan.")))
"""


@pytest.mark.parametrize("source", ["minigan", "minigan.nn"])
def test_importing_layers_loads_numpy_only(source):
    result = subprocess.run(
        [sys.executable, "-c", CODE.format(source=source)],
        capture_output=True,
        text=True,
        check=True,
    )
    packages, modules = (line.split() for line in result.stdout.splitlines())
    assert "numpy" in packages and "minigan" in packages
    heavy = {"matplotlib", "PIL", "tqdm", "filelock", "threadpoolctl", "cupy", "torch"}
    assert heavy.isdisjoint(packages)
    allowed = ("minigan.nn", "minigan.backend", "minigan.rng", "minigan.moved")
    assert [name for name in modules if not name.startswith(allowed)] == []
