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


def network_of(model: ModelParams, where: str = "model") -> Network:
    """The network that a section `model` describes; null and false values of what other networks take are passed over.

    Raises:
        ParamsError: the section holds what this network does not take, or not what it needs, or it cannot be built.
    """
    own, given = own_parameters(model.name), model.model_dump(exclude={"name"})
    others = {key for name in NETWORKS for key in own_parameters(name)} - set(own)
    surplus = sorted(key for key in others & set(given) if given[key] is not None and given[key] is not False)
    if surplus:
        takes = ", ".join(sorted(own)) or "no size, it is fixed"
        raise ParamsError(f"{where}: {model.name} takes {takes}: leave {', '.join(surplus)} out (null)")
    needed = [key for key, field in own.items() if field.is_required()]
    if any(given.get(key) is None for key in needed):
        raise ParamsError(f"{where}: {model.name} needs {' and '.join(needed)}")
    try:
        return NETWORKS[model.name].model_validate(
            {"name": model.name} | {key: value for key, value in given.items() if key not in others}
        )
    except ValidationError as error:
        raise ParamsError("\n  ".join(faults(error, where))) from None
