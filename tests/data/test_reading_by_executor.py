"""Folders of images that an executor reads: the splits are those of one process, to the byte."""

import hashlib
import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from noisy_student.runtime.errors import DataError
from noisy_student.settings.schema import AUTO, DataParams
from noisy_student.sources import prepare as module
from noisy_student.sources import reading_tasks, staging
from noisy_student.sources.prepare import prepare
from noisy_student.sources.staging import remembering_reader

NO_RAY = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
SHARED = ["workers=2", pytest.param("name=ray,workers=2", marks=[pytest.mark.slow, NO_RAY], id="ray")]
FILES = 2 * 12 + 2 * 4 + 2 * 3 + 9  # of train/, test/, val/ and the pool


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Folders of two classes; some files are no images, some have 16 bits, some names are odd."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(staging, "GROUP", 7)
    for variable in ("DVC_ROOT", "DVC_STAGE", "EXECUTOR"):
        monkeypatch.delenv(variable, raising=False)
    rng = np.random.default_rng(3)
    for split, of_class in (("train", 12), ("test", 4), ("val", 3)):
        for label in ("a", "b c"):
            for number in range(of_class):
                _save(Path("images", split, label, f"{number}.png"), rng)
    for number in range(9):
        _save(Path("pool", f"{number % 3}", f"i\u00e4 {number}.png"), rng)
    Path("images/train/a/3.png").write_bytes(b"no image")
    Path("pool/1/i\u00e4 4.png").write_bytes(b"")
    deep = rng.integers(0, 65536, (9, 7)).astype(np.uint16)
    Image.fromarray(deep).save("images/train/a/5.png")
    return tmp_path


def _save(path, rng):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(0, 256, (9, 7, 3), np.uint8)).save(path)


def _data(**more):
    common = {"source": "folder", "root": "images", "image_size": 8, "labelled": 8, "test": None}
    return DataParams(**common | {"unlabelled_from": "pool"} | more)


def _prepared(out, data):
    """As the stage does it: digests of all files, metrics/data.json, and the reader."""
    with remembering_reader(data, every_minutes=5.0) as read:
        metrics = prepare(data, Path(out), read=read)
    files = [path for path in Path(out).rglob("*") if path.is_file()]
    return {str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}, metrics, read


@pytest.mark.parametrize("more", [{"validation": None}, {"validation": 4, "store": "shards"}], ids=["arrays", "shards"])
@pytest.mark.parametrize("executor", SHARED)
def test_the_bytes_are_those_of_one_process(project, monkeypatch, capsys, executor, more):
    expected, metrics, alone = _prepared("alone", _data(**more))
    said = capsys.readouterr()
    assert (alone.record, len(metrics["unreadable"])) == ({}, 2)
    monkeypatch.setenv("EXECUTOR", executor)
    monkeypatch.setattr(reading_tasks, "try_image", None)  # in this process, where none is read again
    found, others, read = _prepared("shared", _data(**more))
    assert (found, others) == (expected, metrics)
    assert capsys.readouterr().out == said.out
    assert read.depths == alone.depths
    files = FILES - 9 - (6 if more["validation"] else 0)
    assert read.record["shards"] == -(-files // 7)
    assert read.record["further"][0]["shards"] == 2  # the pool's
    assert not list(Path("checkpoints").rglob("*.tar"))


def test_the_source_s_own_pool_is_read_with_the_rest(project, monkeypatch):
    Path("pool").rename("images/unlabelled")
    data = _data(validation=4, unlabelled_from=AUTO)
    expected, *_ = _prepared("alone", data)
    monkeypatch.setenv("EXECUTOR", "workers=2")
    monkeypatch.setattr(reading_tasks, "try_image", None)
    found, _, read = _prepared("shared", data)
    assert found == expected
    assert read.record["shards"] == -(-(FILES - 6) // 7)


def test_what_was_read_is_not_read_again_unless_it_changes(project, monkeypatch):
    data = _data(validation=None)
    expected, *_ = _prepared("alone", data)
    monkeypatch.setenv("EXECUTOR", "workers=2")

    def stop():
        with monkeypatch.context() as failing:
            failing.setattr(module, "_split", fail)
            with pytest.raises(DataError, match="stopped here"):
                _prepared("out", data)

    def fail(*_):
        raise DataError("stopped here")

    stop()
    found, _, read = _prepared("out", data)
    assert found == expected
    assert read.record["shards_done_before"] == read.record["shards"] == 6

    stop()
    for index in Path("checkpoints").rglob("facts-*.npz"):
        index.write_bytes(b"")  # as after a power failure
    found, _, read = _prepared("out", data)
    assert (found, read.record["shards_done_before"]) == (expected, 0)

    stop()
    Image.new("RGB", (9, 9), "red").save("images/train/a/0.png")
    found, _, read = _prepared("out", data)
    assert read.record["shards_done_before"] == 5
    monkeypatch.delenv("EXECUTOR")
    assert found == _prepared("alone", data)[0] != expected


def test_the_index_is_on_the_disk_as_a_whole_before_its_images_count(tmp_path, monkeypatch):
    forced, real = {}, os.fsync

    def fsync(descriptor):
        facts = os.fstat(descriptor)
        forced[facts.st_ino] = facts.st_size
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    reading_tasks.keep(
        tmp_path / "shard-0.tar", [("a.png", reading_tasks.Read(b"a", b"b", None, None))], "png", tmp_path
    )
    for name in ("shard-0.tar", "facts-shard-0.npz"):
        facts = (tmp_path / name).stat()
        assert forced.get(facts.st_ino) == facts.st_size, name


def test_where_nothing_can_be_kept(project, monkeypatch):
    monkeypatch.setenv("EXECUTOR", "workers=2")
    data = _data(validation=None)
    with remembering_reader(data, every_minutes=5.0) as read:
        folder = read.folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.write_text("a file where the folder should be")
        with pytest.raises(DataError, match=r"prepare/\w+: the images cannot be kept there \(File exists\)"):
            read.ahead(Path("images/train/a").iterdir())
        folder.unlink()


def test_few_files_are_read_here(project, monkeypatch):
    monkeypatch.setattr(staging, "GROUP", 256)
    monkeypatch.setenv("EXECUTOR", "workers=2")
    *_, read = _prepared("out", _data(validation=None))
    assert read.record == {}
    assert json.loads(Path("out/splits.json").read_text())
