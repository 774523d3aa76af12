"""A batch shared out among devices: who computes which part of it, who writes, and what all must agree on.

The framework does the rest: all devices hold the same weights, gradients and the statistics of normalisation are those
of the whole batch, and so are the coins of stochastic depth. docs/scale.md says what is the same to the bit.
"""

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from noisy_student import backends
from noisy_student.launching import faults, ranks, settings
from noisy_student.runtime import checkpoints
from noisy_student.runtime.checkpoints import Checkpoints
from noisy_student.runtime.errors import ParamsError, UserError
from noisy_student.training.phases import Phase
from noisy_student.training.snapshots import State

SEEN_AFTER = 60.0  # seconds in which a file of one host is seen by the others, at the latest


@dataclass(frozen=True)
class Sharing:
    """How the batches of this process's trainings are shared out; the default: not at all."""

    devices: int = 1  # over all processes
    processes: int = 1
    rank: int = 0  # of this process

    @property
    def leads(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    @property
    def part(self) -> tuple[int, int]:
        """(which, of how many equal ones): this process's part of every batch."""
        return self.rank, self.processes

    def scope(self) -> contextlib.AbstractContextManager:
        """Within it models are made, and trained, for all devices."""
        return contextlib.nullcontext() if self.devices == 1 else backends.current().data_parallel(self.devices)

    def check(self, phase: Phase) -> None:
        """Raise ParamsError unless the devices divide the batches of a phase."""
        size = sum(share.batch_size for share in phase.shares)
        if size % self.devices:
            raise ParamsError(faults.uneven(phase.name, size, self.devices))

    def of_leader(self, values: np.ndarray) -> np.ndarray:
        """The array of rank 0, in every process; those of the others have its shape and type."""
        if self.processes == 1:
            return values
        sent = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        return np.frombuffer(backends.current().of_first_process(sent).tobytes(), values.dtype).reshape(values.shape)

    def newest(self, checkpoints: Checkpoints | None, phase: Phase) -> State:
        """The state to go on from, the same in all processes; see `State.newest`.

        Raises:
            UserError: a host does not see the checkpoint that the leader goes on from, not even after a while.
        """
        state = State.newest(checkpoints)
        first, until = int(self.of_leader(np.array([state.step(phase)]))[0]), time.monotonic() + SEEN_AFTER
        while state.step(phase) != first and time.monotonic() < until:
            time.sleep(1.0)
            state = State.newest(checkpoints)
        if state.step(phase) != first:
            raise UserError(
                f"the checkpoint of step {first} is not here, only that of step {state.step(phase)}: all hosts must "
                "see the same checkpoints. Put the project on a disk that all of them share, at the same path."
            )
        return state

    def validation(self, row: dict[str, float | None]) -> dict[str, float | None]:
        """What rank 0 has measured, in every process: on other hardware it may differ in the last digit."""
        if self.processes == 1 or None in row.values():
            return row
        return dict(zip(row, map(float, self.of_leader(np.array(list(row.values()), np.float64))), strict=True))

    @contextlib.contextmanager
    def opened(self, stage: str, digest: Callable[[], str], *, every_minutes: float) -> Iterator[Checkpoints]:
        """The checkpoints of a stage, see `checkpoints.opened`; rank 0 alone writes them, the others read."""
        if self.leads:
            own = digest()
            self.of_leader(np.frombuffer(own.encode(), np.uint8))
            with checkpoints.opened(stage, own, every_minutes=every_minutes) as saved:
                yield saved
        else:
            name = self.of_leader(np.zeros(checkpoints.DIGITS, np.uint8)).tobytes().decode()
            yield ReadCheckpoints(checkpoints.root() / stage / name)


class ReadCheckpoints(Checkpoints):
    """Those of another process, which alone writes them."""

    def within(self, name: str) -> Self:
        """As `Checkpoints.within`."""
        return replace(self, folder=self.folder / name, resumed_from=0)

    def due(self, *, natural: bool = False) -> bool:
        """Never."""
        return False

    def save(self, number: int, arrays: Any, meta: Any, **options: Any) -> bool:
        """Nothing."""
        return False


@functools.cache
def joined(kind: str) -> Sharing:
    """How batches are shared out by `distribution` of params.yaml; the first call comes before any computation.

    Raises:
        UserError: there are too few devices, or this process was not started as one of several.
    """
    if kind == "none":
        return Sharing()
    framework, rank = backends.current(), ranks.current()
    if kind == "processes":
        if rank is None:
            raise UserError(
                "distribution=processes: this process is not one of several. Run the stages by dvc repro or python -m "
                "stages.NAME, which start them."
            )
        framework.use_devices(rank.devices)
        framework.join(rank)
        ranks.say({"joined": rank.rank})
        return Sharing(framework.device_count(), rank.workers, rank.rank)
    wanted = settings.load().devices
    framework.use_devices(wanted)
    there = framework.device_count()
    if there < max(2, wanted or 2):
        raise UserError(faults.too_few(wanted, there))
    return Sharing(wanted or there)
