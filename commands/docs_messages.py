"""The page docs/troubleshooting.md: every message that a user can mend, read from the code that raises it.

A message is what stands in `raise ParamsError(...)` (any subclass of UserError), what a function returns as such an
error, and the ValueErrors of settings and networks, which arrive as a line about params.yaml.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

FOLDERS = ("noisy_student", "commands", "experiments", "stages")
PARAMETERS = ("noisy_student/settings/", "noisy_student/models/network", "noisy_student/sources/interface.py")
BASE = "UserError"
SHORT = 32  # characters of alternatives that are shown side by side
DEPTH = 4  # of names and functions that lead to a text
VERBS = "choose|set|use|give|leave|write|rename|mend|change|lower|add|put"
ANYTHING = "…"  # what is known only when it is printed

# (what the path begins with, title, why these come up and what to do if a message names no mend)
GROUPS = (
    (
        ("noisy_student/settings/inputs.py",),
        "Paths of parameters",
        "A parameter names a folder that DVC cannot follow: it is missing, a link, or no folder of images. Images "
        "outside the repository need an absolute path.",
    ),
    (
        ("noisy_student/settings/", "noisy_student/steps/checking.py", "noisy_student/sources/interface.py"),
        "Values of parameters",
        "A value is misspelt, out of its range, or contradicts another. All faults are named at once, before any stage "
        "runs. A failed `dvc exp run -S` leaves its values in `params.yaml`: mend them there, or run `git checkout "
        "params.yaml`. [All parameters](parameters.md) stand with their ranges on one page.",
    ),
    (
        ("noisy_student/models/",),
        "Networks",
        "The parameters ask for a network that cannot be built, or for images that are too small for it.",
    ),
    (
        (
            "noisy_student/sources/download.py",
            "noisy_student/sources/adapters/cifar10.py",
            "noisy_student/sources/adapters/svhn.py",
        ),
        "Downloads and archives",
        "The file was not fetched to its end, or it is another build than the official one. A file that you put into "
        "`data.root` by hand is taken instead of a download.",
    ),
    (
        (
            "noisy_student/sources/",
            "noisy_student/data/levels.py",
            "noisy_student/data/splits.py",
            "noisy_student/data/images.py",
        ),
        "Images and labels",
        "The folders do not look as [expected](data.md#folders-of-images), or hold fewer images than the parameters "
        "ask for. `python -m commands.preset photos --root DIR` looks at your images and writes fitting numbers.",
    ),
    (
        (
            "noisy_student/data/",
            "noisy_student/runtime/files.py",
            "noisy_student/inference/outcomes.py",
            "noisy_student/inference/metrics.py",
        ),
        "Files that stages wrote",
        "A file under `data/prepared`, `models` or `metrics` is missing, truncated or of another run. `dvc checkout "
        "--force` brings back what DVC's cache holds; else `dvc repro` makes it again.",
    ),
    (
        ("noisy_student/inference/", "noisy_student/steps/labelling.py"),
        "Models and predictions",
        "The `.keras` file is damaged, or of another project. Untrusted files are only read in Keras' safe mode.",
    ),
    (
        ("noisy_student/executors/", "noisy_student/runtime/ray_cluster.py"),
        "Executors",
        "What `executor.yaml` or EXECUTOR say cannot be had, or shards failed: [Outgrowing one process](scale.md).",
    ),
    (
        ("noisy_student/launching/", "noisy_student/training/distribution.py"),
        "Several devices",
        "What `launch.yaml` or LAUNCH say cannot be had, or a process of a training is missing or died: [Training "
        "on several devices](scale.md#training-on-several-devices).",
    ),
    (
        ("noisy_student/training/", "noisy_student/steps/training.py"),
        "Training",
        "The loss has become NaN or infinite, as a rule because of a learning rate that is too high, or a student "
        "cannot begin from its teacher's weights. Lower `learning_rate`, or lengthen `schedule.warmup`.",
    ),
    (
        ("noisy_student/pseudo_labels/", "noisy_student/steps/selection.py"),
        "Pseudo-labels",
        "The teacher is not confident of any image of a class. `metrics/plots/eval/NAME/confidence.png` shows how its "
        "confidence is distributed.",
    ),
    (
        ("noisy_student/robustness/",),
        "Robustness",
        "Corrupted images of another run, or pictures of frost that are too small.",
    ),
    (
        ("noisy_student/runtime/", "noisy_student/backends/"),
        "Packages and the machine",
        "A package is missing, or the machine cannot do what the parameters ask for. `make doctor` looks at the "
        "installation and mends what it can.",
    ),
    (
        ("experiments/",),
        "Studies, verdict and report",
        "They read what runs have left, and refuse to mix what does not belong together.",
    ),
    (
        ("",),
        "Commands",
        "A command was given a name or a folder that it cannot use; `--help` of each says what it takes.",
    ),
)

HEAD = """\
# Troubleshooting by message

