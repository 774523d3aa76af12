"""dvc.lock is read by libyaml, and written stage by stage: the same values, the same bytes."""

import copy
import io
from collections import OrderedDict

import pytest
from ruamel.yaml import YAML

from experiments import lock_files
from support import ROOT

serialize = pytest.importorskip("dvc.utils.serialize._yaml")
strictyaml = pytest.importorskip("dvc.utils.strictyaml")
NAMES = ["data: x", "1e-3", "0x1f", "on", "null", "ä", "two\nlines", "a" * 200, "b " * 60, "'quoted'", "007", "~"]
VALUES = [*NAMES, 1e-3, 1e-06, 0.1, 1e300, -0.0, float("inf"), 7, -1, True, None, [], {}, ["a", {"b": [1.5]}]]


@pytest.fixture
def counted(monkeypatch):
    """How often DVC's readers and its writer are asked: {kind: times}."""
    times = {"safe": 0, "rt": 0, "write": 0}
    parse, dump = serialize.parse_yaml, serialize._dump

    def count(text, path, typ="safe"):
        times[typ] += 1
        return parse(text, path, typ)

    def count_writing(data, stream):
        times["write"] += 1
        return dump(data, stream)

    monkeypatch.setattr(serialize, "parse_yaml", count)
    monkeypatch.setattr(serialize, "_dump", count_writing)
    for module, name in [(serialize, "parse_yaml_for_update"), (strictyaml, "parse_yaml")]:
        monkeypatch.setattr(module, name, getattr(module, name))  # put back afterwards
    lock_files.work_faster()
    return times


def _changed(path):
    with serialize.modify_yaml(path) as data:
        data["added"] = {"schema": 2}
    return path.read_text(encoding="utf-8")


def _written(values):
    """What DVC itself writes; a stream without a name is no dvc.lock."""
    stream = io.StringIO()
    serialize._dump(values, stream)
    return stream.getvalue()


def _lock():
    return serialize.parse_yaml((ROOT / "dvc.lock").read_text(encoding="utf-8"), "committed")


def test_libyaml_is_what_dvc_reads_with():
    assert "_ruamel_yaml" in YAML(typ="safe").Parser.__module__


@pytest.mark.parametrize("values", [None, {"stages": dict.fromkeys(NAMES, VALUES)}], ids=["committed", "of any kind"])
def test_what_is_written_is_what_the_other_reader_gives(values, counted, tmp_path):
    text = (ROOT / "dvc.lock").read_text(encoding="utf-8") if values is None else _written(values)
    paths = [tmp_path / "dvc.lock", tmp_path / "other.yaml"]
    for path in paths:
        path.write_text(text, encoding="utf-8")
    fast, slow = map(_changed, paths)
    assert (counted["safe"], counted["rt"]) == (1, 1)
    assert fast == slow == text + _written({"added": {"schema": 2}})


def test_comments_of_other_files_are_kept(counted, tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("seed: 0 # of the trainings\n")
    assert _changed(path).startswith("seed: 0 # of the trainings\n")
    assert counted == {"safe": 0, "rt": 1, "write": 1}


def test_a_text_is_read_once_and_whoever_changes_it_changes_his_own(counted, tmp_path):
    path = tmp_path / "dvc.lock"
    path.write_text(_written(_lock()), encoding="utf-8")
    counted["safe"] = 0
    first, _ = strictyaml.load(str(path))
    kept = copy.deepcopy(first)
    first["stages"].clear()
    assert kept["stages"]
    assert strictyaml.load(str(path))[0] == kept
    assert counted["safe"] == 1
    path.write_text("schema: '2.0'\n", encoding="utf-8")
    assert strictyaml.load(str(path))[0] == {"schema": "2.0"}


def test_only_stages_that_have_changed_are_put_into_words(counted, tmp_path):
    path, values = tmp_path / "dvc.lock", _lock()
    path.write_text(_written(values), encoding="utf-8")
    names = list(values["stages"])
    entry = OrderedDict(cmd="python -m other", params=OrderedDict({"params.yaml": {"seed": 1e-3, "keys": [1, []]}}))
    for changes, asked in [({}, len(names) + 1), ({names[3]: entry}, 2), ({"other@gen9": entry}, 2), ({}, 1)]:
        values["stages"].update(copy.deepcopy(changes))
        counted["write"] = 0
        with serialize.modify_yaml(path) as data:
            data["stages"].update(copy.deepcopy(changes))
        assert counted["write"] == asked, changes
        assert path.read_bytes() == _written(values).encode()
    with serialize.modify_yaml(path) as data:
        del data["stages"][names[0]]
    del values["stages"][names[0]]
    assert path.read_bytes() == _written(values).encode()


def test_what_has_been_written_is_not_read_but_known(counted, tmp_path):
    path = tmp_path / "dvc.lock"
    entries = {name: {"cmd": name, "params": {"params.yaml": copy.deepcopy(VALUES)}} for name in NAMES}
    serialize.dump_yaml(path, {"schema": "2.0", "stages": entries})
    counted["safe"] = 0
    known, text = strictyaml.load(str(path))
    assert counted["safe"] == 0
    assert repr(known) == repr(serialize.parse_yaml(text, "another name"))  # types too, 1 is not 1.0
    for number in range(3):
        serialize.dump_yaml(path, {"schema": "2.0", "stages": {"a": {"cmd": str(number)}}})
        assert strictyaml.load(str(path))[0]["stages"]["a"]["cmd"] == str(number)


def test_what_stages_share_is_written_as_dvc_writes_it(counted, tmp_path):
    shared = [1, 2]
    values = {"schema": "2.0", "stages": {"a": {"cmd": "x", "params": shared}, "b": {"cmd": "y", "params": shared}}}
    path = tmp_path / "dvc.lock"
    serialize.dump_yaml(path, values)
    assert path.read_bytes() == _written(values).encode()
    assert "&id001" in path.read_text()
