"""The API's own: it is loaded lazily, its defaults are the pipeline's, and its errors speak of its arguments."""

import importlib
import inspect
import pydoc
import re

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import accuracy_score, log_loss

import noisy_student as ns
from noise.pillow_oracle import by_pillow
from noisy_student.noise.operations import STANDARD
from noisy_student.settings.params import read_yaml
from support import ROOT, run_elsewhere

NAMES = {"Model", "RandAugment", "UserError", "balance", "evaluate", "load", "pseudo_label", "train"}
PARAMS = read_yaml(ROOT / "params.yaml")

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (12, 8, 8, 3), np.uint8)
LABELS = np.arange(12) % 3
PROBS = RANDOM.dirichlet(np.full(3, 0.1), 12).astype(np.float32)

LAZY = """
import sys
import noisy_student as ns
assert not [name for name in sys.modules if name.startswith("noisy_student.")]
ns.balance([[0.9, 0.1], [0.2, 0.8]])
help(ns)
frameworks = {"tensorflow", "keras", "jax", "torch", "dvc"} & set(sys.modules)
assert not frameworks, frameworks
"""


def test_nothing_is_loaded_before_it_is_used(tmp_path):
    printed = run_elsewhere(LAZY, tmp_path)
    for name in NAMES - {"UserError"}:  # help shows each with its text
        assert re.search(rf"\b{name}\b", printed.partition("FUNCTIONS")[2] + printed.partition("CLASSES")[2])
    assert "Choose the confident images" in printed


def test_dir_and_all_list_the_names():
    assert set(ns.__all__) == set(importlib.import_module("noisy_student.api").__all__) == NAMES
    assert set(dir(ns)) >= NAMES
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ns.nothing  # noqa: B018
    assert not hasattr(ns, "TYPE_CHECKING_")


def test_no_stage_and_no_other_module_imports_the_api():
    importing = [
        path
        for folder in ("noisy_student", "stages", "commands", "experiments")
        for path in (ROOT / folder).rglob("*.py")
        if "noisy_student.api" in path.read_text() and path.parent.name != "api"
    ]
    assert importing == [ROOT / "noisy_student/__init__.py"]


@pytest.mark.parametrize(
    ("function", "section", "renamed"),
    [
        (ns.balance, PARAMS["balance"] | PARAMS["pseudolabel"], {}),
        (ns.pseudo_label, PARAMS["pseudolabel"], {}),
        (ns.evaluate, PARAMS["eval"], {}),
        (ns.Model.predict, PARAMS["eval"], {}),
        (ns.RandAugment, PARAMS["noise"]["randaugment"] | PARAMS["augmentation"] | {"seed": PARAMS["seed"]}, {}),
        (ns.train, PARAMS | {"kind": PARAMS["pseudolabel"]["kind"]}, {}),
    ],
)
def test_defaults_are_those_of_params_yaml(function, section, renamed):
    defaults = {name: given.default for name, given in inspect.signature(function).parameters.items()}
    compared = {name: value for name, value in defaults.items() if name in section}
    assert compared
    assert compared == {name: section[name] for name in compared}


def test_help_lists_every_parameter_of_a_training_with_its_default():
    text = pydoc.render_doc(ns.train, renderer=pydoc.plaintext)
    sections = PARAMS["student"] | PARAMS["noise"] | PARAMS["augmentation"]
    listed = dict(re.findall(r"^ +(\w+) \((.*?)\)(?:: .*)?$", text.partition("Further arguments")[2], re.MULTILINE))
    assert set(sections) - set(listed) == {"init"}  # given as `initial`
    assert listed["steps"] == "800; student 1600"
    assert listed["mix"] == "students only, 'ratio'"
    assert listed["crop"] == "0"
    assert not re.search(r"params\.yaml\.|`-S|\bempty\b", text)


# What a user may give wrongly, and what is said of it: the argument, what was found, the mend.
def _train(**arguments):
    return ns.train(IMAGES, LABELS, **arguments)


def _student(**arguments):
    return ns.train(IMAGES, LABELS, **({"unlabelled": IMAGES, "probs": PROBS} | arguments))


