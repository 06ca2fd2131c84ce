"""The streams of one process: container ⇄ attachments, with the log in between.

    stdout, stderr ──Source──▶ log, then every Attachment (Docker's frames, raw with a TTY)
    stdin          ◀──Stdin─── what clients send

What a client does not take is kept, up to HIGH bytes; then the sources pause, so the container blocks as it would on a
full pipe. A client that takes nothing for STALL seconds while it holds others back is dropped.
"""

from __future__ import annotations

import errno
import os
import struct
import time
from _socket import MSG_DONTWAIT, MSG_NOSIGNAL

from sampan.linux.fds import socket

from .loop import READ, WRITE

STDIN, STDOUT, STDERR = 0, 1, 2
CHUNK = 64 * 1024
HIGH = 256 * 1024
STALL = 5.0
DRAIN = 2.0
"""Seconds that the exit of a process waits for the end of its streams (as in Docker): a child may hold them open."""
LEFT = 1 << 20
"""As much as an unprivileged process can make a pipe hold (pipe(7), pipe-max-size)."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from .loop import Loop, Timer

    class Log(Protocol):
        """Where output is kept; `full` asks for a pause until `on_room` is called."""

        @property
        def full(self) -> bool: ...
        def write(self, stream: int, data: bytes, timestamp_ns: int) -> None: ...
        def end(self, stream: int) -> None: ...


_FRAME = struct.Struct(">BxxxI")
_SEND = MSG_DONTWAIT | MSG_NOSIGNAL


class Attachment:
    """One client. Owns its socket."""

    def __init__(self, streams: Streams, sock: socket, wants: frozenset[int], framed: bool) -> None:
        self.streams, self.sock, self.wants, self.framed = streams, sock, wants, framed
        self.loop = streams.loop
        self.pending = bytearray()
        self.reading = STDIN in wants
        self.ending = False
        self.progress = time.monotonic()

    def send(self, stream: int, data: bytes) -> None:
        parts = [_FRAME.pack(stream, len(data)), data] if self.framed else [data]
        if self.pending:
            self.pending += b"".join(parts)
            return
        try:
            sent = self.sock.sendmsg(parts, (), _SEND)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.streams.drop(self)
            return
        total = sum(map(len, parts))
        if sent < total:
            self.pending += b"".join(parts)[sent:]
            self.progress = time.monotonic()
            self.update()

    def end(self) -> None:
        """Close as soon as everything is sent."""
        self.ending = True
        if not self.pending:
            self.streams.drop(self)

    def update(self) -> None:
        """Watch for what is wanted now; HUP always, so that a client that left is noticed."""
        events = (READ if self.reading and not self.streams.stdin_blocked else 0) | (WRITE if self.pending else 0)
        self.loop.watch(self.sock.fileno(), events, self.on_event)

    def on_event(self, mask: int) -> None:
        if mask & WRITE and self.pending:
            self.flush()
        if self.sock.fileno() >= 0 and mask & READ and self.reading:
            self.receive()
        if self.sock.fileno() >= 0 and mask & ~(READ | WRITE):
            self.hang_up()

    def hang_up(self) -> None:
        """The other end is closed altogether; what it sent before that is still to be read."""
        if not self.reading:
            self.streams.drop(self)
        elif self.streams.stdin_blocked:
            self.loop.forget(self.sock.fileno())  # HUP would spin; the watch is set again when stdin has room
        else:
            self.receive()

    def flush(self) -> None:
        try:
            sent = self.sock.send(self.pending, _SEND)
        except BlockingIOError:
            return
        except OSError:
            self.streams.drop(self)
            return
        self.progress = time.monotonic()
        del self.pending[:sent]
        if not self.pending:
            self.pending = bytearray()  # gives a grown buffer back
            if self.ending:
                self.streams.drop(self)
                return
            self.update()
        self.streams.check_room()

    def receive(self) -> None:
        try:
            data = self.sock.recv(CHUNK, MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self.streams.send_stdin(data)
            return
        self.reading = False
        self.streams.stdin_ended()
        if self.sock.fileno() >= 0:
            self.update()

    def close(self) -> None:
        if self.sock.fileno() >= 0:
            self.loop.forget(self.sock.fileno())
            self.sock.close()
        self.pending = bytearray()


class Source:
    """The container's stdout, stderr or terminal. Owns its fd."""

    def __init__(self, streams: Streams, fd: int, stream: int) -> None:
        self.streams, self.fd, self.stream = streams, fd, stream
        os.set_blocking(fd, False)

    def resume(self) -> None:
        if self.fd >= 0:
            self.streams.loop.watch(self.fd, READ, self.on_event)

    def pause(self) -> None:
        if self.fd >= 0:
            self.streams.loop.forget(self.fd)

    def on_event(self, _mask: int) -> None:
        self.read()

    def read(self) -> bool:
        """Take one chunk; whether there may be more."""
        try:
            data = os.read(self.fd, CHUNK)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != errno.EIO:  # EIO: every slave of the pty is closed (pty(7))
                raise
            data = b""
        if data:
            self.streams.output(self.stream, data)
            return True
        self.close()
        self.streams.source_ended(self)
        return False

    def close(self) -> None:
        if self.fd >= 0:
            self.streams.loop.forget(self.fd)
            if self.fd != self.streams.terminal:
                os.close(self.fd)
            self.fd = -1


