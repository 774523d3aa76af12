"""A rank as the one who starts it sees it: what it says, what it prints, and why it is gone."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any, cast

from noisy_student.launching.ranks import MARK, Rank
from noisy_student.runtime.errors import UserError
from noisy_student.runtime.signals import Stopped

HERE = (sys.executable, "-m", "noisy_student.launching.rank")


class RankProcess:
    """A process that carries out a stage as one of several; it ends when its input does.

    Args:
        first: its module and arguments.
        command: what starts it, by a shell of another host or here.
        variables: its environment.
        shows_errors: whether its standard error is that of this process; else it is kept for `last_words`.
    """

    def __init__(
        self,
        rank: Rank,
        first: Mapping[str, Any],
        command: Sequence[str],
        variables: Mapping[str, str],
        *,
        shows_errors: bool,
    ) -> None:
        self.number, self.ended, self._read = rank.rank, False, 0
        self._rest, self._errors = b"", None if shows_errors else tempfile.TemporaryFile()  # noqa: SIM115, `close`
        self.process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
            env=dict(variables),
            process_group=0,  # Ctrl-C on the terminal is for the launcher, which asks rank 0 to save
        )
        self.input, self.output = cast(IO[bytes], self.process.stdin), cast(IO[bytes], self.process.stdout)
        self.send(json.dumps({"rank": vars(rank), **first}))

    def send(self, line: str) -> None:
        """Give it a line of input."""
        with contextlib.suppress(BrokenPipeError):  # it has died: its output says so
            self.input.write(line.encode() + b"\n")

    def read(self) -> Iterator[dict[str, Any]]:
        """Yield its messages, {"printed": text} of what rank 0 prints, and {"died": why} if it is gone."""
        data = os.read(self.output.fileno(), 65536)
        self.ended = not data
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            printed, is_message, text = line.decode(errors="replace").partition(MARK)
            if printed and self.number == 0 and not printed.startswith("[Gloo]"):
                yield {"printed": printed}
            if is_message:
                yield json.loads(text)
        if self.ended:
            yield {"died": self._death()}

    def _death(self):
        """Why it is gone, in words."""
        code = self.process.wait()
        if code == -signal.SIGKILL:
            return "killed: signal 9, by the system if the memory was full"
        return f"signal {-code}" if code < 0 else f"status {code}"

    def last_words(self) -> str:
        """What it said last on standard error, if that was not shown."""
        if self._errors is None:
            return ""
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return f": {lines[-1]}" if lines else ""

    def new_errors(self) -> bytes:
        """What it has said on standard error since the last call."""
        if self._errors is None:
            return b""
        data = os.pread(self._errors.fileno(), 2**20, self._read)
        self._read += len(data)
        return data

    def kill(self) -> None:
        """End it at once, with what it has started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Wait for its end."""
        with contextlib.suppress(BrokenPipeError):
            self.input.close()
        self.output.close()
        self.process.wait()
        if self._errors is not None:
            self._errors.close()


def name_of(number: int, host: str | None) -> str:
    """A rank in messages."""
    return f"rank {number}" + (f" (host {host})" if host else "")


def raise_end(message: Mapping[str, Any], where: str) -> None:
    """Raise what a rank's message stands for, if the training ends with it: a second try would not help.

    Args:
        where: what the text begins with; empty for rank 0.
    """
    if "stopped" in message:
        raise Stopped(message["stopped"], message["number"])
    if "memory" in message:
        raise MemoryError(where + message["memory"])
    if "file" in message:
        raise OSError(message["number"], where + os.strerror(message["number"] or 0), message["file"])
    if "error" in message:
        raise UserError(where + message["error"])
