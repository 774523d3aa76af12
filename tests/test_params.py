"""Parameters: everything that cannot be run is refused, with its name, before any work starts."""

import os

import pytest

from commands import preset as presets
from noisy_student.runtime.errors import ParamsError
from noisy_student.runtime.layout import TEACHER, Model
from noisy_student.settings import params, schema
from noisy_student.steps.checking import check
from support import ROOT, with_values

WRONG = {
    "unknown key": ({"student.nosie": True}, "student.nosie: unknown parameter"),
    "unknown section": ({"studnet": {}}, "studnet: unknown parameter"),
    "a section that is no more": ({"shards": {"on_corrupt": "skip"}}, "shards: unknown parameter"),
    "wrong type": ({"teacher.batch_size": "64"}, "teacher.batch_size: .*'64'"),
    "bool for a number": ({"seed": True}, "seed: .*True"),
    "text for a rate": ({"teacher.optimizer.learning_rate": "1e-3"}, "teacher.optimizer.learning_rate"),
    "not a number": ({"teacher.optimizer.learning_rate": float("nan")}, "teacher.optimizer.learning_rate"),
    "out of range": ({"pseudolabel.threshold": 1.5}, "pseudolabel.threshold: .*1.5"),
    "batch size of nothing": (
        {"pseudolabel.batch_size": 0},
        r"pseudolabel\.batch_size: give a number of images \(1 or more\), or auto \(found 0\)",
    ),
    "batch size in words": ({"eval.batch_size": "big"}, r"eval\.batch_size: give .*or auto \(found 'big'\)"),
    "half a batch": ({"eval.batch_size": 64.5}, r"eval\.batch_size: .*64\.5"),
    "bool for a batch size": ({"pseudolabel.batch_size": True}, r"pseudolabel\.batch_size: .*True"),
    "negative seed": ({"seed": -1}, "seed: .*-1"),
    "unknown choice": ({"data.source": "imagenet"}, "data.source: .*'imagenet'"),
    "epochs and steps": ({"teacher.epochs": 3}, "teacher: give exactly one of epochs and steps"),
    "neither": ({"teacher.steps": None}, "teacher: give exactly one of epochs and steps"),
    "interval": ({"student.validate_every": 70}, "validate_every=70 goes with steps=1600 and must divide"),
    "steps without interval": (
        {"student.validate_every": None},
        r"validate_every=empty goes with .* leave it empty \(`-S \.\.\.validate_every=null`\)",
    ),
    "no validation images, but a checkpoint by loss": (
        {"data.validation": 0, "teacher.select_by": "last", "student.select_by": "loss"},
        r"  data\.validation=0: no images choose student's checkpoint by loss; set student\.select_by=last, or give "
        r"data\.validation a number of images\nMend",
    ),
    "that of a generation": (
        {
            "data.validation": 0,
            "teacher.select_by": "last",
            "student.select_by": "last",
            "generations.gen1": {"teacher": "teacher", "student": {"select_by": "accuracy"}},
        },
        r"choose generations\.gen1\.student's checkpoint by accuracy; set generations\.gen1\.student\.select_by=last",
    ),
    "no validation images, but a plateau": (
        {
            "data.validation": 0,
            "student.select_by": "last",
            "teacher.select_by": "last",
            "teacher.epochs": 9,
            "teacher.steps": None,
            "teacher.validate_every": None,
            "teacher.schedule": {"name": "constant", "plateau_from_epoch": 3},
        },
        r"data\.validation=0: teacher\.schedule\.plateau_from_epoch=3 goes by validation; leave it empty",
    ),
    "fewer than no images": ({"data.validation": -1}, r"data\.validation: .*-1"),
    "too much repetition": ({"balance.per_class": 10**12}, "balance.per_class"),
    "output as input": ({"data.root": "data"}, "data.root=data: the stages write data/prepared"),
    "inside an output": ({"data.unlabelled_from": "./models/x"}, "the stages write models"),
    "pool in other words": (
        {"data.unlabelled_from": "./data/pools/held-back"},
        "write it as data/pools/held-back",
    ),
    "hash without an archive": ({"data.sha256": "a" * 64}, "data.sha256: digits takes none"),
    "mapping for one archive": (
        {"data.source": "cifar10", "data.sha256": {"a": "a" * 64}},
        "data.sha256: cifar10 takes one hash",
    ),
    "one hash for several files": (
        {"data.source": "svhn", "data.sha256": "a" * 64},
        r"data\.sha256: svhn takes a mapping",
    ),
    "start from another network": (
        {"student.init": "teacher", "student.model.width": 8},
        r"generations\.gen1: student\.init=teacher needs .* resnet 8 8 and teacher is resnet 8 16",
    ),
    "depth": ({"student.model.depth": 9}, r"  student.model: resnet has depth 6n \+ 2"),
    "depth of a generation": (
        {"generations.gen1": {"teacher": "teacher", "student": {"model": {"depth": 9}}}},
        r"  generations\.gen1\.student\.model: resnet has depth 6n \+ 2 \(n >= 1\): 8, 14, 20, \.\.\.; got 9",
    ),
    "depth of a wide network": (
        {"teacher.model": {"name": "wide_resnet", "wide_depth": 9}},
        r"teacher\.model: wide_resnet has depth 6n \+ 4 \(n >= 1\): 10, 16, 22",
    ),
    "unknown network": (
        {"teacher.model.name": "vgg"},
        r"teacher\.model\.name: no such network; choose one of article_resnet50, .* \(found 'vgg'\)",
    ),
    "what no network takes": ({"student.model.colour": 1}, r"student\.model\.colour: unknown parameter"),
    "text for a width": ({"student.model.width": "16"}, r"student\.model\.width: .*'16'"),
    "size that there is not": (
        {"teacher.model": {"name": "efficientnet", "size": "b9"}},
        r"teacher\.model\.size: .*'b9'",
    ),
    "images too small for a network": (
        {
            "generations.gen1": {
                "teacher": "teacher",
                "student": {"image_size": 8, "model": {"name": "efficientnet", "size": "b0"}},
            }
        },
        r"generations\.gen1\.student\.image_size=8: too small for efficientnet, .* 32 times",
    ),
    "more blocks than there are": (
        {"teacher.finetune.epochs": 1.0, "teacher.finetune.freeze_blocks": 4},
        r"freeze_blocks=4: resnet has only 3 blocks .* leave it empty \(`-S teacher\.finetune\.freeze_blocks=null`\)",
    ),
    "size of a fixed net": (
        {"teacher.model.name": "article_resnet50", "teacher.model.width": 17},
        r"teacher\.model\.width=17 is for resnet; article_resnet50 takes none, .* Set width back to 16, or change",
    ),
    "size of another net": (
        {"student.model.size": "b0"},
        r"student\.model\.size=b0 is for .*; resnet takes .*\. Leave size empty \(`-S student\.model\.size=null`\), or",
    ),
    "the resnet's depth for a wide one": (
        {"teacher.model.name": "wide_resnet", "teacher.model.depth": 20},
        r"teacher\.model\.depth=20 is for resnet; wide_resnet takes wide_depth, widening_factor\.",
    ),
    "a generation's width for a network that has none, though it is the default": (
        {"generations.gen1": {"teacher": "teacher", "student": {"model": {"name": "article_resnet50", "width": 16}}}},
        r"generations\.gen1\.student\.model\.width=16 is for resnet; article_resnet50 takes none",
    ),
    "another optimizer's parameter": (
        {"student.optimizer.rho": 0.8},
        r"student\.optimizer\.rho=0\.8 is for rmsprop; sgd takes .*, weight_decay\. Set rho back to 0\.9",
    ),
    "adam's momentum": (
        {"teacher.optimizer": {"name": "adam", "momentum": 0.5}},
        r"teacher\.optimizer\.momentum=0\.5 is for sgd and rmsprop; adam takes learning_rate, weight_decay",
    ),
    "both ways to a size": (
        {"teacher.model": {"name": "efficientnet", "size": "b0", "depth_coefficient": 1.0}},
        "efficientnet needs either size, or both",
    ),
    "half a size": (
        {"teacher.model": {"name": "efficientnet", "width_coefficient": 1.0}},
        "efficientnet needs either size, or both",
    ),
    "decay of another schedule": (
        {"teacher.schedule.decay_every": 0.1},
        r"teacher\.schedule\.decay_every=0\.1 is for exponential; cosine takes warmup",
    ),
    "plateau after a warm-up": (
        {"teacher.schedule.name": "constant", "teacher.schedule.plateau_from_epoch": 3},
        r"teacher\.schedule: plateau_from_epoch needs warmup: 0",
    ),
    "magnitude": ({"noise.randaugment.magnitude": 11}, "magnitude=11 exceeds levels=10"),
    "plateau on a schedule": ({"teacher.schedule.plateau_from_epoch": 3}, "plateau_from_epoch=3 is for constant"),
    "digits without test": ({"data.test": None}, "data.test"),
    "hash of a file that is not read": (
        {"data.source": "svhn", "data.sha256": {"train.mat": "a" * 64}},
        r"data\.sha256: svhn has no file train\.mat; the names are train_32x32\.mat",
    ),
    "own split of CIFAR-10": (
        {"data.source": "cifar10", "data.unlabelled_from": schema.OWN_SPLIT},
        "data.unlabelled_from: cifar10 has no unlabelled split",
    ),
    "digits' own split": ({"data.unlabelled_from": schema.OWN_SPLIT}, "data.unlabelled_from"),
    "nothing held back": ({"data.labelled": None}, "data.labelled"),
    "sha256": ({"data.sha256": "abc"}, "data.sha256"),
    "empty path": ({"data.root": ""}, "data.root"),
    "robustness as a switch": ({"eval.robustness": True}, "eval.robustness"),
    "odd name of a test set": ({"eval.extra_tests": {"a.b": "x"}}, "'a.b' names files"),
    "number as a test set": ({"eval.extra_tests": {1: "x"}}, r"eval.extra_tests.1: "),
    "a test set that is written": (
        {"eval.extra_tests": {"a": "data"}},
        "eval.extra_tests.a=data: the stages write",
    ),
    "no test sets": ({"eval.extra_tests": None}, "eval.extra_tests"),
    "number as generation": ({"generations": {1: {"teacher": "teacher"}}}, "the key 1 is of type int"),
    "odd generation": ({"generations": {"a b": {"teacher": "teacher"}}}, "'a b' names files"),
    "no generation": ({"generations": {}}, "at least one generation"),
    "release of no model": (
        {"release": "student-gen2"},
        "release=student-gen2: no such model",
    ),
    "generation without teacher": ({"generations": {"gen1": {}}}, "generations.gen1: name its teacher"),
    "unknown teacher": (
        {"generations": {"gen1": {"teacher": "student-gen2"}}},
        "generations.gen1.teacher=student-gen2: no such model",
    ),
    "unknown override": (
        {"generations": {"gen1": {"teacher": "teacher", "student": {"modle": 1}}}},
        "generations.gen1.student.modle: unknown parameter",
    ),
    "unknown section of a generation": (
        {"generations": {"gen1": {"teacher": "teacher", "data": {}}}},
        "generations.gen1.data: unknown parameter",
    ),
}


