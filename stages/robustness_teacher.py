"""Stage robustness-teacher: how the teacher fares on changed images."""

from typing import Any

from noisy_student import backends
from noisy_student.robustness.clearing import clear, write_placeholder
from noisy_student.runtime.layout import TEACHER
from noisy_student.settings import params
from stages.entry import run


def main() -> dict[str, Any] | None:
    """Measure the teacher on corrupted, perturbed and attacked test images."""
    settings = params.load()
    clear(TEACHER)
    if settings.eval.robustness == "off":
        write_placeholder(TEACHER)
        return None
    backends.select(settings.backend, settings.arithmetic)  # before anything imports Keras
    from noisy_student.steps.robustness import measure_and_write

    return measure_and_write(settings, TEACHER, settings.pseudolabel.threshold)


if __name__ == "__main__":
    run(main)
