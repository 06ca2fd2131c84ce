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
from typing import NamedTuple

from sampan import errors

from . import lines
from . import options as opts
from .lines import LineSplitter, Partial

HIGH = 1 << 20
RETRY = 1.0
CONNECT_SECONDS = 5.0
_BATCH = 1 << 16


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

Wrap = Callable[[socket.socket, str], socket.socket]


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
        self._connecting = False
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

    def _open(self, seconds: float | None) -> socket.socket:
        """A connected socket; with None one that is connecting."""
        target = self._address.target
        kind = socket.SOCK_DGRAM if self._address.datagrams else socket.SOCK_STREAM
        if isinstance(target, str):
            family, resolved = socket.AF_UNIX, target
        else:
            family, _, _, _, resolved = socket.getaddrinfo(*target, type=kind)[0]  # type: ignore[assignment] # the type is fixed
        sock = socket.socket(family, kind)
        try:
            sock.settimeout(seconds if seconds is not None else 0)
            code = 0 if seconds is not None else sock.connect_ex(resolved)
            if seconds is not None:
                sock.connect(resolved)
            elif code not in (0, errno.EINPROGRESS):
                raise OSError(code, os.strerror(code))
            if self._wrap is not None and isinstance(target, tuple):
                sock.settimeout(CONNECT_SECONDS)
                sock = self._wrap(sock, target[0])
            sock.settimeout(0)
        except BaseException:
            sock.close()
            raise
        self._connecting = code == errno.EINPROGRESS
        return sock

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
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    # Sink

    def poll(self) -> tuple[int, bool, float]:
        if self._broken:
            return -1, False, 0.0
        if self._sock is None:
            return -1, False, max(0.0, self._retry_at - time.monotonic())
        return self._sock.fileno(), bool(self._queue) or self._connecting, -1.0

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
            if time.monotonic() < self._retry_at:
                return
            try:
                self._sock = self._open(CONNECT_SECONDS if self._wrap else None)
            except OSError:
                self._later()
                return
        if self._connecting and not self._connected():
            return
        self._discard_input()
        self._flush()

    def _later(self) -> None:
        self._retry_at = time.monotonic() + RETRY
        self._sent = 0  # a message that was cut off is sent again as a whole

    def _connected(self) -> bool:
        assert self._sock is not None
        if self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._broken = True
            return False
        self._connecting = False
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
            # ssl.SSLWantReadError is an OSError; a datagram socket reports an earlier ICMP error and works on.
            if error.errno not in (None, 2) and not self._address.datagrams:
                self._broken = True

    def _flush(self) -> None:
        if self._sock is None or self._broken or self._connecting:
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
            if error.errno not in (None, 2, 3):  # SSL_ERROR_WANT_READ and _WANT_WRITE
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
