"""What ranks do in tests of the launcher: no framework, so that they start at once."""

import os
import platform
import signal
import sys
import time
from pathlib import Path

from noisy_student.launching import ranks
from noisy_student.runtime.errors import UserError
from noisy_student.runtime.signals import Stopped, deferred


def main(what, *more):
    """Do it in this process, which is one of several."""
    rank = ranks.current()
    if what != "lost":
        ranks.say({"joined": rank.rank})
    return globals()[what](rank, *more)


def facts(rank):
    """What a rank knows, of rank 0; a line is printed by each."""
    print(f"printed by {rank.rank}")
    return {"rank": rank.rank, "of": rank.workers, "gpus": os.environ.get("CUDA_VISIBLE_DEVICES")}


def variable(rank, name):
    """The value of a variable in rank 0's environment."""
    return {"value": os.environ.get(name)}


def lost(rank):
    """Never find the others."""
    time.sleep(600)


def wrong(rank, who):
    """End with a mistake of the user in one rank."""
    if rank.rank == int(who):
        raise UserError("the images are missing. Give some.")
    time.sleep(600)


def full(rank):
    """End with a full disk."""
    raise OSError(28, "No space left on device", "models/teacher.keras")


def deadly(rank, folder, times):
    """Rank 1 dies so often, and rank 0 fails because of it, as JAX does."""
    for number in range(int(times)):
        mark = Path(folder) / f"died-{number}"
        if rank.rank == 1 and not mark.exists():
            mark.touch()
            time.sleep(0.5)  # a death on another host is seen later than what follows from it
            os.kill(os.getpid(), signal.SIGKILL)
    if rank.rank == 0 and (died := len(list(Path(folder).glob("died-*")))) < int(times):
        while len(list(Path(folder).glob("died-*"))) == died:
            time.sleep(0.05)
        raise RuntimeError("connection closed by peer")
    time.sleep(1.0 if rank.rank == 0 else 600)
    return {"died": times}


def deadly_parent(rank, folder):
    """The process that has started rank 1 dies, once."""
    mark = Path(folder) / f"begun-{rank.rank}"
    again = mark.exists()
    mark.touch()
    if rank.rank == 1 and not again:
        time.sleep(0.5)
        os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(1.0 if again else 600)
    return {}


def waiting(rank, folder):
    """Work until a file says that it is enough."""
    (Path(folder) / f"begun-{rank.rank}-{platform.node()}-{time.monotonic()}").touch()
    while not (Path(folder) / "enough").exists():
        time.sleep(0.05)
    return {"leads": platform.node()}


def buggy(rank):
    """Fail each time."""
    if rank.rank == 1:
        print("something is broken", file=sys.stderr)
        raise ZeroDivisionError("division by zero")
    time.sleep(600)


def patient(rank, folder):
    """Work until it is asked to stop, then save, which takes rank 0 a while."""
    (Path(folder) / f"pid-{rank.rank}").write_text(str(os.getpid()))
    with deferred() as requests:
        while requests.pending() is None:
            time.sleep(0.05)
        time.sleep(1.0 if rank.rank == 0 else 0.0)
    (Path(folder) / f"saved-{rank.rank}").touch()
    raise Stopped("saved at step 7. Run the same command again to go on.", requests.pending())


def dying(rank, folder, number):
    """Rank 0 has its launcher asked to stop by this signal, once, and is killed when it is to save."""
    mark = Path(folder) / "asked"
    with deferred() as requests:
        if rank.rank == 0:
            if mark.exists():
                return {}
            mark.touch()
            os.kill(os.getppid(), int(number))
        while requests.pending() is None:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGKILL)
