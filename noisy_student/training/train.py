"""One training from parameters to the best model. From top to bottom: `train`, a phase of it, its loop over rounds."""

import functools
from dataclasses import dataclass
from typing import Any

import keras

from noisy_student import backends
from noisy_student.data.labelled import LabelledImages
from noisy_student.data.views import at_size
from noisy_student.inference import metrics
from noisy_student.inference.predict import predict_logits, to_probs
from noisy_student.models.build import (
    block_survival,
    build,
    check_weights_fit,
    fit_to_images,
    freeze,
    model_noise,
    start_from,
    transfer_weights,
)
from noisy_student.models.checks import check_training
from noisy_student.models.noised_input import behind_noise
from noisy_student.models.summary import summarise
from noisy_student.noise.in_graph import InGraphNoise
from noisy_student.noise.pipeline import input_noise, no_input_noise
from noisy_student.runtime.checkpoints import Checkpoints
from noisy_student.runtime.layout import Model
from noisy_student.runtime.progress import bar
from noisy_student.settings.params import Params
from noisy_student.settings.schema import TrainingParams
from noisy_student.training import plateau
from noisy_student.training.batches import Share, TrainingBatches
from noisy_student.training.distribution import Sharing, joined
from noisy_student.training.divergence import check_finite, check_learning
from noisy_student.training.optimization import WarmUpDecay, make_optimizer
from noisy_student.training.phases import Phase, finetune_phase, main_phase
from noisy_student.training.snapshots import State, make_variables, saving
from noisy_student.training.within_round import WithinRound


@dataclass(frozen=True)
class Trained:
    """What a training yields."""

    model: keras.Model  # for inference, with the best weights
    history: list[dict[str, Any]]  # rows of the learning curves, one a validation
    summary: dict[str, Any]  # parameters, MACs, survival probabilities, steps, the best validation


def train(
    params: Params,
    training: TrainingParams,
    shares: list[Share],
    *,
    name: str,
    labelled: LabelledImages,
    validation: LabelledImages,
    classes: int,
    initial: keras.Model | None = None,
    checkpoints: Checkpoints | None = None,
) -> Trained:
    """Train one model and keep the weights that `select_by` names; then fine-tune it, if that is asked for.

    A training that goes on from a checkpoint gives the same bytes as one that was never stopped.

    Args:
        params: for seed, precision, input_noise, noise and augmentation.
        shares: what batches are made of; see `training.shares`.
        name: "teacher" or "student-KEY"; part of the seed, so that no two trainings share noise.
        labelled: for the fine-tuning, and for networks that are fitted to images; see `models.build.fit_to_images`.
        validation: chooses the best weights; may be empty, where the last ones are kept.
        initial: whose weights to start from; None: random ones.
        checkpoints: to go on from and to write to.

    Raises:
        DivergenceError: the loss became NaN or infinite, or the network learns nothing.
        Stopped: Ctrl-C or SIGTERM; the state was saved.
        UserError: `initial` does not fit `training.model`, or more blocks shall be frozen than there are.
    """
    sharing = joined(params.distribution)
    backends.current().make_deterministic()
    check_training(training, validation.images.shape[1], where=Model.named(name).section)
    main = last = main_phase(params, training, shares, name=name, stored=validation.images.shape[1])
    tuning = finetune_phase(main, labelled, classes=classes)
    for phase in filter(None, (main, tuning)):
        sharing.check(phase)
    work = {"params": params, "labelled": labelled, "validation": validation, "classes": classes, "sharing": sharing}
    with sharing.scope():
        model, state, _ = _fit_phase(main, initial, checkpoints, followed=tuning is not None, **work)
    history, added = state.history, {}
    if tuning is not None:
        inner = checkpoints and checkpoints.within("finetune")
        with sharing.scope():
            model, tuned, before = _fit_phase(tuning, model, inner, compared=True, **work)
        if checkpoints and inner:
            checkpoints.resumed_from += inner.resumed_from
        history = [*history, tuned.best | {"step": history[-1]["step"] + tuned.best["step"]}]
        after = {key: tuned.best[key] for key in before}
        effect = {"image_size": tuning.image_size, "steps": tuning.round_steps}
        added, last = {"finetune": effect | {"before": _measured(before), "after": _measured(after)}}, tuning
    noise = model_noise(params.noise if training.noise else None)
    final = build(
        training.model, mode="inference", classes=classes, image_size=last.image_size, seed=main.seed, **noise
    )
    transfer_weights(model, final)
    survival = block_survival(training.model, noise.get("survival_probability", 1.0))
    summary = summarise(final, survival=survival) | {
        "precision": backends.resolve_precision(params.precision),
        "steps": history[-1]["step"],
        "best": _measured(state.best),
        **added,
    }
    return Trained(final, history, summary)


def _measured(row):
    """What was measured: without validation images there are no figures of them."""
    return {key: value for key, value in row.items() if value is not None}


