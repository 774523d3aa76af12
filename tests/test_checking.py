"""What is known before the first stage is said before it; one override changes a network, optimizer or schedule."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands import preset as presets
from noisy_student.models.networks import NETWORKS, own_parameters, takers
from noisy_student.models.networks import network_of as network
from noisy_student.runtime import installed
from noisy_student.runtime.errors import DataError, ParamsError, UserError
from noisy_student.settings import params
from noisy_student.steps import checking
from support import ROOT, with_values


@pytest.fixture(autouse=True)
def root(monkeypatch):
    """Where the presets are."""
    monkeypatch.chdir(ROOT)


def checked(tree, **values):
    return checking.check(with_values(tree, {key.replace("__", "."): value for key, value in values.items()}))


# --- one override ----------------------------------------------------------------------------------

PRESETS = ["digits", "cifar10-cpu", "cifar10-4k", "cifar10-article", "paper-digits"]  # one of every network
BY_HAND = {  # what each network is by default, as docs/recipes.md has it
    "article_resnet50": "article_resnet50",
    "efficientnet": "efficientnet_b0",
    "resnet": "resnet_8_16",
    "whitened_convnet": "whitened_convnet_32_128_256",
    "wide_resnet": "wide_resnet_10_2",
}


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", BY_HAND)
@pytest.mark.parametrize("section", ["teacher", "student"])
def test_one_override_changes_the_network_of_every_preset(preset, name, section):
    tree = with_values(presets.parameters(preset), {"data.image_size": 64, f"{section}.image_size": None})
    tree["student"]["finetune"]["freeze_blocks"] = None  # of a deeper network
    tree["student"]["init"] = "random"  # from a teacher's weights only its network can start
    before, tree = tree[section]["model"], with_values(tree, {f"{section}.model.name": name})
    for own in tree["generations"].values():
        own.get("student", {}).pop("model", None)  # this is by hand
    model = getattr(checking.check(tree), section).model
    if before["name"] != name:
        assert network(model).title == BY_HAND[name]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("section", ["teacher", "student"])
@pytest.mark.parametrize("kind", ["optimizer", "schedule"])
def test_one_override_changes_the_optimizer_and_the_schedule_of_every_preset(preset, section, kind):
    names = {"optimizer": ("sgd", "adam", "rmsprop"), "schedule": ("constant", "cosine", "linear", "exponential")}
    for name in names[kind]:
        if name == "constant" and preset == "cifar10-article":
            continue  # it is so already
        assert checked(presets.parameters(preset), **{f"{section}__{kind}__name": name})


def test_an_override_of_a_generation_starts_from_the_networks_own_defaults(digits):
    own = {"teacher": "teacher", "student": {"model": {"name": "wide_resnet"}, "optimizer": {"name": "adam"}}}
    settings = checked(digits, student__model__width=17, student__optimizer__learning_rate=0.3, generations__gen1=own)
    student = settings.generation("gen1").student
    assert network(student.model).title == "wide_resnet_10_2"
    assert student.optimizer.rate == 0.001
    assert settings.student.optimizer.rate == 0.3


def test_the_learning_rate_is_by_the_optimizers_name_unless_it_is_given(digits):
    rates = {name: checked(digits, teacher__optimizer__name=name).teacher.optimizer.rate for name in ("sgd", "adam")}
    assert rates == {"sgd": 0.1, "adam": 0.001}
    given = checked(digits, teacher__optimizer__name="adam", teacher__optimizer__learning_rate=0.1)
    assert given.teacher.optimizer.rate == 0.1
    assert any("is much for adam" in line for line in checking.notes(given))


def test_what_a_preset_has_for_its_own_network_is_passed_over_with_one_line(digits):
    """14 is the depth of cifar10-cpu: it may have been there before the name was changed."""
    settings = checked(digits, teacher__model__name="wide_resnet", teacher__model__depth=14)
    assert network(settings.teacher.model).title == "wide_resnet_10_2"
    lines = [line for line in checking.notes(settings) if "depth" in line]
    assert lines == ["teacher.model.depth=14 is for resnet: wide_resnet does not look at it"]


def test_no_two_networks_share_a_parameter():
    """Else it would be the one's value that the other takes."""
    shared = {key: takers(key) for name in NETWORKS for key in own_parameters(name) if len(takers(key)) > 1}
    assert not shared


# --- before the first stage ------------------------------------------------------------------------

KNOWN = {
    "a crop that may show nothing": (
        {"augmentation.crop": 16},
        r"augmentation\.crop=16: .* images of 16 pixels some crops show nothing of them\. Give less than 16",
    ),
    "the same of images that grow": (
        {"data.image_size": 32, "augmentation.crop": 16, "student.progressive.image_size": 16},
        r"augmentation\.crop=16: .* images of 16 pixels",
    ),
    "fewer labels than classes": ({"data.labelled": 9}, r"data\.labelled=9: there are 10 classes"),
    "fewer validation images than classes": ({"data.validation": 4}, r"data\.validation=4: there are 10 classes"),
    "a confidence that none can have": (
        {"pseudolabel.threshold": 0.0, "pseudolabel.max_confidence": 0.1},
        r"pseudolabel\.max_confidence=0\.1: of 10 classes .* at least 0\.1, so no image would be left",
    ),
    "that of a generation": (
        {"generations.gen1": {"teacher": "teacher", "pseudolabel": {"threshold": 0.0, "max_confidence": 0.05}}},
        r"generations\.gen1\.pseudolabel\.max_confidence=0\.05",
    ),
    "no validation images of its own": ({"data.validation": None}, "data.validation: digits has no validation images"),
    "a second generation's network": (
        {"generations.gen2": {"teacher": "student-gen1", "student": {"model": {"name": "efficientnet"}}}},
        r"data\.image_size=16: too small for efficientnet",
    ),
}


