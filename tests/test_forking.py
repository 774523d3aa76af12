"""Ctrl-C with --keep-going: the stage that it has ended is the last one."""

import pytest

from experiments import forking


@pytest.fixture
def dvc_run(monkeypatch):
    """DVC's module that starts stages; what it runs ends with the status that the command names."""
    run = pytest.importorskip("dvc.stage.run")
    from dvc.stage.exceptions import StageCmdFailedError

    def end(executable, cmd, **options):
        if status := int(cmd.rpartition(" ")[2]):
            raise StageCmdFailedError(cmd, status)

    monkeypatch.setattr(run, "_run", end)
    return run, StageCmdFailedError


def test_a_stage_that_ctrl_c_has_ended_ends_all(dvc_run):
    run, failed = dvc_run
    forking.fork_stages("code", ends_all=True)
    with pytest.raises(KeyboardInterrupt):
        run._run(None, "exit 130", cwd=".")
    for status in (1, 137, 143):
        with pytest.raises(failed):
            run._run(None, f"exit {status}", cwd=".")
    run._run(None, "exit 0", cwd=".")


def test_without_keep_going_dvc_says_what_it_says(dvc_run):
    run, failed = dvc_run
    forking.fork_stages("code")
    with pytest.raises(failed, match="exited with 130"):
        run._run(None, "exit 130", cwd=".")


WAYS = [(["repro", "--keep-going"], True), (["repro", "-k"], True), (["repro"], False)]


@pytest.mark.parametrize(("arguments", "ends"), WAYS)
def test_keep_going_is_what_needs_it(arguments, ends, monkeypatch):
    given = {}
    cli = pytest.importorskip("dvc.cli")
    monkeypatch.setattr(cli, "main", lambda arguments: 0)
    monkeypatch.setattr(forking, "fork_stages", lambda code, prepare, **options: given.update(options))
    monkeypatch.setattr(forking.sys, "argv", [])
    assert forking.dvc(arguments) == 0
    assert given == {"ends_all": ends}
