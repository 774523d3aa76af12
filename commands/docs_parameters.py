"""The page docs/parameters.md: every parameter with its default, range, meaning and source, read from the schema.

Only sources stand here: a parameter's own, else that of the section around it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from noisy_student.models.networks import NETWORKS, own_parameters, takers
from noisy_student.settings.params import Params, section_of
from noisy_student.settings.schema import NETWORKS as NETWORK_NAMES
from noisy_student.settings.schema import SOURCES as SOURCE_NAMES
from noisy_student.settings.schema import ModelParams, Section

PAPER = "[the paper](https://arxiv.org/abs/1911.04252)"
RANDAUGMENT = "[RandAugment](https://arxiv.org/abs/1909.13719)"
EFFICIENTNET = "[EfficientNet](https://arxiv.org/abs/1905.11946)"
ARTICLE = "[the article](recipes.md#preset-cifar10-article)"
OURS = "ours"
FIXRES = "[Touvron et al. 2019](https://arxiv.org/abs/1906.06423)"

# {end of the dotted name: where the parameter, or its default, comes from}; the longest that fits is taken
SOURCES: Mapping[str, str] = {
    "": OURS,
    "data": OURS,
    "data.labelled": f"{OURS}, [chosen by a prototype](recipes.md#digits-and-cifar-10-presets)",
    "teacher": OURS,
    "student": OURS,
    "teacher.init": f"{OURS}; {PAPER} starts at random",
    "teacher.weights": "[three kinds of files](recipes.md#a-pretrained-teacher): Keras', timm's, ours",
    "teacher.noise": f"{PAPER}: off; {ARTICLE} tries both",
    "student.noise": PAPER,
    "model": OURS,
    "model.depth": "[He et al. 2016](https://arxiv.org/abs/1512.03385), section 4.2",
    "model.width": f"{OURS}; 16 as in [He et al. 2016](https://arxiv.org/abs/1512.03385), section 4.2",
    "model.size": f"{EFFICIENTNET}; L0 to L2: {PAPER}, table 7",
    "model.width_coefficient": EFFICIENTNET,
    "model.depth_coefficient": EFFICIENTNET,
    "model.small_images": f"the official code of {PAPER} for SVHN",
    **dict.fromkeys(
        ("model.stage1_filters", "model.stage2_filters", "model.stage3_filters"),
        "[Jordan 2024](https://arxiv.org/abs/2404.00498), section 3, half as wide in the first two",
    ),
    "model.wide_depth": "[Zagoruyko & Komodakis 2016](https://arxiv.org/abs/1605.07146), table 1",
    "model.widening_factor": "[Zagoruyko & Komodakis 2016](https://arxiv.org/abs/1605.07146), table 1",
    "optimizer.momentum": f"{EFFICIENTNET}, its code; usual for sgd",
    "optimizer.rho": f"{EFFICIENTNET}, its code",
    "optimizer.epsilon": f"{EFFICIENTNET}, its code",
    "optimizer.weight_decay": "[Loshchilov & Hutter 2019](https://arxiv.org/abs/1711.05101); the value is ours",
    "schedule.name": "cosine: [Loshchilov & Hutter 2017](https://arxiv.org/abs/1608.03983)",
    "schedule.decay_rate": f"{PAPER}, section 3.1",
    "schedule.decay_every": f"{PAPER}, section 3.1: every 2.4 of 350 epochs",
    "schedule.plateau_from_epoch": f"{ARTICLE}: 251 of 300",
    "schedule.plateau_patience": ARTICLE,
    "schedule.stop_patience": ARTICLE,
    "label_smoothing": f"the official code of {PAPER}: 0.1",
    "ema": f"the official code of {PAPER}: 0.9999; 0.99 for short trainings is ours",
    "finetune": FIXRES,
    "progressive": "[Tan & Le 2021](https://arxiv.org/abs/2104.00298), section 4.2",
    "finetune.epochs": f"{FIXRES}; {PAPER}, section 3.1: 1.5",
    "student.mix": f"ratio: {PAPER}; concat: {ARTICLE}; pseudo: {PAPER}, finding 6",
    "student.unlabelled_ratio": f"{PAPER}, section 3.1: 1 for small, 3 for large models, 14 and 28 for L2",
    "student.unlabelled_weight": f"{PAPER}, algorithm 1: 1; its code: the ratio",
    "student.init": f"{PAPER}, finding 8",
    "noise.randaugment": RANDAUGMENT,
    "noise.randaugment.ops": f"{PAPER}, section 3.1; {RANDAUGMENT}",
    "noise.randaugment.magnitude": f"{ARTICLE}: 10; {PAPER}: 27 of [another table](recipes.md#randaugments-tables)",
    "noise.randaugment.levels": RANDAUGMENT,
    "noise.randaugment.table": f"{RANDAUGMENT}; {ARTICLE}",
    "noise.randaugment.magnitude_sampling": f"{RANDAUGMENT}; uniform: {ARTICLE}",
    "noise.randaugment.fill": f"the official code of {PAPER}",
    "noise.dropout": f"{PAPER}, section 3.1; [Srivastava et al. 2014](https://jmlr.org/papers/v15/srivastava14a.html)",
    "noise.stochastic_depth": f"{PAPER}, section 3.1; [Huang et al. 2016](https://arxiv.org/abs/1603.09382)",
    "noise.stochastic_depth.coin": "batch: [Huang et al. 2016](https://arxiv.org/abs/1603.09382); sample: ours",
    "augmentation": "usual",
    "augmentation.resized_crop": "[Szegedy et al. 2014](https://arxiv.org/abs/1409.4842), section 6",
    "pseudolabel.threshold": f"{ARTICLE}: 0.75; {PAPER}, section 3.1: 0.3",
    "pseudolabel.max_confidence": OURS,
    "pseudolabel.kind": f"{PAPER}, finding 3",
    "pseudolabel.noise": f"{PAPER}, section 4.1: off is better",
    "pseudolabel": OURS,
    "balance": f"{PAPER}, section 3.1 and finding 5",
    "balance.per_class": f"{PAPER}, section 3.1: 130,000; {ARTICLE}: the largest class",
    "balance.on_empty": OURS,
    "generations": f"{PAPER}, algorithm 1, step 4",
    "eval": OURS,
    "eval.robustness": "[Hendrycks & Dietterich 2019](https://arxiv.org/abs/1903.12261); [details](robustness.md)",
    "checkpoint": OURS,
}

# what the schema's JSON form does not say
RANGES = {
    "pseudolabel.keep": "`all`, or 1 or more",
    "data.source": ", ".join(f"`{name}`" for name in SOURCE_NAMES),
    "model.name": ", ".join(f"`{name}`" for name in NETWORK_NAMES),
    "model.size": "`b0` to `b7`, `l0` to `l2`, or empty",
    "data.levels": "`auto`, or 2 to 4,294,967,296",
    "eval.batch_size": "`auto`, or 1 or more",
    "pseudolabel.batch_size": "`auto`, or 1 or more",
    "generations": "one or more `KEY: {teacher: ...}`",
    "extra_tests": "`NAME: folder`, or none",
}

# where params.yaml says nothing, because the name does
MEANINGS = {
    "batch_size": "images a step",
    "enabled": "false: all confident images, each once",
    "student.noise": "true: trained with the section noise",
}

HEAD = """\
# Every parameter

