"""Warnings of results that are hardly what was wanted: printed once by the stage that sees it, and recorded."""

import json

import numpy as np
import pytest

from noisy_student.runtime import layout
from noisy_student.runtime.advice import warn
from noisy_student.runtime.layout import TEACHER, Model
from noisy_student.training.doubts import doubts
from small import stage
from support import set_params


def history(**accuracies):
    return [{"step": int(step[1:]), "validation_accuracy": value} for step, value in accuracies.items()]


def lines(rows, best, *, model=TEACHER, select_by="loss", images=200, classes=8):
    return list(doubts(model, rows, rows[best], select_by=select_by, images=images, classes=classes))


def test_a_best_checkpoint_at_the_very_start():
    rows = history(_50=0.615, _100=0.6, _800=0.725)
    assert lines(rows, 0) == [
        "teacher: the checkpoint of step 50 of 800 is kept, by validation loss, with 61.5 % right; step 800 has "
        "72.5 %. Try teacher.select_by=accuracy or a lower learning rate."
    ]
    assert not lines(rows, 1)
    assert "Try student.select_by=loss" in lines(rows, 0, model=Model("gen1"), select_by="accuracy")[0]


@pytest.mark.parametrize(("images", "says"), [(29, True), (30, False)])
def test_few_validation_images(images, says):
    found = lines(history(_50=0.1, _100=0.9), 1, images=images)
    assert (
        found
        == ["teacher: only 29 validation images choose the checkpoint, each is 3.4 points. Raise data.validation."]
        * says
    )


def test_where_nothing_is_chosen_few_or_no_validation_images_are_no_matter():
    rows = history(_50=0.9, _100=0.8)
    assert not lines(rows, 0, select_by="last", images=20)
    blind = [{"step": 50, "train_accuracy": 0.3}, {"step": 100, "train_accuracy": 0.24}]
    assert lines(blind, 1, select_by="last", images=0) == [
        "teacher: 24.0 % of the training images are right, little more than by chance (12.5 %). Give more labels "
        "(data.labelled), or raise teacher.steps."
    ]


@pytest.mark.parametrize(
    ("classes", "accuracy", "says"), [(10, 0.19, True), (10, 0.21, False), (2, 0.74, True), (2, 0.76, False)]
)
def test_hardly_better_than_chance(classes, accuracy, says):
    found = lines(history(_50=0.0, _100=accuracy), 1, classes=classes)
    assert len(found) == says
    assert not says or f"by chance ({100 / classes:.1f} %)" in found[0]


def test_what_is_warned_of_is_printed_and_returned(capfd):
    assert warn([]) == []
    assert warn(iter(["a", "b"])) == ["a", "b"]
    assert capfd.readouterr().err == "warning: a\nwarning: b\n"


def test_few_pseudo_labels_of_a_class_that_are_repeated_often(workspace, capfd):
    """34 of class 0 and 2 of class 1, 17 times each; 4 of class 2, 8.5 times each, are no cause."""
    set_params({"pseudolabel.threshold": 0.5})
    probs = np.full((80, 10), 0.1, np.float32)
    for label, rows in enumerate((slice(0, 34), slice(34, 36), slice(36, 40))):
        probs[rows] = np.eye(10, dtype=np.float32)[label]
    np.save(layout.pseudo_labels("gen1") / "shard-00000.npy", probs)
    assert stage("balance", "gen1") is None
    [line] = [line for line in capfd.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert line.startswith("warning: balance gen1: few pseudo-labels are repeated often: 1 (2, 17 times each). Lower")
    recorded = json.loads((layout.balance_tables("gen1") / "warnings.json").read_text())
    assert [f"warning: {text}" for text in recorded] == [line]


def test_a_training_records_its_own(workspace, capfd):
    set_params({"teacher.optimizer.learning_rate": 1e-9})
    assert stage("teacher") is None
    recorded = json.loads(layout.TEACHER.summary.read_text())["warnings"]
    assert [line for line in capfd.readouterr().err.splitlines() if line.startswith("warning: teacher")] == [
        f"warning: {line}" for line in recorded
    ]
    assert any("by chance (10.0 %)" in line for line in recorded)
