"""Which executor this machine uses.

It is no parameter: the results are the same, so that no stage runs anew because of it. It stands in `executor.yaml`
beside params.yaml, which git ignores, as DVC has `.dvc/config.local`; copies of the project that DVC makes for
experiments find it too. The environment variable EXECUTOR goes over it for one command.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from noisy_student.runtime.errors import ParamsError

FILE = "executor.yaml"
VARIABLE = "EXECUTOR"
_EXAMPLE = "name: local | ray, workers: a number, address: HOST:PORT of a Ray cluster, gpus: a number a task"


class ExecutorSettings(BaseModel):
    """How tasks are carried out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal["local", "ray"] = "local"
    workers: Annotated[int, Field(ge=1, le=4096)] = 1  # of a Ray cluster at an address: those that it has
    address: str | None = None  # of a Ray cluster; None: one of this machine's, for as long as the stage runs
    gpus: Annotated[float, Field(ge=0, le=64)] = 0  # ray: that a task takes; 0: Ray counts none, and hides none


def load() -> ExecutorSettings:
    """The settings of `executor.yaml` below `$DVC_ROOT`, or here, with those of EXECUTOR over them.

    Raises:
        ParamsError: the file or the variable says something else.
    """
    path = Path(os.environ.get("DVC_ROOT", ".")) / FILE
    values, where = _of_file(path), str(path)
    if given := os.environ.get(VARIABLE):
        values, where = values | _of_variable(given), f"{VARIABLE}={given}"
    try:
        settings = ExecutorSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ParamsError(
            f"{where}: {key}: {first['msg']} (found {first['input']!r}). It may hold {_EXAMPLE}."
        ) from error
    if settings.address and settings.name != "ray":
        raise ParamsError(f"{where}: an address is of a Ray cluster, but name is {settings.name}. Set name: ray.")
    return settings


def _of_file(path):
    try:
        values: Any = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, YAMLError) as error:
        first = str(error).partition("\n")[0]
        raise ParamsError(f"{path}: cannot be read ({first}). It may hold {_EXAMPLE}.") from error
    if values is not None and not isinstance(values, dict):
        raise ParamsError(f"{path}: expected keys with values, found {values!r}. It may hold {_EXAMPLE}.")
    return values or {}


def _of_variable(text):
    """ "ray", or "name=local,workers=4"."""
    values: dict[str, Any] = {}
    for part in text.split(","):
        key, is_pair, value = part.strip().partition("=")
        if not is_pair:
            key, value = "name", key
        values[key] = value
    return values
