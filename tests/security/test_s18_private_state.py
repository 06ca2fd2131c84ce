"""S18: other users can neither list nor read the engine's state."""

from __future__ import annotations

import os
import stat

from ..support.daemon import Daemon

NOBODY = 65534


def test_s18_no_directory_of_state_lets_other_users_in(daemon: Daemon, name: str) -> None:
    daemon.ok("run", "-d", "--name", name, "busybox", "sleep", "1000")
    container = daemon.ok("inspect", "--format", "{{.Id}}", name)
    try:
        for root in (daemon.data_root, daemon.exec_root):
            assert stat.S_IMODE(root.stat().st_mode) == 0o710
        for path in (
            daemon.data_root / "containers" / container,
            daemon.data_root / "snapshots",
            daemon.data_root / "sampan.db",
            daemon.exec_root / "shims" / container,
        ):
            assert not stat.S_IMODE(path.stat().st_mode) & 0o007, path
        assert _reachable_by_nobody(str(daemon.data_root), str(daemon.exec_root)) == []
    finally:
        daemon.ok("rm", "-f", name)


def _reachable_by_nobody(*roots: str) -> list[str]:
    """What a process of another user can open below the roots, tried for real."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        found = [path for root in roots for path in _openable(root)]
        os.write(writer, "\n".join(found).encode()[:4096])
        os._exit(0)
    os.close(writer)
    with open(reader) as pipe:
        found = pipe.read()
    os.waitpid(pid, 0)
    return found.split("\n") if found else []


def _openable(root: str) -> list[str]:
    found = []
    for path in (
        root,
        f"{root}/sampan.db",
        f"{root}/containers",
        f"{root}/content",
        f"{root}/snapshots",
        f"{root}/shims",
    ):
        try:
            os.close(os.open(path, os.O_RDONLY))
        except OSError:
            continue
        found.append(path)
    return found
