"""Every executor gives the same files, does nothing twice, and says what went wrong."""

import http.server
import os
import sys
import threading
import time
from collections import Counter
from types import SimpleNamespace

import pytest
from executors_used import ALL, ON_RAY, ONE, TWO, WORKERS

from noisy_student.executors import ray as by_ray
from noisy_student.executors import settings as configuration
from noisy_student.executors.running import ShardError, run
from noisy_student.executors.settings import ExecutorSettings
from noisy_student.executors.tasks import TRIES, Call, Work, perform
from noisy_student.runtime import environment
from noisy_student.runtime.errors import ParamsError, UserError
from noisy_student.runtime.signals import Stopped


def _run(tasks, function="square", *, settings, threads=None, start="begin"):
    start = Call(f"shard_work:{start}", {"log": str(tasks[0].output.parents[1] / "log")})
    return run(Work(Call(f"shard_work:{function}", {}), start, threads), tasks, settings, title="numbers")


def _begun(folder):
    lines = (folder / "log").read_text().splitlines()
    return Counter(int(line.split()[1]) for line in lines if line.startswith("begin"))


@pytest.mark.parametrize("settings", ALL)
def test_all_is_done_once(tasks, tmp_path, settings):
    report = _run(tasks(9), settings=settings)
    for n in range(9):
        assert (tmp_path / f"out/{n}.txt").read_text() == f"{n * n}\n" * 1000
    assert _begun(tmp_path) == dict.fromkeys(range(9), 1)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(f"{n}.txt" for n in range(9))
    assert report.totals == {"square": sum(n * n for n in range(9))}
    record = report.for_record()
    assert (record["shards"], record["retries"], record["shards_done_before"]) == (9, 0, 0)
    assert sum(record["shards_by_cpu"].values()) == 9


@pytest.mark.parametrize("settings", ALL)
def test_what_is_there_is_not_done_again(tasks, tmp_path, settings, capfd):
    _run(tasks(5), settings=ONE)
    (tmp_path / "out/2.txt").unlink()
    capfd.readouterr()
    report = _run(tasks(5), settings=settings)
    assert "numbers: 40 of 50 images\n" in capfd.readouterr().err
    assert _begun(tmp_path) == {0: 1, 1: 1, 2: 2, 3: 1, 4: 1}
    assert report.skipped == 4


def test_a_new_process_is_started_once_for_all_its_tasks(tasks, tmp_path):
    _run(tasks(9), settings=TWO)
    starts = [line for line in (tmp_path / "log").read_text().splitlines() if line.startswith("start")]
    assert 1 <= len(starts) <= 2
    assert not any(line.endswith(f" {os.getpid()}") for line in starts)


@pytest.mark.parametrize("settings", WORKERS)
@pytest.mark.parametrize("way", ["killed once", "disk once", "memory once", "stopped once"])
def test_a_task_whose_worker_dies_is_done_by_another(tasks, tmp_path, settings, way):
    report = _run(tasks(6, way=way), "difficult", settings=settings)
    assert [(tmp_path / f"out/{n}.txt").read_text() for n in range(6)] == [f"{n}\n" for n in range(6)]
    assert _begun(tmp_path) == {0: 1, 1: 1, 2: 1, 3: 2, 4: 1, 5: 1}
    assert report.retries == 1


@pytest.mark.parametrize("settings", WORKERS)
@pytest.mark.parametrize(("way", "words"), [("killed", "memory"), ("disk", "No space left"), ("odd", "Take another")])
def test_a_task_that_always_fails_is_named_and_the_rest_is_done(tasks, tmp_path, settings, way, words):
    with pytest.raises(ShardError) as failed:
        _run(tasks(6, way=way), "difficult", settings=settings)
    message = str(failed.value)
    assert "numbers: 1 of 6 shards failed, 5 are done and kept" in message
    assert "number 3" in message
    assert words in message
    assert sorted(path.name for path in (tmp_path / "out").glob("[0-9]*")) == [f"{n}.txt" for n in (0, 1, 2, 4, 5)]
    assert _begun(tmp_path)[3] == (1 if way == "odd" else TRIES)


def test_in_this_process_too_the_rest_is_done(tasks, tmp_path):
    with pytest.raises(ShardError, match="number 3"):
        _run(tasks(6, way="odd"), "difficult", settings=ONE)
    assert len(list((tmp_path / "out").iterdir())) == 5


