"""What a verdict runs: the same for all kinds of parameters, at equal compute, and nothing of the user's touched."""

import copy

import numpy as np
import pytest
from PIL import Image

from experiments.study import rows
from experiments.verdict.plan import chain_of, images_seen, plan
from noisy_student.runtime.errors import UserError
from noisy_student.settings import params
from noisy_student.steps.checking import check
from support import ROOT, with_values


@pytest.fixture
def values(digits, monkeypatch):
    monkeypatch.chdir(ROOT)
    return with_values(digits, {"generations": {"gen1": {"teacher": "teacher"}}, "release": "teacher"})


def generations(values, **given):
    return values | {"generations": given}


def control(planned):
    return check(planned.parameters).generation(planned.control).student


def test_noise_alone_sees_as_many_images_as_all_others_by_hand(values):
    chain = {"gen1": {"teacher": "teacher"}, "gen2": {"teacher": "student-gen1", "student": {"steps": 3200}}}
    values = generations(values, **chain)
    values = with_values(values, {"student.steps": 1600, "student.batch_size": 32, "student.unlabelled_ratio": 3.0})
    values = with_values(values, {"teacher.steps": 800, "teacher.batch_size": 64, "student.validate_every": 100})
    planned = plan(values)
    alone = control(planned)
    assert (planned.chain, alone.mix, alone.init, alone.batch_size) == (("gen1", "gen2"), "none", "random", 128)
    # 800 x 64 + 1600 x 128 + 3200 x 128 = 5200 x 128
    assert (alone.steps, alone.validate_every) == (5200, 100)
    assert planned.images == 2 * 5200 * 128


def test_epochs_count_every_image_of_the_pool(values):
    """40 labelled, 100 of the pool: 3 epochs of 140 images in steps of 64 are 9; the teacher 2 of 40 in 20s: 4."""
    changes = {"data.labelled": 40, "data.unlabelled": 100, "student.mix": "concat", "student.batch_size": 64}
    changes |= {"student.steps": None, "student.epochs": 3, "student.validate_every": None}
    changes |= {"teacher.steps": None, "teacher.epochs": 2, "teacher.validate_every": None, "teacher.batch_size": 20}
    changes |= {"student.finetune.epochs": 1.5, "teacher.finetune.epochs": 0.5}
    alone = control(plan(with_values(values, changes)))
    # 9 x 64 + 4 x 20 + 0.5 x 40 = 676, and its own fine-tuning besides: 11 steps of 64 are 704, in rounds of one step
    assert (alone.steps, alone.validate_every, alone.finetune.epochs) == (11, 1, 1.5)
    assert images_seen(check(with_values(values, changes)).student, labelled=40, unlabelled=100) == 9 * 64 + 60


@pytest.mark.parametrize("mix", ["ratio", "concat", "pseudo"])
def test_what_a_generation_overrides_holds_for_noise_alone_too(values, mix):
    over = {"model": {"depth": 14}, "mix": mix, "init": "teacher", "finetune": {"epochs": 1.0}}
    given = {"teacher": "teacher", "student": over, "noise": {"dropout": 0.1}, "pseudolabel": {"noise": True}}
    planned = plan(generations(values, gen1=given | {"student": over | {"init": "random"}}))
    settings = check(planned.parameters)
    alone = settings.generation(planned.control)
    assert (alone.student.model.depth, alone.noise.dropout, alone.student.mix) == (14, 0.1, "none")
    look = settings.generation(planned.look)
    assert (look.teacher, look.student.steps, look.pseudolabel.noise) == ("student-gen1", 1, False)
    assert (look.student.finetune.epochs, look.balance.enabled) == (0.0, False)


def test_a_plateau_of_the_student_is_none_of_noise_alone(values):
    changes = {"student.steps": None, "student.epochs": 4, "student.validate_every": None, "data.validation": 100}
    changes |= {"student.schedule.name": "constant", "student.schedule.plateau_from_epoch": 2}
    changes |= {"student.select_by": "loss", "teacher.select_by": "loss", "student.schedule.warmup": 0.0}
    planned = plan(with_values(values, changes))
    assert control(planned).schedule.plateau_from_epoch is None


def test_only_the_chain_of_the_last_student_is_run(values):
    none = {"teacher": "teacher", "student": {"mix": "none"}}
    given = {"other": {"teacher": "teacher"}, "a": {"teacher": "teacher"}, "noise": none, "b": {"teacher": "student-a"}}
    given["look"] = none
    assert chain_of(params.check(generations(values, **given))) == ("a", "b")
    planned = plan(generations(values, **given))
    assert list(planned.parameters["generations"]) == ["a", "b", "noise-alone", "look-alone"]
    with pytest.raises(UserError, match="learns from pseudo-labels"):
        plan(generations(values, gen1=none))


