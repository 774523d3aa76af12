"""`arithmetic: portable`: the small workspace's models and metrics have the bytes that are committed.

`PYTHONPATH=.:tests python tests/slow/test_portable.py` wrote tests/slow/portable.json, and writes it anew
when a library or the small workspace changes.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

from commands import preset as presets
from noisy_student.runtime import arithmetic
from noisy_student.runtime.environment import cpu, versions
from small import ALL_STAGES, SMALL
from support import ROOT, digits_100, with_values

pytestmark = pytest.mark.slow

COMMITTED = Path(__file__).with_name("portable.json")
WEIGHTS = "model.weights.h5"  # within a .keras file, which also holds all parameters: a new one changes no arithmetic
COMPUTED = ("models/*.keras", "metrics/**/*.json", "metrics/**/*.csv", "data/prepared/pseudo_labels/*/*")


def _run(folder):
    """Run all stages in an empty folder, each a process as DVC starts it."""
    _lay_out(folder)
    switches = {*arithmetic.SWITCHES, *arithmetic.UNSET, "DVC_ROOT", "DVC_STAGE"}
    environment = {name: value for name, value in os.environ.items() if name not in switches}
    for call in ALL_STAGES:
        command = [sys.executable, "-m", f"stages.{call.split()[0]}", *call.split()[1:]]
        subprocess.run(command, cwd=folder, env=environment | {"PYTHONPATH": str(ROOT)}, check=True, timeout=300)


def _lay_out(folder):
    values = with_values(digits_100(), SMALL | {"arithmetic": "portable"})
    (folder / "params.yaml").write_text(presets.fresh(values))
    for name in ("digits", "weights"):
        (folder / "data/raw" / name).mkdir(parents=True)
    shutil.copytree(ROOT / "data/pools", folder / "data/pools")


def _digests(folder):
    """{file: SHA-256} of what the stages computed; of models that of their weights."""
    record = json.loads((folder / "metrics/run.json").read_text())
    assert {entry["arithmetic"] for entry in record.values()} == {"portable"}
    assert {record[name]["precision"] for name in ("teacher", "student@gen1")} == {"float32"}
    paths = sorted(path for pattern in COMPUTED for path in folder.glob(pattern) if path.name != "run.json")
    return {str(path.relative_to(folder)): hashlib.sha256(_computed(path)).hexdigest() for path in paths}


def _computed(path):
    if path.suffix != ".keras":
        return path.read_bytes()
    with zipfile.ZipFile(path) as model:
        return model.read(WEIGHTS)


def test_the_bytes_are_those_that_are_committed(tmp_path):
    """On a kind of CPU that has not shown these bytes yet, a difference is reported and does not fail."""
    pytest.importorskip("tensorflow")
    committed = json.loads(COMMITTED.read_text())
    if not committed["versions"].items() <= versions().items():
        pytest.xfail(f"other versions than {COMMITTED.name}'s: write it anew as its test says")
    _run(tmp_path)
    computed = _digests(tmp_path)
    differing = [name for name, digest in committed["files"].items() if computed.get(name) != digest]
    if differing and cpu() not in committed["cpus"]:
        pytest.xfail(f"on {cpu()} other bytes than on {committed['cpus']}: {differing}")
    assert not differing


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        _run(Path(made))
        found = {"cpus": [cpu()], "versions": versions(), "files": _digests(Path(made))}
    COMMITTED.write_text(json.dumps(found, indent=1) + "\n")
