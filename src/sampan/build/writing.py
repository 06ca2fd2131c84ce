"""File actions on a mounted tree: copy, make a directory, write a file, remove.

Everything goes by fd below the tree's root, links in the target are followed inside it as a container would (S06).
"""

from __future__ import annotations

import os
import posixpath
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass

from ..cas.compression import DEFAULT_LIMITS, Decompressed
from ..errors import InvalidArgument
from ..linux.openat2 import make_directories, open_in_root
from ..runtime import users
from ..tree.copy import copy_contents
from ..tree.directories import Directories
from ..tree.extract import ExtractOptions, extract
from ..tree.metadata import apply_node, read_xattrs, write_xattrs
from ..tree.reader import Readable
from ..tree.remove import remove
from ..tree.walk import Node
from .graph import Action, Copy, MakeDirectory, MakeFile, Remove
from .selecting import Exclusion, Selected, nodes, select

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_SMALL = 1 << 18
_SYMBOLIC = re.compile(r"^([ugoa]*)([-+=])([rwxXst]*)$")
_MAGIC = ((b"\x1f\x8b\x08", 0), (b"BZh", 0), (b"\xfd7zXZ\x00", 0), (b"\x28\xb5\x2f\xfd", 0), (b"ustar", 257))
_SEVERAL = "When using COPY with more than one source file, the destination must be a directory and end with a /"
_BAD_MODE = "invalid chmod parameter: '{}'. it should be octal string and between 0 and 07777"

Owner = tuple[int, int]


@dataclass(frozen=True)
class Tree:
    """`root` is an open directory, `path` where it is mounted; a build context keeps no owners."""

    root: int
    path: str
    keep_owner: bool = True


class Writer:
    """Applies actions to `target`; `inputs` gives the other trees by their number."""

    def __init__(self, target: Tree, inputs: Callable[[int], Tree]) -> None:
        self._target = target
        self._inputs = inputs

    def apply(self, action: Action) -> None:
        """One action; errors name the path."""
        match action:
            case Copy():
                _Copying(self._target, self._inputs(action.input), action, self.owner(action.owner)).run()
            case MakeDirectory():
                self._make_directory(action)
            case MakeFile():
                self._make_file(action)
            case Remove():
                self._remove(action.path)

    def owner(self, text: str) -> Owner | None:
        """`user[:group]` looked up in the target; None for the default."""
        return look_up_owner(self._target.path, text)

    def _make_directory(self, action: MakeDirectory) -> None:
        os.close(make_parents(self._target.root, action.path, self.owner(action.owner), action.mode))

    def _make_file(self, action: MakeFile) -> None:
        path = action.target + action.name if action.target.endswith("/") else action.target
        path = posixpath.join(path, action.name) if _is_directory(self._target.root, path) else path
        parent, _, name = path.rpartition("/")
        owner = self.owner(action.owner)
        directory = make_parents(self._target.root, parent, owner)
        try:
            _clear(directory, name, parent)
            fd = os.open(name, _CREATE, 0o600, dir_fd=directory)
            with os.fdopen(fd, "wb") as file:
                file.write(action.data.encode("utf-8", "surrogateescape"))
                os.fchown(fd, *(owner or (0, 0)))
                os.fchmod(fd, change_mode(0o644, action.mode, is_directory=False))
        finally:
            os.close(directory)

    def _remove(self, path: str) -> None:
        parent, _, name = path.rstrip("/").rpartition("/")
        try:
            directory = open_in_root(self._target.root, parent or ".", os.O_PATH | os.O_DIRECTORY)
        except FileNotFoundError:
            return
        try:
            remove(directory, name)
        finally:
            os.close(directory)


