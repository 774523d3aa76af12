"""A training as a stage: from its inputs to the files that it leaves behind."""

from noisy_student import backends
from noisy_student.data.arrays import damaged_shards
from noisy_student.inference.saving import save
from noisy_student.models.checks import network_faults
from noisy_student.runtime import checkpoints, layout
from noisy_student.runtime.files import write_csv, write_json
from noisy_student.settings.params import refuse
from noisy_student.training.train import train


def train_and_write(params, training, shares, *, stage, name, inputs, settings=None, **options):
    """Train, going on from a checkpoint if there is one, and write what the stage leaves behind.

    Args:
        params, training, shares, options: see `noisy_student.training.train.train`.
        stage: of DVC, e.g. "student@gen1".
        name: "teacher" or "student-KEY".
        inputs: the files that `shares` and `options` were read from.
        settings: further parameters that they depend on, as JSON can hold them.

    Returns:
        dict for the record of the run: steps, the step that it went on from, precision, devices.
    """
    refuse(network_faults(params))
    used = _used(params, training, shares, name, settings)
    used["damaged"] = [damaged_shards(options[part].images) for part in ("labelled", "validation")]
    digest = checkpoints.digest(used, inputs)
    with checkpoints.opened(stage, digest, every_minutes=params.checkpoint.every_minutes) as kept:
        trained = train(params, training, shares, name=name, checkpoints=kept, **options)
        write_training(name, trained)
    return {
        "steps": trained.summary["steps"],
        "resumed_from_step": kept.resumed_from,
        "precision": trained.summary["precision"],
        "devices": backends.current().describe_devices(),
    }


def _used(params, training, shares, name, settings):
    """What decides a training besides its inputs, code and environment."""
    used = params.model_dump(include={"seed", "backend", "precision", "input_noise", "noise", "augmentation"})
    used |= {
        "name": name,
        "settings": settings,
        "image_size": params.data.image_size,
        "training": training.model_dump(),
        "shares": [(share.name, share.batch_size, share.weight) for share in shares],
        "devices": backends.current().describe_devices(),
    }
    return used


def write_training(name, trained):
    """Write learning curves, summary and, last, the model.

    Args:
        name: "teacher" or "student-KEY".
        trained: `noisy_student.training.train.Trained`.
    """
    write_csv(layout.curves(name), trained.history)
    write_json(layout.summary(name), trained.summary)
    save(trained.model, layout.model(name))
