"""What checkpoints cost a training: none, never due, as `params.yaml` has it, and at every opportunity.

python -m benchmarks.resuming
"""

import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

from benchmarks.feeding import STEPS, make_batches, make_model
from benchmarks.harness import compare, machine, table
from benchmarks.training import BATCH
from commands import new_parser
from noisy_student.runtime import console

FIT = 5  # rounds of STEPS a turn
TURNS = 6
NEVER = 1e9  # minutes


def training(every_minutes):
    """ResNet-20 with all noise, validated images left out; saved by this interval, None: not at all."""
    model, noise = make_model()
    batches = make_batches(noise)
    from noisy_student import backends
    from noisy_student.runtime.checkpoints import Checkpoints
    from noisy_student.runtime.progress import bar
    from noisy_student.training.snapshots import State, saving
    from noisy_student.training.within_round import WithinRound

    phase = SimpleNamespace(name="benchmark", round_steps=STEPS, steps=FIT * STEPS, rate_at=lambda step, optimizer: 0.1)
    feed, saved, trained, checkpoints = backends.current().feed(batches), [], [], None
    if every_minutes is not None:
        checkpoints = Checkpoints(Path(tempfile.mkdtemp(prefix="checkpoints-")), every_minutes=every_minutes)
        write = checkpoints.save

        def save_and_count(*arguments, **options):
            written = write(*arguments, **options)
            saved.append(checkpoints.cost)
            return written

        checkpoints.save = save_and_count
        if every_minutes == NEVER:
            checkpoints.due = lambda natural=False: False

    def portion():
        state, began = State(best_weights=model.get_weights()), time.perf_counter()
        with saving(state, checkpoints, model, phase) as save, bar(total=phase.steps, name="", unit="step") as shown:
            within = WithinRound(state, phase, batches, save=save, shown=shown)
            for batches.round in range(FIT):
                model.fit(feed, callbacks=[within], verbose=0, shuffle=False)
                state.history.append({})
                state.index = 0
                save(natural=True)
        trained.append(time.perf_counter() - began)
        if saved:
            size = max(path.stat().st_size for path in checkpoints.folder.iterdir())
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
    console.use_utf8()
    new_parser("benchmarks.resuming", __doc__).parse_args()
    main()
