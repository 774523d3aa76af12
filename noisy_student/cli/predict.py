"""Say what images show: class, confidence, and the whole distribution if asked for.

python -m noisy_student predict models/student-gen3.keras photo.jpg
python -m noisy_student predict models/student-gen3.keras holiday/ more.zip --csv predictions.csv --sheet sheet.png
find holiday -name '*.jpg' | python -m noisy_student predict models/student-gen3.keras - --top 5

A line an image is printed: file, class, confidence, with tabs between them.
"""

import argparse
import contextlib
import errno
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from noisy_student import cli

_SPECIAL = re.compile(r'[,"\r\n]')  # what makes a cell of a table one in quotes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of this command."""
    parser.add_argument("model", type=Path, metavar="MODEL", help=cli.MODEL_HELP)
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="an image, a folder (with all below it), a pattern in quotes, a .zip or .tar, or - for a list of paths on "
        "standard input; any format, size and mode that Pillow reads",
    )
    parser.add_argument("--top", type=number, metavar="N", help="the N most probable classes; default: 1")
    parser.add_argument(
        "--threshold",
        type=cli.share,
        metavar="T",
        help="mark predictions that are not more confident than this",
    )
    parser.add_argument(
        "--csv",
        type=Path,
        metavar="FILE",
        help="write a table instead of printing: file, class, confidence and every class's probability (with --top: "
        "the N most probable)",
    )
    parser.add_argument(
        "--workers",
        type=number,
        metavar="N",
        help="processes of this machine that share the files; more by EXECUTOR=name=ray,workers=N, see docs/scale.md; "
        "default: 1, which uses all processors too",
    )
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="draw the least and the most sure ones as PNG")
    parser.add_argument(
        "--classes", type=Path, metavar="FILE", help="names of the classes, one a line, for a model that has none in it"
    )


