"""The daemon's side of one shim."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from typing import Any, Self

import msgspec

from sampan import errors
from sampan.rpc import files, framing, messages

from . import orphans
from .channel import Channel, CommandFailed, ShimGone

__all__ = ["CommandFailed", "Shim", "ShimGone", "connect_socket", "read_exit"]

LogSetup = messages.LogSetup
Exit = messages.Exited
Status = messages.Status


class CreateContainer(messages.Create):
    """As `messages.Create`, with the OCI configuration as a value."""

    spec: dict[str, Any] | None = None  # type: ignore[assignment] # becomes text on its way


class ExecProcess(messages.Exec):
    """As `messages.Exec`, with the OCI process as a value."""

    process: dict[str, Any]  # type: ignore[assignment] # as above


def connect_socket(path: str) -> socket.socket:
    """A connection to the shim socket at `path`, which may be longer than sun_path (unix(7), 108 bytes).

    Raises NotFound where no shim answers.
    """
    directory, name = os.path.split(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        fd = os.open(directory, os.O_PATH | os.O_DIRECTORY)
        try:
            sock.connect(f"/proc/self/fd/{fd}/{name}")
        finally:
            os.close(fd)
    except OSError as error:
        sock.close()
        raise errors.NotFound(f"no shim at {path}: {error.strerror}") from error
    return sock


def read_exit(state_dir: str) -> Exit | None:
    """What the last run of a container left in its `exit.json`; None where there is none or it is torn."""
    try:
        with open(f"{state_dir}/{files.EXIT}", "rb") as file:
            return messages.decode_exit(file.read())
    except (FileNotFoundError, framing.ProtocolError):
        return None


class Shim:
    """One container's shim.

    Every call raises ShimGone when the shim ends before it answers, and else what the shim says: InvalidArgument,
    NotFound, Conflict. Calls may overlap.
    """

    def __init__(self, channel: Channel, hello: messages.Hello, directory: str) -> None:
        self._channel = channel
        self._directory = directory
        self._let_go = False
        self.pid = hello.pid
        self.container_id = hello.container_id
        self.init_pid = hello.init_pid

    @classmethod
    async def greet(cls, sock: socket.socket, directory: str) -> Self:
        """From a connected control socket, once the shim, whose files are in `directory`, has said who it is."""
        channel = Channel(sock)
        try:
            return cls(channel, await channel.hello, directory)
        except BaseException:
            channel.close()
            raise

    @classmethod
    async def connect(cls, path: str) -> Self:
        """To the shim that listens at `path`, after a restart of the daemon.

        NotFound where there is none; what a killed one left of its container is ended first.
        """
        directory = os.path.dirname(path)
        try:
            return await cls.greet(connect_socket(path), directory)
        except (errors.NotFound, ShimGone) as error:
            await asyncio.to_thread(orphans.kill, directory)
            raise errors.NotFound(f"no shim at {path}") from error

    @property
    def gone(self) -> bool:
        return self._channel.closed

    async def status(self) -> Status:
        """Phase, init's pid, running execs and, when stopped, the exit."""
        status = await self._channel.request(messages.Inspect())
        assert isinstance(status, messages.Status)
        self.init_pid = status.init_pid
        return status

    async def netns(self) -> int:
        """An fd of the container's network namespace; the caller closes it. NotFound where there is no process yet."""
        return await self._channel.request_fd(messages.Netns())

    async def create(self, request: CreateContainer) -> int:
        """Make the container up to the point where its program would run → init's host pid."""
        text = msgspec.json.encode(request.spec).decode() if request.spec else ""
        self.init_pid = await self._value(messages.Create(**request.__dict__ | {"spec": text}))
        return self.init_pid

    async def start(self) -> int:
        """Run the program → started_at in ns. Raises CommandFailed with Docker's text and exit code 126 or 127."""
        return await self._value(messages.Start())

    async def exec(self, request: ExecProcess, attachment: socket.socket | int | None = None) -> int:
        """Run a further process → its host pid; raises CommandFailed as `start` does.

        `attachment` is the shim's end of a SOCK_STREAM socket pair and stays the caller's to close.
        """
        text = msgspec.json.encode(request.process).decode()
        values = request.__dict__ | {"process": text, "attached": attachment is not None}
        return await self._value(messages.Exec(**values), attachment)

    async def attach(
        self,
        attachment: socket.socket | int,
        exec_id: str | None = None,
        *,
        stdin: bool,
        stdout: bool,
        stderr: bool,
    ) -> None:
        """Join the streams to the shim's end of a socket pair, which stays the caller's to close."""
        await self._value(messages.Attach(exec_id=exec_id, stdin=stdin, stdout=stdout, stderr=stderr), attachment)

    async def resize(self, exec_id: str | None, height: int, width: int) -> None:
        """NotFound where the process is gone, Conflict where it has no terminal."""
        await self._value(messages.Resize(exec_id=exec_id, height=height, width=width))

    async def signal(self, exec_id: str | None, signo: int) -> None:
        """NotFound where the process is gone."""
        await self._value(messages.Signal(exec_id=exec_id, signo=signo))

    async def close_stdin(self, exec_id: str | None = None) -> None:
        await self._value(messages.CloseStdin(exec_id=exec_id))

    @property
    def exits(self) -> AsyncIterator[Exit]:
        """One item per ended process, the container's own with exec_id None; ends when the shim is gone.

        When the shim was killed, what it left of the container is ended first; nobody can tell its exit then. For one
        consumer. An exit from before this connection is in `status().exit` instead.
        """
        return self._exits()

    async def _exits(self) -> AsyncIterator[Exit]:
        while (exited := await self._channel.exits.get()) is not None:
            yield exited
        if not self._let_go:
            await asyncio.to_thread(orphans.kill, self._directory)

    async def close(self) -> None:
        """The container is done with: the shim removes its cgroup and ends. Kills what still runs. Idempotent."""
        with contextlib.suppress(ShimGone):
            await self._value(messages.Close())
            self._let_go = True
        self._channel.close()

    def disconnect(self) -> None:
        """Let go of the shim without ending it."""
        self._let_go = True
        self._channel.close()

    async def _value(self, request: messages.Request, attachment: socket.socket | int | None = None) -> int:
        fd = attachment.fileno() if isinstance(attachment, socket.socket) else attachment
        reply = await self._channel.request(request, () if fd is None else (fd,))
        assert isinstance(reply, messages.Reply)
        return reply.value
