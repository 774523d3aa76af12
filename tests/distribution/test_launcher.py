"""Processes of a training are started, watched and ended; what is wrong is one message."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from launchers import start_patient

from noisy_student.launching import ray as by_ray
from noisy_student.launching.launcher import LaunchError, launched
from noisy_student.launching.settings import LaunchSettings, load
from noisy_student.runtime.errors import ParamsError, UserError
from noisy_student.runtime.signals import Requests, Stopped
from support import ROOT

HERE = Path(__file__).parent
# a host is this machine, in whose shell the command is run as ssh does
SHELL = "env RANK_HOST={host} sh -c"


@pytest.fixture(autouse=True)
def _two_workers(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("LAUNCH", "workers=2")
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.chdir(tmp_path)


def _write(text):
    Path("launch.yaml").write_text(text)


def test_ranks_know_who_they_are_and_rank_0_speaks(capfd):
    assert launched("rank_work", "facts", title="t") == {"rank": 0, "of": 2, "gpus": "0", "workers": 2, "restarts": 0}
    assert capfd.readouterr().out == "printed by 0\n"


def test_hosts_are_reached_through_a_shell(monkeypatch):
    monkeypatch.setenv("LAUNCH", "workers=4")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    _write(f"hosts: [one, two]\nshell: {SHELL}\ndevices: 2\n")
    found = launched("rank_work", "facts", title="t")
    assert found["hosts"] == ["one", "two"]
    assert (found["of"], found["gpus"]) == (4, "4,5")


def test_hosts_are_told_what_decides_rounding(monkeypatch, tmp_path):
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    bare = f"env -i PATH={os.environ['PATH']} HOST={{host}} sh -c"  # as ssh: nothing is inherited
    _write(f"hosts: [one, two]\nshell: {bare}\n")
    assert launched("rank_work", "variable", "NVIDIA_TF32_OVERRIDE", title="t")["value"] == "0"


def test_ranks_are_shared_out_among_hosts_in_order():
    settings = LaunchSettings(workers=6, hosts=("a", "b", "c"))
    assert [settings.host_of(rank) for rank in range(6)] == ["a", "a", "b", "b", "c", "c"]
    assert [settings.place_of(rank) for rank in range(6)] == [0, 1, 0, 1, 0, 1]
    assert LaunchSettings(hosts=("a", "b")).processes == 2


@pytest.mark.parametrize("times", [1, 3])
def test_all_begin_again_when_one_is_killed(tmp_path, capfd, times):
    found = launched("rank_work", "deadly", str(tmp_path), str(times), title="student@gen1")
    assert found["restarts"] == times
    said = capfd.readouterr().err
    assert said.count("student@gen1: rank 1 died (killed: signal 9") == times
    assert f"restart {times} of 3" in said


def test_one_that_dies_again_and_again_is_named(tmp_path):
    _write("restarts: 1\n")
    with pytest.raises(LaunchError, match=r"rank 1 died .*signal 9.*after 1 restarts; what was saved is kept"):
        launched("rank_work", "deadly", str(tmp_path), "9", title="t")


def test_one_that_fails_each_time_is_named_with_its_last_words():
    _write("restarts: 0\n")
    with pytest.raises(LaunchError, match=r"rank 1 failed \(ZeroDivisionError: division by zero\): ZeroDivisionError"):
        launched("rank_work", "buggy", title="t")


@pytest.mark.parametrize(("who", "message"), [(0, "^the images are missing"), (1, "^rank 1: the images are missing")])
def test_a_users_mistake_is_no_reason_to_begin_again(who, message):
    with pytest.raises(UserError, match=message):
        launched("rank_work", "wrong", str(who), title="t")


def test_a_full_disk_is_that_of_one_process():
    with pytest.raises(OSError, match="No space left") as full:
        launched("rank_work", "full", title="t")
    assert (full.value.errno, full.value.filename) == (28, "models/teacher.keras")


def test_ranks_that_do_not_find_one_another():
    _write("patience: 4\n")
    with pytest.raises(
        LaunchError, match=r"after 4 s rank 0, rank 1 did not find the others; .*must reach 127\.0\.0\.1"
    ):
        launched("rank_work", "lost", title="t")


def test_a_host_that_does_not_answer():
    _write("hosts: [here, away]\npatience: 4\nshell: sh -c 'test {host} = away && sleep 600; exec sh -c \"$0\"'\n")
    with pytest.raises(LaunchError, match=r"after 4 s rank 1 \(host away\) did not start; all 2 are needed"):
        launched("rank_work", "lost", title="t")


def test_a_host_that_refuses():
    _write("hosts: [here, away]\nshell: sh -c 'echo {host} is unknown >&2; exit 255'\n")
    with pytest.raises(LaunchError, match=r"rank \d \(host \w+\) could not be started \(status 255\)"):
        launched("rank_work", "facts", title="t")


def test_a_shell_that_is_not_there():
    _write("hosts: [here, away]\nshell: no-such-ssh {host}\n")
    with pytest.raises(LaunchError, match=r"rank 0 \(host here\) could not be started: no-such-ssh: No such.*`shell`"):
        launched("rank_work", "facts", title="t")


def test_a_port_that_another_program_has(capfd):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        _write(f"port: {port}\n")
        with pytest.raises(UserError, match=rf"^port {port} is taken on .*Give another `port` in launch\.yaml"):
            launched("rank_work", "facts", title="t")
    assert "begin again" not in capfd.readouterr().err
    assert launched("rank_work", "facts", title="t")["restarts"] == 0  # it is free now


def test_other_packages_are_refused(monkeypatch):
    from noisy_student.runtime import environment

    ours = environment.versions() | {"numpy": "1.0.0"}
    monkeypatch.setattr(environment, "versions", lambda: ours)
    with pytest.raises(LaunchError, match=r"rank \d has numpy 2\..* \(here 1\.0\.0\)\. Install the same"):
        launched("rank_work", "facts", title="t")


@pytest.mark.parametrize(
    ("number", "to_all"),
    [
        pytest.param(signal.SIGTERM, False, id="SIGTERM to the launcher"),
        pytest.param(signal.SIGTERM, True, id="SIGTERM to all processes of the job"),
        pytest.param(signal.SIGINT, False, id="Ctrl-C"),
    ],
)
def test_a_signal_lets_rank_0_save_and_ends_all(tmp_path, number, to_all):
    """With the exit status of that signal: by 130 alone `experiments.forking` knows Ctrl-C."""
    launcher, ranks = start_patient(tmp_path)
    for process in [*reversed(ranks * to_all), launcher]:
        process.send_signal(number)
    said = launcher.communicate(timeout=60)[1].decode()
    assert "interrupted: saved at step 7" in said
    assert launcher.returncode == 128 + number
    assert [path.name for path in tmp_path.glob("saved-*")] == ["saved-0"]
    assert not any(rank.is_running() for rank in ranks)


def test_a_rank_that_dies_when_asked_to_stop_is_no_reason_to_begin_again(tmp_path, capfd):
    message = r"^t: rank 0 died \(killed: signal 9.*\) when asked to stop; what was saved before is kept\. Run the same"
    with pytest.raises(Stopped, match=message) as stop:
        launched("rank_work", "dying", str(tmp_path), str(int(signal.SIGINT)), title="t")
    assert stop.value.number == signal.SIGINT
    assert "begin again" not in capfd.readouterr().err


def test_ranks_that_are_asked_to_stop_while_they_start_do(capfd):
    """Rank 0 finds its port taken, and waits ten seconds for it: "stop" is there by then."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        ask = "test {host} = one && mkdir asked && kill -INT $PPID"  # once
        _write(f"port: {other.getsockname()[1]}\nhosts: [one, two]\nshell: sh -c '{ask}; exec sh -c \"$0\"'\n")
        with pytest.raises(Stopped, match="nothing was written") as stop:
            launched("rank_work", "facts", title="t")
    assert stop.value.number == signal.SIGINT
    said = capfd.readouterr().err
    assert "begin again" not in said
    assert "Traceback" not in said


