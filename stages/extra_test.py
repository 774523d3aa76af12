"""Stage extra-test: one of the further test sets of params.yaml as arrays."""

from noisy_student.runtime import layout
from noisy_student.runtime.files import read_json, write_array, write_json
from noisy_student.settings import params
from stages.entry import run


def main(test: str) -> None:
    """Read the images of eval.extra_tests.TEST."""
    settings = params.load()
    settings.require_extra_test(test)
    from noisy_student.sources.extra import load_extra

    data, folder = settings.data, layout.extra_test(test)
    extra, present = load_extra(
        test,
        settings.eval.extra_tests[test],
        classes=read_json(layout.CLASSES),
        size=data.image_size,
        resize=data.resize,
        levels=data.levels,
    )
    write_array(folder / "images.npy", extra.images[:])
    write_array(folder / "labels.npy", extra.labels)
    write_json(folder / "present.json", present)


if __name__ == "__main__":
    run(main)
