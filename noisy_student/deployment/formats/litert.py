"""LiteRT (TensorFlow Lite), by Keras' own export; 8 bits by the converter's full-integer quantisation."""

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noisy_student.deployment.formats import Reader
from noisy_student.inference.description import Description
from noisy_student.runtime import environment
from noisy_student.runtime.types import Pixels

if TYPE_CHECKING:
    import keras

SUFFIX = ".tflite"
ABOUT = "for phones and small boards"
PACKAGES = {"tensorflow": ()}
RUNTIME = ("ai_edge_litert", "tensorflow")
INT8 = True
MEMBER, LABELS = "noisy_student.json", "labels.txt"
_DATE = (1980, 1, 1, 0, 0, 0)


def write(model: "keras.Model", path: Path, described: Description, calibration: Pixels | None) -> None:
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


def reader(path: Path) -> Reader:
    """The LiteRT interpreter, or TensorFlow's, which is the same one."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        import tensorflow as tf

        Interpreter = tf.lite.Interpreter  # no module that one can import from

    interpreter = Interpreter(str(path), num_threads=environment.threads())
    inward, outward = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def run(images):
        inward = interpreter.get_input_details()[0]
        if tuple(inward["shape"]) != images.shape:
            interpreter.resize_tensor_input(inward["index"], images.shape)
            interpreter.allocate_tensors()
        interpreter.set_tensor(inward["index"], images)
        interpreter.invoke()
        return interpreter.get_tensor(outward["index"]).copy()

    interpreter.allocate_tensors()
    takes, gives = (
        tuple(None if size < 0 else int(size) for size in details["shape_signature"]) for details in (inward, outward)
    )
    return Reader(run, takes, gives)


def read_description(path: Path) -> str | None:
    """From the archive behind the model."""
    if not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        return archive.read(MEMBER).decode() if MEMBER in archive.namelist() else None
