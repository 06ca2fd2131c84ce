"""A layer that is planned in memory: what file actions change in a tree, which is looked into but not touched.

`LayerMembers` makes files and archive of it in one pass. The outcome is that of the same actions in a mounted overlay
whose difference is then read again (targets.py, layering.py), for less than half the price: overlayfs makes each file
twice over, and nothing has to be looked up, opened and read once more.

Planning gives up (`Unplanned`) where it takes a file system to know the outcome, or to word the error: removals,
archives, inherited ACLs, links that lead nowhere, files in the place of directories.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Hashable, Iterator

from ..cas.compression import Readable
from ..errors import DataLoss
from ..tree import writer
from ..tree.directories import Directories
from ..tree.entry import BLOCK_SIZE, DIRECTORY, HARDLINK, REGULAR, Entry
from ..tree.extract import WHITEOUT
from ..tree.header import render
from ..tree.metadata import is_kept, read_xattrs
from ..tree.reader import write_all
from .sources import SourceFile
from .writing import NewFile, Owner, look_up_owner

_SECOND = 1_000_000_000
_MOST_LINKS = 40  # path_resolution(7)


class Unplanned(Exception):
    """The outcome is for a file system to tell."""


class _Directory:
    """`merged`: the tree below has this directory too. `changed`: the layer has it."""

    __slots__ = ("above", "changed", "children", "merged", "mode", "mtime_ns", "owner", "path", "xattrs")

    def __init__(self, path: str, above: _Directory | None, mode: int, owner: Owner, mtime_ns: int) -> None:
        self.path, self.above, self.mode, self.owner, self.mtime_ns = path, above, mode, owner, mtime_ns
        self.children: dict[str, _Directory | _Leaf] = {}
        self.xattrs: dict[str, bytes] = {}
        self.merged = self.changed = False

    def change(self) -> None:
        """It becomes part of the layer, and so does what is above."""
        node: _Directory | None = self
        while node is not None and not node.changed:
            node.changed = True
            node = node.above

    def join(self, name: str) -> str:
        """The path of a name in it."""
        return f"{self.path}/{name}" if self.path else name

    def fill(self, name: str, child: _Directory | _Leaf) -> None:
        """Put in a name that is new, or another's."""
        self.children[name] = child
        self.mtime_ns = time.time_ns()
        self.change()


class _Leaf:
    """An inode that is no directory; it may have several names."""

    __slots__ = ("link", "mode", "mtime_ns", "open", "owner", "rdev", "xattrs")

    def __init__(self, new: NewFile) -> None:
        file = new.file
        self.mode, self.owner, self.mtime_ns = stat.S_IFMT(file.mode) | new.mode, new.owner, file.mtime_ns
        self.rdev, self.link, self.xattrs = 0, "", {}
        self.open = new.again or (lambda: file)
        if stat.S_ISLNK(file.mode):
            self.link = file.link()
        else:
            self.xattrs = _plain(file.xattrs())
        if stat.S_ISCHR(file.mode) or stat.S_ISBLK(file.mode):
            self.rdev = file.rdev
        if stat.S_ISSOCK(file.mode) or (stat.S_ISCHR(file.mode) and not file.rdev):
            raise Unplanned  # archives know no sockets, layers no such device


def _plain(xattrs: dict[str, bytes]) -> dict[str, bytes]:
    """Those that travel; an ACL would change the mode."""
    if any(name.startswith("system.") for name in xattrs):
        raise Unplanned
    return {name: value for name, value in xattrs.items() if is_kept(name)}


