"""Check params.yaml and the inputs that it names, as the stage check does.

python -m commands.check
"""

from noisy_student.settings import params
from noisy_student.steps.checking import check_project
from stages.entry import run


def main() -> None:
    """Validate params.yaml, and look for data.root, data.unlabelled_from and the extra test sets."""
    check_project(params.read_yaml("params.yaml"))


if __name__ == "__main__":
    run(main, recorded=False)