def test_ranks_that_end_before_they_begin_as_they_are_asked_to_stop():
    """As where SIGTERM reaches all processes of a job."""
    _write("hosts: [one, two]\nshell: sh -c 'test {host} = one && kill -TERM $PPID && exit 143; sleep 600'\n")
    with pytest.raises(Stopped, match=r"rank 0 \(host one\) died \(status 143\) when asked to stop") as stop:
        launched("rank_work", "facts", title="t")
    assert stop.value.number == signal.SIGTERM


def test_on_ray_too_the_signal_is_that_of_the_launcher(monkeypatch):
    """Without Ray, whose part is played here."""

    class Run:
        def __init__(self, *_):
            pass

        def wait(self):
            os.kill(os.getpid(), signal.SIGINT)
            raise Stopped("saved at step 7.", signal.SIGTERM)

        start = end = lambda *_: None

    monkeypatch.setenv("RAY_TRAIN_V2_ENABLED", "1")
    monkeypatch.setattr(by_ray, "_Run", Run)
    monkeypatch.setattr(by_ray.ray_cluster, "joined", lambda *_, **__: contextlib.nullcontext())
    with pytest.raises(Stopped, match="saved at step 7") as stop:
        by_ray.launched("rank_work", (), LaunchSettings(name="ray", workers=2), "t")
    assert stop.value.number == signal.SIGINT


