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
PRESETS = ["digits", "digits-100", "cifar10-cpu-resnet14", "cifar10-cpu"]
MEASURED = [("digits", "generations"), ("digits-100", "warm-start"), ("cifar10-cpu-resnet14", "article")]
# others speak of a ResNet's width, or of its steps
ONLY = {"cifar10-cpu": ("article", "controls", "each-generation", "generations", "natural-images")}


@pytest.fixture(autouse=True)
def at_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize(("name", "preset"), [(n, preset) for preset in PRESETS for n in ONLY.get(preset, NAMES)])
def test_every_arm_is_valid_and_another_one(name, preset):
    study = definition.load(name)
    if not study.is_for(preset):
        with pytest.raises(UserError, match=rf"{name}: it is for [\w -]+, not {preset}: add --preset {study.home}\."):
            run.jobs_of(name, study, preset, seeds=1)
        return
    jobs, here = run.jobs_of(name, study, preset, seeds=1), params.read_yaml("params.yaml")
    assert len(jobs) == len(study.arms)
    assert len({job.experiment for job in jobs}) == len({job.settings for job in jobs})
    assert len({(job.settings, job.model) for job in jobs}) == len(jobs)  # no two arms do the same
    for job in jobs:
        params.check(job.parameters)
        changes = presets.overrides(here, job.parameters)  # DVC can be told so
        assert changes or (preset, job.parameters) == ("digits", presets.parameters("digits"))


@pytest.mark.parametrize("preset", PRESETS)
def test_controls_cost_the_same(preset):
    """Images that pass through a network in the training of a student, in each arm of the study `controls`."""
    study = definition.load("controls")

    def images(arm):
        training = params.check(study.parameters(arm, preset, 0)).student
        more = training.unlabelled_batch_size if training.mix == "ratio" else 0
        return training.steps * (training.batch_size + more)

    teacher = params.check(presets.parameters(preset)).teacher
    expected = images("self-training")
    for arm in set(study.arms) - {"supervised", "supervised-all"}:
        assert images(arm) == expected, arm
    assert images("supervised") == expected + teacher.steps * teacher.batch_size
    students = len(study.parameters("self-training", preset, 0)["generations"])
    assert images("supervised-all") == students * expected + teacher.steps * teacher.batch_size


def test_studies_of_other_presets_are_left_out_of_all():
    of_digits, of_cifar10 = (definition.studies_for(preset) for preset in ("digits", "cifar10-cpu"))
    assert {*NAMES} - {*of_digits} == {"natural-images"}
    assert {*NAMES} - {*of_cifar10} == {"label-efficiency"}
    assert [*definition.studies_for("own-0123")] == NAMES  # with a user's own parameters it is the user's choice


def test_noise_alone_on_natural_images_is_the_students_training_without_pseudo_labels():
    study = definition.load("natural-images")
    assert {*study.changes("cifar10-cpu")} == {"eval.robustness"}
    for arm in study.arms:
        settings = params.check(study.parameters(arm, "cifar10-cpu", 0))
        alone, student = (settings.generation(key).student for key in ("noise-only", "gen1"))
        assert (alone.mix, alone.noise, alone.init) == ("none", True, "teacher")
        assert alone.steps * alone.batch_size == student.steps * (student.batch_size + student.unlabelled_batch_size)
        told = {"mix", "batch_size"}
        assert alone.model_dump(exclude=told) == student.model_dump(exclude=told)


