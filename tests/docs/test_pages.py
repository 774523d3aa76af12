"""The pages of docs/: those that follow from the code are fresh and true, links lead somewhere, pictures are small."""

import contextlib
import re
from pathlib import Path

import pytest

from commands import docs, docs_messages, docs_parameters
from commands import preset as presets
from noisy_student.runtime.errors import UserError
from noisy_student.settings import params
from support import ROOT, with_values

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
DEFINITION = re.compile(r"^\[([^\]]+)\]: (\S+)", re.MULTILINE)


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def _prose(path):
    """A page without its code."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"(`+).*?\1", "code", text)


def _anchors(path):
    """What GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_pages_that_follow_from_the_code_are_fresh():
    """If not: `python -m commands.docs`."""
    assert docs.stale() == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path):
    prose = _prose(path)
    defined = dict(DEFINITION.findall(prose))
    assert [name for name in defined if prose.count(f"[{name}]") < 2] == []  # one is the definition itself
    for target in (*LINK.findall(prose), *defined.values()):
        place, _, anchor = target.partition("#")
        if re.match(r"\w+:", target):
            continue
        there = (path.parent / place).resolve() if place else path
        assert there.exists(), target
        if anchor and there.suffix == ".md":
            assert anchor in _anchors(there), target


def test_pictures_are_small_and_shown():
    pictures = {path.name: path.stat().st_size for path in (ROOT / "docs/pictures").iterdir()}
    assert max(pictures.values()) <= docs.LARGEST
    shown = "".join(path.read_text(encoding="utf-8") for path in PAGES)
    assert [name for name in pictures if f"pictures/{name}" not in shown] == []


# --- parameters ----------------------------------------------------------------------------------


def _rows():
    """{parameter: (default, range, meaning, source)} as the page has them."""
    text = docs_parameters.page().replace("\\|", "/")
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:3] == "| `"]
    return {first.strip("`"): rest for first, *rest in cells}


def test_every_parameter_stands_there_with_its_default():
    """The oracle is params.yaml, which is as the preset digits."""
    expected = dict(presets.leaves({k: v for k, v in presets.parameters("digits").items() if k != "generations"}))
    rows = _rows()
    assert set(rows) == {*expected, "generations"}
    assert {name: rows[name][0] for name in expected} == {name: _shown(value) for name, value in expected.items()}
    assert [name for name, row in rows.items() if not all(row[1:])] == []


def _shown(value):
    if value is None or value == {}:
        return "empty" if value is None else "none"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _accepts(name, value):
    tree = with_values(presets.defaults(), {name: value})
    try:
        params.check(tree)
    except UserError as error:
        # what is said of this parameter alone; others may not fit it
        return not re.search(rf"^  {re.escape(name)}: Input should", str(error), re.MULTILINE)
    return True


NUMBERS = re.compile(
    r"a (whole )?number, (?:([\d.,]+) to ([\d.,]+)|([\d.]+) or more|above ([\d.]+))(?:, (?:below|(up to)) ([\d.,]+))?"
)


def _number(text):
    return float(text.strip(",").replace(",", ""))


def test_ranges_are_those_that_are_checked():
    """Both ends of every interval, and what lies just beyond them."""
    seen = 0
    for name, (_, told, *_) in _rows().items():
        found = NUMBERS.match(told)
        if not found or ".model." in name:  # networks check theirs when they are built
            continue
        whole, low, high, least, above, up_to, end = found.groups()
        step, kind = (1, int) if whole else (1e-6, float)
        inside = [low, high] if low else [*filter(None, [least, up_to and end])]
        outside = [kind(_number(low or least) - step)] if low or least else [kind(_number(above))]
        outside += (
            [kind(_number(high) + step)] if high else [kind(_number(end)) + (step if up_to else 0)] if end else []
        )
        assert [value for value in inside if not _accepts(name, kind(_number(value)))] == [], name
        assert [value for value in outside if _accepts(name, value)] == [], name
        seen += 1
    assert seen > 50


def test_a_parameter_takes_the_source_of_the_section_around_it():
    assert docs_parameters.source("student.finetune.image_size") == docs_parameters.FIXRES
    assert docs_parameters.source("noise.dropout") == docs_parameters.SOURCES["noise.dropout"]
    assert docs_parameters.source("unheard.of") == docs_parameters.OURS


