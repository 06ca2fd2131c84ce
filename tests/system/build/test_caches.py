"""Build caches that travel: `--cache-to` and `--cache-from`, between daemons that share nothing else."""

from __future__ import annotations

import json
import subprocess
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ...support.daemon import BIN, Daemon
from ...support.hosts import Result, connect
from .contexts import write_context

DOCKERFILE = """FROM busybox AS made
RUN echo {name} > /made
FROM busybox
COPY f /f
RUN date +%s%N > /when
COPY --from=made /made /
CMD ["cat", "/when"]
"""


def _context(directory: Path, name: str) -> str:
    return write_context(directory, DOCKERFILE.format(name=name), f="f")


class _Build:
    """What a build said: which steps were cached, warnings, the image."""

    def __init__(self, done: Result) -> None:
        assert done.status == 0, done
        events = [json.loads(line) for line in done.out.splitlines() if line.startswith("{")]
        names = {event["step"]: event["name"] for event in events if event["event"] == "StepStarted"}
        ends = [event for event in events if event["event"] == "StepDone"]
        self.cached = {names[event["step"]].split()[0] for event in ends if event.get("cached")}
        self.ran = {
            names[event["step"]] for event in ends
            if not event.get("cached") and names[event["step"]].startswith(("RUN", "COPY"))
        }  # fmt: skip
        self.warnings = [event["text"] for event in events if event["event"] == "Warned"]
        self.image = next(event["images"][0]["id"] for event in events if event["event"] == "ImageBuilt")


def _build(daemon: Daemon, *words: str) -> _Build:
    return _Build(daemon.sampan("build", "--progress", "rawjson", *words))


