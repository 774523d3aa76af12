"""Charts as Vega-Lite specifications, each with a description for those who cannot see it.

Reference: https://vega.github.io/vega-lite/docs/
"""

import numpy as np

from noisy_student.drawing.canvas import BLACK, CYCLE, GREY

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
WIDTH = 640
_CONFIG = {
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "gridColor": "#e4e4e4"},
    "legend": {"labelFontSize": 12, "titleFontSize": 12, "labelLimit": 300, "orient": "bottom", "columns": 2},
    "header": {"labelFontSize": 12, "titleFontSize": 12},
    "range": {"category": list(CYCLE)},
}
_MOST_CLASSES = 30  # cells with numbers; more cannot be read


def _spec(description, rows, **spec):
    return {
        "$schema": SCHEMA,
        "description": description,
        "data": {"values": rows},
        "config": _CONFIG,
        **({} if "hconcat" in spec else {"width": WIDTH}),
        **spec,
    }


def _axis(field, title, kind="quantitative", **more):
    return {"field": field, "type": kind, "title": title, **more}


def _models(models):
    """The colour of a model, the same in all charts."""
    return _axis("model", None, "nominal", sort=None, scale={"domain": [model.name for model in models]})


def _lines(dashed_by, *, size):
    """Layers: lines, dashed by a field, and their points; the legend then shows lines."""
    return [
        {"mark": "line", "encoding": {"strokeDash": _axis(dashed_by, None, "nominal")}},
        {
            "mark": {"type": "point", "filled": True, "size": size, "tooltip": True},
            "encoding": {"detail": {"field": dashed_by}},
        },
    ]


def learning_curves(models, quantity):
    """Loss or accuracy over the steps, of training batches and of validation images."""
    rows = [
        {"model": model.name, "step": row["step"], "of": name, quantity: row[f"{kind}_{quantity}"]}
        for model in models
        for row in model.curves
        for kind, name in (("train", "training batches"), ("validation", "validation images"))
    ]
    ends = ", ".join(f"{model.name} ends at {model.curves[-1][f'validation_{quantity}']:.3f}" for model in models)
    return _spec(
        f"Learning curves, {quantity}: {ends} on validation images",
        rows,
        height=240,
        encoding={
            "x": _axis("step", "step"),
            "y": _axis(quantity, quantity, scale={"zero": quantity == "loss"}),
            "color": _models(models),
        },
        layer=_lines("of", size=18),
    )


def confidence_histogram(generation):
    """How confident the teacher is on the pool."""
    rows = [
        {"lower": row["confidence"], "upper": row["confidence"] + 0.05, "images": row["images"]}
        for row in generation.confidence
    ]
    bounds = [generation.pseudolabel.threshold, generation.pseudolabel.max_confidence]
    shown = [bound for bound in bounds if bound < 1]
    total = sum(row["images"] for row in rows)
    return _spec(
        f"Confidence of {generation.teacher} on {total:,.0f} unlabelled images; kept are those above "
        + " and at most ".join(f"{bound:g}" for bound in shown),
        rows,
        height=200,
        layer=[
            {
                "mark": {"type": "bar", "tooltip": True, "color": CYCLE[0]},
                "encoding": {
                    "x": _axis("lower", "confidence (highest probability)", scale={"domain": [0, 1]}),
                    "x2": {"field": "upper"},
                    "y": _axis("images", "images"),
                    "y2": {"datum": 0},
                },
            },
            {
                "data": {"values": [{"bound": bound} for bound in shown]},
                "mark": {"type": "rule", "strokeDash": [6, 4], "color": BLACK, "strokeWidth": 2},
                "encoding": {"x": _axis("bound", "confidence (highest probability)")},
            },
        ],
    )


def class_counts(generation):
    """How many images of each class were kept, and chosen."""
    names = {"filtered": "above the threshold", "balanced": "after balancing"}
    rows = [
        {"class": row["class"], "images": row["images"], "when": names[row["when"]]} for row in generation.class_counts
    ]
    return _spec(
        f"Pseudo-labelled images by class, {generation.key}, before and after balancing",
        rows,
        height=200,
        mark={"type": "bar", "tooltip": True},
        encoding={
            "x": _axis("class", "predicted class", "nominal", sort=None, axis={"labelAngle": -45}),
            "xOffset": {"field": "when", "sort": None},
            "y": _axis("images", "images"),
            "color": _axis("when", None, "nominal", sort=None),
        },
    )


def confusion(model, classes):
    """Counts of test images by truth and prediction, coloured by the share of the true class."""
    totals = np.maximum(1, model.confusion.sum(axis=1))
    rows = [
        {"true": name, "predicted": other, "images": int(count), "share": count / totals[i]}
        for i, name in enumerate(classes)
        for j, other in enumerate(classes)
        if (count := model.confusion[i, j]) or i == j
    ]
    right, total = int(np.trace(model.confusion)), int(model.confusion.sum())
    side = int(np.clip(38 * len(classes), 200, 640))
    encoding = {
        "x": _axis("predicted", "predicted", "nominal", sort=classes, axis={"labelAngle": -45}),
        "y": _axis("true", "true", "nominal", sort=classes),
    }
    layer = [
        {
            "mark": {"type": "rect", "tooltip": True},
            "encoding": {"color": _axis("share", "share of the class", scale={"scheme": "blues", "domain": [0, 1]})},
        }
    ]
    if len(classes) <= _MOST_CLASSES:
        white = {"test": "datum.share > 0.5", "value": "white"}
        text = {"text": {"field": "images"}, "color": {"condition": white, "value": BLACK}}
        layer.append({"mark": {"type": "text", "fontSize": 11}, "encoding": text})
    return _spec(
        f"Confusion matrix of {model.name}: {right:,} of {total:,} test images right",
        rows,
        width=side,
        height=side,
        encoding=encoding,
        layer=layer,
    )


