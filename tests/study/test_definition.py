"""Studies as files: those that are shipped, and mistakes in them."""

from typing import Annotated, Literal

import pytest
from pydantic import Field, create_model
from ruamel.yaml import YAML

from commands import preset as presets
from experiments.study import definition, rows, run
from noisy_student.runtime.errors import UserError
from noisy_student.settings import params
from noisy_student.settings.schema import Section
from support import ROOT

NAMES = sorted(path.stem for path in (ROOT / "studies").glob("*.yaml"))
COMMITTED = [("digits", "generations"), ("digits", "warm-start"), ("cifar10-cpu", "article")]


@pytest.fixture(autouse=True)
def at_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("preset", ["digits", "cifar10-cpu"])
@pytest.mark.parametrize("name", NAMES)
def test_every_arm_is_valid_and_another_one(name, preset):
    study = definition.load(name)
    jobs = run.jobs_of(name, study, preset, seeds=1)
    assert len(jobs) == len(study.arms)
    assert len({job.experiment for job in jobs}) == len(jobs)
    told_apart = {(job.settings, job.model) for job in jobs}
    assert len(told_apart) == len(jobs)  # no two arms do the same
    for job in jobs:
        params.check(job.parameters)
        changes = presets.overrides(params.read_yaml("params.yaml"), job.parameters)  # DVC can be told so
        assert changes or (preset, job.parameters) == ("digits", presets.parameters("digits"))


@pytest.mark.parametrize("preset", ["digits", "cifar10-cpu"])
def test_controls_cost_the_same(preset):
    """Images that pass through networks in training, in each arm of the study `controls`."""
    study = definition.load("controls")

    def images(arm):
        training = params.check(study.parameters(arm, preset, 0)).student
        more = training.unlabelled_batch_size if training.mix == "ratio" else 0
        return training.steps * (training.batch_size + more)

    teacher = params.check(presets.parameters(preset)).teacher
    expected = images("self-training")
    for arm in set(study.arms) - {"supervised"}:
        assert images(arm) == expected, arm
    assert images("supervised") == expected + teacher.steps * teacher.batch_size


def test_values_of_an_arm_by_hand():
    values = definition.load("controls").parameters("ceiling", "digits", 3, {"data.root": "/images"})
    base = presets.parameters("digits")
    expected = base | {"seed": 3}
    expected["data"] = base["data"] | {"seed": 3, "root": "/images", "labelled": None}
    expected["data"]["unlabelled_from"] = "data/pools/labelled"
    expected["student"] = base["student"] | {"mix": "none", "batch_size": 128}
    assert values == expected


def test_the_digest_tells_settings_apart_but_not_machines():
    study = definition.load("article")
    first = definition.settings_digest(study.parameters("clean", "digits", 0))
    assert first == definition.settings_digest(study.parameters("clean", "digits", 0, {"data.root": "/x"}))
    assert first != definition.settings_digest(study.parameters("clean", "digits", 1))
    assert first != definition.settings_digest(study.parameters("noised", "digits", 0))


class Small(Section):
    name: Literal["small"] = "small"
    width: int


class Big(Section):
    name: Literal["big"] = "big"
    width: int = 5
    head: float = 0.1
    bias: bool | None = None


class Toy(Section):
    """A schema whose networks bring defaults of their own."""

    seed: int
    data: dict[str, str | None]
    model: Annotated[Small | Big, Field(discriminator="name")]
    tuning: Small | None
    added: float = 0.5


@pytest.mark.parametrize(
    ("also", "changes", "expected"),
    [
        (["nll"], {}, "off"),
        (["nll", "teacher_fgsm_accuracy"], {}, "fast"),
        (["corruption_error"], {}, "fast"),
        ([], {"eval.robustness": "full"}, "full"),  # asked for
    ],
)
def test_robustness_is_measured_where_it_is_reported_and_no_row_is_another_for_it(also, changes, expected):
    study = definition.load("article").model_copy(update={"also": also})
    for job in run.jobs_of("article", study, "digits", seeds=1, changes=changes):
        assert job.carried_out["eval"]["robustness"] == expected
        assert job.settings == definition.settings_digest(job.parameters)
        rest = {name: section for name, section in job.carried_out.items() if name != "eval"}
        assert rest == {name: section for name, section in job.parameters.items() if name != "eval"}
        assert job.parameters["eval"]["robustness"] == changes.get("eval.robustness", "fast")
        # a record without it is not taken for one with it
        named = definition.settings_digest(job.carried_out)[:4]
        assert job.experiment.endswith(f"{named}{job.code[:4]}")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, {}),
        ({"seed": 1}, {"seed": 1}),
        ({"added": 0.5}, {}),  # a parameter that the defaults do not have yet
        ({"added": 0.7}, {"added": 0.7}),
        ({"data": {"root": "/x"}}, {"data": {"root": "/x"}}),  # what users name is one parameter
        ({"model": {"name": "small", "width": 4}}, {"model.width": 4}),
        ({"model": {"name": "big"}}, {"model.name": "big"}),
        ({"model": {"name": "big", "width": 5, "head": 0.1, "bias": None}}, {"model.name": "big"}),
        # 3 is the default of another network, so it says something here
        ({"model": {"name": "big", "width": 3}}, {"model.name": "big", "model.width": 3}),
        ({"tuning": {"width": 3}}, {"tuning": {"name": "small", "width": 3}}),
    ],
)
def test_what_is_not_at_its_default_by_hand(monkeypatch, change, expected):
    base = {"seed": 0, "data": {"root": None}, "model": {"name": "small", "width": 3}, "tuning": None}
    monkeypatch.setattr(params, "check", Toy.model_validate)
    monkeypatch.setattr(definition.presets, "defaults", lambda: base)
    assert definition.changed(base | change) == expected


