"""Rows and what is made of them; the committed reports are those of the committed rows."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from experiments.study import columns, definition, figures, pilot, plan, report, rows, run, tables, wording
from experiments.study.findings import Compared, Findings
from experiments.study.statistics import decide, mean_over_seeds
from noisy_student.runtime.errors import UserError
from support import ROOT

COMMITTED = sorted(
    path
    for path in (ROOT / "docs/studies").glob("*/*.csv")
    if not path.stem.endswith((".outcomes", ".peers", "test-images", rows.PILOT))
)

NAMES = [path.stem for path in (ROOT / "studies").glob("*.yaml")]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A project with the study `article` and no rows."""
    (tmp_path / "studies").mkdir()
    text = (ROOT / "studies/article.yaml").read_text()
    (tmp_path / "studies/article.yaml").write_text(text)
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets/digits.yaml").write_text((ROOT / "presets/digits.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def row(arm, seed, accuracy, **more):
    """A row with a teacher at 0.8."""
    values = dict.fromkeys(rows.COLUMNS) | {"arm": arm, "seed": seed, "accuracy": accuracy, "seconds": 60.0}
    values |= {"teacher_accuracy": 0.8, "settings": f"{arm:0>8}"[-8:], "commit": "a" * 40, "machine": "M, 2 cores"}
    return values | more


def outcomes(right, first=0):
    """Outcomes of images that are numbered from `first` on."""
    return rows.Outcomes(np.arange(first, first + len(right), dtype=np.uint32), np.asarray(right))


def add_all(accuracies, images=100):
    """Rows of {arm: accuracies}; outcomes of so many images that fit, others for every seed."""
    for arm, values in accuracies.items():
        for seed, value in enumerate(values):
            right = outcomes(np.arange(images) < round(images * value), seed * images)
            rows.add("article", "digits", row(arm, seed, value), right)


def test_rows_come_back_as_they_were(folder):
    right = np.random.default_rng(0).random(501) < 0.5
    rows.add("article", "digits", row("clean", 1, 0.9, nll=0.1, commit="b" * 40 + "+changes"), outcomes(right))
    rows.add("article", "digits", row("clean", 0, 1 / 3), outcomes(right[:7], 2**32 - 7))
    rows.add("article", "digits", row("clean", 1, 0.95, nll=0.25), outcomes(~right))  # in the older one's place
    rows.add("article", "digits", row("noised", 0, 0.5), None)
    found = rows.read("article", "digits")
    assert list(found) == [("clean", 1), ("clean", 0), ("noised", 0)]
    assert found["clean", 0]["accuracy"] == 1 / 3
    assert found["clean", 0]["ece"] is None
    assert (found["clean", 1]["accuracy"], found["clean", 1]["nll"]) == (0.95, 0.25)
    assert len(rows.table_path("article", "digits").read_text().splitlines()) == 1 + 3
    known = rows.read_outcomes("article", "digits")
    assert set(known) == {("clean", 1), ("clean", 0)}
    np.testing.assert_array_equal(known["clean", 1].right, ~right)
    np.testing.assert_array_equal(known["clean", 0].right, right[:7])
    assert known["clean", 0].images.tolist() == list(range(2**32 - 7, 2**32))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("accuracy,", "acuracy,", 1), "missing: accuracy; unknown: acuracy"),
        (lambda text: text.replace("nll,", "nlll,", 1), "columns are not those of .*; unknown: nlll"),
        (lambda text: text.replace("nll,", "ece,", 1), "a column stands there twice: ece"),
        (lambda text: text.replace("0.9,", "high,", 1), "accuracy of arm clean, seed 0 is 'high', no number"),
        (lambda text: text.replace("0.9,", "nan,", 1), "accuracy of arm clean, seed 0 is 'nan', no number"),
        (lambda text: text.replace("0.9,", ",", 1), "accuracy of arm clean, seed 0 is '', no number"),
        (lambda text: text.replace(",60.0,", ",,", 1), "seconds of arm clean, seed 0 is '', no number"),
        (lambda text: text.replace("clean,0", "clean,one", 1), "line 2: seed is 'one', no whole number"),
        (lambda text: text + text.splitlines()[1], "line 3: it stands there twice"),
        (lambda text: text + "<<<<<<< HEAD\n", "line 3: fewer cells than columns"),
        (lambda text: text.replace("clean,0", "clean,0,0", 1), "line 2: more cells than columns"),
        (lambda text: "", "missing: arm, seed, "),
    ],
)
def test_rows_that_were_altered(folder, change, message):
    add_all({"clean": [0.9]})
    path = rows.table_path("article", "digits")
    path.write_text(change(path.read_text()))
    with pytest.raises(UserError, match=message) as error:
        rows.read("article", "digits")
    assert str(error.value).startswith(str(path))


