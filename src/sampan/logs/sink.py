"""Messages on their way to a remote log service, without ever waiting for it.

Messages queue up here while the service is slow or away. In blocking mode a queue of HIGH bytes asks the container to
wait; in non-blocking mode messages beyond `max-buffer-size` are dropped (the newest, as Docker's ring does).
"""

from __future__ import annotations

import errno
import os
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from sampan import errors

from . import lines
from . import options as opts
from .lines import LineSplitter, Partial
from .lookup import Lookup

if TYPE_CHECKING:
    import ssl

HIGH = 1 << 20
RETRY = 1.0
CONNECT_SECONDS = 5.0
_BATCH = 1 << 16
_WANT_READ, _WANT_WRITE = 2, 3
"""What ssl.SSLWantReadError and SSLWantWriteError, which are OSErrors, have for errno (SSL_get_error(3))."""


class Address(NamedTuple):
    """Where a service listens; `target` is (host, port) or a path."""

    scheme: str
    target: tuple[str, int] | str

    @property
    def datagrams(self) -> bool:
        return self.scheme in ("udp", "unixgram")

    def __str__(self) -> str:
        where = self.target if isinstance(self.target, str) else f"{self.target[0]}:{self.target[1]}"
        return f"{self.scheme} {where}"


def split_host_port(text: str, default_port: int | None) -> tuple[str, int]:
    """`host:port`, `[v6]:port` or, with a default port, a host alone; ValueError for a port that is none."""
    host, separator, port = text.rpartition(":")
    if default_port is not None and (not separator or text.endswith("]")):
        host, port = text, str(default_port)
    number = int(port)
    if not 0 < number < 65536:
        raise ValueError(f"invalid port {port}")
    return host.strip("[]") or "localhost", number


class Message(NamedTuple):
    """One line or piece, without its newline."""

    stream: int
    data: bytes
    timestamp_ns: int
    partial: Partial | None


Encoder = Callable[[Message], list[bytes]]
"""From a message to what is sent of it: one piece on a stream, maybe several datagrams."""

Wrap = Callable[[socket.socket, str], "ssl.SSLSocket"]
"""TLS for a host, on a connected socket, before the handshake."""


