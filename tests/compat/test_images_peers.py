"""Images between engines: dockerd, podman and skopeo with our registry and our store, every digest kept."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from sampan.oci import digest as digests
from tests.support.hosts import run
from tests.support.peer import Peer
from tests.support.registries import docker_registry_on

pytestmark = pytest.mark.peer

ROOT = Path(__file__).parents[2]
OURS = """
import asyncio, json, sys
from pathlib import Path
from sampan.engine import images as use
from sampan.engine.pull import PullRequest, pull
from sampan.engine.push import PushRequest, push
from sampan.oci import reference
from sampan.oci.platform import parse as platform
from tests.support.imagehost import Host, body

async def main(root, verb, what, name):
    host = Host(Path(root))
    if verb == "pull":
        request = PullRequest(reference.parse(what), platform=platform(name) if name else None)
        (image,) = await pull(host, request, lambda line: None)
    elif verb == "load":
        image = (await use.load(host, body(Path(what).read_bytes()), lambda line: None))[-1]
    elif verb == "save":
        data = b"".join([chunk async for chunk in use.save(host, use.select(host, [what]))])
        Path(name).write_bytes(data)
        image = host.images.get(what)
    else:
        use.tag(host, what, name)
        await push(host, PushRequest(reference.parse(name).with_default_tag()), lambda line: None)
        image = host.images.get(name)
    image = host.images.by_id(image.id)
    print(json.dumps({"id": image.id, "manifest": image.manifest, "tags": image.repo_tags}))

asyncio.run(main(*sys.argv[1:]))
"""


@dataclass
class Lab:
    """A dockerd, and in its network our registry and Debian's; addresses on loopback."""

    peer: Peer
    ours: str
    theirs: str

    def engine(self, verb: str, what: str, name: str = "") -> dict[str, str]:
        """Our image code, in the peer's network, with a store of its own."""
        root = f"{self.peer.state}/store"
        argv = self.peer.host.command(sys.executable, "-c", OURS, root, verb, what, name)
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        found: dict[str, str] = json.loads(done.stdout)
        return found

    def inside(self, *argv: str) -> str:
        result = run(list(self.peer.inside(*argv)), timeout=120)
        assert result.status == 0, result
        return result.out.rstrip("\n")

    def podman(self, *words: str) -> str:
        state = self.peer.state
        options = ["--root", f"{state}/podman", "--runroot", f"{state}/podman-run", "--storage-driver", "vfs"]
        return self.inside("podman", *options, "--tmpdir", f"{state}/podman-tmp", *words)

    def digest(self, name: str) -> str:
        """What dockerd says about a name from a registry."""
        (found,) = json.loads(self.peer.ok("image", "inspect", name))
        repository = name.rpartition(":")[0]
        return next(entry for entry in found["RepoDigests"] if entry.startswith(repository)).partition("@")[2]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with laboratory() as found:
        found.peer.load_busybox()
        yield found


@contextmanager
def laboratory(*flags: str) -> Iterator[Lab]:
    peer = Peer(*flags)
    peer.start()
    command = str(Path(sys.executable).with_name("sampan"))
    ours, theirs = "127.0.0.1:5000", "127.0.0.1:5001"
    serve = ("registry", "serve", "--root", f"{peer.state}/ours", "--listen", ours)
    try:
        with (
            docker_registry_on(peer.host, peer.state / "theirs", theirs),
            peer.host.popen(command, *serve, stdout=subprocess.PIPE) as server,
        ):
            try:
                assert server.stdout is not None and b"serving" in server.stdout.readline()
                yield Lab(peer, ours, theirs)
            finally:
                server.terminate()
    finally:
        peer.close()


def test_dockerd_and_we_pull_what_the_other_pushed(lab: Lab) -> None:
    peer = lab.peer
    peer.ok("tag", "busybox", f"{lab.ours}/box:1")
    peer.ok("push", f"{lab.ours}/box:1")
    digest = lab.digest(f"{lab.ours}/box:1")
    got = lab.engine("pull", f"{lab.ours}/box:1")
    assert got["manifest"] == digest
    assert lab.engine("push", got["id"], f"{lab.theirs}/box:2")["manifest"] == digest
    peer.ok("rmi", f"{lab.ours}/box:1", "busybox")
    for name in (f"{lab.theirs}/box:2", f"{lab.ours}/box:1"):
        peer.ok("pull", name)
        assert lab.digest(name) == digest
    assert json.loads(peer.ok("image", "inspect", f"{lab.ours}/box:1"))[0]["Id"] == got["id"]
    peer.ok("tag", f"{lab.ours}/box:1", "busybox")