def test_noise_alone_sees_as_many_images_as_what_it_is_compared_with():
    study = definition.load("label-efficiency")
    settings = params.check(study.parameters("student-3-20", "digits", 0))
    trainings = {name: settings.generation(name).student for name in settings.generations} | {"t": settings.teacher}
    images = {
        name: each.steps
        * (each.batch_size + (each.unlabelled_batch_size if getattr(each, "mix", "") == "ratio" else 0))
        for name, each in trainings.items()
    }
    assert images["noise-only"] == images["t"] + images["gen3"]
    for labels in (20, 100, 300):
        long = params.check(study.parameters(f"noise-long-{labels}", "digits", 0)).generation("noise-long").student
        assert (long.mix, long.noise) == ("none", settings.student.noise)
        assert long.steps * long.batch_size == images["t"] + images["gen1"] + images["gen2"] + images["gen3"]
    for arm in ("self-distillation-20", "all"):
        own = params.check(study.parameters(arm, "digits", 0))
        assert list(own.generations) == ["gen1"]
        student = own.generation("gen1").student
        assert (student.steps, student.mix) == ((2000, "none") if arm == "all" else (trainings["gen1"].steps, "ratio"))


def test_arms_that_differ_only_in_their_model_are_one_experiment():
    jobs = run.jobs_of("label-efficiency", definition.load("label-efficiency"), "digits", seeds=1)
    runs = {}
    for job in jobs:
        runs.setdefault(job.experiment, []).append(job)
    # for each of five numbers of labels one of all models and one of self-distillation; three of noise alone, long; all
    assert len(runs) == 5 * 2 + 3 + 1
    for shared in runs.values():
        assert len({str(job.parameters) for job in shared}) == 1
        assert len({job.model for job in shared}) == len(shared)
    by_model = {job.model: job for job in jobs if job.run == "teacher-20"}
    assert {name: job.teacher for name, job in by_model.items()} == {
        "teacher": "teacher",
        "student-noise-only": "teacher",
        "student-gen1": "teacher",
        "student-gen2": "student-gen1",
        "student-gen3": "student-gen2",
    }


def test_values_of_an_arm_by_hand():
    values = definition.load("controls").parameters("ceiling", "digits", 3, {"data.root": "/images"})
    base = presets.parameters("digits")
    expected = base | {"seed": 3}
    expected["data"] = base["data"] | {"seed": 3, "root": "/images", "labelled": None}
    expected["data"]["unlabelled_from"] = "data/pools/labelled"
    expected["student"] = base["student"] | {"mix": "none", "batch_size": 128}
    expected["balance"] = base["balance"] | {"on_empty": "skip"}
    expected |= {"generations": {"gen1": {"teacher": "teacher"}}, "release": "student-gen1"}
    assert values == expected


def test_the_digest_tells_settings_apart_but_not_machines():
    study = definition.load("article")
    first = definition.settings_digest(study.parameters("clean", "digits", 0))
    assert first == definition.settings_digest(study.parameters("clean", "digits", 0, {"data.root": "/x"}))
    assert first != definition.settings_digest(study.parameters("clean", "digits", 1))
    assert first != definition.settings_digest(study.parameters("noised", "digits", 0))


def test_a_study_replaces_generations_as_a_whole():
    study = definition.load("generations")
    assert study.parameters("one", "digits", 0)["generations"] == {"gen1": {"teacher": "teacher"}}
    found = study.parameters("two", "digits", 0)
    assert list(found["generations"]) == ["gen1", "gen2"]
    assert found["release"] == "student-gen2", "the default's student-gen3 is not there"
    assert study.parameters("two", "cifar10-cpu-resnet14", 0)["release"] == "student-gen1"


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


def test_the_record_of_another_archive_is_not_taken():
    study, names = definition.load("article"), set()
    for sha256 in (None, "a" * 64, "b" * 64):
        (job,) = [
            job
            for job in run.jobs_of("article", study, "cifar10-cpu", seeds=1, changes={"data.sha256": sha256})
            if job.arm == "clean"
        ]
        names.add(job.experiment)
        assert job.settings == definition.settings_digest(study.parameters("clean", "cifar10-cpu", 0))
    assert len(names) == 3


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


def _measure(jobs, **more):
    """Write a row for each job."""
    for job in jobs:
        facts = {"arm": job.arm, "seed": job.seed, "settings": job.settings, "commit": "c", "machine": "M"}
        measured = {"accuracy": 0.9, "teacher_accuracy": 0.8, "seconds": 1.0} | more
        rows.add(job.study, job.preset, dict.fromkeys(rows.COLUMNS) | facts | measured, None)


