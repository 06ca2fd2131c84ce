"""Calls of a client's services: their metadata, their failures."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import TypeVar
from urllib.parse import quote_plus

from google.protobuf.message import DecodeError, Message
from grpclib.client import Stream
from grpclib.const import Cardinality
from grpclib.exceptions import GRPCError, StreamTerminatedError

from ..errors import InvalidArgument, NotImplementedHere, Unavailable
from .sessions import Session
from .transport import raised

Request = TypeVar("Request", bound=Message)
Reply = TypeVar("Reply", bound=Message)
Pairs = list[tuple[str, str]]


@asynccontextmanager
async def opened(
    session: Session, method: str, request: type[Request], reply: type[Reply], metadata: Iterable[tuple[str, str]] = ()
) -> AsyncIterator[Stream[Request, Reply]]:
    """A stream of messages both ways; what the client says against it is raised as an error of ours."""
    if not session.supports(method):
        raise NotImplementedHere(f"method {method} not supported by the client")
    try:
        call = session.channel.request(method, Cardinality.STREAM_STREAM, request, reply, metadata=list(metadata))
        async with call as stream:
            await stream.send_request()
            yield stream
    except GRPCError as error:
        raise raised(error) from error
    except StreamTerminatedError as error:
        raise Unavailable(f"the client's session has ended: {error}") from error


async def next_message(stream: Stream[Request, Reply]) -> Reply | None:
    """The next message; None at the end of them."""
    try:
        return await stream.recv_message()
    except (AssertionError, DecodeError, NotImplementedError) as error:  # grpclib: cut short, no message, compressed
        raise InvalidArgument(f"malformed message: {error}") from error


async def ask(session: Session, method: str, request: Request, reply: type[Reply]) -> Reply:
    """One message for another."""
    async with opened(session, method, type(request), reply) as stream:
        await stream.send_message(request, end=True)
        answer = await next_message(stream)
    if answer is None:
        raise Unavailable(f"{method} gave no answer")
    return answer


def encoded(fields: Mapping[str, Iterable[str]]) -> Pairs:
    """Lists of texts as metadata: where a header cannot hold one, the list is percent-encoded and says so."""
    pairs: Pairs = []
    for name, values in fields.items():
        texts = [value for value in values if value]
        if any(not text.isascii() or not text.isprintable() or text != text.strip() for text in texts):
            pairs.append((f"{name}-encoded", "1"))
            texts = [quote_plus(text, errors="surrogateescape") for text in texts]
        pairs += [(name, text) for text in texts]
    return pairs
