"""Class distributions of many images, batch by batch."""

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import keras
import numpy as np

from noisy_student import backends
from noisy_student.data.views import Images, at_size
from noisy_student.runtime.checkpoints import Checkpoints
from noisy_student.runtime.errors import UserError
from noisy_student.runtime.progress import Silent, bar
from noisy_student.runtime.signals import Stopped, deferred
from noisy_student.runtime.types import Floats, Pixels, Probs, Rows, Tensor

# Bytes that the largest layer output of a batch may take. On CPUs benchmarks/labelling.py finds the best
# speed at 4 to 16 MiB: less is too little work for a kernel, more does not fit the caches.
CPU_BUDGET = 8 * 2**20
ACCELERATOR_BUDGET = 256 * 2**20
SMALLEST, LARGEST = 4, 4096  # images

T = TypeVar("T")


def automatic_batch_size(model: keras.Model, *, accelerator: bool) -> int:
    """Images a step at which a model predicts about as fast as it can.

    A function of the model and the kind of device only, not of free memory or a measurement: rounding
    may depend on the batch size, and equal runs must give equal bytes.

    It is a power of two from 4 to 4096: the largest at which no layer output, in float32, exceeds the budget. The model
    has one input and one output a layer.
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
    mirrored: bool = False,
    out: Probs | None = None,
    checkpoints: Checkpoints | None = None,
    forward: Callable[[Pixels], Tensor] | None = None,
    shown: bool = True,
) -> Probs:
    """The model's distribution for every image, un-noised unless `noise` is given.

    Every batch has the same size, the last one filled up with black images: the model is compiled once,
    and an image's probabilities do not depend on how many images there are.

    Args:
        model: of inference or noised (it ends in a softmax).
        images: one batch at a time is read, and resized if the model takes another size.
        batch_size: images a step, or "auto", see `automatic_batch_size`.
        name: what the progress bar says.
        noise: of images of the model's size, and their rows: the paper's ablation of a noised teacher.
        mirrored: whether a distribution is the mean of the image's and of its mirror image's.
        out: to write into, may be memory-mapped; None: a new array.
        checkpoints: with `keep=None`, for shards of rows to go on from and to write.
        forward: the model as `backends` gives it, where it was made before; None: it is made.
        shown: whether there is a progress bar.

    Raises:
        UserError: there are no images, or the model gives NaN.
        Stopped: Ctrl-C or SIGTERM, if there are `checkpoints`; the rows done were saved.
    """
    images = fitting(model, images, name=name)
    size, forward = steps_of(model, batch_size), forward or backends.current().forward(model)
    if mirrored:
        forward = _with_mirror_images(forward)
    if out is None:
        out = np.empty((len(images), model.output_shape[-1]), np.float32)
    shards = _Shards(checkpoints, out, name) if checkpoints else None
    done = shards.load() if shards else 0
    with (
        bar(total=len(images), name=name, unit="image", initial=done) if shown else Silent() as progress,
        deferred() if shards else contextlib.nullcontext() as requests,
    ):
        for first, probs in _distributions(forward, images, size, name, noise=noise, first=done):
            end = first + len(probs)
            out[first:end] = probs
            progress.update(len(probs))
            if shards and requests and end < len(images):  # else it is quicker to finish
                shards.save(end, requests.pending())
    return out


def _with_mirror_images(forward):
    """Two calls of the same shape, so that nothing more is compiled and no batch takes more memory."""
    return lambda images: (forward(images) + forward(np.ascontiguousarray(images[:, :, ::-1]))) / 2


class Predictor:
    """The model's distribution for many small sets of images; the model is compiled once.

    `size` is how many images a step takes; arguments as of `predict_probs`.
    """

    def __init__(self, model: keras.Model, *, batch_size: int | str = "auto") -> None:
        self.size = steps_of(model, batch_size)
        self._model, self._forward = model, backends.current().forward(model)

    def __call__(self, images: Images, *, name: str = "predict") -> Probs:
        """(N, K); errors as of `predict_probs`."""
        images = fitting(self._model, images, name=name)
        return np.concatenate([probs for _, probs in _distributions(self._forward, images, self.size, name)])

    def stream(self, batches: Iterable[tuple[T, Pixels]], *, name: str = "predict") -> Iterator[tuple[T, Probs]]:
        """For batches of 1 to `size` images of the model's size, each with whatever it is known by; one at a time."""
        return _in_turn(self._forward, batches, self.size, name)