@pytest.mark.parametrize("listed", [False, True], ids=["left out", "written down"])
@pytest.mark.parametrize(("preset", "name"), MEASURED)
def test_a_new_parameter_at_its_default_leaves_rows_recognised(monkeypatch, tmp_path, preset, name, listed):
    study, seeds = definition.load(name), 2
    monkeypatch.setattr(definition, "RESULTS", tmp_path)
    _measure(run.jobs_of(name, study, preset, seeds=seeds), corruption_error=0.2)
    given = {kind: params.Params.model_fields[kind].annotation for kind in ("data", "teacher")}
    sections = {
        "data": create_model("Data", __base__=given["data"], margin=(int, 4)),
        "teacher": create_model("Teacher", __base__=given["teacher"], patience=(float | None, None)),
        "export": create_model("Export", __base__=Section, opset=(int, 17)),
    }
    new = {key: (section, section()) for key, section in sections.items()}
    monkeypatch.setattr(params, "Params", create_model("More", __base__=params.Params, **new))
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
        ({"seeds": {"digits": 5}}, "seeds: presets are named, but no number for other, all the rest"),
        ({"seeds": {"digit": 5, "other": 3}}, "seeds: there is no preset 'digit'; choose one of digits"),
        ({"smallest_difference": 0}, "smallest_difference: Input should be greater than 0"),
        ({"smallest_difference": {"digits": -1, "other": 1}}, "digits: Input should be greater than 0"),
        ({"smallest_difference": {"digits": 3}}, "smallest_difference: presets are named, but no number for other"),
        ({"smallest_difference": None}, "smallest_difference: Input should be a valid number"),
        ({"question": None}, "question: Input should be a valid string"),
        (
            {"arms": {"clean": {"shown": "x", "line": "l"}, "b": {"shown": "y"}}},
            "it sets no parameter that `over` names",
        ),
        (
            {"over": "a.b", "arms": {"clean": {"shown": "x", "line": "l"}, "b": {"shown": "y"}}},
            "line=l: it sets no a.b",
        ),
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


def test_numbers_that_differ_by_preset_and_by_arm():
    study = definition.load("article")
    assert (study.smallest_with("digits"), study.smallest_with("digits-100")) == (3.0, 1.0)
    study = study.model_copy(update={"seeds": {"digits": 12, "other": 5}, "smallest_difference": {"other": 1.0}})
    assert (study.seeds_with("digits"), study.seeds_with("cifar10-cpu")) == (12, 5)
    arm = study.arms["noised"].model_copy(update={"smallest_difference": 0.5})
    study = study.model_copy(update={"arms": study.arms | {"noised": arm}})
    assert [study.smallest_with("digits", arm) for arm in (None, "clean", "noised")] == [1.0, 1.0, 0.5]


def test_a_study_states_the_smallest_difference_before_it_runs(tmp_path, monkeypatch):
    study = YAML(typ="safe").load(ROOT / "studies/article.yaml")
    del study["smallest_difference"]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studies").mkdir()
    YAML().dump(study, tmp_path / "studies/mine.yaml")
    with pytest.raises(UserError, match="smallest_difference: Field required"):
        definition.load("mine")


def test_a_model_that_is_not_trained():
    for model in ("student-gen9", "gen1"):
        study = definition.load("article").model_copy(update={"model": model})
        message = f"arm clean: there is no model {model} .*choose one of teacher, student-gen1"
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


def test_two_arms_that_do_the_same_are_refused():
    """With the preset cifar10-cpu the arms of this study have no numbers of images of their own."""
    study = definition.load("unlabelled-amount")
    with pytest.raises(UserError, match=r"with the preset cifar10-cpu the arms .* do the same\. Set what tells"):
        run.jobs_of("unlabelled-amount", study, "cifar10-cpu", seeds=1)