@pytest.fixture
def registry(daemon: Daemon, tmp_path: Path) -> Iterator[str]:
    """A registry's port on the daemon's host, which another host can reach."""
    process = daemon.host.popen(
        str(BIN / "sampan"), "registry", "serve", "--root", str(tmp_path / "root"), "--listen", "0.0.0.0:0",
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    yield process.stdout.readline().decode().split()[-1].rpartition(":")[2]
    process.terminate()
    assert process.wait(30) == 0
    process.stdout.close()


def _clone(daemon: Daemon, make_daemon: Callable[..., Daemon]) -> Daemon:
    """A daemon that has the same base image and nothing else, on another host: the first is 10.98.0.1 there."""
    other = make_daemon("--insecure-registry", "10.98.0.0/24", busybox=False)
    connect(daemon.host, other.host, subnet="10.98.0", name=f"c{other.host.pid}"[:10])
    base = subprocess.run(["docker", "-H", daemon.url, "save", "busybox"], capture_output=True, check=True)
    other.ok("load", stdin=base.stdout)
    return other


def _forget(daemon: Daemon) -> None:
    """As if it had never built anything."""
    for image in daemon.ok("images", "-q", "--filter", "dangling=true").split():
        daemon.ok("rmi", "-f", image)
    daemon.ok("builder", "prune", "-af")


def test_a_fresh_daemon_hits_what_another_built(
    make_daemon: Callable[..., Daemon], daemon: Daemon, registry: str, name: str, tmp_path: Path
) -> None:
    where, layout = _context(tmp_path / "c", name), tmp_path / "layout"
    ref, there = f"127.0.0.1:{registry}/cache:{name}", f"10.98.0.1:{registry}/cache:{name}"
    first = _build(
        daemon, "--cache-to", f"type=registry,ref={ref},mode=max", "--cache-to", f"type=registry,ref={ref}-min",
        "--cache-to", f"type=local,dest={layout},mode=max,tag=x", where,
    )  # fmt: skip
    assert len(first.ran) == 4
    other = _clone(daemon, make_daemon)
    for source in (there, f"type=registry,ref={there}", f"type=local,src={layout},tag=x"):
        again = _build(other, "--cache-from", source, where)
        assert not again.ran and not again.warnings, source
        assert again.image == first.image, "down to the times of its history"
        _forget(other)
    least = _build(
        other, "--cache-from", f"{there}-min", "--cache-to", f"type=local,dest={tmp_path}/all,mode=max", where
    )
    assert not least.ran and least.image == first.image, "mode=min has the copy, which is known by its definition"
    _forget(other)
    from_least = _build(other, "--cache-from", f"type=local,src={tmp_path}/all", where)
    assert not from_least.ran and from_least.image == first.image
    _context(tmp_path / "c", name)
    (tmp_path / "c/f").write_text("other")
    _forget(other)
    changed = _build(other, "--cache-from", there, where)
    assert {step.split()[0] for step in changed.ran} == {"COPY", "RUN"} and len(changed.ran) == 3
    other.ok("run", "--rm", changed.image, "test", "-s", "/when")
    _reproducible(daemon, other, tmp_path, there, ref)


def _reproducible(daemon: Daemon, other: Daemon, directory: Path, there: str, ref: str) -> None:
    """With SOURCE_DATE_EPOCH: the same digests whether the other builds by itself or takes what the first built."""
    where, dated = directory / "dated", ("--build-arg", "SOURCE_DATE_EPOCH=1600000000")
    where.mkdir()
    (where / "Dockerfile").write_text("FROM busybox\nCOPY f /d/\nRUN echo x > /d/x\n")
    (where / "f").write_text("f")
    first = _build(daemon, *dated, "--cache-to", f"type=registry,ref={ref}-dated", str(where))
    alone = _build(other, *dated, str(where))
    _forget(other)
    taken = _build(other, *dated, "--cache-from", f"{there}-dated", str(where))
    assert len(alone.ran) == 2 and not taken.ran
    assert first.image == alone.image == taken.image


def test_a_fresh_daemon_hits_an_images_inline_cache(
    make_daemon: Callable[..., Daemon], daemon: Daemon, registry: str, name: str, tmp_path: Path
) -> None:
    where = _context(tmp_path / "c", name)
    ref, there = f"127.0.0.1:{registry}/image:{name}", f"10.98.0.1:{registry}/image:{name}"
    first = _build(daemon, "-t", ref, "--cache-to", "type=inline", where)
    daemon.ok("push", ref)
    other = _clone(daemon, make_daemon)
    again = _build(other, "--cache-from", there, "--cache-to", "type=inline", where)
    assert not again.ran and again.image == first.image, "down to the inline cache"
    # the stock client's way, and an image that is here
    _forget(other)
    other.ok("pull", there)
    environment = {**other.environment(), "DOCKER_BUILDKIT": "0"}
    classic = subprocess.run(
        ["docker", "build", "--cache-from", there, where], env=environment, capture_output=True, text=True, check=False
    )
    assert classic.returncode == 0 and classic.stdout.count("Using cache") == 4, classic
    config = json.loads(_config(daemon, ref))
    records = json.loads(b64decode(config["moby.buildkit.cache.v0"]))
    assert {record["layers"][0]["layer"] for record in records} == {1, 2, 3}
    assert all(record["digest"].startswith("sha256:") for record in records)


def test_a_copy_is_not_known_by_definition_where_its_files_may_be_others(
    daemon: Daemon, name: str, tmp_path: Path
) -> None:
    run = f"RUN echo {name}; cp /proc/sys/kernel/random/uuid /made"
    dockerfile = f"FROM busybox AS made\n{run}\nRUN true\nFROM busybox\nCOPY --from=made /made /\n"
    where = write_context(tmp_path, dockerfile)
    first = _build(daemon, where)
    assert not _build(daemon, where).ran
    assert _build(daemon, "--no-cache", "--target", "made", where).ran == {run, "RUN true"}
    later = _build(daemon, where)
    assert {step.split()[0] for step in later.ran} == {"COPY"} and later.image != first.image
    assert not _build(daemon, where).ran
    filtered = _build(daemon, "--no-cache-filter", "made", where)
    assert len(filtered.ran) == 3 and filtered.image not in (first.image, later.image)
    assert _build(daemon, where).image == filtered.image


def test_sources_count_by_their_content_in_a_definition(daemon: Daemon, name: str, tmp_path: Path) -> None:
    """The context and a tag may change under a stage whose text stays the same."""
    base = f"base-{name}"
    daemon.ok("build", "-q", "-t", base, write_context(tmp_path / "base1", "FROM busybox\nRUN echo 1 > /b\n"))
    dockerfile = f"FROM {base} AS made\nCOPY f /f\nRUN cat /b /f > /made\nFROM busybox\nCOPY --from=made /made /\n"
    where = write_context(tmp_path / "c", dockerfile, f="one\n")
    first = _build(daemon, where)
    (tmp_path / "c/f").write_text("two\n")
    changed = _build(daemon, where)
    assert daemon.ok("run", "--rm", changed.image, "cat", "/made") == "1\ntwo"
    daemon.ok("build", "-q", "-t", base, write_context(tmp_path / "base2", "FROM busybox\nRUN echo 2 > /b\n"))
    moved = _build(daemon, where)
    assert daemon.ok("run", "--rm", moved.image, "cat", "/made") == "2\ntwo"
    (tmp_path / "c/f").write_text("one\n")
    back = _build(daemon, where)
    assert daemon.ok("run", "--rm", back.image, "cat", "/made") == "2\none"
    assert len({first.image, changed.image, moved.image, back.image}) == 4


def _config(daemon: Daemon, ref: str) -> bytes:
    return (daemon.data_root / "content/blobs/sha256" / daemon.ok("inspect", "-f", "{{.Id}}", ref)[7:]).read_bytes()


def test_a_cache_that_is_of_no_use_only_warns(
    make_daemon: Callable[..., Daemon], daemon: Daemon, registry: str, name: str, tmp_path: Path
) -> None:
    where, layout = _context(tmp_path / "c", name), tmp_path / "layout"
    first = _build(
        daemon, "--cache-to", f"type=local,dest={layout},mode=max", "-t", f"127.0.0.1:{registry}/plain:1", where
    )
    daemon.ok("push", f"127.0.0.1:{registry}/plain:1")
    other = _clone(daemon, make_daemon)
    for source, text in (
        (f"10.98.0.1:{registry}/missing:1", "failed to import cache from"),
        ("127.0.0.1:1/nobody:1", "failed to import cache from"),
        (f"10.98.0.1:{registry}/plain:1", "the image holds no cache"),
        (f"type=local,src={tmp_path}/nowhere", "index.json: not found"),
        (f"type=local,src={layout},tag=other", "index.json names no other"),
    ):
        found = _build(other, "--no-cache", "--cache-from", source, where)
        assert len(found.ran) == 4 and len(found.warnings) == 1 and text in found.warnings[0], (source, found.warnings)
    _forget(other)
    document = _config_in(layout)
    damaged = document.read_bytes()
    document.write_bytes(damaged[:-3] + b"???")
    found = _build(other, "--cache-from", f"type=local,src={layout}", where)
    assert found.warnings, "a byte is wrong"
    document.write_bytes(damaged)
    for path in (layout / "blobs/sha256").iterdir():
        if path.read_bytes()[:2] == b"\x1f\x8b" and path.stat().st_size < 1000:
            path.write_bytes(path.read_bytes()[:-1] + b"?")
    _forget(other)
    found = _build(other, "--cache-from", f"type=local,src={layout}", where)
    assert found.ran and any("is of no use" in text for text in found.warnings), found.warnings
    assert found.image != first.image


def _config_in(layout: Path) -> Path:
    """The cache config: the blob that names records."""
    return next(path for path in (layout / "blobs/sha256").iterdir() if b'"records"' in path.read_bytes())


def test_what_cannot_be_is_refused(daemon: Daemon, name: str, tmp_path: Path) -> None:
    where = _context(tmp_path / "c", name)
    for words, text in (
        (("--cache-to", "type=gha"), "unknown cache exporter"), (("--cache-from", "type=s3"), "unknown cache importer"),
        (("--cache-to", "type=inline,mode=max"), "invalid mode max"), (("--cache-to", "type=local"), "requires dest"),
        (("--cache-to", "type=registry,ref=a,compression=zstd"), "knows no compression"),
        (("--cache-to", "type=registry,ref=127.0.0.1:1/nobody"), "error writing cache to"),
    ):  # fmt: skip
        done = daemon.sampan("build", "-q", *words, where)
        assert done.status == 1 and text in done.err, (words, done)
    ignored = _build(daemon, "--cache-to", "type=registry,ref=127.0.0.1:1/nobody,ignore-error=true", where)
    assert any("error writing cache to" in text for text in ignored.warnings)