class SocketSink:
    """Sends encoded messages over one socket, and connects anew where the service went away.

    The socket is closed in `ready` only, after `poll` has said -1: the loop must not watch a closed fd.
    """

    def __init__(self, address: Address, encode: Encoder, config: dict[str, str], wrap: Wrap | None = None) -> None:
        self._address, self._encode, self._wrap = address, encode, wrap
        self._dropping = config.get("mode") == "non-blocking"
        self._limit = opts.size(config, "max-buffer-size", HIGH) if self._dropping else HIGH
        self._splitters = {1: LineSplitter(), 2: LineSplitter()}
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._sent = 0  # how much of the first message of a stream socket is out
        self._sock: socket.socket | None = None
        self._broken = False
        self._lookup: Lookup | None = None
        self._connecting = False
        self._handshake: Callable[[], None] | None = None
        self._wants_room = False
        self._deadline = 0.0
        """Until when lookup, connection and handshake may take."""
        self._retry_at = 0.0
        self.dropped = 0

    def connect(self, *, required: bool = True) -> None:
        """The first connection, made before the container starts; Unavailable where it fails and is required."""
        try:
            self._sock = self._open(CONNECT_SECONDS)
        except OSError as error:
            if required:
                reason = (error.strerror or str(error)).lower()
                raise errors.Unavailable(f"dial {self._address}: connect: {reason}") from error
            self._later()

    def _open(self, seconds: float) -> socket.socket:
        """A connected socket; waits that long for each step."""
        target = self._address.target
        family, where = self._resolved(target if isinstance(target, str) else target[0])
        sock = socket.socket(family, self._kind)
        try:
            sock.settimeout(seconds)
            sock.connect(where)
            if self._wrap is not None and isinstance(target, tuple):
                secure = self._wrap(sock, target[0])
                sock = secure
                secure.do_handshake()
            sock.settimeout(0)
        except BaseException:
            sock.close()
            raise
        return sock

    @property
    def _kind(self) -> int:
        return socket.SOCK_DGRAM if self._address.datagrams else socket.SOCK_STREAM

    def _resolved(self, host: str, flags: int = 0) -> tuple[int, Any]:
        """Family and socket address of a host, or of a path where that is the target; gaierror where there is none."""
        target = self._address.target
        if isinstance(target, str):
            return socket.AF_UNIX, target
        family, _, _, _, where = socket.getaddrinfo(host, target[1], type=self._kind, flags=flags)[0]
        return family, where

    # Writer

    @property
    def full(self) -> bool:
        return not self._dropping and self._queued >= self._limit

    def write(self, stream: int, data: bytes, timestamp_ns: int) -> None:
        for segment in self._splitters[stream].feed(data, timestamp_ns):
            for line in lines.messages(segment):
                self._enqueue(Message(stream, line, segment.timestamp, segment.partial))
        self._flush()

    def end(self, stream: int, timestamp_ns: int) -> None:
        segment = self._splitters[stream].end(timestamp_ns)
        if segment is not None:
            self._enqueue(Message(stream, segment.data, segment.timestamp, segment.partial))
            self._flush()

    def _enqueue(self, message: Message) -> None:
        if self._dropping and self._queue and self._queued + len(message.data) > self._limit:
            self.dropped += 1
            return
        for encoded in self._encode(message):
            self._queue.append(encoded)
            self._queued += len(encoded)

    def close(self) -> None:
        if self._lookup is not None:
            self._lookup.close()
            self._lookup = None
        if self._sock is not None:
            self._sock.close()
            self._sock, self._connecting, self._handshake = None, False, None

    # Sink

    def poll(self) -> tuple[int, bool, float]:
        if self._broken:
            return -1, False, 0.0
        left = max(0.0, self._deadline - time.monotonic())
        if self._lookup is not None:
            return (-1, False, 0.0) if self._lookup.done else (self._lookup.fileno(), False, left)
        if self._sock is None:
            return -1, False, max(0.0, self._retry_at - time.monotonic())
        if self._connecting or self._handshake is not None:
            return self._sock.fileno(), self._connecting or self._wants_room, left
        return self._sock.fileno(), bool(self._queue), -1.0

    @property
    def pending(self) -> bool:
        return not self.drained()

    def drained(self) -> bool:
        return not self._queue

    def ready(self) -> None:
        """Something happened to the socket, or it is time to try again."""
        if self._broken:
            self._broken = False
            self.close()
            self._later()
        if self._sock is None:
            try:
                self._reconnect()
            except OSError:
                self._later()
        if self._sock is not None and self._established():
            self._discard_input()
            self._flush()

    def _later(self) -> None:
        self._retry_at = time.monotonic() + RETRY
        self._sent = 0  # a message that was cut off is sent again as a whole

    def _reconnect(self) -> None:
        """The next step to a socket that is connecting. Nothing here waits: the container's output shares the loop."""
        target, lookup = self._address.target, self._lookup
        if lookup is None:
            if time.monotonic() < self._retry_at:
                return
            self._deadline = time.monotonic() + CONNECT_SECONDS
            host = target if isinstance(target, str) else target[0]
            try:
                self._dial(*self._resolved(host, socket.AI_NUMERICHOST))
            except socket.gaierror:
                self._lookup = Lookup(host, self._kind)
        elif not lookup.done:
            if time.monotonic() < self._deadline:
                lookup.read()
            else:
                lookup.give_up()
        else:
            self._lookup = None
            lookup.close()
            if not lookup.address:
                raise OSError(errno.EHOSTUNREACH, "no such host")
            self._dial(*self._resolved(lookup.address, socket.AI_NUMERICHOST))

    def _dial(self, family: int, where: Any) -> None:
        sock = socket.socket(family, self._kind)
        sock.settimeout(0)
        code = sock.connect_ex(where)
        if code not in (0, errno.EINPROGRESS):
            sock.close()
            raise OSError(code, os.strerror(code))
        self._sock, self._connecting = sock, True

    def _established(self) -> bool:
        """Whether connection and handshake are through; broken where they fail or take too long."""
        if not self._connecting and self._handshake is None:
            return True
        try:
            if time.monotonic() >= self._deadline:
                raise TimeoutError
            return self._connected() and self._shaken()
        except OSError:
            self._broken = True
            return False

    def _connected(self) -> bool:
        assert self._sock is not None
        if not self._connecting:
            return True
        if code := self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(code, os.strerror(code))
        try:
            self._sock.getpeername()
        except OSError:
            return False  # it has not come to that yet
        self._connecting = False
        if self._wrap is not None:
            secure = self._wrap(self._sock, str(self._address.target[0]))
            self._sock, self._handshake = secure, secure.do_handshake
        return True

    def _shaken(self) -> bool:
        if self._handshake is not None:
            try:
                self._handshake()
            except OSError as error:
                if error.errno not in (_WANT_READ, _WANT_WRITE):
                    raise
                self._wants_room = error.errno == _WANT_WRITE
                return False
            self._handshake = None
        return True

    def _discard_input(self) -> None:
        """The services say nothing of interest, but their closing is news."""
        assert self._sock is not None
        try:
            if not self._sock.recv(_BATCH) and not self._address.datagrams:
                self._broken = True
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            # a datagram socket reports an earlier ICMP error and works on
            if error.errno not in (None, _WANT_READ) and not self._address.datagrams:
                self._broken = True

    def _flush(self) -> None:
        if self._sock is None or self._broken or self._connecting or self._handshake is not None:
            return
        try:
            while self._queue:
                if self._address.datagrams:
                    self._send_datagram()
                else:
                    self._send_stream()
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            if error.errno not in (None, _WANT_READ, _WANT_WRITE):
                self._broken = True

    def _send_datagram(self) -> None:
        assert self._sock is not None
        try:
            self._sock.send(self._queue[0])
        except OSError as error:
            if error.errno not in (errno.ECONNREFUSED, errno.EMSGSIZE):
                raise
        self._queued -= len(self._queue.popleft())

    def _send_stream(self) -> None:
        assert self._sock is not None
        batch = bytearray(self._queue[0][self._sent :])
        for index in range(1, len(self._queue)):
            if len(batch) >= _BATCH:
                break
            batch += self._queue[index]
        sent = self._sock.send(batch)
        self._sent += sent
        while self._queue and self._sent >= len(self._queue[0]):
            size = len(self._queue.popleft())
            self._sent -= size
            self._queued -= size
