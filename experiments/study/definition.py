"""studies/NAME.yaml: a question, and the arms that answer it."""

import copy
import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from commands import preset as presets
from commands.preset import Tree
from experiments.study.columns import METRICS
from experiments.study.statistics import MOST_SEEDS
from noisy_student.runtime.errors import ParamsError, UserError
from noisy_student.runtime.layout import TEACHER, Model
from noisy_student.settings import params
from noisy_student.settings.params import read_yaml
from noisy_student.settings.schema import Section, check_name
from noisy_student.steps.checking import check

FOLDER = Path("studies")
RESULTS = Path("docs/studies")
OWN = "own-"  # what stands for a preset where the parameters are those of params.yaml begins so ...
OWN_RESULTS = Path("metrics/verdict")  # ... and its rows, which git ignores, lie here
HOME = "digits"  # the preset whose result stands at the head of a study's file, as a rule
# parameters that change no result, or name the same images
MACHINE = ("data.root", "data.sha256", "checkpoint.every_minutes", "release")

Changes = dict[str, Any]  # {dotted name of a parameter: value}
Line = Annotated[str, AfterValidator(lambda text: " ".join(text.split())), Field(min_length=1)]
Points = Annotated[float, Field(gt=0, lt=100)]
Count = Annotated[int, Field(ge=2, le=MOST_SEEDS)]
OTHER = "other"  # of numbers that differ by preset: every preset without one of its own
ByPreset = BeforeValidator(lambda value: value if isinstance(value, dict) else {OTHER: value})


BY_PRESET = ("smallest_difference", "seeds")


class Layer(Section):
    """Parameters that differ from the preset's.

    Attributes:
        set: with every preset; `generations` are replaced as a whole, `generations.KEY` adds or changes one.
        presets: {preset: further ones, with this preset only}.
    """

    set: Changes = Field(default_factory=dict)
    presets: dict[str, Changes] = Field(default_factory=dict)

    def changes(self, preset: str) -> Changes:
        """All of them with a preset."""
        return self.set | self.presets.get(preset, {})


class Arm(Layer):
    """One way to run the pipeline.

    Attributes:
        shown: what tables call it; no other arm's.
        model: whose test figures count, a student or the teacher; null takes the study's. Arms that differ in nothing
            else share one run.
        control: the arm or arms with which it is compared; null takes the study's; its own key: none.
        smallest_difference: for its comparisons; null takes the study's.
        line: which line of the picture over `Study.over` it is a point of; null: of none.
    """

    shown: Line
    model: str | None = None
    control: str | list[str] | None = None
    smallest_difference: Points | None = None
    line: Line | None = None


