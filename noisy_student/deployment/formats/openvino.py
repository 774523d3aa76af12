"""OpenVINO IR, two files, by Keras' own export: weights stay float32, which OpenVINO's own `save_model` would halve."""

from collections.abc import Callable
from pathlib import Path

import keras

from noisy_student.inference.description import Description
from noisy_student.runtime.types import Pixels, Probs

SUFFIX = ".xml"
ABOUT = "for Intel's CPUs and GPUs"
PACKAGES = {"tensorflow": ("openvino",), "jax": ("openvino", "tensorflow"), "torch": ("openvino",)}
INT8 = False
_PLACE = ["noisy_student", "description"]  # in the model's rt_info


def write(model: keras.Model, path: Path, described: Description, calibration: Pixels | None) -> None:
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


def reader(path: Path) -> Callable[[Pixels], Probs]:
    """OpenVINO on the CPU, in float32."""
    import openvino

    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda images: compiled(images)["probs"].copy()


def read_description(path: Path) -> str:
    """From the rt_info."""
    import openvino

    return openvino.Core().read_model(path).get_rt_info(_PLACE).astype(str)
