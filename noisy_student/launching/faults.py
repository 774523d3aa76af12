"""What does not go with the devices that share a batch: the messages, for who checks beforehand and who trains."""

import subprocess
import sys

from noisy_student.launching.settings import FILE, LaunchSettings
from noisy_student.runtime.errors import UserError

_COUNT = """
import sys
from noisy_student import backends
backends.select(sys.argv[1])
backends.current().use_devices(None)
print(backends.current().device_count())
"""


def uneven(name: str, size: int, devices: int) -> str:
    """What is wrong with a batch that devices cannot share equally."""
    lower, higher = size // devices * devices, (size // devices + 1) * devices
    fitting = f"{lower} or {higher}" if lower else str(higher)
    return (
        f"{name}: {devices} devices cannot share a batch of {size} images equally; {fitting} would do. Change "
        "batch_size (of mix: ratio also unlabelled_ratio) in params.yaml, or the devices in launch.yaml."
    )


def too_few(wanted: int | None, there: int) -> str:
    """What is wrong where fewer devices are there than wanted, or only one."""
    found = f"{there} device{'s' * (there != 1)}"
    if wanted and wanted > there:
        return f"distribution=devices: launch.yaml asks for {wanted}, but there are {found} here. Lower devices there."
    return (
        f"distribution=devices: there is {found} to share a batch out to. Set distribution: none in params.yaml; to "
        "try it on a CPU, give LAUNCH=devices=2, which makes two of it."
    )


def too_few_processes(there: int) -> str:
    """What is wrong where `launch.yaml` names no other process."""
    return (
        f"distribution=processes: {FILE} asks for {there} process. Give it `workers: 2`, or hosts, or set "
        "LAUNCH=workers=2 for one command; or set distribution: none in params.yaml."
    )


def known_devices(kind: str, backend: str, settings: LaunchSettings) -> int:
    """How many devices will share a batch, at least; a framework is started for it only if `launch.yaml` does not say.

    Raises:
        UserError: there are too few.
    """
    if kind == "none":
        return 1
    if kind == "processes":
        if settings.processes < 2:
            raise UserError(too_few_processes(settings.processes))
        return settings.processes * (settings.devices or 1)
    there = settings.devices or _counted(backend)
    if there < 2:
        raise UserError(too_few(settings.devices, there))
    return there


def _counted(backend):
    """In a process of its own, which lets the devices go when it ends."""
    counted = subprocess.run([sys.executable, "-c", _COUNT, backend], capture_output=True, text=True, check=False)
    if counted.returncode:
        last = (counted.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"distribution=devices: {backend} cannot count this machine's devices ({last}). Mend that.")
    return int(counted.stdout.split()[-1])
