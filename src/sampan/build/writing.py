"""File actions on a mounted tree: copy, make a directory, write a file, remove.

Everything goes by fd below the tree's root, links in the target are followed inside it as a container would (S06).
"""

from __future__ import annotations

import os
import posixpath
import re
import stat
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from ..cas.compression import DEFAULT_LIMITS, Decompressed
from ..engine.commit import Chunks
from ..errors import InvalidArgument, NotFound
from ..linux.openat2 import make_directories, open_in_root
from ..runtime import users
from ..tree.directories import Directories
from ..tree.extract import ExtractOptions, extract
from ..tree.metadata import apply_node, write_xattrs
from ..tree.remove import remove
from .graph import Action, Copy, MakeDirectory, MakeFile, MakeLink, Remove
from .selecting import Exclusion, Selected, inside, select
from .sources import SourceFile, SourceTree

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_SYMBOLIC = re.compile(r"^([ugoa]*)([-+=])([rwxXst]*)$")
_MAGIC = ((b"\x1f\x8b\x08", 0), (b"BZh", 0), (b"\xfd7zXZ\x00", 0), (b"\x28\xb5\x2f\xfd", 0), (b"ustar", 257))
_SEVERAL = "When using COPY with more than one source file, the destination must be a directory and end with a /"
_BAD_MODE = "invalid chmod parameter: '{}'. it should be octal string and between 0 and 07777"

Owner = tuple[int, int]


@dataclass(frozen=True)
class Tree:
    """What is written to: `root` is an open directory, `path` where it is mounted."""

    root: int
    path: str


class Writer:
    """Applies actions to `target`; `inputs` gives the other trees by their number."""

    def __init__(self, target: Tree, inputs: Callable[[int], SourceTree]) -> None:
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
            case MakeLink():
                self._make_link(action)
            case Remove():
                self._remove(action)

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
                file.write(action.data)
                os.fchown(fd, *(owner or (0, 0)))
                os.fchmod(fd, change_mode(0o644, action.mode, is_directory=False))
        finally:
            os.close(directory)

    def _make_link(self, action: MakeLink) -> None:
        parent, _, name = action.path.rpartition("/")
        owner = self.owner(action.owner)
        directory = make_parents(self._target.root, parent, owner)
        try:
            os.symlink(action.target, name, dir_fd=directory)
            os.chown(name, *(owner or (0, 0)), dir_fd=directory, follow_symlinks=False)
        finally:
            os.close(directory)

    def _remove(self, action: Remove) -> None:
        parent, _, name = action.path.rstrip("/").rpartition("/")
        if not _exists(self._target.root, parent or "."):
            if action.required:
                raise NotFound(f"{action.path}: no such file or directory")
            return
        directory = open_in_root(self._target.root, parent or ".", os.O_PATH | os.O_DIRECTORY)
        try:
            if action.required:
                os.stat(name, dir_fd=directory, follow_symlinks=False)
            remove(directory, name)
        except FileNotFoundError:
            raise NotFound(f"{action.path}: no such file or directory") from None
        finally:
            os.close(directory)


