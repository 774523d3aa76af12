"""What only JAX can do."""

import os

import jax

FLAG = "--xla_gpu_deterministic_ops"


def make_deterministic():
    """Let every operation give the same bits in every run on the same machine.

    On CPUs XLA does so anyway. On GPUs it needs a flag, which XLA reads at the first computation:
    call this before. A value that the user gave the flag in XLA_FLAGS stays.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if FLAG not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {FLAG}=true".strip()


def compiles_with_xla():
    """Whether training steps are compiled by XLA; with JAX always."""
    return True


def describe_devices():
    """Names of the accelerators in use, e.g. ["GPU NVIDIA H200"]; ["CPU"] where there is none."""
    return [
        "CPU" if device.platform == "cpu" else f"{device.platform.upper()} {device.device_kind}"
        for device in jax.devices()
    ]