class PlannedLayer:
    """Implements Target. `base` is the path of the tree below, empty for the empty tree; a context manager."""

    def __init__(self, base: str) -> None:
        self._path = base
        self._base: Directories | None = None
        self._leaves: dict[Hashable, _Leaf] = {}
        self.root = _Directory("", None, 0o755, (0, 0), time.time_ns())
        if base:
            self._base = Directories(os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            self.root = _merged("", None, os.fstat(self._base.root))

    def __enter__(self) -> PlannedLayer:
        return self

    def __exit__(self, *_: object) -> None:
        if self._base is not None:
            self._base.forget()
            os.close(self._base.root)

    def owner(self, text: str) -> Owner | None:
        if text and ("etc" in self.root.children or not self._path):
            raise Unplanned  # the layer itself may say who that is
        return look_up_owner(self._path, text)

    def is_directory(self, path: str) -> bool:
        node: _Directory | None = self.root
        try:
            for part in path.split("/"):
                node = self._step(node, part) if node is not None else None
        except NotADirectoryError:
            return False
        return node is not None

    def enter(self, path: str, owner: Owner | None, mode: int = 0o755) -> _OpenDirectory:
        node, heir = self.root, owner
        parts = [part for part in path.split("/") if part not in ("", ".")]
        for number, part in enumerate(parts, 1):
            try:
                below = self._step(node, part)
            except NotADirectoryError as error:
                error.filename = "/" + "/".join(parts[:number])
                raise
            if below is None:
                # mkdir(2): in a set-gid directory the group is inherited, and so is the bit until modes are set
                heir = heir or (0, node.owner[1] if node.mode & stat.S_ISGID else 0)
                below = _make(node, part, heir, mode)
            node = below
        return _OpenDirectory(self, node)

    def unpack(self, path: str, archive: Readable, owner: Owner | None) -> None:
        raise Unplanned

    def link(self, path: str, target: str, owner: Owner | None) -> None:
        raise Unplanned

    def remove(self, path: str, *, required: bool) -> None:
        raise Unplanned

    def leaf(self, new: NewFile) -> _Leaf:
        """The inode that a new name is for."""
        if new.identity is None:
            return _Leaf(new)
        if new.identity not in self._leaves:
            self._leaves[new.identity] = _Leaf(new)
        return self._leaves[new.identity]

    def child(self, node: _Directory, name: str) -> _Directory | _Leaf | os.stat_result | None:
        """What a directory has under a name: planned, a directory below, anything else below, or nothing."""
        planned = node.children.get(name)
        if planned is not None or not node.merged or self._base is None:
            return planned
        try:
            found = os.stat(name, dir_fd=self._base.open(node.path), follow_symlinks=False)
        except FileNotFoundError:
            return None
        if not stat.S_ISDIR(found.st_mode):
            return found
        child = node.children[name] = _merged(node.join(name), node, found)
        child.xattrs = self._read_xattrs(child.path)
        return child

    def _read_xattrs(self, path: str) -> dict[str, bytes]:
        assert self._base is not None
        where = f"/proc/self/fd/{self._base.open(path)}/."
        if any(name.startswith("trusted.") for name in os.listxattr(where)):
            raise Unplanned  # overlayfs keeps them, an archive does not
        return _plain(read_xattrs(where))

    def _step(self, node: _Directory, name: str) -> _Directory | None:
        """The directory at a name, links followed; None where there is nothing at all."""
        pending, links = [name], 0
        while pending:
            part = pending.pop()
            if part in ("", ".", ".."):
                node = node.above or node if part == ".." else node
                continue
            child = self.child(node, part)
            if child is None and not links:
                return None
            if isinstance(child, _Directory):
                node = child
                continue
            links += 1
            target = self._link(node, part, child)
            if links > _MOST_LINKS:
                raise Unplanned
            node = self.root if target.startswith("/") else node
            pending += target.split("/")[::-1]
        return node

    def _link(self, node: _Directory, name: str, child: _Leaf | os.stat_result | None) -> str:
        mode = child.st_mode if isinstance(child, os.stat_result) else child.mode if child is not None else 0
        if mode and not stat.S_ISLNK(mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not isinstance(child, os.stat_result) or self._base is None:
            raise Unplanned  # a link that leads nowhere, or that the layer itself makes
        return os.readlink(name, dir_fd=self._base.open(node.path))


def _merged(path: str, above: _Directory | None, found: os.stat_result) -> _Directory:
    owner = (found.st_uid, found.st_gid)
    made = _Directory(path, above, stat.S_IMODE(found.st_mode), owner, found.st_mtime_ns)
    made.merged = True
    return made


def _make(above: _Directory, name: str, owner: Owner, mode: int) -> _Directory:
    if name.startswith(WHITEOUT):
        raise Unplanned
    made = _Directory(above.join(name), above, mode, owner, time.time_ns())
    made.changed = True
    above.fill(name, made)
    return made


class _OpenDirectory:
    """Implements writing.OpenDirectory."""

    def __init__(self, layer: PlannedLayer, directory: _Directory) -> None:
        self._layer = layer
        self._directories = {"": directory}
        self._times: list[tuple[_Directory, int]] = []

    def __enter__(self) -> _OpenDirectory:
        return self

    def __exit__(self, *_: object) -> None:
        for directory, mtime in self._times:
            directory.mtime_ns = mtime

    def put(self, path: str, new: NewFile) -> None:
        above, _, name = path.rpartition("/")
        directory = self._directories.get(above)
        if directory is None or name.startswith(WHITEOUT):
            raise Unplanned  # its own entry was excluded; or an archive would say something else by that name
        child = self._layer.child(directory, name)
        if stat.S_ISDIR(new.file.mode):
            made = child or _make(directory, name, new.owner, new.mode)
            if not isinstance(made, _Directory):
                raise Unplanned
            made.change()
            made.mode, made.owner = new.mode, new.owner
            made.xattrs = made.xattrs | _plain(new.file.xattrs())
            self._directories[path] = made
            self._times.append((made, new.file.mtime_ns))
        elif isinstance(child, _Directory):
            raise Unplanned
        else:
            directory.fill(name, self._layer.leaf(new))

    def describe(self, new: NewFile) -> None:
        directory = self._directories[""]
        directory.mode, directory.owner = new.mode, new.owner
        self._times.append((directory, new.file.mtime_ns))


class LayerMembers:
    """A planned layer as members to be made, and as an archive whose chunks go to `archive`. Implements Members."""

    def __init__(self, layer: PlannedLayer, archive: Callable[[bytes], object], epoch: int | None = None) -> None:
        self._root = layer.root
        self._archive = writer.Gathered(archive)
        self._youngest = None if epoch is None else epoch * _SECOND
        self._names: dict[int, str] = {}
        self._file: SourceFile | None = None

    def __iter__(self) -> Iterator[Entry]:
        yield self._dated(Entry("", DIRECTORY, self._root.mode, *self._root.owner), self._root.mtime_ns)
        for path, node in _walk(self._root):
            entry = self._directory(path, node) if isinstance(node, _Directory) else self._leaf(path, node)
            exact = self._dated(entry, node.mtime_ns).mtime
            entry.mtime = exact // _SECOND * _SECOND  # as all our archives have them
            self._archive.write(render(entry))
            entry.mtime = exact
            yield entry
        self._archive.write(writer.END)
        self._archive.flush()

    def _dated(self, entry: Entry, mtime_ns: int) -> Entry:
        entry.mtime = mtime_ns if self._youngest is None else min(mtime_ns, self._youngest)
        return entry

    def _directory(self, path: str, node: _Directory) -> Entry:
        return Entry(f"{path}/", DIRECTORY, node.mode, *node.owner, xattrs=node.xattrs)

    def _leaf(self, path: str, node: _Leaf) -> Entry:
        entry = Entry(path, writer.TYPES[stat.S_IFMT(node.mode)], stat.S_IMODE(node.mode), *node.owner)
        first = self._names.setdefault(id(node), path)
        if first != path:
            entry.type, entry.link = HARDLINK, first
            return entry
        entry.xattrs, entry.link = node.xattrs, node.link
        entry.major, entry.minor = os.major(node.rdev), os.minor(node.rdev)
        if entry.type == REGULAR:
            self._file = node.open()
            entry.size = self._file.size
        return entry

    def pour(self, fd: int, entry: Entry) -> None:
        file, size = self._file, 0
        assert file is not None
        holes = file.has_holes
        for chunk in file.chunks():
            size += len(chunk)
            self._archive.write(chunk)
            if not holes:
                write_all(fd, chunk)
        if size != entry.size:
            raise DataLoss(f"/{entry.name} changed while it was copied")
        if holes:
            file.pour(fd)
        if padding := -size % BLOCK_SIZE:
            self._archive.write(bytes(padding))


def _walk(root: _Directory) -> Iterator[tuple[str, _Directory | _Leaf]]:
    """What the layer has, in the order of `tree.walk`."""
    pending = [(root, iter(sorted(root.children)))]
    while pending:
        directory, names = pending[-1]
        name = next(names, None)
        if name is None:
            pending.pop()
            continue
        node = directory.children[name]
        if isinstance(node, _Leaf):
            yield directory.join(name), node
        elif node.changed:
            yield node.path, node
            pending.append((node, iter(sorted(node.children))))
