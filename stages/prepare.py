"""Stage prepare: split the source's images into labelled, validation, unlabelled and test."""

from typing import Any

from noisy_student.runtime import layout
from noisy_student.runtime.files import write_json
from noisy_student.settings import params
from noisy_student.sources.prepare import prepare
from noisy_student.sources.staging import remembering_reader
from stages.entry import run


def main() -> dict[str, Any]:
    """Split the images of params.yaml's data section into data/prepared."""
    settings = params.load()
    params.check_data_paths(settings.data)
    with remembering_reader(settings.data, every_minutes=settings.checkpoint.every_minutes) as reader:
        write_json(layout.DATA_METRICS, prepare(settings.data, read=reader))
    return {"resumed_from_image": reader.kept.resumed_from, **reader.record}


if __name__ == "__main__":
    run(main)
