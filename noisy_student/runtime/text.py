"""Tables and names for a terminal, in its columns: a Chinese character takes two, a mark on a letter none."""

import unicodedata
from collections import Counter
from collections.abc import Sequence


def columns(text: str) -> int:
    """How many columns a text takes."""
    return sum(_columns(character) for character in text)


def _columns(character):
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def padded(text: str, width: int) -> str:
    """A text with spaces behind it up to `width` columns."""
    return text + " " * (width - columns(text))


def as_text(rows: Sequence[Sequence[str]]) -> str:
    """Cells in columns; the first row is the head."""
    widths = [max(map(columns, cells)) for cells in zip(*rows, strict=True)]
    lines = ["  ".join(map(padded, row, widths)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * max(map(columns, lines)), *lines[1:]])


def shorten(names: Sequence[str], width: int) -> list[str]:
    """Names in `width` columns at most, with an ellipsis; those that would look alike begin with their number."""
    shown = [_cut(name, width) for name in names]
    counts = Counter(shown)
    return [
        _cut(f"{number} {name}", width) if counts[text] > 1 else text
        for number, (name, text) in enumerate(zip(names, shown, strict=True))
    ]


def _cut(text, width):
    if columns(text) <= width:
        return text
    while columns(text) > width - 1:
        text = text[:-1]
    return f"{text}…"
