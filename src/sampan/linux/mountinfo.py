"""What is mounted where, by /proc/self/mountinfo (proc_pid_mountinfo(5))."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

OURS = "/proc/self/mountinfo"


class Mount:
    """One line: `device` as `major:minor`; `tags` say how it propagates; `options` are the file system's own."""

    __slots__ = ("device", "kind", "options", "place", "tags")

    def __init__(self, line: str) -> None:
        # "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue"
        before, _, after = line.rstrip("\n").partition(" - ")
        _, _, self.device, _, place, _, *self.tags = before.split(" ")
        self.kind, _, self.options = after.split(" ", 2)
        first, *rest = place.split("\\")  # blanks and backslashes are octal, in three digits
        self.place = first + "".join(chr(int(part[:3], 8)) + part[3:] for part in rest)


def mounts(path: str = OURS, containing: str = "") -> Iterator[Mount]:
    """Every mount, the last mounted last, of lines with a text in them: there may be thousands of others."""
    with open(path, encoding="utf-8", errors="surrogateescape") as table:
        yield from (Mount(line) for line in table if containing in line)


def places() -> list[str]:
    """Every mount point, the last mounted last."""
    return [mount.place for mount in mounts()]


def is_mount_point(path: str) -> bool:
    """Whether something is mounted right on `path` (a bind mount of the same file system counts)."""
    return path in places()
