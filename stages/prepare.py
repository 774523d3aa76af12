"""Stage prepare: split the source's images into labelled, validation, unlabelled and test."""

from noisy_student import layout, params
from noisy_student.data.prepare import prepare
from noisy_student.data.reader import remembering_reader
from noisy_student.files import write_json
from stages.entry import run


def main():
    """Split the images of params.yaml's data section into data/."""
    settings = params.load()
    with remembering_reader(settings.data, every_minutes=settings.checkpoint.every_minutes) as reader:
        write_json(layout.DATA_METRICS, prepare(settings.data, read=reader))
    return {"resumed_from_image": reader.kept.resumed_from}


if __name__ == "__main__":
    run(main)
