"""Stage robustness-teacher: how the teacher fares on changed images."""

from noisy_student import backends
from noisy_student.robustness.start import start
from noisy_student.runtime import layout
from noisy_student.settings import params
from stages.entry import run


def main():
    """Measure the teacher on corrupted, perturbed and attacked test images."""
    settings = params.load()
    if not start(settings, layout.TEACHER):
        return None
    backends.select(settings.backend)  # before anything imports Keras
    from noisy_student.steps.robustness import measure_and_write

    return measure_and_write(settings, layout.TEACHER, settings.pseudolabel.threshold)


if __name__ == "__main__":
    run(main)
