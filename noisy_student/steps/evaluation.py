"""Test metrics of the teacher and of every generation's student."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import keras

from noisy_student import backends
from noisy_student.data.arrays import open_probs, open_truth
from noisy_student.data.inputs import Inputs
from noisy_student.drawing import charts, galleries, pool
from noisy_student.drawing.canvas import save_chart
from noisy_student.inference import metrics
from noisy_student.inference.predict import predict_probs
from noisy_student.inference.saving import load
from noisy_student.noise.pipeline import input_noise
from noisy_student.pseudo_labels.confidence import confidence_rows
from noisy_student.runtime import layout
from noisy_student.runtime.files import read_csv, read_json, remove, write_csv, write_json
from noisy_student.runtime.layout import TEACHER, Model
from noisy_student.runtime.types import Labels, Probs
from noisy_student.settings.params import Params
from noisy_student.steps.reported import Predictions, evaluate, pseudo_label_quality

if TYPE_CHECKING:
    from noisy_student.data.labelled import LabelledImages
    from noisy_student.data.views import Images


def evaluate_and_write(params: Params) -> None:
    """Evaluate all models of params.yaml on the test split: write metrics, tables and pictures."""
    backends.current().make_deterministic()
    for path in layout.unlisted(params.generations):
        print(f"removing {path}: not a generation of params.yaml any more")
        remove(path)
    inputs, students = Inputs(), {key: Model(key) for key in params.generations}
    names = inputs.classes
    truth = open_truth(layout.TRUTH, classes=len(names))
    labels = {key: open_probs(layout.pseudo_labels(key), images=len(truth), classes=len(names)) for key in students}
    test = inputs.test
    models = {model.name: load(model.path, classes=len(names)) for model in (TEACHER, *students.values())}
    predictions = predict_all(models, test, batch_size=params.eval.batch_size)
    quality, teachers = {}, {}
    for key, student in students.items():
        generation, probs = params.generation(key), labels[key]
        teachers[student.name] = generation.teacher
        bounds = generation.pseudolabel.model_dump(include={"threshold", "max_confidence"})
        draw_pseudo_labels(key, inputs.pool, probs, truth, names, bounds=bounds)
        if generation.student.uses_pseudo_labels:
            quality[student.name] = pseudo_label_quality(probs, truth, **bounds)
    draw_curves(models)
    noise = input_noise(params, noised=True)
    galleries.noise_gallery(layout.EVAL_PLOTS / "noise.png", inputs.labelled.images, noise, seed=params.seed)
    write_eval_plots(predictions, test, names, teachers)
    write_json(layout.EVAL_METRICS, evaluate_all(predictions, test.labels, class_names=names, quality=quality))


def predict_all(
    models: dict[str, keras.Model], test: LabelledImages, *, batch_size: int | str
) -> dict[str, tuple[Probs, float]]:
    """The distributions of every model, by name, and its weight penalties in nats."""
    return {
        name: (
            predict_probs(model, test.images, batch_size=batch_size, name=f"eval {name}"),
            float(sum(keras.ops.convert_to_numpy(penalty) for penalty in model.losses)),
        )
        for name, model in models.items()
    }


def evaluate_all(
    predictions: dict[str, tuple[Probs, float]], labels: Labels, *, class_names: Sequence[str], quality: dict[str, dict]
) -> dict[str, dict]:
    """The content of metrics/eval.json: {model's name: {metric's name: value}}, with the quality of pseudo-labels."""
    return {
        name: evaluate(Predictions(probs, labels, class_names, penalty)) | quality.get(name, {})
        for name, (probs, penalty) in predictions.items()
    }


def write_eval_plots(
    predictions: dict[str, tuple[Probs, float]],
    test: LabelledImages,
    class_names: Sequence[str],
    teachers: dict[str, str],
) -> None:
    """Write confusion matrices, reliability diagram and the galleries of disagreement of students and teachers."""
    folder, tables = layout.EVAL_PLOTS, layout.EVAL_TABLES
    rows: list[dict] = []
    for name, (probs, _) in predictions.items():
        pairs = [(class_names[a], class_names[p]) for a, p in zip(test.labels, probs.argmax(axis=1), strict=True)]
        write_csv(tables / f"confusion-{name}.csv", [{"actual": a, "predicted": p} for a, p in pairs])
        matrix = metrics.confusion(probs, test.labels)
        save_chart(folder / f"confusion-{name}.png", charts.confusion(name, matrix, class_names))
        rows += [{"model": name, **row} for row in metrics.reliability(probs, test.labels)]
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
                models=(first, second),
            )


def draw_curves(names: Iterable[str]) -> None:
    """Draw the learning curves of the models, and write them as one long table: model, step, values."""
    table: list[dict] = []
    for name in names:
        model = Model.named(name)
        rows = [{"model": name, **row} for row in read_csv(model.curves)]
        chart = charts.learning_curves(rows, {name: read_json(model.summary)["best"]})
        save_chart(layout.EVAL_PLOTS / f"curves-{name}.png", chart)
        table += rows
    write_csv(layout.EVAL_TABLES / "curves.csv", table)


def draw_pseudo_labels(
    key: str, images: Images, probs: Probs, truth: Labels, class_names: Sequence[str], *, bounds: dict[str, Any]
) -> None:
    """Draw what the teacher of the generation `key` says of the pool, and what filtering and balancing made of it.

    Only the images that are shown are read; the truth is -1 where unknown; for the bounds see `confidence.is_kept`.
    """
    folder = layout.EVAL_PLOTS
    counts = read_csv(layout.balance_tables(key) / "class_counts.csv", text=("class", "when"))
    save_chart(folder / f"class-counts-{key}.png", charts.class_counts(counts))
    rows = confidence_rows(probs, truth, **bounds)
    write_csv(layout.EVAL_TABLES / f"confidence-{key}.csv", rows)
    save_chart(folder / f"confidence-{key}.png", charts.confidence_histogram(rows, **bounds))
    pool.pseudo_label_gallery(folder / f"pseudo-labels-{key}.png", images, probs, class_names, truth=truth, **bounds)
