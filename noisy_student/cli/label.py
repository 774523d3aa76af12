"""Pseudo-label a folder of images: a table, contact sheets, the uncertain images first.

python -m noisy_student label photos models/student-gen3.keras
python -m noisy_student label photos models/student-gen3.keras --threshold 0.9 --out labels --into data/raw/mine-2

Writes labels/labels.csv (file, class, confidence, accepted; the least sure first), labels/accepted.png and
labels/uncertain.png. With --into a data set of links to the images is made: accepted ones in train/<class>/,
the others in unlabelled/. Move the links that are wrong; the folder then is the next labelled set, see
docs/label-and-correct.md.
"""

import argparse
from pathlib import Path

from noisy_student import cli


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of this command."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="a folder of images, with all below it")
    parser.add_argument("model", type=Path, metavar="MODEL", help=cli.MODEL_HELP)
    parser.add_argument(
        "--threshold",
        type=cli.share,
        default=0.75,
        metavar="T",
        help="accept what is more confident than this; default: 0.75; models that learned from few labels are too sure",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("labels"),
        metavar="DIR",
        help="a new folder for the table and the sheets; default: labels",
    )
    parser.add_argument("--into", type=Path, metavar="DIR", help="a new folder for the data set of links")
    parser.add_argument(
        "--classes", type=Path, metavar="FILE", help="names of the classes, one a line, for a model that has none in it"
    )


def run(arguments: argparse.Namespace) -> int:
    """Label the folder; return the exit status."""
    from noisy_student.runtime.errors import DataError

    if arguments.folder.is_file() and arguments.model.is_dir():
        raise DataError(
            f"{arguments.folder} is a file and {arguments.model} a folder: label takes the folder of images first, "
            f"then the model. Type: label {arguments.model} {arguments.folder}"
        )
    if not arguments.folder.is_dir():
        raise DataError(f"{arguments.folder}: no such folder. Name a folder of images; predict takes other things too.")
    from noisy_student.deployment import labelling
    from noisy_student.deployment.predicting import FilePredictor, nothing_predicted
    from noisy_student.runtime.files import new_folder

    model = cli.opened(arguments)
    described = model.described
    for folder in filter(None, (arguments.out, arguments.into)):
        labelling.check_new(folder)
    if arguments.into:
        labelling.check_apart(arguments.out, arguments.into)
        labelling.check_class_names(described.classes)
    predictor = FilePredictor(model, on_unreadable=cli.name_unreadable)
    found = _label(predictor, arguments)
    if not predictor.images:
        raise nothing_predicted(predictor, [arguments.folder])
    with new_folder(arguments.out) as out:
        labelling.write_labels(out, found, described, threshold=arguments.threshold)
        if arguments.into:
            with new_folder(arguments.into) as into:
                labelling.lay_out(into, arguments.folder, found, described.classes)
    _summarise(predictor, found, described, arguments)
    return cli.PARTLY if predictor.unreadable else cli.DONE


def _label(predictor, arguments):
    from noisy_student.deployment.image_files import image_files
    from noisy_student.deployment.labelling import PseudoLabels
    from noisy_student.runtime.progress import bar

    names, labels, confidence = [], [], []
    with bar(total=None, name="label", unit="image", brief=True) as shown:
        for batch in predictor(image_files([str(arguments.folder)])):
            names += batch.names
            labels += batch.probs.argmax(axis=1).tolist()
            confidence += batch.probs.max(axis=1).tolist()
            shown.update(len(batch.names))
    return PseudoLabels.of(names, labels, confidence, threshold=arguments.threshold)


def _summarise(predictor, found, described, arguments):
    cli.warn_of_depths(predictor)
    accepted = found.accepted.sum()
    print(f"{len(found.files):,} images: {accepted:,} accepted (above {arguments.threshold:g}), ", end="")
    unreadable = f", {predictor.unreadable:,} unreadable" if predictor.unreadable else ""
    print(f"{len(found.files) - accepted:,} uncertain{unreadable}")
    lacking = [name for k, name in enumerate(described.classes) if not (found.accepted & (found.labels == k)).any()]
    if lacking:
        print(f"no image was accepted as {', '.join(lacking)}")
    print(f"look at {arguments.out / 'uncertain.png'} and {arguments.out / 'accepted.png'}; ", end="")
    print(f"the table is {arguments.out / 'labels.csv'}, the least sure first")
    if arguments.into:
        print(f"{arguments.into}: links in train/<class>/ and unlabelled/; move those that are wrong, then train on it")