@pytest.mark.parametrize(("values", "message"), KNOWN.values(), ids=KNOWN)
def test_what_the_parameters_alone_tell(digits, values, message):
    with pytest.raises(ParamsError, match=message):
        checking.check(with_values(digits, values))


@pytest.mark.parametrize("labelled", [1097, 1096])
def test_more_digits_than_there_are(digits, labelled):
    """1,797 in all: 500 for the test, 200 for validation, 1 at least without a label."""
    settings = checked(digits, data__labelled=labelled)
    if labelled == 1096:
        checking.check_here(settings)
    else:
        with pytest.raises(ParamsError, match=r"data\.labelled=1,097 .* are 1,797 images, and some must be left"):
            checking.check_here(settings)


@pytest.fixture
def photos(tmp_path, digits):
    """The parameters of a folder of 2 classes, 10 images each; a function of further values."""
    for split, number in (("train", 10), ("test", 2)):
        for name in ("cat", "dog"):
            (tmp_path / split / name).mkdir(parents=True)
            for index in range(number):
                Image.fromarray(np.zeros((2, 2, 3), np.uint8)).save(tmp_path / split / name / f"{index}.png")
    values = {"source": "folder", "root": str(tmp_path), "test": None, "labelled": 8, "validation": 6}
    tree = with_values(digits, {f"data.{key}": value for key, value in values.items()})
    return lambda **values: checked(tree, **values)


FOLDER = {
    "too many": ({"data__labelled": 15}, r"data\.labelled=15 \+ data\.validation=6 are 21 images"),
    "none left": ({"data__labelled": 14}, "are 20 images, and some must be left as unlabelled; .* at most 20 training"),
    "none left, all labelled": ({"data__labelled": None}, r"data\.labelled: empty, so all .*, or add .*unlabelled/"),
    "fewer than classes": ({"data__validation": 1}, r"data\.validation=1: there are 2 classes"),
    "no val/": ({"data__validation": None}, r"data\.validation: empty, but .*/val is no folder"),
    "no unlabelled/": (
        {"data__unlabelled_from": "data/pools/own-split"},
        r"data\.unlabelled_from: .*/unlabelled is no folder",
    ),
    "even the least likely of two": (
        {"pseudolabel__threshold": 0.1, "pseudolabel__max_confidence": 0.5},
        r"max_confidence=0\.5: of 2 classes",
    ),
}


@pytest.mark.parametrize(("values", "message"), FOLDER.values(), ids=FOLDER)
def test_what_names_of_files_tell(photos, values, message):
    with pytest.raises(UserError, match=message):
        checking.check_here(photos(**values))


LAYOUTS = {
    "no train/": (lambda root: (root / "train").rename(root / "trian"), r"no folder train/ in it \(there is trian/\)"),
    "no test/": (lambda root: (root / "test").rename(root / "tests"), r"no folder test/ in it \(there is tests/\)"),
    "one class": (lambda root: shutil.rmtree(root / "train/cat"), r"only the class dog; at least two"),
    "val/ is the test": (
        lambda root: (root / "test").rename(root / "val"),
        r"data\.validation.* val/ are the test split",
    ),
    "a file": (lambda root: (root / "unlabelled").write_text(""), r"unlabelled: expected a folder"),
    "an empty pool": (lambda root: (root / "unlabelled").mkdir(), r"unlabelled: no image in it"),
    "no test image of a class": (lambda root: shutil.rmtree(root / "test/dog"), r"test/dog: no image there"),
    "a class of test/ only": (lambda root: (root / "test/cow").mkdir(), r"test: the class cow is not in train/"),
}


@pytest.mark.parametrize("case", LAYOUTS)
def test_what_names_of_folders_tell(photos, case):
    change, message = LAYOUTS[case]
    more = {"data__validation": None} if case.startswith("val/") else {}
    settings = photos(data__unlabelled_from="data/pools/auto", **more)
    change(Path(settings.data.root))
    with pytest.raises(DataError, match=message):
        checking.check_here(settings)


def test_photos_with_the_source_digits_are_refused(photos):
    settings = photos(data__source="digits", data__test=500, data__labelled=100, data__validation=200)
    with pytest.raises(ParamsError, match=r"data\.root=.*scikit-learn's own images\. Set data\.source to folder"):
        checking.check_here(settings)