class _Copying:
    """One Copy action."""

    def __init__(self, target: Tree, source: Tree, action: Copy, owner: Owner | None) -> None:
        self._target = target
        self._source = source
        self._action = action
        self._owner = owner
        self._excluded = Exclusion(action.exclude)
        self._linked: dict[tuple[int, int], tuple[str, str]] = {}

    def run(self) -> None:
        action = self._action
        chosen = select(self._source.root, action.sources)
        several = len(chosen) > 1 and not action.parents and not action.target.endswith("/")
        if several and not _is_directory(self._target.root, action.target):
            raise InvalidArgument(_SEVERAL)
        with Directories(self._source.root) as sources:
            for one in chosen:
                if one.is_directory:
                    self._directory(sources, one)
                else:
                    self._file(sources, one)

    def _place(self, one: Selected) -> str:
        """Where a source lands: the directory for a directory, the path for a file."""
        target = self._action.target
        if self._action.parents:
            return posixpath.join(target, _kept(self._action.sources, one.written))
        if one.is_directory:
            return target
        if target.endswith("/") or _is_directory(self._target.root, target):
            return posixpath.join(target, posixpath.basename(one.written))
        return target

    def _file(self, sources: Directories, one: Selected) -> None:
        parent, _, name = one.path.rpartition("/")
        fd = sources.open(parent)
        node = Node(one.path, fd, name, os.stat(name, dir_fd=fd, follow_symlinks=False))
        if self._action.unpack and stat.S_ISREG(node.stat.st_mode) and _is_archive(node):
            self._unpack(node)
            return
        above, _, name = self._place(one).rpartition("/")
        directory = make_parents(self._target.root, above, self._owner)
        try:
            self._node(node, directory, name, above)
        finally:
            os.close(directory)

    def _unpack(self, node: Node) -> None:
        directory = make_parents(self._target.root, self._action.target, self._owner)
        readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
        os.close(directory)
        try:
            with os.fdopen(os.open(node.name, _READ, dir_fd=node.directory), "rb") as file:
                stream: Readable = Decompressed(file, DEFAULT_LIMITS)
                extract(readable, stream, ExtractOptions(owner=self._owner))
        finally:
            os.close(readable)

    def _directory(self, sources: Directories, one: Selected) -> None:
        base = self._place(one)
        existed = _is_directory(self._target.root, base)
        try:
            root = make_parents(self._target.root, base, self._owner)
        except NotADirectoryError:
            raise InvalidArgument(f"cannot copy to non-directory: {base}") from None
        times: list[tuple[str, int]] = []
        try:
            with Directories(root, self._target.root, base.strip("/")) as targets:
                prefix = f"{one.path}/" if one.path else ""
                for node in nodes(sources, one, self._excluded):
                    inside = node.path.removeprefix(prefix)
                    parent, _, name = inside.rpartition("/")
                    self._node(node, self._parent(targets, parent), name, posixpath.join(base, parent))
                    if node.is_directory:
                        times.append((inside, node.stat.st_mtime_ns))
                for path, mtime in reversed(times):
                    above, _, name = path.rpartition("/")
                    os.utime(name, ns=(mtime, mtime), dir_fd=targets.open(above), follow_symlinks=False)
            if not existed:
                self._root_metadata(sources, one, root)
        finally:
            os.close(root)

    def _parent(self, targets: Directories, path: str) -> int:
        try:
            return targets.open(path)
        except FileNotFoundError:  # its own entry was excluded, something below it was not
            os.close(make_directories(targets.root, path))
            return targets.open(path)

    def _root_metadata(self, sources: Directories, one: Selected, root: int) -> None:
        found = os.stat(".", dir_fd=sources.open(one.path))
        where = f"/proc/self/fd/{root}"
        os.chown(where, *self._owner_of(found))
        os.chmod(where, change_mode(stat.S_IMODE(found.st_mode), self._action.mode, is_directory=True))
        os.utime(where, ns=(found.st_mtime_ns, found.st_mtime_ns))

    def _owner_of(self, found: os.stat_result) -> Owner:
        if self._owner is not None:
            return self._owner
        return (found.st_uid, found.st_gid) if self._source.keep_owner else (0, 0)

    def _node(self, node: Node, directory: int, name: str, above: str) -> None:
        found = node.stat
        if self._link_again(node, directory, name, above):
            return
        if node.is_directory:
            _ensure_directory(directory, name, above)
        elif stat.S_ISREG(found.st_mode):
            self._regular(node, directory, name, above)
            return
        else:
            _clear(directory, name, above)
        if stat.S_ISLNK(found.st_mode):
            os.symlink(os.readlink(node.name, dir_fd=node.directory), name, dir_fd=directory)
        elif not node.is_directory:
            os.mknod(name, found.st_mode, found.st_rdev, dir_fd=directory)
        mode = change_mode(stat.S_IMODE(found.st_mode), self._action.mode, is_directory=node.is_directory)
        xattrs = {} if stat.S_ISLNK(found.st_mode) else read_xattrs(f"/proc/self/fd/{node.directory}/{node.name}")
        apply_node(directory, name, mode, *self._owner_of(found), found.st_mtime_ns, xattrs)

    def _regular(self, node: Node, directory: int, name: str, above: str) -> None:
        found = node.stat
        source = os.open(node.name, _READ, dir_fd=node.directory)
        try:
            target = _create(directory, name, above)
            try:
                _fill(source, target, found.st_size)
                os.fchown(target, *self._owner_of(found))
                os.fchmod(target, change_mode(stat.S_IMODE(found.st_mode), self._action.mode, is_directory=False))
                write_xattrs(target, read_xattrs(source))
                os.utime(target, ns=(found.st_mtime_ns, found.st_mtime_ns))
            finally:
                os.close(target)
        finally:
            os.close(source)

    def _link_again(self, node: Node, directory: int, name: str, above: str) -> bool:
        """A further name of an inode that this copy has made already becomes a link to it."""
        found = node.stat
        if found.st_nlink < 2 or node.is_directory:
            return False
        first = self._linked.setdefault((found.st_dev, found.st_ino), (above, name))
        if first == (above, name):
            return False
        _clear(directory, name, above)
        origin = open_in_root(self._target.root, first[0] or ".", os.O_PATH | os.O_DIRECTORY)
        try:
            os.link(first[1], name, src_dir_fd=origin, dst_dir_fd=directory, follow_symlinks=False)
        finally:
            os.close(origin)
        return True


