"""Stage eval-extra-teacher: the teacher on an extra test set."""

from noisy_student import backends
from noisy_student.runtime.layout import TEACHER
from noisy_student.settings import params
from stages.entry import run


def main(test: str) -> None:
    """Measure the teacher on eval.extra_tests.TEST."""
    settings = params.load()
    settings.require_extra_test(test)
    backends.select(settings.backend, settings.arithmetic)  # before anything imports Keras
    from noisy_student.steps.extra_tests import evaluate_extra

    evaluate_extra(settings, TEACHER, test)


if __name__ == "__main__":
    run(main)
