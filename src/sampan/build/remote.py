"""Contexts that the daemon fetches itself: `remote=` of the API names a git repository, an archive or a Dockerfile."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import InvalidArgument
from .context import received
from .fetching import checkout, fetch, single
from .filetree import FileTree, HeldFile
from .frontend.files import git_source, is_git
from .session import Session
from .sources import read_text

if TYPE_CHECKING:
    from ..engine.engine import Engine

KEEP_GIT_DIR = "BUILDKIT_CONTEXT_KEEP_GIT_DIR"
"""The build argument that asks for `.git` in a context that is a repository."""
_ARCHIVES = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")


@dataclass(frozen=True)
class Remote:
    """`dockerfile` is its text where the URL named nothing but a Dockerfile; `context` is then empty."""

    context: str | FileTree
    dockerfile: str = ""


@asynccontextmanager
async def fetched(
    engine: Engine, where: str, secrets: Mapping[str, bytes], agents: Mapping[str, str], *, keep_git_dir: bool = False
) -> AsyncIterator[Remote]:
    """What a remote context is, for as long as the block runs."""
    session = Session(engine, lambda event: None, secrets=secrets, ssh=agents)
    where = f"https://{where}" if where.startswith("github.com/") else where
    try:
        if is_git(where):
            yield Remote((await checkout(session, git_source(where, keep_git_dir=keep_git_dir)))[0])
            return
        if not where.startswith(("http://", "https://")):
            raise InvalidArgument(f"unable to prepare context: {where} is neither a git repository nor an http(s) URL")
        file = HeldFile(where, await fetch(session, where))
        head = file.head(512)
        if head[257:262] != b"ustar" and not head.startswith(_ARCHIVES):
            context = single("context", file.inode)
            yield Remote(context, read_text(context, "context") or "")
            return
        async with received(engine, _chunks(file)) as files:
            yield Remote(files)
    finally:
        await session.close()


async def _chunks(file: HeldFile) -> AsyncIterator[bytes]:
    for chunk in file.chunks():
        yield chunk
