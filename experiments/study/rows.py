"""What a study has measured: a row for each arm and seed, in CSV files to be committed."""

import base64
import csv
import io
import json
import zlib
from dataclasses import dataclass

import dvc.api
import numpy as np
from ruamel.yaml import YAML

from experiments.study.definition import FIGURES, RESULTS
from noisy_student import layout
from noisy_student.errors import UserError
from noisy_student.files import write_csv

KEYS = ("arm", "seed")
FACTS = ("seconds", "settings", "commit", "machine")
COLUMNS = (*KEYS, *FIGURES, *FACTS)
_FROM_CACHE = "training from DVC's cache"
_SEPARATOR = "; "  # of the facts in the column "machine"


def table_path(study, preset):
    """The CSV file of a study's rows."""
    return RESULTS / preset / f"{study}.csv"


def outcomes_path(study, preset):
    """The CSV file that says which test images were classified rightly."""
    return RESULTS / preset / f"{study}.outcomes.csv"


def images_path(preset):
    """The CSV file that says which test images a seed has."""
    return RESULTS / preset / "test-images.csv"


def read(study, preset):
    """{(arm, seed): row}, with numbers as floats and None for what was not measured.

    Raises:
        UserError: the file is no such table.
    """
    path = table_path(study, preset)
    return {(row["arm"], int(row["seed"])): _typed(path, row) for row in _read(path, COLUMNS)}


@dataclass(frozen=True)
class Outcomes:
    """How a model did on every test image.

    Attributes:
        images: (N,) uint32, ascending: what tells an image from others, whatever the seed.
        right: (N,) bool: whether it was classified rightly.
    """

    images: np.ndarray
    right: np.ndarray


def read_outcomes(study, preset):
    """{(arm, seed): Outcomes} of the rows that have them."""
    images = {
        int(row["seed"]): np.frombuffer(base64.b64decode(row["images"]), "<u4")
        for row in _read(images_path(preset), ("seed", "images"))
    }
    found = {}
    for row in _read(outcomes_path(study, preset), (*KEYS, "right")):
        seed = int(row["seed"])
        packed = np.frombuffer(base64.b64decode(row["right"]), np.uint8)
        right = np.unpackbits(packed, count=len(images[seed])).astype(bool)
        found[row["arm"], seed] = Outcomes(images[seed], right)
    return found


def add(study, preset, row, outcomes):
    """Add a row, or put it in the place of the one for the same arm and seed.

    Args:
        study, preset: their names.
        row: dict with the columns `COLUMNS`.
        outcomes: Outcomes of this run; None if they are not known.
    """
    if outcomes is not None:
        images = base64.b64encode(outcomes.images.astype("<u4").tobytes()).decode()
        _put(images_path(preset), {"seed": row["seed"], "images": images}, ("seed",))
        right = base64.b64encode(np.packbits(outcomes.right).tobytes()).decode()
        _put(outcomes_path(study, preset), {key: row[key] for key in KEYS} | {"right": right}, KEYS)
    # last: without this row the run does not count as done
    _put(table_path(study, preset), {key: "" if value is None else value for key, value in row.items()}, KEYS)


def _put(path, new, keys):
    rows = {tuple(row[key] for key in keys): row for row in _read(path, new)}
    rows[tuple(str(new[key]) for key in keys)] = new
    write_csv(path, list(rows.values()))


