"""Print what lets bash or zsh complete these commands with the Tab key.

source <(python -m noisy_student completion)                 # this shell; bash
python -m noisy_student completion >> ~/.bashrc              # every new one
autoload -U bashcompinit && bashcompinit                     # zsh, before either of them

It defines the short name ns for `python -m noisy_student`, and completes what follows it.
"""

import argparse

from noisy_student import cli

_SCRIPT = """\
alias ns='python -m noisy_student'
_noisy_student() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" words
  case "${{COMP_WORDS[1]}}" in
{cases}
    *) words="{commands}" ;;
  esac
  if [ "$COMP_CWORD" -gt 1 ] && [ "${{word#-}}" = "$word" ]; then
    COMPREPLY=($(compgen -f -- "$word"))
  else
    [ "$COMP_CWORD" -gt 1 ] || words="{commands}"
    COMPREPLY=($(compgen -W "$words" -- "$word"))
  fi
}}
complete -o filenames -F _noisy_student ns
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None."""


def run(arguments: argparse.Namespace) -> int:
    """Print the script."""
    from noisy_student.__main__ import parser

    (commands,) = (action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    options = {name: " ".join(own._option_string_actions) for name, own in commands.choices.items()}
    cases = "\n".join(f'    {name}) words="{words}" ;;' for name, words in options.items())
    print(_SCRIPT.format(cases=cases, commands=" ".join(options)), end="")
    return cli.DONE
