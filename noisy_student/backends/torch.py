"""What only PyTorch can do."""

import os

import torch


def make_deterministic():
    """Let every operation give the same bits in every run on the same machine.

    Operations without such a kernel raise an error from then on. cuBLAS needs a fixed workspace for
    it, which it reads when the first GPU computation starts: call this before.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False  # which would choose the convolution algorithm by a race


def compiles_with_xla():
    """Whether training steps are compiled by XLA; with PyTorch never."""
    return False


def describe_devices():
    """Names of the accelerators in use, e.g. ["GPU NVIDIA H200"]; ["CPU"] where there is none."""
    if torch.cuda.is_available():
        return [f"GPU {torch.cuda.get_device_name(index)}" for index in range(torch.cuda.device_count())]
    return ["GPU Apple MPS"] if torch.backends.mps.is_available() else ["CPU"]
