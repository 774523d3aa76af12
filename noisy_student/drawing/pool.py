"""What a teacher says of the unlabelled pool, as a sheet of images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from noisy_student.drawing.canvas import BLACK, BLUE, GREEN, VERMILLION, Cell, save_sheet, shorten
from noisy_student.pseudo_labels.confidence import best_guesses, is_kept
from noisy_student.runtime.types import Floats, Probs, Rows

if TYPE_CHECKING:
    from noisy_student.data.views import Images

_MOST_CLASSES = 100  # a taller sheet can hardly be opened


def pseudo_label_groups(confidence: Floats, rows: Rows, *, each: int, **bounds: float) -> tuple[Rows, Rows, Rows]:
    """Of the rows predicted as a class: kept, most confident first; kept, least confident first; not kept.

    No row is in two groups, of at most `each`; for the bounds see `confidence.is_kept`.
    """
    ordered = rows[np.argsort(-confidence[rows], kind="stable")]
    passes = is_kept(confidence[ordered], **bounds)
    passed = ordered[passes]
    return passed[:each], passed[each:][::-1][:each], ordered[~passes][:each]


def pseudo_label_gallery(
    path: Path,
    images: Images,
    probs: Probs,
    class_names: Sequence[str],
    *,
    threshold: float,
    max_confidence: float = 1.0,
    each: int = 4,
) -> None:
    """Draw pseudo-labelled images by class: most confident, just above, just below the threshold."""
    predicted, confidence = best_guesses(probs)
    bounds = {"threshold": threshold, "max_confidence": max_confidence}
    shown = class_names[:_MOST_CLASSES]
    rows = []
    for k, name in enumerate(shown):
        members = np.flatnonzero(predicted == k)
        cells: list[Cell] = []
        for group in pseudo_label_groups(confidence, members, each=each, **bounds):
            cells += [(np.asarray(images[row]), [(f"{confidence[row]:.3f}", BLACK)]) for row in group]
            cells += [None] * (each - len(group))
        count = f"{is_kept(confidence[members], **bounds).sum():,} of {len(members):,} kept"
        rows.append(((shorten(name), count), cells))
    more = f" (the first {len(shown)} of {len(class_names)} classes)" if len(shown) < len(class_names) else ""
    headers = (
        (0, "kept, most confident", BLUE),
        (each, f"kept (above {threshold:g}), least confident", GREEN),
        (2 * each, "not kept, most confident", VERMILLION),
    )
    title = f"Pseudo-labels by class, with confidence{more}"
    save_sheet(path, title, rows, side=64, names=140, group=each, headers=headers)
