"""What a model says of image files, by several workers: a task a unit of files, in the order of the files."""

import functools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from noisy_student.data.levels import Depth
from noisy_student.deployment import runtimes
from noisy_student.deployment.image_files import Archive, ImageFile, Unit
from noisy_student.deployment.predicting import FilePredictor, Predicted
from noisy_student.deployment.sheets import Extremes
from noisy_student.executors.running import ShardError, run
from noisy_student.executors.settings import ExecutorSettings
from noisy_student.executors.tasks import Call, Task, Work
from noisy_student.runtime.errors import DataError

_NOTHING = np.empty(0, np.uint8)


def predicted(
    units: Sequence[Unit],
    predictor: FilePredictor,
    executor: ExecutorSettings,
    *,
    model: Path,
    classes: Path | None,
    folder: Path,
    extremes: Extremes | None,
) -> Iterator[Predicted]:
    """Yield the batches that `predictor` would give, without their images, which `extremes` has seen.

    Args:
        predictor: counts, and is told what cannot be read.
        model, classes: see `runtimes.open_any`; each worker opens it once.
        folder: for the workers' files; all of them see it.

    Raises:
        DataError: the model gives no distributions.
        Stopped: Ctrl-C or SIGTERM.
    """
    tasks = [
        Task(f"part {number + 1}", folder / f"shard-{number:05d}.npz", max(1, len(unit.files)), _arguments(unit))
        for number, unit in enumerate(units)
    ]
    common: dict[str, Any] = {"model": str(model.absolute()), "classes": str(classes.absolute()) if classes else None}
    common |= {"each": extremes.each if extremes else 0}
    start = None if runtimes.is_export(model) else Call("noisy_student.cli:select_backend", {})
    try:
        run(Work(Call(PREDICT, common), start=start), tasks, executor, title="predict")
    except ShardError as error:
        raise DataError(f"a worker of predict failed: {error.first}") from error
    for task in tasks:
        yield from _of(task.output, predictor, extremes)
        task.output.unlink()


def _arguments(unit):
    if unit.archive:
        return {"files": [], "archive": unit.archive.path}
    files = [(file.name, None if file.file is None else str(file.file), file.cause) for file in unit.files]
    return {"files": files, "archive": None}


def predict_unit(
    output: Path, *, files: list[list[str | None]], archive: str | None, model: str, classes: str | None, each: int
) -> dict[str, int]:
    """Write what a model says of a unit's files as `.npz`; what an executor does for each.

    Args:
        files: name, path or None, and cause or None of each.
        each: of how many of the least and of the most sure ones the images are kept.
    """
    unit = Unit([_file(*file) for file in files], Archive(archive) if archive else None)
    unreadable: list[tuple[str, str]] = []
    predictor = FilePredictor(_opened(model, classes), on_unreadable=lambda *pair: unreadable.append(pair))
    names, probs, extremes = [], [], Extremes(each=each)
    for batch in predictor(unit):
        if each:
            extremes.add(batch)
        names += batch.names
        probs.append(batch.probs)
    places, images = extremes.candidates()
    facts = {"names": names, "unreadable": unreadable, "depths": predictor.depths()}
    text = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    with open(output, "wb") as file:
        whole = np.concatenate(probs) if probs else np.empty((0, 0), np.float32)
        np.savez(file, allow_pickle=False, facts=text, probs=whole, places=places, images=images)
    return {"images": len(names)}


PREDICT = f"{__name__}:{predict_unit.__name__}"


def _file(name, path, cause):
    return ImageFile(name, None if path is None else Path(path), cause)


@functools.cache
def _opened(model, classes):
    """The model, once in each process."""
    return runtimes.open_any(Path(model), Path(classes) if classes else None)


def _of(path, predictor, extremes):
    with np.load(path, allow_pickle=False) as content:
        facts, probs = json.loads(content["facts"].tobytes()), content["probs"]
        places, images = content["places"], content["images"]
    for name, cause in facts["unreadable"]:
        predictor.note_unreadable(name, cause)
    for name, depth in facts["depths"]:
        predictor.note_depth(name, Depth(*depth))
    names = facts["names"]
    predictor.images += len(names)
    if extremes and len(places):
        extremes.add(Predicted([names[place] for place in places], images, probs[places]))
    if names:
        yield Predicted(names, _NOTHING, probs)
