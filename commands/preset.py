"""Write a preset into params.yaml, or print it as arguments for one `dvc exp run`.

python -m commands.preset                                      # lists the presets
python -m commands.preset cifar10-cpu                          # writes it into params.yaml; comments stay
python -m commands.preset digits --new                         # writes params.yaml anew, with the schema's comments
python -m commands.preset photos --root DIR                    # looks at the images, writes parameters for them
dvc exp run $(python -m commands.preset cifar10-cpu --args)    # uses it for one run

A preset is an overlay on the schema's defaults, or on the preset that it `extends`: what it does not name stays. Only
`generations` it replaces as a whole: those that it does not name are gone (then name a `release`, too).
"""

import argparse
import copy
import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from commands import new_parser, photos
from noisy_student.models.networks import NETWORKS, own_parameters
from noisy_student.runtime import console
from noisy_student.runtime.errors import ParamsError, UserError
from noisy_student.runtime.files import write_bytes
from noisy_student.runtime.layout import Model
from noisy_student.settings import params
from noisy_student.settings.schema import ModelParams, Section
from noisy_student.steps.checking import check

PARAMS = Path("params.yaml")
FOLDER = Path("presets")
PHOTOS = "photos"  # no file: it depends on the images
BASE = "digits"  # the defaults by another name
WHOLE = "generations"  # what an overlay replaces: to keep three of them where one is named is never meant
FOLD = 80  # columns; a longer flow mapping is folded by ruamel
HEADER = """\
# Every parameter of every stage; every stage checks all of them before it starts.
# As committed it is the preset `digits`; `python -m commands.preset` lists the others. A change for one run:
#   dvc exp run -S teacher.noise=true
# DVC writes null as an empty value; `-S data.labelled=null` sets one.
"""
_SAFE = re.compile(r"[A-Za-z0-9_./:+-]+")

Tree = dict[str, Any]  # all parameters, nested


def names() -> list[str]:
    """All presets, the base first."""
    others = sorted(path.stem for path in FOLDER.glob("*.yaml") if path.stem != BASE)
    return [BASE, *others]


def headline(name: str) -> str:
    """The first comment line of a preset, which says what it is for."""
    first = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0]
    return first.removeprefix("#").strip()


def parameters(name: str) -> Tree:
    """All parameters of a preset, validated.

    Raises:
        ParamsError: there is no such preset, or it does not validate.
    """
    merged = _merged(name, ())
    check(merged, where=f"presets/{name}.yaml")
    return merged


def defaults() -> Tree:
    """All parameters at their defaults; what only other networks take is off, and there for `-S`."""
    tree = params.Params().model_dump()
    for section in ("teacher", "student"):
        own = tree[section]["model"]
        for key, field in network_fields().items():
            own.setdefault(key, None if field.is_required() else field.default)
    return tree


def network_fields() -> dict[str, FieldInfo]:
    """{name: pydantic's FieldInfo} of what any network takes, the default network's first."""
    first = params.Params().teacher.model.name
    return {key: field for name in (first, *NETWORKS) for key, field in own_parameters(name).items()}


def _merged(name, above):
    if name not in names():
        if name == PHOTOS:
            raise ParamsError(
                f"{PHOTOS} is no file, but written for a folder: run `python -m commands.preset {PHOTOS} --root FOLDER`"
                f", or keep values for your images in {FOLDER}/NAME.yaml and name that."
            )
        raise ParamsError(f"there is no preset {name!r}; choose one of {', '.join([*names(), PHOTOS])}.")
    if name in above:
        raise ParamsError(f"presets/{name}.yaml extends itself: {' -> '.join((*above, name))}.")
    over = params.read_yaml(FOLDER / f"{name}.yaml")
    extended = over.pop("extends", None)
    return _overlay(_merged(extended, (*above, name)) if extended else defaults(), over)


def _overlay(base, over):
    return _merge(base, over) | ({WHOLE: over[WHOLE]} if WHOLE in over else {})


def _merge(base, over):
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def differences(old: Tree, new: Tree) -> dict[str, tuple[tuple, tuple]]:
    """Leaves that differ.

    Returns:
        {dotted key: (before, after)}; each side is `(value,)`, or `()` where there is no such key (which
        is not the same as a null).
    """
    before = {key: (value,) for key, value in leaves(old)}
    after = {key: (value,) for key, value in leaves(new)}
    sides = {key: (before.get(key, ()), after.get(key, ())) for key in {**before, **after}}
    return {key: pair for key, pair in sides.items() if pair[0] != pair[1]}


