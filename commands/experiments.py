"""Show the experiments: what each changed, and what became of it.

python -m commands.experiments           # those of the present commit, as `dvc exp show` has them
python -m commands.experiments --all     # those of all commits

Queued, running and failed ones have no accuracies here: what `dvc exp show` prints for a failed one are the metrics of
the commit that it started from (findings/dvc-failed-metrics.sh).
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from commands import new_parser
from commands.preset import differences
from noisy_student.runtime import console, layout
from noisy_student.runtime.errors import UserError
from noisy_student.runtime.layout import TEACHER
from noisy_student.runtime.text import as_text
from noisy_student.steps.reported import percent

COLUMNS = ("experiment", "state", "teacher", "student", "labels right", "changed parameters")
MOST = 3  # changed parameters that are shown
WORKSPACE = "workspace"

Tree = dict[str, Any]


def parser() -> argparse.ArgumentParser:
    """That of this command."""
    own = new_parser("commands.experiments", __doc__)
    own.add_argument("--all", action="store_true", help="of all commits, not only of the present one")
    return own


def main() -> None:
    """Print the table, and what to do next."""
    arguments = parser().parse_args()
    try:
        baselines = shown_by_dvc(*(["--all-commits"] if arguments.all else []))
    except UserError as error:
        sys.exit(f"error: {error}")
    if not baselines:
        sys.exit("error: git has no commit yet, and DVC keeps experiments beside one. Run: git add -A && git commit")
    table = rows(baselines)
    print(as_text([COLUMNS, *table]))
    print("\nteacher, student (`release` of params.yaml, else the last that a teacher taught): accuracy on test images")
    print("labels right: of the pseudo-labels that this student's teacher gave and that were kept")
    states = {row[COLUMNS.index("state")] for row in table}
    for state, hint in HINTS.items():
        if state in states:
            print(f"{state}: {hint}")


HINTS = {
    "failed": "`dvc queue logs NAME` says why; `dvc queue remove --failed` forgets them",
    "queued": "`dvc queue start` runs them",
}


def shown_by_dvc(*options: str) -> list[Tree]:
    """What `dvc exp show --json` gives: the workspace, then commits with their experiments.

    Raises:
        UserError: DVC cannot show them.
    """
    command = [sys.executable, "-m", "dvc", "exp", "show", "--json", *options]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
    if done.returncode:
        raise UserError(f"dvc exp show: {done.stderr.strip() or f'exit status {done.returncode}'}")
    return json.loads(done.stdout)


def rows(baselines: list[Tree]) -> list[tuple[str, ...]]:
    """The rows of the table, each with the texts of `COLUMNS`.

    Args:
        baselines: see `shown_by_dvc`.
    """
    commits = [baseline for baseline in baselines if baseline["rev"] != WORKSPACE]
    busy = any(_state(run) == "running" and run["revs"][0]["rev"] == WORKSPACE for run in _runs(commits))
    table = []
    for baseline in baselines:
        own = baseline["rev"] == WORKSPACE
        compared = commits[0] if own and commits else baseline
        name = WORKSPACE if own else baseline["name"] or baseline["rev"][:7]
        table.append(_row(baseline, compared, name=name, state="in use" if own and busy else ""))
        for run in baseline["experiments"] or []:
            tip = run["revs"][0]
            name = f"  {run['name'] or tip['name'] or tip['rev'][:7]}"
            table.append(_row(tip, baseline, name=name, state=_state(run)))
    return table


def _runs(commits) -> Iterator[Tree]:
    for commit in commits:
        yield from commit["experiments"] or []


def _state(run):
    """What DVC says of an experiment: queued, running, failed; empty if it succeeded."""
    state = (run["executor"] or {}).get("state", "")
    return "" if state == "success" else state


def _row(shown, baseline, *, name, state):
    data, error = shown["data"] or {}, shown["error"]
    figures = ["", "", ""] if state else _accuracies(data)
    unreadable = not data and error and not state
    changed = f"cannot be read: {error['msg']}" if unreadable else _changes(_parameters(baseline), _parameters(shown))
    return (name, state, *figures, changed)


def _accuracies(data):
    """Texts of the teacher's, of the student's, and of the pseudo-labels that this student was given."""
    measured = _content(data, "metrics", layout.EVAL_METRICS)
    students = [name for name in measured if name != TEACHER.name]
    taught = [name for name in students if "pseudo_label_coverage" in measured[name]]  # not a control of mix: none
    released = _content(data, "params", Path("params.yaml")).get("release")
    student = released if released in students else next(reversed(taught or students), None)
    of_student = measured.get(student, {})
    figures = [
        measured.get(TEACHER.name, {}).get("accuracy"),
        of_student.get("accuracy"),
        of_student.get("pseudo_label_accuracy"),
    ]
    return ["" if figure is None else percent(figure) for figure in figures]


def _parameters(shown):
    return _content(shown["data"] or {}, "params", Path("params.yaml"))


def _content(data, kind, path):
    """The content of a file of parameters or metrics; empty if it is not there or cannot be read."""
    content = data.get(kind, {}).get(path.as_posix(), {}).get("data")
    return content if isinstance(content, dict) else {}


def _changes(old, new):
    """The parameters that differ, in short."""
    if not old or not new:
        return ""
    changed = differences(old, new)
    texts = [f"{key}={_text(after[0])}" if after else f"~{key}" for key, (_, after) in changed.items()]
    return ", ".join(texts[:MOST]) + (f" and {len(texts) - MOST} more" if len(texts) > MOST else "")


def _text(value):
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    console.use_utf8()
    main()