def test_three_arms_of_a_seed_are_one_run(values):
    before = copy.deepcopy(values)
    planned = plan(with_values(values, {"seed": 4, "data.seed": 7}))
    jobs = planned.jobs(2)
    assert [(job.arm, job.model, job.teacher) for job in jobs[:3]] == [
        ("teacher", "teacher", "teacher"),
        ("noise", "student-noise", "teacher"),
        ("student", "student-gen1", "teacher"),
    ]
    assert len({job.experiment for job in jobs}) == 2
    assert [(job.parameters["seed"], job.parameters["data"]["seed"]) for job in jobs[::3]] == [(4, 7), (5, 8)]
    assert values == before
    assert rows.table_path("verdict", planned.preset).parts[:2] == ("metrics", "verdict")


def test_other_images_are_another_verdict_and_paths_are_absolute(values, tmp_path, monkeypatch):
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / f"photos/{split}/{name}").mkdir(parents=True)
            for number in range(4):
                image = np.full((8, 8, 3), 20 * number + len(split) + ord(name[0]), np.uint8)
                Image.fromarray(image).save(tmp_path / f"photos/{split}/{name}/{number}.png")
    monkeypatch.chdir(tmp_path)
    changes = {"data.source": "folder", "data.root": "photos", "data.labelled": 2, "data.validation": 2}
    values = with_values(values, changes | {"data.test": None})
    first = plan(values)
    assert first.parameters["data"]["root"] == str(tmp_path / "photos")
    assert plan(values).preset == first.preset
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "photos/train/cat/0.png")
    assert plan(values).preset != first.preset
    assert plan(with_values(values, {"student.ema": 0.5})).preset != plan(values).preset


def test_other_weights_and_listed_images_are_another_verdict(values, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png"):
        Image.fromarray(np.full((8, 8, 3), ord(name[0]), np.uint8)).save(tmp_path / name)
    (tmp_path / "pool.txt").write_text("a.png\nb.png\n")
    (tmp_path / "w.weights.h5").write_bytes(b"weights")
    monkeypatch.setattr("experiments.verdict.plan.check", params.check)  # the file holds no weights
    listed = with_values(values, {"data.unlabelled_from": "pool.txt", "data.unlabelled": None})
    weighed = with_values(values, {"teacher.init": "pretrained", "teacher.weights": "w.weights.h5"})
    first, second = plan(listed).preset, plan(weighed).preset
    assert (plan(listed).preset, plan(weighed).preset) == (first, second)
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "b.png")
    (tmp_path / "w.weights.h5").write_bytes(b"other weights")
    assert plan(listed).preset != first
    assert plan(weighed).preset != second


def test_what_a_pretrained_teacher_hands_on_is_not_counted_as_gain(values, monkeypatch):
    monkeypatch.setattr("experiments.verdict.plan.check", params.check)  # there is no file of weights
    values = with_values(values, {"teacher.init": "pretrained", "teacher.weights": "w.h5", "student.init": "teacher"})
    values = with_values(values, {"student.steps": 100, "student.validate_every": 50, "student.freeze_blocks": 1})
    planned, learned = plan(values), params.check(values).student
    alone = params.check(planned.parameters).generation(planned.control).student
    assert (alone.init, alone.freeze_blocks, planned.inherits, planned.lacks) == ("teacher", 1, True, False)
    images = 100 * (learned.batch_size + learned.unlabelled_batch_size)  # of the student, not the teacher's
    assert alone.steps * alone.batch_size == images
    teacher = params.check(values).teacher
    assert planned.images == 2 * images + teacher.steps * teacher.batch_size
    wider = with_values(values, {"student.init": "random", "student.freeze_blocks": None, "student.model.width": 32})
    planned = plan(wider)
    assert (planned.inherits, planned.lacks) == (False, True)
    assert params.check(planned.parameters).generation(planned.control).student.init == "random"
    plain = plan(with_values(values, {"teacher.init": "random"}))
    assert (plain.inherits, plain.lacks) == (False, False)


def test_other_code_is_another_verdict(values, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stages").mkdir()
    first = plan(values).preset
    (tmp_path / "stages/new.py").write_text("seed = 1")
    assert plan(values).preset != first


def test_a_student_with_frozen_blocks_has_a_control_whose_blocks_all_learn(values):
    values = with_values(values, {"student.init": "teacher", "student.freeze_blocks": 1})
    assert control(plan(values)).freeze_blocks is None
    own = {"gen1": {"teacher": "teacher", "student": {"init": "teacher", "freeze_blocks": 2}}}
    planned = plan(generations(with_values(values, {"student.freeze_blocks": None}), **own))
    settings = check(planned.parameters)
    assert [settings.generation(key).student.freeze_blocks for key in ("gen1", planned.control)] == [2, None]
    assert settings.generation(planned.look).student.freeze_blocks is None


def test_the_last_student_labels_the_whole_pool_whatever_the_others_do(values):
    values = with_values(values, {"pseudolabel.reassign": True})
    values = generations(values, gen1={"teacher": "teacher", "pseudolabel": {"reassign": False}})
    planned = plan(values)
    assert not check(planned.parameters).generation(planned.look).pseudolabel.reassign