GREY = np.zeros((5, 8, 8), np.uint8)
MISTAKES = [
    (lambda: ns.train(GREY, LABELS), "images: .*found uint8 .5, 8, 8.*np.repeat"),
    (lambda: ns.train(GREY[..., None], LABELS), "images: .*np.repeat"),
    (lambda: ns.train(IMAGES[0], LABELS), r"images: .*A single image: give images\[None\]"),
    (lambda: ns.train(np.moveaxis(IMAGES, -1, 1), LABELS), "images: .*channels come last"),
    (lambda: ns.train(np.zeros((5, 8, 8, 4), np.uint8), LABELS), r"images: .*fourth channel: images\[..., :3\]"),
    (lambda: ns.train(np.zeros((5, 8, 8, 5), np.uint8), LABELS), "images: .*Three channels"),
    (lambda: ns.train(IMAGES / 255, LABELS), r"images: .*found float64.*255 \* images"),
    (lambda: ns.train(IMAGES.astype(int), LABELS), r"images: .*found int64.*astype"),
    (lambda: ns.train(IMAGES[:, :7], LABELS), "images: .*squares"),
    (lambda: ns.train([IMAGES[0], IMAGES[0, :5]], LABELS), "images: no array can be made of it"),
    (lambda: ns.train(np.array(["a.png"]), LABELS), "images: .*one array of numbers"),
    (lambda: ns.train(IMAGES[:0], LABELS[:0]), "images: found no image"),
    (lambda: ns.train(IMAGES, LABELS[:4]), r"labels: expected one label an image, \(12,\), found shape \(4,\)"),
    (lambda: ns.train(IMAGES, LABELS / 1), "labels: .*found float64.*return_inverse"),
    (lambda: ns.train(IMAGES, np.array(["cat"] * 12)), "labels: .*return_inverse"),
    (lambda: ns.train(IMAGES, LABELS - 1), "labels: .*found -1 in row 0"),
    (lambda: ns.train(IMAGES, LABELS * 0), "classes: found 1; there is nothing to tell apart"),
    (lambda: _train(classes=["a", "b"]), "classes: found 2, but labels has 3"),
    (lambda: _train(classes=["a", "b", "a"]), "classes: a stands there more than once"),
    (lambda: _train(classes=["a", "b", "\x07"]), "classes: .*cannot be printed"),
    (lambda: _train(stepz=3), "stepz: train has no such argument. Did you mean steps?"),
    (lambda: _train(nonsense=3), "nonsense: train has no such argument. There are .*steps"),
    (lambda: _train(init="pretrained"), "init: train has no such argument. Give initial"),
    (lambda: _train(mix="none"), "mix: of students only. Give unlabelled"),
    (lambda: _train(steps=0), r"steps: .*greater than or equal to 1 .*found 0"),
    (lambda: _train(steps=10, epochs=3), "exactly one of epochs and steps, and leave the other None"),
    (lambda: _train(steps=10, validate_every=3), "validate_every=3 goes with steps=10 and must divide it"),
    (lambda: _train(dropout=1.0), "dropout: .*less than 1.*found 1.0"),
    (lambda: _train(optimizer=3), r"optimizer: expected a dict, such as optimizer=\{'name': 'sgd'\}; found 3"),
    (lambda: _train(optimizer={"learning_rate": -1.0}), r'optimizer\["learning_rate"\]: .*greater than 0.*found -1.0'),
    (lambda: _train(optimizer={"rate": 1.0}), r'optimizer\["rate"\]: unknown parameter'),
    (lambda: _train(randaugment={"magnitude": 11}), "magnitude=11 exceeds levels=10"),
    (lambda: _train(model={"depth": 7}), "resnet has depth 6n . 2.*got 7"),
    (lambda: _train(model={"name": "resnext"}), r'model\["name"\]: no such network; choose one of .*resnet'),
    (lambda: _train(model={"name": "efficientnet", "size": "b0"}), "image_size=8: too small for efficientnet"),
    (lambda: _train(finetune={"epochs": 1.0, "freeze_blocks": 9}), r'finetune\["freeze_blocks"\]=9: .*only 3 blocks'),
    (lambda: _train(select_by="loss"), 'validation: missing; select_by="loss"'),
    (lambda: _train(validation=IMAGES), r"validation: expected a pair \(images, labels\), found ndarray"),
    (lambda: _train(validation=(IMAGES, LABELS[:3])), r"validation\[1\]: expected one label an image"),
    (lambda: _train(validation=(IMAGES, LABELS + 1)), r"validation\[1\]: found class 3, but there are 3"),
    (lambda: _train(seed=-1), "seed: .*greater than or equal to 0"),
    (lambda: _train(precision="half"), "precision: .*'mixed_bfloat16'.*found 'half'"),
    (lambda: _train(generation="gen 1", mix="none"), "generation: expected letters.*found 'gen 1'"),
    (lambda: _train(generation="gen1"), 'unlabelled: missing; a student of mix="ratio"'),
    (lambda: _train(probs=PROBS), "probs: of which images. Give them as unlabelled"),
    (lambda: _train(initial=IMAGES), "initial: expected what train or load returns, found ndarray"),
    (lambda: _train(initial="no/teacher.keras"), "initial=no/teacher.keras: no such file or folder"),
    (lambda: _student(initial="teacher.keras"), "initial: expected what train or load returns, found str"),
    (lambda: _train(freeze_blocks=1), "freeze_blocks=1 would keep random weights as they are; give initial, or leave"),
    (lambda: ns.train(IMAGES[:, :4, :4], LABELS), "images: expected 8 to 1024 pixels a side, found 4"),
    (lambda: _student(probs=None), "probs: missing; unlabelled images need the labels of a teacher"),
    (lambda: _student(probs=PROBS[:5]), "probs: expected a row for each of the 12 images of unlabelled, found 5"),
    (lambda: _student(probs=PROBS * 2), "probs: 12 of 12 rows are no distribution; row 0 sums to 2"),
    (
        lambda: _student(probs=PROBS[:, :2] / PROBS[:, :2].sum(1, keepdims=True)),
        "labels: found class 2, but probs has 2",
    ),
    (lambda: _student(rows=[12]), "rows: found rows 12 to 12, but unlabelled has 12 images, 0 to 11"),
    (lambda: _student(rows=[0.5]), "rows: expected numbers of rows"),
    (lambda: _student(mix="none"), 'unlabelled: a student of mix="none" learns from no such images'),
    (lambda: _student(classes=list("abcd")), "classes: found 4, but probs has 3"),
    (lambda: _student(unlabelled=IMAGES[:0]), "unlabelled: found no image"),
    (lambda: _student(kind="harder"), "kind: .*'hard'.*found 'harder'"),
    (lambda: ns.balance(PROBS, threshold=1.5), "balance: threshold: .*less than 1.*found 1.5"),
    (lambda: ns.balance(PROBS, rule="equals"), "balance: rule=.?equals.?: no such rule; choose one of equal"),
    (lambda: ns.balance(np.full((4, 4), 0.25)), r"balance: No pseudo-label .*above threshold=0.75 \(best 0.250"),
    (lambda: ns.balance([[0.9, 0.1]], on_empty="error"), r'class 1 \(1\): .*or set on_empty="skip"\.'),
    (lambda: ns.balance([0.9, 0.1]), r"probs: expected distributions .*found float64 \(2,\)"),
    (lambda: ns.balance([[np.nan, 1.0]]), "probs: 1 of 1 rows are no distribution; row 0 sums to nan"),
    (lambda: ns.balance(PROBS, max_confidence=0.5), "max_confidence=0.5 leaves nothing above threshold=0.75"),
    (lambda: ns.RandAugment(ops=11), "RandAugment: ops: .*less than or equal to 10.*found 11"),
    (lambda: ns.RandAugment(seed=0.5), "seed: expected a whole number"),
    (lambda: ns.RandAugment()(IMAGES, rows=[1]), r"rows: expected a number an image, \(12,\), found int64 \(1,\)"),
    (lambda: ns.load("no-such.keras"), "no-such.keras: no such file"),
    (lambda: ns.pseudo_label(_network(), IMAGES, batch_size=0), "pseudo_label: batch_size: give a number of images"),
    (lambda: ns.pseudo_label(_network(), IMAGES, batch_size=-1), "pseudo_label: batch_size: give a number of images"),
    (lambda: ns.evaluate(_network(), IMAGES, LABELS, batch_size=-1), "evaluate: batch_size: give a number of images"),
    (lambda: ns.Model(_network(), list("abc")).predict(IMAGES, batch_size=-1), "predict: batch_size: give a number"),
    (lambda: ns.Model(_network(), list("abc")).predict(IMAGES[:0], batch_size="x"), "predict: batch_size: give a"),
    (lambda: ns.pseudo_label("teacher.keras", IMAGES), "model: expected what train or load returns, found str"),
    (lambda: ns.pseudo_label(_network(wrong=True), IMAGES), r"model: takes \(None, 8, 8, 1\)"),
    (lambda: ns.evaluate(_network(), IMAGES, LABELS + 5), "labels: found class 7, but the model knows 3, 0 to 2"),
    (lambda: ns.Model(_network(), list("abc")).save("model.h5"), "path: expected a name that ends in .keras"),
]


