"""A directory as a build context: names and digests travel first, then only the contents that the daemon lacks.

Digests are remembered by inode, size, and times, so that a rebuild reads nothing that has not changed.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import time
from base64 import b64encode
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sampan.tree.metadata import read_xattrs

from .build_context import entries
from .command import CommandFailed

if TYPE_CHECKING:
    from sampan.dockerfile.ignore import IgnoreRules

    from .session import Session

MAIN = "_"
"""The daemon's name for the context itself, beside those of `--build-context`."""
_CHUNK = 1 << 20
_SMALL, _MOST_HELD = 1 << 16, 32 << 20
_TRIES = 5
_SETTLED = 1_000_000_000  # a file that was changed within the clock's tick before it was read may change unseen
_MOST_CACHES = 64
_Row = list[Any]


class CannotSync(Exception):
    """A daemon of Docker's, or something that a manifest does not describe: a device, a name that is not UTF-8."""


def send(
    session: Session, identity: str, name: str, directory: str, rules: IgnoreRules, extra: dict[str, bytes]
) -> None:
    """Send a context to a build session; CannotSync where the classic archive must do."""
    cache = StatCache(directory)
    for _ in range(_TRIES):
        listing = Listing(directory, rules, extra, cache)
        missing = session.client.build_manifest(identity, name, listing.rows)["Missing"]
        changed = []
        if missing:
            changed = session.client.build_contents(identity, name, listing.contents(missing))["Changed"]
        for number in changed:
            cache.forget(listing.rows[number][0])
        cache.save()
        if not changed:
            return
    raise CommandFailed(f"error from sender: {listing.rows[changed[0]][0]} changes while it is sent")


class _Contents:
    """Of one regular file. `held`: the bytes where they were read already and are few."""

    __slots__ = ("extents", "held", "sha256", "xattrs")  # importing dataclasses costs as much as hashing 1,000 files

    def __init__(
        self, sha256: str, extents: list[tuple[int, int]] | None, xattrs: dict[str, str], held: bytes | None = None
    ) -> None:
        self.sha256, self.extents, self.xattrs, self.held = sha256, extents, xattrs, held


class StatCache:
    """Digests of a directory's files, kept in `$XDG_CACHE_HOME/sampan/context/`; without it everything is read."""

    def __init__(self, directory: str) -> None:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        key = hashlib.sha256(os.fsencode(os.path.realpath(directory))).hexdigest()[:32]
        self._directory = os.path.join(base, "sampan", "context")
        self._path = os.path.join(self._directory, f"{key}.json")
        self._before = self._load()
        self._now: dict[str, list[Any]] = {}
        self._changed = False

    def _load(self) -> dict[str, list[Any]]:
        try:
            with open(self._path, encoding="utf-8") as file:
                loaded = json.load(file)
        except (OSError, ValueError):
            return {}
        return loaded if isinstance(loaded, dict) else {}

    def get(self, path: str, found: os.stat_result) -> _Contents | None:
        """What was noted of a file that has not changed since."""
        noted = self._now.get(path) or self._before.get(path)
        if noted is None or noted[:4] != _fingerprint(found):
            return None
        self._now[path] = noted
        return _Contents(*noted[4:7])

    def note(self, path: str, found: os.stat_result, contents: _Contents) -> None:
        """Remember a file, unless it may still change without a trace."""
        self._changed = True
        if max(found.st_ctime_ns, found.st_mtime_ns) + _SETTLED < time.time_ns():
            self._now[path] = [*_fingerprint(found), contents.sha256, contents.extents, contents.xattrs]

    def forget(self, path: str) -> None:
        """What was noted of a file is wrong."""
        self._now.pop(path, None)
        self._before.pop(path, None)
        self._changed = True

    def save(self) -> None:
        """Write it where it differs; a place that cannot be written costs speed only."""
        if not self._changed:
            return
        self._before, self._changed = self._now, False
        try:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            temporary = f"{self._path}.{os.getpid()}"
            with open(temporary, "w", encoding="utf-8") as file:
                file.write(json.dumps(self._now, separators=(",", ":")))  # `dump` is ten times as slow
            os.replace(temporary, self._path)
            _drop_oldest(self._directory)
        except OSError:
            return


