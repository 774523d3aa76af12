"""Stage student: train on labelled and pseudo-labelled images, noised."""

from typing import Any

from noisy_student import backends
from noisy_student.launching import launcher, ranks
from noisy_student.settings import params
from stages.entry import run


def main(generation: str) -> dict[str, Any]:
    """Train the student of GENERATION and save it as models/student-GENERATION.keras."""
    settings = params.load()
    if settings.distribution == "processes" and ranks.current() is None:
        return launcher.launched("stages.student", generation, title=f"student@{generation}")
    backends.select(settings.backend, settings.arithmetic)  # before anything imports Keras
    from noisy_student.steps.training import train_student

    return train_student(settings, generation)


if __name__ == "__main__":
    run(main)
