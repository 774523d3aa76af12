"""Helpers of several tests."""

import contextlib
import copy
import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

from commands import preset as presets
from noisy_student.settings.params import read_yaml
from noisy_student.settings.schema import ModelParams

ROOT = Path(__file__).resolve().parent.parent


# a sitecustomize.py, which Python runs when it starts: a file system that lists folders in another order
REVERSED = """
import os
_listdir, _scandir = os.listdir, os.scandir
os.listdir = lambda *arguments: _listdir(*arguments)[::-1]

class _Reversed:
    def __init__(self, *arguments):
        self._real = _scandir(*arguments)
        self._entries = iter(list(self._real)[::-1])
    def __iter__(self):
        return self
    def __next__(self):
        return next(self._entries)
    def __enter__(self):
        return self
    def __exit__(self, *arguments):
        self.close()
    def close(self):
        self._real.close()

os.scandir = _Reversed
"""


def made_once(tmp_path_factory, name, make):
    """A folder that `make(folder)` fills, by the first worker that asks for it, for all; not to be changed."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # the workers' folders lie in one that they share
        shared = shared.parent
    folder, made = shared / name, shared / f"{name}.made"
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            made.touch()
    return folder


def run_elsewhere(code, folder):
    """Run Python code in a process of its own, in a folder outside of the repository; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def digits_100():
    """The digits with 100 labels, validation images and one generation, as a nested dict: what small tests build on."""
    with contextlib.chdir(ROOT):
        return presets.parameters("digits-100")


def with_values(tree, values):
    """A copy of the nested dict with dotted keys set."""
    tree = copy.deepcopy(tree)
    for key, value in values.items():
        *sections, last = key.split(".")
        inner = tree
        for section in sections:
            inner = inner[section]
        inner[last] = value
    return tree


def sized(name, depth=None, width=None):
    """The parameters of a network by depth and width, whatever it calls them."""
    keys = ("wide_depth", "widening_factor") if name == "wide_resnet" else ("depth", "width")
    return ModelParams(name=name, **dict(zip(keys, (depth, width), strict=True)))


def set_params(values, folder=Path()):
    """Set dotted keys of a folder's params.yaml."""
    path = folder / "params.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(presets.rewrite(text, with_values(read_yaml(path), values)), encoding="utf-8")
