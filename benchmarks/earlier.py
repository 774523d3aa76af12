"""Copies of this tree and of an earlier commit, to be timed beside one another."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ruamel.yaml import YAML

from benchmarks.stages import copy_tree
from commands import preset as presets

ROOT = Path(__file__).parents[1]
COMMIT = "9a6a06b"  # the last one before stages were forked
FEW = {"steps": 20, "validate_every": 10}  # of a trial, whose figures mean nothing


@contextlib.contextmanager
def both() -> Iterator[tuple[Path, Path]]:
    """Folders with the earlier commit and with this tree, each a repository of its own; DVC's caches are theirs too."""
    with tempfile.TemporaryDirectory() as parent:
        os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        os.environ["DVC_SITE_CACHE_DIR"] = str(Path(parent, "site-cache"))
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        earlier, now = Path(parent, "earlier"), Path(parent, "now")
        known = subprocess.run(["git", "cat-file", "-e", f"{COMMIT}^{{commit}}"], cwd=ROOT, capture_output=True)
        if known.returncode:
            sys.exit(f"error: git does not know commit {COMMIT}: a whole clone is needed (`git fetch --unshallow`)")
        _call(["git", "clone", "--quiet", "--no-checkout", str(ROOT), str(earlier)], ROOT)
        _call(["git", "checkout", "--quiet", COMMIT], earlier)
        now.mkdir()
        copy_tree(now)
        for folder in (earlier, now):
            _call(["git", "config", "user.name", "Benchmark"], folder)
            _call(["git", "config", "user.email", "benchmark@example.org"], folder)
        _call(["git", "add", "-A"], now)
        _call(["git", "commit", "--quiet", "-m", "benchmark"], now)
        yield earlier, now


def _call(command, folder):
    subprocess.run(command, cwd=folder, stdout=sys.stderr, check=True)


def use_preset(folder: Path, name: str) -> None:
    """Write this tree's params.yaml of a preset."""
    Path(folder, "params.yaml").write_text(presets.fresh(presets.parameters(name)), encoding="utf-8")


def use_its_own_preset(folder: Path, name: str) -> None:
    """Write the earlier commit's params.yaml of a preset, by its own command."""
    _call([sys.executable, "-m", "commands.preset", name], folder)


def change(folder: Path, **changes: object) -> None:
    """Change values of a params.yaml, by keys with __ in place of points; other values and unknown keys stay."""
    yaml, path = YAML(), folder / "params.yaml"
    tree = yaml.load(path)
    for key, value in changes.items():
        *sections, last = key.split("__")
        inner = tree
        for section in sections:
            inner = inner[section]
        inner[last] = value
    yaml.dump(tree, path)


def few_steps(folder: Path) -> None:
    """Hardly any training, for a trial."""
    for role in ("teacher", "student"):
        change(folder, **{f"{role}__{key}": value for key, value in FEW.items()})
    change(folder, pseudolabel__threshold=0.0, balance__on_empty="skip")


def seconds_of(command: list[str], folder: Path) -> float:
    """How long a command takes in a folder; what it prints goes to standard error."""
    began = time.perf_counter()
    _call(command, folder)
    return time.perf_counter() - began


def tested(folder: Path, model: str) -> dict:
    """What the last run measured of a model on test images; accuracy in %."""
    measured = json.loads(Path(folder, "metrics/eval.json").read_text(encoding="utf-8"))[model]
    return measured | {"accuracy": 100 * measured["accuracy"]}
