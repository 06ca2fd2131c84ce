"""mount(8) options as the kernel takes them: flags, and what is left for the file system."""

from __future__ import annotations

from dataclasses import dataclass

from sampan.linux.mount import (
    MS_BIND,
    MS_DIRSYNC,
    MS_MANDLOCK,
    MS_NOATIME,
    MS_NODEV,
    MS_NODIRATIME,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_RELATIME,
    MS_REMOUNT,
    MS_SHARED,
    MS_SLAVE,
    MS_STRICTATIME,
    MS_SYNCHRONOUS,
    MS_UNBINDABLE,
)

SET: dict[str, int] = {
    "ro": MS_RDONLY, "nosuid": MS_NOSUID, "nodev": MS_NODEV, "noexec": MS_NOEXEC, "sync": MS_SYNCHRONOUS,
    "dirsync": MS_DIRSYNC, "mand": MS_MANDLOCK, "noatime": MS_NOATIME, "nodiratime": MS_NODIRATIME,
    "relatime": MS_RELATIME, "strictatime": MS_STRICTATIME, "bind": MS_BIND, "rbind": MS_BIND | MS_REC,
    "remount": MS_REMOUNT, "defaults": 0,
}  # fmt: skip
CLEAR: dict[str, int] = {
    "rw": MS_RDONLY, "suid": MS_NOSUID, "dev": MS_NODEV, "exec": MS_NOEXEC, "async": MS_SYNCHRONOUS,
    "nomand": MS_MANDLOCK, "atime": MS_NOATIME, "diratime": MS_NODIRATIME, "norelatime": MS_RELATIME,
    "nostrictatime": MS_STRICTATIME,
}  # fmt: skip
PROPAGATION: dict[str, int] = {
    "private": MS_PRIVATE, "rprivate": MS_PRIVATE | MS_REC, "shared": MS_SHARED, "rshared": MS_SHARED | MS_REC,
    "slave": MS_SLAVE, "rslave": MS_SLAVE | MS_REC, "unbindable": MS_UNBINDABLE, "runbindable": MS_UNBINDABLE | MS_REC,
}  # fmt: skip


@dataclass(frozen=True)
class MountOptions:
    """`flags` for mount(2), a `propagation` change to be made afterwards (0: none), `data` for the file system."""

    flags: int
    propagation: int
    data: list[str]


def parse(text: str) -> MountOptions:
    """The options of an `o=` text; later ones win."""
    flags, propagation, data = 0, 0, []
    for option in filter(None, text.split(",")):
        if option in SET:
            flags |= SET[option]
        elif option in CLEAR:
            flags &= ~CLEAR[option]
        elif option in PROPAGATION:
            propagation = PROPAGATION[option]
        else:
            data.append(option)
    return MountOptions(flags, propagation, data)
