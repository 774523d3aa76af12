"""Stage eval-teacher: test metrics of the teacher."""

from noisy_student import backends
from noisy_student.settings import params
from stages.entry import run


def main() -> None:
    """Evaluate the teacher on the test split."""
    settings = params.load()
    backends.select(settings.backend, settings.arithmetic)  # before anything imports Keras
    from noisy_student.steps.evaluation import evaluate_teacher

    evaluate_teacher(settings)


if __name__ == "__main__":
    run(main)
