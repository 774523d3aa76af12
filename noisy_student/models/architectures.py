"""The networks by name, and what can be said of them without building one."""

from noisy_student.models.networks import article_resnet50, efficientnet, resnet, wide_resnet
from noisy_student.runtime.errors import ParamsError

ARCHITECTURES = {
    "resnet": resnet,
    "wide_resnet": wide_resnet,
    "efficientnet": efficientnet,
    "article_resnet50": article_resnet50,
}


def check_image_size(model, size, *, where="data.image_size"):
    """Raise unless a network's strides leave something of an image.

    Args:
        model: a `ModelParams`.
        size: of the images in pixels.
        where: the parameter that says so.

    Raises:
        ParamsError: the images are too small.
    """
    least = ARCHITECTURES[model.name].total_stride(model)
    if size < least:
        small = " or model.small_images to true" if model.name == "efficientnet" else ""
        raise ParamsError(
            f"{where}={size}: too small for {model.name}, whose strides shrink an image {least} times. "
            f"Set {where} to {least} or more{small} in params.yaml."
        )


def check_frozen(model, blocks, *, where="finetune.freeze_blocks"):
    """Raise unless a network has so many blocks.

    Args:
        model: a `ModelParams`.
        blocks: how many shall be frozen; None: none.
        where: the parameter that says so.

    Raises:
        ParamsError: it has fewer.
    """
    names = ARCHITECTURES[model.name].block_names(model)
    if blocks is not None and blocks > len(names):
        raise ParamsError(
            f"{where}={blocks}: {model.name} has only {len(names)} blocks with this size. "
            "Lower it in params.yaml, or set it to null so that all learn."
        )


def check_training(training, stored, *, where):
    """Check the sizes of a training and of its fine-tuning against its network.

    Args:
        training: TrainingParams.
        stored: data.image_size.
        where: its section, e.g. "teacher".

    Raises:
        ParamsError: see the functions above.
    """
    own = {"size": stored, "where": "data.image_size"}
    if training.image_size:
        own = {"size": training.image_size, "where": f"{where}.image_size"}
    check_image_size(training.model, **own)
    tuning = training.finetune
    if tuning.epochs:
        if tuning.image_size:
            own = {"size": tuning.image_size, "where": f"{where}.finetune.image_size"}
        check_image_size(training.model, **own)
        check_frozen(training.model, tuning.freeze_blocks, where=f"{where}.finetune.freeze_blocks")
