"""Check params.yaml and the inputs that it names, as the stage check does.

python -m commands.check
"""

import argparse
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from commands import new_parser
from noisy_student.runtime import console
from noisy_student.runtime.errors import ParamsError
from noisy_student.settings import params
from noisy_student.steps.checking import check_project
from stages.entry import run


def parser() -> argparse.ArgumentParser:
    """That of this command."""
    return new_parser("commands.check", __doc__)


def main() -> None:
    """Validate params.yaml, and look for data.root, data.unlabelled_from and the extra test sets."""
    values = params.read_yaml("params.yaml")
    _check_that_dvc_reads_it("params.yaml")
    check_project(values)
    print("params.yaml, and the inputs that it names: no mistake found")


def _check_that_dvc_reads_it(path):
    """Refuse what stages can read and DVC cannot: its parser, libyaml 0.1.7, wants quotes where YAML 1.2 does not."""
    try:
        YAML(typ="safe").load(Path(path).read_text(encoding="utf-8"))
    except YAMLError as error:
        mend = "Put quotes around values with a colon that stand within [...] or {...}."
        raise ParamsError(f"{path}: DVC cannot read it.\n{error}\n{mend}") from error


if __name__ == "__main__":
    console.use_utf8()
    parser().parse_args()
    run(main, recorded=False)
