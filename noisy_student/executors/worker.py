"""A process of `local`: one task after the other from its input, one answer each to its output.

    python -m noisy_student.executors.worker

Only `local` starts it. Its first line of input says what function, and what to call before it.
"""

import contextlib
import json
import os
import queue
import sys
import threading

from noisy_student.executors.local import served
from noisy_student.executors.processors import bind
from noisy_student.executors.tasks import Call
from noisy_student.runtime.signals import raise_on_sigterm


def main() -> None:
    """Serve until the input ends."""
    raise_on_sigterm()
    answers = os.dup(1)
    os.dup2(2, 1)  # what a task prints is no answer
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=[lines], daemon=True).start()
    first = json.loads(lines.get())
    bind(first["processors"])
    call = Call(*first["call"])
    start: Call | None = Call(*first["start"]) if first["start"] else None
    with contextlib.suppress(KeyboardInterrupt):  # SIGTERM: the driver does not want the answer any more
        while True:
            answer = served(call, json.loads(lines.get()), start=start)
            start = None if "facts" in answer else start
            os.write(answers, json.dumps(answer).encode() + b"\n")
    os._exit(143)  # not by the interpreter, which would wait for the thread that reads


def _read(lines):
    """Hand over the input by lines; the process ends with it, whatever it is at: nobody waits for the answer."""
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()
