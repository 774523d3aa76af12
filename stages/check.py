"""Check params.yaml as a whole, before DVC reads it: DVC drops generations with odd keys silently."""

from noisy_student import params
from stages.entry import run


def main():
    """Validate params.yaml."""
    params.load()


if __name__ == "__main__":
    run(main)
