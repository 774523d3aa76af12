"""Whole trainings on images in shards: the same models as on arrays, and sizes that differ by generation."""

import json
import shutil

import pytest

from commands import preset as presets
from noisy_student.runtime.files import read_json
from noisy_student.settings import params
from small import ALL_STAGES, OF_GENERATION, stage
from support import with_values

STAGES = ALL_STAGES[1:]
OF_STUDENT = ("prepare", *(f"{name} gen1" for name in OF_GENERATION), "results")
ARRAYS = tuple(f"data/prepared/{split}" for split in ("labelled", "unlabelled", "test", "validation"))


@pytest.fixture
def again(workspace):
    """Run stages once more with other parameters; return the bytes of models and figures."""

    def run(*stages, **values):
        changed = {key.replace("__", "."): value for key, value in values.items()}
        path = workspace / "params.yaml"
        path.write_text(presets.rewrite(path.read_text(), with_values(params.read_yaml(path), changed)))
        for name in ARRAYS:
            shutil.rmtree(workspace / name)
        for call in stages:
            assert stage(*call.split()) is None
        names = (
            "models/teacher.keras",
            "models/student-gen1.keras",
            "metrics/eval.json",
            "data/prepared/balanced/gen1.npy",
        )
        return {name: (workspace / name).read_bytes() for name in names}

    return run


def test_shards_of_png_give_the_models_that_arrays_give(workspace, again):
    names = (
        "models/teacher.keras",
        "models/student-gen1.keras",
        "metrics/eval.json",
        "data/prepared/balanced/gen1.npy",
    )
    before = {name: (workspace / name).read_bytes() for name in names}
    shutil.rmtree(workspace / "models")
    assert again(*STAGES, data__store="shards") == before
    assert not (workspace / "data/prepared/labelled/images.npy").exists()


def test_jpeg_resolution_fix_and_another_network_by_generation(workspace, again):
    tuned = {"epochs": 0.5, "image_size": 12, "augment": False, "freeze_blocks": 1, "batch_size": 8}
    again(
        *OF_STUDENT,
        data__store="shards",
        data__encoding="jpeg",
        student__finetune=tuned | {"learning_rate": 0.01},
        generations={
            "gen1": {
                "teacher": "teacher",
                "noise": {"randaugment": {"magnitude": 2}},
                "student": {"model": {"name": "wide_resnet", "wide_depth": 10, "widening_factor": 1}},
            }
        },
    )
    record = read_json(workspace / "metrics/models/student-gen1.json")
    assert (record["name"], record["image_size"]) == ("wide_resnet_10_1", 12)
    assert record["finetune"]["steps"] == 3  # half of 40 images, 8 a step
    assert json.loads((workspace / "metrics/eval.json").read_text())["student-gen1"]["accuracy"] >= 0
