"""Print the test figures of the last run and where its plots are.

python -m experiments.results
"""

import sys
from pathlib import Path

from noisy_student import layout
from noisy_student.errors import UserError
from noisy_student.files import read_json


def table(figures):
    """The result table as text.

    Args:
        figures: the content of metrics/eval.json.
    """
    columns = ["model", "test accuracy", "95 % interval", "loss", "ECE", "labels kept", "of them right"]
    rows = [columns] + [_row(name, found) for name, found in figures.items()]
    widths = [max(len(row[i]) for row in rows) for i in range(len(columns))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _row(name, found):
    low, high = found["accuracy_interval"]
    return [
        name,
        _percent(found["accuracy"]),
        f"{100 * low:.1f} to {100 * high:.1f}",
        f"{found['loss']:.4f}",
        f"{found['ece']:.4f}",
        _percent(found.get("pseudo_label_coverage")),
        _percent(found.get("pseudo_label_accuracy")),
    ]


def _percent(share):
    return "" if share is None else f"{100 * share:.2f} %"


def main():
    """Print table and plots."""
    try:
        figures = read_json(layout.EVAL_METRICS)
    except UserError as error:
        sys.exit(f"error: {error}")
    print(f"\n{table(figures)}\n\nPlots:")
    for path in sorted(Path("metrics/plots").rglob("*.png")):
        print(f"  {path}")
    print("On one page, with interactive curves of teacher and gen1: dvc plots show --open")


if __name__ == "__main__":
    main()