<!-- Written by `python -m commands.docs` from the texts in the code; a test says whether it is fresh. -->

Every error that you can mend ends in one message: what is wrong, what was found, how to mend it. Search this page
for a few words of yours; `‹...›` stands for what the message fills in. The exit status is 1, nothing is half-written,
and the same command goes on where it was. A traceback is a bug of ours: please report it with `metrics/run.json`.

## Messages of DVC and of the system

- `Unable to acquire lock`: another `dvc` is at work in this folder, or was killed.<br>Wait for it; if there is none,
  `make doctor`.
- ``invalid `--set-param` value``: `+` in front of a parameter that exists already.<br>Write `++`, which adds or sets.
- `missing data 'source'`, `does not exist` of a path in `data/`: a parameter names a folder that is not
  there.<br>`python -m commands.check` names the parameter.
- `out of memory. Lower batch_size`: the batch does not fit.<br>Halve `teacher.batch_size`, `student.batch_size`,
  `eval.batch_size`.
- `No space left on device`: models and images fill the disk.<br>`dvc gc -w` deletes what the workspace does not use.
- `ModuleNotFoundError`, `dvc: command not found`: the environment is not active.<br>`source .venv/bin/activate`.
- `interrupted: ...; saved at step N`: Ctrl-C or a signal; the exit status is 130 or 143.<br>Run the same command again:
  it goes on there.
"""


@dataclass(frozen=True)
class Message:
    """A message of the code, with what it is filled with as ‹name›."""

    path: str  # of the file
    kind: str  # the error's class
    text: str


@dataclass
class _Module:
    """A parsed file."""

    path: str
    tree: ast.Module
    others: dict = field(repr=False)  # {dotted name: _Module}

    @cached_property
    def constants(self):
        """{name: expression} of the file's own assignments."""
        return {
            target.id: node.value
            for node in self.tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }

    @cached_property
    def functions(self):
        """{name: function} of the file, methods too."""
        return {node.name: node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef)}

    @cached_property
    def imported(self):
        """{name: (dotted module, name there)}."""
        return {
            alias.asname or alias.name: (node.module, alias.name)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.ImportFrom) and node.module
            for alias in node.names
        }

    def find(self, name, kind):
        """(module, constant or function) of that name, here or where it is imported from; None if there is none."""
        own = getattr(self, kind).get(name)
        if own is not None:
            return self, own
        module, there = self.imported.get(name, ("", ""))
        other = self.others.get(module)
        return other.find(there, kind) if other and other is not self else None


def messages(root: Path = Path()) -> list[Message]:
    """All messages below a repository's root, in the order of their files, each once."""
    modules: dict[str, _Module] = {}
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            name = path.relative_to(root).as_posix()
            dotted = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            modules[dotted] = _Module(name, ast.parse(path.read_text(encoding="utf-8")), modules)
    errors = _subclasses(modules)
    every = (message for module in modules.values() for message in _of_module(module, errors))
    return list(dict.fromkeys(message for message in every if _says_something(message.text)))


def _subclasses(modules):
    """Names of UserError and of all classes below it."""
    known, bases = {BASE}, {}
    for module in modules.values():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef):
                bases[node.name] = {base.id for base in node.bases if isinstance(base, ast.Name)}
    while new := {name for name, above in bases.items() if above & known} - known:
        known |= new
    return known


def _of_module(module, errors) -> Iterator[Message]:
    plain = module.path.startswith(PARAMETERS)  # ValueErrors and lines of faults arrive as messages too
    for function in (node for node in ast.walk(module.tree) if isinstance(node, ast.FunctionDef)):
        faulty = function.name.endswith("faults") or function.name.startswith("_needs")
        for node in _within(function):
            call = node.exc if isinstance(node, ast.Raise) else node.value if isinstance(node, ast.Return) else None
            kind = call.func.id if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) else None
            if isinstance(call, ast.Call) and (kind in errors or (plain and kind == "ValueError")) and call.args:
                yield from _messages(module, kind, function, call.args[0])
            elif faulty and isinstance(node, ast.Expr) and isinstance(node.value, ast.Yield):
                yield from _messages(module, "ParamsError", function, node.value.value)


def _messages(module, kind, function, expression):
    for text in _texts(module, function, expression, DEPTH):
        yield Message(module.path, kind, " ".join(text.split()))


def _within(function):
    """Nodes of a function without those of functions in it."""
    stack = list(function.body)
    while stack:
        node = stack.pop(0)
        yield node
        if not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda):
            stack = list(ast.iter_child_nodes(node)) + stack


