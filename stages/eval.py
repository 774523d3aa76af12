"""Stage eval: test metrics of the teacher and of every generation listed in params.yaml."""

from noisy_student import backends
from noisy_student.settings import params
from stages.entry import run


def main() -> None:
    """Evaluate all models of params.yaml on data/prepared/test."""
    settings = params.load()
    backends.select(settings.backend)  # before anything imports Keras
    from noisy_student.steps.evaluation import evaluate_and_write

    evaluate_and_write(settings)


if __name__ == "__main__":
    run(main)
