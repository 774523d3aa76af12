"""The pages: what `gather` found of the run, and what the studies found, in Jinja templates."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path

import jinja2
from markupsafe import Markup

from commands import preset as presets
from experiments.report import charts, scripts
from experiments.report.gather import Run
from experiments.report.pipeline import picture
from experiments.study.figures import arms
from experiments.study.findings import Findings
from experiments.study.report import conclusions
from experiments.study.tables import TEXTS, main_cells
from noisy_student.drawing import charts as drawing
from noisy_student.drawing.canvas import VEGA_LITE, colours
from noisy_student.runtime.environment import Provenance


def render(run: Run, *, studies: str | None = None) -> str:
    """The page of the run as text; `studies`: the file of the page of the studies beside it, if there is one."""
    measured = [model for model in run.models if model.robustness is not None]
    models = [model.name for model in run.models]
    extra = list(dict.fromkeys(key for model in run.models for key in model.metrics.get("extra_tests", {})))
    return _template("report.html.j2").render(
        run=run,
        charts=charts,
        drawing=drawing,
        colours=colours(models),
        pipeline=picture(run),
        measured=measured,
        tuned_any=any("finetune" in model.summary for model in run.models),
        attacked=[model for model in measured if model.attacks],
        extra=extra,
        changed=_changed(run.parameters),
        leaves=[(key, json.dumps(value)) for key, value in presets.leaves(run.parameters)],
        machine=_machine(run.record),
        studies=studies,
    )


def render_studies(findings: Sequence[Findings], *, back: str) -> str:
    """The page of the studies as text; `back`: the file of the run's page beside it."""
    studies = [_study(one) for one in findings]
    return _template("studies.html.j2").render(studies=studies, arms=arms, texts=TEXTS, back=back)


def _template(name):
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": _percent, "image": _image, "json": _json}
    numbers = iter(range(1, 10_000))
    environment.globals |= {"next_number": lambda: next(numbers), "vega": Markup(scripts.vega(VEGA_LITE))}
    return environment.get_template(name)


def _study(findings):
    """What the template shows of a study."""
    return {
        "findings": findings,
        "id": f"study-{findings.preset}-{findings.name}",
        "cells": main_cells(findings),
        "conclusions": conclusions(findings),
    }


def _changed(parameters):
    """[(parameter, the digits' preset, here)] where params.yaml differs from the base preset."""
    changed = presets.differences(presets.defaults(), parameters)
    return [(key, *(side[0] if side else "-" for side in pair)) for key, pair in sorted(changed.items())]


def _machine(record):
    """What ran the stages: of each fact all values that occur, and the stages' seconds."""
    if not record:
        return None
    entries, origins = list(record.values()), [Provenance.recorded(entry) for entry in record.values()]
    devices = {device for entry in entries for device in entry.get("devices", ())}
    versions = {f"{name} {version}" for origin in origins for name, version in origin.versions.items()}
    return {
        "Commit": ", ".join(sorted({origin.commit or "unknown" for origin in origins})),
        "Finished": max(entry["finished"] for entry in entries),
        "Processor": "; ".join(sorted({origin.machine for origin in origins})),
        "Devices": ", ".join(sorted(devices)) or "not recorded",
        "Platform": ", ".join(sorted({origin.platform for origin in origins})),
        "Versions": ", ".join(sorted(versions)),
        "Seconds": ", ".join(f"{stage} {entry['seconds']:.0f}" for stage, entry in record.items()),
    }


def _percent(share, digits=2):
    return "" if share is None else f"{100 * share:.{digits}f} %"


def _image(path):
    """A PNG as a data URL."""
    return f"data:image/png;base64,{base64.b64encode(Path(path).read_bytes()).decode()}"


def _json(value):
    """JSON that can stand in a <script> element."""
    return Markup(json.dumps(value, allow_nan=False, ensure_ascii=False).replace("<", "\\u003c"))
