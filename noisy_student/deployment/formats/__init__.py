"""The formats that a model is exported to: a file here is one, found by its name.

Each has

- `SUFFIX` of its path, "" for a folder; `ABOUT`, a line for the help text;
- `PACKAGES`: {backend: the packages that writing and checking import}; backends that cannot write it are left out;
- `INT8`: whether `write` takes images to calibrate by;
- `write(model, path, described, calibration)`: calibration is None, or (N, S, S, 3) uint8 for a version in 8 bits;
- `RUNTIME`: what `reader` imports, a package or one of two; None where a file may hold code, which is not run for
  files of others;
- `reader(path)`: a `Reader`; `read_description(path)`: the JSON that says classes and how images are read, or None.

Packages are imported where they are used only.
"""

import importlib
import pkgutil
from collections.abc import Callable
from types import ModuleType
from typing import NamedTuple

from noisy_student.runtime.types import Pixels, Probs

FORMATS = tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


class Reader(NamedTuple):
    """An export in its own runtime, on all cores.

    Attributes:
        run: gives the probabilities (n, K) of uint8 images (n, S, S, 3).
        takes, gives: the shapes; None: of any size.
    """

    run: Callable[[Pixels], Probs]
    takes: tuple[int | None, ...]
    gives: tuple[int | None, ...]


def module_of(name: str) -> ModuleType:
    """The module of a format."""
    return importlib.import_module(f"{__name__}.{name}")
