"""dvc.lock is read by libyaml and written as ever."""

import io

import pytest
from ruamel.yaml import YAML

from experiments import lock_files
from support import ROOT

serialize = pytest.importorskip("dvc.utils.serialize._yaml")
NAMES = ["data: x", "1e-3", "0x1f", "on", "null", "ä", "two\nlines", "a" * 200, "b " * 60, "'quoted'", "007", "~"]
VALUES = [*NAMES, 1e-3, 1e-06, 0.1, 1e300, -0.0, float("inf"), 7, -1, True, None, [], {}, ["a", {"b": [1.5]}]]


@pytest.fixture
def counted(monkeypatch):
    """How often DVC's readers are asked: {kind: times}."""
    times = {"safe": 0, "rt": 0}
    parse = serialize.parse_yaml

    def count(text, path, typ="safe"):
        times[typ] += 1
        return parse(text, path, typ)

    monkeypatch.setattr(serialize, "parse_yaml", count)
    monkeypatch.setattr(serialize, "parse_yaml_for_update", serialize.parse_yaml_for_update)  # put back afterwards
    lock_files.read_faster()
    return times


def _changed(path):
    with serialize.modify_yaml(path) as data:
        data["added"] = {"schema": 2}
    return path.read_text(encoding="utf-8")


def _written(values):
    stream = io.StringIO()
    serialize._dump(values, stream)
    return stream.getvalue()


def test_libyaml_is_what_dvc_reads_with():
    assert "_ruamel_yaml" in YAML(typ="safe").Parser.__module__


@pytest.mark.parametrize("values", [None, {"stages": dict.fromkeys(NAMES, VALUES)}], ids=["committed", "of any kind"])
def test_what_is_written_is_what_the_other_reader_gives(values, counted, tmp_path):
    text = (ROOT / "dvc.lock").read_text(encoding="utf-8") if values is None else _written(values)
    paths = [tmp_path / "dvc.lock", tmp_path / "other.yaml"]
    for path in paths:
        path.write_text(text, encoding="utf-8")
    fast, slow = map(_changed, paths)
    assert counted == {"safe": 1, "rt": 1}
    assert fast == slow == text + _written({"added": {"schema": 2}})


def test_comments_of_other_files_are_kept(counted, tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("seed: 0 # of the trainings\n")
    assert _changed(path).startswith("seed: 0 # of the trainings\n")
    assert counted == {"safe": 0, "rt": 1}
