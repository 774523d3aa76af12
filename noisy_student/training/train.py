"""One training from parameters to the best model."""

import math
import time
from dataclasses import dataclass

import keras

from noisy_student import backends
from noisy_student.data.views import at_size
from noisy_student.models.build import (
    block_survival,
    build,
    freeze,
    model_noise,
    transfer_weights,
)
from noisy_student.models.checks import check_training
from noisy_student.models.noised_input import behind_noise
from noisy_student.models.summary import summarise
from noisy_student.noise.in_graph import InGraphNoise
from noisy_student.noise.pipeline import input_noise, no_input_noise
from noisy_student.runtime.seeds import derive_seed
from noisy_student.runtime.signals import deferred
from noisy_student.settings.schema import ScheduleParams, TrainingParams
from noisy_student.training.batches import TrainingBatches
from noisy_student.training.callbacks import Validation, make_callbacks
from noisy_student.training.optimization import make_optimizer, make_schedule
from noisy_student.training.shares import teacher_shares
from noisy_student.training.snapshots import Snapshots


@dataclass(frozen=True)
class Trained:
    """What a training yields.

    Attributes:
        model: the inference model with the best weights.
        history: rows of the learning curves, one a validation.
        summary: parameters, MACs, survival probabilities, steps, the best validation.
    """

    model: keras.Model
    history: list
    summary: dict


def round_length(training, shares):
    """(steps a round, rounds) of a training.

    An epoch is the number of steps in which every image of every share was seen at least once.
    """
    if training.epochs is None:
        return training.validate_every, training.steps // training.validate_every
    return max(math.ceil(len(s.examples) / s.batch_size) for s in shares), training.epochs


def steps_per_execution(round_steps, *, most):
    """Steps that are run without coming back to Python: the largest divisor of a round up to `most`."""
    return max(steps for steps in range(1, most + 1) if round_steps % steps == 0)


@dataclass(frozen=True)
class Phase:
    """A training, or the fine-tuning that follows it.

    Attributes:
        name: in messages, e.g. "student-gen1".
        training: TrainingParams that hold for it.
        shares: what its batches are made of.
        image_size: side of its images in pixels.
        augmented: whether the input noise of the training acts.
        round_steps, rounds: its length.
        frozen: how many blocks stay as they are, besides the stem; None: everything learns.
        seed: of weights, order and noise.
    """

    name: str
    training: TrainingParams
    shares: list
    image_size: int
    augmented: bool
    round_steps: int
    rounds: int
    frozen: int | None
    seed: int


def _main_phase(params, training, shares, *, name, stored):
    steps, rounds = round_length(training, shares)
    return Phase(
        name=name,
        training=training,
        shares=shares,
        image_size=training.image_size or stored,
        augmented=True,
        round_steps=steps,
        rounds=rounds,
        frozen=None,
        seed=derive_seed(params.seed, name),
    )


def _finetune_phase(main, labelled, *, classes):
    """The phase after `main`, of one round; None if there is none."""
    training, tuning = main.training, main.training.finetune
    if not tuning.epochs:
        return None
    changes = {
        "image_size": tuning.image_size or main.image_size,
        "batch_size": tuning.batch_size,
        "optimizer": training.optimizer.model_copy(update={"learning_rate": tuning.learning_rate}),
        "schedule": ScheduleParams(name="cosine"),
        "ema": 0.0,
    }
    tuned = training.model_copy(update=changes)
    return Phase(
        name=f"{main.name} finetune",
        training=tuned,
        shares=teacher_shares(tuned, labelled, classes=classes),
        image_size=tuned.image_size,
        augmented=tuning.augment,
        round_steps=max(1, math.ceil(tuning.epochs * len(labelled.labels) / tuning.batch_size)),
        rounds=1,
        frozen=tuning.freeze_blocks,
        seed=derive_seed(main.seed, "finetune"),
    )


def train(params, training, shares, *, name, labelled, validation, classes, initial=None, checkpoints=None):
    """Train one model and keep the weights that validate best; then fine-tune it, if that is asked for.

    A training that goes on from a checkpoint gives the same bytes as one that was never stopped.

    Args:
        params: Params, for seed, precision, input_noise, noise and augmentation.
        training: TrainingParams (of the teacher or of a student).
        shares: what batches are made of; see `training.shares`.
        name: "teacher" or "student-KEY"; part of the seed, so that no two trainings share noise.
        labelled: LabelledImages for the fine-tuning.
        validation: LabelledImages that choose the checkpoint.
        classes: number of classes.
        initial: model whose weights to start from; None starts from random ones.
        checkpoints: noisy_student.runtime.checkpoints.Checkpoints to go on from and to write to; None: neither.

    Returns:
        Trained.

    Raises:
        DivergenceError: the loss became NaN or infinite, or the network learns nothing.
        Stopped: Ctrl-C or SIGTERM; the state was saved.
        UserError: `initial` does not fit `training.model`, or more blocks shall be frozen than there are.
    """
    backends.current().make_deterministic()
    check_training(training, validation.images.shape[1], where=name.partition("-")[0])
    main = last = _main_phase(params, training, shares, name=name, stored=validation.images.shape[1])
    tuning = _finetune_phase(main, labelled, classes=classes)
    work = {"params": params, "validation": validation, "classes": classes}
    model, kept, _ = _run(main, initial, checkpoints, followed=tuning is not None, **work)
    history, added = kept.history, {}
    if tuning is not None:
        inner = checkpoints and checkpoints.within("finetune")
        model, tuned, before = _run(tuning, model, inner, compared=True, **work)
        if inner:
            checkpoints.resumed_from += inner.resumed_from
        history = [*history, tuned.best | {"step": history[-1]["step"] + tuned.best["step"]}]
        added, last = {"finetune": _effect(tuning, before, tuned.best)}, tuning
    noise = model_noise(params.noise if training.noise else None)
    final = build(
        training.model, mode="inference", classes=classes, image_size=last.image_size, seed=main.seed, **noise
    )
    transfer_weights(model, final)
    survival = noise.get("survival_probability", 1.0)
    summary = summarise(final, survival=block_survival(training.model, survival))
    summary |= {"precision": backends.resolve_precision(params.precision)}
    summary |= {"steps": history[-1]["step"], "best": kept.best, **added}
    return Trained(final, history, summary)


