"""The formats that a model is exported to: a file here is one, found by its name.

Each has

- `SUFFIX` of its path, "" for a folder; `ABOUT`, a line for the help text;
- `PACKAGES`: {backend: the packages that writing and checking import}; backends that cannot write it are left out;
- `INT8`: whether `write` takes images to calibrate by;
- `write(model, path, described, calibration)`: calibration is None, or (N, S, S, 3) uint8 for a version in 8 bits;
- `reader(path)`: a function of a batch of uint8 images (n, S, S, 3) that gives probabilities (n, K);
- `read_description(path)`: the JSON that says classes and how images are read.

Packages are imported where they are used only.
"""

import importlib
import pkgutil
from types import ModuleType

FORMATS = tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def module_of(name: str) -> ModuleType:
    """The module of a format."""
    return importlib.import_module(f"{__name__}.{name}")
