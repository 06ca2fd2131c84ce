"""The engines that are measured, behind one face."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Protocol

from tests.support.daemon import BIN, Daemon
from tests.support.peer import Peer
from tests.support.stockclient import plug_in


class Engine(Protocol):
    """An engine that a stock `docker` client (or podman's own) drives."""

    name: str

    def argv(self, *args: str) -> list[str]:
        """The command that runs `docker ARGS` here."""

    def daemons(self) -> list[int]:
        """Processes that exist with no container running."""

    def keepers(self, container: str) -> list[int]:
        """Processes that exist for one running container, its init included."""

    def init(self, container: str) -> int:
        """The first process of a running container, as the machine sees it."""

    def close(self) -> None: ...


def _environment(home: str) -> list[str]:
    return ["env", "-i", f"PATH={os.environ['PATH']}", f"HOME={home}"]


def _init_pid(argv: list[str]) -> int:
    return int(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def descendants(pid: int) -> list[int]:
    """All processes below one."""
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return children + [one for child in children for one in descendants(child)]


class Sampan:
    """Our daemon, driven by the stock client."""

    name = "sampan"

    def __init__(self) -> None:
        self.daemon = Daemon().start()
        self.socket = self.daemon.socket
        self.daemon.load_busybox()

    def argv(self, *args: str) -> list[str]:
        # the machine's client talks over a unix socket: it need not enter the daemon's network namespace
        return [*_environment(str(self.daemon.directory)), "docker", "-H", self.daemon.url, *args]

    def build_argv(self, *args: str) -> list[str]:
        """The stock client's way to our builder."""
        environment = _environment(str(self.daemon.directory))
        return [*environment, "DOCKER_BUILDKIT=0", "docker", "-H", self.daemon.url, *args]

    def own_build_argv(self, *args: str) -> list[str]:
        """Our client's way, which sends only what the daemon lacks."""
        return [*_environment(str(self.daemon.directory)), str(BIN / "sampan"), "-H", self.daemon.url, *args]

    def buildx_argv(self, *args: str) -> list[str]:
        """The way of a client that has buildx, as the tree's own has."""
        home = self.daemon.directory / "buildx"
        if not home.exists():
            plug_in(home)
        return [*_environment(str(home)), "docker", "-H", self.daemon.url, *args]

    def daemons(self) -> list[int]:
        return [self.daemon.pid, *descendants(self.daemon.pid)]

    def init(self, container: str) -> int:
        return _init_pid(self.argv("inspect", "-f", "{{.State.Pid}}", container))

    def keepers(self, container: str) -> list[int]:
        kept, zygote = [self.init(container)], self.daemons()[1]
        while (parent := _parent(kept[-1])) != zygote:
            kept.append(parent)
        return kept

    def close(self) -> None:
        self.daemon.close()


class Dockerd:
    """Debian's dockerd, driven by the same stock client."""

    name = "dockerd"

    def __init__(self) -> None:
        self.peer = Peer().start()
        self.socket = self.peer.socket
        self.peer.load_busybox()

    def argv(self, *args: str) -> list[str]:
        return [*_environment(str(self.peer.state)), "docker", "-H", self.peer.url, *args]

    def build_argv(self, *args: str) -> list[str]:
        """The tree's own client, which has buildx."""
        return [*self.peer.inside("env", f"HOME={self.peer.state}", "docker", "-H", self.peer.url), *args]

    def daemons(self) -> list[int]:
        return self.peer.pids()

    def keepers(self, container: str) -> list[int]:
        # dockerd sees pids of its own namespace: the init is found by the shim's arguments
        full = subprocess.run(
            self.argv("inspect", "-f", "{{.Id}}", container), capture_output=True, text=True, check=True
        ).stdout.strip()
        shims = [pid for pid in self.peer.descendants() if f"-id {full}" in _arguments(pid)]
        return shims + [child for shim in shims for child in descendants(shim)]

    def init(self, container: str) -> int:
        return self.keepers(container)[1]

    def close(self) -> None:
        self.peer.close()


class Podman:
    """Podman of the same tree, with its own command and no daemon."""

    name = "podman"

    def __init__(self, dockerd: Dockerd) -> None:
        self._peer = dockerd.peer
        state = self._peer.state
        self._command = self._peer.inside(
            "env", f"HOME={state}", "PODMAN_IGNORE_CGROUPSV1_WARNING=1", "podman", "--root", f"{state}/podman",
            "--runroot", f"{state}/podman-run", "--cgroup-manager", "cgroupfs", "--runtime", "runc",
            "--log-level", "error",
        )  # fmt: skip
        image = subprocess.run(dockerd.argv("save", "busybox:latest"), capture_output=True, check=True).stdout
        subprocess.run(self.argv("load", "-q"), input=image, check=True, stdout=subprocess.DEVNULL)

    def argv(self, *args: str) -> list[str]:
        return [*self._command, *args]

    def daemons(self) -> list[int]:
        return []

    def keepers(self, container: str) -> list[int]:
        raw = subprocess.run(self.argv("inspect", container), capture_output=True, check=True).stdout
        monitor = json.loads(raw)[0]["State"]["ConmonPid"]
        found = [pid for pid in self._peer.descendants() if _inner_pid(pid) == monitor]
        return found + [child for pid in found for child in descendants(pid)]

    def close(self) -> None:
        subprocess.run(self.argv("rm", "-af", "-t", "0"), check=True, capture_output=True)


def _arguments(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def _inner_pid(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("NSpid:"):
            return int(line.split()[-1])
    return -1