def _network(wrong=False):
    return keras.Sequential(
        [
            keras.Input((8, 8, 1 if wrong else 3), dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(3, "softmax", kernel_initializer=keras.initializers.GlorotUniform(seed=0)),
        ]
    )


@pytest.mark.parametrize(("call", "message"), MISTAKES)
def test_errors_speak_of_arguments(call, message, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ns.UserError, match=re.compile(message, re.DOTALL)) as caught:
        call()
    said = str(caught.value)
    assert not re.search(
        r"params\.yaml|dvc|`-S|(?<!/)\b(teacher|student|data|noise|balance|pseudolabel)\.[a-z]|=empty", said
    )
    assert caught.value.__cause__ is None or caught.value.__suppress_context__
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_is_a_value_error_too():
    with pytest.raises(ValueError, match="seed"):
        ns.RandAugment(seed=-1)


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "teacher.keras").write_bytes(b"PK")
    with pytest.raises(ns.UserError, match=r"load: .*teacher\.keras: truncated, or not a \.keras file") as caught:
        ns.load(tmp_path / "teacher.keras")
    assert "dvc" not in str(caught.value)


def test_a_model_that_gives_nan_is_refused():
    network = _network()
    network.set_weights([np.full_like(weights, np.nan) for weights in network.get_weights()])
    with pytest.raises(ns.UserError, match=r"^pseudo_label: the model gives NaN"):
        ns.pseudo_label(network, IMAGES)


