"""What a stage imports is part of its time: frameworks and libraries only where they are used."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from commands import preset as presets
from noisy_student.runtime import layout
from noisy_student.runtime.files import read_array, write_array
from support import ROOT

FRAMEWORKS = ("keras", "tensorflow", "jax", "torch", "numba")
LIBRARIES = ("vl_convert", "scipy", "sklearn")
STAGES = sorted({f"stages.{path.stem}" for path in (ROOT / "stages").glob("[a-z]*.py")} - {"stages.entry"})

# Importing what is refused fails: nothing is found by looking at what happens to be imported.
REFUSING = """
import runpy, sys

_, module, refused, *arguments = sys.argv

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in refused.split(","):
            raise RuntimeError(f"{name} is imported")

sys.meta_path.insert(0, Refuse())
sys.argv = [module, *arguments]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def _run(module, refused, *arguments, folder):
    return subprocess.run(
        [sys.executable, "-c", REFUSING, module, ",".join(refused), *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("module", [*STAGES, "commands.check", "commands.preset", "noisy_student"])
def test_help_needs_neither_frameworks_nor_libraries(module, tmp_path):
    done = _run(module, (*FRAMEWORKS, *LIBRARIES), "--help", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage:")


def test_prepare_and_balance_run_without_a_framework(tmp_path, digits):
    text = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(presets.rewrite(text, digits))
    shutil.copytree(ROOT / "data/pools", tmp_path / "data/pools")
    (tmp_path / digits["data"]["root"]).mkdir(parents=True)
    done = _run("stages.prepare", (*FRAMEWORKS, "vl_convert"), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    pool = len(read_array(tmp_path / layout.UNLABELLED / "images.npy"))
    probs = np.eye(10, dtype=np.float32)[np.arange(pool) % 10]
    write_array(tmp_path / layout.pseudo_labels("gen1") / "shard-00000.npy", probs)
    done = _run("stages.balance", (*FRAMEWORKS, "scipy", "sklearn"), "gen1", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (np.bincount(read_array(tmp_path / layout.balanced("gen1")) % 10) == -(-pool // 10)).all()


def test_a_source_of_another_kind_does_not_pay_for_the_digits(tmp_path, digits):
    text = (ROOT / "params.yaml").read_text()
    values = {**digits, "data": {**digits["data"], "source": "folder", "root": "none"}}
    (tmp_path / "params.yaml").write_text(presets.rewrite(text, values))
    done = _run("stages.prepare", (*FRAMEWORKS, *LIBRARIES), folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: "), done.stderr  # that there is no such folder
