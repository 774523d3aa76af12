"""Check params.yaml and the inputs that it names, before DVC reads them.

DVC drops generations with odd keys silently, and its message for a missing folder names no parameter.
"""

from noisy_student import params
from stages.entry import run


def main():
    """Validate params.yaml and look for data.root and data.unlabelled_from."""
    params.check_paths(params.load())


if __name__ == "__main__":
    run(main, recorded=False)
