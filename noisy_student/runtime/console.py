"""Text in and out, whatever the user's locale, terminal and log files are."""

import io
import os
import sys


def use_utf8() -> None:
    """Read file names as UTF-8 and never fail to print: what the output cannot show is written as an escape.

    The first thing that a program does. If the locale says that names are in another encoding, it starts itself anew:
    else names of classes, and so results, would depend on the locale.
    """
    if sys.getfilesystemencoding() != "utf-8" and os.environ.get("PYTHONUTF8") != "1":
        written = {"PYTHONIOENCODING": f"{sys.stdout.encoding}:backslashreplace"}  # the terminal stays what it is
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**written, **os.environ, "PYTHONUTF8": "1"})
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
