"""OpenVINO IR, two files, by Keras' own export: weights stay float32, which OpenVINO's own `save_model` would halve."""

from pathlib import Path
from typing import TYPE_CHECKING

from noisy_student.deployment.formats import Reader
from noisy_student.inference.description import Description
from noisy_student.runtime import environment
from noisy_student.runtime.types import Pixels

if TYPE_CHECKING:
    import keras

SUFFIX = ".xml"
ABOUT = "for Intel's CPUs and GPUs"
PACKAGES = {"tensorflow": ("openvino",), "torch": ("openvino",)}  # not JAX: findings/keras-openvino-jax.sh
RUNTIME = ("openvino",)
INT8 = False
_PLACE = ["noisy_student", "description"]  # in the model's rt_info


def write(model: "keras.Model", path: Path, described: Description, calibration: Pixels | None) -> None:
    """Write the model; images go in as "images", uint8, in batches of any size, probabilities come out."""
    import openvino

    bare = path.with_name("bare.xml")
    model.export(str(bare), format="openvino", verbose=False)
    read = openvino.Core().read_model(bare)
    read.set_rt_info(described.model_dump_json(), _PLACE)
    read.outputs[0].get_tensor().set_names({"probs"})
    openvino.save_model(read, path, compress_to_fp16=False)
    del read  # which maps the weights' file into memory
    for file in (bare, bare.with_suffix(".bin")):
        file.unlink()


def reader(path: Path) -> Reader:
    """OpenVINO on the CPU, in float32, which by itself takes one thread for two cores that share their units."""
    import openvino

    threads = {"INFERENCE_NUM_THREADS": environment.threads(), "ENABLE_HYPER_THREADING": True}
    options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", **threads}
    compiled = openvino.Core().compile_model(path, "CPU", options)
    takes, gives = (
        tuple(size.get_length() if size.is_static else None for size in port.partial_shape)
        for port in (compiled.inputs[0], compiled.outputs[0])
    )
    return Reader(lambda images: compiled(images)["probs"].copy(), takes, gives)


def read_description(path: Path) -> str | None:
    """From the rt_info."""
    import openvino

    read = openvino.Core().read_model(path)
    return read.get_rt_info(_PLACE).astype(str) if read.has_rt_info(_PLACE) else None
