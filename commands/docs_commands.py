"""The page docs/commands.md: every command with its purpose, options and exit status, read from the parsers."""

import argparse
import importlib
import re
from collections.abc import Iterator

from benchmarks.__main__ import SECTIONS
from commands import summaries
from noisy_student.__main__ import parser as of_the_package

HEAD = """\
# Every command

<!-- Written by `python -m commands.docs` from the parsers; a test says whether it is fresh. -->

`make` lists the shortest way to the usual ones. `python -m noisy_student` needs a model's file and no repository,
all others are run in the repository's root; both list their commands, and `--help` after each says what stands here.
Messages are [explained one by one](troubleshooting.md). Colour is used nowhere but on terminals.

| exit status | meaning |
|---:|---|
| 0 | done |
| 1 | an error, which one message explains; what else it says stands at the command |
| 2 | wrong arguments |
| 3 | of `python -m noisy_student`: done, but some files could not be read (they are named) |
| 130, 143 | stopped by Ctrl-C, SIGTERM |
"""
TITLES = {
    "noisy_student": "Use a model",
    "commands": "Work on the repository",
    "experiments": "Studies, verdict, report",
    "benchmarks": "Benchmarks",
}
EXPERIMENTS = ("experiments.verdict", "experiments.report", "experiments.study")
FURTHER = ("experiments.study.peers", "experiments.verdict.known")  # what they measure stands in docs/


def page() -> str:
    """The page, a heading a command."""
    return "\n".join([HEAD, *_lines()]).rstrip() + "\n"


def parsers() -> dict[str, list[argparse.ArgumentParser]]:
    """{heading: the parsers below it}, each with its `prog`."""
    own = [f"commands.{name}" for name in summaries()]
    return {
        TITLES["noisy_student"]: list(subcommands(of_the_package()).values()),
        TITLES["commands"]: [_parser(name) for name in own],
        TITLES["experiments"]: [parser for name in (*EXPERIMENTS, *FURTHER) for parser in _with_own(_parser(name))],
        TITLES["benchmarks"]: [_parser("benchmarks")],
    }


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """{name: its parser}, without second names."""
    found: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, own in action.choices.items():
                if own not in found.values():
                    found[name] = own
    return found


def _parser(name):
    module = importlib.import_module(name)
    return importlib.import_module(f"{name}.__main__").parser() if hasattr(module, "__path__") else module.parser()


def _with_own(parser):
    return [parser, *subcommands(parser).values()]


def _lines() -> Iterator[str]:
    for title, of_title in parsers().items():
        yield from (f"## {title}", "")
        for parser in of_title:
            yield from _command(parser)
        if title == TITLES["benchmarks"]:
            yield f"Each is a command of its own, too: `python -m benchmarks.{SECTIONS[0]}`."


def _command(parser):
    first, _, more = (parser.description or "").strip().partition("\n")
    yield from (f"### `{parser.prog}`", "", first, "")
    for paragraph in filter(None, more.strip().split("\n\n")):
        code = re.match(r"python -m|dvc |find |bash |source ", paragraph)
        yield from (["```bash", paragraph, "```", ""] if code else [_plain(paragraph), ""])
    rows = [_row(action) for action in parser._actions if _is_shown(action)]
    if rows:
        yield from ("| argument | default | meaning |", "|---|---|---|", *rows, "")
    also = re.search(r"; 1 (.+), or an error, which", " ".join((parser.epilog or "").split()))
    if also:
        yield from (f"Exit status 1 also says: {also[1]}.", "")


def _is_shown(action):
    hidden = (argparse._HelpAction, argparse._SubParsersAction)
    return not isinstance(action, hidden) and action.help != argparse.SUPPRESS


def _row(action):
    name = action.metavar or ("" if action.nargs == 0 else action.dest)
    if action.choices:
        name = " or ".join(map(str, action.choices))
    if action.option_strings:
        shown = f"{action.option_strings[-1]} {name}{' ...' if action.nargs == '+' else ''}".strip()
    else:
        shown = {"?": f"[{name}]", "*": f"[{name} ...]", "+": f"{name} ..."}.get(str(action.nargs), name)
    help_text, _, default = (action.help or "").partition("; default: ")
    if not default and help_text.startswith("default: "):
        help_text, default = "", help_text.removeprefix("default: ")
    required = action.required and action.option_strings
    cells = (f"`{shown}`", "required" if required else _plain(default), _plain(help_text))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _plain(text):
    """Text of a terminal as Markdown: `<` and `*` stand for themselves, but within code."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([<*_])", r"\\\1", part) for part in parts)
