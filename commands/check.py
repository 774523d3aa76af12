"""Check params.yaml and the inputs that it names, before DVC reads them.

DVC drops generations with odd keys silently, and its message for a missing folder names no parameter.
"""

from noisy_student.models.architectures import check_training
from noisy_student.settings import params
from stages.entry import run


def main():
    """Validate params.yaml and look for data.root and data.unlabelled_from."""
    settings = params.load()
    check_training(settings.teacher, settings.data.image_size, where="teacher")
    for key in settings.generations:
        where = f"generations.{key}: student"
        check_training(settings.generation(key).student, settings.data.image_size, where=where)
    params.check_paths(settings)


if __name__ == "__main__":
    run(main, recorded=False)