@pytest.mark.parametrize(("values", "message"), WRONG.values(), ids=WRONG)
def test_names_what_is_wrong(digits, values, message):
    with pytest.raises(ParamsError, match=message):
        check(with_values(digits, values))


def test_reports_all_errors_at_once(digits):
    with pytest.raises(ParamsError, match=r"(?s)student\.batch_size.*balance\.on_empty"):
        params.check(with_values(digits, {"student.batch_size": 0, "balance.on_empty": "ignore"}))


def test_all_networks_and_the_source_report_at_once(digits):
    wrong = {"teacher.model.depth": 9, "student.model.depth": 10, "data.test": None}
    with pytest.raises(
        ParamsError, match=r"(?s)params\.yaml:.*data\.test.*teacher\.model:.*student\.model: resnet has"
    ):
        check(with_values(digits, wrong))


@pytest.mark.parametrize("name", ["student", "student.mix", "noise.randaugment.fill", "teacher.optimizer.name"])
def test_missing_key_is_named(digits, name):
    values = with_values(digits, {})
    *sections, last = name.split(".")
    inner = values
    for section in sections:
        inner = inner[section]
    del inner[last]
    with pytest.raises(ParamsError, match=f"  {name}: missing"):
        params.check(values)


def test_a_section_whose_name_decides_may_leave_out_what_has_a_default(digits):
    values = with_values(digits, {"teacher.optimizer": {"name": "adam", "learning_rate": 0.1}})
    del values["teacher"]["model"]["size"]
    assert check(values).teacher.optimizer.momentum == 0.9


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "not valid YAML"),
        ("seed: 1\nseed: 2\n", "not valid YAML"),
        ("release: 2024-13-45\n", "not valid YAML"),  # no such month
        (f"seed: {'1' * 5000}\n", "not valid YAML"),
        (f"seed: {'[' * 3000}{']' * 3000}\n", "not valid YAML"),
        ("- 1\n", "must hold sections"),
    ],
    ids=lambda given: given[:20].strip(),
)
def test_unreadable_yaml(tmp_path, text, message):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ParamsError, match=message):
        params.load(path)


