"""Stage teacher: train on the labelled images."""

from noisy_student import backends
from noisy_student.settings import params
from stages.entry import run


def main() -> dict:
    """Train the teacher of params.yaml on data/labelled and save it as models/teacher.keras."""
    settings = params.load()
    backends.select(settings.backend)  # before anything imports Keras
    from noisy_student.steps.training import train_teacher

    return train_teacher(settings)


if __name__ == "__main__":
    run(main)