def test_podman_and_skopeo_keep_every_digest(lab: Lab) -> None:
    lab.peer.ok("tag", "busybox", f"{lab.ours}/both:1")
    lab.peer.ok("push", f"{lab.ours}/both:1")
    digest = lab.digest(f"{lab.ours}/both:1")
    lab.podman("pull", "-q", "--tls-verify=false", f"{lab.ours}/both:1")
    assert lab.podman("image", "inspect", "--format", "{{.Digest}}", f"{lab.ours}/both:1") == digest
    layout, plain = f"oci:{lab.peer.state}/layout:1", f"dir:{lab.peer.state}/dir"
    source = ("skopeo", "copy", "-q", "--src-tls-verify=false")
    target = ("skopeo", "copy", "-q", "--dest-tls-verify=false")
    inspect = ("skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}")
    lab.inside(*source, "--preserve-digests", f"docker://{lab.ours}/both:1", plain)
    for address in (lab.theirs, lab.ours):
        lab.inside(*target, plain, f"docker://{address}/from:1")
        assert lab.inside(*inspect, f"docker://{address}/from:1") == digest
    # As OCI it is another image; from then on it stays.
    lab.inside(*source, f"docker://{lab.ours}/both:1", layout)
    lab.inside(*target, layout, f"docker://{lab.ours}/oci:1")
    assert lab.engine("pull", f"{lab.ours}/oci:1")["manifest"] == lab.inside(*inspect, f"docker://{lab.ours}/oci:1")
    lab.podman("push", "-q", "--tls-verify=false", f"{lab.ours}/both:1", f"{lab.ours}/podman:1")
    lab.engine("pull", f"{lab.ours}/podman:1")


def test_archives_of_docker_podman_and_skopeo_load_and_ours_load_there(lab: Lab) -> None:
    state, image = lab.peer.state, json.loads(lab.peer.ok("image", "inspect", "busybox"))[0]["Id"]
    lab.peer.ok("save", "-o", f"{state}/docker.tar", "busybox")
    lab.podman("load", "-q", "-i", f"{state}/docker.tar")
    for kind in ("docker-archive", "oci-archive"):
        lab.podman("save", "-q", "--format", kind, "-o", f"{state}/podman-{kind}.tar", "busybox")
        target = f"{kind}:{state}/skopeo-{kind}.tar:docker.io/library/skopeo:1"
        lab.inside("skopeo", "copy", "-q", f"docker-archive:{state}/docker.tar", target)
    # podman and skopeo keep the configuration in Docker's format, and write another one as OCI.
    for archive in ("docker", "podman-docker-archive", "skopeo-docker-archive"):
        assert lab.engine("load", f"{state}/{archive}.tar")["id"] == image, archive
    converted = [lab.engine("load", f"{state}/{who}-oci-archive.tar") for who in ("podman", "skopeo")]
    assert "busybox:latest" in converted[0]["tags"]
    lab.engine("load", f"{state}/docker.tar")
    lab.engine("save", "busybox", f"{state}/ours.tar")
    lab.peer.ok("rmi", "-f", image)
    assert "Loaded image: busybox:latest" in lab.peer.ok("load", "-i", f"{state}/ours.tar")
    assert json.loads(lab.peer.ok("image", "inspect", "busybox"))[0]["Id"] == image
    inspect = ("skopeo", "inspect", "--format", "{{.Architecture}}")
    assert lab.inside(*inspect, f"docker-archive:{state}/ours.tar") == "amd64"


def index_of(archive: Path) -> str:
    """The digest of the index that an archive is about."""
    with tarfile.open(archive) as tar:
        file = tar.extractfile("index.json")
        assert file is not None
        (entry,) = json.load(file)["manifests"]
    digest: str = entry["digest"]
    return digest


def test_what_buildkit_and_containerds_store_write_comes_in_and_goes_on_whole() -> None:
    with laboratory("--feature", "containerd-snapshotter=true") as lab:
        state, name = lab.peer.state, f"{lab.ours}/made:1"
        (state / "context").mkdir()
        (state / "context/Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /deep/f\n")
        platforms = ("--platform", "linux/arm64,linux/amd64")
        build = ("docker", "-H", lab.peer.url, "buildx", "build", "-q", "-t", name)
        stated = ("--provenance=mode=max", *platforms)
        index = lab.inside(*build, *stated, f"{state}/context")
        own = lab.peer.ok("image", "inspect", "--platform", "linux/amd64", "-f", "{{.Id}}", name)
        lab.peer.ok("save", "-o", f"{state}/saved.tar", name)
        lab.inside(*build, *stated, "--output", f"type=oci,dest={state}/oci.tar", f"{state}/context")
        lab.inside(*build, "--provenance=false", "--output", f"type=docker,dest={state}/docker.tar", f"{state}/context")
        for archive in ("saved", "oci"):
            got = lab.engine("load", f"{state}/{archive}.tar")
            assert got["manifest"] == own and name in got["tags"]
            lab.engine("push", name, f"{lab.theirs}/{archive}:1")
            inspect = ("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{lab.theirs}/{archive}:1")
            assert digests.of_bytes(lab.inside(*inspect).encode()) == index_of(state / f"{archive}.tar")
        assert index_of(state / "saved.tar") == index
        assert lab.engine("load", f"{state}/docker.tar")["manifest"] == own
        # The index goes on to where it came from, by way of dockerd's push, our pull and our push.
        lab.peer.ok("push", name)
        for platform in ("linux/arm64", "linux/amd64"):
            lab.engine("pull", name, platform)
        lab.engine("push", name, f"{lab.theirs}/pulled:1")
        lab.peer.ok("pull", "--platform", "linux/arm64", f"{lab.theirs}/pulled:1")
        assert lab.digest(f"{lab.theirs}/pulled:1") == index
