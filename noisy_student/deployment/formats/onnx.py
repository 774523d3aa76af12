"""ONNX, by Keras' own export, with names for its output and its batch; 8 bits by ONNX Runtime's static quantisation."""

import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from noisy_student.deployment.formats import Reader
from noisy_student.inference.description import Description
from noisy_student.runtime import environment
from noisy_student.runtime.types import Pixels

if TYPE_CHECKING:
    import keras

SUFFIX = ".onnx"
ABOUT = "for ONNX Runtime and many others"
PACKAGES = {
    "tensorflow": ("tf2onnx", "onnx", "onnxruntime"),
    "jax": ("jax2onnx", "onnx", "onnxruntime"),
    "torch": ("onnx", "onnxscript", "onnxruntime"),
}
RUNTIME = ("onnxruntime",)
INT8 = True
KEY = "noisy_student"


def write(model: "keras.Model", path: Path, described: Description, calibration: Pixels | None) -> None:
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


def reader(path: Path) -> Reader:
    """ONNX Runtime on the CPU, which by itself takes one thread for two cores that share their units."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = environment.threads()
    session = _session(path, options)
    takes, gives = (
        tuple(size if isinstance(size, int) else None for size in value.shape)
        for value in (session.get_inputs()[0], session.get_outputs()[0])
    )
    return Reader(lambda images: session.run(["probs"], {"images": images})[0], takes, gives)


def read_description(path: Path) -> str | None:
    """From the metadata."""
    return _session(path).get_modelmeta().custom_metadata_map.get(KEY)


def _session(path, options=None):
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)  # what is wrong with a file is raised, too
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
