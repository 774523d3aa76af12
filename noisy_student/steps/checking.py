"""Check parameters and inputs wholly, before any work is done and before DVC reads them.

DVC drops generations with odd keys silently, and its message for a missing folder names no parameter. A stage checks
the networks or the source only if it uses them, so that it does not depend on the code of all; here all are. No image
is read, no network built and no framework imported: it takes a second.
"""

import functools
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noisy_student.executors import settings as executing
from noisy_student.launching import faults as of_devices
from noisy_student.launching import settings as launching
from noisy_student.models.checks import network_faults
from noisy_student.models.networks import NETWORKS, network_of, own_parameters, takers
from noisy_student.pretrained import fitting
from noisy_student.pretrained.files import check_there
from noisy_student.pseudo_labels.balancing import rule_of
from noisy_student.runtime import installed
from noisy_student.runtime.errors import ParamsError
from noisy_student.settings import params
from noisy_student.settings.schema import (
    HELD_BACK,
    OWN_SPLIT,
    POOLS,
    DataParams,
    ModelParams,
    Section,
    StudentParams,
    TrainingParams,
    empty,
)
from noisy_student.sources.adapters import ADAPTERS
from noisy_student.sources.adapters.folder import check_layout
from noisy_student.sources.interface import is_held_back
from noisy_student.sources.listed import check_list, is_list
from noisy_student.sources.loading import source_faults
from noisy_student.sources.names import class_folders, files, folders

PRESETS = Path("presets")
NAMED = ("model", "optimizer", "schedule")  # sections whose `name` decides which of their parameters count
LARGE_ADAM_RATE = 0.02  # adam's steps are about as long as the rate, whatever the gradient: such a one learns nothing


def check_project(values: dict[str, Any], where: str = "params.yaml") -> params.Params:
    """`check` parameters and what they name on this machine; print `notes`, if there are any.

    Raises:
        ParamsError: names every parameter that is wrong, or the path, or the package.
    """
    settings = check(values, where)
    check_here(settings, where)
    for line in notes(settings):
        print(f"note: {line}", file=sys.stderr)
    return settings


def check(values: dict[str, Any], where: str = "params.yaml") -> params.Params:
    """Validate a nested dict of parameters wholly: `params.check`, then networks, source and rules by their own rules.

    The images, the packages and the environment of this machine are not looked at; see `check_here`.

    Raises:
        ParamsError: names every parameter that is wrong.
    """
    settings = params.check(values, where)
    wrong = [*source_faults(settings.data), *network_faults(settings), *_rule_faults(settings)]
    wrong += _class_faults(settings, ADAPTERS[settings.data.source].RULES.classes)
    wrong += [line for used, line in _unused(settings) if not used]
    wrong += _crop_faults(settings)
    params.refuse(wrong, where)
    return settings


def check_here(settings: params.Params, where: str = "params.yaml") -> None:
    """Raise UserError unless what parameters name is on this machine: folders, enough files, packages."""
    params.check_paths(settings)
    if settings.data.unlabelled_from not in POOLS and is_list(settings.data.unlabelled_from):
        check_list(Path(settings.data.unlabelled_from))
    check_there(settings.teacher.weights)
    fitting.check(settings.teacher)
    if settings.data.source == "folder":
        check_layout(settings.data)
    present = contents(settings.data)
    wrong = [*_count_faults(settings.data, present), *_class_faults(settings, len(present.classes))]
    root = Path(settings.data.root)
    if settings.data.source == "digits" and (root / "train").is_dir():
        wrong.append(f"data.root={root}: data.source=digits are scikit-learn's own images. Set data.source to folder")
    params.refuse(wrong, where)
    installed.check_backend(settings.backend)
    installed.check_packages(settings.backend)
    executing.load()
    params.refuse(_shared_faults(settings), where)


def _crop_faults(settings):
    """A crop that may show nothing of an image."""
    crop, sides = settings.augmentation.crop, [settings.data.image_size]
    for _, training in _trainings(settings):
        tuned = training.finetune.image_size if training.finetune.epochs and training.finetune.augment else None
        sides += filter(None, (training.image_size, training.progressive.image_size, tuned))
    if crop < min(sides):
        return []
    return [
        f"augmentation.crop={crop}: with so much around images of {min(sides)} pixels some crops show nothing of them. "
        f"Give less than {min(sides)}; 4 is usual at 32 pixels"
    ]