<!-- Written by `python -m commands.docs` from the schema; a test says whether it is fresh. -->

What `params.yaml` holds, with the default (the preset `digits`). Every parameter is changed for one run by
`dvc exp run -S NAME=VALUE`, for good in `params.yaml`. *Empty* is nothing after the name in `params.yaml`, and `null`
after `-S`. A value out of its range is [refused by name](troubleshooting.md#values-of-parameters) before the first
stage; unknown names are, too.
"""


def page() -> str:
    """The page, a heading a section."""
    schema = Params.model_json_schema()
    lines = [HEAD, "## At the top", "", *_table(list(_top()), schema)]
    for name, field in Params.model_fields.items():
        section = section_of(field.annotation)
        if section:
            told = " ".join((section.__doc__ or "").split("\n\n")[0].split())
            default = field.default.model_dump()
            lines += ["", f"## {name}", "", _plain(told), "", *_table(list(_leaves(name, section, default)), schema)]
    return "\n".join(lines) + "\n"


def names() -> list[str]:
    """The dotted names of all parameters."""
    own = [name for name, *_ in _top()]
    sections = ((n, section_of(f.annotation), f.default) for n, f in Params.model_fields.items())
    return own + [name for n, s, d in sections if s for name, *_ in _leaves(n, s, d.model_dump())]


def _top():
    for name, field in Params.model_fields.items():
        if not section_of(field.annotation):
            yield name, field.description or "", field.default, _properties(Params)[name]


def _properties(section):
    return section.model_json_schema()["properties"]


def _leaves(prefix: str, section: type[Section], default: Any) -> Iterator[tuple[str, str, Any, dict]]:
    """Yield (dotted name, comment, default, JSON schema)."""
    for name, field in section.model_fields.items():
        inner = section_of(field.annotation)
        if inner is ModelParams:
            yield from _network(f"{prefix}.{name}", default[name])
        elif inner:
            yield from _leaves(f"{prefix}.{name}", inner, default[name])
        else:
            yield f"{prefix}.{name}", _comment(section, name), default[name], _properties(section)[name]


def _comment(section, name):
    """A field's, or that of the section from which its section is derived."""
    fields = (kind.model_fields.get(name) for kind in section.__mro__ if issubclass(kind, Section))
    return next((field.description for field in fields if field and field.description), "")


def _network(prefix, default):
    yield f"{prefix}.name", "the network, a file of `models/networks/`", default["name"], {}
    for network in NETWORKS:
        for key, field in own_parameters(network).items():
            if takers(key)[0] == network:
                comment = f"{', '.join(takers(key))}: {field.description or ''}"
                yield f"{prefix}.{key}", comment, default.get(key, field.default), _properties(NETWORKS[network])[key]


def _table(rows, schema):
    yield "| parameter | default | range | meaning | source |"
    yield "|---|---|---|---|---|"
    for name, comment, default, own in rows:
        meaning = "<br>".join(map(_plain, comment.splitlines())) or _meaning(name)
        yield f"| `{name}` | {_default(default)} | {_range(name, own)} | {meaning} | {source(name)} |"


def _meaning(name):
    return next((MEANINGS[end] for end in _ends(name) if end in MEANINGS), "")


def source(name: str) -> str:
    """Where a parameter comes from: the entry for it, else for the section around it."""
    sections = name.split(".")
    for last in range(len(sections), -1, -1):
        for first in range(last):
            told = SOURCES.get(".".join(sections[first:last]))
            if told:
                return told
    return SOURCES[""]


def _default(value):
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, dict):
        return f"{len(value)}: " + ", ".join(f"`{key}`" for key in value) if value else "none"
    return f"`{value}`"


