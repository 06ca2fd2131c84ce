"""Where limits are checked: this machine, or an emulated one with other control groups. The checks are the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .daemon import Daemon
from .emulator import Machine
from .guest.agent import Connection
from .hosts import Result, run
from .images import busybox_rootfs

_START = """
mkdir -p /var/lib/sampan /run/sampan
setsid python3 -m sampan.daemon --debug --data-root /var/lib/sampan \\
  --exec-root /run/sampan -H unix:///run/s --pidfile /run/sampan.pid FLAGS </dev/null >>/var/daemon.log 2>&1 &
"""
_SOCKET = "/run/s"


class Site:
    """A daemon with `busybox:latest` on some machine; `version` is of its control groups."""

    version: int
    parent: str
    driver = "cgroupfs"

    def run(self, *argv: str, timeout: float = 60) -> Result:
        """A command on the machine."""
        raise NotImplementedError

    def request(self, method: str, path: str, body: bytes, kind: str) -> Result:
        """An API request; the answer's status, its body as `out`."""
        raise NotImplementedError

    def start(self) -> None:
        """Start the daemon; returns when it answers."""
        raise NotImplementedError

    def kill(self) -> None:
        """`kill -9` of the daemon alone."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def api(self, method: str, path: str, body: object = None) -> Any:
        """An API request that must succeed; its decoded JSON, or text where it is none."""
        data = b"" if body is None else json.dumps(body).encode()
        result = self.request(method, path, data, "application/json")
        assert 200 <= result.status < 305, f"{method} {path} {body}: {result}"
        try:
            return json.loads(result.out)
        except ValueError:
            return result.out

    def read(self, path: str) -> str:
        """A file's text on the machine, without its last newline."""
        result = self.run("cat", path)
        assert result.status == 0, result
        return result.out.rstrip("\n")

    def group(self, container: str) -> dict[str, str]:
        """Controller → the directory of a container's control group; the same one for all on v2."""
        pid = self.api("GET", f"/containers/{container}/json")["State"]["Pid"]
        found = {}
        for line in self.read(f"/proc/{pid}/cgroup").splitlines():
            _, controllers, path = line.split(":", 2)
            for controller in controllers.split(","):
                found[controller] = f"/sys/fs/cgroup/{controller}{path}" if controller else f"/sys/fs/cgroup{path}"
        return found

    def limit(self, container: str, v1: str, v2: str) -> str:
        """A control file of a container, by its name on either version."""
        group = self.group(container)
        return self.read(f"{group['']}/{v2}" if self.version == 2 else f"{group[v1.partition('.')[0]]}/{v1}")


class Here(Site):
    """This machine."""

    version = 2 if Path("/sys/fs/cgroup/cgroup.controllers").exists() else 1

    def __init__(self) -> None:
        self._daemon = Daemon()
        self.parent = self._daemon.cgroup_parent
        self.start()
        self._daemon.load_busybox()

    def run(self, *argv: str, timeout: float = 60) -> Result:
        return run(argv, timeout=timeout)

    def request(self, method: str, path: str, body: bytes, kind: str) -> Result:
        connection = Connection(self._daemon.socket, 120)
        connection.request(method, path, body or None, {"Content-Type": kind} if body else {})
        response = connection.getresponse()
        data = response.read()
        connection.close()
        return Result(response.status, data.decode(errors="replace"), "")

    def start(self) -> None:
        self._daemon.start()

    def kill(self) -> None:
        self._daemon.kill()

    def close(self) -> None:
        self._daemon.close()


class There(Site):
    """An emulated machine."""

    parent = "/limits"

    def __init__(self, mode: str) -> None:
        self._machine = Machine(mode)
        self.version = 2 if mode in ("v2", "systemd") else 1
        self.flags = f"--cgroup-parent {self.parent}"
        if mode == "systemd":
            self.driver = "systemd"
            self.parent = "limits.slice"
            self.flags = f"--cgroup-parent {self.parent}"
        self.start()
        created = self.request("POST", "/images/create?fromSrc=-&repo=busybox&tag=latest&changes=ENV%20PATH=/bin",
                               busybox_rootfs(), "application/x-tar")  # fmt: skip
        assert created.status == 200, created

    def run(self, *argv: str, timeout: float = 60) -> Result:
        return self._machine.run(*argv, timeout=timeout)

    def request(self, method: str, path: str, body: bytes, kind: str) -> Result:
        return self._machine.request(_SOCKET, method, path, body, kind)

    def start(self) -> None:
        self._machine.ok("sh", "-c", _START.replace("FLAGS", self.flags))
        # nobody announces a socket that is not bound yet
        wait = "for try in $(seq 2000); do [ -S /run/s ] && exit 0; usleep 100000; done; exit 1"
        started = self.run("sh", "-c", wait, timeout=300)
        answer = self.request("GET", "/_ping", b"", "")
        assert started.status == 0 and answer.status == 200, f"{answer}\n{self.read('/var/daemon.log')}"

    def kill(self) -> None:
        self._machine.ok("sh", "-c", "pid=$(cat /run/sampan.pid); kill -9 $pid; rm /run/s; "
                                     "while kill -0 $pid 2>/dev/null; do usleep 20000; done")  # fmt: skip

    def close(self) -> None:
        self._machine.close()