def test_tables_from_before_a_column_was_added(folder, monkeypatch):
    add_all({"clean": [0.9, 0.8]})
    before = rows.read("article", "digits")
    monkeypatch.setitem(columns.METRICS, "brier", columns.Column("Brier score", 1, dict.get, "brier"))
    monkeypatch.setattr(rows, "COLUMNS", (*rows.KEYS, *columns.METRICS, *rows.FACTS))
    assert rows.read("article", "digits") == {key: found | {"brier": None} for key, found in before.items()}
    rows.add("article", "digits", row("clean", 2, 0.7, brier=0.25), None)
    assert [found["brier"] for found in rows.read("article", "digits").values()] == [None, None, 0.25]
    assert "| Brier score |" in tables.other_table(Findings("article", definition.load("article"), "digits"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[: text.rindex(",") + 1] + "####\n", "arm clean, seed 1: not what was written"),
        (lambda text: text[: text.rindex(",") + 5] + "\n", "arm clean, seed 1: outcomes of 24 images"),
        (lambda text: text[: text.index("clean,1,") + 8] + "00000000,AA==\n", "are not in .*test-images.csv"),
    ],
)
def test_outcomes_that_were_altered(folder, change, message):
    add_all({"clean": [0.9, 0.8]})
    path = rows.outcomes_path("article", "digits")
    path.write_text(change(path.read_text()))
    with pytest.raises(UserError, match=message):
        rows.read_outcomes("article", "digits")


def test_other_test_images_of_a_seed_leave_those_of_other_studies_as_they_are(folder):
    """The first arm was measured on 100 images, the second, of the same seed, on 40 others."""
    add_all({"clean": [0.90, 0.92]})
    before = rows.read_outcomes("article", "digits")
    for seed, accuracy in enumerate((0.5, 0.75)):
        right = outcomes(np.arange(40) < 40 * accuracy, 1000)
        rows.add("article", "digits", row("noised", seed, accuracy), right)
    after = rows.read_outcomes("article", "digits")
    for key, found in before.items():
        np.testing.assert_array_equal(after[key].right, found.right)
        np.testing.assert_array_equal(after[key].images, found.images)
    assert after["noised", 1].right.sum() == 30
    findings = Findings("article", definition.load("article"), "digits")
    (one,) = findings.compared()
    assert one.over_images is None  # images can only be paired with themselves
    assert one.over_seeds.n == 2


def test_the_table_by_hand(folder):
    add_all({"clean": [0.90, 0.92, 0.94], "noised": [0.91, 0.95, 0.96]})
    found = Findings("article", definition.load("article"), "digits")
    # differences 1, 3, 2 points: mean 2, deviation 1, half interval 4.3027 / sqrt(3) = 2.4841
    assert tables.main_table(found).splitlines()[2:] == [
        "| teacher without noise | 3 | 92.00 (2.00) | 87.03 to 96.97 | +12.00 | control |  |  |  |",
        # t = 2 / (1 / sqrt(3)) = 3.464 with two degrees of freedom
        "| teacher with noise | 3 | 94.00 (2.65) | 87.43 to 100.00 | +14.00 | +2.00 | -0.48 to +4.48 "
        "| undecided: needs 4 seeds | 0.074 |",
    ]
    assert (
        "Undecided: from 0.48 points worse to 4.48 better remain possible; a verdict to within 3 points needs 4 seeds"
        in report.conclusions_list(found)
    )
    assert "differences below 3 points are of no interest; 10 seeds." in report.markdown(found)
    images = tables.images_table(found).splitlines()[-1]
    # 6 of 300 gained, none lost
    assert images.startswith("| teacher with noise | teacher without noise | 300 | +2.00 | +0.")


