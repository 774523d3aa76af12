"""What the visible loop costs: Keras' `fit` once a round against one `fit` over all rounds.

python -m benchmarks.rounds
"""

import statistics
import time
from dataclasses import replace

from benchmarks.harness import compare, machine, table
from commands import new_parser
from noisy_student.runtime import console

ROUND, ROUNDS = 50, 16  # steps, rounds: the digits' teacher
CALLS = 20  # rounds a turn of the second table
TURNS = 15


def _parts(*, batch_size=None, round_steps=ROUND):
    """The digits' teacher before its first step: phase, model, batches, validation images; none of them real."""
    from commands import preset as presets
    from noisy_student import backends
    from noisy_student.settings.params import check

    backends.select("tensorflow")
    import numpy as np

    from noisy_student.data.labelled import LabelledImages
    from noisy_student.models.build import build
    from noisy_student.noise.pipeline import no_input_noise
    from noisy_student.training.batches import TrainingBatches
    from noisy_student.training.phases import main_phase
    from noisy_student.training.shares import teacher_shares
    from noisy_student.training.train import compile_for_training

    params = check(presets.parameters("digits-100"))
    training = params.teacher.model_copy(update={"batch_size": batch_size or params.teacher.batch_size})
    side, rng = params.data.image_size, np.random.default_rng(0)
    labelled, validation = (
        LabelledImages(rng.integers(0, 256, (n, side, side, 3), np.uint8), rng.integers(0, 10, n))
        for n in (params.data.labelled, params.data.validation)
    )
    phase = main_phase(params, training, teacher_shares(training, labelled, classes=10), name="teacher", stored=side)
    precision = backends.resolve_precision("auto")
    model = build(training.model, mode="train", classes=10, image_size=side, precision=precision, seed=0)
    compile_for_training(model, training, rate=phase.rate, round_steps=round_steps)
    batches = TrainingBatches(phase.shares, noise=no_input_noise(), round_steps=round_steps, seed=0)
    return phase, model, batches, validation


def ours():
    """The whole loop: fits, validations, the best weights, the rules."""
    phase, model, batches, validation = _parts()
    from noisy_student.training.train import fit_rounds

    def portion():
        fit_rounds(phase, model, model, batches, validation)
        return phase.steps

    return portion


def one_fit():
    """The same validations and best weights in a callback of one `fit`, without a rule."""
    phase, model, batches, validation = _parts()
    import keras

    from noisy_student import backends
    from noisy_student.training.train import validate

    class Rounds(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            batches.round = epoch

        def on_train_batch_end(self, batch, logs=None):
            pass  # as in our loop, Keras hands over the logs

        def on_epoch_end(self, epoch, logs=None):
            row = validate(model, validation, batch_size=2 * phase.training.batch_size)
            if epoch == 0 or row["validation_loss"] < self.lowest:
                self.lowest, self.weights = row["validation_loss"], model.get_weights()

    feed = backends.current().feed(batches)

    def portion():
        model.fit(feed, epochs=phase.rounds, callbacks=[Rounds()], verbose=0, shuffle=False)
        return phase.steps

    return portion


def milliseconds_a_call():
    """What a `fit` costs more than an epoch of one: nearly empty rounds, one after the other, in turns.

    Returns:
        (median of the differences in CPU ms, how often the step was traced after the first turn).
    """
    _, model, batches, _ = _parts(batch_size=2, round_steps=1)
    import keras

    from noisy_student import backends

    class Rounds(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            pass

    feed, traced, step = backends.current().feed(batches), [], model.train_step
    model.train_step = lambda data: traced.append(1) or step(data)  # runs only while it is traced

    def seconds(fits, epochs):
        began = time.process_time()
        for _ in range(fits):
            model.fit(feed, epochs=epochs, callbacks=[Rounds()], verbose=0, shuffle=False)
        return (time.process_time() - began) / CALLS

    seconds(1, CALLS)
    before = len(traced)
    differences = [seconds(CALLS, 1) - seconds(1, CALLS) for _ in range(TURNS)]
    return 1000 * statistics.median(differences), len(traced) - before


def main():
    """Print the section of the report."""
    print("## One fit a round\n")
    print(f"`python -m benchmarks.rounds`: the digits' teacher, {ROUND * ROUNDS} steps in rounds of {ROUND}, each")
    print("followed by a validation of 200 images.\n")
    print(machine("tensorflow", "keras"), "\n")
    results = compare({"a fit a round (ours)": ours, "one fit": one_fit}, rounds=5)
    print(table(results, unit="steps/s", reference="one fit"))
    on_cpu = [replace(result, rates=result.cpu_rates) for result in results]
    print("\nIn CPU seconds, which other work on the machine disturbs less:\n")
    print(table(on_cpu, unit="steps/CPU s", reference="one fit"))
    extra, traced = milliseconds_a_call()
    a_round = 1000 * ROUND / next(result.median for result in on_cpu if result.name == "one fit")
    share = 100 * extra / a_round
    print(f"\nA `fit` of its own costs a round {extra:.1f} CPU ms (nearly empty rounds, {CALLS} a turn, median of")
    print(f"{TURNS} differences): {share:.2f} % of {a_round:.0f}. The step was traced {traced} times more.")


if __name__ == "__main__":
    console.use_utf8()
    new_parser("benchmarks.rounds", __doc__).parse_args()
    main()
