"""Running a study: every arm and seed is a DVC experiment; what is done already is not run again."""

import hashlib
import json
import math
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dvc.exceptions import DvcException

from commands.preset import Tree
from experiments.study import rows
from experiments.study.clones import WORK, Lane, Say, Stopped, lanes_of_earlier_calls, recorded, shares_of_cores
from experiments.study.columns import ROBUSTNESS
from experiments.study.definition import FOLDER, Changes, Study, settings_digest
from experiments.study.rows import Row
from experiments.study.schedule import Schedule
from experiments.study.wording import duration
from noisy_student.runtime import environment
from noisy_student.runtime.errors import ParamsError, UserError
from noisy_student.runtime.layout import TEACHER, Model

_TAIL = 12  # lines of a failed experiment that are shown


@dataclass(frozen=True)
class Job:
    """One arm with one seed.

    Attributes:
        model, teacher: whose metrics count; the teacher is its own.
        run: the arm that the run is named by: the first one with these parameters.
        parameters: what the study asks for: its rows' digest is that of these.
        code: digest of the code that would run.
        robustness: whether it is measured; a study that does not report it leaves those cells empty.
    """

    study: str
    preset: str
    arm: str
    seed: int
    model: str
    teacher: str
    run: str
    parameters: Tree
    code: str
    robustness: bool = True

    @cached_property
    def settings(self) -> str:
        """Digest of the parameters, see `definition.settings_digest`."""
        return settings_digest(self.parameters)

    @cached_property
    def carried_out(self) -> Tree:
        """The parameters that the run gets: accuracy, NLL and ECE are the same without robustness."""
        if self.robustness:
            return self.parameters
        return self.parameters | {"eval": self.parameters["eval"] | {"robustness": "off"}}

    @cached_property
    def experiment(self) -> str:
        """Name of the DVC experiment: it tells whether a record is that of these parameters, archive and code.

        Arms that differ only in their model are one experiment.
        """
        settings, archive = settings_digest(self.carried_out), self.carried_out["data"]["sha256"]
        if archive is not None:
            settings = hashlib.sha256(json.dumps([settings, archive], sort_keys=True).encode()).hexdigest()
        digest = f"{settings[:4]}{self.code[:4]}"
        return f"{self.study}-{self.run}-{self.preset}-seed{self.seed}-{digest}"


def jobs_of(
    name: str, study: Study, preset: str, *, seeds: int, first: int = 0, changes: Changes | None = None
) -> list[Job]:
    """All jobs of a study, seed by seed.

    Args:
        name: of the study, or of its pilot's rows.
        seeds: how many, from `first` on.
        changes: see `Study.parameters`.

    Raises:
        UserError: an arm is not valid with this preset.
    """
    code, jobs = environment.code_digest(), []
    asked = "eval.robustness" in (*study.sets(preset), *(changes or {}))
    robustness = asked or not ROBUSTNESS.isdisjoint(study.also)
    runs: dict[str, str] = {}  # {digest of parameters: arm}
    measured: dict[tuple[str, str], str] = {}  # {(the same, model): arm}
    for seed in range(first, first + seeds):
        for arm in study.arms:
            try:
                parameters, model = study.parameters(arm, preset, seed, changes), study.model_of(arm)
            except ParamsError as error:
                own = f"{FOLDER}/{name.removesuffix(rows.PILOT)}.yaml"
                places = f"Arms stand in {own}, presets in presets/; the rest is of your -S."
                raise ParamsError(f"study {name}: {error}\n{places}") from None
            digest = settings_digest(parameters)
            other = measured.setdefault((digest, model), arm)
            if other != arm:
                raise UserError(
                    f"study {name}: with the preset {preset} the arms {other} and {arm} do the same. Set what tells "
                    f"them apart in {FOLDER}/{name.removesuffix(rows.PILOT)}.yaml, below `presets` of an arm."
                )
            run = runs.setdefault(digest, arm)
            teacher = _teacher_of(model, parameters)
            jobs.append(Job(name, preset, arm, seed, model, teacher, run, parameters, code, robustness))
    return jobs


def _teacher_of(model, parameters):
    generation = Model.named(model).generation
    return TEACHER.name if generation is None else parameters["generations"][generation]["teacher"]


