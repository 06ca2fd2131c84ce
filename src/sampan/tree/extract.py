"""Make files from a tar archive below a directory fd (S15, S17).

                      whiteouts=OVERLAY             whiteouts=DELETE            whiteouts=NONE
    `.wh.NAME`        character device 0:0 at NAME  NAME is removed             an ordinary file
    `.wh..wh..opq`    trusted.overlay.opaque=y      what the layer below has    an ordinary file
                      on the directory              in it is removed
    used for          a layer over lower layers     a layer into a full copy    docker cp, ADD, volume import

Names are cleaned lexically as Docker does: a leading slash counts for nothing, `..` may not lead above the root.
Parents are opened without following links; a parent that is a link is resolved inside the root. Nothing is ever
created through an existing link: what has an entry's name and is not a directory is removed first.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Protocol

from msgspec import Struct

from .directories import Directories
from .entry import BLOCK, CHARACTER, DIRECTORY, FIFO, HARDLINK, REGULAR, SYMLINK, ArchiveError, Entry, Limits
from .metadata import apply_node, set_owner_and_mode, write_xattrs
from .reader import Readable, TarReader
from .remove import remove

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
WHITEOUT, OPAQUE, RESERVED = ".wh.", ".wh..wh..opq", ".wh..wh."
OPAQUE_XATTR = "trusted.overlay.opaque"


class Whiteouts(Enum):
    """How `.wh.` names are understood."""

    NONE = 0
    OVERLAY = 1
    DELETE = 2


class Usage(Struct, frozen=True):
    """What a tree takes: bytes of file contents (each inode once) and the number of inodes."""

    bytes: int = 0
    inodes: int = 0


class Extracted(Struct, frozen=True):
    """What was made; `exact` unless something was replaced or removed on the way, so that only a walk can tell."""

    usage: Usage
    exact: bool


class ExtractOptions(Struct, frozen=True):
    """`owner` replaces every owner (docker cp -a into a container with a user); `map_owner` shifts ids (userns)."""

    whiteouts: Whiteouts = Whiteouts.NONE
    keep_directories: bool = False  # noOverwriteDirNonDir: a directory and a non-directory never replace each other
    owner: tuple[int, int] | None = None
    scope: tuple[int, str] | None = None
    """The container's whole tree and the path of the root in it, for links that are already there (docker cp)."""
    map_owner: Callable[[int, int], tuple[int, int]] | None = None
    own_root: bool = False
    """An entry for the root itself sets its owner and mode; layers always do."""
    complete: Callable[[int, int], None] = lambda fd, size: os.close(fd)
    """Takes the open fd and the size of each regular file that is complete, and closes it."""
    lower: Callable[[str], int | None] = lambda path: None
    """Finds `path` in the layers below: an O_PATH fd or None. For parents and link targets that a layer leaves out."""


class Members(Protocol):
    """What is to be made: entries in the order of an archive, parents first."""

    def __iter__(self) -> Iterator[Entry]: ...

    def pour(self, fd: int, entry: Entry) -> None:
        """Write the contents of the entry that came last, a regular file, into an empty file."""
        ...


def extract(root: int, stream: Readable, options: ExtractOptions, limits: Limits | None = None) -> Extracted:
    """Unpack a whole stream below the directory fd `root`. Raises ArchiveError, OSError; what was made stays."""
    return make(root, TarReader(stream, limits), options)


def make(root: int, members: Members, options: ExtractOptions) -> Extracted:
    """As `extract`, of members that need not come from an archive."""
    with Directories(root, *(options.scope or ())) as directories:
        return _Extraction(directories, members, options).run()


def clean(name: str) -> str:
    """A member's name relative to the root, or an error when it would leave it; the root itself is ''."""
    if not ("//" in name or "." in name):
        return name.strip("/")
    parts: list[str] = []
    for part in name.split("/"):
        if part == "..":
            if not parts:
                raise ArchiveError(f"archive entry {name!r} leads out of the root")
            parts.pop()
        elif part and part != ".":
            parts.append(part)
    return "/".join(parts)


