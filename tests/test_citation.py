"""CITATION.cff says what pyproject.toml says, and what the format 1.2.0 wants."""

import re
import tomllib

from ruamel.yaml import YAML

from support import ROOT

CITATION = YAML(typ="safe", pure=True).load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# keys of schema.json of citation-file-format 1.2.0: the first four are required, none but these is allowed
REQUIRED = {"cff-version", "message", "title", "authors"}
ALLOWED = REQUIRED | {
    *("abstract", "commit", "contact", "date-released", "doi", "identifiers", "keywords", "license", "license-url"),
    *("preferred-citation", "references", "repository", "repository-artifact", "repository-code", "type", "url"),
    "version",
}


def test_it_has_what_the_format_wants():
    assert set(CITATION) >= REQUIRED
    assert set(CITATION) <= ALLOWED
    assert CITATION["cff-version"] == "1.2.0"
    assert CITATION["type"] in ("software", "dataset")
    for entry in (CITATION, *CITATION["references"]):
        assert entry["title"]
        assert entry["authors"]
        assert all("name" in each or "family-names" in each for each in entry["authors"])
    assert all(re.fullmatch(r"10\.\d{4,9}/\S+", entry["doi"]) for entry in CITATION["references"])


def test_version_and_licence_are_the_projects():
    assert CITATION["version"] == PROJECT["version"]
    assert CITATION["license"] == PROJECT["license"]
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