def test_weights_that_do_not_fit_are_told_by_the_arguments():
    """The error comes from within the training; the network is of another width."""
    initial = ns.train(IMAGES, LABELS, steps=1, model={"depth": 8, "width": 4})
    with pytest.raises(ns.UserError, match="same model and classes, or set initial=None") as caught:
        ns.train(IMAGES, LABELS, steps=1, model={"depth": 8, "width": 8}, initial=initial)
    assert "params.yaml" not in str(caught.value)


def test_frozen_blocks_keep_the_weights_of_a_model_or_of_a_file(tmp_path):
    small = {"model": {"depth": 8, "width": 4}, "steps": 2}
    first = ns.train(IMAGES, LABELS, **small)
    first.save(tmp_path / "first.keras")
    for initial in (first, tmp_path / "first.keras"):
        then = ns.train(IMAGES, LABELS, initial=initial, freeze_blocks=3, optimizer={"learning_rate": 1.0}, **small)
        before, after = ({w.path: np.asarray(w) for w in model.keras.weights} for model in (first, then))
        changed = {path.partition("/")[0] for path in before if not np.array_equal(before[path], after[path])}
        assert changed == {"logits"}


def test_a_training_that_diverges_is_told_by_the_arguments():
    with pytest.raises(ns.UserError, match=r'Lower optimizer\["learning_rate"\]') as caught:
        ns.train(IMAGES, LABELS, steps=20, model={"depth": 8, "width": 4}, optimizer={"learning_rate": 1e30})
    assert "params.yaml" not in str(caught.value)


# Results, each against something else than the library


def test_every_noised_image_is_one_that_pillow_makes():
    """With one operation at full strength there are few possible images, and every operation occurs."""
    images = np.random.default_rng(1).integers(0, 256, (400, 16, 16, 3), np.uint8)
    noised = ns.RandAugment(ops=1, magnitude=10, levels=10, fill=77, seed=3)(images)
    seen = set()
    for before, after in zip(images, noised, strict=True):
        possible = {
            (row.name, sign): by_pillow("standard", row.name, before, sign * row.hi, 77)
            for row in STANDARD
            for sign in ((1, -1) if row.signed else (1,))
        }
        same = [which for which, image in possible.items() if np.array_equal(image, after)]
        assert same
        seen |= set(same) if len(same) == 1 else set()
    assert {name for name, _ in seen} >= {row.name for row in STANDARD} - {"identity", "equalize"}
    assert {sign for name, sign in seen if name == "rotate"} == {1, -1}


def test_noise_depends_on_the_row_and_the_epoch_only():
    noise = ns.RandAugment(ops=3)
    whole, again, later = noise(IMAGES), noise(IMAGES), noise(IMAGES, epoch=1)
    np.testing.assert_array_equal(whole, again)
    np.testing.assert_array_equal(noise(IMAGES[5:7], rows=np.array([5, 6])), whole[5:7])
    assert (later != whole).any()
    assert (ns.RandAugment(ops=3, seed=1)(IMAGES) != whole).any()
    assert noise(IMAGES[:0]).shape == (0, 8, 8, 3)


