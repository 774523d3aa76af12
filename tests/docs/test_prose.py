"""Figures that stand in README's sentences are those of the committed rows."""

import re

import pytest

from experiments.study import definition, rows
from experiments.study.findings import Findings
from experiments.study.statistics import mean_over_seeds
from experiments.study.wording import rounded
from support import ROOT


@pytest.fixture
def readme(monkeypatch):
    """README with single spaces, from the repository's root."""
    monkeypatch.chdir(ROOT)
    return re.sub(r"\s+", " ", (ROOT / "README.md").read_text(encoding="utf-8"))


def _findings(name):
    return Findings(name, definition.load(name), "digits")


def _percent(values):
    return rounded(100 * mean_over_seeds(values).mean, 1)


def _interval(estimate, joint):
    return joint.join(rounded(100 * value, 1) for value in (estimate.low, estimate.high))


def test_what_noise_does_to_a_teacher(readme):
    found = _findings("article")
    teacher = next(one for one in found.compared("teacher_accuracy"))
    student = next(one for one in found.compared())
    clean, noised = (_percent(found.by_seed(arm, "teacher_accuracy")) for arm in ("clean", "noised"))
    assert (
        f"It helps the teacher, from {clean} to {noised} % ({rounded(100 * teacher.over_seeds.mean, 1, '+')} points, 95 % "
        f"interval {_interval(teacher.over_seeds, ' to ')}, {teacher.over_seeds.n} seeds), and its first student no more than "
        f"the other teacher's ({rounded(100 * student.over_seeds.mean, 1, '+')}, {_interval(student.over_seeds, ' to ')})"
    ) in readme


def test_the_peer(readme):
    by_labels: dict[float, list[float]] = {}
    for row in rows.read_peers("label-efficiency", "digits"):
        if (row["peer"], row["use"]) == ("LabelSpreading, 7-NN, converged", "inductive"):
            by_labels.setdefault(row["x"], []).append(row["accuracy"])
    assert sorted(by_labels) == [10, 20, 40, 100, 300]
    ten, twenty, forty, hundred, most = (_percent(accuracies) for _, accuracies in sorted(by_labels.items()))
    study = _findings("label-efficiency")
    seeds = {len(accuracies) for accuracies in by_labels.values()} | {len(own) for own in study.rows.values()}
    assert f"These are {seeds.pop()} of the {study.study.seeds_with('digits')} seeds" in readme
    assert not seeds  # all have as many
    assert (
        f"LabelSpreading, on the same pixels, is as good with 20 and 40 labels ({twenty} and {forty} %), better with 10 "
        f"({ten} %), and worse with 100 and 300 ({hundred} and {most} %)"
    ) in readme
