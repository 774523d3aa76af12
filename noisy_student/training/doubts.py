"""What makes a finished training doubtful, from its learning curve alone."""

from collections.abc import Iterator
from typing import Any

from noisy_student.runtime.layout import Model

EARLY = 0.1  # share of the steps: a best checkpoint before is that of an untrained network
FEW = 30  # validation images, of which one is more than 3 points


def doubts(
    model: Model, history: list[dict[str, Any]], best: dict[str, Any], *, select_by: str, images: int, classes: int
) -> Iterator[str]:
    """Yield a line each.

    Args:
        history: rows of the learning curve.
        best: that of the checkpoint which is kept, without figures of validation where there are no such images.
        images: of validation.
    """
    section, last = model.section, history[-1]["step"]
    if select_by != "last" and best["step"] <= EARLY * last and len(history) > 1:
        highest = max(history, key=lambda row: row["validation_accuracy"])
        other = "accuracy" if select_by == "loss" else "loss"
        yield (
            f"{model.name}: the checkpoint of step {best['step']} of {last} is kept, by validation {select_by}, with "
            f"{100 * best['validation_accuracy']:.1f} % right; step {highest['step']} has "
            f"{100 * highest['validation_accuracy']:.1f} %. Try {section}.select_by={other} or a lower learning rate."
        )
    if select_by != "last" and images < FEW:
        yield (
            f"{model.name}: only {images} validation images choose the checkpoint, each is "
            f"{100 / images:.1f} points. Raise data.validation."
        )
    # twice chance; of 2 classes half of what chance leaves
    limit = min(2 / classes, (1 + 1 / classes) / 2)
    which = "validation" if images else "train"
    if best[f"{which}_accuracy"] < limit:
        shown = "validation" if images else "training"
        yield (
            f"{model.name}: {100 * best[f'{which}_accuracy']:.1f} % of the {shown} images are right, little more "
            f"than by chance ({100 / classes:.1f} %). Give more labels (data.labelled), or raise {section}.steps."
        )
