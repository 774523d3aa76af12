"""The sentence and the estimate of images of no class, against values by hand, simulation and R's power.t.test."""

import numpy as np
import pytest
from PIL import Image

from experiments.study.statistics import seeds_needed
from experiments.verdict.answer import outside_sentence, picture, sentence
from experiments.verdict.known import SHARES, read, table, write_pool
from experiments.verdict.outside import Outside, Said, estimate, p_values, scores, share_outside
from noisy_student.drawing.canvas import save_chart
from noisy_student.settings.params import check
from support import ROOT, with_values

TEACHER = np.array([0.5, 0.5, 0.5])


def said(noise, student, labels=120):
    return sentence({"teacher": TEACHER, "noise": np.array(noise), "student": np.array(student)}, labels=labels)


@pytest.mark.parametrize(
    ("student", "expected"),
    [
        # differences 2, 3, 4: mean 3, deviation 1, half interval 4.3027 / sqrt(3) = 2.484
        ([0.72, 0.73, 0.74], "adds 3.0 points over noise alone, 95 % interval 0.5 to 5.5, 120 labels, 3 seeds"),
        ([0.68, 0.67, 0.66], "loses 3.0 points against noise alone, 95 % interval 0.5 to 5.5, 120 labels, 3 seeds"),
        ([0.70, 0.71, 0.72], "indistinguishable from noise alone: +1.0 points, 95 % interval -1.5 to 3.5, 120 labels"),
        ([0.70, 0.71, 0.72], "a difference of this size needs about 10 seeds (power 0.8)"),
        ([0.69, 0.70, 0.71], "a difference of this size needs more than 100 seeds"),
        ([0.72, 0.72, 0.72], "differ by the same +2.0 points on every seed, so there is no interval"),
    ],
)
def test_sentences_by_hand(student, expected):
    assert expected in said([0.70, 0.70, 0.70], student)


def test_fewer_than_three_seeds_are_no_verdict():
    expected = "self-training ends 2.0 points above noise alone, 1,200 labels, one seed: no verdict"
    assert said([0.7], [0.72], 1200) == expected
    expected = "self-training ends 4.1 points below noise alone, 20 labels, 2 seeds: no verdict"
    assert said([0.74, 0.742], [0.7, 0.7], 20) == expected


@pytest.mark.parametrize(("effect", "expected"), [(6.0, 3), (7.0, 3), (8.0, 3), (20.0, 2), (1000.0, 2)])
def test_large_effects_need_few_seeds(effect, expected):
    """Two pairs show seven deviations in 56 % of studies only."""
    assert seeds_needed(1.0, effect) == expected


def test_seeds_needed_are_those_of_simulated_studies():
    """The t-test of 4,000 simulated studies shows 0.8 deviations in 80 % with so many seeds, not with two less."""
    needed, rng = seeds_needed(1.0, 0.8, most=100), np.random.default_rng(0)
    assert needed == 15  # R: power.t.test(delta = .8, power = .8, type = "paired"): n = 14.30
    powers = []
    for n in (needed - 2, needed):
        drawn = rng.normal(0.8, 1, (4000, n))
        t = drawn.mean(axis=1) / drawn.std(axis=1, ddof=1) * np.sqrt(n)
        powers.append((np.abs(t) > {13: 2.1788, 15: 2.1448}[n]).mean())
    assert powers[0] < 0.785 < powers[1]


def test_scores_and_p_values_by_hand():
    teacher = Said(np.array([0, 1, 2]), np.array([0.9, 0.8, 0.5]))
    student = Said(np.array([0, 1, 0]), np.array([0.9, 0.5, 0.5]))
    np.testing.assert_allclose(scores(teacher, student), [0.81, 0.4, -0.75])
    np.testing.assert_allclose(p_values(np.array([-1, 0.5, 2]), np.array([0, 0.4, 0.6])), [1 / 4, 3 / 4, 1])


@pytest.mark.parametrize("share", SHARES)
def test_the_share_of_a_simulated_pool(share):
    """Images of the classes score as test images do, others lower."""
    rng = np.random.default_rng(1)
    test, outside = rng.beta(8, 2, 1000), round(2000 * share)
    pool = np.concatenate([rng.beta(8, 2, 2000 - outside), rng.beta(2, 8, outside)])
    found = estimate(pool, test)
    assert found.share == pytest.approx(share, abs=0.06)
    assert found.low <= share + 0.02
    assert share - 0.02 <= found.high
    assert share_outside(np.ones(10), test) == 0  # never below


def test_the_picture_and_the_sentence_about_the_pool(tmp_path):
    accuracies = {"teacher": TEACHER, "noise": TEACHER + 0.1, "student": TEACHER + 0.2}
    chart = picture(accuracies, "self-training adds")
    assert [row["value"] for row in chart["layer"][2]["data"]["values"]] == pytest.approx([50, 60, 70])
    save_chart(tmp_path / "verdict.png", chart)
    assert Image.open(tmp_path / "verdict.png").size[0] > 700
    text = outside_sentence([Outside(0.1, 0.05, 0.2, 990), Outside(0.3, 0.15, 0.4, 990)])
    assert text.startswith(
        "about 20 % of the 990 images of the pool belong to no class (95 % interval of a seed: 10 to 30;"
    )


def test_pools_have_the_share_that_they_say(digits, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    data = check(with_values(digits, {"data.image_size": 8})).data
    for share in (0.0, 0.3):
        write_pool(tmp_path / f"{share}", data, share)
        patches, images = (len(list((tmp_path / f"{share}").glob(f"{name}*"))) for name in ("patch", ""))
        assert patches / images == pytest.approx(share, abs=0.001)
        assert images - patches == 900


def test_the_table_of_known_shares_is_that_of_the_committed_rows(monkeypatch):
    monkeypatch.chdir(ROOT)
    rows = [{"share": 0.1, "estimate": 0.05}, {"share": 0.1, "estimate": 0.12}, {"share": 0.0, "estimate": 0.0}]
    assert table(rows).splitlines()[2:] == [
        "| 0 | 1 | 0.0 (0.0 to 0.0) | +0.0 | +0.0 |",
        "| 10 | 2 | 8.5 (5.0 to 12.0) | -1.5 | -5.0 |",
    ]
    page = (ROOT / "docs/verdict.md").read_text()
    shown = page.partition("<!-- known -->\n")[2].partition("<!-- end -->")[0].strip()
    assert shown == (table(read()) if read() else "Not measured yet.")


def test_how_low_the_estimate_reads_is_told(monkeypatch):
    monkeypatch.chdir(ROOT)
    found = {row["share"]: [] for row in read()}
    for row in read():
        found[row["share"]].append(100 * (row["estimate"] - row["share"]))
    assert all(np.mean(errors) <= 0 for errors in found.values())
    low = [np.mean(found[share]) for share in (0.1, 0.3, 0.5)]
    assert (round(-max(low)), round(-min(low)), round(-min(map(min, found.values())))) == (7, 10, 19)
    assert "it was 7 to 10 points too low in the mean, 19 at most" in (ROOT / "docs/verdict.md").read_text()
