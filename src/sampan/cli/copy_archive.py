"""Tar streams of `cp`. Unpacking follows no link that the archive could have made: every directory is opened by its
parent's descriptor with O_NOFOLLOW, so a container cannot write outside the destination (rules S14, S15)."""

from __future__ import annotations

import os
import stat
import tarfile
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO

from .command import CommandFailed

DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
COPY_CHUNK = 1 << 20


class _Reader:
    """The chunks of a stream as a file for tarfile."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = b""

    def read(self, size: int) -> bytes:
        parts, left = [], size
        while left:
            if not self._rest:
                self._rest = next(self._chunks, b"")
                if not self._rest:
                    break
            piece, self._rest = self._rest[:left], self._rest[left:]
            parts.append(piece)
            left -= len(piece)
        return b"".join(parts)


Rename = Callable[[list[str]], "list[str] | None"]


def extract(chunks: Iterable[bytes], directory: str, name: str, keep_owners: bool) -> int:
    """Unpack with the top component replaced by `name`, or removed when it is empty. Returns the bytes of content."""
    prefix = [name] if name else []
    return _unpack(chunks, directory, lambda parts: prefix + parts[1:], keep_owners)


def extract_matching(
    chunks: Iterable[bytes], directory: str, matches: Callable[[str], bool], keep_owners: bool
) -> tuple[int, bool]:
    """Only what lies under a first-level name that matches; whether there was any."""
    found = False

    def rename(parts: list[str]) -> list[str] | None:
        nonlocal found
        if len(parts) < 2 or not matches(parts[1]):
            return None
        found = True
        return parts[1:]

    return _unpack(chunks, directory, rename, keep_owners), found


def _parts(name: str) -> list[str]:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise CommandFailed(f"archive entry {name!r} leaves the destination")
    # The root of a container is archived as "/" or "./": it is a top component all the same.
    return parts if not name.startswith(("/", "./")) else [".", *parts]


def _unpack(chunks: Iterable[bytes], directory: str, rename: Rename, keep_owners: bool) -> int:
    reader: Any = _Reader(chunks)
    root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    total = 0
    try:
        with tarfile.open(fileobj=reader, mode="r|") as archive:
            for member in archive:
                parts = rename(_parts(member.name))
                if parts:
                    _place(archive, member, root, parts, rename, keep_owners)
                    total += member.size
    except tarfile.TarError as error:
        raise CommandFailed(f"unpacking the archive failed: {error}") from error
    finally:
        os.close(root)
    return total


def _open_parent(root: int, parts: list[str]) -> int:
    """A descriptor of the directory that is to hold the last part; missing ones are made."""
    current = os.dup(root)
    for part in parts[:-1]:
        try:
            following = os.open(part, DIRECTORY_FLAGS, dir_fd=current)
        except FileNotFoundError:
            os.mkdir(part, 0o755, dir_fd=current)
            following = os.open(part, DIRECTORY_FLAGS, dir_fd=current)
        except OSError as error:
            raise CommandFailed(f"{'/'.join(parts)}: {error.strerror}") from error
        finally:
            os.close(current)
        current = following
    return current


def _place(
    archive: tarfile.TarFile, member: tarfile.TarInfo, root: int, parts: list[str], rename: Rename, keep_owners: bool
) -> None:
    parent = _open_parent(root, parts)
    try:
        if member.isdir():
            _make_directory(parent, parts[-1], member)
        else:
            _remove_file(parent, parts[-1])
            _make_file(archive, member, root, parent, parts[-1], rename)
        if not member.islnk():
            _set_metadata(member, parent, parts[-1], keep_owners)
    except OSError as error:
        raise CommandFailed(f"{'/'.join(parts)}: {error.strerror}") from error
    finally:
        os.close(parent)


def _make_directory(parent: int, name: str, member: tarfile.TarInfo) -> None:
    try:
        os.mkdir(name, member.mode & 0o7777, dir_fd=parent)
    except FileExistsError:
        os.close(os.open(name, DIRECTORY_FLAGS, dir_fd=parent))


def _remove_file(parent: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return


def _make_file(
    archive: tarfile.TarFile, member: tarfile.TarInfo, root: int, parent: int, name: str, rename: Rename
) -> None:
    if member.issym():
        os.symlink(member.linkname, name, dir_fd=parent)
    elif member.islnk():
        _make_hard_link(member, root, parent, name, rename)
    elif member.isfile():
        _write_content(archive, member, parent, name)
    elif member.isfifo():
        os.mkfifo(name, member.mode & 0o7777, dir_fd=parent)
    elif member.ischr() or member.isblk():
        kind = 0o020000 if member.ischr() else 0o060000
        os.mknod(name, kind | member.mode & 0o777, os.makedev(member.devmajor, member.devminor), dir_fd=parent)


def _make_hard_link(member: tarfile.TarInfo, root: int, parent: int, name: str, rename: Rename) -> None:
    target = rename(_parts(member.linkname))
    if not target:
        raise CommandFailed(f"hard link to {member.linkname!r} leaves what is copied")
    directory = _open_parent(root, target)
    try:
        os.link(target[-1], name, src_dir_fd=directory, dst_dir_fd=parent, follow_symlinks=False)
    finally:
        os.close(directory)


def _write_content(archive: tarfile.TarFile, member: tarfile.TarInfo, parent: int, name: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    source = archive.extractfile(member)
    with os.fdopen(os.open(name, flags, member.mode & 0o777, dir_fd=parent), "wb") as file:
        while source is not None and (data := source.read(COPY_CHUNK)):
            file.write(data)


def _set_metadata(member: tarfile.TarInfo, parent: int, name: str, keep_owners: bool) -> None:
    if keep_owners:
        os.chown(name, member.uid, member.gid, dir_fd=parent, follow_symlinks=False)
    # By descriptor: where a container shares the directory, it may put a link in the place of what we made.
    made = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        if not stat.S_ISLNK(os.fstat(made).st_mode):
            os.chmod(f"/proc/self/fd/{made}", member.mode & 0o7777)
    finally:
        os.close(made)
    os.utime(name, (member.mtime, member.mtime), dir_fd=parent, follow_symlinks=False)


class Packing:
    """A tar of `path` under `name`, made by a thread while it is sent."""

    def __init__(self, path: str, name: str, keep_owners: bool) -> None:
        self._path, self._name, self._keep_owners = path, name, keep_owners
        self._error: OSError | None = None
        self.size = 0

    def chunks(self) -> Iterator[bytes]:
        read_end, write_end = os.pipe()
        thread = threading.Thread(target=self._write, args=(write_end,), daemon=True)
        thread.start()
        with os.fdopen(read_end, "rb", buffering=0) as pipe:
            while data := pipe.read(65536):
                yield data
        thread.join()
        if self._error is not None:
            raise CommandFailed(f"{self._error.filename}: {self._error.strerror}")

    def _write(self, write_end: int) -> None:
        try:
            with os.fdopen(write_end, "wb") as pipe:
                self._pack(pipe)
        except BrokenPipeError:
            return  # the receiver has refused the rest, and says so
        except OSError as error:
            self._error = error

    def _pack(self, pipe: BinaryIO) -> None:
        with tarfile.open(fileobj=pipe, mode="w|", format=tarfile.PAX_FORMAT) as archive:
            archive.add(self._path, self._name, filter=self._entry)

    def _entry(self, member: tarfile.TarInfo) -> tarfile.TarInfo:
        self.size += member.size
        if not self._keep_owners:
            member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member
