"""What a killed stage goes on from: files that are whole or ignored, kept apart by what they were made of.

They lie in `$DVC_ROOT/checkpoints/<stage>/<digest>`, where DVC neither resets nor looks for them; the digest is that of
everything that the stage's result depends on, so that no stage ever goes on from another configuration's work.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import sys
import time
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from noisy_student.runtime import declared_code, environment, locks
from noisy_student.runtime.errors import FULL
from noisy_student.runtime.files import temporary_name

_NAME = re.compile(r"(\d{12})-([0-9a-f]{32})\.npz")  # number, checksum
DIGITS = 24  # of a digest
_META, _DONE = "meta", "done"  # the arrays that hold the JSON text, and how much is saved

Arrays = dict[str, np.ndarray]
Saved = tuple[int, Arrays, dict[str, Any]]  # number, arrays, meta


def root() -> Path:
    """`checkpoints` of the repository: below `$DVC_ROOT`, which DVC sets, or below the current directory."""
    return Path(os.environ.get("DVC_ROOT", ".")) / "checkpoints"


@dataclass
class Checkpoints:
    """The checkpoints of one run of a stage, numbered in the order of the work."""

    folder: Path
    every_minutes: float = 5.0  # longest work between two, if saving is cheap, see `due`; 0: at every opportunity
    keep: int | None = 2  # how many of the newest are kept; None: all (shards, that only together are the work)
    resumed_from: int = 0  # the number that the work went on from, set by the one who restores it
    saved_at: float = field(default_factory=time.monotonic)  # when the last one was written ...
    cost: float = 0.0  # ... and the seconds that it took

    def within(self, name: str) -> Checkpoints:
        """The checkpoints of a part of the same work, in a folder of that name in this one."""
        folder = self.folder / name
        for half_written in folder.glob(".tmp-*"):
            half_written.unlink()
        return replace(self, folder=folder, resumed_from=0)

    def due(self, *, natural: bool = False) -> bool:
        """Whether it is time to save: often enough, and for at most 1 % of the time.

        A `natural` moment is a good one, such as the end of an epoch: then only the cost counts.
        """
        if not self.every_minutes:
            return True
        least = 0.0 if natural else 60.0 * self.every_minutes
        return time.monotonic() - self.saved_at >= max(least, 100.0 * self.cost)

    def save(
        self, number: int, arrays: Arrays, meta: dict[str, Any], *, done: str = "", since: float | None = None
    ) -> bool:
        """Write one checkpoint, whole or not at all; a full disk is a warning, not the end of the work.

        Args:
            number: >= 0, e.g. of steps done; of a shard that of its first row.
            meta: what JSON can hold.
            done: for whoever lists what is saved: how much that is with this one, e.g. "59 of 120 rows".
            since: when, by `time.monotonic`, the work for it began; None: now.

        Returns:
            Whether it was written.
        """
        began = time.monotonic() if since is None else since
        temporary = self.folder / temporary_name(f"{number:012d}.npz")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb+") as file:
                texts = {_META: json.dumps(meta), _DONE: done}
                facts = {name: np.frombuffer(text.encode(), np.uint8) for name, text in texts.items()}
                np.savez(file, allow_pickle=False, **facts, **{f"array_{k}": v for k, v in arrays.items()})
                os.fsync(file.fileno())
                file.seek(0)
                checksum = _checksum(file)
            os.replace(temporary, self.folder / f"{number:012d}-{checksum}.npz")
            _force_to_disk(self.folder)
            for old in self._paths()[: -self.keep] if self.keep else ():
                old.unlink(missing_ok=True)
            return True
        except OSError as error:
            mend = "Make room" if error.errno in FULL else "Mend what is wrong"
            _warn(
                f"no checkpoint could be written ({error}); the work goes on without it. "
                f"{mend} in {self.folder.parent.parent}."
            )
            return False
        finally:
            temporary.unlink(missing_ok=True)
            self.saved_at = time.monotonic()
            self.cost = self.saved_at - began

    def numbers(self) -> list[int]:
        """The numbers that there are files of, ascending."""
        return [_number(path) for path in self._paths()]

    def newest(self) -> Saved | None:
        """The newest whole checkpoint; damaged ones are named and removed."""
        return next(filter(None, map(_load, reversed(self._paths()))), None)

    def in_order(self) -> Iterator[Saved]:
        """The checkpoints from the first one on, up to one that is damaged."""
        for path in self._paths():
            if not (loaded := _load(path)):
                return
            yield loaded

    def drop_from(self, number: int) -> None:
        """Remove the shards from this number on: they would stand in the way of their successors."""
        for path in self._paths():
            if _number(path) >= number:
                path.unlink(missing_ok=True)

    def _paths(self):
        return sorted(path for path in self.folder.glob("*") if _NAME.fullmatch(path.name))


@contextlib.contextmanager
def opened(stage: str, digest: str, *, every_minutes: float, keep: int | None = 2) -> Iterator[Checkpoints]:
    """The checkpoints of a stage, locked against everybody else who makes the same, removed on success.

    Args:
        stage: e.g. "student@gen1".
        digest: see `digest`.
        every_minutes, keep: see `Checkpoints`.
    """
    folder = root() / stage / digest
    with locks.held(_lock(folder), what=f"{stage} with the same inputs and parameters"):
        checkpoints = Checkpoints(root() / stage, every_minutes=every_minutes, keep=keep).within(digest)
        try:
            yield checkpoints
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            _prune(folder)


def present() -> list[dict[str, Any]]:
    """All folders of checkpoints.

    Returns:
        dicts of "stage", "folder", "done" (how much is saved, in words, e.g. "59 of 120 rows"), "bytes", "age" (seconds
        since the newest was written) and "in_use" (whether a process is at work on it).
    """
    folders = sorted(path for path in root().glob("[!.]*/*") if path.is_dir())
    return [
        {"stage": folder.parent.name, "folder": folder, "in_use": locks.is_held(_lock(folder)), **_contents(folder)}
        for folder in folders
    ]


def _contents(folder):
    sizes, saved, shards = [0], [], 0
    with contextlib.suppress(FileNotFoundError):  # a stage at work writes and removes files meanwhile
        for path in folder.rglob("*"):
            facts = path.stat()
            sizes.append(facts.st_size)
            if _NAME.fullmatch(path.name):
                saved.append((facts.st_mtime_ns, path))
            elif path.name.startswith("shard-"):  # whole outputs of `executors`
                saved.append((facts.st_mtime_ns, None))
                shards += 1
    newest = max((when for when, _ in saved), default=time.time_ns())
    path = max((pair for pair in saved if pair[1]), default=(0, None))[1]
    done = [f"{shards} shard{'s' * (shards != 1)}"] * (shards > 0) + [_done(path)] * (path is not None or not shards)
    return {"done": ", ".join(done), "bytes": sum(sizes), "age": max(0.0, (time.time_ns() - newest) / 1e9)}


def _done(path):
    """How much is saved, as the newest checkpoint says."""
    if path is None:
        return "nothing"
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            return content[_DONE].tobytes().decode() or f"number {_number(path):,}"
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return "unreadable"


def remove(folder: Path) -> bool:
    """Remove a folder of `present`; return False and leave it if a process is at work on it."""
    try:
        with locks.held(_lock(folder), what="", wait=False):
            shutil.rmtree(folder)
            _prune(folder)
    except BlockingIOError:
        return False
    return True


def lock_path(name: str) -> Path:
    """Where a lock lies, for good: apart from the checkpoints, so that their folders can go."""
    return root() / "locks" / f"{name}.lock"


def _lock(folder):
    return lock_path(f"{folder.parent.name}-{folder.name}")


def _prune(folder):
    """Remove a folder of checkpoints if it is empty, and the stage's if that was the last."""
    for empty in (folder, folder.parent):
        with contextlib.suppress(OSError):
            empty.rmdir()


