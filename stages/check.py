"""Stage check: whatever can be known to be wrong before any work is done."""

from noisy_student.runtime import layout
from noisy_student.runtime.files import write_json
from noisy_student.settings import params
from noisy_student.steps.checking import check_project
from stages.entry import run


def main() -> None:
    """Check params.yaml, the networks and the source that it names, and its inputs; all other stages come after it."""
    check_project(params.read_yaml("params.yaml"))
    write_json(layout.CHECKED, ["parameters", "networks", "source", "inputs"])


if __name__ == "__main__":
    run(main)
