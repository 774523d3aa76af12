"""From params.yaml to the runs of a verdict: teacher, students and noise alone at equal compute, one run a seed."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import io
import json
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

from commands.preset import Tree
from experiments.study.definition import OWN, settings_digest
from experiments.study.run import Job
from experiments.workspace import with_absolute_folders
from noisy_student.runtime import environment
from noisy_student.runtime.errors import ParamsError
from noisy_student.runtime.layout import TEACHER, Model
from noisy_student.settings.params import Params
from noisy_student.settings.schema import POOLS, DataParams, StudentParams, TrainingParams
from noisy_student.sources.listed import read_list
from noisy_student.sources.prepare import prepare
from noisy_student.steps.checking import check

STUDY = "verdict"
ARMS = "teacher", "noise", "student"
AT_RANDOM: Tree = {"init": "random", "freeze_blocks": None}
ROUNDS = 20  # of the control's training, at most, where epochs are turned into steps


@dataclass(frozen=True)
class Plan:
    """What is run.

    Attributes:
        parameters: of a run, but for its seeds.
        chain: keys of the generations from the teacher to the last student.
        control: key of the generation that has noise alone.
        look: key of a generation that is there for what the last student, its teacher, says of the pool; one step long.
        inherits: whether noise alone starts from the teacher's weights, which are pretrained ones.
        lacks: whether the teacher starts from pretrained weights and noise alone, another network, cannot.
        images: how many pass through networks in all trainings of a run.
        preset: what the rows are filed under; other parameters, images or code give another.
    """

    parameters: Tree
    chain: tuple[str, ...]
    control: str
    look: str
    inherits: bool
    lacks: bool
    images: int
    preset: str

    @property
    def student(self) -> Model:
        """The last student."""
        return Model(self.chain[-1])

    def jobs(self, seeds: int) -> list[Job]:
        """The jobs, seed by seed, from the seeds of params.yaml on; the three of one seed are one run."""
        models = dict(zip(ARMS, (TEACHER, Model(self.control), self.student), strict=True))
        settings, code, jobs = check(self.parameters), environment.code_digest(), []
        for seed in range(seeds):
            values = copy.deepcopy(self.parameters)
            values["seed"] += seed
            values["data"]["seed"] += seed
            for arm, model in models.items():
                teacher = settings.generation(model.generation).teacher if model.generation else TEACHER.name
                jobs.append(Job(STUDY, self.preset, arm, seed, model.name, teacher, "run", values, code))
        return jobs


def plan(values: Tree) -> Plan:
    """The plan for parameters.

    Raises:
        ParamsError: no generation learns from pseudo-labels.
    """
    settings = check(values)
    chain = chain_of(settings)
    control, look = (_free(name, settings.generations) for name in ("noise", "look"))
    parameters = copy.deepcopy(values)
    parameters["generations"] = {key: copy.deepcopy(values["generations"][key]) for key in chain}
    parameters["generations"] |= {control: _control(settings, chain), look: _look(settings, chain)}
    parameters["release"] = TEACHER.name
    parameters["eval"] |= {"robustness": "off", "extra_tests": {}}
    parameters = with_absolute_folders(parameters)
    alone = check(parameters, where="the parameters of the verdict").generation(control).student
    images = 2 * (alone.steps or 0) * alone.batch_size
    pretrained, inherits = settings.teacher.init == "pretrained", alone.init == "teacher"
    if inherits and settings.teacher.steps:  # an estimate of the time: of epochs the counts are not known here
        images += settings.teacher.steps * settings.teacher.batch_size
    preset = f"{OWN}{_digest(parameters)}"
    return Plan(parameters, chain, control, look, inherits, pretrained and not inherits, images, preset)


def chain_of(settings: Params) -> tuple[str, ...]:
    """The generations from the teacher to the last student that learns from pseudo-labels.

    Raises:
        ParamsError: there is none.
    """
    learning = [key for key in settings.generations if settings.generation(key).student.uses_pseudo_labels]
    if not learning:
        raise ParamsError(
            "generations: none of params.yaml learns from pseudo-labels (student.mix is none in all of them), so there "
            "is nothing to compare with noise alone. Add one, e.g. gen1: {teacher: teacher, student: {mix: ratio}}."
        )
    chain = [learning[-1]]
    while (teacher := Model.named(settings.generation(chain[0]).teacher)) != TEACHER:
        chain.insert(0, str(teacher.generation))
    return tuple(chain)


def _control(settings, chain):
    """The generation with noise alone: as the last student's, but labels only, and as many images as all others see.

    What a pretrained teacher hands on is not what pseudo-labels add: then it starts from the teacher, too, if it is the
    same network, and sees as many images as the students.
    """
    given = copy.deepcopy(settings.generations[chain[-1]])
    last = settings.generation(chain[-1]).student
    batch_size = last.batch_size + (last.unlabelled_batch_size if last.mix == "ratio" else 0)
    inherits = settings.teacher.init == "pretrained" and last.model == settings.teacher.model
    every, steps = control_steps(settings, chain, batch_size, with_teacher=not inherits)
    start = {"init": "teacher", "freeze_blocks": last.freeze_blocks} if inherits else AT_RANDOM
    own = {"mix": "none", "batch_size": batch_size, "epochs": None, "steps": steps, **start}
    given["student"] = given.get("student", {}) | own | {"validate_every": every}
    if last.schedule.plateau_from_epoch is not None:  # it takes epochs
        schedule = given["student"].get("schedule", {})
        given["student"]["schedule"] = {**schedule, "name": last.schedule.name, "plateau_from_epoch": None}
    return given | {"teacher": TEACHER.name}


def _look(settings, chain):
    """The generation that has the last student label the pool, and no student to speak of."""
    short: Tree = {
        "mix": "ratio",
        **AT_RANDOM,
        "epochs": None,
        "steps": 1,
        "validate_every": 1,
        "finetune": {"epochs": 0.0},
    }
    if settings.student.schedule.plateau_from_epoch is not None:
        short["schedule"] = {"name": settings.student.schedule.name, "plateau_from_epoch": None}
    if settings.student.progressive.image_size is not None:  # it takes several rounds
        short["progressive"] = {"image_size": None}
    kept = {"threshold": 0.0, "max_confidence": 1.0, "noise": False, "test_time_augmentation": "none"}
    kept |= {"reassign": False}
    return {"teacher": Model(chain[-1]).name, "student": short, "pseudolabel": kept, "balance": {"enabled": False}}


def _free(name, taken):
    while name in taken:
        name += "-alone"
    return name


def control_steps(
    settings: Params, chain: tuple[str, ...], batch_size: int, *, with_teacher: bool = True
) -> tuple[int, int]:
    """(steps between validations, steps) of the training with noise alone.

    It sees as many images as the teacher (if it counts) and the students of the chain, their fine-tuning (and less its
    own) counted. Where trainings are given in epochs, the splits are cut to count images, and every image of the pool
    counts once an epoch, however many are kept: then it sees at least as many.
    """
    students = [settings.generation(key).student for key in chain]
    trainings: list[TrainingParams] = [settings.teacher, *students] if with_teacher else [*students]
    last = trainings[-1]
    in_epochs = any(training.steps is None or training.finetune.epochs for training in trainings)
    counts = _counts(settings.data) if in_epochs else {"labelled": 0, "unlabelled": 0}
    own = last.finetune.epochs * counts["labelled"]
    images = sum(images_seen(training, **counts) for training in trainings) - own
    if last.steps and last.validate_every:
        rounds = max(1, round(images / batch_size / last.validate_every))
        every = math.ceil(images / batch_size / rounds)
        return every, every * rounds
    steps = math.ceil(images / batch_size)
    every = math.ceil(steps / ROUNDS)
    return every, every * math.ceil(steps / every)


def images_seen(training: TrainingParams, *, labelled: int, unlabelled: int) -> float:
    """How many images pass through a network in a training and its fine-tuning.

    Args:
        labelled, unlabelled: images in the splits; do not count where the training is given in steps.
    """
    mix = training.mix if isinstance(training, StudentParams) else "none"
    more = training.unlabelled_batch_size if isinstance(training, StudentParams) and mix == "ratio" else 0
    if training.steps:
        steps = training.steps
    else:
        counts = {"none": labelled, "pseudo": unlabelled, "concat": labelled + unlabelled, "ratio": labelled}
        longest = math.ceil(counts[mix] / training.batch_size)
        steps = (training.epochs or 0) * max(longest, math.ceil(unlabelled / more) if more else 0)
    return steps * (training.batch_size + more) + training.finetune.epochs * labelled


def _counts(data: DataParams):
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        images = prepare(data, Path(folder))["images"]
    return {"labelled": images["labelled"], "unlabelled": images["unlabelled"]}


def _digest(parameters):
    """Eight hex digits of parameters, images and weights (by the names, sizes and dates of their files) and code."""
    data = parameters["data"]
    roots = [data["root"], *([parameters["teacher"]["weights"]] if parameters["teacher"]["init"] != "random" else [])]
    if (pool := data["unlabelled_from"]) not in POOLS:
        roots += [pool, *(file.name for file in read_list(Path(pool)))] if Path(pool).is_file() else [pool]
    files = [
        (path.as_posix(), stat.st_size, stat.st_mtime_ns)
        for root in roots
        for path in [Path(root), *sorted(Path(root).rglob("*"))]  # a list of files is itself one
        if path.is_file() and (stat := path.stat())
    ]
    whole = [settings_digest(parameters), data["root"], files, environment.code_digest()]
    return hashlib.sha256(json.dumps(whole).encode()).hexdigest()[:8]
