"""The README's first table and picture, from the committed metrics of the default run."""

from typing import Any

from commands.results import robustness_table
from noisy_student.drawing.canvas import BLACK, BLUE, VERMILLION
from noisy_student.drawing.charts import axis, chart
from noisy_student.runtime import layout
from noisy_student.runtime.errors import UserError
from noisy_student.runtime.files import read_json
from noisy_student.runtime.layout import TEACHER, Model
from noisy_student.settings import params
from noisy_student.steps.results import labels_line, table

NOISE_ONLY = "student-noise-only"
_SIZE = {"width": 430, "height": 270}  # pixels


def tables() -> str:
    """What `make repro` prints of a run: accuracies, the number of labels, robustness; from what git keeps of it.

    Raises:
        UserError: a model was not measured.
    """
    settings, evaluated = params.load(), read_json(layout.EVAL_METRICS)
    models = [TEACHER, *map(Model, settings.generations)]
    for model in models:
        if model.name not in evaluated or not model.robustness.exists():
            raise UserError(f"{model.name} was not measured. Run `make repro` with the committed params.yaml.")
    robustness = robustness_table({model.name: read_json(model.robustness) for model in models})
    labels = labels_line(settings.data, read_json(layout.DATA_METRICS)["images"])
    return f"{table(evaluated)}\n\n{labels}\n\n{robustness}"


def picture(evaluated: dict[str, Any], images: dict[str, int]) -> dict[str, Any]:
    """Accuracy of the teacher and its students in their order, beside that of noise alone, as Vega-Lite.

    Args:
        evaluated: {model: its figures}, as in metrics/eval.json.
        images: {split: number of images}.
    """
    rows = [
        {"model": _shown(name), "right": 100 * own["accuracy"], "color": _color(name)}
        | dict(zip(("low", "high"), (100 * end for end in own["accuracy_interval"]), strict=True))
        for name, own in evaluated.items()
    ]
    alone = next(row for row in rows if row["model"] == _shown(NOISE_ONLY))
    chain = [row for row in rows if row is not alone]
    x = axis("model", None, "nominal", sort=None, axis={"labelAngle": 0, "ticks": False, "labelPadding": 8})
    scale = {"domain": [10 * int(min(row["low"] for row in rows) // 10), 100]}
    y, color = axis("right", "test accuracy, %", scale=scale), {"field": "color", "type": "nominal", "scale": None}
    text = {"field": "right", "type": "quantitative", "format": ".1f"}
    end = [alone | {"model": chain[-1]["model"], "said": f"{alone['model']}: {alone['right']:.1f}"}]
    point = {"type": "point", "filled": True, "size": 70, "opacity": 1}
    told = "; ".join(f"{row['model']} {row['right']:.1f} %" for row in rows)
    counted = f"{images['labelled']:,} labelled, {images['unlabelled']:,} unlabelled, {images['test']:,} test images"
    return chart(
        "What self-training adds to noise alone",
        chain,
        below=f"default run, seed 0: {counted}; bars, band: 95 % intervals",
        description=f"Test accuracy of the default run: {told}",
        **_SIZE,
        layer=[
            {
                "data": {"values": [alone]},
                "mark": {"type": "rect", "opacity": 0.12},
                "encoding": {"y": y | {"field": "low"}, "y2": {"field": "high"}, "color": color},
            },
            {"mark": {"type": "line", "color": BLUE, "strokeWidth": 2}, "encoding": {"x": x, "y": y}},
            {"mark": "rule", "encoding": {"x": x, "y": y | {"field": "low"}, "y2": {"field": "high"}, "color": color}},
            {"mark": point, "encoding": {"x": x, "y": y, "color": color}},
            *(
                {
                    "transform": [{"filter": f"datum.right {which} {alone['right']}"}],
                    "mark": {"type": "text", "dx": -26, "dy": away, "fontSize": 13, "fontWeight": "bold"},
                    "encoding": {"x": x, "y": y, "text": text, "color": color},
                }
                for which, away in ((">=", -14), ("<", 14))  # from the line of noise alone
            ),
            {
                "data": {"values": [alone]},
                "mark": {"type": "rule", "strokeDash": [6, 4], "strokeWidth": 2},
                "encoding": {"y": y, "color": color},
            },
            {
                "data": {"values": end},
                "mark": {"type": "text", "align": "right", "dx": 26, "dy": 14, "fontSize": 13, "fontWeight": "bold"},
                "encoding": {"x": x, "y": y, "text": {"field": "said"}, "color": color},
            },
        ],
    )


def _shown(name):
    """A model's name in the words of the field."""
    if name == NOISE_ONLY:
        return "noise alone, as long as teacher and one student"
    return name.replace("student-gen", "student ")


def _color(name):
    return {TEACHER.name: BLACK, NOISE_ONLY: VERMILLION}.get(name, BLUE)