# --- messages ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def messages():
    """All messages of the code, read once."""
    with contextlib.chdir(ROOT):
        return list(docs_messages.messages())


def _patterns(messages):
    texts = [message.text for message in messages]
    return [re.compile("(?s)" + re.sub(r"‹.*?›", ".*?", re.escape(text)) + r"\s*$") for text in texts]


def _said(call, *arguments):
    with pytest.raises(UserError) as raised:
        call(*arguments)
    return str(raised.value)


def _mistakes(tmp_path):
    from noisy_student.runtime.files import read_json

    (tmp_path / "broken.json").write_text("{")
    yield _said(read_json, tmp_path / "broken.json")
    yield _said(params.read_yaml, tmp_path / "params.yaml")
    yield _said(presets.parameters, "nothing")
    for wrong in ({"release": "x"}, {"teacher.steps": None}, {"arithmetic": "portable", "backend": "jax"}):
        lines = _said(params.check, with_values(presets.defaults(), wrong)).splitlines()
        yield re.sub(r" \(found .*\)$", "", lines[1].strip())  # what was found stands behind every line of params.yaml


def test_what_is_said_stands_there(messages, tmp_path):
    """Real messages of real mistakes, each found by its words."""
    patterns = _patterns(messages)
    for said in _mistakes(tmp_path):
        plain = " ".join(said.split())
        assert any(pattern.search(plain) for pattern in patterns), said


def test_no_file_that_raises_is_left_out(messages):
    """Found by another way: the words `raise ...Error(` in the text of the files."""
    kinds = r"(?:Params|Data|Download|EmptyClass|Divergence|User)Error"
    raising = {
        path.relative_to(ROOT).as_posix()
        for folder in docs_messages.FOLDERS
        for path in (ROOT / folder).rglob("*.py")
        if re.search(rf"^\s+raise {kinds}\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    listed = {message.path for message in messages}
    assert len(raising) > 30
    # messages of others
    passed_on = {
        f"noisy_student/{name}.py" for name in ("steps/checking", "deployment/by_executor", "launching/process")
    }
    assert raising - listed <= passed_on


def test_a_message_is_read_from_code(tmp_path):
    """Constants, alternatives, functions, numbers: what each becomes, by hand."""
    package = tmp_path / "noisy_student"
    package.mkdir()
    (package / "errors.py").write_text("class UserError(Exception): pass\nclass Own(UserError): pass\n")
    (package / "a.py").write_text(
        "from noisy_student.errors import Own\n"
        'MEND = "Do this."\n'
        "def hint(path):\n"
        '    return f"Look at {path.name}."\n'
        "def check(path, many, rows):\n"
        '    kind = "file" if many else "folder"\n'
        "    if many:\n"
        '        raise Own(f"{path}: no such {kind}, {len(rows):,} rows. {MEND}") from None\n'
        '    raise Own(f"{path}: wrong. {hint(path)}")\n'
        '    raise ValueError("a bug is no message of ours")\n'
    )
    texts = [message.text for message in docs_messages.messages(tmp_path)]
    assert texts == [
        "‹path›: no such ‹file / folder›, ‹number› rows. Do this.",
        "‹path›: wrong. Look at ‹name›.",
    ]


@pytest.mark.parametrize(
    ("text", "wrong", "mend"),
    [
        ("x: damaged. Run `dvc repro`.", "x: damaged.", "Run `dvc repro`."),
        ("rule=y: no such rule; choose one of a, b", "rule=y: no such rule", "choose one of a, b"),
        ("give 1 or more, or auto", "give 1 or more, or auto", ""),
    ],
)
def test_message_and_mend_are_apart(text, wrong, mend):
    assert docs_messages.parts(text) == (wrong, mend)


def test_check_says_what_is_stale(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(docs, "pages", lambda: {Path("docs/parameters.md"): "other"})
    monkeypatch.setattr("sys.argv", ["docs", "--check"])
    with pytest.raises(SystemExit, match=r"docs/parameters\.md: stale\. Run `python -m commands\.docs`"):
        docs.main()
