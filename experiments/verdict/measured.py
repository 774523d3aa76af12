"""What the runs of a verdict hold, from DVC's records of them."""

import io
import json
from pathlib import PurePath
from typing import Any

import dvc.api
import numpy as np

from experiments.study.run import Job
from experiments.verdict.outside import Outside, Said, estimate, scores
from experiments.verdict.plan import Plan
from noisy_student.data.probs import ShardedProbs
from noisy_student.pseudo_labels.confidence import best_guesses
from noisy_student.runtime import layout
from noisy_student.runtime.layout import TEACHER, Model
from noisy_student.steps.checking import check


def labels_used(job: Job) -> int:
    """How many labels a run has used: those of training and those of validation."""
    record = dvc.api.DVCFileSystem(rev=job.experiment)
    images = json.loads(record.read_text(layout.DATA_METRICS.as_posix()))["images"]
    return images["labelled"] + images["validation"]


def outside_of(plan: Plan, job: Job) -> Outside | None:
    """How many images of a run's pool belong to no class; None where it cannot be told.

    Confidences of the pool are compared with those of the test images, which are neither noised nor averaged.
    """
    labelling = check(plan.parameters).generation(plan.chain[0]).pseudolabel
    if labelling.noise or labelling.test_time_augmentation != "none":
        return None
    record = dvc.api.DVCFileSystem(rev=job.experiment)
    pool = [_of_pool(record, key) for key in (plan.chain[0], plan.look)]
    test = [_of_test(record, model) for model in (TEACHER, plan.student)]
    return estimate(scores(*pool), scores(*test))


def _of_pool(record: Any, generation: str) -> Said:
    folder = layout.pseudo_labels(generation)
    names = sorted(PurePath(path).name for path in record.ls(folder.as_posix(), detail=False))
    parts = [_array(record, folder / name) for name in names]
    classes = len(json.loads(record.read_text(layout.CLASSES.as_posix())))
    predicted, confidence = best_guesses(ShardedProbs(parts, classes))
    return Said(predicted, confidence.astype(np.float64))


def _of_test(record: Any, model: Model) -> Said:
    folder = model.evaluation_outcomes
    return Said(_array(record, folder / "predicted.npy"), _array(record, folder / "confidence.npy").astype(np.float64))


def _array(record, path):
    return np.load(io.BytesIO(record.read_bytes(path.as_posix())), allow_pickle=False)
