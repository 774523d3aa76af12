"""Look for what keeps DVC or the stages from working, and mend it without losing anything.

python -m commands.doctor         # a line a finding: ok, mended, note, or to do
"""

import argparse
import contextlib
import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil

from commands import new_parser, plots_template
from noisy_student.runtime import checkpoints, console, layout, locks
from noisy_student.runtime.errors import UserError
from noisy_student.runtime.files import is_left_over
from noisy_student.settings import params

EXEC = "refs/exps/exec"  # where DVC notes the experiment that runs in the workspace
LEAST_FREE = 2 * 2**30  # bytes

Process = tuple[int, str]  # (pid, command)
Finding = tuple[str, str]  # ("ok", "mended", "to do" or "note"; what, in words)


def parser() -> argparse.ArgumentParser:
    """That of this command."""
    return new_parser("commands.doctor", __doc__, failure="something is left for you to do")


def main() -> None:
    """Print one line a finding; exit status 1 if something is left for the user to do."""
    parser().parse_args()
    if not Path("dvc.yaml").is_file():
        sys.exit("error: there is no dvc.yaml here. Run in the repository's root.")
    if not _git("rev-parse", "--git-dir"):
        if Path(".git").exists():  # e.g. of another owner: git says what to do
            said = subprocess.run(["git", "rev-parse"], capture_output=True, encoding="utf-8", errors="replace")
            sys.exit(f"error: git does not work here: {said.stderr.strip()}")
        sys.exit(
            "error: this is no git repository, and DVC keeps results beside commits. Run in a clone, or `git init`."
        )
    running = processes()
    open_ends = 0
    for check in (identity, head, leftovers, half_written, unlisted, plots, disk, saved_work):
        for state, line in check(running):
            print(f"{state:<8} {line}")
            open_ends += state == "to do"
    for process, command in running:
        print(f"{'running':<8} pid {process}: {command}")
    sys.exit(1 if open_ends else 0)


def processes() -> list[Process]:
    """The DVC and stage processes that work in this repository or in its experiments.

    A process of DVC whose folder may not be read counts too: it may be here.
    """
    here, ours = Path.cwd().resolve(), []
    for process in psutil.process_iter(["pid", "cmdline", "cwd"]):
        command, folder = process.info["cmdline"] or [], process.info["cwd"]
        inside = folder is None or Path(folder).is_relative_to(here)
        if inside and _is_ours(command) and process.info["pid"] != os.getpid():
            ours.append((process.info["pid"], " ".join(command)[:100]))
    return ours


def _is_ours(command):
    """Whether a command line is that of DVC, or of a stage."""
    if any(Path(word).name == "dvc" for word in command[:2]):
        return True
    after = dict(itertools.pairwise(command)).get("-m", "")
    return after in ("dvc", "commands.repro") or after.startswith("stages.")


def works_elsewhere() -> bool:
    """Whether a stage of this folder holds its lock: perhaps on another machine or in another container."""
    return any(map(locks.is_held, sorted(checkpoints.root().glob("locks/*.lock"))))


def identity(running: list[Process]) -> list[Finding]:
    """Git must know who commits: experiments are commits."""
    if _git("config", "user.name") and _git("config", "user.email"):
        return [("ok", "git knows your name and e-mail address")]
    return [("to do", 'git config user.name "..." and user.email: DVC cannot keep experiments without')]


def plots(running: list[Process]) -> list[Finding]:
    """`dvc plots show` draws on a page of its own, which `make setup` writes."""
    if plots_template.PATH.is_file():
        return [("ok", "dvc plots show has its page")]
    plots_template.write()
    return [("mended", f"{plots_template.PATH}, the page of dvc plots show, was missing")]


