"""Which files a stage opens, recorded by an audit hook, and what dvc.yaml declares of them."""

import contextlib
import functools
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import h5py

OUTS = ("outs", "metrics", "plots")
# read or written by every stage, and no dependency: parameters have a section of their own in dvc.yaml, a resumed stage
# gives the same bytes and so does every executor, launch.yaml is of this machine, metrics/run.json holds times, a
# download counts by its hash
EXEMPT = ("params.yaml", "executor.yaml", "launch.yaml", "checkpoints", "metrics/run.json", "data/prepared/downloads")


@dataclass
class Accesses:
    """What one stage opened in a workspace; all paths are relative to it.

    Attributes:
        stage: e.g. "student@gen1".
        params: params.yaml as a nested dict.
        folder: the workspace.
        read, listed, written: files, folders, files and folders.
    """

    stage: str
    params: dict
    folder: str
    read: set[str] = field(default_factory=set)
    listed: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)

    def note(self, kind, path):
        """Remember a path, if it lies in the workspace and is no file to be renamed."""
        path = os.path.abspath(os.fsdecode(path))
        if path.startswith(f"{self.folder}/") and "/.tmp-" not in path:
            relative = path.removeprefix(f"{self.folder}/")
            if not within(relative, EXEMPT):
                getattr(self, kind).add(relative)


_recording = None


def _hook(event, arguments):
    if _recording is None:
        return
    if event == "open":
        path, mode, flags = arguments
        if isinstance(path, int):  # a file that is open already
            return
        if mode is None and (os.path.isdir(path) or not os.path.dirname(path)):  # shutil.rmtree, also by bare names
            return
        access = flags & os.O_ACCMODE
        if access != os.O_WRONLY and not flags & os.O_TRUNC:
            _recording.note("read", path)
        if access != os.O_RDONLY:
            _recording.note("written", path)
    elif event in ("os.listdir", "os.scandir"):
        if not isinstance(arguments[0], int):
            _recording.note("listed", arguments[0] or ".")
    elif event in ("os.rename", "os.link", "os.symlink"):
        _recording.note("written", arguments[1])


@functools.cache
def _install():
    sys.addaudithook(_hook)  # it stays for as long as the process


# What opens a file in C or C++ raises no event. {function: the kind of access}; libraries that stages use have no more.
NATIVE = {(cv2, "imread"): "read", (cv2, "imwrite"): "written", (h5py.File, "__init__"): "read"}


@contextlib.contextmanager
def recorded(stage, params):
    """Record what the block, a stage in the current directory, opens; yield its `Accesses`."""
    global _recording
    _install()
    originals = {place: getattr(*place) for place in NATIVE}
    for place, kind in NATIVE.items():
        setattr(*place, _noting(originals[place], kind))
    _recording = Accesses(stage, params, os.getcwd())
    try:
        yield _recording
    finally:
        _recording = None
        for place, original in originals.items():
            setattr(*place, original)


def _noting(function, kind):
    @functools.wraps(function)
    def noting(*arguments, **options):
        opened = [value for value in arguments if not isinstance(value, h5py.File)][:1]
        if _recording is not None and isinstance(*opened, str | bytes | Path):
            _recording.note(kind, *opened)
        return function(*arguments, **options)

    return noting


def within(path, entries):
    """Whether a path is one of the entries, or lies in one."""
    return any(path == entry or path.startswith(f"{entry}/") for entry in entries)


def path_of(entry):
    """The path of an entry of dvc.yaml, which may have options."""
    return next(iter(entry)) if isinstance(entry, dict) else entry


def resolve(text, params, stage):
    """A templated path of dvc.yaml for one stage, e.g. "models/student-${key}.keras" for "robustness@gen1"."""
    name, _, key = stage.partition("@")
    generations, tests = params["generations"], params["eval"]["extra_tests"]
    pairs = {
        f"{generation}-{test}": {"generation": generation, "test": test} for generation in generations for test in tests
    }
    items = {"extra-test": tests, "eval-extra-teacher": tests, "eval-extra": pairs}.get(name, generations)
    scope = params | ({"key": key, "item": items[key]} if key else {})
    return re.sub(r"\$\{([\w.]+)\}", lambda match: str(_lookup(scope, match[1])), text)


def _lookup(tree, name):
    for key in name.split("."):
        tree = tree[key]
    return tree


def faults(stages, runs):
    """What is wrong with the declared data of stages.

    Args:
        stages: {name: definition} of dvc.yaml, code deps left out.
        runs: list of Accesses.

    Returns:
        list of (stage, "undeclared" or "unused", kind of access or section, path or entry of dvc.yaml).
    """
    wrong, needless = set(), {(s, section, path) for s in stages for section, path in _declared(stages[s])}
    folders = {resolve(path, run.params, run.stage) for run in runs for s, path in _outs_of(stages, run)}
    for run in runs:
        name = run.stage.partition("@")[0]
        resolved = {(s, path): resolve(path, run.params, run.stage) for s, path in _declared(stages[name])}
        deps = {path for (section, _), path in resolved.items() if section == "deps"}
        outs = set(resolved.values()) - deps
        # a folder of stages' outputs is listed to tidy it up; what lies in it would have to be opened
        listed = {path for path in run.listed if not any(folder.startswith(f"{path}/") for folder in folders)}
        if name == "check":  # looks at the names of inputs only; the stages that read the files look at them again
            data, extra = run.params["data"], run.params["eval"]["extra_tests"]
            places = [data["root"], data["unlabelled_from"], run.params["teacher"]["weights"], *extra.values()]
            listed -= {p for p in listed if within(p, places)}
        inputs = {path for path in run.read | listed if not within(path, outs)}
        wrong |= {(name, "undeclared", "read", path) for path in inputs if not within(path, deps)}
        wrong |= {(name, "undeclared", "written", path) for path in run.written if not within(path, outs)}
        for (section, path), place in resolved.items():
            if any(within(opened, [place]) for opened in (inputs if section == "deps" else run.written)):
                needless.discard((name, section, path))
    return sorted(wrong | {(name, "unused", section, path) for name, section, path in needless})


def _declared(stage):
    return [(section, path_of(entry)) for section in ("deps", *OUTS) for entry in stage.get(section, [])]


def _outs_of(stages, run):
    return [pair for pair in _declared(stages[run.stage.partition("@")[0]]) if pair[0] != "deps"]
