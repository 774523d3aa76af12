"""The model card of a student: what it was made of, what it is worth, and what is not known of it.

After Mitchell et al. 2019, "Model Cards for Model Reporting" (arXiv:1810.03993). Equal runs give equal bytes: times and
the commit stand in metrics/run.json.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from noisy_student.inference.metrics import accuracy_interval
from noisy_student.runtime import advice, environment, layout
from noisy_student.runtime.files import read_csv, read_json, sha256, write_bytes
from noisy_student.runtime.layout import Model
from noisy_student.settings.params import GenerationParams, Params
from noisy_student.settings.schema import Section
from noisy_student.steps.reported import decimals, percent, span

LISTED = 20  # classes that are listed each; of more, the lowest
FEWEST = 5

# always shown; all others only where they differ from the default
IMPORTANT = (
    *("seed", "student.epochs", "student.steps", "student.batch_size", "student.mix", "student.unlabelled_ratio"),
    *("student.optimizer.name", "student.optimizer.weight_decay", "student.schedule.name", "student.ema"),
    *("noise.randaugment.ops", "noise.randaugment.magnitude", "noise.dropout"),
    *("noise.stochastic_depth.survival_probability", "pseudolabel.threshold", "pseudolabel.kind", "balance.enabled"),
)
UNSHOWN = (
    "release",
    "data.root",
    "data.unlabelled_from",
    "data.sha256",
    "eval",
    "checkpoint",
    "pseudolabel.batch_size",
)


@dataclass(frozen=True)
class Facts:
    """All that a card is written from; see `gather`."""

    settings: Params
    student: Model
    teacher: Model
    digest: str  # SHA-256 of the student's file
    classes: list[str]
    splits: dict[str, dict[str, Any]]  # data/prepared/splits.json
    data: dict[str, Any]  # metrics/data.json
    summary: dict[str, Any]  # metrics/models/NAME.json
    measured: dict[str, Any]  # metrics.json of eval
    teacher_measured: dict[str, Any]
    balanced: list[dict[str, Any]]  # class_counts.csv; empty: no pseudo-labels are used
    warnings: list[str]
    robustness: dict[str, Any] | None  # None: not measured
    versions: dict[str, str]

    @property
    def chosen(self) -> GenerationParams:
        """The parameters of the student's generation."""
        return self.settings.generation(str(self.student.generation))


def write_card(settings: Params, generation: str) -> None:
    """Write metrics/cards/student-GENERATION.md from what the stages before have written."""
    facts = gather(settings, generation)
    write_bytes(facts.student.card, card(facts).encode())
    print(f"card {generation}: {facts.student.card}", flush=True)


def gather(settings: Params, generation: str) -> Facts:
    """Read the facts of a generation's student.

    Raises:
        DataError: a stage before has not run.
    """
    student, chosen = Model(generation), settings.generation(generation)
    teacher, tables = Model.named(chosen.teacher), layout.balance_tables(generation)
    summary, robustness = read_json(student.summary), student.robustness_tables / "summary.json"
    uses = chosen.student.uses_pseudo_labels
    return Facts(
        settings,
        student,
        teacher,
        sha256(student.path, mend="Run the stage that writes it: `dvc repro`."),
        read_json(layout.CLASSES),
        read_json(layout.SPLITS),
        read_json(layout.DATA_METRICS),
        summary,
        read_json(student.evaluation / layout.METRICS),
        read_json(teacher.evaluation / layout.METRICS),
        read_csv(tables / "class_counts.csv", text=("class", "when")) if uses else [],
        [*read_json(tables / f"{advice.KEY}.json"), *summary.get(advice.KEY, [])],
        read_json(robustness) if robustness.exists() else None,
        environment.versions(),
    )


def card(facts: Facts) -> str:
    """The text of the card, Markdown; the head is read by registries of models."""
    sections = (_head, _model, _data, _recipe, _results, _robustness, _limits, _versions)
    return "\n".join("\n".join(section(facts)) + "\n" for section in sections)


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    """Lines of a table of Markdown, an empty one before."""
    yield ""
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(_cell(value) for value in row)} |"


