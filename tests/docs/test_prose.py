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


def _gain(difference):
    """(mean with its sign, "LOW to HIGH"), in points."""
    low, high = (rounded(100 * end, 1) for end in (difference.low, difference.high))
    return rounded(100 * difference.mean, 1, "+"), f"{low} to {high}"


def test_what_noise_does_to_a_teacher(readme):
    found = _findings("article")
    teacher, student = (found.compared(column)[0].over_seeds for column in ("teacher_accuracy", "accuracy"))
    clean, noised = (_percent(found.by_seed(arm, "teacher_accuracy")) for arm in ("clean", "noised"))
    gain, interval = _gain(teacher)
    helped = (
        f"It helps the teacher, from {clean} to {noised} % ({gain} points, 95 % interval {interval}, {teacher.n} seeds)"
    )
    gain, interval = _gain(student)
    assert f"{helped}, and its first student no more than the other teacher's ({gain}, {interval})" in readme


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
    few = f"is as good with 20 and 40 labels ({twenty} and {forty} %), better with 10 ({ten} %)"
    assert f"{few}, and worse with 100 and 300 ({hundred} and {most} %)" in readme
