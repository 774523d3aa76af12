"""The model card: every figure in it is worked out by hand from what stages wrote."""

import hashlib
import html
import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from ruamel.yaml import YAML

from commands import preset as presets
from noisy_student.data.labelled import LabelledImages
from noisy_student.runtime import layout
from noisy_student.runtime.layout import TEACHER, Model
from noisy_student.settings import params
from noisy_student.settings.params import check
from noisy_student.settings.schema import PHOTOGRAPHS, DataParams
from noisy_student.sources import provenance
from noisy_student.sources.adapters import ADAPTERS
from noisy_student.sources.interface import Source
from noisy_student.steps.card import Facts, card
from small import stage
from support import set_params

SPLIT = {"from": "train/", "licence": "CC BY 4.0", "sha256": "ab" * 32}
# of 20 images of a and 5 of b 17 and 2 are right: 19 of 25
MEASURED = {
    "accuracy": 0.76,
    "accuracy_interval": [0.5657, 0.8850],
    "nll": 0.5,
    "ece": 0.125,
    "recall": [{"class": "a", "recall": 0.85}, {"class": "b|c", "recall": 0.4}],
    "pseudo_label_coverage": 0.25,
    "pseudo_label_accuracy": 0.5,
}


@pytest.fixture
def facts(changed):
    """Of two classes, one without a pseudo-label that was chosen."""
    return Facts(
        settings=changed(data__labelled=4, student__ema=0.9, pseudolabel__threshold=0.75),
        student=Model("gen1"),
        teacher=TEACHER,
        digest="cd" * 32,
        classes=["a", "b|c"],
        splits=dict.fromkeys(provenance.SPLITS, SPLIT),
        data={
            "images": {"labelled": 4, "validation": 0, "unlabelled": 1200, "test": 25},
            "classes": {"a": {"labelled": 2, "test": 20}, "b|c": {"labelled": 2, "test": 5}},
        },
        summary={
            "name": "resnet_8_4",
            "parameters": 5382,
            "macs": 54176,
            "image_size": 8,
            "precision": "float32",
            "best": {"step": 1600},
        },
        measured=MEASURED,
        teacher_measured=MEASURED | {"accuracy": 0.6},
        balanced=[
            {"class": "a", "images": 0, "when": "filtered"},
            {"class": "b|c", "images": 0, "when": "filtered"},
            {"class": "a", "images": 300, "when": "balanced"},
            {"class": "b|c", "images": 0, "when": "balanced"},
        ],
        warnings=["a few are repeated"],
        robustness=None,
        versions={"python": "3.12.1"},
    )


def _rows(text, heading):
    """Cells of the tables of a section, without heads."""
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_head_is_read_as_registries_do(facts):
    head = YAML(typ="safe").load(card(facts).split("---\n")[1])
    assert head["library_name"] == "keras"
    assert head["pipeline_tag"] == "image-classification"


def test_first_sentence(facts):
    text = card(facts)
    assert "classifier of 2 classes, trained by Noisy Student Training (arXiv:1911.04252) on 4 labelled images" in text
    assert " and 1,200 without labels: right on 76.00 % of 25 test images (95 % interval 56.6 to 88.5 %)." in text


def test_data_by_split(facts):
    rows = _rows(card(facts), "Data")
    assert ["unlabelled", "1,200", "train/", "CC BY 4.0"] in rows
    assert ["`data/prepared/test`", f"`{'ab' * 32}`"] in rows
    assert not [row for row in rows if "validation" in row[0]]  # there is none


def test_unknown_licence_is_said_and_is_a_limit(facts):
    unknown = replace(facts, splits=facts.splits | {"unlabelled": SPLIT | {"licence": None}})
    row = next(row for row in _rows(card(unknown), "Data") if row[0] == "unlabelled")
    assert row[3].startswith("**unknown**")
    assert "The licence of the images is unknown (unlabelled)" in card(unknown)
    assert "licence of the images is unknown" not in card(facts)


def test_recipe_shows_what_differs_beside_the_default_and_what_matters(facts):
    recipe = {row[0]: row[1:] for row in _rows(card(facts), "Recipe")}
    assert recipe["`data.labelled`"] == ["4", "20"]
    assert recipe["`student.ema`"] == ["0.9", "0.99"]
    assert recipe["`pseudolabel.threshold`"] == ["0.75", ""]
    assert "`student.label_smoothing`" not in recipe  # its default, and not of the first to ask for
    assert not {"`student.schedule.decay_rate`", "`student.optimizer.rho`"} & set(recipe)  # of others


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        ("cifar10-article", ["`student.schedule.plateau_from_epoch`", "251", "empty"]),
        ("paper-digits", ["`student.schedule.decay_every`", "0.02", "0.00685714"]),
    ],
)
def test_what_only_another_schedule_takes_is_shown_too(facts, preset, expected):
    settings = check(presets.parameters(preset))
    assert expected in _rows(card(replace(facts, settings=settings)), "Recipe")


