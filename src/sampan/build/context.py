"""A build context as it arrives: a tar stream, unpacked into a directory of its own."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ..cas.compression import DEFAULT_LIMITS, Decompressed
from ..cas.threads import run_in_thread
from ..engine.bodies import Feed, fed
from ..errors import InvalidArgument
from ..linux.openat2 import open_in_root
from ..tree.extract import ExtractOptions, extract
from ..tree.remove import remove

if TYPE_CHECKING:
    from ..engine.engine import Engine

MAX_DOCKERFILE = 16 << 20


@asynccontextmanager
async def received(engine: Engine, body: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """The directory that the body's tar (plain or compressed) was unpacked into; removed at the end."""
    path = f"{engine.paths.tmp}/context-{secrets.token_hex(8)}"
    os.mkdir(path, 0o755)
    try:
        async with fed(body) as feed:
            await run_in_thread(lambda: _unpack(path, feed), feed.interrupt)
        yield path
    finally:
        _remove(path)


def _unpack(path: str, feed: Feed) -> None:
    root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Files of a context belong to root in the image (Dockerfile reference, COPY).
        extract(root, Decompressed(feed, DEFAULT_LIMITS), ExtractOptions(owner=(0, 0)))
    finally:
        os.close(root)


def _remove(path: str) -> None:
    parent, _, name = path.rpartition("/")
    directory = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        remove(directory, name)
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
        raise InvalidArgument(f"the Dockerfile ({name}) cannot be empty")
    return data.decode("utf-8", "surrogateescape")
