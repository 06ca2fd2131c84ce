"""What the STATs of a transfer say of a tree, checked: nothing leads out of it, comes twice, or hangs in the air."""

from __future__ import annotations

import os
import stat
from typing import Final, NoReturn

import msgspec

from ..build.filetree import LINK_MODE, FileTree, Inode
from ..errors import InvalidArgument
from ..tree.entry import Limits
from .filemodes import from_go
from .proto.fsutil_pb2 import Stat

_LIMITS: Final = Limits()


class File(msgspec.Struct, frozen=True):
    """A regular file by its first name; `number` counts STATs. `size` and `mtime_ns` are what its STAT says."""

    path: str
    number: int
    inode: Inode
    size: int
    mtime_ns: int


class Listing:
    """`tree` has all names; `files` those whose contents are still to come."""

    def __init__(self) -> None:
        self.tree = FileTree()
        self.files: list[File] = []
        self._inodes: dict[str, Inode | None] = {}
        self._bytes = 0

    def add(self, found: Stat) -> None:
        """The next STAT."""
        path = found.path
        parent, slash, name = path.rpartition("/")
        self._check(path, parent if slash else None, name)
        self._bytes += max(0, found.size)
        if len(self._inodes) > _LIMITS.entries or self._bytes > _LIMITS.bytes:
            raise InvalidArgument("the build context is too large")
        inode = self._inode(found)
        if inode is not None:
            self.tree.insert(parent, name, path, inode)
            if stat.S_ISREG(inode.mode) and not found.linkname:
                self.files.append(File(path, len(self._inodes), inode, found.size, found.modTime))
        self._inodes[path] = inode

    def _check(self, path: str, parent: str | None, name: str) -> None:
        """A path leads nowhere else where each part of it has been checked as the name that it is in its directory."""
        if name in ("", ".", "..") or "\0" in name:
            refuse(f"{path!r} is no path inside it")
        if path in self._inodes:
            refuse(f"{path!r} comes twice")
        if parent is not None:
            above = self._inodes.get(parent)
            if above is None or not above.is_directory:
                refuse(f"{path!r} lies in no directory")

    def _inode(self, found: Stat) -> Inode | None:
        """None for a socket: no context has them."""
        mode = from_go(found.mode)
        if stat.S_ISREG(mode):
            return self._further(found) if found.linkname else _regular(found, mode)
        if stat.S_ISLNK(mode):
            if not found.linkname or "\0" in found.linkname:
                refuse(f"{found.path!r} is a link to nothing")
            return Inode(LINK_MODE, mtime_ns=found.modTime, link=found.linkname)
        if stat.S_ISSOCK(mode):
            return None
        inode = Inode(mode, mtime_ns=found.modTime, xattrs=_xattrs(found))
        if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            inode.rdev = _device(found)
        return inode

    def _further(self, found: Stat) -> Inode:
        """A hard link to a name that came before."""
        inode = self._inodes.get(found.linkname)
        if inode is None or not stat.S_ISREG(inode.mode):
            refuse(f"{found.path!r} is a further name of {found.linkname!r}, which is not there")
        return inode


def _regular(found: Stat, mode: int) -> Inode:
    if found.size < 0:
        refuse(f"{found.path!r} has a negative size")
    return Inode(mode, found.size, found.modTime, xattrs=_xattrs(found))


def _xattrs(found: Stat) -> dict[str, bytes]:
    xattrs = found.xattrs
    return dict(xattrs) if xattrs else {}  # most have none, and a map of protobuf's takes 2 us to copy


def _device(found: Stat) -> int:
    if not (0 <= found.devmajor < 1 << 32 and 0 <= found.devminor < 1 << 32):
        refuse(f"{found.path!r} is no device")
    return os.makedev(found.devmajor, found.devminor)


def refuse(why: str) -> NoReturn:
    """End a transfer that no honest client makes."""
    raise InvalidArgument(f"invalid build context: {why}")
