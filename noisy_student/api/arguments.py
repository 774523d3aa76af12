"""What is given to the API: arrays are checked, and errors of the library are made to speak of the arguments."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from noisy_student.runtime.errors import UserError
from noisy_student.runtime.types import Labels, Pixels, Probs, Rows
from noisy_student.settings.params import Params, faults
from noisy_student.settings.schema import Section

DEFAULTS = Params()  # of the pipeline: the schema's

# Messages of the library name parameters by their place in params.yaml, and say how to mend that file.
PLACES = ("teacher", "student", "noise", "augmentation", "pseudolabel", "balance")
NAMES = sorted({name for place in PLACES for name in type(getattr(DEFAULTS, place)).model_fields})  # not teacher.keras
# those that are given as dicts
SECTIONS = sorted({name for place in PLACES for name, value in getattr(DEFAULTS, place) if isinstance(value, Section)})
TRANSLATIONS = (
    (r"\n?Mend params\.yaml and run again\.", ""),
    (r"empty \(`-S [^`]*=null`\)", "None"),
    (r", then (?:run )?`dvc repro`(?: again)?", ""),
    (r" (?:and )?[Rr]un `dvc repro`(?: again| to make them anew)?", ""),
    (r" in params\.yaml", ""),
    (r"\bdata\.image_size\b", "image_size"),
    (rf"(?<![/\w-])(?:generations\.[\w-]+\.)?(?:{'|'.join(PLACES)})\.(?=(?:{'|'.join(NAMES)})\b)", ""),
    (r"\bweights(?==|: )", "initial"),
    (r"\bset init: random\b", "set initial=None"),
    (r"\bset init: (?:pretrained|teacher)\b", "give initial"),
    (r"same model section", "same model"),
    (r"=empty\b", "=None"),
    (rf"\b({'|'.join(SECTIONS)})\.(\w+)", r'\1["\2"]'),
    (r"\b([a-z_]+(?:\[\"\w+\"\])?)=([a-z]\w*)\b(?![/-]|\.\w)", r'\1="\2"'),
)


class ArgumentError(UserError, ValueError):
    """An argument of the API cannot be used: which, what was found, and how to mend it."""


def of_arguments(message: str) -> str:
    """A message about params.yaml as one about arguments, e.g. `pseudolabel.threshold` as `threshold`."""
    for pattern, replacement in TRANSLATIONS:
        message = re.sub(pattern, replacement, message)
    return message.strip()


@contextlib.contextmanager
def speaking_of_arguments(function: str) -> Iterator[None]:
    """Raise the library's errors anew, as those of a function of the API."""
    try:
        yield
    except ArgumentError:
        raise
    except ValidationError as error:
        lines = [of_arguments(fault) for fault in faults(error)]
        raise ArgumentError(f"{function}: {'; '.join(lines)}.") from None
    except UserError as error:
        message = of_arguments(str(error))
        raise type(error)(message if message.startswith(f"{function}: ") else f"{function}: {message}") from None


