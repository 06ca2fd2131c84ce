"""Caches that travel, against a real BuildKit: neither chokes on the other's."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ...support.daemon import BIN, Daemon
from ...support.hosts import connect, run
from ...support.peer import Peer

pytestmark = [pytest.mark.peer, pytest.mark.xdist_group("cache-peer")]

DOCKERFILE = "FROM busybox AS a\nRUN echo {0} > /a\nFROM busybox\nRUN echo b > /b\nCOPY --from=a /a /\n"


@dataclass
class _Meeting:
    """Our daemon and a dockerd with containerd's image store; `registry` is what both reach on our host."""

    daemon: Daemon
    peer: Peer
    registry: str

    def ours(self, where: Path, *words: str) -> list[dict[str, object]]:
        done = self.daemon.sampan("build", "--progress", "rawjson", *words, str(where))
        assert done.status == 0, done
        return [json.loads(line) for line in done.out.splitlines() if line.startswith("{")]

    def theirs(self, where: Path, *words: str) -> str:
        """What buildx says of a build."""
        inside = self.peer.state / "context"
        inside.mkdir(exist_ok=True)
        (inside / "Dockerfile").write_text((where / "Dockerfile").read_text())
        client = self.peer.inside("env", f"HOME={self.peer.state}", "docker", "-H", self.peer.url)
        done = subprocess.run(
            [*client, "buildx", "build", "--progress", "plain", *words, str(inside)], capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stderr


@pytest.fixture(scope="module")
def meeting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Meeting]:
    networks = "10.97.0.0/24"
    daemon = Daemon("--insecure-registry", networks).start()
    peer = Peer("--insecure-registry", networks, "--feature", "containerd-snapshotter=true").start()
    connect(daemon.host, peer.host, subnet="10.97.0", name="cache")
    process = daemon.host.popen(
        str(BIN / "sampan"), "registry", "serve", "--root", str(tmp_path_factory.mktemp("r")), "--listen", "0.0.0.0:0",
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    port = process.stdout.readline().decode().split()[-1].rpartition(":")[2]
    try:
        daemon.load_busybox()
        peer.load_busybox()
        yield _Meeting(daemon, peer, f"10.97.0.1:{port}")
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()
        peer.close()
        daemon.close()


def _dockerfile(where: Path, salt: str) -> Path:
    (where / "Dockerfile").write_text(DOCKERFILE.format(salt))
    return where


def test_buildkit_reads_ours(meeting: _Meeting, tmp_path: Path) -> None:
    where, ref = _dockerfile(tmp_path, "ours"), f"{meeting.registry}/ours"
    meeting.ours(where, "--cache-to", f"type=registry,ref={ref}:cache,mode=max", "-t", f"{ref}:inline",
                 "--cache-to", "type=inline")  # fmt: skip
    meeting.daemon.ok("push", f"{ref}:inline")
    for tag in ("cache", "inline"):
        _dockerfile(where, tag)  # what it has itself it does not look for
        said = meeting.theirs(where, "--cache-from", f"type=registry,ref={ref}:{tag}")
        assert f"importing cache manifest from {ref}:{tag}" in said and "ERROR" not in said, said


def test_ours_reads_buildkits(meeting: _Meeting, tmp_path: Path) -> None:
    where, ref = _dockerfile(tmp_path, "theirs"), f"{meeting.registry}/theirs"
    meeting.theirs(where, "--cache-to", f"type=registry,ref={ref}:manifest,mode=max,image-manifest=true")
    meeting.theirs(where, "--cache-to", f"type=registry,ref={ref}:index,mode=max,image-manifest=false")
    meeting.theirs(where, "--cache-to", "type=inline", "--output", f"type=image,name={ref}:inline,push=true")
    for tag in ("manifest", "index", "inline"):
        events = meeting.ours(where, "--no-cache", "--cache-from", f"{ref}:{tag}")
        assert not [event for event in events if event["event"] == "Warned"], tag


def test_our_client_builds_with_docker_too(meeting: _Meeting, tmp_path: Path) -> None:
    where = _dockerfile(tmp_path, "ours by theirs")
    command = [str(BIN / "sampan"), "-H", meeting.peer.url, "build", "-q"]
    built = run([*command, str(where)])
    assert built.status == 0 and built.out.startswith("sha256:"), built
    refused = run([*command, "--cache-to", "type=inline", str(where)])
    assert refused.status == 1 and "need a daemon of Sampan's" in refused.err, refused