def _effect(tuning, before, after):
    """What the record of a model says of its fine-tuning; both rows were validated at its image size."""
    rows = {
        when: {key: row[key] for key in ("validation_loss", "validation_accuracy")}
        for when, row in (("before", before), ("after", after))
    }
    return {"image_size": tuning.image_size, "steps": tuning.round_steps, **rows}


def _run(phase, initial, checkpoints, *, params, validation, classes, followed=False, compared=False):
    """Run one phase.

    Args:
        phase: Phase.
        initial: model to start from; None: random weights.
        checkpoints: see `train`.
        params, validation, classes: see `train`.
        followed: whether another phase comes, before which the state is saved.
        compared: whether it is validated before the first step, too.

    Returns:
        (the training model with the best weights, its callbacks.Validation, the figures of its validation
        before the first step or None).
    """
    training = phase.training
    noise = model_noise(params.noise if training.noise else None)
    model = build(
        training.model,
        mode="train",
        classes=classes,
        image_size=phase.image_size,
        precision=backends.resolve_precision(params.precision),
        seed=phase.seed,
        **noise,
    )
    if initial is not None:
        transfer_weights(initial, model)
    if phase.frozen is not None:
        freeze(model, training.model, phase.frozen)
    on_input = input_noise(params, noised=training.noise) if phase.augmented else no_input_noise()
    in_graph = InGraphNoise(on_input) if _noised_on_device(params, on_input) else None
    batches = TrainingBatches(
        phase.shares, noise=on_input, round_steps=phase.round_steps, seed=phase.seed, in_graph=in_graph
    )
    fitted = model if in_graph is None else behind_noise(model, in_graph, batches[0][0])
    kept = Validation(
        model,
        at_size(validation.images, phase.image_size),
        validation.labels,
        batch_size=2 * training.batch_size,  # needs no more memory than a training step
        select_by=training.select_by,
        rate=make_schedule(training, steps=phase.rounds * phase.round_steps),
        name=phase.name,
        round_steps=phase.round_steps,
    )
    before = kept.measure() if compared else None
    seconds = _fit(fitted, phase, batches, kept, checkpoints=checkpoints, followed=followed)
    model.set_weights(kept.best_weights)
    _report(phase.name, kept, seconds)
    return model, kept, before


def _noised_on_device(params, on_input):
    """Whether the device that trains carries out the input noise: accelerators, unless told otherwise."""
    if params.input_noise == "auto":
        return on_input.active and backends.current().describe_devices() != ["CPU"]
    return on_input.active and params.input_noise == "device"


def compile_for_training(model, training, *, rate, round_steps):
    """Give a model of `build` its loss and optimizer.

    Args:
        model: `keras.Model` that returns logits.
        training: TrainingParams.
        rate: see `make_schedule`.
        round_steps: steps between validations; they are run several at a time.
    """
    model.compile(
        optimizer=make_optimizer(training, rate),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
        jit_compile=backends.current().compiles_with_xla(),
        steps_per_execution=steps_per_execution(round_steps, most=backends.current().STEPS_AT_A_TIME),
    )


def _fit(model, phase, batches, validation, *, checkpoints, followed):
    """Fit all rounds that are not done yet; return the seconds that the whole phase took."""
    training, name, rounds = phase.training, phase.name, phase.rounds
    compile_for_training(model, training, rate=validation.rate, round_steps=batches.round_steps)
    steps = rounds * batches.round_steps
    callbacks = make_callbacks(training, name=name, batches=batches, validation=validation, steps=steps)
    if checkpoints is None:
        start = time.perf_counter()
        fit_rounds(model, batches, callbacks, 0, rounds)
        return time.perf_counter() - start
    with deferred() as requests:
        state = Snapshots(
            checkpoints,
            batches=batches,
            validation=validation,
            callbacks=callbacks,
            requests=requests,
            name=name,
            steps=steps,
        )
        state.load()
        first, done, stopped = state.position
        ended = stopped or first == rounds
        if done and not stopped:  # the rest of a round is a fit of its own: Keras knows equal epochs only
            batches.start = done
            fit_rounds(model, batches, [*callbacks, state], first, first + 1)
            batches.start = 0
            first, _, stopped = state.position
        if not stopped and first < rounds:
            fit_rounds(model, batches, [*callbacks, state], first, rounds)
        if followed and not ended:
            state.save_end(rounds)
        return state.seconds_so_far


def fit_rounds(model, batches, callbacks, first, end):
    """Fit a compiled model from round `first` up to, but without, round `end`."""
    feed = backends.current().feed(batches)
    model.fit(feed, initial_epoch=first, epochs=end, callbacks=callbacks, verbose=0, shuffle=False)


def _report(name, kept, seconds):
    steps, best = kept.history[-1]["step"], kept.best
    print(
        f"{name}: {steps} steps in {seconds:.0f} s; best at step {best['step']}: validation accuracy "
        f"{best['validation_accuracy']:.4f}, loss {best['validation_loss']:.4f}"
    )