def _named(name):
    """A class's name as it is, whatever of it Markdown would take for its own."""
    return re.sub(r"([\\`*_<\[\]&~])", r"\\\1", name)


def _cell(value):
    return str(value).replace("|", "\\|").replace("\n", " ")


def _head(facts):
    yield from ("---", "library_name: keras", "pipeline_tag: image-classification")
    yield from ("tags: [noisy-student, self-training, image-classification]", "---", "")
    yield f"# {facts.student.name}"
    test = facts.data["images"]["test"]
    yield ""
    yield (
        f"An image classifier of {len(facts.classes):,} classes, trained by Noisy Student Training (arXiv:1911.04252) "
        f"on {facts.data['images']['labelled']:,} labelled images"
        + (f" and {facts.data['images']['unlabelled']:,} without labels" if facts.balanced else "")
        + f": right on {percent(facts.measured['accuracy'])} of {test:,} test images "
        f"(95 % interval {span(facts.measured['accuracy_interval'])} %)."
    )


def _model(facts):
    summary, size = facts.summary, facts.summary["image_size"]
    yield "## Model"
    rows = [
        (
            "network",
            f"{summary['name']}, {summary['parameters']:,} parameters, {summary['macs']:,} multiply-adds an image",
        ),
        ("input", f"uint8 (N, {size}, {size}, 3), RGB; normalisation is part of the model"),
        ("output", f"probabilities (N, {len(facts.classes)})"),
        (
            "classes, in this order",
            ", ".join(map(_named, facts.classes[:LISTED])) + (", ..." if len(facts.classes) > LISTED else ""),
        ),
        ("file", f"`{facts.student.path.as_posix()}`, Keras 3; loads in safe mode without this repository"),
        ("SHA-256 of the file", f"`{facts.digest}`"),
        ("teacher", f"`{facts.teacher.name}`"),
    ]
    yield from _table(("", ""), rows)


def _data(facts):
    data, counts = facts.settings.data, facts.data["images"]
    yield "## Data"
    yield ""
    drawn = f"splits drawn with the seed {data.seed}, resized to {data.image_size} pixels ({data.resize})"
    yield f"Source: `{data.source}`, {drawn}."
    rows = [
        (split, f"{counts[split]:,}", about["from"], about["licence"] or "**unknown**: ask whoever made the images")
        for split, about in facts.splits.items()
        if counts[split]
    ]
    yield from _table(("split", "images", "from", "licence of the images"), rows)
    yield ""
    yield (
        "No image of one split is also in another, pixel by pixel (but where the pool is the labelled images). "
        "SHA-256 of the splits (in the folder: `find . -type f | LC_ALL=C sort | xargs sha256sum | sha256sum`):"
    )
    hashes = [(f"`data/prepared/{split}`", f"`{facts.splits[split]['sha256']}`") for split, *_ in rows]
    yield from _table(("folder", "SHA-256"), hashes)


def _recipe(facts):
    chosen = facts.chosen
    yield "## Recipe"
    yield ""
    best = facts.summary["best"]
    yield (
        f"Computed in {facts.summary['precision']} with the backend {facts.settings.backend}; the weights are those of "
        f"step {best['step']:,}"
        + (", the last" if chosen.student.select_by == "last" else f", best by validation {chosen.student.select_by}")
        + _tuned(facts.summary)
        + "."
    )
    if not facts.balanced:
        yield "No pseudo-labels: a control, which learned from the labelled images alone."
    yield from _table(("parameter", "here", "default, where it differs"), _parameters(facts))


def _tuned(summary):
    if "finetune" not in summary:
        return ""
    tuned = summary["finetune"]
    return f", then fine-tuned for {tuned['steps']:,} steps on images of {tuned['image_size']} pixels"