class Study(Layer):
    """A study; what it sets holds for all arms.

    Attributes:
        question: one sentence.
        claim: what the paper or the article says to it.
        notes: what the reader of the results should know.
        model: whose test accuracy is compared.
        also: further columns of the rows that are compared, see `columns.METRICS`.
        control: the arm with which others are compared.
        smallest_difference: the smallest difference of test accuracy that is of interest, in points, stated before the
            study runs; a number, or {preset: number} with a number for `OTHER`.
        seeds: how many are asked for, counted from 0; as many as a pilot asks for; likewise.
        over: the parameter on the horizontal axis of the picture with lines, see `lines`; null: there is none.
        only: the presets that it is for, the one at the head of its file first; empty: every one.
    """

    question: Line
    claim: Line
    notes: str = ""
    model: str = "student-gen1"
    also: list[str] = Field(default_factory=list)
    control: str
    smallest_difference: Annotated[dict[str, Points], ByPreset]
    seeds: Annotated[dict[str, Count], ByPreset]
    over: str | None = None
    only: list[str] = Field(default_factory=list)
    arms: Annotated[dict[str, Arm], Field(min_length=2)]

    @model_validator(mode="after")
    def _check(self):
        for key in self.arms:
            check_name(key)
        shown = [arm.shown for arm in self.arms.values()]
        for text in shown:
            if "|" in text:
                raise ValueError(f"shown: {text!r} has a |, which ends a cell of a table")
            if shown.count(text) > 1:
                raise ValueError(f"shown: two arms are called {text!r}")
        named = {control for arm in self.arms for control in self.controls_of(arm)}
        for control in sorted({self.control, *named}):
            if control not in self.arms:
                raise ValueError(f"control={control}: no such arm; choose one of {', '.join(self.arms)}")
        for name in BY_PRESET:
            if OTHER not in getattr(self, name):
                raise ValueError(f"{name}: presets are named, but no number for {OTHER}, all the rest")
        for column in self.also:
            if column not in METRICS:
                raise ValueError(f"also: no such metric as {column}; choose of {', '.join(METRICS)}")
        for key, arm in self.arms.items():
            if arm.line and self.over not in (self.set | arm.set):
                raise ValueError(f"arms.{key}.line={arm.line}: it sets no {self.over or 'parameter that `over` names'}")
        return self

    def controls_of(self, arm: str) -> list[str]:
        """The arms with which an arm is compared; none if it is a control only."""
        named = self.arms[arm].control or self.control
        return [control for control in ([named] if isinstance(named, str) else named) if control != arm]

    @property
    def home(self) -> str:
        """The preset whose result stands at the head of its file."""
        return self.only[0] if self.only else HOME

    def is_for(self, preset: str) -> bool:
        """Whether it can be run with a preset; with parameters of the user's own always."""
        return not self.only or preset in self.only or preset.startswith(OWN)

    def seeds_with(self, preset: str) -> int:
        """How many seeds are asked for with a preset."""
        return self.seeds.get(preset, self.seeds[OTHER])

    def smallest_with(self, preset: str, arm: str | None = None) -> float:
        """The smallest difference of interest with a preset, for an arm's comparisons, in points."""
        own = self.arms[arm].smallest_difference if arm else None
        return own or self.smallest_difference.get(preset, self.smallest_difference[OTHER])

    def sets(self, preset: str) -> Collection[str]:
        """Names of the parameters that the study or one of its arms sets with a preset."""
        return {name for layer in (self, *self.arms.values()) for name in layer.changes(preset)}

    def model_of(self, arm: str) -> str:
        """The model whose figures count in an arm."""
        return self.arms[arm].model or self.model

    def parameters(self, arm: str, preset: str, seed: int, changes: Changes | None = None) -> Tree:
        """All parameters of one run, validated.

        Args:
            arm, preset: their keys.
            seed: of the trainings and of the splits, so that images, weights and noise all change.
            changes: further ones, e.g. where the images are.

        Raises:
            ParamsError: a parameter does not exist, is out of its range, or is both set by the study and in
                `changes`; or the study is for other presets.
        """
        if not self.is_for(preset):
            raise ParamsError(f"it is for {' and '.join(self.only)}, not {preset}: add --preset {self.home}.")
        changes = changes or {}
        for name in changes:
            for own in (*self.sets(preset), "seed", "data.seed"):
                if f"{own}.".startswith(f"{name}.") or f"{name}.".startswith(f"{own}."):
                    raise ParamsError(f"{name}: the study sets {own}, it cannot be changed from outside.")
        parameters = copy.deepcopy(presets.parameters(preset))
        for layer in (self.changes(preset), self.arms[arm].changes(preset), changes, {"seed": seed, "data.seed": seed}):
            for name, value in layer.items():
                _put(parameters, name, value)
        model = self.model_of(arm)
        models = _models(parameters)
        if parameters["release"] not in models:  # that of a generation which the study has replaced
            parameters["release"] = model if model in models else "teacher"
        settings = check(parameters, where=f"arm {arm} with the preset {preset}")
        models = [TEACHER.name, *(Model(key).name for key in settings.generations)]
        if model not in models:
            raise ParamsError(
                f"arm {arm}: there is no model {model} with the preset {preset}; choose one of {', '.join(models)}."
            )
        return parameters


