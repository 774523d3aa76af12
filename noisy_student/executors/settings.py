"""Which executor this machine uses.

It is no parameter: the results are the same, so that no stage runs anew because of it. It stands in `executor.yaml`
beside params.yaml, which git ignores, as DVC has `.dvc/config.local`; copies of the project that DVC makes for
experiments find it too. The environment variable EXECUTOR goes over it for one command.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from noisy_student.runtime.errors import ParamsError
from noisy_student.runtime.machine_settings import read

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

    @field_validator("gpus")
    @classmethod
    def _whole(cls, gpus):
        if gpus > 1 and gpus % 1:
            raise ValueError("a part of one GPU, or a whole number of them")
        return gpus


def load() -> ExecutorSettings:
    """The settings of `executor.yaml` below `$DVC_ROOT`, or here, with those of EXECUTOR over them.

    Raises:
        ParamsError: the file or the variable says something else.
    """
    settings, where = read(ExecutorSettings, file=FILE, variable=VARIABLE, example=_EXAMPLE, alone="name")
    if settings.address and settings.name != "ray":
        raise ParamsError(f"{where}: an address is of a Ray cluster, but name is {settings.name}. Set name: ray.")
    if settings.gpus and settings.name != "ray":
        raise ParamsError(
            f"{where}: gpus={settings.gpus:g} is for Ray, but name is {settings.name}, whose workers see all GPUs. "
            "Set name: ray, or leave gpus out."
        )
    return settings
