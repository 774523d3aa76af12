"""What comes before a measurement, and where nothing is measured: no network is needed for it."""

from noisy_student.runtime.files import write_json
from noisy_student.runtime.layout import TEACHER, Model

TABLES = ("corruptions.csv", "sequences.csv", "attacks.csv", "summary.json")
OUTCOMES = ("predicted.npy", "true.npy")
PLOTS = ("error_by_severity.png", "errors.png", "attacks.png", "corruptions.png", "sequences.png")


def clear(model: Model) -> None:
    """Remove what an earlier run wrote for a model, by its names: nobody else's files. DVC does so itself."""
    gained = f"{TEACHER.name}-wrong-{model.name}-right.png"
    own = ((model.robustness_tables, TABLES), (model.robustness_plots, (*PLOTS, gained)))
    for folder, names in (*own, (model.robustness_outcomes, OUTCOMES)):
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            (folder / name).unlink(missing_ok=True)


def write_placeholder(model: Model) -> None:
    """Say where DVC expects metrics that the model was not measured."""
    write_json(model.robustness, {"robustness": "off"})
