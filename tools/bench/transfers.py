"""A layer of 280 MB in 12,000 files on its way into a store: loaded, and pulled from a registry beside the engine."""

from __future__ import annotations

import random
import subprocess
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import median

from tests.support.daemon import Daemon
from tests.support.hosts import Host
from tests.support.peer import Peer
from tests.support.registries import docker_registry_on

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
        with docker_registry_on(self.dockerd.peer.host, scratch, _REGISTRY):
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
        with disks.sampan() as daemon, docker_registry_on(daemon.host, self._scratch, _REGISTRY):
            before = _received(daemon.host)
            pulls = [_docker(daemon, "pull", "-q", f"{_NAME}:{number}") for number in range(SHARING)]
            running = [subprocess.Popen(argv, stdout=subprocess.DEVNULL) for argv in pulls]
            assert not any(one.wait() for one in running)
            fetched = _received(daemon.host) - before
        blobs = (self._scratch / "data/docker/registry/v2/blobs").rglob("data")
        return {"sampan": fetched / 1e6, "base": max(blob.stat().st_size for blob in blobs) / 1e6}

    def _interleaved(self, what: str, command: list[str]) -> Figures:
        """Each round on file systems of its own."""
        took: dict[str, list[float]] = {"sampan": [], "dockerd": []}
        peaks = self.peaks.setdefault(what, {})
        scratch = self._scratch
        for _ in range(self.rounds):
            with disks.sampan() as daemon, docker_registry_on(daemon.host, scratch, _REGISTRY):
                took["sampan"].append(_until_durable(_docker(daemon, *command), daemon.data_root))
                peaks["sampan"] = peak([daemon.pid])
            with disks.dockerd() as other, docker_registry_on(other.host, scratch, _REGISTRY):
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
