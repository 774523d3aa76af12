"""Put a model through everything: one unit of work after the other, each saved when it is done."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np

from noisy_student import backends
from noisy_student.inference.predict import Predictor, fitting
from noisy_student.robustness import attacks, perturbations, scores
from noisy_student.robustness.draws import Draws
from noisy_student.runtime.progress import bar
from noisy_student.runtime.seeds import derive_seed, image_keys
from noisy_student.runtime.signals import Stopped, deferred
from noisy_student.runtime.types import Labels, Probs, Rows

if TYPE_CHECKING:
    import keras

    from noisy_student.data.views import Images
    from noisy_student.robustness.sets import Generated, Official
    from noisy_student.runtime.checkpoints import Checkpoints

Outcome = dict[str, np.ndarray]  # {what: (N,) array}, a value for each image

_BLOCK = 2**20  # bytes of images whose sequences, 16 to 41 times as large, are made together
_THREADS = 2  # the images of one unit are made while the network works on another's


class Subject:
    """An inference model of `noisy_student.models.build` that is measured, and what `attacks` needs of it.

    `batch_size` is in images a step, or "auto", see `predict.automatic_batch_size`.
    """

    def __init__(self, model: keras.Model, *, batch_size: int | str) -> None:
        self.model, self.probs = model, Predictor(model, batch_size=batch_size)
        network = attacks.logits_model(model)

        def loss(images, labels):
            return attacks.cross_entropy(network(images, training=False), labels)

        self.logits = backends.current().forward(network)
        self.gradient = backends.current().input_gradient(loss)


def outcome(probs: Probs, labels: Labels) -> Outcome:
    """What is remembered of each image's distribution; "true" is the label's probability."""
    return {
        "predicted": probs.argmax(axis=1).astype(np.int32),
        "confidence": probs.max(axis=1).astype(np.float32),
        "true": probs[np.arange(len(labels)), labels].astype(np.float32),
        "brier": scores.brier(probs, labels).astype(np.float32),
    }


def corruption(subject: Subject, corrupted: Generated | Official, name: str, severity: int) -> Outcome:
    """The outcome on the images of a corruption."""
    return outcome(subject.probs(corrupted.images(name, severity)), corrupted.labels)


def perturbation(subject: Subject, images: Images, rows: Rows, name: str, *, seed: int) -> Outcome:
    """How often ("flips") and, with more than 5 classes, how far ("top5") predictions change along sequences.

    `rows` are those of the images that are measured.
    """
    noise, side = name in perturbations.NOISES, images.shape[1]
    changes: dict[str, list[np.ndarray]] = {"flips": [], "top5": []}
    for block in _blocks(rows, max(1, _BLOCK // (3 * side * side))):
        frames = list(perturbations.frames(np.asarray(images[block]), name, rows=block, seed=seed))
        probs = subject.probs(np.concatenate(frames)).reshape(len(frames), len(block), -1)
        changes["flips"].append(scores.flips(probs.argmax(axis=-1), noise=noise))
        if probs.shape[-1] > 5:
            changes["top5"].append(scores.top5_distances(probs, noise=noise))
    return {key: np.concatenate(parts) for key, parts in changes.items() if parts}


def _blocks(rows, size):
    return np.array_split(rows, range(size, len(rows), size))


def attack(
    subject: Subject, images: Images, labels: Labels, rows: Rows, kind: str, epsilon: float, *, seed: int
) -> Outcome:
    """Which of these rows' images are still recognised when they are attacked, by kind "fgsm" or "pgd"."""
    from keras import ops

    images, size = fitting(subject.model, images), min(subject.probs.size, len(rows))

    def tensor(array, dtype):  # the last block filled up
        missing = [(0, size - len(array))] + [(0, 0)] * (array.ndim - 1)
        return ops.convert_to_tensor(np.pad(array.astype(dtype), missing))

    correct = []
    for block in _blocks(rows, size):
        x, y = tensor(images[block], np.float32), tensor(labels[block], np.int32)
        attacked = x
        if epsilon and kind == "fgsm":
            attacked = attacks.fgsm(subject.gradient, x, y, epsilon)
        elif epsilon:
            draws = Draws(image_keys(derive_seed(seed, "pgd", epsilon), 0, block))
            offsets = tensor(draws.uniform("start", *images.shape[1:], low=-1.0, high=1.0), np.float32)
            attacked = attacks.pgd(subject.gradient, x, y, epsilon, offsets)
        predicted = ops.convert_to_numpy(subject.logits(ops.convert_to_numpy(attacked))).argmax(axis=1)
        correct.append(predicted[: len(block)] == labels[block])
    return {"correct": np.concatenate(correct)}


def run(
    units: dict[tuple, Callable[[], Outcome]], *, name: str, kept: Checkpoints | None = None
) -> dict[tuple, Outcome]:
    """Do the units of work, two at a time; go on where a stopped run was.

    Args:
        units: none needs another's outcome.
        name: what the progress bar says.
        kept: with `keep=None`; None: nothing is saved.

    Raises:
        Stopped: Ctrl-C or SIGTERM, if `kept` is given; the units done were saved.
    """
    keys, results = list(units), _restored(list(units), kept, name)
    saved = len(results)
    with (
        ThreadPoolExecutor(_THREADS) as pool,
        bar(total=len(keys), name=name, unit="step", initial=saved) as shown,
        deferred() as requests,
    ):
        todo = keys[saved:]
        working = [pool.submit(units[key]) for key in todo[:_THREADS]]  # no more: their images are in memory
        for key, following in zip_longest(todo, todo[_THREADS:]):
            results[key] = working.pop(0).result()
            if following is not None:
                working.append(pool.submit(units[following]))
            shown.update(1)
            asked = requests.pending()
            if kept is None or len(results) == len(keys) or not (asked or kept.due()):
                continue
            unsaved = [results[key] for key in keys[saved : len(results)]]
            arrays = {f"{i}_{part}": array for i, found in enumerate(unsaved) for part, array in found.items()}
            done = f"{len(results)} of {len(keys)} steps"
            if kept.save(saved, arrays, {"arrays": [list(found) for found in unsaved]}, done=done):
                saved = len(results)
            if asked:
                raise Stopped(
                    f"{name}: stopped; {saved} of {len(keys)} steps are saved. Run the same command again to go on.",
                    asked,
                )
    return results


def _restored(keys, kept, name):
    """The outcomes that a stopped run saved."""
    results: dict[tuple, Outcome] = {}
    if kept is None:
        return results
    for number, arrays, meta in kept.in_order():
        if number != len(results):
            break
        for index, parts in enumerate(meta["arrays"]):
            results[keys[number + index]] = {part: arrays[f"{index}_{part}"] for part in parts}
    kept.drop_from(len(results))
    kept.resumed_from = len(results)
    if results:
        print(f"{name}: resumed_from_unit={len(results)} of {len(keys)}", flush=True)
    return results
