"""Running a study: every arm and seed is a DVC experiment; what is done already is not run again."""

import contextlib
import fcntl
import hashlib
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from dvc.repo import Repo

from experiments.study import rows
from experiments.study.definition import settings_digest
from experiments.workspace import KERNELS
from noisy_student import environment, params, presets
from noisy_student.errors import UserError

WORK = Path(".dvc/tmp/studies")  # logs and locks
CODE = ("dvc.yaml", "noisy_student/**/*.py", "stages/*.py")
_STARTS = threading.Lock()  # DVC refuses to prepare two experiments at the same moment
_BUSY = ("is busy", "Unable to acquire lock")  # ... also with those of other processes
_TRIES = 5
_TAIL = 12  # lines of a failed experiment that are shown


@dataclass(frozen=True)
class Job:
    """One arm with one seed.

    Attributes:
        study, preset, arm: names.
        seed: int.
        model, teacher: whose figures count.
        values: nested dict of all parameters.
        code: digest of the code that would run.
    """

    study: str
    preset: str
    arm: str
    seed: int
    model: str
    teacher: str
    values: dict
    code: str

    @property
    def settings(self):
        """Digest of the parameters, see `definition.settings_digest`."""
        return settings_digest(self.values)

    @property
    def experiment(self):
        """Name of the DVC experiment: it tells whether a record is that of these parameters and this code."""
        return f"{self.study}-{self.arm}-{self.preset}-seed{self.seed}-{self.settings[:4]}{self.code[:4]}"


def jobs_of(name, study, preset, *, seeds, changes=()):
    """All jobs of a study, seed by seed: then what arms share is computed once, and found in DVC's cache.

    Args:
        name: of the study.
        study: Study.
        preset: its name.
        seeds: how many.
        changes: see `Study.values`.

    Raises:
        UserError: an arm is not valid with this preset.
    """
    code, found = code_digest(), []
    for seed in range(seeds):
        for arm in study.arms:
            values, model = study.values(arm, preset, seed, changes), study.model_of(arm)
            teacher = values["generations"][model.removeprefix("student-")]["teacher"]
            found.append(Job(name, preset, arm, seed, model, teacher, values, code))
    return found


def code_digest():
    """Eight hex digits of the files that decide what a stage computes."""
    total = hashlib.sha256()
    for path in sorted(path for pattern in CODE for path in Path().glob(pattern)):
        total.update(f"{path.as_posix()}\n".encode() + path.read_bytes())
    return total.hexdigest()[:8]


def pending(jobs):
    """The jobs that have no row yet.

    Raises:
        UserError: a row was measured with other parameters than the study has now.
    """
    if not jobs:
        return []
    done = rows.read(jobs[0].study, jobs[0].preset)
    for job in jobs:
        row = done.get((job.arm, job.seed))
        if row is not None and row["settings"] != job.settings:
            raise UserError(
                f"{rows.table_path(job.study, job.preset)}: arm {job.arm}, seed {job.seed} was measured with "
                f"other parameters ({row['settings']}, now {job.settings}). Remove the rows of this arm, or "
                "the file, to measure it again."
            )
    return [job for job in jobs if (job.arm, job.seed) not in done]