def _parameters(facts):
    """Rows of the important parameters, and of all that differ from their defaults."""
    here, defaults = ({name: rest for name, *rest in _flat(_used(*both))} for both in _both(facts))
    rows = []
    of_pool = () if facts.chosen.student.mix == "ratio" else ("student.unlabelled_ratio", "student.unlabelled_weight")
    for name, (value, own) in here.items():
        if name in of_pool:
            continue
        default, _ = defaults.get(name, (own, None))  # what only another optimizer takes has a default of its own
        if value != default or (name in IMPORTANT and value is not None):
            rows.append((f"`{name}`", _text(value), _text(default) if value != default else ""))
    return rows


def _both(facts):
    """(all parameters, those of a generation) of this card, and of the defaults."""
    default = Params()
    return (facts.settings, facts.chosen), (default, default)


def _used(params, chosen):
    """The sections that this student depends on; what it has no use for is left out."""
    sections = {name: getattr(params, name) for name in ("seed", "precision", "arithmetic", "input_noise", "data")}
    sections |= {"student": chosen.student, "augmentation": params.augmentation}
    if chosen.student.noise:
        sections["noise"] = chosen.noise
    if chosen.student.uses_pseudo_labels:
        sections["pseudolabel"] = chosen.pseudolabel
        if chosen.pseudolabel.reassign:  # nothing is filtered then
            sections["pseudolabel"] = {name: getattr(chosen.pseudolabel, name) for name in ("reassign", "kind")}
        else:
            sections["balance"] = chosen.balance
    return sections


def _flat(section, place=""):
    """Yield (dotted name, value, default where the section is not the default's) of all parameters that are in use."""
    if isinstance(section, dict):
        items = [(name, value, value) for name, value in section.items()]
    else:
        items = [(name, getattr(section, name), _default(section, name)) for name in _names(section)]
    for name, value, own in items:
        if f"{place}{name}" in UNSHOWN:
            continue
        if isinstance(value, Section) or (isinstance(value, dict) and not place):
            yield from _flat(value, f"{place}{name}.")
        else:
            yield f"{place}{name}", value, own


def _default(section, name):
    """Of a parameter; its value where it has no default."""
    field = type(section).model_fields.get(name)
    return getattr(section, name) if field is None or field.is_required() else field.default


def _names(section):
    extra = section.model_extra or {}
    return [name for name in (*type(section).model_fields, *extra) if section.takes(name)]


def _text(value):
    return "empty" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _results(facts):
    test, own = facts.data["images"]["test"], facts.measured
    yield "## Results"
    yield ""
    yield f"On {test:,} test images, of which none was trained on and by which nothing was chosen."
    rows = [
        (model.name, percent(metrics["accuracy"]), span(metrics["accuracy_interval"]))
        + tuple(decimals(metrics[name]) for name in ("nll", "ece"))
        + ((percent(metrics["top5"]),) if "top5" in metrics else ())
        for model, metrics in ((facts.student, own), (facts.teacher, facts.teacher_measured))
    ]
    head = ("model", "test accuracy", "95 % interval, %", "NLL, nats", "ECE", *(["top 5"] if "top5" in own else []))
    yield from _table(head, rows)
    if "pseudo_label_coverage" in own and facts.balanced:
        yield ""
        right = own.get("pseudo_label_accuracy")
        known = f"; of those whose truth is known {percent(right)} are right" if right is not None else ""
        yield f"Of the teacher's pseudo-labels {percent(own['pseudo_label_coverage'])} pass the filter{known}."
    yield from _recalls(facts)


def _recalls(facts):
    ranked = _ranked_recalls(facts)
    yield ""
    if len(facts.classes) > LISTED:
        yield f"Recall of the {FEWEST} classes where it is lowest:"
        ranked = ranked[:FEWEST]
    else:
        yield "Recall by class, the lowest first:"
    rows = [(_named(name), f"{images:,}", percent(recall), span(interval)) for name, images, recall, interval in ranked]
    yield from _table(("class", "test images", "recall", "95 % interval, %"), rows)


