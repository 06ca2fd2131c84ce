"""A control connection to a shim, on the daemon's event loop."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Sequence

from sampan import errors
from sampan.rpc import framing, messages

ANCILLARY = socket.CMSG_SPACE(framing.MAX_FDS * 4)

Answer = messages.Reply | messages.Status | int


class ShimGone(errors.Unavailable):
    """The shim ended or was killed: its container is dead."""


class CommandFailed(errors.InvalidArgument):
    """The container's program did not run; `exit_code` is 126 or 127, the text is Docker's."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


def exit_code(error: BaseException) -> int:
    """What a program that was not started exits with: 126 or 127 by the reason, else Docker's 128."""
    return error.exit_code if isinstance(error, CommandFailed) else 128


def _error(failure: messages.Failure) -> errors.SampanError:
    if failure.exit_code:
        return CommandFailed(failure.text, failure.exit_code)
    kind = getattr(errors, failure.kind, errors.SampanError)
    error: errors.SampanError = kind(failure.text)
    return error


def _take_fds(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    fds: list[int] = []
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds += memoryview(data[: len(data) // 4 * 4]).cast("i")
    return fds


class Channel:
    """Requests answered by serial; `Exited` messages gather in `exits`, which ends with None when the shim is gone."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._assembler = framing.Assembler()
        self._fds: list[int] = []
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._netns: set[int] = set()
        self._serial = 0
        self._outgoing: deque[tuple[bytes, list[int]]] = deque()
        self.closed = False
        self._broken = ""
        self.hello: asyncio.Future[messages.Hello] = self._loop.create_future()
        self.exits: asyncio.Queue[messages.Exited | None] = asyncio.Queue()
        self._loop.add_reader(sock.fileno(), self._readable)

    async def request(self, request: messages.Request, fds: Sequence[int] = ()) -> messages.Reply | messages.Status:
        """Raises the shim's errors, ShimGone when it ends before it answers. The fds stay the caller's."""
        answer = await self._ask(request, fds)
        assert not isinstance(answer, int)
        return answer

    async def request_fd(self, request: messages.Request) -> int:
        """As `request`, for an answer that is an fd, which becomes the caller's."""
        self._netns.add(self._serial + 1)
        answer = await self._ask(request, ())
        assert isinstance(answer, int)
        return answer

    async def _ask(self, request: messages.Request, fds: Sequence[int]) -> Answer:
        if self.closed:
            raise self._gone()
        self._serial += 1
        request.serial = serial = self._serial
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._waiting[serial] = future
        packets = framing.split(messages.encode(request))
        copies = [os.dup(fd) for fd in fds]  # the caller may close its own as soon as we wait
        self._outgoing += [(packet, [] if index else copies) for index, packet in enumerate(packets)]
        self._flush()
        try:
            return await future
        finally:
            self._waiting.pop(serial, None)

    def _flush(self) -> None:
        while self._outgoing:
            packet, fds = self._outgoing[0]
            try:
                socket.send_fds(self._sock, [packet], fds, socket.MSG_NOSIGNAL)
            except BlockingIOError:
                self._loop.add_writer(self._sock.fileno(), self._flush)
                return
            except OSError:
                self.close()
                return
            self._outgoing.popleft()
            for fd in fds:
                os.close(fd)
        self._loop.remove_writer(self._sock.fileno())

    def _readable(self) -> None:
        while not self.closed:
            try:
                packet, ancillary, _, _ = self._sock.recvmsg(
                    framing.PACKET, ANCILLARY, socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT
                )
            except BlockingIOError:
                return
            except OSError:
                packet, ancillary = b"", []
            self._fds += _take_fds(ancillary)
            if not packet:
                self.close()
                return
            try:
                message = self._assembler.feed(packet)
                if message is not None:
                    self._deliver(messages.decode(message))
            except framing.ProtocolError as error:
                self._broken = f"shim sent what is no message: {error}"
                self.close()

    def _deliver(self, message: messages.FromShim) -> None:
        fds, self._fds = self._fds, []
        match message:
            case messages.Exited():
                self.exits.put_nowait(message)
            case messages.Hello():
                if not self.hello.done():
                    self.hello.set_result(message)
            case messages.Failure():
                if future := self._pending(message.serial):
                    future.set_exception(_error(message))
            case messages.Reply() | messages.Status():
                if future := self._pending(message.serial):
                    future.set_result(fds.pop() if message.serial in self._netns and fds else message)
        for fd in fds:
            os.close(fd)

    def _pending(self, serial: int) -> asyncio.Future[Answer] | None:
        future = self._waiting.get(serial)
        return None if future is None or future.done() else future

    def _gone(self) -> errors.Unavailable:
        """ShimGone, by which its container is taken for dead, only where the shim went: not where it talks nonsense."""
        return errors.Unavailable(self._broken) if self._broken else ShimGone("shim is gone")

    def close(self) -> None:
        """Idempotent; whoever waits for an answer gets ShimGone, or Unavailable where the protocol was broken."""
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        self._sock.close()
        for fd in [fd for _, fds in self._outgoing for fd in fds] + self._fds:
            os.close(fd)
        self._outgoing.clear()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(self._gone())
        if not self.hello.done():
            self.hello.set_exception(self._gone())
        if not self.hello.cancelled():
            self.hello.exception()  # marks it as seen: nobody may wait for the greeting any more
        self.exits.put_nowait(None)
