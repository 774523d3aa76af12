"""What only PyTorch can do."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import keras
import torch

from noisy_student.backends import cpu_has_bfloat16
from noisy_student.runtime.types import Pixels, Tensor


def make_deterministic() -> None:
    """Let every operation give the same bits in every run on the same machine.

    Operations without such a kernel raise an error from then on. cuBLAS needs a fixed workspace for
    it, which it reads when the first GPU computation starts: call this before.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False  # which would choose the convolution algorithm by a race


def compiles_with_xla() -> bool:
    """Whether training steps are compiled by XLA; with PyTorch never."""
    return False


def is_bfloat16_fast() -> bool:
    """Whether training in bfloat16 is faster than in float32: GPUs since Ampere, CPUs that have it."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return cpu_has_bfloat16()


def describe_devices() -> list[str]:
    """Names of the accelerators in use, e.g. ["GPU NVIDIA H200"]; ["CPU"] where there is none."""
    if torch.cuda.is_available():
        return [f"GPU {torch.cuda.get_device_name(index)}" for index in range(torch.cuda.device_count())]
    return ["GPU Apple MPS"] if torch.backends.mps.is_available() else ["CPU"]


def feed(batches: keras.utils.PyDataset) -> Any:
    """What `keras.Model.fit` iterates over, once a round: the batches themselves.

    Args:
        batches: training.batches.TrainingBatches.
    """
    return batches


def batch_normalise(x: Tensor, scale: Tensor, offset: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """Normalise a batch by its own statistics.

    Args:
        x: (N, H, W, C) float32 or bfloat16.
        scale, offset: (C,) float32.
        epsilon: added to the variance.

    Returns:
        (outputs, mean, variance): as `x`, and (C,) float32 statistics; the variance is that of the batch,
        divided by its size.
    """
    channels_first = x.permute(0, 3, 1, 2)
    outputs, mean, deviation = torch.native_batch_norm(channels_first, scale, offset, None, None, True, 0.0, epsilon)
    variance = deviation.detach() ** -2 - epsilon  # the kernel gives 1 / sqrt(variance + epsilon)
    return outputs.permute(0, 2, 3, 1), mean.detach(), variance


def normalise(x: Tensor, scale: Tensor, offset: Tensor, mean: Tensor, variance: Tensor, epsilon: float) -> Tensor:
    """Normalise by stored statistics; arguments as of `batch_normalise`, mean and variance (C,) float32."""
    stored = [torch.as_tensor(getattr(value, "value", value)) for value in (mean, variance)]
    outputs = torch.nn.functional.batch_norm(x.permute(0, 3, 1, 2), *stored, scale, offset, training=False, eps=epsilon)
    return outputs.permute(0, 2, 3, 1)


STEPS_AT_A_TIME = 1  # Keras can no more here
OPTIMIZERS = {  # Keras' are fused here
    "sgd": keras.optimizers.SGD,
    "adam": keras.optimizers.Adam,
    "rmsprop": keras.optimizers.RMSprop,
}


def with_zero_gradients(outputs: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """The outputs, with a gradient of zero in weights that they do not depend on.

    PyTorch would give these no gradient, and Keras' optimizers then leave them as they are: without weight
    decay and without the step of their momentum.

    Args:
        weights: tensors, each with a gradient.
    """
    return sum((weight.flatten()[:0].sum().to(outputs.dtype) for weight in weights), outputs)


def forward(model: keras.Model) -> Callable[[Pixels], Tensor]:
    """The model as a function of batches of one constant shape, without noise of training.

    Returns:
        Callable: uint8 NumPy array (N, H, W, 3) -> tensor (N, K), on a GPU perhaps before it is computed.
    """

    def run(images):
        with torch.no_grad():
            # a copy, because PyTorch has no read-only tensors
            return model(keras.ops.convert_to_tensor(images.copy()), training=False)

    return run


def input_gradient(loss: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """The gradient of a loss in its images.

    Args:
        loss: callable (images (N, H, W, 3) float32, labels (N,)) -> scalar tensor, of this backend.

    Returns:
        Callable with the same arguments -> tensor like images.
    """

    def gradient(images, labels):
        images = images.detach().requires_grad_()
        return torch.autograd.grad(loss(images, labels), images)[0]

    return gradient
