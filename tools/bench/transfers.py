"""A layer of 280 MB in 12,000 files on its way into a store: loaded, and pulled from a registry beside the engine."""

from __future__ import annotations

import json
import random
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import median

from tests.support.daemon import Daemon
from tests.support.hosts import Host
from tests.support.peer import Peer

from . import disks
from .engines import Dockerd
from .measure import peak, seconds

_FILES, _ROUNDS = 12_000, 3
_REGISTRY = "127.0.0.1:5000"
_NAME = f"{_REGISTRY}/bench-big"
SHARING = 8
"""Images on the big layer that are pulled at once."""
Figures = dict[str, float]


def _big_layer(directory: Path) -> None:
    """12,000 files, 280 MB, half of it compressible: about what a language's image holds."""
    source = random.Random(1)
    text = b"def function(argument):\n    return argument\n" * 300
    for number in range(_FILES):
        folder = directory / f"d{number % 200}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"f{number}").write_bytes(source.randbytes(11_500) + text[:11_800])


@dataclass
class Transfers:
    """The image as dockerd saves and pushes it, made when first asked for; gone with `close`."""

    dockerd: Dockerd
    rounds: int = _ROUNDS
    peaks: dict[str, Figures] = field(default_factory=dict)
    _open: ExitStack = field(default_factory=ExitStack)

    @cached_property
    def _scratch(self) -> Path:
        """The directory that has `image.tar` and the registry's files."""
        scratch = Path(self._open.enter_context(tempfile.TemporaryDirectory(dir="/var/tmp", prefix="bench-images-")))
        _big_layer(scratch / "root")
        seconds(["tar", "-C", str(scratch / "root"), "-cf", str(scratch / "big.tar"), "."])
        self._docker("import", str(scratch / "big.tar"), f"{_NAME}:base")
        self._docker("save", "-o", str(scratch / "image.tar"), f"{_NAME}:base")
        with _registry(self.dockerd.peer.host, scratch):
            self._push(scratch)
        return scratch

    def _push(self, scratch: Path) -> None:
        context = scratch / "context"
        context.mkdir()
        for number in range(SHARING):
            (context / "Dockerfile").write_text(f"FROM {_NAME}:base\nCOPY Dockerfile /{number}\n")
            archive = subprocess.run(["tar", "-C", str(context), "-c", "."], capture_output=True, check=True).stdout
            build = ["env", "DOCKER_BUILDKIT=0", *self.dockerd.argv("build", "-q", "-t", f"{_NAME}:{number}", "-")]
            seconds(build, stdin=archive)
            self._docker("push", "-q", f"{_NAME}:{number}")
        self._docker("push", "-q", f"{_NAME}:base")
        self._docker("rmi", *(f"{_NAME}:{tag}" for tag in ("base", *range(SHARING))))

    def _docker(self, *args: str) -> None:
        seconds(self.dockerd.argv(*args))

    def load(self) -> Figures:
        """Seconds of `docker load` until all is on the disk."""
        return self._interleaved("load", ["load", "-q", "-i", f"{self._scratch}/image.tar"])

    def pull(self) -> Figures:
        """Seconds of `docker pull` until all is on the disk."""
        return self._interleaved("pull", ["pull", "-q", f"{_NAME}:base"])

    def peak(self, what: str) -> Figures:
        """The most memory that the daemon took for it, MB."""
        if what not in self.peaks:
            {"load": self.load, "pull": self.pull}[what]()
        return self.peaks[what]

    def shared(self) -> Figures:
        """MB that pulls of images on one base fetch when they run at once, and the size of that base."""
        with disks.sampan() as daemon, _registry(daemon.host, self._scratch):
            before = _received(daemon.host)
            pulls = [_docker(daemon, "pull", "-q", f"{_NAME}:{number}") for number in range(SHARING)]
            running = [subprocess.Popen(argv, stdout=subprocess.DEVNULL) for argv in pulls]
            assert not any(one.wait() for one in running)
            fetched = _received(daemon.host) - before
        blobs = (self._scratch / "registry/docker/registry/v2/blobs").rglob("data")
        return {"sampan": fetched / 1e6, "base": max(blob.stat().st_size for blob in blobs) / 1e6}

    def _interleaved(self, what: str, command: list[str]) -> Figures:
        """Each round on file systems of its own."""
        took: dict[str, list[float]] = {"sampan": [], "dockerd": []}
        peaks = self.peaks.setdefault(what, {})
        scratch = self._scratch
        for _ in range(self.rounds):
            with disks.sampan() as daemon, _registry(daemon.host, scratch):
                took["sampan"].append(_until_durable(_docker(daemon, *command), daemon.data_root))
                peaks["sampan"] = peak([daemon.pid])
            with disks.dockerd() as other, _registry(other.host, scratch):
                took["dockerd"].append(_until_durable(_docker(other, *command), other.state))
                peaks["dockerd"] = peak(other.pids())
        return {name: median(values) for name, values in took.items()}

    def close(self) -> None:
        self._open.close()


def _docker(engine: Daemon | Peer, *args: str) -> list[str]:
    return ["docker", "-H", engine.url, *args]


def _until_durable(argv: list[str], data: Path) -> float:
    """Who says that it is done before it is gets the rest added: `sync -f` writes what is left of the file system."""
    return seconds(argv) + seconds(["sync", "-f", str(data)])


def _received(host: Host) -> int:
    """Bytes that came over the loopback of a network namespace."""
    (line,) = [line for line in host.check("cat", "/proc/net/dev").splitlines() if line.strip().startswith("lo:")]
    return int(line.split()[1])


@contextmanager
def _registry(host: Host, scratch: Path) -> Iterator[None]:
    """Debian's docker-registry on a host's loopback."""
    config = scratch / "registry.yml"
    config.write_text(json.dumps({
        "version": 0.1, "http": {"addr": _REGISTRY}, "log": {"accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": f"{scratch}/registry"}},
    }))  # fmt: skip
    environment = {"OTEL_TRACES_EXPORTER": "none", "PATH": "/usr/bin:/bin"}
    server = host.popen("docker-registry", "serve", str(config), stderr=subprocess.PIPE, env=environment)
    assert server.stderr is not None
    try:
        assert any(b"listening on" in line for line in server.stderr)
        reader = threading.Thread(target=server.stderr.read)  # a full pipe would stop the registry
        reader.start()
        yield
    finally:
        server.terminate()
        server.wait()
        reader.join()
        server.stderr.close()
