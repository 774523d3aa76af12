"""How far the work is: a bar on a terminal; lines elsewhere, such as in a log file, a CI job or a notebook."""

import os
import sys
import time
from collections.abc import Collection, Iterator
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

EVERY = 30.0  # seconds between two lines, at least

T = TypeVar("T")


class Shown(Protocol):
    """What is moved by hand: tqdm's bar, or `Lines`."""

    n: int

    def update(self, n: int = 1) -> Any:
        """So many more are done."""

    def set_postfix(self, **facts: str) -> None:
        """What is to be known besides."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: Any) -> Any: ...


class Lines:
    """A line at the start, one every `EVERY` seconds at most, and one at the end of what succeeded.

    Args:
        brief: what is over before `EVERY` seconds says nothing at all.
        last: whether there is a line at the end; False where the caller has one.
    """

    def __init__(
        self, *, total: int | None, name: str, unit: str, initial: int = 0, brief: bool = False, last: bool = True
    ) -> None:
        self.total, self.name, self.unit, self.n, self.last = total, name, unit, initial, last
        self._initial, self._began, self._facts = initial, time.monotonic(), ""
        self._said, self._silent = self._began, brief
        if not brief:
            self._say()

    def update(self, n: int = 1) -> None:
        """So many more are done."""
        self.n += n
        if time.monotonic() - self._said >= EVERY and self.n != self.total:
            self._silent = False
            self._say(self._left())

    def set_postfix(self, **facts: str) -> None:
        """What the next lines say besides."""
        self._facts = "".join(f", {name} {value}" for name, value in facts.items())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None and self.last and not self._silent:
            self._say(f" in {_duration(time.monotonic() - self._began)}")

    def _say(self, more=""):
        done = self._count(self.n)
        of = done if self.total is None else f"{done} of {self._count(self.total)}"
        unit = "" if self.unit == "byte" else f" {self.unit}s"
        print(f"{self.name}: {of}{unit}{more}{self._facts}", file=sys.stderr, flush=True)
        self._said = time.monotonic()

    def _count(self, n):
        return f"{n / 2**20:,.1f} MiB" if self.unit == "byte" else f"{n:,}"

    def _left(self):
        passed, done = time.monotonic() - self._began, self.n - self._initial
        after = f" after {_duration(passed)}"
        if self.total is None or not done:
            return after
        return f"{after}, about {_duration(passed * (self.total - self.n) / done)} left"


def _duration(seconds):
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


class Silent:
    """What shows nothing, where somebody else does."""

    n = 0

    def update(self, n: int = 1) -> None:
        self.n += n

    def set_postfix(self, **facts: str) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass


def progress(items: Collection[T], *, name: str, unit: str = "step", brief: bool = False) -> Iterator[T]:
    """Iterate over `items` and show how far it is; see `bar`."""
    with bar(total=len(items), name=name, unit=unit, brief=brief) as shown:
        for item in items:
            yield item
            shown.update()


def bar(*, total: int | None, name: str, unit: str, initial: int = 0, brief: bool = False, last: bool = True) -> Shown:
    """What is moved by hand, on standard error: a bar on a terminal, else `Lines`, which explains the arguments."""
    if not sys.stderr.isatty():
        return Lines(total=total, name=name, unit=unit, initial=initial, brief=brief, last=last)
    for key in [key for key in os.environ if key.startswith("TQDM_")]:
        del os.environ[key]  # tqdm ends in a traceback, when it is imported, by a value that it does not understand
    from tqdm import tqdm

    scale: dict[str, Any] = {"unit_scale": True, "unit_divisor": 1024} if unit == "byte" else {}
    return tqdm(total=total, desc=name, unit=f" {unit}s", initial=initial, file=sys.stderr, disable=False, **scale)