class _Copying:
    """One Copy action."""

    def __init__(self, target: Tree, source: SourceTree, action: Copy, owner: Owner | None) -> None:
        self._target = target
        self._source = source
        self._action = action
        self._owner = owner
        self._excluded = Exclusion(action.exclude)
        self._linked: dict[Hashable, tuple[str, str]] = {}

    def run(self) -> None:
        action = self._action
        chosen = select(self._source, action.sources, parents=action.parents)
        several = len(chosen) > 1 and not action.parents and not action.target.endswith("/")
        if several and not _is_directory(self._target.root, action.target):
            raise InvalidArgument(_SEVERAL)
        for one in chosen:
            if one.is_directory:
                self._directory(one)
            else:
                self._file(one)

    def _place(self, one: Selected) -> str:
        """Where a source lands: the directory for a directory, the path for a file."""
        target = self._action.target
        if self._action.parents:
            return posixpath.join(target, one.kept)
        if one.is_directory and self._action.contents_only:
            return target
        if target.endswith("/") or _is_directory(self._target.root, target):
            return posixpath.join(target, posixpath.basename(one.written))
        return target

    def _file(self, one: Selected) -> None:
        file = self._source.file(one.path)
        if self._action.unpack and stat.S_ISREG(file.mode) and _is_archive(file):
            self._unpack(file)
            return
        above, _, name = self._place(one).rpartition("/")
        directory = make_parents(self._target.root, above, self._owner)
        try:
            self._node(file, directory, name, above)
        finally:
            os.close(directory)

    def _unpack(self, file: SourceFile) -> None:
        directory = make_parents(self._target.root, self._action.target, self._owner)
        readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
        os.close(directory)
        try:
            stream = Decompressed(Chunks(file.chunks()), DEFAULT_LIMITS)
            extract(readable, stream, ExtractOptions(owner=self._owner))
        finally:
            os.close(readable)

    def _directory(self, one: Selected) -> None:
        base = self._place(one)
        existed = _is_directory(self._target.root, base)
        try:
            root = make_parents(self._target.root, base, self._owner)
        except NotADirectoryError:
            raise InvalidArgument(f"cannot copy to non-directory: {base}") from None
        times: list[tuple[str, int]] = []
        try:
            with Directories(root, self._target.root, base.strip("/")) as targets:
                for path, file in inside(self._source, one, self._excluded):
                    parent, _, name = path.rpartition("/")
                    self._node(file, self._parent(targets, parent), name, posixpath.join(base, parent))
                    if stat.S_ISDIR(file.mode):
                        times.append((path, file.mtime_ns))
                for path, mtime in reversed(times):
                    above, _, name = path.rpartition("/")
                    os.utime(name, ns=(mtime, mtime), dir_fd=targets.open(above), follow_symlinks=False)
            if not existed:
                self._root_metadata(self._source.file(one.path), root)
        finally:
            os.close(root)

    def _parent(self, targets: Directories, path: str) -> int:
        try:
            return targets.open(path)
        except FileNotFoundError:  # its own entry was excluded, something below it was not
            os.close(make_directories(targets.root, path))
            return targets.open(path)

    def _root_metadata(self, found: SourceFile, root: int) -> None:
        where = f"/proc/self/fd/{root}"
        os.chown(where, *self._owner_of(found))
        os.chmod(where, change_mode(stat.S_IMODE(found.mode), self._action.mode, is_directory=True))
        os.utime(where, ns=(found.mtime_ns, found.mtime_ns))

    def _owner_of(self, found: SourceFile) -> Owner:
        if self._owner is not None:
            return self._owner
        return (found.uid, found.gid) if self._source.keep_owner else (0, 0)

    def _node(self, file: SourceFile, directory: int, name: str, above: str) -> None:
        is_directory, is_link = stat.S_ISDIR(file.mode), stat.S_ISLNK(file.mode)
        if self._link_again(file, directory, name, above):
            return
        if stat.S_ISREG(file.mode):
            self._regular(file, directory, name, above)
            return
        if is_directory:
            _ensure_directory(directory, name, above)
        else:
            _clear(directory, name, above)
        if is_link:
            os.symlink(file.link(), name, dir_fd=directory)
        elif not is_directory:
            os.mknod(name, file.mode, file.rdev, dir_fd=directory)
        mode = change_mode(stat.S_IMODE(file.mode), self._action.mode, is_directory=is_directory)
        apply_node(directory, name, mode, *self._owner_of(file), file.mtime_ns, {} if is_link else file.xattrs())

    def _regular(self, file: SourceFile, directory: int, name: str, above: str) -> None:
        mode = change_mode(stat.S_IMODE(file.mode), self._action.mode, is_directory=False)
        target = _create(directory, name, above, mode & 0o777)
        try:
            file.pour(target)
            _set_metadata(target, mode, self._owner_of(file))
            if xattrs := file.xattrs():
                write_xattrs(target, xattrs)
            os.utime(target, ns=(file.mtime_ns, file.mtime_ns))
        finally:
            os.close(target)

    def _link_again(self, file: SourceFile, directory: int, name: str, above: str) -> bool:
        """A further name of an inode that this copy has made already becomes a link to it."""
        if file.identity is None:
            return False
        first = self._linked.setdefault(file.identity, (above, name))
        if first == (above, name):
            return False
        _clear(directory, name, above)
        origin = open_in_root(self._target.root, first[0] or ".", os.O_PATH | os.O_DIRECTORY)
        try:
            os.link(first[1], name, src_dir_fd=origin, dst_dir_fd=directory, follow_symlinks=False)
        finally:
            os.close(origin)
        return True


def _set_metadata(fd: int, mode: int, owner: Owner) -> None:
    """Looking costs a tenth of what a change does, which the file system writes to its journal each."""
    found = os.fstat(fd)
    if (found.st_uid, found.st_gid) != owner:
        os.fchown(fd, *owner)
        os.fchmod(fd, mode)
    elif stat.S_IMODE(found.st_mode) != mode:
        os.fchmod(fd, mode)


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


def _is_archive(file: SourceFile) -> bool:
    head = file.head(512)
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
