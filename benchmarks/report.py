"""docs/benchmarks.md as data: of every section the newest text, and one table for each CPU on which it was measured."""

import re
from dataclasses import dataclass, field

# what `harness.machine` begins with: the CPU, then the day
MACHINE = re.compile(r"^\*\*(.+?)\*\*, \d{4}-\d\d-\d\d", re.MULTILINE)


@dataclass
class Section:
    """What stands between two markers of the report."""

    head: str  # what is measured, and how
    tables: dict[str, str] = field(default_factory=dict)  # {CPU: its line and what was measured there}

    @classmethod
    def parse(cls, text: str) -> "Section":
        """A section as it stands in the report, or as a benchmark prints it."""
        starts = [*MACHINE.finditer(text)]
        ends = [*(start.start() for start in starts[1:]), len(text)]
        head = text[: starts[0].start()] if starts else text
        return cls(
            head.strip(),
            {s[1]: text[s.start() : end].strip() for s, end in zip(starts, ends[: len(starts)], strict=True)},
        )

    def renewed(self, text: str) -> "Section":
        """With what a benchmark printed: its text, its table in the place of the same CPU's; other CPUs' stay."""
        new = Section.parse(text)
        return Section(new.head, self.tables | new.tables)

    def __str__(self) -> str:
        return "\n\n".join([self.head, *self.tables.values()])


def parse(text: str) -> dict[str, Section]:
    """{name: section} of the report."""
    parts = re.split(r"^<!-- (\w+) -->\n", text, flags=re.MULTILINE)
    return {name: Section.parse(body) for name, body in zip(parts[1::2], parts[2::2], strict=True)}
