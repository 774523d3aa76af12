"""Stage robustness: how a generation's student fares on changed images, beside the teacher."""

from noisy_student import backends
from noisy_student.robustness.start import start
from noisy_student.runtime import layout
from noisy_student.settings import params
from stages.entry import run


def main(generation):
    """Measure the student of GENERATION on corrupted, perturbed and attacked test images."""
    settings = params.load()
    if not start(settings, layout.student(generation)):
        return None
    backends.select(settings.backend)  # before anything imports Keras
    from noisy_student.steps.robustness import measure_and_write

    threshold = settings.generation(generation).pseudolabel.threshold
    return measure_and_write(settings, layout.student(generation), threshold)


if __name__ == "__main__":
    run(main, key="generation")
