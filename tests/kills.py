"""Killing a stage under real DVC at some moment, running it again, and comparing the bytes."""

import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from ruamel.yaml import YAML

from clones import TINY, make_clone

YAML_SAFE = YAML(typ="safe", pure=True)
VALUES = TINY | {
    "data.unlabelled": 1000,
    "teacher.steps": 200,
    "teacher.validate_every": 50,
    "student.steps": 200,
    "student.validate_every": 50,
    "student.ema": 0.9,
    "pseudolabel.batch_size": 2,  # many shards
    "checkpoint.every_minutes": 0.0,
}
STAGES = ("prepare", "teacher", "pseudolabel@gen1", "balance@gen1", "student@gen1", "eval@gen1")
RESUMING = {"teacher": "step", "student@gen1": "step", "pseudolabel@gen1": "row"}  # the others start again
WAYS = ("repro", "exp run", "exp run --temp", "queue")
VICTIMS = ("dvc", "stage", "group")


@dataclass
class Kill:
    """One kill and what came of it.

    Attributes:
        stage, way, victim: see STAGES, WAYS, VICTIMS.
        after_checkpoint: whether it waited for a checkpoint first.
        moment: seconds after the stage's process was seen.
        saved: number of the newest checkpoint when it was killed.
        resumed_from: step or row that the next run went on from, as metrics/run.json says.
        identical: whether all files are those of the uninterrupted run.
    """

    stage: str
    way: str
    victim: str
    after_checkpoint: bool
    moment: float = 0.0
    saved: int = 0
    resumed_from: int = 0
    identical: bool = False