def _models(parameters):
    generations = parameters["generations"]
    return ["teacher", *(Model(key).name for key in generations if isinstance(key, str))] if generations else []


def _put(parameters, name, value):
    *sections, last = name.split(".")
    for section in sections:
        parameters = parameters.setdefault(section, {})
        if not isinstance(parameters, dict):
            raise ParamsError(f"{name}: {section} is no section. Write the dotted name of a parameter.")
    parameters[last] = copy.deepcopy(value)


def settings_digest(parameters: Tree) -> str:
    """Eight hex digits that tell runs with other results apart, see `changed`."""
    return hashlib.sha256(json.dumps(changed(parameters), sort_keys=True).encode()).hexdigest()[:8]


def changed(parameters: Tree) -> Changes:
    """The parameters that are not at their defaults, but for those of `MACHINE`.

    A parameter that did not exist when a row was measured, and is at its default now, changes nothing. Whoever changes
    a default must remove the rows that were measured at the old one: they would be taken for new ones. What users name
    themselves (`generations`, `eval.extra_tests`) counts as one parameter.

    Raises:
        ParamsError: a parameter does not exist or is out of its range.
    """
    differing = _changed(params.check(parameters), presets.defaults())
    return {name: value for name, value in differing.items() if name not in MACHINE}


def _changed(section, given, prefix=""):
    """The same of one section of the schema, names with the prefix, against the nested dict of its defaults.

    In a network, optimizer or schedule of another name than the default's it is the schema's own defaults that count,
    as far as there are any: the given ones are those of another.
    """
    differing: Changes = {}
    other = getattr(section, "name", None) != given.get("name")
    fields = type(section).model_fields | {name: presets.network_fields()[name] for name in section.model_extra or {}}
    for name, field in fields.items():
        value, default = getattr(section, name), given.get(name)
        if isinstance(value, Section) and isinstance(default, dict):
            differing |= _changed(value, default, f"{prefix}{name}.")
            continue
        if not field.is_required() and (name not in given or (other and name != "name")):
            default = field.get_default(call_default_factory=True)
        elif other and name not in type(section).model_fields:
            default = None
        if value != default:
            differing[f"{prefix}{name}"] = value.model_dump() if isinstance(value, Section) else value
    return differing


def results_of(preset: str) -> Path:
    """The folder of the rows that were measured with a preset."""
    return (OWN_RESULTS if preset.startswith(OWN) else RESULTS) / preset


def names() -> list[str]:
    """All studies."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def studies_for(preset: str) -> dict[str, Study]:
    """{name: study} of all that can be run with a preset.

    Raises:
        UserError: a study's file is not valid.
    """
    studies = {name: load(name) for name in names()}
    return {name: study for name, study in studies.items() if study.is_for(preset)}


def load(name: str) -> Study:
    """Read a study.

    Raises:
        UserError: there is none of that name, or it is not valid.
    """
    if name not in names():
        raise UserError(f"there is no study {name!r}; choose one of {', '.join(names())}.")
    path = FOLDER / f"{name}.yaml"
    try:
        study = Study.model_validate(read_yaml(path))
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, d['loc'])).removesuffix(f'.{OTHER}') or 'study'}: {d['msg']}" for d in error.errors()
        ]
        raise UserError(f"{path}:\n  " + "\n  ".join(faults)) from error
    named = [("presets", preset) for layer in (study, *study.arms.values()) for preset in layer.presets]
    named += [("only", preset) for preset in study.only]
    named += [(key, preset) for key in BY_PRESET for preset in getattr(study, key)]
    for key, preset in sorted(set(named)):
        if preset in (*presets.names(), *([OTHER] if key in BY_PRESET else [])):
            continue
        choices = ", ".join(presets.names())
        raise UserError(f"{path}:\n  {key}: there is no preset {preset!r}; choose one of {choices}.")
    return study
