"""A file that a client has at an address which it made up: the context or Dockerfile from its standard input."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import urlsplit

from .callee import next_message, opened
from .proto.upload_pb2 import BytesMessage
from .sessions import Session

PULL: Final = "/moby.upload.v1.Upload/Pull"


async def pull(session: Session, url: str) -> AsyncIterator[bytes]:
    """Its bytes; `url` is such as `http://buildkit-session/<id>`."""
    parts = urlsplit(url)
    metadata = [(name, value) for name, value in (("urlpath", parts.path), ("urlhost", parts.netloc)) if value]
    async with opened(session, PULL, BytesMessage, BytesMessage, metadata) as stream:
        await stream.end()
        while (message := await next_message(stream)) is not None:
            yield message.data
