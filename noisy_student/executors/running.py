"""All tasks of a stage by the executor of this machine."""

import contextlib
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from noisy_student.executors import local, ray
from noisy_student.executors.settings import ExecutorSettings
from noisy_student.executors.tasks import Outcome, Task, Work, perform
from noisy_student.runtime.errors import UserError
from noisy_student.runtime.progress import Shown, bar
from noisy_student.runtime.signals import Stopped, deferred

EXECUTORS = {"local": local.results, "ray": ray.results}
HOPELESS = 8  # tasks that failed, and none succeeded: the others are not begun
_LINES = 5  # failed tasks that a message names


class ShardError(UserError):
    """A shard's task failed for good; what the others gave is kept.

    Attributes:
        first: why the first one failed.
    """

    def __init__(self, message: str, first: str) -> None:
        super().__init__(message)
        self.first = first


@dataclass
class Report:
    """How the tasks went.

    Attributes:
        skipped: tasks whose file was there already.
        totals: sums of what the tasks' function returned.
    """

    settings: ExecutorSettings
    skipped: int = 0
    retries: int = 0
    seconds: list[float] = field(default_factory=list)
    cpus: Counter = field(default_factory=Counter)
    totals: Counter = field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
        """Count an outcome."""
        self.retries += outcome.tries - 1
        if outcome.facts is not None:
            self.seconds.append(outcome.facts["seconds"])
            self.cpus[outcome.facts["cpu"]] += 1
            self.totals.update(outcome.facts["details"])

    def for_record(self) -> dict[str, Any]:
        """What metrics/run.json has of it."""
        found: dict[str, Any] = {"executor": self.settings.name}
        found |= {"address": self.settings.address} if self.settings.address else {"workers": self.settings.workers}
        found |= {"shards": self.skipped + len(self.seconds), "shards_done_before": self.skipped}
        found |= {"retries": self.retries}
        if self.seconds:
            least, middle, most = min(self.seconds), statistics.median(self.seconds), max(self.seconds)
            found["seconds_a_shard"] = {"least": round(least, 2), "median": round(middle, 2), "most": round(most, 2)}
            found["shards_by_cpu"] = dict(self.cpus)
        return found


def run(work: Work, tasks: Sequence[Task], settings: ExecutorSettings, *, title: str, unit: str = "image") -> Report:
    """Do all tasks, each once; whatever is there already is not done again.

    Args:
        settings: which executor, see `settings.load`.
        title: what progress and messages begin with.
        unit: of the tasks' size, for progress: "image", "step" or "byte".

    Raises:
        ShardError: tasks failed for good; the others were done.
        Stopped: Ctrl-C, SIGTERM, or the end of the DVC that started this; files that are whole stay.
        UserError: the executor cannot start.
    """
    missing = [task for task in tasks if not task.output.exists()]
    report = Report(settings, skipped=len(tasks) - len(missing))
    if not missing:
        return report
    in_process = in_this_process(settings, work.threads)
    if in_process and len(tasks) == 1:  # it shows its own progress, and what it raises is raised
        report.add(Outcome(tasks[0], perform(work.call, tasks[0].output, tasks[0].arguments), tries=1))
        return report
    images, left = sum(task.size for task in tasks), sum(task.size for task in missing)
    failed: list[Outcome] = []
    with (
        bar(total=images, name=title, unit=unit, initial=images - left) as shown,
        deferred() as requests,
        _counted(title, tasks),
    ):
        if in_process:
            results = local.here(work, missing, requests)
        else:
            results = EXECUTORS[settings.name](work, missing, settings, requests)
        began, done = time.monotonic(), 0
        for outcome in results:
            report.add(outcome)
            if outcome.facts is None:
                failed.append(outcome)
                if len(failed) >= HOPELESS and not report.seconds:
                    results.close()
                    break
                continue
            done += outcome.task.size
            _show(shown, outcome.task.size, report, len(tasks), _speed(done / (time.monotonic() - began), unit))
        if (asked := requests.pending()) is not None and len(report.seconds) + len(failed) < len(missing):
            raise Stopped(title, asked)  # `_counted` says the rest
    _raise(title, failed, report, len(tasks))
    return report


def in_this_process(settings: ExecutorSettings, threads: int | None) -> bool:
    """Whether tasks need no process of their own."""
    return settings.name == "local" and settings.workers == 1 and threads is None


def _show(shown: Shown, size, report, total, speed):
    shown.set_postfix(shards=f"{report.skipped + len(report.seconds)} of {total}", speed=speed)
    shown.update(size)


def _speed(rate, unit):
    if unit == "byte":
        return f"{rate / 2**20:,.1f} MiB/s"
    return f"{rate:,.{0 if rate >= 100 else 1}f} {unit}s/s"


@contextlib.contextmanager
def _counted(title: str, tasks: Sequence[Task]) -> Iterator[None]:
    """Let the message count what is there, whoever stops: `run`, or the task that is done in this process."""
    try:
        yield
    except Stopped as stop:
        done = f"{sum(task.output.exists() for task in tasks)} of {len(tasks)} shards are done"
        saved = f", {stop.saved} of another are saved" if stop.saved else ""
        message = f"{title}: stopped; {done}{saved}. Run the same command again to go on."
        raise Stopped(message, stop.number) from None


def _raise(title, failed, report, total):
    if not failed:
        return
    lines = [f"  {outcome.task.name} ({_tries(outcome)}): {outcome.error}" for outcome in failed[:_LINES]]
    if len(failed) > _LINES:
        lines.append(f"  ... and {len(failed) - _LINES} more")
    raise ShardError(
        f"{title}: {len(failed)} of {total} shards failed, {report.skipped + len(report.seconds)} are done and kept:\n"
        + "\n".join(lines)
        + "\nMend that and run the same command again: only what is missing is done.",
        failed[0].error,
    )


def _tries(outcome):
    return f"{outcome.tries} tries" if outcome.tries > 1 else "1 try"
