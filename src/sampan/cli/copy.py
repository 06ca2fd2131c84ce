"""`cp`: between a container and here, as `cp -a` names things. Several sources and globs are ours."""

from __future__ import annotations

import os
import sys
from fnmatch import fnmatchcase
from posixpath import basename, dirname, join, normpath
from typing import TYPE_CHECKING

from sampan.errors import NotFound

from ..model.quantity import human_size
from . import copy_archive
from .archives import chunks
from .command import Arity, CommandFailed, command
from .flags import Options, boolean
from .terminal import write_all

if TYPE_CHECKING:
    from sampan.client.sync import Client
    from sampan.client.types import PathStat

    from .session import Session

DIRECTORY, SYMLINK = 1 << 31, 1 << 27
"""Bits of Go's file mode in a path's stat."""
GLOB = frozenset("*?[")


class Place:
    """One end of a copy; `container` is empty for our side."""

    def __init__(self, text: str) -> None:
        self.container, self.path = "", text
        name, colon, path = text.partition(":")
        if colon and not text.startswith((".", "/")) and name:
            self.container, self.path = name, path or "/"
        self.contents_only = self.path.endswith("/.") or self.path == "."
        self.wants_directory = self.path.endswith(("/", "/."))


@command(
    "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\tsampan cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
    "Copy files/folders between a container and the local filesystem\n\n"
    "Use '-' as the source to read a tar archive from stdin\n"
    "and extract it to a directory destination in a container.\n"
    "Use '-' as the destination to stream a tar archive of a\n"
    "container source to stdout.\n"
    "Several sources and patterns (*, ?, [...]) are copied into a\n"
    "destination that is a directory.",
    boolean("archive", "Archive mode (copy all uid/gid information)", short="a"),
    boolean("follow-link", "Always follow symbol link in SRC_PATH", short="L"),
    boolean(
        "quiet",
        "Suppress progress output during copy. Progress output is automatically suppressed if no terminal is attached",
        short="q",
    ),
    arity=Arity(lambda count: None if count >= 2 else "requires 2 arguments"),
)
def cp(session: Session, options: Options, arguments: list[str]) -> int:
    *sources, target = (Place(text) for text in arguments)
    if "" in arguments:
        raise CommandFailed("source can not be empty" if not arguments[0] else "destination can not be empty")
    for source in sources:
        if source.container and target.container:
            raise CommandFailed("copying between containers is not supported")
        if not source.container and not target.container:
            raise CommandFailed("must specify at least one container source")
    several = len(sources) > 1
    copier = _Copier(session.client, options)
    size = sum(
        copier.copy_out(source, target, several) if source.container else copier.copy_in(source, target, several)
        for source in sources
    )
    if not (options["quiet"] if "quiet" in options.changed else not sys.stdout.isatty()):
        session.warn(f"Successfully copied {human_size(size)} to {arguments[-1]}")
    return 0


