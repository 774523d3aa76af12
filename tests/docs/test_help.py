"""The help of every command: one style, and none is left out of the page of all commands or of a list."""

import re
import subprocess
import sys

import pytest

from commands import docs_commands, summaries
from support import ROOT

PARSERS = [parser for of_title in docs_commands.parsers().values() for parser in of_title]
PROGRAM = 'if __name__ == "__main__":'


def _programs(folder):
    """The modules below a folder that are run by `python -m`, by the text of their files."""
    names = set()
    for path in (ROOT / folder).rglob("*.py"):
        if PROGRAM in path.read_text(encoding="utf-8"):
            names.add(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__"))
    return names


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.prog)
def test_help_has_one_style(parser):
    """A sentence, an example that names the command, a text for every argument, the exit status."""
    assert parser.prog.startswith("python -m ")
    first, _, more = parser.description.strip().partition("\n")
    assert re.fullmatch(r"[A-Z].{10,99}\.", first)
    study = parser.prog.startswith("python -m experiments.study ")  # its examples stand above its four
    assert study or parser.prog in more
    assert parser.epilog.startswith("exit status: 0 done; 1 ")
    assert [action.dest for action in parser._actions if not (action.help or action.choices)] == []
    texts = [action.help for action in parser._actions if action.help]
    assert [text for text in texts if "(default" in text or "default " in text.replace("default: ", "")] == []


def test_no_program_is_left_out():
    named = {parser.prog.removeprefix("python -m ") for parser in PARSERS}
    inside = {"experiments.study.worker"}  # started by a study
    assert _programs("experiments") - inside <= named
    assert _programs("commands") - {"commands"} <= named
    assert {f"commands.{name}" for name in summaries()} <= _programs("commands")
    own = {path.stem for path in (ROOT / "noisy_student/cli").glob("*.py")} - {"__init__"}
    assert {f"noisy_student {name}" for name in own} <= named


@pytest.mark.parametrize("name", sorted(_programs("benchmarks") - {"benchmarks", "benchmarks.gpu"}))
def test_a_benchmark_explains_itself(name):
    """But for that of a GPU, which runs without `commands`, on a machine that has nothing."""
    assert f'new_parser("{name}", __doc__)' in (ROOT / f"{name.replace('.', '/')}.py").read_text(encoding="utf-8")


def test_the_list_of_commands_names_all_and_imports_none():
    code = "import sys, runpy; sys.argv = ['commands']; runpy.run_module('commands', run_name='__main__'); "
    code += "print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    listed, _, modules = done.stdout.rstrip().rpartition("\n")
    assert {f"commands.{name}" for name in summaries()} <= {line.split()[0] for line in listed.splitlines()}
    assert max(map(len, listed.splitlines())) <= 120
    assert {"tensorflow", "keras", "dvc", "numpy", "commands.preset"}.isdisjoint(modules.split())


def test_an_unknown_command_is_answered_with_the_list():
    done = subprocess.run([sys.executable, "-m", "commands", "chek"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "no command chek; python -m commands lists them. Did you mean commands.check?" in done.stderr
