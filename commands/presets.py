"""Presets: named sets of parameters, each an overlay on presets/digits.yaml or on the one that it extends."""

import copy
import io
import json
import re
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from noisy_student.runtime.errors import ParamsError
from noisy_student.settings import params

FOLDER = Path("presets")
BASE = "digits"
_SAFE = re.compile(r"[A-Za-z0-9_./:+-]+")


def names():
    """All presets, the base first."""
    others = sorted(path.stem for path in FOLDER.glob("*.yaml") if path.stem != BASE)
    return [BASE, *others]


def headline(name):
    """The first comment line of a preset, which says what it is for."""
    first = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0]
    return first.removeprefix("#").strip()


def values(name):
    """All parameters of a preset as a nested dict, validated.

    Raises:
        ParamsError: there is no such preset, or it does not validate.
    """
    merged = _merged(name, ())
    params.check(merged, where=f"presets/{name}.yaml")
    return merged


def _merged(name, above):
    if name not in names():
        raise ParamsError(f"there is no preset {name!r}; choose one of {', '.join(names())}.")
    if name in above:
        raise ParamsError(f"presets/{name}.yaml extends itself: {' -> '.join((*above, name))}.")
    over = params.read_yaml(FOLDER / f"{name}.yaml")
    return over if name == BASE else _overlay(_merged(over.pop("extends", BASE), (*above, name)), over)


def _overlay(base, over):
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _overlay(merged[key], value) if both else value
    return merged


def differences(old, new):
    """Leaves that differ between two nested dicts.

    Returns:
        {dotted key: (before, after)}; each side is `(value,)`, or `()` where there is no such key (which
        is not the same as a null).
    """
    before = {key: (value,) for key, value in leaves(old)}
    after = {key: (value,) for key, value in leaves(new)}
    sides = {key: (before.get(key, ()), after.get(key, ())) for key in {**before, **after}}
    return {key: pair for key, pair in sides.items() if pair[0] != pair[1]}


def leaves(tree, prefix=""):
    """Yield (dotted key, value) of a nested dict; an empty section counts as a value."""
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def rewrite(text, new):
    """The YAML text with the values of `new`; comments stay.

    Args:
        text: a params.yaml.
        new: nested dict of all parameters.
    """
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


def overrides(old, new):
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
