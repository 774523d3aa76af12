"""Run a stage again in a temporary place and say whether it gives the same bytes.

python -m commands.verify teacher          # says whether, and where they differ
python -m commands.verify student@gen1
"""

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from dvc.exceptions import DvcException

from commands import new_parser
from experiments.workspace import SHARED_OUT, copy_project, run_stage, stage_files
from noisy_student.runtime import console, environment, layout, run_record
from noisy_student.runtime.errors import UserError
from noisy_student.settings.params import read_yaml

TIMES = ("finished", "seconds")


def compare_files(first: Path, second: Path) -> str | None:
    """Where two files differ first, in words; None if their bytes are equal."""
    if not first.exists():
        return "it is not here to compare with"
    if not second.exists():
        return "it was not made"
    data = [path.read_bytes() for path in (first, second)]
    if data[0] == data[1]:
        return None
    try:
        if first.suffix == ".keras":
            return _compare_models(*data) or "the weights are equal, the description of the network is not"
        if first.suffix == ".npy":
            arrays = (np.load(path, mmap_mode="r") for path in (first, second))
            return _compare_arrays("array", *arrays) or "the values are equal, the bytes are not"
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        return f"one of the two cannot be read ({error})"
    lines = [content.split(b"\n") for content in data]
    for number, (one, other) in enumerate(zip(*lines, strict=False), start=1):
        if one != other:
            shown = [line[:120].decode(errors="replace") for line in (one, other)]
            return f"line {number}: {shown[0]!r}, now {shown[1]!r}"
    return f"{len(lines[0])} lines, now {len(lines[1])}"


def _compare_models(first, second):
    """The layers whose weights differ, in the order of the network."""
    weights = [_weights(data) for data in (first, second)]
    if list(weights[0]) != list(weights[1]):
        return "the networks have other layers"
    differing = [
        (name, difference)
        for name, one in weights[0].items()
        if (difference := _compare_arrays(name, one, weights[1][name]))
    ]
    if not differing:
        return None
    return f"{len(differing)} of {len(weights[0])} weights differ, the first: {differing[0][1]}"


def _weights(data):
    """{layer/weight: array} of a .keras file, in the order of its configuration."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        config = json.loads(archive.read("config.json"))
        order = {layer["name"]: place for place, layer in enumerate(config["config"]["layers"])}
        weights = {}
        with h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
            file.visititems(
                lambda name, item: weights.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
            )
            names = {name: file[name].parent.attrs.get("name", "") for name in weights}
    named = {f"{names[key] or key}/{key.rpartition('/')[2]}": value for key, value in weights.items()}
    return dict(sorted(named.items(), key=lambda item: (order.get(item[0].partition("/")[0], -1), item[0])))


def _compare_arrays(name, first, second):
    if first.shape != second.shape or first.dtype != second.dtype:
        return f"{name} is {first.dtype} {first.shape}, now {second.dtype} {second.shape}"
    if first.dtype.names:
        parts = (_compare_arrays(f"{name}'s {part}", first[part], second[part]) for part in first.dtype.names)
        return next(filter(None, parts), None)
    different = np.flatnonzero(np.ravel(first) != np.ravel(second))
    if not different.size:
        return None
    place = tuple(int(i) for i in np.unravel_index(different[0], first.shape))
    largest = np.abs(np.asarray(first, np.float64) - np.asarray(second, np.float64)).max()
    return (
        f"{name} differs in {different.size:,} of {first.size:,} values, first at {place}: "
        f"{first[place]!r}, now {second[place]!r}; largest difference {largest:.3g}"
    )


def compare(outs: Iterable[Path], folder: Path) -> dict[Path, str | None]:
    """{file: where it differs or None}: the outputs of a stage, relative files or folders, and those made in a copy."""
    differences: dict[Path, str | None] = {}
    for out in outs:
        if not out.exists():
            raise UserError(f"{out}: is not here to compare with. Run `dvc repro` or `dvc checkout` first.")
        made = {path.relative_to(folder) for path in _files(folder / out)}
        for path in sorted(made | _files(out)):
            differences[path] = compare_files(path, folder / path)
    return differences


def _files(out):
    return {path for path in (out.rglob("*") if out.is_dir() else [out]) if path.is_file()}


def explain(then: dict[str, Any] | None, now: dict[str, Any] | None) -> list[str]:
    """What is otherwise than when a stage ran, by its entries of metrics/run.json (None: there is none)."""
    if then is None or now is None:
        return ["metrics/run.json does not say how this stage ran"]
    keys = [key for key in {**then, **now} if key not in TIMES and not key.startswith("resumed_from")]
    return [f"{key}: {then.get(key)}, now {now.get(key)}" for key in keys if then.get(key) != now.get(key)]


def verify(stage: str) -> bool:
    """Print the comparison of one stage; return whether all bytes are equal."""
    deps, outs = stage_files(stage)
    _check_reachable(deps)
    then = run_record.read().get(stage)
    with tempfile.TemporaryDirectory(prefix="verify-") as temporary:
        folder = Path(temporary)
        copy_project(folder, extra=[*deps, layout.DOWNLOADS, *filter(Path.exists, SHARED_OUT)])
        print(f"running {stage} again in {folder}", flush=True)
        if run_stage(stage, folder):
            raise UserError(f"{stage} failed, see above.")
        differences = compare(outs, folder)
        with contextlib.chdir(folder):
            now = run_record.read().get(stage)
    for path, difference in differences.items():
        print(f"identical  {path}" if difference is None else f"DIFFERENT  {path}: {difference}")
    same = not any(differences.values())
    if not same:
        if now is not None:
            now["commit"] = environment.commit()  # the copy is no repository
        reasons = explain(then, now) or ["nothing that metrics/run.json records"]
        print(f"What is otherwise than then: {'; '.join(reasons)}.")
    return same


def _check_reachable(deps):
    """Raise UserError if images lie outside at a relative path, which leads elsewhere from a copy."""
    outside = {path for path in deps if path.is_absolute()}
    for name, place in _places(read_yaml("params.yaml")).items():
        if not os.path.isabs(place) and Path(os.path.abspath(place)) in outside:
            raise UserError(f"{name}={place} leads out of this folder: give an absolute path, then verify.")


def _places(values):
    """{parameter: file or folder} of a stage's input, which may lie anywhere."""
    found = {f"data.{name}": values["data"][name] for name in ("root", "unlabelled_from")}
    found["teacher.weights"] = values["teacher"]["weights"]
    return found | {f"eval.extra_tests.{name}": place for name, place in values["eval"]["extra_tests"].items()}


def parser() -> argparse.ArgumentParser:
    """That of this command."""
    own = new_parser("commands.verify", __doc__, failure="the bytes differ")
    own.add_argument("stage", metavar="STAGE", help="as dvc.yaml calls it, e.g. teacher or student@gen1")
    return own


def main() -> None:
    """Verify one stage."""
    arguments = parser().parse_args()
    try:
        sys.exit(0 if verify(arguments.stage) else 1)
    except (UserError, OSError, subprocess.CalledProcessError, DvcException) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    console.use_utf8()
    main()