def digest(stage: str, values: dict[str, Any], files: Iterable[str | Path]) -> str:
    """24 hexadecimal digits of all that a result depends on.

    Besides the arguments these are the code that dvc.yaml declares for the stage, the versions of the libraries,
    and the hardware; see `declared_code.files_of` and `environment.fingerprint`.

    Args:
        stage: of DVC, e.g. "student@gen1".
        values: parameters, as JSON can hold them.
        files: the inputs, whose content counts.
    """
    code = {name: _hash(path) for name, path in declared_code.files_of(stage).items()}
    facts = {"values": values, "code": code, "environment": environment.fingerprint()}
    text = json.dumps(facts, sort_keys=True, default=str) + "".join(map(_hash, files))
    return hashlib.blake2b(text.encode(), digest_size=DIGITS // 2).hexdigest()


def _hash(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()


def _warn(message):
    print(f"warning: {message}", file=sys.stderr, flush=True)


def _force_to_disk(folder):
    """The names in a folder, as fsync does with the content of a file."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _checksum(file):
    return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _number(path):
    return int(path.name[:12])


def _load(path: Path) -> Saved | None:
    try:
        with path.open("rb") as file:
            if _checksum(file) != path.stem[13:]:
                raise ValueError("its checksum is wrong")
        with np.load(path, allow_pickle=False) as content:
            arrays = {
                name.removeprefix("array_"): content[name] for name in content.files if name not in (_META, _DONE)
            }
            return _number(path), arrays, json.loads(content[_META].tobytes())
    except OSError as error:  # it may be readable another time
        _warn(f"the checkpoint {path} cannot be read ({error}); going on from the one before it")
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        _warn(f"the checkpoint {path} is damaged ({error}); it is removed; going on from the one before it")
        path.unlink(missing_ok=True)
    return None