class KillingGround:
    """A clone with an uninterrupted run to compare with.

    Args:
        clone: None for a new one, or one in which all stages have run: then only its student is trained anew, long
            enough to be killed.
    """

    def __init__(self, folder, seed=0, clone=None):
        self.clone = clone or make_clone(folder, VALUES)
        if clone:
            clone.set(**{key.replace(".", "__"): value for key, value in VALUES.items() if key.startswith("student.")})
        self.clone.forked("repro", *(["--single-item", "student@gen1"] if clone else []))
        self.clone.commit("uninterrupted")
        self.seconds = {stage: entry["seconds"] for stage, entry in self._record().items()}
        self.files = self._files()
        self.lock = self.clone.read("dvc.lock")
        self.random = random.Random(seed)
        self.number = 0

    def trial(self, kill):
        """Kill as told, run again, and fill in what came of it."""
        self.number += 1
        name = f"kill{self.number}"
        process = self._start(kill, name)
        try:
            self._kill(kill)
        finally:
            if process is not None:
                process.wait(timeout=300)
        if kill.way == "exp run":
            self.clone.run("python", "-m", "commands.doctor")
        name = f"again{self.number}"
        self._finish(kill, name)
        kill.resumed_from = self._resumed_from(kill, name)
        kill.identical = self._identical(kill, name)
        self._clean()
        return kill

    def _command(self, kill, name):
        options = ["--force", "--single-item", kill.stage]
        if kill.way == "queue":  # whose tasks forget these options, see _forget
            return ["dvc", "exp", "run", "--queue", "--name", name]
        if kill.way == "repro":
            return ["dvc", "repro", *options]
        extra = ["--temp"] if "temp" in kill.way else []
        return ["dvc", "exp", "run", *extra, "--name", name, *options]

    def _start(self, kill, name):
        """Start the run; the queue's runs in a daemon, so that there is no process to wait for."""
        if kill.way == "queue":
            self._forget(kill.stage)
            self._enqueue(kill, name)
            return None
        return self._launch(*self._command(kill, name))

    def _finish(self, kill, name):
        """Run again, to the end."""
        if kill.way != "queue":
            self.clone.run(*self._command(kill, name))
            return
        self._wait(lambda: not self._processes(), "the killed task's processes end")
        self._enqueue(kill, name)
        self._wait(lambda: self._ended(name), f"{name} ends", seconds=300, pause=1.0)

    def _enqueue(self, kill, name):
        self.clone.run(*self._command(kill, name))
        self._launch("dvc", "queue", "start", "-j", "1")

    def _launch(self, *command):
        """Start a command without waiting for it, nor for the daemons that would keep its output open."""
        return subprocess.Popen(
            command,
            cwd=self.clone.folder,
            env=self.clone.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _forget(self, stage):
        """Let DVC know nothing of a stage's run, so that it runs again without being forced."""
        path = self.clone.folder / "dvc.lock"
        lock = YAML_SAFE.load(path)
        del lock["stages"][stage]
        YAML_SAFE.dump(lock, path)
        shutil.rmtree(self.clone.folder / ".dvc/cache/runs", ignore_errors=True)

    def _ended(self, name):
        status = self.clone.run("dvc", "queue", "status")
        line = next((line for line in status.splitlines() if f" {name} " in line), "")  # on its way: in no list
        assert "Failed" not in line, self.clone.run("dvc", "queue", "logs", name)
        return "Success" in line

    def _kill(self, kill):
        stage = self._wait(lambda: self._stage(kill.stage), f"{kill.stage} starts", seconds=90)
        seen = time.monotonic()
        if kill.after_checkpoint:
            self._wait(lambda: self._saved(kill) or not stage.is_running(), "there is a checkpoint", pause=0.005)
            time.sleep(self.random.uniform(0.0, 0.2 if "pseudolabel" in kill.stage else 1.0))
        else:
            time.sleep(self.random.uniform(0.0, 0.9 * self.seconds[kill.stage]))
        kill.moment = time.monotonic() - seen
        kill.saved = self._saved(kill)
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            if kill.victim == "stage":
                stage.kill()
            elif kill.victim == "group":
                os.killpg(os.getpgid(stage.pid), signal.SIGKILL)
            else:
                parents = [p for p in stage.parents() if "dvc" in " ".join(p.cmdline())]
                parents[0].kill()

    def _saved(self, kill):
        files = (self.clone.folder / "checkpoints" / kill.stage).rglob("[0-9]*.npz")
        return max((int(path.name[:12]) for path in files), default=0)

    def _stage(self, name):
        script = f"stages.{name.partition('@')[0]}"
        found = [p for p in self._processes() if p.info["cmdline"][-1:] == [script]]
        return found[0] if found else None

    def _processes(self):
        """Those of stages and of DVC's tasks in the clone; not the queue's daemon, which stays."""
        found = []
        for process in psutil.process_iter(["cmdline", "cwd"]):
            line = " ".join(process.info["cmdline"] or [])
            inside = process.info["cwd"] and Path(process.info["cwd"]).is_relative_to(self.clone.folder)
            if inside and ("stages." in line or "exec-run" in line or "dvc exp run" in line):
                found.append(process)
        return found

    def _wait(self, condition, what, *, seconds=120.0, pause=0.02):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := condition():
                return found
            time.sleep(pause)
        raise AssertionError(f"waited {seconds} s in vain: {what}\n{self.clone.run('dvc', 'queue', 'status')}")

    def _record(self, revision=None):
        if revision is None:
            return json.loads(self.clone.read("metrics/run.json"))
        return json.loads(self.clone.run("git", "show", f"{self._commit(revision)}:metrics/run.json"))

    def _commit(self, name):
        lines = self.clone.run("git", "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps").split("\n")
        return next(line.split()[0] for line in lines if line.endswith(f"/{name}"))

    def _in_workspace(self, kill):
        return kill.way in ("repro", "exp run")

    def _resumed_from(self, kill, name):
        if kill.stage not in RESUMING:
            return 0
        record = self._record(None if self._in_workspace(kill) else name)
        return record[kill.stage][f"resumed_from_{RESUMING[kill.stage]}"]

    def _identical(self, kill, name):
        if self._in_workspace(kill):
            return self._files() == self.files and self.clone.read("dvc.lock") == self.lock
        lock = self.clone.run("git", "show", f"{self._commit(name)}:dvc.lock")
        return YAML_SAFE.load(lock) == YAML_SAFE.load(self.lock)

    def _files(self):
        folders = [self.clone.folder / name for name in ("data", "models", "metrics")]
        paths = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if path.name != "run.json"}

    def _clean(self):
        self.clone.run("git", "reset", "-q", "--hard")
        self.clone.run("dvc", "checkout", "-q")


def table(kills):
    """The kills as text."""
    rows = [("stage", "way", "killed", "after s", "saved at", "resumed from", "repeated", "identical")]
    for kill in kills:
        unit = RESUMING.get(kill.stage)
        repeated = f"{max(0, kill.saved - kill.resumed_from)} + <10 {unit}s" if unit else "the stage"
        shown = f"{kill.resumed_from} ({unit})" if unit else "-"
        rows.append(
            (
                kill.stage,
                kill.way,
                kill.victim,
                f"{kill.moment:.2f}",
                str(kill.saved),
                shown,
                repeated,
                "yes" if kill.identical else "NO",
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)
