"""The pipe between the runtime and the process that becomes the container.

Both ends are the same program in the same version, so messages are marshalled Python values: a u32 length, then the
value; file descriptors ride along with the length.
"""

from __future__ import annotations

import marshal
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_STREAM, socket, socketpair

from ..linux.fds import MAX_FDS, recv_fds, send_fds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


class Closed(EOFError):
    """The other end is gone: it ended or, with close-on-exec, became the container's program."""


class Channel:
    """One end; owns its socket."""

    __slots__ = ("sock",)

    def __init__(self, sock: socket) -> None:
        self.sock = sock

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        """Two connected ends, close-on-exec."""
        one, other = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
        return cls(one), cls(other)

    def send(self, message: Any, fds: Sequence[int] = ()) -> None:
        """Send a value of plain types and file descriptors (copies: the caller keeps its own)."""
        payload = marshal.dumps(message)
        send_fds(self.sock, len(payload).to_bytes(4, "little"), fds)
        self.sock.sendall(payload)

    def receive(self) -> tuple[Any, list[int]]:
        """The next value and its file descriptors; raises Closed at the end."""
        try:
            header, fds = recv_fds(self.sock, 4, MAX_FDS)
        except ConnectionResetError:
            header, fds = b"", []
        if len(header) < 4:
            raise Closed
        size = int.from_bytes(header, "little")
        parts = []
        while size:
            part = self.sock.recv(size)
            if not part:
                raise Closed
            parts.append(part)
            size -= len(part)
        return marshal.loads(b"".join(parts)), fds

    def close(self) -> None:
        """Close this end."""
        self.sock.close()