def steps_of(model: keras.Model, batch_size: int | str) -> int:
    """Images a step: a number as it is, "auto" by the model and this process's devices."""
    if batch_size != "auto":
        return int(batch_size)
    return automatic_batch_size(model, accelerator=backends.current().describe_devices()[0] != "CPU")


class _Shards:
    """Rows of `out` that are saved as they are made: a shard's number is its first row."""

    def __init__(self, checkpoints, out, name):
        self.checkpoints, self.out, self.name, self.saved = checkpoints, out, name, 0

    def load(self):
        """Fill in the rows that are there; return how many."""
        for number, arrays, _ in self.checkpoints.in_order():
            if number != self.saved:
                break
            end = number + len(arrays["probs"])
            self.out[number:end] = arrays["probs"]
            self.saved = end
        self.checkpoints.drop_from(self.saved)  # what lies behind a gap
        if self.saved:
            self.checkpoints.resumed_from = self.saved
            print(f"{self.name}: resumed_from_row={self.saved} of {len(self.out)}", flush=True)
        return self.saved

    def save(self, end, asked):
        """Save the rows before `end`, if it is time or the work shall stop."""
        if asked is None and not self.checkpoints.due():
            return
        done = f"{end:,} of {len(self.out):,} rows"
        if self.checkpoints.save(self.saved, {"probs": self.out[self.saved : end]}, {}, done=done):
            self.saved = end
        if asked is not None:
            saved = f"{self.saved:,} of {len(self.out):,} rows"
            raise Stopped(
                f"{self.name}: stopped; {saved} are saved. Run the same command again to go on.", asked, saved
            )


def fitting(model: keras.Model, images: Images, *, name: str = "predict") -> Images:
    """The images at the side that the model takes; those of another one are resized when they are read."""
    if not len(images):
        raise UserError(
            f"{name}: there are 0 images. Give data.unlabelled_from and data.root folders that hold images, "
            "then dvc repro."
        )
    return at_size(images, model.input_shape[1])


def _distributions(forward, images, size, name, *, noise=None, first=0):
    """Yield (first row, probs (n, K)) batch by batch."""

    def batches():
        for row in range(first, len(images), size):
            batch = np.asarray(images[row : row + size])
            if noise is not None:
                batch = noise(batch, np.arange(row, row + len(batch)))
            yield row, batch

    yield from _in_turn(forward, batches(), size, name)


def _in_turn(forward, batches, size, name):
    """Yield (key, probs (n, K)) of batches with keys.

    A batch is handed over before the probabilities of the one before it are waited for: a GPU works while the
    next images are read and noised.
    """
    working = []
    for key, batch in batches:
        working.append((key, len(batch), forward(_filled(batch, size))))
        if len(working) > 1:
            yield _fetched(*working.pop(0), name)
    if working:
        yield _fetched(*working.pop(), name)


def _fetched(key, number, probs, name):
    probs = keras.ops.convert_to_numpy(probs)[:number]
    if not np.isfinite(probs).all():
        raise UserError(f"{name}: the model gives NaN. Train it again with a lower learning rate.")
    return key, probs


def _filled(batch, size):
    """The batch with black images added up to `size`."""
    return batch if len(batch) == size else np.pad(batch, ((0, size - len(batch)), (0, 0), (0, 0), (0, 0)))


def predict_logits(model: keras.Model, images: Images, *, batch_size: int) -> Floats:
    """Logits of a training model, un-noised, with its present weights.

    The images are shared out equally among as few batches of at most `batch_size` as possible, so that hardly any is
    filled up.
    """
    steps = math.ceil(len(images) / batch_size)
    size = math.ceil(len(images) / steps)
    batches = (np.asarray(images[row : row + size]) for row in range(0, len(images), size))
    return np.concatenate([model.predict_on_batch(_filled(batch, size))[: len(batch)] for batch in batches])


def to_probs(logits: Floats) -> Probs:
    """Softmax over the last axis, in float64, returned as float32."""
    logits = np.asarray(logits, np.float64)
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return (powers / powers.sum(axis=-1, keepdims=True)).astype(np.float32)
