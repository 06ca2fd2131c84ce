"""A daemon under test: own network namespace, own directories, and the clients that talk to it."""

from __future__ import annotations

import itertools
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import TYPE_CHECKING

from .hosts import Host, Result, connect, run
from .images import busybox_rootfs
from .leaks import CGROUP_PARENT, session_dir

if TYPE_CHECKING:
    import docker

_NUMBERS = itertools.count()
BIN = Path(sys.executable).parent


class Daemon:
    """`sampand` on `host`; `outside` is another machine that reaches it over a cable.

    `start` returns when the API answers. `stop` ends the daemon and leaves its containers; `close` removes everything.
    """

    def __init__(self, *flags: str, host: Host | None = None, config: str | None = None) -> None:
        self.directory = session_dir() / f"{os.getpid()}-{next(_NUMBERS)}"
        self.directory.mkdir(parents=True)
        self.host = host or Host()
        self.outside = Host()
        connect(self.host, self.outside)
        self.flags = list(flags)
        self.socket = str(self.directory / "s")
        self.config = self.directory / "daemon.json"
        self.config.write_text(config or "{}")
        self._home = self.directory / "home"
        self._home.mkdir()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def data_root(self) -> Path:
        return self.directory / "data"

    @property
    def exec_root(self) -> Path:
        return self.directory / "run"

    @property
    def cgroup_parent(self) -> str:
        """Its own group below every hierarchy."""
        return f"{CGROUP_PARENT}/{self.directory.name}"

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    @property
    def log(self) -> str:
        """What the daemon wrote to its standard error so far."""
        path = self.directory / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def argv(self) -> list[str]:
        # a run of tests that is killed takes its daemons along
        return [
            "setpriv", "--pdeathsig", "TERM", str(BIN / "sampand"), "--data-root", str(self.data_root),
            "--exec-root", str(self.exec_root),
            "-H", self.url, "--pidfile", str(self.directory / "pid"), "--config-file", str(self.config),
            "--cgroup-parent", self.cgroup_parent, *self.flags,
        ]  # fmt: skip

    def start(self, *, env: dict[str, str] | None = None) -> Daemon:
        """Start the daemon and wait until it answers; a daemon that ends instead is an error with its log."""
        self.launch(env)
        deadline = time.monotonic() + 30
        while self.run("curl", "-sf", "--unix-socket", self.socket, "http://d/_ping").status:
            self.check_alive()
            assert time.monotonic() < deadline, f"sampand does not answer:\n{self.log}"
            time.sleep(0.05)  # a process that has not yet bound its socket announces nothing
        return self

    def launch(self, env: dict[str, str] | None = None) -> None:
        """Start the daemon's process."""
        with open(self.directory / "log", "ab") as log:
            self._process = self.host.popen(
                *self.argv(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, **(env or {})},
            )  # fmt: skip

    def check_alive(self) -> None:
        """Fail with the daemon's log where it has ended."""
        assert self._process is not None
        assert self._process.poll() is None, f"sampand ended with {self._process.returncode}:\n{self.log}"

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self, number: int = SIGTERM, timeout: float = 30) -> int:
        """End the daemon with a signal; its exit status."""
        assert self._process is not None
        self._process.send_signal(number)
        status = self._process.wait(timeout)
        self._process = None
        return status

    @property
    def alive(self) -> bool:
        """Whether the daemon's process runs."""
        return self._process is not None and self._process.poll() is None

    def stop_waiting(self, timeout: float = 30) -> None:
        """The daemon has killed itself at a fault point: wait for its end."""
        assert self._process is not None
        self._process.wait(timeout)
        self._process = None

    def kill(self) -> None:
        """`kill -9` of the daemon alone; containers go on."""
        self.stop(SIGKILL)

    def environment(self) -> dict[str, str]:
        keep = {key: os.environ[key] for key in ("PATH", "LANG", "SAMPAN_TEST_TOKEN") if key in os.environ}
        return {
            **keep,
            "HOME": str(self._home),
            "DOCKER_HOST": self.url,
            "DOCKER_CONFIG": str(self._home / ".docker"),
        }

    def run(self, *argv: str, stdin: bytes | None = None, timeout: float = 60) -> Result:
        return run(argv, env=self.environment(), stdin=stdin, timeout=timeout)

    def docker(self, *args: str, stdin: bytes | None = None, timeout: float = 60) -> Result:
        """The stock docker client against this daemon."""
        return self.run("docker", *args, stdin=stdin, timeout=timeout)

    def sampan(self, *args: str, stdin: bytes | None = None, timeout: float = 60) -> Result:
        """Our own client against this daemon."""
        return self.run(str(BIN / "sampan"), *args, stdin=stdin, timeout=timeout)

    def ok(self, *args: str, stdin: bytes | None = None, timeout: float = 60) -> str:
        """A stock docker command that must succeed; its output without the last newline."""
        result = self.docker(*args, stdin=stdin, timeout=timeout)
        assert result.status == 0, f"docker {' '.join(args)}: {result}\n{self.log[-4000:]}"
        return result.out.rstrip("\n")

    def popen(self, argv: Sequence[str], **options: object) -> subprocess.Popen[bytes]:
        """A client in the background, in the daemon's client environment."""
        return subprocess.Popen(argv, env=self.environment(), **options)  # type: ignore[call-overload,no-any-return] # passed on

    def client(self) -> docker.DockerClient:
        """docker-py against this daemon; close it."""
        import docker

        return docker.DockerClient(base_url=self.url, timeout=60)

    def load_busybox(self) -> None:
        self.ok("import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin:/sbin:/usr/bin:/usr/sbin", "-", "busybox:latest",
                stdin=busybox_rootfs())  # fmt: skip

    def remove_all(self) -> None:
        """Remove every container, network and volume."""
        containers = self.ok("ps", "-aq").split()
        if containers:
            self.ok("rm", "-fv", *containers)
        networks = self.ok("network", "ls", "-q", "--filter", "type=custom").split()
        if networks:
            self.ok("network", "rm", *networks)
        volumes = self.ok("volume", "ls", "-q").split()
        if volumes:
            self.ok("volume", "rm", *volumes)

    def close(self) -> None:
        """Remove what runs, end the daemon and both hosts."""
        if self._process is None or self._process.poll() is not None:
            self.start()
        self.remove_all()
        self.stop()
        self.host.close()
        self.outside.close()


def wait_readable(fd: int, timeout: float = 30) -> None:
    """Wait until a descriptor has something to read."""
    ready, _, _ = select.select([fd], [], [], timeout)
    assert ready, "nothing to read in time"