def pending(jobs: list[Job]) -> list[Job]:
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
        say: is told the progress.
    """

    def __init__(self, at_a_time: int = 1, say: Say = print) -> None:
        self.say, self._commit = say, environment.commit()
        if self._commit is None:
            raise UserError("`git rev-parse HEAD` failed: a study runs in clones of this repository, so it needs one.")
        self._stopped, self._writing = threading.Event(), threading.Lock()
        self._lanes = [
            Lane(number, cores=cores, stopped=self._stopped, say=say)
            for number, cores in enumerate(shares_of_cores(at_a_time))
        ]

    def run(self, jobs: list[Job], *, complete: Callable[[str], object] = lambda study: None) -> list[tuple[Job, Path]]:
        """Run jobs and write their rows; a job that fails does not keep the others from running.

        Args:
            jobs: those without rows, study by study.
            complete: what is called with the name of a study when its last job has ended.

        Returns:
            The jobs that failed, with their logs.

        Raises:
            KeyboardInterrupt: Ctrl-C or SIGTERM; running experiments were stopped.
            UserError: git or DVC fails.
        """
        schedule, runs = Schedule(jobs), {job.experiment for job in jobs}
        progress = Progress(len(jobs), len(self._lanes), self.say, runs=len(runs))
        with ThreadPoolExecutor(len(self._lanes)) as pool:
            try:
                self._collect()
                futures = [pool.submit(self._work, lane, schedule, progress, complete) for lane in self._lanes]
                for future in wait(futures, return_when=FIRST_EXCEPTION).done:
                    future.result()
            except BaseException:
                self._stopped.set()
                raise
        return progress.failed

    def _collect(self):
        """Wait for what an earlier call has left running, and fetch what it has recorded."""
        for number in lanes_of_earlier_calls():
            lane = Lane(number, stopped=self._stopped, say=self.say)
            with lane.held():
                lane.hand_over()

    def _work(self, lane, schedule, progress, complete):
        prepared = False
        try:
            with lane.held() as lock:
                while (job := schedule.next(lane)) is not None:
                    if self._stopped.is_set():
                        raise Stopped
                    log, collected = WORK / f"{job.experiment}.log", job.experiment in recorded()
                    if not collected and not prepared:
                        if environment.code_digest() != job.code:
                            raise UserError(
                                f"{', '.join(environment.CODE)}: changed since the study was started. Start it again; "
                                "finished runs stay."
                            )
                        lane.prepare()
                        prepared = True
                    began = time.monotonic()
                    row = self._run_one(lane, lock, job, log, collected=collected)
                    read = collected or (row is not None and rows.is_from_cache(row))
                    progress.ended(job, row, log, seconds=None if read else time.monotonic() - began)
                    if schedule.ended(job):
                        with self._writing:
                            complete(job.study)
        except Stopped:
            return

    def _run_one(self, lane, lock, job, log, *, collected):
        """The row, which is written; None if the experiment failed. `collected`: DVC has its record."""
        began = time.monotonic()
        if not collected:
            lane.start(job.experiment, job.carried_out, log, lock)
            lane.wait()
            with self._writing:
                lane.hand_over()
        with self._writing:
            try:
                row, outcomes = rows.measure(job.experiment, job.carried_out, job.model, job.teacher)
                if job.carried_out["data"]["test"] is None:  # all of the source's, with every seed
                    rows.refuse_other_images(job.study, job.preset, job.arm, outcomes)
            except (OSError, KeyError, ValueError, DvcException, UserError) as error:
                with log.open("a", encoding="utf-8") as file:
                    file.write(f"\nno complete record of experiment {job.experiment}: {error!r}\n")
                    if collected:
                        file.write(f"It stems from an earlier call. `dvc exp remove {job.experiment}` forgets it.\n")
                return None
            if not collected:  # else what the record says: shared stages are in it
                row["seconds"] = round(time.monotonic() - began, 1)
            row |= {"arm": job.arm, "seed": job.seed, "settings": job.settings, "commit": self._commit}
            rows.add(job.study, job.preset, row, outcomes)
        return row


class Progress:
    """Tells how far a study is.

    Args:
        total: number of jobs.
        runs: of how many runs they are, arms may share one; None: each is of its own.
        now: the clock, in seconds.
    """

    def __init__(
        self,
        total: int,
        at_a_time: int,
        say: Say,
        now: Callable[[], float] = time.monotonic,
        *,
        runs: int | None = None,
    ) -> None:
        self.total, self.at_a_time, self.say, self.now = total, at_a_time, say, now
        self.runs = total if runs is None else runs
        self._known: set[str] = set()  # experiments that have ended
        self.failed: list[tuple[Job, Path]] = []
        self._seconds: list[float] = []
        self._ended, self._began = 0, now()
        self._lock = threading.Lock()

    def ended(self, job: Job, row: Row | None, log: Path, *, seconds: float | None) -> None:
        """Tell of a job that has ended.

        Args:
            row: None if it failed.
            seconds: how long it ran; None if it was only read, or its training came from the cache.
        """
        with self._lock:
            self._ended += 1
            self._known.add(job.experiment)
            self._seconds += [] if seconds is None else [seconds]
            if row is None:
                self.failed.append((job, log))
                what = f"FAILED, see {log}"
            else:
                what = f"{100 * row['accuracy']:.2f} %"
            left = self._left()
            self.say(
                f"[{self._ended}/{self.total}] {job.study}/{job.preset}: {job.arm}, seed {job.seed}: {what}"
                + (f"; about {duration(left)} left" if left > 0 else "")
            )

    def _left(self):
        """Seconds, if all others take as long as those that ran: rounds of jobs that run side by side."""
        others, ran = self.runs - len(self._known), len(self._seconds)
        if not others or not ran:
            return 0
        rounds = math.ceil((ran + others) / self.at_a_time)
        return rounds * sum(self._seconds) / ran - (self.now() - self._began)


def report_failures(failed: list[tuple[Job, Path]]) -> None:
    """Print what failed experiments said last."""
    for job, log in failed:
        tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL:]
        print(f"\n{job.arm}, seed {job.seed} failed ({log}):", file=sys.stderr)
        print("\n".join(f"  {line}" for line in tail), file=sys.stderr)