class Streams:
    """All streams of one process.

    `stdin_once` closes the process's stdin when a client's ends, as Docker does without a TTY. `terminal` is the pty
    master, which is stdin and stdout at once.
    """

    def __init__(self, loop: Loop, log: Log | None, *, stdin_once: bool) -> None:
        self.loop, self.log, self.stdin_once = loop, log, stdin_once
        self.stdin = self.terminal = -1
        self.sources: list[Source] = []
        self.attachments: list[Attachment] = []
        self.on_drained: Callable[[], None] | None = None
        self._on_empty: Callable[[], None] | None = None
        self._unsent = b""
        self._stdin_closing = False
        self._paused = False
        self._exited = False
        self._timer: Timer | None = None
        self._stall: Timer | None = None

    def open(self, stdin: int, stdout: int, stderr: int, terminal: int) -> None:
        """Take over our ends of the pipes, -1 where there is none, or the pty's master. Output is read from now on."""
        self.terminal = terminal
        # A second fd of the master, because epoll knows an fd once and output is watched apart from input.
        self.stdin = os.dup(terminal) if terminal >= 0 else stdin
        if self.stdin >= 0:
            os.set_blocking(self.stdin, False)
        for fd, stream in ((terminal, STDOUT), (stdout, STDOUT), (stderr, STDERR)):
            if fd >= 0:
                self.sources.append(Source(self, fd, stream))
                self.sources[-1].resume()
        for attachment in list(self.attachments):
            attachment.update()

    @property
    def is_quiet(self) -> bool:
        """Whether nobody is attached and nothing is unsent."""
        return not (self.attachments or self._unsent or self._paused or self._exited)

    def fds(self) -> dict[str, int]:
        """The descriptors that `open` was given, by its parameters' names; those that are closed are left out."""
        found = {"terminal": self.terminal} if self.terminal >= 0 else {"stdin": self.stdin}
        for source in self.sources:
            if source.fd != self.terminal:
                found["stdout" if source.stream == STDOUT else "stderr"] = source.fd
        return {name: fd for name, fd in found.items() if fd >= 0}

    # attachments

    def attach(self, sock: socket, wants: frozenset[int]) -> None:
        """A client joins: it gets what is written from now on. At the end of the streams it is closed at once."""
        attachment = Attachment(self, sock, wants, framed=self.terminal < 0)
        self.attachments.append(attachment)
        if self._exited and not self.sources:
            attachment.end()
        else:
            attachment.update()

    def drop(self, attachment: Attachment) -> None:
        if attachment not in self.attachments:
            return
        self.attachments.remove(attachment)
        attachment.close()
        if attachment.reading:
            attachment.reading = False
            self.stdin_ended()
        self.check_room()
        self._check_drained()
        self._check_empty()

    # output

    def output(self, stream: int, data: bytes) -> None:
        if self.log is not None:
            self.log.write(stream, data, time.time_ns())
        for attachment in tuple(self.attachments):
            if stream in attachment.wants:
                attachment.send(stream, data)
        self.check_room()

    def check_room(self) -> None:
        """Pause or resume the sources by what is unsent."""
        full = any(len(attachment.pending) > HIGH for attachment in self.attachments) or (
            self.log is not None and self.log.full
        )
        if full == self._paused:
            return
        self._paused = full
        for source in self.sources:
            if full:
                source.pause()
            else:
                source.resume()
        if full and self._stall is None:
            self._stall = self.loop.call_later(STALL, self._drop_stalled)

    def _drop_stalled(self) -> None:
        self._stall = None
        if not self._paused:
            return
        limit = time.monotonic() - STALL
        full = [attachment for attachment in self.attachments if len(attachment.pending) > HIGH]
        stalled = [attachment for attachment in full if attachment.progress <= limit]
        if len(self.attachments) > len(stalled):
            for attachment in stalled:
                self.drop(attachment)
        if self._paused:
            self._stall = self.loop.call_later(STALL / 2, self._drop_stalled)

    def source_ended(self, source: Source) -> None:
        self.sources.remove(source)
        if self.log is not None:
            self.log.end(source.stream)
        if self._exited and not self.sources:
            self._end_attachments()

    # stdin

    @property
    def stdin_blocked(self) -> bool:
        return bool(self._unsent)

    def send_stdin(self, data: bytes) -> None:
        """Input for a process that does not read any more is thrown away."""
        if self.stdin < 0:
            return
        self._unsent += data
        self._write_stdin()
        if self._unsent:
            self.loop.watch(self.stdin, WRITE, self._on_stdin_room)
            self._update_readers()

    def _on_stdin_room(self, _mask: int) -> None:
        self._write_stdin()
        if self._unsent:
            return
        if self.stdin >= 0:
            self.loop.forget(self.stdin)
        if self._stdin_closing:
            self.close_stdin()
        self._update_readers()

    def _write_stdin(self) -> None:
        try:
            while self._unsent and self.stdin >= 0:
                self._unsent = self._unsent[os.write(self.stdin, self._unsent) :]
        except BlockingIOError:
            return
        except OSError:  # EPIPE, or EIO of a terminal that nobody has open
            self._unsent = b""
            if self.terminal < 0:
                self._drop_stdin()

    def _update_readers(self) -> None:
        for attachment in tuple(self.attachments):
            if attachment.reading:
                attachment.update()

    def stdin_ended(self) -> None:
        """A client's input has ended."""
        if self.stdin_once:
            self.close_stdin()

    def close_stdin(self) -> None:
        """The process reads EOF once it has read all that was sent; a terminal has no such thing."""
        if self.terminal >= 0:
            return
        self._stdin_closing = True
        if not self._unsent:
            self._drop_stdin()

    def _drop_stdin(self) -> None:
        self._unsent = b""
        if self.stdin >= 0:
            self.loop.forget(self.stdin)
            os.close(self.stdin)
            self.stdin = -1

    # the end

    def finish(self, on_drained: Callable[[], None]) -> None:
        """The process has ended: read what is left, close all clients, then call back."""
        self.on_drained = on_drained
        self._exited = True
        self._drop_stdin()
        for source in tuple(self.sources):
            # All that the process itself wrote, whether clients keep up or not: it is no more than a pipe holds.
            # Behind that are others who hold the stream open, and to whom the usual limits apply.
            for _ in range(LEFT // CHUNK):
                if source.fd < 0 or not source.read():
                    break
        self._timer = self.loop.call_later(DRAIN, self._give_up)
        if not self.sources:
            self._end_attachments()

    def _give_up(self) -> None:
        """Someone holds the streams open, or a client does not read."""
        for source in tuple(self.sources):
            source.close()
            self.source_ended(source)
        self._report()

    def _end_attachments(self) -> None:
        for attachment in tuple(self.attachments):
            attachment.end()
        self._check_drained()

    def _check_drained(self) -> None:
        if self._exited and not self.sources and not self.attachments:
            self._report()

    def _report(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        callback, self.on_drained = self.on_drained, None
        if callback is not None:
            callback()

    def release(self, on_empty: Callable[[], None]) -> None:
        """Let go of the process. Clients get what is unsent, however long they take; call back when none is left."""
        self._drop_stdin()
        for source in self.sources:
            source.close()
        self.sources.clear()
        if self.terminal >= 0:
            os.close(self.terminal)
            self.terminal = -1
        for timer in (self._timer, self._stall):
            if timer is not None:
                timer.cancel()
        self._on_empty = on_empty
        for attachment in tuple(self.attachments):
            attachment.end()
        self._check_empty()

    def _check_empty(self) -> None:
        callback = self._on_empty
        if callback is not None and not self.attachments:
            self._on_empty = None
            callback()