def number(text: str) -> int:
    """A number, 1 or more."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("give 1 or more")
    return value


def run(arguments: argparse.Namespace) -> int:
    """Predict, print and draw; return the exit status."""
    for path in filter(None, (arguments.csv, arguments.sheet)):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    from noisy_student.deployment.predicting import FilePredictor, nothing_predicted
    from noisy_student.deployment.sheets import Extremes, prediction_sheet
    from noisy_student.runtime.progress import bar

    model = cli.opened(arguments)
    predictor = FilePredictor(model, on_unreadable=cli.name_unreadable)
    extremes = Extremes(each=24) if arguments.sheet else None
    quiet = arguments.csv is None and sys.stdout.isatty()  # the lines themselves show how far it is
    unsure = 0
    with _writer(arguments, model.described.classes) as write:
        shown = contextlib.nullcontext() if quiet else bar(total=None, name="predict", unit="image", brief=True)
        with shown as counted:
            for batch in _predictions(arguments, predictor, extremes):
                unsure += write(batch)
                if counted:
                    counted.update(len(batch.names))
        if not predictor.images:
            raise nothing_predicted(predictor, arguments.paths)
        if extremes:
            prediction_sheet(
                arguments.sheet,
                extremes,
                model.described.classes,
                model=model.described.name,
                images=predictor.images,
            )
    _summarise(predictor, arguments, unsure)
    return cli.PARTLY if predictor.unreadable else cli.DONE


def _predictions(arguments, predictor, extremes) -> Iterator:
    """Yield all batches, by this process or by the workers that are asked for; `extremes` sees their images."""
    from noisy_student.deployment.image_files import image_files, units
    from noisy_student.executors import settings
    from noisy_student.executors.running import in_this_process

    executor = settings.load()
    if arguments.workers:
        executor = executor.model_copy(update={"workers": arguments.workers})
    listed = sys.stdin.buffer if sys.stdin else None
    alone = in_this_process(executor, None)
    shares = [] if alone else list(units(arguments.paths, listed=listed))
    if alone or len(shares) == 1:  # for one more process there is nothing to share
        for batch in predictor(shares[0] if shares else image_files(arguments.paths, listed=listed)):
            if extremes:
                extremes.add(batch)
            yield batch
        return
    from noisy_student.deployment.by_executor import predicted

    beside = (arguments.csv or arguments.sheet or Path(".")).parent
    where = beside if beside.is_dir() else Path(".")  # which all nodes of a cluster see
    where = where if executor.address or os.access(where, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix=".noisy-student-", dir=where) as folder:
        options = {"model": arguments.model, "classes": arguments.classes, "folder": Path(folder).absolute()}
        yield from predicted(shares, predictor, executor, **options, extremes=extremes)


def _summarise(predictor, arguments, unsure):
    cli.warn_of_depths(predictor)
    parts = [f"{predictor.images:,} image{'s' * (predictor.images != 1)}"]
    if arguments.threshold is not None:
        parts.append(f"{unsure:,} not above {arguments.threshold:g}")
    if predictor.unreadable:
        parts.append(f"{predictor.unreadable:,} unreadable")
    written = [str(path) for path in (arguments.csv, arguments.sheet) if path]
    cli.note(", ".join(parts) + (f"; wrote {' and '.join(written)}" if written else ""))


@contextlib.contextmanager
def _writer(arguments, classes) -> Iterator:
    """Yield what writes a batch, and returns how many of it are not above the threshold."""
    from noisy_student.runtime.files import atomic_path

    if arguments.csv is None:
        yield lambda batch: _print(batch, classes, arguments.top or 1, arguments.threshold)
        return
    path = Path(os.path.realpath(arguments.csv))  # where a link leads to
    special = path.exists() and not path.is_file()  # a pipe or a device, which nothing may take the place of
    with (
        contextlib.nullcontext(path) if special else atomic_path(path) as temporary,
        # names of files may be no text
        temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        top, quoted = min(arguments.top or len(classes), len(classes)), [_quoted(name) for name in classes]
        file.write(",".join(map(_quoted, _head(arguments, classes, top))) + "\n")
        yield lambda batch: _tabulate(file, batch, quoted, top, arguments)
        file.flush()
        if not special:
            os.fsync(file.fileno())


def _head(arguments, classes, top):
    head = ["file", "class", "confidence", *(["accepted"] if arguments.threshold is not None else [])]
    if arguments.top is None:
        return head + [f"p({name})" for name in classes]
    return head + [f"{what}_{rank}" for rank in range(2, top + 1) for what in ("class", "confidence")]


def _tabulate(file, batch, classes, top, arguments):
    """A line at a time, not a cell: writing has to take little beside what a small network takes."""
    labels, confidence = batch.probs.argmax(axis=1), batch.probs.max(axis=1)
    above = confidence > (-1 if arguments.threshold is None else arguments.threshold)
    columns = [("%s", map(_quoted, batch.names)), *_pair(classes, labels, confidence)]
    if arguments.threshold is not None:
        columns.append(("%d", above.tolist()))
    if arguments.top is None:
        columns += [("%.6g", column) for column in batch.probs.T.tolist()]
    else:
        order = (-batch.probs).argsort(axis=1, kind="stable")
        for place in range(1, top):
            below = order[:, place]
            columns += _pair(classes, below, batch.probs[range(len(below)), below])
    line = ",".join(kind for kind, _ in columns) + "\n"
    file.write("".join([line % cells for cells in zip(*(column for _, column in columns), strict=True)]))
    return int((~above).sum())


def _pair(classes, labels, confidence):
    return ("%s", [classes[k] for k in labels]), ("%.6g", confidence.tolist())


def _quoted(text):
    """A cell of a table (RFC 4180)."""
    return '"' + text.replace('"', '""') + '"' if _SPECIAL.search(text) else text


def _print(batch, classes, top, threshold):
    order = (-batch.probs).argsort(axis=1, kind="stable")[:, :top]
    unsure = 0
    for name, probs, best in zip(batch.names, batch.probs, order, strict=True):
        pairs = [f"{classes[k]}\t{probs[k]:.4f}" for k in best]
        below = threshold is not None and not probs[best[0]] > threshold
        unsure += below
        print("\t".join([cli.shown(name), *pairs, *([f"not above {threshold:g}"] if below else [])]))
    sys.stdout.flush()
    return unsure
