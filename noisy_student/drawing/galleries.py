"""Sheets of images: what the noise does, what is pseudo-labelled, where two models differ, changed test images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from noisy_student.drawing.canvas import BLACK, BLUE, VERMILLION, save_sheet, shorten
from noisy_student.runtime.seeds import derive_seed, image_keys
from noisy_student.runtime.types import Labels, Pixels, Rows

if TYPE_CHECKING:
    from noisy_student.data.views import Images
    from noisy_student.inference.outcomes import Outcomes
    from noisy_student.noise.pipeline import InputNoise


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
    headers = ((0, "original", BLUE), (1, "noised, a fresh draw for each cell", BLACK))
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
    most: int = 32,
) -> None:
    """Draw images that the first model gets wrong and the second right, the clearest first; no others are read."""

    def guess(outcomes, row):
        return f"{shorten(class_names[outcomes.predicted[row]], 10)} {outcomes.confidence[row]:.2f}"

    rows = disagreement_rows(labels, first, second)
    cells = []
    for row in rows[:most]:
        right, wrong = (f"√ {guess(second, row)}", BLUE), (f"× {guess(first, row)}", VERMILLION)
        cells.append((np.asarray(images[row]), [(shorten(class_names[labels[row]]), BLACK), wrong, right]))
    part = f", {len(cells)} shown" if len(cells) < len(rows) else ""
    legend = "; below each: the truth, × the model that is wrong, √ the model that is right" if cells else ""
    below = f"{len(rows):,} of {len(labels):,} images{part}{legend}"
    save_sheet(path, title, _in_lines(cells, 8), below=below)


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
    for cell in cells:
        guessed = ((first, cell["first"], VERMILLION), (second, cell["second"], BLUE))
        caption = [
            (f"{cell['corruption'].replace('_', ' ')}, severity {cell['severity']}", BLACK),
            (f"true: {shorten(class_names[cell['label']], 24)}", BLACK),
            *((f"{model}: {shorten(class_names[label], 24)}", color) for model, label, color in guessed),
        ]
        pair = [(cell["clean"], caption), (cell["changed"], ())]
        shown += pair if cell["clean"] is not None else [(cell["changed"], caption), None]
    title = f"Corrupted test images that {first} gets wrong and {second} right"
    save_sheet(path, title, _in_lines(shown, 8), group=2, below="" if cells else "There is none.")
