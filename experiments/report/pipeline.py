"""The pipeline as a picture: one row of boxes a generation, with the figures of the run."""

from markupsafe import Markup, escape

from experiments.report.gather import Run
from noisy_student.drawing.canvas import colours

_WIDTH, _HEIGHT, _GAP, _ROW = 236, 62, 46, 96
_LEFT = 2


def picture(run: Run) -> Markup:
    """Inline SVG of the stages and of what came out of each."""
    images = run.data["images"]
    accuracy = {model.name: f"test accuracy {_percent(model.metrics['accuracy'])}" for model in run.models}
    rows = [
        [
            ("prepare", f"{images['labelled']:,} labelled, {images['validation']:,} validation"),
            ("teacher", accuracy["teacher"]),
        ]
    ]
    for generation in run.generations:
        if not generation.uses_labels:
            rows.append([("labelled images", "no pseudo-labels"), (generation.student, accuracy[generation.student])])
            continue
        metrics = next(model.metrics for model in run.models if model.name == generation.student)
        coverage, right = (metrics.get(f"pseudo_label_{key}") for key in ("coverage", "accuracy"))
        selected = "not used by the student" if coverage is None else f"{_percent(coverage)} kept"
        if right is not None:
            selected += f", {_percent(right)} right"
        rows.append(
            [
                ("pseudolabel", f"{generation.teacher} labels {_labelled(generation):,} images"),
                ("balance", selected),
                (generation.student, accuracy[generation.student]),
            ]
        )
    measured = any(model.robustness is not None for model in run.models)
    rows.append([("eval, robustness" if measured else "eval", f"{images['test']:,} test images")])
    return Markup(_svg(rows, colours(accuracy), _follows(run)))


def _labelled(generation):
    """How many images have a pseudo-label: of a pool of which only what is learned from is labelled, those."""
    return round(sum(row["images"] for row in generation.confidence))


def _follows(run):
    """Whether each row goes on from the end of the row above: what a student learns may come from further above."""
    before = ["teacher", *(generation.student for generation in run.generations)]
    goes_on = [each.uses_labels and each.teacher == above for each, above in zip(run.generations, before, strict=False)]
    return [False, *goes_on, True]


def _percent(share):
    return f"{100 * share:.1f} %"


def _svg(rows, color, follows):
    width = _LEFT * 2 + 3 * _WIDTH + 2 * _GAP
    height = len(rows) * _ROW - (_ROW - _HEIGHT) + 4
    parts = []
    for r, row in enumerate(rows):
        y = 2 + r * _ROW
        for c, (title, text) in enumerate(row):
            x = _LEFT + c * (_WIDTH + _GAP)
            parts.append(
                f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="8"{_edge(color.get(title))}/>'
                f'<text class="stage" x="{x + _WIDTH / 2}" y="{y + 26}">{escape(title)}</text>'
                f'<text x="{x + _WIDTH / 2}" y="{y + 46}">{escape(text)}</text>'
            )
            if c:
                parts.append(_arrow(x - _GAP, y + _HEIGHT / 2, x - 3, y + _HEIGHT / 2))
        if follows[r]:
            above = _LEFT + (len(rows[r - 1]) - 0.5) * _WIDTH + (len(rows[r - 1]) - 1) * _GAP
            top, end, here = y - _ROW + _HEIGHT, y - 3, _LEFT + _WIDTH / 2
            bend = (top + y) / 2
            parts.append(f'<path d="M{above} {top} V{bend} H{here} V{end}" marker-end="url(#head)"/>')
    names = "; ".join(" to ".join(title for title, _ in row) for row in rows)
    return (
        f'<svg class="pipeline" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="Stages: {escape(names)}">'
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
        'orient="auto"><path d="M0 0 L8 4 L0 8 z" class="head"/></marker></defs>' + "".join(parts) + "</svg>"
    )


def _edge(color):
    """The edge of a model's box, in its colour."""
    return f' style="stroke: {color}; stroke-width: 3"' if color else ""


def _arrow(x1, y1, x2, y2):
    return f'<path d="M{x1} {y1} L{x2} {y2}" marker-end="url(#head)"/>'