def test_missing_file(tmp_path):
    with pytest.raises(ParamsError, match="no such file"):
        params.load(tmp_path / "params.yaml")


def test_exponents_are_numbers(tmp_path):
    text = (ROOT / "params.yaml").read_text().replace("weight_decay: 0.005", "weight_decay: 5e-3", 1)
    (tmp_path / "params.yaml").write_text(text)
    assert params.load(tmp_path / "params.yaml").teacher.optimizer.weight_decay == 0.005


def test_a_generation_overrides_only_what_it_names(digits):
    given = {"teacher": "teacher", "student": {"model": {"depth": 14}}, "pseudolabel": {"threshold": 0.5}}
    chosen = params.check(with_values(digits, {"generations": {"gen1": given}})).generation("gen1")
    assert (chosen.student.model.depth, chosen.student.model.width) == (
        14,
        digits["student"]["model"]["width"],
    )
    assert (chosen.pseudolabel.threshold, chosen.pseudolabel.kind) == (0.5, digits["pseudolabel"]["kind"])
    assert chosen.balance.model_dump() == digits["balance"]


def test_a_generation_has_its_own_noise(digits):
    values = {"generations.gen2": {"teacher": "student-gen1", "noise": {"randaugment": {"magnitude": 3}}}}
    settings = params.check(with_values(digits, values))
    assert settings.generation("gen1").noise == settings.noise == settings.training_of(TEACHER)[1]
    training, noise = settings.training_of(Model("gen2"))
    assert training == settings.student
    assert (noise.randaugment.magnitude, noise.randaugment.ops, noise.dropout) == (3, 2, 0.5)
    assert settings.with_noise(noise).noise == noise


