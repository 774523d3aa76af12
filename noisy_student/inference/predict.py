"""Class distributions of many images, batch by batch."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from noisy_student import backends
from noisy_student.data.views import at_size
from noisy_student.runtime.errors import UserError
from noisy_student.runtime.progress import bar
from noisy_student.runtime.signals import Stopped, deferred
from noisy_student.runtime.types import Floats, Pixels, Probs, Rows

if TYPE_CHECKING:
    import keras

    from noisy_student.data.views import Images
    from noisy_student.runtime.checkpoints import Checkpoints

# Bytes that the largest layer output of a batch may take. On CPUs benchmarks/labelling.py finds the best
# speed at 4 to 16 MiB: less is too little work for a kernel, more does not fit the caches.
CPU_BUDGET = 8 * 2**20
ACCELERATOR_BUDGET = 256 * 2**20
SMALLEST, LARGEST = 4, 4096  # images


def automatic_batch_size(model: keras.Model, *, accelerator: bool) -> int:
    """Images a step at which a model predicts about as fast as it can.

    A function of the model and the kind of device only, not of free memory or a measurement: rounding
    may depend on the batch size, and equal runs must give equal bytes.

    Args:
        model: a `keras.Model` of one input and one output a layer.
        accelerator: whether it runs on a GPU or TPU.

    Returns:
        A power of two from 4 to 4096: the largest whose largest layer output, in float32, is at most
        8 MiB on a CPU, 256 MiB on an accelerator.
    """
    largest = max(4 * math.prod(layer.output.shape[1:]) for layer in model.layers)  # bytes an image
    fitting = (ACCELERATOR_BUDGET if accelerator else CPU_BUDGET) // largest
    return int(np.clip(2 ** (fitting.bit_length() - 1), SMALLEST, LARGEST)) if fitting else SMALLEST


def predict_probs(
    model: keras.Model,
    images: Images,
    *,
    batch_size: int | str = "auto",
    name: str = "predict",
    noise: Callable[[Pixels, Rows], Pixels] | None = None,
    out: Probs | None = None,
    kept: Checkpoints | None = None,
) -> Probs:
    """The model's distribution for every image, un-noised unless `noise` is given.

    Every batch has the same size, the last one filled up with black images: the model is compiled once,
    and an image's probabilities do not depend on how many images there are.

    Args:
        model: an inference or noised model of `noisy_student.models.build` (it ends in a softmax).
        images: (N, S, S, 3) uint8, N > 0, may be memory-mapped: one batch at a time is read, and resized if
            the model takes another size.
        batch_size: images a step, or "auto", see `automatic_batch_size`.
        name: what the progress bar says.
        noise: callable (images (n, H, W, 3) of the model's size, their rows (n,) int64) -> images, the
            paper's ablation of a noised teacher.
        out: (N, K) float32 to write into, may be memory-mapped; None: a new array.
        kept: checkpoints.Checkpoints with `keep=None`, for shards of rows to go on from and to write; None: neither.

    Returns:
        `out`; rows sum to 1.

    Raises:
        UserError: there are no images, or the model gives NaN.
        Stopped: Ctrl-C or SIGTERM, if `kept` is given; the rows done were saved.
    """
    images = _fitting(model, images, name)
    size, forward = _batch_size(model, batch_size), backends.current().forward(model)
    if out is None:
        out = np.empty((len(images), model.output_shape[-1]), np.float32)
    shards = None if kept is None else _Shards(kept, out, name)
    done = 0 if shards is None else shards.load()
    asking = contextlib.nullcontext() if shards is None else deferred()
    with bar(total=len(images), name=name, unit="image", initial=done) as shown, asking as requests:
        for start, probs in _outputs(forward, images, size, noise, done):
            _check_outputs(probs, name)
            end = start + len(probs)
            out[start:end] = probs
            shown.update(len(probs))
            if shards is not None and end < len(images):  # else it is quicker to finish
                shards.save(end, requests.pending())
    return out


class Predictor:
    """The model's distribution for many small sets of images; the model is compiled once.

    Args:
        model: an inference model of `noisy_student.models.build` (it ends in a softmax).
        batch_size: images a step, or "auto", see `automatic_batch_size`.

    Attributes:
        size: images a step.
    """

    def __init__(self, model: keras.Model, *, batch_size: int | str = "auto") -> None:
        self.size = _batch_size(model, batch_size)
        self._model, self._forward = model, backends.current().forward(model)

    def __call__(self, images: Images, *, name: str = "predict") -> Probs:
        """(N, H, W, 3) uint8, anything that can be sliced -> (N, K) float32; errors as of `predict_probs`."""
        images = _fitting(self._model, images, name)
        pieces = [probs for _, probs in _outputs(self._forward, images, self.size, None, 0)]
        found = np.concatenate(pieces)
        _check_outputs(found, name)
        return found


def _batch_size(model, batch_size):
    if batch_size != "auto":
        return batch_size
    accelerator = backends.current().describe_devices() != ["CPU"]
    return automatic_batch_size(model, accelerator=accelerator)


class _Shards:
    """Rows of `out` that are saved as they are made: a shard's number is its first row."""

    def __init__(self, kept, out, name):
        self.kept, self.out, self.name, self.saved = kept, out, name, 0

    def load(self):
        """Fill in the rows that are there; return how many."""
        for number, arrays, _ in self.kept.in_order():
            if number != self.saved:
                break
            end = number + len(arrays["probs"])
            self.out[number:end] = arrays["probs"]
            self.saved = end
        self.kept.drop_from(self.saved)  # what lies behind a gap
        if self.saved:
            self.kept.resumed_from = self.saved
            print(f"{self.name}: resumed_from_row={self.saved} of {len(self.out)}", flush=True)
        return self.saved

    def save(self, end, asked):
        """Save the rows before `end`, if it is time or the work shall stop."""
        if asked is None and not self.kept.due():
            return
        if self.kept.save(self.saved, {"probs": self.out[self.saved : end]}, {}):
            self.saved = end
        if asked is not None:
            saved = f"{self.saved:,} of {len(self.out):,} rows are saved"
            raise Stopped(f"{self.name}: stopped; {saved}. Run the same command again to go on.", asked)


def fitting(model: keras.Model, images: Images) -> Images:
    """The images at the side that the model takes; those of another one are resized when they are read."""
    return at_size(images, model.input_shape[1])


def _fitting(model, images, name):
    if not len(images):
        raise UserError(
            f"{name}: there are 0 images. Give data.unlabelled_from and data.root folders that hold images, "
            "then dvc repro."
        )
    return fitting(model, images)


def _check_outputs(probs, name):
    if not np.isfinite(probs).all():
        raise UserError(f"{name}: the model gives NaN. Train it again with a lower learning rate.")


def _outputs(forward, images, size, noise, first):
    """Yield (first row, outputs (n, K)) batch by batch.

    A batch is handed over before the outputs of the one before it are waited for: a GPU works while the
    next images are read and noised.
    """
    working = []
    for start in range(first, len(images), size):
        batch = np.asarray(images[start : start + size])
        if noise is not None:
            batch = noise(batch, np.arange(start, start + len(batch)))
        working.append((start, len(batch), forward(_filled(batch, size))))
        if len(working) > 1:
            yield _fetched(*working.pop(0))
    yield _fetched(*working.pop())


def _fetched(start, number, outputs):
    import keras

    return start, keras.ops.convert_to_numpy(outputs)[:number]


def _filled(batch, size):
    """The batch with black images added up to `size`."""
    if len(batch) == size:
        return batch
    full = np.zeros((size, *batch.shape[1:]), batch.dtype)
    full[: len(batch)] = batch
    return full


def predict_logits(model: keras.Model, images: Images, *, batch_size: int) -> Floats:
    """Logits of a training model, un-noised, with its present weights.

    The images are shared out equally among as few batches as possible, so that hardly any is filled up.

    Args:
        model: a training model of `noisy_student.models.build`.
        images: (N, H, W, 3) uint8, N > 0, may be memory-mapped.
        batch_size: most images a step.
    """
    steps = math.ceil(len(images) / batch_size)
    size = math.ceil(len(images) / steps)
    batches = (np.asarray(images[start : start + size]) for start in range(0, len(images), size))
    return np.concatenate([model.predict_on_batch(_filled(batch, size))[: len(batch)] for batch in batches])


def to_probs(logits: Floats) -> Probs:
    """Softmax over the last axis, in float64, returned as float32."""
    logits = np.asarray(logits, np.float64)
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return (powers / powers.sum(axis=-1, keepdims=True)).astype(np.float32)
