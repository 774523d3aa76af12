"""Which job a lane runs next."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from experiments.study.run import Job


class Schedule:
    """The jobs that wait, handed out to lanes.

    Jobs with one seed share stages (its teacher, for instance), and two lanes that ran such a stage at the
    same time would both compute it. So a lane stays with its seed, then takes one that no other lane has;
    where a study has none left, it begins the next study. Only at the very end does it help another lane.

    Args:
        jobs: study by study.
    """

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._waiting = list(jobs)
        self._running: list[Job] = []
        self._seeds: dict[Hashable, int] = {}  # {lane: seed}
        self._lock = threading.Lock()

    def next(self, lane: Hashable) -> Job | None:
        """The next job of a lane, which counts as running from now on; None if none waits.

        Args:
            lane: what tells it from others.
        """
        with self._lock:
            job = self._choose(lane)
            if job is None:
                self._seeds.pop(lane, None)
                return None
            self._waiting.remove(job)
            self._running.append(job)
            self._seeds[lane] = job.seed
            return job

    def _choose(self, lane):
        others = {seed for key, seed in self._seeds.items() if key != lane}
        running = {job.experiment for job in self._running}  # no run twice at a time
        free = [job for job in self._waiting if job.experiment not in running]
        for study in dict.fromkeys(job.study for job in free):
            jobs = [job for job in free if job.study == study]
            for job in jobs:
                if job.seed == self._seeds.get(lane):
                    return job
            for job in jobs:
                if job.seed not in others:
                    return job
        # the last: when it is begun, the other lane most likely has computed what they share
        return free[-1] if free else None

    def ended(self, job: Job) -> bool:
        """Note that a job has ended; return whether it was the last one of its study."""
        with self._lock:
            self._running.remove(job)
            return all(other.study != job.study for other in (*self._waiting, *self._running))
