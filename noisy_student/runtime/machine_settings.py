"""What this machine gives to the work, and is no parameter: a small file beside params.yaml, a variable over it."""

import os
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from noisy_student.runtime.errors import ParamsError

Settings = TypeVar("Settings", bound=BaseModel)


def read(
    kind: type[Settings], *, file: str, variable: str, example: str, alone: str | None = None
) -> tuple[Settings, str]:
    """The settings of a file below `$DVC_ROOT`, or here, with those of an environment variable over them.

    Args:
        kind: what they may be.
        file: a mapping in YAML; may be absent.
        variable: KEY=VALUE, separated by commas.
        example: of what both may hold, for messages.
        alone: the key of a value that stands in the variable without one; None: each has a key.

    Returns:
        (the settings, the file or the variable that said so, for messages).

    Raises:
        ParamsError: the file or the variable says something else.
    """
    path = Path(os.environ.get("DVC_ROOT", ".")) / file
    values, where = _of_file(path, example), str(path)
    if given := os.environ.get(variable):
        where = f"{variable}={given}"
        values |= _of_variable(where, given, alone, example)
    try:
        return kind.model_validate(values), where
    except ValidationError as error:
        first = error.errors()[0]
        key, message = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
        named = f"{key}: {message} (found {first['input']!r})" if key else message
        raise ParamsError(f"{where}: {named}. It may hold {example}.") from error


def _of_file(path, example):
    try:
        values: Any = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ParamsError(f"{path}: cannot be read ({error}). It may hold {example}.") from error
    except YAMLError as error:
        raise ParamsError(f"{path}: not valid YAML{_place(error)}. It may hold {example}.") from error
    if values is not None and not isinstance(values, dict):
        raise ParamsError(f"{path}: expected keys with values, found {values!r}. It may hold {example}.")
    for key, value in (values or {}).items():
        if isinstance(value, bool):
            raise ParamsError(f"{path}: {key}: neither true nor false may stand there. It may hold {example}.")
    return values or {}


def _place(error):
    """Where the fault is and what it is, as far as ruamel.yaml knows."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    line = mark.line + 1 if mark else 1
    return f", line {line}: {problem}" if problem else ""


def _of_variable(where, text, alone, example):
    values: dict[str, Any] = {}
    for part in text.split(","):
        key, is_pair, value = part.strip().partition("=")
        if not is_pair:
            if alone is None:
                raise ParamsError(f"{where}: expected KEY=VALUE, found {part!r}. It may hold {example}.")
            key, value = alone, key
        values[key] = value
    return values
