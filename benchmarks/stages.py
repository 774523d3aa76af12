"""What the pipeline costs besides its work: `--help`, imports, and `dvc repro` with nothing to do.

python -m benchmarks.stages    # about 4 minutes: the digits pipeline runs once, in a copy of this tree
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.harness import machine
from commands import new_parser
from experiments.workspace import copy_project
from noisy_student.runtime import console

ROUNDS = 5
STAGES = ("check", "prepare", "teacher", "eval_teacher", "pseudolabel", "balance", "student", "eval", "results")
SCRIPTS = (*(f"stages.{name}" for name in STAGES), "commands.check", "commands.preset")
IMPORTS = {
    "nothing": "pass",
    "prepare (digits)": "import stages.prepare, sklearn.datasets",
    "prepare (own images)": "import stages.prepare",
    "balance": "import stages.balance, noisy_student.steps.selection",
    "TensorFlow and Keras, for comparison": "import tensorflow, keras",
}


def copy_tree(target):
    """A repository of its own with what git tracks here, and new files that it does not ignore."""
    copy_project(Path(target))
    subprocess.run(["git", "init", "-q"], cwd=target, check=True)


def seconds(command, *, folder):
    """Run a command; return how long it took. What it prints goes to standard error."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "DVC_SITE_CACHE_DIR": str(Path(folder).parent / "site-cache"),
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, stdout=sys.stderr, check=True)
    return time.perf_counter() - began


def row(name, command, *, folder):
    """A line of a table: median, fastest and slowest of five runs after one that is not counted."""
    seconds(command, folder=folder)
    timed = [seconds(command, folder=folder) for _ in range(ROUNDS)]
    return f"| {name} | {statistics.median(timed):.2f} | {min(timed):.2f} to {max(timed):.2f} |"


def main():
    """Print the tables as Markdown."""
    print(f"## Stages\n\n`python -m benchmarks.stages`\n\n{machine('tensorflow', 'keras', 'dvc')}")
    head = f"| median of {ROUNDS}, s | fastest to slowest |\n|---|---:|---:|"
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent, "tree")
        folder.mkdir()
        copy_tree(folder)
        python = sys.executable
        print(f"\n| `--help` {head}")
        for name in SCRIPTS:
            print(row(name, [python, "-m", name, "--help"], folder=folder))
        print(f"\n| Python with the imports of {head}")
        for name, code in IMPORTS.items():
            print(row(name, [python, "-c", code], folder=folder))
        print("\n| stage of the digits, once, start to end | s |\n|---|---:|")
        for name in STAGES:
            generation = ["gen1"] if name in ("pseudolabel", "balance", "student", "eval") else []
            spent = seconds([python, "-m", f"stages.{name}", *generation], folder=folder)
            print(f"| {name} | {spent:.1f} |")
        seconds(["dvc", "commit", "--force"], folder=folder)
        print(f"\n| DVC {head}")
        print(row("`dvc repro`, nothing to do", ["dvc", "repro"], folder=folder))


if __name__ == "__main__":
    console.use_utf8()
    new_parser("benchmarks.stages", __doc__).parse_args()
    main()
