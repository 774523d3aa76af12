"""Write a preset into params.yaml, or print it as arguments for one `dvc exp run`.

python -m commands.preset                                      # lists the presets
python -m commands.preset cifar10-cpu                          # writes it into params.yaml
dvc exp run $(python -m commands.preset cifar10-cpu --args)    # uses it for one run
"""

import argparse
import json
import sys
from pathlib import Path

from commands import presets
from noisy_student.runtime.errors import UserError
from noisy_student.runtime.files import write_bytes
from noisy_student.settings import params

PARAMS = Path("params.yaml")


def main():
    """List, write or print presets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", help="a file of presets/, without .yaml")
    parser.add_argument("--args", action="store_true", help="print overrides for `dvc exp run`")
    arguments = parser.parse_args()
    try:
        if arguments.name is None:
            _list()
        elif arguments.args:
            print(" ".join(presets.overrides(params.read_yaml(PARAMS), presets.values(arguments.name))))
        else:
            _write(arguments.name)
    except (UserError, OSError) as error:
        sys.exit(f"error: {error}")


def _list():
    width = max(len(name) for name in presets.names())
    for name in presets.names():
        print(f"{name:<{width}}  {presets.headline(name)}")


def _write(name):
    new, old = presets.values(name), params.read_yaml(PARAMS)
    write_bytes(PARAMS, presets.rewrite(PARAMS.read_text(encoding="utf-8"), new).encode())
    changed = presets.differences(old, new)
    for key, (before, after) in changed.items():
        print(f"{key}: {_show(before)} -> {_show(after)}")
    print(f"params.yaml now holds the preset {name} ({len(changed)} values changed). Next: make repro")
    try:
        params.check_paths(params.check(new))
    except UserError as error:
        print(f"Before that: {error}")


def _show(side):
    return json.dumps(side[0]).strip('"') if side else "(absent)"


if __name__ == "__main__":
    main()
