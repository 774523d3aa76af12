"""What a stage imports is part of its time: frameworks and libraries only where they are used."""

import os
import shutil
import subprocess
import sys

import numpy as np

from commands import preset as presets
from noisy_student.runtime import layout
from noisy_student.runtime.files import read_array, write_array
from support import ROOT

FRAMEWORKS = ("keras", "tensorflow", "jax", "torch", "numba")
LIBRARIES = ("vl_convert", "scipy", "sklearn")
STAGES = sorted({f"stages.{path.stem}" for path in (ROOT / "stages").glob("[a-z]*.py")} - {"stages.entry"})

# Importing what is refused fails: nothing is found by looking at what happens to be imported.
REFUSING = """
import contextlib, io, runpy, sys

_, modules, refused, *arguments = sys.argv

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in refused.split(","):
            raise RuntimeError(f"{name} is imported")

sys.meta_path.insert(0, Refuse())
"""
ONE = """
sys.argv = [modules, *arguments]
runpy.run_module(modules, run_name="__main__", alter_sys=True)
"""
HELP = """
for module in modules.split(","):
    sys.argv, printed = [module, "--help"], io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    print(module, printed.getvalue().partition(":")[0])
"""


def _run(module, refused, *arguments, folder, code=ONE):
    return subprocess.run(
        [sys.executable, "-c", REFUSING + code, module, ",".join(refused), *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_needs_neither_frameworks_nor_libraries(tmp_path):
    """One process for all: what one imports, and others then would not, is refused to it, too."""
    modules = [*STAGES, "commands.check", "commands.preset", "noisy_student"]
    done = _run(",".join(modules), (*FRAMEWORKS, *LIBRARIES), folder=tmp_path, code=HELP)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{module} usage" for module in modules]


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
