"""Stage eval: test metrics of a generation's student, and how good its pseudo-labels were."""

from noisy_student import backends
from noisy_student.settings import params
from stages.entry import run


def main(generation: str) -> None:
    """Evaluate the student of GENERATION on the test split."""
    settings = params.load()
    backends.select(settings.backend, settings.arithmetic)  # before anything imports Keras
    from noisy_student.steps.evaluation import evaluate_student

    evaluate_student(settings, generation)


if __name__ == "__main__":
    run(main)
