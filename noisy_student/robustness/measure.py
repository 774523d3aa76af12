"""Put a model through everything: one unit of work after the other, each saved when it is done."""

from __future__ import annotations

import threading
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
    """A model that is measured.

    Args:
        model: an inference model of `noisy_student.models.build`.
        batch_size: images a step, or "auto", see `predict.automatic_batch_size`.
    """

    def __init__(self, model: keras.Model, *, batch_size: int | str) -> None:
        self.probs = Predictor(model, batch_size=batch_size)
        self._model, self._compiling = model, threading.Lock()
        self._attacked: tuple[Callable, Callable] | None = None

    def gradient_and_logits(self) -> tuple[Callable, Callable]:
        """Functions for `attacks`, compiled when they are first asked for."""
        with self._compiling:
            if self._attacked is None:
                self._attacked = self._functions()
            return self._attacked

    def _functions(self):
        network, backend = attacks.logits_model(self._model), backends.current()

        def loss(images, labels):
            return attacks.cross_entropy(network(images, training=False), labels)

        return backend.input_gradient(loss), backend.forward(network)

    def fitting(self, images: Images) -> Images:
        """The images at the side that the model takes."""
        return fitting(self._model, images)

    @property
    def size(self) -> int:
        """Most images a step."""
        return self.probs.size


def outcome(probs: Probs, labels: Labels) -> Outcome:
    """What is kept of each image's distribution.

    Returns:
        dict of (N,) arrays: predicted (int32), confidence, true (the label's probability) and brier (float32).
    """
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
    """How often, and how far, predictions change along the sequences of some images.

    Args:
        images: (M, S, S, 3) uint8.
        rows: (N,) which of them.
        name: of `perturbations.names`.

    Returns:
        dict of (N,) float64: flips and, where there are more than 5 classes, top5.
    """
    noise, side = name in perturbations.NOISES, images.shape[1]
    size = max(1, _BLOCK // (3 * side * side))
    found: dict[str, list[np.ndarray]] = {"flips": [], "top5": []}
    for start in range(0, len(rows), size):
        block = rows[start : start + size]
        frames = list(perturbations.frames(np.asarray(images[block]), name, rows=block, seed=seed))
        probs = subject.probs(np.concatenate(frames)).reshape(len(frames), len(block), -1)
        found["flips"].append(scores.flips(probs.argmax(axis=-1), noise=noise))
        if probs.shape[-1] > 5:
            found["top5"].append(scores.top5_distances(probs, noise=noise))
    return {key: np.concatenate(parts) for key, parts in found.items() if parts}


def attack(
    subject: Subject, images: Images, labels: Labels, rows: Rows, kind: str, epsilon: float, *, seed: int
) -> Outcome:
    """Which images are still recognised when they are attacked.

    Args:
        images: (M, S, S, 3) uint8.
        labels: (M,) ints.
        rows: (N,) which of them.
        kind: "fgsm" or "pgd".
        epsilon: in grey levels.
        seed: of PGD's starts.

    Returns:
        {"correct": (N,) bool}.
    """
    import keras

    gradient, logits = subject.gradient_and_logits()
    images = subject.fitting(images)
    correct, size = [], min(subject.size, len(rows))
    for start in range(0, len(rows), size):
        block = rows[start : start + size]
        x = np.zeros((size, *images.shape[1:]), np.float32)  # the last one filled up
        y = np.zeros(size, np.int32)
        x[: len(block)], y[: len(block)] = images[block], labels[block]
        x_, y_ = (keras.ops.convert_to_tensor(array) for array in (x, y))
        if epsilon == 0:
            attacked = x_
        elif kind == "fgsm":
            attacked = attacks.fgsm(gradient, x_, y_, epsilon)
        else:
            keys = image_keys(derive_seed(seed, "pgd", epsilon), 0, block)
            begin = np.zeros_like(x)
            begin[: len(block)] = Draws(keys).uniform("start", *x.shape[1:], low=-1.0, high=1.0)
            attacked = attacks.pgd(gradient, x_, y_, epsilon, keras.ops.convert_to_tensor(begin))
        outputs = keras.ops.convert_to_numpy(logits(keras.ops.convert_to_numpy(attacked)))
        correct.append(outputs[: len(block)].argmax(axis=1) == y[: len(block)])
    return {"correct": np.concatenate(correct)}


def run(
    units: dict[tuple, Callable[[], Outcome]], *, name: str, kept: Checkpoints | None = None
) -> dict[tuple, Outcome]:
    """Do the units of work, two at a time; go on where a stopped run was.

    Args:
        units: {key: callable without arguments that gives a dict of arrays}, none needing another's.
        name: what the progress bar says.
        kept: checkpoints.Checkpoints with `keep=None`; None: nothing is saved.

    Returns:
        {key: dict of arrays}.

    Raises:
        Stopped: Ctrl-C or SIGTERM, if `kept` is given; the units done were saved.
    """
    results: dict[tuple, Outcome] = {}
    unsaved: dict[tuple, Outcome] = {}
    keys = list(units)
    for number, arrays, meta in kept.in_order() if kept else ():
        if number != len(results):
            break
        done = keys[number : number + len(meta["arrays"])]
        for index, (key, names) in enumerate(zip(done, meta["arrays"], strict=True)):
            results[key] = {part: arrays[f"{index}_{part}"] for part in names}
    if kept:
        kept.drop_from(len(results))
        kept.resumed_from = len(results)
        if results:
            print(f"{name}: resumed_from_unit={len(results)} of {len(keys)}", flush=True)
    with (
        ThreadPoolExecutor(_THREADS) as pool,
        bar(total=len(keys), name=name, unit="step", initial=len(results)) as shown,
        deferred() as requests,
    ):
        todo = keys[len(results) :]
        working = [pool.submit(units[key]) for key in todo[:_THREADS]]  # no more: their images are in memory
        for key, following in zip_longest(todo, todo[_THREADS:]):
            results[key] = unsaved[key] = working.pop(0).result()
            if following is not None:
                working.append(pool.submit(units[following]))
            shown.update(1)
            asked = requests.pending()
            if kept is None or len(results) == len(keys) or not (asked or kept.due()):
                continue
            arrays = {
                f"{index}_{part}": array
                for index, found in enumerate(unsaved.values())
                for part, array in found.items()
            }
            meta = {"arrays": [list(found) for found in unsaved.values()]}
            if kept.save(len(results) - len(unsaved), arrays, meta):
                unsaved = {}
            if asked:
                saved = len(results) - len(unsaved)
                raise Stopped(
                    f"{name}: stopped; {saved} of {len(keys)} steps are saved. Run the same command again to go on.",
                    asked,
                )
    return results