def _fit_phase(
    phase, initial, checkpoints, *, params, labelled, validation, classes, sharing, followed=False, compared=False
):
    """Run one phase; the rest is as in `train`.

    Args:
        followed: whether another phase comes, before which the state is saved.
        compared: whether it is validated before the first step, too.

    Returns:
        (the training model with the best weights, its State, the metrics before the first step or None).
    """
    training, size = phase.training, phase.image_size
    network = _network(phase, params, classes=classes, size=size)
    if initial is not None:
        start_from(initial, network)
    else:
        fit_to_images(network, training.model, at_size(labelled.images, size))
    if phase.frozen is not None:
        freeze(network, training.model, phase.frozen)
    validation = LabelledImages(at_size(validation.images, size), validation.labels)
    before = sharing.validation(validate(network, validation, batch_size=2 * training.batch_size)) if compared else None
    state = sharing.newest(checkpoints, phase)
    if checkpoints and checkpoints.resumed_from:
        print(f"{phase.name}: resumed_from_step={checkpoints.resumed_from} of {phase.steps}", flush=True)
    for pixels, end in phase.sizes:
        if len(state.history) >= end or _ended(phase, state.history):
            continue
        fitted = network if end == phase.rounds else _smaller(network, phase, params, classes=classes, size=pixels)
        model, batches = _behind_input_noise(fitted, phase, params, size=pixels, part=sharing.part)
        compile_for_training(model, training, rate=phase.rate, round_steps=phase.round_steps)
        options = {"followed": followed, "state": state, "end": end, "fitted": fitted}
        options["sharing"] = sharing
        fit_rounds(phase, model, network, batches, validation, checkpoints, **options)
    _report(phase, state)
    network.set_weights(state.best_weights)
    return network, state, before


def _network(phase, params, *, classes, size):
    """What a phase trains, for images of this side in pixels; its random weights do not depend on that."""
    return build(
        phase.training.model,
        mode="train",
        classes=classes,
        image_size=size,
        precision=backends.resolve_precision(params.precision),
        seed=phase.seed,
        **model_noise(params.noise if phase.training.noise else None),
    )


def _smaller(network, phase, params, *, classes, size):
    """The phase's network with the same weights, for smaller images."""
    smaller = _network(phase, params, classes=classes, size=size)
    section = Model.named(phase.name).section
    check_weights_fit(smaller, network, where=f"{section}.progressive.image_size")
    transfer_weights(network, smaller)
    if phase.frozen is not None:
        freeze(smaller, phase.training.model, phase.frozen)
    return smaller


def _behind_input_noise(network, phase, params, *, size, part):
    """(the model that is fitted, its batches): the network itself, or behind noise that the device carries out."""
    noised = phase.training.noise
    on_input = input_noise(params, noised=noised, image_size=size) if phase.augmented else no_input_noise()
    in_graph = InGraphNoise(on_input) if _noised_on_device(params, on_input) else None
    batches = TrainingBatches(
        phase.shares,
        noise=on_input,
        round_steps=phase.round_steps,
        seed=phase.seed,
        image_size=size,
        part=part,
        in_graph=in_graph,
    )
    return network if in_graph is None else behind_noise(network, in_graph, batches[0][0]), batches