@pytest.mark.parametrize(("test", "refused"), [(None, True), (500, False)])
def test_a_run_on_another_archive_is_no_further_seed(folder, tmp_path, monkeypatch, test, refused):
    """Where every seed is tested on all test images of the source; others are cut anew by every seed."""
    rows.add("article", "digits", row("clean", 0, 0.9), outcomes([True, False]))
    measured = row("clean", 1, 0.8), outcomes([True, True], first=7)
    monkeypatch.setattr(rows, "measure", lambda *_: measured)
    carried_out = {"data": {"test": test}}
    job = SimpleNamespace(
        experiment="e", carried_out=carried_out, model="m", teacher="t", study="article", preset="digits", arm="clean"
    )
    job.seed, job.settings = 1, "0" * 8
    monkeypatch.setattr(run.environment, "commit", lambda: "c" * 40)
    added = run.Runner(1, say=print)._run_one(None, None, job, tmp_path / "log", collected=True)
    assert (added is None, ("clean", 1) in rows.read("article", "digits")) == (refused, not refused)
    if refused:
        assert "tested on other images than seed 0 of clean" in (tmp_path / "log").read_text()
        rows.refuse_other_images("article", "digits", "noised", measured[1])  # of another arm
        rows.refuse_other_images("article", "digits", "clean", outcomes([False, False]))
        rows.table_path("article", "digits").unlink()  # as the message advises where parameters are others
        rows.refuse_other_images("article", "digits", "clean", measured[1])


def test_an_arm_with_two_controls_has_two_lines(folder):
    add_all({"clean": [0.90, 0.92, 0.94], "noised": [0.91, 0.95, 0.96]})
    study = definition.load("article")
    third = study.arms["noised"].model_copy(update={"shown": "third", "control": ["clean", "noised"]})
    study = study.model_copy(update={"arms": {**study.arms, "third": third}})
    for seed in range(3):
        rows.add("article", "digits", row("third", seed, (0.95, 0.95, 0.98)[seed]), None)
    lines = tables.main_table(Findings("article", study, "digits")).splitlines()
    # 5, 3, 4 and 4, 0, 2 points
    assert [line.split("|")[6:8] for line in lines[-2:]] == [
        [" teacher without noise ", " +4.00 "],
        [" teacher with noise ", " +2.00 "],
    ]
    assert lines[-1].startswith("|  |  |  |")


def test_only_intervals_that_there_are_count(folder):
    add_all({"clean": [0.90], "noised": [0.91]})
    for seed, error in enumerate((0.2, 0.3)):
        for arm, more in (("clean", 0), ("noised", 0.01 * seed)):
            both = {"corruption_error": error + more, "flip_probability": error + 2 * more}
            rows.add("article", "digits", row(arm, seed, 0.9, **both), None)
    said = report.conclusions(Findings("article", definition.load("article"), "digits"))
    # accuracy and the teacher's are equal on both seeds: no interval; corruptions and flips have one
    assert "Each of the 2 intervals over seeds stands for itself" in " ".join(said)


