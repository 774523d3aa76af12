"""Stage eval-extra: a generation's student on an extra test set."""

from noisy_student import backends
from noisy_student.runtime.layout import Model
from noisy_student.settings import params
from stages.entry import run


def main(pair: str) -> None:
    """Measure a student on an extra test set: PAIR is GENERATION-TEST, as DVC names it."""
    settings = params.load()
    generation, test = settings.generation_and_extra_test(pair)
    backends.select(settings.backend, settings.arithmetic)  # before anything imports Keras
    from noisy_student.steps.extra_tests import evaluate_extra

    evaluate_extra(settings, Model(generation), test)


if __name__ == "__main__":
    run(main)
