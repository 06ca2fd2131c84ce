"""Starting `sampand` where nobody listens on the default socket: on a fresh machine `sampan run` is one command."""

from __future__ import annotations

import os
import socket
import sys
import time

from .command import CommandFailed

PATIENCE_SECONDS = 15.0
LOG = "/var/log/sampand.log"
DISABLE = "SAMPAN_NO_AUTOSTART"


def ensure_daemon(url: str) -> None:
    """Start a daemon when the socket is dead and we may; otherwise leave the failure to the first request."""
    path = url.removeprefix("unix://")
    if os.geteuid() != 0 or os.environ.get(DISABLE) or _answers(path):
        return
    process = _spawn(url)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not _answers(path):
        finished, status = os.waitpid(process, os.WNOHANG)
        if finished and not _answers(path):
            raise CommandFailed(f"sampan: sampand ended with status {os.waitstatus_to_exitcode(status)}: see {LOG}")
        if time.monotonic() > deadline:
            raise CommandFailed(f"sampan: sampand does not answer on {url}: see {LOG}")
        time.sleep(0.02)  # a socket that does not exist yet has no event to wait on


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
    return True


def program() -> list[str]:
    """The `sampand` that was installed with us, or its module where there is no such file."""
    beside = os.path.join(os.path.dirname(os.path.realpath(sys.argv[0])), "sampand")
    if os.access(beside, os.X_OK):
        return [beside]
    return [sys.executable, "-I", "-c", "import sys; from sampan.daemon.main import main; sys.exit(main())"]


def _spawn(url: str) -> int:
    """In a session of its own, so that the terminal's signals do not reach it."""
    log = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    argv = [*program(), "-H", url]
    try:
        return os.posix_spawn(
            argv[0],
            argv,
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)],
            setsid=True,
        )
    finally:
        os.close(log)
        os.close(null)
