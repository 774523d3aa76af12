"""TensorFlow's SavedModel, a folder, by Keras' own export."""

from pathlib import Path
from typing import TYPE_CHECKING

from noisy_student.deployment.formats import Reader
from noisy_student.inference.description import Description
from noisy_student.runtime.types import Pixels

if TYPE_CHECKING:
    import keras

SUFFIX = ""
ABOUT = "for TensorFlow Serving"
PACKAGES = {"tensorflow": (), "jax": ("tensorflow",)}
RUNTIME = None  # a SavedModel is a program
INT8 = False
EXTRA = "assets.extra/noisy_student.json"  # a folder that TensorFlow keeps for files of others


def write(model: "keras.Model", path: Path, described: Description, calibration: Pixels | None) -> None:
    """Write the model; the signature serving_default takes "images", uint8, and gives "output_0"."""
    model.export(str(path), format="tf_saved_model", verbose=False)
    extra = path / EXTRA
    extra.parent.mkdir()
    extra.write_text(described.model_dump_json(), encoding="utf-8")


def reader(path: Path) -> Reader:
    """TensorFlow, without Keras."""
    import tensorflow as tf

    serve = tf.saved_model.load(str(path)).signatures["serving_default"]
    takes, gives = serve.structured_input_signature[1]["images"].shape, serve.structured_outputs["output_0"].shape
    return Reader(lambda images: serve(images=tf.constant(images))["output_0"].numpy(), tuple(takes), tuple(gives))


def read_description(path: Path) -> str | None:
    """From its folder for extra files."""
    return (path / EXTRA).read_text(encoding="utf-8") if (path / EXTRA).is_file() else None
