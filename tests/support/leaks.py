"""What a test session may leave on the machine: nothing.

Every daemon under test carries the session's token in its environment, in its cgroup parent and in its directories, so
that the check sees only what this session made, whatever else runs on the machine.
"""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from errno import EBUSY, ENOENT
from pathlib import Path
from signal import SIGKILL

from sampan.linux.mount import MNT_DETACH, umount2

from . import machine

TOKEN = os.environ.setdefault("SAMPAN_TEST_TOKEN", uuid.uuid4().hex[:12])
"""Made by the first process of the session, inherited by xdist's workers and by everything that they start."""
CGROUP_PARENT = f"/sampan-test-{TOKEN}"
_ROOT = Path("/sys/fs/cgroup")
_OWNER = "owner"


def session_dir() -> Path:
    """Where daemons under test keep their data: on the disk (not tmpfs), short for unix socket paths."""
    return Path("/var/tmp") / f"st-{TOKEN}"


def processes() -> list[str]:
    """Processes that carry the token, but for pytest itself."""
    found = [(pid, command) for pid, command in _carriers(TOKEN) if pid != os.getpid()]
    return [
        f"process {pid}: {command[:120]}"
        for pid, command in found
        if "execnet" not in command and "pytest" not in command
    ]


def _carriers(token: str) -> list[tuple[int, str]]:
    """(pid, command line) of the processes that have the token in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if f"SAMPAN_TEST_TOKEN={token}".encode() not in (entry / "environ").read_bytes().split(b"\0"):
                continue
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # ended meanwhile
        if command:
            found.append((int(entry.name), command))
    return found


def mounts() -> list[str]:
    return [f"mount {place}" for place in _mounted(TOKEN)]


def _mounted(token: str) -> list[str]:
    """Mount points of the token's directory, the last mounted first."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line.split()[4] for line in reversed(lines) if f"st-{token}" in line]


def cgroups() -> list[str]:
    """Groups but for the session's own and those that its daemons were given (named `<pid>-<number>`)."""
    parent = CGROUP_PARENT.lstrip("/")
    below = {path: path.parts[path.parts.index(parent) + 1 :] for path in _groups(TOKEN)}
    return [f"cgroup {path}" for path, parts in below.items() if len(parts) > 1 or not _is_daemons(*parts)]


def _is_daemons(name: str = "1-1") -> bool:
    return name.replace("-", "").isdigit()


def _groups(token: str) -> list[Path]:
    return groups_below(f"sampan-test-{token}")


def groups_below(parent: str) -> list[Path]:
    """A control group and all below it, in every hierarchy; what vanishes meanwhile is left out."""
    tops = [*_ROOT.glob(f"*/{parent.strip('/')}"), _ROOT / parent.strip("/")]
    return [Path(path) for top in tops for path, _, _ in os.walk(top)]


def remaining(before: list[str], *, patience: float = 15) -> list[str]:
    """What is left over now; the kernel takes a moment to drop namespaces and cgroups."""
    deadline = time.monotonic() + patience
    while True:
        left = processes() + mounts() + cgroups() + [row for row in machine.network() if row not in before]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.2)  # the kernel announces none of these


def begin() -> list[str]:
    """Note who owns the session, end what sessions left that were killed, and return the machine's network."""
    directory = session_dir()
    directory.mkdir(exist_ok=True)
    (directory / _OWNER).write_text(machine.owner(os.getpid()) or "")
    for stale in dead_sessions():
        end(stale)
    return machine.network()


def dead_sessions() -> list[str]:
    """Tokens of directories whose noted owner has ended; what has no note, or one of another pid namespace, stays."""
    here = os.readlink("/proc/self/ns/pid")
    dead = []
    for path in Path("/var/tmp").glob(f"st-*/{_OWNER}"):
        noted = path.read_text().split(" ")
        if noted[0] == here and machine.owner(int(noted[1])) != " ".join(noted):
            dead.append(path.parent.name.removeprefix("st-"))
    return dead


def end(token: str) -> None:
    deadline = time.monotonic() + 10
    while (left := [pid for pid, _ in _carriers(token)] + _members(token)) and time.monotonic() < deadline:
        for pid in left:
            try:
                os.kill(pid, SIGKILL)
            except ProcessLookupError:
                pass  # went with its parent
        time.sleep(0.05)  # they are no children of ours
    for place in _mounted(token):
        umount2(place, MNT_DETACH)
    _remove(token)


def _members(token: str) -> list[int]:
    """Processes of the session's cgroups: what runs in containers has another environment."""
    found: list[int] = []
    for path in _groups(token):
        try:
            found += map(int, (path / "cgroup.procs").read_text().split())
        except OSError:
            continue  # gone meanwhile
    return found


def remove_session() -> None:
    """Remove the session's own directory and its empty cgroup parents."""
    _remove(TOKEN)


def _remove(token: str) -> None:
    for path in sorted(_groups(token), key=lambda path: len(path.parts), reverse=True):
        try:
            path.rmdir()
        except OSError as error:  # another session sweeps too, or the kernel is not done with its processes
            if error.errno not in (ENOENT, EBUSY):
                raise
    subprocess.run(["rm", "-rf", "--one-file-system", f"/var/tmp/st-{token}"], check=True)
