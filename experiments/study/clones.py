"""Clones of this repository in which DVC runs experiments, one after the other.

To start an experiment DVC stashes, changes and restores the workspace that it is called in: its files, git's
HEAD, params.yaml. So that this is never the user's, every lane is a clone below .dvc/tmp, with the code as it
is in the workspace and with DVC's cache in common. What the lane records is fetched into the repository's own
experiments (refs/exps).
"""

import contextlib
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from commands import preset as presets
from commands.preset import Tree
from experiments.study.worker import Worker
from experiments.workspace import SHARED_OUT, copy_project, with_absolute_folders
from noisy_student.runtime import layout, locks
from noisy_student.runtime.errors import UserError
from noisy_student.runtime.files import write_bytes

WORK = Path(".dvc/tmp/studies")  # lanes, locks and logs
REFS = "refs/exps"
_EXPERIMENT = re.compile(REFS + "/[0-9a-f]{2}/[0-9a-f]{38}/[^/]+")
_POLL = 0.2  # seconds between two looks at a lock, or at a process
_LEFT_OUT = ("docs/", "studies/", "metrics/", "dvc.lock")  # decide nothing, or are made by DVC

Say = Callable[[str], object]  # what is called with a line for the user


class Stopped(Exception):
    """The study shall stop."""


class Lane:
    """One clone.

    Args:
        number: counted from 0.
        cores: processors that its experiments may use; None: all.
        stopped: whether to stop.
    """

    def __init__(
        self, number: int, *, stopped: threading.Event, cores: list[int] | None = None, say: Say = print
    ) -> None:
        self.folder, self.cores = WORK / f"lane-{number}", cores
        self._lock_path, self._stopped, self._say = WORK / f"lane-{number}.lock", stopped, say
        self._worker: Worker | None = None

    @contextlib.contextmanager
    def held(self) -> Iterator[int]:
        """Hold the lane; yield the number of the locked file.

        A DVC that is given this file keeps the lane locked until it ends, even if the study was killed.

        Raises:
            Stopped: the study shall stop while it waits for the DVC of an earlier one.
        """
        with contextlib.ExitStack() as stack:
            told = False
            while True:
                with contextlib.suppress(BlockingIOError):
                    lock = stack.enter_context(locks.held(self._lock_path, what=str(self.folder), wait=False))
                    break
                if not told:
                    self._say(f"{self.folder}: an experiment still runs since an earlier call; waiting for it")
                    told = True
                if self._stopped.wait(_POLL):
                    raise Stopped
            stack.callback(self._end_worker)
            yield lock

    def prepare(self) -> None:
        """Bring the code to the state of the workspace; what DVC has made in the lane stays.

        Raises:
            UserError: git or DVC fails.
        """
        here = str(Path().resolve())
        if not self._is_repository():
            new = self.folder.with_name(f"new-{self.folder.name}")
            for left in (self.folder, new):
                shutil.rmtree(left, ignore_errors=True)
            call(["git", "clone", "--quiet", "--no-checkout", here, str(new)])
            os.replace(new, self.folder)  # whole, or not there
        self._forget_what_was_killed()
        call(["git", "fetch", "--quiet", here, "HEAD"], self.folder)
        call(["git", "checkout", "--quiet", "--force", "-B", "study", "FETCH_HEAD"], self.folder)
        for path in SHARED_OUT:
            (self.folder / path).unlink(missing_ok=True)
        copied = copy_project(self.folder, extra=SHARED_OUT, without=_LEFT_OUT)
        listed = call(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], self.folder)
        for name in filter(None, listed.split("\0")):
            if name not in copied and not name.startswith(_LEFT_OUT):
                (self.folder / name).unlink(missing_ok=True)  # it was removed from the workspace
        if Path(".dvc/config.local").is_file():
            shutil.copy(".dvc/config.local", self.folder / ".dvc/config.local")
        cache = Path(call(["dvc", "cache", "dir"]).strip()).resolve()
        call(["dvc", "cache", "dir", "--local", str(cache)], self.folder)

    def _is_repository(self):
        """Whether git finds a repository of the lane's own; a damaged one is none."""
        try:
            return (self.folder / ".git").is_dir() and bool(call(["git", "rev-parse", "HEAD"], self.folder))
        except UserError:
            return False

    def _forget_what_was_killed(self):
        shutil.rmtree(self.folder / ".dvc/tmp", ignore_errors=True)
        for left in (self.folder / ".git").glob("*.lock"):
            left.unlink()
        for ref in _refs(self.folder):
            call(["git", "update-ref", "-d", ref], self.folder)

    def start(self, name: str, parameters: Tree, log: Path, lock: int) -> None:
        """Start an experiment of this name.

        Args:
            parameters: all of them; folders of images are those of this repository.
            log: receives what DVC says.
            lock: number of the locked file, see `held`.
        """
        # what DVC restores from its cache writes no entry, and an older one would tell of another run
        (self.folder / layout.RUN_RECORD).unlink(missing_ok=True)
        path = self.folder / "params.yaml"
        text = path.read_text(encoding="utf-8")
        write_bytes(path, presets.rewrite(text, with_absolute_folders(parameters)).encode())
        log.write_bytes(b"")
        if self._worker and not (self._worker.alive and self._worker.backend == parameters["backend"]):
            self._end_worker()
        if self._worker is None:
            said = self.folder.with_suffix(".log")
            options = {"backend": parameters["backend"], "log": said, "lock": lock, "cores": self.cores}
            self._worker = Worker(self.folder, **options)
        self._worker.start(["exp", "run", "--name", name], log)

    def wait(self) -> None:
        """Wait for the experiment; whether it succeeded its record says.

        Raises:
            Stopped: the study shall stop; the experiment was stopped.
        """
        assert self._worker is not None
        while not self._worker.ended(_POLL):
            if self._stopped.is_set():
                # DVC and its stage: a training saves its state and goes on from it next time
                self._worker.interrupt()
                raise Stopped

    def _end_worker(self):
        if self._worker is not None:
            self._worker.close()
        self._worker = None

    def hand_over(self) -> None:
        """Fetch what the lane has recorded into the repository's experiments."""
        if not self._is_repository():
            return
        experiments = _experiments(self.folder)
        if experiments:
            refs = [f"+{ref}:{ref}" for ref in experiments.values()]
            call(["git", "fetch", "--quiet", str(self.folder.resolve()), *refs])