def _shared_faults(settings):
    """Batches that the devices of this machine cannot share, a line each."""
    if settings.distribution == "none":
        return []
    devices = of_devices.known_devices(settings.distribution, settings.backend, launching.load())
    sizes = {}
    for place, training in _trainings(settings):
        if training.finetune.epochs:
            sizes[f"{place}.finetune"] = training.finetune.batch_size
        sizes[place] = training.batch_size
        if isinstance(training, StudentParams) and training.mix == "ratio":
            sizes[place] += training.unlabelled_batch_size
    return [of_devices.uneven(place, size, devices) for place, size in sizes.items() if size % devices]


def notes(settings: params.Params) -> list[str]:
    """What is no fault, but may not be what was meant, a line each."""
    lines = [line for used, line in _unused(settings) if used]
    if settings.data.source == "digits" and settings.data.root != DataParams().root:
        lines.append(f"data.root={settings.data.root} is not looked at: data.source=digits are scikit-learn's images")
    if settings.data.source != "digits" and _are_the_digits(settings):
        mend = {"folder": f"photos --root {shlex.quote(settings.data.root)}", "cifar10": "cifar10-cpu"}.get(
            settings.data.source
        )
        better = f"; python -m commands.preset {mend} writes fitting ones" if mend else ""
        lines.append(f"data.source={settings.data.source}, but network, steps and flip are the digits'{better}")
    meant = {(DataParams().labelled, training.batch_size) for _, training in _trainings(params.Params())}
    for place, training in _trainings(settings):
        rate = training.optimizer.learning_rate
        if training.optimizer.name == "adam" and rate is not None and rate > LARGE_ADAM_RATE:
            usual = f"leave it {empty(f'{place}.optimizer.learning_rate')} for {training.optimizer.rates['adam']}"
            lines.append(f"{place}.optimizer.learning_rate={rate} is much for adam, which diverges with it; {usual}")
        most = settings.data.labelled
        repeats = most is not None and training.batch_size > most and not _is_pseudo_only(training)
        if repeats and (most, training.batch_size) not in meant:  # as with the default's few labels
            lines.append(
                f"{place}.batch_size={training.batch_size} is more than data.labelled={most}: images repeat in a batch"
            )
    lines += _skipped_depth(settings)
    classes = len(contents(settings.data).classes)
    for place, chosen in _labellings(settings):
        if chosen.reassign:
            own = settings.generations[place.split(".")[1]] if "." in place else {}
            given = [name for name in ("threshold", "max_confidence") if name in own.get("pseudolabel", {})]
            surplus = [*(f"pseudolabel.{name}" for name in given), *(["balance"] if "balance" in own else [])]
            if surplus:
                lines.append(
                    f"{place}.reassign takes the images of its teacher; {', '.join(surplus)} chooses none there"
                )
        elif classes and 0 < chosen.threshold < 1 / classes:
            least = f"of {classes} classes the most probable has at least {1 / classes:.3g}"
            lines.append(f"{place}.threshold={chosen.threshold} keeps every image: {least}")
        if chosen.test_time_augmentation == "flip" and not settings.augmentation.flip:
            lines.append(
                f"{place}.test_time_augmentation=flip asks the teacher about mirror images, of which it has seen none "
                "(augmentation.flip=false); mirror images of digits are no digits"
            )
    return list(dict.fromkeys(lines))


def _skipped_depth(settings):
    """Yield a line for each trained network that stochastic depth is asked of in vain."""
    trainings = [(settings.teacher, settings.noise)]
    trainings += [(each.student, each.noise) for each in map(settings.generation, settings.generations)]
    for training, noise in trainings:
        survival = noise.stochastic_depth.survival_probability
        if training.noise and survival < 1.0 and not network_of(training.model).shortcuts():
            yield (
                f"noise.stochastic_depth.survival_probability={survival} changes nothing in {training.model.name}, "
                "which has no shortcuts; 1.0 says so"
            )