class Runner:
    """Runs jobs, several at a time if asked to.

    Args:
        at_a_time: how many; each gets its share of the processors.
        say: what is called with lines of progress.
    """

    def __init__(self, at_a_time=1, say=print):
        self.at_a_time, self.say = at_a_time, say
        self._stopped = threading.Event()
        self._children, self._writing = set(), threading.Lock()

    def run(self, jobs):
        """Run jobs and write their rows; a job that fails does not keep the others from running.

        Args:
            jobs: list of Job of one study and preset, without rows.

        Returns:
            list of (Job, path of its log) that failed.

        Raises:
            KeyboardInterrupt: Ctrl-C or SIGTERM; running experiments were stopped.
        """
        progress = _Progress(len(jobs), self.say)
        known = _known_experiments()
        # jobs of one seed share stages, so they run one after the other
        lanes = [[job for job in jobs if job.seed % self.at_a_time == lane] for lane in range(self.at_a_time)]
        with ThreadPoolExecutor(self.at_a_time) as pool:
            futures = [pool.submit(self._work, lane, known, progress, n) for n, lane in enumerate(lanes)]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                self.stop()
                raise
        return progress.failed

    def _work(self, jobs, known, progress, lane):
        for job in jobs:
            if self._stopped.is_set():
                return
            log = WORK / f"{job.experiment}.log"
            row = self._run_one(job, lane, known, log)
            if not self._stopped.is_set():
                progress.ended(job, row, log)

    def stop(self):
        """End the running experiments; their trainings go on from checkpoints when they are run again."""
        self._stopped.set()
        for child in list(self._children):
            with contextlib.suppress(ProcessLookupError):
                child.terminate()

    def _run_one(self, job, lane, known, log):
        """The row, which is written; None if the experiment failed."""
        start = time.monotonic()
        with _lock(job, self.say) as lock:
            ready = job.experiment in known or (lock.waited and job.experiment in _known_experiments())
            if not ready and not self._run_dvc(job, lane, log, lock):
                return None
            machine = f"{environment.cpu()['name']}, {len(self._cores(lane))} cores"
            with self._writing:
                try:
                    figures, right = rows.measure(job.experiment, job.model, job.teacher)
                except (OSError, KeyError, ValueError) as error:
                    message = f"experiment {job.experiment}: its record is incomplete ({error!r})\n"
                    with log.open("a", encoding="utf-8") as file:
                        file.write(message)
                    return None
                row = {"arm": job.arm, "seed": job.seed, **figures}
                row |= {"seconds": round(time.monotonic() - start, 1), "settings": job.settings}
                row |= {"commit": environment.commit(), "machine": machine}
                rows.add(job.study, job.preset, {column: row[column] for column in rows.COLUMNS}, right)
        return row

    def _cores(self, lane):
        if not hasattr(os, "sched_getaffinity"):
            return range(max(1, os.cpu_count() // self.at_a_time))
        cores = sorted(os.sched_getaffinity(0))
        share = max(1, len(cores) // self.at_a_time)
        return (cores * 2)[lane * share % len(cores) :][:share]

    def _run_dvc(self, job, lane, log, lock):
        changes = presets.overrides(params.read_yaml("params.yaml"), job.values)
        command = ["dvc", "exp", "run", "--temp", "--name", job.experiment, *changes]
        if Path(KERNELS).is_dir():  # compiled already: spares every experiment seconds
            command += ["--copy-paths", KERNELS]
        log.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(_TRIES):
            with log.open("w", encoding="utf-8") as file, _STARTS:
                child = subprocess.Popen(
                    command,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    stdin=subprocess.DEVNULL,
                    pass_fds=[lock.number],
                )
                self._children.add(child)
                if self.at_a_time > 1 and hasattr(os, "sched_setaffinity"):
                    os.sched_setaffinity(child.pid, self._cores(lane))
                _wait_for_start(child, log)
            code = child.wait()
            self._children.discard(child)
            text = log.read_text(encoding="utf-8", errors="replace")
            if code == 0 or self._stopped.is_set() or not any(words in text for words in _BUSY):
                break
            time.sleep(2)
        return code == 0


def _wait_for_start(child, log):
    """Wait until DVC has made the experiment's folder and begun with its stages, or has ended."""
    while child.poll() is None:
        text = log.read_text(encoding="utf-8", errors="replace")
        if "stage" in text or "Stage" in text:
            return
        time.sleep(0.1)


def _known_experiments():
    """Names of DVC's experiments, whatever commit they started from."""
    with Repo() as repo:
        return {name for found in repo.experiments.ls(all_commits=True).values() for name, _ in found}


class _Held:
    """The lock of one experiment; `number` is the file's, `waited` whether another process had it."""

    def __init__(self, number, waited):
        self.number, self.waited = number, waited


@contextlib.contextmanager
def _lock(job, say):
    """Hold the lock of one experiment. Its DVC inherits it, and holds it even if this process is killed."""
    path = WORK / f"{job.experiment}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        waited = False
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{job.arm}, seed {job.seed}: still running since an earlier call; waiting until it ends")
            fcntl.flock(file, fcntl.LOCK_EX)
            waited = True
        yield _Held(file.fileno(), waited)
        path.unlink(missing_ok=True)


class _Progress:
    """Tells how far a study is."""

    def __init__(self, total, say):
        self.total, self.say, self.failed = total, say, []
        self._ended, self._start, self._lock = 0, time.monotonic(), threading.Lock()

    def ended(self, job, row, log):
        """Tell of a job that has ended; without row it failed."""
        with self._lock:
            self._ended += 1
            if row is None:
                self.failed.append((job, log))
                what = f"FAILED, see {log}"
            else:
                what = f"{100 * row['accuracy']:.2f} %, {row['seconds']:.0f} s"
            left = (time.monotonic() - self._start) / self._ended * (self.total - self._ended)
            self.say(
                f"[{self._ended}/{self.total}] {job.study}/{job.preset}: {job.arm}, seed {job.seed}: {what}"
                + (f"; about {_duration(left)} left" if left else "")
            )


def _duration(seconds):
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def report_failures(failed):
    """Print what failed experiments said last."""
    for job, log in failed:
        tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL:]
        print(f"\n{job.arm}, seed {job.seed} failed ({log}):", file=sys.stderr)
        print("\n".join(f"  {line}" for line in tail), file=sys.stderr)
