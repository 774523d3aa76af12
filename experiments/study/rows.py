"""What a study has measured: a row for each arm and seed, in CSV files to be committed."""

import base64
import csv
import hashlib
import io
import json
import math
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import dvc.api
import numpy as np
import numpy.typing as npt
from ruamel.yaml import YAML

from commands.preset import Tree
from experiments.study.columns import METRICS
from experiments.study.definition import changed, results_of
from experiments.workspace import with_absolute_folders
from noisy_student.runtime import layout
from noisy_student.runtime.environment import Provenance
from noisy_student.runtime.errors import UserError
from noisy_student.runtime.files import read_csv, write_csv
from noisy_student.runtime.layout import Model
from noisy_student.runtime.types import Mask

KEYS = ("arm", "seed")
FACTS = ("seconds", "settings", "commit", "machine")
COLUMNS = (*KEYS, *METRICS, *FACTS)
_MEASURED = ("accuracy", "teacher_accuracy", "seconds")  # in every row
_NEEDED = (*KEYS, *_MEASURED, "settings", "commit", "machine")  # the other columns may be missing in a table
_FROM_CACHE = "training from DVC's cache"
Row = dict[str, Any]  # {column: value}; numbers are floats, but the seed; None: not measured

PILOT = ".pilot"  # ends the name of the rows of a study's pilot
_SEPARATOR = "; "  # of the facts in the column "machine"
csv.field_size_limit(2**31 - 1)  # a cell holds four bytes for every test image, as base64


def table_path(study: str, preset: str) -> Path:
    """The CSV file of a study's rows."""
    return results_of(preset) / f"{study}.csv"


def outcomes_path(study: str, preset: str) -> Path:
    """The CSV file that says which test images were classified rightly."""
    return results_of(preset) / f"{study}.outcomes.csv"


def images_path(preset: str) -> Path:
    """The CSV file that says which test images a digest in the file of outcomes stands for."""
    return results_of(preset) / "test-images.csv"


def peers_path(study: str, preset: str) -> Path:
    """The CSV file of what independent classifiers made of the same images, see `peers`."""
    return results_of(preset) / f"{study}.peers.csv"


def read_peers(study: str, preset: str) -> list[Row]:
    """Their rows, see `peers.measure`; none where there is no file."""
    path = peers_path(study, preset)
    return read_csv(path, text=("peer", "use", "scikit_learn")) if path.exists() else []


def read(study: str, preset: str) -> dict[tuple[str, int], Row]:
    """{(arm, seed): row}.

    Columns that were added since a table was written are read as not measured.

    Raises:
        UserError: the file is no such table.
    """
    path = table_path(study, preset)
    rows = _read(path, COLUMNS, KEYS, needed=_NEEDED)
    return {(arm, int(seed)): _typed(path, row) for (arm, seed), row in rows.items()}


@dataclass(frozen=True)
class Outcomes:
    """How a model did on every test image.

    Attributes:
        images: (N,), ascending: what tells an image from others, whatever the seed.
        right: whether it was classified rightly.
    """

    images: npt.NDArray[np.uint32]
    right: Mask


def read_outcomes(study: str, preset: str) -> dict[tuple[str, int], Outcomes]:
    """{(arm, seed): Outcomes} of the rows that have them.

    Raises:
        UserError: the files are no such tables, or do not fit each other.
    """
    path, images_of = images_path(preset), {}
    for (digest,), row in _read(path, ("digest", "images"), ("digest",)).items():
        images_of[digest] = _decoded(path, f"images {digest}", row["images"], "<u4")
    path, outcomes = outcomes_path(study, preset), {}
    for (arm, seed), row in _read(path, (*KEYS, "images", "right"), KEYS).items():
        what, images = f"arm {arm}, seed {seed}", images_of.get(row["images"])
        if images is None:
            raise _damaged(path, f"{what}: its images, {row['images']}, are not in {images_path(preset)}")
        packed = _decoded(path, what, row["right"], np.uint8)
        if len(packed) != math.ceil(len(images) / 8):
            raise _damaged(path, f"{what}: outcomes of {8 * len(packed)} images, expected {len(images)}")
        outcomes[arm, int(seed)] = Outcomes(images, np.unpackbits(packed, count=len(images)).astype(bool))
    return outcomes


