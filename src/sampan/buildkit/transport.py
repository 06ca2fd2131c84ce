"""gRPC over a connection that was HTTP/1.1: after the 101 both sides speak HTTP/2 with prior knowledge (RFC 9113, 3.3).

POST /grpc      the client calls us:  serve()     one Server link, its services
POST /session   we call the client:   Calls(link) one Client link, a grpclib channel over it
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, Protocol

from google.protobuf.any_pb2 import Any as AnyMessage
from grpclib.client import Channel
from grpclib.client import Handler as NoRequests
from grpclib.config import Configuration
from grpclib.const import Cardinality, Handler, Status
from grpclib.encoding.base import StatusDetailsCodecBase
from grpclib.encoding.proto import ProtoCodec
from grpclib.events import _DispatchServerEvents
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.protocol import AbstractHandler, H2Protocol
from grpclib.server import Handler as Requests
from h2.config import H2Configuration

from ..errors import (
    Conflict,
    Forbidden,
    InvalidArgument,
    NotFound,
    NotImplementedHere,
    SampanError,
    Unauthorized,
    Unavailable,
)
from .dataframes import DataFrames
from .gathering import Gathering
from .proto.rpcstatus_pb2 import Status as StatusMessage

log = logging.getLogger("sampan.buildkit")
logging.getLogger("grpclib").setLevel(logging.WARNING)  # it tells of each client that has what it wanted and hangs up

STATUS: Final[dict[type[SampanError], Status]] = {
    InvalidArgument: Status.INVALID_ARGUMENT,
    Unauthorized: Status.UNAUTHENTICATED,
    Forbidden: Status.PERMISSION_DENIED,
    NotFound: Status.NOT_FOUND,
    Conflict: Status.ALREADY_EXISTS,
    NotImplementedHere: Status.UNIMPLEMENTED,
    Unavailable: Status.UNAVAILABLE,
}
_KINDS: Final = {status: kind for kind, status in STATUS.items()}


class Service(Protocol):
    """What grpclib asks of a service."""

    def __mapping__(self) -> dict[str, Handler]:
        """Handlers by the path of their method, `/package.Service/Method`."""
        ...


class Link(H2Protocol):
    """The HTTP/2 of one connection; `lost` is set when it has ended."""

    def __init__(self, handler: AbstractHandler, config: Configuration, *, client: bool) -> None:
        http2 = H2Configuration(  # what grpclib's own channels and servers have
            client_side=client, header_encoding="utf-8", validate_inbound_headers=False,
            validate_outbound_headers=False, normalize_inbound_headers=False, normalize_outbound_headers=False,
        )  # fmt: skip
        super().__init__(handler, config, http2)
        self.lost = asyncio.Event()
        self._frames = DataFrames() if client else None  # what comes to a server begins with a preface that is no frame

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        super().connection_made(Gathering(transport))

    def begin(self, transport: asyncio.Transport, early: bytes = b"") -> None:
        """Take a connection over that gives us its octets already; `early` came before."""
        self.connection_made(transport)
        if early:
            self.data_received(early)
        if not transport.is_closing():
            transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        try:
            super().data_received(data if self._frames is None else self._frames.joined(data))
        except (NotImplementedError, LookupError, ValueError) as error:  # frames that h2 lets through, others do not
            log.info("closing a gRPC connection: %r", error)
            self.close()

    def connection_lost(self, error: BaseException | None) -> None:
        super().connection_lost(error)
        self.lost.set()

    def close(self) -> None:
        """End the connection and all calls on it."""
        if hasattr(self, "processor"):  # it has begun
            self.processor.close()


Adopt = Callable[[Link], Awaitable[None]]
"""Gives a connection to a link, which then `begin`s."""


async def serve(services: Iterable[Service], adopt: Adopt) -> None:
    """Answer calls until the connection ends; those under way are cancelled then, and have ended on return."""
    mapping = _Methods((path, _told(one)) for service in services for path, one in service.__mapping__().items())
    requests = Requests(mapping, ProtoCodec(), DetailsCodec(), _DispatchServerEvents())
    link = Link(requests, Configuration().__for_server__(), client=False)
    await adopt(link)
    try:
        await link.lost.wait()
    finally:
        link.close()
        await requests.wait_closed()


class _Methods(dict[str, Handler]):
    """Handlers by path. grpclib's own answer to an unknown one lacks the content type, without which Go's client does
    not see that the method is UNIMPLEMENTED; clients find out by it what there is.
    """

    def get(self, path: str, default: object = None) -> Handler:
        return super().get(path) or Handler(_unknown, Cardinality.STREAM_STREAM, StatusMessage, StatusMessage)


async def _unknown(stream: Any) -> None:
    raise GRPCError(Status.UNIMPLEMENTED, "unknown method")


def client_link() -> Link:
    """The link of a connection on which we call."""
    return Link(NoRequests(), Configuration().__for_client__(), client=True)


class Calls(Channel):
    """A channel over a connection that is there; when that has ended, calls are Unavailable."""

    def __init__(self, link: Link) -> None:
        super().__init__("localhost", status_details_codec=DetailsCodec(), codec=ProtoCodec())
        self._link = link

    async def __connect__(self) -> H2Protocol:
        if self._link.lost.is_set():
            raise Unavailable("the client's session has ended")
        return self._link

    def close(self) -> None:
        self._link.close()


class DetailsCodec(StatusDetailsCodecBase):
    """Details of a GRPCError are (type URL, value) pairs."""

    def encode(self, status: Status, message: str | None, details: Sequence[tuple[str, bytes]]) -> bytes:
        packed = [AnyMessage(type_url=url, value=value) for url, value in details]
        return StatusMessage(code=status.value, message=message or "", details=packed).SerializeToString()

    def decode(self, status: Status, message: str | None, data: bytes) -> list[tuple[str, bytes]]:
        return [(one.type_url, one.value) for one in StatusMessage.FromString(data).details]


def _told(handler: Handler) -> Handler:
    """The same with our errors told as gRPC does."""

    async def call(stream: Any) -> None:
        try:
            await handler.func(stream)
        except (GRPCError, StreamTerminatedError):
            raise
        except SampanError as error:
            raise GRPCError(status_of(error), str(error)) from error
        except Exception as error:  # the last resort: logged with its traceback
            log.exception("a gRPC call failed")
            raise GRPCError(Status.UNKNOWN, str(error) or type(error).__name__) from error

    return handler._replace(func=call)


def status_of(error: SampanError) -> Status:
    """The status of the nearest kind; UNKNOWN for an error without a meaning of its own."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), Status.UNKNOWN)


def raised(error: GRPCError) -> SampanError:
    """What a client's services say, as an error of ours."""
    return _KINDS.get(error.status, SampanError)(error.message or error.status.name)
