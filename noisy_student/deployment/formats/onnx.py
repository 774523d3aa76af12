"""ONNX, by Keras' own export, with names for its output and its batch; 8 bits by ONNX Runtime's static quantisation."""

import json
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np

from noisy_student.inference.description import Description
from noisy_student.runtime.types import Pixels, Probs

SUFFIX = ".onnx"
ABOUT = "for ONNX Runtime and many others"
PACKAGES = {
    "tensorflow": ("tf2onnx", "onnx", "onnxruntime"),
    "jax": ("jax2onnx", "onnx", "onnxruntime"),
    "torch": ("onnx", "onnxscript", "onnxruntime"),
}
INT8 = True
KEY = "noisy_student"


def write(model: keras.Model, path: Path, described: Description, calibration: Pixels | None) -> None:
    """Write the model; images go in as "images", uint8, in batches of any size, "probs" come out.

    Its metadata hold the description as JSON, and the classes by themselves as "names", a JSON list.
    """
    model(np.zeros((1, *model.input_shape[1:]), np.uint8))  # Keras refuses a loaded model that was never called
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tf2onnx asks NumPy for names that it no longer has
        model.export(str(path), format="onnx", verbose=False)
    if calibration is not None:
        _quantise(path, calibration)
    import onnx

    proto = onnx.load(str(path))
    _name_output(proto.graph)
    metadata = {KEY: described.model_dump_json(), "names": json.dumps(described.classes, ensure_ascii=False)}
    onnx.helper.set_model_props(proto, metadata)
    onnx.checker.check_model(proto, full_check=True)
    onnx.save(proto, str(path))


def _name_output(graph):
    """Keras calls the output Identity:0, and the batch unk__ and a number."""
    old = graph.output[0].name
    for node in graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name == old:
                    names[place] = "probs"
    graph.output[0].name = "probs"
    for value in (graph.input[0], graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del graph.value_info[:]  # which use the batch's old name; ONNX Runtime works them out


def _quantise(path, calibration):
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._batches: Iterator = iter(np.array_split(calibration, max(1, len(calibration) // 16)))

        def get_next(self) -> dict | None:
            batch = next(self._batches, None)
            return None if batch is None else {"images": batch}

    prepared = path.with_suffix(".prepared.onnx")
    logging.getLogger().setLevel(logging.ERROR)  # it advises what is done here
    quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
    # weights of 7 bits, which ONNX Runtime's documentation advises for x86-64 without VNNI (sums of 16 bits saturate);
    # what they gain was not measured here
    kinds = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8, "reduce_range": True}
    quantize_static(str(prepared), str(path), Reader(), quant_format=QuantFormat.QDQ, per_channel=True, **kinds)
    prepared.unlink()


def reader(path: Path) -> Callable[[Pixels], Probs]:
    """ONNX Runtime on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda images: session.run(["probs"], {"images": images})[0]


def read_description(path: Path) -> str:
    """From the metadata."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.get_modelmeta().custom_metadata_map[KEY]
