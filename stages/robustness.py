"""Stage robustness: how a generation's student fares on changed images, beside the teacher."""

from typing import Any

from noisy_student import backends
from noisy_student.robustness.clearing import clear, write_placeholder
from noisy_student.runtime.layout import Model
from noisy_student.settings import params
from stages.entry import run


def main(generation: str) -> dict[str, Any] | None:
    """Measure the student of GENERATION on corrupted, perturbed and attacked test images."""
    settings, student = params.load(), Model(generation)
    threshold = settings.generation(generation).pseudolabel.threshold
    clear(student)
    if settings.eval.robustness == "off":
        write_placeholder(student)
        return None
    backends.select(settings.backend, settings.arithmetic)  # before anything imports Keras
    from noisy_student.steps.robustness import measure_and_write

    return measure_and_write(settings, student, threshold)


if __name__ == "__main__":
    run(main)
