"""`params.yaml` as a whole: reading, checking, and what a generation overrides."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError, field_validator, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from noisy_student.runtime.errors import ParamsError
from noisy_student.runtime.layout import TEACHER, Model
from noisy_student.settings import schema
from noisy_student.settings.inputs import check_input_path
from noisy_student.settings.schema import NoiseParams, Section, TrainingParams, parameter

_MISSING = "{}: missing; `python -m commands.preset digits --new` writes a whole file"


# The default: three students, and what noise alone does with as many images as the teacher and the last student see
# together: 800 x 64 + 1,600 x (32 + 96).
GENERATIONS: dict[str, dict[str, Any]] = {
    "gen1": {"teacher": "teacher"},
    "gen2": {"teacher": "student-gen1"},
    "gen3": {"teacher": "student-gen2"},
    "noise-only": {"teacher": "teacher", "student": {"mix": "none", "steps": 2000, "batch_size": 128}},
}


class GenerationParams(Section):
    """One generation, overrides applied."""

    teacher: str
    student: schema.StudentParams
    pseudolabel: schema.PseudoLabelParams
    balance: schema.BalanceParams
    noise: NoiseParams


class Params(Section):
    """All of `params.yaml`."""

    seed: schema.Seed = parameter(0, "of the trainings: weights, order of images, noise")
    backend: Literal["tensorflow", "jax", "torch"] = parameter("tensorflow", "tensorflow | jax | torch")
    precision: Literal["auto", "float32", "mixed_bfloat16"] = parameter(
        "auto", "auto (by the hardware) | float32 | mixed_bfloat16: of the arithmetic in training"
    )
    arithmetic: Literal["fast", "portable"] = parameter(
        "fast", "fast | portable: held to AVX2, for the same bytes on other x86-64 CPUs; slower (tensorflow, float32)"
    )
    input_noise: Literal["auto", "host", "device"] = parameter(
        "auto", "auto (device, if it is a GPU or TPU) | host | device: who carries out flip, crop and RandAugment"
    )
    distribution: Literal["none", "devices", "processes"] = parameter(
        "none",
        "none | devices (of this machine share each batch) | processes (also of other hosts; jax)",
    )
    release: str = parameter(
        "student-gen3", "the model that `dvc artifacts get` gives: teacher, or student-KEY of a generation"
    )
    data: schema.DataParams = schema.DataParams()
    teacher: schema.TeacherParams = schema.TeacherParams()
    student: schema.StudentParams = schema.StudentParams()
    noise: NoiseParams = NoiseParams()
    augmentation: schema.AugmentationParams = parameter(schema.AugmentationParams(), "of every training, noise or not")
    pseudolabel: schema.PseudoLabelParams = schema.PseudoLabelParams()
    balance: schema.BalanceParams = schema.BalanceParams()
    generations: dict[str, dict] = parameter(
        GENERATIONS,
        """\
Each generation names its teacher and may override student, pseudolabel, balance and noise; a network,
an optimizer or a schedule of another name starts from its own defaults. E.g.
  gen4: {teacher: student-gen3, student: {model: {depth: 14}}}