def _kept(patterns: tuple[str, ...], written: str) -> str:
    """With --parents: the path after a `/./` in the pattern, else the whole."""
    for pattern in patterns:
        before, pivot, _ = pattern.partition("/./")
        root = posixpath.normpath("/" + before).lstrip("/")
        if pivot and (written == root or written.startswith(f"{root}/")):
            return written.removeprefix(root).lstrip("/")
    return written


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


def _is_directory(root: int, path: str) -> bool:
    try:
        os.close(open_in_root(root, path or ".", os.O_PATH | os.O_DIRECTORY))
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _ensure_directory(directory: int, name: str, above: str) -> None:
    try:
        os.mkdir(name, 0o755, dir_fd=directory)
    except FileExistsError:
        if not stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
            raise InvalidArgument(f"cannot copy to non-directory: {posixpath.join('/', above, name)}") from None


def _create(directory: int, name: str, above: str) -> int:
    """A new file; what has the name already is looked at only where there is something."""
    try:
        return os.open(name, _CREATE, 0o600, dir_fd=directory)
    except FileExistsError:
        _clear(directory, name, above)
    return os.open(name, _CREATE, 0o600, dir_fd=directory)


def _fill(source: int, target: int, size: int) -> None:
    """A small file takes two calls; holes are worth looking for in large ones only."""
    if size > _SMALL:
        copy_contents(source, target)
        return
    while data := os.read(source, _SMALL):
        view = memoryview(data)
        while view:
            view = view[os.write(target, view) :]
        if len(data) < _SMALL:
            return


def _clear(directory: int, name: str, above: str) -> None:
    """Make room for a file; a directory in its place is an error."""
    try:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return
    if stat.S_ISDIR(found.st_mode):
        raise InvalidArgument(f"cannot replace to directory {posixpath.join('/', above, name)} with file")
    os.unlink(name, dir_fd=directory)


def _is_archive(node: Node) -> bool:
    fd = os.open(node.name, _READ, dir_fd=node.directory)
    try:
        head = os.read(fd, 512)
    finally:
        os.close(fd)
    return any(head[at : at + len(magic)] == magic for magic, at in _MAGIC)


def look_up_owner(rootfs: str, text: str) -> Owner | None:
    """`user`, `user:group`, `1:2` … in a tree's /etc/passwd; the group defaults to the user's number as BuildKit's."""
    if not text:
        return None
    user, _, group = text.partition(":")
    found = users.resolve(rootfs, f"{user or '0'}:{group}" if group else user or "0")
    if not group:
        return (found.uid, found.uid if user.isdigit() else found.gid)
    return (found.uid, found.gid)


def change_mode(mode: int, change: str, *, is_directory: bool) -> int:
    """`--chmod`: octal, or symbolic clauses as chmod(1) reads them."""
    if not change:
        return mode
    if change.isdigit():
        try:
            return int(change, 8)
        except ValueError:
            raise InvalidArgument(_BAD_MODE.format(change)) from None
    for clause in change.split(","):
        match = _SYMBOLIC.match(clause)
        if match is None:
            raise InvalidArgument(_BAD_MODE.format(change))
        mode = _clause(mode, *match.groups(), is_directory=is_directory)
    return mode


def _clause(mode: int, who: str, operator: str, letters: str, *, is_directory: bool) -> int:
    people = set(who or "a")
    if "a" in people:
        people = {"u", "g", "o"}
    bits, cleared = 0, 0
    for person, shift in (("u", 6), ("g", 3), ("o", 0)):
        if person in people:
            cleared |= 7 << shift
            bits |= sum(_letter(letter, mode, is_directory=is_directory) for letter in set(letters)) << shift
    if "s" in letters:
        bits |= (0o4000 if "u" in people else 0) | (0o2000 if "g" in people else 0)
    if "t" in letters:
        bits |= 0o1000
    if operator == "=":
        return (mode & ~cleared) | bits
    return mode | bits if operator == "+" else mode & ~bits


def _letter(letter: str, mode: int, *, is_directory: bool) -> int:
    if letter == "X":
        return 1 if is_directory or mode & 0o111 else 0
    return {"r": 4, "w": 2, "x": 1}.get(letter, 0)
