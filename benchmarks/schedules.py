"""Seconds of training to the same validation accuracy: the preset cifar10-cpu-resnet14 against the article's recipe.

python -m benchmarks.schedules     # after `dvc repro prepare` with the preset cifar10-cpu-resnet14; about 10 minutes
"""

import json
import multiprocessing
import statistics
import sys
import time

from benchmarks.harness import machine
from commands import new_parser
from noisy_student.runtime import console

SEEDS = 5
ARTICLE = {"batch_size": 64, "steps": 1000, "validate_every": 100}  # 16 epochs of the 4,000 images
OURS = {"steps": 300, "validate_every": 25}


def _data():
    from noisy_student.data.arrays import open_labelled
    from noisy_student.runtime import layout

    return open_labelled(layout.LABELLED), open_labelled(layout.VALIDATION)


def _params(seed):
    """The preset cifar10-cpu-resnet14, its teacher trained with noise."""
    from commands import preset as presets
    from noisy_student.settings.params import check

    parameters = presets.parameters("cifar10-cpu-resnet14")
    parameters["seed"] = seed
    parameters["teacher"] |= {"noise": True, **OURS}
    return check(parameters)


def article(seed, send):
    """Adam at 1e-3, batch 64, float32, stock Keras layers, a Pillow generator; the same network and noise."""
    from noisy_student import backends

    backends.select("tensorflow")
    import keras
    import numpy as np

    from benchmarks.rivals.pillow_noise import apply_draw
    from benchmarks.rivals.stock_keras import training_model
    from noisy_student.noise.pipeline import input_noise

    labelled, validation = _data()
    noise, rng = input_noise(_params(seed), noised=True), np.random.default_rng(seed)
    names = [operation.name for operation in noise.randaugment.table]
    keras.utils.set_random_seed(seed)

    class Batches(keras.utils.PyDataset):
        num_batches = ARTICLE["validate_every"]

        def __getitem__(self, index):
            rows = rng.integers(0, len(labelled.labels), ARTICLE["batch_size"])
            keys = rng.integers(0, 2**63, len(rows), np.uint64)
            images = apply_draw(labelled.images[rows], noise.draw(keys), names=names, padding=noise.crop)
            return images, np.eye(10, dtype=np.float32)[labelled.labels[rows]]

    model = training_model("ResNet-14", precision="float32", optimizer=keras.optimizers.Adam(1e-3))
    images, seconds, curve = np.asarray(validation.images), 0.0, []
    for _ in range(ARTICLE["steps"] // ARTICLE["validate_every"]):
        began = time.perf_counter()
        model.fit(Batches(), verbose=0)
        seconds += time.perf_counter() - began
        predicted = model.predict(images, batch_size=500, verbose=0).argmax(axis=1)
        curve.append((seconds, float((predicted == validation.labels).mean())))
    send.send(curve)


def ours(seed, send):
    """The preset's own training; validations are not counted, as in `article`."""
    from noisy_student import backends

    backends.select("tensorflow")
    import keras

    from noisy_student.training import train
    from noisy_student.training.shares import teacher_shares

    params, (labelled, validation) = _params(seed), _data()
    seconds, curve = [], []
    fit, validate = keras.Model.fit, train.validate

    def timed(*arguments, **options):
        began = time.perf_counter()
        history = fit(*arguments, **options)
        seconds.append(time.perf_counter() - began)
        return history

    def noted(*arguments, **options):
        metrics = validate(*arguments, **options)
        curve.append((sum(seconds), metrics["validation_accuracy"]))
        return metrics

    keras.Model.fit, train.validate = timed, noted
    shares = teacher_shares(params.teacher, labelled, classes=10)
    train.train(params, params.teacher, shares, name="teacher", labelled=labelled, validation=validation, classes=10)
    send.send(curve)


def _curve(recipe, seed):
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=recipe, args=(seed, send))
    process.start()
    send.close()
    try:
        return receive.recv()
    except EOFError:
        sys.exit(f"error: {recipe.__name__} failed with seed {seed}")
    finally:
        process.join()


def _seconds_to(curve, accuracy):
    return next((seconds for seconds, reached in curve if reached >= accuracy), None)


def main():
    """Print the section of the report."""
    rows = []
    for seed in range(SEEDS):
        curves = {recipe.__name__: _curve(recipe, seed) for recipe in (article, ours)}
        print(json.dumps(curves), file=sys.stderr, flush=True)
        target = max(reached for _, reached in curves["article"])
        rows.append((seed, target, *(_seconds_to(curves[name], target) for name in ("article", "ours"))))
    print("## Schedules: seconds to the same validation accuracy\n")
    print("`python -m benchmarks.schedules`: ResNet-14 of width 16 on the 4,000 labelled images of")
    print("`cifar10-cpu-resnet14`, input noise on. The article's recipe (Adam 1e-3, batch 64, float32, Pillow) trains")
    print(f"{ARTICLE['steps']:,} steps; its best validation accuracy is the mark. The seconds to the mark")
    print("count, start-up included, validations not.\n")
    print(machine("tensorflow", "keras", "pillow"), "\n")
    print("| seed | mark | article, s | ours, s | times fewer |\n|---|---:|---:|---:|---:|")
    for seed, target, slow, fast in rows:
        taken, ratio = ("-", "not reached") if fast is None else (f"{fast:.0f}", f"{slow / fast:.1f}")
        print(f"| {seed} | {100 * target:.2f} % | {slow:.0f} | {taken} | {ratio} |")
    ratios = [slow / fast for _, _, slow, fast in rows if fast is not None]
    print(f"\nMedian of the {len(ratios)} seeds that reached it: {statistics.median(ratios):.1f} times fewer.")


if __name__ == "__main__":
    console.use_utf8()
    new_parser("benchmarks.schedules", __doc__).parse_args()
    main()