class _Copier:
    """Both directions; each returns the bytes moved."""

    def __init__(self, client: Client, options: Options) -> None:
        self._client, self._follow, self._keep_owners = client, options["follow-link"], options["archive"]

    # -- from a container

    def copy_out(self, source: Place, target: Place, several: bool) -> int:
        if target.path == "-":
            return self._stream_out(source)
        try:
            path, stat = self._source_in_container(source)
        except NotFound:
            if GLOB & set(basename(source.path)):
                return self._copy_matching(source, target)
            # An answer to HEAD has no body: ask again in the way that tells why.
            next(self._client.container_archive(source.container, source.path))
            raise
        is_directory = bool(stat["mode"] & DIRECTORY)
        base, name = local_target(target, is_directory, source, several)
        renamed = "" if name == "." else name
        return copy_archive.extract(
            self._client.container_archive(source.container, path), base, renamed, self._keep_owners
        )

    def _stream_out(self, source: Place) -> int:
        path = source.path if not self._follow else self._source_in_container(source)[0]
        size = 0
        for chunk in self._client.container_archive(source.container, path):
            write_all(1, chunk)
            size += len(chunk)
        return size

    def _source_in_container(self, source: Place) -> tuple[str, PathStat]:
        stat = self._client.container_stat(source.container, source.path)
        if not (self._follow and stat["mode"] & SYMLINK):
            return source.path, stat
        path = join(dirname(source.path), stat["linkTarget"])
        return path, self._client.container_stat(source.container, path)

    def _copy_matching(self, source: Place, target: Place) -> int:
        """A pattern in the last component: the directory's archive, filtered."""
        if not os.path.isdir(target.path):
            raise CommandFailed(f"{target.path}: destination must be a directory")
        pattern = basename(source.path)
        stream = self._client.container_archive(source.container, dirname(source.path) + "/.")
        size, found = copy_archive.extract_matching(
            stream, target.path, lambda name: fnmatchcase(name, pattern), self._keep_owners
        )
        if not found:
            raise CommandFailed(f"{source.container}:{source.path}: no match")
        return size

    # -- into a container

    def copy_in(self, source: Place, target: Place, several: bool) -> int:
        if source.path == "-":
            self._client.container_put_archive(
                target.container, target.path, chunks(sys.stdin.buffer), self._keep_owners
            )
            return 0
        return sum(self._copy_one_in(path, source, target, several) for path in local_sources(source))

    def _copy_one_in(self, path: str, source: Place, target: Place, several: bool) -> int:
        if not os.path.lexists(path):
            raise CommandFailed(f"lstat {os.path.abspath(path)}: no such file or directory")
        if self._follow:
            path = os.path.realpath(path)
        is_directory = os.path.isdir(path) and (self._follow or not os.path.islink(path) or source.wants_directory)
        directory, name = self._target_in_container(target, path, is_directory, source, several)
        stream = copy_archive.Packing(path, name, self._keep_owners)
        self._client.container_put_archive(target.container, directory, stream.chunks(), self._keep_owners)
        return stream.size

    def _target_in_container(
        self, target: Place, path: str, is_directory: bool, source: Place, several: bool
    ) -> tuple[str, str]:
        """The directory to unpack in, and the top name in the archive."""
        where = target.path if target.path.startswith("/") else "/" + target.path
        try:
            stat = self._client.container_stat(target.container, where)
            if stat["mode"] & SYMLINK:
                where = join(dirname(where.rstrip("/")), stat["linkTarget"])
                stat = self._client.container_stat(target.container, where)
            exists_as_directory: bool | None = bool(stat["mode"] & DIRECTORY)
        except NotFound as error:
            if "container" in str(error).lower() and "path" not in str(error).lower():
                raise
            exists_as_directory = None
        if exists_as_directory:
            name = "." if source.contents_only and is_directory else basename(os.path.abspath(path))
            return where, name
        if several:
            raise CommandFailed(f"{target.path}: destination must be a directory")
        check_file_target(target, is_directory, exists_as_directory is False)
        return dirname(normpath(where)), basename(normpath(where))


def check_file_target(target: Place, is_directory: bool, exists_as_file: bool) -> None:
    """What a destination that is no directory cannot take."""
    if exists_as_file and is_directory:
        raise CommandFailed("cannot copy directory")
    if target.wants_directory and not is_directory:
        raise CommandFailed("no such directory" if not exists_as_file else "not a directory")


def local_sources(source: Place) -> list[str]:
    if os.path.lexists(source.path) or not GLOB & set(source.path):
        return [source.path]
    import glob

    found = sorted(glob.glob(source.path, recursive=True))
    if not found:
        raise CommandFailed(f"{source.path}: no match")
    return found


def local_target(target: Place, is_directory: bool, source: Place, several: bool) -> tuple[str, str]:
    """The directory to unpack in and the name that replaces the archive's top; `.` unpacks the contents."""
    path = target.path
    if os.path.isdir(path):
        if source.contents_only and is_directory:
            return path, "."
        return path, basename(normpath(source.path)) if normpath(source.path) != "/" else "."
    if several:
        raise CommandFailed(f"{path}: destination must be a directory")
    parent = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(parent):
        raise CommandFailed(f'invalid output path: directory "{os.path.dirname(path)}" does not exist')
    check_file_target(target, is_directory, os.path.lexists(path))
    if is_directory:
        os.mkdir(path)
        return path, "."
    return parent, basename(os.path.abspath(path))
