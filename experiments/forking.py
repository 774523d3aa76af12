"""Stages of this project as children of the process that runs DVC, forked, so that they need not import anything anew.

A stage then has a process of its own, as ever, and shares with the others what was imported and nothing that was
computed: no seed, thread, name of a layer or byte of memory passes from one to the next, and one that crashes ends
alone. What forks must not compute before, for threads are not forked.
"""

import contextlib
import importlib
import multiprocessing
import os
import re
import runpy
import signal
from collections.abc import Callable
from pathlib import Path

STAGE = re.compile(r"python -m (stages\.\w+)")
WITHOUT_NETWORK = ("stages.check", "stages.prepare", "stages.balance", "stages.extra_test", "stages.results")
# of what stages with a network import; none computes at its import
LIBRARIES = ("evaluation", "extra_tests", "labelling", "robustness", "training")
FORK = multiprocessing.get_context("fork")


def import_libraries(backend: str) -> None:
    """Import what stages with a network do; what is missing or wrong, they say themselves."""
    if backend == "jax" or not Path("stages").is_dir():
        return  # a process that has imported JAX must not be forked
    before = dict(os.environ)
    with contextlib.suppress(Exception):
        from noisy_student import backends

        backends.import_early(backend)
        for name in LIBRARIES:
            importlib.import_module(f"noisy_student.steps.{name}")
    os.environ.clear()
    os.environ.update(before)


def fork_stages(prepare: Callable[[], object] = lambda: None) -> None:
    """From now on the DVC of this process forks this project's stages; all other commands it starts as ever.

    Args:
        prepare: called before a stage with a network is forked.
    """
    from dvc.stage import run

    otherwise = run._run

    def fork(executable, cmd, **options):
        stage = STAGE.fullmatch(cmd)
        if stage is None:
            otherwise(executable, cmd, **options)
            return
        if stage[1] not in WITHOUT_NETWORK:
            prepare()
        _fork(cmd, stage[1], options)

    run._run = fork


def _fork(cmd, module, options):
    from dvc.stage.exceptions import StageCmdFailedError

    child = FORK.Process(target=_stage, args=(module, options["cwd"], options["env"]))
    child.start()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as DVC does: the stage says what becomes of it
    try:
        child.join()
    finally:
        signal.signal(signal.SIGINT, before)
    if child.exitcode:
        raise StageCmdFailedError(cmd, child.exitcode)


def _stage(module, folder, environment):
    """What the child does: `python -m module`."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    from noisy_student.runtime import signals

    signals.remember_parent()
    runpy.run_module(module, run_name="__main__", alter_sys=True)
