"""What a `.keras` file says of its model besides weights: class names, how images are read, how it was trained.

It stands in `metadata.json`, a member that Keras writes and never reads. A member of our own would make
`keras.saving.load_model` unpack the whole archive onto the disk (findings/keras-extra-member.sh).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from noisy_student.settings.schema import ImageSize, Levels

KEY = "noisy_student"  # in metadata.json
FORMAT = 1


def _names(names):
    for name in names:
        if not name.isprintable() or not name.strip():
            raise ValueError(f"the class name {name!a} cannot be printed")
    if len(set(names)) < len(names):
        raise ValueError(f"the class {next(name for name in names if names.count(name) > 1)} stands there twice")
    return names


def _printable(name):
    if not name.isprintable():
        raise ValueError(f"the name {name!a} cannot be printed")
    return name


class Description(BaseModel):
    """What is needed to use a model without its project; files from elsewhere are validated by it.

    Attributes:
        name: of the model: teacher, or student-KEY.
        classes: their names; output k is the probability of `classes[k]`.
        image_size: side in pixels at which images are read; where the network takes another one, they are
            resized to it afterwards, as in the pipeline.
        resize, levels: how images become squares of 8 bits, see `data.images.try_image`.
        pixels: what the network takes. It normalises them itself, by its first layer.
        parameters: those that decided its training; for people only.
    """

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, allow_inf_nan=False)

    format: Literal[1] = 1
    name: Annotated[str, AfterValidator(_printable)]
    classes: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_names)]
    image_size: ImageSize
    resize: Literal["squash", "crop"]
    levels: Levels = "auto"
    pixels: Literal["uint8 RGB, upright, transparency on white, bicubic"] = (
        "uint8 RGB, upright, transparency on white, bicubic"
    )
    parameters: dict[str, Any] = Field(default_factory=dict)

    def with_classes(self, classes: Sequence[str]) -> Description:
        """The same with other names of classes."""
        return self.model_validate_json(self.model_copy(update={"classes": tuple(classes)}).model_dump_json())