def test_seeds_that_the_control_lacks_are_left_out_of_the_difference(folder):
    add_all({"clean": [0.90, 0.92], "noised": [0.91, 0.95, 0.99]})
    (one,) = Findings("article", definition.load("article"), "digits").compared()
    assert (one.over_seeds.n, one.over_images.n) == (2, 200)
    assert one.over_seeds.mean == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("values", "p", "verdict", "said"),
    [
        (
            [5.0, 5.2, 4.8, 5.0],
            0.01,
            "better",
            "Better, by at least 4.74 points according to the interval; p = 0.010 after",
        ),
        (
            [-5.0, -5.2, -4.8, -5.0],
            0.07,
            "worse",
            "by at least 4.74 points according to the interval; p = 0.070 after Holm's "
            "correction, and no longer significant.",
        ),
        (
            [0.1, -0.1, 0.2, -0.2],
            0.0004,
            "equivalent",
            "Equivalent, to within 3 points either way; p < 0.001 after Holm's",
        ),
        (
            [0.5, 0.6, 0.4, 0.5],
            0.01,
            "equivalent",
            "to within 3 points either way: not zero, but too small to be of interest;",
        ),
        ([1.0, 2.0, 3.0], 0.1, "undecided: needs 4 seeds", "from 0.48 points worse to 4.48 better remain possible"),
        (
            [1.0, 20.0, 3.0],
            0.1,
            "undecided: needs more than 40 seeds",
            "points needs more than 40 seeds at this deviation.",
        ),
        ([5.0, 5.2], 0.1, "undecided: needs 3 seeds", "Undecided: fewer than 3 seeds decide nothing, and from"),
        ([5.0], np.nan, "undecided: one seed", "one seed only. Undecided: the deviation is not known."),
        (
            [2.0, 2.0, 2.0],
            np.nan,
            "undecided: all seeds alike",
            "+2.00 points on each of 3 seeds. Undecided: the deviation",
        ),
    ],
)
def test_what_may_be_concluded(values, p, verdict, said):
    difference = mean_over_seeds(np.divide(values, 100))
    one = Compared("a", "b", "A", difference, 0.03, decide(difference, 0.03), p, None)
    assert wording.verdict(one) == verdict
    assert said in wording.conclusion(one, "B")


@pytest.mark.parametrize(
    ("value", "options", "shown"),
    [
        (100 * 0.75645, {}, "75.65"),
        (75.645, {}, "75.65"),
        (-0.075, {"sign": "+"}, "-0.08"),
        (100 * (0.5 - 0.50075), {"sign": "+"}, "-0.08"),
        (-1e-15, {"sign": "+"}, "+0.00"),
        (-0.004, {"sign": "+"}, "+0.00"),
        (0.12345, {"digits": 3}, "0.123"),
        (1234.5, {}, "1234.50"),
    ],
)
def test_numbers_are_rounded_alike_whatever_sum_they_stem_from(value, options, shown):
    assert wording.rounded(value, **options) == shown


@pytest.mark.parametrize(
    ("shares", "shown"),
    [((0.01,), "1 point"), ((0.005,), "0.5 points"), ((0.03,), "3 points"), ((0.01, 0.03), "1 or 3 points")],
)
def test_one_point_is_no_points(shares, shown):
    assert wording.points(*shares) == shown


def test_a_report_is_written_whole(folder):
    add_all({"clean": [0.90, 0.92, 0.94], "noised": [0.91, 0.95, 0.96]})
    (folder / "README.md").write_text("before\n<!-- study: digits/article arms -->\nold\n<!-- end -->\nafter\n")
    study = definition.load("article")
    line = report.write("article", study, "digits")
    assert (
        "teacher with noise: +2.00 points (-0.48 to +4.48) to teacher without noise, undecided: needs 4 seeds" in line
    )
    text = (folder / "docs/studies/digits/article.md").read_text()
    for part in (
        "# Does noise",
        "What may be concluded",
        "Over test images",
        "Commit aaaaaaaaaa; M, 2 cores.",
    ):
        assert part in text
    assert Image.open(folder / "docs/studies/digits/article.png").size[0] > 900
    table = tables.main_table(Findings("article", study, "digits"))
    readme = (folder / "README.md").read_text()
    assert readme == f"before\n<!-- study: digits/article arms -->\n{table}\n<!-- end -->\nafter\n"
    head = (folder / "studies/article.yaml").read_text()
    first = "6 runs, 6 minutes of computing (median of a run: 60 seconds)"
    assert head.startswith(f"# python -m experiments.study run article\n# {first}")
    assert definition.load("article") == study
    report.write("article", study, "digits")  # again: one head, not two
    assert (folder / "studies/article.yaml").read_text() == head
    (folder / "studies/article.yaml").write_text(f"# mine\n{head}")  # the user's comments stay
    report.write("article", study, "digits")
    again = (folder / "studies/article.yaml").read_text()
    assert again.startswith(head.splitlines()[0])
    assert "# mine\n" in again


