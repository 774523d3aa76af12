"""Write a preset into params.yaml, or print it as arguments for one `dvc exp run`.

python -m commands.preset                                      # lists the presets
python -m commands.preset cifar10-cpu                          # writes it into params.yaml; comments stay
python -m commands.preset digits --new                         # writes params.yaml anew, with the schema's comments
dvc exp run $(python -m commands.preset cifar10-cpu --args)    # uses it for one run

A preset is an overlay on the schema's defaults, or on the preset that it `extends`.
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

from noisy_student.models.networks import NETWORKS, own_parameters
from noisy_student.runtime.errors import ParamsError, UserError
from noisy_student.runtime.files import write_bytes
from noisy_student.settings import params
from noisy_student.settings.schema import ModelParams, Section
from noisy_student.steps.checking import check

PARAMS = Path("params.yaml")
FOLDER = Path("presets")
BASE = "digits"  # the defaults by another name
HEADER = """\
# Every parameter of every stage; every stage checks all of them before it starts.
# As committed it is the preset `digits`; `python -m commands.preset` lists the others. A change for one run:
#   dvc exp run -S teacher.noise=true
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
        raise ParamsError(f"there is no preset {name!r}; choose one of {', '.join(names())}.")
    if name in above:
        raise ParamsError(f"presets/{name}.yaml extends itself: {' -> '.join((*above, name))}.")
    over = params.read_yaml(FOLDER / f"{name}.yaml")
    extended = over.pop("extends", None)
    return _overlay(_merged(extended, (*above, name)) if extended else defaults(), over)


def _overlay(base, over):
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _overlay(merged[key], value) if both else value
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
    return rewrite("\n".join([HEADER, *_lines(params.Params, defaults(), set()), ""]), new)


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
    """The text of a params.yaml with the values of `new`; comments stay."""
    yaml = YAML()
    yaml.width = 110
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.add_representer(
        type(None), lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    tree = yaml.load(text)
    _assign(tree, new)
    out = io.StringIO()
    yaml.dump(tree, out)
    return out.getvalue()


def _assign(tree, new):
    for key in [key for key in tree if key not in new]:
        del tree[key]
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(tree.get(key), dict):
            _assign(tree[key], value)
        else:
            tree[key] = _flow(value) if isinstance(value, dict) else value
        for comment in tree.ca.items.get(key, []):
            if hasattr(comment, "column"):
                comment.column = 0  # one space before a comment, however long the value is


def _flow(value):
    mapping = CommentedMap(copy.deepcopy(value))
    mapping.fa.set_flow_style()
    return mapping


def overrides(old: Tree, new: Tree) -> list[str]:
    """Arguments for `dvc exp run` that turn the parameters `old` into `new`.

    Raises:
        ParamsError: a value would need quoting in a shell.
    """
    return [part for change in _changes(old, new) for part in ("-S", change)]


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


def main() -> None:
    """List, write or print presets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", help="a file of presets/, without .yaml")
    parser.add_argument("--args", action="store_true", help="print overrides for `dvc exp run`")
    parser.add_argument("--new", action="store_true", help="write the comments anew, too")
    arguments = parser.parse_args()
    try:
        if arguments.name is None:
            _list()
        elif arguments.args:
            print(" ".join(overrides(params.read_yaml(PARAMS), parameters(arguments.name))))
        else:
            _write(arguments.name, anew=arguments.new or not PARAMS.exists())
    except (UserError, OSError) as error:
        sys.exit(f"error: {error}")


def _list():
    width = max(len(name) for name in names())
    for name in names():
        print(f"{name:<{width}}  {headline(name)}")


def _write(name, *, anew):
    new, old = parameters(name), params.read_yaml(PARAMS) if PARAMS.exists() else {}
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
    return json.dumps(side[0]).strip('"') if side else "(absent)"


if __name__ == "__main__":
    main()
