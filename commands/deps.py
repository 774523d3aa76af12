"""Compare dvc.yaml with the imports: what a stage imports lies in one of its dependencies.

python -m commands.deps           # says what is missing or surplus

DVC does not follow imports: code that lies in no dependency means stale results called up to date.
"""

import argparse
import ast
import functools
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from commands import new_parser
from noisy_student.runtime import console
from noisy_student.runtime.declared_code import PACKAGES, code_deps, definition


def local_imports(script: str, root: Path | str = ".") -> set[str]:
    """All Python files of the repository that a script imports, directly or not, itself included; relative to `root`.

    Found in the source text, at module level and inside functions, but for what type checkers alone import. A
    package's `__init__.py` counts when it does something when it is imported: what it gives only when it is asked for
    (`__all__`, `__getattr__`, `__dir__`) changes no stage.
    """
    imported: set[str] = set()
    waiting = [script]
    while waiting:
        path = waiting.pop()
        if path not in imported:
            imported.add(path)
            for name in imported_names(path, root):
                waiting += _files_of(name, Path(root))
    return imported


def imported_names(path: Path | str, root: Path | str = ".") -> list[str]:
    """Dotted names that a Python file imports when it runs; of `from a import b` both "a" and "a.b", a module or not.

    Raises:
        ValueError: an import is relative.
    """
    names, relative = _imports(_text(Path(root) / path))
    if relative:
        raise ValueError(f"{path}:{relative[0]}: use absolute imports, they are followed here")
    return list(names)


@functools.cache  # stages share most of their files
def _imports(text):
    """(names, lines of relative imports) of a Python file."""
    names, relative = list[str](), list[int]()
    for node in _executed(ast.parse(text)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level or node.module is None:
                relative.append(node.lineno)
            else:
                names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(names), relative


def _executed(tree):
    """Yield a module's nodes, but for the branch of `if TYPE_CHECKING:`, which never runs."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if _is_for_type_checkers(node):
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)


def _is_for_type_checkers(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _files_of(name, root):
    parts = name.split(".")
    if parts[0] not in PACKAGES:
        return []
    packages = ["/".join(parts[:length]) + "/__init__.py" for length in range(1, len(parts) + 1)]
    files = [package for package in packages if (root / package).is_file() and _has_code(_text(root / package))]
    module = "/".join(parts) + ".py"
    return [*files, module] if (root / module).is_file() else files


def _text(path):
    return path.read_text(encoding="utf-8")


@functools.cache
def _has_code(text):
    return any(map(_acts, ast.parse(text).body))


def _acts(node):
    """Whether a statement of a package's `__init__.py` does something for who imports its modules."""
    if isinstance(node, ast.Expr):
        return not isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Assign):
        return [ast.unparse(target) for target in node.targets] != ["__all__"]
    if isinstance(node, ast.ImportFrom):
        return node.module != "typing"
    if _is_for_type_checkers(node):
        return any(map(_acts, node.orelse))
    return not (isinstance(node, ast.FunctionDef) and node.name in ("__getattr__", "__dir__"))


def stage_scripts(dvc_yaml: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """{stage name: its definition} of a parsed dvc.yaml, with foreach stages reduced to their `do`."""
    return {name: definition(stage) for name, stage in dvc_yaml["stages"].items()}


def script_of(stage: str) -> str:
    """The script of a stage: stages/NAME.py, with _ for -."""
    return f"stages/{stage.replace('-', '_')}.py"


def compare(listed: Collection[str], needed: Collection[str]) -> tuple[list[str], list[str]]:
    """(missing, surplus): imported files that lie in no listed path, and listed paths of which nothing is imported."""
    missing = sorted(path for path in needed if not any(_lies_in(path, dep) for dep in listed))
    return missing, sorted(dep for dep in listed if not any(_lies_in(path, dep) for path in needed))


def differences(dvc_yaml: dict[str, Any], root: Path | str = ".") -> dict[str, tuple[list[str], list[str]]]:
    """{stage: (missing, surplus)}, see `compare`, of the stages whose code deps are not what they import."""
    compared = {
        name: compare(code_deps(stage), local_imports(script_of(name), root))
        for name, stage in stage_scripts(dvc_yaml).items()
    }
    return {name: pair for name, pair in compared.items() if any(pair)}


def _lies_in(path, dep):
    return path == dep or path.startswith(f"{dep}/")


def parser() -> argparse.ArgumentParser:
    """That of this command."""
    return new_parser("commands.deps", __doc__, failure="dvc.yaml and the imports differ")


def main() -> int:
    """Compare dvc.yaml with the imports."""
    parser().parse_args()
    wrong = differences(YAML(typ="safe").load(Path("dvc.yaml")))
    for name, (missing, surplus) in wrong.items():
        print(f"dvc.yaml, stage {name}: no dep holds {missing}; nothing is imported of {surplus}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    console.use_utf8()
    sys.exit(main())
