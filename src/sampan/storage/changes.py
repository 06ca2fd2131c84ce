"""What a tree changes against another: `docker diff` and layer tars.

The meaning is Docker's: a directory counts as modified when its owner or mode differ or something below it changed (a
new time alone does not count); anything else also when size or time differ. Times that lost their nanoseconds in a
tar compare as equal.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping

from sampan.tree import writer
from sampan.tree.directories import Directories
from sampan.tree.extract import OPAQUE, OPAQUE_XATTR, WHITEOUT
from sampan.tree.walk import Node, listing, walk

from .snapshotter import ADDED, DELETED, MODIFIED, Change

_SECOND = 1_000_000_000


def is_whiteout(found: os.stat_result) -> bool:
    """Whether an overlay layer hides this name (overlayfs.rst, "whiteouts and opaque directories")."""
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def is_opaque(directory: int, name: str) -> bool:
    """Whether an overlay directory hides what the layers below have in it."""
    try:
        return os.getxattr(f"/proc/self/fd/{directory}/{name}", OPAQUE_XATTR, follow_symlinks=False) == b"y"
    except OSError:
        return False


class Comparison:
    """`new` against `old` (None: nothing). With `overlay`, `new` is an upper directory rather than a whole tree.

    `markers` says that files named as in a layer tar mean what they mean there: fuse-overlayfs writes those.
    """

    def __init__(self, new: int, old: int | None, overlay: bool, markers: bool = False) -> None:
        self._markers = markers
        self._new = Directories(new)
        self._old = Directories(old) if old is not None else None
        self._overlay = overlay
        self._found: dict[str, int] = {}
        self._merged = {"": self._old is not None}  # directories that exist on both sides

    def run(self) -> list[Change]:
        """All changes, ordered by path, a directory before what is in it."""
        try:
            self._deleted("", whole=not self._overlay)
            for node in walk(self._new):
                self._compare(node)
        finally:
            self._new.forget()
            if self._old is not None:
                self._old.forget()
        return [Change(f"/{path}", self._found[path]) for path in sorted(self._found, key=lambda path: path.split("/"))]

    def _compare(self, node: Node) -> None:
        parent = node.path.rpartition("/")[0]
        if self._markers and node.name.startswith(WHITEOUT):
            self._compare_marker(parent, node.name)
            return
        old = self._old_stat(parent, node.name) if self._merged[parent] else None
        if self._overlay and is_whiteout(node.stat):
            if old is not None:
                self._mark(node.path, DELETED)
            return
        if old is None:
            self._mark(node.path, ADDED)
        elif not _same(node.stat, old) or not self._same_capability(node):
            self._mark(node.path, MODIFIED)
        if node.is_directory:
            self._merged[node.path] = old is not None and stat.S_ISDIR(old.st_mode)
            self._deleted(node.path, whole=not self._overlay or is_opaque(node.directory, node.name))

    def _compare_marker(self, parent: str, name: str) -> None:
        if name == OPAQUE:
            self._deleted(parent, whole=True)
        elif self._merged[parent] and self._old_stat(parent, name[len(WHITEOUT) :]) is not None:
            hidden = name[len(WHITEOUT) :]
            self._mark(f"{parent}/{hidden}" if parent else hidden, DELETED)

    def _deleted(self, path: str, whole: bool) -> None:
        """What only the old side has; an overlay directory that merges says so with whiteouts instead."""
        if not whole or not self._merged[path] or self._old is None:
            return
        for name in set(listing(self._old, path)) - set(listing(self._new, path)):
            self._mark(f"{path}/{name}" if path else name, DELETED)

    def _mark(self, path: str, kind: int) -> None:
        self._found[path] = kind
        parent = path.rpartition("/")[0]
        while parent and parent not in self._found:
            self._found[parent] = MODIFIED
            parent = parent.rpartition("/")[0]

    def _old_stat(self, path: str, name: str) -> os.stat_result | None:
        assert self._old is not None
        try:
            return os.stat(name, dir_fd=self._old.open(path), follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _same_capability(self, node: Node) -> bool:
        if not stat.S_ISREG(node.stat.st_mode) or self._old is None:
            return True
        parent = node.path.rpartition("/")[0]
        return _capability(node.directory, node.name) == _capability(self._old.open(parent), node.name)


def _same(new: os.stat_result, old: os.stat_result) -> bool:
    owner = (new.st_mode, new.st_uid, new.st_gid, new.st_rdev) == (old.st_mode, old.st_uid, old.st_gid, old.st_rdev)
    if not owner or stat.S_ISDIR(new.st_mode):
        return owner
    return new.st_size == old.st_size and _same_time(new.st_mtime_ns, old.st_mtime_ns)


def _same_time(one: int, other: int) -> bool:
    if one == other:
        return True
    return one // _SECOND == other // _SECOND and (one % _SECOND == 0 or other % _SECOND == 0)


def _capability(directory: int, name: str) -> bytes:
    try:
        return os.getxattr(f"/proc/self/fd/{directory}/{name}", "security.capability", follow_symlinks=False)
    except OSError:
        return b""


def overlay_layer(upper: int) -> Iterator[bytes]:
    """The layer tar of an overlay upper directory."""
    members = writer.Members()
    with Directories(upper) as directories:
        yield from writer.gather(_overlay_members(directories, members))


def _overlay_members(directories: Directories, members: writer.Members) -> Iterator[bytes]:
    for node in walk(directories):
        if is_whiteout(node.stat):
            yield writer.whiteout(node.path)
            continue
        yield from members.member(node, node.path)
        if node.is_directory and is_opaque(node.directory, node.name):
            yield writer.opaque(node.path)


def compared_layer(root: int, changes: list[Change]) -> Iterator[bytes]:
    """The layer tar of a whole tree, from its changes against the parent."""
    kinds = {change.path[1:]: change.kind for change in changes}
    members = writer.Members()
    with Directories(root) as directories:
        yield from writer.gather(_compared_members(directories, members, kinds))


def _compared_members(directories: Directories, members: writer.Members, kinds: dict[str, int]) -> Iterator[bytes]:
    for path, kind in kinds.items():
        if kind == DELETED:
            yield writer.whiteout(path)
            continue
        parent_path, _, name = path.rpartition("/")
        parent = directories.open(parent_path)
        node = Node(path, parent, name, os.stat(name, dir_fd=parent, follow_symlinks=False))
        yield from members.member(node, path)


def whole_tree(
    root: int, keep: Callable[[Node], bool] = lambda node: True, owner: writer.OwnerMap | None = None
) -> Iterator[bytes]:
    """The tar of everything below a directory: `docker export`, volume export.

    `owner` turns the (uid, gid) found into those written.
    """
    yield from writer.gather(_members(root, "", keep, owner))


def whole_trees(roots: Mapping[str, int]) -> Iterator[bytes]:
    """One tar of several trees: directory fds by the prefix that their paths have in it."""
    yield from writer.gather(piece for prefix, root in roots.items() for piece in _members(root, prefix))


def _members(
    root: int, prefix: str, keep: Callable[[Node], bool] = lambda node: True, owner: writer.OwnerMap | None = None
) -> Iterator[bytes]:
    members = writer.Members(owner)
    with Directories(root) as directories:
        for node in walk(directories):
            if keep(node):
                yield from members.member(node, prefix + node.path)