def test_a_report_of_fewer_seeds_does_not_take_the_place_of_the_whole_one(folder):
    add_all({"clean": [0.90, 0.92, 0.94], "noised": [0.91, 0.95, 0.96]})
    study = definition.load("article")
    report.write("article", study, "digits")
    whole = (folder / "docs/studies/digits/article.md").read_text()
    assert "article-2-seeds.md" in report.write("article", study, "digits", seeds=2)
    assert (folder / "docs/studies/digits/article.md").read_text() == whole
    text = (folder / "docs/studies/digits/article-2-seeds.md").read_text()
    assert "report article --preset digits --seeds 2`" in text
    assert "](article-2-seeds.png)" in text
    assert "| teacher with noise | 2 | 93.00 (2.83) |" in text


def test_a_mark_without_end_is_told_and_swallows_nothing():
    whole = "<!-- study: digits/none arms -->\na\n<!-- end -->\n"
    assert report.published(whole) == whole
    with pytest.raises(UserError, match="there is no `<!-- end -->`"):
        report.published(f"<!-- study: digits/none arms -->\nprose\n{whole}")


def test_the_picture_shows_every_seed_and_the_interval(folder):
    add_all({"clean": [0.90, 0.92, 0.94], "noised": [0.91, 0.95, 0.96]})
    panels = figures.arms(Findings("article", definition.load("article"), "digits"))["hconcat"]
    rows = [[layer["data"]["values"] for layer in panel["layer"]] for panel in panels]
    seeds, spans, _ = rows[0]
    found = {
        arm: [row["value"] for row in seeds if row["arm"] == arm] for arm in dict.fromkeys(r["arm"] for r in seeds)
    }
    np.testing.assert_allclose(list(found.values()), [(90, 92, 94), (91, 95, 96)])
    ends = [[92 - 4.9683, 92 + 4.9683], [94 - 6.5724, 100]]  # t(0.975, 2) = 4.3027; no accuracy is above 1
    np.testing.assert_allclose([(row["low"], row["high"]) for row in spans], ends, atol=1e-3)
    _, bands, controls, spans, inner, means = rows[1]
    half = 2.919986 / np.sqrt(3)  # t(0.95, 2); the differences are 1, 3 and 2
    np.testing.assert_allclose([(inner[0]["low"], inner[0]["high"])], [(2 - half, 2 + half)], atol=1e-3)
    assert [(row["arm"], row["value"]) for row in controls] == [(next(iter(found)), 0)]
    np.testing.assert_allclose([(spans[0]["low"], spans[0]["high"])], [(2 - 2.4841, 2 + 2.4841)], atol=1e-3)
    assert spans[0]["side"] == "#222222"  # undecided
    assert [(row["low"], row["high"]) for row in bands] == [(-3, 3), (-3, 3)]  # of no interest
    assert means[0]["value"] == pytest.approx(2)


