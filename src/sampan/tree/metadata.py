"""Owner, mode, times and extended attributes of one inode, by fd or by name in an open directory."""

from __future__ import annotations

import errno
import os
import stat

KEPT_XATTRS = ("security.capability", "system.posix_acl_access", "system.posix_acl_default")
_UNSUPPORTED = (errno.ENOTSUP, errno.EPERM, errno.ENODATA)


def is_kept(name: str) -> bool:
    """Whether an extended attribute travels: capabilities, ACLs and the user's own; never overlay's (S15)."""
    return name in KEPT_XATTRS or (name.startswith("user.") and not name.startswith("user.overlay."))


def read_xattrs(path: str | int) -> dict[str, bytes]:
    """The attributes that travel. `path` is an fd opened for reading, or a path whose last link is not followed."""
    follow = isinstance(path, int)
    try:
        names = os.listxattr(path, follow_symlinks=follow)
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return {}
        raise
    found = {}
    for name in names:
        if is_kept(name):
            try:
                found[name] = os.getxattr(path, name, follow_symlinks=follow)
            except OSError as error:  # removed since it was listed
                if error.errno not in _UNSUPPORTED:
                    raise
    return found


def write_xattrs(path: str | int, xattrs: dict[str, bytes]) -> None:
    """Set the attributes that travel; what the file system cannot hold is left out, as Docker does."""
    for name, value in xattrs.items():
        if not is_kept(name):
            continue
        try:
            os.setxattr(path, name, value)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise


def set_owner_and_mode(fd: int, mode: int, uid: int, gid: int) -> None:
    """Of an open file or directory, O_PATH or not. chown(2) clears set-id bits, hence the order.

    Looking costs a tenth of what a change does, which the file system writes to its journal each.
    """
    found = os.fstat(fd)
    if (found.st_uid, found.st_gid) != (uid, gid):
        os.chown(f"/proc/self/fd/{fd}", uid, gid)
        os.chmod(f"/proc/self/fd/{fd}", mode)
    elif stat.S_IMODE(found.st_mode) != mode:
        os.chmod(f"/proc/self/fd/{fd}", mode)


def apply_node(directory: int, name: str, mode: int, uid: int, gid: int, mtime: int, xattrs: dict[str, bytes]) -> None:
    """Set metadata of a node of any kind by name, without following it.

    chmod(2) has no way to leave links alone, so the node is pinned with O_PATH first: a container that swaps the name
    meanwhile wins nothing (S14). chown(2) clears set-id bits and capabilities, hence the order.
    """
    os.chown(name, uid, gid, dir_fd=directory, follow_symlinks=False)
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        if not stat.S_ISLNK(os.fstat(fd).st_mode):
            os.chmod(f"/proc/self/fd/{fd}", mode)
        if xattrs:
            write_xattrs(f"/proc/self/fd/{fd}", xattrs)
    finally:
        os.close(fd)
    os.utime(name, ns=(mtime, mtime), dir_fd=directory, follow_symlinks=False)
