"""A user's images are safe: no input may be, hold or lie in a folder of generated files, however it is written."""

import os
from itertools import product
from pathlib import Path

import pytest
from PIL import Image

from noisy_student.runtime import layout
from noisy_student.runtime.errors import ParamsError
from noisy_student.settings import params
from noisy_student.steps.checking import check_project
from small import ALL_STAGES, stage
from support import set_params, with_values

PARAMETERS = ("data.root", "data.unlabelled_from", "eval.extra_tests.mine")
LINK = "images"  # a link in the project, at an innocent place


def _linked(target):
    Path(LINK).symlink_to(target.absolute())
    return LINK


SPELLINGS = {  # of a folder that lies in a generated one, is one, or holds one
    "inside, relative": lambda generated: f"{generated}/photos",
    "itself, absolute": lambda generated: f"{generated.absolute()}/",
    "inside, by ..": lambda generated: f"data/raw/../../{generated}/photos/../photos",
    "inside, by a link": lambda generated: _linked(generated / "photos"),
    "below a link": lambda generated: f"{_linked(generated)}/photos",
    "above, absolute": lambda generated: str(generated.absolute().parent),
    "above, by a link's ..": lambda generated: f"{_linked(generated / 'photos')}/../..",
}


def _write_photos(folder):
    paths = [folder / split / name / "1.png" for split, name in product(("train", "test"), ("ant", "bee"))]
    for path in paths:
        path.parent.mkdir(parents=True)
        Image.new("RGB", (8, 8), (len(path.parts), 9, 9)).save(path)
    return paths


def _named(parameter, value):
    if parameter.startswith("eval.extra_tests."):
        return {"eval.extra_tests": {parameter.rpartition(".")[2]: value}}
    return {parameter: value}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project, the current directory."""
    (tmp_path / "project/data/raw").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("generated", layout.GENERATED, ids=str)
@pytest.mark.parametrize("parameter", PARAMETERS)
def test_an_input_in_above_or_at_a_generated_folder_is_refused(project, digits, parameter, generated, spelling):
    photos = _write_photos(generated / "photos")
    value = SPELLINGS[spelling](generated)
    with pytest.raises(ParamsError) as error:
        check_project(with_values(digits, _named(parameter, value)))
    message = str(error.value)
    assert message.count("cannot be an input") == 1, message
    assert f"\n  {parameter}={value}" in message  # the name once
    assert any(f"the stages write {folder}," in message for folder in layout.GENERATED), message
    assert "Move the images" in message
    assert all(path.is_file() for path in photos)


@pytest.mark.parametrize("parameter", PARAMETERS)
@pytest.mark.parametrize("place", ["data/train", "data/raw/mine", "data/prepared-by-me", "modelsx", "../elsewhere"])
def test_all_other_places_are_accepted(project, digits, parameter, place):
    _write_photos(Path(place))
    for spelling in (place, os.path.abspath(place), f"data/../{place}", f"{place}/"):
        params.check(with_values(digits, _named(parameter, spelling)))


def test_a_link_that_leads_to_itself_is_one_message(project, digits):
    Path("loop").symlink_to("loop")
    with pytest.raises(ParamsError, match=r"data\.root=loop"):
        check_project(with_values(digits, {"data.root": "loop"}))


def test_in_a_temporary_copy_of_dvc_the_projects_own_folders_are_meant_too(project, digits, monkeypatch):
    copy = project / ".dvc/tmp/exps/tmp1234"
    copy.mkdir(parents=True)
    (project / "models/photos").mkdir(parents=True)
    monkeypatch.chdir(copy)
    for value in (project / "models/photos", project / "data", "../../../../metrics"):
        with pytest.raises(ParamsError, match="cannot be an input"):
            params.check(with_values(digits, {"data.root": str(value)}))
    params.check(with_values(digits, {"data.root": str(project / "data/raw")}))


def test_another_spelling_of_a_file_system_that_ignores_case_is_the_same_folder(project, monkeypatch):
    """As macOS has it: a hard link to a folder stands for it here, by what `samefile` says."""
    (project / "models").mkdir()
    (project / "Models/photos").mkdir(parents=True)
    same = os.path.samefile

    def ignoring_case(a, b):
        return str(a).lower() == str(b).lower() or same(a, b)

    assert layout.generated_folder_at("Models/photos") is None
    monkeypatch.setattr(os.path, "samefile", ignoring_case)
    assert layout.generated_folder_at("Models/photos") == Path("models")


STAGES = (*ALL_STAGES, "robustness_teacher", "robustness gen1", "extra_test mine")


@pytest.mark.parametrize("call", STAGES)
def test_every_stage_refuses(workspace, call):
    photos = _write_photos(workspace / "data/train-and-test")
    (workspace / "photos").symlink_to(workspace / "data")
    set_params({"data.root": "photos", "eval.extra_tests": {"mine": "data/raw"}}, workspace)
    before = {
        path: path.read_bytes() for path in workspace.rglob("*") if path.is_file() and "run.json" not in path.name
    }
    message = stage(*call.split())
    assert f"data.root=photos ({workspace / 'data'}): the stages write data/prepared" in message
    after = {path: path.read_bytes() for path in before}
    assert after == before
    assert all(path.is_file() for path in photos)
