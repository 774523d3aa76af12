"""What comes before a measurement, and where nothing is measured: no network is needed for it."""

from noisy_student.runtime import layout
from noisy_student.runtime.files import remove, write_json
from noisy_student.runtime.layout import Model
from noisy_student.settings.params import Params


def clear(params: Params, model: Model) -> None:
    """Remove what an earlier run wrote for a model, and test sets that are not listed any more."""
    for path in layout.unlisted_extra_tests(params.eval.extra_tests):
        print(f"removing {path}: not in eval.extra_tests any more")
        remove(path)
    for folder in (model.robustness_tables, model.robustness_plots, model.robustness_outcomes):
        if folder.exists():
            remove(folder)
        folder.mkdir(parents=True)


def write_placeholder(model: Model) -> None:
    """Say where DVC expects metrics that the model was not measured."""
    write_json(model.robustness, {"robustness": "off"})