def measure(experiment, values, model, teacher):
    """The figures of one run, from DVC's record of the experiment.

    Args:
        experiment: its name.
        values: the parameters that it was to have.
        model: whose test figures count, e.g. "student-gen1".
        teacher: the model that it learned from.

    Returns:
        (dict with the columns `FIGURES`, "seconds" of all stages that ran and "machine", Outcomes or None).

    Raises:
        UserError: the experiment ran with other parameters.
    """
    record = dvc.api.DVCFileSystem(rev=experiment)

    def read_json(path):
        return json.loads(record.read_text(path.as_posix()))

    if YAML(typ="safe", pure=True).load(record.read_text("params.yaml")) != values:
        raise UserError(f"experiment {experiment} ran with other parameters than it was to have")
    figures = read_json(layout.EVAL_METRICS)
    found = figures[model]
    row = {key: found.get(key) for key in ("accuracy", "nll", "ece")}
    row["teacher_accuracy"] = figures[teacher]["accuracy"]
    row["validation_accuracy"] = read_json(layout.summary(model))["best"]["validation_accuracy"]
    row |= {key: found.get(key) for key in ("pseudo_label_coverage", "pseudo_label_accuracy")}
    for name, prefix in ((model, ""), (teacher, "teacher_")):
        measured = _robustness(read_json(layout.robustness(name)))
        row |= {f"{prefix}{key}": value for key, value in measured.items()}
    stages = read_json(layout.RUN_RECORD) if record.exists(layout.RUN_RECORD.as_posix()) else {}
    row["seconds"] = round(sum(stage["seconds"] for stage in stages.values()), 1)
    row["machine"] = machine(stages, model)
    return row, _outcomes(record, model)


def machine(stages, model):
    """Where the stages of a run were carried out, in words.

    Args:
        stages: {stage: entry} of metrics/run.json, of the stages that ran.
        model: whose training counts.
    """
    training = model.replace("student-", "student@")
    found = sorted({_processor(entry) for entry in stages.values()})
    return _SEPARATOR.join([*found, *([] if training in stages else [_FROM_CACHE])])


def _processor(entry):
    threads = entry["threads"]
    return f"{entry['cpu']['name']}, {threads} thread{'s' * (threads != 1)}"


def machines(found):
    """Where rows were measured, in words: every machine once, and how many trainings DVC had in its cache.

    Args:
        found: list of rows.
    """
    parts = [part for row in found for part in row["machine"].split(_SEPARATOR)]
    names, cached = sorted(set(parts) - {_FROM_CACHE}), parts.count(_FROM_CACHE)
    names += [f"{cached} of {len(found)} trainings from DVC's cache"] if cached else []
    return _SEPARATOR.join(names)


def _outcomes(record, model):
    guesses = record.read_text((layout.EVAL_TABLES / f"confusion-{model}.csv").as_posix())
    right = [pair["actual"] == pair["predicted"] for pair in csv.DictReader(io.StringIO(guesses))]
    pixels = (layout.TEST / "images.npy").as_posix()
    if not record.exists(pixels):  # in shards
        return None
    images = np.load(io.BytesIO(record.read_bytes(pixels)), allow_pickle=False)
    keys = np.array([zlib.crc32(image.tobytes()) for image in images], np.uint32)
    order = np.argsort(keys, kind="stable")
    return Outcomes(keys[order], np.array(right)[order])


def _robustness(measured):
    if measured["robustness"] == "off":
        return dict.fromkeys(("corruption_error", "flip_probability", "fgsm_accuracy"))
    return {
        "corruption_error": measured["mean_corruption_error"],
        "flip_probability": measured["mean_flip_probability"],
        "fgsm_accuracy": measured["fgsm_accuracy"]["4"],
    }


def _read(path, columns):
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if rows and set(rows[0]) != set(columns):
        raise UserError(
            f"{path}: expected the columns {', '.join(columns)}; found {', '.join(rows[0])}. Restore the "
            "file with git, or remove it and run the study again."
        )
    return rows


def _typed(path, row):
    typed = dict(row, seed=int(row["seed"]))
    for column in (*FIGURES, "seconds"):
        try:
            typed[column] = float(row[column]) if row[column] else None
        except ValueError:
            raise UserError(
                f"{path}: {column} of arm {row['arm']}, seed {row['seed']} is {row[column]!r}, no number. "
                "Restore the file with git."
            ) from None
    return typed