@pytest.mark.parametrize("listed", [False, True], ids=["left out", "written down"])
@pytest.mark.parametrize(("preset", "name"), COMMITTED)
def test_a_new_parameter_at_its_default_leaves_committed_rows_recognised(monkeypatch, preset, name, listed):
    given = {kind: params.Params.model_fields[kind].annotation for kind in ("data", "teacher")}
    sections = {
        "data": create_model("Data", __base__=given["data"], margin=(int, 4)),
        "teacher": create_model("Teacher", __base__=given["teacher"], patience=(float | None, None)),
        "export": create_model("Export", __base__=Section, opset=(int, 17)),
    }
    new = {key: (section, section()) for key, section in sections.items()}
    monkeypatch.setattr(params, "Params", create_model("More", __base__=params.Params, **new))
    study = definition.load(name)
    seeds = 1 + max(seed for _, seed in rows.read(name, preset))
    jobs = run.jobs_of(name, study, preset, seeds=seeds)
    if listed:
        for job in jobs:
            job.parameters["data"]["margin"], job.parameters["export"], job.parameters["teacher"]["patience"] = (
                4,
                {"opset": 17},
                None,
            )
    assert run.pending(jobs) == []
    changes = {"data.margin": 5} if listed else {"export.opset": 18}
    with pytest.raises(UserError, match="was measured with other parameters"):
        run.pending(run.jobs_of(name, study, preset, seeds=1, changes=changes))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"control": "other"}, "control=other: no such arm; choose one of clean, noised"),
        ({"also": ["acuracy"]}, "also: no such metric as acuracy; choose of accuracy, "),
        ({"seeds": 1}, "seeds: Input should be greater than or equal to 2"),
        ({"question": None}, "question: Input should be a valid string"),
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
        ({"arms": {"clean": {"shown": "x"}}}, "arms: Dictionary should have at least 2 items"),
        ({"arms": {"a b": {"shown": "x"}, "clean": {"shown": "x"}}}, "the key 'a b' names files"),
        ({"arms": {"a": {"shown": "x"}, "clean": {"shown": " x"}}}, "shown: two arms are called 'x'"),
        ({"arms": {"a": {"shown": "x|y"}, "clean": {"shown": "x"}}}, "shown: 'x|y' has a |"),
        ({"presets": {"digit": {"seed": 1}}}, "there is no preset 'digit'; choose one of digits"),
    ],
)
def test_a_study_that_is_wrong(tmp_path, monkeypatch, change, message):
    study = YAML(typ="safe").load(ROOT / "studies/article.yaml")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studies").mkdir()
    YAML().dump(study | change, tmp_path / "studies/mine.yaml")
    with pytest.raises(UserError) as error:
        definition.load("mine")
    assert str(error.value).startswith("studies/mine.yaml:")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher.nosie": True}, "teacher.nosie: unknown parameter"),
        ({"teacher.noise": True}, "teacher.noise: the study sets teacher.noise"),
        ({"teacher": {}}, "teacher: the study sets teacher.noise"),
        ({"data.seed": 3}, "data.seed: the study sets data.seed"),
        ({"backend.x": 1}, "backend.x: backend is no section"),
        ({"pseudolabel.threshold": 2.0}, "pseudolabel.threshold: .* less than 1"),
    ],
)
def test_a_parameter_that_is_wrong(changes, message):
    with pytest.raises(UserError, match=message):
        definition.load("article").parameters("clean", "digits", 0, changes)


def test_a_model_that_is_not_trained():
    for model in ("student-gen2", "gen1", "teacher"):
        study = definition.load("article").model_copy(update={"model": model})
        message = f"arm clean: there is no model {model} .*choose one of student-gen1"
        with pytest.raises(UserError, match=message):
            study.parameters("clean", "digits", 0)


def test_texts_of_several_lines_become_one(tmp_path, monkeypatch):
    study = YAML(typ="safe").load(ROOT / "studies/article.yaml")
    study["question"], study["arms"]["clean"]["shown"] = "Why\nnot?\n", "without\n  noise\n"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studies").mkdir()
    YAML().dump(study, tmp_path / "studies/mine.yaml")
    found = definition.load("mine")
    assert (found.question, found.arms["clean"].shown) == ("Why not?", "without noise")


def test_an_unknown_study_lists_those_there_are():
    with pytest.raises(UserError, match=r"no study 'articel'; choose one of article, balancing"):
        definition.load("articel")
