"""What this machine gives to a training that is shared out: devices, processes, hosts.

It is no parameter, for another machine has other devices; `distribution` is the parameter. It stands in `launch.yaml`
beside params.yaml, which git ignores, like `executor.yaml`; copies of the project that DVC makes for experiments find
it too. The environment variable LAUNCH goes over it for one command.
"""

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from noisy_student.runtime.errors import ParamsError

FILE = "launch.yaml"
VARIABLE = "LAUNCH"
_EXAMPLE = (
    "workers: a number of processes, hosts: a list of names, devices: a number a process, port, shell, patience "
    "(seconds), restarts"
)


class LaunchSettings(BaseModel):
    """Where the parts of a batch are computed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    devices: Annotated[int, Field(ge=1, le=1024)] | None = None  # that a process uses; of CPUs: virtual ones. None: all
    workers: Annotated[int, Field(ge=1, le=4096)] | None = None  # processes, over all hosts; None: one a host
    hosts: tuple[str, ...] = ()  # where they run, the first one leads; none: on this machine
    port: Annotated[int, Field(ge=1, le=65535)] | None = (
        None  # of the first process; None: a free one, or 29400 of a host
    )
    shell: str = "ssh -o BatchMode=yes -o ServerAliveInterval=10 {host}"  # runs a command on a host
    patience: Annotated[float, Field(gt=0)] = (
        300.0  # seconds for all to find one another; JAX waits for a silent one as long, at most 100
    )
    restarts: Annotated[int, Field(ge=0)] = 3  # of all processes in a stage, after one has died

    @field_validator("hosts", mode="before")
    @classmethod
    def _names(cls, given):
        names = given.replace(",", " ").replace("+", " ").split() if isinstance(given, str) else given
        if isinstance(names, list | tuple) and any(not isinstance(n, str) or not n or n.startswith("-") for n in names):
            raise ValueError("names of hosts, none of which begins with -")
        return names

    @model_validator(mode="after")
    def _shared_out(self):
        if self.hosts and self.workers and self.workers % len(self.hosts):
            raise ValueError(
                f"workers={self.workers} cannot be shared out equally among {len(self.hosts)} hosts; give a multiple"
            )
        if "localhost" in self.hosts and len(set(self.hosts)) > 1:
            raise ValueError("hosts: others cannot find localhost; give this machine's name in their network")
        if self.hosts and "{host}" not in self.shell:
            raise ValueError(f"shell={self.shell!r} must name {{host}}, as in 'ssh {{host}}'")
        return self

    @property
    def processes(self) -> int:
        """How many there are in all."""
        return self.workers or len(self.hosts) or 1

    def host_of(self, rank: int) -> str | None:
        """Where a process runs; None: on this machine."""
        return self.hosts[rank * len(self.hosts) // self.processes] if self.hosts else None

    def place_of(self, rank: int) -> int:
        """Which one of its host it is, counted from 0."""
        return rank % (self.processes // max(1, len(self.hosts)))


def load() -> LaunchSettings:
    """The settings of `launch.yaml` below `$DVC_ROOT`, or here, with those of LAUNCH over them.

    Raises:
        ParamsError: the file or the variable says something else.
    """
    path = Path(os.environ.get("DVC_ROOT", ".")) / FILE
    values, where = _of_file(path), str(path)
    if given := os.environ.get(VARIABLE):
        values, where = values | _of_variable(given), f"{VARIABLE}={given}"
    try:
        return LaunchSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key, message = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
        named = f"{key}: {message} (found {first['input']!r})" if key else message
        raise ParamsError(f"{where}: {named}. It may hold {_EXAMPLE}.") from error


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
    """ "workers=2,devices=1", "hosts=a+b"."""
    values: dict[str, Any] = {}
    for part in text.split(","):
        key, is_pair, value = part.strip().partition("=")
        if not is_pair:
            raise ParamsError(f"{VARIABLE}={text}: expected KEY=VALUE, found {part!r}. It may hold {_EXAMPLE}.")
        values[key] = value
    return values