def test_further_figures_are_compared_where_both_have_them(folder):
    for arm, errors in (("clean", (0.3, 0.4, None)), ("noised", (0.2, 0.2, 0.1))):
        for seed, error in enumerate(errors):
            rows.add("article", "digits", row(arm, seed, 0.9, corruption_error=error), None)
    found = Findings("article", definition.load("article"), "digits")
    *_, table = report.further(found)
    # differences -10 and -20: mean -15, half interval 12.7062 * 7.0711 / sqrt(2) = 63.53
    lines = table.splitlines()[2:]
    names = "| error on corrupted images, % | teacher with noise | teacher without noise"
    # t = -15 / (7.0711 / sqrt(2)) = -3 with one degree of freedom; three columns were measured, but each is a family
    expected = f"{names} | -15.00 | -78.53 to +48.53 | 0.205 |"
    assert [line for line in lines if "corrupted" in line] == [expected]
    assert len(lines) == 2  # the teachers' accuracy is there too, flips and attacks were not measured


def test_the_summary_has_every_comparison_of_every_study(folder):
    """Differences 1, 3, 2 points, as above, and no rows of the second study's control."""
    add_all({"clean": [0.90, 0.92, 0.94], "noised": [0.91, 0.95, 0.96]})
    (folder / "studies/empty.yaml").write_text((ROOT / "studies/article.yaml").read_text())
    rows.add("empty", "digits", row("noised", 0, 0.9), None)
    page = "<!-- study: digits/all summary -->\n<!-- end -->\n"
    line = "| [article](studies/digits/article.md) | teacher with noise | teacher without noise | 3 | +2.00 | "
    expected = f"{line}-0.48 to +4.48 | 3 | undecided: needs 4 seeds | 0.074 |"
    written = report.published(page).splitlines()
    assert written[1] == "1 comparison: 0 better, 0 worse, 0 equivalent, 1 undecided."
    assert written[5:] == [expected, "<!-- end -->"]
    assert report.published(page.replace("digits/", "cifar10/")).splitlines()[1] == "No study has rows yet."
    kept = page.replace("digits/all summary", "digits/empty arms").replace("<!-- end", "old\n<!-- end")
    assert report.published(kept) == kept


def test_holms_correction_counts_the_comparisons_of_the_study(folder):
    """Three arms against one control: the smallest p counts three times, the largest once."""
    add_all({"clean": [0.90, 0.92, 0.94], "noised": [0.91, 0.95, 0.96]})
    study = definition.load("article")
    more = {key: study.arms["noised"].model_copy(update={"shown": key}) for key in ("far", "near")}
    study = study.model_copy(update={"arms": {**study.arms, **more}})
    for seed, (far, near) in enumerate(zip((0.80, 0.83, 0.84), (0.901, 0.919, 0.94), strict=True)):
        rows.add("article", "digits", row("far", seed, far), None)
        rows.add("article", "digits", row("near", seed, near), None)
    noised, far, near = Findings("article", study, "digits").compared()
    # differences -10, -9, -10: t = -9.667 / (0.5774 / sqrt(3)) = -29 with two degrees of freedom
    assert (far.decision.verdict, far.p) == ("worse", pytest.approx(3 * 0.001187, rel=1e-3))
    assert noised.p == pytest.approx(2 * 0.0742, rel=1e-3)
    # 0.1, -0.1, 0: equivalent, so the p is that of the two one-sided tests: t = (0 - 3) / (0.1 / sqrt(3)) = -51.96,
    # p = 0.000185, the smallest of three again
    assert (near.decision.verdict, near.p) == ("equivalent", pytest.approx(3 * 0.000185, rel=2e-3))


