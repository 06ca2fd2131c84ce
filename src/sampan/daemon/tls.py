"""TLS for the TCP listeners: decrypted octets pass through a socket pair to the API's plain connection.

asyncio's own TLS ends a connection when the client has sent everything, but `docker run -i` still waits for the
output then: RFC 8446 section 6.1 lets each side close its half alone, and Go's TLS does.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Final

log = logging.getLogger("sampand.tls")

HANDSHAKE_SECONDS: Final = 30.0
CHUNK: Final = 64 << 10

Factory = Callable[[], asyncio.BaseProtocol]


class TlsConnection(asyncio.Protocol):
    """The encrypted side. `factory` makes the protocol that gets the plain octets."""

    def __init__(self, context: ssl.SSLContext, factory: Factory) -> None:
        self._factory = factory
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._inner: _Inner | None = None
        self._ended = False
        self._task: asyncio.Task[None] | None = None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(HANDSHAKE_SECONDS, transport.abort)

    def data_received(self, data: bytes) -> None:
        self._incoming.write(data)
        try:
            if self._inner is None:
                self._shake_hands()
            else:
                self._decrypt()
        except ssl.SSLError as error:
            log.info("TLS with %s failed: %s", self.transport.get_extra_info("peername"), error)
            self._flush()
            self.transport.close()

    def eof_received(self) -> bool:
        """The cable was cut, or the client closed without saying so: there is nobody to answer."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._deadline.cancel()
        if self._inner is not None:
            self._inner.transport.abort()

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.transport.pause_reading()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.transport.resume_reading()

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        self._flush()
        self._deadline.cancel()
        self.transport.pause_reading()
        self._task = asyncio.get_running_loop().create_task(self._join())

    async def _join(self) -> None:
        loop = asyncio.get_running_loop()
        inner = _Inner(self)
        try:
            ours, theirs = socket.socketpair()
            await loop.create_unix_connection(lambda: inner, sock=ours)
            await loop.create_unix_connection(self._factory, sock=theirs)
        except OSError as error:
            log.warning("TLS with %s failed: %s", self.transport.get_extra_info("peername"), error)
            self.transport.abort()
            return
        self._inner = inner
        if self.transport.is_closing():
            inner.transport.abort()
            return
        self.transport.resume_reading()
        self.data_received(b"")  # what came behind the handshake; may pause reading again

    def _decrypt(self) -> None:
        assert self._inner is not None
        while not self._ended:
            try:
                data = self._tls.read(CHUNK)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                data = b""
            if data:
                self._inner.transport.write(data)
            else:
                self._ended = True
                self._inner.transport.write_eof()
        self._flush()

    def encrypt(self, data: bytes) -> None:
        """Send to the client."""
        self._tls.write(data)
        self._flush()

    def finish(self) -> None:
        """Say that nothing follows, and close."""
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            pass  # the client's own close_notify need not be waited for
        self._flush()
        self.transport.close()

    def _flush(self) -> None:
        data = self._outgoing.read()
        if data and not self.transport.is_closing():
            self.transport.write(data)


class _Inner(asyncio.Protocol):
    """The plain side."""

    def __init__(self, outer: TlsConnection) -> None:
        self._outer = outer
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if not self._outer.transport.is_closing():
            self._outer.encrypt(data)

    def connection_lost(self, error: Exception | None) -> None:
        if not self._outer.transport.is_closing():
            self._outer.finish()

    def pause_writing(self) -> None:
        if not self._outer.transport.is_closing():
            self._outer.transport.pause_reading()

    def resume_writing(self) -> None:
        if not self._outer.transport.is_closing():
            self._outer.transport.resume_reading()
