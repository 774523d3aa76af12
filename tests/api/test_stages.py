"""What the API gives is what the pipeline's stages give, for the same images and values: the same bytes."""

import contextlib
import json

import numpy as np
import pytest

import noisy_student as ns
from noisy_student.data.arrays import open_labelled
from noisy_student.runtime import layout
from noisy_student.runtime.files import read_array, read_csv, read_json
from noisy_student.runtime.layout import TEACHER, Model
from noisy_student.settings.params import read_yaml

STUDENT = Model("gen1")


@pytest.fixture(scope="module")
def run(finished):
    """What the stages have read and written, with parameters as arguments of `ns.train`."""
    with contextlib.chdir(finished):
        params = read_yaml("params.yaml")
        noise = params["noise"] | params["augmentation"]
        of = {
            section: {k: v for k, v in params[section].items() if k not in ("init", "weights")}
            for section in ("teacher", "student")
        }
        labelled, held_out, test = map(open_labelled, (layout.LABELLED, layout.VALIDATION, layout.TEST))
        return {
            "params": params,
            "folder": finished,
            "known": (np.array(labelled.images), np.array(labelled.labels)),
            "validation": (np.array(held_out.images), np.array(held_out.labels)),
            "test": (np.array(test.images), np.array(test.labels)),
            "pool": np.array(read_array(layout.UNLABELLED / "images.npy")),
            "probs": np.array(read_array(layout.pseudo_labels("gen1") / "shard-00000.npy")),
            "rows": np.array(read_array(layout.balanced("gen1"))),
            "classes": read_json(layout.CLASSES),
            "teacher": of["teacher"] | noise,
            "student": of["student"] | noise,
        }


def trained(run, section, **more):
    common = {"validation": run["validation"], "classes": run["classes"], **more}
    return ns.train(*run["known"], **common, **run[section])


@pytest.mark.parametrize("model", [TEACHER, STUDENT], ids=lambda model: model.name)
def test_a_training_gives_the_bytes_of_the_stage(run, model, tmp_path):
    pool = {} if model == TEACHER else {"unlabelled": run["pool"], "probs": run["probs"], "rows": run["rows"]}
    mine = trained(run, model.section, **pool)
    mine.save(tmp_path / "mine.keras")
    assert (tmp_path / "mine.keras").read_bytes() == (run["folder"] / model.path).read_bytes()
    assert mine.history == read_csv(run["folder"] / model.curves)
    written = read_json(run["folder"] / model.summary)
    assert json.loads(json.dumps(mine.summary)) == {key: written[key] for key in mine.summary}


def test_pseudo_labels_and_their_choice_are_those_of_the_stages(run):
    probs = ns.pseudo_label(ns.load(run["folder"] / TEACHER.path), run["pool"])
    assert probs.dtype == np.float32
    np.testing.assert_array_equal(probs, run["probs"])
    balance = {key: value for key, value in run["params"]["balance"].items() if key != "enabled"}
    rows = ns.balance(probs, threshold=run["params"]["pseudolabel"]["threshold"], **balance)
    np.testing.assert_array_equal(rows, run["rows"])


def test_metrics_are_those_of_the_stage(run):
    student = ns.load(run["folder"] / STUDENT.path)
    assert student.classes == run["classes"]
    written = read_json(run["folder"] / STUDENT.evaluation / layout.METRICS)
    mine = ns.evaluate(student, *run["test"])
    assert len(mine) >= 6
    assert mine == {key: written[key] for key in mine}


@pytest.mark.parametrize(("model", "changed"), [(TEACHER, {"seed": 1}), (STUDENT, {"generation": "gen2"})])
def test_the_seed_and_the_generation_are_heard(run, model, changed):
    """Else equal bytes above would show little."""
    pool = {} if model == TEACHER else {"unlabelled": run["pool"], "probs": run["probs"], "rows": run["rows"]}
    stage = ns.load(run["folder"] / model.path).keras.get_weights()
    mine = trained(run, model.section, **pool, **changed).keras.get_weights()
    assert not np.array_equal(stage[0], mine[0])