def test_what_a_generation_gives_in_vain_is_to_be_removed(digits):
    """ "Back to its default" would be refused again."""
    student = {"model": {"name": "wide_resnet", "depth": 8}}
    with pytest.raises(ParamsError, match=r"Remove depth from generations\.gen1\.student\.model"):
        checking.check(with_values(digits, {"generations": {"gen1": {"teacher": "teacher", "student": student}}}))


def test_names_of_two_unicode_forms_are_one_class_as_in_prepare(photos):
    settings = photos()
    train = Path(settings.data.root, "train")
    (train / "cat").rename(train / "cafe\u0301")
    assert checking.contents(settings.data).classes == ("caf\u00e9", "dog")
    (train / "caf\u00e9").mkdir()
    with pytest.raises(DataError, match="differ only in Unicode form"):
        checking.check_here(settings)


def test_a_folder_with_enough_images(photos):
    settings = photos(pseudolabel__threshold=0.4, teacher__batch_size=9)
    checking.check_here(settings)
    assert checking.notes(settings)[1:] == [
        "teacher.batch_size=9 is more than data.labelled=8: images repeat in a batch",
        "student.batch_size=64 is more than data.labelled=8: images repeat in a batch",
        "pseudolabel.threshold=0.4 keeps every image: of 2 classes the most probable has at least 0.5",
    ]


def test_a_backend_or_a_package_that_is_not_installed(digits, monkeypatch):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setattr(installed, "PACKAGES", ("numpy", "no_such_package"))
    with pytest.raises(ParamsError, match=r"no_such_package is not installed here\. Run `pip install -r"):
        checking.check_here(checked(digits))
    monkeypatch.setattr(installed.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ParamsError, match="the Python package jax is not installed"):
        checking.check_here(checked(digits, backend="jax"))


def test_another_framework_in_the_environment(digits, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with pytest.raises(ParamsError, match="KERAS_BACKEND is jax"):
        checking.check_here(checked(digits))


def test_the_command_imports_no_framework():
    code = "import sys, commands.check as c; c.main(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    modules = {name.partition(".")[0] for name in done.stdout.split()}
    assert not modules & {"tensorflow", "jax", "torch", "keras", "numba", "cv2"}


def test_what_only_dvc_cannot_read(tmp_path, monkeypatch):
    """Stages read it, but DVC's parser would refuse it before the first of them."""
    from commands import check as command

    text = (ROOT / "params.yaml").read_text()
    assert "  extra_tests: {}" in text
    (tmp_path / "params.yaml").write_text(text.replace("  extra_tests: {}", "  extra_tests: {mine: s3://images/test}"))
    monkeypatch.chdir(tmp_path)
    assert params.read_yaml("params.yaml")["eval"]["extra_tests"] == {"mine": "s3://images/test"}
    with pytest.raises(ParamsError, match=r"(?s)DVC cannot read it.*line \d+.*quotes around values with a colon"):
        command.main()


def test_the_digits_settings_for_other_images(photos):
    said = [line for line in checking.notes(photos()) if "the digits'" in line]
    assert len(said) == 1
    assert "python -m commands.preset photos --root /" in said[0]
    spaced = checking.notes(photos(data__root="/my photos (1)"))
    assert any("photos --root '/my photos (1)' writes" in line for line in spaced)
    assert not any("the digits'" in line for line in checking.notes(photos(augmentation__flip=True)))
    assert not any("the digits'" in line for line in checking.notes(photos(teacher__steps=400)))


def test_of_the_default_there_is_nothing_to_say():
    tree = presets.defaults()
    assert checking.notes(checked(tree)) == []
    (line,) = checking.notes(checked(tree, data__labelled=19))[:1]
    assert line == "teacher.batch_size=64 is more than data.labelled=19: images repeat in a batch"


def test_mirror_images_that_no_training_has_shown_are_noted(digits):
    mirrored = {"pseudolabel__test_time_augmentation": "flip"}
    for values, lines in ((mirrored, 1), ({**mirrored, "augmentation__flip": True}, 0), ({}, 0)):
        assert sum("augmentation.flip=false" in line for line in checking.notes(checked(digits, **values))) == lines


def test_stochastic_depth_of_a_network_without_shortcuts_is_noted_once_and_only_where_there_is_noise(digits):
    models = {f"{section}__model__name": "whitened_convnet" for section in ("teacher", "student")}
    lines = [line for line in checking.notes(checked(digits, **models)) if "shortcuts" in line]
    assert lines == [
        "noise.stochastic_depth.survival_probability=0.8 changes nothing in whitened_convnet, which has no shortcuts; "
        "1.0 says so"
    ]
    off = {"noise__stochastic_depth__survival_probability": 1.0}
    for values in ({**models, **off}, {**models, "student__noise": False, "teacher__noise": False}, {}):
        assert not any("shortcuts" in line for line in checking.notes(checked(digits, **values)))


def test_notes_are_said_once(digits):
    own = {"teacher": "teacher", "student": {"batch_size": 101}}
    settings = params.check(with_values(digits, {"generations": {"gen1": own, "gen2": own}}))
    lines = checking.notes(settings)
    assert len(lines) == len(set(lines)) == 2  # one a generation