A student of mix: none is a control beside them: it learns from the labelled images only.""",
    )
    eval: schema.EvalParams = schema.EvalParams()
    checkpoint: schema.CheckpointParams = parameter(
        schema.CheckpointParams(), "for stages that are killed or stopped: they go on from there; changes no result"
    )

    @field_validator("generations", mode="before")
    @classmethod
    def _generation_keys(cls, generations):
        if not isinstance(generations, dict) or not generations:
            raise ValueError("must hold at least one generation, e.g. gen1: {teacher: teacher}")
        for key in generations:
            if not isinstance(key, str):
                mend = f"DVC silently drops such stages; use a name such as gen{key}"
                raise ValueError(f"the key {key!r} is of type {type(key).__name__}, and {mend}")
            schema.check_name(key)
        return generations

    @model_validator(mode="after")
    def _arithmetic(self):
        if self.arithmetic == "portable" and self.backend != "tensorflow":
            raise ValueError(
                f"arithmetic=portable is for backend: tensorflow (found {self.backend}); change one of them"
            )
        if self.arithmetic == "portable" and self.precision == "mixed_bfloat16":
            raise ValueError(
                "arithmetic=portable computes in float32, but precision is mixed_bfloat16; set precision: float32, "
                "or arithmetic: fast"
            )
        return self

    @model_validator(mode="after")
    def _distribution(self):
        fitting = ["jax"] if self.distribution == "processes" else ["tensorflow", "jax"]
        if self.distribution != "none" and self.backend not in fitting:
            raise ValueError(
                f"distribution={self.distribution} is for backend: {' or '.join(fitting)} (found {self.backend}); "
                "change one of them"
            )
        if self.distribution != "none" and self.arithmetic == "portable":
            raise ValueError(
                f"arithmetic=portable is for one device, but distribution is {self.distribution}; set distribution: "
                "none, or arithmetic: fast"
            )
        return self

    @model_validator(mode="after")
    def _generations(self):
        models = {TEACHER.name}
        for key, given in self.generations.items():
            if not isinstance(given, dict) or not isinstance(given.get("teacher"), str):
                raise ValueError(f"generations.{key}: name its teacher, e.g. {key}: {{teacher: teacher}}")
            if given["teacher"] not in models:
                known = f"choose one of {', '.join(sorted(models))}"
                raise ValueError(f"generations.{key}.teacher={given['teacher']}: no such model before it; {known}")
            try:
                self.generation(key)
            except ValidationError as error:
                # pydantic would otherwise report the place without the generation's name
                raise ValueError("; ".join(faults(error, f"generations.{key}"))) from None
            self._check_reassigned(key)
            models.add(Model(key).name)
        for pair, keys in self._pairs().items():
            if len(keys) > 1:
                both = " and ".join(f"generation {generation} with test {test}" for generation, test in keys)
                raise ValueError(f"eval.extra_tests: {pair} may mean {both}; rename one of them")
        if self.release not in models:
            raise ValueError(f"release={self.release}: no such model; choose one of {', '.join(sorted(models))}")
        return self

    def _check_reassigned(self, key):
        own = self.generation(key)
        earlier = Model.named(own.teacher).generation
        if not own.student.uses_pseudo_labels or not own.pseudolabel.reassign:
            return
        if earlier is None or not self.generation(earlier).student.uses_pseudo_labels:
            raise ValueError(
                f"generations.{key}.pseudolabel.reassign: true labels anew what the teacher has learned from, but "
                f"{own.teacher} has learned from no pseudo-labels; set it for a generation whose teacher has, e.g. "
                "gen2: {teacher: student-gen1, pseudolabel: {reassign: true}}"
            )

    @model_validator(mode="after")
    def _validation(self):
        if self.data.validation == 0:
            wrong = {line: None for place, chosen in self._trainings() for line in _needs_validation(place, chosen)}
            if wrong:
                raise ValueError("; ".join(wrong))
        return self

    def _trainings(self):
        """(where the parameters stand, training) of all models."""
        yield "teacher", self.teacher
        for key, given in self.generations.items():
            own = "select_by" in given.get("student", {}) or "schedule" in given.get("student", {})
            yield f"generations.{key}.student" if own else "student", self.generation(key).student

    def generation(self, key: str) -> GenerationParams:
        """The parameters of one generation: the common sections, each with the values that `generations.KEY` overrides.

        Raises:
            ParamsError: there is no such generation.
        """
        if key not in self.generations:
            raise ParamsError(f"generations: there is no {key!r} in params.yaml, only {', '.join(self.generations)}.")
        given = self.generations[key]
        merged = {
            name: merge(getattr(self, name).model_dump(), given.get(name, {}), f"{key}.{name}")
            for name in ("student", "pseudolabel", "balance", "noise")
        }
        return GenerationParams.model_validate(given | merged)

    def require_extra_test(self, key: str) -> None:
        """Raise ParamsError if there is no such extra test set."""
        if key not in self.eval.extra_tests:
            known = ", ".join(self.eval.extra_tests) or "none"
            raise ParamsError(f"eval.extra_tests: there is no {key!r} in params.yaml, only {known}.")

    def generation_and_extra_test(self, pair: str) -> tuple[str, str]:
        """The two keys that "GENERATION-TEST" stands for; raise ParamsError if there are no such two."""
        pairs = self._pairs()
        if pair not in pairs:
            known = ", ".join(pairs) or "none"
            raise ParamsError(f"no generation and extra test set {pair!r} in params.yaml, only {known}.")
        return pairs[pair][0]

    def _pairs(self):
        """{"GENERATION-TEST": [(generation, test)]}: by these names DVC knows the stages of eval-extra."""
        pairs: dict[str, list[tuple[str, str]]] = {}
        for generation, test in product(self.generations, self.eval.extra_tests):
            pairs.setdefault(f"{generation}-{test}", []).append((generation, test))
        return pairs

    def training_of(self, model: Model) -> tuple[TrainingParams, NoiseParams]:
        """By what a model is trained."""
        if model.generation is None:
            return self.teacher, self.noise
        chosen = self.generation(model.generation)
        return chosen.student, chosen.noise

    def with_noise(self, noise: NoiseParams) -> Params:
        """These parameters with another section `noise`."""
        return self.model_copy(update={"noise": noise})


def _needs_validation(place, training):
    """Yield what needs validation images where there are none, a line each."""
    mend = "or give data.validation a number of images"
    if training.select_by != "last":
        yield (
            f"data.validation=0: no images choose {place}'s checkpoint by {training.select_by}; set "
            f"{place}.select_by=last, {mend}"
        )
    if training.schedule.plateau is not None:
        name = f"{place}.schedule.plateau_from_epoch"
        yield f"data.validation=0: {name}={training.schedule.plateau} goes by validation; leave it empty, {mend}"


def merge(base: dict[str, Any], override: dict[str, Any], where: str) -> dict[str, Any]:
    """A section's values with others in their place, which a generation gives; `where` is for the message."""
    if not isinstance(override, dict):
        raise ValueError(f"generations.{where}: must be a section of overrides, got {override!r}")
    if "name" in override and override["name"] != base.get("name"):
        return override  # another kind of model, optimizer or schedule: nothing is inherited
    inner = {key for key, new in override.items() if isinstance(new, dict) and isinstance(base.get(key), dict)}
    return base | override | {key: merge(base[key], override[key], f"{where}.{key}") for key in inner}