def _ends(name):
    """The name, then what is left of it without its sections, one after the other."""
    parts = name.split(".")
    return [".".join(parts[n:]) for n in range(len(parts))]


def _range(name, own):
    for end in _ends(name):
        if end in RANGES:
            return RANGES[end]
    return ", or ".join(_side(side) for side in own.get("anyOf", [own]))


def _side(own):
    if "enum" in own:
        return ", ".join(f"`{value}`" for value in own["enum"])
    kind = own.get("type")
    if kind in ("integer", "number"):
        return _interval(own, "a whole number" if kind == "integer" else "a number")
    pattern = "64 hexadecimal digits" if own.get("pattern", "").startswith("^[0-9a-f]") else "text"
    mapping = "`{file: SHA-256}`"
    return {"boolean": "`true` or `false`", "null": "empty", "string": pattern, "object": mapping}[kind]


def _interval(own, kind):
    low, high = own.get("minimum"), own.get("maximum")
    above, below = own.get("exclusiveMinimum"), own.get("exclusiveMaximum")
    parts = []
    if low is not None and high is not None:
        return f"{kind}, {low:g} to {high:,g}" if high < 1e6 else f"{kind}, {low:g} to {high:,}"
    if low is not None:
        parts.append(f"{low:g} or more")
    if above is not None:
        parts.append(f"above {above:g}")
    if high is not None:
        parts.append(f"up to {high:g}")
    if below is not None:
        parts.append(f"below {below:,}" if below > 1e6 else f"below {below:g}")
    return ", ".join([kind, *parts])


def _plain(text):
    """Markdown that shows a comment as it is, within a table too."""
    for mark in ("|", "<", ">", "*", "["):
        text = text.replace(mark, f"\\{mark}")
    return text
