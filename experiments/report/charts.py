"""The page's charts: those of the pipeline's pictures, and two of robustness over all models."""

from collections.abc import Sequence
from typing import Any

from experiments.report.gather import Generation, Model
from noisy_student.drawing import charts
from noisy_student.drawing.charts import axis, by_model, chart
from noisy_student.robustness.severities import EXTRA


def learning_curves(models: Sequence[Model]) -> dict[str, Any]:
    """Loss and accuracy of all models."""
    rows = [{"model": model.name, **row} for model in models for row in model.curves]
    return charts.learning_curves(rows, {model.name: model.summary["best"] for model in models})


def confidence_histogram(generation: Generation) -> dict[str, Any]:
    """How confident the teacher is on the pool."""
    return charts.confidence_histogram(generation.confidence, **generation.pseudolabel.bounds)


def attacks(models: Sequence[Model]) -> dict[str, Any]:
    """Accuracy under attacks of growing strength."""
    return charts.attacks([{"model": model.name, **row} for model in models for row in model.attacks])


def corruption_errors(models: Sequence[Model]) -> dict[str, Any]:
    """Mean error on each kind of corrupted images."""
    title = "Error on corrupted test images, by corruption"
    return _by_kind(models, "corruption_error", title, "error, %", extra=EXTRA)


def flip_probabilities(models: Sequence[Model]) -> dict[str, Any]:
    """How often the prediction changes from frame to frame."""
    title = "Flip probability under perturbations, by kind"
    return _by_kind(models, "flip_probability", title, "flip probability, %")


def _by_kind(models, metric, title, label, extra=()):
    """A dot for each model and kind of change; the mean leaves out those that are `extra`."""
    rows = [
        {"model": model.name, "kind": name.replace("_", " ") + " (extra)" * (name in extra), "value": 100 * value}
        for model in models
        for name, value in model.robustness[metric].items()
    ]
    means = ", ".join(f"{m.name} {100 * m.robustness[f'mean_{metric}']:.1f} %" for m in models)
    color = by_model([model.name for model in models])
    return chart(
        title,
        rows,
        below=f"the mean{' (extra ones left out)' * bool(extra)}: {means}",
        width=480,
        height={"step": 18},
        mark={"type": "point", "filled": True, "size": 70, "opacity": 1, "tooltip": True},
        encoding={
            "x": axis("value", label, axis={"tickCount": 10}),
            "y": axis("kind", None, "nominal", sort=None, axis={"grid": True}),
            "color": color,
            "shape": color | {"scale": {"domain": color["scale"]["domain"]}},
        },
    )
