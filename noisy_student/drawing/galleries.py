"""Sheets of images: what the noise does, what is pseudo-labelled, where two models differ, changed test images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from noisy_student.drawing.canvas import BLACK, CAPTION, RIGHT, WRONG, colours, save_sheet
from noisy_student.drawing.fonts import shorten, shorten_all, text_width
from noisy_student.runtime.seeds import derive_seed, image_keys
from noisy_student.runtime.types import Labels, Pixels, Rows

if TYPE_CHECKING:
    from noisy_student.data.views import Images
    from noisy_student.inference.outcomes import Outcomes
    from noisy_student.noise.pipeline import InputNoise


_SIDE = 96  # pixels of an image
_ROOM = 168  # most pixels of a caption below one image


def _in_lines(cells, columns):
    return [((), cells[i : i + columns]) for i in range(0, len(cells), columns)]


def noise_gallery(path: Path, images: Images, noise: InputNoise, *, rows: int = 6, columns: int = 9, seed: int) -> None:
    """Draw the first images, `rows` at most, and columns - 1 noised versions of each."""
    images = np.asarray(images[:rows])
    seed, each = derive_seed(seed, "noise gallery"), np.arange(len(images))
    noised = [noise.with_captions(images, image_keys(seed, cell, each)) for cell in range(1, columns)]
    cells = [
        ((), [(original, ())] + [(batch[r], [(line, BLACK) for line in captions[r]]) for batch, captions in noised])
        for r, original in enumerate(images)
    ]
    headers = ((0, "original", BLACK), (1, "noised, a fresh draw for each cell", BLACK))
    save_sheet(path, "Input noise", cells, headers=headers)


def disagreement_rows(labels: Labels, first: Outcomes, second: Outcomes) -> Rows:
    """The images that the first model gets wrong and the second right, by what the true class's probability gains."""
    rows = np.flatnonzero((first.predicted != labels) & (second.predicted == labels))
    gain = second.true[rows] - first.true[rows]
    return rows[np.argsort(-gain, kind="stable")]


def disagreement_gallery(
    path: Path,
    images: Images,
    labels: Labels,
    first: Outcomes,
    second: Outcomes,
    class_names: Sequence[str],
    *,
    title: str,
    models: tuple[str, str] | None = None,
    most: int = 32,
) -> None:
    """Draw images that the first model gets wrong and the second right, the clearest first; no others are read.

    Args:
        models: names of the two, for their colours and the legend; None: the colours of wrong and right.
    """
    rows = disagreement_rows(labels, first, second)
    shown = rows[:most]
    named = [k for row in shown for k in (labels[row], first.predicted[row], second.predicted[row])]
    room = _ROOM - text_width("× 0.00", CAPTION)
    names = shorten_all(list(dict.fromkeys(class_names[k] for k in named)), room, size=CAPTION)
    color = list(colours(models).values()) if models else [WRONG, RIGHT]

    def says(sign, outcomes, row):
        return f"{sign} {names[class_names[outcomes.predicted[row]]]} {outcomes.confidence[row]:.2f}"

    captions = [
        [
            (names[class_names[labels[row]]], BLACK),
            (says("×", first, row), color[0]),
            (says("√", second, row), color[1]),
        ]
        for row in shown
    ]
    cells = [(np.asarray(images[row]), caption) for row, caption in zip(shown, captions, strict=True)]
    widest = max((text_width(line, CAPTION) for caption in captions for line, _ in caption), default=0)
    part = f", {len(cells)} shown" if len(cells) < len(rows) else ""
    of_wrong, of_right = models or ("the model that is wrong", "the model that is right")
    legend = f"; below each: the truth, × {of_wrong}, √ {of_right}" if cells else ""
    below = f"{len(rows):,} of {len(labels):,} images{part}{legend}"
    save_sheet(path, title, _in_lines(cells, 8), room=int(widest) + 1, below=below)


def contact_sheet(
    path: Path, images: Pixels, changed: Mapping[tuple[str, int], Pixels], *, each: Sequence[int]
) -> None:
    """Draw every corruption at `each` severity, beside the clean images; changed: {(corruption, severity): images}."""
    group = [0, *each]
    titles = ["clean", *(f"severity {level}" for level in each)] * len(images)
    headers = [(place, title, BLACK) for place, title in enumerate(titles)]
    rows = []
    for name in dict.fromkeys(name for name, _ in changed):
        batches = [images, *(changed[name, level] for level in each)]
        rows.append(([name.replace("_", " ")], [(batch[i], ()) for i in range(len(images)) for batch in batches]))
    save_sheet(path, "Corruptions", rows, side=64, names=150, group=len(group), headers=headers)


def sequence_sheet(path: Path, sequences: Iterable, *, columns: int = 6) -> None:
    """Draw `columns` frames, first to last, of sequences of one image: (name, frames (1, S, S, 3) uint8)."""
    rows = []
    for name, frames in sequences:
        places = np.linspace(0, len(frames) - 1, columns).round().astype(int)
        rows.append(([name.replace("_", " ")], [(frames[place][0], ()) for place in places]))
    save_sheet(path, "Perturbation sequences", rows, names=150, below="from the first frame to the last")


def gained_gallery(
    path: Path, cells: Sequence[Mapping], *, first: str, second: str, class_names: Sequence[str]
) -> None:
    """Draw changed images that the first model gets wrong and the second right.

    Args:
        cells: corruption, severity, clean and changed ((S, S, 3) uint8, clean may be None), label, first and second
            (the models' predictions).
    """
    shown: list = []
    color = colours((first, second))
    for cell in cells:
        guessed = ((first, cell["first"]), (second, cell["second"]))
        lines = [
            (f"{cell['corruption'].replace('_', ' ')}, severity {cell['severity']}", BLACK),
            (f"true: {class_names[cell['label']]}", BLACK),
            *((f"{model}: {class_names[label]}", color[model]) for model, label in guessed),
        ]
        caption = [(shorten(line, 2 * _SIDE, size=CAPTION), ink) for line, ink in lines]
        pair = [(cell["clean"], caption), (cell["changed"], ())]
        shown += pair if cell["clean"] is not None else [(cell["changed"], caption), None]
    title = f"Corrupted test images that {first} gets wrong and {second} right"
    save_sheet(path, title, _in_lines(shown, 8), side=_SIDE, group=2, below="" if cells else "There is none.")