def leaves(tree: Tree, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value); an empty section counts as a value."""
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def fresh(new: Tree) -> str:
    """A params.yaml with the values of `new` and the comments of the schema and of the networks."""
    return _rewritten("\n".join([HEADER, *_lines(params.Params, defaults(), set()), ""]), new)


def _lines(section, tree, told, indent=""):
    """Yield the lines of a section, without its values; what was `told` once is not told again."""
    for key, comment, inner in _fields(section):
        value = tree[key]
        if not indent and isinstance(value, dict):
            yield ""
        new, above = (key, comment) not in told, "\n" in comment or value == {}
        told.add((key, comment))
        if comment and new and above:
            yield from (f"{indent}# {line}" for line in comment.splitlines())
        beside = f" # {comment}" if comment and new and not above else ""
        if inner:
            yield f"{indent}{key}:{beside}"
            yield from _lines(inner, value, told, f"{indent}  ")
        elif isinstance(value, dict) and value:
            yield f"{indent}{key}:"
            yield from (f"{indent}  {name}: {{key: 0}}" for name in value)
        else:
            yield f"{indent}{key}: {'{}' if isinstance(value, dict) else 0}{beside}"


def _fields(section: type[Section]) -> Iterator[tuple[str, str, type[Section] | None]]:
    """Yield (name, comment, its section if it is one) of what a section holds."""
    if section is ModelParams:
        yield "name", " | ".join(n if own_parameters(n) else f"{n} (of fixed size)" for n in NETWORKS), None
        for key in network_fields():
            told = {name: own[key].description for name in NETWORKS if key in (own := own_parameters(name))}
            yield key, "; ".join(f"{name}: {comment}" for name, comment in told.items()), None
    else:
        for key, field in section.model_fields.items():
            yield key, field.description or "", params.section_of(field.annotation)


def rewrite(text: str, new: Tree) -> str:
    """The text of a params.yaml with the values of `new`, as DVC writes it: comments stay, a null is left blank.

    `dvc exp run -S` writes the whole file anew, so that only in this form it changes no line but that of the value. A
    file that gives two sections one mapping (`&name`, `*name`), of which they shall have two, is written afresh.
    """
    written = _rewritten(text, new)
    return written if "&" not in text or YAML(typ="safe", pure=True).load(written) == new else fresh(new)


def _rewritten(text, new):
    yaml = _yaml()
    tree = yaml.load(text)
    _assign(tree, new, params.Params)
    out = io.StringIO()
    yaml.dump(tree, out)
    return _with_lines_above(out.getvalue(), _lines_above(text))


def _with_lines_above(text, above):
    """Give sections back what ruamel loses with a value before them: blank lines and comments above."""
    lines = []
    for key, over, line in _sections(text):
        lines += [*above.get(key, over), line]
    return "".join(lines)


def _lines_above(text):
    return {key: over for key, over, _ in _sections(text) if key}


def _sections(text):
    """Yield (key of a section or None, blank lines and comments above, line) of each line that is neither."""
    over = []
    for line in text.splitlines(keepends=True):
        if line.isspace() or line.startswith("#"):
            over.append(line)
        else:
            yield line.partition(":")[0] if not line.startswith(" ") else None, over, line
            over = []
    yield None, over, ""


def _yaml():
    yaml = YAML()  # its defaults are DVC's (dvc/utils/serialize/_yaml.py): folded at FOLD columns, among others
    yaml.default_flow_style = False
    return yaml


def _assign(tree, new, section):
    for key in [key for key in tree if key not in new]:
        del tree[key]
    for key, value in new.items():
        there = tree.get(key)
        if section and value and there and isinstance(value, dict) and isinstance(there, dict):
            field = section.model_fields.get(key)
            _assign(there, value, params.section_of(field.annotation) if field else None)
        elif not isinstance(value, dict):
            tree[key] = value
        elif json.dumps(there, default=repr) != json.dumps(value):
            tree[key] = _styled(key, value)
        for comment in tree.ca.items.get(key, []):
            if hasattr(comment, "column"):
                comment.column = 0  # one space before a comment, however long the value is
    if not section:  # a mapping of the user's own keys, in the order in which they are given
        for key in new:
            tree.move_to_end(key)


def _styled(key, value, indent=2):
    """A mapping that the schema does not know in detail: in one line, unless that would be folded."""
    mapping = CommentedMap(copy.deepcopy(value))
    mapping.fa.set_flow_style()
    out = io.StringIO()
    _yaml().dump(CommentedMap({key: mapping}), out)
    lines = out.getvalue().splitlines()
    if len(lines) == 1 and indent + len(lines[0]) <= FOLD:
        return mapping
    inner = {name: _styled(name, v, indent + 2) if isinstance(v, dict) else v for name, v in value.items()}
    return CommentedMap(inner)


def overrides(old: Tree, new: Tree) -> list[str]:
    """Arguments for `dvc exp run` that turn the parameters `old` into `new`.

    DVC merges a mapping that it is given with the one there: what is not in `new` is removed key by key.

    Raises:
        ParamsError: a value would need quoting in a shell, or a generation would come before its teacher.
    """
    _check_order(old.get(WHOLE) or {}, new.get(WHOLE) or {})
    return [part for change in _changes(old, new) for part in ("-S", change)]


def _check_order(old, new):
    """DVC leaves the keys that stay where they are, and puts new ones behind them."""
    order = [key for key in old if key in new] + [key for key in new if key not in old]
    for place, key in enumerate(order):
        late = [other for other in order[place + 1 :] if new[key]["teacher"] == Model(other).name]
        for other in late:
            raise ParamsError(
                f"generations.{key}: -S would put it before {other}, whose student is its teacher. Write the preset "
                "into params.yaml instead: python -m commands.preset NAME"
            )


def _changes(old, new, prefix=""):
    for key in old:
        if key not in new:
            yield f"~{prefix}{key}"
    for key, value in new.items():
        name, before = f"{prefix}{key}", old.get(key)
        if isinstance(value, dict) and value:
            if before is not None and not isinstance(before, dict):  # Hydra cannot delete a null
                yield f"~{name}"
            yield from _changes(before if isinstance(before, dict) else {}, value, f"{name}.")
        elif key not in old:
            yield f"+{name}={_text(name, value)}"
        elif before != value or type(before) is not type(value):
            yield f"{name}={_text(name, value)}"


def _text(name, value):
    text = json.dumps(value).strip('"')  # true, false, null and numbers as YAML has them
    if not _SAFE.fullmatch(text):
        raise ParamsError(
            f"{name}={text!r} would need quoting in a shell. Write the preset into params.yaml instead: "
            "python -m commands.preset NAME"
        )
    return text


def parser() -> argparse.ArgumentParser:
    """That of this command."""
    own = new_parser("commands.preset", __doc__)
    own.add_argument("name", nargs="?", metavar="NAME", help="a file of presets/, without .yaml; default: list them")
    own.add_argument("--args", action="store_true", help="print overrides for `dvc exp run`, write nothing")
    own.add_argument("--new", action="store_true", help="write the comments anew, too")
    own.add_argument("--root", type=Path, metavar="DIR", help="of photos: the folder of images, with train/<class>/*")
    return own


def main() -> None:
    """List, write or print presets."""
    arguments = parser().parse_args()
    try:
        if arguments.name is None:
            _list()
            return
        if arguments.root is not None and arguments.name != PHOTOS:
            raise ParamsError(f"--root is of the preset {PHOTOS} only, not of {arguments.name}.")
        new = _photos(arguments.root) if arguments.name == PHOTOS else parameters(arguments.name)
        if arguments.args:
            print(" ".join(overrides(params.read_yaml(PARAMS), new)))
        else:
            _write(arguments.name, new, anew=arguments.new or not PARAMS.exists())
    except (UserError, OSError) as error:
        sys.exit(f"error: {error}")


def _list():
    width = max(len(name) for name in names())
    for name in names():
        print(f"{name:<{width}}  {headline(name)}")
    print(f"{PHOTOS:<{width}}  your own images, by what is in --root DIR: sizes, steps, splits, flip")


def _photos(root):
    """All parameters for a folder of images; says to standard error what was seen and guessed."""
    if root is None:
        raise ParamsError(f"{PHOTOS} looks at your images: python -m commands.preset {PHOTOS} --root DIR")
    over, said = photos.overlay(root, photos.look(root))
    for line in said:
        print(f"note: {line}", file=sys.stderr)
    new = _overlay(defaults(), over)
    check(new, where=f"{PHOTOS} --root {root}")
    return new


def _write(name, new, *, anew):
    old = params.read_yaml(PARAMS) if PARAMS.exists() else {}
    text = fresh(new) if anew else rewrite(PARAMS.read_text(encoding="utf-8"), new)
    write_bytes(PARAMS, text.encode())
    changed = differences(old, new)
    for key, (before, after) in changed.items():
        print(f"{key}: {_show(before)} -> {_show(after)}")
    print(f"params.yaml now holds the preset {name} ({len(changed)} values changed). Next: make repro")
    try:
        params.check_paths(params.check(new))
    except UserError as error:
        print(f"Before that: {error}")


def _show(side):
    return json.dumps(side[0], ensure_ascii=False, default=str).strip('"') if side else "(absent)"


if __name__ == "__main__":
    console.use_utf8()
    main()
