"""The one font of all pictures: what it lacks is written by code point, what is too long ends in an ellipsis.

No picture depends on the machine's fonts: they would draw other pixels elsewhere, or an empty box.
"""

import functools
import io
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path
from types import ModuleType

import numpy as np
import vl_convert
from PIL import Image

FONT = "Liberation Sans"  # comes with vl-convert
# of the characters that it has: Latin, Greek, Cyrillic, Hebrew, and some signs
_OTHERS = re.compile(
    "[^\x20-\x7e\xa1-\xac\xae-\u034e\u0384-\u03ce\u03d0-\u0513\u0591-\u05ea\u1e00-\u1e9b\u1ea0-\u1ef9\u1f00-\u1ffe"
    "\u2012-\u2022\u2026\u20ac\u2190-\u2193\u2212\u221a\u2264\u2265]"
)
_MEASURED, _REPEATED = 64, 8  # font size in pixels at which characters are measured, so many of them side by side


@functools.cache
def converter() -> ModuleType:
    """vl-convert with its own fonts only; it looks for fonts once, when it first draws."""
    before = os.environ.get("FONTCONFIG_FILE")
    os.environ["FONTCONFIG_FILE"] = str(Path(__file__).with_name("fonts.conf"))
    vl_convert.svg_to_png('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><text>a</text></svg>')
    del os.environ["FONTCONFIG_FILE"]
    if before is not None:
        os.environ["FONTCONFIG_FILE"] = before
    return vl_convert


def printable(text: str) -> str:
    """The text with its code point, as U+732B, for a character that the font lacks or that cannot be seen."""
    return _OTHERS.sub(lambda match: f"U+{ord(match[0]):04X}", unicodedata.normalize("NFC", text))


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """The pixels that a text takes, without kerning; a character that the font lacks: its `size`, as Chinese has."""
    advances = _advances(frozenset(text), bold)
    return size * sum(advances[character] for character in text)


def shorten(text: str, pixels: float, *, size: float = 12, bold: bool = False, codes: bool = True) -> str:
    """As much of a text as `pixels` hold, with an ellipsis if that is not all; a code point is never cut in two.

    Args:
        size: of the font, in pixels.
        codes: code points for what the font lacks (`printable`); else they are left, for a browser that has more fonts.
    """
    pieces = _pieces(text, codes)
    return _fitting(pieces, len(pieces), 0, pixels, size, bold)


def _pieces(text, codes):
    """The characters, with the marks that belong to them."""
    pieces: list[str] = []
    for character in unicodedata.normalize("NFC", text):
        if pieces and unicodedata.category(character).startswith("M"):
            pieces[-1] += character
        else:
            pieces.append(character)
    return [printable(piece) for piece in pieces] if codes else pieces


def _fitting(pieces, first, last, pixels, size, bold):
    """At most `first` pieces from the beginning and `last` from the end, with an ellipsis for the others."""
    whole = "".join(pieces)
    if text_width(whole, size, bold=bold) <= pixels:
        return whole
    while True:
        end = pieces[len(pieces) - last :]
        text = "".join(pieces[:first]).rstrip() + "…" + "".join(end).lstrip()
        if text_width(text, size, bold=bold) <= pixels or first + last == 0:
            return text
        first, last = (first - 1, last) if first >= last else (first, last - 1)


def shorten_all(
    names: Sequence[str], pixels: float, *, size: float = 12, bold: bool = False, codes: bool = True
) -> dict[str, str]:
    """{name: how it is shown}, see `shorten`; different names are shown differently.

    Those that begin alike lose their middle; those that end alike too get their number in the list.
    """
    shown = {name: shorten(name, pixels, size=size, bold=bold, codes=codes) for name in names}
    for name in _alike(shown):
        pieces = _pieces(name, codes)
        shown[name] = _fitting(pieces, len(pieces), len(pieces), pixels, size, bold)
    for name in _alike(shown):
        numbered = f"{names.index(name)} {name}"
        shown[name] = shorten(numbered, pixels, size=size, bold=bold, codes=codes)
    return shown


def _alike(shown):
    counts = Counter(shown.values())
    return [name for name, text in shown.items() if counts[text] > 1]


_widths: dict[tuple[str, bool], float] = {}  # what was measured, in units of the font's size


def _advances(characters, bold):
    """{character: its width in units of the font's size}."""
    unknown = sorted(c for c in characters if not _OTHERS.match(c) and (c, bold) not in _widths)
    if unknown:
        _widths.update(zip([(c, bold) for c in unknown], _measure(unknown, bold), strict=True))
    return {c: _widths.get((c, bold), 1.0) for c in characters}


def _measure(characters, bold):
    """How much further the ink reaches with characters between two bars than without any."""
    line, weight = 2 * _MEASURED, "bold" if bold else "normal"
    texts = [
        f'<text x="{_MEASURED}" y="{(i + 1) * line - _MEASURED // 2}">|{escape(c * _REPEATED)}|</text>'
        for i, c in enumerate(["", *characters])
    ]
    size = f'width="{2 * _REPEATED * _MEASURED}" height="{len(texts) * line}"'
    font = f'font-family="{FONT}" font-size="{_MEASURED}" font-weight="{weight}" xml:space="preserve"'
    drawn = converter().svg_to_png(f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font}>{"".join(texts)}</svg>')
    ink = np.asarray(Image.open(io.BytesIO(drawn)))[..., 3].reshape(len(texts), line, -1).max(axis=1) > 127
    ends = ink.shape[1] - ink[:, ::-1].argmax(axis=1)
    return ((ends[1:] - ends[0]) / (_MEASURED * _REPEATED)).tolist()