def _are_the_digits(settings):
    """Whether both trainings and the augmentation are as for the digits, the default."""
    usual = params.Params()
    trainings = ((settings.teacher, usual.teacher), (settings.student, usual.student))
    same = all((own.steps, own.epochs) == (other.steps, other.epochs) for own, other in trainings)
    return same and settings.augmentation == usual.augmentation


def _is_pseudo_only(training):
    return isinstance(training, StudentParams) and training.mix in ("pseudo", "concat")


def _rule_faults(settings):
    """What is wrong with the balancing rules, a line each."""
    sections = {"balance": settings.balance}
    sections |= {f"generations.{key}.balance": settings.generation(key).balance for key in settings.generations}
    wrong: dict[str, str] = {}
    for place, section in sections.items():
        try:
            rule_of(section, place)
        except ParamsError as error:
            wrong.setdefault(section.rule, str(error))  # of a common section once, not for every generation
    return list(wrong.values())


def _trainings(settings: params.Params) -> Iterator[tuple[str, TrainingParams]]:
    """(place, training) of all; a generation's only if it overrides something of it."""
    yield "teacher", settings.teacher
    yield "student", settings.student
    for key, given in settings.generations.items():
        if "student" in given:
            yield f"generations.{key}.student", settings.generation(key).student


def _labellings(settings):
    yield "pseudolabel", settings.pseudolabel
    for key, given in settings.generations.items():
        if "pseudolabel" in given:
            yield f"generations.{key}.pseudolabel", settings.generation(key).pseudolabel


# --- what a section's name does not take ------------------------------------------------------------


def _unused(settings: params.Params) -> list[tuple[bool, str]]:
    """Values, not at their defaults, of parameters that the section's `name` does not take.

    Returns:
        (whether it may stand, a line about it) each. It may if it is a preset's value: then it was there before the
        name was changed. Others somebody wrote by hand, in vain. What a generation overrides is always by hand.
    """
    told: list[tuple[bool, str]] = []
    for place in ("teacher", "student"):
        for kind in NAMED:
            section = getattr(getattr(settings, place), kind)
            for key, value in _surplus(section):
                ours = repr(value) in _preset_values(PRESETS.resolve()).get((kind, key), ())
                told.append((ours, _unused_line(section, f"{place}.{kind}", key, value, ignored=ours)))
    for generation, given in settings.generations.items():
        chosen, student = settings.generation(generation).student, given.get("student", {})
        for kind in NAMED:
            section, by_hand = getattr(chosen, kind), student.get(kind, {})
            for key, value in _surplus(section, at_defaults=True):
                if key in by_hand:
                    where = f"generations.{generation}.student.{kind}"
                    told.append((False, _unused_line(section, where, key, value, overridden=True)))
    return told


def _surplus(section: Section, *, at_defaults: bool = False) -> Iterator[tuple[str, Any]]:
    """(key, value) of the parameters that are given, but that the section's name does not take."""
    for key, value in section.model_dump().items():
        off = value is None or value is False or (value == _default(section, key) and not at_defaults)
        if not off and key not in {"name", *_taken(section)}:
            yield key, value


def _taken(section):
    if isinstance(section, ModelParams):
        return set(own_parameters(section.name))
    return {key for key in type(section).model_fields if section.takes(key)}


def _names(section, key):
    """The names that take a parameter."""
    return takers(key) if isinstance(section, ModelParams) else section.takers[key]


def _default(section, key):
    fields = type(section).model_fields
    if isinstance(section, ModelParams):
        fields = {key: field for name in reversed(NETWORKS) for key, field in own_parameters(name).items()}
    return fields[key].default if key in fields else None


def _unused_line(section, place, key, value, *, ignored=False, overridden=False):
    own = sorted(_taken(section) - {"name"})
    says = f"{place}.{key}={value} is for {' and '.join(_names(section, key))}"
    if ignored:
        return f"{says}: {section.name} does not look at it"
    takes = f"takes {', '.join(own)}" if own else "takes none, it is of fixed size"
    if overridden:
        return f"{says}; {section.name} {takes}. Remove {key} from {place}, or change its name"
    default = _default(section, key)
    mend = f"Leave {key} {empty(f'{place}.{key}')}" if default is None else f"Set {key} back to {default}"
    return f"{says}; {section.name} {takes}. {mend}, or change {place}.name"


