"""`ns.balance`: which pseudo-labelled images a student sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy.typing as npt

from noisy_student.api import arguments
from noisy_student.api.arguments import DEFAULTS
from noisy_student.runtime.types import Rows
from noisy_student.settings.schema import BalanceParams, PseudoLabelParams
from noisy_student.steps.selection import select

_LABEL, _BALANCE = DEFAULTS.pseudolabel, DEFAULTS.balance


def balance(
    probs: npt.ArrayLike,
    *,
    threshold: float = _LABEL.threshold,
    max_confidence: float = _LABEL.max_confidence,
    rule: str = _BALANCE.rule,
    per_class: int | None = _BALANCE.per_class,
    on_empty: Literal["error", "skip"] = _BALANCE.on_empty,
    classes: Sequence[str] | None = None,
) -> Rows:
    """Choose the confident images, equally many of every class (arXiv:1911.04252, section 3.1).

    Of a class with too many the most confident stay; those of a class with too few are repeated in order.

    Args:
        probs: (N, K) distributions of a teacher, as `pseudo_label` gives them; rows sum to 1.
        threshold: an image stays if its highest probability is greater than this; in [0, 1).
        max_confidence: ... and at most this; in (threshold, 1]; 1: no bound.
        rule: "equal", or "unbalanced": every confident image once.
        per_class: images of every class, 1 or more; None: as many as the largest class has.
        on_empty: what becomes of a class without any confident image: "skip" leaves it out, "error" raises.
        classes: K names, for messages.

    Returns:
        (n,) int64 rows of `probs`, grouped by class, the most confident first. Pixels are never copied.

    Raises:
        UserError: no image is confident, or none of a class and `on_empty` is "error"; a value is out of its range.
    """
    distributions = arguments.distributions(probs, "probs")
    names = arguments.class_names(classes, least=distributions.shape[1], of="probs")
    bounds = {"threshold": threshold, "max_confidence": max_confidence}
    chosen = {"rule": rule, "per_class": per_class, "on_empty": on_empty}
    with arguments.speaking_of_arguments("balance"):
        labelling, balancing = PseudoLabelParams(**arguments.plain(bounds)), BalanceParams(**arguments.plain(chosen))
        return select(distributions, labelling, balancing, class_names=names)
