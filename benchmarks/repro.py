"""What `make repro` takes: teacher, noise alone and three students, against the build of an earlier commit.

python -m benchmarks.repro             # five runs of each, alternating; most of an hour on two idle cores
python -m benchmarks.repro --rounds 1  # one of each
python -m benchmarks.repro --trial     # with hardly any training: shows that it works
"""

import statistics
import sys

from ruamel.yaml import YAML

from benchmarks import earlier
from benchmarks.harness import machine
from commands import new_parser
from noisy_student.runtime import console

MODELS = {"teacher": "teacher", "noise alone": "student-noise-only", "last student": "student-gen3"}
OLD, NEW = f"commit {earlier.COMMIT}", "now"
# `make repro` without its first and last line, which take a second each in both
COMMANDS = {
    OLD: ["dvc", "repro", "--keep-going"],
    NEW: [sys.executable, "-m", "commands.repro", "--keep-going"],
}


def as_near_as_it_can(old, new):
    """Give the earlier commit the parameters of the default, as far as it knows them.

    It needs validation images to choose by, and its moving average does not warm up.
    """
    values = YAML(typ="safe").load(new / "params.yaml")
    known = YAML(typ="safe").load(old / "params.yaml")
    near = _of_what_is_known(known, values)
    near |= {"generations": values["generations"], "release": values["release"]}
    near["data"]["validation"] = 200
    for role in ("teacher", "student"):
        near[role]["select_by"] = "loss"
    with (old / "params.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(near, file)


def _of_what_is_known(known, values):
    return {
        key: _of_what_is_known(value, values[key]) if isinstance(value, dict) and value else values[key]
        for key, value in known.items()
    }


def seconds_of(command, folder, seed):
    """How long it takes from nothing with this seed."""
    earlier.change(folder, seed=seed)
    return earlier.seconds_of(command, folder)


def main():
    """Print the table as Markdown."""
    parser = new_parser("benchmarks.repro", __doc__)
    parser.add_argument("--trial", action="store_true", help="one round, with hardly any training")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each; default 5")
    arguments = parser.parse_args()
    trial, rounds = arguments.trial, 1 if arguments.trial else arguments.rounds
    with earlier.both() as (old, new):
        earlier.use_preset(new, "digits")
        as_near_as_it_can(old, new)
        for folder in (old, new) if trial else ():
            earlier.few_steps(folder)
            earlier.change(folder, **{"generations__noise-only__student": {"mix": "none"}})
        folders, timed, tested = {OLD: old, NEW: new}, {OLD: [], NEW: []}, {OLD: [], NEW: []}
        for seed in range(1, rounds + 1):
            for name, folder in folders.items():
                timed[name].append(seconds_of(COMMANDS[name], folder, seed))
                tested[name].append([earlier.tested(folder, model)["accuracy"] for model in MODELS.values()])
    print(f"## `make repro`\n\n`python -m benchmarks.repro{' --trial' if trial else ''}`\n")
    print(
        "Teacher, noise alone and three students on 20 digits with labels, robustness fast, from nothing. The earlier"
    )
    print(
        "commit has the nearest parameters that it knows: it chooses checkpoints by the loss of 200 further labels.\n"
    )
    print(machine("tensorflow", "keras", "dvc"))
    of_seeds = "seed 1" if rounds == 1 else f"mean of seeds 1 to {rounds}"
    head = f"test accuracy, % ({of_seeds}): {', '.join(MODELS)}"
    print(f"\n| | seconds: median of {rounds} | fastest to slowest | ratio | {head} |")
    print("|---|---:|---:|---:|---|")
    for name, spent in timed.items():
        median = statistics.median(spent)
        ratio = median / statistics.median(timed[OLD])
        shown = ", ".join(f"{statistics.mean(column):.1f}" for column in zip(*tested[name], strict=True))
        print(f"| {name} | {median:.0f} | {min(spent):.0f} to {max(spent):.0f} | {ratio:.2f} | {shown} |")


if __name__ == "__main__":
    console.use_utf8()
    main()
