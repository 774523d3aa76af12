"""Seconds of training and labelling until CIFAR-10 validates as an earlier `cifar10-cpu` ends.

python -m benchmarks.reaching                                  # seeds 0 to 2, hours on two cores; downloads CIFAR-10
python -m benchmarks.reaching --cifar10 DIR --sha256 HEX --seeds 0   # another archive of it, one seed
python -m benchmarks.reaching --trial                          # on digits, with hardly any training

Teacher, labelling, balancing and students count, each a process as DVC starts it; `prepare` does not.
"""

import contextlib
import importlib
import json
import statistics
import sys
from pathlib import Path

from benchmarks import earlier
from benchmarks.goal import Reached, watched
from benchmarks.harness import machine
from commands import new_parser
from noisy_student import backends
from noisy_student.runtime import console
from noisy_student.settings import params
from noisy_student.sources.adapters.cifar10 import SHA256

EARLIER = ("teacher", "pseudolabel gen1", "balance gen1", "student gen1")
REACHED = "reached.json"


def stages(folder):
    """What a folder's parameters train and label, in turn, but for students without pseudo-labels."""
    settings = params.load(folder / "params.yaml")
    keys = [key for key in settings.generations if settings.generation(key).student.mix != "none"]
    return ["teacher", *(f"{stage} {key}" for key in keys for stage in ("pseudolabel", "balance", "student"))]


def run(folder, stage):
    """Seconds of a stage, run as DVC runs it."""
    name, *generation = stage.split()
    return earlier.seconds_of([sys.executable, "-m", f"stages.{name}", *generation], folder)


def run_until(folder, stage, goal):
    """Seconds of a stage, and the accuracy with which its training reached the goal; None: it ended before."""
    command = [sys.executable, "-m", "benchmarks.reaching", "--stage", stage, "--goal", repr(goal)]
    seconds, note = earlier.seconds_of(command, folder), folder / REACHED
    if not note.exists():
        return seconds, None
    return seconds, json.loads(note.read_text(encoding="utf-8"))


def stage_until(stage, goal):
    """What `run_until` starts: the stage, which ends at the goal and leaves a note of the accuracy."""

    def seen(accuracy):
        if accuracy >= goal:
            Path(REACHED).write_text(json.dumps(accuracy), encoding="utf-8")
            raise Reached

    name, *generation = stage.split()
    main = importlib.import_module(f"stages.{name}").main
    backends.select(params.load().backend)
    with contextlib.suppress(Reached), watched(seen):
        main(*generation)


def seconds_to(folder, goal):
    """Seconds, the stage in which it was reached, and the accuracy there; (seconds, None, None): nowhere."""
    spent = 0.0
    for stage in stages(folder):
        seconds, accuracy = run_until(folder, stage, goal)
        spent += seconds
        if accuracy is not None:
            (folder / REACHED).unlink()
            return spent, stage, accuracy
    return spent, None, None


def at_the_end(folder):
    """Validation accuracy of the first student's best checkpoint."""
    summary = json.loads((folder / "metrics/models/student-gen1.json").read_text(encoding="utf-8"))
    return summary["best"]["validation_accuracy"]


def main():
    """Print the table as Markdown."""
    parser = new_parser("benchmarks.reaching", __doc__)
    parser.add_argument("--cifar10", default="data/raw/cifar10", metavar="DIR", help="folder of its archive")
    parser.add_argument("--sha256", default=SHA256, help="of the archive; default: that of CIFAR-10's binary version")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="N", help="default: 0 1 2")
    parser.add_argument("--trial", action="store_true", help="one seed, on digits, with hardly any training")
    parser.add_argument("--stage", help="in a folder of this benchmark: run one stage until --goal")
    parser.add_argument("--goal", type=float, default=1.0, help="validation accuracy at which --stage ends")
    arguments = parser.parse_args()
    if arguments.stage:
        stage_until(arguments.stage, arguments.goal)
        return
    preset, seeds = ("digits-100", [0]) if arguments.trial else ("cifar10-cpu", arguments.seeds)
    root = str(Path(arguments.cifar10).resolve())
    source = {"data__root": root, "data__sha256": arguments.sha256, "data__validation": 2000}
    with earlier.both() as (old, new):
        earlier.use_preset(new, preset)
        earlier.use_its_own_preset(old, "digits" if arguments.trial else preset)
        for folder in (old, new):
            if arguments.trial:
                earlier.few_steps(folder)
            else:
                earlier.change(folder, **source)
        before = []
        for seed in seeds:
            earlier.change(old, seed=seed, data__seed=seed)
            run(old, "prepare")
            before.append((sum(run(old, stage) for stage in EARLIER), at_the_end(old)))
        goal = statistics.mean(accuracy for _, accuracy in before)
        now = []
        for seed in seeds:
            earlier.change(new, seed=seed, data__seed=seed)
            run(new, "prepare")
            now.append(seconds_to(new, goal))
    print(f"## Seconds to an accuracy\n\n`python -m benchmarks.reaching{' --trial' if arguments.trial else ''}`\n")
    print(
        f"Training and labelling with `{preset}` of commit {earlier.COMMIT} to the end, where it validates at "
        f"{100 * goal:.2f} % in the mean of {len(seeds)} seeds, and with the present one until it validates so. Chosen "
        "by validation images; no test image is read.\n"
    )
    print(machine("tensorflow", "keras"))
    print(
        "\n| seed | earlier: seconds | validation accuracy, % | now: seconds | reached in | accuracy, % | times fewer |"
    )
    print("|---:|---:|---:|---:|---|---:|---:|")
    for seed, (seconds, accuracy), (spent, stage, there) in zip(seeds, before, now, strict=True):
        reached = ("not reached", "", "") if stage is None else (stage, f"{100 * there:.2f}", f"{seconds / spent:.2f}")
        print(f"| {seed} | {seconds:.0f} | {100 * accuracy:.2f} | {spent:.0f} | {' | '.join(reached)} |")


if __name__ == "__main__":
    console.use_utf8()
    main()
