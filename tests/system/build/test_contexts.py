"""How a build context reaches the daemon: what travels, what arrives, what is kept of it."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sampan.cli import build_sync
from sampan.client.sync import Client
from sampan.dockerfile.ignore import IgnoreRules
from sampan.errors import Conflict, NotFound

from ...support.daemon import Daemon


class _Counted:
    """A socket before the daemon's that counts what clients send."""

    def __init__(self, daemon: Daemon) -> None:
        self.sent = 0
        self.path = f"{daemon.directory}/counted"
        self.url = f"unix://{self.path}"
        self._target = daemon.socket
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen(64)
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                client = self._listener.accept()[0]
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._connect, args=(client,)))
            self._threads[-1].start()

    def _connect(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server:
            server.connect(self._target)
            back = threading.Thread(target=self._pump, args=(server, client, False))
            back.start()
            self._pump(client, server, True)
            back.join()

    def _pump(self, source: socket.socket, target: socket.socket, count: bool) -> None:
        try:
            while data := source.recv(1 << 16):
                self.sent += len(data) if count else 0
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()
        os.unlink(self.path)


@contextmanager
def _counted(daemon: Daemon) -> Iterator[Callable[..., int]]:
    """A function that builds and gives the octets that it took."""
    counted = _Counted(daemon)

    def build(*words: str) -> int:
        before = counted.sent
        done = daemon.sampan("-H", counted.url, "build", "-q", *words)
        assert done.status == 0, done
        return counted.sent - before

    try:
        yield build
    finally:
        counted.close()


def _age(directory: Path) -> None:
    """As if all was written a while ago: digests of what was just changed are not remembered."""
    for path in directory.rglob("*"):
        os.utime(path, (1_700_000_000, 1_700_000_000), follow_symlinks=False)


def test_only_what_changed_travels(daemon: Daemon, name: str, tmp_path: Path) -> None:
    noise = random.Random(name)
    (tmp_path / "Dockerfile").write_text(f"FROM scratch\nLABEL a={name}\nCOPY . /c/\n")
    for number in range(20):
        (tmp_path / f"f{number}").write_bytes(noise.randbytes(100_000))
    (tmp_path / "same").write_bytes((tmp_path / "f0").read_bytes())
    with _counted(daemon) as build:
        assert 2_000_000 < build(str(tmp_path)) < 2_020_000, "equal files travel once"
        assert build(str(tmp_path)) < 8_000, "names and digests only"
        _age(tmp_path)
        assert build(str(tmp_path)) < 8_000, "touched is not changed"
        (tmp_path / "f7").write_bytes(noise.randbytes(50_000))
        assert 50_000 < build(str(tmp_path)) < 58_000
        (tmp_path / "f8").rename(tmp_path / "renamed")
        assert build("-t", name, str(tmp_path)) < 8_000, "what the daemon has need not come again under another name"
        daemon.ok("builder", "prune", "-f", "--filter", "type=source.local")
        assert build("--no-cache", str(tmp_path)) > 1_900_000, "and comes again once it was pruned"
        other = tmp_path.parent / f"{tmp_path.name}-other"
        subprocess.run(["cp", "-r", str(tmp_path), str(other)], check=True)
        assert build(str(other)) < 8_000, "another checkout of the same"
    found = daemon.ok("run", "--rm", "-v", f"{tmp_path}:/h", "busybox", "sh", "-c", "sha256sum /h/f7 | cut -c-64")
    shown = subprocess.run(["sha256sum", str(tmp_path / "f7")], capture_output=True, text=True, check=True).stdout
    assert shown.startswith(found)


def test_of_a_local_cache_travels_what_is_needed(daemon: Daemon, name: str, tmp_path: Path) -> None:
    text = f"FROM busybox\nRUN : {name}; dd if=/dev/urandom of=/{{}} bs=1M count=1\n"
    run = "RUN dd if=/dev/urandom of=/{} bs=1M count=2\n"
    where, layout = tmp_path / "c", tmp_path / "layout"
    where.mkdir()

    def write(second: str) -> None:
        (where / "Dockerfile").write_text(text.format("first") + run.format(second))

    def forget() -> None:
        daemon.ok("image", "prune", "-f")
        daemon.ok("builder", "prune", "-af")

    write("second")
    with _counted(daemon) as build:
        build("--cache-to", f"type=local,dest={layout},mode=max", str(where))
        source = ("--cache-from", f"type=local,src={layout}", str(where))
        assert build(*source) < 30_000, "all is here: documents only"
        forget()
        write("other")
        assert 1 << 20 < build(*source) < (1 << 20) + 60_000, "the layer of the step that hits"
        forget()
        write("second")
        assert 3 << 20 < build(*source) < (3 << 20) + 60_000
        forget()
        assert build("--no-cache", *source) < 30_000, "nothing is looked for"


def _special(directory: Path) -> None:
    (directory / "d/e").mkdir(parents=True)
    (directory / "d/f").write_text("f")
    os.chmod(directory / "d/f", 0o4755)
    os.link(directory / "d/f", directory / "d/e/g")
    os.symlink("../d/f", directory / "d/link")
    os.symlink("/nowhere", directory / "dangling")
    os.mkfifo(directory / "fifo")
    (directory / "left-out").write_text("x")
    (directory / ".dockerignore").write_text("left-*\n")
    os.setxattr(directory / "d/e", "user.of", b"directory")
    os.setxattr(directory / "d/f", "user.of", b"file")
    with open(directory / "holes", "wb") as file:
        file.truncate(64 << 20)
        file.seek(20 << 20)
        file.write(b"in the middle")
    _age(directory)


def test_all_kinds_of_files_arrive(daemon: Daemon, name: str, tmp_path: Path) -> None:
    context = tmp_path / "c"
    context.mkdir()
    (context / "Dockerfile").write_text(f"FROM busybox\nLABEL a={name}\nCOPY . /c/\n")
    _special(context)
    with _counted(daemon) as build:
        assert build("-t", name, str(context)) < 40_000, "holes do not travel"
    script = (
        "cd /c && find . | sort && stat -c '%n %a %u %h %s %Y' d/f d/e/g holes && readlink d/link && readlink dangling"
        " && test -p fifo && test d/f -ef d/e/g && tail -c +20971521 holes | head -c 13"
    )
    lines = daemon.ok("run", "--rm", name, "sh", "-c", script).splitlines()
    assert lines == [
        ".", "./.dockerignore", "./Dockerfile", "./d", "./d/e", "./d/e/g", "./d/f", "./d/link", "./dangling", "./fifo",
        "./holes", "d/f 4755 0 2 1 1700000000", "d/e/g 4755 0 2 1 1700000000",
        "holes 644 0 1 67108864 1700000000", "../d/f", "/nowhere", "in the middle",
    ]  # fmt: skip
    classic = subprocess.run(
        ["docker", "build", "-q", str(context)], env={**daemon.environment(), "DOCKER_BUILDKIT": "0"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert classic.returncode == 0, classic
    daemon.ok("rmi", name)


class _Meddling:
    """The client, but a file changes between the manifest and the contents, `times` times."""

    def __init__(self, client: Client, file: Path, times: int) -> None:
        self.client = self
        self._client, self._file, self._times = client, file, times

    def build_manifest(self, *arguments: Any) -> Any:
        return self._client.build_manifest(*arguments)

    def build_contents(self, *arguments: Any) -> Any:
        if self._times:
            self._times -= 1
            self._file.write_bytes(os.urandom(200_000 - self._times))
        return self._client.build_contents(*arguments)


def test_a_file_that_changes_while_it_is_sent(daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    context = tmp_path / "c"
    context.mkdir()
    (context / "f").write_bytes(os.urandom(200_000))
    rules = IgnoreRules([])
    with Client(daemon.url) as client:
        identity = client.build_session({})["Id"]
        build_sync.send(_Meddling(client, context / "f", 2), identity, "two", str(context), rules, {})  # type: ignore[arg-type]
        (context / "f").write_bytes(os.urandom(200_000))
        with pytest.raises(Exception, match="f changes while it is sent"):
            build_sync.send(_Meddling(client, context / "f", 9), identity, "nine", str(context), rules, {})  # type: ignore[arg-type]
        client.build_end(identity)


def test_damaged_contents_are_noticed_and_sent_again(daemon: Daemon, name: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY f /\n")
    (tmp_path / "f").write_text(f"what {name} holds")
    assert daemon.sampan("build", "-q", str(tmp_path)).status == 0
    packs = [path for path in (daemon.data_root / "build/context").iterdir() if name.encode() in path.read_bytes()]
    assert len(packs) == 1
    packs[0].write_bytes(packs[0].read_bytes().replace(b"holds", b"helds"))
    done = daemon.sampan("build", "-q", "--no-cache", str(tmp_path))
    assert done.status == 1 and "f: the stored build context is damaged, build again" in done.err, done
    assert daemon.sampan("build", "-q", "--no-cache", str(tmp_path)).status == 0


def test_manifests_are_looked_at(daemon: Daemon) -> None:
    good = ["f", 0o100644, 0, 1, "0" * 64]
    bad: list[list[list[Any]]] = [
        [["../f", *good[1:]]], [["f", 0o60644]], [["f", 0o100644, 0, 1, "xyz"]], [["f", 0o100644, 0, -1, "0" * 64]],
        [good, good], [["f", 0o120777]], [["f", 0o100644, 0, 0, "", "", "g"]],
        [[*good, "", "", [[0, 2]]]], [[*good, "", "", None, {"user.a": "?"}]], [["", *good[1:]]],
    ]  # fmt: skip
    with Client(daemon.url) as client:
        identity = client.build_session({})["Id"]
        for files in bad:
            with pytest.raises(Exception, match=r"invalid manifest|archive entry"):
                client.build_manifest(identity, "c", files)
        assert client.build_manifest(identity, "c", [good]) == {"Missing": [0]}
        with pytest.raises(Exception, match="ended early"):
            client.build_contents(identity, "c", b"")
        assert client.build_contents(identity, "c", b"x") == {"Changed": [0]}
        client.build_end(identity)


def test_what_was_handed_over_goes_with_the_client(daemon: Daemon, tmp_path: Path) -> None:
    """A client that dies before its build leaves nothing, however long the daemon would have waited for it."""
    from sampan.client.images import build_watch_call

    with Client(daemon.url) as client, client.clone() as watched:
        session = client.build_session({"s": "c2VjcmV0"})["Id"]
        other = client.build_session({})["Id"]
        connection = watched.hijack(build_watch_call(session))
        client.build_manifest(session, "c", [])
        connection.close()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:  # the daemon tells nobody
            try:
                client.build_contents(session, "d", b"")
            except NotFound:
                break
            except Conflict:
                time.sleep(0.05)
        else:
            raise AssertionError("it is still there")
        client.build_manifest(other, "c", [])
        client.build_end(other)