def lanes_of_earlier_calls() -> list[int]:
    """Numbers of the lanes that there are."""
    return sorted(int(path.name.partition("-")[2]) for path in WORK.glob("lane-*") if path.is_dir())


def recorded() -> set[str]:
    """Names of the repository's experiments."""
    return set(_experiments())


def _experiments(folder=None):
    """{name: ref} of DVC's experiments."""
    return {ref.rpartition("/")[2]: ref for ref in _refs(folder) if _EXPERIMENT.fullmatch(ref)}


def _refs(folder):
    """All that DVC notes of experiments in a repository."""
    return call(["git", "for-each-ref", "--format=%(refname)", REFS], folder).split()


def shares_of_cores(lanes: int) -> list[list[int]] | list[None]:
    """The processors of each of so many lanes; None where a system cannot tell, or for one lane."""
    if lanes == 1 or not hasattr(os, "sched_getaffinity"):
        return [None] * lanes
    cores = sorted(os.sched_getaffinity(0))
    share = max(1, len(cores) // lanes)
    return [(cores * lanes)[lane * share :][:share] for lane in range(lanes)]


def call(command: list[str], folder: Path | None = None) -> str:
    """What a command prints.

    Args:
        command: with its arguments.
        folder: a lane; None: the repository.

    Raises:
        UserError: it cannot be started, or fails.
    """
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    if folder is not None:  # where a lane is damaged, git shall not go on to the repository around it
        environment["GIT_CEILING_DIRECTORIES"] = str(WORK.resolve())
    with _started(command[0]):
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C stops experiments, it does not break git off
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        mend = f"Mend that, or remove {WORK} (finished experiments stay), and run the study again."
        raise UserError(f"`{' '.join(command[:4])}` failed in {folder or Path.cwd()}: {said[-1]}\n{mend}")
    return done.stdout


@contextlib.contextmanager
def _started(program):
    """Turn what keeps a program from starting into a UserError."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{program}: cannot be started ({error.strerror}). Activate the environment, `source "
            ".venv/bin/activate`, and run the study again."
        ) from error
