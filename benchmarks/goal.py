"""Trainings that are watched, and end where they validate well enough."""

import contextlib
from collections.abc import Callable, Iterator


class Reached(Exception):
    """The accuracy that was aimed at; what `watched` is given raises it to end a training."""


@contextlib.contextmanager
def watched(seen: Callable[[float], None]) -> Iterator[None]:
    """Let `seen` have the accuracy, in [0, 1], of every validation of this process's trainings, when it is known."""
    from noisy_student.training import train

    validate = train.validate

    def noted(*arguments, **keywords):
        metrics = validate(*arguments, **keywords)
        seen(metrics["validation_accuracy"])
        return metrics

    train.validate = noted
    try:
        yield
    finally:
        train.validate = validate
