"""Text in and out, whatever the user's locale, terminal and log files are."""

import atexit
import io
import os
import sys

_before: list[object] = []  # the streams that Python opened: one that is let go of would close its file


def use_utf8() -> None:
    """Read file names as UTF-8 and never fail to print: what the output cannot show is written as an escape.

    What nobody reads any more, because of `| head` or of a pager that was left, is dropped, and the program goes on:
    its files are what it is for, and its exit status speaks of them. Where the output cannot be written, because the
    disk is full, the program ends with a message on the other stream.

    The first thing that a program does. If the locale says that names are in another encoding, it starts itself anew:
    else names of classes, and so results, would depend on the locale.
    """
    if sys.getfilesystemencoding() != "utf-8" and os.environ.get("PYTHONUTF8") != "1":
        written = {"PYTHONIOENCODING": f"{sys.stdout.encoding}:backslashreplace"}  # the terminal stays what it is
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**written, **os.environ, "PYTHONUTF8": "1"})
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is getattr(sys, f"__{name}__") and _is_of_a_file(stream):  # not what a test or a notebook put there
            _before.append(stream)
            stream = _that_drops(stream)
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
            atexit.register(_flush, stream)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class _Dropping(io.FileIO):
    """A file that takes what its reader, who is gone, does not, and ends the program once if it cannot be written."""

    full = False

    def write(self, data):
        try:
            if not self.full:
                return super().write(data)
        except BrokenPipeError:
            pass
        except OSError as error:
            self.full = True  # what is still in the buffer is dropped
            mend = "Free some space where it goes, or send it elsewhere, then run again."
            raise SystemExit(f"error: the output cannot be written ({error.strerror}). {mend}") from None
        return memoryview(data).nbytes


def _flush(stream):
    """What Python would do at the very end, when it is too late for a message and an exit status."""
    try:
        stream.flush()
    except SystemExit as end:
        print(end, file=sys.stderr, flush=True)
        os._exit(1)
    except ValueError:  # closed
        pass


def _is_of_a_file(stream):
    return type(stream) is io.TextIOWrapper and type(getattr(stream.buffer, "raw", stream.buffer)) is io.FileIO


def _that_drops(stream):
    """The same stream, which cannot break."""
    stream.flush()
    raw = _Dropping(stream.fileno(), "wb", closefd=False)
    return io.TextIOWrapper(
        raw if isinstance(stream.buffer, io.FileIO) else io.BufferedWriter(raw),  # python -u has no buffer
        encoding=stream.encoding,
        newline=None if os.name == "nt" else "\n",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