def test_a_pilot_says_how_many_seeds_and_stays_out_of_the_tables(folder):
    """Differences of 1, 3 and 2 points: deviation 1, of which 3 points are three."""
    name, study = pilot.rows_name("article"), definition.load("article")
    for arm, values in {"clean": (0.90, 0.92, 0.94), "noised": (0.91, 0.95, 0.96)}.items():
        for seed, value in enumerate(values, pilot.FIRST_SEED):
            digest = definition.settings_digest(study.parameters(arm, "digits", seed))
            rows.add(name, "digits", row(arm, seed, value, settings=digest), outcomes(np.arange(100) < 100 * value))
    told = pilot.lines("article", study, "digits")
    assert not [line for line in told if "other parameters" in line]
    assert told[1].endswith("deviation 1.00 points (3 seeds); of interest from 3 points; seeds needed: 4")
    assert told[2].startswith("Write `seeds: 4` into studies/article.yaml")
    assert sorted(path.name for path in (folder / "docs/studies/digits").iterdir()) == ["article.pilot.csv"]
    assert report.published("<!-- study: digits/all summary -->\n<!-- end -->\n").splitlines()[1].startswith("No study")
    add_all({"clean": [0.90, 0.92, 0.94], "noised": [0.91, 0.95, 0.96]})
    found = Findings("article", study, "digits")
    assert "Without a pilot" not in report.markdown(found)
    assert "The [pilot](article.pilot.csv), 3 seeds from 100 on, asked for 4." in report.markdown(found)
    assert [one.over_seeds.n for one in found.compared()] == [3]
    finer = study.model_copy(update={"smallest_difference": {"other": 0.1}})
    assert pilot.lines("article", finer, "digits")[1].endswith("seeds needed: more than 40")
    assert pilot.lines("article", finer, "digits")[2].startswith("Write `seeds: 40`")
    rows.add(name, "digits", row("noised", pilot.FIRST_SEED + 1, 0.95, settings="0" * 8), None)  # of before an edit
    told = pilot.lines("article", study, "digits")
    assert told[2] == (
        "Of other parameters: noised. Remove these rows of docs/studies/digits/article.pilot.csv, run it again."
    )
    assert "The [pilot](article.pilot.csv) measured other parameters." in report.markdown(found)


@pytest.mark.parametrize(
    ("values", "seeds"),
    [
        ([20.0, 21.0, 22.0], 3),  # at least 18.5 points, so that a difference of 3 is not what has to be shown
        ([1.0, 2.0, 3.0], 4),
        ([2.0, 2.0, 2.0], None),
        ([2.0], None),
    ],
)
def test_seeds_that_a_comparison_of_a_pilot_needs(values, seeds):
    difference = mean_over_seeds(np.divide(values, 100))
    assert pilot.seeds_of(Compared("a", "b", "A", difference, 0.03, None, np.nan, None)) == seeds


def test_a_pilot_of_equal_runs_says_that_it_cannot_tell(folder):
    study = definition.load("article")
    for arm in ("clean", "noised"):
        for seed in (100, 101):
            digest = definition.settings_digest(study.parameters(arm, "digits", seed))
            rows.add(pilot.rows_name("article"), "digits", row(arm, seed, 0.9, settings=digest), None)
    told = pilot.lines("article", study, "digits")
    assert "deviation unknown" in told[1]
    assert "seeds needed: cannot be said" in told[1]
    assert "run the pilot with more --seeds" in told[2]


def test_the_list_says_what_cannot_be_run_with_a_preset(monkeypatch):
    monkeypatch.chdir(ROOT)
    told = plan.lines("paper")
    (at,) = [number for number, line in enumerate(told) if line.startswith("model-size")]
    assert told[at].endswith("not valid  none")
    assert "teacher.model.width" in told[at + 2]  # of the EfficientNets there
    assert told[at + 2].startswith("    study model-size: arm labels-8 with the preset paper:")
    assert not [line for line in plan.lines("digits") if "not valid" in line]


def test_the_list_says_what_is_missing(folder):
    def line():
        (found,) = [line for line in plan.lines("digits") if line.startswith("article")]
        return found.split("  ")

    assert [part.strip() for part in line() if part][-2:] == ["20 of 20", "none"]
    study = definition.load("article")
    for arm in study.arms:
        for seed in range(3):
            digest = definition.settings_digest(study.parameters(arm, "digits", seed))
            rows.add("article", "digits", row(arm, seed, 0.9, settings=digest), None)
    assert [part.strip() for part in line() if part][-2:] == ["14 of 20", "none"]
    rows.add("article", "digits", row("noised", 0, 0.9, settings="0" * 8), None)  # of other parameters
    rows.add(pilot.rows_name("article"), "digits", row("clean", 100, 0.9), None)
    assert [part.strip() for part in line() if part][-2:] == ["15 of 20", "1 seeds"]
    assert "3 points" in " ".join(line())


