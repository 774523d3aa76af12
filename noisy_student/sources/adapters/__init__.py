"""One file a source: its rules and what loads it; its name is what `data.source` says."""

import importlib
import pkgutil

ADAPTERS = {file.name: importlib.import_module(f"{__name__}.{file.name}") for file in pkgutil.iter_modules(__path__)}
