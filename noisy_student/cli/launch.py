"""Run `dvc repro`, or another command, whose trainings devices, processes or hosts share.

python -m noisy_student launch --workers 2
python -m noisy_student launch --hosts gpu1,gpu2 dvc repro student
python -m noisy_student launch --workers 8 --ray auto
python -m noisy_student launch --devices 2 python -m stages.teacher

For a clone of the repository whose params.yaml says `distribution: processes`, or devices. What is given here goes over
launch.yaml for this command; a stage itself starts its processes and, when one dies, all of them again.
"""

import argparse
import os


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of this command."""
    parser.add_argument("--workers", type=int, metavar="N", help="processes, over all hosts; default: one a host")
    parser.add_argument("--hosts", metavar="A,B", help="where they run, reached by ssh; default: this machine")
    parser.add_argument("--ray", metavar="ADDRESS", help="of a Ray cluster, such as auto; local: one of this machine")
    parser.add_argument("--devices", type=int, metavar="N", help="of a process, made of a CPU if need be; default: all")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND", help="default: dvc repro")


def run(arguments: argparse.Namespace) -> int:
    """Give the command's environment LAUNCH, and this process's place to the command."""
    from noisy_student.launching import settings
    from noisy_student.runtime.errors import ParamsError, UserError
    from noisy_student.settings.params import read_yaml

    if read_yaml("params.yaml").get("distribution", "none") == "none":
        raise ParamsError(
            "params.yaml says distribution: none, so that trainings are not shared out. Set it to processes, or to "
            "devices for those of this machine alone."
        )
    hosts = "+".join(filter(None, (arguments.hosts or "").split(",")))
    for option, named in (("--hosts", hosts), ("--ray", arguments.ray)):
        if getattr(arguments, option[2:]) is not None and not (named and named.strip()):
            raise ParamsError(f"{option} names nothing (found {getattr(arguments, option[2:])!r}). Leave it out.")
    cluster = None if arguments.ray in (None, "local") else arguments.ray
    ray = {"name": "ray", "address": cluster} if arguments.ray else {}
    given = ray | {"workers": arguments.workers, "hosts": hosts, "devices": arguments.devices}
    given = {key: value for key, value in given.items() if value not in (None, "")}
    texts = [os.environ.get(settings.VARIABLE), *(f"{key}={value}" for key, value in given.items())]
    os.environ[settings.VARIABLE] = ",".join(filter(None, texts))
    settings.load()
    command = [part for part in arguments.command if part != "--"] or ["dvc", "repro"]
    if not command[0]:
        raise UserError("the command is empty. Name one that runs stages, such as dvc repro.")
    try:
        os.execvp(command[0], command)
    except FileNotFoundError:
        raise UserError(f"{command[0]}: no such command. Name one that runs stages, such as dvc repro.") from None
    except OSError as error:
        raise UserError(
            f"{command[0]}: cannot be run ({os.strerror(error.errno or 0)}). Name a program, such as dvc repro."
        ) from None
