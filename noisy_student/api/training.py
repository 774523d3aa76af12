"""`ns.train`: a teacher, or a student of pseudo-labels, on arrays."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from noisy_student.api import arguments
from noisy_student.api.arguments import DEFAULTS, ArgumentError
from noisy_student.api.modelling import Model, of_keras, start
from noisy_student.data.images import resize_images
from noisy_student.data.labelled import LabelledImages
from noisy_student.models.checks import network_faults
from noisy_student.runtime import layout
from noisy_student.runtime.types import Pixels, Probs, Rows
from noisy_student.settings import params as settings
from noisy_student.settings.inputs import nearest
from noisy_student.settings.params import Params
from noisy_student.settings.schema import (
    AugmentationParams,
    NoiseParams,
    Section,
    StudentParams,
    TrainingParams,
    check_name,
)

NOISE: tuple[tuple[str, type[Section]], ...] = (("noise", NoiseParams), ("augmentation", AugmentationParams))
NOT_GIVEN = {"init", "weights"}  # `initial` is given instead


def train(
    images: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    unlabelled: npt.ArrayLike | None = None,
    probs: npt.ArrayLike | None = None,
    rows: npt.ArrayLike | None = None,
    validation: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    classes: int | Sequence[str] | None = None,
    initial: Model | str | os.PathLike | None = None,
    generation: str | None = None,
    kind: Literal["soft", "hard"] = DEFAULTS.pseudolabel.kind,
    seed: int = DEFAULTS.seed,
    precision: Literal["auto", "float32", "mixed_bfloat16"] = DEFAULTS.precision,
    input_noise: Literal["auto", "host", "device"] = DEFAULTS.input_noise,
    **parameters: Any,
) -> Model:
    """Train a teacher on labelled images or, with `unlabelled` and `probs`, a noised student on both.

    The stages `teacher` and `student` give the same bytes for the same images and values.

    Args:
        images: (N, S, S, 3) uint8 RGB, S from 8 to 1024.
        labels: (N,) classes from 0.
        unlabelled: (M, S, S, 3) uint8: the pool; those of another size are resized to that of `images`.
        probs: (M, K) distributions of a teacher over it, as `pseudo_label` gives them.
        rows: (n,) which images of the pool are learned from, as `balance` gives them; None: each once.
        validation: (images, labels) that `select_by` "loss" or "accuracy" chooses the weights by; None: the last stay.
        classes: K names, or how many; None: by `probs`, or by the highest label.
        initial: a model of the same network, whose weights to start from; of a teacher also the path of a file of
            pretrained weights, as `teacher.weights` takes it, whose last layer is replaced where the classes differ.
            None: random weights.
        generation: letters, digits, - and _; part of the seed, so that students of several generations differ in their
            noise. None: "gen1" for a student. With a name and mix="none" a student is trained without a pool: the
            control that shows what noise alone does.
        kind: what the student aims at: "soft", the distribution, or "hard", its most probable class.
        seed: 0 to 2**31 - 1: of weights, order and noise.
        precision: "auto": by the hardware; "float32" or "mixed_bfloat16".
        input_noise: who carries out RandAugment, flip and crop: "auto" (the device, if it is a GPU or TPU), "host" or
            "device".
        parameters: the other values of a training, see below.

    Returns:
        the model with the weights that `select_by` names, its learning curves and a summary.

    Raises:
        UserError: an argument cannot be used, or the training diverged or learns nothing.

    Further arguments, those of params.yaml, with their defaults; of a dict what is not given keeps its default:
    """
    student = unlabelled is not None or generation is not None
    labelled = _labelled(images, labels, "images", "labels")
    side = labelled.images.shape[1]
    pool = _pool(unlabelled, probs, rows, side=side)
    names = _classes(classes, labelled, pool)
    held_out = _validation(validation, names, side=side)
    common = {"seed": seed, "precision": precision, "input_noise": input_noise}
    key = _key(generation)
    with arguments.speaking_of_arguments("train"):
        params = _params(common, kind, parameters, student=student, key=key, side=side, initial=initial)
        training = params.student if student else params.teacher
        _check(params, training, pool, held_out)
        start()
        from noisy_student.steps.training import described
        from noisy_student.training.train import train as train_by

        model = layout.Model.named(f"student-{key}" if student else "teacher")
        description = described(params, model, names)  # names that cannot be saved are refused before the work
        trained = train_by(
            params,
            training,
            _shares(params, training, labelled, pool, classes=len(names)),
            name=model.name,
            labelled=labelled,
            validation=held_out,
            classes=len(names),
            initial=_initial(initial, params, names, side=side, student=student),
        )
    return Model(trained.model, names, trained.history, trained.summary, description)


@dataclass(frozen=True)
class _Pool:
    images: Pixels
    probs: Probs
    rows: Rows


def _labelled(images, labels, of, name):
    pixels = arguments.some_images(images, of)
    return LabelledImages(pixels, arguments.labels(labels, name, number=len(pixels), of=of))


def _pool(unlabelled, probs, rows, *, side):
    """None without one."""
    if unlabelled is None:
        alone = [name for name, given in (("probs", probs), ("rows", rows)) if given is not None]
        if alone:
            raise ArgumentError(f"{' and '.join(alone)}: of which images? Give them as unlabelled.")
        return None
    images = arguments.some_images(unlabelled, "unlabelled")
    if probs is None:
        raise ArgumentError("probs: missing; unlabelled images need the labels of a teacher, see pseudo_label.")
    labels = arguments.distributions(probs, "probs").astype(np.float32, copy=False)
    if len(labels) != len(images):
        raise ArgumentError(
            f"probs: expected a row for each of the {len(images):,} images of unlabelled, found {len(labels):,}. "
            "Give both for the same images, in one order."
        )
    chosen = np.arange(len(images)) if rows is None else arguments.pool_rows(rows, "rows", pool=len(images))
    return _Pool(resize_images(images, size=side), labels, chosen)


def _classes(classes, labelled, pool):
    """The names of the classes, which labels and pseudo-labels must fit."""
    highest = int(labelled.labels.max())
    least, of = (highest + 1, "labels") if pool is None else (pool.probs.shape[1], "probs")
    names = arguments.class_names(classes, least=least, of=of)
    if pool is not None and len(names) != least:
        raise ArgumentError(f"classes: found {len(names)}, but probs has {least}. They must be the same ones.")
    if highest >= len(names):
        raise ArgumentError(f"labels: found class {highest}, but {of} has {len(names)}, 0 to {len(names) - 1}.")
    return names


def _validation(given, names, *, side):
    if given is None:
        return LabelledImages(np.empty((0, side, side, 3), np.uint8), np.empty(0, np.int64))
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise ArgumentError(f"validation: expected a pair (images, labels), found {type(given).__name__}.")
    images, labels = given
    held_out = _labelled(images, labels, "validation[0]", "validation[1]")
    highest = held_out.labels.max()
    if highest >= len(names):
        raise ArgumentError(f"validation[1]: found class {highest}, but there are {len(names)}, 0 to {len(names) - 1}.")
    return LabelledImages(resize_images(held_out.images, size=side), held_out.labels)


def _key(generation):
    try:
        check_name("gen1" if generation is None else str(generation))
    except ValueError:
        raise ArgumentError(f"generation: expected letters, digits, - and _; found {generation!r}.") from None
    return "gen1" if generation is None else str(generation)


def _places(*, student):
    """{argument: section of the parameters} of all that `parameters` may hold."""
    training = "student" if student else "teacher"
    sections = ((training, type(getattr(DEFAULTS, training))), *NOISE)
    return {name: section for section, kind in sections for name in kind.model_fields if name not in NOT_GIVEN}


def _params(common, kind, given, *, student, key, side, initial):
    """All parameters, by which the library trains: the defaults, and what is given."""
    places = _places(student=student)
    for name in given:
        if name not in places:
            raise ArgumentError(_unknown(name, student))
    values: dict[str, Any] = DEFAULTS.model_dump() | arguments.plain(common)
    values |= {"generations": {key: {"teacher": "teacher"}}, "release": "teacher"}
    values["pseudolabel"]["kind"] = kind
    own = values["student" if student else "teacher"]
    if initial is not None:
        own["init"] = "teacher" if student else "pretrained"
    if isinstance(initial, str | os.PathLike) and not student:
        own["weights"] = os.fspath(initial)
    for name, value in _with_length(arguments.plain(given), own).items():
        section = values[places[name]]
        if isinstance(section[name], dict) and not isinstance(value, dict):
            inner = next(iter(section[name]))
            example = f"{name}={{{inner!r}: {section[name][inner]!r}}}"
            raise ArgumentError(f"{name}: expected a dict, such as {example}; found {value!r}.")
        values[places[name]] = settings.merge(section, {name: value}, name)
    if student:
        values["teacher"]["model"] = values["student"]["model"]  # that of `initial`
    size = values["student" if student else "teacher"]["image_size"]
    if size is None and not 8 <= side <= 1024:
        raise ArgumentError(f"images: expected 8 to 1024 pixels a side, found {side}. Resize them, by image_size.")
    values["data"]["image_size"] = size or side
    values["data"]["validation"] = None  # what there are of these images `_check` knows
    return Params.model_validate(values)


def _with_length(given, defaults):
    """The arguments, with what goes with the one of epochs and steps that is given."""
    if given.get("epochs") is not None:
        return {"steps": None, "validate_every": None} | given
    steps, every = given.get("steps"), defaults["validate_every"]
    if isinstance(steps, int) and steps > 0 and "validate_every" not in given and steps % every:
        return given | {"validate_every": steps}
    return given


def _unknown(name, student):
    places = _places(student=student)
    if name in NOT_GIVEN:
        return f"{name}: train has no such argument. Give initial, a model or the path of its file."
    if name in _places(student=True):
        return f"{name}: of students only. Give unlabelled images with probs, or a generation."
    near = nearest(name, places)
    meant = f"Did you mean {near}?" if near else f"There are {', '.join(sorted(places))}."
    return f"{name}: train has no such argument. {meant}"


def _check(params, training, pool, held_out):
    """Raise ArgumentError unless what is given fits together."""
    if not len(held_out.labels):
        if training.select_by != "last":
            raise ArgumentError(f'validation: missing; select_by="{training.select_by}" chooses by such images.')
        if training.schedule.plateau is not None:
            raise ArgumentError('validation: missing; schedule["plateau_from_epoch"] goes by such images.')
    if isinstance(training, StudentParams) and training.uses_pseudo_labels != (pool is not None):
        if pool is None:
            raise ArgumentError(
                f'unlabelled: missing; a student of mix="{training.mix}" learns from such images. Give them with '
                'probs, or mix="none".'
            )
        raise ArgumentError('unlabelled: a student of mix="none" learns from no such images. Leave one of them out.')
    wrong = network_faults(params)
    if wrong:
        raise ArgumentError(f"train: {'; '.join(map(arguments.of_arguments, wrong))}")


def _initial(given, params, names, *, side, student):
    """The Keras model that the training starts from, or None."""
    if given is None:
        return None
    if student or not isinstance(given, str | os.PathLike):
        return of_keras(given, where="initial").keras
    from noisy_student.pretrained.files import find
    from noisy_student.pretrained.start import pretrained

    size = params.teacher.image_size or side
    return pretrained(params, find(params.teacher.weights), classes=names, image_size=size)[0]


def _shares(params, training, labelled, pool, *, classes):
    from noisy_student.training.shares import student_shares, teacher_shares

    if pool is None:
        return teacher_shares(training, labelled, classes=classes)
    return student_shares(
        training,
        labelled,
        unlabelled=pool.images,
        probs=pool.probs,
        rows=pool.rows,
        kind=params.pseudolabel.kind,
        classes=classes,
    )


def _listed():
    """The lines of the docstring about `parameters`, from the schema."""
    sections = (("teacher", "student"), ("noise",), ("augmentation",))
    for places in sections:
        own = [getattr(DEFAULTS, place) for place in places]
        for name, described in type(own[-1]).model_fields.items():
            if name not in NOT_GIVEN:
                yield from _lines(name, [getattr(each, name, None) for each in own], described)


def _lines(name, defaults, described, indent=4):
    """`name (default): comment`, the default of a student beside that of a teacher where they differ."""
    shown = list(dict.fromkeys(map(_text, defaults)))
    if name in type(DEFAULTS.student).model_fields.keys() - type(DEFAULTS.teacher).model_fields.keys():
        shown = [f"students only, {shown[-1]}"]
    inherited = TrainingParams.model_fields.get(name, described).description if described.description is None else None
    comment = f": {described.description or inherited}" if described.description or inherited else ""
    yield f"{' ' * indent}{name} ({'; student '.join(shown)}){_python(comment)}"
    if isinstance(defaults[-1], Section):
        for inner, field in type(defaults[-1]).model_fields.items():
            yield from _lines(inner, [getattr(each, inner) for each in defaults], field, indent + 4)


def _text(value):
    """A default as Python has it; of a section only what does not stand below."""
    if not isinstance(value, Section):
        return repr(value)
    more = value.model_extra or {}
    return ", ".join(["a dict", *(f"{name}={inner!r}" for name, inner in more.items())])


def _python(comment):
    """A comment of params.yaml in Python's words."""
    for pattern, word in ((r"\bempty\b", "None"), (r"\btrue\b", "True"), (r"\bdata\.image_size", "their own side")):
        comment = re.sub(pattern, word, comment)
    return comment


if train.__doc__:  # not with -OO
    train.__doc__ = f"{inspect.cleandoc(train.__doc__)}\n" + "\n".join(_listed())
