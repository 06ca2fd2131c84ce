"""The shim's socket and its control connections.

`_socket` is the C half of `socket`: the same objects without the enums, which a shim would un-share 100 KB for.
"""

from __future__ import annotations

import os
import struct
from _collections import deque  # type: ignore[import-not-found] # the C half
from _socket import AF_UNIX, SO_PEERCRED, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_SEQPACKET, SOL_SOCKET

from sampan.linux import fds
from sampan.linux.fds import socket
from sampan.rpc import files, framing, messages

from .loop import READ, WRITE, Loop

BACKLOG = 8
MAX_QUEUED = 1024
"""Messages that a daemon may leave unread before it is taken for dead."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Handler = Callable[["Connection", messages.ToShim, list[int]], None]


class Connection:
    """One daemon. Owns its socket and the fds that came with a request until the handler takes them."""

    def __init__(self, server: Server, sock: socket) -> None:
        self.server, self.sock = server, sock
        sock.setblocking(False)
        self._assembler = framing.Assembler()
        self._fds: list[int] = []
        self._queue: deque[tuple[bytes, list[int]]] = deque()
        server.loop.watch(sock.fileno(), READ, self._on_event)

    @property
    def is_quiet(self) -> bool:
        return not self._queue and not self._fds and self._assembler.is_empty

    def send(self, message: messages.FromShim, passed: list[int] | None = None) -> None:
        """Queue a message; takes over the fds in `passed`."""
        if self.sock.fileno() < 0:
            _close_all(passed or [])
            return
        for index, packet in enumerate(framing.split(messages.encode(message))):
            self._queue.append((packet, (passed or []) if index == 0 else []))
        self._flush()
        if len(self._queue) > MAX_QUEUED:
            self.close()

    def _flush(self) -> None:
        while self._queue:
            packet, passed = self._queue[0]
            try:
                fds.send_fds(self.sock, packet, passed)
            except BlockingIOError:
                self.server.loop.watch(self.sock.fileno(), READ | WRITE, self._on_event)
                return
            except OSError:
                self.close()
                return
            self._queue.popleft()
            _close_all(passed)
        self.server.loop.watch(self.sock.fileno(), READ, self._on_event)

    def _on_event(self, mask: int) -> None:
        if mask & WRITE:
            self._flush()
        if self.sock.fileno() >= 0 and mask & ~WRITE:
            self._receive()

    def _receive(self) -> None:
        try:
            packet, passed = fds.recv_fds(self.sock, framing.PACKET, framing.MAX_FDS)
        except BlockingIOError:
            return
        except OSError:
            packet, passed = b"", []
        self._fds += passed
        if not packet:
            self.close()
            return
        try:
            message = self._assembler.feed(packet)
            request = None if message is None else messages.decode(message)
        except framing.ProtocolError:
            self.close()
            return
        if request is not None:
            taken, self._fds = self._fds, []
            self.server.handler(self, request, taken)

    def close(self) -> None:
        if self.sock.fileno() < 0:
            return
        self.server.loop.forget(self.sock.fileno())
        self.sock.close()
        _close_all(self._fds + [fd for _, passed in self._queue for fd in passed])
        self._fds.clear()
        self._queue.clear()
        self.server.closed(self)


class Server:
    """Listens in `directory`, 0600, for this user only; `on_idle` is called when the last daemon has gone."""

    def __init__(self, loop: Loop, handler: Handler, on_idle: Callable[[], None], hello: Callable[[], messages.Hello]):
        self.loop, self.handler, self.on_idle, self.hello = loop, handler, on_idle, hello
        self.connections: list[Connection] = []
        self._listener: socket | None = None
        self._directory = -1

    def listen(self, directory: str) -> None:
        """Bind `directory/shim.sock`; the path goes through an fd because it may exceed sun_path (unix(7))."""
        self._directory = _open_directory(directory)
        path = f"/proc/self/fd/{self._directory}/{files.SOCKET}"
        self._listener = listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC)
        umask = os.umask(0o177)
        try:
            listener.bind(path)
        finally:
            os.umask(umask)
        listener.listen(BACKLOG)
        self.loop.watch(listener.fileno(), READ, self._on_accept)

    @property
    def is_quiet(self) -> bool:
        """Whether no connection has half a message, in or out."""
        return all(connection.is_quiet for connection in self.connections)

    def fds(self) -> list[int]:
        """What `resume` takes in another process: listener, connections."""
        assert self._listener is not None
        connections = [connection.sock.fileno() for connection in self.connections]
        return [self._listener.fileno(), *connections]

    def resume(self, directory: str, listener: socket, connections: list[socket]) -> None:
        """Go on where another process stopped."""
        self._listener, self._directory = listener, _open_directory(directory)
        self.loop.watch(listener.fileno(), READ, self._on_accept)
        self.connections += [Connection(self, sock) for sock in connections]

    def _on_accept(self, _mask: int) -> None:
        assert self._listener is not None
        try:
            fd, _ = self._listener._accept()  # type: ignore[attr-defined] # not in typeshed
        except OSError:
            return
        sock = socket(fileno=fd)
        if peer_uid(sock) != os.getuid():
            sock.close()
            return
        self.add(sock)

    def add(self, sock: socket) -> None:
        """Serve a connected socket, greeting first."""
        connection = Connection(self, sock)
        self.connections.append(connection)
        connection.send(self.hello())

    def broadcast(self, message: messages.FromShim) -> None:
        for connection in tuple(self.connections):
            connection.send(message)

    def closed(self, connection: Connection) -> None:
        self.connections.remove(connection)
        if not self.connections:
            self.on_idle()

    def close(self) -> None:
        """Stop listening and remove the socket file."""
        if self._listener is not None:
            self.loop.forget(self._listener.fileno())
            self._listener.close()
            self._listener = None
            try:
                os.unlink(files.SOCKET, dir_fd=self._directory)
            except FileNotFoundError:
                pass
            os.close(self._directory)


def _open_directory(path: str) -> int:
    return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def peer_uid(sock: socket) -> int:
    """The user at the other end of a unix socket (SO_PEERCRED, unix(7))."""
    _pid, uid, _gid = struct.unpack("iii", sock.getsockopt(SOL_SOCKET, SO_PEERCRED, 12))
    return int(uid)


def _close_all(numbers: list[int]) -> None:
    for fd in numbers:
        os.close(fd)