def test_a_generation_with_another_kind_of_model_inherits_no_size(digits):
    given = {"teacher": "teacher", "student": {"model": {"name": "article_resnet50"}}}
    chosen = params.check(with_values(digits, {"generations": {"gen1": given}})).generation("gen1")
    assert chosen.student.model.model_dump() == {"name": "article_resnet50"}


def test_start_from_an_equal_network_of_another_generation(digits):
    same = {"init": "teacher", "model": {"depth": 14}}
    chain = {
        "gen1": {"teacher": "teacher", "student": {"model": {"depth": 14}}},
        "gen2": {"teacher": "student-gen1", "student": same},
    }
    assert check(with_values(digits, {"generations": chain})).generation("gen2").student.init == "teacher"


def test_networks_are_equal_whatever_is_written_out_of_what_is_off(digits):
    own = {"name": "efficientnet", "size": "b0"}
    chain = {"gen1": {"teacher": "teacher", "student": {"init": "teacher", "model": own}}}
    values = {
        "teacher.model": own | {"small_images": False, "depth": None},
        "data.image_size": 32,
        "generations": chain,
    }
    assert check(with_values(digits, values))
    values["teacher.model"]["small_images"] = True
    with pytest.raises(ParamsError, match=r"student\.model is efficientnet b0 and teacher is efficientnet b0 True"):
        check(with_values(digits, values))


