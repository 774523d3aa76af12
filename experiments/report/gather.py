"""What the page shows, read from the files that the stages and the studies have written."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from commands.preset import Tree
from commands.results import missing
from experiments.study.rows import Row
from noisy_student.runtime import layout, run_record
from noisy_student.runtime.errors import DataError
from noisy_student.runtime.files import read_csv, read_json
from noisy_student.runtime.types import Ints
from noisy_student.settings import params
from noisy_student.settings.schema import PseudoLabelParams
from noisy_student.steps.results import measured_of

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
        uses_labels: whether its student learned from pseudo-labels; else there are none, and what follows is empty.
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
        pictures: {"test" | "noise" | "robustness": {caption: path of a PNG}}.
        record: the content of metrics/run.json.
        missing: {model of params.yaml that has not been measured: why}.
    """

    parameters: Tree
    data: dict[str, Any]
    classes: list[str]
    models: list[Model]
    generations: list[Generation]
    reliability: list[Row]
    pictures: dict[str, dict[str, Path]]
    record: dict[str, dict[str, Any]]
    missing: dict[str, str]

    @property
    def name(self) -> str:
        """What the data is called: the source, and the folder of its images if that says more."""
        source, folder = self.data["source"], Path(os.path.abspath(self.parameters["data"]["root"])).name
        return source if folder in ("", source) else f"{folder} ({source})"


def gather() -> Run:
    """Read everything of the models that have been measured; of the others, why they have not.

    Raises:
        UserError: no model has been measured, params.yaml has changed since, or a file is damaged.
    """
    settings = params.load()
    models = [layout.TEACHER, *map(layout.Model, settings.generations)]
    failures = run_record.failures()
    reasons = {model.name: missing(settings, model, failures) for model in models}
    done = [model for model in models if reasons[model.name] is None]
    if not done:
        raise DataError(_nothing_yet(reasons[layout.TEACHER.name]))
    keys = [str(model.generation) for model in done if model != layout.TEACHER]
    parameters = params.read_yaml("params.yaml")
    _check_up_to_date(parameters, keys, [model.name for model in models if model not in done])
    classes = read_json(layout.CLASSES)
    return Run(
        parameters=parameters,
        data=read_json(layout.DATA_METRICS),
        classes=classes,
        models=[_model(model, measured_of(settings, model), classes) for model in done],
        generations=[_generation(settings, key) for key in keys],
        reliability=[row for model in done for row in read_csv(model.evaluation / "reliability.csv", text=_NAMES)],
        pictures=_test_pictures(settings, keys),
        record=run_record.read(),
        missing={name: reason for name, reason in reasons.items() if reason},
    )


def _nothing_yet(reason):
    """What to say where there is nothing to show; committed metrics are no run of this copy."""
    if any(path.exists() for path in (layout.CHECKED, layout.CLASSES, layout.TEACHER.path)):
        return f"nothing has been measured yet: {reason} Then run `make report`."
    committed = f"; {layout.EVAL_METRICS} is of a run elsewhere" if layout.EVAL_METRICS.exists() else ""
    return f"nothing has run here yet (no {layout.CLASSES}{committed}). Run `make repro`, then `make report`."


def _check_up_to_date(parameters, keys, lacking):
    """Raise DataError if params.yaml has changed since the pipeline ran; dvc.lock says with what it did.

    Args:
        keys: of the generations that have been measured; the stages of others do not count.
        lacking: names of the models that have not been measured.
    """
    if not Path("dvc.lock").exists():
        return
    stages = params.read_yaml("dvc.yaml")["stages"]
    for stage, entry in params.read_yaml("dvc.lock").get("stages", {}).items():
        kind, _, generation = stage.partition("@")
        listed = kind in stages and bool(generation) == bool(stages[kind].keys() & {"foreach", "matrix"})
        if not listed or (generation and generation not in keys):  # DVC keeps the entries of stages that are no more
            continue
        if stage in ("check", "results"):  # of all parameters; measured with those of the other stages
            continue
        for key, used in entry.get("params", {}).get("params.yaml", {}).items():
            now = parameters
            for part in key.split("."):
                now = now.get(part) if isinstance(now, dict) else None
            if now != used:
                name, before, after = _difference(key, used, now)
                unfinished = f"The run is not finished, {' and '.join(lacking)} not measured yet: " if lacking else ""
                raise DataError(
                    f"{unfinished}{name} was {before!r} when the stage {stage} ran, and is {after!r} in params.yaml "
                    "now. Run `dvc repro`, then make the report."
                )


def _difference(key, used, now):
    """The first parameter that differs, with both values."""
    while isinstance(used, dict) and isinstance(now, dict):
        part = next(
            part for part in (*used, *now) if used.get(part) != now.get(part) or (part in used) != (part in now)
        )
        key, used, now = f"{key}.{part}", used.get(part), now.get(part)
    return key, used, now


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
    uses_labels = chosen.student.uses_pseudo_labels
    caption = f"Pseudo-labels of {key}, by class and confidence; wrong ones are marked where the truth is known"
    return Generation(
        key=key,
        teacher=chosen.teacher,
        student=student.name,
        pseudolabel=chosen.pseudolabel,
        uses_labels=uses_labels,
        confidence=read_csv(student.evaluation / "confidence.csv", text=("label",)) if uses_labels else [],
        class_counts=read_csv(tables / "class_counts.csv", text=_NAMES) if uses_labels else [],
        pictures={caption: student.evaluation_plots / "pseudo-labels.png"} if uses_labels else {},
    )


def _test_pictures(settings, keys):
    test, plots = {}, layout.TEACHER.evaluation_plots
    for key in keys:
        student = layout.Model(key)
        first, second = settings.generation(key).teacher, student.name
        for wrong, right in ((first, second), (second, first)):
            path = student.evaluation_plots / f"{wrong}-wrong-{right}-right.png"
            test[f"Test images that {wrong} gets wrong and {right} gets right"] = path
    corrupted = layout.TEACHER.robustness_plots / "corruptions.png"
    return {
        "test": test,
        "noise": {"Input noise: images, and fresh draws of their noise": plots / "noise.png"},
        "robustness": {"Corruptions of test images, by severity": corrupted} if corrupted.exists() else {},
    }


def _damaged(path, what):
    return DataError(f"{path}: damaged ({what}). Run `dvc repro`.")
