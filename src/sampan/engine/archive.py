"""`docker cp`: what is at a path, out as a tar, in from a tar. Everything by fd (S06, S14); no program is run."""

from __future__ import annotations

import os
import posixpath
import stat as modes
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from msgspec import Struct

from ..cas.compression import Decompressed, Readable
from ..cas.threads import run_in_thread
from ..errors import InvalidArgument, NotFound, SampanError
from ..linux.openat2 import open_in_root
from ..model.idmap import IdMap
from ..model.times import rfc3339
from ..runtime import users
from ..tree import locate, writer
from ..tree.directories import Directories
from ..tree.extract import ExtractOptions, extract
from ..tree.walk import Node, walk
from . import containertree, userns
from .bodies import fed, in_threads
from .container import Container
from .engine import Engine


class PathStat(Struct, frozen=True, rename="camel"):
    """X-Docker-Container-Path-Stat: `mode` is Go's FileMode, `mtime` RFC 3339, `link_target` an absolute path."""

    name: str
    size: int
    mode: int
    mtime: str
    link_target: str


async def stat(engine: Engine, ref: str, path: str) -> PathStat:
    """What lies at a path of a container's. NotFound with Docker's text."""
    async with containertree.opened(engine, engine.containers.get(ref)) as tree:
        found = _find(tree.fd, path, ref)
        try:
            return _path_stat(tree.fd, path, found)
        finally:
            os.close(found.parent)


def _find(root: int, path: str, ref: str) -> locate.Found:
    if not path:
        raise InvalidArgument("bad parameter: pathcannot be empty")  # sic: Docker's text
    try:
        return locate.find(root, path)
    except FileNotFoundError:
        raise NotFound(f"Could not find the file {path} in container {ref}") from None
    except NotADirectoryError:
        if path.endswith(("/", "/.")):
            raise SampanError(f"lstat {path}: not a directory") from None
        raise NotFound(f"Could not find the file {path} in container {ref}") from None


def _path_stat(root: int, path: str, found: locate.Found) -> PathStat:
    node = found.stat
    target = locate.resolve(root, path) if modes.S_ISLNK(node.st_mode) else ""
    return PathStat(found.base, node.st_size, locate.go_mode(node.st_mode), rfc3339(node.st_mtime_ns), target)


@asynccontextmanager
async def get(engine: Engine, ref: str, path: str) -> AsyncIterator[tuple[PathStat, AsyncIterator[bytes]]]:
    """The resource at `path` as a tar whose names begin with its own; the stream is read inside the context."""
    container = engine.containers.get(ref)
    async with containertree.opened(engine, container) as tree:
        found = _find(tree.fd, path, ref)
        try:
            mapping = userns.ids(engine, container)
            members = writer.gather(_members(found, mapping.to_container if mapping else None))
            yield _path_stat(tree.fd, path, found), in_threads(members)
        finally:
            os.close(found.parent)
    engine.container_event(container, "archive-path")


def _members(found: locate.Found, owners: writer.OwnerMap | None) -> Iterator[bytes]:
    members = writer.Members(owners)
    yield from members.member(Node("", found.parent, found.name, found.stat), found.base)
    if not modes.S_ISDIR(found.stat.st_mode):
        return
    root = os.open(found.name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=found.parent)
    prefix = found.base.rstrip("/")
    try:
        with Directories(root) as directories:
            for node in walk(directories):
                yield from members.member(node, f"{prefix}/{node.path}")
    finally:
        os.close(root)


async def put(
    engine: Engine,
    ref: str,
    path: str,
    body: AsyncIterator[bytes],
    *,
    no_overwrite_dir_non_dir: bool = False,
    copy_uid_gid: bool = False,
) -> None:
    """Extract a tar (compressed or not) into the directory `path`. Errors have Docker's texts."""
    container = engine.containers.get(ref)
    async with containertree.opened(engine, container) as tree:
        directory = _open_directory(tree.fd, path, ref)
        try:
            where = locate.resolve(tree.fd, path)
            _refuse_read_only(container, where)
            owner = _owner(engine, container) if copy_uid_gid else None
            mapping = userns.ids(engine, container)
            options = ExtractOptions(
                keep_directories=no_overwrite_dir_non_dir, owner=owner, scope=(tree.fd, where.rstrip("/")),
                map_owner=mapping.to_host if mapping else None,
            )  # fmt: skip
            async with fed(body) as stream:
                # Decompressed looks at the first bytes at once, so it too belongs in the thread
                await run_in_thread(lambda: _extract(directory, stream, options, mapping), stream.interrupt)
        finally:
            os.close(directory)
    engine.container_event(container, "extract-to-dir")


def _extract(directory: int, stream: Readable, options: ExtractOptions, mapping: IdMap | None) -> None:
    with userns.making(mapping):
        extract(directory, Decompressed(stream), options)


def _open_directory(root: int, path: str, ref: str) -> int:
    if not path:
        raise InvalidArgument("bad parameter: pathcannot be empty")  # sic: Docker's text
    try:
        return open_in_root(root, posixpath.normpath(f"/{path}"), os.O_PATH | os.O_DIRECTORY)
    except FileNotFoundError:
        raise NotFound(f"Could not find the file {path} in container {ref}") from None
    except NotADirectoryError:
        raise InvalidArgument("extraction point is not a directory") from None


def _refuse_read_only(container: Container, path: str) -> None:
    """A read-only root refuses all but its writable volumes."""
    for point in sorted(container.mounts, key=lambda point: -len(point.destination)):
        if path == point.destination or path.startswith(f"{point.destination}/"):
            if not point.rw:
                raise InvalidArgument("mounted volume is marked read-only")
            return
    if container.host_config.readonly_rootfs:
        raise InvalidArgument("container rootfs is marked read-only")


def _owner(engine: Engine, container: Container) -> tuple[int, int] | None:
    """The container's user, as its own /etc/passwd numbers it; None where it has none (the tar's owners stay)."""
    if not container.config.user:
        return None
    rootfs = userns.mount(engine, container)
    try:
        user = users.resolve(rootfs, container.config.user, [])
    finally:
        engine.snapshots.unmount(container.id)
    return user.uid, user.gid
