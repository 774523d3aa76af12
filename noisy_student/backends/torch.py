"""What only PyTorch can do; `backends.current` says what each function gives."""

import os
from collections.abc import Callable, Sequence

import keras
import torch

from noisy_student.backends import Loss, cpu_has_bfloat16
from noisy_student.backends.undivided import cond, own_rows, replicas  # noqa: F401, `current` says what they are
from noisy_student.runtime.types import Pixels, Tensor

STEPS_AT_A_TIME = 1  # Keras can no more here
# Keras' are fused here
OPTIMIZERS = {"sgd": keras.optimizers.SGD, "adam": keras.optimizers.Adam, "rmsprop": keras.optimizers.RMSprop}


def make_deterministic() -> None:
    """Operations without a deterministic kernel raise an error from then on.

    cuBLAS needs a fixed workspace, which it reads when the first GPU computation starts: call this before.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False  # which would choose the convolution algorithm by a race


def compiles_with_xla() -> bool:
    """With PyTorch never."""
    return False


def is_bfloat16_fast() -> bool:
    """On GPUs since Ampere, and on CPUs that have it."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return cpu_has_bfloat16()


def describe_devices() -> list[str]:
    """CUDA's, or Apple's."""
    if torch.cuda.is_available():
        return [f"GPU {torch.cuda.get_device_name(index)}" for index in range(torch.cuda.device_count())]
    return ["GPU Apple MPS"] if torch.backends.mps.is_available() else ["CPU"]


def feed(batches: keras.utils.PyDataset) -> keras.utils.PyDataset:
    """The batches themselves."""
    return batches


def steps_at_a_time() -> int:
    """`STEPS_AT_A_TIME`."""
    return STEPS_AT_A_TIME


def batch_normalise(x: Tensor, scale: Tensor, offset: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """By PyTorch's kernel, which wants the channels first."""
    channels_first = x.permute(0, 3, 1, 2)
    y, mean, deviation = torch.native_batch_norm(channels_first, scale, offset, None, None, True, 0.0, epsilon)
    variance = deviation.detach() ** -2 - epsilon  # the kernel gives 1 / sqrt(variance + epsilon)
    return y.permute(0, 2, 3, 1), mean.detach(), variance


def normalise(x: Tensor, scale: Tensor, offset: Tensor, mean: Tensor, variance: Tensor, epsilon: float) -> Tensor:
    """As `batch_normalise`."""
    stored = [torch.as_tensor(getattr(statistic, "value", statistic)) for statistic in (mean, variance)]
    y = torch.nn.functional.batch_norm(x.permute(0, 3, 1, 2), *stored, scale, offset, training=False, eps=epsilon)
    return y.permute(0, 2, 3, 1)


def with_zero_gradients(x: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """`x` plus nothing of each weight.

    PyTorch would give these no gradient, and Keras' optimizers then leave them as they are: without weight
    decay and without the step of their momentum.
    """
    return sum((weight.flatten()[:0].sum().to(x.dtype) for weight in weights), x)


def forward(model: keras.Model) -> Callable[[Pixels], Tensor]:
    """The model itself."""

    def run(images):
        with torch.no_grad():
            # a copy, because PyTorch has no read-only tensors
            return model(keras.ops.convert_to_tensor(images.copy()), training=False)

    return run


def input_gradient(loss: Loss) -> Loss:
    """By autograd."""

    def gradient(images, labels):
        images = images.detach().requires_grad_()
        return torch.autograd.grad(loss(images, labels), images)[0]

    return gradient
