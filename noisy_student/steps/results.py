"""The figures of all models side by side: metrics/eval.json, tables, a picture, and the table that people read."""

from typing import Any

from noisy_student.runtime import layout, seals
from noisy_student.runtime.files import read_csv, read_json, write_csv, write_json
from noisy_student.runtime.layout import TEACHER, Model
from noisy_student.runtime.text import as_text
from noisy_student.settings.params import Params
from noisy_student.settings.schema import LABELLED_POOL, DataParams
from noisy_student.steps import reported


def join_and_write(params: Params) -> None:
    """Join what eval-teacher, eval and eval-extra wrote of the models of params.yaml."""
    from noisy_student.drawing import charts  # not for those who only print a table
    from noisy_student.drawing.canvas import save_chart

    models = [TEACHER, *map(Model, params.generations)]
    _remove_unlisted(params, models)
    measured = {model.name: measured_of(params, model) for model in models}
    tables = {
        name: [row for model in models for row in read_csv(model.evaluation / f"{name}.csv", text=("model",))]
        for name in ("curves", "reliability")
    }
    for name, rows in tables.items():
        write_csv(layout.RESULT_TABLES / f"{name}.csv", rows)
    save_chart(layout.RESULT_PLOTS / "reliability.png", charts.reliability(tables["reliability"]))
    write_json(layout.EVAL_METRICS, measured)


def _remove_unlisted(params, models):
    """Remove evaluations of what params.yaml does not list any more: the whole folder is in the record of dvc.lock.

    Only those that are as eval wrote them; DVC's cache has copies.
    """
    extra = [layout.extra_evaluation(key, model) for key in params.eval.extra_tests for model in models]
    listed = {*extra, *(model.evaluation for model in models)}
    for folder in (*layout.EVALUATIONS.glob("*"), *layout.EVALUATIONS.glob("extra/*/*")):
        if folder not in listed and seals.remove_sealed(folder):
            print(f"removed {folder}: not in params.yaml any more")


def measured_of(params: Params, model: Model) -> dict[str, Any]:
    """A model's part of metrics/eval.json, with the extra test sets that it was measured on.

    Raises:
        DataError: it was not evaluated on the test split.
    """
    metrics = read_json(model.evaluation / layout.METRICS)
    paths = {key: layout.extra_evaluation(key, model) / layout.METRICS for key in params.eval.extra_tests}
    extra = {key: read_json(path) for key, path in paths.items() if path.exists()}
    for on_extra in extra.values():
        on_extra["drop"] = metrics["accuracy"] - on_extra["accuracy"]
    return metrics | ({"extra_tests": extra} if extra else {})


def table(measured: dict[str, dict]) -> str:
    """The result table as text, and below it that of the extra test sets, if there are any.

    Args:
        measured: the content of metrics/eval.json.
    """
    shown = [metric for listed in (reported.TEST, reported.POOL) for metric in reported.for_tables(listed)]
    columns = {metric.name: metric.column for metric in shown if metric.column}
    rows = [
        [model, *(text(metrics[name]) if name in metrics else "" for name, (_, text) in columns.items())]
        for model, metrics in measured.items()
    ]
    main = as_text([["model", *(title for title, _ in columns.values())], *rows])
    extra = _extra_rows(measured)
    return f"{main}\n\n{as_text(extra)}" if len(extra) > 1 else main


def labels_line(data: DataParams, images: dict[str, int]) -> str:
    """How many labels the models of a run have seen in all, and how many images without.

    Args:
        images: the counts of metrics/data.json.
    """
    trained, validated = images["labelled"], images["validation"]
    pool = f"{images['unlabelled']:,} images without labels"
    if data.unlabelled_from == LABELLED_POOL:
        pool = "no further images"
    return f"{trained + validated:,} labels in all ({trained:,} for training, {validated:,} for validation), {pool}"


def _extra_rows(measured):
    rows = [["model", "extra test set", "images", "accuracy", "95 % interval", "below the test split"]]
    for model, metrics in measured.items():
        for key, on_extra in metrics.get("extra_tests", {}).items():
            rows.append(
                [
                    *(model, key, f"{on_extra['images']:,}", reported.percent(on_extra["accuracy"])),
                    *(reported.span(on_extra["accuracy_interval"]), f"{100 * on_extra['drop']:+.2f} points"),
                ]
            )
    return rows
