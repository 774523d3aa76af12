"""What a teacher says of the unlabelled pool, as a sheet of images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from noisy_student.drawing.canvas import BLACK, CAPTION, RIGHT, WRONG, Cell, save_sheet
from noisy_student.drawing.fonts import shorten_all
from noisy_student.pseudo_labels.confidence import StoredProbs, best_guesses, is_kept
from noisy_student.runtime.types import Floats, Labels, Probs, Rows

if TYPE_CHECKING:
    from noisy_student.data.views import Images

_NAMES, _ROOM = 150, 84  # pixels of a row's name, and of an image with its caption
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
    probs: Probs | StoredProbs,
    class_names: Sequence[str],
    *,
    threshold: float,
    max_confidence: float = 1.0,
    each: int = 4,
    truth: Labels | None = None,
) -> None:
    """Draw pseudo-labelled images by class: most confident, just above, just below the threshold.

    Args:
        truth: (N,) what the images show, -1 where it is not known; wrong pseudo-labels are marked by it. None: unknown.
    """
    predicted, confidence = best_guesses(probs)
    truth = np.full(len(predicted), -1) if truth is None else np.asarray(truth)
    bounds = {"threshold": threshold, "max_confidence": max_confidence}
    shown = class_names[:_MOST_CLASSES]
    names = shorten_all(class_names, _NAMES - 10, bold=True)
    below = shorten_all(class_names, _ROOM, size=CAPTION)
    wrong = (truth >= 0) & (predicted != truth)
    rows = []
    for k, name in enumerate(shown):
        members = np.flatnonzero(predicted == k)
        cells: list[Cell] = []
        for group in pseudo_label_groups(confidence, members, each=each, **bounds):
            cells += [
                (np.asarray(images[row]), _caption(confidence[row], truth[row], wrong[row], below, class_names))
                for row in group
            ]
            cells += [None] * (each - len(group))
        kept = members[is_kept(confidence[members], **bounds)]
        lines = [names[name], f"{len(kept):,} of {len(members):,} kept"]
        if (truth[kept] >= 0).any():
            lines.append(f"{wrong[kept].sum():,} of them wrong")
        rows.append((lines, cells))
    more = f" (the first {len(shown)} of {len(class_names)} classes)" if len(shown) < len(class_names) else ""
    headers = (
        (0, "kept, most confident", BLACK),
        (each, f"kept (above {threshold:g}), least confident", BLACK),
        (2 * each, "not kept, most confident", BLACK),
    )
    title = f"Pseudo-labels by class, with confidence{more}"
    legend = (
        "√ right; × wrong, with what the image shows; neither: the truth is not known" if (truth >= 0).any() else ""
    )
    save_sheet(path, title, rows, side=64, room=_ROOM, names=_NAMES, group=each, headers=headers, below=legend)


def _caption(confidence, truth, wrong, names, class_names):
    """The lines below an image: its confidence, and whether the label is right, where that is known."""
    if truth < 0:
        return [(f"{confidence:.3f}", BLACK)]
    if not wrong:
        return [(f"√ {confidence:.3f}", RIGHT)]
    return [(f"× {confidence:.3f}", WRONG), (names[class_names[truth]], WRONG)]
