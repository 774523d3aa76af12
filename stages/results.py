"""Stage results: the figures of all models side by side, and the table at the end of a run."""

import os

from noisy_student.runtime import layout
from noisy_student.runtime.files import read_json
from noisy_student.settings import params
from noisy_student.steps.results import join_and_write, labels_line, table
from stages.entry import run


def main() -> None:
    """Join what was measured of all models of params.yaml into metrics/eval.json, and print it."""
    settings = params.load()
    join_and_write(settings)
    if os.environ.get("RESULT_TABLE") != "later":  # `make repro` prints it with more, after DVC's last lines
        used = labels_line(settings.data, read_json(layout.DATA_METRICS)["images"])
        print(f"\n{table(read_json(layout.EVAL_METRICS))}\n\n{used}")
        print("\nWith robustness, and where the pictures are: make results")


if __name__ == "__main__":
    run(main)
