"""`metrics/run.json`: where, with what and how long each stage ran. No output of DVC, for it holds times."""

import datetime
import json
import sys
from dataclasses import asdict
from typing import Any

from noisy_student.runtime import checkpoints, declared_code, layout, locks
from noisy_student.runtime.environment import Provenance
from noisy_student.runtime.files import write_json


def record(stage: str, *, seconds: float, details: dict[str, Any] | None = None) -> None:
    """Put what is to be known of a stage's run in the place of what the file says of it.

    What cannot be written is a warning: the stage itself has succeeded.

    Args:
        stage: e.g. "student@gen1".
        seconds: its duration, in this process.
        details: what the stage itself says, e.g. its precision.
    """
    finished = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    entry = {"finished": finished, "seconds": round(seconds, 2), **(details or {}), **asdict(Provenance.here())}
    _put(stage, entry)


def record_failure(stage: str, message: str) -> None:
    """Put why a stage failed in the place of what the file says of it: `make results` names it."""
    finished = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    _put(stage, {"finished": finished, "failed": message})


def _put(stage, entry):
    try:
        with locks.held(checkpoints.lock_path("run"), what=str(layout.RUN_RECORD)):
            record = {**_entries(), stage: entry}
            known = declared_code.known(sorted(record))  # not what stages have left that there were once
            write_json(layout.RUN_RECORD, {name: record[name] for name in known})
    except (OSError, ValueError) as error:
        print(f"warning: {layout.RUN_RECORD} could not be written ({error})", file=sys.stderr, flush=True)


def read() -> dict[str, dict]:
    """{stage: entry} of the file, of stages that succeeded; empty if there is none, or none that can be read."""
    return {stage: entry for stage, entry in _entries().items() if "failed" not in entry}


def failures() -> dict[str, str]:
    """{stage: why} of the stages that failed when they ran last."""
    return {stage: entry["failed"] for stage, entry in _entries().items() if "failed" in entry}


def _entries():
    try:
        entries = json.loads(layout.RUN_RECORD.read_bytes())
    except (OSError, ValueError):
        return {}
    return entries if isinstance(entries, dict) else {}
