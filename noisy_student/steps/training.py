"""A training as a stage: from its inputs to the files that it leaves behind."""

from collections.abc import Sequence

from noisy_student import backends
from noisy_student.data.inputs import Inputs
from noisy_student.inference.description import Description
from noisy_student.inference.saving import load, save
from noisy_student.models.checks import network_faults
from noisy_student.pretrained.files import find
from noisy_student.pretrained.start import pretrained
from noisy_student.runtime import checkpoints
from noisy_student.runtime.advice import KEY, warn
from noisy_student.runtime.files import write_csv, write_json
from noisy_student.runtime.layout import TEACHER, Model
from noisy_student.settings.params import Params, refuse
from noisy_student.training.distribution import joined
from noisy_student.training.doubts import doubts
from noisy_student.training.shares import student_shares, teacher_shares
from noisy_student.training.train import train


def train_teacher(params: Params) -> dict:
    """Train the teacher on the labelled images and write it; see `_train_and_write`."""
    joined(params.distribution)  # before anything is computed
    inputs = Inputs()
    shares = teacher_shares(params.teacher, inputs.labelled, classes=len(inputs.classes))
    if params.teacher.init == "random":
        return _train_and_write(params, TEACHER, shares, inputs)
    refuse(network_faults(params))
    size = params.teacher.image_size or params.data.image_size
    file = inputs.file(find(params.teacher.weights))
    initial, weights = pretrained(params, file, classes=inputs.classes, image_size=size)
    return _train_and_write(params, TEACHER, shares, inputs, initial=initial) | {"weights": weights}


def train_student(params: Params, generation: str) -> dict:
    """Train the student of a generation on labelled and pseudo-labelled images; see `_train_and_write`."""
    joined(params.distribution)  # before anything is computed
    chosen, inputs = params.generation(generation), Inputs()
    if chosen.student.uses_pseudo_labels:
        shares = student_shares(
            chosen.student,
            inputs.labelled,
            unlabelled=inputs.pool,
            rows=inputs.rows(generation),
            probs=inputs.probs_by_row(generation),
            kind=chosen.pseudolabel.kind,
            classes=len(inputs.classes),
        )
    else:
        shares = teacher_shares(chosen.student, inputs.labelled, classes=len(inputs.classes))
    initial = load(inputs.file(Model.named(chosen.teacher).path)) if chosen.student.init == "teacher" else None
    return _train_and_write(params, Model(generation), shares, inputs, initial=initial)


def _train_and_write(params, model, shares, inputs, *, initial=None):
    """Train, going on from a checkpoint if there is one, and write curves, summary and, last, the model."""
    refuse(network_faults(params))
    training, noise = params.training_of(model)
    params, images = params.with_noise(noise), {"labelled": inputs.labelled, "validation": inputs.validation}
    sharing, every = joined(params.distribution), params.checkpoint.every_minutes

    def digest():
        return checkpoints.digest(model.stage, _used(params, model, shares), inputs.files)

    with sharing.opened(model.stage, digest, every_minutes=every) as saved:
        options = {"classes": len(inputs.classes), "initial": initial, "checkpoints": saved}
        trained = train(params, training, shares, name=model.name, **images, **options)
        if sharing.leads:
            _write(params, model, trained, inputs)
    return {
        "distribution": params.distribution,
        "steps": trained.summary["steps"],
        "resumed_from_step": saved.resumed_from,
        "precision": trained.summary["precision"],
        "devices": backends.current().describe_devices(),
    }


def _write(params, model, trained, inputs):
    training, _ = params.training_of(model)
    facts = {"images": len(inputs.validation.labels), "classes": len(inputs.classes)}
    doubtful = warn(doubts(model, trained.history, trained.summary["best"], select_by=training.select_by, **facts))
    write_csv(model.curves, trained.history)
    write_json(model.summary, trained.summary | ({KEY: doubtful} if doubtful else {}))
    save(trained.model, model.path, described(params, model, inputs.classes))


def described(params: Params, model: Model, classes: Sequence[str]) -> Description:
    """What whoever uses the model has to know of it; of the parameters only those that its stage depends on."""
    training, _ = params.training_of(model)
    used = params.model_dump(mode="json", include={"seed", "backend", "precision", "arithmetic", "noise"})
    used |= params.model_dump(mode="json", include={"augmentation"}) | {"training": training.model_dump(mode="json")}
    if params.distribution != "none":
        used["distribution"] = params.distribution
    if model.generation:
        own = params.generation(model.generation)
        used |= {"teacher": own.teacher, "pseudolabel": {"kind": own.pseudolabel.kind}}
    facts = params.data.model_dump(include={"image_size", "resize", "levels"})
    return Description(name=model.name, classes=tuple(classes), parameters=used, **facts)


def _used(params, model, shares):
    """What decides a training besides its inputs, code and environment."""
    own = params.generation(model.generation) if model.generation else params.teacher
    return params.model_dump(
        include={"seed", "backend", "precision", "arithmetic", "input_noise", "distribution", "noise", "augmentation"}
    ) | {
        "name": model.name,
        "training": own.model_dump(),
        "image_size": params.data.image_size,
        "shares": [(share.name, share.batch_size, share.weight) for share in shares],
        "devices": backends.current().describe_devices(),
    }
