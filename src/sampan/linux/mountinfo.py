"""What is mounted where, by /proc/self/mountinfo (proc_pid_mountinfo(5))."""

from __future__ import annotations

import re


def places() -> list[str]:
    """Every mount point, the last mounted last."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
        return [_unescape(line.split(" ", 5)[4]) for line in table]


def is_mount_point(path: str) -> bool:
    """Whether something is mounted right on `path` (a bind mount of the same file system counts)."""
    return path in places()


def _unescape(text: str) -> str:
    """Blanks and backslashes are octal."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text) if "\\" in text else text
