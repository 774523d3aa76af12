"""What this machine gives to a training that is shared out: devices, processes, hosts.

It is no parameter, for another machine has other devices; `distribution` is the parameter. It stands in `launch.yaml`
beside params.yaml, which git ignores, like `executor.yaml`; copies of the project that DVC makes for experiments find
it too. The environment variable LAUNCH goes over it for one command.
"""

import shlex
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from noisy_student.runtime.machine_settings import read

FILE = "launch.yaml"
VARIABLE = "LAUNCH"
_EXAMPLE = (
    "name: shell | ray, workers: a number of processes, hosts: a list of names, devices: a number a process, port, "
    "shell, address: HOST:PORT of a Ray cluster, patience (seconds), restarts"
)


class LaunchSettings(BaseModel):
    """Where the parts of a batch are computed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal["shell", "ray"] = "shell"  # who starts the processes: this one, through `shell` on hosts; or Ray
    devices: Annotated[int, Field(ge=1, le=1024)] | None = None  # that a process uses; of CPUs: virtual ones. None: all
    workers: Annotated[int, Field(ge=1, le=4096)] | None = None  # processes, over all hosts; None: one a host
    hosts: tuple[str, ...] = ()  # where they run, the first one leads; none: on this machine
    address: str | None = None  # of a Ray cluster, "auto" too; None: one of this machine's, as long as the training
    # of the first process; None: a free one, or 29400 of a host
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    shell: str = "ssh -o BatchMode=yes -o ServerAliveInterval=10 {host}"  # runs a command on a host
    # seconds for all to find one another; JAX waits for a silent one as long, at most 100
    patience: Annotated[float, Field(gt=0, le=86400)] = 300.0
    restarts: Annotated[int, Field(ge=0)] = 3  # of all processes in a stage, after one has died

    @field_validator("hosts", mode="before")
    @classmethod
    def _names(cls, given):
        names = given.replace(",", " ").replace("+", " ").split() if isinstance(given, str) else given
        if isinstance(names, list | tuple) and any(not isinstance(n, str) or not n or n.startswith("-") for n in names):
            raise ValueError("names of hosts, none of which begins with -")
        return names

    @field_validator("shell")
    @classmethod
    def _splits(cls, shell):
        try:
            shlex.split(shell)
        except ValueError as error:
            raise ValueError(f"a command as a shell splits it ({str(error).lower()})") from None
        return shell

    @model_validator(mode="after")
    def _shared_out(self):
        if self.hosts and self.name == "ray":
            raise ValueError("hosts are chosen by Ray; leave them out, or set name: shell")
        if self.address and self.name != "ray":
            raise ValueError("an address is of a Ray cluster; set name: ray")
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
    return read(LaunchSettings, file=FILE, variable=VARIABLE, example=_EXAMPLE)[0]
