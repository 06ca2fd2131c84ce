"""Contexts that the daemon fetches itself: `remote=` of the API names a git repository, an archive or a Dockerfile."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import InvalidArgument
from .context import received
from .fetching import clone, download
from .filetree import FileTree
from .frontend.files import git_source, is_git
from .session import Session
from .sources import MAX_DOCKERFILE

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
            yield Remote((await clone(session, git_source(where, keep_git_dir=keep_git_dir)))[0])
            return
        if not where.startswith(("http://", "https://")):
            raise InvalidArgument(f"unable to prepare context: {where} is neither a git repository nor an http(s) URL")
        directory = session.directory()
        path = f"{directory}/context"
        await download(where, path)
        with open(path, "rb") as file:
            head = file.read(512)
        if head[257:262] != b"ustar" and not head.startswith(_ARCHIVES):
            yield Remote(directory, _text(path))
            return
        async with received(engine, _chunks(path)) as files:
            yield Remote(files)
    finally:
        await session.close()


def _text(path: str) -> str:
    with open(path, "rb") as file:
        data = file.read(MAX_DOCKERFILE + 1)
    if len(data) > MAX_DOCKERFILE:
        raise InvalidArgument(f"the Dockerfile is larger than {MAX_DOCKERFILE} bytes")
    return data.decode("utf-8", "surrogateescape")


async def _chunks(path: str) -> AsyncIterator[bytes]:
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            yield chunk
