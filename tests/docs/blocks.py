"""Code blocks of the pages, by heading."""

import re
from dataclasses import dataclass

from support import ROOT

# whose commands are run, each in order; the other pages describe what these do
PAGES = (
    "README.md",
    "docs/tutorial.md",
    "docs/own-images.md",
    "docs/cifar10.md",
    "docs/comparing.md",
    "docs/use.md",
    "docs/label-and-correct.md",
    "docs/how-it-works.md",
    "docs/adding.md",
)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        heading: the nearest one above it, of the second level.
        language: what stands behind the fence; empty: nothing.
    """

    page: str
    heading: str
    language: str
    code: str
    line: int


def blocks(page, language=None):
    """All fenced blocks of a page, or those of one language, in order."""
    found, heading, inside, lines, begin = [], "", None, [], 0
    for number, line in enumerate((ROOT / page).read_text(encoding="utf-8").splitlines(), start=1):
        fence = re.match(r"\s*```+(.*)", line)
        if inside is None and fence:
            inside, lines, begin = fence[1].strip(), [], number
        elif fence:
            found.append(Block(page, heading, inside, "\n".join(lines) + "\n", begin))
            inside = None
        elif inside is not None:
            lines.append(line)
        elif line.startswith("## "):
            heading = line[3:].strip()
    assert inside is None, f"{page}: the block of line {begin} has no end"
    return [block for block in found if language in (None, block.language)]


def commands(page):
    """{heading: its bash blocks} of a page."""
    by_heading = {}
    for block in blocks(page, "bash"):
        by_heading.setdefault(block.heading, []).append(block)
    return by_heading


def write_examples(page, folder):
    """Write the files that blocks name in their first line, `# PATH` or `# at the end of PATH`; return the paths."""
    written = []
    for block in blocks(page):
        first, _, rest = block.code.partition("\n")
        named = re.fullmatch(r"# (at the end of )?(\S+/\S+\.(?:py|yaml))", first)
        if named:
            path = folder / named[2]
            before = path.read_text(encoding="utf-8") + "\n\n" if named[1] else ""
            path.write_text(before + rest, encoding="utf-8")
            written.append(named[2])
    return written
