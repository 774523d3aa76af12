"""Print the test figures of the last run and where its plots are.

python -m commands.results
"""

import sys
from pathlib import Path
from typing import Any

from noisy_student.runtime import console, layout
from noisy_student.runtime.errors import UserError
from noisy_student.runtime.files import read_json
from noisy_student.runtime.layout import Model
from noisy_student.steps import reported


def table(measured: dict[str, dict]) -> str:
    """The result table as text.

    Args:
        measured: the content of metrics/eval.json.
    """
    shown = [metric for listed in (reported.TEST, reported.POOL) for metric in reported.for_tables(listed)]
    columns = {metric.name: metric.column for metric in shown if metric.column}
    rows = [
        [model, *(text(metrics[name]) if name in metrics else "" for name, (_, text) in columns.items())]
        for model, metrics in measured.items()
    ]
    return _text([["model", *(title for title, _ in columns.values())], *rows])


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
                *(str(summary["image_size"]), _percent(summary["best"]["validation_accuracy"])),
                *(_percent(tuned.get(when, {}).get("validation_accuracy")) for when in ("before", "after")),
            ]
        )
    return _text([columns, *rows])


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
    return _text([columns, *rows])


def _text(rows):
    columns = rows[0]
    widths = [max(len(row[i]) for row in rows) for i in range(len(columns))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _ratio(value):
    return "" if value is None else f"{value:.3f}"


def _percent(share):
    return "" if share is None else reported.percent(share)


def main() -> None:
    """Print table and plots, or what is missing."""
    try:
        _print()
    except UserError as error:
        sys.exit(f"error: {error}")


def _print():
    metrics = read_json(layout.EVAL_METRICS)
    print(f"\n{table(metrics)}\n")
    summaries = {name: read_json(Model.named(name).summary) for name in metrics}
    networks = {summary["name"] for summary in summaries.values()}
    if len(networks) > 1 or any("finetune" in summary for summary in summaries.values()):
        print(f"{networks_table(summaries)}\nvalidation accuracy: of the best step; then at those pixels\n")
    paths = {name: Model.named(name).robustness for name in metrics}
    robustness = {name: read_json(path) for name, path in paths.items() if path.is_file()}
    measured = {name: metrics for name, metrics in robustness.items() if metrics["robustness"] != "off"}
    if measured:
        print(f"{robustness_table(measured)}\nmCE and mFR relative to the teacher's; docs/robustness.md\n")
    print("Plots:")
    for path in sorted(path for kind in ("eval", "robustness") for path in Path("metrics/plots", kind).rglob("*.png")):
        print(f"  {path}")
    print("On one page, with interactive curves of all models: dvc plots show --open")


if __name__ == "__main__":
    console.use_utf8()
    main()
