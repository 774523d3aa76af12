"""Adversarial images: FGSM and PGD on the scale of pixels, 0..255.

Images are float32 tensors of the backend in use; the gradient goes through the model's own normalisation.
What is attacked is the logits, because a softmax that is sure has no gradient left. `epsilon` is the largest change
of a value, in grey levels.
"""

from collections.abc import Callable

import keras
from keras import ops

from noisy_student.robustness.severities import PGD_STEPS
from noisy_student.runtime.types import Tensor

Gradient = Callable[[Tensor, Tensor], Tensor]  # (images, labels) -> of the loss in the images


def logits_model(model: keras.Model) -> keras.Model:
    """The same network, sharing its weights, from float32 pixels instead of uint8 to what its softmax takes."""
    if not isinstance(model.layers[-1], keras.layers.Softmax):
        raise ValueError(f"{model.name} ends in {model.layers[-1].name}, not in a softmax")
    inner = keras.Model(model.inputs[0], model.layers[-1].input)
    pixels = keras.Input(model.input_shape[1:], dtype="float32", name="pixels")
    return keras.models.clone_model(inner, input_tensors=pixels, clone_function=lambda layer: layer)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Sum over the images of the negative log-likelihood, in nats: (N, K), (N,) ints -> scalar."""
    return ops.sum(ops.sparse_categorical_crossentropy(labels, logits, from_logits=True))


def fgsm(gradient: Gradient, images: Tensor, labels: Tensor, epsilon: float) -> Tensor:
    """The fast gradient sign method (Goodfellow et al. 2015, arXiv:1412.6572): one step of the full size epsilon."""
    return ops.clip(images + epsilon * ops.sign(gradient(images, labels)), 0.0, 255.0)


def pgd(
    gradient: Gradient, images: Tensor, labels: Tensor, epsilon: float, offsets: Tensor, *, steps: int = PGD_STEPS
) -> Tensor:
    """Projected gradient descent (Madry et al. 2018, arXiv:1706.06083), by steps of epsilon / 4.

    It begins at `offsets`, values in [-1, 1) for each pixel, of the ball of radius epsilon, and stays in it.
    """
    low, high = ops.maximum(images - epsilon, 0.0), ops.minimum(images + epsilon, 255.0)
    attacked = ops.clip(images + epsilon * offsets, low, high)
    for _ in range(steps):
        attacked = ops.clip(attacked + (epsilon / 4) * ops.sign(gradient(attacked, labels)), low, high)
    return attacked
