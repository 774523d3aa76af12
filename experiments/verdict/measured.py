"""What the runs of a verdict hold, from DVC's records of them."""

import contextlib
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import Any

import dvc.api
import numpy as np
from dvc.exceptions import DvcException

from experiments.study.definition import results_of
from experiments.study.rows import table_path
from experiments.study.run import Job
from experiments.verdict.outside import Outside, Said, estimate, scores
from experiments.verdict.plan import Plan
from noisy_student.data.probs import ShardedProbs
from noisy_student.pseudo_labels.confidence import best_guesses
from noisy_student.runtime import layout
from noisy_student.runtime.errors import UserError
from noisy_student.runtime.files import read_json, write_json
from noisy_student.runtime.layout import Model
from noisy_student.steps.checking import check


@dataclass(frozen=True)
class Facts:
    """What is asked of a run beside its accuracies: labels used, of training and validation, and `outside_of`."""

    labels: int
    outside: Outside | None


def facts_of(plan: Plan, jobs: list[Job]) -> list[Facts]:
    """The facts of runs, one job of each. They are kept beside the rows, which may outlive DVC's records.

    Raises:
        UserError: a record is gone that was not asked before.
    """
    path = results_of(plan.preset) / "facts.json"
    known = read_json(path) if path.exists() else {}
    new = [job for job in jobs if str(job.seed) not in known]
    if new:
        known |= {str(job.seed): asdict(Facts(_labels_used(plan, job), outside_of(plan, job))) for job in new}
        write_json(path, known)
    found = [known[str(job.seed)] for job in jobs]
    return [Facts(one["labels"], Outside(**one["outside"]) if one["outside"] else None) for one in found]


def _labels_used(plan, job):
    with _record(plan, job) as record:
        images = json.loads(record.read_text(layout.DATA_METRICS.as_posix()))["images"]
    return images["labelled"] + images["validation"]


@contextlib.contextmanager
def _record(plan: Plan, job: Job) -> Iterator[Any]:
    try:
        yield dvc.api.DVCFileSystem(rev=job.experiment)
    except (DvcException, OSError) as error:
        table = table_path(job.study, plan.preset)
        raise UserError(
            f"DVC no longer has all of the experiment {job.experiment} ({error}), perhaps after `dvc exp remove` or "
            f"`dvc gc`. Remove {table}, and run it again."
        ) from error


def outside_of(plan: Plan, job: Job) -> Outside | None:
    """How many images of a run's pool belong to no class; None where it cannot be told.

    Confidences of the pool are compared with those of the test images, which are neither noised nor averaged. The
    first teacher that labels the pool is asked, and the last student.

    Raises:
        UserError: DVC no longer has the record.
    """
    settings = check(plan.parameters)
    first = next(key for key in plan.chain if settings.generation(key).student.uses_pseudo_labels)
    labelling, teacher = settings.generation(first).pseudolabel, Model.named(settings.generation(first).teacher)
    if labelling.noise or labelling.test_time_augmentation != "none":
        return None
    with _record(plan, job) as record:
        pool = [_of_pool(record, key) for key in (first, plan.look)]
        test = [_of_test(record, model) for model in (teacher, plan.student)]
    return estimate(scores(*pool), scores(*test))


def _of_pool(record: Any, generation: str) -> Said:
    folder = layout.pseudo_labels(generation)
    names = sorted(PurePath(path).name for path in record.ls(folder.as_posix(), detail=False))
    parts = [_array(record, folder / name) for name in names if name.startswith("shard-")]
    classes = len(json.loads(record.read_text(layout.CLASSES.as_posix())))
    predicted, confidence = best_guesses(ShardedProbs(parts, classes))
    return Said(predicted, confidence.astype(np.float64))


def _of_test(record: Any, model: Model) -> Said:
    folder = model.evaluation_outcomes
    return Said(_array(record, folder / "predicted.npy"), _array(record, folder / "confidence.npy").astype(np.float64))


def _array(record, path):
    return np.load(io.BytesIO(record.read_bytes(path.as_posix())), allow_pickle=False)
