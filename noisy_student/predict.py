"""Class distributions of many images, batch by batch."""

import numpy as np
from scipy.special import softmax

from noisy_student.errors import UserError
from noisy_student.progress import progress


def predict_probs(model, images, *, batch_size, name="predict", noise=None, rng=None):
    """The model's distribution for every image, un-noised unless `noise` is given.

    Args:
        model: an inference or noised model of `noisy_student.models.build` (it ends in a softmax).
        images: (N, H, W, 3) uint8, may be memory-mapped: one batch at a time is read.
        batch_size: images a step; it changes the speed, not the meaning.
        name: what the progress bar says.
        noise: callable (images, generator) -> images, the paper's ablation of a noised teacher.
        rng: generator for `noise`.

    Returns:
        (N, K) float32, rows sum to 1.

    Raises:
        UserError: the images are not of the model's size, or the model gives NaN.
    """
    expected = model.input_shape[1:]
    if tuple(images.shape[1:]) != tuple(expected):
        raise UserError(
            f"{name}: the model takes images of shape {tuple(expected)}, found {tuple(images.shape[1:])}. "
            "Train it again with this data.image_size: dvc repro."
        )
    probs = np.empty((len(images), model.output_shape[-1]), np.float32)
    for start in progress(range(0, len(images), batch_size), name=name, scale=batch_size, unit="image"):
        batch = np.asarray(images[start : start + batch_size])
        if noise is not None:
            batch = noise(batch, rng)
        probs[start : start + batch_size] = model.predict_on_batch(batch)
    if not np.isfinite(probs).all():
        raise UserError(f"{name}: the model gives NaN. Train it again with a lower learning rate.")
    return probs


def predict_logits(model, images, *, batch_size):
    """Logits (N, K) float32 of a training model, un-noised; see `predict_probs`."""
    batches = [
        model.predict_on_batch(np.asarray(images[start : start + batch_size]))
        for start in range(0, len(images), batch_size)
    ]
    return np.concatenate(batches)


def to_probs(logits):
    """Softmax over the last axis, in float64, returned as float32."""
    return softmax(np.asarray(logits, np.float64), axis=-1).astype(np.float32)
