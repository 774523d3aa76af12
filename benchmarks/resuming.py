"""What checkpoints cost a training: none, never due, as `params.yaml` has it, and at every opportunity.

python -m benchmarks.resuming
"""

import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks.feeding import STEPS, make_batches, make_model
from benchmarks.harness import compare, machine, table
from benchmarks.training import BATCH

FIT = 5  # rounds of STEPS a turn
TURNS = 6
NEVER = 1e9  # minutes


def training(every_minutes):
    """ResNet-20 with all noise, validated images left out; saved by this interval, None: not at all."""
    model, noise = make_model()
    batches = make_batches(noise)
    from noisy_student.runtime.checkpoints import Checkpoints
    from noisy_student.runtime.signals import Requests
    from noisy_student.training.callbacks import Rounds
    from noisy_student.training.snapshots import Snapshots
    from noisy_student.training.train import fit_rounds

    class BestWeights:
        """What a validation adds to a state: a copy of the weights."""

        def state(self):
            return {f"best_{i}": weight for i, weight in enumerate(model.get_weights())}, {}

    callbacks, saved, trained = [Rounds(batches)], [], []
    if every_minutes is not None:
        kept = Checkpoints(Path(tempfile.mkdtemp(prefix="checkpoints-")), every_minutes=every_minutes)
        write = kept.save

        def save(*arguments, **options):
            written = write(*arguments, **options)
            saved.append(kept.cost)
            return written

        kept.save = save
        if every_minutes == NEVER:
            kept.due = lambda natural=False: False
        callbacks.append(
            Snapshots(
                kept,
                batches=batches,
                validation=BestWeights(),
                callbacks=[],
                requests=Requests(),
                name="benchmark",
                steps=FIT * STEPS,
            )
        )

    def portion():
        start = time.perf_counter()
        fit_rounds(model, batches, callbacks, 0, FIT)
        trained.append(time.perf_counter() - start)
        if saved:
            size = max(path.stat().st_size for path in kept.folder.iterdir())
            share = sum(saved) / sum(trained)
            each = f"{1000 * statistics.median(saved):.0f} ms each, {size / 1e6:.1f} MB"
            portion.note = f"{len(saved)} saved in {sum(trained):.0f} s, {each}: {100 * share:.1f} % of the time"
        return FIT * STEPS * BATCH

    return portion


def main():
    """Print the section of the report."""
    print("## Checkpoints\n")
    print(f"`python -m benchmarks.resuming`: ResNet-20, batch {BATCH}, all noise, rounds of {STEPS} steps;")
    print("weights, optimizer and the best weights are saved, forced to the disk, and checked by a hash.\n")
    print(machine("tensorflow", "keras", "numpy"), "\n")
    contestants = {
        "no checkpoints": partial(training, None),
        "asked at every step, never due": partial(training, NEVER),
        "every 5 minutes and at ends of rounds, at most 1 % of the time (default)": partial(training, 5.0),
        "every 10 steps": partial(training, 0.0),
    }
    print(table(compare(contestants, rounds=TURNS), unit="images/s", reference="no checkpoints"))


if __name__ == "__main__":
    main()