class _Extraction:
    def __init__(self, directories: Directories, members: Members, options: ExtractOptions) -> None:
        self._directories = directories
        self._members = members
        self._options = options
        self._bytes = 0
        self._inodes = 0
        self._exact = True
        self._times: dict[str, int] = {}
        self._made: set[str] | None = None if options.whiteouts is Whiteouts.NONE else set()

    def run(self) -> Extracted:
        for entry in self._members:
            self._entry(entry)
        self._set_directory_times()
        return Extracted(Usage(self._bytes, self._inodes), self._exact)

    def _entry(self, entry: Entry) -> None:
        path = clean(entry.name)
        parent_path, _, name = path.rpartition("/")
        if self._made is not None and name.startswith(WHITEOUT):
            self._whiteout(parent_path, name)
            return
        if not path:
            self._root(entry)
            return
        make = _MAKERS.get(entry.type)
        if make is None:
            raise ArchiveError(f"unhandled tar header type {entry.type!r} of {entry.name!r}")
        self._own(entry)
        parent = self._parent(parent_path)
        try:
            make(self, parent, name, path, entry)
        except FileExistsError:
            if self._make_room(parent, name, path, entry):
                make(self, self._parent(parent_path), name, path, entry)
        self._inodes += entry.type != HARDLINK
        if self._made is not None:
            self._made.add(path)

    def _own(self, entry: Entry) -> None:
        if self._options.owner is not None:
            entry.uid, entry.gid = self._options.owner
        if self._options.map_owner is not None:
            entry.uid, entry.gid = self._options.map_owner(entry.uid, entry.gid)
        if entry.uid >= 0xFFFFFFFF or entry.gid >= 0xFFFFFFFF or entry.uid < 0 or entry.gid < 0:
            raise ArchiveError(f"archive entry {entry.name!r} has an owner out of range: {entry.uid}:{entry.gid}")

    def _root(self, entry: Entry) -> None:
        if entry.type != DIRECTORY:
            raise ArchiveError(f"archive entry {entry.name!r} would replace the root")
        if self._made is not None or self._options.own_root:
            self._own(entry)
            _set_open(self._directories.root, entry)
            self._times[""] = entry.mtime

    def _parent(self, path: str) -> int:
        try:
            return self._directories.open(path)
        except (FileNotFoundError, NotADirectoryError):
            return self._make_parents(path)

    def _make_parents(self, path: str) -> int:
        """A layer may leave out directories that the layer below has: then they look as they do there."""
        done, fd = "", self._directories.root
        for name in path.split("/"):
            above, done = done, f"{done}/{name}" if done else name
            try:
                fd = self._directories.open(done)
            except (FileNotFoundError, NotADirectoryError):
                self._implicit(self._directories.open(above), name, done)
                fd = self._directories.open(done)
        return fd

    def _implicit(self, parent: int, name: str, path: str) -> None:
        entry = Entry(path, DIRECTORY, 0o755)
        lower = self._options.lower(path)
        if lower is not None:
            found = os.fstat(lower)
            os.close(lower)
            if stat.S_ISDIR(found.st_mode):
                entry.mode, entry.mtime = stat.S_IMODE(found.st_mode), found.st_mtime_ns
                entry.uid, entry.gid = found.st_uid, found.st_gid
        else:
            self._own(entry)
        try:
            os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            pass
        else:
            self._make_room(parent, name, path, entry)
        self._directory(parent, name, path, entry)
        self._inodes += 1
        if lower is None:
            self._times.pop(path)

    def _make_room(self, parent: int, name: str, path: str, entry: Entry) -> bool:
        """Something has the entry's name: False when the entry is a directory that merges with it."""
        self._exact = False
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        is_directory = stat.S_ISDIR(found.st_mode)
        if is_directory and entry.type == DIRECTORY:
            self._merge(parent, name, path, entry)
            return False
        if self._options.keep_directories and is_directory:
            raise ArchiveError(f"cannot overwrite directory {_shown(path)} with non-directory {_shown(path)}")
        if self._options.keep_directories and entry.type == DIRECTORY:
            raise ArchiveError(f"cannot overwrite non-directory {_shown(path)} with directory {_shown(path)}")
        if is_directory:
            self._directories.forget()
            self._times = {key: value for key, value in self._times.items() if not _below(key, path)}
            parent = self._parent(path.rpartition("/")[0])
        was_whiteout = stat.S_ISCHR(found.st_mode) and found.st_rdev == 0
        remove(parent, name)
        if was_whiteout and entry.type == DIRECTORY and self._options.whiteouts is Whiteouts.OVERLAY:
            # the layer hides what was there and makes a directory of its own: it must not merge
            self._directory(parent, name, path, entry)
            os.setxattr(f"/proc/self/fd/{self._directories.open(path)}", OPAQUE_XATTR, b"y")
            return False
        return True

    def _merge(self, parent: int, name: str, path: str, entry: Entry) -> None:
        fd = os.open(name, _OPEN_DIRECTORY, dir_fd=parent)
        try:
            _set_open(fd, entry)
        finally:
            os.close(fd)
        self._times[path] = entry.mtime

    def _regular(self, parent: int, name: str, path: str, entry: Entry) -> None:
        fd = os.open(name, _CREATE, entry.mode & 0o777, dir_fd=parent)
        try:
            self._members.pour(fd, entry)
            _set_open(fd, entry)
            os.utime(fd, ns=(entry.mtime, entry.mtime))
        except BaseException:
            os.close(fd)
            raise
        self._options.complete(fd, entry.size)
        self._bytes += entry.size

    def _directory(self, parent: int, name: str, path: str, entry: Entry) -> None:
        os.mkdir(name, entry.mode & 0o777, dir_fd=parent)
        fd = os.open(name, _OPEN_DIRECTORY, dir_fd=parent)
        self._directories.keep(path, fd)
        _set_open(fd, entry)
        self._times[path] = entry.mtime

    def _symlink(self, parent: int, name: str, path: str, entry: Entry) -> None:
        if not entry.link:
            raise ArchiveError(f"archive entry {entry.name!r} is a link to nothing")
        os.symlink(entry.link, name, dir_fd=parent)
        os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        os.utime(name, ns=(entry.mtime, entry.mtime), dir_fd=parent, follow_symlinks=False)

    def _hardlink(self, parent: int, name: str, path: str, entry: Entry) -> None:
        target = clean(entry.link)
        if target == path:
            return
        target_parent, _, target_name = target.rpartition("/")
        source = os.dup(self._parent(target_parent))
        try:
            parent = self._directories.open(path.rpartition("/")[0])
            try:
                os.link(target_name, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
            except FileNotFoundError:
                self._copy_up(source, target_name, target)
                os.link(target_name, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(source)

    def _copy_up(self, parent: int, name: str, path: str) -> None:
        """A link to a file of a layer below: overlay would have copied it up when the link was made."""
        self._exact = False
        lower = self._options.lower(path)
        if lower is None:
            raise ArchiveError(f"hard link to {path!r}, which does not exist")
        try:
            found = os.fstat(lower)
            if not stat.S_ISREG(found.st_mode):
                raise ArchiveError(f"hard link to {path!r}, which is not a file")
            with open(f"/proc/self/fd/{lower}", "rb") as source:
                fd = os.open(name, _CREATE, 0o600, dir_fd=parent)
                try:
                    while os.sendfile(fd, source.fileno(), None, 1 << 24):
                        pass
                finally:
                    os.close(fd)
            mode = stat.S_IMODE(found.st_mode)
            apply_node(parent, name, mode, found.st_uid, found.st_gid, found.st_mtime_ns, {})
        finally:
            os.close(lower)

    def _device(self, parent: int, name: str, path: str, entry: Entry) -> None:
        kind = _NODE_KINDS[entry.type]
        if entry.type == CHARACTER and entry.major == entry.minor == 0 and self._made is not None:
            raise ArchiveError(f"archive entry {entry.name!r} is an overlay whiteout device")
        os.mknod(name, kind | 0o600, os.makedev(entry.major, entry.minor), dir_fd=parent)
        apply_node(parent, name, entry.mode, entry.uid, entry.gid, entry.mtime, entry.xattrs)

    def _whiteout(self, parent_path: str, name: str) -> None:
        parent = self._parent(parent_path)
        if name == OPAQUE:
            self._opaque(parent, parent_path)
            return
        if name.startswith(RESERVED):
            return  # aufs' own bookkeeping in old images
        hidden = name[len(WHITEOUT) :]
        if hidden in ("", ".", ".."):
            raise ArchiveError(f"invalid whiteout {name!r}")
        path = f"{parent_path}/{hidden}" if parent_path else hidden
        made = self._made or set()
        if self._options.whiteouts is Whiteouts.DELETE:
            if path not in made:
                self._directories.forget()
                remove(self._parent(parent_path), hidden)
            return
        try:
            os.mknod(hidden, stat.S_IFCHR, 0, dir_fd=parent)
            self._inodes += 1
        except FileExistsError:
            if path in made and stat.S_ISDIR(os.stat(hidden, dir_fd=parent, follow_symlinks=False).st_mode):
                self._opaque(self._directories.open(path), path)

    def _opaque(self, directory: int, path: str) -> None:
        if self._options.whiteouts is Whiteouts.OVERLAY:
            os.setxattr(f"/proc/self/fd/{directory}", OPAQUE_XATTR, b"y")
            return
        made = self._made or set()
        self._directories.forget()
        self._remove_unmade(path, made)

    def _remove_unmade(self, path: str, made: set[str]) -> None:
        fd = os.open(".", _OPEN_DIRECTORY, dir_fd=self._parent(path))
        try:
            for name in os.listdir(fd):
                below = f"{path}/{name}" if path else name
                if below not in made:
                    remove(fd, name)
                elif _is_directory(fd, name):
                    self._remove_unmade(below, made)
        finally:
            os.close(fd)

    def _set_directory_times(self) -> None:
        """Last, and children before parents: making a child changes the time of its parent."""
        for path in reversed(self._times):
            parent, _, name = path.rpartition("/")
            mtime = self._times[path]
            if path:
                os.utime(name, ns=(mtime, mtime), dir_fd=self._directories.open(parent), follow_symlinks=False)
            else:
                os.utime(f"/proc/self/fd/{self._directories.root}", ns=(mtime, mtime))


def _set_open(fd: int, entry: Entry) -> None:
    set_owner_and_mode(fd, entry.mode, entry.uid, entry.gid)
    if entry.xattrs:
        write_xattrs(f"/proc/self/fd/{fd}", entry.xattrs)


def _is_directory(directory: int, name: str) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)


def _below(path: str, root: str) -> bool:
    return path == root or path.startswith(f"{root}/")


def _shown(path: str) -> str:
    return f'"/{path}"'


_NODE_KINDS = {CHARACTER: stat.S_IFCHR, BLOCK: stat.S_IFBLK, FIFO: stat.S_IFIFO}
_MAKERS: dict[bytes, Callable[[_Extraction, int, str, str, Entry], None]] = {
    REGULAR: _Extraction._regular,
    HARDLINK: _Extraction._hardlink,
    SYMLINK: _Extraction._symlink,
    CHARACTER: _Extraction._device,
    BLOCK: _Extraction._device,
    DIRECTORY: _Extraction._directory,
    FIFO: _Extraction._device,
}