def test_a_report_says_whether_its_command_would_measure_the_same(folder):
    study = definition.load("article")

    def said(**others):
        for arm in study.arms:
            digest = definition.settings_digest(study.parameters(arm, "digits", 0))
            rows.add("article", "digits", row(arm, 0, 0.9, settings=others.get(arm, digest)), None)
        return report.markdown(Findings("article", study, "digits")).partition("with other parameters than")[0][-60:]

    assert "measured" not in said()
    assert said(noised="0" * 8).endswith("**Of the arms noised were measured ")
    assert said(noised="0" * 8, clean="1" * 8).endswith("**All arms were measured ")
    assert "measured" not in said()
    rows.add("article", "digits", row("noised", 1, 0.9, settings="0" * 8), None)  # another seed
    assert said().endswith("**Of the arms noised were measured ")


def test_without_rows_the_command_is_named(folder):
    with pytest.raises(UserError, match=r"article\.csv: no row of the control, .*study run article --preset digits"):
        Findings("article", definition.load("article"), "digits")
    only = definition.load("article").model_copy(update={"only": ["paper-digits"]})
    with pytest.raises(UserError, match=r"no row of the control, .*study run article --preset paper-digits$"):
        Findings("article", only, "digits")


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_committed_reports_are_those_of_their_rows(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    preset, name = path.parent.name, path.stem
    found = Findings(name, definition.load(name), preset)
    assert path.with_suffix(".md").read_text() == report.markdown(found)
    assert path.with_suffix(".png").is_file()
    settings = {
        (arm, seed): definition.settings_digest(found.study.parameters(arm, preset, seed))
        for arm, own in found.rows.items()
        for seed in own
    }
    measured = rows.read(name, preset)
    assert {key: measured[key]["settings"] for key in settings} == settings  # the study asks what was answered
    accuracies = {key: found.right.mean() for key, found in rows.read_outcomes(name, preset).items()}
    for key, accuracy in accuracies.items():
        assert measured[key]["accuracy"] == pytest.approx(accuracy)
    if preset == found.study.home:
        text = (ROOT / f"studies/{name}.yaml").read_text()
        assert text == report.with_head(text, found)


@pytest.mark.parametrize("name", NAMES)
def test_the_head_of_a_study_without_rows_says_so(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    study, text = definition.load(name), (ROOT / f"studies/{name}.yaml").read_text()
    empty = ROOT / f"docs/studies/{study.home}/{name}.csv" not in COMMITTED
    assert (text == report.without_rows(text, name, study)) is empty


@pytest.mark.parametrize("page", report.PUBLISHED)
def test_published_tables_are_those_of_the_committed_rows(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    text = (ROOT / page).read_text()
    whole = re.findall(r"^<!-- study: \S+/\S+ \w+ -->\n(?:.*\n)+?<!-- end -->", text, re.MULTILINE)
    assert len(whole) == len(re.findall("^<!-- study:", text, re.MULTILINE))
    assert report.published(text) == text


def test_as_many_test_images_as_there_may_be(folder):
    """A cell holds them all; csv refuses one of 131,073 characters unless it is told."""
    keys, right = np.arange(60_000, dtype=np.uint32), np.arange(60_000) % 3 == 0
    for seed in (0, 1):
        rows.add("article", "digits", row("noised", seed, 0.9), rows.Outcomes(keys, right))
    found = rows.read_outcomes("article", "digits")
    assert [np.array_equal(found["noised", seed].right, right) for seed in (0, 1)] == [True, True]
