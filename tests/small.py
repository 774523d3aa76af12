"""A small workspace in which all stages have run, in this process and without DVC."""

import contextlib
import importlib
import shutil
import signal
import sys

from commands import preset as presets
from stages.entry import run
from support import ROOT, with_values

SMALL = {
    "data.labelled": 40,
    "data.validation": 40,
    "data.unlabelled": 80,
    "data.test": 40,
    "data.image_size": 8,
    "teacher.model.width": 4,
    "student.model.width": 4,
    "teacher.steps": 4,
    "teacher.validate_every": 2,
    "student.steps": 4,
    "student.validate_every": 2,
    "student.batch_size": 8,
    "pseudolabel.threshold": 0.0,
    "balance.on_empty": "skip",
    "eval.robustness": "off",
}
OF_GENERATION = ("pseudolabel", "balance", "student", "eval")
ALL_STAGES = ("check", "prepare", "teacher", "eval_teacher", *(f"{name} gen1" for name in OF_GENERATION), "results")


def stage(name, *arguments):
    """Run a stage in this process; return its exit status or message, None if it succeeded."""
    module = importlib.import_module(f"stages.{name}")
    before = sys.argv, signal.getsignal(signal.SIGTERM)
    sys.argv = [name, *arguments]
    try:
        run(module.main)
    except SystemExit as end:
        return end.code
    finally:
        sys.argv = before[0]
        signal.signal(signal.SIGTERM, before[1])
    return None


def make_finished(folder, digits):
    """Run all stages with SMALL in an empty folder."""
    (folder / "params.yaml").write_text(presets.fresh(with_values(digits, SMALL)))
    for name in ("digits", "weights"):
        (folder / "data/raw" / name).mkdir(parents=True)
    shutil.copytree(ROOT / "data/pools", folder / "data/pools")
    with contextlib.chdir(folder):
        for call in ALL_STAGES:
            assert stage(*call.split()) is None
