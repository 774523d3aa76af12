"""Stages of this project as children of the process that runs DVC, forked, so that they need not import anything anew.

A stage then has a process of its own, as ever, and shares with the others what was imported and nothing that was
computed: no seed, thread, name of a layer or byte of memory passes from one to the next, and one that crashes ends
alone. What forks must not compute before, for threads are not forked. Only Linux can do it safely: elsewhere DVC
starts stages as ever.
"""

import contextlib
import functools
import importlib
import multiprocessing
import os
import re
import runpy
import signal
import stat
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments import lock_files
from noisy_student.runtime import environment, signals
from noisy_student.settings.params import read_yaml

CAN_FORK = sys.platform == "linux"
CONTEXT: Any = multiprocessing.get_context("fork" if CAN_FORK else "spawn")
STAGE = re.compile(r"python -m (stages\.\w+)")
INTERRUPTED = 128 + signal.SIGINT  # a stage's exit status after Ctrl-C
WITHOUT_NETWORK = tuple(f"stages.{name}" for name in ("check", "prepare", "balance", "extra_test", "card", "results"))
# of what stages with a network import; none computes at its import
LIBRARIES = ("evaluation", "extra_tests", "labelling", "robustness", "training")


def dvc(arguments: list[str]) -> int:
    """Run `dvc` with these arguments in this process, with forked stages; return its exit status."""

    @functools.cache
    def prepare():
        with contextlib.suppress(Exception):  # of a wrong params.yaml stages tell
            import_libraries(read_yaml("params.yaml").get("backend", "tensorflow"))

    return dvc_of(environment.code_digest(), arguments, prepare)


def dvc_of(code: str, arguments: list[str], prepare: Callable[[], object] = lambda: None) -> int:
    """The same, with what `fork_stages` takes."""
    from dvc import cli

    fork_stages(code, prepare, ends_all=bool({"--keep-going", "-k"} & set(arguments)))
    lock_files.work_faster()
    sys.argv = ["dvc", *arguments]
    return cli.main(arguments)


def import_libraries(backend: str) -> None:
    """Import what stages with a network do; what is missing or wrong, they say themselves."""
    if not CAN_FORK or backend == "jax" or not Path("stages").is_dir():
        return  # a process that has imported JAX must not be forked
    before = dict(os.environ)
    with contextlib.suppress(Exception):
        from noisy_student import backends

        backends.import_early(backend)
        for name in LIBRARIES:
            importlib.import_module(f"noisy_student.steps.{name}")
    os.environ.clear()
    os.environ.update(before)


def fork_stages(code: str, prepare: Callable[[], object] = lambda: None, *, ends_all: bool = False) -> None:
    """From now on the DVC of this process forks this project's stages; all other commands it starts as ever.

    Args:
        code: digest of the code that this process has imported or will, see `environment.code_digest`. Once it is
            another, stages are started as ever too: DVC records the code that it finds when a stage begins.
        prepare: called before a stage with a network is forked.
        ends_all: whether Ctrl-C, which ends a stage, ends this process too, where DVC would begin the other stages.
    """
    from dvc.stage import run
    from dvc.stage.exceptions import StageCmdFailedError

    otherwise = run._run

    def run_stage(executable, cmd, **options):
        try:
            fork(executable, cmd, **options)
        except StageCmdFailedError as error:
            if ends_all and f"exited with {INTERRUPTED}" in str(error):
                raise KeyboardInterrupt from error
            raise

    def fork(executable, cmd, **options):
        stage = STAGE.fullmatch(cmd)
        here = Path(options["cwd"]).resolve() == Path.cwd()
        if not CAN_FORK or stage is None or not here or not _is_main_thread() or environment.code_digest() != code:
            otherwise(executable, cmd, **options)
            return
        if stage[1] not in WITHOUT_NETWORK:
            prepare()
        _fork(cmd, stage[1], options["env"])

    run._run = run_stage


def _is_main_thread():
    return threading.current_thread() is threading.main_thread()


def _fork(cmd, module, variables):
    from dvc.stage.exceptions import StageCmdFailedError

    child = CONTEXT.Process(target=_stage, args=(module, variables, os.getpid()))
    with warnings.catch_warnings():
        # since Python 3.12; DVC's threads only read and write files, and none does while a stage runs
        warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*fork")
        child.start()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as DVC does: the stage says what becomes of it
    try:
        child.join()
    finally:
        signal.signal(signal.SIGINT, before)
    if child.exitcode:
        raise StageCmdFailedError(cmd, child.exitcode)


def _stage(module, variables, dvc):
    """What the child does: `python -m module`."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _let_go_of_files()
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__  # DVC wraps them
    os.environ.clear()
    os.environ.update(variables)
    signals.remember_parent(dvc)
    sys.argv = [module]
    importlib.invalidate_caches()
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _let_go_of_files():
    """Put /dev/null in the place of the files that DVC holds open: its locks would outlive it with the stage."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError):  # that of the folder itself
            if number > 2 and stat.S_ISREG(os.fstat(number).st_mode):
                os.dup2(nothing, number, inheritable=False)  # not closed: whoever has it open closes it some time
    os.close(nothing)
