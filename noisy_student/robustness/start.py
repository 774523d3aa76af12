"""What the stages of robustness do before they measure anything, and where nothing is to be measured."""

from noisy_student.runtime import layout
from noisy_student.runtime.files import remove, write_json

OFF = {"robustness": "off"}


def start(params, name):
    """Remove what an earlier run wrote for a model; write a placeholder where robustness is off.

    Args:
        params: Params.
        name: "teacher" or "student-KEY".

    Returns:
        Whether the model is to be measured.
    """
    for path in layout.unlisted_extra_tests(params.eval.extra_tests):
        print(f"removing {path}: not in eval.extra_tests any more")
        remove(path)
    for folder in (
        layout.robustness_tables(name),
        layout.robustness_plots(name),
        layout.robustness_outcomes(name),
    ):
        if folder.exists():
            remove(folder)
        folder.mkdir(parents=True)
    if params.eval.robustness == "off":
        write_json(layout.robustness(name), OFF)
        return False
    return True
