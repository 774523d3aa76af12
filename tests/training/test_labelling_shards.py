"""The pool labelled by shards: the same bytes whatever the shards, the executor and the number of its workers."""

import importlib.util
import json
import os
import signal
from pathlib import Path

import keras
import numpy as np
import pytest

from noisy_student.data.inputs import Inputs
from noisy_student.data.probs import dense, top_k
from noisy_student.inference.saving import save
from noisy_student.models.build import build
from noisy_student.runtime import checkpoints, layout
from noisy_student.runtime.checkpoints import Checkpoints
from noisy_student.runtime.errors import DataError, ParamsError
from noisy_student.runtime.files import read_array, write_array, write_json
from noisy_student.runtime.signals import Stopped
from noisy_student.settings import params
from noisy_student.steps import labelling
from noisy_student.steps.labelling import label_pool, shard_ranges
from support import with_values

IMAGES = np.random.default_rng(0).integers(0, 256, (23, 16, 16, 3), dtype=np.uint8)
SMALL = {"teacher.model.width": 4, "pseudolabel.batch_size": 4, "checkpoint.every_minutes": 0.0}
NOISED = {"pseudolabel.noise": True, "noise.dropout": 0.5, "noise.stochastic_depth.survival_probability": 0.5}
EXECUTORS = [
    pytest.param("workers=2", marks=pytest.mark.slow),  # each imports Keras
    pytest.param(
        "name=ray,workers=2",
        marks=[
            pytest.mark.slow,
            pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
        ],
    ),
]


@pytest.fixture
def settings(digits, tmp_path, monkeypatch):
    """A function: parameters with some values changed, in a folder with a teacher and a pool."""
    monkeypatch.chdir(tmp_path)
    for variable in ("EXECUTOR", "DVC_ROOT"):
        monkeypatch.delenv(variable, raising=False)

    def changed(**values):
        changes = {key.replace("__", "."): value for key, value in values.items()}
        return params.check(with_values(digits, SMALL | changes))

    model = build(changed().teacher.model, mode="inference", classes=10, image_size=16, seed=1)
    rng = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    save(model, layout.TEACHER.path)
    write_json(layout.CLASSES, [str(digit) for digit in range(10)])
    write_array(layout.UNLABELLED / "images.npy", IMAGES)
    return changed


def _files():
    return {path.name: path.read_bytes() for path in layout.pseudo_labels("gen1").iterdir()}


def _probs():
    return np.array(Inputs().probs("gen1")[:])


@pytest.mark.parametrize("noised", [False, True])
def test_shards_change_no_label(settings, noised):
    """Not even of a noised teacher, whose dropout is drawn by the batch: shards hold whole batches."""
    own = {key.replace(".", "__"): value for key, value in NOISED.items()} if noised else {}
    label_pool(settings(**own), "gen1")
    assert list(_files()) == ["shard-00000.npy"]
    whole = _probs()
    facts = label_pool(settings(**own, pseudolabel__shard_images=6), "gen1")  # rounded up to 8
    assert sorted(_files()) == [f"shard-{n:05d}.npy" for n in range(3)]
    assert [len(read_array(path)) for path in sorted(layout.pseudo_labels("gen1").iterdir())] == [8, 8, 7]
    np.testing.assert_array_equal(_probs(), whole)
    assert (facts["shards"], facts["images"], facts["executor"]) == (3, 23, "local")
    assert not checkpoints.present()
    label_pool(settings(**own), "gen1")  # what a former run has left does not stay
    assert list(_files()) == ["shard-00000.npy"]


@pytest.mark.parametrize("executor", EXECUTORS)
def test_executors_change_no_byte(settings, monkeypatch, executor):
    label_pool(settings(pseudolabel__shard_images=6), "gen1")
    expected = _files()
    monkeypatch.setenv("EXECUTOR", executor)
    facts = label_pool(settings(pseudolabel__shard_images=6), "gen1")
    assert _files() == expected
    assert (facts["workers"], facts["shards"], facts["retries"]) == (2, 3, 0)
    assert facts["executor"] == ("ray" if "ray" in executor else "local")
    json.dumps(facts)
    assert not checkpoints.present()


class _Killed(BaseException):
    """Stands for SIGKILL."""


@pytest.mark.parametrize("keep", ["all", 3])
def test_a_killed_labelling_goes_on_within_its_shard(settings, monkeypatch, keep):
    """Killed in the second shard after one of its two batches: neither that batch nor the first shard is done again."""
    whole = settings(pseudolabel__shard_images=8, pseudolabel__keep=keep)
    label_pool(whole, "gen1")
    expected, saved, real = _files(), [], Checkpoints.save

    def save_and_die(self, *arguments, **options):
        real(self, *arguments, **options)
        saved.append(arguments[0])
        if len(saved) == 2:
            raise _Killed

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", save_and_die)
        with pytest.raises(_Killed):
            label_pool(whole, "gen1")
    assert checkpoints.present()[0]["done"] == "1 shard, 4 of 8 rows"
    labelled, predict = [], labelling.predict_probs

    def counting(model, images, **options):
        labelled.append(len(images))
        return predict(model, images, **options)

    monkeypatch.setattr(labelling, "predict_probs", counting)
    assert label_pool(whole, "gen1")["resumed_from_row"] == 12
    assert labelled == [8, 7]
    assert _files() == expected


