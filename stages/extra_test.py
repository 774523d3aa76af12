"""Stage extra-test: one of the further test sets of params.yaml as arrays."""

from noisy_student.runtime import layout
from noisy_student.runtime.errors import ParamsError
from noisy_student.runtime.files import read_json, remove, write_array, write_json
from noisy_student.settings import params
from stages.entry import run


def main(test: str) -> None:
    """Read the images of eval.extra_tests.TEST."""
    settings = params.load()
    if test not in settings.eval.extra_tests:
        known = ", ".join(settings.eval.extra_tests) or "none"
        raise ParamsError(f"eval.extra_tests: there is no {test!r} in params.yaml, only {known}.")
    from noisy_student.sources.extra import load_extra

    data, folder = settings.data, layout.extra_test(test)
    found, present = load_extra(
        test,
        settings.eval.extra_tests[test],
        classes=read_json(layout.CLASSES),
        size=data.image_size,
        resize=data.resize,
    )
    if folder.exists():
        remove(folder)
    write_array(folder / "images.npy", found.images)
    write_array(folder / "labels.npy", found.labels)
    write_json(folder / "present.json", present)


if __name__ == "__main__":
    run(main)
