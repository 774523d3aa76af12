"""What only TensorFlow can do."""

import tensorflow as tf


def make_deterministic():
    """Let every operation give the same bits in every run on the same machine.

    Operations without such a kernel raise an error from then on.
    """
    tf.config.experimental.enable_op_determinism()


def compiles_with_xla():
    """Whether training steps are compiled by XLA: on GPUs only, on CPUs it slows convolutions down."""
    return bool(tf.config.list_physical_devices("GPU"))


def describe_devices():
    """Names of the accelerators in use, e.g. ["GPU NVIDIA H200"]; ["CPU"] where there is none."""
    names = []
    for device in tf.config.list_physical_devices("GPU"):
        model = tf.config.experimental.get_device_details(device).get("device_name", device.name)
        names.append(f"GPU {model}")
    return names or ["CPU"]
