"""The servers that ADD fetches from, on the loopback of an engine's own network namespace, and contexts on disk."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from ...support.hosts import Host
from .cases import COMMIT, GIT_PORT, PORT, Case, archive, text

SERVED = {"file.txt": text("from the web\n"), "a.tar.gz": archive("gz", a="web")}
_SERVE = """
import functools, http.server, sys
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1])
handler.log_message = None
class Quiet(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *args): super().__init__(*args, directory=sys.argv[1])
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Quiet)
print("ready", flush=True)
server.serve_forever()
"""
_WHO = {"GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@t", "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@t",
        "GIT_AUTHOR_DATE": "2020-01-01T00:00:00Z", "GIT_COMMITTER_DATE": "2020-01-01T00:00:00Z"}  # fmt: skip


class Origins:
    """A web and a git server; `close` ends both."""

    def __init__(self, host: Host, directory: Path) -> None:
        web = directory / "web"
        web.mkdir(parents=True)
        for name, file in SERVED.items():
            (web / name).write_bytes(file.data)
            os.utime(web / name, (1_500_000_000, 1_500_000_000))
        for name in ("Dockerfile", "tree.tar.gz"):
            (web / name).write_bytes(_context_files(name))
        _repository(directory / "git" / "repo.git")
        _with_submodule(directory / "git")
        self._processes = [
            host.popen(sys.executable, "-c", _SERVE, str(web), str(PORT), stdout=subprocess.PIPE),
            host.popen("git", "daemon", "--reuseaddr", "--export-all", "--verbose", "--listen=127.0.0.1",
                       f"--port={GIT_PORT}", f"--base-path={directory}/git", str(directory / "git"),
                       stderr=subprocess.PIPE),
        ]  # fmt: skip
        assert self._processes[0].stdout is not None and self._processes[1].stderr is not None
        self._processes[0].stdout.readline()
        self._processes[1].stderr.readline()  # «Ready to rumble»

    def close(self) -> None:
        for process in self._processes:
            process.terminate()
            process.wait()
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()


def _context_files(name: str) -> bytes:
    dockerfile = "FROM busybox\nCOPY . /c/\n"
    if name == "Dockerfile":
        return dockerfile.encode()
    return archive("gz", Dockerfile=dockerfile, a="web", d__b="deep").data


def _git(work: Path, *args: str) -> str:
    environment = {"PATH": os.environ["PATH"], "HOME": str(work.parent), **_WHO}
    command = ["git", "-C", str(work), *args]
    return subprocess.run(command, check=True, capture_output=True, env=environment, text=True).stdout.strip()


def _with_submodule(parent: Path) -> None:
    """`super.git` has `lib.git` at `lib`, by a relative URL, and a Dockerfile that wants both."""
    lib, work = parent / "lib.work", parent / "super.work"
    for path in (lib, work):
        path.mkdir()
        _git(path, "init", "-q", "-b", "master")
    (lib / "code").write_text("library\n")
    _git(lib, "add", ".")
    _git(lib, "commit", "-q", "-m", "lib")
    (work / "main").write_text("main\n")
    (work / "Dockerfile").write_text("FROM busybox\nCOPY . /c/\n")
    (work / ".gitmodules").write_text('[submodule "lib"]\n\tpath = lib\n\turl = ../lib.git\n')
    _git(work, "add", ".")
    _git(work, "update-index", "--add", "--cacheinfo", f"160000,{_git(lib, 'rev-parse', 'HEAD')},lib")
    _git(work, "commit", "-q", "-m", "super")
    _git(work, "tag", "-a", "-m", "annotated", "v2")
    for name in ("lib", "super"):
        _git(parent / f"{name}.work", "clone", "-q", "--bare", ".", str(parent / f"{name}.git"))


def _repository(path: Path) -> None:
    """A branch `master` with a tag `v1`, and a branch `other` with a sub-directory."""
    work = path.with_suffix(".work")
    work.mkdir(parents=True)

    def git(*args: str) -> None:
        _git(work, *args)

    git("init", "-q", "-b", "master")
    (work / "readme").write_text("one\n")
    (work / "Dockerfile").write_text("FROM busybox\nCOPY readme /\n")
    (work / "keep.Dockerfile").write_text("FROM busybox\nCOPY . /c/\nRUN test -d /c/.git && rm -r /c/.git\n")
    git("add", ".")
    git("commit", "-q", "-m", "one")
    git("tag", "v1")
    git("checkout", "-q", "-b", "other")
    (work / "sub").mkdir()
    (work / "sub/file").write_text("sub\n")
    (work / "sub/Dockerfile").write_text("FROM busybox\nCOPY file /\n")
    git("add", ".")
    git("commit", "-q", "-m", "two")
    git("checkout", "-q", "master")
    git("clone", "-q", "--bare", str(work), str(path))
    assert _git(work, "rev-parse", "v1") == COMMIT


def context(case: Case, directory: Path) -> list[str]:
    """Write a case's context; the words after `build`."""
    directory.mkdir(parents=True)
    for name, file in {"Dockerfile": text(fill(case.dockerfile)), **case.files}.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if file.link:
            path.symlink_to(file.link)
        else:
            path.write_bytes(file.data)
            path.chmod(file.mode)
    for parent, names, _ in os.walk(directory):
        for name in names:
            os.chmod(os.path.join(parent, name), 0o755)
    where = case.remote or str(directory)
    return [*(flag.replace("{context}", str(directory)) for flag in case.flags), where]


def fill(dockerfile: str) -> str:
    return dockerfile.replace("{sha256}", hashlib.sha256(SERVED["file.txt"].data).hexdigest())
