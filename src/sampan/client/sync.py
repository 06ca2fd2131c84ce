"""The blocking client."""

from __future__ import annotations

from _socket import SHUT_WR

from sampan.rpc.frames import Demultiplexer, is_multiplexed

from . import containers, system
from .api import Api
from .call import Call, Hijack, Stream, SyncSender, decode_bytes
from .connection import Connection, Response
from .negotiation import API_VERSION, Ping, base_headers, common_version
from .status import FIRST_ERROR, daemon_error
from .target import Target, TlsFiles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Iterator
    from typing import Generic, TypeVar

    from .types import PathStat

    T = TypeVar("T")
else:
    from .generics import Generic, T


class Hijacked:
    """A two-way stream over what was an HTTP connection. `rest` arrived together with the response's head."""

    __slots__ = ("multiplexed", "rest", "socket")

    def __init__(self, connection: socket, rest: bytes, multiplexed: bool) -> None:
        self.socket, self.rest, self.multiplexed = connection, rest, multiplexed

    def close_write(self) -> None:
        """Half-close: the other side reads the end of stdin."""
        try:
            self.socket.shutdown(SHUT_WR)
        except OSError:
            pass  # the peer is gone: nothing is left to end

    def chunks(self) -> Iterator[bytes]:
        """What arrives, as it arrives, until the other side closes."""
        data, self.rest = self.rest, b""
        while True:
            if data:
                yield data
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                return
            if not data:
                return

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """`(stream, payload)`; a TTY's bytes come as stream 1."""
        demultiplexer = Demultiplexer()
        for chunk in self.chunks():
            yield from demultiplexer.feed(chunk) if self.multiplexed else [(1, chunk)]

    def close(self) -> None:
        self.socket.close()


class Client(Api, SyncSender):
    """`Client("unix:///run/sampan.sock")`; methods raise the classes of `sampan.errors`.

    The API version is agreed on with the first request. One idle connection is kept; a client belongs to one thread.
    """

    def __init__(
        self,
        host: str,
        tls: TlsFiles | None = None,
        *,
        version: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.target = Target(host, tls)
        self._version = version
        self._headers = headers or {}
        self._idle: Connection | None = None

    def close(self) -> None:
        if self._idle is not None:
            self._idle.close()
            self._idle = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def api_version(self) -> str:
        if self._version is None:
            self._version = common_version(API_VERSION, self.ping().api_version)
        return self._version

    def clone(self) -> Client:
        """A client of the same daemon for another thread; no second negotiation."""
        return Client(self.target.url, self.target.tls, version=self.api_version, headers=self._headers)

    def ping(self) -> Ping:
        response = self._request(system.ping_call())
        self._finish(response)
        return Ping(response.head)

    def send(self, call: Call[T]) -> T:
        response = self._checked(call)
        return call.decode(self._finish(response))

    def stream(self, call: Stream[T]) -> Iterator[T]:
        """Sends at once; the iterator reads. Closing the iterator closes the connection."""
        return self._items(call, self._checked(call))

    def begin(self, call: Call[T]) -> Pending[T]:
        """Send now, read the answer later: for `wait`, whose registration is what its response's head confirms."""
        return Pending(self, call, self._checked(call))

    def hijack(self, call: Hijack) -> Hijacked:
        response = self._checked(call)
        multiplexed = is_multiplexed(response.head.status, response.head.headers.get("content-type", ""))
        return Hijacked(response.connection.socket, response.take_buffer(), multiplexed)

    def container_attach(
        self,
        ref: str,
        *,
        stdin: bool = False,
        stdout: bool = True,
        stderr: bool = True,
        logs: bool = False,
        detach_keys: str | None = None,
    ) -> Hijacked:
        return self.hijack(containers.attach_call(ref, stdin, stdout, stderr, logs, detach_keys))

    def exec_start(self, exec_id: str, tty: bool = False, console_size: tuple[int, int] | None = None) -> Hijacked:
        return self.hijack(containers.exec_start_call(exec_id, tty, console_size))

    def container_stat(self, ref: str, path: str) -> PathStat:
        response = self._checked(containers.stat_call(ref, path))
        self._finish(response)
        stat: PathStat = containers.decode_path_stat(response.head.headers)
        return stat

    def _items(self, call: Stream[T], response: Response) -> Iterator[T]:
        try:
            for piece in response.pieces() if call.decode is decode_bytes else response.lines():
                yield call.decode(piece)
        finally:
            response.connection.close()

    def _checked(self, call: Call[T]) -> Response:
        response = self._request(call)
        if response.head.status >= FIRST_ERROR:
            raise daemon_error(response.head.status, self._finish(response))
        return response

    def _request(self, call: Call[T]) -> Response:
        prefix = self.target.base + (f"/v{self.api_version}" if call.versioned else "")
        headers = base_headers(self.target, {**self._headers, **call.headers})
        reused, self._idle = self._idle, None
        if reused is not None:
            if reused.usable():
                return reused.request(call, prefix, headers)
            reused.close()
        return Connection(self.target.connect()).request(call, prefix, headers)

    def _finish(self, response: Response) -> bytes:
        """Read the rest of a response and keep its connection for the next request."""
        data = response.read()
        if response.reusable and self._idle is None:
            self._idle = response.connection
        else:
            response.connection.close()
        return data


class Pending(Generic[T]):
    """An answer that is on its way; its connection may be polled with `fileno`."""

    def __init__(self, client: Client, call: Call[T], response: Response) -> None:
        self._client, self._call, self._response = client, call, response

    def fileno(self) -> int:
        return self._response.connection.socket.fileno()

    def result(self) -> T:
        """Blocks until the answer is complete."""
        return self._call.decode(self._response.read())

    def close(self) -> None:
        self._response.connection.close()
