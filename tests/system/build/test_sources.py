"""What a build fetches from elsewhere comes once: by ETag or digest from the web, by commit from git."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ...support.daemon import Daemon

_SERVE = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        data = open(sys.argv[1] + "/served", "rb").read()
        tag = '"%d"' % hash(data)
        known = self.headers.get("If-None-Match") == tag
        self.send_response(304 if known else 200)
        self.send_header("ETag", tag)
        self.send_header("Last-Modified", "Sat, 01 Jan 2022 00:00:00 GMT")
        self.send_header("Content-Length", str(0 if known else len(data)))
        self.end_headers()
        if not known:
            self.wfile.write(data)
        open(sys.argv[1] + "/log", "a").write("304\\n" if known else "200\\n")
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


@pytest.fixture
def web(daemon: Daemon, tmp_path: Path) -> Iterator[str]:
    """The URL of what `served` holds; `log` has the status of each answer."""
    process = daemon.host.popen(sys.executable, "-c", _SERVE, str(tmp_path), stdout=subprocess.PIPE)
    assert process.stdout is not None
    yield f"http://127.0.0.1:{int(process.stdout.readline())}/file"
    process.terminate()
    process.wait()
    process.stdout.close()


def _log(directory: Path) -> list[str]:
    found = (directory / "log").read_text().split() if (directory / "log").exists() else []
    (directory / "log").write_text("")
    return found


def _build(daemon: Daemon, directory: Path, dockerfile: str, *words: str) -> str:
    directory.mkdir(exist_ok=True)
    (directory / "Dockerfile").write_text(dockerfile)
    done = daemon.sampan("build", "-q", "--no-cache", *words, str(directory))
    assert done.status == 0, done
    return done.out.strip()


def test_a_file_comes_once(daemon: Daemon, web: str, name: str, tmp_path: Path) -> None:
    served, context = tmp_path / "served", tmp_path / "c"
    served.write_text(f"first {name}")
    dockerfile = f"FROM busybox\nADD {web} /f\n"
    for answers in (["200"], ["304"]):
        image = _build(daemon, context, dockerfile)
        assert _log(tmp_path) == answers
        said = daemon.ok("run", "--rm", image, "sh", "-c", "cat /f; stat -c ' %a %Y' /f")
        assert said == f"first {name} 600 1640995200"
    served.write_text(f"second {name}")
    assert daemon.ok("run", "--rm", _build(daemon, context, dockerfile), "cat", "/f") == f"second {name}"
    assert _log(tmp_path) == ["200"]
    digest = hashlib.sha256(served.read_bytes()).hexdigest()
    pinned = f"FROM busybox\nADD --checksum=sha256:{digest} {web} /f\n"
    _build(daemon, context, pinned)
    assert _log(tmp_path) == [], "what has the digest that is asked for need not be asked for"
    daemon.ok("builder", "prune", "-af")
    _build(daemon, context, pinned)
    assert _log(tmp_path) == ["200"]
    (context / "Dockerfile").write_text(f"FROM busybox\nADD --checksum=sha256:{'0' * 64} {web} /f\n")
    refused = daemon.sampan("build", str(context))
    assert refused.status == 1 and f"digest mismatch sha256:{digest}" in refused.err, refused


def _git(work: Path, *words: str) -> str:
    who = {f"GIT_{role}_{what}": "t@t" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {"PATH": os.environ["PATH"], "HOME": str(work), **who}
    command = ["git", "-C", str(work), *words]
    return subprocess.run(command, check=True, capture_output=True, env=environment, text=True).stdout.strip()


def _commit(work: Path, text: str) -> str:
    (work / "f").write_text(text)
    _git(work, "add", "f")
    _git(work, "commit", "-q", "-m", text)
    return _git(work, "rev-parse", "HEAD")


class _GitServer:
    def __init__(self, daemon: Daemon, base: Path) -> None:
        self._port = 20000 + os.getpid() % 20000
        self.url = f"git://127.0.0.1:{self._port}/repo"
        self._log = base / "git.log"
        with self._log.open("wb") as log:
            self._process = daemon.host.popen(
                "git", "daemon", "--reuseaddr", "--export-all", "--verbose", "--listen=127.0.0.1",
                f"--port={self._port}", f"--base-path={base}", str(base), stderr=log,
            )  # fmt: skip
        while b"Ready" not in self._log.read_bytes():
            assert self._process.poll() is None, self._log.read_text()

    def requests(self) -> int:
        """How often it was asked for anything."""
        return self._log.read_text().count("Request upload-pack")

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()


def test_a_commit_comes_once(daemon: Daemon, name: str, tmp_path: Path) -> None:
    work, context = tmp_path / "repo", tmp_path / "c"
    work.mkdir()
    _git(work, "init", "-q", "-b", "main")
    first = _commit(work, f"first {name}")
    server = _GitServer(daemon, tmp_path)
    try:
        dockerfile = f"FROM busybox\nADD {server.url}.git#main /r\n".replace("/repo.git", "/repo/.git")
        image = _build(daemon, context, dockerfile)
        assert daemon.ok("run", "--rm", image, "cat", "/r/f") == f"first {name}"
        before = server.requests()
        _build(daemon, context, dockerfile)
        assert server.requests() == before + 1, "it is asked where the branch is, and nothing more"
        second = _commit(work, f"second {name}")
        image = _build(daemon, context, dockerfile)
        assert daemon.ok("run", "--rm", image, "cat", "/r/f") == f"second {name}"
    finally:
        server.close()
    for commit, text in ((first, f"first {name}"), (second, f"second {name}")):
        image = _build(daemon, context, dockerfile.replace("#main", f"#{commit}"))
        assert daemon.ok("run", "--rm", image, "cat", "/r/f") == text, "a commit that is here needs no server"
    assert "source.git.checkout" in daemon.run("curl", "-s", "--unix-socket", daemon.socket, "http://d/system/df").out
    daemon.ok("builder", "prune", "-af")
    (context / "Dockerfile").write_text(dockerfile.replace("#main", f"#{first}"))
    assert daemon.sampan("build", "--no-cache", str(context)).status == 1
