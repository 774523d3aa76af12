"""Sheets of images: what the noise does, what is pseudo-labelled, where two models differ."""

import numpy as np

from noisy_student.drawing.canvas import BLACK, BLUE, GREEN, VERMILLION, png, sheet, shorten, thumbnail
from noisy_student.pseudo_labels.confidence import best_guesses, is_kept
from noisy_student.runtime.seeds import derive_seed, image_keys

_MOST_CLASSES = 100  # a taller sheet can hardly be opened
_MARGIN = 0.15  # inches
_LINE = 0.125  # inches, a line of a caption


def noise_gallery(path, images, noise, *, rows=6, columns=9, seed):
    """Draw some images and several noised versions of each.

    Args:
        path: PNG to write.
        images: (N, H, W, 3) uint8; the first `rows` are shown.
        noise: noisy_student.noise.pipeline.InputNoise.
        rows: most images shown.
        columns: the original and columns - 1 noised versions.
        seed: of the noise, an int.
    """
    images = np.asarray(images[:rows])
    seed, each = derive_seed(seed, "noise gallery"), np.arange(len(images))
    noised = [noise.with_captions(images, image_keys(seed, cell, each)) for cell in range(1, columns)]
    lines = max((len(caption) for _, captions in noised for caption in captions), default=0)
    side, top = 1.0, 0.75
    pitch = side + 0.1 + lines * _LINE
    width = 2 * _MARGIN + columns * (side + 0.1)
    with png(path, width=width, height=top + len(images) * pitch + _MARGIN, layout=None) as figure:
        axes = sheet(figure)
        axes.text(_MARGIN, 0.3, "Input noise", fontsize=12, weight="bold")
        axes.text(_MARGIN, 0.62, "original", color=BLUE, weight="bold")
        axes.text(_MARGIN + side + 0.1, 0.62, "noised, a fresh draw for each cell", color=BLACK)
        for r, original in enumerate(images):
            y = top + r * pitch
            thumbnail(axes, original, _MARGIN, y, side)
            for c, (batch, captions) in enumerate(noised, start=1):
                x = _MARGIN + c * (side + 0.1)
                thumbnail(axes, batch[r], x, y, side)
                _caption(axes, x + side / 2, y + side, captions[r])


def _caption(axes, x, y, lines, colors=(BLACK,), size=6.5):
    for i, line in enumerate(lines):
        color = colors[i % len(colors)]
        axes.text(x, y + 0.02 + i * _LINE, line, fontsize=size, color=color, ha="center", va="top")


def pseudo_label_groups(confidence, rows, *, each, **bounds):
    """Choose the most confident images of a class that are kept, the least confident, and others.

    Args:
        confidence: (N,) highest probabilities.
        rows: the images predicted as the class.
        each: most images of a group.
        bounds: threshold and max_confidence, see `guesses.is_kept`.

    Returns:
        three arrays of rows without a common one: kept, most confident first; kept, least confident
        first; not kept, most confident first.
    """
    ordered = rows[np.argsort(-confidence[rows], kind="stable")]
    stays = is_kept(confidence[ordered], **bounds)
    kept = ordered[stays]
    return kept[:each], kept[each:][::-1][:each], ordered[~stays][:each]


