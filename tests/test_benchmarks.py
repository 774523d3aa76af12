"""The benchmarks themselves are run by hand; here only that what they name is there."""

import importlib.util

import pytest

from benchmarks.__main__ import REPORT, SECTIONS
from benchmarks.stages import SCRIPTS
from support import ROOT


@pytest.mark.parametrize("module", [*(f"benchmarks.{name}" for name in SECTIONS), *SCRIPTS])
def test_what_is_run_is_there(module):
    assert importlib.util.find_spec(module)


def test_every_table_of_the_report_has_its_benchmark():
    text = (ROOT / REPORT).read_text(encoding="utf-8")
    assert {line[5:-4] for line in text.splitlines() if line.startswith("<!-- ")} <= {*SECTIONS}