def test_the_only_task_raises_what_it_raises(tasks, tmp_path):
    with pytest.raises(OSError, match="No space left"):
        _run(tasks(4, way="disk")[3:], "difficult", settings=ONE)
    with pytest.raises(UserError, match="number 3 is odd"):
        _run(tasks(4, way="odd")[3:], "difficult", settings=ONE)


def test_where_nothing_succeeds_not_all_is_tried(tasks, tmp_path):
    many = tasks(200, way="odd")
    same = [type(task)(task.name, task.output, 1, {**task.arguments, "number": 3}) for task in many]
    with pytest.raises(ShardError, match="of 200 shards failed, 0 are done"):
        _run(same, "difficult", settings=TWO)
    assert _begun(tmp_path)[3] < 20


@pytest.mark.parametrize("settings", ALL)
def test_asked_to_stop_no_task_is_begun_any_more(tasks, tmp_path, settings):
    with pytest.raises(Stopped, match=r"numbers: stopped; \d+ of 30 shards are done\. Run the same command again"):
        _run(tasks(30, driver=os.getpid()), "stopped", settings=settings)
    begun = set(_begun(tmp_path))
    assert 2 in begun  # the tasks before it perhaps not: their worker may come later
    assert len(begun) < 20
    _run(tasks(30), settings=settings)
    assert len(list((tmp_path / "out").iterdir())) == 30


def test_a_worker_that_dies_without_a_task_is_not_missed(tasks, tmp_path):
    report = _run(tasks(2), "killer", settings=TWO)
    assert _begun(tmp_path) == {0: 1, 1: 1}
    assert (len(report.seconds), report.retries) == (2, 0)


@pytest.mark.parametrize("settings", ALL)
def test_what_a_task_prints_is_no_answer(tasks, tmp_path, settings):
    report = _run(tasks(4), "talkative", settings=settings)
    assert [(tmp_path / f"out/{n}.txt").read_text() for n in range(4)] == [f"{n}\n" for n in range(4)]
    assert len(report.seconds) == 4


@pytest.mark.parametrize("settings", WORKERS)
def test_a_worker_that_could_not_be_made_ready_is_made_ready_again(tasks, tmp_path, settings):
    report = _run(tasks(1), settings=settings, start="begin_at_last")
    assert (tmp_path / "log").read_text().count("start") == 3
    assert report.retries == 2


@pytest.mark.skipif(len(getattr(os, "sched_getaffinity", lambda _: [0])(0)) < 2, reason="there is one processor alone")
@pytest.mark.parametrize("settings", WORKERS)
def test_workers_share_the_processors_out(tasks, settings):
    two = tasks(2)
    _run(two, "own_processors", settings=settings, threads=1)
    assert len({task.output.read_text() for task in two}) == 2


def test_where_some_succeed_all_are_tried(tasks, tmp_path):
    with pytest.raises(ShardError) as failed:
        _run(tasks(40), "even", settings=TWO)
    message = str(failed.value)
    assert "20 of 40 shards failed, 20 are done and kept" in message
    assert message.count("(1 try): number") == 5
    assert "... and 15 more" in message
    assert _begun(tmp_path) == dict.fromkeys(range(40), 1)


def test_workers_that_are_asked_to_stop_save_first(tasks, tmp_path):
    with pytest.raises(Stopped):
        _run(tasks(9, driver=os.getpid()), "saved", settings=TWO)
    lines = (tmp_path / "log").read_text().splitlines()
    assert {line.rpartition(" ")[0] for line in lines if line.startswith("saved")} == {"saved 0", "saved 1"}
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("settings", ALL)
def test_what_a_task_does_at_its_end_it_does_when_its_file_is_there(tasks, tmp_path, settings):
    report = _run(tasks(3), "staying", settings=settings)
    assert report.totals == {"too soon": 0}
    lines = (tmp_path / "log").read_text().splitlines()
    assert sorted(line.rpartition(" ")[0] for line in lines if line.startswith("left")) == [
        f"left {n} True" for n in range(3)
    ]


def test_a_file_that_is_whole_is_not_made_again(tasks, tmp_path):
    """Its worker died before it could say so."""
    (task,) = tasks(1)
    task.output.parent.mkdir()
    task.output.write_text("whole")
    facts = perform(Call("shard_work:square", {}), task.output, task.arguments)
    assert task.output.read_text() == "whole"
    assert facts["details"] == {}
    assert not (tmp_path / "log").exists()


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system binds no process to processors")
@pytest.mark.parametrize("settings", ALL)
def test_a_worker_has_the_processors_that_it_is_given(tasks, tmp_path, monkeypatch, settings):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    given = [type(task)(task.name, task.output, 1, {"number": 0}) for task in tasks(4)]
    (tmp_path / "log").touch()
    _run(given, "processors", settings=settings, threads=1)
    assert {task.output.read_text() for task in given} == {"1 None"}
    with pytest.raises((ParamsError, ShardError), match=r"pseudolabel\.threads=4096"):
        _run(tasks(9)[4:], settings=settings, threads=4096)


