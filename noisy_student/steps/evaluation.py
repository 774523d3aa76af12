"""Test figures of the teacher and of every generation's student."""

import keras
import numpy as np

from noisy_student.drawing import charts, galleries
from noisy_student.drawing.canvas import save_chart
from noisy_student.inference import metrics
from noisy_student.inference.predict import predict_probs
from noisy_student.pseudo_labels.confidence import best_guesses, is_kept
from noisy_student.runtime import layout
from noisy_student.runtime.files import read_csv, read_json, write_csv


def evaluate(probs, labels, *, class_names, regularisation=0.0):
    """The figures of one model on labelled images.

    Args:
        probs: (N, K) float32.
        labels: (N,) integers.
        class_names: K names.
        regularisation: sum of the model's weight penalties, in nats.

    Returns:
        dict: loss = nll + regularisation (what the article reports), nll in nats, accuracy in
        [0, 1] with its 95 % Wilson interval, top5 where there are more than 5 classes, ece (15
        bins), recall of each class. `recall` and `accuracy_interval` are lists, which
        `dvc metrics diff` leaves out of its table.
    """
    nll, accuracy = metrics.nll(probs, labels), metrics.accuracy(probs, labels)
    figures_of = {"loss": nll + regularisation, "nll": nll, "accuracy": accuracy}
    if len(class_names) > 5:
        figures_of["top5"] = metrics.top_k_accuracy(probs, labels, 5)
    figures_of["ece"] = metrics.expected_calibration_error(probs, labels)
    correct = int((probs.argmax(axis=1) == labels).sum())
    figures_of["accuracy_interval"] = list(metrics.accuracy_interval(correct, len(labels)))
    recalls = metrics.recall_per_class(probs, labels)
    figures_of["recall"] = [
        {"class": name, "recall": None if np.isnan(recall) else float(recall)}
        for name, recall in zip(class_names, recalls, strict=True)
    ]
    return figures_of


def predict_all(models, test, *, batch_size):
    """Distributions and weight penalties of every model.

    Args:
        models: {name: inference model}.
        test: LabelledImages.
        batch_size: images a step, or "auto", see `predict_probs`.

    Returns:
        {name: (probs (N, K) float32, penalty in nats)}.
    """
    return {
        name: (
            predict_probs(model, test.images, batch_size=batch_size, name=f"eval {name}"),
            float(sum(keras.ops.convert_to_numpy(penalty) for penalty in model.losses)),
        )
        for name, model in models.items()
    }


def evaluate_all(predictions, labels, *, class_names, quality):
    """The content of metrics/eval.json: a dict of figures a model.

    Args:
        predictions: see `predict_all`.
        labels: (N,) integers.
        class_names: K names.
        quality: {student's name: `guesses.pseudo_label_quality` of its pseudo-labels}.
    """
    table = {}
    for name, (probs, penalty) in predictions.items():
        table[name] = evaluate(probs, labels, class_names=class_names, regularisation=penalty)
        found = quality.get(name, {})
        table[name] |= {f"pseudo_label_{key}": value for key, value in found.items() if value is not None}
    return table


def write_eval_plots(predictions, test, *, class_names, teachers):
    """Write confusion matrices, reliability diagram and the galleries of disagreement.

    Args:
        predictions: see `predict_all`.
        test: LabelledImages.
        class_names: K names.
        teachers: {student's name: its teacher's name}.
    """
    folder, tables, reliability = layout.EVAL_PLOTS, layout.EVAL_TABLES, {}
    for name, (probs, _) in predictions.items():
        reliability[name] = metrics.reliability(probs, test.labels)
        pairs = zip(test.labels, probs.argmax(axis=1), strict=True)
        write_csv(
            tables / f"confusion-{name}.csv",
            [{"actual": class_names[a], "predicted": class_names[p]} for a, p in pairs],
        )
        matrix = metrics.confusion(probs, test.labels)
        save_chart(folder / f"confusion-{name}.png", charts.confusion(name, matrix, class_names))
    rows = [{"model": name, **row} for name, bins in reliability.items() for row in bins]
    write_csv(tables / "reliability.csv", rows)
    save_chart(folder / "reliability.png", charts.reliability(rows))
    for name, teacher in teachers.items():
        for first, second in ((teacher, name), (name, teacher)):
            galleries.disagreement_gallery(
                folder / f"{first}-wrong-{second}-right.png",
                test.images,
                test.labels,
                predictions[first][0],
                predictions[second][0],
                class_names,
                title=f"Test images that {first} gets wrong and {second} gets right",
            )


def draw_curves(names):
    """Draw the learning curves of every training, and write them as one long table: model, step, values.

    Args:
        names: of the models.
    """
    table = []
    for name in names:
        rows = [{"model": name, **row} for row in read_csv(layout.curves(name))]
        best = {name: read_json(layout.summary(name))["best"]}
        save_chart(layout.EVAL_PLOTS / f"curves-{name}.png", charts.learning_curves(rows, best))
        table += rows
    write_csv(layout.EVAL_TABLES / "curves.csv", table)


def draw_pseudo_labels(key, images, probs, *, class_names, truth, threshold, max_confidence):
    """Draw what the teacher of a generation says of the pool, and what filtering and balancing made of it.

    Args:
        key: of the generation.
        images: (N, H, W, 3) uint8, the pool; only the rows shown are read.
        probs: (N, K) float32, the teacher's distributions.
        class_names: K names.
        truth: (N,) int classes, -1 where unknown.
        threshold, max_confidence: of the images that are kept, see `guesses.is_kept`.
    """
    folder, bounds = layout.EVAL_PLOTS, {"threshold": threshold, "max_confidence": max_confidence}
    counts = read_csv(layout.balance_tables(key) / "class_counts.csv", text=("class", "when"))
    save_chart(folder / f"class-counts-{key}.png", charts.class_counts(counts))
    predicted, confidence = best_guesses(probs)
    labels = predicted, confidence, is_kept(confidence, **bounds)
    rows = charts.confidence_rows(*labels, truth, **bounds)
    write_csv(layout.EVAL_TABLES / f"confidence-{key}.csv", rows)
    save_chart(folder / f"confidence-{key}.png", charts.confidence_histogram(rows, **bounds))
    path = folder / f"pseudo-labels-{key}.png"
    galleries.pseudo_label_gallery(path, images, class_names, *labels, threshold=threshold)