def plain(value: Any) -> Any:
    """NumPy's scalars as Python's, also within dicts: the schema converts nothing."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return value.item() if isinstance(value, np.generic) else value


def _array(given, name):
    try:
        return np.asarray(given)
    except (ValueError, TypeError) as error:  # rows of several lengths, for instance
        raise ArgumentError(f"{name}: no array can be made of it ({error}).") from None


def images(given: npt.ArrayLike, name: str) -> Pixels:
    """Images (N, S, S, 3) uint8 of an argument; nothing is copied.

    Raises:
        ArgumentError: they are of another shape or type.
    """
    array = _array(given, name)
    wrong = _fault_of_images(array)
    if wrong:
        raise ArgumentError(
            f"{name}: expected RGB images (N, S, S, 3), uint8; found {array.dtype} {array.shape}. {wrong}"
        )
    return array


def _fault_of_images(array):
    """How to mend what is no array of images; None if it is one."""
    shape = array.shape
    if array.dtype == object or array.dtype.kind in "USO":
        return "Give one array of numbers, with images of one size."
    if array.ndim == 3 and shape[-1] != 3:
        return "Grey images: repeat the channel, np.repeat(images[..., None], 3, axis=-1)."
    if array.ndim == 3:
        return "A single image: give images[None]."
    if array.ndim != 4:
        return "Reshape them."
    if shape[-1] == 1:
        return "Grey images: repeat the channel, np.repeat(images, 3, axis=-1)."
    if shape[-1] == 4:
        return "Drop the fourth channel: images[..., :3]."
    if shape[-1] != 3 and shape[1] == 3:
        return "The channels come last: np.moveaxis(images, 1, -1)."
    if shape[-1] != 3:
        return "Three channels are needed: red, green and blue."
    if shape[1] != shape[2]:
        return "Crop or resize them to squares."
    if array.dtype.kind == "f":
        return "Scale the pixels to 0..255 and convert them: (255 * images).astype(np.uint8), if they are 0..1 now."
    return None if array.dtype == np.uint8 else "Convert pixels of 0..255: images.astype(np.uint8)."


def some_images(given: npt.ArrayLike, name: str) -> Pixels:
    """The same, one at least."""
    array = images(given, name)
    if not len(array):
        raise ArgumentError(f"{name}: found no image, shape {array.shape}. Give one or more.")
    return array


def labels(given: npt.ArrayLike, name: str, *, number: int, of: str) -> Labels:
    """Labels (N,) int64, not negative, one for each of `number` images of the argument `of`.

    Raises:
        ArgumentError: they are something else.
    """
    array = _array(given, name)
    if array.dtype.kind not in "iu":
        mend = "Number the classes from 0: names, labels = np.unique(labels, return_inverse=True), and classes=names."
        raise ArgumentError(f"{name}: expected whole numbers (N,), found {array.dtype} {array.shape}. {mend}")
    if array.shape != (number,):
        raise ArgumentError(
            f"{name}: expected one label an image, ({number},), found shape {array.shape}. Give as many labels as {of}."
        )
    if len(array) and array.min() < 0:
        row = int(array.argmin())
        raise ArgumentError(
            f"{name}: classes are numbered from 0, found {array[row]} in row {row}. Images without a label "
            "belong into unlabelled."
        )
    return array.astype(np.int64)


def distributions(given: npt.ArrayLike, name: str) -> Probs:
    """Distributions (N, K) over the classes; rows sum to 1 within 1e-3; nothing is copied.

    Raises:
        ArgumentError: they are something else.
    """
    array = _array(given, name)
    if array.ndim != 2 or not array.size or array.dtype.kind != "f":
        raise ArgumentError(
            f"{name}: expected distributions (images, classes), float32; found {array.dtype} {array.shape}. Give "
            "what pseudo_label returns."
        )
    sums = array.sum(axis=1, dtype=np.float64)
    wrong = np.flatnonzero(~((np.abs(sums - 1) <= 1e-3) & (array.min(axis=1) >= 0)))  # NaN fails both comparisons
    if len(wrong):
        row = wrong[0]
        raise ArgumentError(
            f"{name}: {len(wrong):,} of {len(array):,} rows are no distribution; row {row} sums to {sums[row]:.4g}, "
            f"its least value is {array[row].min():.4g}. Give probabilities, not logits."
        )
    return array


def pool_rows(given: npt.ArrayLike, name: str, *, pool: int) -> Rows:
    """Rows (n,) int64 of a pool of so many images, one at least; they may repeat.

    Raises:
        ArgumentError: they are something else.
    """
    array = _array(given, name)
    if array.dtype.kind not in "iu" or array.ndim != 1 or not len(array):
        raise ArgumentError(
            f"{name}: expected numbers of rows (n,), found {array.dtype} {array.shape}. Give what balance returns."
        )
    if array.min() < 0 or array.max() >= pool:
        raise ArgumentError(
            f"{name}: found rows {array.min()} to {array.max()}, but unlabelled has {pool:,} images, 0 to {pool - 1}. "
            "Balance the distributions of these images."
        )
    return array.astype(np.int64)


def class_names(given: int | Sequence[str] | None, *, least: int, of: str) -> list[str]:
    """The names of the classes: those given, or the numbers from 0 of so many.

    Args:
        given: names, or how many; None: `least`.
        least: how many there are at least.
        of: the argument that says so, for the message.

    Raises:
        ArgumentError: there are too few, or names repeat.
    """
    count = least if given is None else given
    names = [str(k) for k in range(count)] if isinstance(count, int | np.integer) else [str(name) for name in count]
    if len(names) < least:
        raise ArgumentError(f"classes: found {len(names)}, but {of} has {least}. Name every class.")
    if len(names) < 2:
        raise ArgumentError(f"classes: found {len(names)}; there is nothing to tell apart. Two or more are needed.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ArgumentError(f"classes: {', '.join(twice)} stands there more than once. Give every class its own name.")
    return names
