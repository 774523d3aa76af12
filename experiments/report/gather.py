"""What the page shows, read from the files that the stages and the studies have written."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from commands.preset import Tree
from experiments.study.findings import Findings, all_findings
from experiments.study.rows import Row
from noisy_student.runtime import layout, run_record
from noisy_student.runtime.errors import DataError
from noisy_student.runtime.files import read_csv, read_json
from noisy_student.runtime.types import Ints
from noisy_student.settings import params
from noisy_student.settings.schema import PseudoLabelParams

_NAMES = ("class", "when", "model", "attack")  # columns that are no numbers, even if they look so


@dataclass(frozen=True)
class Model:
    """A trained model.

    Attributes:
        metrics: its part of metrics/eval.json.
        summary: the content of metrics/models/NAME.json.
        curves: rows of its learning curves, numbers as floats.
        confusion: (K, K) counts of test images, rows: truth.
        robustness: the content of metrics/tables/robustness/NAME/summary.json; None if it was not measured.
        attacks: rows of {attack, epsilon, accuracy}.
    """

    name: str
    metrics: dict[str, Any]
    summary: dict[str, Any]
    curves: list[Row]
    confusion: Ints
    robustness: dict[str, Any] | None
    attacks: list[Row]


@dataclass(frozen=True)
class Generation:
    """What one generation did to the pool.

    Attributes:
        key: of params.yaml.
        teacher, student: names of its models.
        uses_labels: whether its student learned from pseudo-labels.
        confidence: rows of `confidence_rows`.
        class_counts: rows of {class, images, when}.
        pictures: {caption: path of a PNG}.
    """

    key: str
    teacher: str
    student: str
    pseudolabel: PseudoLabelParams
    uses_labels: bool
    confidence: list[Row]
    class_counts: list[Row]
    pictures: dict[str, Path]


@dataclass(frozen=True)
class Run:
    """All of the page.

    Attributes:
        data: the content of metrics/data.json.
        models: the teacher first.
        reliability: rows of {model, lower, upper, count, confidence, accuracy}.
        pictures: {caption: path of a PNG} of the test images and of the noise.
        record: the content of metrics/run.json.
    """

    parameters: Tree
    data: dict[str, Any]
    classes: list[str]
    models: list[Model]
    generations: list[Generation]
    reliability: list[Row]
    pictures: dict[str, Path]
    record: dict[str, dict[str, Any]]
    studies: list[Findings] = field(default_factory=list)


def gather() -> Run:
    """Read everything.

    Raises:
        UserError: the pipeline has not run with the present parameters, or a file is damaged.
    """
    settings = params.load()
    metrics, classes = read_json(layout.EVAL_METRICS), read_json(layout.CLASSES)
    models = [layout.TEACHER, *map(layout.Model, settings.generations)]
    names = [model.name for model in models]
    if set(metrics) != set(names):
        raise DataError(
            f"{layout.EVAL_METRICS}: figures of {', '.join(metrics)}, but params.yaml has "
            f"{', '.join(names)}. Run `dvc repro`."
        )
    parameters = params.read_yaml("params.yaml")
    _check_up_to_date(parameters)
    return Run(
        parameters=parameters,
        data=read_json(layout.DATA_METRICS),
        classes=classes,
        models=[_model(model, metrics[model.name], classes) for model in models],
        generations=[_generation(settings, key) for key in settings.generations],
        reliability=read_csv(layout.RESULT_TABLES / "reliability.csv", text=_NAMES),
        pictures=_test_pictures(settings),
        record=run_record.read(),
        studies=all_findings(),
    )


def _check_up_to_date(parameters):
    """Raise DataError if params.yaml has changed since the pipeline ran; dvc.lock says with what it did."""
    if not Path("dvc.lock").exists():
        return
    for stage, entry in params.read_yaml("dvc.lock").get("stages", {}).items():
        if "@" in stage and stage.partition("@")[2] not in parameters["generations"]:
            continue
        for key, used in entry.get("params", {}).get("params.yaml", {}).items():
            now = parameters
            for part in key.split("."):
                now = now.get(part) if isinstance(now, dict) else None
            if now != used:
                raise DataError(
                    f"{key} was {used!r} when the stage {stage} ran, and is {now!r} in params.yaml now. Run "
                    "`dvc repro`, then make the report."
                )


def _model(model, metrics, classes):
    summary = model.robustness_tables / "summary.json"
    measured = read_json(summary) if summary.exists() else None
    confusion, place = np.zeros((len(classes), len(classes)), int), {c: k for k, c in enumerate(classes)}
    path = model.evaluation / "confusion.csv"
    for row in read_csv(path, text=("actual", "predicted")):
        cells = row.get("actual"), row.get("predicted")
        if not set(cells) <= set(place):
            raise _damaged(path, f"the classes {cells} are not in {layout.CLASSES}")
        confusion[place[cells[0]], place[cells[1]]] += 1
    curves = read_csv(model.curves, text=_NAMES)
    if not curves:
        raise _damaged(model.curves, "no rows")
    return Model(
        name=model.name,
        metrics=metrics,
        summary=read_json(model.summary),
        curves=curves,
        confusion=confusion,
        robustness=measured,
        attacks=read_csv(model.robustness_tables / "attacks.csv", text=_NAMES) if measured else [],
    )


def _generation(settings, key):
    chosen, student, tables = settings.generation(key), layout.Model(key), layout.balance_tables(key)
    return Generation(
        key=key,
        teacher=chosen.teacher,
        student=student.name,
        pseudolabel=chosen.pseudolabel,
        uses_labels=chosen.student.uses_pseudo_labels,
        confidence=read_csv(student.evaluation / "confidence.csv", text=("label",)),
        class_counts=read_csv(tables / "class_counts.csv", text=_NAMES),
        pictures={f"Pseudo-labels of {key}, by class and confidence": student.evaluation_plots / "pseudo-labels.png"},
    )


def _test_pictures(settings):
    pictures = {"Input noise: images, and fresh draws of their noise": layout.TEACHER.evaluation_plots / "noise.png"}
    for key in settings.generations:
        student = layout.Model(key)
        first, second = settings.generation(key).teacher, student.name
        for wrong, right in ((first, second), (second, first)):
            path = student.evaluation_plots / f"{wrong}-wrong-{right}-right.png"
            pictures[f"Test images that {wrong} gets wrong and {right} gets right"] = path
    corrupted = layout.TEACHER.robustness_plots / "corruptions.png"
    if corrupted.exists():
        pictures["Corruptions of test images, by severity"] = corrupted
    return pictures


def _damaged(path, what):
    return DataError(f"{path}: damaged ({what}). Run `dvc repro`.")