def _fingerprint(found: os.stat_result) -> list[int]:
    return [found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def _drop_oldest(directory: str) -> None:
    paths = sorted((entry.path for entry in os.scandir(directory)), key=os.path.getmtime)
    for path in paths[:-_MOST_CACHES]:
        os.unlink(path)


class Listing:
    """A directory as rows of a manifest (docs/build.md), parents first."""

    def __init__(self, directory: str, rules: IgnoreRules, extra: dict[str, bytes], cache: StatCache) -> None:
        self._directory, self._extra, self._cache = directory, extra, cache
        self._first: dict[tuple[int, int], str] = {}
        self._held: dict[int, bytes] = {}
        self._room = _MOST_HELD
        self.rows: list[_Row] = []
        try:
            for path in entries(directory, rules):
                self._add(path)
        except OSError as error:
            raise CommandFailed(f"error from sender: {error.filename}: {error.strerror}") from error
        for name, content in extra.items():
            row = [name, stat.S_IFREG | 0o600, 0, len(content), hashlib.sha256(content).hexdigest()]
            self._held[len(self.rows)] = content
            self.rows.append(row)

    def _add(self, path: str) -> None:
        full = f"{self._directory}/{path}"
        found = os.lstat(full)
        kind = stat.S_IFMT(found.st_mode)
        if kind == stat.S_IFSOCK:
            return
        if kind in (stat.S_IFCHR, stat.S_IFBLK) or not _is_text(path):
            raise CannotSync(path)
        row: _Row = [path, found.st_mode, found.st_mtime_ns]
        if kind == stat.S_IFLNK:
            row += [0, "", self._link(full)]
        elif found.st_nlink > 1 and kind != stat.S_IFDIR and self._is_further(path, found):
            row += [0, "", "", self._first[found.st_dev, found.st_ino]]
        elif kind == stat.S_IFREG:
            row = self._regular(path, full, found)
        elif xattrs := _xattrs(full):
            row += [0, "", "", "", None, xattrs]
        self.rows.append(row)

    def _is_further(self, path: str, found: os.stat_result) -> bool:
        return self._first.setdefault((found.st_dev, found.st_ino), path) != path

    def _link(self, full: str) -> str:
        target = os.readlink(full)
        if not _is_text(target):
            raise CannotSync(target)
        return target

    def _regular(self, path: str, full: str, found: os.stat_result) -> _Row:
        contents = self._cache.get(path, found)
        if contents is None:
            found, contents = _read(full)
            self._cache.note(path, found, contents)
            if contents.held is not None and len(contents.held) <= self._room:
                self._held[len(self.rows)] = contents.held
                self._room -= len(contents.held)
        row = [path, found.st_mode, found.st_mtime_ns, found.st_size, contents.sha256]
        if contents.extents is not None or contents.xattrs:
            row += ["", "", contents.extents, contents.xattrs]
        return row

    def contents(self, numbers: list[int]) -> Iterator[bytes]:
        """What the files of those rows store, one after another, in pieces of a MiB or so."""
        pending, size = [], 0
        for number in numbers:
            for piece in self._pieces(number):
                pending.append(piece)
                size += len(piece)
                if size >= _CHUNK:
                    yield b"".join(pending)
                    pending, size = [], 0
        yield b"".join(pending)

    def _pieces(self, number: int) -> Iterator[bytes]:
        if number in self._held:
            yield self._held[number]
            return
        row = self.rows[number]
        extents = row[7] if len(row) > 7 and row[7] is not None else [(0, row[3])]
        try:
            file = open(os.path.join(self._directory, row[0]), "rb", buffering=0)
        except OSError:  # the daemon sees that these are others; the next listing says why
            yield from _zeros(sum(length for _, length in extents))
            return
        with file:
            for offset, length in extents:
                yield from _exactly(file.fileno(), offset, length)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _read(full: str) -> tuple[os.stat_result, _Contents]:
    """Hash a file; again where it changes meanwhile."""
    for _ in range(_TRIES):
        fd = os.open(full, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            before = os.fstat(fd)
            extents = _extents(fd, before)
            value, held = hashlib.sha256(), b""
            while data := os.read(fd, _CHUNK):
                value.update(data)
                held = data if not held and len(data) <= _SMALL else b""
            found = os.fstat(fd)
        finally:
            os.close(fd)
        if _fingerprint(before) == _fingerprint(found):
            whole = held if extents is None and len(held) == found.st_size else None
            return found, _Contents(value.hexdigest(), extents, _xattrs(full), whole)
    raise CommandFailed(f"error from sender: {full} changes while it is read")


def _extents(fd: int, found: os.stat_result) -> list[tuple[int, int]] | None:
    """Where a file has data; None where it has no holes worth speaking of."""
    if found.st_blocks * 512 >= found.st_size or found.st_size < _CHUNK:
        return None
    extents, position = [], 0
    while position < found.st_size:
        try:
            start = os.lseek(fd, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            break
        position = os.lseek(fd, start, os.SEEK_HOLE)
        extents.append((start, position - start))
    os.lseek(fd, 0, os.SEEK_SET)
    return extents if extents != [(0, found.st_size)] else None


def _xattrs(full: str) -> dict[str, str]:
    return {name: b64encode(value).decode() for name, value in read_xattrs(full).items()}


def _exactly(fd: int, offset: int, length: int) -> Iterator[bytes]:
    """As many bytes as were promised; a file that has shrunk is filled up."""
    while length:
        data = os.pread(fd, min(length, _CHUNK), offset) or bytes(min(length, _CHUNK))
        offset, length = offset + len(data), length - len(data)
        yield data


def _zeros(size: int) -> Iterator[bytes]:
    while size > 0:
        yield bytes(min(size, _CHUNK))
        size -= _CHUNK
