"""Figures that stand in sentences of README and of pages of docs/ are those of the committed rows."""

import json
import re

import numpy as np
import pytest

from experiments.study import definition, rows
from experiments.study.findings import Findings
from experiments.study.statistics import difference_over_seeds, mean_over_seeds
from experiments.study.wording import rounded
from support import ROOT


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def _text(page):
    """A page with single spaces."""
    return re.sub(r"\s+", " ", (ROOT / page).read_text(encoding="utf-8"))


@pytest.fixture
def readme():
    """README with single spaces."""
    return _text("README.md")


def _findings(name, preset="digits"):
    return Findings(name, definition.load(name), preset)


def _percent(values):
    return rounded(100 * mean_over_seeds(values).mean, 1)


def _gain(difference):
    """(mean with its sign, "LOW to HIGH"), in points."""
    low, high = (rounded(100 * end, 1) for end in (difference.low, difference.high))
    return rounded(100 * difference.mean, 1, "+"), f"{low} to {high}"


def test_natural_images(readme):
    found = _findings("natural-images", "cifar10-cpu")
    gains = {(one.arm, one.control): one for one in found.compared()}
    few, many = (gains[f"student-1-{labels}", f"noise-{labels}"] for labels in (1000, 4000))
    seeds = found.study.seeds_with("cifar10-cpu")
    assert few.over_seeds.n == many.over_seeds.n == seeds
    several = f"{seeds} seeds"
    arms = ("teacher", "noise", "student-1")
    (a, b, c), (teacher, noise, student) = (
        [_percent(found.by_seed(f"{arm}-{labels}")) for arm in arms] for labels in (1000, 4000)
    )
    reached = f"a teacher reaches {a} %, noise alone {b} % and a student {c} %"
    assert f"{reached}, with 4,000 labels {teacher}, {noise} and {student} %. At the same computing" in readme
    added, within = _gain(few.over_seeds)
    points, interval = _gain(many.over_seeds)
    added, points = added.removeprefix("+"), points.removeprefix("+")
    both = f"{added} points (95 % interval {within}) and {points} points ({interval}; [{several}][natural])"
    assert f"pseudo-labels add {both}" in readme
    short = f"On CIFAR-10 pseudo-labels add {added} points with 1,000 labels and {points} points with 4,000."
    assert short in _text("docs/studies.md")
    measured = mean_over_seeds(found.by_seed("student-1-4000"))
    deviation = rounded(100 * measured.deviation, 2)
    assert f"{rounded(100 * measured.mean, 2)} % (n = {measured.n}, sd {deviation}, [natural])" in readme
    goal = f"{student} %, {points} points above noise alone, 95 % interval {interval} ({several})"
    assert goal in _text("docs/performance.md")
    goal = f"with 1,000 labels 4 points: {added}, {within} ({several})"
    assert goal in _text("docs/performance.md")


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


def _peer(labels, use="inductive"):
    """Accuracies of LabelSpreading by seed."""
    own = {
        row["seed"]: row["accuracy"]
        for row in rows.read_peers("label-efficiency", "digits")
        if (row["peer"], row["use"], row["x"]) == ("LabelSpreading, 7-NN, converged", use, labels)
    }
    return np.array([own[seed] for seed in range(10)])


def test_the_peer(readme):
    study = _findings("label-efficiency")
    assert {len(own) for own in study.rows.values()} == {study.study.seeds_with("digits")} == {10}
    ahead = {x: difference_over_seeds(study.by_seed(f"student-3-{x}"), _peer(x)) for x in (10, 20, 40, 100, 300)}
    assert [x for x, gain in ahead.items() if gain.low < 0 < gain.high] == [10, 20, 40]
    ten, twenty, forty = (_percent(_peer(x)) for x in (10, 20, 40))
    hundred, most = (rounded(100 * ahead[x].mean, 1) for x in (100, 300))
    few = f"With 10, 20 and 40 labels it gets {ten}, {twenty} and {forty} %"
    few += ", statistically indistinguishable from student 3"
    assert f"{few}; with 100 and 300 it is {hundred} and {most} points behind ([10 seeds][peers])" in readme
    seen = {x: difference_over_seeds(_peer(x, "transductive"), study.by_seed(f"student-3-{x}")) for x in ahead}
    assert [x for x, lead in seen.items() if lead.low > 0] == [10]
    assert [x for x, lead in seen.items() if lead.high < 0] == [100, 300]
    lead = rounded(100 * seen[10].mean, 1)
    within = "If it may also use the test images, unlabelled, it is"
    assert f"{within} {lead} points ahead with 10 labels; with more nothing changes" in readme


def test_where_self_training_stops(readme):
    study = _findings("label-efficiency")
    last = {one.arm: one for one in study.compared() if one.arm.startswith("student-3") and "long" not in one.control}
    gains = {x: last[f"student-3-{x}"] for x in (10, 20, 40, 100, 300)}
    assert [x for x, one in gains.items() if one.verdict == "better"] == [10, 20, 40, 100]
    assert gains[300].verdict == "equivalent"
    assert gains[300].p > 0.05  # after Holm's correction
    counted = f"at 300 labels no longer so with all {len(study.compared())} comparisons of the study counted"
    assert counted in readme
    assert "pays where labels are few, and hardly at 300" in readme
    gained = {x: 100 * one.over_seeds.mean for x, one in gains.items()}
    assert {rounded(gained[10], 0), rounded(gained[20], 0)} == {"14"}
    assert 0 < gained[300] < 1
    shrinks = "shrinks from 14 points at 10 and 20 labels to less than one at 300"
    assert shrinks in _text("docs/studies.md")


