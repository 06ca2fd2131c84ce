"""A build context as it arrives: a tar stream that becomes a table of files and their contents, one after another."""

from __future__ import annotations

import os
import posixpath
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from ..cas.compression import DEFAULT_LIMITS, Decompressed
from ..cas.threads import run_in_thread
from ..dockerfile.ignore import IgnoreRules, read_patterns
from ..engine.bodies import fed, in_threads
from ..errors import InvalidArgument
from ..storage import whole_tree
from .filetree import FileTree, Pack, read_archive
from .graph import Copy
from .sources import DiskTree, SourceTree, read_text
from .targets import DiskTarget
from .writing import Writer

if TYPE_CHECKING:
    from ..engine.engine import Engine

IGNORE_FILE = ".dockerignore"


@asynccontextmanager
async def received(engine: Engine, body: AsyncIterator[bytes]) -> AsyncIterator[FileTree]:
    """The files of the body's tar (plain or compressed), hashed as they come; their contents are gone at the end."""
    with tempfile.TemporaryFile(dir=engine.paths.tmp, buffering=0) as spool:
        pack = Pack(os.dup(spool.fileno()))
        try:
            async with fed(body) as feed:
                tree = await run_in_thread(
                    lambda: read_archive(Decompressed(feed, DEFAULT_LIMITS), pack), feed.interrupt
                )  # fmt: skip
            yield tree
        finally:
            pack.close()


def spread(files: FileTree, path: str) -> None:
    """Write a context into an empty directory, for those who mount it."""
    root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        Writer(DiskTarget(root, path), lambda number: files).apply(Copy(input=1, sources=("/",), target="/"))
    finally:
        os.close(root)


@contextmanager
def opened(context: str | FileTree) -> Iterator[SourceTree]:
    """A directory or what came from a client, as a tree."""
    if isinstance(context, FileTree):
        yield context
        return
    with DiskTree(context, keep_owner=False) as tree:
        yield tree


def ignore_rules(context: SourceTree, dockerfile: str) -> IgnoreRules | None:
    """What the Dockerfile's own ignore file says, or else the context's."""
    for name in (f"{dockerfile}.dockerignore", IGNORE_FILE):
        text = read_text(context, name)
        if text is not None:
            return IgnoreRules(read_patterns(text))
    return None


def drop_ignored(context: SourceTree, dockerfile: str, rules: IgnoreRules) -> None:
    """Remove the Dockerfile and the ignore files where the rules leave them out: clients send them all the same."""
    for path in (dockerfile, f"{dockerfile}.dockerignore", IGNORE_FILE):
        if rules.matches(posixpath.normpath(path).lstrip("/")):
            context.drop(path)


@asynccontextmanager
async def without_ignored(engine: Engine, directory: str, rules: IgnoreRules) -> AsyncIterator[FileTree]:
    """A directory of this machine as a client would send it."""
    root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        body = in_threads(whole_tree(root, lambda node: not rules.matches(node.path)))
        async with received(engine, body) as files:
            yield files
    finally:
        os.close(root)


def read_dockerfile(context: SourceTree, name: str) -> str:
    """The text of a Dockerfile inside a context; links in it do not lead out. InvalidArgument where there is none."""
    text = read_text(context, name)
    if text is None:
        raise InvalidArgument(f"Cannot locate specified Dockerfile: {name}")
    if not text.strip():
        raise InvalidArgument("the Dockerfile cannot be empty")
    return text
