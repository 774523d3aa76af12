"""Print the test figures of the last run, what failed in it, and where its plots are.

python -m commands.results
"""

import argparse
import sys
from typing import Any

from commands import new_parser
from noisy_student.runtime import advice, console, layout, run_record
from noisy_student.runtime.errors import UserError
from noisy_student.runtime.files import read_json
from noisy_student.runtime.layout import TEACHER, Model
from noisy_student.runtime.text import as_text
from noisy_student.settings import params
from noisy_student.settings.params import Params
from noisy_student.steps import reported
from noisy_student.steps.results import labels_line, measured_of, table


def networks_table(summaries: dict[str, dict[str, Any]]) -> str:
    """The table of networks and of what fine-tuning did to them, as text.

    Args:
        summaries: {model: the content of metrics/models/MODEL.json}.
    """
    columns = ["model", "network", "parameters", "MACs", "pixels", "validation", "tuned from", "to"]
    rows = []
    for name, summary in summaries.items():
        tuned = summary.get("finetune", {})
        rows.append(
            [
                *(name, summary["name"], f"{summary['parameters']:,}", f"{summary['macs']:,}"),
                *(str(summary["image_size"]), _percent(summary["best"].get("validation_accuracy"))),
                *(_percent(tuned.get(when, {}).get("validation_accuracy")) for when in ("before", "after")),
            ]
        )
    return as_text([columns, *rows])


def robustness_table(robustness: dict[str, dict[str, Any]]) -> str:
    """The table of robustness as text.

    Args:
        robustness: {model: the content of metrics/robustness/MODEL.json}; only those that were measured.
    """
    columns = ["model", "error, clean", "corrupted", "mCE", "flips", "mFR", "FGSM 4/255", "PGD 4/255"]
    rows = [
        [
            name,
            _percent(measured["clean_error"]),
            _percent(measured["mean_corruption_error"]),
            _ratio(measured.get("mce_to_teacher")),
            _percent(measured["mean_flip_probability"]),
            _ratio(measured.get("mfr_to_teacher")),
            *(_percent(measured[f"{kind}_accuracy"]["4"]) for kind in ("fgsm", "pgd")),
        ]
        for name, measured in robustness.items()
    ]
    return as_text([columns, *rows])


def _ratio(value):
    return "" if value is None else f"{value:.3f}"


def _percent(share):
    return "" if share is None else reported.percent(share)


def missing(settings: Params, model: Model, failures: dict[str, str]) -> str | None:
    """Why a model was not measured on the test split: the first of its stages without its output; None if it was.

    Args:
        failures: see `run_record.failures`.
    """
    return _first_missing(_stages_to(settings, model), failures)


def _first_missing(stages, failures):
    for stage, output in stages:
        if not output.exists():
            failure = failures.get(stage)
            return f"{stage} failed: {failure}" if failure else f"{stage} has not run. Run `dvc repro`."
    return None


def _stages_to(settings, model):
    """The stages up to a model's evaluation on the test split, in order, each with a path that it writes."""
    if model == TEACHER:
        before = [("check", layout.CHECKED), ("prepare", layout.CLASSES)]
        trained = []
    else:
        key = str(model.generation)
        before = _stages_to(settings, Model.named(settings.generation(key).teacher))
        trained = [(f"pseudolabel@{key}", layout.pseudo_labels(key)), (f"balance@{key}", layout.balanced(key))]
    tested = [(model.evaluation_stage, model.evaluation / layout.METRICS)]
    return [*before, *trained, (model.stage, model.path), *tested]


def _missing_extra(model, key, failures):
    """Why an evaluated model was not measured on an extra test set; None if it was."""
    own = f"eval-extra-teacher@{key}" if model == TEACHER else f"eval-extra@{model.generation}-{key}"
    measured = layout.extra_evaluation(key, model) / layout.METRICS
    stages = [(f"extra-test@{key}", layout.extra_test(key) / "present.json"), (own, measured)]
    return _first_missing(stages, failures)


def parser() -> argparse.ArgumentParser:
    """That of this command."""
    return new_parser("commands.results", __doc__)


def main() -> None:
    """Print tables and plots, or what is missing."""
    try:
        _print(params.load())
    except UserError as error:
        sys.exit(f"error: {error}")


def _print(settings):
    models, failures = [TEACHER, *map(Model, settings.generations)], run_record.failures()
    reasons = {model.name: missing(settings, model, failures) for model in models}
    done = [model for model in models if reasons[model.name] is None]
    if not done:
        sys.exit(f"error: nothing has been measured yet: {reasons[TEACHER.name]}")
    print(f"\n{table({model.name: measured_of(settings, model) for model in done})}\n")
    print(f"{labels_line(settings.data, read_json(layout.DATA_METRICS)['images'])}\n")
    for name, reason in reasons.items():
        if reason:
            print(f"{name} is not in the table: {reason}\n")
    for reason in _missing_extras(settings, done, failures):
        print(f"{reason}\n")
    for line in _warnings(models):
        print(f"warning: {line}\n")
    _print_networks({model.name: read_json(model.summary) for model in done if model.summary.exists()})
    _print_robustness(done, failures)
    print("Plots:")
    folders = [folder for model in models for folder in (model.evaluation_plots, model.robustness_plots)]
    for path in sorted(path for folder in (layout.RESULT_PLOTS, *folders) for path in folder.glob("*.png")):
        print(f"  {path}")
    print("On one page, with interactive curves of all models: dvc plots show --open")


def _missing_extras(settings, models, failures):
    """A line for each reason, once."""
    pairs = [(key, model) for key in settings.eval.extra_tests for model in models]
    reasons = {(key, _missing_extra(model, key, failures)): None for key, model in pairs}
    return [f"extra test set {key}: {reason}" for key, reason in reasons if reason]


def _warnings(models):
    """What the stages warned of: balance, then the trainings."""
    keys = [model.generation for model in models if model.generation]
    tables = [layout.balance_tables(key) / f"{advice.KEY}.json" for key in keys]
    lines = [line for path in tables if path.exists() for line in read_json(path)]
    summaries = [read_json(model.summary) for model in models if model.summary.exists()]
    return lines + [line for summary in summaries for line in summary.get(advice.KEY, [])]


def _print_networks(summaries):
    networks = {summary["name"] for summary in summaries.values()}
    if len(networks) > 1 or any("finetune" in summary for summary in summaries.values()):
        print(f"{networks_table(summaries)}\nvalidation accuracy: of the best step; then at those pixels\n")


def _print_robustness(models, failures):
    measured = {}
    for model in models:
        stages = [(each.robustness_stage, each.robustness) for each in dict.fromkeys((TEACHER, model))]
        reason = _first_missing(stages, failures)
        if reason is None:
            measured[model.name] = read_json(model.robustness)
        else:
            print(f"{model.name} is not in the table of robustness: {reason}\n")
    measured = {name: metrics for name, metrics in measured.items() if metrics["robustness"] != "off"}
    if measured:
        print(f"{robustness_table(measured)}\nmCE and mFR relative to the teacher's; docs/robustness.md\n")


if __name__ == "__main__":
    console.use_utf8()
    parser().parse_args()
    main()
