"""What a framework does that traces a model once for the whole batch, however many devices share it."""

from collections.abc import Callable
from typing import Any

import keras

from noisy_student.runtime.types import Tensor


def replicas() -> int:
    """One."""
    return 1


def own_rows(draw: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """All of them."""
    return draw(rows)


def cond(condition: Tensor, yes: Callable[[], Any], no: Callable[[], Any]) -> Any:
    """That of Keras."""
    return keras.ops.cond(condition, yes, no)
