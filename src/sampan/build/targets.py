"""A mounted tree that file actions write to. Everything goes by fd below its root."""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Hashable
from types import TracebackType

from ..cas.compression import DEFAULT_LIMITS, Decompressed, Readable
from ..errors import InvalidArgument, NotFound
from ..linux.openat2 import make_directories, open_in_root
from ..tree.directories import Directories
from ..tree.extract import ExtractOptions, extract
from ..tree.metadata import apply_node, set_owner_and_mode, write_xattrs
from ..tree.remove import remove
from .writing import NewFile, Owner, look_up_owner

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_Names = dict[Hashable, tuple[str, str]]
"""By identity, the directory and the name that an inode was made at."""


class DiskTarget:
    """`root` is an open directory, `path` where it is mounted. Implements Target."""

    def __init__(self, root: int, path: str) -> None:
        self._root = root
        self._path = path
        self._linked: _Names = {}

    def owner(self, text: str) -> Owner | None:
        return look_up_owner(self._path, text)

    def is_directory(self, path: str) -> bool:
        try:
            os.close(open_in_root(self._root, path or ".", os.O_PATH | os.O_DIRECTORY))
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def enter(self, path: str, owner: Owner | None, mode: int = 0o755) -> _OpenDirectory:
        return _OpenDirectory(self._root, path, make_parents(self._root, path, owner, mode), self._linked)

    def unpack(self, path: str, archive: Readable, owner: Owner | None) -> None:
        directory = make_parents(self._root, path, owner)
        readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
        os.close(directory)
        try:
            extract(readable, Decompressed(archive, DEFAULT_LIMITS), ExtractOptions(owner=owner))
        finally:
            os.close(readable)

    def link(self, path: str, target: str, owner: Owner | None) -> None:
        parent, _, name = path.rpartition("/")
        directory = make_parents(self._root, parent, owner)
        try:
            os.symlink(target, name, dir_fd=directory)
            os.chown(name, *(owner or (0, 0)), dir_fd=directory, follow_symlinks=False)
        finally:
            os.close(directory)

    def remove(self, path: str, *, required: bool) -> None:
        parent, _, name = path.rstrip("/").rpartition("/")
        if not _exists(self._root, parent or "."):
            if required:
                raise NotFound(f"{path}: no such file or directory")
            return
        directory = open_in_root(self._root, parent or ".", os.O_PATH | os.O_DIRECTORY)
        try:
            if required:
                os.stat(name, dir_fd=directory, follow_symlinks=False)
            remove(directory, name)
        except FileNotFoundError:
            raise NotFound(f"{path}: no such file or directory") from None
        finally:
            os.close(directory)


class _OpenDirectory:
    """Owns `opened`, the O_PATH fd of the directory `path` of the tree."""

    def __init__(self, root: int, path: str, opened: int, linked: _Names) -> None:
        self._root = root
        self._path = path
        self._opened = opened
        self._linked = linked
        self._below = Directories(opened, root, path.strip("/"))
        self._times: list[tuple[str, int]] = []

    def __enter__(self) -> _OpenDirectory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._set_times()
        finally:
            self._below.forget()
            os.close(self._opened)

    def _set_times(self) -> None:
        for path, mtime in reversed(self._times):
            above, _, name = path.rpartition("/")
            os.utime(name, ns=(mtime, mtime), dir_fd=self._below.open(above), follow_symlinks=False)

    def describe(self, new: NewFile) -> None:
        where = f"/proc/self/fd/{self._opened}"
        os.chown(where, *new.owner)
        os.chmod(where, new.mode)
        self._times.insert(0, (".", new.file.mtime_ns))

    def put(self, path: str, new: NewFile) -> None:
        above, _, name = path.rpartition("/")
        directory = self._parent(above)
        shown = posixpath.join(self._path, above)
        if self._link_again(new.identity, directory, name, shown):
            return
        if stat.S_ISREG(new.file.mode):
            _make_file(new, directory, name, shown)
            return
        _make_other(new, directory, name, shown)
        if stat.S_ISDIR(new.file.mode):
            self._times.append((path, new.file.mtime_ns))

    def _parent(self, path: str) -> int:
        try:
            return self._below.open(path)
        except FileNotFoundError:  # its own entry was excluded, something below it was not
            os.close(make_directories(self._opened, path))
            return self._below.open(path)

    def _link_again(self, identity: Hashable | None, directory: int, name: str, above: str) -> bool:
        """A further name of an inode that is made already becomes a link to it."""
        if identity is None:
            return False
        first = self._linked.setdefault(identity, (above, name))
        if first == (above, name):
            return False
        origin = open_in_root(self._root, first[0] or ".", os.O_PATH | os.O_DIRECTORY)
        try:
            if not _is_same(origin, first[1], directory, name):
                _clear(directory, name, above)
                os.link(first[1], name, src_dir_fd=origin, dst_dir_fd=directory, follow_symlinks=False)
        finally:
            os.close(origin)
        return True


