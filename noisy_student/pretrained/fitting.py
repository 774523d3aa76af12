"""Whether a file of weights is of the network that params.yaml names: by the names and shapes in it, without Keras."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from noisy_student.models.networks import network_of
from noisy_student.models.networks.efficientnet import SIZES, STEM_FILTERS, TOP_FILTERS, EfficientNet, scaled_filters
from noisy_student.pretrained import keras_files, timm_files
from noisy_student.pretrained.files import KINDS, PARAMETER, Stored, find
from noisy_student.runtime.errors import ParamsError
from noisy_student.settings.schema import ModelParams, TeacherParams

OPENERS = {".h5": keras_files.opened, ".safetensors": timm_files.opened}


def check(teacher: TeacherParams) -> None:
    """Raise UserError unless the file of a pretrained start is there, can be opened and is of the teacher's network.

    Models of this project are looked at when they are loaded.
    """
    if teacher.init == "pretrained":
        path = find(teacher.weights)
        if path.suffix in OPENERS:
            with opened(path, teacher.model):
                pass


@contextmanager
def opened(path: Path, model: ModelParams) -> Iterator[Stored]:
    """Open another project's file for a network.

    Raises:
        ParamsError: it is of another network, or of another size.
        DataError: it is damaged.
    """
    network = network_of(model, "teacher.model")
    if not isinstance(network, EfficientNet):
        raise ParamsError(
            f"{PARAMETER}: {path} is read as an EfficientNet of {KINDS[path.suffix]}, but teacher.model.name is "
            f"{model.name}. Set teacher.model.name to efficientnet and teacher.model.size to that of the file."
        )
    with OPENERS[path.suffix](path) as stored:
        present = _outline(stored.shapes)
        if present != outline_of(network):
            sizes = {size: EfficientNet(name=network.name, size=size) for size in SIZES}
            size = next((size for size, own in sizes.items() if outline_of(own) == present), None)
            found = f"EfficientNet {size.upper()}" if size else "no EfficientNet of a known size, or only part of one"
            mend = f"Set teacher.model.size to {size}" if size else "Get the whole file"
            raise ParamsError(
                f"{PARAMETER}: {path} holds {found}, but teacher.model is {network.title}. {mend}, or put another file "
                "there."
            )
        yield stored


def _outline(shapes):
    """(names of all depthwise convolutions, filters of the first and the last convolution): what tells sizes apart."""
    ends = [next((shape[-1] for shape in shapes.get(name, [])), 0) for name in ("stem_conv", "top_conv")]
    return {name for name in shapes if name.endswith("_depthwise_conv")}, *ends


def outline_of(network: EfficientNet) -> tuple[set[str], int, int]:
    """What `_outline` gives of a file of such a network."""
    width, _ = network.coefficients
    first, last = (scaled_filters(filters, width) for filters in (STEM_FILTERS, TOP_FILTERS))
    return {f"{name}_depthwise_conv" for name in network.block_names()}, first, last