def head(running: list[Process]) -> list[Finding]:
    """A killed `dvc exp run` leaves git's HEAD detached, and notes of the experiment that ran."""
    notes = _git("for-each-ref", "--format=%(refname)", EXEC).split()
    stale = [ref for ref in notes if ref != f"{EXEC}/EXEC_HEAD"]  # that one is always there
    if not stale:
        detached = not _git("symbolic-ref", "--quiet", "HEAD")
        return [("ok", "git's HEAD is detached, but not by DVC" if detached else "no killed experiment")]
    if running:
        return [("ok", "something runs in this folder, see below; look again when it has ended")]
    if works_elsewhere():
        return [("ok", "a stage of this folder runs on another machine; look again when it has ended")]
    lines = []
    if not _git("symbolic-ref", "--quiet", "HEAD"):
        branch = _branch_before()
        if branch is None:
            return [("to do", "git's HEAD is detached by a killed experiment: git switch YOUR-BRANCH")]
        _git("symbolic-ref", "-m", "doctor: back from a killed experiment", "HEAD", f"refs/heads/{branch}")
        lines.append(("mended", f"git's HEAD, detached by a killed experiment, is back on {branch}"))
    merged = _git("rev-parse", "--quiet", "--verify", f"{EXEC}/EXEC_MERGE")
    for ref in stale:
        _git("update-ref", "-d", ref)
    _git("reset", "--quiet")
    lines.append(("mended", "the notes of the killed experiment are removed"))
    if _git("status", "--porcelain", "--untracked-files=no"):
        lines.append(
            (
                "note",
                "params.yaml still holds the killed experiment's parameters: `dvc exp run` goes on with it "
                "from its checkpoint; `git checkout . && dvc checkout` gives it up"
                + (f" (its changes stay in commit {merged[:10]})" if merged else ""),
            )
        )
    return lines


def _branch_before():
    """The branch that HEAD was on before DVC detached it, if it still is at that commit."""
    for line in _git("reflog", "--format=%gs", "-n", "20", "HEAD").splitlines():
        move = re.fullmatch(r"checkout: moving from (\S+) to [0-9a-f]{40}", line)
        if move:
            branch = move[1]
            same = _git("rev-parse", "--quiet", "--verify", f"refs/heads/{branch}") == _git("rev-parse", "HEAD")
            return branch if same else None
    return None


def leftovers(running: list[Process]) -> list[Finding]:
    """Folders of killed experiments in .dvc/tmp/exps."""
    if running or works_elsewhere():
        return []
    lines, top = [], Path(".dvc/tmp/exps")  # of the queue, and of --temp
    for folder in sorted([*top.glob("tmp*"), *top.glob("standalone/tmp*")]):
        if folder.is_dir():
            shutil.rmtree(folder, ignore_errors=True)
            lines.append(("mended", f"removed {folder}, which a killed experiment had left"))
    return lines


def half_written(running: list[Process]) -> list[Finding]:
    """Temporary files of killed stages."""
    lines = []
    for top in layout.GENERATED:
        for path in sorted(top.rglob(".tmp-*")):
            if is_left_over(path.name):
                with contextlib.suppress(OSError):
                    path.unlink()
                    lines.append(("mended", f"removed {path}, half-written by a killed stage"))
    return lines


def unlisted(running: list[Process]) -> list[Finding]:
    """Files of generations that params.yaml does not list any more. No stage removes them: they may be the user's."""
    try:
        listed = {path for key in params.load().generations for path in layout.of_generation(key)}
    except UserError:
        return []  # what is wrong there is not this program's to say
    there = (path for pattern in layout.of_generation("*") for path in sorted(Path().glob(str(pattern))))
    names = " ".join(shlex.quote(str(path)) for path in there if path not in listed)
    says = "of no generation in params.yaml, in nobody's way; if you do not need them: rm -r"
    return [("note", f"{says} {names}")] if names else []


def disk(running: list[Process]) -> list[Finding]:
    """Room for results."""
    free = shutil.disk_usage(".").free
    if free < LEAST_FREE:
        return [("to do", f"only {free / 1e9:.1f} GB of disk space are free: `dvc gc --workspace` makes some")]
    return [("ok", f"{free / 1e9:,.0f} GB of disk space are free")]


def saved_work(running: list[Process]) -> list[Finding]:
    """Checkpoints that nobody works on."""
    lines = []
    for entry in checkpoints.present():
        if not entry["in_use"]:
            when = time.strftime("%Y-%m-%d %H:%M", time.localtime(time.time() - entry["age"]))
            lines.append(
                (
                    "note",
                    f"{entry['stage']} stopped on {when}; saved: {entry['done']}, "
                    f"{entry['bytes'] / 1e6:,.1f} MB. The same run goes on from there; "
                    "`make clean-checkpoints` gives it up",
                )
            )
    return lines


def _git(*arguments):
    """Standard output of git; empty if it fails."""
    command = ["git", *arguments]
    return subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False).stdout.strip()


if __name__ == "__main__":
    console.use_utf8()
    main()
