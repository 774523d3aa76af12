"""Progress bars with rate and remaining time; silent when the output is not a terminal."""

import sys
from collections.abc import Collection, Iterator
from typing import Any, TypeVar

from tqdm import tqdm

T = TypeVar("T")


def progress(items: Collection[T], *, name: str, unit: str = "step") -> Iterator[T]:
    """Iterate over `items` behind a progress bar on standard error."""
    with bar(total=len(items), name=name, unit=unit) as shown:
        for item in items:
            yield item
            shown.update()


def bar(*, total: int | None, name: str, unit: str, **options: Any) -> tqdm:
    """A progress bar on standard error to be moved by hand; see tqdm."""
    return tqdm(total=total, desc=name, unit=f" {unit}s", unit_scale=True, file=sys.stderr, disable=None, **options)
