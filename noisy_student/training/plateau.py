"""Reducing the rate and stopping by the validation loss: Keras' ReduceLROnPlateau and EarlyStopping.

Both are functions of the history alone, so that there is nothing to remember between rounds.
"""

import math

import numpy as np

from noisy_student.settings.schema import ScheduleParams

FACTOR = 0.1
LEAST = 1e-4  # ReduceLROnPlateau's own min_delta; EarlyStopping has none


def reduces(history: list[dict], schedule: ScheduleParams) -> bool:
    """Whether the rate is to be multiplied by FACTOR after the last round of the history."""
    return _out_of_patience(_losses(history, schedule), schedule.plateau_patience, least=LEAST)


def stops(history: list[dict], schedule: ScheduleParams) -> bool:
    """Whether the training ends with the last round of the history."""
    return _out_of_patience(_losses(history, schedule), schedule.stop_patience, least=0.0)


def _losses(history, schedule):
    """What counts: both rules forget the rounds before `plateau_from_epoch`, which counts from 1."""
    first = len(history) if schedule.plateau is None else schedule.plateau - 1
    return [row["validation_loss"] for row in history[first:]]


def _out_of_patience(losses, patience, *, least):
    """Whether the last loss completes a row of `patience` that are not lower than the lowest by more than `least`."""
    lowest, waited = math.inf, 0
    for loss in losses:
        waited = waited % patience + 1  # after it has acted, a rule counts anew
        if np.float32(loss + least) < np.float32(lowest):  # Keras compares in single precision
            lowest, waited = loss, 0
    return waited == patience