def fit_rounds(
    phase: Phase,
    model: keras.Model,
    network: keras.Model,
    batches: TrainingBatches,
    validation: LabelledImages,
    checkpoints: Checkpoints | None = None,
    *,
    followed: bool = False,
    state: State | None = None,
    end: int | None = None,
    fitted: keras.Model | None = None,
    sharing: Sharing = Sharing(),  # noqa: B008, frozen
) -> State:
    """The loop: fit one round after the other and validate after each; the model ends with the last step's weights.

    Args:
        model: compiled, that is fitted.
        network: what gives logits for images: `model`, or what it puts behind noise.
        validation: at the size of the phase; may be empty.
        followed: whether the state is saved at the end in any case.
        state: to go on from; None: that of the start.
        end: rounds that are done when the loop ends, for another model to go on; None: all of the phase.
        fitted: what `model` is, or puts behind noise, if it is `network` for smaller images.
        sharing: with whom the batches are shared.
    """
    training, state, end = phase.training, state or State(), end or phase.rounds
    feed = functools.cache(lambda steps: backends.current().feed(batches))  # fewer steps: the rest of a round
    done = state.step(phase)
    with (
        saving(state, checkpoints, model, phase) as save,
        bar(total=phase.steps, name=phase.name, unit="step", initial=done, last=False) as shown,
    ):
        within = WithinRound(state, phase, batches, save=save, shown=shown)
        while len(state.history) < end and not _ended(phase, state.history):
            # go to the round and fit it, or what is left of it
            batches.round, batches.done = len(state.history), state.index
            try:
                logs = model.fit(feed(batches.num_batches), callbacks=[within], verbose=0, shuffle=False).history
            except Exception:
                if batches.error is not None:
                    raise batches.error from None
                raise
            first, last = batches.round * phase.round_steps + 1, (batches.round + 1) * phase.round_steps
            rate = phase.rate_at(last, model.optimizer)
            check_finite(phase.name, "loss", logs["loss"][0], steps=(first, last), rate=rate)

            # validate: `fit` has put the moving average of the weights, if there is one, in their place
            if within.weights is not None:
                # by copies: on JAX they share the optimizer's buffers, which a prediction would free
                model.set_weights(model.get_weights())
            if fitted not in (None, network):
                network.set_weights(fitted.get_weights())
            row = {
                "step": last,
                "train_loss": float(logs["loss"][0]),
                "train_accuracy": float(logs["accuracy"][0]),
                "learning_rate": rate,
                **sharing.validation(validate(network, validation, batch_size=2 * training.batch_size)),
            }
            if row["validation_loss"] is not None:
                check_finite(phase.name, "validation loss", row["validation_loss"], steps=(first, last), rate=rate)

            # consider the best and append the row; go on with the weights themselves
            if _is_best(row, state, phase):
                state.best, state.best_weights = row, network.get_weights()
            state.history.append(row)
            state.index = 0
            if within.weights is not None:
                model.set_weights(within.weights)
            shown.set_postfix(**_in_short(row))

            # obey the rules, and save what has become of the training
            check_learning(phase, state.history, validation.labels, batch_size=batches.batch_size)
            if plateau.reduces(state.history, training.schedule):
                model.optimizer.learning_rate = plateau.FACTOR * float(model.optimizer.learning_rate)
            save(natural=True, now=followed and _ended(phase, state.history))
    if not _ended(phase, state.history):
        state.remember(model)  # the next one restores it
    return state


def _ended(phase, history):
    return len(history) == phase.rounds or plateau.stops(history, phase.training.schedule)


def validate(network: keras.Model, labelled: LabelledImages, *, batch_size: int) -> dict[str, float | None]:
    """Loss and accuracy of a network that gives logits, as the rows of the learning curves name them.

    Both are None where there are no images.
    """
    if not len(labelled.labels):
        return {"validation_loss": None, "validation_accuracy": None}
    probs = to_probs(predict_logits(network, labelled.images, batch_size=batch_size))
    return {
        "validation_loss": metrics.nll(probs, labelled.labels),
        "validation_accuracy": metrics.accuracy(probs, labelled.labels),
    }


def _is_best(row, state, phase):
    """Whether the weights after a round are to be kept; `row` is not in the history yet."""
    select_by = phase.training.select_by
    if select_by == "last":
        return _ended(phase, [*state.history, row])
    return state.best is None or _rank(row, select_by) > _rank(state.best, select_by)


def _rank(row, select_by):
    loss, accuracy = -row["validation_loss"], row["validation_accuracy"]
    return (loss, accuracy) if select_by == "loss" else (accuracy, loss)


def _in_short(row):
    """What the progress bar says of a round."""
    if row["validation_accuracy"] is None:
        return {"train_accuracy": f"{row['train_accuracy']:.4f}"}
    return {"val_accuracy": f"{row['validation_accuracy']:.4f}"}


def _report(phase, state):
    best, which, shown = state.best, "validation", "validation"
    if best["validation_accuracy"] is None:
        which, shown = "train", "training"
    kept = "kept the last" if phase.training.select_by == "last" else f"best at step {best['step']}"
    print(
        f"{phase.name}: {state.history[-1]['step']} steps in {state.seconds:.0f} s; {kept}: "
        f"{shown} accuracy {best[f'{which}_accuracy']:.4f}, loss {best[f'{which}_loss']:.4f}"
    )


def compile_for_training(
    model: keras.Model, training: TrainingParams, *, rate: float | WarmUpDecay, round_steps: int
) -> None:
    """Give a model that returns logits its loss and optimizer, with all of their variables.

    The steps of a round are run several at a time.
    """
    model.compile(
        optimizer=make_optimizer(training, rate),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
        jit_compile=backends.current().compiles_with_xla(),
        steps_per_execution=steps_per_execution(round_steps, most=backends.current().steps_at_a_time()),
    )
    make_variables(model)  # TensorFlow would trace a step that makes any twice: seconds, for the same graph


def steps_per_execution(round_steps: int, *, most: int) -> int:
    """Steps that are run without coming back to Python: the largest divisor of a round up to `most`."""
    return max(steps for steps in range(1, most + 1) if round_steps % steps == 0)


def _noised_on_device(params, on_input):
    """Whether the device that trains carries out the input noise: accelerators, unless told otherwise."""
    if params.input_noise == "auto":
        return on_input.active and backends.current().describe_devices()[0] != "CPU"
    return on_input.active and params.input_noise == "device"
