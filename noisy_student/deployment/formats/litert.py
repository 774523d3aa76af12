"""LiteRT (TensorFlow Lite), by Keras' own export; 8 bits by the converter's full-integer quantisation."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from noisy_student.inference.description import Description
from noisy_student.runtime.types import Pixels, Probs

SUFFIX = ".tflite"
ABOUT = "for phones and small boards"
PACKAGES = {"tensorflow": ()}
INT8 = True
MEMBER, LABELS = "noisy_student.json", "labels.txt"
_DATE = (1980, 1, 1, 0, 0, 0)


def write(model: keras.Model, path: Path, described: Description, calibration: Pixels | None) -> None:
    """Write the model; images go in as "images", uint8, probabilities come out as "output_0".

    As in files with TFLite Metadata a ZIP archive stands behind it: labels.txt, and the description as JSON.
    """
    import tensorflow as tf

    options: dict[str, Any] = {"target_spec": {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}}
    if calibration is not None:
        options["optimizations"] = [tf.lite.Optimize.DEFAULT]
        options["representative_dataset"] = lambda: ([image[None]] for image in calibration)
    model.export(str(path), format="litert", verbose=False, **options)
    with zipfile.ZipFile(path, "a") as archive:
        for name, text in (
            (LABELS, "".join(f"{each}\n" for each in described.classes)),
            (MEMBER, described.model_dump_json()),
        ):
            archive.writestr(zipfile.ZipInfo(name, date_time=_DATE), text)


def reader(path: Path) -> Callable[[Pixels], Probs]:
    """The LiteRT interpreter, or TensorFlow's, which is the same one."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        from tensorflow.lite import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)

    def run(images):
        inward, outward = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
        if tuple(inward["shape"]) != images.shape:
            interpreter.resize_tensor_input(inward["index"], images.shape)
            interpreter.allocate_tensors()
        interpreter.set_tensor(inward["index"], images)
        interpreter.invoke()
        return interpreter.get_tensor(outward["index"]).copy()

    interpreter.allocate_tensors()
    return run


def read_description(path: Path) -> str:
    """From the archive behind the model."""
    with zipfile.ZipFile(path) as archive:
        return archive.read(MEMBER).decode()