@functools.cache
def _preset_values(folder: Path) -> dict[tuple[str, str], set[str]]:
    """{(section, parameter): values, as their repr} of all presets of the folder; none where it is not."""
    found: dict[tuple[str, str], set[str]] = {}
    for path in sorted(folder.glob("*.yaml")):
        _collect(params.read_yaml(path), found)
    return found


def _collect(tree, found):
    for kind, inner in tree.items():
        if isinstance(inner, dict):
            _collect(inner, found)
            for key, value in inner.items() if kind in NAMED else ():
                found.setdefault((kind, key), set()).add(repr(value))


# --- what the images are known to be before they are read -------------------------------------------


@dataclass(frozen=True)
class Contents:
    """What a source is known to hold before it is read.

    Attributes:
        classes: their names; empty: not known.
        train: at most so many images that splits are cut from; None: not known.
        splits: the other folders of images.
    """

    classes: tuple[str, ...] = ()
    train: int | None = None
    splits: frozenset[str] | None = None


def contents(data: DataParams) -> Contents:
    """What is known of `data.root`: by the source's rules, or by the names of folders and files."""
    if data.source != "folder":
        rules = ADAPTERS[data.source].RULES
        return Contents(tuple(map(str, range(rules.classes or 0))), None if data.sha256 else rules.train)
    classes = class_folders(Path(data.root, "train"))
    images = sum(len(files(folder)) for folder in classes.values())
    splits = frozenset(folder.name for folder in folders(Path(data.root)))
    return Contents(tuple(classes), images if classes else None, splits)


def _count_faults(data: DataParams, present: Contents) -> list[str]:
    """What the section `data` asks for that cannot be there, a line each."""
    wrong = []
    if present.splits is not None:
        if data.validation is None and "val" not in present.splits:
            mend = "give the number of images to cut from the training images, or add val/<class>/*"
            wrong.append(f"data.validation: empty, but {Path(data.root) / 'val'} is no folder; {mend}")
        if data.unlabelled_from == OWN_SPLIT and "unlabelled" not in present.splits:
            mend = f"put images there, or use {HELD_BACK} or the path of a folder of images"
            wrong.append(f"data.unlabelled_from: {Path(data.root) / 'unlabelled'} is no folder; {mend}")
    if present.train is not None:
        cut = {"labelled": data.labelled, "validation": data.validation}
        if not ADAPTERS[data.source].RULES.test:
            cut["test"] = data.test
        total, words = sum(filter(None, cut.values())), " + ".join(f"data.{key}={n:,}" for key, n in cut.items() if n)
        has_own = ADAPTERS[data.source].RULES.unlabelled if present.splits is None else "unlabelled" in present.splits
        held = is_held_back(data, has_own=has_own)
        if total > present.train or (held and total == present.train):
            need = f"are {total:,} images" + (", and some must be left as unlabelled" if held else "")
            wrong.append(f"{words} {need}; {data.root} holds at most {present.train:,} training images. Lower them")
    return wrong


def _class_faults(settings: params.Params, classes: int | None) -> list[str]:
    """What does not go with the number of classes, a line each; nothing where it is not known."""
    if not classes:
        return []
    wrong = [
        f"data.{name}={count}: there are {classes} classes, and each needs an image at least. Raise it"
        for name in ("labelled", "validation", "test")
        if (count := getattr(settings.data, name)) and count < classes  # validation may be 0
    ]
    for place, chosen in _labellings(settings):
        if chosen.max_confidence <= 1 / classes:
            wrong.append(
                f"{place}.max_confidence={chosen.max_confidence}: of {classes} classes the most probable has at least "
                f"{1 / classes:.3g}, so no image would be left. Raise it"
            )
        if chosen.keep != "all" and chosen.keep >= classes:
            wrong.append(f"{place}.keep={chosen.keep}: there are {classes} classes. Give a lower number, or all")
    return wrong
