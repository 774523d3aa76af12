"""One file a network: its parameters, its checks and its layers; its name is what `model.name` says."""

import importlib
import pkgutil

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from noisy_student.models.network import Network
from noisy_student.runtime.errors import ParamsError
from noisy_student.settings.params import faults
from noisy_student.settings.schema import ModelParams

for _file in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_file.name}")

NETWORKS = {kind.__module__.rpartition(".")[2]: kind for kind in Network.__subclasses__()}


def own_parameters(name: str) -> dict[str, FieldInfo]:
    """What a network takes."""
    return {key: field for key, field in NETWORKS[name].model_fields.items() if key != "name"}


def takers(key: str) -> list[str]:
    """The networks that take a parameter."""
    return [name for name in NETWORKS if key in own_parameters(name)]


def network_of(model: ModelParams, where: str = "model") -> Network:
    """The network that a section `model` describes.

    It takes what belongs to it, and its own defaults for what is not given or null; what belongs to other networks is
    passed over, so that `name` alone changes the network. `steps.checking` says if a value is of no use.

    Raises:
        ParamsError: the section holds what no network takes, or not what this one needs, or it cannot be built.
    """
    own, given = own_parameters(model.name), model.model_dump(exclude={"name"})
    others = {key for name in NETWORKS for key in own_parameters(name)} - set(own)
    needed = [key for key, field in own.items() if field.is_required()]
    if any(given.get(key) is None for key in needed):
        raise ParamsError(f"{where}: {model.name} needs {' and '.join(needed)}")
    chosen = {key: value for key, value in given.items() if key not in others and value is not None}
    try:
        return NETWORKS[model.name].model_validate({"name": model.name} | chosen)
    except ValidationError as error:
        raise ParamsError("\n  ".join(faults(error, where))) from None
