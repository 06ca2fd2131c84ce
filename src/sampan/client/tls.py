"""TLS beneath a plain socket: two threads encrypt and decrypt, callers hold one end of a socketpair.

Python's SSLSocket cannot half-close (its `shutdown` drops the TLS layer, `unwrap` waits for the peer), yet the end of
the input of `run -i` is a half-close; nor may two threads use one. Here a closed write side becomes a close_notify
alert (RFC 8446, 6.1) while the other direction goes on.
"""

from __future__ import annotations

import socket
import ssl
import threading

CHUNK = 65536


class Tunnel(socket.socket):
    """The callers' end. `failure` is what TLS ended with, if it ended badly."""

    failure: OSError | None = None


def tunnel(raw: socket.socket, context: ssl.SSLContext, name: str) -> Tunnel:
    """Shake hands on a connected socket, then carry its bytes; raises OSError when the peer is not who it should be."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_hostname=name)
    carrier = _Carrier(raw, session, incoming, outgoing)
    carrier.shake_hands()
    ours, theirs = socket.socketpair()
    end = Tunnel(fileno=ours.detach())
    for direction in (carrier.inbound, carrier.outbound):
        threading.Thread(target=direction, args=(theirs, end), daemon=True).start()
    return end


class _Carrier:
    """`_lock` guards the TLS state, `_sending` the order of its records on the wire."""

    def __init__(
        self, raw: socket.socket, session: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO
    ) -> None:
        self._raw, self._session, self._incoming, self._outgoing = raw, session, incoming, outgoing
        self._lock, self._sending = threading.Lock(), threading.Lock()
        self._running = 2

    def shake_hands(self) -> None:
        while True:
            try:
                self._session.do_handshake()
                self._flush()
                return
            except ssl.SSLWantReadError:
                self._flush()
                data = self._raw.recv(CHUNK)
                if not data:
                    raise ConnectionResetError("the peer closed the connection during the TLS handshake") from None
                self._incoming.write(data)

    def _flush(self) -> None:
        with self._sending:
            with self._lock:
                data = self._outgoing.read()
            if data:
                self._raw.sendall(data)

    def inbound(self, local: socket.socket, end: Tunnel) -> None:
        """From the wire to the caller."""
        try:
            while data := self._raw.recv(CHUNK):
                with self._lock:
                    self._incoming.write(data)
                    plain, over = self._decrypted()
                if self._outgoing.pending:
                    self._flush()
                local.sendall(plain)
                if over:
                    break
        except OSError as error:
            end.failure = error
        _shut(local, socket.SHUT_WR)
        self._finish(local)

    def _decrypted(self) -> tuple[bytes, bool]:
        """What can be read now, and whether the peer has said that no more comes."""
        parts = []
        try:
            while data := self._session.read(CHUNK):
                parts.append(data)
        except ssl.SSLWantReadError:
            return b"".join(parts), False
        except ssl.SSLZeroReturnError:
            return b"".join(parts), True
        return b"".join(parts), True

    def outbound(self, local: socket.socket, end: Tunnel) -> None:
        """From the caller to the wire; its end is a close_notify."""
        try:
            while data := local.recv(CHUNK):
                with self._lock:
                    self._session.write(data)
                self._flush()
            self._close_notify()
        except OSError as error:
            end.failure = end.failure or error
            _shut(local, socket.SHUT_RDWR)
        self._finish(local)

    def _finish(self, local: socket.socket) -> None:
        """The last direction to end closes both sockets."""
        with self._lock:
            self._running -= 1
            if not self._running:
                local.close()
                self._raw.close()

    def _close_notify(self) -> None:
        with self._lock:
            try:
                self._session.unwrap()
            except ssl.SSLError:
                pass  # it wants the peer's own close_notify, which the other direction reads
        self._flush()


def _shut(connection: socket.socket, how: int) -> None:
    try:
        connection.shutdown(how)
    except OSError:
        pass  # the caller has closed its end
