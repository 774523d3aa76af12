"""Every public function says by annotations what it takes and gives; nested and private ones need not."""

import ast

import pytest

from support import ROOT

PACKAGES = ("noisy_student", "stages", "commands", "experiments")


def _public(body, prefix=""):
    """(qualified name, function) at module level and in classes; nested functions are the business of one function."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if not node.name.startswith("_") or (prefix and node.name == "__init__"):
                yield prefix + node.name, node
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from _public(node.body, f"{prefix}{node.name}.")


def _lacking(name, function):
    """What a function leaves without a type: its arguments' names, and "return"."""
    decorators = [ast.unparse(decorator) for decorator in function.decorator_list]
    if any("njit" in text or "intrinsic" in text for text in decorators):
        return []  # Numba infers the types of what it compiles, one version for each that it is called with
    taken = function.args
    positional = [*taken.posonlyargs, *taken.args]
    if "." in name and "staticmethod" not in decorators:
        positional = positional[1:]  # self or cls
    arguments = [*positional, *taken.kwonlyargs, taken.vararg, taken.kwarg]
    lacking = [argument.arg for argument in arguments if argument is not None and argument.annotation is None]
    return lacking + ([] if function.returns else ["return"])


def _faults(text):
    named = ((name, _lacking(name, function)) for name, function in _public(ast.parse(text).body))
    return {name: lacking for name, lacking in named if lacking}


@pytest.mark.parametrize("package", PACKAGES)
def test_public_functions_are_annotated(package):
    texts = {path: path.read_text(encoding="utf-8") for path in sorted((ROOT / package).rglob("*.py"))}
    faults = {str(path.relative_to(ROOT)): _faults(text) for path, text in texts.items()}
    assert len(texts) > 5
    assert {path: lacking for path, lacking in faults.items() if lacking} == {}


def test_what_is_asked_for_by_hand():
    text = """
def whole(a: int, *b: int, c: int = 0, **d: int) -> None:
    def nested(x): pass
def bare(a, /, b: int, *c, d, **e): pass
async def later() -> int: pass
def _own(a): pass
@numba.njit(cache=True)
def compiled(a): pass
@intrinsic
def inlined(a): pass
class Thing:
    def __init__(self, a): pass
    def __len__(self): pass
    @property
    def size(self): pass
    @classmethod
    def made(cls, a: int) -> "Thing": pass
    @staticmethod
    def of(a) -> int: pass
    class Part:
        def go(self, a: int): pass
class _Own:
    def go(self, a): pass
"""
    assert _faults(text) == {
        "bare": ["a", "d", "c", "e", "return"],
        "Thing.__init__": ["a", "return"],
        "Thing.size": ["return"],
        "Thing.of": ["a"],
        "Thing.Part.go": ["return"],
    }
