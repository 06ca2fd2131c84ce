"""A build context as it arrives: a tar stream, unpacked into a directory of its own."""

from __future__ import annotations

import asyncio
import errno
import os
import posixpath
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ..cas.compression import DEFAULT_LIMITS, Decompressed
from ..cas.threads import run_in_thread
from ..dockerfile.ignore import IgnoreRules, read_patterns
from ..engine.bodies import fed
from ..engine.commit import Chunks
from ..errors import InvalidArgument
from ..linux.mount import MNT_DETACH, MS_NODEV, MS_NOSUID, mount, umount2
from ..linux.openat2 import open_in_root
from ..tree.extract import ExtractOptions, extract
from ..tree.reader import Readable
from .removing import remove_tree

if TYPE_CHECKING:
    from ..engine.engine import Engine

MAX_DOCKERFILE = 16 << 20
SMALL = 64 << 20


@asynccontextmanager
async def received(engine: Engine, body: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """The directory that the body's tar (plain or compressed) was unpacked into; removed at the end.

    A small context goes into a tmpfs of its own: making thousands of files there takes a tenth of the time that a disk
    needs, and most of them are only compared with what the cache knows. A large one goes to the disk.
    """
    path = f"{engine.paths.tmp}/context-{secrets.token_hex(8)}"
    os.mkdir(path, 0o755)
    try:
        head, whole = await _read_head(body)
        if not (whole and await asyncio.to_thread(_unpack_in_memory, path, head)):
            async with fed(_chained(head, body)) as feed:
                await run_in_thread(lambda: _unpack(path, feed), feed.interrupt)
        yield path
    finally:
        _detach(path)
        remove_tree(path)


async def _read_head(body: AsyncIterator[bytes]) -> tuple[list[bytes], bool]:
    """The first 64 MiB or so, and whether that was all."""
    chunks, size = [], 0
    async for chunk in body:
        chunks.append(chunk)
        size += len(chunk)
        if size > SMALL:
            return chunks, False
    return chunks, True


async def _chained(head: list[bytes], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    for chunk in head:
        yield chunk
    async for chunk in rest:
        yield chunk


def _unpack_in_memory(path: str, chunks: list[bytes]) -> bool:
    """Whether it was possible and fitted; otherwise nothing is left of the attempt."""
    try:
        mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, f"size={4 * SMALL},mode=755")
    except OSError:
        return False  # not ours to mount: rootless
    try:
        _unpack(path, Chunks(iter(chunks)))
    except OSError as error:
        umount2(path, MNT_DETACH)
        if error.errno != errno.ENOSPC:
            raise
        return False
    return True


def _detach(path: str) -> None:
    if os.path.ismount(path):
        umount2(path, MNT_DETACH)


def _unpack(path: str, feed: Readable) -> None:
    root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Files of a context belong to root in the image (Dockerfile reference, COPY).
        extract(root, Decompressed(feed, DEFAULT_LIMITS), ExtractOptions(owner=(0, 0)))
    finally:
        os.close(root)


def drop_ignored(context: str, dockerfile: str) -> None:
    """Remove the Dockerfile and the ignore file where the rules leave them out: clients send them all the same."""
    root = os.open(context, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in (f"{dockerfile}.dockerignore", ".dockerignore"):
            text = _text(root, name)
            if text is not None:
                rules = IgnoreRules(read_patterns(text))
                for path in (dockerfile, name):
                    if rules.matches(posixpath.normpath(path).lstrip("/")):
                        _unlink(root, path)
                return
    finally:
        os.close(root)


def _text(root: int, name: str) -> str | None:
    try:
        fd = open_in_root(root, name, os.O_RDONLY | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    with os.fdopen(fd, "rb") as file:
        return file.read(MAX_DOCKERFILE).decode("utf-8", "surrogateescape")


def _unlink(root: int, path: str) -> None:
    parent, _, name = path.rpartition("/")
    try:
        directory = open_in_root(root, parent or ".", os.O_PATH | os.O_DIRECTORY)
    except FileNotFoundError:
        return
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        pass  # the client left it out
    finally:
        os.close(directory)


def read_dockerfile(context: str, name: str) -> str:
    """The text of a Dockerfile inside a context; links in it do not lead out. InvalidArgument where there is none."""
    root = os.open(context, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fd = open_in_root(root, name, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        raise InvalidArgument(f"Cannot locate specified Dockerfile: {name}") from None
    finally:
        os.close(root)
    with os.fdopen(fd, "rb") as file:
        data = file.read(MAX_DOCKERFILE + 1)
    if len(data) > MAX_DOCKERFILE:
        raise InvalidArgument(f"the Dockerfile {name} is larger than {MAX_DOCKERFILE} bytes")
    if not data.strip():
        raise InvalidArgument("the Dockerfile cannot be empty")
    return data.decode("utf-8", "surrogateescape")
