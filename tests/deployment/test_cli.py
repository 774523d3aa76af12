"""What all commands have in common: help, exit statuses, completion."""

import re
import shutil
import subprocess

import pytest

from noisy_student import cli

COMMANDS = ("completion", "export", "label", "launch", "predict")


def test_help_lists_the_commands_and_the_exit_statuses(call):
    done = call("--help")
    assert done.status == 0
    for name in COMMANDS:
        assert re.search(rf"\n    {name}\s+[A-Z]", done.out)
    assert "exit status: 0 done; 1 an error" in done.out
    assert "python -m commands" in done.out


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_is_of_one_style(name, call):
    done = call(name, "--help")
    assert done.out.startswith(f"usage: python -m noisy_student {name} [-h]")
    assert cli.STATUSES.splitlines()[0] in done.out
    assert f"python -m noisy_student {name}" in done.out.split("\n\n", 2)[2]  # an example


def test_no_command_is_status_2(call):
    assert call().status == 2
    assert call("prediction").status == 2


def test_bash_completes_commands_options_and_files(call, tmp_path):
    bash = shutil.which("bash")
    (tmp_path / "photo.jpg").touch()
    script = call("completion").out

    def completed(*words):
        asked = f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; _noisy_student; echo ${{COMPREPLY[@]}}"
        done = subprocess.run([bash, "-c", script + asked], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.split()

    assert completed("ns", "pre") == ["predict"]
    assert completed("ns", '""') == list(COMMANDS)
    assert completed("ns", "export", "--fo") == ["--format"]
    assert completed("ns", "predict", "pho") == ["photo.jpg"]


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (MemoryError(), 1, "out of memory"),
        (KeyboardInterrupt(), 130, "nothing was written"),
        (OSError(28, "No space left on device", "x"), 1, "Free some space"),
        (PermissionError(13, "Permission denied", "x"), 1, "permissions"),
    ],
)
def test_ends(error, status, words, capsys):
    def fail():
        raise error

    assert cli.ended(fail) == status
    assert words in capsys.readouterr().err


def test_names_of_files_are_one_line():
    assert cli.shown("a b é.png") == "a b é.png"
    assert cli.shown("a\n\x1b[31m.png") == r"a\n\x1b[31m.png"