def _is_same(one: int, name: str, other: int, other_name: str) -> bool:
    """Whether two names stand for one inode: a file that is copied twice may come to its own place again."""
    try:
        found = os.stat(other_name, dir_fd=other, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.stat(name, dir_fd=one, follow_symlinks=False))


def _make_file(new: NewFile, directory: int, name: str, above: str) -> None:
    file = new.file
    target = _create(directory, name, above, new.mode & 0o777)
    try:
        file.pour(target)
        set_owner_and_mode(target, new.mode, *new.owner)
        if xattrs := file.xattrs():
            write_xattrs(target, xattrs)
        os.utime(target, ns=(file.mtime_ns, file.mtime_ns))
    finally:
        os.close(target)


def _make_other(new: NewFile, directory: int, name: str, above: str) -> None:
    file = new.file
    is_link = stat.S_ISLNK(file.mode)
    if stat.S_ISDIR(file.mode):
        _ensure_directory(directory, name, above)
    else:
        _clear(directory, name, above)
        if is_link:
            os.symlink(file.link(), name, dir_fd=directory)
        else:
            os.mknod(name, file.mode, file.rdev, dir_fd=directory)
    apply_node(directory, name, new.mode, *new.owner, file.mtime_ns, {} if is_link else file.xattrs())


def make_parents(root: int, path: str, owner: Owner | None, mode: int = 0o755) -> int:
    """Open a directory inside a root, making what is missing, owned by `owner`; the O_PATH fd of the last one."""
    missing: list[str] = []
    probe = path.rstrip("/")
    while probe and not _exists(root, probe):
        missing.append(probe)
        probe = probe.rpartition("/")[0]
    fd = make_directories(root, path, mode)
    for made in missing:
        one = open_in_root(root, made, os.O_PATH | os.O_DIRECTORY)
        try:
            os.chmod(f"/proc/self/fd/{one}", mode)  # mkdir(2) minds the umask
            if owner is not None:
                os.chown(f"/proc/self/fd/{one}", *owner)
        finally:
            os.close(one)
    return fd


def _exists(root: int, path: str) -> bool:
    try:
        os.close(open_in_root(root, path, os.O_PATH))
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _ensure_directory(directory: int, name: str, above: str) -> None:
    try:
        os.mkdir(name, 0o755, dir_fd=directory)
    except FileExistsError:
        if not stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
            raise InvalidArgument(f"cannot copy to non-directory: {posixpath.join('/', above, name)}") from None


def _create(directory: int, name: str, above: str, mode: int) -> int:
    """A new file; what has the name already is looked at only where there is something."""
    try:
        return os.open(name, _CREATE, mode, dir_fd=directory)
    except FileExistsError:
        _clear(directory, name, above)
    return os.open(name, _CREATE, mode, dir_fd=directory)


def _clear(directory: int, name: str, above: str) -> None:
    """Make room for a file; a directory in its place is an error."""
    try:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return
    if stat.S_ISDIR(found.st_mode):
        raise InvalidArgument(f"cannot replace to directory {posixpath.join('/', above, name)} with file")
    os.unlink(name, dir_fd=directory)
