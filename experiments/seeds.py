"""Repeat the pipeline over seeds, with a control: a student with noise but without pseudo-labels.

    python -m experiments.seeds cifar10-cpu --seeds 3  # writes docs/results/cifar10-cpu.csv, prints the table
    python -m experiments.seeds cifar10-cpu --report   # prints the table of the CSV again

Every seed is an ordinary DVC experiment in a temporary folder (`dvc exp run --temp`), with `seed` and
`data.seed` set, so that weights, noise and the choice of images all change. The control is a generation
of its own, with the same teacher, network, steps and images a step, but labelled images only. A seed
that stands in the CSV is not run again.
"""

import argparse
import csv
import json
import subprocess
import sys
from pathlib import Path

import dvc.api
import numpy as np

from noisy_student import params, presets
from noisy_student.errors import UserError
from noisy_student.files import write_csv

RESULTS = Path("docs/results")
CONTROL = "student-control"
COLUMNS = {"teacher": "teacher", "student-gen1": "student", CONTROL: "noise without pseudo-labels"}

# figures of metrics/robustness: as they are shown, and where they stand
ROBUSTNESS = {
    "C": ("error on corrupted images", lambda found: found["mean_corruption_error"]),
    "P": ("flip probability", lambda found: found["mean_flip_probability"]),
    "FGSM": ("accuracy under FGSM, 4/255", lambda found: found["fgsm_accuracy"]["4"]),
}


def run_seed(preset, seed, changes, *, control=True):
    """Run one seed as a DVC experiment and return its row of test figures.

    Args:
        preset: its name.
        seed: int.
        changes: further "KEY=VALUE" for DVC.
        control: whether the control is run too; it is the same whatever the teacher.
    """
    values = presets.values(preset)
    student = params.check(values).student
    size = student.batch_size + (student.unlabelled_batch_size if student.mix == "ratio" else 0)
    added = f"+generations.control={{teacher: teacher, student: {{mix: none, batch_size: {size}}}}}"
    name = f"{preset}-seed{seed}"
    overrides = presets.overrides(params.read_yaml("params.yaml"), values)
    for change in (f"seed={seed}", f"data.seed={seed}", *([added] if control else []), *changes):
        overrides += ["-S", change]
    subprocess.run(["dvc", "exp", "run", "--temp", "--force", "--name", name, *overrides], check=True)
    figures, models = _read("metrics/eval.json", name), [m for m in COLUMNS if control or m != CONTROL]
    row = {"seed": seed} | {model: figures[model]["accuracy"] for model in models}
    for model in models:
        found = _read(f"metrics/robustness/{model}.json", name)
        row |= {f"{model} {column}": get(found) for column, (_, get) in ROBUSTNESS.items() if len(found) > 1}
    return row


def _read(path, experiment):
    # dvc.api.metrics_show does not find a file that the workspace has not
    return json.loads(dvc.api.read(path, rev=experiment))


def report(rows):
    """Markdown: mean and standard deviation of the test accuracy in percent, and the paired differences."""
    models = [model for model in COLUMNS if model in rows[0]]
    figures = {model: 100 * np.array([float(row[model]) for row in rows]) for model in models}
    lines = [f"| test accuracy in %, {len(rows)} seeds | mean | standard deviation |", "|---|---|---|"]
    lines += [_line(COLUMNS[model], values) for model, values in figures.items()]
    student = figures["student-gen1"]
    lines.append(_line("student - teacher", student - figures["teacher"]))
    if CONTROL in figures:
        lines.append(_line("student - noise without pseudo-labels", student - figures[CONTROL]))
    return "\n".join(lines)


def robustness_report(rows):
    """Markdown: mean and standard deviation of the figures of robustness in percent; empty without any."""
    if "teacher C" not in rows[0]:
        return ""
    titles = [title for title, _ in ROBUSTNESS.values()]
    lines = [f"| in %, {len(rows)} seeds | {' | '.join(titles)} |", "|---" * (len(titles) + 1) + "|"]
    for model, shown in COLUMNS.items():
        if f"{model} C" not in rows[0]:
            continue
        figures = (100 * np.array([float(row[f"{model} {column}"]) for row in rows]) for column in ROBUSTNESS)
        lines.append(f"| {shown} | {' | '.join(f'{v.mean():.2f} ({_deviation(v):.2f})' for v in figures)} |")
    return "\n".join(lines)


def _deviation(values):
    return values.std(ddof=1) if len(values) > 1 else 0


def _line(name, values):
    return f"| {name} | {values.mean():.2f} | {_deviation(values):.2f} |"


def main():
    """Run the seeds that are missing, then report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("preset", help="a file of presets/, without .yaml")
    parser.add_argument("--seeds", type=int, default=5, help="how many, counted from 0 (default 5)")
    parser.add_argument("--report", action="store_true", help="run nothing")
    parser.add_argument(
        "-S", action="append", default=[], dest="changes", metavar="KEY=VALUE", help="as for DVC"
    )
    parser.add_argument("--csv", type=Path, help="default: docs/results/PRESET.csv")
    parser.add_argument("--no-control", action="store_true", help="run teacher and student only")
    arguments = parser.parse_args()
    if arguments.changes and not arguments.csv:
        parser.error("-S changes what is measured: name a file of its own with --csv")
    path = arguments.csv or RESULTS / f"{arguments.preset}.csv"
    try:
        rows = list(csv.DictReader(path.open())) if path.exists() else []
        done = {int(row["seed"]) for row in rows}
        for seed in [] if arguments.report else range(arguments.seeds):
            if seed not in done:
                control = not arguments.no_control
                rows.append(run_seed(arguments.preset, seed, arguments.changes, control=control))
                write_csv(path, rows)
    except UserError as error:
        sys.exit(f"error: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(f"error: seed {seed} failed, see above ({error.cmd[0]} ended with {error.returncode})")
    if not rows:
        sys.exit(f"error: {path}: no results yet. Run without --report.")
    print(report(rows))
    print(f"\n{robustness_report(rows)}".rstrip())


if __name__ == "__main__":
    main()