def test_how_far_seeds_lie_apart(readme):
    study, controls = _findings("label-efficiency"), _findings("controls")
    students = study.by_seed("student-3-20")
    low, high = (rounded(100 * end, 1) for end in (students.min(), students.max()))
    noise, long = _percent(study.by_seed("noise-20")), _percent(controls.by_seed("supervised-all"))
    over_ten = f"over ten seeds student 3 reaches {_percent(students)} %"
    assert f"{over_ten} ({low} to {high} %), noise alone {noise} %, as long as all three students {long} %" in readme
    assert f"{over_ten} in the mean, {low} to {high} %" in _text("docs/tutorial.md")
    committed = json.loads((ROOT / "metrics/eval.json").read_text())["student-gen3"]["accuracy"]
    assert students.min() <= committed <= students.max()  # else say that it is a lucky or an unlucky one
    short = _percent(controls.by_seed("supervised"))
    twice = f"has {noise} % in `label-efficiency` and {short} % in `controls`, 10 seeds each"
    assert twice in _text("docs/studies.md")


def test_the_parts_of_self_training(readme):
    """Noise alone is here the arm that has the same computing."""
    found = _findings("controls")
    arms = ("self-training", "supervised-all", "no-noise", "self-distillation")
    students, noise, labels, distillation = (_percent(found.by_seed(arm)) for arm in arms)
    assert {len(own) for own in found.rows.values()} == {found.study.seeds_with("digits")} == {10}
    assert (
        f"all three students: they reach {students} %, noise alone {noise} %, pseudo-labels without noise {labels} %, "
        f"self-distillation {distillation} %"
    ) in readme
    parts = [one.over_seeds.mean for one in found.compared() if one.arm != "ceiling"]
    assert len(parts) == 6
    assert max(parts) < -0.1
    assert "beats every part of it, at the same computing, by 10 points and more" in _text("docs/studies.md")
    gain, _ = _of(found, "corruption_error", "supervised-all")
    assert f"the students err {gain} points less often than noise alone ([10 seeds]" in readme


def test_the_generations(readme):
    found = _findings("generations")
    one, two, three, long = (_percent(found.by_seed(arm)) for arm in ("one", "two", "three", "one-triple"))
    assert {len(own) for own in found.rows.values()} == {10}
    reached = f"students one to three reach {one}, {two} and {three} %"
    assert f"{reached}, one student with the steps of all three {long} % ([10 seeds][generations])" in readme
    first, second, third = (rounded(100 * one.over_seeds.mean, 1) for one in _findings("each-generation").compared())
    assert f"generations add {first}, {second} and {third} points, each to the model before it" in _text(
        "docs/studies.md"
    )


def test_the_noise(readme):
    found = _findings("noise")
    lower = {one.arm: one for one in found.compared()}
    assert {one.over_seeds.n for one in lower.values()} == {18}
    arms = ("no-randaugment", "noised-labelling")
    images, labelling = (rounded(-100 * lower[arm].over_seeds.mean, 1) for arm in arms)
    assert f"without it the first student ends {images} points lower, without stochastic depth or dropout" in readme
    assert {lower[arm].verdict for arm in ("no-depth", "no-dropout")} == {"equivalent"}
    assert f"with it, {labelling} points lower ([18 seeds][noise])" in readme


def test_noise_alone_for_as_long_as_all_students(readme):
    found, means = _findings("label-efficiency"), {}
    for arm in ("noise-20", "noise-100", "noise-300", "noise-long-20", "noise-long-100", "noise-long-300"):
        means[arm] = 100 * mean_over_seeds(found.by_seed(arm)).mean
    more = [rounded(means[f"noise-long-{labels}"] - means[f"noise-{labels}"], 1) for labels in (20, 100, 300)]
    assert f"it ends {min(more)} to {max(more)} points higher (20, 100 and 300 labels)" in readme


def test_the_goals_on_the_digits():
    text = _text("docs/performance.md")
    gain, interval = _of(_findings("controls"), "accuracy", "supervised-all")
    assert f"+{gain} points, 95 % interval {interval} (10 seeds)" in text
    students, peers = _findings("label-efficiency").by_seed("student-3-20"), _peer(20)
    gain, interval = _gain(difference_over_seeds(students, peers))
    against = f"{_percent(students)} against {_percent(peers)} % (10 seeds)"
    assert f"{against}, {gain} points, 95 % interval {interval}" in text


def test_the_robustness_of_self_training():
    text, found = _text("docs/robustness.md"), _findings("controls")
    columns = ("accuracy", "corruption_error", "flip_probability", "fgsm_accuracy")
    clean, corrupted, flips, attacked = (_of(found, column, "supervised-all") for column in columns)
    lower = f"{corrupted[0]} points lower ({corrupted[1]}; on clean ones {clean[0]})"
    fewer = f"flips {flips[0]} points less often ({flips[1]})"
    assert f"{lower}, it {fewer}, and its accuracy under FGSM is {attacked[0]} points higher ({attacked[1]})" in text
    no_noise, distillation = (_of(found, "corruption_error", arm)[0] for arm in ("no-noise", "self-distillation"))
    assert f"leave {no_noise} points more error on corrupted images" in text
    assert f"(self-distillation) {distillation}." in text


def _of(found, column, arm):
    """(by how many points an arm is worse than self-training, the interval)."""
    difference = next(one.over_seeds for one in found.compared(column) if one.arm == arm)
    factor = -100 if column.endswith("accuracy") else 100
    low, high = sorted((factor * difference.low, factor * difference.high))
    return rounded(factor * difference.mean, 1), f"{rounded(low, 1)} to {rounded(high, 1)}"