def _ranked_recalls(facts):
    """(class, test images, recall, interval) of the classes that have test images, the lowest recall first."""
    rows = []
    for entry in facts.measured["recall"]:
        images = facts.data["classes"][entry["class"]]["test"]
        if images:
            interval = accuracy_interval(round(entry["recall"] * images), images)
            rows.append((entry["class"], images, entry["recall"], interval))
    return sorted(rows, key=lambda row: row[2])


def _robustness(facts):
    measured = facts.robustness
    yield "## Robustness"
    yield ""
    if measured is None:
        yield "Not measured (`eval.robustness: off`)."
        return
    how = "a sample of the test images" if measured["robustness"] == "fast" else "all test images"
    if measured.get("clean_images", "the same") != "the same":
        how = "the published corrupted images (the clean ones are others, of the test split)"
    yield (
        f"On {how}, changed. A ratio to the teacher is the mean of one for each kind of corruption or sequence; 1 is "
        "its level ([what is measured](../../docs/robustness.md))."
    )
    rows = [
        ("error on clean images", percent(measured["clean_error"]), _ratio(None), ""),
        (
            "error on corrupted images",
            percent(measured["mean_corruption_error"]),
            _ratio(measured.get("mce_to_teacher")),
            f"{measured['images']:,}",
        ),
        (
            "changes between frames",
            percent(measured["mean_flip_probability"]),
            _ratio(measured.get("mfr_to_teacher")),
            f"{measured['sequences']:,} sequences of each kind",
        ),
    ]
    for kind in ("fgsm", "pgd"):
        accuracy = percent(measured[f"{kind}_accuracy"]["4"])
        rows.append((f"accuracy under {kind.upper()}, 4/255", accuracy, "", f"{measured['attacked']:,}"))
    yield from _table(("", "here", "ratio to `teacher`", "images"), rows)
    worst = sorted(measured["corruption_error"].items(), key=lambda item: -item[1])[:3]
    yield ""
    of_all = f"of the {len(measured['corruption_error'])} corruptions (the mean is of the 15 standard ones)"
    yield f"The worst {of_all}: {', '.join(f'{name} ({percent(error)} wrong)' for name, error in worst)}."


def _ratio(value):
    return "" if value is None else f"{value:.3f}"


def _limits(facts):
    yield "## Limits"
    yield ""
    lines = list(_limiting(facts))
    yield from (f"- {line}" for line in lines)


def _limiting(facts):
    name, _, recall, interval = _ranked_recalls(facts)[0]
    yield f"Every image gets one of the {len(facts.classes):,} classes, whatever it shows: there is none for others."
    yield "The test images are of the same source as the training images: on images from elsewhere expect less."
    yield f"One training, seed {facts.settings.seed}: the intervals are about the choice of test images, not the seed."
    yield f"The class {_named(name)} is found least often: {percent(recall)} (95 % interval {span(interval)} %)."
    yield f"Confidence is off by {100 * facts.measured['ece']:.1f} points on average (expected calibration error)."
    if not facts.data["images"]["validation"]:
        yield "There were no validation images: nothing watched over this training."
    unlearned = [row["class"] for row in facts.balanced if row["when"] == "balanced" and not row["images"]]
    if unlearned:
        shown = ", ".join(map(_named, unlearned[:LISTED])) + (", ..." if len(unlearned) > LISTED else "")
        yield f"No pseudo-label was used of {len(unlearned):,} of the classes: {shown}."
    unknown = [
        split for split, about in facts.splits.items() if about["licence"] is None and facts.data["images"][split]
    ]
    if unknown:
        yield f"The licence of the images is unknown ({', '.join(unknown)}): so is whether the model may be given away."
    yield from (f"Warning of a stage: {line}" for line in facts.warnings)


def _versions(facts):
    yield "## Versions"
    yield ""
    yield "Of the packages where this card was written; commit, machine and times of every stage: `metrics/run.json`."
    yield from _table(("package", "version"), list(facts.versions.items()))
