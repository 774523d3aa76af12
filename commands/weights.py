"""Fetch weights that keras.applications ships, for a teacher with `init: pretrained`.

python -m commands.weights b0        # EfficientNet-B0 of ImageNet, 21 MB, into data/raw/weights; up to b7, 268 MB

Keras' own hash is checked; a file that is there already is left as it is. Other ways: docs/recipes.md.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from commands import new_parser
from noisy_student import backends
from noisy_student.pretrained.files import KINDS
from noisy_student.runtime import console, files
from noisy_student.runtime.errors import DataError, DownloadError, UserError
from noisy_student.settings import params
from noisy_student.settings.schema import WEIGHTS

NAMES = [f"b{number}" for number in range(8)]


def fetch(name: str, folder: Path) -> Path:
    """Fetch the weights of a size, with the layer of ImageNet's 1,000 classes, into a folder.

    Raises:
        DataError: another file of weights is there, so that `teacher.weights` would name two.
        DownloadError: no connection, or what came is another file; nothing is left of it.
    """
    path = folder / f"efficientnet{name}.h5"
    present = sorted(each.name for each in folder.glob("*") if each.suffix in KINDS) if folder.is_dir() else []
    if present:
        mend = "Nothing to do" if present == [path.name] else "Move it away, or fetch into another folder by --into"
        raise DataError(f"{folder} holds {', '.join(present)} already. {mend}.")
    import keras
    from keras.src.applications import efficientnet as shipped  # the public functions build the whole network first

    url = f"{shipped.BASE_WEIGHTS_PATH}{path.name}"
    with tempfile.TemporaryDirectory(prefix=".tmp-") as temporary:
        try:
            came = keras.utils.get_file(
                path.name, url, cache_dir=temporary, cache_subdir="", file_hash=shipped.WEIGHTS_HASHES[name][0]
            )
        except Exception as error:  # Keras raises a bare one
            raise DownloadError(
                f"{url}: cannot be fetched ({str(error).splitlines()[0]}). Check the network and run again, or get "
                f"{path.name} in another way and put it into {folder}."
            ) from error
        with files.atomic_path(path) as target:
            shutil.copyfile(came, target)
    return path


def parser() -> argparse.ArgumentParser:
    """That of this command."""
    own = new_parser("commands.weights", __doc__)
    own.add_argument("name", choices=NAMES, help="the size of EfficientNet")
    own.add_argument("--into", type=Path, default=Path(WEIGHTS), metavar="DIR", help=f"the folder; default: {WEIGHTS}")
    return own


def main() -> int:
    """Fetch what the arguments name."""
    console.use_utf8()
    arguments = parser().parse_args()
    try:
        backends.select(params.load().backend)
        path = fetch(arguments.name, arguments.into)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{path} is there. Next: dvc exp run -S teacher.init=pretrained -S teacher.model.name=efficientnet \\")
    print(f"  -S teacher.model.size={arguments.name} -S teacher.weights={path}")
    return 0


if __name__ == "__main__":
    console.use_utf8()
    sys.exit(main())