def test_reassigned_labels_have_no_filter(facts, changed):
    again = {"teacher": "student-gen1", "pseudolabel": {"reassign": True}}
    settings = changed(generations={"gen1": {"teacher": "teacher"}, "gen2": again})
    text = card(replace(facts, settings=settings, student=Model("gen2")))
    names = [row[0] for row in _rows(text, "Recipe")]
    assert {"`pseudolabel.reassign`", "`pseudolabel.kind`"} <= set(names)
    assert not {"`pseudolabel.threshold`", "`balance.enabled`"} & set(names)


@pytest.mark.parametrize("name", ["<other>", "__init__", "*a*", "a_b_c", "[x](y)", "`c`", "&amp;", "\\d", "~~e~~"])
def test_names_of_classes_are_shown_as_they_are(facts, name):
    recall = [{"class": name, "recall": 0.5}]
    data = facts.data | {"classes": {name: {"test": 4}}}
    text = card(replace(facts, classes=[name], measured=facts.measured | {"recall": recall}, data=data))
    page = MarkdownIt().enable("table").render(text.partition("---\n\n")[2])
    cells = [html.unescape(re.sub(r"<[^>]*>", "", cell)) for cell in re.findall("<td>(.*?)</td>", page)]
    assert cells.count(name) == 2  # beside "classes" and among the recalls
    assert f"The class {html.escape(name, quote=False)} is found least often" in page


def test_which_weights_they_are(facts, changed):
    last = replace(facts, settings=changed(student__select_by="last"))
    tuned = {"finetune": {"image_size": 10, "steps": 1200, "before": {}, "after": {}}}
    assert "the weights are those of step 1,600, the last.\n" in card(last)
    both = "the last, then fine-tuned for 1,200 steps on images of 10 pixels.\n"
    assert f"the weights are those of step 1,600, {both}" in card(replace(last, summary=facts.summary | tuned))


def test_a_generations_own_values_count(facts, changed):
    own = {"teacher": "teacher", "student": {"steps": 800}, "noise": {"dropout": 0.25}}
    recipe = _rows(card(replace(facts, settings=changed(generations={"gen1": own}))), "Recipe")
    assert ["`student.steps`", "800", "1600"] in recipe
    assert ["`noise.dropout`", "0.25", "0.5"] in recipe


def test_results_with_intervals(facts):
    rows = _rows(card(facts), "Results")
    assert ["student-gen1", "76.00 %", "56.6 to 88.5", "0.5000", "0.1250"] in rows
    assert ["teacher", "60.00 %", "56.6 to 88.5", "0.5000", "0.1250"] in rows
    # Wilson's interval of 2 of 5 by hand: centre (2 + 1.9208) / (5 + 3.8415) = 0.44346, half its width 0.32589
    assert rows[-2:] == [["b\\|c", "5", "40.00 %", "11.8 to 76.9"], ["a", "20", "85.00 %", "64.0 to 94.8"]]
    assert "25.00 % pass the filter; of those whose truth is known 50.00 % are right." in card(facts)


def test_many_classes_are_cut_short(facts):
    names = [f"class {k:02}" for k in range(40)]
    many = replace(
        facts,
        classes=names,
        measured=MEASURED | {"recall": [{"class": name, "recall": k / 40} for k, name in enumerate(names)]},
        data=facts.data | {"classes": {name: {"test": 40} for name in names}},
    )
    assert [row[0] for row in _rows(card(many), "Results")[-5:]] == names[:5]
    assert "class 19, ..." in card(many)


def test_limits(facts):
    text = card(facts)
    assert "- The class b|c is found least often: 40.00 % (95 % interval 11.8 to 76.9 %)." in text
    assert "- Confidence is off by 12.5 points on average" in text
    assert "- No pseudo-label was used of 1 of the classes: b|c." in text
    assert "- There were no validation images" in text
    assert "- Warning of a stage: a few are repeated" in text
    watched = replace(facts, data=facts.data | {"images": facts.data["images"] | {"validation": 9}})
    assert "There were no validation images" not in card(watched)


def test_a_control_has_no_pseudo_labels(facts, changed):
    own = {"teacher": "teacher", "student": {"mix": "none"}}
    text = card(replace(facts, settings=changed(generations={"gen1": own}), balanced=[]))
    assert "No pseudo-labels: a control" in text
    assert "without labels: right" not in text
    assert "pass the filter" not in text
    assert not {"`pseudolabel.threshold`", "`balance.enabled`", "`student.unlabelled_ratio`"} & {
        row[0] for row in _rows(text, "Recipe")
    }