def test_where_the_executor_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert configuration.load() == ExecutorSettings(name="local", workers=1)
    (tmp_path / "executor.yaml").write_text("name: ray\nworkers: 3\n")
    assert configuration.load() == ExecutorSettings(name="ray", workers=3)
    monkeypatch.setenv("EXECUTOR", "workers=5")  # over the file, which stays for the rest
    assert configuration.load() == ExecutorSettings(name="ray", workers=5)
    monkeypatch.setenv("EXECUTOR", "local, workers=4")
    assert configuration.load() == ExecutorSettings(name="local", workers=4)
    (tmp_path / "copy").mkdir()
    monkeypatch.chdir(tmp_path / "copy")
    assert configuration.load().name == "local"
    monkeypatch.delenv("EXECUTOR")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))  # as in a copy of the project that DVC makes
    assert configuration.load().workers == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: slurm", "slurm"),
        ("workers: 0", "workers"),
        ("wrokers: 2", "wrokers"),
        ("- ray", "expected keys with values"),
        ("a: [1", "not valid YAML, line 1"),
        ("gpus: 1", "gpus=1 is for Ray"),
        ("name: ray\ngpus: 1.5", "gpus: a part of one GPU, or a whole number"),
        ("workers: true", "workers: neither true nor false"),
        ("address: 10.0.0.1:6379", "Set name: ray"),
    ],
)
def test_what_cannot_be_an_executor_is_refused(tmp_path, monkeypatch, text, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "executor.yaml").write_text(text)
    with pytest.raises(ParamsError, match=words) as refused:
        configuration.load()
    assert "executor.yaml" in str(refused.value)


def on_ray(test):
    """The marks of a test that needs Ray."""
    for mark in ON_RAY:
        test = mark(test)
    return test


@on_ray
def test_a_cluster_that_does_not_answer_is_named(tasks):
    with pytest.raises(ParamsError, match=r"executor address: 127\.0\.0\.1:9: no Ray cluster answers there"):
        _run(tasks(2), settings=ExecutorSettings(name="ray", address="127.0.0.1:9"))


@on_ray
def test_what_answers_and_is_no_cluster_is_named(tasks):
    class Page(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{server.server_port}"
        with pytest.raises(ParamsError, match=rf"address: {address}: no Ray .* \(another program listens there\)"):
            _run(tasks(2), settings=ExecutorSettings(name="ray", address=address))
        server.shutdown()


@on_ray
def test_gpus_that_no_node_has(tasks):
    with pytest.raises(ParamsError, match=r"takes 1 processors and 8 GPUs of a node, but no node has so many \(they"):
        _run(tasks(2), settings=ExecutorSettings(name="ray", workers=2, gpus=8))


def test_a_cluster_that_may_grow_is_waited_for(monkeypatch):
    nodes = [{"Alive": True, "Resources": {"CPU": 2.0}}, {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}}]
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(nodes=lambda: nodes))
    monkeypatch.setattr(by_ray, "_ROOM", 0.2)
    room = by_ray._Room(4, ExecutorSettings(name="ray", address="auto", gpus=1))
    nodes.append({"Alive": True, "Resources": {"CPU": 4.0, "GPU": 1.0}})
    time.sleep(0.3)
    room.check()  # it has come
    nodes.pop()
    room.check()
    time.sleep(0.3)
    with pytest.raises(ParamsError, match=r"4 processors and 1 GPUs .* after 0\.2 s \(they have: 2 and 0\)"):
        room.check()


@on_ray
def test_workers_with_other_versions_are_refused(tasks, tmp_path, monkeypatch):
    real = environment.versions()
    monkeypatch.setattr(environment, "versions", lambda: real | {"numpy": "0.0.1"})
    with pytest.raises(UserError, match=rf"other versions than this machine: numpy {real['numpy']} \(here 0\.0\.1\)"):
        _run(tasks(4), settings=ExecutorSettings(name="ray", workers=2))
    assert not list((tmp_path / "out").glob("[0-9]*"))
