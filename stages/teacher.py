"""Stage teacher: train on the labelled images."""

from typing import Any

from noisy_student import backends
from noisy_student.launching import launcher, ranks
from noisy_student.settings import params
from stages.entry import run


def main() -> dict[str, Any]:
    """Train the teacher of params.yaml on data/prepared/labelled and save it as models/teacher.keras."""
    settings = params.load()
    if settings.distribution == "processes" and ranks.current() is None:
        return launcher.launched("stages.teacher", title="teacher")
    backends.select(settings.backend, settings.arithmetic)  # before anything imports Keras
    from noisy_student.steps.training import train_teacher

    return train_teacher(settings)


if __name__ == "__main__":
    run(main)