@pytest.mark.parametrize("name", ["root", "unlabelled_from"])
@pytest.mark.parametrize("fault", ["missing", "broken link", "name"])
def test_inputs_that_dvc_could_not_read(changed, tmp_path, name, fault):
    folder = tmp_path / "images"
    if fault != "missing":
        folder.mkdir()
    if fault == "broken link":
        (folder / "a.png").symlink_to("nowhere")
    if fault == "name":
        os.mkdir(os.fsencode(folder) + b"/\xff")
    (tmp_path / "whole").mkdir()
    paths = {"root": str(tmp_path / "whole"), "unlabelled_from": str(tmp_path / "whole"), name: str(folder)}
    values = {f"data__{key}": value for key, value in paths.items()}
    with pytest.raises(ParamsError, match=rf"data\.{name}.*(no such file|leads nowhere|not UTF-8)"):
        params.check_paths(changed(**values))


def test_a_further_test_set_that_is_not_there(changed, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(ParamsError, match=r"eval\.extra_tests\.mine=.*no such file or folder"):
        params.check_paths(changed(eval__extra_tests={"mine": str(tmp_path / "images")}))


def test_inputs_that_are_there(changed, monkeypatch):
    monkeypatch.chdir(ROOT)
    params.check_paths(changed())


@pytest.mark.parametrize("size", [1, 640, "auto"])
def test_batch_sizes_of_predictions(changed, size):
    found = changed(pseudolabel__batch_size=size, eval__batch_size=size)
    assert (found.generation("gen1").pseudolabel.batch_size, found.eval.batch_size) == (size, size)


def test_unknown_generation(changed):
    with pytest.raises(ParamsError, match=r"no 'gen7' .* only gen1"):
        changed().generation("gen7")


def test_the_committed_params_are_what_the_schema_says():
    """`python -m commands.preset digits --new` writes them."""
    assert (ROOT / "params.yaml").read_text() == presets.fresh(presets.defaults())


def test_the_default_has_two_labels_a_class_and_a_control_that_sees_as_many_images():
    """By hand: 800 steps of 64 and 1,600 of 32 + 96 are 256,000 images, as 2,000 steps of 128."""
    settings = check(presets.defaults())
    assert (settings.data.labelled, settings.data.validation, settings.release) == (20, 0, "student-gen3")
    chain = {key: settings.generation(key).teacher for key in settings.generations}
    teachers = ("teacher", "student-gen1", "student-gen2", "teacher")
    assert chain == dict(zip(("gen1", "gen2", "gen3", "noise-only"), teachers, strict=True))
    teacher, last = settings.teacher, settings.generation("gen3").student
    control = settings.generation("noise-only").student
    seen = teacher.steps * teacher.batch_size + last.steps * (last.batch_size + last.unlabelled_batch_size)
    assert control.steps * control.batch_size == seen == 256_000
    assert {each.select_by for each in (teacher, last, control)} == {"last"}
    assert (teacher.noise, last.noise, control.noise, control.mix) == (False, True, True, "none")
    assert {**last.model_dump(), "mix": "none", "steps": 2000, "batch_size": 128} == control.model_dump()


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_validates(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert check(presets.parameters(name))