def reliability(rows, models):
    """Accuracy against confidence."""
    filled = [row for row in rows if row["count"]]
    return _spec(
        "Reliability: accuracy of the test images by confidence; on the dashed line a model is calibrated",
        filled,
        height=280,
        layer=[
            {
                "data": {"values": [{"x": 0, "y": 0}, {"x": 1, "y": 1}]},
                "mark": {"type": "line", "strokeDash": [6, 4], "color": GREY},
                "encoding": {"x": _axis("x", "confidence"), "y": _axis("y", "accuracy")},
            },
            {
                "mark": {"type": "line", "strokeWidth": 1},
                "encoding": {
                    "x": _axis("confidence", "confidence"),
                    "y": _axis("accuracy", "accuracy"),
                    "color": _models(models),
                },
            },
            {
                "mark": {"type": "point", "filled": True, "tooltip": True},
                "encoding": {
                    "x": _axis("confidence", "confidence"),
                    "y": _axis("accuracy", "accuracy"),
                    "color": _models(models),
                    "size": _axis("count", "images", scale={"range": [15, 300]}),
                },
            },
        ],
    )


def corruption_errors(models):
    """Mean error on each kind of corrupted images."""
    return _by_kind(models, "corruption_error", "Error on corrupted test images, by corruption", "error, %")


def flip_probabilities(models):
    """How often the prediction changes from frame to frame."""
    title = "Flip probability under perturbations, by kind"
    return _by_kind(models, "flip_probability", title, "flip probability, %")


def _by_kind(models, figure, title, axis):
    """A dot for each model and kind of change; the figures of robustness hold the mean, too."""
    rows = [
        {"model": model.name, "kind": name.replace("_", " "), "value": 100 * value}
        for model in models
        for name, value in model.robustness[figure].items()
    ]
    means = ", ".join(f"{m.name} {100 * m.robustness[f'mean_{figure}']:.1f} %" for m in models)
    return _spec(
        f"{title}; the mean: {means}",
        rows,
        height={"step": 18},
        mark={"type": "point", "filled": True, "size": 70, "tooltip": True},
        encoding={
            "x": _axis("value", axis, axis={"tickCount": 10}),
            "y": _axis("kind", None, "nominal", sort=None, axis={"grid": True}),
            "color": _models(models),
            "shape": _models(models),
        },
    )


def attacks(models):
    """Accuracy under attacks of growing strength."""
    rows = [
        {
            "model": model.name,
            "attack": row["attack"].upper(),
            "epsilon": row["epsilon"],
            "accuracy": 100 * row["accuracy"],
        }
        for model in models
        for row in model.attacks
    ]
    return _spec(
        "Accuracy under attack (FGSM and PGD), by how far a level may be changed",
        rows,
        height=240,
        encoding={
            "x": _axis("epsilon", "epsilon, levels of 255"),
            "y": _axis("accuracy", "accuracy, %"),
            "color": _models(models),
        },
        layer=_lines("attack", size=30),
    )


def study(findings):
    """Test accuracies of the seeds, and differences to the controls with their intervals."""
    order = [findings.shown(arm) for arm in findings.rows]
    seeds = [
        {"arm": findings.shown(arm), "accuracy": 100 * value} for arm in findings.rows for value in findings.values(arm)
    ]
    compared = [
        {
            "arm": one.shown,
            "mean": 100 * one.over_seeds.mean,
            "low": 100 * np.nan_to_num(one.over_seeds.low, nan=one.over_seeds.mean),
            "high": 100 * np.nan_to_num(one.over_seeds.high, nan=one.over_seeds.mean),
        }
        for one in findings.compared_first().values()
    ]
    arms = _axis("arm", None, "nominal", sort=order, axis={"labelLimit": 320, "grid": True})
    without = arms | {"axis": {"labels": False, "ticks": False, "grid": True}}
    dots = {"type": "point", "filled": True, "tooltip": True}
    inset = {"zero": False, "padding": 8}  # pixels: marks at the ends are drawn whole
    accuracy = _axis("accuracy", "test accuracy, %", scale=inset)
    left = {
        "width": 260,
        "height": {"step": 26},
        "data": {"values": seeds},
        "layer": [
            {"mark": {**dots, "size": 30, "color": GREY}, "encoding": {"x": accuracy, "y": arms}},
            {
                "mark": {**dots, "size": 80, "shape": "diamond", "color": BLACK},
                "encoding": {"x": accuracy | {"aggregate": "mean"}, "y": arms},
            },
        ],
    }
    scale = {"domain": order}
    right = {
        "width": 260,
        "height": {"step": 26},
        "data": {"values": compared},
        "encoding": {"y": without | {"scale": scale}},
        "layer": [
            {
                "data": {"values": [{"zero": 0}]},
                "mark": {"type": "rule", "strokeDash": [6, 4], "color": BLACK},
                "encoding": {
                    "x": _axis("zero", "difference to its control, points"),
                    "y": {"value": 0},
                    "y2": {"value": "height"},
                },
            },
            {
                "mark": {"type": "rule", "strokeWidth": 2, "color": CYCLE[0]},
                "encoding": {
                    "x": _axis("low", "difference to its control, points", scale=inset),
                    "x2": {"field": "high"},
                },
            },
            {
                "mark": {**dots, "size": 80, "shape": "diamond", "color": CYCLE[0]},
                "encoding": {"x": _axis("mean", "difference to its control, points")},
            },
        ],
    }
    return _spec(
        f"{findings.study.question} Left: test accuracy of every seed (dots) and the mean. Right: difference "
        "to the control with its 95 % interval.",
        [],
        hconcat=[left, right],
    )