def _decoded(path, what, text, kind):
    try:
        return np.frombuffer(base64.b64decode(text, validate=True), kind)
    except ValueError:
        raise _damaged(path, f"{what}: not what was written") from None


def add(study: str, preset: str, row: Row, outcomes: Outcomes | None) -> None:
    """Add a row, or put it in the place of the one for the same arm and seed.

    Args:
        study, preset: their names.
        row: with the columns `COLUMNS`.
        outcomes: None if they are not known; not kept of pilots, of which only the deviation counts.
    """
    if outcomes is not None and not study.endswith(PILOT):
        images = outcomes.images.astype("<u4").tobytes()
        digest = hashlib.sha256(images).hexdigest()[:8]
        _put(images_path(preset), {"digest": digest, "images": _encoded(images)}, ("digest",))
        own = {"images": digest, "right": _encoded(np.packbits(outcomes.right).tobytes())}
        _put(outcomes_path(study, preset), {key: row[key] for key in KEYS} | own, KEYS)
    # last: without this row the run does not count as done
    new = {column: "" if row[column] is None else row[column] for column in COLUMNS}
    _put(table_path(study, preset), new, KEYS, needed=_NEEDED)


def refuse_other_images(study: str, preset: str, arm: str, outcomes: Outcomes | None) -> None:
    """Make sure that a run of an arm was tested on the images of the arm's rows, where seeds do not draw them.

    Raises:
        UserError: it was not; the source's archive is another one, `data.sha256` does not tell rows apart.
    """
    if outcomes is None:
        return
    rows = read(study, preset)  # outcomes whose row was removed count no more
    for (other, seed), known in read_outcomes(study, preset).items():
        if other == arm and (other, seed) in rows and not np.array_equal(known.images, outcomes.images):
            raise UserError(
                f"it was tested on other images than seed {seed} of {arm} in {outcomes_path(study, preset)}: the "
                "archive of the source is another one. Give that one (data.root, data.sha256), or remove the study's "
                "CSV files and measure all seeds on yours."
            )


def _put(path, new, keys, needed=None):
    rows = _read(path, new, keys, needed)
    rows[tuple(str(new[key]) for key in keys)] = new
    write_csv(path, [{column: row[column] for column in new} for row in rows.values()])


def _encoded(content):
    return base64.b64encode(content).decode()


def measure(experiment: str, parameters: Tree, model: str, teacher: str) -> tuple[Row, Outcomes | None]:
    """The metrics of one run, from DVC's record of the experiment.

    Args:
        experiment: its name.
        parameters: those that it was to have.
        model: whose test metrics count, e.g. "student-gen1".
        teacher: the model that it learned from.

    Returns:
        (row with the columns `METRICS`, "seconds" of all stages that ran and "machine", outcomes if known).

    Raises:
        UserError: the experiment ran with other parameters, or what every row has was not measured.
    """
    record = dvc.api.DVCFileSystem(rev=experiment)

    @cache
    def read_json(path):
        return json.loads(record.read_text(path))

    recorded = YAML(typ="safe", pure=True).load(record.read_text("params.yaml"))
    if changed(with_absolute_folders(recorded)) != changed(with_absolute_folders(parameters)):
        raise UserError(f"experiment {experiment} ran with other parameters than it was to have")
    row = {name: column.value(read_json, model, teacher) for name, column in METRICS.items()}
    lacking = [name for name in _MEASURED if row.get(name, 0) is None]
    if lacking:
        raise UserError(f"experiment {experiment} has no {', '.join(lacking)}")
    path = layout.RUN_RECORD.as_posix()
    entries = read_json(path) if record.exists(path) else {}
    stages = {stage: entry for stage, entry in entries.items() if "failed" not in entry}
    row["seconds"] = round(sum(stage["seconds"] for stage in stages.values()), 1)
    row["machine"] = machine(stages, model)
    return row, _outcomes(record, model)