def pseudo_label_gallery(path, images, probs, class_names, *, threshold, max_confidence=1.0, each=4):
    """Draw pseudo-labelled images by class: most confident, just above, just below the threshold.

    Args:
        path: PNG to write.
        images: (N, H, W, 3) uint8, the unlabelled pool; only the rows shown are read.
        probs: (N, K) teacher distribution.
        class_names: K names; the first 100 classes are shown.
        threshold, max_confidence: of the images that are kept, see `guesses.is_kept`.
        each: most images of a group.
    """
    side, pitch, top, names = 0.66, 0.9, 0.8, 1.35
    group_width = each * (side + 0.06) + 0.22
    shown = min(len(class_names), _MOST_CLASSES)
    width = 2 * _MARGIN + names + 3 * group_width
    predicted, confidence = best_guesses(probs)
    bounds = {"threshold": threshold, "max_confidence": max_confidence}
    with png(path, width=width, height=top + shown * pitch + _MARGIN, layout=None) as figure:
        axes = sheet(figure)
        more = f" (the first {shown} of {len(class_names)} classes)" if shown < len(class_names) else ""
        axes.text(_MARGIN, 0.3, f"Pseudo-labels by class, with confidence{more}", fontsize=12, weight="bold")
        headers = (
            "kept, most confident",
            f"kept (above {threshold:g}), least confident",
            "not kept, most confident",
        )
        for g, (header, color) in enumerate(zip(headers, (BLUE, GREEN, VERMILLION), strict=True)):
            axes.text(_MARGIN + names + g * group_width, 0.66, header, color=color, weight="bold")
        for k in range(shown):
            y, rows = top + k * pitch, np.flatnonzero(predicted == k)
            groups = pseudo_label_groups(confidence, rows, each=each, **bounds)
            kept = int(is_kept(confidence[rows], **bounds).sum())
            axes.text(_MARGIN, y + 0.28, shorten(class_names[k]), weight="bold")
            axes.text(_MARGIN, y + 0.46, f"{kept:,} of {len(rows):,} kept", fontsize=7.5)
            for g, group in enumerate(groups):
                for c, row in enumerate(group):
                    x = _MARGIN + names + g * group_width + c * (side + 0.06)
                    thumbnail(axes, np.asarray(images[row]), x, y, side)
                    _caption(axes, x + side / 2, y + side, [f"{confidence[row]:.3f}"], size=7)


def disagreement_rows(labels, first_probs, second_probs):
    """Find the images that the first model gets wrong and the second right.

    Returns:
        rows, in descending order of what the true class's probability gains.
    """
    wrong = first_probs.argmax(axis=1) != labels
    right = second_probs.argmax(axis=1) == labels
    rows = np.flatnonzero(wrong & right)
    gain = second_probs[rows, labels[rows]] - first_probs[rows, labels[rows]]
    return rows[np.argsort(-gain, kind="stable")]


def disagreement_gallery(path, images, labels, first_probs, second_probs, class_names, *, title, most=32):
    """Draw images that the first model gets wrong and the second right, the clearest first.

    Args:
        path: PNG to write.
        images: (N, H, W, 3) uint8; only the rows shown are read.
        labels: (N,) int classes.
        first_probs: (N, K) probabilities of the first model.
        second_probs: (N, K) probabilities of the second model.
        class_names: K names.
        title: names both models, e.g. "teacher wrong, student right".
        most: most images shown.
    """
    rows = disagreement_rows(labels, first_probs, second_probs)
    shown, columns = rows[:most], 8
    side, top = 1.05, 0.75
    pitch = side + 3 * _LINE + 0.2
    bands = max(1, -(-len(shown) // columns))
    width = 2 * _MARGIN + columns * (side + 0.12)
    with png(path, width=width, height=top + bands * pitch + _MARGIN, layout=None) as figure:
        axes = sheet(figure)
        axes.text(_MARGIN, 0.3, title, fontsize=12, weight="bold")
        part = f", {len(shown)} shown" if len(shown) < len(rows) else ""
        legend = "; below each: the truth, ✗ the model that is wrong, ✓ the model that is right" if len(rows) else ""
        axes.text(_MARGIN, 0.58, f"{len(rows):,} of {len(labels):,} images{part}{legend}")
        if not len(rows):
            axes.text(width / 2, top + pitch / 2, "none", fontsize=20, color=BLACK, ha="center", va="center")
        for i, row in enumerate(shown):
            x, y = _MARGIN + (i % columns) * (side + 0.12), top + (i // columns) * pitch
            thumbnail(axes, np.asarray(images[row]), x, y, side)
            lines = [
                shorten(class_names[labels[row]]),
                f"✗ {_guess(first_probs[row], class_names)}",
                f"✓ {_guess(second_probs[row], class_names)}",
            ]
            _caption(axes, x + side / 2, y + side, lines, (BLACK, VERMILLION, BLUE), size=7)


def _guess(probs, class_names):
    return f"{shorten(class_names[probs.argmax()], 10)} {probs.max():.2f}"
