"""What a study has measured: a row for each arm and seed, in CSV files to be committed."""

import base64
import csv
import io
import json

import dvc.api
import numpy as np

from experiments.study.definition import FIGURES, RESULTS
from noisy_student import layout
from noisy_student.errors import UserError
from noisy_student.files import write_csv

KEYS = ("arm", "seed")
FACTS = ("seconds", "settings", "commit", "machine")
COLUMNS = (*KEYS, *FIGURES, *FACTS)


def table_path(study, preset):
    """The CSV file of a study's rows."""
    return RESULTS / preset / f"{study}.csv"


def outcomes_path(study, preset):
    """The CSV file that says which test images were classified rightly."""
    return RESULTS / preset / f"{study}.outcomes.csv"


def read(study, preset):
    """{(arm, seed): row}, with numbers as floats and None for what was not measured.

    Raises:
        UserError: the file is no such table.
    """
    path = table_path(study, preset)
    return {(row["arm"], int(row["seed"])): _typed(path, row) for row in _read(path, COLUMNS)}


def read_outcomes(study, preset):
    """{(arm, seed): (images,) bool}, whether a test image was classified rightly; of rows that have it."""
    path = outcomes_path(study, preset)
    return {
        (row["arm"], int(row["seed"])): unpack(row["right"], int(row["images"]))
        for row in _read(path, (*KEYS, "images", "right"))
    }


def pack(right):
    """(N,) bool as text: base64 of its bits, the first in the highest place."""
    return base64.b64encode(np.packbits(right).tobytes()).decode()


def unpack(text, images):
    """The array that `pack` was given."""
    return np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8), count=images).astype(bool)


def add(study, preset, row, right):
    """Add a row, or put it in the place of the one for the same arm and seed.

    Args:
        study, preset: their names.
        row: dict with the columns `COLUMNS`.
        right: (images,) bool of this run, see `read_outcomes`.
    """
    outcome = {key: row[key] for key in KEYS} | {"images": len(right), "right": pack(right)}
    # the row is written last: without it the run does not count as done
    for path, new in ((outcomes_path(study, preset), outcome), (table_path(study, preset), row)):
        rows = [
            old for old in _read(path, new) if (old["arm"], int(old["seed"])) != (new["arm"], new["seed"])
        ]
        write_csv(path, [*rows, {key: _text(value) for key, value in new.items()}])


def measure(experiment, model, teacher):
    """The figures of one run, from DVC's record of the experiment.

    Args:
        experiment: its name.
        model: whose test figures count, e.g. "student-gen1".
        teacher: the model that it learned from.

    Returns:
        (dict with the columns `FIGURES`, (images,) bool: whether a test image was classified rightly).
    """
    record = dvc.api.DVCFileSystem(rev=experiment)

    def read_json(path):
        return json.loads(record.read_text(path.as_posix()))

    figures = read_json(layout.EVAL_METRICS)
    found = figures[model]
    row = {key: found.get(key) for key in ("accuracy", "nll", "ece")}
    row["teacher_accuracy"] = figures[teacher]["accuracy"]
    row["validation_accuracy"] = read_json(layout.summary(model))["best"]["validation_accuracy"]
    row |= {key: found.get(key) for key in ("pseudo_label_coverage", "pseudo_label_accuracy")}
    for name, prefix in ((model, ""), (teacher, "teacher_")):
        measured = _robustness(read_json(layout.robustness(name)))
        row |= {f"{prefix}{key}": value for key, value in measured.items()}
    guesses = record.read_text((layout.EVAL_TABLES / f"confusion-{model}.csv").as_posix())
    pairs = csv.DictReader(io.StringIO(guesses))
    return row, np.array([pair["actual"] == pair["predicted"] for pair in pairs])


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


def _text(value):
    return "" if value is None else value