def is_from_cache(row: Row) -> bool:
    """Whether the training of a row was fetched from DVC's cache."""
    return row["machine"].endswith(_FROM_CACHE)


def machine(stages: dict[str, dict[str, Any]], model: str) -> str:
    """Where the stages of a run were carried out, in words.

    Args:
        stages: {stage: entry} of metrics/run.json, of the stages that ran.
        model: whose training counts.
    """
    names = sorted({Provenance.recorded(entry).machine for entry in stages.values()})
    return _SEPARATOR.join([*names, *([] if Model.named(model).stage in stages else [_FROM_CACHE])])


def machines(measured: list[Row]) -> str:
    """Where rows were measured, in words: every machine once, and how many trainings DVC had in its cache."""
    parts = [part for row in measured for part in row["machine"].split(_SEPARATOR)]
    names, cached = sorted(set(parts) - {_FROM_CACHE}), parts.count(_FROM_CACHE)
    names += [f"{cached} of {len(measured)} trainings from DVC's cache"] if cached else []
    return _SEPARATOR.join(names)


def _outcomes(record, model):
    predictions = record.read_text((layout.Model.named(model).evaluation / "confusion.csv").as_posix())
    right = [pair["actual"] == pair["predicted"] for pair in csv.DictReader(io.StringIO(predictions))]
    pixels = (layout.TEST / "images.npy").as_posix()
    if not record.exists(pixels):  # in shards
        return None
    images = np.load(io.BytesIO(record.read_bytes(pixels)), allow_pickle=False)
    keys = np.array([zlib.crc32(image.tobytes()) for image in images], np.uint32)
    order = np.argsort(keys, kind="stable")
    return Outcomes(keys[order], np.array(right)[order])


def _read(path, columns, keys, needed=None):
    """{key: row} of a table, all of it texts; a key is the tuple of what stands in the columns `keys`.

    Of `columns` those beyond `needed` (None: all are needed) may be missing, and read as empty then.
    """
    rows: dict[tuple, dict[str, str]] = {}
    if not path.exists():
        return rows
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            names = reader.fieldnames or ()
            faults = {
                "missing": [name for name in (columns if needed is None else needed) if name not in names],
                "unknown": [name for name in names if name not in columns],
                "a column stands there twice": sorted({name for name in names if names.count(name) > 1}),
            }
            if any(faults.values()):
                told = "; ".join(f"{fault}: {', '.join(named)}" for fault, named in faults.items() if named)
                raise _damaged(path, f"the columns are not those of {', '.join(columns)}; {told}")
            for row in reader:
                key = tuple(map(row.get, keys))
                fault = _fault(row) or ("it stands there twice" if key in rows else "")
                if fault:
                    raise _damaged(f"{path}, line {reader.line_num}", fault)
                rows[key] = dict.fromkeys(columns, "") | row
    except (csv.Error, UnicodeDecodeError) as error:
        raise _damaged(path, f"no CSV in UTF-8 ({error})") from None
    return rows


def _fault(row):
    if None in row or None in row.values():
        return f"{'more' if None in row else 'fewer'} cells than columns"
    seed = row.get("seed", "0")
    return "" if seed.isascii() and seed.isdigit() else f"seed is {seed!r}, no whole number from 0 on"


def _damaged(where, what):
    return UserError(
        f"{where}: {what}. Restore the file with git, or remove it and run the study again in a fresh clone."
    )


def _typed(path, row):
    typed = dict(row, seed=int(row["seed"]))
    for column in (*METRICS, "seconds"):
        cell = row[column]
        try:
            typed[column] = float(cell) if cell or column in _MEASURED else None
            known = typed[column] is None or math.isfinite(typed[column])
        except ValueError:
            known = False
        if not known:
            raise _damaged(path, f"{column} of arm {row['arm']}, seed {row['seed']} is {cell!r}, no number")
    return typed
