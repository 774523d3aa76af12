"""Hosts on one machine: network namespaces on a virtual switch, from which each can be taken.

    with hosts(2) as (one, other):
        server = one.start("python", "-m", "http.server", "80")
        other.run("curl", f"http://{one.address}/")
        other.cut_off()

Files and the clock are those of the machine, as if all hosts saw the same disk; each host has its own name, loopback
and process numbers, and reaches nothing but the others. Needs no root, and changes nothing of the machine: all is
within a user namespace, and ends with the block.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

NETWORK = "10.77.0"
_FIRST = ("unshare", "--user", "--map-root-user", "--net")  # all others are within its user namespace
_HOST = ("unshare", "--net", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")


def refusal() -> str:
    """Why hosts cannot be had here, in words; empty: they can."""
    try:
        with hosts(1):
            return ""
    except FileNotFoundError as error:
        return f"no network namespaces here: {error.filename} is not installed"
    except AssertionError as error:
        return f"no network namespaces here: {error}"


class Namespace:
    """A network of its own, for as long as its first process lives."""

    def __init__(self, *command: str) -> None:
        self.holder = subprocess.Popen(
            [*command, "sh", "-c", "echo ready; exec sleep 86400"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        if self.holder.stdout.readline() != b"ready\n":
            _, errors = self.holder.communicate()
            raise AssertionError(errors.decode().strip())
        children = Path(f"/proc/{self.holder.pid}/task/{self.holder.pid}/children").read_text().split()
        self.first = int(children[0]) if children else self.holder.pid  # `unshare --fork` has a child
        self.inside = ["nsenter", "--target", str(self.first), "--user", "--preserve-credentials", "--net"]

    def start(self, *command: str, **options) -> subprocess.Popen:
        """Begin a command in it; `options` are those of `Popen`. Signals reach `nsenter`, not the command."""
        return subprocess.Popen(self._command(command, options), **options)

    def run(self, *command: str, **options) -> str:
        """What a command in it prints, once it has succeeded."""
        done = subprocess.run(self._command(command, options), capture_output=True, text=True, **options)
        assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}".strip()
        return done.stdout

    def _command(self, command, options):
        folder = options.pop("cwd", os.getcwd())  # `nsenter` would leave it
        return [*self.inside, "env", "-C", folder, *map(str, command)]

    def processes(self) -> list[int]:
        """All that run in it, but for the first."""
        own, found = os.stat(f"/proc/{self.first}/ns/net").st_ino, []
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has ended, or is another user's
                if (path / "ns/net").stat().st_ino == own:
                    found.append(int(path.name))
        return [number for number in found if number not in (self.first, self.holder.pid)]

    def kill_all(self) -> None:
        """End all that run in it at once, as if the plug of the host were pulled."""
        until = time.monotonic() + 10
        while (left := self.processes()) and time.monotonic() < until:
            for number in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
            time.sleep(0.05)

    def close(self) -> None:
        """End it, with all that runs in it."""
        self.kill_all()
        self.holder.kill()
        self.holder.communicate()


class Host(Namespace):
    """A namespace with an address on a switch.

    Attributes:
        address: as the other hosts see it.
        name: what it calls itself.
    """

    def __init__(self, number: int, switch: Namespace) -> None:
        super().__init__(*switch.inside, *_HOST)
        self.address, self.name, self.port = f"{NETWORK}.{number}", f"host{number}", f"port{number}"
        self.switch = switch
        self.inside += ["--uts", "--pid", "--mount"]

    def connect(self) -> None:
        """Join the switch, for the first time."""
        self.run("hostname", self.name)
        there = ("peer", "name", "eth0", "netns", str(self.first))
        self.switch.run("ip", "link", "add", self.port, "type", "veth", *there)
        self.plug_in()
        self.switch.run("ip", "link", "set", self.port, "up")
        self.run("ip", "address", "add", f"{self.address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            self.run("ip", "link", "set", device, "up")

    def cut_off(self) -> None:
        """From now on what it sends and what is sent to it is lost, and nobody is told."""
        self.switch.run("ip", "link", "set", self.port, "nomaster")

    def plug_in(self) -> None:
        """Reach the others, again."""
        self.switch.run("ip", "link", "set", self.port, "master", "switch")


@contextlib.contextmanager
def hosts(count: int) -> Iterator[list[Host]]:
    """So many hosts that reach one another; all that runs on them ends with the block."""
    with contextlib.ExitStack() as ends:
        switch = Namespace(*_FIRST)
        ends.callback(switch.close)
        switch.run("ip", "link", "add", "switch", "type", "bridge")
        switch.run("ip", "link", "set", "switch", "up")
        made = []
        for number in range(1, count + 1):
            made.append(Host(number, switch))
            ends.callback(made[-1].close)
            made[-1].connect()
        yield made
