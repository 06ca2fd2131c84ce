"""What a test session may leave on the machine: nothing.

Every daemon under test carries the session's token in its environment, in its cgroup parent and in its directories, so
that the check sees only what this session made, whatever else runs on the machine.
"""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from pathlib import Path

TOKEN = os.environ.setdefault("SAMPAN_TEST_TOKEN", uuid.uuid4().hex[:12])
"""Made by the first process of the session, inherited by xdist's workers and by everything that they start."""
CGROUP_PARENT = f"/sampan-test-{TOKEN}"
_ROOT = Path("/sys/fs/cgroup")


def session_dir() -> Path:
    """Where daemons under test keep their data: on the disk (not tmpfs), short for unix socket paths."""
    return Path("/var/tmp") / f"st-{TOKEN}"


def processes() -> list[str]:
    """Processes that carry the token, but for pytest itself."""
    mine = {os.getpid()}
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in mine:
            continue
        try:
            if f"SAMPAN_TEST_TOKEN={TOKEN}".encode() not in (entry / "environ").read_bytes().split(b"\0"):
                continue
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # ended meanwhile
        if "execnet" not in command and "pytest" not in command and command:
            found.append(f"process {entry.name}: {command[:120]}")
    return found


def mounts() -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [f"mount {line.split()[4]}" for line in lines if f"st-{TOKEN}" in line]


def cgroups() -> list[str]:
    """Groups but for the session's own and those that its daemons were given (named `<pid>-<number>`)."""
    parent = CGROUP_PARENT.lstrip("/")
    below = {path: path.parts[path.parts.index(parent) + 1 :] for path in _groups()}
    return [f"cgroup {path}" for path, parts in below.items() if len(parts) > 1 or not _is_daemons(*parts)]


def _is_daemons(name: str = "1-1") -> bool:
    return name.replace("-", "").isdigit()


def _groups() -> list[Path]:
    parent = CGROUP_PARENT.lstrip("/")
    return [path for path in [*_ROOT.glob(f"*/{parent}/**/"), *_ROOT.glob(f"{parent}/**/")] if path.is_dir()]


def machine_network() -> list[str]:
    """Links and nft tables of the machine's own namespace, which no test may touch."""
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    names = [f"link {line.split(': ')[1]}" for line in links.splitlines()]
    try:
        tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        tables = ""
    named = [f"netns {name}" for name in sorted(os.listdir("/run/netns"))] if os.path.isdir("/run/netns") else []
    return names + tables.splitlines() + named


def remaining(before: list[str], *, patience: float = 15) -> list[str]:
    """What is left over now; the kernel takes a moment to drop namespaces and cgroups."""
    deadline = time.monotonic() + patience
    while True:
        left = processes() + mounts() + cgroups() + [row for row in machine_network() if row not in before]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.2)  # the kernel announces none of these


def remove_session() -> None:
    """Remove the session's own directory and its empty cgroup parents."""
    subprocess.run(["rm", "-rf", "--one-file-system", str(session_dir())], check=True)
    for path in sorted(_groups(), key=lambda path: len(path.parts), reverse=True):
        path.rmdir()