def test_on_ray_too_a_rank_that_dies_when_asked_to_stop_is_no_reason_to_begin_again():
    requests = Requests()
    requests.note(signal.SIGINT, None)
    run = by_ray._Run(LaunchSettings(name="ray", workers=2), "t", None, requests)
    run._consider(0, {"place": "a"})
    run._consider(0, {"died": "status 1"})
    message = r"^t: rank 0 \(host a\) died \(status 1\) when asked to stop"
    with pytest.raises(Stopped, match=message) as stop:
        run._consider(0, {"place": "b"})  # Ray Train has started it anew ...
    assert stop.value.number == signal.SIGINT
    with pytest.raises(Stopped, match=message):
        raise run._failed()  # ... or may not any more


def test_no_rank_outlives_a_killed_launcher(tmp_path):
    launcher, ranks = start_patient(tmp_path)
    launcher.kill()
    launcher.communicate(timeout=60)
    assert psutil.wait_procs(ranks, timeout=30)[1] == []


@pytest.mark.parametrize(
    ("text", "variable", "words"),
    [
        ("worker: 2", "", ["launch.yaml", "worker"]),
        ("workers: 0", "", ["workers", "greater than or equal to 1"]),
        ("{hosts: [a, b], workers: 3}", "", ["workers=3", "2 hosts", "multiple"]),
        ("{hosts: [a, b], shell: ssh}", "", ["shell='ssh'", "{host}"]),
        ("hosts: [localhost, b]", "", ["cannot find localhost"]),
        ("{hosts: [a, b], name: ray}", "", ["hosts are chosen by Ray"]),
        ("", "workers=2,address=h:6379", ["an address is of a Ray cluster", "name: ray"]),
        ("hosts: [-oProxyCommand=x]", "", ["hosts", "begins with -"]),
        ("- a", "", ["expected keys with values"]),
        ("a: [", "", ["not valid YAML, line 1: expected"]),
        ("port: 1\nport: 2", "", ["line 2", "duplicate key"]),
        ("workers: true", "", ["workers: neither true nor false"]),
        ("patience: .inf", "", ["patience", "less than or equal to 86400"]),
        ("{hosts: [a, b], shell: ssh '{host}}", "", ["not valid YAML"]),
        ("", "hosts=a+b,shell=ssh '{host}", ["shell", "no closing quotation"]),
        ("", "2", ["LAUNCH=2", "KEY=VALUE"]),
        ("", "devices=many", ["LAUNCH=devices=many", "devices"]),
    ],
)
def test_what_settings_refuse(text, variable, words, monkeypatch):
    monkeypatch.setenv("LAUNCH", variable)
    _write(text)
    with pytest.raises(ParamsError) as error:
        load()
    for word in words:
        assert word in str(error.value)


def test_one_process_is_refused(monkeypatch):
    monkeypatch.delenv("LAUNCH")
    with pytest.raises(LaunchError, match=r"asks for 1 process\. Give it `workers: 2`"):
        launched("rank_work", "facts", title="t")


def _command(*arguments):
    path = os.pathsep.join([str(ROOT), os.environ["PYTHONPATH"]])
    command = [sys.executable, "-m", "noisy_student", "launch", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path})


def test_the_command_gives_its_arguments_to_another(monkeypatch):
    Path("params.yaml").write_text("distribution: processes\n")
    monkeypatch.setenv("LAUNCH", "patience=7")
    done = _command("--workers", "4", "--hosts", "a,b", "--", "env")
    assert "LAUNCH=patience=7,workers=4,hosts=a+b" in done.stdout.splitlines()
    monkeypatch.setenv("LAUNCH", "patience=7,workers=4,hosts=a+b")
    assert load() == LaunchSettings(patience=7, workers=4, hosts=("a", "b"))


@pytest.mark.parametrize(
    ("distribution", "arguments", "words"),
    [
        ("none", [], ["distribution: none", "Set it to processes"]),
        ("processes", ["no-such-program"], ["no-such-program: no such command"]),
        ("processes", [""], ["the command is empty"]),
        ("processes", ["/"], ["/: cannot be run (Permission denied)"]),
        ("processes", ["--ray", "", "true"], ["--ray names nothing"]),
        ("processes", ["--hosts", ",", "true"], ["--hosts names nothing (found ',')"]),
        ("processes", ["--workers", "3", "--hosts", "a,b", "true"], ["workers=3", "2 hosts"]),
        ("devices", ["--devices", "-1", "true"], ["LAUNCH", "devices", "greater than or equal to 1"]),
    ],
)
def test_what_the_command_refuses(distribution, arguments, words, monkeypatch):
    monkeypatch.delenv("LAUNCH")
    Path("params.yaml").write_text(f"distribution: {distribution}\n")
    done = _command(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    for word in words:
        assert word in done.stderr
    assert "Traceback" not in done.stderr
