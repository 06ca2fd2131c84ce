"""File actions on a tree: copy, make a directory, write a file, remove.

Writer ─ actions ─► Target ── DiskTarget    a mounted tree, changed at once (targets.py)
                           └─ PlannedLayer  a layer that is only planned (planning.py)
"""

from __future__ import annotations

import hashlib
import posixpath
import re
import stat
import time
from collections.abc import Callable, Hashable, Iterator
from functools import partial
from types import TracebackType
from typing import Protocol

from msgspec import Struct

from ..cas.compression import Readable
from ..engine.commit import Chunks
from ..errors import InvalidArgument
from ..runtime import users
from ..tree.reader import write_all
from .graph import Action, Copy, MakeDirectory, MakeFile, MakeLink, Remove
from .selecting import Exclusion, Selected, inside, select
from .sources import SourceFile, SourceTree

_SYMBOLIC = re.compile(r"^([ugoa]*)([-+=])([rwxXst]*)$")
_MAGIC = ((b"\x1f\x8b\x08", 0), (b"BZh", 0), (b"\xfd7zXZ\x00", 0), (b"\x28\xb5\x2f\xfd", 0), (b"ustar", 257))
_SEVERAL = "When using COPY with more than one source file, the destination must be a directory and end with a /"
_BAD_MODE = "invalid chmod parameter: '{}'. it should be octal string and between 0 and 07777"

Owner = tuple[int, int]


class NewFile(Struct, frozen=True):
    """A node that is to be made of `file`, with another mode and owner perhaps."""

    file: SourceFile
    mode: int
    """Permissions alone."""
    owner: Owner
    identity: Hashable | None = None
    """Equal for all names that are to become one inode."""
    again: Callable[[], SourceFile] | None = None
    """Gives `file` anew, once it is valid no more; None where it stays valid."""


class OpenDirectory(Protocol):
    """A directory that is written to; when it is left, directories that came from elsewhere get their times."""

    def __enter__(self) -> OpenDirectory: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def put(self, path: str, new: NewFile) -> None:
        """Make what is to be at a path below; parents were put before. Directories merge, others are replaced."""
        ...

    def describe(self, new: NewFile) -> None:
        """Give the directory itself the owner, mode and times of another."""
        ...


class Target(Protocol):
    """What is written to. Links in it are followed inside it, as a container would (S06)."""

    def owner(self, text: str) -> Owner | None:
        """`user[:group]` looked up in the tree; None for the default."""
        ...

    def is_directory(self, path: str) -> bool:
        """Whether there is one, links followed."""
        ...

    def enter(self, path: str, owner: Owner | None, mode: int = 0o755) -> OpenDirectory:
        """Open a directory; what is missing of it is made, for `owner`. NotADirectoryError."""
        ...

    def unpack(self, path: str, archive: Readable, owner: Owner | None) -> None:
        """Extract an archive, compressed perhaps, into a directory."""
        ...

    def link(self, path: str, target: str, owner: Owner | None) -> None:
        """Make a symbolic link; FileExistsError."""
        ...

    def remove(self, path: str, *, required: bool) -> None:
        """Remove what is there with all below it; nothing there is NotFound where it is `required`."""
        ...


class Writer:
    """Applies actions to `target`; `inputs` gives the other trees by their number."""

    def __init__(self, target: Target, inputs: Callable[[int], SourceTree]) -> None:
        self._target = target
        self._inputs = inputs

    def apply(self, action: Action) -> None:
        """One action; errors name the path."""
        match action:
            case Copy():
                _Copying(self._target, self._inputs(action.input), action).run()
            case MakeDirectory():
                with self._target.enter(action.path, self._target.owner(action.owner), action.mode):
                    pass
            case MakeFile():
                self._make_file(action)
            case MakeLink():
                self._target.link(action.path, action.target, self._target.owner(action.owner))
            case Remove():
                self._target.remove(action.path, required=action.required)

    def _make_file(self, action: MakeFile) -> None:
        path = action.target + action.name if action.target.endswith("/") else action.target
        path = posixpath.join(path, action.name) if self._target.is_directory(path) else path
        parent, _, name = path.rpartition("/")
        owner = self._target.owner(action.owner)
        written = WrittenFile(name, action.data)
        with self._target.enter(parent, owner) as directory:
            directory.put(name, NewFile(written, change_mode(0o644, action.mode, is_directory=False), owner or (0, 0)))


class WrittenFile:
    """A file whose contents are in the Dockerfile."""

    mode = stat.S_IFREG | 0o644
    uid = gid = rdev = 0
    has_holes = False
    identity = None

    def __init__(self, path: str, data: bytes) -> None:
        self.path = path
        self.mtime_ns = time.time_ns()
        self.size = len(data)
        self._data = data

    def link(self) -> str:
        raise AssertionError("a regular file")

    def xattrs(self) -> dict[str, bytes]:
        return {}

    def digest(self) -> str:
        return hashlib.sha256(self._data).hexdigest()

    def head(self, size: int) -> bytes:
        return self._data[:size]

    def chunks(self) -> Iterator[bytes]:
        return iter((self._data,) if self._data else ())

    def pour(self, target: int) -> None:
        write_all(target, self._data)


class _Copying:
    """One Copy action."""

    def __init__(self, target: Target, source: SourceTree, action: Copy) -> None:
        self._target = target
        self._source = source
        self._action = action
        self._owner = target.owner(action.owner)
        self._excluded = Exclusion(action.exclude)

    def run(self) -> None:
        action = self._action
        chosen = select(self._source, action.sources, parents=action.parents)
        several = len(chosen) > 1 and not action.parents and not action.target.endswith("/")
        if several and not self._target.is_directory(action.target):
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
        if target.endswith("/") or self._target.is_directory(target):
            return posixpath.join(target, posixpath.basename(one.written))
        return target

    def _file(self, one: Selected) -> None:
        file = self._source.file(one.path)
        if self._action.unpack and stat.S_ISREG(file.mode) and _is_archive(file):
            self._target.unpack(self._action.target, Chunks(file.chunks()), self._owner)
            return
        above, _, name = self._place(one).rpartition("/")
        with self._target.enter(above, self._owner) as directory:
            directory.put(name, self._new(file))

    def _directory(self, one: Selected) -> None:
        base = self._place(one)
        existed = self._target.is_directory(base)
        try:
            opened = self._target.enter(base, self._owner)
        except NotADirectoryError:
            raise InvalidArgument(f"cannot copy to non-directory: {base}") from None
        with opened as directory:
            for path, file in inside(self._source, one, self._excluded):
                directory.put(path, self._new(file))
            if not existed:
                directory.describe(self._new(self._source.file(one.path)))

    def _new(self, file: SourceFile) -> NewFile:
        mode = stat.S_IMODE(file.mode)
        if self._action.mode and not stat.S_ISLNK(file.mode):
            mode = change_mode(mode, self._action.mode, is_directory=stat.S_ISDIR(file.mode))
        identity = (self, file.identity) if file.identity is not None else None
        return NewFile(file, mode, self._owner_of(file), identity, partial(self._source.file, file.path))

    def _owner_of(self, found: SourceFile) -> Owner:
        if self._owner is not None:
            return self._owner
        return (found.uid, found.gid) if self._source.keep_owner else (0, 0)


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
