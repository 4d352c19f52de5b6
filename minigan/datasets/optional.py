"""Optional packages: the libraries of the extra [data], imported when a file needs one.

The idea
    Tables, MATLAB files and HDF5 are read by PyArrow, SciPy and h5py. minigan runs without them. A
    user who meets such a file without its library reads one sentence that says what to install.
    The extra [data] installs all three.

>>> import_optional("math", "numbers.txt").pi > 3
True
>>> import_optional("no_such_package", "numbers.txt")
Traceback (most recent call last):
    ...
minigan.datasets.pixels.DataError: numbers.txt needs no_such_package, ... install no_such_package
"""

import importlib
from pathlib import Path
from types import ModuleType

from minigan.datasets.pixels import DataError


def import_optional(module: str, path: Path | str) -> ModuleType:
    """Import a module of the extra [data] to read `path`. Raises DataError if it is missing."""
    try:
        return importlib.import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        raise DataError(
            f"{path} needs {package}, which is not installed: pip install {package}"
        ) from None


def unreadable_file(path: Path, error: Exception) -> DataError:
    """The error for a file that its library cannot read, in one line."""
    reason = getattr(error, "strerror", None) or str(error).strip().partition("\n")[0][:150]
    return DataError(f"cannot read {path}: {reason or type(error).__name__}")