def test_robustness_measured_and_off(facts):
    measured = {
        "robustness": "fast",
        "images": 500,
        "sequences": 100,
        "attacked": 200,
        "clean_error": 0.1,
        "mean_corruption_error": 0.2,
        "mean_flip_probability": 0.05,
        "mce_to_teacher": 0.5,
        "mfr_to_teacher": 0.25,
        "fgsm_accuracy": {"4": 0.8},
        "pgd_accuracy": {"4": 0.7},
        "corruption_error": {"fog": 0.1, "frost": 0.4, "snow": 0.3, "blur": 0.2},
    }
    text = card(replace(facts, robustness=measured))
    rows = _rows(text, "Robustness")
    assert ["error on corrupted images", "20.00 %", "0.500", "500"] in rows
    assert ["accuracy under PGD, 4/255", "70.00 %", "", "200"] in rows
    worst = "frost (40.00 % wrong), snow (30.00 % wrong), blur (20.00 % wrong)."
    assert f"The worst of the 4 corruptions (the mean is of the 15 standard ones): {worst}" in text
    assert "On a sample of the test images, changed. A ratio" in text
    others = measured | {"robustness": "full", "corruptions": "published", "clean_images": "others, of the test split"}
    published = "On the published corrupted images (the clean ones are others, of the test split), changed. A ratio"
    assert published in card(replace(facts, robustness=others))
    assert "Not measured (`eval.robustness: off`)." in card(facts)


def test_the_stage_writes_equal_bytes_and_what_coreutils_compute(workspace):
    assert stage("card", "gen1") is None
    written = Model("gen1").card.read_bytes()
    text, model = written.decode(), Path("models/student-gen1.keras")
    assert f"`{hashlib.sha256(model.read_bytes()).hexdigest()}`" in text
    for split in provenance.SPLITS:
        command = "find . -type f | LC_ALL=C sort | xargs sha256sum | sha256sum"
        done = subprocess.run(command, shell=True, cwd=layout.PREPARED / split, capture_output=True, check=True)
        assert ["`data/prepared/" + split + "`", f"`{done.stdout.decode().split()[0]}`"] in _rows(text, "Data")
        assert command in text
    accuracy = json.loads((Model("gen1").evaluation / "metrics.json").read_bytes())["accuracy"]
    assert f"right on {100 * accuracy:.2f} % of 40 test images" in text
    Model("gen1").card.unlink()
    assert stage("card", "gen1") is None
    assert Model("gen1").card.read_bytes() == written


def test_a_missing_model_or_generation_is_one_message(workspace):
    Path("models/student-gen1.keras").unlink()
    assert "models/student-gen1.keras: cannot be read (No such file or directory). Run the" in stage("card", "gen1")
    assert "there is no 'gen9'" in stage("card", "gen9")
    assert not Model("gen1").card.exists()


def test_no_path_of_the_machine_is_in_it(workspace, tmp_path):
    set_params({"data.root": str(tmp_path / "private")})
    assert stage("card", "gen1") is None
    assert str(tmp_path) not in Model("gen1").card.read_text()


@pytest.mark.parametrize(
    ("source", "pool", "licences"),
    [
        ("digits", "data/pools/held-back", ("CC BY 4.0", "CC BY 4.0")),
        ("digits", PHOTOGRAPHS, ("CC BY 4.0", "CC BY 2.0")),
        ("digits", "/home/me/pool/", ("CC BY 4.0", None)),
        ("folder", "data/pools/held-back", (None, None)),
        ("svhn", "data/pools/auto", ("for non-commercial use only", "for non-commercial use only")),
        ("cifar10", "data/pools/held-back", ("none stated", "none stated")),
    ],
)
def test_licences_of_sources_and_pools(tmp_path, source, pool, licences):
    for split in provenance.SPLITS:
        (tmp_path / split).mkdir()
    data = DataParams(source=source, unlabelled_from=pool)
    empty = LabelledImages([], [])
    said = provenance.of_splits(Source((), empty, unlabelled=[] if "/me" in pool else None), data, tmp_path)
    for split, licence in zip(("labelled", "unlabelled"), licences, strict=True):
        found = said[split]["licence"]
        assert (found is None) == (licence is None)
        assert found is None or found.startswith(licence)
    assert "/home" not in json.dumps(said)


def test_every_adapter_but_own_folders_says_a_licence():
    assert {name for name, adapter in ADAPTERS.items() if adapter.RULES.licence is None} == {"folder"}


def test_what_the_defaults_are(facts):
    """The card's column of defaults is the schema's, of which params.yaml is written."""
    assert params.Params().student.ema == 0.99
    assert facts.settings.student.ema == 0.9