def test_flips_are_mirror_images():
    flipped = ns.RandAugment(ops=0, flip=True)(IMAGES)
    mirrored = np.stack([np.asarray(Image.fromarray(image).transpose(Image.FLIP_LEFT_RIGHT)) for image in IMAGES])
    turned = (flipped == mirrored).all(axis=(1, 2, 3))
    np.testing.assert_array_equal(flipped, np.where(turned[:, None, None, None], mirrored, IMAGES))
    assert 0 < turned.sum() < len(IMAGES)


def test_balance_by_hand():
    """Class 0 has rows 2 (0.95), 0 (0.9); class 1 has row 3; class 2 has none; row 1 is not confident."""
    probs = [[0.9, 0.1, 0.0], [0.5, 0.25, 0.25], [0.95, 0.05, 0.0], [0.2, 0.8, 0.0]]
    assert ns.balance(probs).tolist() == [2, 0, 3, 3]
    assert ns.balance(probs, per_class=3).tolist() == [2, 0, 2, 3, 3, 3]
    assert ns.balance(probs, rule="unbalanced").tolist() == [0, 2, 3]
    assert ns.balance(probs, threshold=0.9).tolist() == [2]
    with pytest.raises(ns.UserError, match=r"class 2 \(car\)"):
        ns.balance(probs, on_empty="error", classes=["cat", "dog", "car"])


def test_predictions_and_metrics_by_keras_and_scikit_learn():
    network = _network()
    expected = network.predict(IMAGES, verbose=0)
    model = ns.Model(network, ["cat", "dog", "car"])
    np.testing.assert_allclose(model.predict(IMAGES), expected, atol=1e-6)
    np.testing.assert_allclose(ns.pseudo_label(network, IMAGES), expected, atol=1e-6)
    mirrored = (expected + network.predict(IMAGES[:, :, ::-1], verbose=0)) / 2
    np.testing.assert_allclose(ns.pseudo_label(network, IMAGES, test_time_augmentation="flip"), mirrored, atol=1e-6)
    assert model.predict(IMAGES[:0]).shape == (0, 3)
    metrics = ns.evaluate(model, IMAGES, LABELS)
    assert metrics["accuracy"] == pytest.approx(accuracy_score(LABELS, expected.argmax(axis=1)))
    probs = expected.astype(float) / expected.sum(axis=1, keepdims=True, dtype=float)
    assert metrics["nll"] == pytest.approx(log_loss(LABELS, probs), abs=1e-5)
    assert [row["class"] for row in metrics["recall"]] == ["cat", "dog", "car"]


def test_images_of_another_size_are_resized_as_pillow_does(tmp_path):
    model = ns.Model(_network(), list("abc"))
    large = np.random.default_rng(2).integers(0, 256, (3, 20, 20, 3), np.uint8)
    small = np.stack([np.asarray(Image.fromarray(image).resize((8, 8), Image.Resampling.BICUBIC)) for image in large])
    np.testing.assert_array_equal(model.predict(large), model.predict(small))


def test_a_saved_model_keeps_its_classes(tmp_path):
    ns.Model(_network(), ["cat", "dog", "car"]).save(tmp_path / "pets.keras")
    loaded = ns.load(tmp_path / "pets.keras")
    assert loaded.classes == ["cat", "dog", "car"]
    assert repr(loaded).endswith("8 x 8 pixels, 3 classes>")
    stock = keras.saving.load_model(tmp_path / "pets.keras", safe_mode=True)
    np.testing.assert_allclose(loaded.predict(IMAGES), stock.predict(IMAGES, verbose=0), atol=1e-6)
    stock.save(tmp_path / "bare.keras")  # by Keras alone: it names no classes
    assert ns.load(tmp_path / "bare.keras").classes == ["0", "1", "2"]


@pytest.mark.parametrize(("length", "steps"), [({"epochs": np.int64(3)}, [2, 4, 6]), ({"steps": 7}, [7])])
def test_length_follows_what_is_given(length, steps):
    """Of epochs and steps one is given; validations follow. An epoch of 12 images, 6 a step, has 2 steps."""
    model = ns.train(IMAGES, LABELS, model={"depth": 8, "width": 4}, batch_size=6, **length)
    assert [row["step"] for row in model.history] == steps