def read_yaml(path: Path | str) -> dict[str, Any]:
    """Read a YAML 1.2 file as DVC does (so 1e-3 is a number); ParamsError if it is missing or no mapping."""
    try:
        value = YAML(typ="safe", pure=True).load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ParamsError(f"{path}: no such file. Run from the repository's root.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path}: cannot be read ({error}).") from error
    except (YAMLError, ValueError, RecursionError) as error:  # a day that no month has, a number of 5,000 digits
        raise ParamsError(f"{path}: not valid YAML.\n{error}\nMend the line named above.") from error
    if not isinstance(value, dict):
        raise ParamsError(f"{path}: must hold sections such as data: and teacher:, found {value!r}.")
    return value


def check(values: dict[str, Any], where: str = "params.yaml") -> Params:
    """Validate a nested dict of parameters.

    Raises:
        ParamsError: names every parameter that is wrong, what was found and what is allowed.
    """
    missing = [_MISSING.format(name) for name in _missing(Params, values)]
    try:
        settings = Params.model_validate(values)
    except ValidationError as error:
        refuse([*faults(error), *missing], where)
        raise
    refuse(missing, where)
    return settings


def refuse(wrong: list[str], where: str = "params.yaml") -> None:
    """Raise a ParamsError that names all faults of a file, if there is any."""
    if wrong:
        raise ParamsError(f"{where}:\n  " + "\n  ".join(wrong) + f"\nMend {where} and run again.")


def section_of(annotation: Any) -> type[Section] | None:
    """The section that a parameter is, by its annotation."""
    return annotation if isinstance(annotation, type) and issubclass(annotation, Section) else None


def _missing(section, values, place=""):
    """Yield the dotted names that are not given; what only one `name` needs may be left out."""
    for name, field in section.model_fields.items():
        inner = section_of(field.annotation)
        if name not in values:
            yield f"{place}{name}"
        elif inner and not inner.partial and isinstance(values[name], dict):
            yield from _missing(inner, values[name], f"{place}{name}.")


def faults(error: ValidationError, place: str = "") -> list[str]:
    """What is wrong in the section at `place`, e.g. "teacher.model", a line each, with the parameter's full name."""
    return [_describe(detail, [place] if place else []) for detail in error.errors()]


def _describe(detail, within):
    branches = ("constrained-str", "dict[str,constrained-str]")  # pydantic's names for parts of a union
    place = ".".join(str(part) for part in (*within, *detail["loc"]) if part not in branches)
    place = place.removesuffix(".[key]")  # pydantic's, for a mapping's key
    if detail["type"] == "missing":
        return _MISSING.format(place)
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "extra_forbidden":
        message = "unknown parameter; check its spelling"
    shown = "" if isinstance(detail["input"], dict) else f" (found {detail['input']!r})"
    named = not place or message.startswith(f"{place}.")  # what a whole section's check says itself
    return message if named else f"{place}: {message}{shown}"


def load(path: Path | str = "params.yaml") -> Params:
    """Read and `check` all sections of `params.yaml` at once."""
    return check(read_yaml(path), where=str(path))


def check_paths(settings: Params) -> None:
    """Check all paths that parameters name; DVC's own message for a missing one names no parameter.

    Raises:
        ParamsError: see `inputs.check_input_path`.
    """
    check_data_paths(settings.data)
    if settings.data.unlabelled_from in schema.POOLS:  # a file, which DVC wants to exist
        check_input_path("data.unlabelled_from", settings.data.unlabelled_from)
    for key, path in settings.eval.extra_tests.items():
        check_input_path(f"eval.extra_tests.{key}", path)


def check_data_paths(data: schema.DataParams) -> None:
    """Check the folders of the section `data` only, which are all that `prepare` reads."""
    check_input_path("data.root", data.root)
    if data.unlabelled_from not in schema.POOLS:
        check_input_path("data.unlabelled_from", data.unlabelled_from, may_be_file=True)