def _texts(module, function, node, depth) -> list[str]:
    """What an expression may say."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.JoinedStr):
        return _joined([_texts(module, function, part, depth) for part in node.values])
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _joined([_texts(module, function, side, depth) for side in (node.left, node.right)])
    if isinstance(node, ast.FormattedValue):
        return _choice(_texts(module, function, node.value, depth))
    if isinstance(node, ast.IfExp) and depth:
        return [text for side in (node.body, node.orelse) for text in _texts(module, function, side, depth - 1)]
    if isinstance(node, ast.Name) and depth:
        return _named(module, function, node.id, depth - 1)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and depth:
        return _called(module, node, depth - 1)
    return [_placeholder(node)]


def _choice(texts):
    """Short alternatives within a message as one: ‹a / b›."""
    if len(texts) > 1 and all(len(text) < SHORT for text in texts):
        shown = (text.strip(" ‹›") or "-" for text in texts)
        return [f"‹{' / '.join(dict.fromkeys(shown))}›"]
    return texts


def _joined(parts):
    """Every part with every other one, as long as that is few."""
    texts = [""]
    for part in parts:
        chosen = part if len(texts) * len(part) <= 4 else [f"‹{ANYTHING}›"]
        texts = [before + after for before in texts for after in chosen]
    return texts


def _named(module, function, name, depth):
    own = [
        node.value
        for node in _within(function)
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets)
    ]
    texts = [text for value in own if _is_text(value) for text in _texts(module, function, value, depth)]
    found = module.find(name, "constants")
    if found and not own and _is_text(found[1]):
        texts = _texts(found[0], function, found[1], depth)
    return texts if texts and len(own) == len([v for v in own if _is_text(v)]) else [f"‹{_plain(name)}›"]


def _is_text(node):
    if isinstance(node, ast.IfExp):
        return _is_text(node.body) and _is_text(node.orelse)
    if isinstance(node, ast.BinOp):
        return _is_text(node.left) and _is_text(node.right)
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _called(module, call, depth):
    found = module.find(call.func.id, "functions")
    if not found:
        return [_placeholder(call)]
    where, function = found
    returned = [node.value for node in _within(function) if isinstance(node, ast.Return) and _is_text(node.value)]
    if not returned:
        return [_placeholder(call)]
    return [text for value in returned for text in _texts(where, function, value, depth)]


def _placeholder(node):
    """‹name› for what only a run knows."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    while isinstance(node, ast.Call | ast.Subscript):
        counted = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "len"
        if counted:
            return "‹number›"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "join":
            return "‹names›"
        if isinstance(node, ast.Call):
            of_module = isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) in ("os", "shlex")
            node = node.args[0] if of_module else node.func
        else:
            node = node.value
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ANYTHING
    return f"‹{_plain(name)}›"


def _plain(name):
    known = {"error": "reason", "strerror": "reason", "cause": "reason", "fault": "reason", "shape": "shape"}
    return known.get(name, name.strip("_").replace("_", " "))


def _says_something(text):
    return len(re.sub(r"‹.*?›", "", text).split()) > 1


def _group(path):
    return next(n for n, (places, _, _) in enumerate(GROUPS) if path.startswith(places))


def parts(text: str) -> tuple[str, str]:
    """(what is wrong, how to mend it) of a message: its last sentences begin with what to do."""
    sentences = re.split(r"(?<=[.!?])\s+(?=[A-Z`])|(?<=\?›)\s+", text)
    wrong, mend = sentences[0], " ".join(sentences[1:])
    found = re.search(rf"(?:; |, |: )({VERBS}) ", wrong) if not mend else None
    return (wrong[: found.start()], wrong[found.start(1) :]) if found else (wrong, mend)


def page(root: Path = Path()) -> str:
    """The page, by group; within one by what is wrong."""
    by_group = defaultdict(list)
    for message in messages(root):
        by_group[_group(message.path)].append(message)
    lines = [HEAD]
    for number, (_, title, why) in enumerate(GROUPS):
        if by_group[number]:
            lines += [f"## {title}", "", why, "", *sorted(set(map(_item, by_group[number])), key=str.casefold), ""]
    return "\n".join(lines)


def _item(message):
    wrong, mend = parts(message.text)
    mend = f"<br>{_shown(mend[:1].upper() + mend[1:])}" if mend else ""
    return f"- {_code(wrong)}{mend} ([{Path(message.path).name}](../{message.path}))"


def _code(text):
    """As code, whatever is in it."""
    fence = "``" if "`" in text else "`"
    gap = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{gap}{text}{gap}{fence}"


def _shown(text):
    """Markdown that shows a text as it is, but for its own code."""
    halves = text.split("`")
    return "`".join(re.sub(r"([*_<>\[\]|{}$])", r"\\\1", part) if n % 2 == 0 else part for n, part in enumerate(halves))
