"""What can be said against the networks of params.yaml before one is built."""

from functools import partial

from noisy_student.models.networks import network_of
from noisy_student.runtime.errors import ParamsError
from noisy_student.runtime.layout import Model
from noisy_student.settings.params import Params
from noisy_student.settings.schema import TrainingParams, empty


def check_training(training: TrainingParams, stored: int, *, where: str) -> None:
    """Raise ParamsError unless a training's network, its sizes and its fine-tuning's fit together.

    Args:
        stored: data.image_size.
        where: its section, e.g. "teacher".
    """
    network = network_of(training.model, f"{where}.model")
    size, place = stored, "data.image_size"
    if training.image_size:
        size, place = training.image_size, f"{where}.image_size"
    network.check_image_size(size, where=place)
    _check_progressive(training, network, size, where=f"{where}.progressive")
    network.check_frozen(training.freeze_blocks, where=f"{where}.freeze_blocks")
    tuning = training.finetune
    if tuning.epochs:
        if tuning.image_size:
            size, place = tuning.image_size, f"{where}.finetune.image_size"
        network.check_image_size(size, where=place)
        network.check_frozen(tuning.freeze_blocks, where=f"{where}.finetune.freeze_blocks")


def _check_progressive(training, network, size, *, where):
    growing = training.progressive
    if growing.image_size is None:
        return
    network.check_image_size(growing.image_size, where=f"{where}.image_size")
    if growing.image_size + growing.sizes > size:
        raise ParamsError(
            f"{where}: images cannot grow from {growing.image_size} to {size} pixels, the training's size, over "
            f"sizes={growing.sizes} with a pixel each at least. Lower {where}.image_size or {where}.sizes, or leave "
            f"the former {empty(f'{where}.image_size')}."
        )


def network_faults(settings: Params) -> list[str]:
    """What is wrong with the networks of all trainings, a line each."""
    common = (
        partial(check_training, settings.teacher, settings.data.image_size, where="teacher"),
        partial(network_of, settings.student.model, "student.model"),
    )
    # what is wrong in a common section would be wrong in every generation
    return _messages(common) or _messages(partial(_check_generation, settings, key) for key in settings.generations)


def _messages(checks):
    wrong = []
    for check in checks:
        try:
            check()
        except ParamsError as error:
            wrong.append(str(error))
    return wrong


def _check_generation(settings, key):
    chosen = settings.generation(key)
    student, teacher = chosen.student, settings.training_of(Model.named(chosen.teacher))[0]
    check_training(student, settings.data.image_size, where=f"generations.{key}.student")
    own, its = network_of(student.model), network_of(teacher.model)
    if student.init == "teacher" and own != its:
        raise ParamsError(
            f"generations.{key}: student.init=teacher needs the teacher's network, but student.model is "
            f"{_size(own)} and {chosen.teacher} is {_size(its)}; make them equal or set student.init: random"
        )


def _size(network):
    return " ".join(str(value) for value in network.model_dump().values() if value is not None and value is not False)
