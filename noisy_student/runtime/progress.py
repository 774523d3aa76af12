"""Progress bars with rate and remaining time; silent when the output is not a terminal."""

import sys

from tqdm import tqdm


def progress(items, *, name, scale=1, unit="step"):
    """Iterate over `items` behind a progress bar on standard error.

    Args:
        items: a sized iterable.
        name: what is being done.
        scale: units an item, e.g. the batch size.
        unit: what is counted.
    """
    with bar(total=len(items) * scale, name=name, unit=unit) as shown:
        for item in items:
            yield item
            shown.update(scale)


def bar(*, total, name, unit, **options):
    """A progress bar on standard error to be moved by hand; see tqdm."""
    return tqdm(total=total, desc=name, unit=f" {unit}s", unit_scale=True, file=sys.stderr, disable=None, **options)
