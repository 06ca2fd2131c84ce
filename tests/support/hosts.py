"""Network namespaces that play the hosts of a test, held by one sleeping process each."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

_HOLD = "ip link set lo up && echo ready && exec sleep infinity"


@dataclass
class Result:
    """What a command left: exit status and both outputs, decoded."""

    status: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"exit {self.status}\n{self.out}\n{self.err}"


def run(argv: Sequence[str], *, env: dict[str, str] | None = None, stdin: bytes | None = None,
        timeout: float = 60) -> Result:  # fmt: skip
    """Run a command to its end; never raises for a status."""
    done = subprocess.run(argv, input=stdin, capture_output=True, env=env, timeout=timeout, check=False)
    return Result(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


class Host:
    """A network namespace with its loopback up; `close` ends it, and the kernel drops what was in it."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(
            # It must not outlive a test run that is killed, nor hold its output open.
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sh", "-c", _HOLD],
            stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"ready\n"
        self.netns = f"/proc/{self._holder.pid}/ns/net"
        self.pid = self._holder.pid

    def command(self, *argv: str) -> list[str]:
        """The argument vector that runs `argv` on this host."""
        return ["nsenter", f"--net={self.netns}", "--", *argv]

    def run(self, *argv: str, stdin: bytes | None = None, timeout: float = 60) -> Result:
        return run(self.command(*argv), stdin=stdin, timeout=timeout)

    def check(self, *argv: str) -> str:
        """Run a command that must succeed; its output."""
        result = self.run(*argv)
        assert result.status == 0, f"{argv}: {result}"
        return result.out

    def popen(self, *argv: str, **options: object) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self.command(*argv), **options)  # type: ignore[call-overload,no-any-return] # passed on

    def close(self) -> None:
        self._holder.kill()
        self._holder.wait()
        assert self._holder.stdout is not None
        self._holder.stdout.close()


def connect(first: Host, second: Host, *, subnet: str = "10.99.0", name: str = "up") -> None:
    """A cable between two hosts: link `<name>0` on both, addresses .1 and .2 (and fd99::1, fd99::2)."""
    link = f"{name}0"
    peer = f"t{os.getpid() % 100000}p"
    first.check("ip", "link", "add", link, "type", "veth", "peer", "name", peer)
    first.check("ip", "link", "set", peer, "netns", str(second.pid), "name", link)
    for host, number in ((first, 1), (second, 2)):
        host.check("ip", "addr", "add", f"{subnet}.{number}/24", "dev", link)
        host.check("ip", "addr", "add", f"fd99::{number}/64", "dev", link, "nodad")
        host.check("ip", "link", "set", link, "up")
