"""What a teacher says of the unlabelled pool, as a sheet of images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from noisy_student.drawing.canvas import BLACK, BLUE, GREEN, VERMILLION, save_sheet, shorten
from noisy_student.pseudo_labels.confidence import best_guesses, is_kept

_MOST_CLASSES = 100  # a taller sheet can hardly be opened


def pseudo_label_groups(confidence, rows, *, each, **bounds):
    """Choose the most confident images of a class that are kept, the least confident, and others.

    Args:
        confidence: (N,) highest probabilities.
        rows: the images predicted as the class.
        each: most images of a group.
        bounds: threshold and max_confidence, see `confidence.is_kept`.

    Returns:
        three arrays of rows without a common one: kept, most confident first; kept, least confident
        first; not kept, most confident first.
    """
    ordered = rows[np.argsort(-confidence[rows], kind="stable")]
    stays = is_kept(confidence[ordered], **bounds)
    kept = ordered[stays]
    return kept[:each], kept[each:][::-1][:each], ordered[~stays][:each]


def pseudo_label_gallery(
    path: Path, images, probs, class_names: Sequence[str], *, threshold, max_confidence=1.0, each: int = 4
) -> None:
    """Draw pseudo-labelled images by class: most confident, just above, just below the threshold.

    Args:
        path: PNG to write.
        images: (N, H, W, 3) uint8, the unlabelled pool; only the rows shown are read.
        probs: (N, K) teacher distribution.
        class_names: K names; the first 100 classes are shown.
        threshold, max_confidence: of the images that are kept, see `confidence.is_kept`.
        each: most images of a group.
    """
    predicted, confidence = best_guesses(probs)
    bounds = {"threshold": threshold, "max_confidence": max_confidence}
    shown, rows = class_names[:_MOST_CLASSES], []
    for k, name in enumerate(shown):
        members, cells = np.flatnonzero(predicted == k), []
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
