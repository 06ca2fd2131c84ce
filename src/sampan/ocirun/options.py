"""Mount options of an OCI configuration as values: mount(8)'s words in one table."""

from __future__ import annotations

from ..linux.mount import (
    MOUNT_ATTR__ATIME,
    MOUNT_ATTR_NOATIME,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NODIRATIME,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_NOSYMFOLLOW,
    MOUNT_ATTR_RDONLY,
    MOUNT_ATTR_STRICTATIME,
    MS_BIND,
    MS_DIRSYNC,
    MS_I_VERSION,
    MS_LAZYTIME,
    MS_MANDLOCK,
    MS_NOATIME,
    MS_NODEV,
    MS_NODIRATIME,
    MS_NOEXEC,
    MS_NOSUID,
    MS_NOSYMFOLLOW,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_RELATIME,
    MS_REMOUNT,
    MS_SHARED,
    MS_SILENT,
    MS_SLAVE,
    MS_STRICTATIME,
    MS_SYNCHRONOUS,
    MS_UNBINDABLE,
)

SET: dict[str, int] = {
    "acl": 0, "async": 0, "defaults": 0, "rw": 0,
    "bind": MS_BIND, "rbind": MS_BIND | MS_REC, "remount": MS_REMOUNT,
    "dirsync": MS_DIRSYNC, "iversion": MS_I_VERSION, "lazytime": MS_LAZYTIME, "mand": MS_MANDLOCK,
    "noatime": MS_NOATIME, "nodev": MS_NODEV, "nodiratime": MS_NODIRATIME, "noexec": MS_NOEXEC, "nosuid": MS_NOSUID,
    "nosymfollow": MS_NOSYMFOLLOW, "relatime": MS_RELATIME, "ro": MS_RDONLY, "silent": MS_SILENT,
    "strictatime": MS_STRICTATIME, "sync": MS_SYNCHRONOUS,
}  # fmt: skip
CLEAR: dict[str, int] = {
    "async": MS_SYNCHRONOUS, "atime": MS_NOATIME, "dev": MS_NODEV, "diratime": MS_NODIRATIME, "exec": MS_NOEXEC,
    "loud": MS_SILENT, "noiversion": MS_I_VERSION, "nolazytime": MS_LAZYTIME, "nomand": MS_MANDLOCK,
    "norelatime": MS_RELATIME, "nostrictatime": MS_STRICTATIME, "rw": MS_RDONLY, "suid": MS_NOSUID,
    "symfollow": MS_NOSYMFOLLOW,
}  # fmt: skip
PROPAGATION: dict[str, int] = {
    "private": MS_PRIVATE, "rprivate": MS_PRIVATE | MS_REC, "shared": MS_SHARED, "rshared": MS_SHARED | MS_REC,
    "slave": MS_SLAVE, "rslave": MS_SLAVE | MS_REC, "unbindable": MS_UNBINDABLE,
    "runbindable": MS_UNBINDABLE | MS_REC,
}  # fmt: skip
# mount_setattr(2) on the whole tree: option → (attributes to set, to clear).
RECURSIVE: dict[str, tuple[int, int]] = {
    "rro": (MOUNT_ATTR_RDONLY, 0), "rrw": (0, MOUNT_ATTR_RDONLY),
    "rnosuid": (MOUNT_ATTR_NOSUID, 0), "rsuid": (0, MOUNT_ATTR_NOSUID),
    "rnodev": (MOUNT_ATTR_NODEV, 0), "rdev": (0, MOUNT_ATTR_NODEV),
    "rnoexec": (MOUNT_ATTR_NOEXEC, 0), "rexec": (0, MOUNT_ATTR_NOEXEC),
    "rnodiratime": (MOUNT_ATTR_NODIRATIME, 0), "rdiratime": (0, MOUNT_ATTR_NODIRATIME),
    "rrelatime": (0, MOUNT_ATTR__ATIME), "rnorelatime": (0, 0),
    "rnoatime": (MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME), "ratime": (0, MOUNT_ATTR__ATIME),
    "rstrictatime": (MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME), "rnostrictatime": (0, MOUNT_ATTR__ATIME),
    "rnosymfollow": (MOUNT_ATTR_NOSYMFOLLOW, 0), "rsymfollow": (0, MOUNT_ATTR_NOSYMFOLLOW),
}  # fmt: skip
EXTENSIONS = ("tmpcopyup", "idmap", "ridmap", "copy-symlink", "src-nofollow")

_ATTRIBUTES = (
    (MS_RDONLY, MOUNT_ATTR_RDONLY),
    (MS_NOSUID, MOUNT_ATTR_NOSUID),
    (MS_NODEV, MOUNT_ATTR_NODEV),
    (MS_NOEXEC, MOUNT_ATTR_NOEXEC),
    (MS_NOATIME, MOUNT_ATTR_NOATIME),
    (MS_STRICTATIME, MOUNT_ATTR_STRICTATIME),
    (MS_NODIRATIME, MOUNT_ATTR_NODIRATIME),
    (MS_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW),
)


def attributes(flags: int) -> int:
    """MOUNT_ATTR_* of MS_* flags."""
    bits = 0
    for flag, attribute in _ATTRIBUTES:
        if flags & flag:
            bits |= attribute
    return bits


class Options:
    """The options of one mount, taken apart.

    `flags`, `cleared`: MS_* bits that are set, that are named by their opposite; `propagation`: MS_* one by one;
    `recursive`: attributes (set, clear) for the whole tree, or None; `data`: what is left for the file system.
    """

    __slots__ = ("cleared", "data", "extensions", "flags", "propagation", "recursive")

    def __init__(self, words: list[str]) -> None:
        self.flags = self.cleared = 0
        self.propagation: list[int] = []
        self.recursive: tuple[int, int] | None = None
        self.extensions: list[str] = []
        rest: list[str] = []
        for word in words:
            if word in SET or word in CLEAR:
                self._flag(SET.get(word, 0), CLEAR.get(word, 0))
            elif word in PROPAGATION:
                self.propagation.append(PROPAGATION[word])
            elif word in RECURSIVE:
                self._recurse(*RECURSIVE[word])
            elif word in EXTENSIONS:
                self.extensions.append(word)
            else:
                rest.append(word)
        self.data = ",".join(rest)

    def _flag(self, on: int, off: int) -> None:
        self.flags = (self.flags | on) & ~off
        self.cleared = (self.cleared | off) & ~on

    def _recurse(self, on: int, off: int) -> None:
        present_on, present_off = self.recursive or (0, 0)
        self.recursive = present_on & ~off | on, present_off & ~on | off