def test_a_kill_before_a_shard_is_in_its_place_costs_no_saved_row(settings, monkeypatch):
    whole, real = settings(pseudolabel__shard_images=8), os.replace
    label_pool(whole, "gen1")
    expected = _files()

    def replace(source, target):
        if Path(target).name == "shard-00001.npy":
            raise _Killed
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace)
        with pytest.raises(_Killed):
            label_pool(whole, "gen1")
    assert checkpoints.present()[0]["done"] == "1 shard, 4 of 8 rows"
    assert [path.name for path in Path("checkpoints").glob("*/*/rows-*")] == ["rows-8"]  # not those of the whole shard
    assert label_pool(whole, "gen1")["resumed_from_row"] == 12
    assert _files() == expected


@pytest.mark.parametrize(
    ("images", "said", "rows"),
    [(131_072, "all 23 rows are labelled", 23), (8, r"2 of 3 shards are done", 16)],
    ids=["one shard", "shards"],
)
def test_a_signal_too_late_to_save_rows_waits_for_the_shard(settings, monkeypatch, images, said, rows):
    """It comes when all rows are labelled and their file is not yet whole."""
    whole, predict, labelled = settings(pseudolabel__shard_images=images), labelling.predict_probs, []
    label_pool(whole, "gen1")
    expected = _files()

    def interrupted(model, part, **options):
        predict(model, part, **options)
        labelled.append(len(part))
        if sum(labelled) == rows:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(labelling, "predict_probs", interrupted)
        with pytest.raises((Stopped, KeyboardInterrupt), match=rf"^pseudolabel gen1: stopped; {said}\. Run") as stop:
            label_pool(whole, "gen1")
    assert stop.value.number == signal.SIGINT
    assert label_pool(whole, "gen1")["resumed_from_row"] == rows
    assert _files() == expected


def test_one_process_that_is_stopped_says_how_many_shards_are_done(settings, monkeypatch):
    """Ctrl-C comes in the first of the second shard's three batches, which is saved; the next one is, too."""
    saved, real = [], Checkpoints.save

    def save_and_ask(self, *arguments, **options):
        saved.append(arguments[0])
        if len(saved) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return real(self, *arguments, **options)

    monkeypatch.setattr(Checkpoints, "save", save_and_ask)
    message = r"^pseudolabel gen1: stopped; 1 of 2 shards are done, 8 of 11 rows of another are saved\. Run the same"
    with pytest.raises(Stopped, match=message) as stop:
        label_pool(settings(pseudolabel__shard_images=12), "gen1")
    assert stop.value.number == signal.SIGINT
    assert checkpoints.present()[0]["done"] == "1 shard, 8 of 11 rows"


def test_the_most_probable_classes_alone(settings):
    label_pool(settings(), "gen1")
    whole = _probs()
    label_pool(settings(pseudolabel__keep=3, pseudolabel__shard_images=8), "gen1")
    stored = np.concatenate([read_array(path) for path in sorted(layout.pseudo_labels("gen1").iterdir())])
    assert stored.itemsize == 4 + 3 * (2 + 2)
    np.testing.assert_array_equal(stored, top_k(whole, 3))
    np.testing.assert_array_equal(_probs(), dense(top_k(whole, 3), 10))
    np.testing.assert_array_equal(_probs().max(axis=1), whole.max(axis=1))


@pytest.mark.parametrize("keep", [10, 11])
def test_as_many_classes_as_there_are_cannot_be_kept(settings, keep):
    with pytest.raises(ParamsError, match=f"pseudolabel.keep={keep}, but there are 10 classes"):
        label_pool(settings(pseudolabel__keep=keep), "gen1")


def test_a_missing_shard_is_named(settings):
    label_pool(settings(pseudolabel__shard_images=8), "gen1")
    folder = layout.pseudo_labels("gen1")
    (folder / "shard-00001.npy").rename(folder / "shard-00003.npy")
    with pytest.raises(DataError, match=r"shard-00001\.npy: no such file"):
        Inputs().probs("gen1")
    (folder / "shard-00003.npy").unlink()
    (folder / "shard-00002.npy").unlink()
    with pytest.raises(DataError, match="gen1: 8 distributions, expected one for each of the 23 unlabelled images"):
        Inputs().probs("gen1")


def test_ranges_by_hand():
    assert shard_ranges(20, images=7, batch=4) == [(0, 8), (8, 16), (16, 20)]
    assert shard_ranges(8, images=8, batch=4) == [(0, 8)]
    assert shard_ranges(3, images=1, batch=4096) == [(0, 3)]
